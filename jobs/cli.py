"""`flask reconcile`: the daily comparison with WeChat Pay, now and here."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import with_appcontext

from config import ConfigError
from context import Context
from domain import accounts, reconciliations
from domain.errors import NotFound


@click.command("reconcile")
@click.option("--account", "slug", required=True, metavar="SLUG", help="The account.")
@with_appcontext
def reconcile_command(slug: str) -> None:
    """Compare the transfers of four weeks with WeChat Pay by number, and those that ended the day before yesterday with
    its bills. Ends with 1 when something differs, or has no answer. The results stay for the console."""
    # The web process imports this module as well, and has no use for RQ.
    from jobs.process import Process
    from jobs.queues import connect
    from jobs.reconcile import reconcile, reconcile_bill

    context: Context = current_app.extensions["banyan"]
    try:
        account_id = context.database.read(lambda session: accounts.get(session, slug).id)
        process = Process(context, connect(context.settings.redis_url))
    except NotFound as error:
        raise click.ClickException(f"{error.code}: {error.message} slug={slug}") from error
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    found = reconcile(process, account_id)
    by_bill = reconcile_bill(process, account_id)
    process.senders.shutdown()
    last = context.database.read(
        lambda session: reconciliations.latest(session, account_id, reconciliations.BILL)
    )
    ok = found.ok and by_bill.ok
    shown = None if last is None else reconciliations.as_value(last)
    click.echo(json.dumps({"ok": ok, **asdict(found), "bill": shown}, ensure_ascii=False))
    if not ok:
        sys.exit(1)
