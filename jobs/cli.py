"""`flask reconcile`: the daily comparison with WeChat Pay, now and here."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import with_appcontext

from context import Context
from domain import accounts


@click.command("reconcile")
@click.option("--account", "slug", required=True, metavar="SLUG", help="The account.")
@with_appcontext
def reconcile_command(slug: str) -> None:
    """Compare the transfers of four weeks with WeChat Pay. Ends with 1 when something differs, or has no answer."""
    # The web process imports this module as well, and has no use for RQ.
    from jobs.process import Process
    from jobs.queues import connect
    from jobs.reconcile import reconcile

    context: Context = current_app.extensions["banyan"]
    process = Process(context, connect(context.settings.redis_url))
    account_id = context.database.read(lambda session: accounts.get(session, slug).id)
    found = reconcile(process, account_id)
    process.senders.shutdown()
    click.echo(json.dumps({"ok": found.ok, **asdict(found)}, ensure_ascii=False))
    if not found.ok:
        sys.exit(1)
