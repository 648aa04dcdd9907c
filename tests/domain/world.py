"""A small shop world for the tests of the domain: one account, people known by name, and a clock that is moved.

A person's name is their openid. Every call is one transaction, as a door would make it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import accounts, bindings, commissions, members, orders, proof, refunds, rules, scenes
from domain.accounts import OpenAccount
from domain.bindings import Person, display_name
from domain.db import Database
from domain.members import Summary, Touch
from domain.models import Balance, Commission, Member, Notice, Order, Refund
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.refunds import Refunding
from domain.rules import Terms
from domain.secrets import Keyring
from domain.tally import Changes, FoldedBySomebodyElse, fold

T = TypeVar("T")

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
KEYRING = Keyring(bytes(range(32)))
RATES = (1000, 500, 200)


def open_account(database: Database, slug: str = "tea", **settings: Any) -> OpenAccount:
    """An account of three levels without a rule; other settings than the defaults by name."""

    def add(session: Session) -> OpenAccount:
        account = accounts.add(
            session, KEYRING, slug=slug, name=slug, app_id=f"wx-{slug}", gh_id=f"gh-{slug}",
            app_secret=f"app secret of {slug}", token=f"token4{slug}", aes_key="k" * 43, mode="safe", depth=3,
            settings=accounts.Settings.parse(settings), now=START,
        )  # fmt: skip
        return accounts.unseal(account, KEYRING)

    return database.transact(add)


@dataclass
class World:
    """The account, its people and its day."""

    database: Database
    account: OpenAccount
    now: datetime = START
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def create(cls, database: Database, slug: str = "tea", **settings: Any) -> World:
        """An account with 10 % / 5 % / 2 % and seven days of freeze from completion."""
        world = cls(database, open_account(database, slug, **settings))
        world.rule()
        return world

    def do(self, fn: Callable[[Session], T]) -> T:
        return self.database.transact(fn)

    def look(self, fn: Callable[[Session], T]) -> T:
        return self.database.read(fn)

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def change(self, **settings: Any) -> None:
        """Other settings from now on."""

        def write(session: Session) -> OpenAccount:
            account = accounts.get(session, self.account.slug)
            accounts.change_settings(session, account, settings)
            session.refresh(account)
            return accounts.unseal(account, KEYRING)

        self.account = self.do(write)

    def rule(
        self,
        rates: tuple[int, ...] = RATES,
        *,
        pool_bps: int | None = None,
        depth: int = 3,
        freeze_days: int = 7,
        self_purchase: bool = False,
        grades: dict[str, Terms] | None = None,
        effective_at: datetime | None = None,
    ) -> int:
        """Publish a version, in force from the beginning unless `effective_at` says otherwise; its id."""
        return self.do(
            lambda session: (
                rules.add(
                    session, self.account.id, terms=Terms(rates, pool_bps),
                    max_total_bps=self.account.settings.max_total_bps, depth=depth, freeze_days=freeze_days,
                    self_purchase=self_purchase, grades=grades,
                    effective_at=effective_at or START - timedelta(days=365), actor="test", now=self.now,
                ).id
            )
        )  # fmt: skip

    # --- people -------------------------------------------------------------------------------------------------

    def _push(self, created: datetime | None, key: str | None) -> dict[str, Any]:
        self.now += timedelta(seconds=1)
        return {
            "created": int((created or self.now).timestamp()),
            "push_key": key or f"push-{next(self._numbers)}",
            "now": self.now,
        }

    def follow(
        self,
        name: str,
        by: str | None = None,
        *,
        code: str | None = None,
        created: datetime | None = None,
        key: str | None = None,
    ) -> Touch:
        """Subscribe, by the code of another person or by any code."""
        code = self.code_of(by) if by else code
        push = self._push(created, key)
        return self.do(lambda s: members.follow(s, self.account, name, scene_code=code, **push))

    def scan(
        self,
        name: str,
        by: str | None = None,
        *,
        code: str | None = None,
        created: datetime | None = None,
        key: str | None = None,
    ) -> Touch:
        """Scan the code of another person, or any code."""
        code = self.code_of(by) if by else (code or "")
        push = self._push(created, key)
        return self.do(lambda s: members.scan(s, self.account, name, scene_code=code, **push))

    def leave(self, name: str, *, created: datetime | None = None, key: str | None = None) -> Touch:
        push = self._push(created, key)
        return self.do(lambda s: members.leave(s, self.account, name, **push))

    def people(self, *names: str) -> None:
        """Followers, each by the code of the one before: people("a", "b", "c") makes a → b → c."""
        for above, name in zip((None, *names[:-1]), names, strict=True):
            self.follow(name, above)

    def code_of(self, name: str) -> str:
        return self.do(
            lambda s: scenes.of_member(s, self.account.id, self.id_of(name), self.now).code
        )

    def member(self, name: str) -> Member:
        return self.look(lambda s: members.get(s, self.account.id, name))

    def name_of(self, name: str) -> str:
        """What others read."""
        member = self.member(name)
        return display_name(member.nickname, member.code)

    def id_of(self, name: str) -> int:
        return self.member(name).id

    def referrer_of(self, name: str) -> str | None:
        referrer_id = self.member(name).referrer_id
        if referrer_id is None:
            return None
        return self.look(lambda s: s.get_one(Member, referrer_id).openid)

    def uplines_of(self, name: str) -> list[str]:
        member_id = self.id_of(name)
        return self.look(lambda s: [one.openid for _, one in members.uplines(s, member_id)])

    def summary(self, name: str) -> Summary:
        found = self.look(lambda s: members.summary(s, self.account.id, name))
        assert found is not None
        return found

    def suspend(self, name: str) -> None:
        def write(session: Session) -> None:
            members.get(session, self.account.id, name).status = "suspended"
            session.flush()

        self.do(write)

    def bind(self, name: str, referrer: str | None) -> str | None:
        """As the console rebinds or clears: None, or why it was refused."""
        referrer_id = None if referrer is None else self.id_of(referrer)
        return self.do(lambda s: self.bind_in(s, self.id_of(name), referrer_id))

    def bind_in(self, session: Session, member_id: int, referrer_id: int | None) -> str | None:
        """The same inside a transaction of the caller's."""
        locked = select(Member).where(Member.id == member_id).with_for_update()
        row = session.scalars(locked.execution_options(populate_existing=True)).one()
        person = Person(
            row.id, row.code, row.nickname, row.referrer_id, row.bound_at, row.following, row.follow_changed_at,
            row.first_paid_at is not None,
        )  # fmt: skip
        changes = Changes()
        refused = bindings.set_referrer(
            session, self.account.id, person, referrer_id,
            scene_id=None, reason="console", actor="staff/1", changes=changes, now=self.now,
        )  # fmt: skip
        changes.write(session)
        return refused

    def attach(self, name: str) -> int:
        """Give a member the orders that wait for them, as the doors do after a follow."""
        return self.do(
            lambda s: orders.attach_waiting(
                s, self.account, members.get(s, self.account.id, name), self.now
            )
        )

    # --- money --------------------------------------------------------------------------------------------------

    def order(
        self,
        buyer: str | Buyer,
        *paid_fen: int,
        no: str | None = None,
        skus: Sequence[str] = (),
        shipping_fen: int = 0,
        paid_at: datetime | None = None,
    ) -> PaidOrder:
        """An order as the shop would report it, with lines 1, 2, …"""
        lines = tuple(
            PaidLine(number, f"茶 {number}", 1, fen, skus[number - 1] if skus else None)
            for number, fen in enumerate(paid_fen, start=1)
        )
        return PaidOrder(
            no or f"no-{next(self._numbers)}",
            Buyer(openid=buyer) if isinstance(buyer, str) else buyer,
            lines,
            paid_at or self.now,
            shipping_fen,
        )

    def pay(self, buyer: str | Buyer, *paid_fen: int, **more: Any) -> str:
        """Report a paid order; its number."""
        order = self.order(buyer, *paid_fen, **more)
        self.record(order)
        return order.order_no

    def record(self, *batch: PaidOrder) -> set[str]:
        return self.do(lambda s: orders.record_paid(s, self.account, batch, self.now))

    def complete(self, order_no: str, at: datetime | None = None) -> None:
        self.do(lambda s: orders.complete(s, self.account, order_no, at or self.now))

    def refund(
        self, order_no: str, lines: dict[int, int], *, no: str | None = None, shipping_fen: int = 0
    ) -> Refund:
        made = Refunding(order_no, no or f"r-{next(self._numbers)}", lines, shipping_fen)
        return self.do(lambda s: refunds.record(s, self.account, made, self.now))

    def settle(self, limit: int = 500) -> int:
        """Settle everything that is due, batch by batch; how many commissions."""
        total = 0
        while number := self.do(lambda s: commissions.settle_due(s, self.account, self.now, limit)):
            total += number
        return total

    def fold(self) -> None:
        while self.do(fold):
            pass

    def try_fold(self) -> bool:
        """Fold once; False when another fold was first."""
        try:
            self.do(fold)
        except FoldedBySomebodyElse:
            return False
        return True

    def pay_and_settle(self, buyer: str, *paid_fen: int) -> str:
        """An order whose commissions are settled."""
        order_no = self.pay(buyer, *paid_fen)
        self.complete(order_no)
        self.later(days=8)
        self.settle()
        return order_no

    # --- what came of it ----------------------------------------------------------------------------------------

    def stored(self, order_no: str) -> Order:
        return self.look(lambda s: orders.get(s, self.account.id, order_no))

    def commissions(self, order_no: str) -> list[Commission]:
        return self.look(
            lambda s: commissions.of_order(s, orders.get(s, self.account.id, order_no).id)
        )

    def left(self, order_no: str) -> list[int]:
        """What is left of each commission of the order, by line and level."""
        return [one.amount_fen - one.clawed_fen for one in self.commissions(order_no)]

    def states(self, order_no: str) -> list[str]:
        return [one.status for one in self.commissions(order_no)]

    def nobody(self, order_no: str) -> list[str]:
        """For each share of the plan: "" when somebody earns it, else why not."""

        def ask(session: Session) -> list[str]:
            order = orders.get(session, self.account.id, order_no)
            lines = orders.lines_of(session, order.id)
            return [one.nobody for one in orders.shares_of(session, order, lines)]

        return self.look(ask)

    def available(self, name: str) -> int:
        """可提现, from the balance row."""
        member_id = self.id_of(name)
        query = select(Balance.available_fen).where(Balance.member_id == member_id)
        return self.look(lambda s: s.scalar(query)) or 0

    def frozen(self, name: str) -> int:
        """冻结中, from the commissions."""
        left = func.sum(Commission.amount_fen - Commission.clawed_fen)
        query = select(left).where(
            Commission.member_id == self.id_of(name), Commission.status == "frozen"
        )
        return int(self.look(lambda s: s.scalar(query)) or 0)

    def told(self, name: str, occasion: str) -> list[Notice]:
        """Notices of one occasion to one member, oldest first."""
        query = select(Notice).where(
            Notice.member_id == self.id_of(name), Notice.occasion == occasion
        )
        return self.look(lambda s: list(s.scalars(query.order_by(Notice.id))))

    def books(self) -> proof.Report:
        return self.look(proof.ledger_check)

    def tree(self) -> proof.Report:
        return self.look(proof.members_check)

    def check(self) -> None:
        """Both proofs hold."""
        wrong = self.books().differences + self.tree().differences
        assert not wrong, wrong
