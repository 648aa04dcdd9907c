"""What only a real session shows: the other tests share one connection, where savepoints come by themselves.

The histories of test_whole_histories.py found it: a savepoint that SQLAlchemy sets with the first statement of its own
is never set when all statements go to the driver, and what should have been undone stayed.
"""

from __future__ import annotations

import pytest

from domain.db import Database
from domain.errors import RefundTooLarge
from tests.domain.world import World


@pytest.fixture
def live(live_database: Database) -> World:
    world = World.create(live_database)
    world.people("ann", "bob")
    return world


def test_parked_refund_that_is_larger_than_its_line_leaves_nothing_on_the_order(
    live: World,
) -> None:
    live.refund("later", {2: 500})  # less than the whole order, more than its second line
    live.pay("bob", 10_000, 100, no="later")
    assert live.stored("later").refunded_fen == 0
    live.refund("later", {2: 100})
    assert live.stored("later").refunded_fen == 100
    live.check()


def test_batch_with_a_repeat_among_new_orders_records_all_of_the_new_ones(live: World) -> None:
    known = live.order("bob", 1_000, no="known")
    live.record(known)
    before, after = live.order("bob", 2_000, no="before"), live.order("bob", 3_000, no="after")
    assert live.record(before, known, after) == {"before", "after"}
    for order_no, left in (("known", [100]), ("before", [200]), ("after", [300])):
        assert live.left(order_no) == left
    live.check()


def test_refund_that_is_refused_leaves_nothing_on_the_order(live: World) -> None:
    live.pay("bob", 10_000, 100, no="now")
    with pytest.raises(RefundTooLarge):
        live.refund("now", {2: 500})
    assert live.stored("now").refunded_fen == 0
    live.check()
