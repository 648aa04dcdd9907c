"""Who may call: signatures, nonces, clocks, scopes, addresses, and whose data a key sees."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from domain import api_keys
from domain.accounts import OpenAccount
from tests.web.conftest import Merchant
from tests.web.shop import Shop, order
from web.api import signature


def code(shop: Shop, **options: Any) -> tuple[int, str]:
    answer = shop.get("/products", **options)
    return answer.status, answer.body.get("code", "")


@pytest.mark.parametrize("name", ["Key", "Timestamp", "Nonce", "Signature"])
def test_each_header_is_needed(shop: Shop, name: str) -> None:
    assert code(shop, headers={f"X-Banyan-{name}": ""}) == (401, "not_signed")


def test_a_wrong_signature_and_an_unknown_key_look_the_same(shop: Shop) -> None:
    wrong = shop.get("/products", headers={"X-Banyan-Signature": "0" * 64})
    unknown = shop.get("/products", headers={"X-Banyan-Key": "bk_nobody"})
    strange = shop.get("/products", headers={"X-Banyan-Key": "ключ".encode().decode("latin-1")})
    assert (wrong.status, wrong.body["code"]) == (401, "bad_signature")
    assert wrong.body == unknown.body == strange.body


@pytest.mark.parametrize("signature", ["x", "é" * 64, "0" * 10_000])
def test_a_signature_that_is_none_is_401(shop: Shop, signature: str) -> None:
    assert code(shop, headers={"X-Banyan-Signature": signature}) == (401, "bad_signature")


def test_the_signature_covers_method_path_query_and_body(shop: Shop) -> None:
    body, other = b'{"a": 1}', b'{"a": 2}'
    for headers, method, path, content in (
        (shop.signed("GET", "/api/v1/products", b""), "GET", "/products?limit=1", b""),
        (shop.signed("GET", "/api/v1/products?limit=1", b""), "GET", "/products?limit=2", b""),
        (shop.signed("GET", "/api/v1/products", b""), "GET", "/members/x", b""),
        (shop.signed("POST", "/api/v1/orders", body), "POST", "/orders", other),
        (shop.signed("PUT", "/api/v1/orders", body), "POST", "/orders", body),
    ):
        answer = shop.send(method, path, raw=content, headers=headers)
        assert (answer.status, answer.body["code"]) == (401, "bad_signature"), (method, path)


def test_the_query_and_upper_case_hex_are_fine(shop: Shop) -> None:
    assert shop.get("/products?limit=1&cursor=").status == 200
    headers = shop.signed("GET", "/api/v1/products", b"")
    headers["X-Banyan-Signature"] = headers["X-Banyan-Signature"].upper()
    assert shop.get("/products", headers=headers).status == 200


@pytest.mark.parametrize(
    "signed",
    ["/api/v1/orders/A|1:x", "/api/v1/orders/A%7C1:x", "/api/v1/orders/A%7C1%3Ax"],
)
def test_a_path_may_be_signed_as_it_is_or_percent_encoded(shop: Shop, signed: str) -> None:
    shop.post("/orders", order("A|1:x"))
    assert shop.get("/orders/A%7C1:x", signed_path=signed).status == 200


@pytest.mark.parametrize(
    ("signed", "sent"),
    [("/orders/A?x=1", "/orders/A%3Fx=1"), ("/orders/%41", "/orders/%2541")],
)
def test_a_signature_is_good_for_no_other_address_that_decodes_to_the_same_letters(
    shop: Shop, signed: str, sent: str
) -> None:
    assert shop.get(sent, signed_path=f"/api/v1{signed}").status == 401
    assert shop.get(sent).status != 401


def test_a_nonce_is_accepted_once(shop: Shop) -> None:
    headers = shop.signed("GET", "/api/v1/products", b"")
    assert shop.get("/products", headers=headers).status == 200
    again = shop.get("/products", headers=headers)
    assert (again.status, again.body["code"]) == (401, "nonce_used")


def test_a_nonce_stays_used_when_redis_forgets_everything(shop: Shop, redis_url: str) -> None:
    headers = shop.signed("GET", "/api/v1/products", b"")
    shop.get("/products", headers=headers)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert code(shop, headers=headers) == (401, "nonce_used")


def test_a_refused_signature_does_not_use_up_the_nonce(shop: Shop) -> None:
    headers = shop.signed("GET", "/api/v1/products", b"")
    assert code(shop, headers=headers | {"X-Banyan-Signature": "0" * 64})[0] == 401
    assert code(shop, headers=headers)[0] == 200


def test_two_keys_may_use_the_same_nonce(
    shop: Shop, account: OpenAccount, open_shop: Callable[..., Shop]
) -> None:
    for one in (shop, open_shop(account)):
        headers = one.signed("GET", "/api/v1/products", nonce="the-same")
        assert one.get("/products", headers=headers).status == 200


def test_old_nonces_are_pruned_in_chunks_and_new_ones_stay(merchant: Merchant, shop: Shop) -> None:
    for _ in range(5):
        shop.get("/products")
    merchant.move_clock(hours=1)
    shop.get("/products")
    before = merchant.context.clock.now() - timedelta(minutes=30)
    pruned = []
    while done := merchant.database.transact(
        lambda session: api_keys.prune_nonces(session, before, limit=2)
    ):
        pruned.append(done)
    assert sum(pruned) == 5
    assert max(pruned) <= 2


@pytest.mark.parametrize(("skew", "status"), [(-290, 200), (290, 200), (-310, 401), (310, 401)])
def test_the_timestamp_may_be_300_seconds_away(
    merchant: Merchant, shop: Shop, skew: int, status: int
) -> None:
    shop.now = lambda: merchant.context.clock.now().timestamp() + skew
    answer = shop.get("/products")
    assert answer.status == status
    if status == 401:
        assert answer.body["code"] == "stale_timestamp"
        assert answer.body["details"]["server_time"] > 0


@pytest.mark.parametrize("text", ["now", "-1", "1e9", "9" * 30, "１７９５３１２８００"])
def test_a_timestamp_is_a_number_of_seconds(shop: Shop, text: str) -> None:
    header = text.encode().decode("latin-1")
    assert code(shop, headers={"X-Banyan-Timestamp": header}) == (401, "bad_signature_headers")


def test_a_nonce_of_65_characters_is_refused(shop: Shop) -> None:
    assert code(shop, headers={"X-Banyan-Nonce": "n" * 65}) == (401, "bad_signature_headers")


def test_scopes_bound_what_a_key_may_do(
    account: OpenAccount, open_shop: Callable[..., Shop]
) -> None:
    reader = open_shop(account, scopes=["orders.read"])
    answer = reader.post("/orders", order("A1"))
    assert (answer.status, answer.body["code"]) == (403, "scope_missing")
    assert answer.body["details"] == {"scope": "orders.write"}
    assert reader.get("/orders/A1").status == 404
    assert reader.get("/members/buyer").status == 403
    assert reader.get("/products").status == 403


def test_every_view_asks_for_a_scope_that_exists(shop: Shop) -> None:
    views = {
        rule.endpoint.removeprefix("api.")
        for rule in shop.client.application.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
    }
    assert views == set(signature._scopes)
    assert set(signature._scopes.values()) <= set(api_keys.SCOPES)


def test_an_expired_key_and_a_revoked_one_are_refused(
    merchant: Merchant,
    account: OpenAccount,
    open_shop: Callable[..., Shop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signature, "KEPT_SECONDS", 0)
    expiring = open_shop(account, expires_at=merchant.context.clock.now() + timedelta(hours=1))
    assert code(expiring)[0] == 200
    merchant.move_clock(hours=2)
    assert code(expiring) == (401, "key_expired")
    revoked = open_shop(account)
    assert code(revoked)[0] == 200
    merchant.database.transact(
        lambda session: api_keys.revoke(session, revoked.key, merchant.context.clock.now())
    )
    assert code(revoked) == (401, "key_revoked")


def test_an_address_list_is_kept(account: OpenAccount, open_shop: Callable[..., Shop]) -> None:
    inside = open_shop(account, addresses=["127.0.0.0/8", "2001:db8::/32"])
    outside = open_shop(account, addresses=["203.0.113.7"])
    assert code(inside)[0] == 200
    assert code(outside) == (403, "address_refused")
    # Our own proxy on this machine says whom it speaks for: the entry that it appended itself.
    forwarded = {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"}
    assert code(outside, headers=forwarded)[0] == 200
    assert code(inside, headers=forwarded) == (403, "address_refused")


def test_only_a_proxy_on_this_machine_is_believed(
    account: OpenAccount, open_shop: Callable[..., Shop]
) -> None:
    shop = open_shop(account, addresses=["203.0.113.7"])
    headers = shop.signed("GET", "/api/v1/products", b"") | {"X-Forwarded-For": "203.0.113.7"}
    response = shop.client.get(
        "/api/v1/products", headers=headers, environ_base={"REMOTE_ADDR": "198.51.100.9"}
    )
    assert response.status_code == 403


def test_a_key_sees_nothing_of_another_account(
    merchant: Merchant, shop: Shop, open_shop: Callable[..., Shop]
) -> None:
    shop.post("/orders", order("A1"))
    shop.put("/products/tea-1", {"name": "茶", "price_fen": 1})
    other = merchant.open_account("other")
    merchant.publish(other)
    stranger = open_shop(other)
    for path in (
        "/orders/A1", "/products/tea-1", "/members/buyer", "/members/buyer/downline",
        "/members/buyer/commissions",
    ):  # fmt: skip
        assert stranger.get(path).status == 404, path
    assert stranger.get("/products").body["items"] == []
    assert (
        stranger.post("/orders/A1/complete", {"completed_at": "2026-11-22T12:00:00Z"}).status == 404
    )
    parked = stranger.post(
        "/orders/A1/refunds", {"refund_no": "R", "lines": [{"line_no": 1, "refund_fen": 1}]}
    )
    assert parked.status == 202
    assert shop.get("/orders/A1").body["refunded_fen"] == 0
    mine = stranger.post("/orders", order("A1", paid_fen=5))
    assert (mine.status, mine.body["buyer"]["member"]) == (201, None)


def test_a_shop_in_a_loop_is_told_to_wait(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "RATE_REQUESTS", 3)
    monkeypatch.setattr(signature, "RATE_SECONDS", 3600)
    answers = [shop.get("/products") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[3].body["code"] == "too_many_requests"
    assert int(answers[3].headers["Retry-After"]) > 0


def test_without_redis_orders_are_still_taken(merchant: Merchant, shop: Shop) -> None:
    away = redis.Redis(port=9, socket_connect_timeout=0.1, retry=Retry(NoBackoff(), 0))
    merchant.context.__dict__["redis"] = away  # what the cached property holds
    assert shop.post("/orders", order("A1")).status == 201
    away.close()
