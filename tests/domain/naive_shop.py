"""The whole shop once more, with every verb of money, grades, holds and disputes: dictionaries and loops, nothing kept
that can be counted. A verb answers what the domain's answers: a word, or the name of the error.

It knows nothing of SQL, locks, batches, retries or jobs. What it says must be what the domain says.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.domain.naive import part

LEVELS = (1, 2, 3)
WAIT = timedelta(days=15)
CHINA = timedelta(hours=8)
FEE_BPS, TAX_BPS = 60, 100
MIN_FEN, MAX_FEN, PER_DAY = 100, 150_000, 3
AUDIT_ABOVE, SECOND_ABOVE = 1_000, 20_000
REWARD_FEN, REWARD_CAP, REWARD_HOLD = 200, 2, timedelta(days=3)
QUIET = timedelta(minutes=5)
KNOWN_FOR = timedelta(days=29)
SILVER_SPENT, GOLD_SALES = 50_000, 120_000
RANKS = {"": 0, "silver": 1, "gold": 2}
OK = "ok"


@dataclass
class Person:
    referrer: str | None = None
    following: bool = False
    changed_at: datetime | None = None
    first_follow: datetime | None = None
    bought: bool = False
    active: bool = True
    grade: str = ""
    pinned: bool = False
    disputes: bool = False


@dataclass
class Rule:
    """Rates by grade ("" is everybody else's), from when, and how long commissions are frozen."""

    since: datetime
    rates: dict[str, tuple[int, ...]]
    freeze: timedelta


@dataclass
class Claim:
    """A commission of an order line, or (base 0) of a friend who came."""

    earner: str
    level: int
    base: int
    rate: int
    amount: int
    due_at: datetime | None = None
    taken: int = 0
    settled: bool = False
    held_until: datetime | None = None
    held: bool = False
    refused: bool = False

    @property
    def left(self) -> int:
        return self.amount - self.taken

    @property
    def status(self) -> str:
        if self.left:
            return "settled" if self.settled else "frozen"
        return "clawed_back" if self.settled else "voided"

    @property
    def facts(self) -> tuple[object, ...]:
        until = self.held_until if self.held else None
        return self.earner, self.amount, self.taken, self.status, self.held, until, self.due_at


@dataclass
class Order:
    buyer: str
    lines: dict[int, int]
    paid_at: datetime
    rule: Rule | None
    above: list[str] | None = None
    refunded: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    completed_at: datetime | None = None
    claims: dict[tuple[int, int], Claim] = field(default_factory=dict)


@dataclass
class Withdrawal:
    name: str
    amount: int
    method: str
    asked_at: datetime
    status: str = "requested"
    round: int = 1
    yes: set[str] = field(default_factory=set)
    paying_at: datetime | None = None
    giving_up_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.status in {"requested", "approved", "paying"}


class Shop:
    """People, orders, claims, balances and withdrawals."""

    def __init__(self, rule: Rule) -> None:
        self.rules = [rule]
        self.shortfall, self.debt_cap, self.stopped, self.method = "debt", 0, False, "wechat"
        self.people: dict[str, Person] = {}
        self.orders: dict[str, Order] = {}
        self.parked: dict[str, list[dict[int, int]]] = defaultdict(list)
        self.rewards: dict[str, Claim] = {}
        self.reward_days: dict[tuple[str, str], int] = defaultdict(int)
        self.available: dict[str, int] = defaultdict(int)
        self.withdrawals: dict[str, Withdrawal] = {}

    def copy(self) -> Shop:
        return copy.deepcopy(self)

    # people

    def above(self, name: str) -> list[str]:
        found = []
        climbing = self.people[name].referrer
        while climbing is not None:
            found.append(climbing)
            climbing = self.people[climbing].referrer
        return found

    def follow(self, name: str, by: str | None, at: datetime, now: datetime) -> str:
        answer = self._follow(name, by, at, now)
        self.attach(name, now)
        return answer

    def _follow(self, name: str, by: str | None, at: datetime, now: datetime) -> str:
        new = name not in self.people
        person = self.people.setdefault(name, Person())
        bound = by is not None and self._scan(name, by)
        if bound and new and by is not None:
            self._reward(name, by, now)
        person.first_follow = person.first_follow or at
        person.first_follow = min(person.first_follow, at)
        self._turn(person, True, at)
        return "bound" if bound else OK

    def follow_at_suspension(self, name: str, by: str | None, at: datetime, now: datetime) -> str:
        """The promoter is suspended while somebody follows by their code: bound a moment before, rewarded no more."""
        if by is None or self.people[by].active:
            return "another moment"
        self.people[by].active = True
        rewards, days = dict(self.rewards), self.reward_days.copy()
        answer = self._follow(name, by, at, now)
        self.people[by].active, self.rewards, self.reward_days = False, rewards, days
        self.attach(name, now)
        return answer

    def scan(self, name: str, by: str, at: datetime, now: datetime) -> str:
        new = name not in self.people
        person = self.people.setdefault(name, Person())
        bound = self._scan(name, by)
        if new:
            self._turn(person, True, at)
        self.attach(name, now)
        return "bound" if bound else OK

    def _scan(self, name: str, by: str) -> bool:
        if self.people[name].referrer is not None or not self.people[by].active:
            return False
        return self._put_under(name, by)

    def _put_under(self, name: str, to: str | None) -> bool:
        if to is not None and (to == name or name in self.above(to)):
            return False
        self.people[name].referrer = to
        return True

    def _turn(self, person: Person, following: bool, at: datetime) -> None:
        if person.changed_at is None or at >= person.changed_at:
            person.following, person.changed_at = following, at

    def _reward(self, name: str, by: str, now: datetime) -> None:
        day = by, (now + CHINA).date().isoformat()
        self.reward_days[day] += 1
        if self.reward_days[day] <= REWARD_CAP:
            self.rewards[name] = Claim(by, 1, 0, 0, REWARD_FEN, now + REWARD_HOLD)

    def leave(self, name: str, at: datetime) -> str:
        person = self.people.setdefault(name, Person())
        self._turn(person, False, at)
        reward = self.rewards.get(name)
        if (
            reward is None
            or not reward.left
            or reward.due_at is None
            or person.first_follow is None
        ):
            return OK
        if person.first_follow <= at < reward.due_at:
            reward.taken = reward.amount
            if reward.settled:
                self._claw({reward.earner: reward.amount})
        return OK

    def attach(self, name: str, now: datetime) -> str:
        if name not in self.people:
            return "NotFound"
        for order in self.orders.values():
            if order.buyer == name and order.above is None and order.paid_at >= now - WAIT:
                self._know_buyer(order)
        return OK

    def rebind(self, name: str, to: str | None) -> str:
        if name not in self.people or (to is not None and to not in self.people):
            return "NotFound"
        if to is not None and to == name:
            return "Invalid"
        if self.people[name].referrer == to:
            return OK
        return OK if self._put_under(name, to) else "Invalid"

    def suspend(self, name: str, active: bool) -> str:
        self.people[name].active = active
        return OK

    def assign(self, name: str, grade: str, pinned: bool) -> str:
        self.people[name].grade, self.people[name].pinned = grade, pinned
        return OK

    def sweep(self) -> str:
        figures = self.figures()
        for name, person in self.people.items():
            if person.pinned:
                continue
            sales = sum(row[4] - row[5] for (who, _), row in figures.items() if who == name)
            goal = ""
            if self.spent(name) >= SILVER_SPENT:
                goal = "silver"
            if sales >= GOLD_SALES:
                goal = "gold"
            if RANKS[goal] > RANKS[person.grade]:
                person.grade = goal
        return OK

    def spent(self, name: str) -> int:
        return sum(
            sum(order.lines.values()) - sum(order.refunded.values())
            for order in self.orders.values()
            if order.buyer == name and order.above is not None
        )

    def object_to(self, name: str) -> str:
        if name not in self.people:
            return "NotFound"
        self.people[name].disputes = True
        return OK

    def decide(self, name: str, friend: str | None) -> str:
        """Upheld with a friend who moves under the promoter, or without one."""
        if not self.people[name].disputes:
            return "DecidedAlready"
        answer = OK if friend is None else self.rebind(friend, name)
        if answer == OK:
            self.people[name].disputes = False
        return answer

    # orders

    def pay(self, no: str, buyer: str, lines: dict[int, int], now: datetime) -> str:
        if no in self.orders:
            return "known"
        rules = [one for one in self.rules if one.since <= now]
        rule = max(enumerate(rules), key=lambda one: (one[1].since, one[0]), default=(0, None))[1]
        order = self.orders[no] = Order(buyer, lines, now, rule)
        if buyer in self.people:
            self._know_buyer(order)
        for refund in self.parked.pop(no, []):
            self._apply(order, refund)
        return "new"

    def _know_buyer(self, order: Order) -> None:
        order.above = self.above(order.buyer)[: len(LEVELS)]
        self.people[order.buyer].bought = True
        rule = order.rule
        for line, base in order.lines.items():
            for level, earner in enumerate(order.above, start=1):
                person = self.people[earner]
                if rule is None or not person.active:
                    continue
                rate = rule.rates.get(person.grade, rule.rates[""])[level - 1]
                if amount := part(base, rate):
                    claim = Claim(earner, level, base, rate, amount)
                    if order.completed_at is not None:
                        claim.due_at = order.completed_at + rule.freeze
                    order.claims[line, level] = claim
        self._take(order)

    def complete(self, no: str, now: datetime) -> str:
        order = self.orders.get(no)
        if order is None:
            return "NotFound"
        if order.completed_at is None:
            order.completed_at = now
            for claim in order.claims.values():
                if claim.left and not claim.settled and order.rule is not None:
                    claim.due_at = now + order.rule.freeze
        return OK

    def refund(self, no: str, lines: dict[int, int]) -> str:
        if no not in self.orders:
            self.parked[no].append(lines)
            return "parked"
        return "applied" if self._apply(self.orders[no], lines) else "RefundTooLarge"

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
            kept = part(claim.base - order.refunded[line], claim.rate)
            taken = max(0, claim.left - kept)
            claim.taken += taken
            if claim.settled and taken:
                clawed[claim.earner] += taken
        self._claw(clawed)

    def _claw(self, clawed: dict[str, int]) -> None:
        """Take settled money back; who owes then has their approved withdrawals looked at again."""
        for name, fen in clawed.items():
            before = self.available[name]
            after = before - fen
            if self.shortfall != "debt":
                floor = -self.debt_cap if self.shortfall == "capped" else 0
                after = max(after, min(before, floor))
            self.available[name] = after
            if after < 0:
                for one in self.withdrawals.values():
                    if one.name == name and one.status == "approved":
                        one.status, one.round, one.yes = "requested", one.round + 1, set()

    def claims(self) -> list[Claim]:
        return [
            *(claim for order in self.orders.values() for claim in order.claims.values()),
            *self.rewards.values(),
        ]

    def settle(self, now: datetime) -> str:
        if not self.stopped:
            for claim in self.claims():
                due = claim.due_at is not None and claim.due_at <= now
                if due and claim.left and not claim.settled and not claim.held:
                    claim.settled = True
                    self.available[claim.earner] += claim.left
        return OK

    # holds: a claim is named by (order, line, level), or by (friend, 0, 1)

    def claim(self, key: tuple[str, int, int]) -> Claim | None:
        if key[1] == 0:
            return self.rewards.get(key[0])
        order = self.orders.get(key[0])
        return None if order is None else order.claims.get(key[1:])

    def hold(self, key: tuple[str, int, int], until: datetime | None) -> str:
        claim = self.claim(key)
        if claim is None:
            return "NotFound"
        if claim.held:
            return OK
        if claim.status != "frozen":
            return "Invalid"
        claim.held, claim.held_until = True, until
        return OK

    def release(self, key: tuple[str, int, int], *, refuse: bool) -> str:
        claim = self.claim(key)
        if claim is None:
            return "NotFound"
        if claim.held:
            claim.held = False
            if refuse and claim.status == "frozen":
                claim.taken, claim.refused = claim.amount, True
        return OK

    def lapse(self, now: datetime) -> str:
        for claim in self.claims():
            if claim.held and claim.held_until is not None and claim.held_until <= now:
                claim.held = False
        return OK

    # withdrawals, by their token

    def ask(self, token: str, name: str, fen: int, now: datetime) -> str:
        if token in self.withdrawals:
            known = self.withdrawals[token]
            return known.status if known.amount == fen else "Conflict"
        if not MIN_FEN <= fen <= MAX_FEN or not self.people[name].active:
            return "Invalid"
        if self.available[name] < fen:
            return "NotEnough"
        day = (now + CHINA).date()
        today = [
            one
            for one in self.withdrawals.values()
            if one.name == name
            and (one.asked_at + CHINA).date() == day
            and one.status not in {"rejected", "failed"}
        ]
        if len(today) >= PER_DAY:
            return "LimitReached"
        self.available[name] -= fen
        made = self.withdrawals[token] = Withdrawal(name, fen, self.method, now)
        if fen <= AUDIT_ABOVE:
            self.approve(token, "automatic")
        return made.status

    def approve(self, token: str, actor: str) -> str:
        one = self.withdrawals[token]
        if one.status != "requested":
            return "WrongState"
        if actor in one.yes:
            return "Conflict"
        one.yes.add(actor)
        if len(one.yes) >= (2 if one.amount > SECOND_ABOVE else 1):
            one.status = "approved"
        return one.status

    def reject(self, token: str) -> str:
        one = self.withdrawals[token]
        if one.status != "requested":
            return "WrongState"
        one.status = "rejected"
        self.available[one.name] += one.amount
        return one.status

    def begin(self, token: str, now: datetime) -> str:
        one = self.withdrawals[token]
        if one.status == "paying":
            return one.status
        if one.status != "approved" or one.method != "wechat":
            return "WrongState"
        one.status, one.paying_at = "paying", now
        return one.status

    def news(self, token: str, state: str) -> str:
        """What WeChat Pay says: SUCCESS, FAIL, CANCELLED, or that it waits for the member."""
        one = self.withdrawals[token]
        if state == "WAIT_USER_CONFIRM":
            if one.status == "paying":
                one.giving_up_at = None
            return one.status
        return self._finish(one, "paid" if state == "SUCCESS" else "failed")

    def _finish(self, one: Withdrawal, result: str) -> str:
        if one.status == result:
            return result
        if one.status != "paying":
            return "WrongState"
        one.status = result
        if result == "failed":
            self.available[one.name] += one.amount
        return result

    def pay_offline(self, token: str) -> str:
        one = self.withdrawals[token]
        if one.method != "offline":
            return "Invalid"
        if one.status == "approved":
            one.status = "paying"
        return self._finish(one, "paid")

    def give_up(self, token: str, now: datetime) -> str:
        one = self.withdrawals[token]
        if one.status != "paying" or one.method != "wechat":
            return "WrongState"
        if one.paying_at is not None and now - one.paying_at > KNOWN_FOR:
            return "Conflict"
        one.giving_up_at = one.giving_up_at or now
        return one.status

    def no_such_bill(self, token: str, now: datetime) -> str:
        one = self.withdrawals[token]
        if one.status == "failed":
            return one.status
        if one.giving_up_at is None or now < one.giving_up_at + QUIET:
            return "WrongState"
        return self._finish(one, "failed")

    # what can be compared

    def withdrawing(self) -> dict[str, int]:
        sums: dict[str, int] = defaultdict(int)
        for one in self.withdrawals.values():
            if one.is_open:
                sums[one.name] += one.amount
        return sums

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
                row[4] += sum(order.lines.values())
                row[5] += sum(order.refunded.values())
        for claim in self.claims():
            row = sums[claim.earner, claim.level]
            row[6] += claim.left
            row[7] += 0 if claim.settled else claim.left
        return {key: tuple(row) for key, row in sums.items() if any(row)}

    def state(self) -> dict[str, object]:
        """Everything that the rows must say, in the shape that tests/domain/histories.py reads them in."""
        withdrawing = self.withdrawing()
        names = {*self.available, *withdrawing}
        return {
            "claims": {
                (no, line, level): one.facts
                for no, order in self.orders.items()
                for (line, level), one in order.claims.items()
            }
            | {(name, 0, 1): one.facts for name, one in self.rewards.items()},
            "balances": {
                name: (self.available[name], withdrawing[name])
                for name in sorted(names)
                if self.available[name] or withdrawing[name]
            },
            "figures": self.figures(),
            "people": {
                name: (
                    one.referrer,
                    one.following,
                    one.active,
                    one.grade,
                    one.pinned,
                    one.disputes,
                    one.bought,
                )
                for name, one in self.people.items()
            },
            "orders": {
                no: ("paid" if one.completed_at is None else "completed", one.above is not None)
                for no, one in self.orders.items()
            },
            "parked": {
                no: [one for lines in waiting for one in sorted(lines.items())]
                for no, waiting in self.parked.items()
            },
            "withdrawals": {
                token: (one.name, one.amount, one.status, one.round, one.giving_up_at is not None)
                for token, one in self.withdrawals.items()
            },
        }
