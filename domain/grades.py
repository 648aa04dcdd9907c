"""等级: ranks of promoters with conditions, reached and lost by a task that sweeps through the members of an account.

A rule may give a grade its own rates and freeze days. A grade that is kept for ever (`never`) asks for a member's
totals; one that is kept month by month (`monthly`) asks for the figures of one calendar month, and a month's figures
keep it until the end of the next month. A month begins for a member when the first sweep of that month passes them:
what they do is counted in exactly one month. A grade that a person gave and pinned is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit, notices, sweeps
from domain.china import begin_of, day_of, month_of
from domain.db import Sql, changed, to_db, to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Grade, GradeHistory, Member

NEVER: Final = "never"
MONTHLY: Final = "monthly"
TASK: Final = "grades"

_CODE = re.compile(r"[a-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Totals:
    """What grades are reached by: direct friends who bought, own purchases, the team's purchases over the paid levels,
    and commissions earned; amounts in fen, refunds taken off."""

    invited_buyers: int = 0
    own_spent_fen: int = 0
    team_sales_fen: int = 0
    earned_fen: int = 0

    def minus(self, other: Totals) -> Totals:
        """What came between two marks."""
        return Totals(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


MEASURES: Final = tuple(item.name for item in fields(Totals))


@dataclass(frozen=True, slots=True)
class Conditions:
    """Figures to reach, by name of `Totals`: every one of them (`all`), or one is enough (`any`)."""

    match: str
    figures: tuple[tuple[str, int], ...]

    def are_met(self, totals: Totals) -> bool:
        met = [getattr(totals, name) >= wanted for name, wanted in self.figures]
        return all(met) if self.match == "all" else any(met)

    def as_value(self) -> dict[str, Any]:
        """For JSON: {"match": "all", "invited_buyers": 10, …}."""
        return {"match": self.match, **dict(self.figures)}

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Conditions:
        """Conditions from JSON values; `Invalid` for what cannot be reached or is no figure."""
        figures = {name: number for name, number in value.items() if name != "match"}
        unknown = sorted(set(figures) - set(MEASURES))
        if unknown or value.get("match", "all") not in {"all", "any"}:
            raise Invalid("no such condition", unknown=unknown, known=list(MEASURES))
        if not figures or any(
            type(number) is not int or number <= 0 for number in figures.values()
        ):
            raise Invalid("a condition asks for a number above zero", conditions=dict(value))
        return cls(value.get("match", "all"), tuple(sorted(figures.items())))


@dataclass(frozen=True, slots=True)
class Step:
    """A grade as the decision sees it."""

    code: str
    rank: int
    conditions: Conditions | None
    monthly: bool


def reached(
    steps: Sequence[Step], ever: Totals, this_month: Totals, last_month: Totals
) -> Step | None:
    """The highest grade whose conditions a member meets, None for no grade. Pure."""

    def meets(step: Step) -> bool:
        if step.conditions is None:
            return False
        measured = (this_month, last_month) if step.monthly else (ever,)
        return any(step.conditions.are_met(totals) for totals in measured)

    return max((step for step in steps if meets(step)), key=lambda step: step.rank, default=None)


def decide(steps: Sequence[Step], current: str, goal: Step | None, month_began: bool) -> str | None:
    """The grade a member moves to, None to stay: up at once; down only from a monthly grade, when a month begins."""
    held = next((step for step in steps if step.code == current), None)
    held_rank = -1 if held is None else held.rank
    goal_rank = -1 if goal is None else goal.rank
    if goal is not None and goal_rank > held_rank:
        return goal.code
    if held is not None and goal_rank < held_rank and held.monthly and month_began:
        return "" if goal is None else goal.code
    return None


# --- the ladder -----------------------------------------------------------------------------------------------------


def put(
    session: Session,
    account_id: int,
    code: str,
    *,
    name: str,
    rank: int,
    conditions: Mapping[str, Any] | None,
    downgrade: str = NEVER,
    actor: str,
    now: datetime,
) -> Grade:
    """Create or replace a grade; `rank` orders them, `conditions` None means by hand only. Raises `Invalid`, and
    `Conflict` for a rank in use."""
    if not _CODE.fullmatch(code):
        raise Invalid("a grade's code has 1 to 32 small letters, digits, _ or -", code=code)
    if not name.strip() or len(name) > 60 or rank < 1:
        raise Invalid("a grade has a name and a rank from 1", code=code)
    if downgrade not in {NEVER, MONTHLY}:
        raise Invalid("downgrade is never or monthly", downgrade=downgrade)
    parsed = None if conditions is None else Conditions.parse(conditions)
    grade = find(session, account_id, code)
    before = None if grade is None else as_value(grade)
    same_rank = select(Grade.code).where(
        Grade.account_id == account_id, Grade.rank == rank, Grade.code != code
    )
    if (other := session.scalar(same_rank)) is not None:
        raise Conflict("another grade has this rank", rank=rank, code=other)
    if grade is None:
        grade = Grade(account_id=account_id, code=code)
        session.add(grade)
    grade.name, grade.rank, grade.downgrade, grade.updated_at = name.strip(), rank, downgrade, now
    grade.conditions = None if parsed is None else to_json(parsed.as_value())
    session.flush()
    audit.record(
        session, account_id, actor=actor, action="grade_put", subject=f"grade/{grade.id}",
        before=before, after=as_value(grade), now=now,
    )  # fmt: skip
    return grade


def as_value(grade: Grade) -> dict[str, Any]:
    """For JSON and the audit log."""
    return {
        "code": grade.code, "name": grade.name, "rank": grade.rank, "downgrade": grade.downgrade,
        "conditions": None if grade.conditions is None else json.loads(grade.conditions),
    }  # fmt: skip


def find(session: Session, account_id: int, code: str) -> Grade | None:
    """The grade of this code, if there is one."""
    return session.scalar(select(Grade).where(Grade.account_id == account_id, Grade.code == code))


def all_of(session: Session, account_id: int) -> list[Grade]:
    """The account's grades, lowest rank first."""
    query = select(Grade).where(Grade.account_id == account_id).order_by(Grade.rank)
    return list(session.scalars(query))


def steps_of(session: Session, account_id: int) -> list[Step]:
    """The ladder, lowest rank first."""
    return [
        Step(
            grade.code, grade.rank,
            None if grade.conditions is None else Conditions.parse(json.loads(grade.conditions)),
            grade.downgrade == MONTHLY,
        )
        for grade in all_of(session, account_id)
    ]  # fmt: skip


# --- the sweep ------------------------------------------------------------------------------------------------------

_MEMBERS = Sql(
    "SELECT id, grade, grade_pinned FROM member WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?"
)
_TEAMS = Sql(
    "SELECT member_id, SUM(CASE WHEN level = 1 THEN buyers ELSE 0 END) AS buyers,"
    " SUM(spent_fen - refunded_fen) AS sales_fen, SUM(earned_fen) AS earned_fen"
    " FROM tally WHERE member_id IN (??) GROUP BY member_id"
)
_SPENT = Sql(
    "SELECT member_id, SUM(paid_fen - refunded_fen) AS spent_fen FROM orders"
    " WHERE member_id IN (??) AND status IN ('paid', 'completed') GROUP BY member_id"
)
_MARKS = Sql(
    "SELECT member_id, month, invited_buyers, own_spent_fen, team_sales_fen, earned_fen FROM grade_mark"
    " WHERE month >= ? AND member_id IN (??) ORDER BY member_id, month"
)
_MARK = Sql(
    "INSERT INTO grade_mark (member_id, month, invited_buyers, own_spent_fen, team_sales_fen, earned_fen)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_FORGET = Sql("DELETE FROM grade_mark WHERE month < ? AND member_id IN (??)")
_SET_GRADE = Sql(
    "UPDATE member SET grade = ?, grade_pinned = ? WHERE id = ? AND grade = ? AND grade_pinned = ?"
)
_HISTORY = Sql(
    "INSERT INTO grade_history (account_id, member_id, seq, from_grade, to_grade, reason, figures, actor, at)"
    " SELECT ?, ?, COALESCE(MAX(seq), 0) + 1, ?, ?, ?, ?, ?, ? FROM grade_history WHERE member_id = ?"
)

_LAST = Sql("SELECT MAX(seq) AS seq FROM grade_history WHERE member_id = ?")


@dataclass(frozen=True, slots=True)
class Swept:
    """What one step of the sweep did; `finished`: it came to the last member, the next step begins anew."""

    members: int
    moved: int
    finished: bool


def sweep(
    session: Session,
    account_id: int,
    now: datetime,
    *,
    limit: int = 1000,
    pause: timedelta = timedelta(minutes=30),
) -> Swept:
    """Look at the next `limit` members of the account and move those whose grade changed, with history and notice.

    Resumable: the place is kept in the same transaction, so a killed task goes on where it stopped and nobody is moved
    twice. After the last member it rests for `pause`. Set-based: four statements for however many members."""
    steps = steps_of(session, account_id)
    if not any(step.conditions for step in steps):
        return Swept(0, 0, True)
    place = sweeps.place(session, account_id, TASK)
    if place.finished_at is not None and now < place.finished_at + pause:
        return Swept(0, 0, True)
    rows = _MEMBERS(session, account_id, place.after_id, limit).all()
    moved = _sweep_rows(session, account_id, steps, rows, now)
    done = len(rows) < limit
    place.after_id, place.finished_at = (0, now) if done else (rows[-1].id, None)
    return Swept(len(rows), moved, done)


def _sweep_rows(
    session: Session, account_id: int, steps: Sequence[Step], rows: Sequence[Any], now: datetime
) -> int:
    ids = [row.id for row in rows]
    if not ids:
        return 0
    totals = totals_of(session, ids)
    month = month_of(now)
    months = _Months(session, ids, month, now) if any(s.monthly for s in steps) else None
    moved = 0
    for row in rows:
        ever = totals.get(row.id, Totals())
        this_month = last_month = Totals()
        began = False
        if months is not None:
            began = months.begin(row.id, ever, keep=bool(row.grade))
            this_month, last_month = months.of(row.id, ever)
        if row.grade_pinned:
            continue
        goal = reached(steps, ever, this_month, last_month)
        target = decide(steps, row.grade, goal, began)
        if target is not None:
            figures = asdict(ever)
            moved += _move(
                session, account_id, steps, row.id, row.grade, target, now,
                reason="task", actor="clock", figures=figures,
            )  # fmt: skip
    if months is not None:
        months.write(session, ids)
    return moved


class _Months:
    """The marks of some members: totals when their months began."""

    def __init__(self, session: Session, ids: Sequence[int], month: int, now: datetime) -> None:
        self._month = month
        self._last = month_of(begin_of(day_of(now).replace(day=1)) - timedelta(days=1))
        self._marks: dict[int, dict[int, Totals]] = {}
        self._new: list[tuple[int, ...]] = []
        for row in _MARKS.among(session, (self._last,), ids):
            self._marks.setdefault(row.member_id, {})[row.month] = Totals(*row[2:])

    def begin(self, member_id: int, ever: Totals, *, keep: bool) -> bool:
        """Whether a month of the member's ends now, so that it can be judged. Somebody who has neither a figure nor a
        grade (`keep`) needs no mark. Before the first mark nothing was measured: all there is counts for this month,
        and nobody is judged by it."""
        marks = self._marks.setdefault(member_id, {})
        if self._month in marks or not (keep or ever != Totals()):
            return False
        first = self._last not in marks
        marks[self._month] = Totals() if first else ever
        self._new.append((member_id, self._month, *astuple(marks[self._month])))
        return not first

    def of(self, member_id: int, ever: Totals) -> tuple[Totals, Totals]:
        """(this month's figures, last month's)."""
        marks = self._marks.get(member_id, {})
        began = marks.get(self._month, Totals())
        before = marks.get(self._last)
        return ever.minus(began), began.minus(before) if before is not None else Totals()

    def write(self, session: Session, ids: Sequence[int]) -> None:
        _MARK.many(session, self._new)
        if self._new:
            _FORGET.among(session, (self._last,), ids)


def totals_of(session: Session, member_ids: Sequence[int]) -> dict[int, Totals]:
    """The totals of those of the members who have any; two statements."""
    spent = {row.member_id: int(row.spent_fen) for row in _SPENT.among(session, (), member_ids)}
    teams = {
        row.member_id: (int(row.buyers), int(row.sales_fen), int(row.earned_fen))
        for row in _TEAMS.among(session, (), member_ids)
    }
    result = {}
    for member_id in spent.keys() | teams.keys():
        buyers, sales, earned = teams.get(member_id, (0, 0, 0))
        result[member_id] = Totals(buyers, spent.get(member_id, 0), sales, earned)
    return result


def _move(
    session: Session,
    account_id: int,
    steps: Sequence[Step],
    member_id: int,
    before: str,
    after: str,
    now: datetime,
    *,
    reason: str,
    actor: str,
    figures: dict[str, int] | None = None,
    pinned: tuple[bool, bool] = (False, False),
) -> int:
    """Guarded: 1 when the member was moved, 0 when somebody was first. `pinned`: before and after."""
    if not changed(_SET_GRADE(session, after, pinned[1], member_id, before, pinned[0])):
        return 0
    _HISTORY(
        session, account_id, member_id, before, after, reason, None if figures is None else to_json(figures), actor,
        to_db(now), member_id,
    )  # fmt: skip
    ranks = {"": 0, **{step.code: step.rank for step in steps}}
    if before != after:
        up = ranks.get(after, 0) > ranks.get(before, 0)
        occasion = notices.GRADE_UP if up else notices.GRADE_DOWN
        names = {grade.code: grade.name for grade in all_of(session, account_id)}
        key = f"{occasion}-{member_id}-{_LAST(session, member_id).one().seq}"
        params = {
            "grade": names.get(after, ""),
            "before": names.get(before, ""),
            "at": now.isoformat(),
        }
        notices.tell(session, [notices.News(account_id, member_id, occasion, key, params)], now)
    return 1


# --- by hand --------------------------------------------------------------------------------------------------------


def assign(
    session: Session,
    account_id: int,
    member_id: int,
    code: str,
    *,
    pinned: bool,
    actor: str,
    reason: str,
    now: datetime,
) -> Member:
    """Give a member a grade by hand ("" is none); `pinned` keeps the task from changing it. With audit, history, and a
    notice when the grade changed. Raises `NotFound`, and `Invalid` for an unknown grade or no reason."""
    if not reason.strip():
        raise Invalid("a change of grade needs a reason")
    if code and find(session, account_id, code) is None:
        raise Invalid("no such grade", code=code)
    query = select(Member).where(Member.account_id == account_id, Member.id == member_id)
    locked = query.with_for_update().execution_options(populate_existing=True)
    member = session.scalar(locked)
    if member is None:
        raise NotFound("no such member", member=member_id)
    before = member.grade, member.grade_pinned
    if before == (code, pinned):
        return member
    _move(
        session, account_id, steps_of(session, account_id), member_id, before[0], code, now,
        reason=reason.strip(), actor=actor, pinned=(before[1], pinned),
    )  # fmt: skip
    audit.record(
        session, account_id, actor=actor, action="grade_assigned", subject=f"member/{member_id}",
        before={"grade": before[0], "pinned": before[1]},
        after={"grade": code, "pinned": pinned, "reason": reason.strip()}, now=now,
    )  # fmt: skip
    session.refresh(member)
    return member


def history_of(session: Session, member_id: int) -> list[GradeHistory]:
    """Every change of a member's grade, oldest first."""
    query = select(GradeHistory).where(GradeHistory.member_id == member_id)
    return list(session.scalars(query.order_by(GradeHistory.seq)))
