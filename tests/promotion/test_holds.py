"""暂缓: what a hold stops, how it ends, and that nobody is left without a word."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from domain import explain, holds
from domain.errors import Invalid, NotFound
from domain.models import Commission, Hold
from domain.texts import Words
from tests.domain.world import World, open_account


def hold(world: World, commission: Commission, days: int | None = 3) -> Hold:
    expires_at = None if days is None else world.now + timedelta(days=days)
    return world.do(
        lambda s: holds.hold(
            s, world.account.id, commission.id, reason="核对订单", actor="staff/1", expires_at=expires_at,
            now=world.now,
        )
    )  # fmt: skip


@pytest.fixture
def due(chain: World) -> tuple[World, str]:
    """An order whose commissions are due in seven days."""
    order = chain.pay("dan", 10_000)
    chain.complete(order)
    return chain, order


def test_released_commission_settles(due: tuple[World, str]) -> None:
    world, order = due
    row = hold(world, world.commissions(order)[0], None)
    world.later(days=8)
    assert world.settle() == 2
    assert (
        world.do(
            lambda s: holds.release(s, world.account.id, [row.id], actor="staff/2", now=world.now)
        )
        == 1
    )
    assert world.settle() == 1
    assert len(world.told("cai", "commission_held")) == 1
    assert len(world.told("cai", "commission_released")) == 1


def test_hold_that_nobody_decided_lapses_by_the_clock(due: tuple[World, str]) -> None:
    world, order = due
    hold(world, world.commissions(order)[0], 10)
    world.later(days=8)
    assert world.do(lambda s: holds.lapse_due(s, world.account.id, world.now)) == 0
    assert world.settle() == 2
    world.later(days=3)
    assert world.do(lambda s: holds.lapse_due(s, world.account.id, world.now)) == 1
    assert world.settle() == 1


def test_refused_commission_is_void_and_its_owner_hears_why(due: tuple[World, str]) -> None:
    world, order = due
    row = hold(world, world.commissions(order)[0])
    with pytest.raises(Invalid):
        world.do(
            lambda s: holds.refuse(
                s, world.account.id, [row.id], actor="x", reason="", now=world.now
            )
        )

    def refuse(session: Session) -> int:
        return holds.refuse(
            session, world.account.id, [row.id], actor="staff/2", reason="同一人下单", now=world.now
        )

    assert world.do(refuse) == 1
    assert world.do(refuse) == 0
    assert world.states(order) == ["voided", "frozen", "frozen"]
    assert world.frozen("cai") == 0
    (notice,) = world.told("cai", "commission_refused")
    assert "同一人下单" in notice.params
    (commission, *_) = world.commissions(order)
    text = world.look(lambda s: explain.text_of(Words(), explain.explain(s, commission)))
    assert "同一人下单" in text
    world.check()
    world.refund(order, {1: 10_000})
    assert world.left(order) == [0, 0, 0]


def test_refund_of_part_and_then_refusal_take_everything_once(due: tuple[World, str]) -> None:
    world, order = due
    row = hold(world, world.commissions(order)[0])
    world.refund(order, {1: 4_000})
    world.do(
        lambda s: holds.refuse(s, world.account.id, [row.id], actor="a", reason="b", now=world.now)
    )
    assert world.left(order) == [0, 300, 120]


def test_refusing_what_a_refund_has_voided_posts_nothing(due: tuple[World, str]) -> None:
    world, order = due
    row = hold(world, world.commissions(order)[0])
    world.refund(order, {1: 10_000})
    world.do(
        lambda s: holds.refuse(s, world.account.id, [row.id], actor="a", reason="b", now=world.now)
    )
    assert world.look(lambda s: s.get_one(Hold, row.id)).outcome == "released"


def test_one_open_hold_a_commission(due: tuple[World, str]) -> None:
    world, order = due
    first = hold(world, world.commissions(order)[0])
    assert hold(world, world.commissions(order)[0]).id == first.id
    assert len(world.told("cai", "commission_held")) == 1


def test_settled_commission_and_one_of_another_account_cannot_be_held(
    due: tuple[World, str],
) -> None:
    world, order = due
    commission = world.commissions(order)[0]
    other = open_account(world.database, "other")
    with pytest.raises(NotFound):
        world.do(
            lambda s: holds.hold(s, other.id, commission.id, reason="x", actor="a", now=world.now)
        )
    world.later(days=8)
    world.settle()
    with pytest.raises(Invalid):
        hold(world, commission)


def test_reason_is_shown_while_it_waits(due: tuple[World, str]) -> None:
    world, order = due
    commission = world.commissions(order)[0]
    hold(world, commission)
    text = world.look(lambda s: explain.text_of(Words(), explain.explain(s, commission)))
    assert "核对订单" in text
    assert "复核" in text
