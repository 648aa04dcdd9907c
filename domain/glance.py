"""概览: the account at a glance. What is costly to count is counted by a job every few minutes, never by who looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import reports, tasks, withdrawals
from domain.china import bounds, day_of
from domain.db import Database, Sql, to_db
from domain.models import AccountDay, Daily

SPANS: Final = (7, 30, 90)
LATE: Final = timedelta(hours=1)
"""For so long after midnight the day before is counted once more."""

_FOLLOWING: Final = Sql("SELECT COUNT(*) FROM member WHERE account_id = ? AND following = 1")
_BOUND: Final = Sql(
    "SELECT COUNT(*) FROM binding_history WHERE account_id = ? AND at >= ? AND at < ? AND to_referrer_id IS NOT NULL"
)
_LEFT: Final = Sql(
    "SELECT CASE WHEN state = 'dead' OR delivery IN ('failed', 'blocked') THEN 1 ELSE 0 END AS bad, COUNT(*) AS n"
    " FROM outbox WHERE account_id = ? AND done_at >= ? AND done_at < ? GROUP BY bad"
)
_KEEP: Final = Sql(
    "INSERT INTO account_day (account_id, day, following, bound, sent, failed, counted_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE following = VALUES(following), bound = VALUES(bound),"
    " sent = VALUES(sent), failed = VALUES(failed), counted_at = VALUES(counted_at)",
    sqlite="INSERT INTO account_day (account_id, day, following, bound, sent, failed, counted_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, day) DO UPDATE SET following = excluded.following,"
    " bound = excluded.bound, sent = excluded.sent, failed = excluded.failed, counted_at = excluded.counted_at",
)


def count(database: Database, account_id: int, now: datetime) -> None:
    """Count today, and soon after midnight yesterday once more; a day that is over keeps its followers."""
    today = day_of(now)
    for day in {day_of(now - LATE), today}:
        _count_day(database, account_id, day, now)


def _count_day(database: Database, account_id: int, day: date, now: datetime) -> None:
    since, until = (to_db(one) for one in bounds(day))

    def read(session: Session) -> tuple[int, int, int, int]:
        left = {row.bad: row.n for row in _LEFT(session, account_id, since, until)}
        following = int(_FOLLOWING(session, account_id).scalar_one())
        bound = int(_BOUND(session, account_id, since, until).scalar_one())
        return following, bound, left.get(0, 0), left.get(1, 0)

    figures = database.read(read)
    database.transact(
        lambda session: _KEEP(session, account_id, day.isoformat(), *figures, to_db(now))
    )


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the charts; people, bindings and messages are numbers, the rest is fen."""

    day: date
    people: int = 0
    orders: int = 0
    sales_fen: int = 0
    refunded_fen: int = 0
    accrued_fen: int = 0
    settled_fen: int = 0
    voided_fen: int = 0
    clawed_fen: int = 0
    following: int = 0
    bound: int = 0
    sent: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """The last proof of the books; `task_id` when one is running."""

    ok: bool | None
    at: datetime | None
    differences: int
    task_id: int | None


@dataclass(frozen=True, slots=True)
class Glance:
    """The account over the last days. `frozen_fen` is what is frozen now, `open_withdrawals` (count, fen) by state."""

    days: list[Day]
    following: int
    counted_at: datetime | None
    frozen_fen: int
    open_withdrawals: dict[str, tuple[int, int]]
    proof: Proof

    def total(self, name: str) -> int:
        """The sum of a figure over these days."""
        return sum(getattr(day, name) for day in self.days)


def look(session: Session, account_id: int, span: int, now: datetime) -> Glance:
    """The last `span` days, today included. Some hundred small rows are read, whatever the size of the account."""
    today = day_of(now)
    since = today - timedelta(days=span - 1)
    daily = {row.day: row for row in reports.of_account(session, account_id, since, today)}
    counted = {row.day: row for row in _counted(session, account_id, since, today)}
    days = [
        _day(day, daily.get(day), counted.get(day))
        for day in (since + timedelta(days=number) for number in range(span))
    ]
    last = max(counted.values(), key=lambda row: row.day, default=None)
    return Glance(
        days, 0 if last is None else last.following, None if last is None else last.counted_at,
        _frozen(session, account_id), withdrawals.open_sums(session, account_id),
        last_proof(session),
    )  # fmt: skip


def _counted(session: Session, account_id: int, since: date, until: date) -> list[AccountDay]:
    query = select(AccountDay).where(
        AccountDay.account_id == account_id, AccountDay.day.between(since, until)
    )
    return list(session.scalars(query))


def _day(day: date, daily: Daily | None, counted: AccountDay | None) -> Day:
    figures: dict[str, int] = {}
    if daily is not None:
        figures |= {name: getattr(daily, name) for name in reports.FIGURES if name != "spent_fen"}
        figures["sales_fen"] = daily.spent_fen
    if counted is not None:
        names = ("following", "bound", "sent", "failed")
        figures |= {name: getattr(counted, name) for name in names}
    return Day(day, **figures)


def _frozen(session: Session, account_id: int) -> int:
    """Accrued and neither settled nor gone: a sum over the account's days."""
    left = Daily.accrued_fen - Daily.settled_fen - Daily.voided_fen
    query = select(func.sum(left)).where(
        Daily.account_id == account_id, Daily.member_id == 0, Daily.level == 0
    )
    return int(session.scalar(query) or 0)


def last_proof(session: Session) -> Proof:
    """What the last proof of the books said, and whether one runs."""
    newest = tasks.newest(session, None, tasks.BOOKS)
    running = newest is not None and newest.state in {tasks.WAITING, tasks.RUNNING}
    done = tasks.newest(session, None, tasks.BOOKS, tasks.DONE)
    result = {} if done is None else tasks.result_of(done)
    return Proof(
        result.get("ok"), None if done is None else done.finished_at, result.get("difference_count", 0),
        newest.id if running and newest is not None else None,
    )  # fmt: skip
