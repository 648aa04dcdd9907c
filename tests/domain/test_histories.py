"""Any history at all: people come, go and move, shops pay, refund and repeat themselves, and the books agree with a
naive model after every step; both proofs hold at the end.

By night: BANYAN_HISTORIES=500 pytest tests/domain/test_histories.py -o faulthandler_timeout=0 runs more and longer
ones, with the proofs after every step.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.errors import RefundTooLarge
from domain.orders import PaidOrder
from domain.tally import COLUMNS
from tests.domain.naive import Business
from tests.domain.world import RATES, World
from tests.support.databases import Schemas, rolled_back

HISTORIES = int(os.environ.get("BANYAN_HISTORIES", "0"))

PEOPLE = ("ann", "bob", "cai", "dan", "eve", "fay")
NAME = st.sampled_from(PEOPLE)
FEN = st.one_of(st.integers(1, 60), st.integers(900, 3_000), st.integers(1, 1_000_000))
BASKET = st.lists(FEN, min_size=1, max_size=2)
PICK = st.integers(0, 30)
PART = st.sampled_from([1, 33, 50, 100, 101])
"""Percent of what is left of a line; 101 is too much."""

CLAIMS = (
    "SELECT o.order_no, c.line_no, c.level, m.openid, c.amount_fen, c.clawed_fen, c.status FROM commission c"
    " JOIN orders o ON o.id = c.order_id JOIN member m ON m.id = c.member_id"
)
BALANCES = "SELECT m.openid, b.available_fen FROM balance b JOIN member m ON m.id = b.member_id"
FIGURES = (
    f"SELECT m.openid, t.level, {', '.join(f'SUM(t.{column})' for column in COLUMNS)} FROM tally t"
    " JOIN member m ON m.id = t.member_id GROUP BY m.openid, t.level"
)
REFERRERS = "SELECT m.openid, r.openid, m.following FROM member m LEFT JOIN member r ON r.id = m.referrer_id"


class Histories(RuleBasedStateMachine):
    """Every rule does one thing to the real world and to the naive one."""

    url: str  # of the database, set by a subclass for each engine

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world = World.create(self.stack.enter_context(rolled_back(self.url)))
        self.naive = Business(RATES, "debt")
        self.reported: list[PaidOrder] = []
        self.numbers: Iterator[int] = itertools.count(1)

    @initialize(shortfall=st.sampled_from(["debt", "absorbed"]), chain=st.integers(2, 4))
    def begin(self, shortfall: str, chain: int) -> None:
        self.world.change(shortfall=shortfall)
        self.naive.shortfall = shortfall
        for above, name in zip((None, *PEOPLE), PEOPLE[:chain], strict=False):
            self.follow(name, above)

    def known(self, name: str | None) -> str | None:
        return name if name in self.naive.people else None

    def order_no(self, pick: int) -> str:
        return self.reported[pick % len(self.reported)].order_no

    # people

    @rule(name=NAME, by=st.one_of(st.none(), NAME))
    def follow(self, name: str, by: str | None) -> None:
        by = self.known(by)
        touch = self.world.follow(name, by)
        self.world.attach(name)
        bound = self.naive.follow(name, by, self.world.now, self.world.now)
        assert bound == (touch.referrer is not None)

    @rule(name=NAME, by=NAME)
    def scan(self, name: str, by: str) -> None:
        if self.known(by):
            touch = self.world.scan(name, by)
            assert self.naive.scan(name, by, self.world.now) == (touch.referrer is not None)

    @rule(name=NAME, late=st.booleans())
    def leave(self, name: str, late: bool) -> None:
        at = (
            self.world.now - timedelta(seconds=30)
            if late
            else self.world.now + timedelta(seconds=2)
        )
        self.world.leave(name, created=at)
        self.naive.leave(name, at)

    @rule(name=NAME, to=st.one_of(st.none(), NAME))
    def move(self, name: str, to: str | None) -> None:
        if self.known(name) and (to is None or self.known(to)):
            assert (self.world.bind(name, to) is None) == self.naive.move(name, to)

    # orders

    @rule(bought=st.lists(st.tuples(NAME, BASKET), min_size=1, max_size=3))
    def pay(self, bought: list[tuple[str, list[int]]]) -> None:
        batch = [
            self.world.order(buyer, *fen, no=f"A{next(self.numbers)}") for buyer, fen in bought
        ]
        assert len(self.world.record(*batch)) == len(batch)
        for order, (buyer, fen) in zip(batch, bought, strict=True):
            self.reported.append(order)
            lines = dict(enumerate(fen, start=1))
            self.naive.pay(order.order_no, buyer, lines, self.world.now)

    @rule(baskets=st.lists(BASKET, min_size=1, max_size=2))
    def pay_with_earners(self, baskets: list[list[int]]) -> None:
        """Whoever has most people above them buys."""
        buyer = max(self.naive.people, key=lambda name: len(self.naive.above(name)))
        self.pay([(buyer, fen) for fen in baskets])

    @rule(name=NAME, by=NAME, part=PART, days=st.sampled_from([0, 4, 16]))
    def buy_before_following(self, name: str, by: str, part: int, days: int) -> None:
        """A stranger's order is refunded, reported again, and finds its buyer, unless they come too late."""
        if name not in self.naive.people:
            self.pay([(name, [10_000])])
            self.refund(len(self.reported) - 1, 1, part)
            self.wait(days)
            self.follow(name, by)
            self.report_again(len(self.reported) - 1, 1)

    @rule(pick=PICK, part=PART)
    def pay_deliver_settle_and_refund(self, pick: int, part: int) -> None:
        """The long way of an order, which chance alone walks too seldom."""
        self.pay_with_earners([[2_997 + pick, 10_000]])
        self.complete(len(self.reported) - 1)
        self.wait(8)
        self.settle(500)
        self.refund(len(self.reported) - 1, 1 + pick % 2, part)

    @precondition(lambda self: self.reported)
    @rule(pick=PICK, size=st.integers(1, 3))
    def report_again(self, pick: int, size: int) -> None:
        start = pick % len(self.reported)
        assert self.world.record(*self.reported[start : start + size]) == set()

    @precondition(lambda self: self.reported)
    @rule(pick=PICK)
    def complete(self, pick: int) -> None:
        self.world.complete(self.order_no(pick))
        self.naive.complete(self.order_no(pick), self.world.now)

    @precondition(lambda self: self.reported)
    @rule(pick=PICK, line=st.integers(1, 2), percent=PART)
    def refund(self, pick: int, line: int, percent: int) -> None:
        order = self.naive.orders[self.order_no(pick)]
        rest = order.lines.get(line, 0) - order.refunded[line]
        self.try_refund(self.order_no(pick), {line: max(1, rest * percent // 100)})

    @rule(fen=FEN, line=st.integers(1, 2))
    def refund_before_the_payment(self, fen: int, line: int) -> None:
        self.try_refund(f"A{len(self.reported) + 1}", {line: fen})

    def try_refund(self, order_no: str, lines: dict[int, int]) -> None:
        try:
            self.world.refund(order_no, lines)
        except RefundTooLarge:
            accepted = False
        else:
            accepted = True
        assert self.naive.refund(order_no, lines) == accepted

    # time

    @rule(days=st.sampled_from([0.5, 4, 8, 16]))
    def wait(self, days: float) -> None:
        self.world.later(days=days)

    @rule(limit=st.sampled_from([1, 2, 500]))
    def settle(self, limit: int) -> None:
        self.world.settle(limit)
        self.naive.settle(self.world.now)

    @rule()
    def fold(self) -> None:
        self.world.fold()

    # what must always be so

    def rows(self) -> list[list[Any]]:
        """The rows of the four questions, at one moment."""
        questions = (CLAIMS, BALANCES, FIGURES, REFERRERS)
        return self.world.look(
            lambda s: [
                [tuple(row) for row in s.connection().exec_driver_sql(one)] for one in questions
            ]
        )

    @invariant()
    def the_two_worlds_agree(self) -> None:
        claims, balances, figures, referrers = self.rows()
        assert {row[:3]: row[3:] for row in claims} == self.naive.claims()
        assert {name: fen for name, fen in balances if fen} == {
            name: fen for name, fen in self.naive.available.items() if fen
        }
        counted = {row[:2]: tuple(int(one) for one in row[2:]) for row in figures}
        assert {key: row for key, row in counted.items() if any(row)} == self.naive.figures()
        assert {row[0]: (row[1], bool(row[2])) for row in referrers} == {
            name: (person.referrer, person.following) for name, person in self.naive.people.items()
        }
        if HISTORIES:
            self.world.check()

    def teardown(self) -> None:
        try:
            self.world.check()
        finally:
            self.stack.close()


def test_any_history_agrees_with_the_naive_model(schemas: Schemas, engine_name: str) -> None:
    class OnThisEngine(Histories):
        url = schemas.shared(engine_name)

    run_state_machine_as_test(
        OnThisEngine,
        settings=settings(
            max_examples=HISTORIES or {"sqlite": 20, "mariadb": 6}[engine_name],
            stateful_step_count=80 if HISTORIES else 40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
