"""Databases for tests: the schema comes from the migrations, once; each test gets it empty."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

import migrations
from domain.db import Database
from domain.models import Base
from tests.support.mariadb import MariaDB


class RolledBack(Database):
    """A Database whose every transaction is a savepoint of one connection that will be rolled back.

    `transact` and `reading` are the real ones; only the session's birth differs. One thread at a time: whoever
    tests races takes `live_database`.
    """

    def __init__(self, ground: Database) -> None:
        vars(self).update(vars(ground))
        self.memory = {}
        self.lane = None  # there is only this one writer
        self._connection = self.engine.connect()
        self._outermost = self._connection.begin()

    def _session(self, *, writes: bool) -> Session:
        return Session(
            self._connection,
            join_transaction_mode="create_savepoint",
            autoflush=False,
            expire_on_commit=False,
        )

    @contextmanager
    def snapshot(self) -> Generator[Session]:
        """What the test wrote is visible to this connection alone."""
        with self.reading() as session:
            yield session

    def roll_back(self) -> None:
        """Forget everything that the test wrote."""
        self._outermost.rollback()
        self._connection.close()


class Schemas:
    """Migrated, empty databases, made once for each test process and engine."""

    def __init__(self, folder: Path, server: Callable[[], MariaDB]) -> None:
        self._folder = folder
        self._server = server
        self._template: Path | None = None
        self._urls: dict[str, str] = {}
        self._made = 0

    def sqlite_file(self) -> Path:
        """A new SQLite file with every table, copied from one that the migrations made."""
        if self._template is None:
            self._template = self._folder / "template.db"
            migrations.upgrade(f"sqlite:///{self._template}")
        self._made += 1
        copy = self._folder / f"banyan-{self._made}.db"
        shutil.copyfile(self._template, copy)
        return copy

    def shared(self, engine: str) -> str:
        """The address of a migrated database for tests that leave nothing behind."""
        if engine not in self._urls:
            self._urls[engine] = self.fresh(engine, "shared")
        return self._urls[engine]

    def fresh(self, engine: str, name: str) -> str:
        """The address of a migrated database that no other test knows."""
        if engine == "sqlite":
            return f"sqlite:///{self.sqlite_file()}"
        url = self._server().make_database(f"banyan_{name}")
        migrations.upgrade(url)
        return url

    def live(self, engine: str) -> str:
        """The address of an empty database in which commits are real; give it back to `empty` afterwards."""
        if engine == "sqlite":
            return f"sqlite:///{self.sqlite_file()}"
        if "live" not in self._urls:
            self._urls["live"] = self.fresh(engine, "live")
        return self._urls["live"]


@cache
def _ground(url: str) -> Database:
    """One for each test process: its connection, and the statements that SQLAlchemy has compiled, serve every test."""
    return Database(url)


@contextmanager
def rolled_back(url: str) -> Generator[Database]:
    database = RolledBack(_ground(url))
    try:
        yield database
    finally:
        database.roll_back()


@contextmanager
def emptied(url: str) -> Generator[Database]:
    """A Database with real commits; its rows are gone afterwards (SQLite: with the whole file)."""
    database = Database(url)
    try:
        yield database
    finally:
        if database.is_sqlite:
            database.dispose()
            for file in Path(database.engine.url.database or "").parent.glob(f"{Path(url).name}*"):
                file.unlink()
        else:
            with database.engine.connect() as connection:
                empty(connection)
            database.dispose()


def empty(connection: Connection) -> None:
    """TRUNCATE what has rows. DELETE would be refused: the append-only tables have triggers."""
    tables = list(Base.metadata.tables)
    asked = " UNION ALL ".join(
        f"SELECT '{each}' FROM DUAL WHERE EXISTS (SELECT 1 FROM `{each}`)" for each in tables
    )
    for (table,) in connection.execute(text(asked)).all():
        connection.execute(text(f"TRUNCATE TABLE `{table}`"))
    connection.commit()


def analyse(database: Database) -> None:
    """The engine counts its rows anew: plans depend on that."""
    names = ", ".join(f"`{name}`" for name in Base.metadata.tables)
    with database.engine.begin() as connection:
        connection.execute(text("ANALYZE" if database.is_sqlite else f"ANALYZE TABLE {names}"))
