"""Members, teams and products over the API: figures per level, pages that neither lose nor repeat."""

from __future__ import annotations

from typing import Any

import pytest

from domain.accounts import OpenAccount
from tests.web.conftest import Merchant
from tests.web.shop import Shop, order


def test_a_member_with_referrer_uplines_and_balance(shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    body = shop.get("/members/buyer").body
    assert body["referrer"]["openid"] == "child"
    assert [(one["level"], one["openid"]) for one in body["uplines"]] == [
        (1, "child"),
        (2, "parent"),
        (3, "grand"),
    ]
    assert (body["status"], body["following"], body["unionid"]) == ("active", True, None)
    assert shop.get("/members/child").body["balance"] == {
        "available_fen": 0, "withdrawing_fen": 0, "frozen_fen": 299,
    }  # fmt: skip
    assert shop.get("/members/grand").body["referrer"] is None


def test_spend_of_level_one_two_three_and_of_all_levels(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    """The three figures that the field's articles ask of a team, and their sum."""
    merchant.follow(account, "second-child", by="grand")
    shop.post("/orders", order("A1", "parent", 10000))
    shop.post("/orders", order("A2", "second-child", 20000))
    shop.post("/orders", order("A3", "child", 30000))
    shop.post("/orders", order("A4", "buyer", 50000))
    shop.post("/orders", order("A5", "buyer", 1000))
    shop.post(
        "/orders/A4/refunds", {"refund_no": "R1", "lines": [{"line_no": 1, "refund_fen": 40000}]}
    )
    body = shop.get("/members/grand").body
    names = ("people", "following", "buyers", "orders", "spent_fen", "refunded_fen", "earned_fen")
    figures = [tuple(level[name] for name in names) for level in body["levels"]]
    assert figures == [
        (2, 2, 2, 2, 30000, 0, 3000),
        (1, 1, 1, 1, 30000, 0, 1500),
        (1, 1, 1, 2, 51000, 40000, 220),
    ]
    assert tuple(body["total"][name] for name in names) == (4, 4, 4, 5, 111000, 40000, 4720)
    assert [level["level"] for level in body["levels"]] == [1, 2, 3]


def walk(shop: Shop, path: str, limit: int) -> list[Any]:
    """Every item, page by page."""
    items: list[Any] = []
    cursor = ""
    while True:
        body = shop.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}").body
        assert len(body["items"]) <= limit
        items += body["items"]
        if body["next_cursor"] is None:
            return items
        cursor = f"&cursor={body['next_cursor']}"


def test_the_downline_of_each_level_page_by_page(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    for number in range(6):
        merchant.follow(account, f"f{number}", by="grand")
    shop.post("/orders", order("A1", "f3"))
    people = walk(shop, "/members/grand/downline", 2)
    assert [one["openid"] for one in people] == ["parent", *(f"f{number}" for number in range(6))]
    assert [one["openid"] for one in people if one["first_paid_at"]] == ["f3"]
    assert all(one["following"] for one in people)
    assert [one["openid"] for one in walk(shop, "/members/grand/downline?level=2", 50)] == ["child"]
    assert [one["openid"] for one in walk(shop, "/members/grand/downline?level=3", 1)] == ["buyer"]


def test_commissions_newest_first_page_by_page(shop: Shop) -> None:
    for number in range(5):
        shop.post("/orders", order(f"A{number}", paid_fen=1000 + number))
    found = walk(shop, "/members/child/commissions", 2)
    assert [one["order_no"] for one in found] == ["A4", "A3", "A2", "A1", "A0"]
    assert found[0]["kind"] == "order"
    assert (found[0]["level"], found[0]["rate_bps"], found[0]["amount_fen"]) == (1, 1000, 100)
    assert walk(shop, "/members/buyer/commissions", 50) == []


def test_an_order_that_comes_between_two_pages_moves_nothing(shop: Shop) -> None:
    for number in range(4):
        shop.post("/orders", order(f"A{number}"))
    first = shop.get("/members/child/commissions?limit=2").body
    shop.post("/orders", order("NEW"))
    second = shop.get(f"/members/child/commissions?limit=2&cursor={first['next_cursor']}").body
    assert [one["order_no"] for one in first["items"] + second["items"]] == ["A3", "A2", "A1", "A0"]


@pytest.mark.parametrize(
    "query",
    ["level=4", "level=0", "limit=0", "limit=201", "limit=x", "cursor=%21%21", "cursor=eA", "cursor=MTIz%00", "page=2",
     "cursor=" + "A" * 201],
)  # fmt: skip
def test_a_page_that_cannot_be_is_422(shop: Shop, query: str) -> None:
    assert shop.get(f"/members/grand/downline?{query}").status == 422


def test_nobody_by_that_openid_is_404(shop: Shop) -> None:
    for path in ("/members/nobody", "/members/nobody/downline", "/members/nobody/commissions"):
        assert shop.get(path).status == 404
    assert shop.put("/members/nobody/identities/wx-mini", {"openid": "m"}).status == 404


def test_an_openid_that_can_be_none_is_422(shop: Shop) -> None:
    assert shop.get("/members/%E8%8C%B6").status == 422


# --- products -------------------------------------------------------------------------------------------------------


def test_a_product_is_put_read_and_replaced(shop: Shop) -> None:
    made = shop.put(
        "/products/tea-1", {"name": "茶 🍵", "price_fen": 2997, "stock": 5, "rates": [800, 400]}
    )
    assert made.status == 200
    assert shop.get("/products/tea-1").body == made.body
    assert {name: made.body[name] for name in ("sku", "name", "stock", "rates", "pool", "shares")} == {
        "sku": "tea-1", "name": "茶 🍵", "stock": 5, "rates": [800, 400], "pool": None, "shares": None,
    }  # fmt: skip
    replaced = shop.put("/products/tea-1", {"name": "茶", "price_fen": 1}).body
    assert (replaced["stock"], replaced["rates"]) == (None, None)
    assert shop.get("/products/none").status == 404


def test_new_terms_do_not_touch_an_order_that_was_recorded(shop: Shop) -> None:
    shop.put("/products/tea-1", {"name": "茶", "price_fen": 1, "rates": [100]})
    body = {**order("A1", paid_fen=10000)}
    body["lines"][0]["sku"] = "tea-1"
    before = shop.post("/orders", body).body["commissions"]
    assert [one["amount_fen"] for one in before] == [100, 0, 0]
    assert [one["nobody"] and one["nobody"]["reason"] for one in before] == [
        None,
        "no_rate",
        "no_rate",
    ]
    shop.put("/products/tea-1", {"name": "茶", "price_fen": 1, "rates": [2000]})
    assert shop.get("/orders/A1").body["commissions"] == before


def test_products_page_by_page(shop: Shop) -> None:
    skus = [f"s{number}" for number in range(5)]
    for sku in skus:
        shop.put(f"/products/{sku}", {"name": sku, "price_fen": 1})
    assert [one["sku"] for one in walk(shop, "/products", 2)] == skus


@pytest.mark.parametrize(
    "change",
    [
        {"rates": [4000]},  # above the account's cap
        {"rates": [1, 2, 3, 4]},
        {"rates": []},
        {"rates": [True]},
        {"pool": 2000},
        {"shares": [10000]},
        {"pool": 2000, "shares": [6000, 5000]},
        {"pool": 2000, "shares": [10000], "rates": [1]},
        {"price_fen": -1},
        {"stock": -1},
    ],
)
def test_terms_that_cannot_be_are_422(shop: Shop, change: dict[str, Any]) -> None:
    assert shop.put("/products/tea-1", {"name": "茶", "price_fen": 1, **change}).status == 422
    assert shop.get("/products/tea-1").status == 404
