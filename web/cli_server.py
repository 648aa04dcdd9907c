"""`flask db upgrade` and `flask serve`: the release and the web process."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import click
from flask.cli import AppGroup, with_appcontext

from domain.staff import setup
from web.cli import Failed, form
from web.current import context
from web.ops import METRICS_FOLDER, MULTIPROCESS

ROOT: Final = Path(__file__).parents[1]

db = AppGroup("db", help="The database.")


@db.command("upgrade")
@form
def upgrade() -> dict[str, Any]:
    """Bring the database to this release's tables."""
    # Alembic would take a quarter of the time in which every other command starts.
    from alembic.util import CommandError

    import migrations

    try:
        version = migrations.upgrade(context().settings.database_url)
    except (CommandError, migrations.WrongDatabase) as error:
        raise Failed(str(error)) from error
    now = context().clock.now()
    code = context().database.transact(lambda session: setup.first_code(session, now))
    if code is not None:
        _say_setup_code(code)
    return {"version": version}


def _say_setup_code(code: str) -> None:
    """For people: the first owner is made in the browser, by whoever can read this."""
    address = f"{context().settings.server.public_url}/console/setup"
    click.echo(f"Nobody has a login yet. Create the first owner at {address}", err=True)
    click.echo(f"with this setup code: {code}", err=True)


@click.command("serve")
@with_appcontext
def serve() -> None:
    """Become the web server of [server]: granian with its workers and threads."""
    settings = context().settings
    if not settings.redis.url:  # said now, not by the first request
        raise Failed("[redis] url is empty: set it, or start with `make run`, which brings one")
    program = Path(sys.executable).with_name("granian")
    if not program.exists():
        raise Failed(f"{program} is missing: install requirements.lock")
    server = settings.server
    context().close()
    metrics = settings.data.dir / METRICS_FOLDER  # what the processes before counted begins anew
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    os.environ[MULTIPROCESS] = str(metrics)
    os.execv(  # noqa: S606 - the program of our own environment, without a shell
        program,
        [
            str(program), "--interface", "wsgi", "--factory", "--host", server.host, "--port", str(server.port),
            "--workers", str(server.workers), "--blocking-threads", str(server.threads),
            "--working-dir", str(ROOT),
            "--http", "1", "--no-ws", "--respawn-failed-workers", "app:server",
        ],
    )  # fmt: skip


COMMANDS: Final = (db, serve)
