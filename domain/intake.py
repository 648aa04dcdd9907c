"""导入: tables that a person uploads. They wait here, sealed, while a task checks them and the person decides.

The files become one ZIP of CSV files in the row. What they hold (names, phone numbers) is sealed, and deleted when it
was written, or after `KEPT`.
"""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import tasks
from domain.db import to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Intake, Task
from domain.secrets import Keyring

ORDERS: Final = "orders"
TAKEOVER: Final = "takeover"
KEPT: Final = timedelta(days=7)
MOST_BYTES: Final = 30 * 1024 * 1024
"""Of the files as they came."""
MOST_ZIPPED: Final = 5 * 1024 * 1024
"""A row has to fit into one packet of the database."""
MOST_FILES: Final = 10

_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,40}\.csv")


def add(
    session: Session,
    keyring: Keyring,
    account_id: int,
    kind: str,
    files: Mapping[str, bytes],
    *,
    name: str,
    options: Mapping[str, Any] | None = None,
    actor: str,
    now: datetime,
) -> Intake:
    """Keep uploaded files (name in the ZIP → bytes) and have them checked. Raises `Invalid` for no file, too many, too
    large ones, or a name that no table has."""
    if not files or len(files) > MOST_FILES or not all(files.values()):
        raise Invalid("one to ten files that are not empty")
    if not all(_NAME.fullmatch(one) for one in files):
        raise Invalid("a table is named like orders.csv", names=sorted(files))
    content, size = _zipped(files), sum(map(len, files.values()))
    if size > MOST_BYTES or len(content) > MOST_ZIPPED:
        raise Invalid("the files are too large")
    row = Intake(
        account_id=account_id, kind=kind, name=name[:190], options=to_json(dict(options or {})),
        size=size, actor=actor, created_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()  # the id is part of what the seal authenticates
    row.content = keyring.seal(base64.b64encode(content).decode(), _place(row.id))
    params = {"intake": row.id, "actor": actor}
    task = tasks.start(
        session, account_id, tasks.CHECK_INTAKE, params, only=str(row.id), actor=actor, now=now
    )
    row.check_task_id = task.id
    session.flush()
    return row


def _zipped(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(name, content)
    return made.getvalue()


def _place(intake_id: int) -> str:
    return f"intake/{intake_id}/content"


def prune(session: Session, before: datetime) -> int:
    """Delete the files that were uploaded before that and never written; how many uploads."""
    query = select(Intake.id).where(Intake.created_at < before, Intake.content.is_not(None))
    found = list(session.scalars(query.limit(100)))
    session.execute(update(Intake).where(Intake.id.in_(found)).values(content=None))
    return len(found)


def get(session: Session, account_id: int, intake_id: int) -> Intake:
    """The upload of this account, or `NotFound`."""
    row = session.get(Intake, intake_id)
    if row is None or row.account_id != account_id:
        raise NotFound("no such upload", intake=intake_id)
    return row


def newest(session: Session, account_id: int, limit: int = 20) -> list[Intake]:
    """The last uploads."""
    query = select(Intake).where(Intake.account_id == account_id)
    return list(session.scalars(query.order_by(Intake.id.desc()).limit(limit)))


def files_of(row: Intake, keyring: Keyring) -> dict[str, bytes]:
    """What was uploaded. Raises `Conflict` when it was deleted already."""
    if row.content is None:
        raise Conflict("the uploaded files are gone", intake=row.id)
    content = base64.b64decode(keyring.open(row.content, _place(row.id)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {one.filename: archive.read(one) for one in archive.infolist()}


def options_of(row: Intake) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(row.options)
    return value


def write(
    session: Session, account_id: int, intake_id: int, *, accept: bool, actor: str, now: datetime
) -> Task:
    """Have checked tables written; `accept` leaves out rows with problems. Raises `Conflict` while they are being
    checked, when they were written or deleted, and `Invalid` when rows would be left out and nobody accepted that."""
    query = select(Intake).where(Intake.account_id == account_id, Intake.id == intake_id)
    row = session.scalar(query.with_for_update())
    if row is None:
        raise NotFound("no such upload", intake=intake_id)
    checked = None if row.check_task_id is None else session.get(Task, row.check_task_id)
    if checked is None or checked.state != tasks.DONE:
        raise Conflict("the tables are not checked yet", intake=intake_id)
    if row.write_task_id is not None and not _has_failed(session, row):
        raise Conflict("the tables were written already", intake=intake_id)
    if row.content is None:
        raise Conflict("the uploaded files are gone", intake=intake_id)
    if tasks.result_of(checked).get("problems") and not accept:
        raise Invalid("rows would be left out", intake=intake_id)
    params = {"intake": row.id, "accept": accept, "actor": actor}
    task = tasks.start(
        session, account_id, tasks.WRITE_INTAKE, params, only=str(row.id), actor=actor, now=now
    )
    row.write_task_id = task.id
    session.flush()
    return task


def _has_failed(session: Session, row: Intake) -> bool:
    """Written in part or not at all: what was written is known, so it is simply done again."""
    task = session.get(Task, row.write_task_id)
    return task is not None and task.state == tasks.FAILED


def forget(session: Session, intake_id: int) -> None:
    """Delete the files: they were written."""
    session.execute(update(Intake).where(Intake.id == intake_id).values(content=None))
