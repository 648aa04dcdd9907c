"""The schema's history. `upgrade(url)` brings a database to the newest version; `flask db upgrade` calls it.

One migration is one transaction where the engine can do that (SQLite; MariaDB commits at every DDL statement, so a
migration there should be one statement, or safe to run again). One process migrates at a time.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from domain.db import Lane, error_number

FOLDER: Final = Path(__file__).parent
LOCK_SECONDS: Final = 10
"""How long a migration waits for a table: others queue behind it, so it gives up before they notice."""
STATEMENT_SECONDS: Final = 60
"""How long one statement may run. A migration that needs more sets `max_statement_time` itself, and says why."""
TURN_SECONDS: Final = 120
"""How long a process waits while another one migrates."""
NOT_SUPPORTED: Final = 1235


class WrongDatabase(Exception):
    """The database cannot hold Banyan's tables; the message says what to run."""


def upgrade(url: str, version: str = "head") -> str | None:
    """Run every migration up to `version` that the database at `url` has not seen; the version it has then."""
    engine = open_engine(url)
    with engine.connect() as connection, _turn(connection):
        _check_charset(connection)
        connection.rollback()
        command.upgrade(config(connection), version)
        reached = current(connection)
    engine.dispose()
    return reached


def current(connection: Connection) -> str | None:
    """The version that the database has; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The version that this release of Banyan wants; None before the first migration is written."""
    return ScriptDirectory.from_config(config()).get_current_head()


def default_differs(
    _context: MigrationContext,
    _column: Column[Any],
    _model_column: Column[Any],
    found: str | None,
    _model_default: object,
    wanted: str | None,
) -> bool:
    """Whether a server default is another one, and not just the engine's own spelling of ours."""
    return _plain(found) != _plain(wanted)


def _plain(default: str | None) -> str | None:
    if default is None:
        return None
    bare = default.strip("()").strip("'").lower()
    return {"false": "0", "true": "1"}.get(bare, bare)


def knows(version: str) -> bool:
    """Whether this release has the migration; a newer release has some that this one has not."""
    return any(
        each.revision == version for each in ScriptDirectory.from_config(config()).walk_revisions()
    )


def is_current(connection: Connection) -> bool:
    """Whether the database has the version that this release wants (`/readyz` asks)."""
    return current(connection) == newest()


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, in code: there is no alembic.ini, and the address comes from our settings."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    made.set_main_option("path_separator", "os")
    made.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    made.attributes["connection"] = connection
    return made


def open_engine(url: str) -> Engine:
    """An engine for one connection, with the limits of migrations. The caller disposes of it."""
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool)

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            # The driver's own transactions leave DDL outside: a migration that fails would stay half done.
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine
    engine = create_engine(url, poolclass=NullPool, connect_args={"charset": "utf8mb4"})

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET SESSION lock_wait_timeout={LOCK_SECONDS}, innodb_lock_wait_timeout={LOCK_SECONDS}"
            )
            cursor.execute(
                "SET SESSION sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
            )
            cursor.execute("SELECT VERSION()")
            if "mariadb" in cursor.fetchone()[0].lower():  # MySQL can bound SELECTs only
                cursor.execute(f"SET SESSION max_statement_time={STATEMENT_SECONDS}")

    return engine


def open_reader(url: str) -> Engine:
    """An engine that changes nothing about a database, not even its journal: for a copy that is only read."""
    return create_engine(url, poolclass=NullPool)


@contextmanager
def _turn(connection: Connection) -> Generator[None]:
    """One migrating process at a time: the writer lane of SQLite, a named lock of the server."""
    with ExitStack() as stack:
        if connection.dialect.name == "sqlite":
            lane = Lane(Path(f"{connection.engine.url.database}.lane"))
            stack.enter_context(lane.taken(TURN_SECONDS))
        else:
            stack.enter_context(_named_lock(connection))
        yield


@contextmanager
def _named_lock(connection: Connection) -> Generator[None]:
    try:
        got = connection.scalar(
            text("SELECT GET_LOCK('banyan-migrations', :seconds)"), {"seconds": TURN_SECONDS}
        )
    except DBAPIError as error:
        if error_number(error) != NOT_SUPPORTED:
            raise
        got = 1  # Galera has no named locks: run the release process on one machine only
    if got != 1:
        raise WrongDatabase("another process has been migrating this database for too long")
    connection.rollback()  # the lock belongs to the connection, not to the transaction
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("DO RELEASE_LOCK('banyan-migrations')"))
        connection.rollback()


def _check_charset(connection: Connection) -> None:
    """Nicknames have emoji. New tables take the database's character set, so a wrong one must stop us here."""
    if connection.dialect.name == "sqlite":
        return
    name, charset = connection.execute(text("SELECT DATABASE(), @@character_set_database")).one()
    if charset != "utf8mb4":
        raise WrongDatabase(
            f"the database has {charset}; run: ALTER DATABASE `{name}` CHARACTER SET utf8mb4"
        )
