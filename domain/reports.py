"""统计: what each Beijing day brought, rankings of a week, a month and all time, and the compliance record.

`roll_up` computes one day of one account again from bindings, orders, refunds, commissions and postings, and writes
only what differs: it may run any number of times, for any day, and after a crash. Days are counted by when it
happened: sales on the day of payment, refunds, settlements and claw-backs on the day they came, people on the day
they were bound. Members are shown where the order's snapshot has them; new people where the tree has them now.

A ranking is an edition (`board`) with a place for everybody who is on it, so one's own place is one row.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from domain import rules
from domain.accounts import OpenAccount
from domain.bindings import display_name
from domain.china import bounds, day_of
from domain.db import Database, Sql, to_db, to_json
from domain.keyset import seek
from domain.models import (
    AccountDay,
    Audit,
    BindingHistory,
    Board,
    Clawback,
    Commission,
    Daily,
    Member,
    Order,
    Posting,
    Refund,
    Relation,
    Rule,
    Standing,
)
from domain.orders import uplines_in

CHUNK: Final = 1000
ONE_DAY: Final = timedelta(days=1)
CATCH_UP: Final = timedelta(days=31)
"""So far back the days are looked for that nobody counted; `flask report refresh` computes any span again."""
FIGURES: Final = (
    "people", "orders", "spent_fen", "refunded_fen", "accrued_fen", "settled_fen", "voided_fen", "clawed_fen"
)  # fmt: skip
SLACK: Final = timedelta(hours=1)
"""Ids are given out in the order of time, give or take a transaction: a day's rows lie this close to its ids."""

Key = tuple[int, int]
"""(member, level); (0, 0) is the whole account, (0, level) what everybody's rows of the level add up to."""
Day = dict[Key, dict[str, int]]
WHOLE: Final[Key] = (0, 0)


# --- one day --------------------------------------------------------------------------------------------------------


def compute(session: Session, account_id: int, day: date) -> Day:
    """What the day brought each member and level, and the account, from the rows; `session` is a snapshot."""
    since, until = bounds(day)
    rows: Day = defaultdict(lambda: dict.fromkeys(FIGURES, 0))
    _add_people(session, account_id, since, until, rows)
    _add_orders(session, account_id, since, until, rows)
    _add_refunds(session, account_id, since, until, rows)
    _add_commissions(session, account_id, since, until, rows)
    for (_, level), values in list(rows.items()):
        if level:
            total = rows[0, level]
            for name, value in values.items():
                total[name] += value
    return {key: values for key, values in rows.items() if any(values.values())}


def _add_people(
    session: Session, account_id: int, since: datetime, until: datetime, rows: Day
) -> None:
    joined = select(func.count()).where(
        Member.account_id == account_id, Member.joined_at >= since, Member.joined_at < until
    )
    rows[WHOLE]["people"] += session.scalar(joined) or 0
    bound = (
        select(BindingHistory.to_referrer_id)
        .where(
            BindingHistory.account_id == account_id,
            BindingHistory.at >= since,
            BindingHistory.at < until,
            BindingHistory.to_referrer_id.is_not(None),
        )
        .execution_options(yield_per=CHUNK)
    )
    new: dict[int, int] = defaultdict(int)
    for referrer_id in session.scalars(bound):
        if referrer_id is not None:
            new[referrer_id] += 1
    for referrer_id, people in new.items():
        rows[referrer_id, 1]["people"] += people
    for part in _parts(new):
        above = select(Relation.ancestor_id, Relation.level, Relation.descendant_id).where(
            Relation.descendant_id.in_(part), Relation.level < rules.PAID_LEVELS
        )
        for ancestor_id, level, referrer_id in session.execute(above):
            rows[ancestor_id, level + 1]["people"] += new[referrer_id]


def _parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(items)
    while part := list(islice(left, CHUNK)):
        yield part


def _add_orders(
    session: Session, account_id: int, since: datetime, until: datetime, rows: Day
) -> None:
    query = (
        select(Order.uplines, Order.paid_fen)
        .where(
            Order.account_id == account_id,
            Order.paid_at >= since,
            Order.paid_at < until,
            Order.status.in_(["paid", "completed"]),
        )
        .execution_options(yield_per=CHUNK)
    )
    for uplines, paid_fen in session.execute(query):
        for key in _keys(uplines):
            rows[key]["orders"] += 1
            rows[key]["spent_fen"] += paid_fen


def _keys(uplines: str | None) -> list[Key]:
    """Whom an order counts for: the account and everybody in its snapshot."""
    return [WHOLE, *((one.member_id, one.level) for one in uplines_in(uplines))]


def _add_refunds(
    session: Session, account_id: int, since: datetime, until: datetime, rows: Day
) -> None:
    query = (
        select(Order.uplines, Refund.goods_fen)
        .join(Order, Order.id == Refund.order_id)
        .where(
            Refund.account_id == account_id,
            Refund.created_at >= since,
            Refund.created_at < until,
            Refund.status == "applied",
        )
        .execution_options(yield_per=CHUNK)
    )
    for uplines, goods_fen in session.execute(query):
        for key in _keys(uplines):
            rows[key]["refunded_fen"] += goods_fen


_SETTLED = (
    "SELECT c.member_id, c.level, SUM(p.amount_fen) FROM posting p JOIN commission c"
    " ON c.id = CAST(SUBSTR(p.posting_key, 8) AS {integer}) WHERE p.id >= ? AND p.id <= ? AND p.account_id = ?"
    " AND p.reason = 'settle' AND p.at >= ? AND p.at < ? GROUP BY c.member_id, c.level"
)
_SETTLED_BY_LEVEL = Sql(
    _SETTLED.format(integer="UNSIGNED"), sqlite=_SETTLED.format(integer="INTEGER")
)


_LEFT = Sql(
    "SELECT member_id, 1 AS level, SUM(amount_fen) FROM posting WHERE id >= ? AND id <= ? AND account_id = ?"
    " AND reason = 'left' AND source = ? AND at >= ? AND at < ? GROUP BY member_id"
)
_REFUSED_OF = (
    "SELECT c.member_id, c.level, SUM(p.amount_fen) FROM posting p JOIN hold h"
    " ON h.id = CAST(SUBSTR(p.posting_key, 8) AS {integer}) JOIN commission c ON c.id = h.commission_id"
    " WHERE p.id >= ? AND p.id <= ? AND p.account_id = ? AND p.reason = 'refuse' AND p.at >= ? AND p.at < ?"
    " GROUP BY c.member_id, c.level"
)
_REFUSED = Sql(_REFUSED_OF.format(integer="UNSIGNED"), sqlite=_REFUSED_OF.format(integer="INTEGER"))


def _add_commissions(
    session: Session, account_id: int, since: datetime, until: datetime, rows: Day
) -> None:
    """Accrued by the commission's creation, settled by its posting, voided and clawed back by the claw-back, and what
    a friend who left or a person's refusal took by its posting."""

    def add(found: Iterable[Any], figure: str) -> None:
        for member_id, level, amount in found:
            rows[member_id, level][figure] += int(amount)
            rows[WHOLE][figure] += int(amount)

    first, last = _ids(session, Commission.id, Commission.created_at, since, until)
    accrued = (
        select(Commission.member_id, Commission.level, func.sum(Commission.amount_fen))
        .where(Commission.id.between(first, last), Commission.account_id == account_id)
        .where(Commission.created_at >= since, Commission.created_at < until)
        .group_by(Commission.member_id, Commission.level)
    )
    add(session.execute(accrued), "accrued_fen")
    first, last = _ids(session, Posting.id, Posting.at, since, until)
    settled = _SETTLED_BY_LEVEL(session, first, last, account_id, to_db(since), to_db(until))
    add(settled, "settled_fen")
    first, last = _ids(session, Clawback.id, Clawback.at, since, until)
    for bucket, figure in (("frozen", "voided_fen"), ("available", "clawed_fen")):
        taken = (
            select(Commission.member_id, Commission.level, func.sum(Clawback.amount_fen))
            .join(Commission, Commission.id == Clawback.commission_id)
            .where(Clawback.id.between(first, last), Commission.account_id == account_id)
            .where(Clawback.at >= since, Clawback.at < until, Clawback.from_bucket == bucket)
            .group_by(Commission.member_id, Commission.level)
        )
        add(session.execute(taken), figure)
    first, last = _ids(session, Posting.id, Posting.at, since, until)
    for source, figure in (("frozen", "voided_fen"), ("available", "clawed_fen")):
        span = (first, last, account_id, source, to_db(since), to_db(until))
        add(_LEFT(session, *span), figure)
    add(_REFUSED(session, first, last, account_id, to_db(since), to_db(until)), "voided_fen")


def _ids(
    session: Session, id_column: Any, at_column: Any, since: datetime, until: datetime
) -> tuple[int, int]:
    """The range of ids whose rows can be of this time: tables that only grow need no index on the instant."""
    newest = session.scalar(select(func.max(id_column))) or 0
    first = _first_id(session, id_column, at_column, since - SLACK, newest)
    last = _first_id(session, id_column, at_column, until + SLACK, newest)
    return first, last


def _first_id(
    session: Session, id_column: Any, at_column: Any, since: datetime, newest: int
) -> int:
    low, high = 0, newest + 1
    while low < high:
        middle = (low + high) // 2
        query = select(id_column, at_column).where(id_column >= middle).order_by(id_column).limit(1)
        row = session.execute(query).one_or_none()
        if row is None or row[1] >= since:
            high = middle
        else:
            low = row[0] + 1
    return low


_COLUMNS = f"account_id, day, member_id, level, {', '.join(FIGURES)}"
_MARKS = ", ".join("?" for _ in range(4 + len(FIGURES)))
_PUT = Sql(
    f"INSERT INTO daily ({_COLUMNS}) VALUES ({_MARKS})"
    f" ON DUPLICATE KEY UPDATE {', '.join(f'{name} = VALUES({name})' for name in FIGURES)}",
    sqlite=f"INSERT INTO daily ({_COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (account_id, day, member_id, level)"
    f" DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in FIGURES)}",
)
_DROP = Sql("DELETE FROM daily WHERE account_id = ? AND day = ? AND member_id = ? AND level = ?")


def roll_up(database: Database, account_id: int, day: date) -> int:
    """Compute a day again and store what differs, a thousand rows a transaction; how many rows changed."""
    with database.snapshot() as session:
        right = compute(session, account_id, day)
        stored: Day = {
            (row.member_id, row.level): {name: getattr(row, name) for name in FIGURES}
            for row in session.scalars(
                select(Daily).where(Daily.account_id == account_id, Daily.day == day)
            )
        }
    text = day.isoformat()
    put = [
        (account_id, text, *key, *(values[name] for name in FIGURES))
        for key, values in sorted(right.items())
        if stored.get(key) != values
    ]
    drop = [(account_id, text, *key) for key in sorted(stored.keys() - right.keys())]
    for statement, rows in ((_PUT, put), (_DROP, drop)):
        for part in _parts(rows):
            database.transact(
                lambda session, statement=statement, part=part: statement.many(session, part)  # type: ignore[misc]
            )
    return len(put) + len(drop)


def due_days(session: Session, account_id: int, now: datetime) -> list[date]:
    """The days that may have changed: today, the days since the one on which figures were counted last (yesterday, or
    earlier when nobody counted for days), and days of which orders were reported late."""
    today = day_of(now)
    counted = session.scalar(
        select(func.max(AccountDay.day)).where(
            AccountDay.account_id == account_id,
            AccountDay.day.between(today - CATCH_UP, today - ONE_DAY),
        )
    )
    first_day = counted or today - ONE_DAY
    start = bounds(first_day)[0]
    first, last = _ids(session, Order.id, Order.created_at, start, now)
    late = select(Order.paid_at).where(
        Order.id.between(first, last),
        Order.account_id == account_id,
        Order.status.in_(["paid", "completed"]),
        Order.created_at >= start,
        Order.paid_at < start,
    )
    days = {day_of(paid_at) for paid_at in session.scalars(late) if paid_at is not None}
    return sorted(
        days | {first_day + ONE_DAY * number for number in range((today - first_day).days + 1)}
    )


# --- reading days ---------------------------------------------------------------------------------------------------


def of_account(session: Session, account_id: int, since: date, until: date) -> list[Daily]:
    """The account's days from `since` to `until`, both included; days on which nothing happened have no row."""
    return _days(session, account_id, 0, since, until, Daily.level == 0)


def of_member(
    session: Session, account_id: int, member_id: int, since: date, until: date
) -> list[Daily]:
    """A member's days and levels from `since` to `until`, both included, by day and level."""
    return _days(session, account_id, member_id, since, until)


def _days(
    session: Session,
    account_id: int,
    member_id: int,
    since: date,
    until: date,
    *more: ColumnElement[bool],
) -> list[Daily]:
    query = select(Daily).where(
        Daily.member_id == member_id,
        Daily.day.between(since, until),
        Daily.account_id == account_id,
        *more,
    )
    return list(session.scalars(query.order_by(Daily.day, Daily.level)))


def by_level(
    session: Session, account_id: int, since: date, until: date
) -> dict[int, dict[str, int]]:
    """Level → figures of the whole account over these days: what each level brought and cost."""
    sums = [func.sum(getattr(Daily, name)) for name in FIGURES]
    query = (
        select(Daily.level, *sums)
        .where(Daily.member_id == 0, Daily.day.between(since, until))
        .where(Daily.account_id == account_id, Daily.level > 0)
        .group_by(Daily.level)
    )
    return {
        level: dict(zip(FIGURES, map(int, values), strict=True))
        for level, *values in session.execute(query)
    }


# --- rankings -------------------------------------------------------------------------------------------------------

EARNED: Final = "earned"
PEOPLE: Final = "people"
METRICS: Final = (EARNED, PEOPLE)
WEEK: Final = "week"
MONTH: Final = "month"
ALL: Final = "all"
PERIODS: Final = (WEEK, MONTH, ALL)
BEGINNING: Final = date(2000, 1, 1)
"""Where all time starts."""


def start_of(period: str, day: date) -> date:
    """The first day of the period that contains `day`; weeks begin on Monday."""
    if period == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == MONTH else BEGINNING


def _end_of(period: str, starts_on: date) -> date:
    if period == WEEK:
        return starts_on + timedelta(days=6)
    following = (starts_on.replace(day=1) + timedelta(days=32)).replace(day=1)
    return following - timedelta(days=1)


_VALUE = {EARNED: "accrued_fen - d.voided_fen - d.clawed_fen", PEOPLE: "people"}
_OF_DAYS = {
    metric: Sql(
        f"SELECT d.member_id, SUM(d.{value}) AS worth FROM daily d JOIN member m ON m.id = d.member_id"
        " WHERE d.account_id = ? AND d.day >= ? AND d.day <= ? AND m.status = 'active'"
        + (" AND d.level = 1" if metric == PEOPLE else "")
        + " GROUP BY d.member_id HAVING worth > 0 ORDER BY worth DESC, d.member_id"
    )
    for metric, value in _VALUE.items()
}
_OF_ALL_TIME = {
    metric: Sql(
        f"SELECT t.member_id, SUM(t.{column}) AS worth FROM member m JOIN tally t ON t.member_id = m.id"
        " WHERE m.account_id = ? AND m.status = 'active'"
        + (" AND t.level = 1" if metric == PEOPLE else "")
        + " GROUP BY t.member_id HAVING worth > 0 ORDER BY worth DESC, t.member_id"
    )
    for metric, column in ((EARNED, "earned_fen"), (PEOPLE, "people"))
}
_STAND = Sql("INSERT INTO standing (board_id, member_id, place, value) VALUES (?, ?, ?, ?)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands. `place` None: not on the board. `change`: places gained since the period before (below
    zero: lost), None when there is nothing to compare. `value`: fen or people; `size`: how many are on the board."""

    place: int | None
    value: int
    size: int
    change: int | None


@dataclass(frozen=True, slots=True)
class Leader:
    """One of the first of a board."""

    place: int
    member_id: int
    name: str
    value: int


def make_board(
    database: Database, account_id: int, metric: str, period: str, starts_on: date, now: datetime
) -> int:
    """Make a new edition of a ranking and let the earlier ones go; how many members are on it.

    Nobody sees it before it is whole. One that was broken off goes with the next.
    """
    board_id = database.transact(
        lambda session: _new_board(session, account_id, metric, period, starts_on, now)
    )
    size = place = 0
    worth: int | None = None
    with database.snapshot() as session:
        values = _values(session, account_id, metric, period, starts_on)
        for part in _parts(values):
            rows = []
            for member_id, value in part:
                size += 1
                if value != worth:
                    place, worth = size, int(value)
                rows.append((board_id, member_id, place, worth))
            database.transact(lambda writing, rows=rows: _STAND.many(writing, rows))  # type: ignore[misc]
    publish = update(Board).where(Board.id == board_id).values(ready=True, size=size)
    database.transact(lambda session: session.execute(publish))
    _drop_earlier(database, account_id, metric, period, starts_on, board_id)
    return size


def _values(
    session: Session, account_id: int, metric: str, period: str, starts_on: date
) -> Iterator[Any]:
    """(member, value) from the greatest, streamed: a board may have a million places."""
    statement: Sql = _OF_ALL_TIME[metric]
    params: tuple[Any, ...] = (account_id,)
    if period != ALL:
        until = _end_of(period, starts_on)
        statement, params = _OF_DAYS[metric], (account_id, starts_on.isoformat(), until.isoformat())
    connection = session.connection(execution_options={"yield_per": CHUNK})
    return iter(connection.exec_driver_sql(statement.text_for(connection.dialect.name), params))


def _new_board(
    session: Session, account_id: int, metric: str, period: str, starts_on: date, now: datetime
) -> int:
    board = Board(
        account_id=account_id, metric=metric, period=period, starts_on=starts_on, ready=False, size=0, made_at=now
    )  # fmt: skip
    session.add(board)
    session.flush()
    return board.id


def _drop_earlier(
    database: Database, account_id: int, metric: str, period: str, starts_on: date, board_id: int
) -> None:
    earlier = select(Board.id).where(
        Board.account_id == account_id,
        Board.metric == metric,
        Board.period == period,
        Board.starts_on == starts_on,
        Board.id < board_id,
    )
    for old_id in database.read(lambda session: list(session.scalars(earlier))):
        while database.transact(lambda session, old_id=old_id: _drop_some(session, old_id)):  # type: ignore[misc]
            pass
        gone = delete(Board).where(Board.id == old_id)
        database.transact(lambda session, gone=gone: session.execute(gone))  # type: ignore[misc]


def _drop_some(session: Session, board_id: int) -> int:
    some = select(Standing.member_id).where(Standing.board_id == board_id).limit(CHUNK)
    ids = list(session.scalars(some))
    if ids:
        session.execute(
            delete(Standing).where(Standing.board_id == board_id, Standing.member_id.in_(ids))
        )
    return len(ids)


def boards_due(session: Session, account_id: int, now: datetime) -> list[tuple[str, str, date]]:
    """(metric, period, first day) of the rankings to be made now: this week's and month's, the last ones once they
    are over (again for two days, for what is reported late), all time once an hour."""
    today = day_of(now)
    due = []
    for period in (WEEK, MONTH):
        current = start_of(period, today)
        due.append((period, current))
        if today - current < timedelta(days=2):
            due.append((period, start_of(period, current - timedelta(days=1))))
    newest = select(func.max(Board.made_at)).where(
        Board.account_id == account_id, Board.period == ALL, Board.ready
    )
    made_at = session.scalar(newest)
    if made_at is None or now - made_at >= timedelta(hours=1):
        due.append((ALL, BEGINNING))
    return [(metric, period, starts_on) for metric in METRICS for period, starts_on in due]


def refresh(database: Database, account_id: int, now: datetime) -> dict[str, int]:
    """What the clock rings for: the days that may have changed, then the rankings; how many rows of each."""
    days = database.read(lambda session: due_days(session, account_id, now))
    changed = sum(roll_up(database, account_id, day) for day in days)
    boards = database.read(lambda session: boards_due(session, account_id, now))
    ranked = sum(
        make_board(database, account_id, metric, period, starts_on, now)
        for metric, period, starts_on in boards
    )
    return {"daily": changed, "standings": ranked}


def standing(
    session: Session, account_id: int, member_id: int, metric: str, period: str, now: datetime
) -> Place | None:
    """One's own place, and the change since the period before; None while there is no ranking. Four rows are read,
    whatever the size of the account."""
    starts_on = start_of(period, day_of(now))
    board = _board(session, account_id, metric, period, starts_on)
    if board is None:
        return None
    mine = session.get(Standing, (board.id, member_id))
    before: Standing | None = None
    if period != ALL:
        earlier = start_of(period, starts_on - timedelta(days=1))
        previous = _board(session, account_id, metric, period, earlier)
        before = None if previous is None else session.get(Standing, (previous.id, member_id))
    change = before.place - mine.place if before is not None and mine is not None else None
    if mine is None:
        return Place(None, 0, board.size, None)
    return Place(mine.place, mine.value, board.size, change)


def _board(
    session: Session, account_id: int, metric: str, period: str, starts_on: date
) -> Board | None:
    query = select(Board).where(
        Board.account_id == account_id,
        Board.metric == metric,
        Board.period == period,
        Board.starts_on == starts_on,
        Board.ready,
    )
    return session.scalar(query.order_by(Board.id.desc()).limit(1))


def leaders(
    session: Session, account_id: int, metric: str, period: str, now: datetime, limit: int = 10
) -> list[Leader]:
    """The first of a ranking; real people only, however few."""
    board = _board(session, account_id, metric, period, start_of(period, day_of(now)))
    if board is None:
        return []
    query = (
        select(Standing.place, Standing.member_id, Standing.value, Member.nickname, Member.code)
        .join(Member, Member.id == Standing.member_id)
        .where(Standing.board_id == board.id)
        .order_by(Standing.place, Standing.member_id)
        .limit(limit)
    )
    return [
        Leader(row.place, row.member_id, display_name(row.nickname, row.code), row.value)
        for row in session.execute(query)
    ]


def masked(name: str) -> str:
    """A name that others may read: its first character and two stars; 会员·code keeps the end of its code."""
    if name.startswith("会员·"):
        return f"会员·**{name[-2:]}"
    return f"{name[:1]}**"


# --- the compliance record ------------------------------------------------------------------------------------------

_CHAINS = Sql(
    "SELECT m.id, m.openid, m.code, SUM(CASE WHEN t.level = 1 THEN t.people ELSE 0 END) AS first,"
    " SUM(CASE WHEN t.level = 2 THEN t.people ELSE 0 END) AS second,"
    " SUM(CASE WHEN t.level = 3 THEN t.people ELSE 0 END) AS third, SUM(t.people) AS team_people"
    " FROM member m JOIN tally t ON t.member_id = m.id WHERE m.account_id = ?"
    " GROUP BY m.id, m.openid, m.code HAVING team_people > ? AND third > 0 ORDER BY team_people DESC, m.id"
)


def compliance(
    session: Session, account: OpenAccount, since: datetime, until: datetime, now: datetime
) -> Iterator[dict[str, Any]]:
    """The record that shows how the programme was run, entry by entry: depth and settings, every rule version, what
    staff changed from `since` to `until`, and teams of three levels with more people than `chain_people_alert`."""
    settings = asdict(account.settings)
    yield {
        "entry": "account", "slug": account.slug, "name": account.name, "app_id": account.app_id,
        "depth": account.depth, "settings": settings, "since": since.isoformat(), "until": until.isoformat(),
        "made_at": now.isoformat(),
    }  # fmt: skip
    versions = (
        select(Rule).where(Rule.account_id == account.id).order_by(Rule.effective_at, Rule.id)
    )
    for rule in session.scalars(versions):
        yield {
            "entry": "rule", "id": rule.id, "effective_at": rule.effective_at.isoformat(), "actor": rule.actor,
            "created_at": rule.created_at.isoformat(), "definition": json.loads(rule.definition),
        }  # fmt: skip
    yield from _audit_entries(session, account.id, since, until)
    for row in _CHAINS(session, account.id, account.settings.chain_people_alert):
        yield {
            "entry": "chain", "openid": row.openid, "code": row.code, "people": int(row.team_people),
            "levels": [int(row.first), int(row.second), int(row.third)],
        }  # fmt: skip


def _audit_entries(
    session: Session, account_id: int, since: datetime, until: datetime
) -> Iterator[dict[str, Any]]:
    after_id = 0
    while True:
        ours = select(Audit).where(Audit.account_id == account_id, Audit.id > after_id)
        query = seek(ours, Audit.id)
        rows: Sequence[Audit] = session.scalars(query.order_by(Audit.id).limit(CHUNK)).all()
        if not rows:
            return
        after_id = rows[-1].id
        for row in rows:
            if since <= row.at < until:
                yield {
                    "entry": "audit", "id": row.id, "at": row.at.isoformat(), "actor": row.actor,
                    "action": row.action, "subject": row.subject,
                    "before": None if row.before is None else json.loads(row.before),
                    "after": None if row.after is None else json.loads(row.after),
                }  # fmt: skip
        session.expunge_all()


def as_lines(entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Entries as lines of JSON; the last line counts them and carries the SHA-256 of all before it."""
    seen, number = hashlib.sha256(), 0
    for entry in entries:
        line = (to_json(entry) + "\n").encode()
        seen.update(line)
        number += 1
        yield line
    yield (to_json({"entry": "end", "entries": number, "sha256": seen.hexdigest()}) + "\n").encode()
