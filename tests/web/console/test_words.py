"""Whatever a person reads in the console has words: no code of ours stands there instead."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from domain.staff.permissions import Permission
from web.console.deeds import ACTIONS, deed
from web.console.people import MEANT

ROOT = Path(__file__).parents[3]


def noted() -> Iterator[str]:
    """The actions that our code writes into the audit log by name."""
    for folder in ("domain", "web", "jobs", "bot"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if (
                    isinstance(node, ast.keyword)
                    and node.arg == "action"
                    and isinstance(node.value, ast.Constant)
                ):
                    yield str(node.value.value)


def test_every_action_of_the_audit_log_has_words() -> None:
    found = set(noted())
    assert len(found) > 30
    assert found - set(ACTIONS) == set()


def test_every_permission_has_words() -> None:
    assert set(MEANT) == set(Permission)


def test_an_action_of_another_release_is_shown_by_its_code() -> None:
    assert deed("made_of_stone") == "made_of_stone"
