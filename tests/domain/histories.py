"""Histories of the whole shop by a seeded dice: the same verb for the real domain and for the naive shop.

`Driver.round` takes some verbs at the same instant, each in a thread and a transaction of its own, and asks whether
there is an order in which the naive shop, one verb after the other, gives the same answers and ends in the same state.
With one verb that is a comparison; with several it is a proof that what really ran at once was as if it had not.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import (
    commissions,
    disputes,
    grades,
    holds,
    members,
    moves,
    orders,
    payouts,
    promoters,
    refunds,
    registrations,
    withdrawals,
)
from domain.db import Database, maybe_from_db
from domain.errors import DomainError
from domain.members import Touch
from domain.models import Commission, Dispute, Hold, Member, Order, Withdrawal
from domain.payouts import ProviderNews
from domain.refunds import Refunding
from domain.rules import Terms
from domain.tally import COLUMNS
from tests.domain import naive_shop
from tests.domain.naive_shop import Rule, Shop
from tests.domain.purse import TERMS
from tests.domain.world import START, World
from tests.races.together import together

PEOPLE = ("ann", "bob", "cai", "dan", "eve", "fay", "gil")
RULES: tuple[dict[str, tuple[int, ...]], ...] = (
    {"": (1000, 500, 200), "silver": (1200, 500, 200), "gold": (1500, 600, 300)},
    {"": (333, 77, 1), "silver": (333, 333, 333), "gold": (1000, 0, 500)},
    {"": (0, 500, 0), "silver": (700, 500, 100), "gold": (700, 500, 100)},
)
SETTINGS: dict[str, Any] = {
    "registration_reward_fen": naive_shop.REWARD_FEN,
    "registration_daily_cap": naive_shop.REWARD_CAP,
    "registration_hold_days": naive_shop.REWARD_HOLD.days,
    "withdraw_min_fen": naive_shop.MIN_FEN,
    "withdraw_max_fen": naive_shop.MAX_FEN,
    "withdraw_per_day": naive_shop.PER_DAY,
    "withdraw_fee_bps": naive_shop.FEE_BPS,
    "withdraw_tax_bps": naive_shop.TAX_BPS,
    "audit_above_fen": naive_shop.AUDIT_ABOVE,
    "second_above_fen": naive_shop.SECOND_ABOVE,
}
STAFF = ("staff/1", "staff/2")
QUESTIONS = {
    "claims": (
        "SELECT COALESCE(o.order_no, j.openid), COALESCE(c.line_no, 0), c.level, m.openid, c.amount_fen, c.clawed_fen,"
        " c.status, h.id IS NOT NULL, h.expires_at, c.due_at FROM commission c JOIN member m ON m.id = c.member_id"
        " LEFT JOIN orders o ON o.id = c.order_id LEFT JOIN member j ON j.id = c.joined_member_id"
        " LEFT JOIN hold h ON h.open_key = c.id"
    ),
    "balances": (
        "SELECT m.openid, b.available_fen, b.withdrawing_fen FROM balance b JOIN member m ON m.id = b.member_id"
    ),
    "figures": (
        f"SELECT m.openid, t.level, {', '.join(f'SUM(t.{column})' for column in COLUMNS)} FROM tally t"
        " JOIN member m ON m.id = t.member_id GROUP BY m.openid, t.level"
    ),
    "people": (
        "SELECT m.openid, r.openid, m.following, m.status, m.grade, m.grade_pinned, d.id IS NOT NULL,"
        " m.first_paid_at IS NOT NULL FROM member m"
        " LEFT JOIN member r ON r.id = m.referrer_id LEFT JOIN dispute d ON d.open_key = m.id"
    ),
    "orders": "SELECT order_no, status, member_id IS NOT NULL FROM orders",
    "parked": (
        "SELECT r.order_no, l.line_no, l.refund_fen FROM refund r JOIN refund_line l ON l.refund_id = r.id"
        " WHERE r.status = 'parked' ORDER BY r.id, l.line_no"
    ),
    "withdrawals": (
        "SELECT w.client_token, m.openid, w.amount_fen, w.status, w.round,"
        " w.giving_up_at IS NOT NULL FROM withdrawal w"
        " JOIN member m ON m.id = w.member_id"
    ),
}


@dataclass(frozen=True)
class Verb:
    """One thing that somebody does: its words, what it does in the real world, and in the naive one; `beside` is what
    it may do as well when others act at the same instant."""

    words: str
    real: Callable[[Session, World], str]
    naive: Callable[[Shop], str]
    beside: Callable[[Shop], str] | None = None

    def effects(self, alone: bool) -> list[Callable[[Shop], str]]:
        return [self.naive] if alone or self.beside is None else [self.naive, self.beside]


def rule_of(rates: dict[str, tuple[int, ...]], since: datetime, days: int) -> Rule:
    return Rule(since, rates, timedelta(days=days))


class Driver:
    """One history. `threads`: how many verbs a round takes at most."""

    def __init__(self, database: Database, dice: random.Random, threads: int = 1) -> None:
        self.world = World.create(database, **SETTINGS)
        self.dice = dice
        self.threads = threads
        self.steps = 0
        self.log: list[str] = []
        self.numbers = itertools.count(1)
        self.tokens: list[str] = []
        self.orders: dict[str, Any] = {}
        since = START - timedelta(days=365)
        self.shop = Shop(rule_of({"": (1000, 500, 200)}, since, 7))
        self._publish(RULES[0], START - timedelta(days=300), 7)
        self.world.do(self._make_grades)
        for above, name in zip((None, *PEOPLE), PEOPLE[: dice.randint(2, 5)], strict=False):
            self.round([self.follow(name, above)])

    def _make_grades(self, session: Session) -> None:
        ladder = {
            "silver": {"own_spent_fen": naive_shop.SILVER_SPENT},
            "gold": {"team_sales_fen": naive_shop.GOLD_SALES},
        }
        for rank, (code, conditions) in enumerate(ladder.items(), start=1):
            grades.put(
                session, self.world.account.id, code, name=code, rank=rank, conditions=conditions,
                actor="staff/1", now=START,
            )  # fmt: skip

    # --- rounds -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Something alone, or some verbs at the same instant."""
        if self.dice.random() < 0.2:
            self.dice.choice([self.wait, self.wait, self.fold, self.change])()
            self.steps += 1
            return
        number = self.dice.randint(1, self.threads)
        self.round([self._verb() for _ in range(number)])

    def round(self, verbs: Sequence[Verb]) -> None:
        """Take the verbs at once; find the order in which the naive shop agrees with what came of it."""
        self.world.now += timedelta(seconds=1)
        here = replace(self.world)

        def take(verb: Verb) -> Callable[[], str]:
            def run() -> str:
                try:
                    return here.do(lambda session: verb.real(session, here))
                except DomainError as error:
                    return type(error).__name__

            return run

        calls = [take(verb) for verb in verbs]
        answers = together(calls) if len(calls) > 1 else [calls[0]()]
        told = list(zip(verbs, answers, strict=True))
        self.log.append(" ∥ ".join(f"{verb.words} → {answer}" for verb, answer in told))
        self.steps += len(verbs)
        seen = self.state()
        ends = self._ends(self.shop, told, len(verbs) == 1)
        found = next((shop for shop in ends if shop.state() == seen), None)
        assert found is not None, self._story(told, seen)
        self.shop = found

    def _ends(self, shop: Shop, left: Sequence[tuple[Verb, str]], alone: bool) -> Iterator[Shop]:
        """The naive shops after every order of the verbs that gives these answers."""
        if not left:
            yield shop
            return
        for place, (verb, answer) in enumerate(left):
            for effect in verb.effects(alone):
                after = shop.copy()
                if effect(after) == answer:
                    yield from self._ends(after, [*left[:place], *left[place + 1 :]], alone)

    def _story(self, told: Sequence[tuple[Verb, str]], seen: dict[str, object]) -> str:
        """The last lines of the log, and how each possible end differs from what is there."""
        ends = {
            str(
                [
                    _difference(name, end[name], seen[name])
                    for name in seen
                    if seen[name] != end[name]
                ]
            )
            for end in (shop.state() for shop in self._ends(self.shop, told, len(told) == 1))
        }
        return "\n".join(
            [*self.log[-12:], "expected, found:", *(ends or {"no order gives these answers"})]
        )

    def state(self) -> dict[str, object]:
        """What the rows say, at one moment."""
        rows = self.world.look(
            lambda s: {
                name: [tuple(row) for row in s.connection().exec_driver_sql(question)]
                for name, question in QUESTIONS.items()
            }
        )
        figures = {row[:2]: tuple(int(one) for one in row[2:]) for row in rows["figures"]}
        return {
            "claims": {
                row[:3]: (*row[3:7], bool(row[7]), *map(maybe_from_db, row[8:]))
                for row in rows["claims"]
            },
            "balances": {row[0]: row[1:] for row in rows["balances"] if any(row[1:])},
            "figures": {key: row for key, row in figures.items() if any(row)},
            "people": {
                row[0]: (row[1], bool(row[2]), row[3] == "active", row[4], *map(bool, row[5:]))
                for row in rows["people"]
            },
            "orders": {row[0]: (row[1], bool(row[2])) for row in rows["orders"]},
            "parked": _by_order(rows["parked"]),
            "withdrawals": {row[0]: (*row[1:5], bool(row[5])) for row in rows["withdrawals"]},
        }  # fmt: skip

    # --- alone ------------------------------------------------------------------------------------------------------

    def wait(self) -> None:
        span = self.dice.choice([{"minutes": 6}, {"hours": 11}, {"days": 4}, {"days": 8}])
        self.world.later(**span)
        self.log.append(f"wait {span}")

    def fold(self) -> None:
        self.world.fold()
        self.log.append("fold")

    def change(self) -> None:
        """Other settings, or another rule from now on, or from tomorrow."""
        what = self.dice.choice(["shortfall", "stopped", "method", "rule"])
        if what == "shortfall":
            policy, cap = (
                self.dice.choice(["debt", "capped", "absorbed"]),
                self.dice.choice([0, 500]),
            )
            self.world.change(shortfall=policy, debt_cap_fen=cap)
            self.shop.shortfall, self.shop.debt_cap = policy, cap
        elif what == "stopped":
            self.shop.stopped = not self.shop.stopped and self.dice.random() < 0.3
            self.world.change(commissions_stopped=self.shop.stopped)
        elif what == "method":
            self.shop.method = self.dice.choice(["wechat", "wechat", "offline"])
            self.world.change(payout_method=self.shop.method)
        else:
            since = self.world.now + timedelta(days=self.dice.choice([-1, 0, 1]))
            self._publish(self.dice.choice(RULES), since, self.dice.choice([3, 7]))
        self.log.append(f"change {what}")

    def _publish(self, rates: dict[str, tuple[int, ...]], since: datetime, days: int) -> None:
        terms = {name: Terms(values) for name, values in rates.items() if name}
        self.world.rule(rates[""], freeze_days=days, grades=terms, effective_at=since)
        self.shop.rules.append(rule_of(rates, since, days))

    # --- verbs ------------------------------------------------------------------------------------------------------

    def _verb(self) -> Verb:
        """Any verb; the ways that lead somewhere more often than chance alone would take them."""
        pick = self.dice.choices(
            (
                self._any_follow, self._any_scan, self._any_leave, self._any_rebind, self._any_suspension,
                self._any_grade, self._any_dispute, self._any_pay, self._any_complete, self._any_refund,
                self._any_settle, self._any_hold, self._any_request, self._any_decision, self._any_payout,
            ),
            (6, 3, 4, 3, 2, 3, 3, 12, 14, 14, 12, 6, 14, 10, 14),
        )[0]  # fmt: skip
        return pick()

    def _name(self) -> str:
        return self.dice.choice(PEOPLE)

    def _known(self) -> str:
        return self.dice.choice(sorted(self.shop.people))

    def follow(self, name: str, by: str | None) -> Verb:
        at = self.world.now + timedelta(seconds=1)
        key = f"push-{next(self.numbers)}"
        code = self.world.code_of(by) if by else None

        def real(session: Session, world: World) -> str:
            touch = members.follow(
                session, world.account, name, scene_code=code, created=int(at.timestamp()), push_key=key,
                now=world.now,
            )  # fmt: skip
            return _welcome(session, world, touch)

        return Verb(
            f"{name} follows by {by}", real, lambda shop: shop.follow(name, by, at, self.world.now),
            lambda shop: shop.follow_at_suspension(name, by, at, self.world.now),
        )  # fmt: skip

    def _any_follow(self) -> Verb:
        name = self._name()
        if self.dice.random() < 0.4 and name in self.shop.people:
            return self._attach(name)
        return self.follow(name, self.dice.choice([None, self._known(), self._known()]))

    def _attach(self, name: str) -> Verb:
        def real(session: Session, world: World) -> str:
            member = members.get(session, world.account.id, name)
            orders.attach_waiting(session, world.account, member, world.now)
            return "ok"

        return Verb(f"{name} is attached", real, lambda shop: shop.attach(name, self.world.now))

    def _any_scan(self) -> Verb:
        name, by = self._name(), self._known()
        key, code, at = f"push-{next(self.numbers)}", self.world.code_of(by), self.world.now

        def real(session: Session, world: World) -> str:
            touch = members.scan(
                session, world.account, name, scene_code=code, created=int(at.timestamp()), push_key=key, now=world.now
            )  # fmt: skip
            return _welcome(session, world, touch)

        return Verb(
            f"{name} scans {by}", real, lambda shop: shop.scan(name, by, at, self.world.now)
        )

    def _any_leave(self) -> Verb:
        """Now, or a push that comes seconds, hours or days late."""
        late = self.dice.choice(
            [timedelta(0), timedelta(seconds=20), timedelta(hours=5), timedelta(days=5)]
        )
        name, key, at = self._name(), f"push-{next(self.numbers)}", self.world.now - late

        def real(session: Session, world: World) -> str:
            members.leave(
                session, world.account, name, created=int(at.timestamp()), push_key=key, now=world.now
            )  # fmt: skip
            return "ok"

        return Verb(f"{name} left {late} ago", real, lambda shop: shop.leave(name, at))

    def _any_rebind(self) -> Verb:
        name, to = (
            self._known(),
            self.dice.choice([None, self._known(), self._known(), self._known()]),
        )

        def real(session: Session, world: World) -> str:
            moves.rebind(
                session, world.account, name, to, reason="核实", actor="staff/1", now=world.now
            )
            return "ok"

        return Verb(f"{name} is put under {to}", real, lambda shop: shop.rebind(name, to))

    def _any_suspension(self) -> Verb:
        name, active = self._known(), self.dice.random() < 0.6

        def real(session: Session, world: World) -> str:
            member_id = members.get(session, world.account.id, name).id
            if active:
                promoters.reinstate(
                    session, world.account.id, member_id, actor="staff/1", now=world.now
                )
            else:
                promoters.suspend(
                    session,
                    world.account.id,
                    member_id,
                    actor="staff/1",
                    reason="核实",
                    now=world.now,
                )
            return "ok"

        return Verb(f"{name} active {active}", real, lambda shop: shop.suspend(name, active))

    def _any_grade(self) -> Verb:
        if self.dice.random() < 0.5 and self.threads == 1:
            return Verb("sweep of grades", _sweep, lambda shop: shop.sweep())
        name, code = self._known(), self.dice.choice(["", "silver", "gold"])
        pinned = self.dice.random() < 0.2

        def real(session: Session, world: World) -> str:
            member_id = members.get(session, world.account.id, name).id
            grades.assign(
                session, world.account.id, member_id, code, pinned=pinned, actor="staff/1", reason="核实",
                now=world.now,
            )  # fmt: skip
            return "ok"

        return Verb(
            f"{name} is {code} {pinned}", real, lambda shop: shop.assign(name, code, pinned)
        )

    def _any_dispute(self) -> Verb:
        name = self._known()
        key = f"say-{next(self.numbers)}"
        if not self.shop.people[name].disputes:

            def objects(session: Session, world: World) -> str:
                disputes.open_or_add(
                    session, world.account, name, "是我邀请的", push_key=key, now=world.now
                )
                return "ok"

            return Verb(f"{name} objects", objects, lambda shop: shop.object_to(name))
        friend = self.dice.choice([None, self._known()])
        number = self.world.look(
            lambda s: s.scalar(select(Dispute.id).where(Dispute.open_key == _id_of(s, self.world, name)))
        )  # fmt: skip

        def decides(session: Session, world: World) -> str:
            disputes.decide(
                session, world.account, number or 0, upheld=True, answer="属实", friend_openid=friend, actor="staff/1",
                now=world.now,
            )  # fmt: skip
            return "ok"

        return Verb(f"{name} gets {friend}", decides, lambda shop: shop.decide(name, friend))

    # orders

    def _any_pay(self) -> Verb:
        if self.orders and self.dice.random() < 0.15:
            no = self.dice.choice(sorted(self.orders))
        else:
            no = f"A{next(self.numbers)}"
            fen = [
                self.dice.choice([37, 2_997, 100_000, 1_000_000])
                for _ in range(self.dice.randint(1, 2))
            ]
            self.orders[no] = self.world.order(
                self._name(), *fen, no=no, paid_at=self.world.now + timedelta(seconds=1)
            )
        order = self.orders[no]
        lines = {line.line_no: line.paid_fen for line in order.lines}

        def real(session: Session, world: World) -> str:
            new = orders.record_paid(session, world.account, [order], world.now)
            return "new" if new else "known"

        buyer = order.buyer.openid

        def joined_meanwhile(shop: Shop) -> str:
            """Somebody who joins at this moment gets all orders that waited for them, not this one alone."""
            answer = shop.pay(no, buyer, lines, order.paid_at)
            shop.attach(buyer, self.world.now)
            return answer

        return Verb(
            f"{buyer} pays {no} {lines}", real, lambda shop: shop.pay(no, buyer, lines, order.paid_at),
            joined_meanwhile,
        )  # fmt: skip

    def _order(self, fits: Callable[[naive_shop.Order], bool]) -> str:
        """The number of an order, half of the time of one that fits."""
        fitting = [no for no, order in self.shop.orders.items() if fits(order)]
        pool = fitting if fitting and self.dice.random() < 0.5 else list(self.orders)
        return self.dice.choice(sorted(pool) or ["A0"])

    def _any_complete(self) -> Verb:
        no = self._order(lambda one: one.completed_at is None)

        def real(session: Session, world: World) -> str:
            orders.complete(session, world.account, no, world.now)
            return "ok"

        return Verb(f"{no} arrives", real, lambda shop: shop.complete(no, self.world.now))

    def _any_refund(self) -> Verb:
        early = self.dice.random() < 0.1
        no = (
            f"A{next(self.numbers)}"
            if early
            else self._order(lambda one: any(c.settled for c in one.claims.values()))
        )
        known = self.shop.orders.get(no)
        line = self.dice.choice([1, 1, 2])
        rest = 500 if known is None else known.lines.get(line, 0) - known.refunded[line]
        lines = {line: max(1, rest * self.dice.choice([1, 33, 50, 100, 101]) // 100)}
        if early:  # its order comes later
            tomorrow = self.world.now + timedelta(days=1)
            self.orders[no] = self.world.order(self._name(), 900, 400, no=no, paid_at=tomorrow)
        made = Refunding(no, f"R{next(self.numbers)}", lines)

        def real(session: Session, world: World) -> str:
            return refunds.record(session, world.account, made, world.now).status

        return Verb(f"refund of {no} {lines}", real, lambda shop: shop.refund(no, lines))

    def _any_settle(self) -> Verb:
        def real(session: Session, world: World) -> str:
            commissions.settle_due(session, world.account, world.now, 5_000)
            return "ok"

        return Verb("settlement", real, lambda shop: shop.settle(self.world.now))

    # holds

    def _any_hold(self) -> Verb:
        if self.dice.random() < 0.2:
            return Verb("holds lapse", _lapse, lambda shop: shop.lapse(self.world.now))
        keys = [(no, *key) for no, order in self.shop.orders.items() for key in order.claims] + [
            (name, 0, 1) for name in self.shop.rewards
        ]
        key = self.dice.choice(sorted(keys) or [("A0", 1, 1)])
        act = self.dice.choice(["hold", "hold", "release", "refuse"])
        until = self.dice.choice([None, self.world.now + timedelta(days=5)])

        def real(session: Session, world: World) -> str:
            commission_id = _commission_id(session, world, key)
            if act == "hold":
                holds.hold(
                    session, world.account.id, commission_id, reason="核实", actor="staff/1", expires_at=until,
                    now=world.now,
                )  # fmt: skip
                return "ok"
            if not commission_id:
                return "NotFound"
            ids = list(session.scalars(select(Hold.id).where(Hold.open_key == commission_id)))
            if act == "release":
                holds.release(session, world.account.id, ids, actor="staff/1", now=world.now)
            else:
                holds.refuse(
                    session, world.account.id, ids, actor="staff/1", reason="同一人", now=world.now
                )
            return "ok"

        def naive(shop: Shop) -> str:
            return (
                shop.hold(key, until)
                if act == "hold"
                else shop.release(key, refuse=act == "refuse")
            )

        return Verb(f"{act} {key}", real, naive)

    # withdrawals

    def _any_request(self) -> Verb:
        name = self._known()
        if self.tokens and self.dice.random() < 0.15:
            token = self.dice.choice(self.tokens)
            fen = self.dice.choice([500, 1_000])
            name = self.shop.withdrawals[token].name if token in self.shop.withdrawals else name
        else:
            token = f"T{next(self.numbers)}"
            rich = max(self.shop.available.items(), key=lambda one: one[1], default=(name, 0))
            name = self.dice.choice([name, rich[0]])
            have = min(self.shop.available[name], naive_shop.MAX_FEN)
            some = [500, 500, 1_000, 5_000, max(1, have // 3), have + 1]
            fen = have if have >= 50 and self.dice.random() < 0.5 else self.dice.choice(some)

        def real(session: Session, world: World) -> str:
            member = members.get(session, world.account.id, name)
            return withdrawals.request(
                session, world.account, member, fen, client_token=token, now=world.now
            ).status

        self.tokens.append(token)
        return Verb(
            f"{name} asks for {fen} {token}",
            real,
            lambda shop: shop.ask(token, name, fen, self.world.now),
        )

    def _token(self, *statuses: str) -> str | None:
        """A withdrawal, most often one in these states."""
        fitting = [key for key, one in self.shop.withdrawals.items() if one.status in statuses]
        every = sorted(self.shop.withdrawals)
        pool = fitting if fitting and self.dice.random() < 0.8 else every
        return self.dice.choice(sorted(pool)) if pool else None

    def _any_decision(self) -> Verb:
        token = self._token("requested")
        if token is None:
            return self._any_request()
        actor = self.dice.choice(STAFF)
        yes = self.dice.random() < 0.8

        def real(session: Session, world: World) -> str:
            number = _withdrawal_id(session, world, token)
            if yes:
                return withdrawals.approve(
                    session, world.account, number, actor=actor, now=world.now
                ).status
            return withdrawals.reject(
                session, world.account, number, actor=actor, reason="资料不全", now=world.now
            ).status

        def naive(shop: Shop) -> str:
            return shop.approve(token, actor) if yes else shop.reject(token)

        return Verb(f"{actor} says {yes} to {token}", real, naive)

    def _any_payout(self) -> Verb:
        token = self._token("approved", "paying")
        if token is None:
            return self._any_request()
        act = self._act(self.shop.withdrawals[token])

        def real(session: Session, world: World) -> str:
            number = _withdrawal_id(session, world, token)
            if act in ACTS:
                return ACTS[act](session, world, number)
            news = ProviderNews(act, f"bill-{number}", "package")
            return payouts.record_news(session, world.account, number, news, world.now).status

        def naive(shop: Shop) -> str:
            if act in NAIVE_ACTS:
                return NAIVE_ACTS[act](shop, token, self.world.now)
            return shop.news(token, act)

        return Verb(f"{act} {token}", real, naive)

    def _act(self, one: naive_shop.Withdrawal) -> str:
        """Most often something that can be done to a withdrawal in its state."""
        likely = ["SUCCESS", "SUCCESS", "FAIL", "CANCELLED", "WAIT_USER_CONFIRM", "give up"]
        if one.giving_up_at is not None:
            likely = ["no such bill"]
        elif one.status == "approved":
            likely = ["begin" if one.method == "wechat" else "offline"]
        return self.dice.choice(likely if self.dice.random() < 0.85 else [*ACTS, *likely, "FAIL"])


def _begin(session: Session, world: World, number: int) -> str:
    payouts.begin(session, world.account, number, TERMS, world.now)
    return withdrawals.PAYING


ACTS: dict[str, Callable[[Session, World, int], str]] = {
    "begin": _begin,
    "offline": lambda s, w, n: (
        payouts.pay_offline(s, w.account, n, actor="staff/1", proof="回单 1", now=w.now).status
    ),
    "give up": lambda s, w, n: (
        payouts.give_up(s, w.account, n, actor="staff/1", reason="没有权限", now=w.now).status
    ),
    "no such bill": lambda s, w, n: payouts.finish_unsent(s, w.account, n, w.now).status,
}
NAIVE_ACTS: dict[str, Callable[[Shop, str, datetime], str]] = {
    "begin": Shop.begin,
    "offline": lambda shop, token, _now: shop.pay_offline(token),
    "give up": Shop.give_up,
    "no such bill": Shop.no_such_bill,
}


def _welcome(session: Session, world: World, touch: Touch) -> str:
    """What the door does in the transaction of a follow or scan: orders that waited for this person find them."""
    member = session.get_one(Member, touch.member_id)
    orders.attach_waiting(session, world.account, member, world.now)
    return "ok" if touch.referrer is None else "bound"


def _difference(name: str, expected: Any, found: Any) -> dict[str, object]:
    """The rows of one question that differ: key → (expected, found)."""
    return {
        f"{name} {key}": (expected.get(key), found.get(key))
        for key in {*expected, *found}
        if expected.get(key) != found.get(key)
    }


def _by_order(rows: Sequence[tuple[Any, ...]]) -> dict[str, list[tuple[int, int]]]:
    """Order number → (line, fen) of its parked refunds, in the order in which they will be applied."""
    found: dict[str, list[tuple[int, int]]] = {}
    for order_no, line_no, fen in rows:
        found.setdefault(order_no, []).append((line_no, fen))
    return found


def _sweep(session: Session, world: World) -> str:
    grades.sweep(session, world.account.id, world.now, pause=timedelta(0))
    return "ok"


def _lapse(session: Session, world: World) -> str:
    holds.lapse_due(session, world.account.id, world.now)
    return "ok"


def _id_of(session: Session, world: World, name: str) -> int:
    return members.get(session, world.account.id, name).id


def _withdrawal_id(session: Session, world: World, token: str) -> int:
    query = select(Withdrawal.id).where(
        Withdrawal.account_id == world.account.id, Withdrawal.client_token == token
    )
    return session.scalars(query).one()


def _commission_id(session: Session, world: World, key: tuple[str, int, int]) -> int:
    """The commission of (order, line, level) or (friend, 0, 1); 0 when there is none."""
    name, line_no, level = key
    if line_no == 0:
        joined = select(Member.id).where(
            Member.account_id == world.account.id, Member.openid == name
        )
        query = select(Commission.id).where(
            Commission.joined_member_id == joined.scalar_subquery(),
            Commission.kind == registrations.KIND,
        )
    else:
        order = select(Order.id).where(Order.account_id == world.account.id, Order.order_no == name)
        query = select(Commission.id).where(
            Commission.order_id == order.scalar_subquery(), Commission.line_no == line_no,
            Commission.level == level,
        )  # fmt: skip
    return session.scalar(query) or 0
