"""`flask quota …`: what an account may still ask of WeChat, and what to say when a person cleared the count."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import audit
from domain.accounts import OpenAccount
from domain.errors import Conflict, Invalid
from web.cli import ACTOR, account_of, account_option, form
from web.current import context
from wechat.clearing import clear_path
from wechat.errors import WeChatError
from wechat.quota import LIMITS

quota = AppGroup("quota", help="Calls of WeChat's API: what is left of each.")
COMMANDS = [quota]
_path = click.argument("path", metavar="PATH")


def _account(slug: str) -> OpenAccount:
    return context().database.read(lambda session: account_of(session, slug))


@quota.command("show")
@account_option
@click.option("--all", "everything", is_flag=True, help="Also those that were not used today.")
@form
def show(slug: str, everything: bool) -> dict[str, Any]:
    """Used and left of each API today and in this minute, until when it is held, the token's life, the last failures.

    `paced` says that there is a limit a minute, `learned` that the day's figure is WeChat's own and not that of a new
    account. Without Redis nothing is counted, and `apis` is empty."""
    client = context().platform(_account(slug))
    return {
        "account": slug,
        "token_seconds": client.tokens.seconds_left(),
        "apis": [
            {**asdict(one), "paced": one.minute_limit is not None}
            for one in client.quota.left()
            if everything or one.day_used or one.minute_used or one.refused_until
        ],
        "failures": [asdict(one) for one in client.troubles.latest()],
    }


@quota.command("clear")
@account_option
@_path
@form
def clear(slug: str, path: str) -> dict[str, Any]:
    """Let WeChat clear today's count of an API (50 times a month), and begin ours again."""
    account = _account(slug)
    try:
        clear_path(context().platform(account), _known(path))
    except WeChatError as error:
        raise Conflict(f"WeChat refused: {error}", errcode=error.errcode) from error
    _note(account, "quota_cleared", path)
    return {"account": slug, "path": path, "cleared": True}


@quota.command("forget")
@account_option
@_path
@form
def forget(slug: str, path: str) -> dict[str, Any]:
    """Begin our count of an API again, after somebody cleared or raised the quota on WeChat's own pages."""
    account = _account(slug)
    context().platform(account).quota.forget(_known(path))
    _note(account, "quota_forgotten", path)
    return {"account": slug, "path": path, "forgotten": True}


def _known(path: str) -> str:
    if path not in LIMITS:
        raise Invalid("no such API", path=path, known=sorted(LIMITS))
    return path


def _note(account: OpenAccount, action: str, path: str) -> None:
    def write(session: Session) -> None:
        audit.record(
            session, account.id, actor=ACTOR, action=action, subject=f"quota{path}",
            now=context().clock.now(),
        )  # fmt: skip

    context().database.transact(write)
