"""Orders, rules, grades, products and tables: tried before they count, done once, and in the audit log."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import func, select

from domain.models import Audit, Commission, Order, Refund
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.world import World, seed


@pytest.fixture
def world(merchant: Merchant) -> World:
    return seed(merchant, "tea")


@pytest.fixture
def boss(console: Console, world: World) -> Browser:
    return console.browser(console.person((world.account, "owner"), login="boss"))


def every(console: Console, query: Any) -> list[Any]:
    return console.merchant.database.read(lambda session: list(session.scalars(query)))


def last_note(console: Console) -> Audit:
    note: Audit = every(console, select(Audit).order_by(Audit.id.desc()).limit(1))[0]
    return note


# --- orders ---------------------------------------------------------------------------------------------------------


def test_refund_form_sent_twice_is_one_refund(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/orders/{world.places['order_id']}"
    once = re.findall(r'name="once" value="([0-9a-f]{16})"', boss.get(path).text)[0]
    for _ in range(2):
        boss.post(f"{path}/refund", once=once, **{"line-1": "5"})
    assert every(console, select(Refund.goods_fen)) == [500]
    assert every(console, select(Order.refunded_fen)) == [500]
    note = last_note(console)
    assert (note.actor, note.action) == ("staff:boss", "order_refunded")
    boss.post(f"{path}/refund", once=once, **{"line-1": "6"})
    assert "已用于另一笔退款" in boss.said()


def test_refund_of_shipping_that_nobody_paid_is_refused_in_words(
    console: Console, world: World, boss: Browser
) -> None:
    boss.post(f"/console/tea/orders/{world.places['order_id']}/refund", shipping="1")
    assert "超过了" in boss.said()
    assert every(console, select(Refund.id)) == []


def test_order_is_completed_once_and_starts_the_freeze_period(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/orders/{world.places['order_id']}"
    assert set(every(console, select(Commission.due_at))) == {None}
    for _ in range(2):
        boss.post(f"{path}/complete")
    assert "冻结期开始" in boss.said()
    assert None not in every(console, select(Commission.due_at))
    done = select(func.count()).select_from(Audit).where(Audit.action == "order_completed")
    assert every(console, done) == [1]


def test_commissions_are_found_by_state_and_by_order(
    console: Console, world: World, boss: Browser
) -> None:
    path = "/console/tea/commissions"
    assert "¥2.99" in boss.get(path, status="frozen").text
    assert "¥2.99" not in boss.get(path, status="held").text
    boss.post(f"{path}/{world.places['commission_id']}/hold", reason="核实")
    held = boss.get(path, status="held").text
    assert held.count("/console/tea/commissions/") >= 1
    assert "待审核" in held
    assert "¥2.99" in boss.get(path, q="T-1").text
    assert "¥2.99" not in boss.get(path, q="T-2").text
    assert "¥2.99" not in boss.get(path, q="没有").text


def test_orders_are_found_by_number_and_by_buyer(boss: Browser, world: World) -> None:
    path, link = "/console/tea/orders", f"/orders/{world.places['order_id']}"
    assert link in boss.get(path, q="T-1").text
    assert link in boss.get(path, q="buyer").text
    assert link not in boss.get(path, q="nobody").text
    assert link not in boss.get(path, q="没有").text
