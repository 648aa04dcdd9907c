"""The schema that migrations make is the schema of the models, on both engines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, inspect, text
from sqlalchemy.exc import DBAPIError

import migrations
from domain.models import APPEND_ONLY, Base
from tests.support.databases import Schemas
from tests.support.mariadb import PASSWORD, USER, MariaDB

ROOT = Path(__file__).parent.parent


@pytest.fixture
def connection(schemas: Schemas, engine_name: str) -> Generator[Connection]:
    """To a database that the migrations made, as it was before any test."""
    engine = migrations.open_engine(schemas.shared(engine_name))
    with engine.connect() as made:
        yield made
    engine.dispose()


def test_models_and_migrations_do_not_differ(connection: Connection) -> None:
    """If this fails: `make migration m="what changed"`."""
    options = {"compare_type": True, "compare_server_default": migrations.default_differs}
    context = MigrationContext.configure(connection, opts=options)
    assert compare_metadata(context, Base.metadata) == []


def test_every_check_of_the_models_is_in_the_database(connection: Connection) -> None:
    """Alembic does not compare CHECKs, so nothing else would notice."""
    inspector = inspect(connection)
    for table in Base.metadata.sorted_tables:
        wanted = {str(each.name) for each in table.constraints if isinstance(each, CheckConstraint)}
        found = {str(each["name"]) for each in inspector.get_check_constraints(table.name)}
        assert found == wanted, table.name


def test_every_constraint_and_index_has_a_name_that_fits() -> None:
    for table in Base.metadata.sorted_tables:
        names = [each.name for each in table.constraints] + [each.name for each in table.indexes]
        assert all(names), table.name
        assert [name for name in names if len(str(name)) > 64] == [], "MariaDB's names end there"


def test_database_refuses_to_change_or_delete_what_is_append_only(connection: Connection) -> None:
    for table in APPEND_ONLY:
        for action in ("update", "delete"):
            assert _trigger(connection, f"{table}_no_{action}") == table


def _trigger(connection: Connection, name: str) -> Any:
    if connection.dialect.name == "sqlite":
        query = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name = :name"
    else:
        query = (
            "SELECT event_object_table FROM information_schema.triggers "
            "WHERE trigger_schema = DATABASE() AND trigger_name = :name"
        )
    return connection.execute(text(query), {"name": name}).scalar()


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_append_only_means_that_the_row_stays(connection: Connection, change: str) -> None:
    connection.execute(
        text(
            "INSERT INTO audit (actor, action, subject, at) VALUES ('staff', 'a', 's', '2026-01-01 00:00:00')"
        )
    )
    with pytest.raises(DBAPIError, match="audit is append-only"):
        connection.execute(text(change))
    connection.rollback()


def test_upgrade_again_changes_nothing(
    schemas: Schemas, engine_name: str, connection: Connection
) -> None:
    url = schemas.shared(engine_name)
    connection.rollback()
    assert migrations.upgrade(url) == migrations.newest() == migrations.current(connection)
    assert migrations.is_current(connection)


def test_new_database_is_not_current(tmp_path: Path) -> None:
    engine = migrations.open_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        assert not migrations.is_current(connection)
    engine.dispose()


def test_two_processes_may_upgrade_at_once(
    tmp_path: Path, mariadb: MariaDB, engine_name: str
) -> None:
    url = (
        f"sqlite:///{tmp_path / 'new.db'}"
        if engine_name == "sqlite"
        else mariadb.make_database("banyan_twice")
    )
    program = "import sys, migrations; print(migrations.upgrade(sys.argv[1]))"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=60)[0].strip() for each in started]
    assert said == [migrations.newest()] * 2
    assert [each.returncode for each in started] == [0, 0]


def test_failed_migration_leaves_sqlite_as_it_was(tmp_path: Path) -> None:
    """The driver would leave DDL outside of transactions; `migrations.open_engine` does not."""
    engine = migrations.open_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))
        connection.rollback()
        assert inspect(connection).get_table_names() == []
    engine.dispose()


def test_database_of_another_character_set_is_refused_with_the_cure(mariadb: MariaDB) -> None:
    with mariadb.connect() as root, root.cursor() as cursor:
        cursor.execute("CREATE DATABASE banyan_latin CHARACTER SET latin1")
        for host in ("localhost", "127.0.0.1"):
            cursor.execute(f"CREATE USER IF NOT EXISTS {USER}@'{host}' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON banyan_latin.* TO {USER}@'{host}'")
    url = f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{mariadb.port}/banyan_latin"
    with pytest.raises(
        migrations.WrongDatabase, match="ALTER DATABASE `banyan_latin` CHARACTER SET utf8mb4"
    ):
        migrations.upgrade(url)
