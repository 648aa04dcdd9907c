"""Every refusal is {"code", "message", "details"} in JSON: no trace, no HTML, whatever comes in."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.web.conftest import Merchant
from tests.web.shop import Answer, Shop, order
from web.api import signature


def is_one_shape(answer: Answer) -> bool:
    body = answer.body
    return set(body) == {"code", "message", "details"} and isinstance(body["details"], dict)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/orders/", 404),
        ("GET", "/products//x", 404),
        ("GET", "//products", 404),
        ("GET", "/orders/a/b/c", 404),
        ("DELETE", "/orders", 405),
        ("PATCH", "/orders/A1", 405),
        ("GET", "/orders:batch", 405),
        ("POST", "/openapi.json", 405),
    ],
)
def test_addresses_and_methods_that_are_none(
    shop: Shop, method: str, path: str, status: int
) -> None:
    answer = shop.send(method, path)
    assert answer.status == status
    assert is_one_shape(answer)
    if status == 405:
        assert "Allow" in answer.headers


@pytest.mark.parametrize(
    ("raw", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"1" * 5000, "application/json", 400),
        (b'{"order_no": "A1"}', "text/plain", 400),
        (b"order_no=A1", "application/x-www-form-urlencoded", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"{}"', "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"lines": NaN}', "application/json", 422),
    ],
)
def test_bodies_that_are_none(shop: Shop, raw: bytes, content_type: str, status: int) -> None:
    answer = shop.send("POST", "/orders", raw=raw, content_type=content_type)
    assert answer.status == status, answer.body
    assert is_one_shape(answer)


def test_a_json_text_that_holds_json_is_not_an_order(shop: Shop) -> None:
    answer = shop.send("POST", "/orders", raw=json.dumps(json.dumps(order("A1"))).encode())
    assert answer.status == 422


def test_a_body_above_the_limit_is_413(shop: Shop) -> None:
    answer = shop.send("POST", "/orders", raw=b" " * (signature.MAX_BODY_BYTES + 1))
    assert (answer.status, answer.body["code"]) == (413, "too_large")
    assert is_one_shape(answer)


def test_what_was_sent_is_not_repeated_in_the_error(shop: Shop) -> None:
    answer = shop.post("/orders", {**order("A1"), "openid": "<script>secret"})
    assert "secret" not in json.dumps(answer.body)


def test_a_bug_answers_500_without_a_trace(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("where the treasure is")

    monkeypatch.setattr("domain.orders.record_paid", fail)
    answer = shop.post("/orders", order("A1"))
    assert (answer.status, answer.body["code"]) == (500, "internal_error")
    assert is_one_shape(answer)
    assert "treasure" not in json.dumps(answer.body)


def test_a_database_that_is_away_answers_503(
    shop: Shop, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open the file"))

    monkeypatch.setattr(merchant.database, "transact", away)
    answer = shop.post("/orders", order("A1"))
    assert (answer.status, answer.body["code"]) == (503, "database_away")
    assert int(answer.headers["Retry-After"]) > 0
    assert is_one_shape(answer)
