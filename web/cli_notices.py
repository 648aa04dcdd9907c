"""`flask template …` and `flask outbox …`, the templates of notices, and what must leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, audit, cards, models, notices, outbox
from domain.texts import LANGUAGES
from web import previews
from web.cli import ACTOR, account_of, account_option, form, pair
from web.current import context

_CHANNELS: Final = click.Choice(notices.CHANNELS)
_MAPPED: Final = click.Choice(notices.MAPPED)
_lang = click.option("--lang", type=click.Choice(list(LANGUAGES)), default=None)


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
    type=_MAPPED,
    default=notices.TEMPLATE,
    show_default=True,
    help="Template messages or subscription notices.",
)
@form
def set_template(
    slug: str, occasion: str, template_id: str, given: Sequence[str], channel: str
) -> dict[str, Any]:
    """Choose the template of an occasion. Without --field its keywords take the usual parameters."""
    chosen = dict(pair(text) for text in given) or None

    def put(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        notices.set_template(session, row.id, occasion, template_id, chosen, channel)
        return {
            "account": slug, "occasion": occasion, "channel": channel, "template_id": template_id, "fields": chosen,
        }  # fmt: skip

    return context().database.transact(put)


@template.command("list")
@account_option
@click.option("--channel", type=_MAPPED, default=notices.TEMPLATE, show_default=True)
@form
def list_templates(slug: str, channel: str) -> dict[str, Any]:
    """The templates of an account, with what WeChat last had against each."""
    rows = context().database.read(
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


@template.command("preview")
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


@template.command("test")
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


@template.command("remove")
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


@template.command("check")
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
    rows = context().database.read(read)
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

    return context().database.transact(retry)


@out.command("reasons")
@click.option("--account", "slug", metavar="SLUG")
@form
def reasons(slug: str | None) -> dict[str, Any]:
    """Why messages were given up or are in doubt, the most frequent first."""

    def read(session: Session) -> list[outbox.Grave]:
        return outbox.graves(session, None if slug is None else accounts.get(session, slug).id)

    return {"reasons": [asdict(each) for each in context().database.read(read)]}


@out.command("discard")
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


COMMANDS: Final = (template, out)
