"""Events reach the merchant's systems once each, signed, whatever those do; and never a private address by mistake."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from domain import commissions, members, orders, outbox, refunds, rules, scenes, webhooks
from domain.errors import Invalid, NotFound
from domain.models import Outbox
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.refunds import Refunding
from domain.rules import Terms
from jobs import outside
from jobs.drain import drain
from jobs.process import Process
from jobs.webhooks import prepare
from tests.jobs.conftest import Shop
from tests.jobs.listener import Listener


@pytest.fixture
def listener() -> Generator[Listener]:
    made = Listener()
    yield made
    made.close()


def listen(shop: Shop, url: str, *events: str) -> tuple[int, str]:
    def add(session: Any) -> tuple[int, str]:
        now = shop.context.clock.now()
        row, secret = webhooks.add(
            session, shop.context.keyring, shop.account.id, url=url, events=events, now=now
        )
        return row.id, secret

    return shop.database.transact(add)


def sell(shop: Shop, order_no: str = "W1") -> members.Recipient:
    """小红, brought by 大明, buys for 100 yuan at 10 %; the promoter."""
    promoter, buyer = shop.follower("大明"), shop.follower("小红")
    now = shop.context.clock.now()

    def work(session: Any) -> None:
        rules.add(
            session, shop.account.id, terms=Terms((1000,)), max_total_bps=3000, depth=3, freeze_days=0, actor="test",
            effective_at=now, now=now,
        )  # fmt: skip
        scene = scenes.of_member(session, shop.account.id, promoter.member_id, now)
        members.scan(
            session, shop.account, buyer.openid, scene_code=scene.code, created=int(now.timestamp()), push_key="scan",
            now=now,
        )  # fmt: skip
        line = PaidLine(1, "茶", 1, 10_000)
        order = PaidOrder(order_no, Buyer(openid=buyer.openid), (line,), now, 0, ())
        orders.record_paid(session, shop.account, [order], now)

    shop.database.transact(work)
    return promoter


def send(process: Process) -> None:
    drain(process, outbox.WEBHOOK, prepare)


def events_of(listener: Listener) -> list[str]:
    return [body["event"] for body in listener.bodies]


def test_binding_and_commission_are_told_with_what_they_are_about(
    shop: Shop, process: Process, listener: Listener
) -> None:
    listen(shop, listener.url)
    promoter = sell(shop)
    send(process)
    bound, accrued = sorted(listener.bodies, key=lambda body: str(body["event"]), reverse=True)
    assert bound["event"] == "member.bound"
    assert bound["data"]["referrer_openid"] == promoter.openid
    assert accrued["event"] == "commission.accrued"
    assert accrued["account"] == "jobs"
    data = accrued["data"]
    assert (data["openid"], data["amount_fen"], data["order_no"], data["level"]) == (
        promoter.openid, 1000, "W1", 1
    )  # fmt: skip
    assert (data["commission"]["base_fen"], data["commission"]["rate_bps"]) == (10_000, 1000)


def test_settlement_and_refund_are_events_of_their_own(
    shop: Shop, process: Process, listener: Listener
) -> None:
    listen(shop, listener.url, "commission.settled", "commission.clawed_back")
    sell(shop)
    now = shop.context.clock.now()
    shop.database.transact(lambda s: orders.complete(s, shop.account, "W1", now))
    shop.database.transact(lambda s: commissions.settle_due(s, shop.account, now))
    back = Refunding("W1", "R1", {1: 5_000}, 0)
    shop.database.transact(lambda s: refunds.record(s, shop.account, back, now))
    send(process)
    told = {body["event"]: body["data"] for body in listener.bodies}
    assert set(told) == {"commission.settled", "commission.clawed_back"}
    assert told["commission.settled"]["amount_fen"] == 1000
    assert told["commission.clawed_back"]["amount_fen"] == 500
    assert told["commission.clawed_back"]["refund_no"] == "R1"


def test_receiver_can_check_the_signature(shop: Shop, process: Process, listener: Listener) -> None:
    webhook_id, secret = listen(shop, listener.url + "?shop=1", "member.bound")
    row = shop.database.read(lambda s: webhooks.get(s, shop.account.id, webhook_id))
    sell(shop)
    send(process)
    [headers] = listener.headers
    digest = hashlib.sha256(listener.raw[0]).hexdigest()
    text = "\n".join(
        ["POST", "/alarm?shop=1", headers["X-Banyan-Timestamp"], headers["X-Banyan-Nonce"], digest]
    )
    wanted = hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
    assert headers["X-Banyan-Signature"] == wanted
    assert headers["X-Banyan-Key"] == row.public_key
    assert "X-Banyan-Signature-Previous" not in headers


def test_old_secret_signs_beside_the_new_one_for_a_day(
    shop: Shop, process: Process, listener: Listener
) -> None:
    webhook_id, old = listen(shop, listener.url, "member.bound")

    def rotate(session: Any) -> str:
        row = webhooks.get(session, shop.account.id, webhook_id)
        return webhooks.rotate(session, shop.context.keyring, row, shop.context.clock.now())

    new = shop.database.transact(rotate)
    assert new != old
    sell(shop)
    send(process)
    [headers] = listener.headers
    assert headers["X-Banyan-Signature"] != headers["X-Banyan-Signature-Previous"]
    later = shop.context.clock.now().replace(year=2030)
    opened = shop.database.read(
        lambda s: webhooks.opened(s, shop.context.keyring, [webhook_id], later)
    )
    assert opened[webhook_id].previous_secret is None


def test_refused_event_comes_again_with_the_same_id_and_every_try_is_in_the_log(
    shop: Shop, process: Process, listener: Listener
) -> None:
    webhook_id, _ = listen(shop, listener.url, "member.bound")
    listener.refuse = 1
    sell(shop)
    send(process)
    [row] = [one for one in shop.rows("pending") if one.topic == outbox.WEBHOOK]
    shop.move_clock(60)
    send(process)
    ids = [headers["X-Banyan-Delivery"] for headers in listener.headers]
    assert ids == [row.dedupe_key] * 2
    log = shop.database.read(lambda s: webhooks.log_of(s, webhook_id))
    assert [(one.status, one.error) for one in log] == [(200, None), (500, "answered 500")]


def test_delivered_event_can_be_replayed_but_only_by_its_account(
    shop: Shop, process: Process, listener: Listener
) -> None:
    listen(shop, listener.url, "member.bound")
    sell(shop)
    send(process)
    key = listener.headers[0]["X-Banyan-Delivery"]
    now = shop.context.clock.now()
    assert shop.database.transact(lambda s: webhooks.replay(s, shop.account.id, key, now))
    assert not shop.database.transact(lambda s: webhooks.replay(s, shop.account.id, key, now))
    with pytest.raises(NotFound):
        shop.database.transact(lambda s: webhooks.replay(s, shop.account.id + 1, key, now))
    send(process)
    assert [headers["X-Banyan-Delivery"] for headers in listener.headers] == [key, key]


def test_address_that_was_stopped_hears_nothing_more(
    shop: Shop, process: Process, listener: Listener
) -> None:
    webhook_id, _ = listen(shop, listener.url)
    sell(shop)

    def stop(session: Any) -> None:
        webhooks.set_active(session, webhooks.get(session, shop.account.id, webhook_id), False)

    shop.database.transact(stop)
    send(process)
    assert listener.bodies == []
    assert {row.delivery for row in shop.rows("done") if row.topic == outbox.WEBHOOK} == {"stopped"}


def test_one_dead_address_does_not_hold_up_another(
    shop: Shop, process: Process, listener: Listener
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    listen(shop, dead)
    listen(shop, listener.url)
    sell(shop)
    send(process)
    assert len(events_of(listener)) == 2
    assert len([row for row in shop.rows("pending") if row.topic == outbox.WEBHOOK]) == 2


def _damage_payload(session: Any, shop: Shop, bad: int) -> None:
    session.execute(update(Outbox).where(Outbox.id == bad).values(payload="not json"))


def _ask_for_what_is_gone(session: Any, shop: Shop, bad: int) -> None:
    payload = {"event": "withdrawal.paid", "webhook": 1, "withdrawal": 999_999, "at": ""}
    session.execute(update(Outbox).where(Outbox.id == bad).values(payload=json.dumps(payload)))


def _lose_the_account(session: Any, shop: Shop, bad: int) -> None:
    session.execute(update(Outbox).where(Outbox.id == bad).values(account_id=999_999))


def _lose_its_secret(session: Any, shop: Shop, bad: int) -> None:
    """An address whose secret was sealed by another key."""
    now = shop.context.clock.now()
    row, _ = webhooks.add(session, shop.context.keyring, shop.account.id, url="http://x/", now=now)
    row.secret = b"of another key" * 4
    session.flush()
    payload = {"event": "member.bound", "webhook": row.id}
    session.execute(update(Outbox).where(Outbox.id == bad).values(payload=json.dumps(payload)))


@pytest.mark.parametrize(
    "spoil", [_damage_payload, _ask_for_what_is_gone, _lose_the_account, _lose_its_secret]
)
def test_one_event_that_cannot_be_told_stops_no_other(
    shop: Shop, process: Process, listener: Listener, spoil: Callable[[Any, Shop, int], None]
) -> None:
    listen(shop, listener.url)
    sell(shop)
    bad = min(row.id for row in shop.rows("pending") if row.topic == outbox.WEBHOOK)
    shop.database.transact(lambda session: spoil(session, shop, bad))
    send(process)
    assert len(events_of(listener)) == 1
    [left] = [row for row in shop.rows("pending") if row.topic == outbox.WEBHOOK]
    assert (left.id, left.attempts) == (bad, 1)


def test_private_address_is_refused_unless_the_operator_allows_it(listener: Listener) -> None:
    for url in (listener.url, listener.url.replace("127.0.0.1", "localhost"), "http://[::1]/x"):
        with pytest.raises(outside.Unreachable, match="private"):
            outside.post(url, b"{}", {}, private=False)
    assert listener.bodies == []
    assert outside.post(listener.url, b"{}", {}, private=True).status == 200


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1%eth0", "100.64.0.1", "224.0.0.1",
        "64:ff9b::7f00:1", "::7f00:1", "2002:7f00:1::", "fec0::1",
    ],
)  # fmt: skip
def test_address_that_only_this_server_can_reach_is_private(address: str) -> None:
    assert not outside._is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "2002:808:808::"])
def test_address_of_the_internet_is_public(address: str) -> None:
    assert outside._is_public(address)


@pytest.mark.parametrize("url", ["http://[::1/", "http://127.0.0.1:99999/"])
def test_what_is_no_address_is_declined(url: str) -> None:
    with pytest.raises(outside.Declined, match="not an address"):
        outside.get(url, most_bytes=10, private=True)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
def test_an_answer_that_never_ends_holds_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Each byte begins a socket's time-out anew: a shop could keep one of our senders for hours."""
    monkeypatch.setattr(outside, "TOTAL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        dripped: list[int] = []

        def drip() -> None:
            line, _ = server.accept()
            with line, suppress(OSError):
                line.sendall(said)
                for _ in range(100):  # five seconds, then it ends after all
                    time.sleep(0.05)  # a slow shop: each byte well within a socket's time-out
                    line.sendall(b"x")
                    dripped.append(1)

        dripping = threading.Thread(target=drip)
        dripping.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(outside.Unreachable):
            outside.get(url, most_bytes=1000, private=True)
        dripping.join()
    assert len(dripped) < 100  # it was hung up on


def test_redirect_is_not_followed(listener: Listener) -> None:
    listener.redirect_to = "/elsewhere"
    assert outside.post(listener.url, b"{}", {}, private=True).status == 302
    assert listener.paths == ["/alarm"]


@pytest.mark.parametrize(
    ("url", "events"),
    [
        ("ftp://shop.example/", ()),
        ("https:///nothing", ()),
        ("https://[shop.example/", ()),
        ("https://shop.example:99999/", ()),
        ("https://user@shop.example/", ()),
        ("https://shop.example/", ("member.unheard",)),
    ],
)
def test_address_that_cannot_be_one_is_refused(
    shop: Shop, url: str, events: tuple[str, ...]
) -> None:
    with pytest.raises(Invalid):
        listen(shop, url, *events)


def test_account_without_webhooks_writes_no_rows_for_them(shop: Shop) -> None:
    sell(shop)
    assert [row for row in shop.rows() if row.topic == outbox.WEBHOOK] == []


def test_webhook_of_another_account_hears_nothing(
    shop: Shop, process: Process, listener: Listener
) -> None:
    other = replace(shop.account, id=shop.account.id + 1)

    def add(session: Any) -> None:
        webhooks.add(
            session, shop.context.keyring, other.id, url=listener.url, now=shop.context.clock.now()
        )

    shop.database.transact(add)
    sell(shop)
    send(process)
    assert listener.bodies == []


def test_body_is_readable_json(shop: Shop, process: Process, listener: Listener) -> None:
    listen(shop, listener.url, "member.bound")
    sell(shop)
    send(process)
    assert set(json.loads(listener.raw[0])) == {"id", "event", "account", "at", "data"}
