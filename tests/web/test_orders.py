"""Orders over the signed API: each exactly once, with who earns and why nobody does."""

from __future__ import annotations

from typing import Any

import pytest

from domain import commissions
from domain.accounts import OpenAccount
from domain.errors import Busy
from tests.web.conftest import Merchant
from tests.web.shop import LINE, Shop, order


def amounts(answer_body: Any) -> list[int]:
    return [one["amount_fen"] for one in answer_body["commissions"]]


def test_a_new_order_answers_201_with_the_earner_of_every_level(shop: Shop) -> None:
    answer = shop.post("/orders", order("A1", shipping_fen=800))
    assert answer.status == 201
    body = answer.body
    assert (body["order_no"], body["status"], body["paid_fen"], body["shipping_fen"]) == (
        "A1",
        "paid",
        2997,
        800,
    )
    assert body["buyer"]["member"]["openid"] == "buyer"
    first = body["commissions"][0]
    assert first["earner"]["openid"] == "child"
    assert first["earner"]["name"].startswith("会员·")
    assert {name: first[name] for name in ("line_no", "level", "base_fen", "rate_bps", "amount_fen", "status")} == {
        "line_no": 1, "level": 1, "base_fen": 2997, "rate_bps": 1000, "amount_fen": 299, "status": "frozen",
    }  # fmt: skip
    assert [one["earner"]["openid"] for one in body["commissions"]] == ["child", "parent", "grand"]


def test_ten_percent_of_29_97_is_2_99(shop: Shop) -> None:
    assert amounts(shop.post("/orders", order("A1", paid_fen=2997)).body) == [299, 149, 59]


def test_a_product_pool_of_20_percent_is_shared_50_30_20(shop: Shop) -> None:
    terms = {"name": "礼盒", "price_fen": 10001, "pool": 2000, "shares": [5000, 3000, 2000]}
    assert shop.put("/products/gift", terms).status == 200
    line = {**LINE, "sku": "gift", "paid_fen": 10001}
    body = shop.post("/orders", {**order("A1"), "lines": [line]}).body
    assert amounts(body) == [1000, 600, 400]
    assert [one["share_bps"] for one in body["commissions"]] == [5000, 3000, 2000]
    assert {one["rate_bps"] for one in body["commissions"]} == {2000}


def test_the_same_content_again_answers_200_with_the_present_state(shop: Shop) -> None:
    first = shop.post("/orders", order("A1"))
    shop.post("/orders/A1/complete", {"completed_at": "2026-11-22T12:00:00Z"})
    again = shop.post("/orders", order("A1"))
    assert (first.status, again.status) == (201, 200)
    assert again.body["status"] == "completed"
    assert amounts(again.body) == amounts(first.body)


def test_the_same_instant_in_another_zone_is_the_same_content(shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    assert shop.post("/orders", order("A1", paid_at="2026-11-22T02:00:00Z")).status == 200


def test_other_content_under_a_known_number_answers_409(shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    answer = shop.post("/orders", order("A1", paid_fen=2998))
    assert answer.status == 409
    assert answer.body["code"] == "order_conflict"
    assert answer.body["details"] == {"order_no": "A1"}
    assert shop.get("/orders/A1").body["paid_fen"] == 2997


def test_levels_that_nobody_earns_say_why_in_two_languages(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    levels = shop.post("/orders", order("A1", "parent")).body["commissions"]
    assert [one["nobody"] and one["nobody"]["reason"] for one in levels] == [
        None,
        "no_upline",
        "no_upline",
    ]
    nobody = levels[1]
    assert (nobody["earner"], nobody["status"], nobody["amount_fen"]) == (None, None, 0)
    assert nobody["nobody"]["zh"] == "这一级没有上级"
    assert nobody["nobody"]["en"] == "there is no upline at this level"


def test_an_order_paid_before_any_rule_earns_nobody_and_says_so(shop: Shop) -> None:
    body = shop.post("/orders", order("A1", paid_at="2025-06-01T00:00:00Z")).body
    assert [one["nobody"]["reason"] for one in body["commissions"]] == ["no_rule"]


def test_a_fen_that_rounds_to_nothing_is_explained(shop: Shop) -> None:
    body = shop.post("/orders", order("A1", paid_fen=9)).body
    assert [one["nobody"]["reason"] for one in body["commissions"]] == ["rounds_to_zero"] * 3


def test_an_order_waits_for_its_buyer_and_is_attached_when_they_follow(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    body = shop.post(
        "/orders", order("A1", "stranger", paid_at=merchant.context.clock.now().isoformat())
    ).body
    assert body["buyer"]["member"] is None
    assert {one["nobody"]["reason"] for one in body["commissions"]} == {"buyer_unknown"}
    merchant.follow(account, "stranger", by="child")
    body = shop.get("/orders/A1").body
    assert body["buyer"]["member"]["openid"] == "stranger"
    assert [one["earner"]["openid"] for one in body["commissions"]] == ["child", "parent", "grand"]


def test_a_buyer_may_be_named_by_unionid(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    merchant.follow(account, "united", by="child", unionid="u-1")
    body = shop.post("/orders", order("A1", None, unionid="u-1")).body
    assert body["buyer"]["member"]["openid"] == "united"
    assert body["commissions"][0]["earner"]["openid"] == "child"


def test_a_buyer_may_be_named_by_a_linked_mini_program(merchant: Merchant, shop: Shop) -> None:
    paid_at = merchant.context.clock.now().isoformat()
    waiting = shop.post("/orders", order("A1", "mini-7", appid="wx-mini", paid_at=paid_at))
    assert waiting.body["buyer"]["member"] is None
    linked = shop.put("/members/buyer/identities/wx-mini", {"openid": "mini-7"})
    assert (linked.status, linked.body["orders_attached"]) == (200, 1)
    assert shop.get("/orders/A1").body["buyer"]["member"]["openid"] == "buyer"
    known = shop.post("/orders", order("A2", "mini-7", appid="wx-mini"))
    assert known.body["buyer"]["member"]["openid"] == "buyer"
    assert (
        shop.put("/members/buyer/identities/wx-mini", {"openid": "mini-7"}).body["orders_attached"]
        == 0
    )


def test_an_app_that_is_not_linked_is_refused(shop: Shop) -> None:
    assert shop.post("/orders", order("A1", "mini-7", appid="wx-other")).status == 422
    assert shop.put("/members/buyer/identities/wx-other", {"openid": "m"}).status == 422


def test_an_openid_of_somebody_else_is_not_linked_twice(shop: Shop) -> None:
    shop.put("/members/buyer/identities/wx-mini", {"openid": "mini-7"})
    assert shop.put("/members/child/identities/wx-mini", {"openid": "mini-7"}).status == 422


def test_completing_sets_the_date_of_settlement_once(shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    assert shop.get("/orders/A1").body["commissions"][0]["due_at"] is None
    first = shop.post("/orders/A1/complete", {"completed_at": "2026-11-22T12:00:00+08:00"})
    again = shop.post("/orders/A1/complete", {"completed_at": "2026-11-25T12:00:00+08:00"})
    assert (first.status, again.status) == (200, 200)
    assert first.body["commissions"][0]["due_at"] == "2026-11-29T04:00:00Z"
    assert again.body["completed_at"] == first.body["completed_at"] == "2026-11-22T04:00:00Z"


def test_an_unknown_order_answers_404(shop: Shop) -> None:
    for answer in (
        shop.get("/orders/A9"),
        shop.post("/orders/A9/complete", {"completed_at": "2026-11-22T12:00:00Z"}),
    ):
        assert (answer.status, answer.body["code"]) == (404, "not_found")


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_keeps_the_good_and_says_what_is_wrong_with_the_bad(shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    answer = shop.post(
        "/orders:batch",
        {
            "orders": [
                order("A1"),  # known
                order("A2"),
                order("A1", paid_fen=1),  # conflict
                {**order("A3"), "lines": []},
                "not an order",
                order("A4", "x", appid="wx-other"),
                order("A5", "stranger"),
                order("A5", "stranger"),  # twice in one batch
            ]
        },
    )
    assert answer.status == 200
    assert (answer.body["created"], answer.body["unchanged"], answer.body["refused"]) == (2, 2, 4)
    results = answer.body["results"]
    assert [(one["order_no"], one["status"]) for one in results] == [
        ("A1", 200), ("A2", 201), ("A1", 409), ("A3", 422), (None, 422), ("A4", 422), ("A5", 201), ("A5", 200),
    ]  # fmt: skip
    assert results[1]["order"]["commissions"][0]["amount_fen"] == 299
    assert results[2]["error"]["code"] == "order_conflict"
    assert results[3]["error"]["details"]["problems"][0]["field"] == "lines"
    assert shop.get("/orders/A3").status == 404
    assert shop.get("/orders/A4").status == 404


def test_a_large_batch_with_one_conflict_records_all_the_others(shop: Shop) -> None:
    shop.post("/orders", order("B77"))
    batch = [order(f"B{number}", paid_fen=1 if number == 77 else 500) for number in range(120)]
    body = shop.post("/orders:batch", {"orders": batch}).body
    assert (body["created"], body["refused"]) == (119, 1)
    assert body["results"][77]["status"] == 409
    again = shop.post("/orders:batch", {"orders": batch}).body
    assert (again["created"], again["unchanged"], again["refused"]) == (0, 119, 1)


@pytest.mark.parametrize("orders", [[], [order(f"C{number}") for number in range(501)], "A1", None])
def test_a_batch_has_1_to_500_orders(shop: Shop, orders: Any) -> None:
    assert shop.post("/orders:batch", {"orders": orders}).status == 422


def test_a_busy_database_answers_503_and_says_when_to_come_again(
    shop: Shop, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise Busy("the database is busy")

    monkeypatch.setattr("domain.orders.record_paid", busy)
    for path, body in (("/orders", order("A1")), ("/orders:batch", {"orders": [order("A1")]})):
        answer = shop.post(path, body)
        assert (answer.status, answer.body["code"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) > 0


# --- refunds --------------------------------------------------------------------------------------------------------


def refund(number: str, fen: int, line_no: int = 1) -> dict[str, Any]:
    return {"refund_no": number, "lines": [{"line_no": line_no, "refund_fen": fen}]}


def test_a_refund_says_what_it_voided_on_each_level(shop: Shop) -> None:
    shop.post("/orders", order("A1", paid_fen=10000))
    answer = shop.post("/orders/A1/refunds", refund("R1", 4000))
    assert (answer.status, answer.body["status"]) == (200, "applied")
    taken = [
        (one["level"], one["earner"]["openid"], one["amount_fen"], one["effect"]) for one in answer.body["taken"]
    ]  # fmt: skip
    assert taken == [
        (1, "child", 400, "voided"), (2, "parent", 200, "voided"), (3, "grand", 80, "voided"),
    ]  # fmt: skip
    assert answer.body["order"]["refunded_fen"] == 4000
    whole = shop.post("/orders/A1/refunds", refund("R2", 6000)).body
    assert {one["status"] for one in whole["order"]["commissions"]} == {"voided"}


def test_the_same_refund_again_changes_nothing_and_other_content_is_409(shop: Shop) -> None:
    shop.post("/orders", order("A1", paid_fen=10000))
    first = shop.post("/orders/A1/refunds", refund("R1", 4000))
    again = shop.post("/orders/A1/refunds", refund("R1", 4000))
    assert (again.status, again.body) == (200, first.body)
    other = shop.post("/orders/A1/refunds", refund("R1", 4001))
    assert (other.status, other.body["code"]) == (409, "refund_conflict")


def test_more_than_was_paid_is_refused(shop: Shop) -> None:
    shop.post("/orders", order("A1", paid_fen=100))
    assert shop.post("/orders/A1/refunds", refund("R1", 101)).body["code"] == "refund_too_large"
    assert shop.post("/orders/A1/refunds", refund("R1", 1, line_no=2)).status == 422
    assert shop.get("/orders/A1").body["refunded_fen"] == 0


def test_a_refund_before_its_payment_is_parked_and_applied_with_it(shop: Shop) -> None:
    parked = shop.post("/orders/A1/refunds", refund("R1", 4000))
    assert (parked.status, parked.body["status"], parked.body["order"]) == (202, "parked", None)
    assert shop.post("/orders/A1/refunds", refund("R1", 4000)).status == 202
    body = shop.post("/orders", order("A1", paid_fen=10000)).body
    assert body["refunded_fen"] == 4000
    assert [one["amount_fen"] - one["clawed_fen"] for one in body["commissions"]] == [600, 300, 120]
    applied = shop.post("/orders/A1/refunds", refund("R1", 4000))
    assert (applied.status, len(applied.body["taken"])) == (200, 3)


def test_a_parked_refund_that_turns_out_too_large_is_refused_when_it_comes_again(
    shop: Shop,
) -> None:
    shop.post("/orders/A1/refunds", refund("R1", 4000))
    assert shop.post("/orders", order("A1", paid_fen=100)).body["refunded_fen"] == 0
    again = shop.post("/orders/A1/refunds", refund("R1", 4000))
    assert (again.status, again.body["code"]) == (422, "refund_too_large")
    shown = shop.get("/orders/A1").body
    assert shown["refunds"] == [
        {"refund_no": "R1", "status": "refused", "goods_fen": 4000, "shipping_refund_fen": 0}
    ]


def test_after_settlement_a_refund_claws_back_and_may_leave_a_debt(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    shop.post("/orders", order("A1", paid_fen=10000))
    shop.post("/orders/A1/complete", {"completed_at": "2026-10-01T00:00:00Z"})
    merchant.database.transact(
        lambda session: commissions.settle_due(session, account, merchant.context.clock.now())
    )
    assert shop.get("/members/child").body["balance"] == {
        "available_fen": 1000, "withdrawing_fen": 0, "frozen_fen": 0,
    }  # fmt: skip
    taken = shop.post("/orders/A1/refunds", refund("R1", 10000)).body["taken"]
    assert {one["effect"] for one in taken} == {"clawed_back"}
    assert shop.get("/members/child").body["balance"]["available_fen"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"refund_no": "R1"},
        {"refund_no": "R1", "lines": [{"line_no": 1, "refund_fen": 0}]},
        {
            "refund_no": "R1",
            "lines": [{"line_no": 1, "refund_fen": 1}, {"line_no": 1, "refund_fen": 1}],
        },
        {"lines": [{"line_no": 1, "refund_fen": 1}]},
    ],
)
def test_refunds_that_nobody_can_mean_are_422(shop: Shop, body: dict[str, Any]) -> None:
    assert shop.post("/orders/A1/refunds", body).status == 422


# --- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": [{**LINE, "paid_fen": True}]}, "lines.0.paid_fen"),
        ({"lines": [{**LINE, "paid_fen": 29.0}]}, "lines.0.paid_fen"),
        ({"lines": [{**LINE, "paid_fen": "2997"}]}, "lines.0.paid_fen"),
        ({"lines": [{**LINE, "paid_fen": -1}]}, "lines.0.paid_fen"),
        ({"lines": [{**LINE, "paid_fen": 10**18}]}, "lines.0.paid_fen"),
        ({"lines": [{**LINE, "quantity": 0}]}, "lines.0.quantity"),
        ({"lines": [{**LINE, "title": ""}]}, "lines.0.title"),
        ({"lines": [{**LINE, "title": "\ud800"}]}, "lines.0.title"),
        ({"lines": [{**LINE, "paid": 1}]}, "lines.0.paid"),
        ({"lines": [LINE, LINE]}, ""),
        ({"lines": []}, "lines"),
        ({"surprise": 1}, "surprise"),
        ({"order_no": "号"}, "order_no"),
        ({"order_no": ".."}, "order_no"),
        ({"order_no": "A" * 65}, "order_no"),
        ({"openid": "o'; --"}, "openid"),
        ({"openid": None}, ""),
        ({"openid": None, "unionid": "u", "appid": "wx-mini"}, ""),
        ({"paid_at": "2026-11-22T10:00:00"}, "paid_at"),
        ({"paid_at": 1795312800}, "paid_at"),
        ({"paid_at": "9999-12-31T23:59:59Z"}, "paid_at"),
        ({"shipping_fen": -1}, "shipping_fen"),
    ],
)
def test_a_body_that_cannot_be_right_is_422_and_names_the_field(
    shop: Shop, change: dict[str, Any], field: str
) -> None:
    answer = shop.post("/orders", {**order("A1"), **change})
    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert answer.body["details"]["problems"][0]["field"] == field
    assert shop.get("/orders/A1").status == 404
