"""接口额度, 消息补处理, 通知模板: what the pages say, and what their buttons do at WeChat, on disk and in the books."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import spooled
from app import app_of
from config import WeChatSection
from domain import notices, orders, refunds
from domain.accounts import OpenAccount
from domain.models import Audit, Member, Order
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.refunds import Refunding
from spooled import Spooled
from tests.support.servers import Simulator, running_simulator
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from web.console.notice_pages import GROUPS, PARAMETERS
from web.console.quotas import NAMES
from wechat import api
from wechat.errors import AccountMisconfigured, QuotaExceeded
from wechat.quota import LIMITS

SEND = "/cgi-bin/message/template/send"
PUSH = (
    "<xml><FromUserName>anna</FromUserName><MsgType>event</MsgType><Event>subscribe</Event></xml>"
)
CONTENT = "好友：{{thing1.DATA}}\n佣金：{{amount2.DATA}}\n状态：{{phrase3.DATA}}"


def audited(merchant: Merchant, action: str) -> list[Audit]:
    return merchant.database.read(
        lambda session: list(session.scalars(select(Audit).where(Audit.action == action)))
    )


# --- 接口额度 -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Generator[Simulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as made:
        yield made


@pytest.fixture
def simulator(shared_simulator: Simulator, account: OpenAccount) -> Simulator:
    """The one of this module, knowing our account and its templates, and nothing else."""
    shared_simulator.post("/_sim/reset")
    shared_simulator.post("/_sim/faults", off=True)
    shared_simulator.post(
        "/_sim/accounts", app_id=account.app_id, secret="secret", name="tea",
        templates=[{"template_id": "T-1", "title": "佣金到账提醒", "content": CONTENT}],
        subscription_templates=[{"template_id": "S-1", "title": "佣金到账", "content": CONTENT}],
    )  # fmt: skip
    return shared_simulator


@pytest.fixture
def at_wechat(
    merchant: Merchant, simulator: Simulator, account: OpenAccount
) -> Generator[tuple[Merchant, Browser]]:
    """The installation and its owner's browser, with the simulator for WeChat."""
    hosts = WeChatSection(api_base=simulator.url, mp_base=simulator.url, open_base=simulator.url)
    settings = merchant.context.settings.model_copy(update={"wechat": hosts})
    connected = Merchant(replace(merchant.context, settings=settings), merchant._clock_file)
    yield connected, Console(app_of(connected.context), connected).as_role(account)
    connected.context.redis.close()


def test_every_api_that_is_counted_has_a_name_in_words() -> None:
    assert set(LIMITS) <= set(NAMES)


def test_what_is_used_up_is_shown_and_cleared_at_wechat_and_here(
    at_wechat: tuple[Merchant, Browser], account: OpenAccount, simulator: Simulator
) -> None:
    merchant, owner = at_wechat
    client = merchant.context.platform(account)
    simulator.post("/_sim/faults", quota={SEND: 1})
    openid = simulator.post("/_sim/users", name="小李")["openids"][account.app_id]
    simulator.post("/_sim/follow", user=openid, wait=False)
    send: dict[str, Any] = {
        "template_id": "T-1",
        "data": {"thing1": "小明", "amount2": "1元", "phrase3": "冻结中"},
    }
    api.send_template(client, openid, **send)
    with pytest.raises(QuotaExceeded):
        api.send_template(client, openid, **send)

    shown = owner.get("/console/tea/quota").text
    assert "微信已限流" in shown
    assert "让微信清零" in shown
    assert "45009" in shown

    answer = owner.post("/console/tea/quota/clear", api=SEND, reason="大促")
    assert answer.status_code == 302
    api.send_template(client, openid, **send)
    [note] = audited(merchant, "quota_cleared")
    assert (note.subject, json.loads(note.after or "")) == (f"quota{SEND}", {"reason": "大促"})


def test_a_count_that_a_person_cleared_at_wechat_begins_again_in_every_process(
    merchant: Merchant, owner: Browser, account: OpenAccount
) -> None:
    other = replace(merchant.context, _clients={}).platform(account)
    until = other.quota.refused(SEND, 45009)
    with pytest.raises(QuotaExceeded):
        other.quota.check(SEND)

    assert "我已在公众平台处理" in owner.get("/console/tea/quota").text
    owner.post("/console/tea/quota/forget", api=SEND, reason="公众平台上清了")
    assert merchant.context.clock.now() < until
    other.quota.check(SEND)
    assert len(audited(merchant, "quota_forgotten")) == 1


def test_a_path_that_is_none_is_refused_and_wechat_that_is_away_is_said(
    merchant: Merchant, owner: Browser, account: OpenAccount
) -> None:
    assert owner.post("/console/tea/quota/forget", api="/etc/passwd").status_code == 422
    owner.post("/console/tea/quota/clear", api=SEND, reason="x")
    assert "连不上微信服务器" in owner.said()
    assert audited(merchant, "quota_cleared") == []


def test_what_stops_the_account_is_explained_with_what_to_do(
    at_wechat: tuple[Merchant, Browser], account: OpenAccount, simulator: Simulator
) -> None:
    merchant, owner = at_wechat
    simulator.post("/_sim/accounts", app_id=account.app_id, secret="another")
    with pytest.raises(AccountMisconfigured):
        api.get_callback_ip(merchant.context.platform(account))

    shown = owner.get("/console/tea/quota").text
    assert "AppSecret 不对" in shown
    assert "40125" in shown


def test_support_sees_the_quota_and_clears_nothing(console: Console, account: OpenAccount) -> None:
    support = console.as_role(account, "support")
    assert support.get("/console/tea/quota").status_code == 200
    assert support.post("/console/tea/quota/forget", api=SEND, reason="x").status_code == 403


# --- 消息补处理 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def park(merchant: Merchant) -> Callable[..., str]:
    """Parks a push of an account; its name."""

    def park(slug: str = "tea", number: int = 1) -> str:
        now = merchant.context.clock.now()
        name = f"{now.timestamp():020.6f}-{number:032x}.json"
        item = Spooled(slug, now.isoformat(), PUSH, 5, "Traceback …\nRuntimeError: boom")
        spooled.write(_data(merchant) / spooled.FOLDER / spooled.PARKED, name, item)
        return name

    return park


def _data(merchant: Merchant) -> Path:
    return merchant.context.settings.data.dir


def test_a_parked_push_is_shown_with_its_error_and_handled_again(
    merchant: Merchant, owner: Browser, park: Callable[..., str]
) -> None:
    name = park()
    shown = owner.get("/console/tea/backlog").text
    for words in ("关注", "anna", "RuntimeError: boom", "再处理一次"):
        assert words in shown

    owner.post("/console/tea/backlog/replay", name=name)
    assert spooled.parked(_data(merchant)) == []
    [waiting] = spooled.waiting(_data(merchant), "tea")
    assert (waiting.xml, waiting.tries) == (PUSH, 0)
    assert len(audited(merchant, "spool_replayed")) == 1
    owner.post("/console/tea/backlog/replay", name=name)
    assert "已经没有这条了" in owner.said()


def test_all_parked_pushes_of_the_account_and_no_other_are_handled_again(
    merchant: Merchant, owner: Browser, park: Callable[..., str]
) -> None:
    merchant.open_account("other")
    park(number=1), park(number=2)
    theirs = park("other", 3)
    assert "全部再处理 (2)" in owner.get("/console/tea/backlog").text

    owner.post("/console/tea/backlog/replay")
    assert [name for name, _ in spooled.parked(_data(merchant))] == [theirs]
    owner.post("/console/tea/backlog/replay", name=theirs)
    owner.post("/console/tea/backlog/discard", name=theirs, reason="x")
    assert [name for name, _ in spooled.parked(_data(merchant))] == [theirs]


def test_a_push_is_discarded_with_a_reason_only(
    merchant: Merchant, owner: Browser, park: Callable[..., str]
) -> None:
    name = park()
    owner.post("/console/tea/backlog/discard", name=name)
    assert "请写明原因" in owner.said()
    assert len(spooled.parked(_data(merchant))) == 1

    owner.post("/console/tea/backlog/discard", name=name, reason="重复")
    assert spooled.parked(_data(merchant)) == []
    [note] = audited(merchant, "spool_discarded")
    assert json.loads(note.after or "") == {"files": [name], "reason": "重复"}


@pytest.mark.parametrize("name", ["../../secret.json", "lock", "", "0.json"])
def test_a_name_that_leads_elsewhere_is_no_push(
    merchant: Merchant, owner: Browser, name: str
) -> None:
    secret = _data(merchant) / "secret.json"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text('{"slug": "tea"}')
    owner.post("/console/tea/backlog/discard", name=name, reason="x")
    assert "已经没有这条了" in owner.said()
    owner.post("/console/tea/backlog/replay", name=name)
    assert secret.exists()


def test_an_order_without_a_buyer_is_listed_and_given_to_whoever_follows(
    merchant: Merchant, owner: Browser, account: OpenAccount
) -> None:
    merchant.publish(account)
    now = merchant.context.clock.now()
    paid = PaidOrder("L-1", Buyer(unionid="U-1"), (PaidLine(1, "茶", 1, 9900),), now)
    merchant.database.transact(
        lambda session: orders.record_paid(session, account, [paid], now=now)
    )
    merchant.database.transact(
        lambda session: refunds.record(session, account, Refunding("none", "r-1", {1: 500}), now)
    )
    shown = owner.get("/console/tea/backlog").text
    for words in ("L-1", "¥99.00", "等买家的订单", "等订单的退款", "¥5.00"):
        assert words in shown

    def order() -> Order:
        return merchant.database.read(lambda session: orders.get(session, account.id, "L-1"))

    path = f"/console/tea/backlog/orders/{order().id}/look"
    owner.post(path)
    assert "还没有关注" in owner.said()
    merchant.follow(account, "anna")

    def know(session: Session) -> None:
        session.execute(update(Member).where(Member.openid == "anna").values(unionid="U-1"))

    merchant.database.transact(know)
    owner.post(path)
    assert "找到买家了" in owner.said()
    assert order().member_id is not None
    assert "L-1" not in owner.get("/console/tea/backlog").text


# --- 通知模板 -------------------------------------------------------------------------------------------------------

OCCASION = "/console/tea/templates/commission_accrued"


def test_every_occasion_is_in_one_group_and_every_parameter_has_words() -> None:
    names = [name for _, prefixes in GROUPS for name in prefixes]
    for occasion in notices.OCCASIONS:
        assert sum(occasion.split("_")[0].rstrip("s") == name for name in names) == 1, occasion
    assert set(PARAMETERS) == set(notices.PARAMETERS)


def test_a_template_is_chosen_from_wechats_list_and_shown_as_a_card(
    at_wechat: tuple[Merchant, Browser], account: OpenAccount
) -> None:
    merchant, owner = at_wechat
    assert "佣金到账提醒" in owner.get(OCCASION).text
    owner.post(f"{OCCASION}/set", channel="template", template_id="T-1")

    shown = owner.get(OCCASION).text
    assert "<div><dt><bdi>佣金</bdi></dt><dd><bdi>12.34元</bdi></dd></div>" in shown
    assert "<div><dt><bdi>好友</bdi></dt><dd><bdi>小明</bdi></dd></div>" in shown
    [note] = audited(merchant, "template_set")
    assert json.loads(note.after or "") == {"template_id": "T-1", "fields": None}
    assert "已选" in owner.get("/console/tea/templates").text


def test_what_a_keyword_shows_is_chosen_and_the_others_stay_as_they_were(
    at_wechat: tuple[Merchant, Browser], account: OpenAccount
) -> None:
    merchant, owner = at_wechat
    owner.post(f"{OCCASION}/set", channel="template", template_id="T-1")
    owner.post(
        f"{OCCASION}/set", channel="template", template_id="T-1", keyword=["thing1", "amount2", "phrase3"],
        parameter=["occasion", "", ""], guess=["friend", "amount", "status"],
    )  # fmt: skip
    row = merchant.database.read(lambda session: notices.templates_of(session, account.id))
    assert notices.fields_of(row["commission_accrued"]) == {
        "thing1": "occasion", "amount2": "amount", "phrase3": "status",
    }  # fmt: skip
    assert "<dd><bdi>获得新佣金</bdi></dd>" in owner.get(OCCASION).text


def test_a_test_reaches_the_phone_and_a_refusal_is_explained(
    at_wechat: tuple[Merchant, Browser], account: OpenAccount, simulator: Simulator
) -> None:
    merchant, owner = at_wechat
    openid = simulator.post("/_sim/users", name="店长")["openids"][account.app_id]
    owner.post(f"{OCCASION}/set", channel="template", template_id="T-1")
    owner.post(f"{OCCASION}/test", channel="template", openid=openid)
    assert "43004" in owner.said()
    assert audited(merchant, "template_tested") == []

    simulator.post("/_sim/follow", user=openid, wait=False)
    owner.post(f"{OCCASION}/test", channel="template", openid=openid)
    assert "已发出" in owner.said()
    [card] = [
        one for one in simulator.get(f"/_sim/chats/{openid}")["messages"] if one["from"] == "account"
    ]  # fmt: skip
    assert card["fields"][1]["value"] == "12.34元"
    owner.post(f"{OCCASION}/test", channel="template", openid="")
    assert "请填写接收人" in owner.said()


def test_a_template_that_wechat_has_not_is_found_by_the_comparison(
    at_wechat: tuple[Merchant, Browser],
) -> None:
    _, owner = at_wechat
    owner.post(f"{OCCASION}/set", channel="template", template_id="T-gone")
    owner.post("/console/tea/templates/check")
    assert "有 1 处要改" in owner.said()
    assert "微信里没有这个模板" in owner.get("/console/tea/templates").text
    assert "微信里没有这个模板" in owner.get(OCCASION).text

    owner.post(f"{OCCASION}/remove", channel="template", reason="换了类目")
    owner.post("/console/tea/templates/check")
    assert "没有问题" in owner.said()


def test_without_wechat_the_id_is_written_and_nothing_is_refused_for_it(owner: Browser) -> None:
    shown = owner.get(OCCASION).text
    assert "连不上微信服务器" in shown
    assert 'name="other"' in shown
    owner.post(f"{OCCASION}/set", channel="template", other="")
    assert "请选择模板" in owner.said()
    owner.post(f"{OCCASION}/set", channel="template", other="T-9")
    assert "T-9" in owner.get(OCCASION).text
    assert owner.get("/console/tea/templates/nonsense").status_code == 404
