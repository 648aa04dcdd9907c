"""What codes and posters brought, by Beijing day. Computed again from `event`, `member` and `orders`, so that a
repeated push or a second computation never counts twice; lists read the stored days by key.

A scan is every arrival by a code, with or without a follow. Who *joined* by a code stays with it: their leaving and
their orders count on the day they happen. Sales are paid goods; a refund is taken off the day of its order, whenever it
comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import events
from domain.china import bounds, day_of
from domain.db import Database
from domain.models import Code, CodeDay, Event, Member, Order, Poster, Refund
from domain.reports import due_days

CODE: Final = "code"
TEMPLATE: Final = "template"
LOOK_BACK_DAYS: Final = 3
"""Pushes that were spooled arrive late, with the time at which they happened."""
AT_ONCE: Final = 500


@dataclass(slots=True)
class Figures:
    """Posters sent, arrivals, follows, new members, members who left, buyers, their orders, and net sales."""

    posters: int = 0
    scans: int = 0
    follows: int = 0
    joined: int = 0
    leaves: int = 0
    buyers: int = 0
    orders: int = 0
    sales_fen: int = 0

    def add(self, other: Figures) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


Day = dict[tuple[str, int], Figures]
"""(subject, number of the scene or template) → figures."""


# --- one day --------------------------------------------------------------------------------------------------------


def compute(session: Session, account_id: int, day: date) -> Day:
    """What the day brought each code of the merchant and each variant of the poster; `session` is a snapshot."""
    since, until = bounds(day)
    scenes = _by_scene(session, account_id, since, until)
    result: Day = {}
    ids = sorted(scenes)
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        managed = set(session.scalars(select(Code.scene_id).where(Code.scene_id.in_(part))))
        shown = select(Poster.scene_id, Poster.template_id).where(Poster.scene_id.in_(part))
        variants = {scene_id: template_id for scene_id, template_id in session.execute(shown)}
        for scene_id in part:
            if scene_id in managed:
                result[CODE, scene_id] = scenes[scene_id]
            elif scene_id in variants:
                result.setdefault((TEMPLATE, variants[scene_id]), Figures()).add(scenes[scene_id])
    for template_id, count in _posters(session, account_id, since, until):
        result.setdefault((TEMPLATE, template_id), Figures()).posters += count
    return result


def _by_scene(
    session: Session, account_id: int, since: datetime, until: datetime
) -> dict[int, Figures]:
    found: dict[int, Figures] = {}

    def of(scene_id: int | None) -> Figures:
        if scene_id is None:
            raise LookupError("only rows that have a scene are asked for")
        return found.setdefault(scene_id, Figures())

    happened = (Event.account_id == account_id, Event.at >= since, Event.at < until)
    came = (
        select(Event.scene_id, Event.kind, func.count())
        .where(*happened, Event.kind.in_([events.SCAN, events.FOLLOW]), Event.scene_id.is_not(None))
        .group_by(Event.scene_id, Event.kind)
    )
    for scene_id, kind, count in session.execute(came):
        of(scene_id).scans += count
        of(scene_id).follows += count if kind == events.FOLLOW else 0
    joined = select(Member.source_scene_id, func.count()).where(
        Member.account_id == account_id, Member.joined_at >= since, Member.joined_at < until,
        Member.source_scene_id.is_not(None),
    )  # fmt: skip
    for scene_id, count in session.execute(joined.group_by(Member.source_scene_id)):
        of(scene_id).joined += count
    left = (
        select(Member.source_scene_id, func.count(Event.member_id.distinct()))
        .join(Member, Member.id == Event.member_id)
        .where(*happened, Event.kind == events.LEAVE, Member.source_scene_id.is_not(None))
    )
    for scene_id, count in session.execute(left.group_by(Member.source_scene_id)):
        of(scene_id).leaves += count
    bought = (
        select(
            Member.source_scene_id, func.count(Order.member_id.distinct()), func.count(),
            func.sum(Order.paid_fen - Order.refunded_fen),
        )
        .join(Member, Member.id == Order.member_id)
        .where(
            Order.account_id == account_id, Order.paid_at >= since, Order.paid_at < until,
            Order.status.in_(["paid", "completed"]), Member.source_scene_id.is_not(None),
        )
        .group_by(Member.source_scene_id)
    )  # fmt: skip
    for scene_id, buyers, orders, kept_fen in session.execute(bought):
        of(scene_id).buyers += buyers
        of(scene_id).orders += orders
        of(scene_id).sales_fen += int(kept_fen)
    return found


def _posters(
    session: Session, account_id: int, since: datetime, until: datetime
) -> Iterable[tuple[int, int]]:
    sent = (
        select(Event.detail, func.count())
        .where(
            Event.account_id == account_id, Event.kind == events.POSTER, Event.at >= since, Event.at < until
        )
        .group_by(Event.detail)
    )  # fmt: skip
    return [(int(detail or 0), count) for detail, count in session.execute(sent)]


def roll_up(database: Database, account_id: int, day: date) -> int:
    """Compute a day again and store what differs; how many rows changed."""
    with database.snapshot() as session:
        right = compute(session, account_id, day)
    return database.transact(lambda session: _store(session, account_id, day, right))


def _store(session: Session, account_id: int, day: date, right: Day) -> int:
    query = select(CodeDay).where(CodeDay.account_id == account_id, CodeDay.day == day)
    stored = {(row.subject, row.ref_id): row for row in session.scalars(query)}
    changes = 0
    for key in sorted(right.keys() | stored.keys()):
        row, figures = stored.get(key), right.get(key)
        if figures is None:
            session.delete(row)
        elif row is None:
            subject, ref_id = key
            new = CodeDay(account_id=account_id, subject=subject, ref_id=ref_id, day=day)
            session.merge(_with(new, figures))
        elif _of(row) != figures:
            _with(row, figures)
        else:
            continue
        changes += 1
    session.flush()
    return changes


def _with(row: CodeDay, figures: Figures) -> CodeDay:
    for name, value in asdict(figures).items():
        setattr(row, name, value)
    return row


def _of(row: CodeDay) -> Figures:
    return Figures(
        row.posters, row.scans, row.follows, row.joined, row.leaves, row.buyers, row.orders, row.sales_fen
    )  # fmt: skip


def refresh(database: Database, account_id: int, now: datetime) -> int:
    """The days that may have changed, and how many came by each code and are still there; how many rows changed."""
    today = day_of(now)
    with database.reading() as session:
        days = set(due_days(session, account_id, now))
        days |= _refunded_days(session, account_id, bounds(today - timedelta(days=1))[0])
    days |= {today - timedelta(days=back) for back in range(LOOK_BACK_DAYS)}
    changes = sum(roll_up(database, account_id, day) for day in sorted(days))
    count_people(database, account_id, now)
    return changes


def _refunded_days(session: Session, account_id: int, since: datetime) -> set[date]:
    """Days of the orders that were refunded since then."""
    query = (
        select(Order.paid_at)
        .join(Refund, Refund.order_id == Order.id)
        .where(Refund.account_id == account_id, Refund.created_at >= since)
    )
    return {day_of(paid_at) for paid_at in session.scalars(query) if paid_at is not None}


def count_people(database: Database, account_id: int, now: datetime) -> None:
    """Count who came by each code of the merchant and who of them still follows."""
    after = 0
    while True:
        with database.reading() as session:
            ids = list(session.scalars(_codes_after(account_id, after)))
            counts = _people(session, ids)
        if not ids:
            return
        database.transact(lambda session, ids=ids, counts=counts: _keep(session, ids, counts, now))  # type: ignore[misc]
        after = ids[-1]


def _codes_after(account_id: int, after: int) -> Any:
    query = select(Code.scene_id).where(Code.account_id == account_id, Code.scene_id > after)
    return query.order_by(Code.scene_id).limit(AT_ONCE)


def _people(session: Session, scene_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    query = (
        select(Member.source_scene_id, Member.following, func.count())
        .where(Member.source_scene_id.in_(scene_ids))
        .group_by(Member.source_scene_id, Member.following)
    )
    counts: dict[int, tuple[int, int]] = {}
    for scene_id, following, count in session.execute(query):
        if scene_id is None:
            continue  # not in the list, only in the column's type
        people, still = counts.get(scene_id, (0, 0))
        counts[scene_id] = people + count, still + (count if following else 0)
    return counts


def _keep(
    session: Session, scene_ids: Sequence[int], counts: dict[int, tuple[int, int]], now: datetime
) -> None:
    for scene_id in scene_ids:
        people, following = counts.get(scene_id, (0, 0))
        session.execute(
            update(Code)
            .where(Code.scene_id == scene_id)
            .values(people=people, following=following, counted_at=now)
        )


# --- reading --------------------------------------------------------------------------------------------------------


def days_of(
    session: Session, account_id: int, subject: str, ref_id: int, since: date, until: date
) -> list[CodeDay]:
    """The days of one code or variant from `since` to `until`, both included; a day without anything has no row."""
    query = select(CodeDay).where(
        CodeDay.account_id == account_id, CodeDay.subject == subject, CodeDay.ref_id == ref_id,
        CodeDay.day.between(since, until),
    )  # fmt: skip
    return list(session.scalars(query.order_by(CodeDay.day)))


def sums(
    session: Session, account_id: int, subject: str, ref_ids: Collection[int], since: date, until: date
) -> dict[int, Figures]:  # fmt: skip
    """Figures of some codes or variants (a page of a list) over these days, in one statement."""
    columns = [func.sum(getattr(CodeDay, name)) for name in asdict(Figures())]
    query = select(CodeDay.ref_id, *columns).where(
        CodeDay.account_id == account_id, CodeDay.subject == subject, CodeDay.ref_id.in_(ref_ids),
        CodeDay.day.between(since, until),
    )  # fmt: skip
    found = {
        row[0]: Figures(*map(int, row[1:]))
        for row in session.execute(query.group_by(CodeDay.ref_id))
    }
    return {ref_id: found.get(ref_id, Figures()) for ref_id in ref_ids}
