"""docs/conformance.md names tests that exist, and every path that the simulator answers."""

import ast
import re

import pytest

from simulator.server import ENDPOINTS, PAY_ENDPOINTS
from tests.simulator.conftest import ROOT

TABLE = (ROOT / "docs" / "conformance.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)))


def test_every_row_has_its_proof() -> None:
    rows = [
        line for line in TABLE.splitlines() if line.startswith("| ") and "| WeChat |" not in line
    ]
    assert len(rows) > 50
    for row in rows:
        assert re.search(r"`tests/[\w/]+\.py::\w+`", row), row


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_the_named_tests_exist(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {name for of, name in NAMED if of == file} <= there


def test_what_the_simulator_answers_is_in_the_table() -> None:
    """By the noun in the path; WeChat Pay's nouns are in Chinese there."""
    pay = {
        "transactions": "JSAPI order",
        "refund": "refunds",
        "profitsharing": "分账",
        "fund-app": "商家转账",
    }
    for endpoint in (*ENDPOINTS, *PAY_ENDPOINTS):
        words = {word for word in endpoint.path.split("/") if word} - {
            "cgi-bin",
            "v3",
            "get",
            "pay",
        }
        nouns = {pay.get(word, word) for word in words}
        assert any(noun in TABLE for noun in nouns), endpoint.path
