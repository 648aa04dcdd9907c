"""`flask ledger check` and `flask settle`: the books are proved, and what is due becomes available."""

from __future__ import annotations

from typing import Any, Final

import click
from flask.cli import AppGroup, with_appcontext

from domain import accounts, commissions, proof
from domain.accounts import OpenAccount
from web.cli import form, show_progress
from web.current import context

ledger = AppGroup("ledger", help="The books (账本).")


@ledger.command("check")
@form
def check_ledger() -> dict[str, Any]:
    """Prove the books: {"ok": true, …}, or the differences and exit code 1."""
    with context().database.snapshot() as session:
        return proof.ledger_check(session, show_progress).as_value()


@click.command("settle")
@with_appcontext
@form
def settle() -> dict[str, Any]:
    """Settle every commission that is due, now and here, without waiting for the clock."""
    opened = context().database.read(
        lambda session: [
            accounts.unseal(row, context().keyring) for row in accounts.all_of(session)
        ]
    )
    settled: dict[str, int] = {}
    for one in opened:
        count = 0
        while done := _settle_some(one):
            count += done
        settled[one.slug] = count
    return {"settled": settled}


def _settle_some(one: OpenAccount) -> int:
    now = context().clock.now()
    return context().database.transact(lambda session: commissions.settle_due(session, one, now))


COMMANDS: Final = (ledger, settle)
