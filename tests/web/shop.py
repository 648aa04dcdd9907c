"""A shop that signs as the contract says, written without a line of the server's code."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient

LINE = {"line_no": 1, "title": "凤凰单丛", "quantity": 1, "paid_fen": 2997}


@dataclass
class Answer:
    """Status, headers and JSON of an answer; anything that is not JSON fails the test."""

    status: int
    headers: Any
    body: Any


@dataclass
class Shop:
    """`shop.post("/orders", {…})` signs and sends."""

    client: FlaskClient
    key: str
    secret: str
    now: Callable[[], float]

    def get(self, path: str, **options: Any) -> Answer:
        return self.send("GET", path, None, **options)

    def post(self, path: str, body: Any, **options: Any) -> Answer:
        return self.send("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> Answer:
        return self.send("PUT", path, body, **options)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        signed_path: str | None = None,
    ) -> Answer:
        """Send `body` as JSON (or `raw` as it is), signed; `headers` go over the signed ones."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        target = "/api/v1" + path
        sent = self.signed(method, signed_path or target, content) | (headers or {})
        response = self.client.open(
            target, method=method, data=content, headers=sent,
            content_type=None if raw is None and body is None else content_type,
        )  # fmt: skip
        assert response.is_json, f"{response.status} {response.content_type}: {response.text[:300]}"
        return Answer(response.status_code, response.headers, response.get_json())

    def signed(
        self, method: str, target: str, content: bytes = b"", nonce: str | None = None
    ) -> dict[str, str]:
        """The four headers."""
        timestamp, nonce = str(int(self.now())), nonce or secrets.token_hex(16)
        text = "\n".join([method, target, timestamp, nonce, hashlib.sha256(content).hexdigest()])
        return {
            "X-Banyan-Key": self.key,
            "X-Banyan-Timestamp": timestamp,
            "X-Banyan-Nonce": nonce,
            "X-Banyan-Signature": hmac.new(
                self.secret.encode(), text.encode(), hashlib.sha256
            ).hexdigest(),
        }


def order(
    number: str, openid: str | None = "buyer", paid_fen: int = 2997, **others: Any
) -> dict[str, Any]:
    """A report of one line."""
    buyer = {} if openid is None else {"openid": openid}
    return {
        "order_no": number, **buyer, "lines": [{**LINE, "paid_fen": paid_fen}],
        "paid_at": "2026-11-22T10:00:00+08:00", **others,
    }  # fmt: skip
