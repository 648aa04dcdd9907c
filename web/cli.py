"""What every `flask …` command shares: it prints one JSON object on standard output, words for people go to standard
error, and only success ends with 0. The commands are in `cli_<topic>.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, ParamSpec

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import (
    accounts,
)
from domain.accounts import OpenAccount
from domain.errors import DomainError
from domain.secrets import Unreadable
from web.current import context
from wechat.errors import WeChatError
from wechat.explained import explained

ACTOR: Final = "flask"
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


def pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise click.UsageError(f"{text!r} is not KEYWORD=PARAMETER")
    return name, value


def show_progress(what: str, done: int) -> None:
    """How far a long command is, for whoever watches it on a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done} ", err=True, nl=False)
