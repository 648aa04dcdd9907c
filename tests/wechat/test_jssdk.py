"""The jsapi ticket that all processes share, and the signature of a page's address."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tests.support.waiting import until
from tests.wechat.conftest import MovableClock
from tests.wechat.stub import Answer, Stub, error, says
from wechat import jssdk
from wechat.client import PlatformClient
from wechat.errors import Retryable

Connect = Callable[..., PlatformClient]


def give(stub: Stub, ticket: str = "K1") -> None:
    stub.always[jssdk.PATH] = says(errcode=0, errmsg="ok", ticket=ticket, expires_in=7200)


def test_signature_is_that_of_the_official_example() -> None:
    """The figures of the documentation's appendix."""
    ticket = (
        "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
    )
    signed = jssdk.signature(
        ticket, "Wm3WZYTPz0wzccnW", 1414587457, "http://mp.weixin.qq.com?params=value"
    )
    assert signed == "0f9de62fce790f9a083d5c99e95740ceb90c27ed"


def test_signature_leaves_out_the_fragment_and_nothing_else() -> None:
    def signed(url: str) -> str:
        return jssdk.signature("t", "n", 1, url)

    assert signed("https://a.example/m?x=%E4%BA%8C#top") == signed(
        "https://a.example/m?x=%E4%BA%8C"
    )
    assert signed("https://a.example/m?x=%E4%BA%8C") != signed("https://a.example/m?x=%e4%ba%8c")


def test_one_ticket_serves_every_process_until_half_of_its_life(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    give(stub)
    first, second = connect(), connect()
    assert first.tickets.current().value == second.tickets.current().value == "K1"
    assert len(stub.calls_of(jssdk.PATH)) == 1
    give(stub, "K2")
    clock.advance(seconds=3500)
    assert first.tickets.current().value == "K1"
    clock.advance(seconds=200)
    assert first.tickets.current().value == "K2"
    assert len(stub.calls_of(jssdk.PATH)) == 2


def test_many_at_once_ask_once(connect: Connect, stub: Stub) -> None:
    give(stub)
    clients = [connect() for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: clients[n % 4].tickets.current().value, range(32)))
    assert found == ["K1"] * 32
    assert len(stub.calls_of(jssdk.PATH)) == 1


def test_ticket_is_there_without_redis(
    connect: Connect, stub: Stub, dead_store: redis.Redis
) -> None:
    give(stub)
    client = connect(store=dead_store)
    assert client.tickets.current().value == "K1"
    assert client.tickets.current().value == "K1"
    assert len(stub.calls_of(jssdk.PATH)) == 1


def test_old_ticket_serves_on_while_wechat_is_away(
    client: PlatformClient, stub: Stub, clock: MovableClock
) -> None:
    give(stub)
    client.tickets.current()
    clock.advance(seconds=4000)
    stub.always[jssdk.PATH] = error(-1)
    assert client.tickets.current().value == "K1"
    clock.advance(seconds=4000)
    with pytest.raises(Retryable):
        client.tickets.current()


def test_failure_is_the_answer_of_all_who_waited(connect: Connect, stub: Stub) -> None:
    stub.always[jssdk.PATH] = error(-1)
    client = connect()

    def outcome(_: int) -> str:
        try:
            return client.tickets.current().value
        except Retryable:
            return "failed"

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(outcome, range(32))) == {"failed"}
    assert len(stub.calls_of(jssdk.PATH)) == 1


def test_damaged_ticket_in_redis_is_replaced(
    client: PlatformClient, stub: Stub, store: redis.Redis
) -> None:
    give(stub)
    store.set("wechat:{wx-test}:jsapi_ticket", '{"value": 3')
    assert client.tickets.current().value == "K1"


def test_config_of_a_page_can_be_checked(client: PlatformClient, stub: Stub) -> None:
    give(stub)
    made = jssdk.config_for("wx-test", client.tickets, "https://a.example/m/tea/#x", 17)
    assert made.signature == jssdk.signature("K1", made.nonce, 17, "https://a.example/m/tea/")
    other = jssdk.config_for("wx-test", client.tickets, "https://a.example/m/tea/", 17)
    assert other.nonce != made.nonce


def test_while_one_asks_and_wechat_hangs_the_others_go_on_with_the_old_ticket(
    connect: Connect, stub: Stub, clock: MovableClock
) -> None:
    give(stub)
    mine, elsewhere = connect(), connect()
    assert mine.tickets.current() == elsewhere.tickets.current()
    clock.advance(seconds=4000)
    mine.tokens.current()
    stub.always[jssdk.PATH] = Answer(hang=True)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(mine.tickets.current)
        until(lambda: len(stub.calls_of(jssdk.PATH)) == 2, 10, what="the call that hangs")
        assert mine.tickets.current().value == "K1"
        assert elsewhere.tickets.current().value == "K1"
        assert not asking.done()
        stub.released.set()
        assert asking.result(10).value == "K1"
