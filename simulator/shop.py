"""A shop that sells to the people with the phones and reports to the merchant over a signed HTTP API.

Headers X-Banyan-Key, -Timestamp, -Nonce and -Signature: hex HMAC-SHA256 with the key's secret over
METHOD, path with query, timestamp, nonce and the SHA-256 of the body, joined by line feeds.
"""

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from simulator.errors import ControlError
from simulator.state import Account, Order, Report, Shop, User, World

TIMEOUT_SECONDS = 10
_TEXTS = ("name", "base_url", "key", "secret")


class Shops:
    """All shops with their orders."""

    def __init__(self, world: World) -> None:
        self._world = world

    def open(self, account: Account, fields: dict[str, Any]) -> dict[str, Any]:
        """Open a shop, or change the one of this name."""
        texts = {name: fields.get(name) for name in _TEXTS}
        products = fields.get("products") or []
        if not all(isinstance(value, str) and value for value in texts.values()):
            raise ControlError(f"{', '.join(_TEXTS)} are needed")
        for product in products:
            if not {"sku", "title", "price_fen"} <= set(product):
                raise ControlError("a product needs sku, title and price_fen")
        shop = Shop(**texts, account=account.app_id, products=products)  # type: ignore[arg-type]  # checked above
        with self._world.lock:
            self._world.state.shops[shop.name] = shop
        return _without_secret(shop)

    def all(self) -> list[dict[str, Any]]:
        """Every shop, without its secret."""
        return [_without_secret(each) for each in self._world.state.shops.values()]

    def orders(self) -> list[dict[str, Any]]:
        """Every order, newest first."""
        return [asdict(each) for each in reversed(self._world.state.orders.values())]

    def buy(self, user: User, sku: str, quantity: int, shop_name: str | None) -> dict[str, Any]:
        """Order and pay in one step, and tell the merchant."""
        shop, product = self._find_product(sku, shop_name)
        account = self._world.get_account(shop.account)
        contact = self._world.contact_of(account, user)
        price = product["price_fen"]
        line = {
            "line_no": 1,
            "sku": sku,
            "title": product["title"],
            "quantity": quantity,
            "unit_price_fen": price,
            "paid_fen": price * quantity,
        }
        with self._world.lock:
            order_no = f"S{datetime.fromtimestamp(self._world.now(), UTC):%Y%m%d%H%M%S}-{self._world.next_id()}"
            order = Order(order_no, shop.name, user.id, contact.openid, [line], self._instant())
            self._world.state.orders[order_no] = order
        paid = f"已付款 ¥{line['paid_fen'] // 100}.{line['paid_fen'] % 100:02d}：{line['title']} × {quantity}"
        self._world.add_message(contact, "system", "notice", text=paid)
        body = {
            "order_no": order_no,
            "openid": order.openid,
            "lines": order.lines,
            "paid_at": order.paid_at,
        }
        return self._told(order, "/api/v1/orders", body)

    def complete(self, order_no: str) -> dict[str, Any]:
        """The goods have arrived; telling it again tells the same moment."""
        order = self._get_order(order_no)
        order.completed_at = order.completed_at or self._instant()
        body = {"completed_at": order.completed_at}
        return self._told(order, f"/api/v1/orders/{order_no}/complete", body)

    def refund(self, order_no: str, line_no: int | None, refund_fen: int | None) -> dict[str, Any]:
        """Give back this much of a line; without figures, all that is left of all lines."""
        order = self._get_order(order_no)
        with self._world.lock:
            lines = _refund_lines(order, line_no, refund_fen)
            number = len(order.refunds) + 1
            body = {"refund_no": f"{order_no}-R{number}", "lines": lines}
            order.refunds.append(body)
        return self._told(order, f"/api/v1/orders/{order_no}/refunds", body)

    def _told(self, order: Order, path: str, body: dict[str, Any]) -> dict[str, Any]:
        shop = self._world.state.shops[order.shop]
        started, at = time.perf_counter(), self._world.now()
        answer = self._report(shop, path, body)
        report = Report(
            id=self._world.next_id(),
            at=at,
            account=shop.account,
            openid=order.openid,
            order_no=order.order_no,
            path=path,
            body=body,
            status=answer["status"],
            answer=answer.get("body", answer.get("error")),
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
        self._world.reports.append(report)
        return {"order": asdict(order), "api": answer}

    def _report(self, shop: Shop, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the merchant's API answered; status None when it could not be reached."""
        content = json.dumps(body, ensure_ascii=False).encode()
        url = shop.base_url.rstrip("/") + path
        headers = self._signed(shop, url, content) | {"Content-Type": "application/json"}
        try:
            answer = requests.post(url, data=content, headers=headers, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            return {"status": None, "error": f"{type(error).__name__}: {error}"}
        return {"status": answer.status_code, "body": _json_or_text(answer)}

    def _signed(self, shop: Shop, url: str, content: bytes) -> dict[str, str]:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        timestamp, nonce = str(int(self._world.now())), secrets.token_hex(16)
        text = "\n".join(["POST", target, timestamp, nonce, hashlib.sha256(content).hexdigest()])
        return {
            "X-Banyan-Key": shop.key,
            "X-Banyan-Timestamp": timestamp,
            "X-Banyan-Nonce": nonce,
            "X-Banyan-Signature": hmac.new(
                shop.secret.encode(), text.encode(), hashlib.sha256
            ).hexdigest(),
        }

    def _find_product(self, sku: str, shop_name: str | None) -> tuple[Shop, dict[str, Any]]:
        for shop in self._world.state.shops.values():
            for product in shop.products:
                if product["sku"] == sku and shop_name in (None, shop.name):
                    return shop, product
        raise ControlError(f"no product {sku!r}", 404)

    def _get_order(self, order_no: str) -> Order:
        if order_no not in self._world.state.orders:
            raise ControlError(f"no order {order_no!r}", 404)
        return self._world.state.orders[order_no]

    def _instant(self) -> str:
        return datetime.fromtimestamp(int(self._world.now()), UTC).isoformat()


def _refund_lines(
    order: Order, line_no: int | None, refund_fen: int | None
) -> list[dict[str, int]]:
    lines = []
    for line in order.lines:
        if line_no not in (None, line["line_no"]):
            continue
        left = line["paid_fen"] - _refunded_fen(order, line["line_no"])
        amount = left if refund_fen is None else refund_fen
        if not 0 < amount <= left:
            raise ControlError(f"line {line['line_no']} has {left} fen left to refund", 409)
        lines.append({"line_no": line["line_no"], "refund_fen": amount})
    if not lines:
        raise ControlError(f"no line {line_no}", 404)
    return lines


def _refunded_fen(order: Order, line_no: int) -> int:
    returned = [line for refund in order.refunds for line in refund["lines"]]
    return sum(line["refund_fen"] for line in returned if line["line_no"] == line_no)


def _without_secret(shop: Shop) -> dict[str, Any]:
    return {name: value for name, value in asdict(shop).items() if name != "secret"}


def _json_or_text(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text
