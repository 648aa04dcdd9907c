"""Profiles: the unionid of a new follower, and the orders that waited for it."""

from __future__ import annotations

from domain import members, orders, outbox
from domain.orders import Buyer, PaidLine, PaidOrder
from jobs.drain import drain
from jobs.process import Process
from jobs.profiles import prepare
from tests.jobs.conftest import APP_ID, Shop


def ask(shop: Shop, member: members.Recipient) -> None:
    now = shop.context.clock.now()
    message = outbox.Message(
        shop.account.id, outbox.PROFILE, f"profile-{member.member_id}", {}, now, member.member_id
    )
    shop.database.transact(lambda session: outbox.put(session, [message], now))


def test_the_unionid_is_learned_and_brings_the_waiting_order(shop: Shop, process: Process) -> None:
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, unionid=True)
    member = shop.follower("大明")
    (user,) = [
        each for each in shop.simulator.get("/_sim/users")["users"] if each["name"] == "大明"
    ]
    now = shop.context.clock.now()
    order = PaidOrder("E1", Buyer(unionid=user["unionid"]), (PaidLine(1, "茶", 1, 1000),), now)
    shop.database.transact(lambda session: orders.record_paid(session, shop.account, [order], now))
    before = shop.database.read(lambda session: orders.get(session, shop.account.id, "E1"))
    assert before.member_id is None
    ask(shop, member)
    drain(process, outbox.PROFILE, prepare)
    after = shop.database.read(lambda session: orders.get(session, shop.account.id, "E1"))
    known = shop.database.read(lambda session: members.get(session, shop.account.id, member.openid))
    assert known.unionid == user["unionid"]
    assert after.member_id == member.member_id


def test_an_account_without_open_platform_tells_no_unionid(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member)
    drain(process, outbox.PROFILE, prepare)
    known = shop.database.read(lambda session: members.get(session, shop.account.id, member.openid))
    assert known.unionid is None
    assert shop.rows("done")


def test_a_busy_platform_is_asked_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member)
    shop.fault(busy_rate=1.0, paths=["/cgi-bin/user/info"])
    drain(process, outbox.PROFILE, prepare)
    assert shop.rows("pending")
    shop.fault(busy_rate=0.0)
    shop.move_clock(6)
    drain(process, outbox.PROFILE, prepare)
    assert shop.rows("done")
