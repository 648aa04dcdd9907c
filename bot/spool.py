"""Pushes whose handling failed, one file each, until they can be replayed: no binding is ever lost.

A file is safe on disk (`spooled`) before WeChat hears `success`. The clock of this machine
replays in order, without the freshness check; everything a push does is idempotent by its key, so a repeat, a kill in
the middle or a push that had been applied after all is harmless. One replay at a time, by a lock that a killed process
gives back by itself; claiming files one by one would lose their order.
"""

from __future__ import annotations

import fcntl
import logging
import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from bot import push as pushes
from bot.known import KnownAccounts
from bot.push import TooEarly
from bot.robot import read_xml, robot
from bot.touches import Journal
from bot.visit import Visit
from context import Context
from domain.db import is_retryable
from domain.errors import Busy
from spooled import FOLDER, PARKED, SUFFIX, Spooled, read, write

TRIES: Final = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to. `waiting` are left for later because the database is away, or for another try."""

    applied: int = 0
    parked: int = 0
    dropped: int = 0
    waiting: int = 0


def replay(context: Context) -> Replayed:
    """Handle the spooled pushes of this machine in the order they came. While the database is away everything waits;
    what fails otherwise is tried `TRIES` times and then parked with its error."""
    folder = context.settings.data.dir / FOLDER
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        return Replayed()
    with _only_one(folder) as mine:
        if not mine:
            return Replayed(waiting=len(files))
        return _Replay(context, folder).run(sorted(folder.glob(f"*{SUFFIX}")))


@contextmanager
def _only_one(folder: Path) -> Generator[bool]:
    handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


class _Replay:
    """One run through the spool."""

    def __init__(self, context: Context, folder: Path) -> None:
        self._context = context
        self._folder = folder
        self._accounts = KnownAccounts(context.database, context.keyring)
        self._journal = Journal(context.settings.data.dir)

    def run(self, files: list[Path]) -> Replayed:
        counts = {"applied": 0, "parked": 0, "dropped": 0, "waiting": 0}
        try:
            for number, path in enumerate(files):
                try:
                    outcome = self._one(path)
                except _Away:
                    counts["waiting"] += len(files) - number
                    break
                counts[outcome] += 1
        finally:
            self._journal.close()
        return Replayed(**counts)

    def _one(self, path: Path) -> str:
        item = read(path)
        try:
            self._handle(item)
        except (
            Exception
        ) as error:  # kept with the push: a person decides about it, the rest goes on
            if _is_away(error):
                raise _Away from error
            return self._failed(path, item, error)
        path.unlink()
        return "applied"

    def _handle(self, item: Spooled) -> None:
        known = self._accounts.find(item.slug)
        if known is None:
            raise LookupError(f"no account {item.slug}")
        push = pushes.read(read_xml(item.xml))
        visit = Visit(
            push, known.account, known.languages, known.keywords,
            self._context.database, self._journal, self._context.clock.now(), self._context.keyring,
        )  # fmt: skip
        robot.answer(robot.message_of(push), visit)

    def _failed(self, path: Path, item: Spooled, error: Exception) -> str:
        tries = item.tries + 1
        if tries < TRIES:
            write(self._folder, path.name, replace(item, tries=tries, error=str(error)[:500]))
            return "waiting"
        if isinstance(error, TooEarly):
            # It speaks of a message that somebody else sent through this account.
            path.unlink()
            return "dropped"
        story = "".join(traceback.format_exception(error))[-4000:]
        write(self._folder / PARKED, path.name, replace(item, tries=tries, error=story))
        path.unlink()
        _log.error("a push of account %s was parked after %d tries", item.slug, tries)
        return "parked"


class _Away(Exception):
    """The database is away or busy: no push's fault, and the next one would fail too."""


def _is_away(error: Exception) -> bool:
    if isinstance(error, Busy):
        return True
    return isinstance(error, DBAPIError) and (is_retryable(error) or _cannot_connect(error))


def _cannot_connect(error: DBAPIError) -> bool:
    """MariaDB's client errors 2000–2999; SQLite's "unable to open database file"."""
    arguments = getattr(error.orig, "args", ())
    number = arguments[0] if arguments else None
    if isinstance(number, int):
        return 2000 <= number < 3000
    return "unable to open" in str(error.orig)
