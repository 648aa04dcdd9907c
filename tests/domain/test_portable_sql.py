"""What we send also runs on MySQL 8 and TiDB: no word that only MariaDB knows, and tables that MySQL can make."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable

import domain
from domain.db import Sql
from domain.models import Base
from tests.domain.statements import recorded
from tests.domain.test_books import live_through_everything
from tests.domain.world import World

FORBIDDEN = re.compile(
    # MariaDB's own
    r"\bRETURNING\b|\bSEQUENCE\b|\bNEXTVAL\b|\bNEXT VALUE\b|\bSYSTEM_TIME\b|\bPORTION OF\b|\bEXECUTE IMMEDIATE\b"
    r"|\bROWS EXAMINED\b|\bOR REPLACE\b|\bINET6\b|\bFETCH FIRST\b|\bMINUS\b|\bINTERSECT\b|\bEXCEPT\b|\bELSIF\b"
    # not on Galera or TiDB, or silently without effect there
    r"|\bSKIP LOCKED\b|\bGET_LOCK\b|\bLOCK TABLES\b|\bXA\b|\bLAST_INSERT_ID\b|\bFOUND_ROWS\b|:="
    # an id that had been seen is no watermark (money.md 2.5); functions of the server's own clock are not ours
    r"|\bNOW\(|\bUUID\(|\bRAND\(|\bSYSDATE\(",
    re.IGNORECASE,
)


def _in(value: Any) -> Iterator[Sql]:
    if isinstance(value, Sql):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _in(one)


def statements() -> dict[str, str]:
    """The MySQL text of every statement that a domain module holds, by where it stands."""
    found = {}
    for info in pkgutil.iter_modules(domain.__path__, "domain."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            for number, one in enumerate(_in(value)):
                found[f"{info.name}.{name}.{number}"] = one.text_for("mysql")
    return found


def test_no_statement_has_a_word_that_only_mariadb_knows() -> None:
    found = statements()
    assert len(found) > 60
    assert {where: text for where, text in found.items() if FORBIDDEN.search(text)} == {}


def test_every_question_mark_became_a_placeholder() -> None:
    for where, sql in statements().items():
        assert "?" not in sql, where


def test_nothing_that_a_whole_story_sends_has_such_a_word(world: World) -> None:
    with recorded() as sent:
        live_through_everything(world)
        world.settle()
        world.fold()
        world.check()
    texts = {one.text for one in sent}
    assert len(texts) > 60
    sqlite = world.database.is_sqlite
    assert {one for one in texts if FORBIDDEN.search(one) and not sqlite} == set()


@pytest.mark.parametrize(
    "sql", ["INSERT INTO a VALUES (1) RETURNING id", "SELECT x FOR UPDATE SKIP LOCKED"]
)
def test_forbidden_words_are_seen(sql: str) -> None:
    assert FORBIDDEN.search(sql)


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_mysql_can_make_the_table(table: Table) -> None:
    dialect = mysql.dialect()
    made = str(CreateTable(table).compile(dialect=dialect))
    made += "".join(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
    assert not FORBIDDEN.search(made)
    names = re.findall(r"(?:CONSTRAINT|INDEX) `?(\w+)`?", made)
    assert [name for name in names if len(name) > 64] == []  # longer ones are an error on MySQL
