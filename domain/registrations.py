"""拉新奖励: a flat amount for a friend who follows for the first time by a promoter's code (platform.md 13).

Off unless the merchant switches it on. One level; a person is new once, so re-following, other codes and repeated
pushes earn nothing; a daily cap per promoter; a hold window in which leaving takes it back, also when the push that
says so comes after the reward was settled. It is a commission of its own kind: 明细, settlement, withdrawals and the
proof of the books see it like any other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import accounts, commissions, ledger, notices, promoters, withdrawals
from domain.accounts import OpenAccount
from domain.bindings import display_name
from domain.china import day_of
from domain.db import Sql, changed, from_db, to_db
from domain.ledger import Entry
from domain.models import Member
from domain.money import BPS
from domain.tally import Changes

KIND: Final = "registration"
LEFT: Final = "left"
"""The reason of the posting that takes a reward back, wherever the money was."""
LEVEL: Final = 1

_COUNT = Sql(
    "INSERT INTO registration_day (member_id, day, people) VALUES (?, ?, 1)"
    " ON DUPLICATE KEY UPDATE people = people + 1",
    sqlite="INSERT INTO registration_day (member_id, day, people) VALUES (?, ?, 1)"
    " ON CONFLICT (member_id, day) DO UPDATE SET people = people + 1",
)
_PEOPLE = Sql("SELECT people FROM registration_day WHERE member_id = ? AND day = ?")
_INSERT = Sql(
    "INSERT INTO commission (account_id, kind, joined_member_id, level, member_id, base_fen, rate_bps, share_bps,"
    " amount_fen, clawed_fen, status, due_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OF_JOINED = (
    "SELECT c.id, c.account_id, c.member_id, c.level, c.amount_fen, c.due_at, c.status, m.nickname, m.code"
    " FROM commission c JOIN member m ON m.id = c.joined_member_id"
    " WHERE c.joined_member_id = ? AND c.due_at > ? AND c.status IN ('frozen', 'settled') ORDER BY c.id"
)
_OF_JOINED_LOCKED = Sql(_OF_JOINED + " FOR UPDATE", sqlite=_OF_JOINED)
_TAKE = Sql("UPDATE commission SET status = ?, clawed_fen = amount_fen WHERE id = ? AND status = ?")
_FIRST_FOLLOW = Sql("SELECT MIN(at) AS at FROM event WHERE member_id = ? AND kind = 'follow'")


def accrue(
    session: Session,
    account: OpenAccount,
    *,
    promoter_id: int,
    joined_id: int,
    joined_name: str,
    changes: Changes,
    now: datetime,
) -> int:
    """The reward for a new follower who was just bound to a promoter; its amount in fen, 0 when there is none: it is
    off, the promoter may not earn, or their day is full. The day's row is locked, so two friends at once cannot both
    be the last one."""
    settings = account.settings
    if not settings.registration_reward_fen:
        return 0
    promoter = session.get_one(Member, promoter_id, populate_existing=True)
    if not promoters.is_qualified(session, settings, promoter):
        return 0
    day = int(f"{day_of(now):%Y%m%d}")
    _COUNT(session, promoter_id, day)
    if _PEOPLE(session, promoter_id, day).one().people > settings.registration_daily_cap:
        return 0
    amount = settings.registration_reward_fen
    due_at = to_db(now + timedelta(days=settings.registration_hold_days))
    _INSERT(
        session, account.id, KIND, joined_id, LEVEL, promoter_id, amount, BPS, BPS, amount, 0, "frozen", due_at,
        to_db(now),
    )  # fmt: skip
    entry = Entry(
        accrual_key(promoter_id, joined_id), account.id, promoter_id, ledger.COMMISSION, ledger.FROZEN, amount,
        "accrue",
    )  # fmt: skip
    ledger.post(session, [entry], now)
    changes.add(promoter_id, LEVEL, earned_fen=amount, frozen_fen=amount)
    news = notices.News(
        account.id, promoter_id, notices.REGISTRATION_REWARD, f"registration-{promoter_id}-{joined_id}",
        {"friend": joined_name, "amount_fen": amount, "days": settings.registration_hold_days, "at": now.isoformat()},
    )  # fmt: skip
    notices.tell(session, [news], now)
    return amount


def take_back_for(
    session: Session, joined_id: int, left_at: datetime, changes: Changes, now: datetime
) -> None:
    """A follower left at `left_at`, which may be long before `now`: pushes are delayed and reordered. A reward for them
    whose hold window had not ended by then is void, or, when it was settled meanwhile, clawed back from `available`,
    below zero if need be; the account's shortfall policy holds here too. The promoter is told. One statement when there
    is no such reward."""
    for row in _OF_JOINED_LOCKED(session, joined_id, to_db(left_at)).all():
        if left_at < from_db(_FIRST_FOLLOW(session, joined_id).one().at):
            continue  # they left before they came by the code: an earlier time that we did not know
        frozen = row.status == commissions.FROZEN
        status = commissions.VOIDED if frozen else commissions.CLAWED_BACK
        if not changed(_TAKE(session, status, row.id, row.status)):
            continue
        amount = row.amount_fen
        entries = [
            Entry(
                void_key(row.id) if frozen else clawback_key(row.id), row.account_id, row.member_id,
                ledger.FROZEN if frozen else ledger.AVAILABLE, ledger.COMMISSION, amount, LEFT,
            )
        ]  # fmt: skip
        if not frozen:
            settings = accounts.settings_of(accounts.get_by_id(session, row.account_id))
            entries += commissions.absorbed(session, settings, f"registration-{row.id}", entries)
        ledger.post(session, entries, now)
        changes.add(
            row.member_id, row.level, earned_fen=-amount, frozen_fen=-amount if frozen else 0
        )
        if not frozen:
            ledger.fold_into_balances(session, entries)
            withdrawals.ask_again_for_debtors(session, [row.member_id])
        news = notices.News(
            row.account_id, row.member_id, notices.REGISTRATION_VOIDED, f"registration-void-{row.id}",
            {"friend": display_name(row.nickname, row.code), "amount_fen": amount, "at": now.isoformat()},
        )  # fmt: skip
        notices.tell(session, [news], now)


def accrual_key(promoter_id: int, joined_id: int) -> str:
    """The posting that accrues a reward, known from the pair."""
    return f"accrue-registration-{promoter_id}-{joined_id}"


def void_key(commission_id: int) -> str:
    return f"void-registration-{commission_id}"


def clawback_key(commission_id: int) -> str:
    """The posting that takes a settled reward back."""
    return f"clawback-registration-{commission_id}"
