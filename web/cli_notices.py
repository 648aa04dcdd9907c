"""`flask template …` and `flask outbox …`, what is more than setting and listing: previews, tests, and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import click
from sqlalchemy.orm import Session

from domain import accounts, cards, notices, outbox
from domain.texts import LANGUAGES
from web import cli, previews
from web.cli import ACTOR, account_of, account_option, form
from web.current import context

_CHANNELS: Final = click.Choice(notices.CHANNELS)
_MAPPED: Final = click.Choice(notices.MAPPED)
_lang = click.option("--lang", type=click.Choice(list(LANGUAGES)), default=None)


@cli.template.command("preview")
@account_option
@click.argument("occasion", type=click.Choice(notices.OCCASIONS))
@click.option("--channel", type=_CHANNELS, default=notices.TEMPLATE, show_default=True)
@_lang
@form
def preview(slug: str, occasion: str, channel: str, lang: str | None) -> dict[str, Any]:
    """What a phone would show of an occasion, with sample values."""
    database = context().database
    account = database.read(lambda session: account_of(session, slug))
    template_id, contents = None, {}
    if channel in notices.MAPPED:
        chosen = database.read(lambda session: notices.templates_of(session, account.id, channel))
        one = chosen.get(occasion) or chosen.get(notices.MERGED.get(occasion, ""))
        if one is not None and one.fields is None:
            template_id = one.template_id
            contents = previews.contents_of(context().platform(account), channel)
    content = contents.get(template_id or "", "")
    shown = database.read(
        lambda session: previews.preview(session, account, occasion, channel, lang or "", content)
    )
    return asdict(shown)


@cli.template.command("test")
@account_option
@click.argument("occasion", type=click.Choice(notices.OCCASIONS))
@click.argument("openid")
@click.option("--channel", type=_CHANNELS, default=notices.TEMPLATE, show_default=True)
@_lang
@form
def test(slug: str, occasion: str, openid: str, channel: str, lang: str | None) -> dict[str, Any]:
    """Send a sample to one person, now."""
    account = context().database.read(lambda session: account_of(session, slug))
    previews.send_test(context(), account, occasion, channel, openid, lang or "")
    return {"account": slug, "occasion": occasion, "channel": channel, "sent": True}


@cli.template.command("remove")
@account_option
@click.argument("occasion", type=click.Choice(notices.OCCASIONS))
@click.option("--channel", type=_MAPPED, default=notices.TEMPLATE, show_default=True)
@form
def remove(slug: str, occasion: str, channel: str) -> dict[str, Any]:
    """Tell an occasion by this channel no more."""
    context().database.transact(
        lambda session: notices.remove_template(
            session, accounts.get(session, slug).id, occasion, channel
        )
    )
    return {"account": slug, "occasion": occasion, "channel": channel, "removed": True}


@cli.template.command("check")
@account_option
@form
def check(slug: str) -> dict[str, Any]:
    """Compare the chosen templates with those that WeChat has; exit 1 when something is wrong."""
    database = context().database
    account = database.read(lambda session: account_of(session, slug))
    client = context().platform(account)
    found = []
    for channel in notices.MAPPED:
        read = partial(notices.templates_of, account_id=account.id, channel=channel)
        chosen = database.read(read)
        contents = previews.contents_of(client, channel) if chosen else {}
        for occasion, row in sorted(chosen.items()):
            problems = cards.problems(notices.fields_of(row), contents.get(row.template_id))
            if problems:
                found.append(
                    {
                        "occasion": occasion,
                        "channel": channel,
                        "template_id": row.template_id,
                        "problems": problems,
                    }
                )
    return {"ok": not found, "account": slug, "templates": found}


@cli.out.command("reasons")
@click.option("--account", "slug", metavar="SLUG")
@form
def reasons(slug: str | None) -> dict[str, Any]:
    """Why messages were given up or are in doubt, the most frequent first."""

    def read(session: Session) -> list[outbox.Grave]:
        return outbox.graves(session, None if slug is None else accounts.get(session, slug).id)

    return {"reasons": [asdict(each) for each in context().database.read(read)]}


@cli.out.command("discard")
@click.argument("ids", nargs=-1, required=True, type=int)
@click.option("--reason", required=True, help="The audit keeps it.")
@form
def discard(ids: Sequence[int], reason: str) -> dict[str, Any]:
    """Give dead or unsure messages up for good."""
    now = context().clock.now()
    count = context().database.transact(
        lambda session: outbox.discard(session, ids, actor=ACTOR, reason=reason, now=now)
    )
    return {"discarded": count}
