"""GET /members/{openid}/statement: every posting, page by page, with running balances."""

from __future__ import annotations

import pytest

from tests.web.shop import Shop, order
from tests.web.test_members import walk


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_statement_has_every_posting_newest_first(shop: Shop, limit: int) -> None:
    shop.post("/orders", order("A1", "buyer", 10_000))
    shop.post("/orders", order("A2", "buyer", 5000))
    shop.post(
        "/orders/A2/refunds", {"refund_no": "R1", "lines": [{"line_no": 1, "refund_fen": 5000}]}
    )
    lines = walk(shop, "/members/child/statement", limit)
    assert [(one["reason"], one["amount_fen"], one["frozen_fen"]) for one in lines] == [
        ("void", 500, 1000), ("accrue", 500, 1500), ("accrue", 1000, 1000)
    ]  # fmt: skip
    assert [one["order_no"] for one in lines] == ["A2", "A2", "A1"]
    assert lines[0]["refund_no"] == "R1"


def test_statement_of_an_unknown_member_is_404(shop: Shop) -> None:
    assert shop.get("/members/nobody/statement").status == 404
