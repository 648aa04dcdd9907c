"""Whatever others wrote stays words: no script runs, no writing turns round, no cell is a formula."""

from __future__ import annotations

import csv
import io
import re

import pytest

from domain.sheets import BOM
from domain.staff.permissions import Permission
from tests.web.console.browser import Console
from tests.web.console.test_access import address, routes
from tests.web.console.world import SCRIPT, World
from web.console.visit import ACCESS

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)

DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")


def test_every_page_shows_hostile_words_as_words(console: Console, world: World) -> None:
    browser = console.as_role(world.account)
    seen = 0
    for rule, method in routes(console):
        if method == "GET" and isinstance(ACCESS[rule.endpoint].allow, Permission):
            html = browser.get(address(rule, "tea", world)).data.decode(errors="replace")
            assert SCRIPT not in html, rule
            assert not DIRECTION.search(html), rule
            assert not re.search(r"<[^>]+\son\w+=", html), rule
            assert "javascript:" not in html, rule
            seen += "&lt;script&gt;" in html
    assert seen >= 3, "the world is hostile, so some page must show it"


def test_every_export_is_a_table_without_formulas(console: Console, world: World) -> None:
    browser = console.as_role(world.account)
    exports = 0
    for rule, method in routes(console):
        if method == "GET" and isinstance(ACCESS[rule.endpoint].allow, Permission):
            answer = browser.get(address(rule, "tea", world), format="csv")
            if answer.mimetype == "text/csv":
                assert answer.data.startswith(BOM), rule
                assert "attachment" in answer.headers["Content-Disposition"]
                rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
                exports += len(rows) > 1
                for cell in (cell for row in rows for cell in row):
                    assert not cell.startswith(("=", "+", "@", "\t")), (rule, cell)
                    assert not cell.startswith("-") or re.fullmatch(r"-[\d.,]+", cell), (rule, cell)
                    assert not DIRECTION.search(cell), (rule, cell)
    assert exports >= 2
