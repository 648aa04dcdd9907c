"""One small world for every test, on each engine, rolled back at its end."""

from __future__ import annotations

import pytest

from domain.db import Database
from tests.domain.world import World


@pytest.fixture
def world(database: Database) -> World:
    """An account with 10 % / 5 % / 2 % over three levels; nobody follows yet."""
    return World.create(database)
