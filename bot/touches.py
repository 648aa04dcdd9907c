"""What followers tapped and said, for statistics: appended to local files, folded into `event` by the clock.

So that answering "我的收益" commits nothing. A touch that is lost with the machine is a figure less, never money.

The writer holds the file's lock while it appends and makes sure that the file still has its name; the fold takes the
lock to rename it. So nothing is ever written into a file that has been read, and a kill between any two steps leaves
either the file to be folded or one that is folded again, where the unique keys of `event` make it harmless.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sqlalchemy.orm import Session

from context import Context
from domain import events, members, windows

FOLDER: Final = "touches"
_OPEN: Final = ".open"
_TAKEN: Final = ".taken"
_DETAIL_LENGTH: Final = 190
_ROWS: Final = 500

_log = logging.getLogger(__name__)


class Journal:
    """The touches of this process. Threads share it."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._lock = Lock()
        self._file: int | None = None
        self._path = Path()

    def note(
        self, account_id: int, push_key: str, kind: str, openid: str, detail: str, created: int
    ) -> None:
        """Append one touch; `created` is the push's CreateTime in seconds."""
        row = [account_id, push_key, kind, openid, detail[:_DETAIL_LENGTH], created]
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._lock, self._locked_file() as file:
            os.write(file, line)

    @contextmanager
    def _locked_file(self) -> Iterator[int]:
        """The open file, locked against being taken; a new one when it was taken, or in a forked process."""
        while True:
            file = self._open()
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if os.fstat(file).st_ino == _inode(self._path):
                    yield file
                    return
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
            self.close()

    def _open(self) -> int:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{os.getpid()}-{uuid.uuid4().hex}{_OPEN}"
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        return self._file

    def close(self) -> None:
        """Let go of the file; the next touch begins another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def fold_touches(context: Context) -> int:
    """Write the journals of this machine as events and delete them; how many were new. Two folds at once, a kill and
    a repeat are harmless."""
    folder = context.settings.data.dir / FOLDER
    for path in sorted(folder.glob(f"*{_OPEN}")):
        _take(path)
    new = 0
    for path in sorted(folder.glob(f"*{_TAKEN}")):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue  # another fold was faster
        rows = [row for line in lines if (row := _row(line)) is not None]
        for start in range(0, len(rows), _ROWS):
            new += context.database.transact(_Write(rows[start : start + _ROWS]))
        path.unlink(missing_ok=True)
    return new


def _take(path: Path) -> None:
    """Rename a journal so that its process begins another."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.rename(path.with_suffix(_TAKEN))
    except FileNotFoundError:
        return
    finally:
        os.close(file)


def _row(line: str) -> list[Any] | None:
    """One touch; None for a line that a full disk or a kill cut short."""
    try:
        row = json.loads(line)
        account_id, push_key, kind, openid, detail, created = row
        return [int(account_id), str(push_key), str(kind), str(openid), str(detail), int(created)]
    except (ValueError, TypeError):
        _log.warning("a damaged touch was skipped")
        return None


class _Write:
    """One transaction's worth of touches."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self._rows = rows

    def __call__(self, session: Session) -> int:
        openids: dict[int, set[str]] = defaultdict(set)
        for account_id, _, _, openid, _, _ in self._rows:
            openids[account_id].add(openid)
        ids = {
            account_id: members.ids_of(session, account_id, wanted)
            for account_id, wanted in sorted(openids.items())
        }
        touches = [
            (account_id, push_key, kind, ids[account_id].get(openid), None, detail or None,
             datetime.fromtimestamp(created, UTC))
            for account_id, push_key, kind, openid, detail, created in self._rows
        ]  # fmt: skip
        windows.record(
            session,
            [(each[0], each[3], each[2], each[6]) for each in touches if each[3] is not None],
        )
        return events.record_touches(session, touches)
