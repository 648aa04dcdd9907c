"""The small world of tests/domain, on each engine; both proofs must hold after every test."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from domain.db import Database
from tests.domain.world import World


@pytest.fixture
def world(database: Database) -> Generator[World]:
    """An account with 10 % / 5 % / 2 % over three levels; the books and the tree are proved at the end."""
    made = World.create(database)
    yield made
    made.check()


@pytest.fixture
def chain(world: World) -> World:
    """ann → ben → cai → dan: everybody came by the code of the one before."""
    world.people("ann", "ben", "cai", "dan")
    return world
