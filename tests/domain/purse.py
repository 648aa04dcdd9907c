"""One member's withdrawals, as doors and worker make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import members, payouts, withdrawals
from domain.models import Balance, Outbox, Posting, Withdrawal
from domain.payouts import Payout, ProviderNews, Terms
from tests.domain.world import World

TERMS = Terms("1900000109", "1005", "推广佣金提现", (("岗位类型", "推广员"), ("报酬说明", "佣金")))
WAITING = ProviderNews("WAIT_USER_CONFIRM", "bill-1", "package-1")


@dataclass
class Purse:
    """One member's withdrawals: cai, who has 100 yuan at the beginning."""

    world: World
    name: str = "cai"
    tokens: int = field(default=0)

    def ask(self, fen: int, token: str | None = None, **more: Any) -> Withdrawal:
        self.tokens += 1
        world, name = self.world, self.name

        def work(session: Session) -> Withdrawal:
            member = members.get(session, world.account.id, name)
            return withdrawals.request(
                session, world.account, member, fen,
                client_token=token or f"token-{self.tokens}", now=world.now, **more,
            )  # fmt: skip

        return world.do(work)

    def decide(self, withdrawal: Withdrawal, actor: str = "staff/1") -> Withdrawal:
        world = self.world
        return world.do(
            lambda s: withdrawals.approve(
                s, world.account, withdrawal.id, actor=actor, now=world.now
            )
        )

    def reject(self, withdrawal: Withdrawal, reason: str = "资料不全") -> Withdrawal:
        world = self.world
        return world.do(
            lambda s: withdrawals.reject(
                s, world.account, withdrawal.id, actor="staff/1", reason=reason, now=world.now
            )
        )

    def begin(self, withdrawal: Withdrawal, terms: Terms = TERMS) -> Payout:
        world = self.world
        return world.do(lambda s: payouts.begin(s, world.account, withdrawal.id, terms, world.now))

    def news(self, withdrawal: Withdrawal, news: ProviderNews) -> Withdrawal:
        world = self.world
        return world.do(
            lambda s: payouts.record_news(s, world.account, withdrawal.id, news, world.now)
        )

    def pay(self, withdrawal: Withdrawal) -> Withdrawal:
        """Begin and succeed."""
        self.begin(withdrawal)
        return self.news(withdrawal, ProviderNews("SUCCESS", f"bill-{withdrawal.id}"))

    def now(self, withdrawal: Withdrawal) -> Withdrawal:
        world = self.world
        return world.look(lambda s: withdrawals.get(s, world.account.id, withdrawal.id))

    @property
    def balance(self) -> tuple[int, int]:
        """Available and withdrawing fen."""
        member_id = self.world.id_of(self.name)
        row = self.world.look(lambda s: s.get_one(Balance, member_id))
        return row.available_fen, row.withdrawing_fen

    def postings(self, withdrawal: Withdrawal) -> dict[str, tuple[str, str, int]]:
        """Reason → source, destination and amount of the postings of a withdrawal."""
        query = select(Posting).where(Posting.posting_key.like(f"%-{withdrawal.id}"))
        rows = self.world.look(lambda s: list(s.scalars(query)))
        mine = [row for row in rows if row.reason in {"hold", "back", "paid", "fee", "tax"}]
        return {row.reason: (row.source, row.destination, row.amount_fen) for row in mine}

    def payouts_waiting(self) -> int:
        query = select(func.count()).select_from(Outbox).where(Outbox.topic == "payout")
        return self.world.look(lambda s: s.scalar(query)) or 0
