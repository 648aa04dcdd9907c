"""The locks hold what pyproject.toml asks for, pinned and hashed, and name no place to get it from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==\S+")


def _locked(name: str) -> dict[str, str]:
    """Package to the whole of its entry."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return {match[1]: line for line in text.splitlines() if (match := PINNED.match(line))}


def _wanted(*, dev: bool) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = project["project"]["dependencies"] + (
        project["dependency-groups"]["dev"] if dev else []
    )
    return {
        re.split(r"[^A-Za-z0-9._-]", name)[0].lower().replace("_", "-").replace(".", "-")
        for name in names
    }


@pytest.mark.parametrize(
    ("lock", "dev"), [("requirements.lock", False), ("requirements-dev.lock", True)]
)
def test_everything_that_is_asked_for_is_locked(lock: str, dev: bool) -> None:
    assert _wanted(dev=dev) - set(_locked(lock)) == set(), "run: make lock"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_line_is_hashed_and_names_no_address(lock: str) -> None:
    assert [name for name, entry in _locked(lock).items() if "--hash=sha256:" not in entry] == []
    assert not re.search(r"https?://|--.*index", (ROOT / lock).read_text(encoding="utf-8"))


def test_tests_run_with_the_versions_of_the_server() -> None:
    server, development = _locked("requirements.lock"), _locked("requirements-dev.lock")
    assert {name: development.get(name, "").split()[0] for name in server} == {
        name: entry.split()[0] for name, entry in server.items()
    }
