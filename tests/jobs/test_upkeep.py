"""Grades, holds and risk by the clock, and staff who hear of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import select

from domain import accounts, grades, holds, members, orders, outbox, risk, rules, scenes
from domain.models import Commission, Hold, RiskSignal
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.rules import Terms
from jobs import alerts
from jobs.drain import drain
from jobs.process import Process
from jobs.queues import DRAINS, GRADES, HOLDS, RISK
from jobs.upkeep import _hold_some, _lapse_some, _sweep_some, in_steps, watch
from tests.jobs.conftest import TEMPLATE, Shop
from tests.jobs.listener import Listener


@pytest.fixture
def listener() -> Generator[Listener]:
    made = Listener()
    yield made
    made.close()


def change(shop: Shop, **settings: Any) -> None:
    def write(session: Any) -> None:
        row = accounts.get(session, shop.account.slug)
        accounts.change_settings(session, row, settings)

    shop.database.transact(write)
    shop.account = shop.database.read(
        lambda s: accounts.unseal(accounts.get(s, shop.account.slug), shop.context.keyring)
    )


def paid_by_earner(shop: Shop) -> members.Recipient:
    """大明 earns by an order of 小红 that 大明 paid."""
    promoter, buyer = shop.follower("大明"), shop.follower("小红")
    now = shop.context.clock.now()

    def sell(session: Any) -> None:
        rules.add(
            session, shop.account.id, terms=Terms((1000,)), max_total_bps=3000, depth=3, actor="test", effective_at=now,
            now=now,
        )  # fmt: skip
        scene = scenes.of_member(session, shop.account.id, promoter.member_id, now)
        members.scan(
            session, shop.account, buyer.openid, scene_code=scene.code, created=int(now.timestamp()), push_key="scan",
            now=now,
        )  # fmt: skip
        line = PaidLine(1, "茶", 1, 10_000)
        clues = (("payer", promoter.openid),)
        order = PaidOrder("E1", Buyer(openid=buyer.openid), (line,), now, 0, clues)
        orders.record_paid(session, shop.account, [order], now)

    shop.database.transact(sell)
    return promoter


def watched(shop: Shop, process: Process) -> list[int]:
    return watch(process, shop.account)


def test_risk_is_found_held_and_told_by_the_jobs(
    shop: Shop, process: Process, listener: Listener
) -> None:
    staff = shop.follower("店长")
    promoter = paid_by_earner(shop)
    change(
        shop, risk={"self_paid_orders": 1}, alert_webhook=listener.url, alert_openids=[staff.openid]
    )
    (signal_id,) = watched(shop, process)
    assert watched(shop, process) == []
    in_steps(process, RISK, _hold_some)
    held = shop.database.read(lambda s: list(s.scalars(select(Hold))))
    assert [(one.member_id, one.signal_id) for one in held] == [(promoter.member_id, signal_id)]
    drain(process, outbox.ALERT, alerts.prepare)
    (body,) = listener.bodies
    assert (body["account"], body["signal"], body["kind"]) == ("jobs", signal_id, "self_paid")
    (card,) = shop.cards(staff.openid)
    assert TEMPLATE
    assert any("由您付款" in one["value"] for one in card["fields"])


def test_webhook_that_fails_hears_it_again(
    shop: Shop, process: Process, listener: Listener
) -> None:
    paid_by_earner(shop)
    listener.refuse = 1
    change(shop, risk={"self_paid_orders": 1}, alert_webhook=listener.url)
    watched(shop, process)
    drain(process, outbox.ALERT, alerts.prepare)
    (row,) = [one for one in shop.rows() if one.topic == outbox.ALERT]
    assert row.state == "pending"
    shop.move_clock(60)
    drain(process, outbox.ALERT, alerts.prepare)
    (row,) = [one for one in shop.rows() if one.topic == outbox.ALERT]
    assert row.state == "done"
    assert [one["signal"] for one in listener.bodies] == [listener.bodies[0]["signal"]] * 2


def test_alert_of_an_account_that_cannot_be_opened_stops_no_other(
    shop: Shop, process: Process, listener: Listener
) -> None:
    paid_by_earner(shop)
    change(shop, risk={"self_paid_orders": 1}, alert_webhook=listener.url)
    watched(shop, process)
    now = shop.context.clock.now()
    lost = outbox.Message(999_999, outbox.ALERT, "alert-of-nobody", {}, now)
    shop.database.transact(lambda session: outbox.put(session, [lost], now))
    drain(process, outbox.ALERT, alerts.prepare)
    assert len(listener.bodies) == 1
    rows = {row.dedupe_key: row.state for row in shop.rows() if row.topic == outbox.ALERT}
    assert rows.pop("alert-of-nobody") == "pending"
    assert list(rows.values()) == ["done"]


def test_alert_of_an_account_without_a_channel_is_done_and_stays_in_the_queue(
    shop: Shop, process: Process
) -> None:
    paid_by_earner(shop)
    change(shop, risk={"self_paid_orders": 1})
    watched(shop, process)
    drain(process, outbox.ALERT, alerts.prepare)
    (row,) = [one for one in shop.rows() if one.topic == outbox.ALERT]
    assert (row.state, row.delivery) == ("done", "no_channel")
    assert len(shop.database.read(lambda s: risk.queue(s, shop.account.id))) == 1


def test_what_nobody_decided_lapses_by_the_clock(shop: Shop, process: Process) -> None:
    paid_by_earner(shop)
    change(shop, risk={"self_paid_orders": 1, "review_days": 2})
    watched(shop, process)
    in_steps(process, RISK, _hold_some)
    shop.move_clock(3 * 86400)
    in_steps(process, HOLDS, _lapse_some)
    assert shop.database.read(lambda s: holds.open_of(s, shop.account.id)) == []
    statuses = shop.database.read(lambda s: list(s.scalars(select(RiskSignal.status))))
    assert statuses == ["lapsed"]
    assert shop.database.read(lambda s: list(s.scalars(select(Commission.status)))) == ["frozen"]


def test_grades_are_swept_by_the_job(shop: Shop, process: Process) -> None:
    promoter = paid_by_earner(shop)
    now = shop.context.clock.now()
    shop.database.transact(
        lambda s: grades.put(
            s, shop.account.id, "silver", name="白银", rank=1, conditions={"earned_fen": 1_000}, actor="a",
            now=now,
        )
    )  # fmt: skip
    in_steps(process, GRADES, _sweep_some)
    found = shop.database.read(lambda s: members.get(s, shop.account.id, promoter.openid).grade)
    assert found == "silver"
    assert in_steps(process, GRADES, _sweep_some) == 1  # it rests


def test_account_that_fails_keeps_no_other_waiting(shop: Shop, process: Process) -> None:
    from domain.errors import Invalid

    def fails(_session: Any, _account: Any, _now: Any) -> bool:
        raise Invalid("broken settings")

    assert in_steps(process, GRADES, fails) == 1


def test_alerts_have_a_drain() -> None:
    assert outbox.ALERT in DRAINS
