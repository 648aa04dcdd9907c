"""F8, F10, F12 of money.md, and what goes wrong at the same instant in systems of the field (peers.md 2: 1, 4, 6, 9,
14).

Each guard is first shown to be needed.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from domain import commissions, ledger, members, orders, refunds
from domain.db import Database
from domain.errors import DomainError
from domain.ledger import Entry
from domain.models import Order
from domain.payouts import ProviderNews
from domain.withdrawals import NotEnough, WrongState
from tests.domain.purse import Purse
from tests.domain.world import World
from tests.races.together import Meeting, together

# --- F8: whatever comes first -----------------------------------------------------------------------------------------

EVENTS = ("pay", "refund1", "refund2", "settle", "withdraw")


class Case:
    """One order of one buyer under one earner, to which five things happen in any order."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.ann, self.bob, self.order_no = f"ann{number}", f"bob{number}", f"order-{number}"
        world.people(self.ann, self.bob)
        self.purse = Purse(world, self.ann)

    def run(self, events: Sequence[str]) -> None:
        """What cannot happen yet is tried again at the end, as a clock and a person would."""
        late = [name for name in events if not self._happens(name)]
        for name in ("settle", *late):
            assert self._happens(name), name

    def _happens(self, name: str) -> bool:
        world = self.world
        if name == "pay":
            world.record(world.order(self.bob, 9_997, 333, no=self.order_no))
            world.complete(self.order_no)
        elif name == "settle":
            now, world.now = world.now, world.now.replace(year=world.now.year + 1)
            world.settle()
            world.now = now
        elif name == "withdraw":
            try:
                self.purse.ask(100, f"token-{self.number}")
            except NotEnough:
                return False
        else:
            lines = {"refund1": {1: 3_333, 2: 100}, "refund2": {1: 1}}[name]
            world.refund(self.order_no, lines, no=f"{name}-{self.number}")
        return True

    def end(self) -> tuple[object, ...]:
        """What came of it, without the names."""
        levels = self.world.summary(self.ann).levels
        return (
            self.world.left(self.order_no),
            self.world.states(self.order_no),
            self.purse.balance,
            levels,
        )


@pytest.fixture
def calm(database: Database) -> World:
    """One session, rolled back: the order of events is ours here."""
    return World.create(database, audit_above_fen=0)


def test_pay_refunds_settlement_and_withdrawal_end_alike_in_every_order(calm: World) -> None:
    """All of them on SQLite; a fifth on MariaDB, another one with every seed."""
    every = list(itertools.permutations(EVENTS))
    ends = set()
    for number, events in enumerate(every if calm.database.is_sqlite else random.sample(every, 24)):
        case = Case(calm, number)
        case.run(events)
        ends.add(repr(case.end()))
    assert len(ends) == 1, ends
    calm.check()


def test_dropping_a_refund_that_comes_before_its_payment_would_end_otherwise(
    calm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant (dub answers "not found", and drops it)."""
    monkeypatch.setattr(refunds, "apply_parked", lambda *_: None)
    ends = set()
    for number, events in enumerate((EVENTS, ("refund1", "pay", "refund2", "settle", "withdraw"))):
        case = Case(calm, number)
        case.run(events)
        ends.add(repr(case.end()))
    assert len(ends) == 2


def test_taking_each_refunds_own_share_would_end_otherwise(
    calm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: what is left is computed from the last refund alone, and not from all that was refunded."""
    whole = commissions.left_after_refund
    monkeypatch.setattr(
        commissions,
        "left_after_refund",
        lambda row, refunded: max(
            0, whole(row, 0) - row.clawed_fen - (whole(row, 0) - whole(row, refunded))
        ),
    )
    ends = set()
    for number, events in enumerate((EVENTS, ("pay", "refund2", "refund1", "settle", "withdraw"))):
        case = Case(calm, number)
        case.run(events)
        ends.add(repr(case.end()[0]))
    assert len(ends) == 2


# --- F10: many members in one transaction -----------------------------------------------------------------------------


def credit(world: World, ids: Sequence[int]) -> list[Entry]:
    return [
        Entry("", world.account.id, one, ledger.COMMISSION, ledger.AVAILABLE, 1, "") for one in ids
    ]


def fold_as_it_comes(session: Session, entries: Sequence[Entry]) -> None:
    """The mutant: the same changes in the order in which somebody thought of them."""
    for one in entries:
        ledger._UPSERT(session, one.member_id, one.account_id, one.amount_fen, 0)


@pytest.mark.parametrize("guard", [False, True], ids=["as it comes", "sorted"])
def test_sixteen_clients_over_eight_hot_members_wait_for_each_other_and_never_in_a_circle(
    world: World, guard: bool
) -> None:
    names = [f"hot{number}" for number in range(8)]
    for name in names:
        world.follow(name)
    ids = [world.id_of(name) for name in names]
    fold = ledger.fold_into_balances if guard else fold_as_it_comes
    runs: list[int] = []

    def client(seed: int) -> int:
        dice, done = random.Random(seed), 0
        for _ in range(20):
            three = dice.sample(ids, 3)

            def work(session: Session, three: list[int] = three) -> None:
                runs.append(seed)
                fold(session, credit(world, three))

            try:
                world.do(work)
                done += 1
            except DomainError:  # busy for six tries: only without the guard
                assert not guard
        return done

    done = sum(together([partial(client, seed) for seed in range(16)]))
    assert sum(world.available(name) for name in names) == 3 * done
    if guard:
        assert (done, len(runs)) == (320, 320), "a transaction had to run again"
    else:
        assert len(runs) > done


# --- F12, peers 1 and 12: two credits at once -------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("guard", [False, True], ids=["read, add, write", "one statement"])
def test_two_credits_of_one_member_at_once_lose_none_of_them(
    world: World, isolation: str, guard: bool
) -> None:
    """Peers read a balance, add in the program and write it back."""
    world.follow("ann")
    ann = world.id_of("ann")
    world.do(lambda s: ledger.fold_into_balances(s, credit(world, [ann])))
    meeting = Meeting(guarded=guard)
    engine = world.database.engine.execution_options(isolation_level=isolation)

    def add(fen: int) -> None:
        with Session(engine) as session:
            seen = session.execute(
                text("SELECT available_fen FROM balance WHERE member_id = :id"), {"id": ann}
            ).scalar_one()
            meeting.wait()
            if guard:
                entry = credit(world, [ann])[0]._replace(amount_fen=fen)
                ledger.fold_into_balances(session, [entry])
            else:
                session.execute(
                    text("UPDATE balance SET available_fen = :fen WHERE member_id = :id"),
                    {"fen": seen + fen, "id": ann},
                )
            session.commit()

    together([partial(add, 10), partial(add, 100)])
    assert (world.available("ann") == 111) == guard


# --- peers 4, 6, 9, 14 ------------------------------------------------------------------------------------------------


def test_receipt_confirmed_by_hand_and_by_the_clock_at_once_starts_one_freeze(world: World) -> None:
    """4: a peer's manual and automatic receipt both pay the commission."""
    world.people("ann", "bob")
    order_no = world.pay("bob", 10_000)
    together([partial(world.complete, order_no) for _ in range(8)])
    (due_at,) = {one.due_at for one in world.commissions(order_no)}
    assert due_at is not None
    world.later(days=8)
    together([world.settle, world.settle, world.settle])
    assert world.available("ann") == 1_000
    world.check()


def test_member_who_buys_and_is_renamed_while_being_credited_keeps_every_fen(world: World) -> None:
    """6 and 14: peers write a whole row that they read earlier, and undo what others did to it meanwhile."""
    world.people("ann", "bob")
    paid = [world.pay("bob", 1_000) for _ in range(10)]
    for order_no in paid:
        world.complete(order_no)
    world.later(days=8)

    def settle() -> None:
        while world.do(lambda s: commissions.settle_due(s, world.account, world.now, 1)):
            pass

    def live(act: Callable[[int], object]) -> None:
        for number in range(10):
            act(number)

    together(
        [
            settle,
            partial(live, lambda n: world.pay("ann", 700, no=f"own-{n}")),
            partial(
                live,
                lambda n: world.do(
                    lambda s: members.set_nickname(s, world.account.id, "ann", f"安{n}")
                ),
            ),
            partial(live, lambda n: world.refund(paid[n], {1: 10})),
        ]
    )
    world.settle()
    assert world.available("ann") == sum(sum(world.left(order_no)) for order_no in paid)
    assert world.member("ann").nickname == "安9"
    assert world.member("ann").first_paid_at is not None
    world.check()


def endings(purse: Purse, number: Any) -> Iterator[Callable[[], object]]:
    """Every way in which somebody could end a withdrawal a second time."""
    yield lambda: purse.reject(number)
    yield lambda: purse.decide(number)
    yield lambda: purse.begin(number)
    yield lambda: purse.news(number, ProviderNews("FAIL", "b"))
    yield lambda: purse.news(number, ProviderNews("CANCELLED", "b"))


def test_paid_withdrawal_that_is_refused_or_fails_again_credits_nothing(world: World) -> None:
    """9: a peer's refusal and failure never ask for the state, and give the money back after it was paid."""
    world.people("cai", "dan")
    world.pay_and_settle("dan", 10_000)
    purse = Purse(world)
    paid = purse.ask(500)
    purse.decide(paid)
    purse.pay(paid)
    before = purse.balance
    refused = []
    lock = threading.Lock()

    def attempt(act: Callable[[], object]) -> None:
        try:
            act()
        except WrongState:
            with lock:
                refused.append(act)

    together([partial(attempt, act) for act in endings(purse, paid)])
    assert len(refused) == 5
    assert purse.balance == before
    world.check()


def test_completion_that_waits_for_another_one_is_a_repeat_and_no_error(world: World) -> None:
    """The histories found it: whoever waited still saw the order as it was before, and was told that it is not paid."""
    world.people("ann", "bob")
    order_no = world.pay("bob", 10_000)
    read = threading.Barrier(2)
    whole = orders.get

    def get_together(session: Session, account_id: int, number: str) -> Order:
        order = whole(session, account_id, number)
        read.wait(10)
        return order

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "get", get_together)
        together([partial(world.complete, order_no), partial(world.complete, order_no)])
    assert world.stored(order_no).status == "completed"
