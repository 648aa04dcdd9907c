"""Real commits on MariaDB, with a connection for each of fifty threads."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from sqlalchemy import text

from domain.db import Database
from tests.domain.world import World
from tests.support.databases import Schemas, emptied


@pytest.fixture
def crowd(schemas: Schemas) -> Generator[Database]:
    """MariaDB with real commits, for up to 64 threads at once; emptied at the end."""
    with emptied(schemas.live("mariadb")) as made:
        database = Database(made.url, pool_size=64, lock_wait_seconds=5)
        yield database
        database.dispose()


@pytest.fixture
def world(crowd: Database) -> World:
    return World.create(crowd)


@pytest.fixture(scope="session")
def _unguarded_url(schemas: Schemas) -> str:
    url = schemas.fresh("mariadb", "unguarded")
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE orders DROP INDEX uq_orders_account_id_order_no"))
        connection.execute(text("ALTER TABLE orders ADD INDEX (account_id, order_no)"))
    database.dispose()
    return url


@pytest.fixture
def unguarded(_unguarded_url: str) -> Generator[World]:
    """A world whose orders have no unique key: what a race would do without it."""
    with emptied(_unguarded_url) as made:
        database = Database(made.url, pool_size=64)
        yield World.create(database)
        database.dispose()
