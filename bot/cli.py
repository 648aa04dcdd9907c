"""`flask spool …`: the callback's own files, for operators. Prints one JSON object; text for people goes to stderr."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import AppGroup

import spooled
from bot import spool

spool_commands = AppGroup("spool", help="Pushes whose handling failed.")


@spool_commands.command("replay")
def replay() -> None:
    """Handle spooled pushes now, in order."""
    context = current_app.extensions["banyan"]
    done = spool.replay(context)
    parked = [item for _, item in spooled.parked(context.settings.data.dir)]
    click.echo(json.dumps({**asdict(done), "parked_in_all": len(parked)}))
    for item in parked:
        click.echo(f"parked: {item.slug} {item.received_at}: {item.error}", err=True)
