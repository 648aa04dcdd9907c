"""Rebuilding the tree's derived rows beside running doors: `relation` from `referrer_id`, figures from the truth.

A run over any number of members, so it opens its own transactions: a thousand members each, a chunk in memory.

1. Closure. Under the account's tree lock and the members' row locks each chunk is made what `referrer_id` says
   (bindings.reconcile), with the figures that this changes. Joins and scans below other members go on; what would
   move a team waits for one chunk.
2. Figures. Every transaction that changes the truth writes its difference into `tally` in the same commit, so what
   is wrong with the figures of one instant is wrong by the same amount ever after. One snapshot tells how much; a
   row with exactly that difference is added. Nothing is locked and nothing is replaced, and orders that are recorded
   meanwhile count as always.

The second step would be wrong if two runs corrected at once, so a run holds the lease `members-repair`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import bindings, proof
from domain.db import Database, Sql, changed, is_duplicate, to_db
from domain.errors import Busy
from domain.models import Account
from domain.proof import CHUNK, Progress, Report, silent
from domain.tally import COLUMNS, Changes, Figures

LEASE: Final = "members-repair"
LEASE_MINUTES: Final = 10
"""Renewed with every chunk; a run that was killed keeps others away for no longer."""

_NEXT_MEMBERS = Sql("SELECT id FROM member WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?")
_TAKE = Sql("INSERT INTO lease (name, token, until) VALUES (?, ?, ?)")
_TAKE_OVER = Sql(
    "UPDATE lease SET token = ?, until = ? WHERE name = ? AND (until <= ? OR token = ?)"
)
_GIVE_BACK = Sql("DELETE FROM lease WHERE name = ? AND token = ?")


class _Lease:
    """The right to correct figures; `renew` raises `Busy` when another run has it."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._database = database
        self._token = uuid.uuid4().hex
        self.renew(now)

    def renew(self, now: datetime) -> None:
        self._database.transact(lambda session: self.hold(session, now))

    def hold(self, session: Session, now: datetime) -> None:
        """Renew in the caller's transaction, so that what it writes and the right to write it commit together."""
        until = to_db(now + timedelta(minutes=LEASE_MINUTES))
        if changed(_TAKE_OVER(session, self._token, until, LEASE, to_db(now), self._token)):
            return
        try:
            with session.begin_nested():
                _TAKE(session, LEASE, self._token, until)
        except IntegrityError as error:
            if not is_duplicate(error):
                raise
            raise Busy("another repair is under way") from error

    def give_back(self) -> None:
        self._database.transact(lambda session: _GIVE_BACK(session, LEASE, self._token))


def repair_members(database: Database, now: datetime, progress: Progress = silent) -> Report:
    """Rebuild closure and figures where they differ, and report what was changed (`differences`, counts
    `closure_rows_changed`, `figures_changed`). Cycles are reported and left: which binding is wrong, people decide.

    Resumable: what is right is not touched, so a run after a killed one does the rest. Raises `Busy` beside another.
    """
    report = Report(counts={"members": 0, "closure_rows_changed": 0, "figures_changed": 0})
    lease = _Lease(database, now)
    with database.snapshot() as session:
        proof.check_referrers(session, report)
        accounts = list(session.scalars(select(Account.id).order_by(Account.id)))
    for account_id in accounts:
        _repair_closure(database, account_id, lease, now, report, progress)
    _repair_strays(database, report)
    with database.snapshot() as session:
        for corrections in in_chunks(proof.wrong_figures(session, report, progress)):
            _correct(database, corrections, lease, now)
            report.count("figures_changed", len(corrections))
    lease.give_back()
    return report


def _repair_closure(
    database: Database,
    account_id: int,
    lease: _Lease,
    now: datetime,
    report: Report,
    progress: Progress,
) -> None:
    above = 0
    while True:
        ids, wrong = database.transact(
            lambda session, above=above: _repair_chunk(session, account_id, above)  # type: ignore[misc]
        )
        if not ids:
            return
        above = ids[-1]
        for one in wrong:
            report.differs(
                "closure", f"member/{one.member_id}", f"level {one.level} under {one.ancestor_id}", one.stands
            )  # fmt: skip
        report.count("closure_rows_changed", len(wrong))
        report.count("members", len(ids))
        lease.renew(now)
        progress("closure", report.counts["members"])


def _repair_chunk(
    session: Session, account_id: int, above: int
) -> tuple[list[int], list[bindings.Wrong]]:
    bindings.lock_tree(session, account_id)
    ids = [row.id for row in _NEXT_MEMBERS(session, account_id, above, CHUNK)]
    changes = Changes()
    wrong = bindings.reconcile(session, ids, changes) if ids else []
    changes.write(session)
    return ids, wrong


_STRAYS = Sql(
    "SELECT r.ancestor_id, r.level, r.descendant_id FROM relation r"
    " LEFT JOIN member m ON m.id = r.descendant_id WHERE m.id IS NULL LIMIT ?"
)
_DROP = Sql("DELETE FROM relation WHERE ancestor_id = ? AND level = ? AND descendant_id = ?")


def _repair_strays(database: Database, report: Report) -> None:
    """Closure rows of members who do not exist belong to nobody's chunk."""

    def drop(session: Session) -> int:
        rows = [tuple(row) for row in _STRAYS(session, CHUNK)]
        return _DROP.many(session, rows)

    while number := database.transact(drop):
        report.count("closure_rows_changed", number)
        report.differs("closure", "members who do not exist", "no row", f"{number} rows")


def in_chunks(
    rows: Iterable[tuple[int, int, Figures]],
) -> Iterator[Sequence[tuple[int, int, Figures]]]:
    """As many rows as one transaction takes."""
    chunk: list[tuple[int, int, Figures]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _correct(
    database: Database,
    corrections: Sequence[tuple[int, int, Figures]],
    lease: _Lease,
    now: datetime,
) -> None:
    def write(session: Session) -> None:
        lease.hold(session, now)
        changes = Changes()
        for member_id, level, figures in corrections:
            changes.add(member_id, level, **dict(zip(COLUMNS, astuple(figures), strict=True)))
        changes.write(session)

    database.transact(write)
