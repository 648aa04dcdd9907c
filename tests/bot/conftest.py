"""The callback over HTTP: `chat` on both engines, rolled back; `live_chat` with real commits, for threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.db import Database
from tests.bot.chat import Chat, context_of


@pytest.fixture
def chat(tmp_path: Path, database: Database) -> Chat:
    return Chat.open(context_of(tmp_path, database))


@pytest.fixture
def live_chat(tmp_path: Path, live_database: Database) -> Chat:
    return Chat.open(context_of(tmp_path, live_database))
