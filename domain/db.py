"""The database door: engines, the one transaction idiom, and statements for the driver.

`Database.transact(fn)` runs `fn(session)` in one write transaction, commits, and is the only place that retries.
`Database.read(fn)` runs it as a plain read. Nobody else begins, commits or retries (money.md 2.3).
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import random
import re
import socket
import struct
import time
from collections import namedtuple
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import CursorResult, Engine, create_engine, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, MultipleResultsFound, NoResultFound
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import PoolProxiedConnection

from domain.errors import Busy

T = TypeVar("T")

# Deadlock or Galera certification, lock wait, snapshot conflict, node not ready, read-only after a failover,
# connection lost in its spellings, a savepoint that is gone (a deadlock inside it undid the whole transaction, and
# rolling back to it hides the 1213), and TiDB's write conflicts. 1062 is not here: it is the "already done" answer.
RETRYABLE: Final = frozenset(
    {1213, 1205, 1020, 1047, 1290, 1836, 2006, 2013, 2014, 1305, 8002, 8022, 8028, 9007}
)
STALE_POOL: Final = frozenset({1290, 1836})
DUPLICATE: Final = 1062

ROWS_AT_ONCE: Final = 500
_VALUES: Final = re.compile(r"(?P<head>INSERT .+ VALUES )(?P<row>\([^()]*\))(?P<tail>.*)")


class Rows:
    """What a statement for the driver returned: named rows, fetched whole, and what a change came to."""

    __slots__ = ("_rows", "lastrowid", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int, lastrowid: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        self.lastrowid = lastrowid

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        """The row, or None when there is none; `MultipleResultsFound` when there are more."""
        if len(self._rows) > 1:
            raise MultipleResultsFound("more than one row")
        return self.first()

    def one(self) -> Any:
        """The row; `NoResultFound` or `MultipleResultsFound` when it is not exactly one."""
        if not self._rows:
            raise NoResultFound("no row")
        return self.one_or_none()

    def scalar_one(self) -> Any:
        """The first column of the one row."""
        return self.one()[0]


class Sql:
    """One statement for the driver, written with `?`, ready for both parameter styles.

    The hot paths use it instead of Core expressions, which cost more than the database does (money.md 4.1). It runs on
    a cursor of the session's own connection, inside its transaction: SQLAlchemy's result and execution context alone
    cost as much again as the driver (docs/decisions.md has the figures). Errors are SQLAlchemy's.
    A literal percent sign is not allowed; `sqlite` gives another text where the dialects differ.
    """

    __slots__ = ("_format", "_names", "_qmark", "_row")

    def __init__(self, text: str, *, sqlite: str | None = None) -> None:
        assert "%" not in text, "the MySQL driver reads % as a placeholder"
        self._qmark = sqlite if sqlite is not None else text
        self._format = text.replace("?", "%s")
        self._names: tuple[str, ...] = ()
        self._row: Callable[[Any], Any] = tuple

    def text_for(self, dialect: str) -> str:
        """The statement as the driver of `dialect` takes it."""
        return self._qmark if dialect == "sqlite" else self._format

    def __call__(self, session: Session, *params: Any) -> Rows:
        driver, engine = _driver_of(session)
        return self._run(driver, engine, self.text_for(engine.dialect.name), params)

    def many(self, session: Session, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run for every row, an INSERT in one round trip per ROWS_AT_ONCE rows; the number of rows changed."""
        if not rows:
            return 0
        driver, engine = _driver_of(session)
        text = self.text_for(engine.dialect.name)
        if len(rows) == 1:
            return self._run(driver, engine, text, rows[0]).rowcount
        shape = None if engine.dialect.name == "sqlite" else _VALUES.fullmatch(text)
        if shape is not None:
            return sum(
                self._insert(driver, engine, shape, rows[start : start + ROWS_AT_ONCE])
                for start in range(0, len(rows), ROWS_AT_ONCE)
            )
        cursor = driver.cursor()
        try:
            _tell_watchers(engine, cursor, text, rows, many=True)
            cursor.executemany(text, rows)
            return cursor.rowcount
        except engine.dialect.loaded_dbapi.Error as error:
            raise _translated(driver, engine, text, rows, error) from error
        finally:
            cursor.close()

    def _insert(
        self,
        driver: PoolProxiedConnection,
        engine: Engine,
        shape: re.Match[str],
        rows: Sequence[tuple[Any, ...]],
    ) -> int:
        """One INSERT for all rows. PyMySQL would join them only where every value is a parameter."""
        text = shape["head"] + ", ".join([shape["row"]] * len(rows)) + shape["tail"]
        return self._run(driver, engine, text, tuple(chain.from_iterable(rows))).rowcount

    def among(self, session: Session, params: Sequence[Any], values: Iterable[Any]) -> Rows:
        """Run with `(??)` replaced by a list as long as `values`, whose members follow `params`."""
        items = list(values)
        driver, engine = _driver_of(session)
        mark = "?" if engine.dialect.name == "sqlite" else "%s"
        text = self.text_for(engine.dialect.name)
        text = text.replace(f"({mark}{mark})", f"({','.join([mark] * len(items) or ['NULL'])})")
        return self._run(driver, engine, text, (*params, *items))

    def _run(
        self, driver: PoolProxiedConnection, engine: Engine, text: str, params: tuple[Any, ...]
    ) -> Rows:
        cursor = driver.cursor()
        try:
            _tell_watchers(engine, cursor, text, params, many=False)
            cursor.execute(text, params)
            rows: list[Any] = []
            if cursor.description is not None:
                rows = self._named(cursor.description, cursor.fetchall())
            return Rows(rows, cursor.rowcount, cursor.lastrowid or 0)
        except engine.dialect.loaded_dbapi.Error as error:
            raise _translated(driver, engine, text, params, error) from error
        finally:
            cursor.close()

    def _named(self, description: Sequence[Any], rows: Sequence[Any]) -> list[Any]:
        names = tuple(column[0] for column in description)
        if names != self._names:
            # An expression without an alias is read by its position. Threads may both come here: same names.
            named: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc] # known only now
            self._row, self._names = named._make, names
        return list(map(self._row, rows))


def _driver_of(session: Session) -> tuple[PoolProxiedConnection, Engine]:
    """The driver's connection that this session works on, and its engine."""
    if isinstance(session, Work):
        return session.driver, session.engine
    connection = session.connection()
    return connection.connection, connection.engine


def _tell_watchers(engine: Engine, cursor: Any, text: str, params: Any, *, many: bool) -> None:
    """SQLAlchemy's `before_cursor_execute`, so that who watches an engine sees these statements too."""
    for watch in engine.dispatch.before_cursor_execute:
        watch(None, cursor, text, params, None, many)


def _translated(
    driver: PoolProxiedConnection, engine: Engine, text: str, params: Any, error: Exception
) -> BaseException:
    """A driver's error as SQLAlchemy would have raised it, and the pool without the connections that died with it."""
    lost = engine.dialect.is_disconnect(cast(Any, error), driver, None)
    if lost:
        driver.invalidate(error)
        engine.dispose()  # its neighbours led to the same server: all are made anew
    failure = engine.dialect.loaded_dbapi.Error
    return DBAPIError.instance(
        text, params, error, failure, hide_parameters=True, connection_invalidated=lost, dialect=engine.dialect
    )  # fmt: skip


UNIT: Final = "\x1f"
"""Stands between packed values; ASCII calls it the unit separator, and no text of ours holds control characters."""


def packed(columns: Sequence[str], joined: Sequence[str] = ()) -> tuple[str, str]:
    """Several columns as one text, for MySQL and for SQLite; `row.split(UNIT)` unpacks it. `columns` are never NULL;
    `joined` are those of an outer join, left out together where it found nothing.

    For the one read that a follower waits for: PyMySQL parses a description of every column of every answer, some 6 µs
    each (measured), and all of them cost more than everything else that the answer needs.
    """
    mysql = f"CONCAT_WS('{UNIT}', {', '.join([*columns, *joined])})"  # which leaves NULL out
    sqlite = f" || '{UNIT}' || ".join(columns)
    if joined:
        sqlite += (
            " || COALESCE(" + " || ".join(f"'{UNIT}' || {column}" for column in joined) + ", '')"
        )
    return mysql, sqlite


def changed(result: Any) -> int:
    """Rows that a guarded UPDATE or DELETE changed: 0 means that somebody was first."""
    return cast("Rows | CursorResult[Any]", result).rowcount


def to_db(instant: datetime) -> str:
    """An aware instant as both engines store it: naive UTC text with microseconds."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def from_db(value: Any) -> datetime:
    """What a driver returned for an instant, aware again (SQLite gives text, PyMySQL a naive datetime)."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return cast(datetime, value).replace(tzinfo=UTC)


def maybe_from_db(value: Any) -> datetime | None:
    return None if value is None else from_db(value)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def to_json(value: Any) -> str:
    """Compact, key-sorted and readable JSON: equal values give equal texts."""
    return _ENCODER.encode(value)


def is_key(text: str, length: int = 64) -> bool:
    """Whether a text from outside can be in a key column at all.

    Those hold ASCII; comparing one with anything else is error 1267 on MariaDB, not "no row".
    """
    return 0 < len(text) <= length and text.isascii() and text.isprintable()


def error_number(error: BaseException) -> int | None:
    """The server's error number behind a SQLAlchemy error, if it has one."""
    orig = getattr(error, "orig", None)
    args = getattr(orig, "args", ())
    return args[0] if args and isinstance(args[0], int) else None


def is_duplicate(error: IntegrityError) -> bool:
    """Whether a unique key refused the row: somebody has done this already."""
    return error_number(error) == DUPLICATE or "UNIQUE constraint failed" in str(error.orig)


def is_retryable(error: DBAPIError) -> bool:
    """Whether the whole transaction may succeed when it is run again."""
    if error.connection_invalidated or error_number(error) in RETRYABLE:
        return True
    return "database is locked" in str(error.orig) or "database table is locked" in str(error.orig)


_ORM_ATTRIBUTES: Final = frozenset(vars(Session()))
"""What SQLAlchemy's constructor sets, and its methods look for."""


class Work(Session):
    """A session on one connection. With `begin` it starts its one transaction at birth and `commit` ends it; without,
    every statement stands alone and the connection is taken when the first one comes.

    SQLAlchemy's own bookkeeping is ready for many connections that come and go; for the single statement of a chat
    answer it costs more than the statement. So a session for reads becomes one of the ORM's only when something of
    the ORM is asked of it.
    """

    def __init__(self, engine: Engine, memory: dict[Any, Any], *, begin: bool) -> None:
        self._is_orm = False
        self.engine = engine
        self._own = engine.connect() if begin else None
        self._driver: PoolProxiedConnection | None = None
        try:
            self._begun = self._own.begin() if self._own else None
        except BaseException:
            self._let_go()
            raise
        self.info = {"memory": memory}
        if begin:
            self._become_orm()

    def _become_orm(self) -> None:
        super().__init__(self._own or self.engine, autoflush=False, expire_on_commit=False)
        self._is_orm = True

    def __getattr__(self, name: str) -> Any:
        # Only what is missing comes here: the first attribute that SQLAlchemy's methods look for.
        if self._is_orm or name not in _ORM_ATTRIBUTES:
            raise AttributeError(name)
        self._become_orm()
        return getattr(self, name)

    @property
    def driver(self) -> PoolProxiedConnection:
        """The driver's connection, as the pool lends it."""
        if self._driver is None:
            self._driver = (
                self._own.connection if self._own is not None else self.engine.raw_connection()
            )
        return self._driver

    def begin_nested(self) -> SessionTransaction:
        """A savepoint that is set now. SQLAlchemy would set it before the first statement that goes through it, and
        `Sql` statements do not."""
        nested = super().begin_nested()
        self.connection()
        return nested

    def commit(self) -> None:
        """Write what the unit of work still holds, and commit; nothing can be done with this session afterwards."""
        self.flush()
        if self._begun is not None:
            self._begun.commit()

    def close(self) -> None:
        """Roll back what was not committed and give the connection back."""
        if self._is_orm:
            super().close()
        self._let_go()

    def _let_go(self) -> None:
        if self._own is not None:
            self._own.close()
        elif self._driver is not None:
            self._driver.close()
            self._driver = None


class _Bounded(io.RawIOBase):
    """What PyMySQL reads from, on a socket whose time-out the kernel keeps."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:  # how SO_RCVTIMEO says it; a stream would take it for "nothing yet"
            raise TimeoutError("the database did not answer in time") from None


def _bound(connection: Any, seconds: int) -> None:
    """Let one statement take `seconds` at most, on a new connection of PyMySQL's.

    Its own `read_timeout` makes Python ask `poll` before every read and write, and with many threads each such call
    hands the interpreter on: a fifth of a chat answer (measured). The kernel does the same for nothing.
    """
    wire, patience = connection._sock, struct.pack("@ll", seconds, 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        wire.setsockopt(socket.SOL_SOCKET, option, patience)
    connection._rfile.close()
    connection._rfile = io.BufferedReader(_Bounded(wire))


class Lane:
    """One writer at a time for SQLite, across processes: its busy handler starves, a flock queues (money.md 4.3)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def taken(self, seconds: float) -> Generator[None]:
        """Hold the lane; `Busy` when it does not become free within `seconds`."""
        give_up = time.monotonic() + seconds
        handle = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        raise Busy("another writer holds the database") from None
                    time.sleep(random.uniform(0.0005, 0.003))
            yield
        finally:
            os.close(handle)


class Database:
    """Engines for one URL and the two ways in: `transact` and `read` (or `reading` for a stream).

    `lock_wait_seconds` bounds waiting for a row or for SQLite's writer, `statement_seconds` one statement:
    1 and 2 in the callback, 3 and 30 in jobs.
    """

    def __init__(
        self,
        url: str,
        *,
        lock_wait_seconds: int = 3,
        statement_seconds: int = 30,
        pool_size: int = 8,
    ) -> None:
        self.url = url
        self.lock_wait_seconds = lock_wait_seconds
        self.memory: dict[
            Any, Any
        ] = {}  # immutable rows this process has read, shared by its sessions
        self.lane: Lane | None = None
        if make_url(url).get_backend_name() == "sqlite":
            self.engine, self._reader = self._open_sqlite(lock_wait_seconds)
        else:
            self.engine, self._reader = self._open_mysql(statement_seconds, pool_size)

    def _open_sqlite(self, lock_wait_seconds: int) -> tuple[Engine, Engine]:
        path = make_url(self.url).database
        if not path or path == ":memory:":
            raise ValueError("SQLite needs a file: several processes share the database")
        self.lane = Lane(Path(path + ".lane"))
        arguments = {"timeout": lock_wait_seconds, "check_same_thread": False}
        engine = create_engine(
            self.url, connect_args=arguments, hide_parameters=True, pool_reset_on_return=None
        )

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves, see below
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                "temp_store=MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # IMMEDIATE, or a read that turns into a write fails at once; readers never take it (money.md 2.3).
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine.execution_options(writes=True), engine

    def _open_mysql(self, statement_seconds: int, pool_size: int) -> tuple[Engine, Engine]:
        arguments = {
            "charset": "utf8mb4",
            "connect_timeout": 3,
            "init_command": (
                "SET SESSION sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
                f"time_zone='+00:00',innodb_lock_wait_timeout={self.lock_wait_seconds}"
            ),
        }
        pool: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 24, "pool_recycle": 1800}
        writer = create_engine(
            self.url,
            connect_args=arguments,
            hide_parameters=True,  # an error goes to the log, and what people are called does not belong there
            isolation_level="READ COMMITTED",
            pool_reset_on_return=None,  # a session ends its transaction itself: one ROLLBACK less
            pool_use_lifo=True,
            **pool,
        )
        # A single SELECT needs no BEGIN and no ROLLBACK: two round trips saved on every chat answer.
        reader = create_engine(
            self.url,
            connect_args={**arguments, "autocommit": True},
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            pool_use_lifo=True,
            skip_autocommit_rollback=True,
            **pool,
        )
        for engine in (writer, reader):
            event.listen(engine, "connect", lambda each, _: _bound(each, statement_seconds))
        return writer, reader

    @property
    def is_sqlite(self) -> bool:
        return self.lane is not None

    def _session(self, *, writes: bool) -> Session:
        engine = self.engine if writes else self._reader
        # MariaDB's reader commits by itself; SQLite needs a transaction to read one snapshot.
        return Work(engine, self.memory, begin=writes or self.is_sqlite)

    def transact(
        self, fn: Callable[[Session], T], *, deadline: float | None = None, tries: int = 6
    ) -> T:
        """Run `fn(session)` in one transaction and commit; on a passing conflict run the whole `fn` again.

        `deadline` is a `time.monotonic()` instant after which no new try begins. Waits 5–50 ms with full jitter,
        doubling. Raises `Busy` when the tries are used up, and whatever `fn` raises, after the rollback.
        """
        pause = 0.005
        for attempt in range(1, tries + 1):
            try:
                return self._attempt(fn, deadline)
            except DBAPIError as error:
                if not is_retryable(error):
                    raise
                if error_number(error) in STALE_POOL:
                    self.engine.dispose()
                wait = random.uniform(0, pause)
                late = deadline is not None and time.monotonic() + wait >= deadline
                if attempt == tries or late:
                    raise Busy("the database is busy", tries=attempt) from error
                time.sleep(wait)
                pause = min(pause * 2, 0.05)
        raise AssertionError("unreachable: the last try returns or raises")

    def _attempt(self, fn: Callable[[Session], T], deadline: float | None) -> T:
        if self.lane is None:
            return self._once(fn)
        patience = float(self.lock_wait_seconds)
        if deadline is not None:
            patience = max(0.0, min(patience, deadline - time.monotonic()))
        with self.lane.taken(patience):
            return self._once(fn)

    def _once(self, fn: Callable[[Session], T]) -> T:
        with self._session(writes=True) as session:
            result = fn(session)
            session.commit()
            return result

    def read(self, fn: Callable[[Session], T]) -> T:
        """Run `fn(session)` without a write transaction; once more when the pooled connection had died."""
        try:
            return self._read_once(fn)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._read_once(fn)

    def _read_once(self, fn: Callable[[Session], T]) -> T:
        session = self._session(writes=False)
        try:
            return fn(session)
        finally:
            session.close()

    @contextmanager
    def reading(self) -> Generator[Session]:
        """A session for plain reads. On MariaDB every statement sees the newest commits; on SQLite one snapshot."""
        session = self._session(writes=False)
        try:
            yield session
        finally:
            session.close()

    @contextmanager
    def snapshot(self) -> Generator[Session]:
        """A read of one instant, however many statements: for proofs and exports beside running doors."""
        if self.is_sqlite:
            with self.reading() as session:
                yield session
            return
        engine = self.engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine, autoflush=False, info={"memory": self.memory}) as session:
            yield session

    def dispose(self) -> None:
        """Close every pooled connection (before a fork, at the end of a process)."""
        self.engine.dispose()
        self._reader.dispose()
