"""Events leave for the merchant's systems: a body made from the rows as they are, signed as the shop API is.

X-Banyan-Key names the webhook, X-Banyan-Timestamp, -Nonce and -Signature are those of a call to us in the other
direction, X-Banyan-Delivery is the same for every repeat. For a day after a rotation X-Banyan-Signature-Previous is
made with the secret before. Any 2xx is an answer; everything else is tried again for about three days.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import members, statements, webhooks
from domain.accounts import OpenAccount
from domain.errors import NotFound
from domain.models import Commission, Posting, WebhookAttempt, Withdrawal
from domain.outbox import WEBHOOK, Claimed
from domain.webhooks import Address
from domain.withdrawals import net_fen
from jobs import outside
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat.errors import Retryable

STOPPED: Final = "stopped"
"""Why an event was done without a request: its address is switched off, or gone."""
PATIENCE: Final = 3
"""Failures of one address in one claim after which its other events wait for their next time."""


def drain_webhooks() -> int:
    """RQ's way in: send the events that are due."""
    return drain(current(), WEBHOOK, prepare, chunk=100)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """Answers with the function that sends one event. Each reads its own address and body: what is wrong with one of
    them, or with a secret of one account, keeps nobody else's from leaving."""
    context = process.context
    failures: Counter[int] = Counter()

    def deliver(row: Claimed) -> Done:
        webhook_id, now = row.payload["webhook"], context.clock.now()
        with context.database.reading() as session:
            opened = webhooks.opened(session, context.keyring, [webhook_id], now)
        address = opened.get(webhook_id)
        if address is None or not address.active:
            return Done(delivery=STOPPED)
        if failures[address.id] >= PATIENCE:
            raise Retryable("the address does not answer; its events wait")
        account = process.account(row.account_id)
        with context.database.reading() as session:
            body = body_of(session, account, row)
        try:
            _send(process, address, row, body)
        except Retryable:
            failures[address.id] += 1
            raise
        return Done()

    return deliver


def _send(process: Process, address: Address, row: Claimed, body: bytes) -> None:
    context = process.context
    headers = {**signature(address, body, context.clock.now()), "X-Banyan-Delivery": row.key}
    status, took_ms, error = None, 0, None
    try:
        answered = outside.post(
            address.url, body, headers, private=context.settings.webhooks.private_addresses
        )
        status, took_ms = answered.status, answered.took_ms
        if not 200 <= status < 300:
            error = f"answered {status}"
    except outside.Unreachable as failure:
        error = str(failure)
    attempt = WebhookAttempt(
        webhook_id=address.id, outbox_id=row.id, event=row.payload["event"], delivery_key=row.key,
        at=context.clock.now(), status=status, took_ms=took_ms, error=error,
    )  # fmt: skip
    context.database.transact(lambda session: webhooks.note_attempt(session, attempt))
    if error is not None:
        raise Retryable(f"the webhook {error}")


def signature(address: Address, body: bytes, now: datetime) -> dict[str, str]:
    """The headers by which the receiver knows that it is us."""
    parts = urlsplit(address.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    timestamp, nonce = str(int(now.timestamp())), secrets.token_hex(16)
    lines = ("POST", target, timestamp, nonce, hashlib.sha256(body).hexdigest())
    text = "\n".join(lines).encode()
    headers = {
        "X-Banyan-Key": address.public_key,
        "X-Banyan-Timestamp": timestamp,
        "X-Banyan-Nonce": nonce,
        "X-Banyan-Signature": hmac.new(address.secret.encode(), text, "sha256").hexdigest(),
    }
    if address.previous_secret is not None:
        previous = hmac.new(address.previous_secret.encode(), text, "sha256").hexdigest()
        headers["X-Banyan-Signature-Previous"] = previous
    return headers


# --- bodies ---------------------------------------------------------------------------------------------------------


def body_of(session: Session, account: OpenAccount, row: Claimed) -> bytes:
    """The event as JSON: {"id", "event", "account", "at", "data"}; `id` is that of every repeat."""
    event = row.payload["event"]
    data = _DATA[event.partition(".")[0]](session, row.payload)
    body = {"id": row.key, "event": event, "account": account.slug, "at": row.payload["at"], "data": data}  # fmt: skip
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _binding(session: Session, payload: dict[str, Any]) -> dict[str, Any]:
    people = members.by_ids(
        session, [one for one in (payload["member"], payload["referrer"]) if one]
    )
    referrer = people.get(payload["referrer"])
    return {
        "openid": people[payload["member"]].openid,
        "referrer_openid": None if referrer is None else referrer.openid,
        "reason": payload["reason"],
    }


def _commission(session: Session, payload: dict[str, Any]) -> dict[str, Any]:
    """What moved now (`amount_fen`), and the commission that it belongs to."""
    posting = session.scalar(select(Posting).where(Posting.posting_key == payload["posting"]))
    if posting is None:
        raise NotFound("no such posting", posting=payload["posting"])
    cause = statements.causes_of(session, [posting]).get(posting.posting_key, statements.Cause())
    commission = session.get(Commission, cause.commission_id) if cause.commission_id else None
    data: dict[str, Any] = {
        "openid": members.by_ids(session, [posting.member_id])[posting.member_id].openid,
        "amount_fen": posting.amount_fen,
        "order_no": cause.order_no, "line_no": cause.line_no, "level": cause.level, "refund_no": cause.refund_no,
    }  # fmt: skip
    if commission is not None:
        data["commission"] = {
            "id": commission.id, "kind": commission.kind, "base_fen": commission.base_fen,
            "rate_bps": commission.rate_bps, "amount_fen": commission.amount_fen,
        }  # fmt: skip
    return data


def _withdrawal(session: Session, payload: dict[str, Any]) -> dict[str, Any]:
    row = session.get(Withdrawal, payload["withdrawal"])
    if row is None:
        raise NotFound("no such withdrawal", withdrawal=payload["withdrawal"])
    return {
        "id": row.id, "payout_no": row.payout_no,
        "openid": members.by_ids(session, [row.member_id])[row.member_id].openid,
        "amount_fen": row.amount_fen, "fee_fen": row.fee_fen, "tax_fen": row.tax_fen, "net_fen": net_fen(row),
        "status": row.status, "reason": row.reason,
    }  # fmt: skip


_DATA: Final[dict[str, Callable[[Session, dict[str, Any]], dict[str, Any]]]] = {
    "member": _binding,
    "commission": _commission,
    "withdrawal": _withdrawal,
}
