"""The documentation is true where a machine can tell: paths, commands, words, the diagram."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import CheckConstraint

from app import COMMANDS
from domain.models import Base
from migrations import diagram

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
PAGES = (*READMES, "docs/operations.md")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_diagram_is_that_of_the_tables() -> None:
    assert diagram.page() == diagram.PAGE.read_text(encoding="utf-8"), (
        "run `python -m migrations.diagram`"
    )


@pytest.mark.parametrize("name", READMES)
def test_paths_in_the_readme_exist(name: str) -> None:
    named = re.findall(r"`([\w./-]+(?:/|\.py|\.md|\.toml))`", _text(name))
    linked = re.findall(r"\]\(([\w./-]+)\)", _text(name))
    missing = [path for path in named + linked if not (ROOT / path).exists()]
    assert named
    assert linked
    assert missing in ([], ["config.toml"])  # the file that an operator makes


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_a_page_names_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|    )make ([a-z-]+)", _text(name))) <= targets
    app = Flask(__name__)
    for command in COMMANDS:
        app.cli.add_command(command)
    for words in re.findall(r"`(?:\.venv/bin/)?flask ([a-z]+(?: [a-z]+)?)", _text(name)):
        group, _, verb = words.partition(" ")
        assert group in app.cli.commands, words
        if verb:
            assert verb in getattr(app.cli.commands[group], "commands"), words  # noqa: B009


def test_both_readmes_name_the_same_commands() -> None:
    first, second = (
        set(
            re.findall(
                r"(?:`|    )(?:\.venv/bin/)?(make [a-z-]+|flask [a-z]+(?: [a-z]+)?)", _text(name)
            )
        )
        for name in READMES
    )
    assert first == second


def test_words_of_the_glossary_are_those_of_the_domain() -> None:
    words = re.findall(r"^\| (\w+) \|", _text("docs/glossary.md"), re.MULTILINE)
    source = "\n".join(
        path.read_text(encoding="utf-8").lower() for path in (ROOT / "domain").rglob("*.py")
    )
    assert [word for word in words if word != "code" and word not in source] == []


def test_states_of_the_glossary_are_those_that_the_tables_allow() -> None:
    rows = re.findall(r"^\| `(\w+)` \S+ \| (.+) \|$", _text("docs/glossary.md"), re.MULTILINE)
    assert rows
    for table, states in rows:
        allowed = [
            set(re.findall(r"'(\w+)'", str(constraint.sqltext)))
            for constraint in Base.metadata.tables[table].constraints
            if isinstance(constraint, CheckConstraint)
            and re.match(r"(status|state) IN", str(constraint.sqltext))
        ]
        assert allowed == [set(re.findall(r"`(\w+)`", states))], table
