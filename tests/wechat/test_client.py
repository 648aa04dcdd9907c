from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from tests.wechat.conftest import MovableClock
from tests.wechat.stub import SECRET, TOKEN_PATH, Answer, Stub, error, says
from wechat.client import PlatformClient
from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    QuotaExceeded,
    RecipientRefused,
    Refused,
    Retryable,
    TokenRejected,
    WeChatError,
)
from wechat.transport import ForeignHostError

SEND = "/cgi-bin/message/template/send"
READ = "/cgi-bin/user/info"
UPLOAD = "/cgi-bin/media/upload"

Connect = Callable[..., PlatformClient]


def send(client: PlatformClient, **body: Any) -> Any:
    return client.post(SEND, data={"touser": "o1", **body})


def test_the_body_is_utf8_and_unescaped(client: PlatformClient, stub: Stub) -> None:
    send(client, text="榕树 🌳 \x01")

    (call,) = stub.calls_of(SEND)
    assert "榕树 🌳".encode() in call.body
    assert json.loads(call.body)["text"] == "榕树 🌳 \x01"
    assert call.headers["content-type"] == "application/json; charset=utf-8"
    assert call.query == {"access_token": "T1"}


def test_half_a_surrogate_pair_does_not_lose_the_message(
    client: PlatformClient, stub: Stub
) -> None:
    send(client, text="a\ud83cb")

    assert stub.calls_of(SEND)[0].json()["text"] == "a?b"


def test_paths_work_as_wechatpy_writes_them_too(client: PlatformClient, stub: Stub) -> None:
    client.get("user/info", params={"openid": "o1"})
    assert client.user.get("o2")["errcode"] == 0

    assert [call.query["openid"] for call in stub.calls_of(READ)] == ["o1", "o2"]


def test_one_40001_costs_one_refresh_and_one_retry(client: PlatformClient, stub: Stub) -> None:
    stub.answers[SEND].append(error(40001))

    assert send(client)["errcode"] == 0
    assert len(stub.calls_of(SEND)) == 2
    assert len(stub.token_calls) == 2


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_rotated_token_is_replaced_on_the_way(
    client: PlatformClient, stub: Stub, errcode: int
) -> None:
    send(client)
    stub.rotate()
    stub.answers[SEND].append(error(errcode))

    send(client)
    assert [call.query["access_token"] for call in stub.calls_of(SEND)] == ["T1", "T1", "T2"]


def test_rotation_under_32_threads_costs_one_refresh(client: PlatformClient, stub: Stub) -> None:
    send(client)
    stub.rotate()
    with ThreadPoolExecutor(32) as pool:
        assert all(
            answer["errcode"] == 0 for answer in pool.map(lambda _: send(client), range(200))
        )

    assert len(stub.token_calls) == 2
    assert len(stub.calls_of(SEND)) <= 1 + 200 + 32


def test_an_endless_40001_is_bounded(client: PlatformClient, stub: Stub) -> None:
    stub.always[SEND] = error(40001)

    def attempt(_: int) -> str:
        with pytest.raises(TokenRejected) as caught:
            send(client)
        return caught.value.path

    with ThreadPoolExecutor(16) as pool:
        paths = list(pool.map(attempt, range(100)))

    assert set(paths) == {SEND}
    assert len(stub.calls_of(SEND)) <= 200
    # Cold; WeChat insists; forced; WeChat insists again: then the next forced one is waited for.
    assert len(stub.token_calls) <= 4
    assert sum(call.json()["force_refresh"] for call in stub.token_calls) <= 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html><body>502</body></html>"),
        Answer(b""),
        Answer(b'{"errcode":0,"errm'),
        Answer(b"[1,2]"),
        Answer(b"null"),
        Answer(b'{"errcode":0}', cut=True),
        Answer(b'{"errcode":"many"}'),
        Answer(b'{"errmsg":"\xff"}'),
        Answer(b"oops", status=500),
        Answer(b"oops", status=503),
        Answer(b"slow down", status=429),
        Answer(b"", status=302, headers={"Location": "https://example.com/"}),
    ],
)
def test_an_unclear_answer_leaves_a_send_in_doubt_and_a_read_to_be_repeated(
    client: PlatformClient, stub: Stub, answer: Answer
) -> None:
    stub.answers[SEND].append(answer)
    stub.answers[READ].append(answer)

    with pytest.raises(OutcomeUnknown) as in_doubt:
        send(client)
    with pytest.raises(Retryable) as harmless:
        client.get(READ, params={"openid": "o1"})

    assert in_doubt.value.path == SEND
    assert not in_doubt.value.permanent
    assert not isinstance(harmless.value, OutcomeUnknown)
    assert len(stub.calls_of(SEND)) == len(stub.calls_of(READ)) == 1


def test_a_silent_platform_is_left_after_the_time_out(connect: Connect, stub: Stub) -> None:
    client = connect(timeout=(1.0, 0.2))
    client.tokens.current()
    stub.answers[SEND].append(Answer(hang=True))
    stub.answers[READ].append(Answer(hang=True))

    with pytest.raises(OutcomeUnknown):
        send(client)
    with pytest.raises(Retryable) as harmless:
        client.get(READ)
    assert not isinstance(harmless.value, OutcomeUnknown)


def test_the_token_call_has_the_time_out_too(connect: Connect, stub: Stub) -> None:
    stub.answers[TOKEN_PATH].append(Answer(hang=True))

    with pytest.raises(Retryable, match="ReadTimeout"):
        connect(timeout=(1.0, 0.2)).tokens.current()


def test_what_never_left_is_not_in_doubt(connect: Connect, stub: Stub) -> None:
    client = connect()
    client.tokens.current()
    stub.close()
    client._http.get_adapter(stub.url).close()  # no connection is left from before

    with pytest.raises(Retryable) as caught:
        send(client)
    assert not isinstance(caught.value, OutcomeUnknown)


@pytest.mark.parametrize(
    ("errcode", "kind", "permanent"),
    [
        (-1, Retryable, False),
        (268487001, Retryable, False),
        (268487002, Retryable, False),
        (45009, QuotaExceeded, False),
        (45011, QuotaExceeded, False),
        (40013, AccountMisconfigured, False),
        (40164, AccountMisconfigured, False),
        (48001, AccountMisconfigured, False),
        (40003, RecipientRefused, True),
        (43004, RecipientRefused, True),
        (43101, RecipientRefused, True),
        (45015, RecipientRefused, True),
        (45047, RecipientRefused, True),
        (40037, Refused, True),
        (43116, Refused, True),
        (47003, Refused, True),
        (99999, Refused, True),
    ],
)
def test_every_code_says_what_to_do(
    client: PlatformClient, stub: Stub, errcode: int, kind: type[WeChatError], permanent: bool
) -> None:
    stub.answers[SEND].append(error(errcode))

    with pytest.raises(WeChatError) as caught:
        send(client)

    assert type(caught.value) is kind
    assert caught.value.permanent is permanent
    assert caught.value.errcode == errcode
    assert caught.value.path == SEND
    assert caught.value.rid == "6a0b1c2d-11223344-55667788"
    assert len(stub.calls_of(SEND)) == 1


def test_http_404_is_a_refusal(client: PlatformClient, stub: Stub) -> None:
    stub.answers[READ].append(Answer(b"no", status=404))

    with pytest.raises(Refused):
        client.get(READ)


def test_an_upload_is_repeated_whole(client: PlatformClient, stub: Stub) -> None:
    picture = bytes(range(256)) * 20
    stub.answers[UPLOAD].append(error(40001))

    client.post(UPLOAD, params={"type": "image"}, files={"media": ("a.png", picture, "image/png")})

    first, second = stub.calls_of(UPLOAD)
    assert picture in first.body
    assert picture in second.body


def test_an_open_file_is_not_taken(client: PlatformClient, stub: Stub) -> None:
    with pytest.raises(TypeError, match="bytes"):
        client.post(UPLOAD, files={"media": ("a.png", io.BytesIO(b"x"), "image/png")})
    assert stub.calls == []


def test_nothing_leaves_the_configured_hosts(client: PlatformClient, stub: Stub) -> None:
    elsewhere = Stub()
    try:
        for call in (
            lambda: client.get(f"{elsewhere.url}/cgi-bin/menu/get"),
            lambda: client.post("https://api.weixin.qq.com/cgi-bin/menu/create", data={}),
            lambda: client.download(f"{elsewhere.url}/x"),
            lambda: client.download("http://127.0.0.1@example.com/"),
        ):
            with pytest.raises(ForeignHostError):
                call()
        stub.answers[READ].append(
            Answer(b"", status=302, headers={"Location": f"{elsewhere.url}/"})
        )
        with pytest.raises(Retryable):
            client.get(READ)
        assert elsewhere.calls == []
    finally:
        elsewhere.close()


def test_cookies_are_not_kept(client: PlatformClient, stub: Stub) -> None:
    stub.answers[READ].append(Answer(headers={"Set-Cookie": "a=b; Path=/"}))
    client.get(READ)
    client.get(READ)

    assert "cookie" not in stub.calls_of(READ)[1].headers


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (TOKEN_PATH, error(40125, f"invalid appsecret {SECRET}")),
        (TOKEN_PATH, Answer(b"x", status=500)),
        (TOKEN_PATH, Answer(hang=True)),
        (SEND, error(40013, "access_token=T-very-secret&x=1")),
        (SEND, error(47003, "bad token T-very-secret")),
        (SEND, Answer(b"x", status=500)),
        (SEND, Answer(b"x", status=404)),
        (SEND, Answer(b"<html>")),
        (SEND, Answer(hang=True)),
        (SEND, Answer(b"{}", cut=True)),
        (SEND, error(40001)),
    ],
)
def test_neither_secret_nor_token_is_in_an_error_or_a_log(
    connect: Connect, stub: Stub, caplog: pytest.LogCaptureFixture, path: str, answer: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    client = connect(timeout=(1.0, 0.2))
    if path == SEND:
        stub.always[TOKEN_PATH] = says(access_token="T-very-secret", expires_in=7200)
    stub.always[path] = answer

    with pytest.raises(WeChatError) as caught:
        send(client)

    chain: list[BaseException] = []
    link: BaseException | None = caught.value
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    told += "".join(repr(link) + str(link) + repr(vars(link)) for link in chain)
    assert "urllib3" in caplog.text
    for confidential in (SECRET, "T-very-secret"):
        assert confidential not in told


def test_32_threads_share_a_client(client: PlatformClient, stub: Stub) -> None:
    def echo(number: int) -> int:
        client.post("/cgi-bin/echo", data={"number": number})
        return number

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(echo, range(400))) == list(range(400))

    assert sorted(call.json()["number"] for call in stub.calls_of("/cgi-bin/echo")) == list(
        range(400)
    )
    assert len(stub.token_calls) == 1


def test_the_quota_of_a_grown_account_is_asked_for_before_a_call_is_stopped(
    connect: Connect, stub: Stub, store: redis.Redis
) -> None:
    client = connect()
    path = "/cgi-bin/freepublish/delete"  # ten a day in the table
    stub.always["/cgi-bin/openapi/quota/get"] = says(
        errcode=0, quota={"daily_limit": 12, "used": 10, "remain": 2}
    )
    for _ in range(12):
        client.post(path, data={})
    with pytest.raises(QuotaExceeded):
        client.post(path, data={})

    assert len(stub.calls_of(path)) == 12
    assert len(stub.calls_of("/cgi-bin/openapi/quota/get")) == 1


def test_after_wechat_s_refusal_nobody_knocks_until_it_is_time(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    first, second = connect(), connect()
    stub.answers[SEND].append(error(45009))

    with pytest.raises(QuotaExceeded) as told:
        send(first)
    for client in (first, second):
        with pytest.raises(QuotaExceeded) as ours:
            send(client)
        assert ours.value.retry_at is not None
        assert told.value.retry_at is not None
        assert abs((ours.value.retry_at - told.value.retry_at).total_seconds()) < 1
    assert len(stub.calls_of(SEND)) == 1

    clock.advance(hours=1, seconds=1)
    assert send(second)["errcode"] == 0


def test_a_call_without_a_token_of_ours_keeps_its_own(client: PlatformClient, stub: Stub) -> None:
    stub.valid.add("oauth-token")

    client.get("/sns/userinfo", params={"access_token": "oauth-token", "openid": "o1"})

    assert stub.token_calls == []
    stub.answers["/sns/userinfo"].append(error(40001))
    with pytest.raises(TokenRejected):
        client.get("/sns/userinfo", params={"access_token": "oauth-token"})
    assert len(stub.calls_of("/sns/userinfo")) == 2


def test_wechatpy_s_own_way_to_the_token_leads_to_ours(client: PlatformClient, stub: Stub) -> None:
    assert client.access_token == "T1"
    assert client.fetch_access_token() == {"access_token": "T1"}
    assert len(stub.token_calls) == 1
    assert client.secret == ""


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_proxy_that_keeps_us_out_costs_no_message(
    client: PlatformClient, stub: Stub, status: int
) -> None:
    stub.answers[SEND].append(Answer(b"<html>no entry</html>", status=status))
    with pytest.raises(AccountMisconfigured) as caught:
        client.post(SEND, data={})
    assert not caught.value.permanent


@pytest.mark.parametrize("quota", [None, [], {"daily_limit": "many"}, {"used": {}}])
def test_figures_that_cannot_be_read_leave_our_own(
    client: PlatformClient, stub: Stub, quota: Any
) -> None:
    stub.answers["/cgi-bin/openapi/quota/get"].append(says(errcode=0, quota=quota))
    client._learn_quota(SEND)
    client.post(SEND, data={})
