"""删除个人信息: a member asks that what is personal about them be erased, in the chat's pages.

The ledger, the bindings and the withdrawals are the merchant's books: they stay, without the name behind them. What is
erased and what is kept, column by column, says privacy.py.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit, members, referrals, sessions
from domain.accounts import OpenAccount
from domain.errors import Conflict
from domain.models import Member, Withdrawal
from domain.withdrawals import OPEN


class StillPaying(Conflict):
    """A withdrawal is under way that may need the name."""

    code = "still_paying"


def on_request(session: Session, account: OpenAccount, member: Member, now: datetime) -> None:
    """Name, phone, mail and real name go, every browser is signed out, the request is noted. Raises `StillPaying` while
    a withdrawal is under way."""
    still = select(Withdrawal.id).where(
        Withdrawal.member_id == member.id, Withdrawal.status.in_(OPEN)
    )
    if session.scalar(still.limit(1)) is not None:
        raise StillPaying("a withdrawal is under way", member=member.id)
    members.erase(session, account.id, member.openid)
    referrals.forget(session, account.id, member.openid)
    sessions.end_all(session, account.id, member.openid, now)
    audit.record(
        session, account.id, actor="member", action="personal_data_erased",
        subject=f"member/{member.id}", now=now,
    )  # fmt: skip
