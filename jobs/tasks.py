"""Long work that somebody started in the console: claimed one by one, reported as it goes, taken over from the dead.

A kind of work is a function here that takes the claimed task and a `Report`, and returns what came of it. It reads and
writes in small transactions of its own, and may be run again from its last cursor.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from context import Context
from domain import dryrun, grades, imports, intake, order_sheets, proof, rules, tasks
from domain.errors import DomainError
from domain.tasks import Claimed
from jobs.process import Process, current

REPORT_SECONDS: Final = 2.0
"""How often progress is written; far less than the lease."""
PROVE_EVERY: Final = timedelta(hours=24)

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """Tells how far a task is, at most every two seconds. Raises `tasks.Lost` when another worker has it."""

    process: Process
    task: Claimed
    _next: float = field(default=0.0)

    def __call__(self, done: int, total: int | None = None, cursor: Any = None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REPORT_SECONDS
        now = self.process.context.clock.now()
        self.process.context.database.transact(
            lambda session: tasks.report(
                session, self.task, now, done=done, total=total, cursor=cursor
            )
        )


Runner = Callable[[Process, Claimed, Report], dict[str, Any]]


def prove_books(process: Process, _task: Claimed, report: Report) -> dict[str, Any]:
    """Read every posting and every order again: whether the books balance, and what does not."""
    seen: dict[str, int] = {}

    def progress(what: str, done: int) -> None:
        seen[what] = done
        report(sum(seen.values()))

    with process.context.database.snapshot() as session:
        return proof.ledger_check(session, progress).as_value()


def _account_of(task: Claimed) -> int:
    """The account whose work it is: only the proof of the books is everybody's."""
    if task.account_id is None:
        raise LookupError(f"a task of the kind {task.kind} belongs to no account")
    return task.account_id


def try_rule(process: Process, task: Claimed, report: Report) -> dict[str, Any]:
    """What a past period would have cost under a draft of the rule."""
    since, until = (datetime.fromisoformat(task.params[name]) for name in ("since", "until"))
    draft = rules.from_definition(task.params["draft"], since)
    with process.context.database.snapshot() as session:
        return dryrun.run(
            session, _account_of(task), draft, since=since, until=until,
            progress=lambda _what, done: report(done),
        )  # fmt: skip


def sweep_grades(process: Process, task: Claimed, report: Report) -> dict[str, Any]:
    """Every member of the account, from where a sweep stands to the last one."""
    account_id, seen, moved = _account_of(task), 0, 0
    while True:
        now = process.context.clock.now()
        step = process.context.database.transact(
            partial(grades.sweep, account_id=account_id, now=now, pause=timedelta(0))
        )
        seen, moved = seen + step.members, moved + step.moved
        report(seen)
        if step.finished:
            return {"members": seen, "moved": moved}


def check_intake(process: Process, task: Claimed, report: Report) -> dict[str, Any]:
    """Read uploaded tables and say what would come of them."""
    return _take_in(process, task, report, dry_run=True)


def write_intake(process: Process, task: Claimed, report: Report) -> dict[str, Any]:
    """Write uploaded tables, then delete them. A worker that dies leaves what it wrote: the next one knows it."""
    outcome = _take_in(process, task, report, dry_run=False)
    process.context.database.transact(lambda session: intake.forget(session, task.params["intake"]))
    return outcome


def _take_in(process: Process, task: Claimed, report: Report, *, dry_run: bool) -> dict[str, Any]:
    database, now = process.context.database, process.context.clock.now()
    account = process.account(_account_of(task))
    row = database.read(lambda session: intake.get(session, account.id, task.params["intake"]))
    files = intake.files_of(row, process.context.keyring)
    actor = task.params["actor"]

    def progress(_what: str, done: int) -> None:
        report(done)

    if row.kind == intake.ORDERS:
        [content] = files.values()
        return order_sheets.run(
            database, account, content, dry_run=dry_run, actor=actor, now=now, progress=progress
        )
    with tempfile.TemporaryDirectory(prefix="banyan-intake-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        options = imports.Options(intake.options_of(row)["source"])
        return imports.run(
            database, process.context.keyring, account, imports.CsvFolder(Path(folder)), options,
            dry_run=dry_run, accept_problems=task.params.get("accept", False), actor=actor, now=now, progress=progress,
        ).as_value()  # fmt: skip


RUNNERS: Final[dict[str, Runner]] = {
    tasks.BOOKS: prove_books,
    tasks.RULE_DRY_RUN: try_rule,
    tasks.GRADES: sweep_grades,
    tasks.CHECK_INTAKE: check_intake,
    tasks.WRITE_INTAKE: write_intake,
}
"""Kind of work → who does it."""


def work_on_tasks() -> int:
    """RQ's way in: do what waits; how many tasks."""
    return work(current())


def work(process: Process) -> int:
    """One task after another, until none waits or this worker is to end."""
    done = 0
    database, clock = process.context.database, process.context.clock
    while not process.stopping.is_set():
        task = database.transact(lambda session: tasks.claim(session, clock.now()))
        if task is None:
            break
        _do(process, task)
        done += 1
    return done


def _do(process: Process, task: Claimed) -> None:
    database, clock = process.context.database, process.context.clock
    try:
        result = RUNNERS[task.kind](process, task, Report(process, task))
        database.transact(lambda session: tasks.finish(session, task, result, clock.now()))
    except tasks.Lost:
        _log.warning("task %s: another worker has it", task.id)
    except (DomainError, KeyError) as error:
        _log.warning("task %s (%s): %s: %s", task.id, task.kind, type(error).__name__, error)
        words = f"{type(error).__name__}: {error}"
        database.transact(lambda session: tasks.fail(session, task, words, clock.now()))


def prove_daily(context: Context) -> None:
    """The clock's part: once a day the books are proved without anybody asking."""
    now = context.clock.now()

    def ask(session: Session) -> None:
        last = tasks.newest(session, None, tasks.BOOKS)
        if last is None or last.created_at + PROVE_EVERY <= now:
            tasks.start(session, None, tasks.BOOKS, actor="clock", now=now)

    context.database.transact(ask)
