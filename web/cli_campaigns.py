"""`flask campaign …`: broadcasts (群发) without the console. One JSON object, and only success ends with 0.

What `create` reads: {"name", "channel": mass | custom | subscription | publish, "content": {"kind": text | image |
article | notice, …}, "audience": {…}, "scheduled_at"?: ISO}. Pictures are files beside the JSON file, by their names.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, campaigns
from domain.accounts import OpenAccount
from domain.campaigns import content as contents
from domain.campaigns.audience import Counted
from domain.errors import Invalid
from domain.models import Campaign
from web.cli import ACTOR, account_of, account_option, form
from web.current import context
from wechat import tags

campaign: Final = AppGroup("campaign", help="Broadcasts (群发) and what became of them.")
id_argument = click.argument("campaign_id", type=int)


def _account_id(session: Session, slug: str) -> int:
    return accounts.get(session, slug).id


def _shown(row: Campaign) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "channel": row.channel, "state": row.state,
        "audience": json.loads(row.audience), "recipients": row.recipients, "planned": row.planned_at is not None,
        "scheduled_at": row.scheduled_at, "started_at": row.started_at, "finished_at": row.finished_at,
        "note": row.last_error,
    }  # fmt: skip


@campaign.command("list")
@account_option
@click.option("--before", type=int, help="Older than this id.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@form
def list_campaigns(slug: str, before: int | None, limit: int) -> dict[str, Any]:
    """Campaigns, newest first."""
    rows = context().database.read(
        lambda session: campaigns.list_campaigns(
            session, _account_id(session, slug), before_id=before, limit=limit
        )
    )
    return {"campaigns": [_shown(row) for row in rows]}


@campaign.command("show")
@account_option
@id_argument
@form
def show_campaign(slug: str, campaign_id: int) -> dict[str, Any]:
    """A campaign, what became of everybody, and what it sold."""

    def look(session: Session) -> dict[str, Any]:
        row = campaigns.get(session, _account_id(session, slug), campaign_id)
        return {
            **_shown(row), "content": json.loads(row.content),
            "results": asdict(campaigns.results(session, row.id)),
        }  # fmt: skip

    return context().database.read(look)


@campaign.command("recipients")
@account_option
@id_argument
@click.option("--after", default=0, show_default=True, help="Behind this member id.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@form
def list_recipients(slug: str, campaign_id: int, after: int, limit: int) -> dict[str, Any]:
    """What became of each recipient."""

    def look(session: Session) -> list[campaigns.RecipientResult]:
        row = campaigns.get(session, _account_id(session, slug), campaign_id)
        return campaigns.recipients(session, row, after_id=after, limit=limit)

    return {"recipients": [asdict(one) for one in context().database.read(look)]}


@campaign.command("create")
@account_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@form
def create_campaign(slug: str, file: Path) -> dict[str, Any]:
    """A draft from a JSON file."""
    values = _read(file)
    names = _pictures(values["content"])
    files = {name: _picture(file.parent, name) for name in names}
    now = context().clock.now()

    def create(session: Session) -> Campaign:
        return campaigns.create(
            session, account_of(session, slug), name=values["name"], channel=values["channel"],
            content=values["content"], audience=values.get("audience", {}), files=files,
            scheduled_at=_instant(values.get("scheduled_at")), actor=ACTOR, now=now,
        )  # fmt: skip

    return _shown(context().database.transact(create))


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise Invalid(f"not JSON: {error}", file=str(file)) from error
    shapes = {"name": str, "channel": str, "content": dict}
    if not isinstance(values, dict) or any(
        not isinstance(values.get(name), kind) for name, kind in shapes.items()
    ):
        raise Invalid("a campaign has name, channel and content", file=str(file))
    if not isinstance(values.get("audience", {}), dict):
        raise Invalid("an audience is an object of filters", file=str(file))
    return values


def _instant(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Invalid("scheduled_at is an instant such as 2026-11-22T10:00:00+08:00") from None
    if instant.tzinfo is None:
        raise Invalid("scheduled_at needs its zone")
    return instant.astimezone(UTC)


def _pictures(values: dict[str, Any]) -> list[str]:
    """The names of the pictures that the content needs."""
    read = contents.parse(values)
    names = [read.image] if read.image else []
    for one in read.articles:
        names += [one.cover, *contents.pictures_of(one)]
    return list(dict.fromkeys(name for name in names if name))


def _picture(folder: Path, name: str) -> bytes:
    if Path(name).name != name:
        raise Invalid("pictures stand beside the JSON file, by their names", name=name)
    path = folder / name
    if not path.is_file():
        raise Invalid("no such picture beside the JSON file", name=name)
    return path.read_bytes()


@campaign.command("count")
@account_option
@id_argument
@form
def count_campaign(slug: str, campaign_id: int) -> dict[str, Any]:
    """How many people it would be sent to now, and what is left of the quotas."""

    def read(session: Session) -> tuple[OpenAccount, Campaign]:
        account = account_of(session, slug)
        return account, campaigns.get(session, account.id, campaign_id)

    account, row = context().database.read(read)
    counted = _count(account, row)
    paths = {"/cgi-bin/message/mass/send", "/cgi-bin/message/mass/sendall"}
    left = {
        each.path: each.day_left
        for each in context().platform(account).quota.left()
        if each.path in paths
    }
    return {**asdict(counted), "calls_left_today": left}


def _count(account: OpenAccount, row: Campaign) -> Counted:
    audience = campaigns.audience_of(row)
    template_id = campaigns.content_of(row).template_id
    now = context().clock.now()

    def page(openids: tuple[str, ...] | None) -> Counted:
        return context().database.read(
            lambda session: campaigns.count(
                session, account.id, row.channel, audience, now, template_id=template_id, openids=openids
            )
        )  # fmt: skip

    if audience.tag is None:
        return page(None)
    total, cursor = Counted(0, 0, 0), ""
    while True:
        found = tags.people_of_tag(context().platform(account), audience.tag, cursor)
        if found.openids:
            total += page(found.openids)
        if not found.openids or not found.next_openid:
            return total
        cursor = found.next_openid


@campaign.command("test")
@account_option
@id_argument
@click.option("--to", "openid", required=True, metavar="OPENID", help="Your own openid.")
@form
def test_campaign(slug: str, campaign_id: int, openid: str) -> dict[str, Any]:
    """Send it to one phone, through a worker; `flask outbox list` shows what became of it."""
    now = context().clock.now()
    key = context().database.transact(
        lambda session: campaigns.request_test(
            session, _account_id(session, slug), campaign_id, openid, now
        )
    )
    return {"ok": True, "outbox_key": key}


def _verb(name: str, change: Any, words: str) -> None:
    """start, pause, resume, cancel: all of one form."""

    @campaign.command(name, help=words)
    @account_option
    @id_argument
    @form
    def run(slug: str, campaign_id: int) -> dict[str, Any]:
        now = context().clock.now()
        row = context().database.transact(
            lambda session: change(
                session, _account_id(session, slug), campaign_id, actor=ACTOR, now=now
            )
        )
        return _shown(row)


_verb("start", campaigns.start, "Send it now, or at its hour.")
_verb("pause", campaigns.pause, "Begin no further call; what is on its way arrives.")
_verb("resume", campaigns.resume, "Go on with those who have not been sent it.")
_verb("cancel", campaigns.cancel, "Send nothing more, for good.")

COMMANDS: Final = (campaign,)
