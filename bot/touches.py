"""What followers tapped and said, for statistics: appended to local files, folded into `event` by the clock.

So that answering "我的收益" commits nothing. A touch that is lost with the machine is a figure less, never money.

A push only puts its touch into memory; a fifth of a second later a timer writes what has gathered. Each system call
hands the interpreter to another thread, and five of them for every push made all answers slower (docs/decisions.md).

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
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Timer
from typing import Any, Final

from sqlalchemy.orm import Session

from context import Context
from domain import events, members, windows
from domain.db import to_json

FOLDER: Final = "touches"
_OPEN: Final = ".open"
_TAKEN: Final = ".taken"
_DETAIL_LENGTH: Final = 190
_ROWS: Final = 500
_WAITING: Final = 50_000
GATHER_SECONDS: Final = 0.2
"""How long a touch may be in memory alone: what a killed process loses."""

_log = logging.getLogger(__name__)


class Journal:
    """The touches of this process. Threads share it."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._notes: deque[tuple[int, str, str, str, str, int]] = deque(maxlen=_WAITING)
        self._writing = Lock()
        self._timed_by = 0
        self._file: int | None = None
        self._name = ""

    def note(
        self, account_id: int, push_key: str, kind: str, openid: str, detail: str, created: int
    ) -> None:
        """Remember one touch; `created` is the push's CreateTime in seconds."""
        self._notes.append((account_id, push_key, kind, openid, detail[:_DETAIL_LENGTH], created))
        if self._timed_by != os.getpid():  # a fork inherits the mark, not the timer
            self._timed_by = os.getpid()
            timer = Timer(GATHER_SECONDS, self._flush_gathered)
            timer.daemon = True
            timer.start()

    def _flush_gathered(self) -> None:
        self._timed_by = 0
        try:
            self.flush()
        except OSError as error:
            _log.warning("touches wait in memory: %s", error)

    def flush(self) -> None:
        """Append what has gathered. Raises OSError, and keeps it, when the disk does not take it."""
        with self._writing:
            notes = [self._notes.popleft() for _ in range(len(self._notes))]
            if not notes:
                return
            lines = "".join(f"{to_json(note)}\n" for note in notes)
            try:
                with self._locked_file() as file:
                    os.write(file, lines.encode())
            except OSError:
                self._notes.extendleft(reversed(notes))
                raise

    @contextmanager
    def _locked_file(self) -> Iterator[int]:
        """The open file, locked against being taken; a new one when it was taken, or in a forked process."""
        while True:
            file = self._open()
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if os.fstat(file).st_ino == _inode(self._name):
                    yield file
                    return
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
            self._let_go()

    def _open(self) -> int:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._name = str(self._folder / f"{os.getpid()}-{uuid.uuid4().hex}{_OPEN}")
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._name, flags, 0o600)
        return self._file

    def close(self) -> None:
        """Write what has gathered and let go of the file; the next touch begins another."""
        self.flush()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _inode(name: str) -> int | None:
    try:
        return os.stat(name).st_ino
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
