"""The whole business once more, as simply as it can be said: dictionaries, loops, everything counted from scratch.

It knows nothing of SQL, locks, batches or figures that are kept. What it says must be what the domain says.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

LEVELS = (1, 2, 3)
FREEZE = timedelta(days=7)
WAIT = timedelta(days=15)


@dataclass
class Person:
    referrer: str | None = None
    following: bool = False
    changed_at: datetime | None = None
    bought: bool = False
    moved: int = 0


@dataclass
class Claim:
    """A commission."""

    earner: str
    level: int
    base: int
    rate: int
    taken: int = 0
    settled: bool = False

    @property
    def amount(self) -> int:
        return part(self.base, self.rate)

    @property
    def left(self) -> int:
        return self.amount - self.taken


@dataclass
class Order:
    buyer: str
    lines: dict[int, int]
    paid_at: datetime
    above: list[str] | None = None  # None: the buyer is not known
    refunded: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    completed_at: datetime | None = None
    claims: dict[tuple[int, int], Claim] = field(default_factory=dict)

    @property
    def paid(self) -> int:
        return sum(self.lines.values())


def part(base: int, rate: int) -> int:
    """The rate's part of a base, without its fraction of a fen."""
    exact = Fraction(base * rate, 10_000)
    return exact.numerator // exact.denominator


class Business:
    """People, orders and balances."""

    def __init__(self, rates: tuple[int, ...], shortfall: str) -> None:
        self.rates = rates
        self.shortfall = shortfall
        self.people: dict[str, Person] = {}
        self.orders: dict[str, Order] = {}
        self.parked: dict[str, list[dict[int, int]]] = defaultdict(list)
        self.available: dict[str, int] = defaultdict(int)

    # people

    def above(self, name: str) -> list[str]:
        """Everybody above, nearest first."""
        found = []
        climbing = self.people[name].referrer
        while climbing is not None:
            found.append(climbing)
            climbing = self.people[climbing].referrer
        return found

    def follow(self, name: str, by: str | None, at: datetime, now: datetime) -> bool:
        """Whether they were bound."""
        self.people.setdefault(name, Person())
        bound = by is not None and self._bind(name, by)
        self._turn(name, True, at)
        self._attach(name, now)
        return bound

    def scan(self, name: str, by: str, at: datetime) -> bool:
        new = name not in self.people
        self.people.setdefault(name, Person())
        bound = self._bind(name, by)
        if new:
            self._turn(name, True, at)
        return bound

    def leave(self, name: str, at: datetime) -> None:
        self.people.setdefault(name, Person())
        self._turn(name, False, at)

    def _turn(self, name: str, following: bool, at: datetime) -> None:
        person = self.people[name]
        if person.changed_at is None or at >= person.changed_at:
            person.following, person.changed_at = following, at

    def _bind(self, name: str, by: str) -> bool:
        if self.people[name].referrer is not None:
            return False
        return self.move(name, by)

    def move(self, name: str, to: str | None) -> bool:
        if to is not None and (to == name or name in self.above(to)):
            return False
        self.people[name].referrer = to
        return True

    # orders

    def pay(self, no: str, buyer: str, lines: dict[int, int], now: datetime) -> None:
        order = self.orders[no] = Order(buyer, lines, now)
        if buyer in self.people:
            self._know_buyer(order)
        for refund in self.parked.pop(no, []):
            self._apply(order, refund)

    def _know_buyer(self, order: Order) -> None:
        order.above = self.above(order.buyer)[: len(LEVELS)]
        self.people[order.buyer].bought = True
        for line, base in order.lines.items():
            for level, (earner, rate) in enumerate(
                zip(order.above, self.rates, strict=False), start=1
            ):
                if part(base, rate):
                    order.claims[line, level] = Claim(earner, level, base, rate)
        self._take(order)

    def _attach(self, name: str, now: datetime) -> None:
        for order in self.orders.values():
            if order.buyer == name and order.above is None and order.paid_at >= now - WAIT:
                self._know_buyer(order)

    def complete(self, no: str, now: datetime) -> None:
        self.orders[no].completed_at = self.orders[no].completed_at or now

    def refund(self, no: str, lines: dict[int, int]) -> bool:
        """Whether it was accepted."""
        if no not in self.orders:
            self.parked[no].append(lines)
            return True
        return self._apply(self.orders[no], lines)

    def _apply(self, order: Order, lines: dict[int, int]) -> bool:
        for line, fen in lines.items():
            if order.refunded[line] + fen > order.lines.get(line, 0):
                return False
        for line, fen in lines.items():
            order.refunded[line] += fen
        self._take(order)
        return True

    def _take(self, order: Order) -> None:
        clawed: dict[str, int] = defaultdict(int)
        for (line, _), claim in order.claims.items():
            due = part(claim.base - order.refunded[line], claim.rate)
            taken = claim.left - due
            claim.taken += taken
            if claim.settled:
                clawed[claim.earner] += taken
        for name, fen in clawed.items():
            before = self.available[name]
            after = before - fen
            if self.shortfall == "absorbed":
                after = max(after, min(before, 0))
            self.available[name] = after

    def settle(self, now: datetime) -> None:
        for order in self.orders.values():
            if order.completed_at is None or order.completed_at + FREEZE > now:
                continue
            for claim in order.claims.values():
                if not claim.settled and claim.left:
                    claim.settled = True
                    self.available[claim.earner] += claim.left

    # what can be compared

    def claims(self) -> dict[tuple[str, int, int], tuple[str, int, int, str]]:
        """(order, line, level) → (earner, amount, taken, status)."""
        found = {}
        for no, order in self.orders.items():
            for (line, level), claim in order.claims.items():
                status = "settled" if claim.settled else "frozen"
                if not claim.left:
                    status = "clawed_back" if claim.settled else "voided"
                found[no, line, level] = claim.earner, claim.amount, claim.taken, status
        return found

    def figures(self) -> dict[tuple[str, int], tuple[int, ...]]:
        """(member, level) → people, following, buyers, orders, spent, refunded, earned, frozen; only what is not 0."""
        sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0] * 8)
        for name, person in self.people.items():
            for level, above in zip(LEVELS, self.above(name), strict=False):
                row = sums[above, level]
                row[0] += 1
                row[1] += person.following
                row[2] += person.bought
        for order in self.orders.values():
            for level, above in zip(LEVELS, order.above or (), strict=False):
                row = sums[above, level]
                row[3] += 1
                row[4] += order.paid
                row[5] += sum(order.refunded.values())
            for claim in order.claims.values():
                row = sums[claim.earner, claim.level]
                row[6] += claim.left
                row[7] += 0 if claim.settled else claim.left
        return {key: tuple(row) for key, row in sums.items() if any(row)}
