"""`flask code …` and `flask poster …`: channel and product codes, the permanent pool, poster templates.

As in cli.py: one JSON object on standard output, and only success ends with 0.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import (
    accounts,
    code_stats,
    codes,
    designs,
    drawing,
    members,
    poster_templates,
    scenes,
    tags,
)
from domain.china import day_of
from domain.codes import Card
from domain.errors import Invalid
from domain.models import CodeDay
from web.cli import ACTOR, account_of, account_option, form
from web.current import context

code = AppGroup("code", help="Channel codes (渠道码), product codes, and the permanent pool.")


def _shown(card: Card) -> dict[str, Any]:
    row, ticket = card.code, card.ticket
    return {
        "code": card.scene.code, "kind": card.scene.kind, "name": row.name, "sku": card.scene.sku,
        "reply": row.reply, "media": row.media, "media_id": row.media_id, "tag": row.tag, "created_at": row.created_at,
        "archived_at": row.archived_at, "people": row.people, "following": row.following,
        "counted_at": row.counted_at, "url": None if ticket is None else ticket.url,
        "ticket": None if ticket is None else ticket.ticket,
        "expires_at": None if ticket is None else ticket.expires_at,
    }  # fmt: skip


def _reply_options(command: Any) -> Any:
    for option in (
        click.option("--tag", help="The WeChat tag for those who follow by it."),
        click.option(
            "--media-id",
            help="A permanent picture of WeChat's library as the answer: its id there.",
        ),
        click.option("--media", type=int, help="A picture of `flask media add` as the answer."),
        click.option("--reply", help="A text as the answer."),
    ):
        command = option(command)
    return command


@code.command("add")
@account_option
@click.option("--name", required=True, help="The channel, or the place of a product's code.")
@click.option("--sku", help="A product: whoever scans sees it.")
@_reply_options
@form
def add_code(slug: str, name: str, sku: str | None, **said: Any) -> dict[str, Any]:
    """A new code. WeChat's ticket for it comes within seconds; `code show` tells it."""
    now = context().clock.now()

    def add(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        card = codes.add(session, account_id, name=name, sku=sku, now=now, **said)
        tags.follow_code(session, account_id, card.scene.code, card.code.tag)
        return _shown(card)

    return context().database.transact(add)


@code.command("set")
@account_option
@click.argument("scene")
@_reply_options
@form
def set_code(slug: str, scene: str, **said: Any) -> dict[str, Any]:
    """Replace the answer and the tag of a code; what is not given is taken away."""

    def write(session: Any) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        codes.change(session, account_id, scene, **said)
        tags.follow_code(session, account_id, scene, said["tag"])
        return _shown(codes.get(session, account_id, scene))

    return context().database.transact(write)


@code.command("archive")
@account_option
@click.argument("scene")
@form
def archive_code(slug: str, scene: str) -> dict[str, Any]:
    """Renew a code no more; its figures stay."""
    now = context().clock.now()
    context().database.transact(
        lambda session: codes.archive(session, accounts.get(session, slug).id, scene, now)
    )
    return {"archived": scene}


@code.command("list")
@account_option
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 366))
@click.option("--after", default=0, type=click.IntRange(0), help="`next` of the page before.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@click.option("--archived", is_flag=True, help="Archived ones too.")
@form
def list_codes(slug: str, days: int, after: int, limit: int, archived: bool) -> dict[str, Any]:
    """Codes with what they brought in the last days."""
    until = day_of(context().clock.now())
    since = until - timedelta(days=days - 1)
    with context().database.reading() as session:
        account_id = accounts.get(session, slug).id
        cards = codes.page(session, account_id, after_scene=after, limit=limit, archived=archived)
        ids = [card.scene.id for card in cards]
        sums = code_stats.sums(session, account_id, code_stats.CODE, ids, since, until)
        given = codes.granted(session, account_id)
    shown = [{**_shown(card), **asdict(sums[card.scene.id])} for card in cards]
    next_after = ids[-1] if len(ids) == limit else None
    return {"codes": shown, "days": days, "permanent_given": given, "next": next_after}


@code.command("show")
@account_option
@click.argument("scene")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 366))
@form
def show_code(slug: str, scene: str, days: int) -> dict[str, Any]:
    """One code and its figures, day by day."""
    until = day_of(context().clock.now())
    since = until - timedelta(days=days - 1)
    with context().database.reading() as session:
        account_id = accounts.get(session, slug).id
        card = codes.get(session, account_id, scene)
        rows = code_stats.days_of(session, account_id, code_stats.CODE, card.scene.id, since, until)
    return {**_shown(card), "days": [_day(row) for row in rows]}


def _day(row: CodeDay) -> dict[str, Any]:
    figures = {name: getattr(row, name) for name in asdict(code_stats.Figures())}
    return {"day": row.day.isoformat(), **figures}


@code.command("permanent")
@account_option
@click.argument("scene", required=False)
@click.option("--member", "openid", help="A promoter, instead of a code.")
@form
def give_permanent(slug: str, scene: str | None, openid: str | None) -> dict[str, Any]:
    """Give a code, or a chosen promoter, one of the account's permanent codes. It cannot be taken back."""
    if (scene is None) == (openid is None):
        raise Invalid("name a code, or a promoter with --member")
    now = context().clock.now()

    def give(session: Any) -> dict[str, Any]:
        account = account_of(session, slug)
        wanted = scene
        if openid is not None:
            member = members.get(session, account.id, openid)
            wanted = scenes.of_member(session, account.id, member.id, now).code
        granted = codes.grant_permanent(
            session, account.id, account.settings, wanted or "", actor=ACTOR, now=now
        )
        return {"code": wanted, **asdict(granted)}

    return context().database.transact(give)


# --- poster templates -----------------------------------------------------------------------------------------------

poster = AppGroup("poster", help="Posters (推广海报).")
template = AppGroup(
    "template", help="Poster templates (海报模板); several active ones are an A/B test."
)
poster.add_command(template)


def _read_design(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Invalid(f"{file} is not JSON: {error}") from error


_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@template.command("picture")
@account_option
@click.argument("file", type=_file)
@form
def add_picture(slug: str, file: Path) -> dict[str, Any]:
    """Upload a background; a template names it by this number."""
    upload = drawing.clean_upload(file.read_bytes())
    now = context().clock.now()
    row = context().database.transact(
        lambda session: poster_templates.put_picture(
            session, accounts.get(session, slug).id, upload, now
        )
    )
    return {"picture": row.id, "width": row.width, "height": row.height, "bytes": len(upload.jpeg)}


@template.command("add")
@account_option
@click.argument("file", type=_file)
@click.option("--name", required=True)
@click.option("--purpose", type=click.Choice(designs.PURPOSES), default=designs.INVITE)
@form
def add_template(slug: str, file: Path, name: str, purpose: str) -> dict[str, Any]:
    """A new active template from a JSON file (docs/codes.md has the form)."""
    design, now = _read_design(file), context().clock.now()
    row = context().database.transact(
        lambda session: poster_templates.add(
            session, accounts.get(session, slug).id, name=name, purpose=purpose, design=design, now=now
        )
    )  # fmt: skip
    return {"template": row.id, "name": row.name, "purpose": row.purpose}


@template.command("list")
@account_option
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 366))
@form
def list_templates(slug: str, days: int) -> dict[str, Any]:
    """Templates, and what the posters of each brought in the last days; 0 is the built-in one."""
    until = day_of(context().clock.now())
    since = until - timedelta(days=days - 1)
    with context().database.reading() as session:
        account_id = accounts.get(session, slug).id
        rows = poster_templates.all_of(session, account_id)
        ids = [poster_templates.BUILT_IN, *(row.id for row in rows)]
        sums = code_stats.sums(session, account_id, code_stats.TEMPLATE, ids, since, until)
    shown = [
        {
            "template": row.id, "name": row.name, "purpose": row.purpose, "created_at": row.created_at,
            "retired_at": row.retired_at, "weight": row.weight, **asdict(sums[row.id]),
        }
        for row in rows
    ]  # fmt: skip
    return {"templates": shown, "built_in": asdict(sums[poster_templates.BUILT_IN]), "days": days}


@template.command("weight")
@account_option
@click.argument("template_id", type=int)
@click.argument("weight", type=int)
@form
def weigh_template(slug: str, template_id: int, weight: int) -> dict[str, Any]:
    """Show a template to more members or to fewer: weights of 3 and 1 are three of four and one of four."""
    row = context().database.transact(
        lambda session: poster_templates.weigh(
            session, accounts.get(session, slug).id, template_id, weight
        )
    )
    return {"template": row.id, "weight": row.weight}


@template.command("retire")
@account_option
@click.argument("template_id", type=int)
@form
def retire_template(slug: str, template_id: int) -> dict[str, Any]:
    """Show a template to nobody any more; its figures stay."""
    now = context().clock.now()
    context().database.transact(
        lambda session: poster_templates.retire(
            session, accounts.get(session, slug).id, template_id, now
        )
    )
    return {"retired": template_id}


@template.command("preview")
@click.option("--account", "slug", metavar="SLUG", help="The account whose background it names.")
@click.option("--file", "file", type=_file, help="A template; the built-in one without it.")
@click.option("--purpose", type=click.Choice(designs.PURPOSES), default=designs.INVITE)
@click.option("--name", help="The nickname to show.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
@form
def preview_template(
    slug: str | None, file: Path | None, purpose: str, name: str | None, out: Path
) -> dict[str, Any]:
    """Draw a template with sample words into a JPEG file."""
    design = designs.BUILT_IN[purpose] if file is None else _read_design(file)
    background = None
    picture = designs.parse(design).picture
    if slug is not None and picture is not None:
        with context().database.reading() as session:
            account_id = accounts.get(session, slug).id
            background = poster_templates.picture_of(session, account_id, picture)
    drawn = drawing.render_preview(design, {"name": name} if name else None, background=background)
    out.write_bytes(drawn)
    return {"file": str(out), "bytes": len(drawn)}


COMMANDS = (code, poster)
