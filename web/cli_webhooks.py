"""`flask webhook …`: where the merchant's systems hear of events, and how the deliveries went."""

from __future__ import annotations

import json
from typing import Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, audit, webhooks
from domain.models import Webhook
from web.cli import ACTOR, account_option, form
from web.current import context

webhook = AppGroup("webhook", help="Addresses that are told of events.")


def _shown(row: Webhook) -> dict[str, Any]:
    return {
        "id": row.id, "key": row.public_key, "url": row.url, "events": json.loads(row.events) or list(webhooks.EVENTS),
        "active": row.active, "created_at": row.created_at,
    }  # fmt: skip


@webhook.command("add")
@account_option
@click.option("--url", required=True)
@click.option(
    "--event", "events", multiple=True, type=click.Choice(webhooks.EVENTS), help="Default: all."
)
@form
def add(slug: str, url: str, events: tuple[str, ...]) -> dict[str, Any]:
    """A new address; its secret is shown this once."""
    now = context().clock.now()

    def make(session: Session) -> dict[str, Any]:
        account = accounts.get(session, slug)
        row, secret = webhooks.add(
            session, context().keyring, account.id, url=url, events=events, now=now
        )
        _note(session, row, "webhook_added", {"url": url, "events": sorted(events)})
        return {**_shown(row), "secret": secret}

    return context().database.transact(make)


def _note(session: Session, row: Webhook, action: str, after: dict[str, Any]) -> None:
    audit.record(
        session, row.account_id, actor=ACTOR, action=action, subject=f"webhook/{row.id}", after=after,
        now=context().clock.now(),
    )  # fmt: skip


@webhook.command("list")
@account_option
@form
def list_webhooks(slug: str) -> dict[str, Any]:
    """The account's addresses."""
    return context().database.read(
        lambda session: {
            "webhooks": [
                _shown(row) for row in webhooks.of_account(session, accounts.get(session, slug).id)
            ]
        }
    )


@webhook.command("rotate")
@account_option
@click.argument("webhook_id", type=int)
@form
def rotate(slug: str, webhook_id: int) -> dict[str, Any]:
    """A new secret; the old one signs beside it for a day."""
    now = context().clock.now()

    def change(session: Session) -> dict[str, Any]:
        row = webhooks.get(session, accounts.get(session, slug).id, webhook_id)
        secret = webhooks.rotate(session, context().keyring, row, now)
        _note(session, row, "webhook_rotated", {})
        return {**_shown(row), "secret": secret}

    return context().database.transact(change)


@webhook.command("stop")
@account_option
@click.argument("webhook_id", type=int)
@click.option("--resume", is_flag=True, help="Begin again instead.")
@form
def stop(slug: str, webhook_id: int, resume: bool) -> dict[str, Any]:
    """Tell this address nothing any more."""

    def change(session: Session) -> dict[str, Any]:
        row = webhooks.get(session, accounts.get(session, slug).id, webhook_id)
        webhooks.set_active(session, row, resume)
        _note(session, row, "webhook_switched", {"active": resume})
        return _shown(row)

    return context().database.transact(change)


@webhook.command("log")
@account_option
@click.argument("webhook_id", type=int)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@form
def log(slug: str, webhook_id: int, limit: int) -> dict[str, Any]:
    """The last tries, newest first."""

    def read(session: Session) -> dict[str, Any]:
        row = webhooks.get(session, accounts.get(session, slug).id, webhook_id)
        tries = webhooks.log_of(session, row.id, limit)
        return {
            "attempts": [
                {
                    "delivery": one.delivery_key, "event": one.event, "at": one.at, "status": one.status,
                    "took_ms": one.took_ms, "error": one.error,
                }
                for one in tries
            ]
        }  # fmt: skip

    return context().database.read(read)


@webhook.command("replay")
@account_option
@click.argument("delivery")
@form
def replay(slug: str, delivery: str) -> dict[str, Any]:
    """Send an event again, with the same id."""
    now = context().clock.now()

    def change(session: Session) -> dict[str, Any]:
        account = accounts.get(session, slug)
        return {"again": webhooks.replay(session, account.id, delivery, now)}

    return context().database.transact(change)


COMMANDS: Final = (webhook,)
