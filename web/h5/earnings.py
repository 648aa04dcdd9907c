"""我的收益: every commission with its 为什么, and the statement of every posting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from flask import Response, abort, render_template, request
from sqlalchemy.orm import Session

from domain import explain, members, statements
from domain.explain import Entry, Explanation
from domain.members import Summary
from domain.reports import masked
from domain.statements import Line
from web.current import context
from web.h5.arriving import Page, blueprint, here, limit, read
from web.h5.guards import me, members_only

PAGE: Final = 20
STATES: Final = ("frozen", "settled", "voided", "clawed_back")
FILES_PER_MINUTE: Final = 5


def before() -> int | None:
    """The keyset of the page that is asked for; 404 for what is no number."""
    text = request.args.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        abort(404)
    return int(text)


def shown_name(name: str) -> str:
    """Somebody of the team as the account lets others see them."""
    return masked(name) if here().account.settings.mask_names else name


@blueprint.get("/earnings")
@members_only
def earnings() -> Page:
    """明细: commissions newest first, of one state or all."""
    state, first, member = request.args.get("state") or None, before(), me()
    if state is not None and state not in STATES:
        abort(404)
    account = here().account

    def look(session: Session) -> tuple[Summary | None, list[Entry]]:
        rows = explain.entries(session, member.id, status=state, before_id=first, limit=PAGE + 1)
        return members.summary(session, account.id, member.openid), rows

    summary, rows = read(look)
    if summary is None:
        raise LookupError("a member without figures")
    more = rows[PAGE - 1].commission_id if len(rows) > PAGE else None
    return render_template(
        "h5/earnings.html", me=summary, total=summary.down_to(account.depth), rows=rows[:PAGE], more=more, state=state,
        states=STATES, state_text=explain.state_text, shown_name=shown_name,
    )  # fmt: skip


@blueprint.get("/earnings/<int:commission>")
@members_only
def why(commission: int) -> Page:
    """为什么: how one commission came to its amount."""
    member = me()

    def look(session: Session) -> Explanation:
        return explain.get(session, member.id, commission)

    facts = read(look)
    lines = explain.text_of(here().words, _seen(facts)).split("\n")
    return render_template("h5/why.html", facts=facts, lines=lines)


def _seen(facts: Explanation) -> Explanation:
    """The explanation with the friend's name as this account shows it."""
    return replace(facts, friend=shown_name(facts.friend) if facts.friend else "")


@blueprint.get("/statement")
@members_only
def statement() -> Page:
    """收支明细: every posting with the balance after it, newest first."""
    member, first = me(), before()

    def look(session: Session) -> list[Line]:
        return statements.page(session, member.id, before_id=first, limit=PAGE + 1)

    lines = read(look)
    more = lines[PAGE - 1].id if len(lines) > PAGE else None
    return render_template(
        "h5/statement.html", lines=lines[:PAGE], more=more, reasons=statements.REASONS
    )


@blueprint.get("/statement.csv")
@members_only
def statement_file() -> Page:
    """The whole statement as a file that Excel opens."""
    limit("file", FILES_PER_MINUTE)
    member, database = me(), context().database

    def pieces() -> Iterator[bytes]:
        with database.snapshot() as session:
            yield from statements.as_csv(session, member.id)

    name = f"statement-{member.code}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(pieces(), mimetype="text/csv", headers=headers)
