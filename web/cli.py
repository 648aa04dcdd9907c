"""`flask …`: what an operator does. Each command prints one JSON object on standard output, words for people go to
standard error, and only success ends with 0.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import IO, Any, Final, ParamSpec

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import (
    accounts,
    api_keys,
    audit,
    commissions,
    models,
    notices,
    outbox,
    proof,
    rules,
    staff,
)
from domain.accounts import OpenAccount, Settings
from domain.db import Database
from domain.errors import DomainError
from domain.repair import repair_members
from domain.rules import Terms
from domain.secrets import Unreadable
from domain.staff import setup
from domain.texts import TEXTS
from web.api import answers
from web.current import context
from web.ops import METRICS_FOLDER, MULTIPROCESS
from wechat.errors import WeChatError
from wechat.explained import explained

ACTOR: Final = "flask"
ROOT: Final = Path(__file__).parents[1]
P = ParamSpec("P")


class Failed(click.ClickException):
    """One line on standard error and exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def form(command: Callable[P, dict[str, Any]]) -> Callable[P, None]:
    """Print what a command returns as its one JSON object; say errors in one line. `{"ok": false}` ends with 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            result = command(*args, **kwargs)
        except DomainError as error:
            facts = "".join(f" {name}={value}" for name, value in error.details.items())
            raise Failed(f"{error.code}: {error.message}{facts}") from error
        except DBAPIError as error:
            raise Failed(f"database: {error.orig}") from error
        except WeChatError as error:
            meaning = explained(error.errcode)
            raise Failed(f"WeChat: {error}" + (f" ({meaning})" if meaning else "")) from error
        except (Unreadable, OSError) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        click.echo(json.dumps(result, ensure_ascii=False, default=_plain))
        if result.get("ok") is False:
            sys.exit(1)

    return run


def _plain(value: Any) -> Any:
    """Instants as ISO 8601; everything else has to be JSON already."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not for JSON")


def _database() -> Database:
    return context().database


def account_of(session: Session, slug: str) -> OpenAccount:
    """The account of this slug with its secrets open."""
    return accounts.unseal(accounts.get(session, slug), context().keyring)


account_option = click.option(
    "--account", "slug", required=True, metavar="SLUG", help="The account."
)


class Instant(click.ParamType[datetime]):
    """An ISO 8601 instant with its zone."""

    name = "ISO"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an instant such as 2026-11-22T10:00:00+08:00", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{value!r} has no zone: add Z or +08:00", param, ctx)
        return instant.astimezone(UTC)


class Rates(click.ParamType[tuple[int, ...]]):
    """One to three integers, joined by commas."""

    name = "BPS,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not basis points such as 1000,500,200", param, ctx)


# --- database -------------------------------------------------------------------------------------------------------

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
    code = _database().transact(lambda session: setup.first_code(session, now))
    if code is not None:
        _say_setup_code(code)
    return {"version": version}


def _say_setup_code(code: str) -> None:
    """For people: the first owner is made in the browser, by whoever can read this."""
    address = f"{context().settings.server.public_url}/console/setup"
    click.echo(f"Nobody has a login yet. Create the first owner at {address}", err=True)
    click.echo(f"with this setup code: {code}", err=True)


# --- accounts -------------------------------------------------------------------------------------------------------

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

    return _database().transact(add)


@account.command("list")
@form
def list_accounts() -> dict[str, Any]:
    """Every account."""
    rows = _database().read(accounts.all_of)
    return {"accounts": [_shown(row) for row in rows]}


@account.command("show")
@click.argument("slug")
@form
def show_account(slug: str) -> dict[str, Any]:
    """One account, without its secrets."""
    return _shown(_database().read(lambda session: accounts.get(session, slug)))


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

    shown = _database().transact(change)
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


# --- keys of the shop API -------------------------------------------------------------------------------------------

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

    made = _database().transact(add)
    click.echo("Keep the secret: it cannot be shown again.", err=True)
    return made


@apikey.command("list")
@account_option
@form
def list_keys(slug: str) -> dict[str, Any]:
    """The keys of an account, without their secrets."""
    rows = _database().read(
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

    return _database().transact(revoke)


# --- rules and templates --------------------------------------------------------------------------------------------

rule = AppGroup("rule", help="Commission rules (佣金规则).")


def terms_options(command: Callable[P, Any]) -> Callable[P, Any]:
    """The options that say what a rule pays; `terms_of` reads them."""
    for option in reversed(
        (
            click.option("--rates", required=True, type=Rates(), help="Basis points, level 1 first: 1000,500,200."),
            click.option("--pool", type=click.IntRange(0, 10_000), help="Then --rates are shares of this pool."),
            click.option(
                "--grade", "graded", multiple=True, metavar="GRADE=BPS,…[/DAYS]",
                help="Other rates, and freeze days, of a grade: gold=1200,600,300/3.",
            ),
            click.option("--cap-fen", default=0, type=click.IntRange(0), help="The most of one commission; 0: no cap."),
            click.option("--freeze-days", default=7, show_default=True, type=click.IntRange(0, 365)),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def terms_of(given: dict[str, Any]) -> dict[str, Any]:
    """What `terms_options` were given, as `rules.add` and `rules.draft` take it."""
    pool = given["pool"]
    graded, days = {}, {}
    for text in given["graded"]:
        name, rest = _pair(text)
        rates, _, freeze = rest.partition("/")
        graded[name] = Terms(Rates().convert(rates, None, None), pool)
        if freeze and not freeze.isdecimal():
            raise click.UsageError(f"{text!r} is not GRADE=BPS,…/DAYS")
        if freeze:
            days[name] = int(freeze)
    return {
        "terms": Terms(given["rates"], pool), "grades": graded, "grade_freeze_days": days,
        "cap_fen": given["cap_fen"], "freeze_days": given["freeze_days"],
    }  # fmt: skip


@rule.command("add")
@account_option
@terms_options
@click.option(
    "--effective-at",
    type=Instant(),
    help="Without it: now; of a first rule: the account's opening.",
)
@form
def add_rule(slug: str, effective_at: datetime | None, **given: Any) -> dict[str, Any]:
    """Publish a rule. It is never edited: a later one supersedes it."""
    now = context().clock.now()

    def add(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        settings = accounts.settings_of(row)
        # Shops report instants in whole seconds: a rule that begins within one would miss the orders of that second.
        is_first = not rules.versions_of(session, row.id)
        since = effective_at or (row.created_at if is_first else now).replace(microsecond=0)
        made = rules.add(
            session, row.id, max_total_bps=settings.max_total_bps, depth=row.depth,
            self_purchase=settings.self_purchase, effective_at=since, actor=ACTOR, now=now, **terms_of(given),
        )  # fmt: skip
        audit.record(
            session, row.id, actor=ACTOR, action="rule_added", subject=f"rule/{made.id}",
            after=json.loads(made.definition), now=now,
        )  # fmt: skip
        return {"id": made.id, "effective_at": since, **json.loads(made.definition)}

    return _database().transact(add)


@rule.command("list")
@account_option
@form
def list_rules(slug: str) -> dict[str, Any]:
    """Every version, newest first."""
    rows = _database().read(
        lambda session: rules.versions_of(session, accounts.get(session, slug).id)
    )
    return {
        "rules": [
            {"id": row.id, "effective_at": row.effective_at, "actor": row.actor, **json.loads(row.definition)}
            for row in rows
        ]
    }  # fmt: skip


template = AppGroup("template", help="WeChat templates of notices.")


@template.command("set")
@account_option
@click.argument("occasion", type=click.Choice(notices.OCCASIONS))
@click.argument("template_id")
@click.option(
    "--field",
    "given",
    multiple=True,
    metavar="KEYWORD=PARAMETER",
    help="A keyword of the template.",
)
@click.option(
    "--channel",
    type=click.Choice(notices.MAPPED),
    default=notices.TEMPLATE,
    show_default=True,
    help="Template messages or subscription notices.",
)
@form
def set_template(
    slug: str, occasion: str, template_id: str, given: Sequence[str], channel: str
) -> dict[str, Any]:
    """Choose the template of an occasion. Without --field its keywords take the usual parameters."""
    chosen = dict(_pair(text) for text in given) or None

    def put(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        notices.set_template(session, row.id, occasion, template_id, chosen, channel)
        return {
            "account": slug, "occasion": occasion, "channel": channel, "template_id": template_id, "fields": chosen,
        }  # fmt: skip

    return _database().transact(put)


@template.command("list")
@account_option
@click.option(
    "--channel", type=click.Choice(notices.MAPPED), default=notices.TEMPLATE, show_default=True
)
@form
def list_templates(slug: str, channel: str) -> dict[str, Any]:
    """The templates of an account, with what WeChat last had against each."""
    rows = _database().read(
        lambda session: notices.templates_of(session, accounts.get(session, slug).id, channel)
    )
    return {
        "templates": {
            name: {
                "template_id": row.template_id, "fields": notices.fields_of(row),
                "problem": row.problem, "problem_at": row.problem_at,
            }
            for name, row in sorted(rows.items())
        }
    }  # fmt: skip


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise click.UsageError(f"{text!r} is not KEYWORD=PARAMETER")
    return name, value


# --- people ---------------------------------------------------------------------------------------------------------

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
    known = _database().read(lambda session: staff.find(session, login)) is not None
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

    return _database().transact(add)


@people.command("setup-code")
@form
def new_setup_code() -> dict[str, Any]:
    """A new one-time code for creating the first owner in the browser; the earlier one is worth nothing then."""
    now = context().clock.now()
    code = _database().transact(lambda session: setup.new_code(session, now))
    return {"code": code, "url": f"{context().settings.server.public_url}/console/setup"}


def _password(file: IO[str] | None) -> str:
    if file is not None:
        return file.read().rstrip("\r\n")
    first = getpass.getpass("Password: ", sys.stderr)
    if getpass.getpass("The same again: ", sys.stderr) != first:
        raise Failed("the passwords differ")
    return first


member = AppGroup("member", help="Members (会员).")


@member.command("show")
@account_option
@click.argument("openid")
@form
def show_member(slug: str, openid: str) -> dict[str, Any]:
    """A member: referrer, counts per level, balances in fen."""
    return (
        _database()
        .read(lambda session: answers.member(session, accounts.get(session, slug).id, openid))
        .model_dump(mode="json")
    )


# --- proofs ---------------------------------------------------------------------------------------------------------

ledger = AppGroup("ledger", help="The books (账本).")
tree = AppGroup("members", help="The tree of members.")


def show_progress(what: str, done: int) -> None:
    """How far a long command is, for whoever watches it on a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done} ", err=True, nl=False)


@ledger.command("check")
@form
def check_ledger() -> dict[str, Any]:
    """Prove the books: {"ok": true, …}, or the differences and exit code 1."""
    with _database().snapshot() as session:
        return proof.ledger_check(session, show_progress).as_value()


@tree.command("check")
@click.option("--repair", is_flag=True, help="Rebuild levels and figures where they differ.")
@form
def check_members(repair: bool) -> dict[str, Any]:
    """Prove that levels and figures agree with who brought whom.

    --repair may run beside the doors; it names what it changed, and ends with 0 when the tree is right after it.
    """
    changed: dict[str, Any] = {}
    if repair:
        mended = repair_members(_database(), context().clock.now(), show_progress).as_value()
        changed = {"repaired": {name: mended[name] for name in mended if name != "ok"}}
    with _database().snapshot() as session:
        return {**proof.members_check(session, progress=show_progress).as_value(), **changed}


# --- the outbox and settlement --------------------------------------------------------------------------------------

out = AppGroup("outbox", help="Messages that must leave (发件箱).")
STATES: Final = ("pending", "claimed", "done", "dead", "unsure")


@out.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    default=("dead", "unsure"),
    show_default=True,
)
@click.option("--account", "slug", metavar="SLUG")
@click.option("--topic", type=click.Choice(outbox.TOPICS))
@click.option("--after", default=0, help="Rows after this id.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@form
def list_outbox(
    states: Sequence[str], slug: str | None, topic: str | None, after: int, limit: int
) -> dict[str, Any]:
    """Rows in these states, by id, without their content."""

    def read(session: Session) -> list[models.Outbox]:
        account_id = None if slug is None else accounts.get(session, slug).id
        return outbox.list_rows(
            session, states=states, account_id=account_id, topic=topic, after_id=after, limit=limit
        )

    names = ("id", "account_id", "member_id", "topic", "dedupe_key", "state", "attempts", "next_at",
             "last_error", "channel", "delivery", "carried_by", "created_at")  # fmt: skip
    rows = _database().read(read)
    return {"rows": [{name: getattr(row, name) for name in names} for row in rows]}


@out.command("retry")
@click.argument("ids", nargs=-1, required=True, type=int)
@form
def retry_outbox(ids: Sequence[int]) -> dict[str, Any]:
    """Give dead or unsure rows another life."""
    now = context().clock.now()

    def retry(session: Session) -> dict[str, Any]:
        count = outbox.retry(session, ids, now)
        audit.record(
            session,
            None,
            actor=ACTOR,
            action="outbox_retried",
            subject="outbox",
            after=list(ids),
            now=now,
        )
        return {"retried": count}

    return _database().transact(retry)


@click.command("settle")
@with_appcontext
@form
def settle() -> dict[str, Any]:
    """Settle every commission that is due, now and here, without waiting for the clock."""
    opened = _database().read(
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
    return _database().transact(lambda session: commissions.settle_due(session, one, now))


# --- the server -----------------------------------------------------------------------------------------------------


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


COMMANDS: Final = (
    db, account, apikey, rule, template, people, member, tree, ledger, out, settle, serve
)  # fmt: skip
"""What app.py adds to `flask`."""
