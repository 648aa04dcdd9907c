"""Long work that a person starts, watches or leaves, and finds done: a row, claimed by a worker with a lease.

A worker reports how far it is; that keeps the lease. One that dies leaves the task to the next, which goes on from
`cursor`. `jobs/tasks.py` says what each kind does.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import changed, is_duplicate, to_json
from domain.errors import NotFound
from domain.models import Task

WAITING: Final = "waiting"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
LEASE: Final = timedelta(minutes=2)
"""Longer than any step between two reports; then another worker takes over."""

TRIES: Final = 3

BOOKS: Final = "books"
"""Prove the books of the whole installation (proof.py)."""

RULE_DRY_RUN: Final = "rule_dry_run"
"""Try a draft of the rule on a past period (dryrun.py)."""
GRADES: Final = "grades"
"""Look at every member's grade now, without waiting for the clock (grades.py)."""
CHECK_INTAKE: Final = "check_intake"
WRITE_INTAKE: Final = "write_intake"
"""Read uploaded tables and say what would come of them; write them (intake.py)."""


class Lost(Exception):
    """The lease ran out and another worker has the task: stop, change nothing more."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task in the hands of one worker."""

    id: int
    account_id: int | None
    kind: str
    params: dict[str, Any]
    cursor: Any
    done: int
    token: str


def start(
    session: Session,
    account_id: int | None,
    kind: str,
    params: Mapping[str, Any] | None = None,
    *,
    only: str = "",
    actor: str,
    now: datetime,
) -> Task:
    """Ask for work; the open task when the same is being done already. `only` tells apart what may run side by side."""
    key = f"{account_id or 0}-{kind}-{only}"[:128]
    task = Task(
        account_id=account_id, kind=kind, open_key=key, params=to_json(dict(params or {})), state=WAITING,
        done=0, total=0, actor=actor, attempts=0, lease_until=now, created_at=now,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(task)
            session.flush()
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return session.scalars(select(Task).where(Task.open_key == key)).one()
    return task


def is_due(session: Session, now: datetime) -> bool:
    """Whether a task waits for a worker: what the clock rings for."""
    return session.scalar(_due(now).limit(1)) is not None


def _due(now: datetime) -> Any:
    return select(Task).where(
        or_(Task.state == WAITING, (Task.state == RUNNING) & (Task.lease_until < now))
    )


def claim(session: Session, now: datetime) -> Claimed | None:
    """Take the oldest task that waits, or whose worker is gone. One that ended its worker `TRIES` times has failed."""
    broken = update(Task).where(
        Task.state == RUNNING, Task.lease_until < now, Task.attempts >= TRIES
    )
    given_up = {"state": FAILED, "open_key": None, "finished_at": now}
    session.execute(broken.values(**given_up, result=to_json({"error": "its worker died"})))
    task = session.scalar(_due(now).order_by(Task.id).limit(1))
    if task is None:
        return None
    token = secrets.token_hex(16)
    mine = update(Task).where(
        Task.id == task.id,
        Task.state == task.state,
        Task.lease_until == task.lease_until,
    )
    values = {
        "state": RUNNING, "lease_token": token, "lease_until": now + LEASE, "attempts": task.attempts + 1,
    }  # fmt: skip
    if not changed(session.execute(mine.values(**values))):
        return None
    cursor = None if task.cursor is None else json.loads(task.cursor)
    return Claimed(
        task.id, task.account_id, task.kind, json.loads(task.params), cursor, task.done, token
    )


def report(
    session: Session,
    task: Claimed,
    now: datetime,
    *,
    done: int,
    total: int | None = None,
    cursor: Any = None,
) -> None:
    """Say how far it is and keep the lease; in the same transaction as the work, if it writes. Raises `Lost`."""
    values: dict[str, Any] = {"done": done, "lease_until": now + LEASE}
    if total is not None:
        values["total"] = total
    if cursor is not None:
        values["cursor"] = to_json(cursor)
    if not changed(session.execute(_held(task).values(**values))):
        raise Lost


def finish(session: Session, task: Claimed, result: Mapping[str, Any], now: datetime) -> None:
    """It is done, and this came of it. Raises `Lost`."""
    _end(session, task, DONE, result, now)


def fail(session: Session, task: Claimed, error: str, now: datetime) -> None:
    """It cannot be done. Raises `Lost`."""
    _end(session, task, FAILED, {"error": error[:1000]}, now)


def _end(
    session: Session, task: Claimed, state: str, result: Mapping[str, Any], now: datetime
) -> None:
    values = {"state": state, "open_key": None, "result": to_json(dict(result)), "finished_at": now}
    if not changed(session.execute(_held(task).values(**values))):
        raise Lost


def _held(task: Claimed) -> Any:
    return update(Task).where(
        Task.id == task.id, Task.state == RUNNING, Task.lease_token == task.token
    )


def get(session: Session, account_id: int | None, task_id: int) -> Task:
    """The task of this account (None: of the installation), or `NotFound`."""
    task = session.get(Task, task_id)
    if task is None or task.account_id != account_id:
        raise NotFound("no such task", task=task_id)
    return task


def newest(session: Session, account_id: int | None, kind: str, *states: str) -> Task | None:
    """The newest task of a kind, perhaps only in some states."""
    query = select(Task).where(Task.account_id == account_id, Task.kind == kind)
    if states:
        query = query.where(Task.state.in_(states))
    return session.scalar(query.order_by(Task.id.desc()).limit(1))


def recent(session: Session, account_id: int | None, kind: str, limit: int = 10) -> list[Task]:
    """The last tasks of a kind that ended, newest first."""
    query = select(Task).where(
        Task.account_id == account_id, Task.kind == kind, Task.state.in_((DONE, FAILED))
    )
    return list(session.scalars(query.order_by(Task.id.desc()).limit(limit)))


def result_of(task: Task) -> dict[str, Any]:
    """What came of it; {} while it runs."""
    value: dict[str, Any] = json.loads(task.result) if task.result else {}
    return value
