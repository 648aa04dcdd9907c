"""`flask account …`, `flask apikey …`, `flask staff …`: official accounts, and who may come in."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import IO, Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, api_keys, audit, models, staff
from domain.accounts import Settings
from domain.staff import setup
from domain.texts import TEXTS
from web.cli import ACTOR, Failed, Instant, account_option, form
from web.current import context

# --- accounts ---------------------------------------------------------------------------------------------------------

account = AppGroup("account", help="Official accounts (公众号).")


@account.command("add")
@click.option("--slug", required=True, help="Its name in our addresses.")
@click.option("--name", help="Its name for people; the slug without it.")
@click.option("--app-id", required=True)
@click.option(
    "--app-secret-file", required=True, type=click.File("r", lazy=True), help="- is standard input."
)
@click.option("--token", required=True)
@click.option("--aes-key", required=True)
@click.option("--gh-id", required=True)
@click.option("--mode", required=True, type=click.Choice(accounts.MODES))
@click.option("--depth", required=True, type=click.IntRange(1, 3), help="Levels that earn.")
@form
def add_account(
    slug: str, name: str | None, app_secret_file: IO[str], **given: Any
) -> dict[str, Any]:
    """Open an account."""
    secret, now = app_secret_file.read().strip(), context().clock.now()

    def add(session: Session) -> dict[str, Any]:
        row = accounts.add(
            session,
            context().keyring,
            slug=slug,
            name=name or slug,
            app_secret=secret,
            now=now,
            **given,
        )
        audit.record(
            session,
            row.id,
            actor=ACTOR,
            action="account_added",
            subject=f"account/{row.id}",
            now=now,
        )
        return _shown(row)

    return context().database.transact(add)


@account.command("list")
@form
def list_accounts() -> dict[str, Any]:
    """Every account."""
    rows = context().database.read(accounts.all_of)
    return {"accounts": [_shown(row) for row in rows]}


@account.command("show")
@click.argument("slug")
@form
def show_account(slug: str) -> dict[str, Any]:
    """One account, without its secrets."""
    return _shown(context().database.read(lambda session: accounts.get(session, slug)))


@account.command("set")
@click.argument("slug")
@click.argument("changes", nargs=-1, required=True, metavar="SETTING=VALUE…")
@form
def set_account(slug: str, changes: tuple[str, ...]) -> dict[str, Any]:
    """Change settings, such as freeze_from=paid, linked_apps=wx1,wx2 or risk=churn_people:20,churn_holds:0."""
    wanted, now = dict(_setting(change) for change in changes), context().clock.now()

    def change(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        accounts.revise(session, row.id, wanted, actor=ACTOR, now=now)
        session.refresh(row)
        return _shown(row)

    shown = context().database.transact(change)
    if wanted.get("registration_reward_fen"):
        click.echo(TEXTS["warning.registration"], err=True)
    return shown


def _setting(text: str) -> tuple[str, Any]:
    """`name=value` with the value as the setting's type wants it."""
    name, separator, value = text.partition("=")
    kinds = {item.name: item.type for item in fields(Settings)}
    if not separator or name not in kinds:
        raise click.UsageError(
            f"{text!r} is not SETTING=VALUE; settings: {', '.join(sorted(kinds))}"
        )
    if kinds[name] == "bool" and value in {"true", "false"}:
        return name, value == "true"
    if kinds[name] == "int" and value.isdecimal():
        return name, int(value)
    if kinds[name] in {"bool", "int"}:
        raise click.UsageError(
            f"{name} is {'true or false' if kinds[name] == 'bool' else 'a number'}"
        )
    if str(kinds[name]).startswith("tuple"):
        return name, [part for part in value.split(",") if part]
    if str(kinds[name]).startswith("dict"):
        return name, dict(_limit(part) for part in value.split(",") if part)
    return name, value


def _limit(text: str) -> tuple[str, int]:
    name, separator, number = text.partition(":")
    if not separator or not number.isdecimal():
        raise click.UsageError(f"{text!r} is not LIMIT:NUMBER, such as churn_people:20")
    return name, int(number)


def _shown(row: models.Account) -> dict[str, Any]:
    return {
        "id": row.id, "slug": row.slug, "name": row.name, "app_id": row.app_id, "gh_id": row.gh_id,
        "mode": row.mode, "depth": row.depth, "settings": asdict(accounts.settings_of(row)),
        "callback": f"{context().settings.server.public_url}/wechat/{row.slug}",
        "created_at": row.created_at,
    }  # fmt: skip


# --- keys of the shop API ---------------------------------------------------------------------------------------------

apikey = AppGroup("apikey", help="Keys of the shop API.")


@apikey.command("add")
@account_option
@click.option("--scopes", help=f"Some of {','.join(api_keys.SCOPES)}; all without it.")
@click.option("--expires-at", type=Instant())
@click.option("--address", "addresses", multiple=True, help="Only from this IP address or network.")
@form
def add_key(
    slug: str, scopes: str | None, expires_at: datetime | None, addresses: Sequence[str]
) -> dict[str, Any]:
    """Make a key. Its secret is shown this once."""
    now = context().clock.now()
    wanted = tuple(scopes.split(",")) if scopes else api_keys.SCOPES

    def add(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        key, secret = api_keys.add(
            session, context().keyring, row.id, scopes=wanted, addresses=addresses,
            expires_at=expires_at, now=now,
        )  # fmt: skip
        audit.record(
            session, row.id, actor=ACTOR, action="api_key_added", subject=f"api_key/{key}",
            after={"scopes": sorted(wanted)}, now=now,
        )  # fmt: skip
        return {"key": key, "secret": secret}

    made = context().database.transact(add)
    click.echo("Keep the secret: it cannot be shown again.", err=True)
    return made


@apikey.command("list")
@account_option
@form
def list_keys(slug: str) -> dict[str, Any]:
    """The keys of an account, without their secrets."""
    rows = context().database.read(
        lambda session: api_keys.all_of(session, accounts.get(session, slug).id)
    )
    return {
        "keys": [
            {
                "key": row.public_key, "scopes": json.loads(row.scopes),
                "addresses": json.loads(row.addresses) if row.addresses else [],
                "expires_at": row.expires_at, "revoked_at": row.revoked_at, "created_at": row.created_at,
            }
            for row in rows
        ]
    }  # fmt: skip


@apikey.command("revoke")
@click.argument("key")
@form
def revoke_key(key: str) -> dict[str, Any]:
    """Stop a key for ever. Processes that know it notice within seconds."""
    now = context().clock.now()

    def revoke(session: Session) -> dict[str, Any]:
        changed = api_keys.revoke(session, key, now)
        if changed:
            audit.record(
                session,
                None,
                actor=ACTOR,
                action="api_key_revoked",
                subject=f"api_key/{key}",
                now=now,
            )
        return {"key": key, "revoked": True, "was_revoked_before": not changed}

    return context().database.transact(revoke)


# --- people -----------------------------------------------------------------------------------------------------------

people = AppGroup("staff", help="People (商家员工) who sign in to the console.")


@people.command("add")
@account_option
@click.option("--login", required=True)
@click.option("--role", required=True, type=click.Choice(staff.ROLES))
@click.option(
    "--password-file",
    type=click.File("r", lazy=True),
    help="Without it the password is asked for; - is standard input.",
)
@form
def add_staff(slug: str, login: str, role: str, password_file: IO[str] | None) -> dict[str, Any]:
    """Give a person a login, or one who has it a role in another account (then no password is needed)."""
    now = context().clock.now()
    known = context().database.read(lambda session: staff.find(session, login)) is not None
    password = None if known else _password(password_file)

    def add(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        if password is None:
            person = staff.get(session, login)
        else:
            person = staff.add(session, login=login, password=password, now=now)
        staff.grant(session, person.id, row.id, role)
        audit.record(
            session, row.id, actor=ACTOR, action="staff_role", subject=f"staff/{person.id}",
            after={"role": role}, now=now,
        )  # fmt: skip
        return {
            "login": person.login,
            "account": slug,
            "role": role,
            "is_new": password is not None,
        }

    return context().database.transact(add)


@people.command("setup-code")
@form
def new_setup_code() -> dict[str, Any]:
    """A new one-time code for creating the first owner in the browser; the earlier one is worth nothing then."""
    now = context().clock.now()
    code = context().database.transact(lambda session: setup.new_code(session, now))
    return {"code": code, "url": f"{context().settings.server.public_url}/console/setup"}


def _password(file: IO[str] | None) -> str:
    if file is not None:
        return file.read().rstrip("\r\n")
    first = getpass.getpass("Password: ", sys.stderr)
    if getpass.getpass("The same again: ", sys.stderr) != first:
        raise Failed("the passwords differ")
    return first


COMMANDS: Final = (account, apikey, people)
