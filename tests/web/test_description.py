"""The description: true, valid, and readable without asking any other host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from tests.web.shop import Shop, order

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def description(shop: Shop) -> Any:
    response = shop.client.get("/api/v1/openapi.json")
    assert response.status_code == 200
    return response.get_json()


def test_it_is_valid_openapi_3_1(description: Any) -> None:
    assert description["openapi"] == "3.1.0"
    validate(description, cls=OpenAPIV31SpecValidator)


def test_it_names_every_view_and_nothing_else(shop: Shop, description: Any) -> None:
    views = {
        (method.lower(), rule.rule.replace("<", "{").replace(">", "}"))
        for rule in shop.client.application.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert views == {
        (method, path) for path, item in description["paths"].items() for method in item
    }


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_calls_that_exist(page: str, description: Any) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"^    (GET|PUT|POST) +(/api/v1/\S+)", text, re.MULTILINE)
    assert named
    served = {
        (method.upper(), path) for path, item in description["paths"].items() for method in item
    }
    assert set(named) - served == set()


def test_every_call_is_signed_has_words_and_one_shape_of_error(description: Any) -> None:
    for path, item in description["paths"].items():
        for method, call in item.items():
            place = f"{method} {path}"
            assert call["summary"], place
            assert call["security"] == [{"key": [], "timestamp": [], "nonce": [], "signature": []}]
            for status, response in call["responses"].items():
                schema = response["content"]["application/json"]["schema"]["$ref"]
                assert (schema == "#/components/schemas/Error") == (status >= "400"), place


def test_answers_are_as_described(shop: Shop, description: Any) -> None:
    def check(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        Draft202012Validator(schema).validate(value)

    check("Order", shop.post("/orders", order("A1")).body)
    check("Order", shop.post("/orders", order("A2", "stranger")).body)
    check("Batch", shop.post("/orders:batch", {"orders": [order("A1"), {"order_no": "A3"}]}).body)
    refund = {"refund_no": "R1", "lines": [{"line_no": 1, "refund_fen": 1000}]}
    check("Refund", shop.post("/orders/A1/refunds", refund).body)
    check("Refund", shop.post("/orders/A9/refunds", refund).body)
    check(
        "Product",
        shop.put("/products/s", {"name": "s", "price_fen": 1, "pool": 1, "shares": [1]}).body,
    )
    check("Products", shop.get("/products").body)
    check("Member", shop.get("/members/child").body)
    check("Downline", shop.get("/members/child/downline").body)
    check("MemberCommissions", shop.get("/members/child/commissions").body)
    check("Identity", shop.put("/members/child/identities/wx-mini", {"openid": "m"}).body)
    check("Error", shop.get("/orders/none").body)


def test_its_examples_are_accepted(shop: Shop, description: Any) -> None:
    schemas = description["components"]["schemas"]
    for example in schemas["OrderIn"]["examples"]:
        assert shop.post("/orders", example).status == 201
        number = example["order_no"]
    for example in schemas["RefundIn"]["examples"]:
        assert shop.post(f"/orders/{number}/refunds", example).status == 200
    for place, example in enumerate(schemas["ProductIn"]["examples"]):
        assert shop.put(f"/products/p{place}", example).status == 200


def test_the_page_asks_only_us(shop: Shop) -> None:
    page = shop.client.get("/api/v1/docs")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "//" not in page.text.replace("<!doctype", "")
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "docs.js"):
        response = shop.client.get(f"/api/v1/docs/{name}")
        assert response.status_code == 200
        response.close()
    assert shop.client.get("/api/v1/docs/..%2Fdocs.py").status_code == 404
