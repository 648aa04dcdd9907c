"""The simulated shop: signed reports of paid, completed and refunded orders."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.simulator.conftest import Sim

SECRET = "shop-secret"


class Merchant:
    """A merchant's API that checks the signature by hand."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        merchant = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                merchant.orders.append((self.path, json.loads(body)))
                self.send_response(201 if self.is_signed(body) else 401)
                self.end_headers()
                self.wfile.write(b'{"ok": true}')

            def is_signed(self, body: bytes) -> bool:
                given = self.headers
                text = "\n".join(
                    [
                        "POST",
                        self.path,
                        given["X-Banyan-Timestamp"],
                        given["X-Banyan-Nonce"],
                        hashlib.sha256(body).hexdigest(),
                    ]
                )
                right = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
                return given["X-Banyan-Key"] == "k1" and given["X-Banyan-Signature"] == right

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        return Handler


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    merchant = Merchant()
    yield merchant
    merchant.server.shutdown()
    merchant.server.server_close()


@pytest.fixture
def shop(sim: Sim, merchant: Merchant) -> Sim:
    products = [{"sku": "tea", "title": "凤凰单丛", "price_fen": 9900}]
    sim.control(
        "shops", name="茶铺", base_url=merchant.url, key="k1", secret=SECRET, products=products
    )
    sim.user("小明")
    return sim


def test_a_purchase_is_reported_with_a_signature(shop: Sim, merchant: Merchant) -> None:
    bought = shop.control("buy", user="小明", sku="tea", quantity=2)
    assert bought["api"] == {"status": 201, "body": {"ok": True}}
    ((path, order),) = merchant.orders
    assert path == "/api/v1/orders"
    assert order["lines"][0] | {"line_no": 1, "paid_fen": 19_800} == order["lines"][0]
    assert order["openid"] == bought["order"]["openid"]
    assert shop.chat("小明")[-1]["text"] == "已付款 ¥198.00：凤凰单丛 × 2"


def test_completion_and_refunds_are_reported(shop: Sim, merchant: Merchant) -> None:
    order_no = shop.control("buy", user="小明", sku="tea")["order"]["order_no"]
    shop.control(f"orders/{order_no}/complete")
    shop.control(f"orders/{order_no}/refund", line_no=1, refund_fen=900)
    shop.control(f"orders/{order_no}/refund")
    shop.control(f"orders/{order_no}/refund", 409)
    paths = [path for path, _ in merchant.orders]
    assert paths[1:] == [
        f"/api/v1/orders/{order_no}/{each}" for each in ("complete", "refunds", "refunds")
    ]
    refunds = [body["lines"][0]["refund_fen"] for _, body in merchant.orders[2:]]
    assert refunds == [900, 9000]
    assert len({body["refund_no"] for _, body in merchant.orders[2:]}) == 2


def test_an_unreachable_merchant_is_on_the_record(shop: Sim, merchant: Merchant) -> None:
    shop.control(
        "shops",
        name="茶铺",
        base_url="http://127.0.0.1:9",
        key="k",
        secret="s",
        products=[{"sku": "tea", "title": "茶", "price_fen": 1}],
    )
    assert shop.control("buy", user="小明", sku="tea")["api"]["status"] is None


def test_what_the_shop_does_not_sell_cannot_be_bought(shop: Sim) -> None:
    shop.control("buy", 404, user="小明", sku="gold")
    shop.control("shops", 400, name="铺")
