"""Our client against the simulator, written from the same contract by other hands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from tests.support.servers import Simulator
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    QuotaExceeded,
    RecipientRefused,
    Refused,
    Retryable,
)

APP_ID, SECRET = "wx0123456789abcdef", "0123456789abcdef0123456789abcdef"
TEMPLATE = {"template_id": "t-bound", "title": "新会员", "content": "会员：{{thing1.DATA}}"}
SEND = "/cgi-bin/message/template/send"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


def person(simulator: Simulator, name: str, *, follows: bool = True) -> str:
    openid = simulator.post("/_sim/users", name=name)["openids"][APP_ID]
    if follows:
        simulator.post("/_sim/follow", user=openid, wait=False)
    return str(openid)


def chat(simulator: Simulator, openid: str) -> list[dict[str, Any]]:
    messages = simulator.get(f"/_sim/chats/{openid}")["messages"]
    return [message for message in messages if message["from"] == "account"]


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    """With nothing in it but our account."""
    shared_simulator.forget()
    shared_simulator.post("/_sim/accounts", app_id=APP_ID, secret=SECRET, templates=[TEMPLATE])
    return shared_simulator


@pytest.fixture
def build(simulator: Simulator, store: redis.Redis) -> Callable[..., PlatformClient]:
    def connect(secret: str = SECRET, **options: Any) -> PlatformClient:
        url = simulator.url
        return PlatformClient(
            APP_ID, lambda: secret, store=store, api_base=url, mp_base=url, open_base=url, **options
        )

    return connect


@pytest.fixture
def client(build: Callable[..., PlatformClient]) -> PlatformClient:
    return build()


def test_a_code_from_creation_to_the_follower_it_brings(
    client: PlatformClient, simulator: Simulator
) -> None:
    code = api.create_qrcode(client, "s-阿树", expire_seconds=2_592_000)
    forever = api.create_qrcode(client, "s-2", expire_seconds=None)
    assert code.expire_seconds == 2_592_000
    assert forever.expire_seconds is None
    assert api.fetch_qrcode_image(client, code.ticket)[:3] in (b"\xff\xd8\xff", b"\x89PN")
    with pytest.raises(Refused):
        api.fetch_qrcode_image(client, "nonsense")

    openid = person(simulator, "小李", follows=False)
    assert not api.user_info(client, openid).subscribed
    simulator.post("/_sim/scan", user=openid, ticket=code.ticket, wait=False)

    follower = api.user_info(client, openid)
    assert follower.subscribed
    assert follower.qr_scene == "s-阿树"
    assert follower.subscribe_scene == "ADD_SCENE_QR_CODE"
    assert api.users_info(client, [openid]) == [follower]


def test_menu(client: PlatformClient, simulator: Simulator) -> None:
    assert api.find_menu(client) is None
    buttons: list[dict[str, Any]] = [
        {"type": "click", "name": "我的团队", "key": "team"},
        {
            "name": "更多",
            "sub_button": [{"type": "view", "name": "商城", "url": "https://m.example.com/"}],
        },
    ]
    api.create_menu(client, buttons)

    menu = api.find_menu(client)
    assert menu is not None
    assert [button["name"] for button in menu.buttons] == ["我的团队", "更多"]
    api.delete_menu(client)
    assert api.find_menu(client) is None


def test_template_messages(client: PlatformClient, simulator: Simulator) -> None:
    openid, stranger = person(simulator, "小李"), person(simulator, "路人", follows=False)
    assert [template.title for template in api.list_templates(client)] == ["新会员"]

    send: dict[str, Any] = {"template_id": "t-bound", "data": {"thing1": "张三\n加入了您的团队 🎉"}}
    first = api.send_template(client, openid, **send, client_msg_id="k1")
    again = api.send_template(client, openid, **send, client_msg_id="k1")

    assert first == again
    (card,) = chat(simulator, openid)
    assert card["fields"][0]["value"] == "张三 加入了您的团队"
    with pytest.raises(RecipientRefused) as caught:
        api.send_template(client, stranger, **send)
    assert caught.value.errcode == 43004
    assert caught.value.rid
    with pytest.raises(Refused):
        api.send_template(client, openid, "t-unknown", {"thing1": "x"})


def test_customer_service_messages_and_media(client: PlatformClient, simulator: Simulator) -> None:
    openid = person(simulator, "小李")
    media = api.upload_media(client, "image", PNG, "poster.png")
    assert media.expires_at > datetime.now(UTC) + timedelta(days=2)

    api.send_custom_text(client, openid, "您好")
    api.send_custom_image(client, openid, media.media_id)
    api.send_custom_news(
        client,
        openid,
        api.Article("榕树", "说明", "https://a.example.com/", "https://a.example.com/p.png"),
    )
    with pytest.raises(RecipientRefused):  # three a minute after following
        api.send_custom_text(client, openid, "第四条")

    assert [message["type"] for message in chat(simulator, openid)] == ["text", "image", "news"]
    with pytest.raises(RecipientRefused):
        api.send_custom_text(client, person(simulator, "路人", follows=False), "您好")


def test_rotated_tokens_in_the_middle_of_a_batch(
    client: PlatformClient, simulator: Simulator
) -> None:
    openid = person(simulator, "小李")
    simulator.post("/_sim/faults", rotate_token_every=3)

    for number in range(9):
        api.send_template(client, openid, "t-bound", {"thing1": f"第{number}条"})

    assert len(chat(simulator, openid)) == 9


def test_busy_html_and_500_are_to_be_repeated(client: PlatformClient, simulator: Simulator) -> None:
    client.tokens.current()
    for fault in ("busy_rate", "html_rate", "http_500_rate"):
        simulator.post("/_sim/faults", off=True, **{fault: 1})
        with pytest.raises(Retryable):
            api.get_callback_ip(client)
    simulator.post("/_sim/faults", off=True)
    assert api.get_callback_ip(client)


@pytest.mark.parametrize("fault", ["drop_answer_rate", "truncate_rate"])
def test_a_lost_answer_is_in_doubt_and_its_repetition_harmless(
    client: PlatformClient, simulator: Simulator, fault: str
) -> None:
    openid = person(simulator, "小李")
    send: dict[str, Any] = {
        "template_id": "t-bound",
        "data": {"thing1": "张三"},
        "client_msg_id": "k1",
    }
    simulator.post("/_sim/faults", paths=[SEND], **{fault: 1})
    with pytest.raises(OutcomeUnknown):
        api.send_template(client, openid, **send)

    simulator.post("/_sim/faults", off=True)
    api.send_template(client, openid, **send)
    assert len(chat(simulator, openid)) == 1


def test_a_wrong_secret_is_an_account_problem(build: Callable[..., PlatformClient]) -> None:
    with pytest.raises(AccountMisconfigured) as caught:
        api.get_callback_ip(build(secret="wrong" * 6))
    assert caught.value.errcode == 40125


def test_the_platform_s_quota(client: PlatformClient, simulator: Simulator) -> None:
    openid = person(simulator, "小李")
    simulator.post("/_sim/faults", quota={SEND: 2})
    for _ in range(2):
        api.send_template(client, openid, "t-bound", {"thing1": "张三"})

    with pytest.raises(QuotaExceeded) as caught:
        api.send_template(client, openid, "t-bound", {"thing1": "张三"})
    assert caught.value.errcode == 45009
    assert api.quota_get(client, SEND).remain == 0
    with pytest.raises(QuotaExceeded) as ours:
        api.send_template(client, openid, "t-bound", {"thing1": "张三"})
    assert ours.value.errcode is None  # it did not leave


def test_time_moves_for_both(build: Callable[..., PlatformClient], simulator: Simulator) -> None:
    offset = timedelta()
    client = build(clock=lambda: datetime.now(UTC) + offset)
    first = client.tokens.current()
    offset = timedelta(hours=3)
    simulator.post("/_sim/clock", offset_seconds=offset.total_seconds())

    assert api.get_callback_ip(client)
    assert client.tokens.current().value != first.value
