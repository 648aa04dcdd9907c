"""`flask report …`, `flask member statement`, `flask import …`, `flask backup`, `flask restore`: what goes out of the
database and comes into it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.orm import Session

import backups
from backups import BackupRefused
from domain import accounts, imports, members, reports, statements
from domain.china import day_of
from domain.imports.staging import PAID_WORDS, SETTLED_WORDS
from web.cli import ACTOR, Failed, Instant, account_of, account_option, form, show_progress
from web.cli_tree import member
from web.current import context

out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A new file."
)


def _write(path: Path, pieces: Iterable[bytes]) -> dict[str, Any]:
    """A new file that only its owner reads: it holds people's money."""
    size = 0
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        for piece in pieces:
            size += file.write(piece)
    return {"file": str(path), "bytes": size}


# --- statistics -----------------------------------------------------------------------------------------------------

report = AppGroup("report", help="Statistics (统计).")
DAY: Final = click.DateTime(["%Y-%m-%d"])


def _range(since: datetime | None, until: datetime | None) -> tuple[date, date]:
    last = until.date() if until else day_of(context().clock.now())
    return since.date() if since else last - timedelta(days=29), last


@report.command("days")
@account_option
@click.option("--since", type=DAY, help="A day in China; without it the last thirty.")
@click.option("--until", type=DAY)
@click.option("--member", "openid", metavar="OPENID", help="One member, by level.")
@form
def show_days(
    slug: str, since: datetime | None, until: datetime | None, openid: str | None
) -> dict[str, Any]:
    """What each day brought: people, orders, sales, commissions by state; amounts in fen."""
    first, last = _range(since, until)

    def read(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        if openid is None:
            rows = reports.of_account(session, account_id, first, last)
            levels = reports.by_level(session, account_id, first, last)
        else:
            member_id = members.get(session, account_id, openid).id
            rows = reports.of_member(session, account_id, member_id, first, last)
            levels = {}
        days = [
            {"day": row.day.isoformat(), "level": row.level}
            | {name: getattr(row, name) for name in reports.FIGURES}
            for row in rows
        ]
        return {
            "since": first.isoformat(),
            "until": last.isoformat(),
            "days": days,
            "levels": levels,
        }

    return context().database.read(read)


@report.command("refresh")
@account_option
@click.option("--since", type=DAY, help="Compute again from this day in China on.")
@form
def refresh_report(slug: str, since: datetime | None) -> dict[str, Any]:
    """Compute days and rankings now; with --since every day from then on, again."""
    database, now = context().database, context().clock.now()
    account_id = database.read(lambda session: accounts.get(session, slug).id)
    changed = 0
    if since is not None:
        days = (day_of(now) - since.date()).days
        for number in range(days + 1):
            changed += reports.roll_up(database, account_id, since.date() + timedelta(days=number))
            show_progress("days", number + 1)
    done = reports.refresh(database, account_id, now)
    return {"daily": changed + done["daily"], "standings": done["standings"]}


@report.command("ranking")
@account_option
@click.option(
    "--metric", type=click.Choice(reports.METRICS), default=reports.EARNED, show_default=True
)
@click.option(
    "--period", type=click.Choice(reports.PERIODS), default=reports.WEEK, show_default=True
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@form
def show_ranking(slug: str, metric: str, period: str, limit: int) -> dict[str, Any]:
    """The first of the newest ranking: fen earned, or people brought."""
    now = context().clock.now()

    def read(session: Session) -> list[dict[str, Any]]:
        account_id = accounts.get(session, slug).id
        found = reports.leaders(session, account_id, metric, period, now, limit)
        return [asdict(one) for one in found]

    return {"metric": metric, "period": period, "leaders": context().database.read(read)}


@report.command("compliance")
@account_option
@click.option("--since", type=Instant(), required=True)
@click.option("--until", type=Instant(), help="Without it: now.")
@out_option
@form
def write_compliance(
    slug: str, since: datetime, until: datetime | None, out: Path
) -> dict[str, Any]:
    """The record of how the programme was run: depth, settings, rules, changes by staff, long chains; JSON lines."""
    now = context().clock.now()
    with context().database.snapshot() as session:
        entries = reports.compliance(session, account_of(session, slug), since, until or now, now)
        return _write(out, reports.as_lines(entries))


@member.command("statement")
@account_option
@click.argument("openid")
@out_option
@form
def write_statement(slug: str, openid: str, out: Path) -> dict[str, Any]:
    """Every posting of a member with running balances, as a CSV file that Excel opens."""
    with context().database.snapshot() as session:
        member_id = members.get(session, accounts.get(session, slug).id, openid).id
        return _write(out, statements.as_csv(session, member_id))


# --- import ---------------------------------------------------------------------------------------------------------

importing = AppGroup("import", help="Members, tree, balances and orders of another system.")


@importing.command("run")
@account_option
@click.option(
    "--source", required=True, metavar="NAME", help="Names the other system, for ever the same."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="CSV files, one a table: members or users or t_user, orders, commissions, …",
)
@click.option(
    "--database-url-file",
    type=click.File("r"),
    help="Holds the address of a database with these tables.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, write nothing.")
@click.option("--accept-problems", is_flag=True, help="Leave out the rows that have problems.")
@click.option("--paid-status", "paid", multiple=True, help="A status of orders that were paid.")
@click.option(
    "--settled-status", "settled", multiple=True, help="A status of commissions that are due."
)
@click.option("--no-placeholders", is_flag=True, help="People without an openid are a problem.")
@form
def run_import(
    slug: str,
    source: str,
    folder: Path | None,
    database_url_file: IO[str] | None,
    dry_run: bool,
    accept_problems: bool,
    paid: Sequence[str],
    settled: Sequence[str],
    no_placeholders: bool,
) -> dict[str, Any]:
    """Take them over; {"ok": true} when the books agree with the source to the fen. Run it again to go on."""
    tables: imports.Source
    if folder is not None and database_url_file is None:
        tables = imports.CsvFolder(folder)
    elif database_url_file is not None and folder is None:
        tables = imports.DatabaseTables(database_url_file.read().strip())
    else:
        raise click.UsageError("say --folder or --database-url-file")
    options = imports.Options(
        source,
        tuple(one.lower() for one in paid) or PAID_WORDS,
        tuple(one.lower() for one in settled) or SETTLED_WORDS,
        placeholders=not no_placeholders,
    )
    database, keyring, now = context().database, context().keyring, context().clock.now()
    account = database.read(lambda session: account_of(session, slug))
    return imports.run(
        database, keyring, account, tables, options,
        dry_run=dry_run, accept_problems=accept_problems, actor=ACTOR, now=now, progress=show_progress,
    ).as_value()  # fmt: skip


@importing.command("claim")
@account_option
@click.option("--source", required=True, metavar="NAME")
@click.argument("key")
@click.argument("openid")
@form
def claim(slug: str, source: str, key: str, openid: str) -> dict[str, Any]:
    """Give somebody who was imported without an openid theirs, before they follow."""
    now = context().clock.now()

    def give(session: Session) -> dict[str, Any]:
        row = imports.claim(
            session, account_of(session, slug), source, key, openid, actor=ACTOR, now=now
        )
        return {"member_id": row.id, "openid": row.openid}

    return context().database.transact(give)


# --- backup ---------------------------------------------------------------------------------------------------------


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_appcontext
@form
def backup(file: Path) -> dict[str, Any]:
    """Write the whole database to a new FILE while everything runs. The master key is not in it."""
    try:
        manifest = backups.backup(
            context().database, context().keyring, file, context().clock.now()
        )
    except BackupRefused as error:
        raise Failed(str(error)) from error
    click.echo(
        "The master key ([secrets]) is not in the file: keep it elsewhere, or nobody can open the secrets.",
        err=True,
    )
    return {"file": str(file), "rows": manifest.rows, "schema_version": manifest.version}


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--other-key", is_flag=True, help="Although it was made under another master key.")
@with_appcontext
@form
def restore(file: Path, other_key: bool) -> dict[str, Any]:
    """Bring a backup into the empty database of the settings; docs/backup.md says what to do next."""
    url = context().settings.database_url
    try:
        manifest = backups.restore(url, context().keyring, file, other_key=other_key)
    except BackupRefused as error:
        raise Failed(str(error)) from error
    click.echo(
        "Next: flask ledger check, flask members check, flask spool replay; then start the processes.",
        err=True,
    )
    return {"file": str(file), "rows": manifest.rows, "made_at": manifest.made_at}


COMMANDS: Final = (report, importing, backup, restore)
