"""Statistics by day, rankings and the compliance record: on the page and as files."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import pytest
from sqlalchemy import select

from domain import reports
from domain.china import day_of
from domain.db import Database
from domain.models import Audit
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.world import SCRIPT, World, seed
from web.console import figures


@pytest.fixture
def database(live_database: Database) -> Database:
    """Real commits: a ranking is read in one transaction and written in others."""
    return live_database


@pytest.fixture
def world(merchant: Merchant) -> World:
    world = seed(merchant, "tea")
    reports.refresh(merchant.database, world.account.id, merchant.context.clock.now())
    return world


def rows_of(browser: Browser, path: str, **query: str) -> list[list[str]]:
    answer = browser.get(path, format="csv", **query)
    assert answer.mimetype == "text/csv"
    return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))


def test_days_are_on_the_page_and_in_the_file_with_the_same_sums(
    console: Console, boss: Browser
) -> None:
    assert [name for name, _ in figures.FIGURES] == list(reports.FIGURES)
    html = boss.get("/console/tea/statistics").text
    assert "¥30.97" in html
    levels = boss.get("/console/tea/statistics/levels").text
    assert "三级" in levels
    assert "¥0.59" in levels
    [titles, line] = rows_of(boss, "/console/tea/statistics")
    assert dict(zip(titles, line, strict=True)) == {
        "日期": day_of(console.now).isoformat(), "新粉丝": "4", "订单": "2", "销售额": "30.97", "退款": "0.00",
        "计提佣金": "5.07", "结算": "0.00", "失效": "0.00", "追回": "0.00",
    }  # fmt: skip


def test_span_is_a_year_at_most_and_nonsense_is_the_last_month(boss: Browser) -> None:
    for query in (
        {"since": "2001-01-01", "until": "2026-01-01"},
        {"since": "2026-02-30"},
        {"since": "9999-99-99", "until": "'"},
        {"since": "2026-03-02", "until": "2026-03-01"},
    ):
        assert boss.get("/console/tea/statistics", **query).status_code == 200
    html = boss.get("/console/tea/statistics", since="2001-01-01", until="2026-01-01").text
    assert 'value="2025-01-01"' in html


def test_ranking_names_the_first_by_what_they_earned(boss: Browser) -> None:
    html = boss.get("/console/tea/rankings", period="all").text
    assert "¥2.99" in html
    assert SCRIPT not in html
    titles, *lines = rows_of(boss, "/console/tea/rankings", period="all")
    assert titles == ["名次", "会员", "收益"]
    assert [line[2] for line in lines] == ["2.99", "1.49", "0.59"]
    people = rows_of(boss, "/console/tea/rankings", period="all", metric="people")
    assert {line[2] for line in people[1:]} == {"1"}
    assert boss.get("/console/tea/rankings", period="x", metric="y").status_code == 200


def test_compliance_record_is_whole_and_that_it_was_written_is_noted(
    console: Console, world: World, boss: Browser
) -> None:
    assert "三级且超过 30 人" in boss.get("/console/tea/compliance").text
    answer = boss.post("/console/tea/compliance/file", since="2020-01-01", until="2030-01-01")
    assert "attachment" in answer.headers["Content-Disposition"]
    *lines, end = answer.data.splitlines(keepends=True)
    entries = [json.loads(line) for line in lines]
    assert entries[0]["depth"] == 3
    assert "rule" in {entry["entry"] for entry in entries}
    assert json.loads(end) == {
        "entry": "end", "entries": len(entries), "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
    }  # fmt: skip
    note = console.merchant.database.read(
        lambda s: s.scalars(select(Audit).where(Audit.action == "compliance_exported")).one()
    )
    assert note.actor == "staff:boss"
    operator = console.as_role(world.account, "operator")
    assert operator.post("/console/tea/compliance/file").status_code == 403
