"""结算: when the freeze period is over, in batches, unless something stops it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from domain import commissions, holds, ledger, notices
from domain.errors import LedgerBroken
from domain.models import Commission, Posting
from tests.domain.world import World


@pytest.fixture
def chain(world: World) -> World:
    """ann → bob → cai → dan."""
    world.people("ann", "bob", "cai", "dan")
    return world


def test_settles_to_the_instant_and_not_before(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    chain.complete(order)
    due_at = chain.commissions(order)[0].due_at
    assert due_at is not None
    chain.now = due_at - timedelta(microseconds=1)
    assert chain.settle() == 0
    chain.later(microseconds=1)
    assert chain.settle() == 3
    assert [chain.available(name) for name in ("cai", "bob", "ann")] == [1000, 500, 200]
    assert chain.states(order) == ["settled"] * 3
    assert chain.frozen("cai") == chain.summary("cai").total.frozen_fen == 0
    assert chain.summary("cai").total.earned_fen == 1000
    chain.check()


def test_order_that_is_not_completed_never_settles(chain: World) -> None:
    chain.pay("dan", 10_000)
    chain.later(days=4_000)
    assert chain.settle() == 0
    chain.check()


def test_no_freeze_days_settle_at_completion(chain: World) -> None:
    chain.rule(freeze_days=0)
    chain.complete(chain.pay("dan", 10_000))
    assert chain.settle() == 3


def test_stopped_commissions_wait_until_the_account_goes_on(chain: World) -> None:
    chain.complete(chain.pay("dan", 10_000))
    chain.later(days=8)
    chain.change(commissions_stopped=True)
    assert chain.settle() == 0
    chain.change(commissions_stopped=False)
    assert chain.settle() == 3
    chain.check()


def test_held_commission_waits_and_the_others_settle(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    chain.complete(order)
    held = chain.commissions(order)[0]
    chain.do(
        lambda s: holds.hold(
            s, chain.account.id, held.id, reason="怀疑刷单", actor="staff/1", now=chain.now
        )
    )
    chain.later(days=8)
    assert chain.settle() == 2
    assert chain.states(order) == ["frozen", "settled", "settled"]
    chain.check()


def test_held_commission_can_still_be_refunded(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    held = chain.commissions(order)[0]
    chain.do(
        lambda s: holds.hold(
            s, chain.account.id, held.id, reason="review", actor="staff/1", now=chain.now
        )
    )
    chain.refund(order, {1: 10_000})
    assert chain.states(order) == ["voided"] * 3
    chain.check()


@pytest.mark.parametrize("limit", [1, 2, 7, 500])
def test_batches_of_any_size_come_to_the_same_books(chain: World, limit: int) -> None:
    for number in range(5):
        chain.complete(chain.pay("dan", 1_000 * (number + 1), 333))
    chain.later(days=8)
    assert chain.settle(limit) == 30  # five orders, two lines, three levels
    assert chain.available("cai") == 1_500 + 5 * 33
    chain.check()


def test_settlement_that_is_stopped_halfway_goes_on_where_it_was(chain: World) -> None:
    for _ in range(4):
        chain.complete(chain.pay("dan", 10_000))
    chain.later(days=8)
    done = chain.do(lambda s: commissions.settle_due(s, chain.account, chain.now, 5))
    assert done == 5
    chain.check()
    assert chain.settle(5) == 7
    assert chain.available("cai") == 4_000
    chain.check()


def test_member_hears_once_a_batch(chain: World) -> None:
    for _ in range(3):
        chain.complete(chain.pay("dan", 10_000))
    chain.later(days=8)
    chain.settle()
    told = chain.told("cai", notices.COMMISSION_SETTLED)
    assert len(told) == 1
    assert '"amount_fen":3000' in told[0].params
    assert '"count":3' in told[0].params


def test_settling_again_posts_nothing(chain: World) -> None:
    chain.pay_and_settle("dan", 10_000)
    count = select(func.count()).select_from(Posting)
    before = chain.look(lambda s: s.scalar(count))
    assert chain.settle() == 0
    assert chain.look(lambda s: s.scalar(count)) == before


def test_other_accounts_settle_by_themselves(chain: World) -> None:
    other = World.create(chain.database, "coffee")
    other.people("ann", "dan")
    order = other.pay("dan", 10_000)
    other.complete(order)
    chain.later(days=8)
    assert chain.settle() == 0
    other.later(days=8)
    assert other.settle() == 1


def test_posting_of_nothing_or_less_is_refused(chain: World) -> None:
    for amount in (0, -5):
        entry = ledger.Entry(
            "k", chain.account.id, 1, ledger.COMMISSION, ledger.FROZEN, amount, "accrue"
        )
        with pytest.raises(LedgerBroken):
            chain.do(partial(ledger.post, entries=[entry], now=chain.now))


def test_folding_the_figures_changes_no_answer(chain: World) -> None:
    for number in range(6):
        chain.pay("dan", 1_000 + number)
    before = [chain.summary(name) for name in ("ann", "bob", "cai")]
    chain.fold()
    assert [chain.summary(name) for name in ("ann", "bob", "cai")] == before
    chain.pay("dan", 5)
    chain.fold()
    chain.fold()
    chain.check()


def test_statement_and_commissions_page_through_everything_once(chain: World) -> None:
    for _ in range(5):
        chain.pay_and_settle("dan", 10_000)
    cai = chain.id_of("cai")

    def ids(page_of: Callable[..., Sequence[Any]], limit: int) -> list[int]:
        found: list[int] = []
        page = partial(page_of, member_id=cai, limit=limit)
        while rows := chain.look(partial(page, before_id=found[-1] if found else None)):
            found += [row.id for row in rows]
        return found

    for page_of, table, number in (
        (ledger.statement, Posting, 10),
        (commissions.of_member, Commission, 5),
    ):
        query = select(table.id).where(table.member_id == cai).order_by(table.id.desc())
        everything = [row.id for row in chain.look(lambda s: s.execute(query).all())]  # noqa: B023
        assert ids(page_of, 3) == everything
        assert len(everything) == number
