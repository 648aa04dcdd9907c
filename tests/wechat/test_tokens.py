from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tests.support.waiting import until
from tests.wechat.conftest import MovableClock
from tests.wechat.stub import SECRET, TOKEN_PATH, Answer, Stub, error, says
from wechat import tokens
from wechat.client import PlatformClient
from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    QuotaExceeded,
    Retryable,
    TokenRejected,
)
from wechat.tokens import Token, TokenService, lifetime_seconds
from wechat.transport import TIMEOUT, GuardedSession

Connect = Callable[..., PlatformClient]


def all_values(store: redis.Redis) -> str:
    values = []
    for key in store.scan_iter():
        kind = store.type(key)
        values.append(str(key) + str(store.get(key) if kind == b"string" else store.hgetall(key)))
    return "".join(values)


@pytest.mark.parametrize(
    ("expires_in", "used"),
    [(7200, 3600), (800, 400), (599, 299), (345, 45), (301, 1), (300, 1), (0, 1)],
)
def test_a_token_is_used_for_half_of_its_life_and_not_in_its_last_five_minutes(
    expires_in: int, used: float
) -> None:
    assert lifetime_seconds(expires_in) == used


def test_asks_as_the_endpoint_demands(client: PlatformClient, stub: Stub) -> None:
    assert client.tokens.current().value == "T1"

    (call,) = stub.token_calls
    assert call.method == "POST"
    assert call.query == {}
    assert call.json() == {
        "grant_type": "client_credential",
        "appid": "wx-test",
        "secret": SECRET,
        "force_refresh": False,
    }


def test_cold_threads_of_many_processes_ask_once(connect: Connect, stub: Stub) -> None:
    services = [connect().tokens for _ in range(8)]
    start = threading.Barrier(32)

    def ask(index: int) -> str:
        start.wait()
        return services[index % 8].current().value

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(32))) == {"T1"}

    assert len(stub.token_calls) == 1


def test_without_the_shared_lock_cold_processes_would_ask_more_than_once(
    connect: Connect, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenService, "_lock_for_all", lambda self, owner: True)
    monkeypatch.setattr(TokenService, "_stored", lambda self: None)
    services = [connect().tokens for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda service: service.current(), services))

    assert len(stub.token_calls) == 8


def test_the_secret_is_neither_in_redis_nor_in_what_is_printed(
    client: PlatformClient, store: redis.Redis
) -> None:
    token = client.tokens.current()

    assert SECRET not in all_values(store)
    assert token.value not in repr(token)
    assert store.get("wechat:{wx-test}:token") is not None


def test_is_asked_for_again_at_half_of_its_life(
    client: PlatformClient, stub: Stub, clock: MovableClock
) -> None:
    client.tokens.current()
    clock.advance(seconds=3590)
    client.tokens.current()
    assert len(stub.token_calls) == 1

    clock.advance(seconds=20)
    stub.rotate(overlap=True)
    assert client.tokens.current().value == "T2"


def test_works_without_redis(connect: Connect, stub: Stub) -> None:
    client = connect(store=None)

    assert [client.tokens.current().value for _ in range(3)] == ["T1"] * 3
    assert len(stub.token_calls) == 1


def test_works_while_redis_is_away(connect: Connect, stub: Stub, dead_store: redis.Redis) -> None:
    client = connect(store=dead_store)

    assert [client.tokens.current().value for _ in range(3)] == ["T1"] * 3
    assert len(stub.token_calls) == 1


def test_ignores_what_it_cannot_read_in_redis(client: PlatformClient, store: redis.Redis) -> None:
    store.set("wechat:{wx-test}:token", '{"value": 1, "fresh')

    assert client.tokens.current().value == "T1"


def test_the_old_token_serves_on_while_wechat_cannot_give_a_new_one(
    client: PlatformClient, stub: Stub, clock: MovableClock
) -> None:
    client.tokens.current()
    stub.always[TOKEN_PATH] = Answer(b"<html>busy</html>", status=502)
    clock.advance(seconds=4000)

    assert client.tokens.current().value == "T1"
    client.tokens.current()
    assert len(stub.token_calls) == 2  # and WeChat is left alone for a while

    clock.advance(seconds=4000)
    with pytest.raises(Retryable):
        client.tokens.current()


def test_a_refused_token_is_dropped_only_if_it_is_still_the_current_one(
    connect: Connect, stub: Stub
) -> None:
    first, second = connect().tokens, connect().tokens
    old = first.current()
    second.current()
    stub.rotate()

    assert first.renew(old).value == "T2"
    assert second.renew(old).value == "T2"
    assert len(stub.token_calls) == 2


def test_wechat_insisting_on_a_refused_token_leads_to_one_forced_refresh(
    connect: Connect, stub: Stub
) -> None:
    first, second = connect().tokens, connect().tokens
    token = first.current()

    confirmed = first.renew(token)  # WeChat says: that is the one
    assert confirmed.value == "T1"
    assert not any(call.json()["force_refresh"] for call in stub.token_calls)

    assert first.renew(confirmed).value == "T2"
    assert second.renew(confirmed).value == "T2"
    assert [call.json()["force_refresh"] for call in stub.token_calls] == [False, False, True]


def test_a_second_forced_refresh_has_to_wait(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    first, second = connect().tokens, connect().tokens
    forced = first.renew(first.renew(first.current()))

    with pytest.raises(TokenRejected):
        second.renew(second.renew(forced))
    assert sum(call.json()["force_refresh"] for call in stub.token_calls) == 1

    clock.advance(seconds=31)
    third = connect().tokens
    assert third.renew(third.current()).value == "T3"


def test_no_more_than_twenty_forced_refreshes_in_any_24_hours(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    def forced() -> int:
        return sum(call.json()["force_refresh"] for call in stub.token_calls)

    service = connect().tokens
    token = service.current()
    for _ in range(20):
        token = service.renew(service.renew(token))
        clock.advance(minutes=50)

    with pytest.raises(TokenRejected):
        service.renew(service.renew(token))
    assert forced() == 20
    clock.advance(
        hours=7
    )  # past Beijing's midnight, whenever the test runs; the first one is 23.7 hours old
    another = connect().tokens
    with pytest.raises(TokenRejected):
        another.renew(another.renew(another.current()))
    clock.advance(hours=1)
    third = connect().tokens
    third.renew(third.renew(third.current()))
    assert forced() == 21


def test_also_with_a_call_every_half_hour_it_is_noticed_that_wechat_insists(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    service = connect().tokens
    confirmed = service.renew(service.current())
    clock.advance(minutes=25)

    assert service.renew(confirmed).value == "T2"


def test_a_forced_refresh_that_wechat_refuses_does_not_stop_anybody_from_asking(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    service = connect().tokens
    confirmed = service.renew(service.current())
    stub.answers[TOKEN_PATH].append(error(45009))
    with pytest.raises(TokenRejected):
        service.renew(confirmed)

    clock.advance(hours=2)
    assert connect().tokens.current().value == "T1"


def test_the_lock_of_a_process_that_hangs_lapses_before_anybody_goes_on_without_it() -> None:
    assert sum(TIMEOUT) < tokens.LOCK_SECONDS < tokens.WAIT_SECONDS


def test_never_forces_while_redis_is_away(
    connect: Connect, stub: Stub, dead_store: redis.Redis
) -> None:
    service = connect(store=dead_store).tokens

    with pytest.raises(TokenRejected):
        service.renew(service.renew(service.current()))
    assert not any(call.json()["force_refresh"] for call in stub.token_calls)


def test_alone_without_redis_it_forces_at_the_same_pace(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    service = connect(store=None).tokens
    token = service.renew(service.renew(service.current()))
    with pytest.raises(TokenRejected):
        service.renew(service.renew(token))

    clock.advance(seconds=31)
    assert service._may_force(clock().timestamp())


@pytest.mark.parametrize("errcode", [40001, 40013, 40125, 40164, 40243, 89503])
def test_a_wrong_account_is_told_apart_and_asked_for_once(
    client: PlatformClient, stub: Stub, errcode: int
) -> None:
    stub.always[TOKEN_PATH] = error(
        errcode, f"invalid secret {SECRET} rid: 6a0b1c2d-11223344-55667788"
    )

    def ask(_: int) -> AccountMisconfigured:
        with pytest.raises(AccountMisconfigured) as caught:
            client.tokens.current()
        return caught.value

    with ThreadPoolExecutor(16) as pool:
        errors = list(pool.map(ask, range(32)))

    assert len(stub.token_calls) == 1
    for caught in errors:
        assert caught.errcode == errcode
        assert caught.rid == "6a0b1c2d-11223344-55667788"
        assert not caught.permanent
        assert SECRET not in str(caught) + repr(caught)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>not now</html>"),
        Answer(b"[]"),
        Answer(b'{"access_token":"T'),
        Answer(b'{"access_token":"T1","expires_in":7200}', cut=True),
        Answer(b'{"access_token":""}'),
        Answer(b"\xff\xfe"),
        Answer(b"busy", status=503),
        says(errcode=-1, errmsg="system error"),
        says(errcode="?", errmsg="odd"),
        says(access_token="T1", expires_in="soon"),
    ],
)
def test_an_unclear_answer_means_try_again_and_that_nothing_was_sent(
    client: PlatformClient, stub: Stub, answer: Answer
) -> None:
    stub.answers[TOKEN_PATH].append(answer)

    with pytest.raises(Retryable) as caught:
        client.get("/cgi-bin/menu/get")

    assert not isinstance(caught.value, OutcomeUnknown)
    assert [call.path for call in stub.calls] == [TOKEN_PATH]


def test_the_endpoint_s_own_quota_is_a_quota_error(
    client: PlatformClient, stub: Stub, clock: MovableClock
) -> None:
    stub.answers[TOKEN_PATH].append(error(45011))

    with pytest.raises(QuotaExceeded) as caught:
        client.tokens.current()
    assert caught.value.retry_at is not None
    assert caught.value.retry_at > clock()


def test_a_lock_left_by_a_killed_process_does_not_stop_the_others(
    connect: Connect, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "WAIT_SECONDS", 0.1)
    store.set("wechat:{wx-test}:token:lock", "someone who was killed")

    assert connect().tokens.current().value == "T1"
    assert store.get("wechat:{wx-test}:token:lock") == b"someone who was killed"


def test_waits_for_the_token_another_process_is_fetching(
    connect: Connect, store: redis.Redis, stub: Stub, clock: MovableClock
) -> None:
    store.set("wechat:{wx-test}:token:lock", "the other one")
    service = connect().tokens
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.current)
        service._store(Token("T-other", clock().timestamp() + 60, clock().timestamp() + 120))
        assert answer.result(timeout=10).value == "T-other"
    assert stub.token_calls == []


def test_a_token_another_process_got_ends_our_own_failure_at_once(
    connect: Connect, stub: Stub
) -> None:
    unlucky, lucky = connect().tokens, connect().tokens
    stub.answers[TOKEN_PATH].append(error(40164))
    with pytest.raises(AccountMisconfigured):
        unlucky.current()

    assert lucky.current().value == "T1"
    assert unlucky.current().value == "T1"
    assert len(stub.token_calls) == 2


def test_a_plain_service_takes_a_session_and_an_address(stub: Stub) -> None:
    service = TokenService(
        None, "wx-test", lambda: SECRET, GuardedSession([stub.url]), stub.url + "/"
    )

    assert service.current().value == "T1"


def test_while_one_asks_and_wechat_hangs_the_others_go_on_with_the_old_token(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    service, elsewhere = connect().tokens, connect().tokens
    assert service.current() == elsewhere.current()
    stub.always[TOKEN_PATH] = Answer(hang=True)
    clock.advance(seconds=4000)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(service.current)
        until(lambda: len(stub.token_calls) == 2, 10, what="the call that hangs")
        assert service.current().value == "T1"
        assert elsewhere.current().value == "T1"
        assert not asking.done()
        assert len(stub.token_calls) == 2
        stub.released.set()
        assert asking.result(10).value == "T1"
