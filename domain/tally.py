"""What a member's team amounts to per level, read in one SELECT and never updated (see `models.Tally`).

Figures for display. Checks and claims read the truth: relation, orders, commissions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy.orm import Session

from domain.db import Sql

COLUMNS: Final = (
    "people", "following", "buyers", "orders", "spent_fen", "refunded_fen", "earned_fen", "frozen_fen"
)  # fmt: skip


@dataclass(slots=True)
class Figures:
    """People who joined, of them still following, of them who bought; orders and amounts in fen.

    `spent_fen` is what the level paid for goods before refunds, `earned_fen` what the member earned by it after
    claw-backs, `frozen_fen` the part of that which is not settled.
    """

    people: int = 0
    following: int = 0
    buyers: int = 0
    orders: int = 0
    spent_fen: int = 0
    refunded_fen: int = 0
    earned_fen: int = 0
    frozen_fen: int = 0

    @property
    def net_spent_fen(self) -> int:
        """What the level paid and kept."""
        return self.spent_fen - self.refunded_fen

    def add(self, other: Figures) -> None:
        # Written out: a loop over the names costs a tenth of a chat's answer.
        self.people += other.people
        self.following += other.following
        self.buyers += other.buyers
        self.orders += other.orders
        self.spent_fen += other.spent_fen
        self.refunded_fen += other.refunded_fen
        self.earned_fen += other.earned_fen
        self.frozen_fen += other.frozen_fen


@cache
def _insert(columns: tuple[str, ...]) -> Sql:
    """An insert that names only these columns; the others are 0 by default."""
    marks = ", ?" * len(columns)
    return Sql(
        f"INSERT INTO tally (member_id, level, folded, {', '.join(columns)}) VALUES (?, ?, ?{marks})"
    )


_OLDEST = Sql("SELECT id, member_id FROM tally WHERE folded = 0 ORDER BY id LIMIT ?")
_OF_MEMBERS = Sql(
    f"SELECT id, member_id, level, {', '.join(COLUMNS)} FROM tally WHERE member_id IN (??)"
)
_DELETE = Sql("DELETE FROM tally WHERE id IN (??)")


class Changes:
    """Differences of one transaction, added up per member and level and written as one statement."""

    def __init__(self) -> None:
        self._rows: defaultdict[tuple[int, int], Figures] = defaultdict(Figures)

    def add(self, member_id: int, level: int, **figures: int) -> None:
        row = self._rows[member_id, level]
        for column, value in figures.items():
            setattr(row, column, getattr(row, column) + value)

    def write(self, session: Session) -> None:
        _write(session, self._rows, folded=0)


class FoldedBySomebodyElse(Exception):
    """Another fold took some of the rows: roll back, there is nothing to repair."""


def fold(session: Session, limit: int = 2000) -> int:
    """Replace all rows of the members of the oldest `limit` unfolded ones by one row per level; how many were new.

    Deletes exactly the ids that it summed and counts them, so two folds at once cannot lose a row: the later one
    raises `FoldedBySomebodyElse` and is rolled back.
    """
    fresh = _OLDEST(session, limit).all()
    if not fresh:
        return 0
    sums: defaultdict[tuple[int, int], Figures] = defaultdict(Figures)
    ids = []
    for row in _OF_MEMBERS.among(session, (), sorted({row.member_id for row in fresh})):
        ids.append(row.id)
        sums[row.member_id, row.level].add(Figures(*row[3:]))
    if _DELETE.among(session, (), sorted(ids)).rowcount != len(ids):
        raise FoldedBySomebodyElse
    _write(session, sums, folded=1)
    return len(fresh)


def _write(session: Session, rows: Mapping[tuple[int, int], Figures], folded: int) -> None:
    """One statement, with the columns that somebody changed: most changes concern two or three of the eight."""
    columns = tuple(name for name in COLUMNS if any(getattr(row, name) for row in rows.values()))
    if columns:
        _insert(columns).many(
            session,
            [
                (member, level, folded, *(getattr(row, name) for name in columns))
                for (member, level), row in sorted(rows.items())
            ],
        )
