"""Webhooks: the merchant's systems hear of bindings, commissions and withdrawals, each event once for each address.

An event is an outbox row written with its cause; jobs/webhooks.py builds its body and sends it. Its key is made from
the posting, the binding or the withdrawal's step, so nothing is told twice and a receiver can tell repeats.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import outbox
from domain.db import Sql, changed, to_db, to_json
from domain.errors import Invalid, NotFound
from domain.models import Outbox, Webhook, WebhookAttempt
from domain.secrets import Keyring

MEMBER_BOUND: Final = "member.bound"
ACCRUED: Final = "commission.accrued"
SETTLED: Final = "commission.settled"
VOIDED: Final = "commission.voided"
CLAWED_BACK: Final = "commission.clawed_back"
STEPS: Final = ("requested", "approved", "rejected", "paying", "confirm", "paid", "failed")
WITHDRAWAL: Final = tuple(f"withdrawal.{step}" for step in STEPS)
EVENTS: Final = (MEMBER_BOUND, ACCRUED, SETTLED, VOIDED, CLAWED_BACK, *WITHDRAWAL)
_OF_REASON: Final = {
    "accrue": ACCRUED,
    "settle": SETTLED,
    "void": VOIDED,
    "left": VOIDED,
    "refuse": VOIDED,
    "clawback": CLAWED_BACK,
}
"""The event that a posting is, by its reason."""

LIMIT: Final = 10
OLD_SECRET_HOURS: Final = 24
KNOWN_SECONDS: Final = 3.0
"""How long a process remembers which addresses there are: a new one hears of events no later than that."""


class Happened(NamedTuple):
    """An event to tell. `key` is unique for ever, `subject` is what its body is made of (plain JSON values)."""

    event: str
    key: str
    subject: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Address:
    """A webhook with its secrets open, for the job. Never logged: its repr shows no secret."""

    id: int
    account_id: int
    url: str
    public_key: str
    active: bool
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)


# --- telling --------------------------------------------------------------------------------------------------------


class _Listener(NamedTuple):
    webhook_id: int
    events: frozenset[str]


def tell(session: Session, account_id: int, happened: Iterable[Happened], now: datetime) -> None:
    """Write the events for every address of the account that wants them. Costs nothing where there is none."""
    listeners = _listeners(session).get(account_id)
    if not listeners:
        return
    messages = [
        outbox.Message(
            account_id, outbox.WEBHOOK, f"hook-{listener.webhook_id}-{one.key}",
            {"webhook": listener.webhook_id, "event": one.event, "at": now.isoformat(), **one.subject}, now,
        )
        for one in happened
        for listener in listeners
        if not listener.events or one.event in listener.events
    ]  # fmt: skip
    outbox.put(session, messages, now)


def tell_postings(session: Session, entries: Sequence[Any], now: datetime) -> None:
    """Tell of those ledger entries that are events: a commission accrued, settled, voided, clawed back."""
    by_account: dict[int, list[Happened]] = {}
    for entry in entries:
        event = _OF_REASON.get(entry.reason)
        if event is not None:
            happened = Happened(event, entry.key, {"posting": entry.key})
            by_account.setdefault(entry.account_id, []).append(happened)
    for account_id, events in by_account.items():
        tell(session, account_id, events, now)


def _listeners(session: Session) -> dict[int, list[_Listener]]:
    """Every address that is active, by account; asked of the database every few seconds."""
    memory = session.info.setdefault("memory", {})
    until, known = memory.get(_KNOWN, (0.0, {}))
    if time.monotonic() >= until:
        known = {}
        for row in _ACTIVE(session):
            listener = _Listener(row.id, frozenset(json.loads(row.events)))
            known.setdefault(row.account_id, []).append(listener)
        memory[_KNOWN] = (time.monotonic() + KNOWN_SECONDS, known)
    return known  # type: ignore[no-any-return] # what is in a memory has no type


def _forget(session: Session) -> None:
    """The next event of this process asks again."""
    session.info.setdefault("memory", {}).pop(_KNOWN, None)


_KNOWN: Final = "webhook listeners"
_ACTIVE: Final = Sql("SELECT id, account_id, events FROM webhook WHERE active = 1")


# --- addresses ------------------------------------------------------------------------------------------------------


def add(
    session: Session,
    keyring: Keyring,
    account_id: int,
    *,
    url: str,
    events: Collection[str] = (),
    now: datetime,
) -> tuple[Webhook, str]:
    """An address for the account's events (none named: all), and its secret, shown this once. Raises `Invalid`."""
    _check(url, events)
    if len(of_account(session, account_id)) >= LIMIT:
        raise Invalid(f"an account has at most {LIMIT} webhooks", limit=LIMIT)
    public_key, secret = f"whk_{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    row = Webhook(
        account_id=account_id, url=url, events=to_json(sorted(set(events))), public_key=public_key,
        secret=keyring.seal(secret, _place(public_key)), active=True, created_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    _forget(session)
    return row, secret


def change(session: Session, webhook: Webhook, *, url: str, events: Collection[str]) -> None:
    """Another address or other events. Raises `Invalid`."""
    _check(url, events)
    webhook.url, webhook.events = url, to_json(sorted(set(events)))
    session.flush()
    _forget(session)


def set_active(session: Session, webhook: Webhook, active: bool) -> None:
    """Stop telling an address, or begin again; what waited for it is dropped by the job."""
    webhook.active = active
    session.flush()
    _forget(session)


def rotate(session: Session, keyring: Keyring, webhook: Webhook, now: datetime) -> str:
    """A new secret, shown this once; the old one signs beside it for a day."""
    secret = secrets.token_urlsafe(32)
    webhook.previous_secret = webhook.secret
    webhook.previous_until = now + timedelta(hours=OLD_SECRET_HOURS)
    webhook.secret = keyring.seal(secret, _place(webhook.public_key))
    session.flush()
    return secret


def of_account(session: Session, account_id: int) -> list[Webhook]:
    """The account's addresses, oldest first."""
    query = select(Webhook).where(Webhook.account_id == account_id).order_by(Webhook.id)
    return list(session.scalars(query))


def get(session: Session, account_id: int, webhook_id: int) -> Webhook:
    """An address of this account, or `NotFound`."""
    row = session.get(Webhook, webhook_id)
    if row is None or row.account_id != account_id:
        raise NotFound("no such webhook", webhook=webhook_id)
    return row


def opened(
    session: Session, keyring: Keyring, webhook_ids: Collection[int], now: datetime
) -> dict[int, Address]:
    """Addresses with their secrets, for sending."""
    rows = session.scalars(select(Webhook).where(Webhook.id.in_(webhook_ids)))
    return {row.id: _open(row, keyring, now) for row in rows}


def _open(row: Webhook, keyring: Keyring, now: datetime) -> Address:
    place = _place(row.public_key)
    previous = row.previous_secret
    both = previous is not None and row.previous_until is not None and row.previous_until > now
    return Address(
        row.id, row.account_id, row.url, row.public_key, row.active, keyring.open(row.secret, place),
        keyring.open(previous, place) if both and previous is not None else None,
    )  # fmt: skip


def _place(public_key: str) -> str:
    return f"webhook/{public_key}/secret"


def _check(url: str, events: Collection[str]) -> None:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        raise Invalid(
            "an address begins with http:// or https:// and names a host", url=url
        ) from None
    if parts.scheme not in {"http", "https"} or not named or len(url) > 500:
        raise Invalid("an address begins with http:// or https:// and names a host", url=url)
    if parts.username or parts.fragment:
        raise Invalid("an address has neither a user nor a fragment")
    unknown = sorted(set(events) - set(EVENTS))
    if unknown:
        raise Invalid("no such events", unknown=unknown, events=list(EVENTS))


# --- the log --------------------------------------------------------------------------------------------------------

_PRUNABLE: Final = Sql("SELECT id FROM webhook_attempt WHERE at < ? ORDER BY at, id LIMIT ?")
_PRUNE: Final = Sql("DELETE FROM webhook_attempt WHERE id IN (??)")


def note_attempt(session: Session, attempt: WebhookAttempt) -> None:
    """Write one try down."""
    session.add(attempt)
    session.flush()


def log_of(session: Session, webhook_id: int, limit: int = 50) -> list[WebhookAttempt]:
    """The newest tries of an address, newest first."""
    query = select(WebhookAttempt).where(WebhookAttempt.webhook_id == webhook_id)
    return list(session.scalars(query.order_by(WebhookAttempt.id.desc()).limit(limit)))


def replay(session: Session, account_id: int, delivery_key: str, now: datetime) -> bool:
    """Send an event again, with the same key; False while it is on its way. Raises `NotFound` when it is unknown, or
    so old that it has been pruned."""
    key = Outbox.dedupe_key == delivery_key
    mine = (Outbox.account_id == account_id, Outbox.topic == outbox.WEBHOOK, key)
    if session.scalar(select(Outbox.id).where(*mine)) is None:
        raise NotFound("no such delivery", delivery=delivery_key)
    again = {"state": "pending", "attempts": 0, "next_at": now, "first_try_at": None}
    query = update(Outbox).where(*mine, Outbox.state.in_(("done", "dead", "unsure")))
    return changed(session.execute(query.values(**again))) == 1


def prune_log(session: Session, before: datetime, limit: int = 1000) -> int:
    """Forget tries made before this instant, a chunk; how many. Call it until it is 0."""
    ids = [row.id for row in _PRUNABLE(session, to_db(before), limit)]
    return changed(_PRUNE.among(session, (), ids)) if ids else 0
