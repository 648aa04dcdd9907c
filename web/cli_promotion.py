"""`flask grade …`, `promoter …`, `hold …`, `risk …`: who earns, by what, and what waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, grades, holds, members, models, promoters, risk
from web.cli import ACTOR, account_of, account_option, form
from web.current import context

REVIEW_DAYS: Final = 30


def _now() -> datetime:
    return context().clock.now()


def _member(session: Session, slug: str, openid: str) -> models.Member:
    return members.get(session, accounts.get(session, slug).id, openid)


# --- grades ---------------------------------------------------------------------------------------------------------

grade = AppGroup("grade", help="Grades (等级) of promoters.")


@grade.command("put")
@account_option
@click.argument("code")
@click.option("--name", required=True)
@click.option("--rank", required=True, type=click.IntRange(1))
@click.option("--match", type=click.Choice(["all", "any"]), default="all", show_default=True)
@click.option(
    "--need",
    "needs",
    multiple=True,
    metavar="FIGURE=NUMBER",
    help=f"One of {', '.join(grades.MEASURES)}.",
)
@click.option(
    "--downgrade", type=click.Choice([grades.NEVER, grades.MONTHLY]), default=grades.NEVER
)
@form
def put_grade(
    slug: str, code: str, name: str, rank: int, match: str, needs: Sequence[str], downgrade: str
) -> dict[str, Any]:
    """Create or replace a grade; without --need it is given by hand only."""
    figures = dict(_need(text) for text in needs)
    conditions = {"match": match, **figures} if figures else None
    now = _now()
    return context().database.transact(
        lambda session: grades.as_value(
            grades.put(
                session, accounts.get(session, slug).id, code, name=name, rank=rank, conditions=conditions,
                downgrade=downgrade, actor=ACTOR, now=now,
            )
        )
    )  # fmt: skip


def _need(text: str) -> tuple[str, int]:
    name, separator, number = text.partition("=")
    if not separator or not number.isdecimal():
        raise click.UsageError(f"{text!r} is not FIGURE=NUMBER, such as invited_buyers=10")
    return name, int(number)


@grade.command("list")
@account_option
@form
def list_grades(slug: str) -> dict[str, Any]:
    """The account's grades, lowest rank first."""
    rows = context().database.read(
        lambda session: grades.all_of(session, accounts.get(session, slug).id)
    )
    return {"grades": [grades.as_value(row) for row in rows]}


@grade.command("assign")
@account_option
@click.argument("openid")
@click.argument("code")
@click.option("--pin/--no-pin", default=True, help="Whether the task must leave it alone.")
@click.option("--reason", required=True)
@form
def assign_grade(slug: str, openid: str, code: str, pin: bool, reason: str) -> dict[str, Any]:
    """Give a member a grade by hand; - is none."""
    now, wanted = _now(), "" if code == "-" else code

    def assign(session: Session) -> dict[str, Any]:
        one = _member(session, slug, openid)
        row = grades.assign(
            session, one.account_id, one.id, wanted, pinned=pin, actor=ACTOR, reason=reason, now=now
        )
        return {"openid": openid, "grade": row.grade, "pinned": row.grade_pinned}

    return context().database.transact(assign)


@grade.command("history")
@account_option
@click.argument("openid")
@form
def grade_history(slug: str, openid: str) -> dict[str, Any]:
    """Every change of a member's grade."""
    rows = context().database.read(
        lambda session: grades.history_of(session, _member(session, slug, openid).id)
    )
    return {
        "openid": openid,
        "history": [
            {"from": row.from_grade, "to": row.to_grade, "reason": row.reason, "actor": row.actor, "at": row.at,
             "figures": None if row.figures is None else json.loads(row.figures)}
            for row in rows
        ],
    }  # fmt: skip


@grade.command("sweep")
@account_option
@form
def sweep_grades(slug: str) -> dict[str, Any]:
    """Look at every member now, without waiting for the clock."""
    seen = moved = 0
    while True:
        now = _now()
        step = context().database.transact(
            lambda session, now=now: grades.sweep(  # type: ignore[misc]
                session, accounts.get(session, slug).id, now, pause=timedelta(0)
            )
        )
        seen, moved = seen + step.members, moved + step.moved
        if step.finished:
            return {"members": seen, "moved": moved}


# --- promoters ------------------------------------------------------------------------------------------------------

promoter = AppGroup("promoter", help="Promoters (推广员): applications, suspensions.")


@promoter.command("waiting")
@account_option
@form
def waiting(slug: str) -> dict[str, Any]:
    """Applications that nobody has decided."""

    def read(session: Session) -> dict[str, Any]:
        rows = promoters.waiting(session, accounts.get(session, slug).id)
        people = members.by_ids(session, {row.member_id for row in rows})
        return {
            "applications": [
                {"openid": people[row.member_id].openid, "message": row.message, "applied_at": row.applied_at}
                for row in rows
            ]
        }  # fmt: skip

    return context().database.read(read)


reason_option = click.option("--reason", required=True, help="The member is told it.")


def _decided(
    slug: str, openid: str, decide: Callable[..., models.Member], **more: str
) -> dict[str, Any]:
    """The member after a decision about them."""
    now = _now()

    def work(session: Session) -> dict[str, Any]:
        one = _member(session, slug, openid)
        row = decide(session, one.account_id, one.id, actor=ACTOR, now=now, **more)
        return {"openid": row.openid, "status": row.status, "promoter": row.promoter}

    return context().database.transact(work)


@promoter.command("approve")
@account_option
@click.argument("openid")
@form
def approve(slug: str, openid: str) -> dict[str, Any]:
    """Make a member a promoter."""
    return _decided(slug, openid, promoters.approve)


@promoter.command("reject")
@account_option
@click.argument("openid")
@reason_option
@form
def reject(slug: str, openid: str, reason: str) -> dict[str, Any]:
    """Say no to a member's application."""
    return _decided(slug, openid, promoters.reject, reason=reason)


@promoter.command("suspend")
@account_option
@click.argument("openid")
@reason_option
@form
def suspend(slug: str, openid: str, reason: str) -> dict[str, Any]:
    """Stop a member from earning and binding; what they have stays theirs."""
    return _decided(slug, openid, promoters.suspend, reason=reason)


@promoter.command("reinstate")
@account_option
@click.argument("openid")
@form
def reinstate(slug: str, openid: str) -> dict[str, Any]:
    """Let a suspended member earn again."""
    return _decided(slug, openid, promoters.reinstate)


# --- holds ----------------------------------------------------------------------------------------------------------

hold = AppGroup("hold", help="Commissions that wait for a person.")


@hold.command("list")
@account_option
@click.option("--after", default=0, help="The last id of the page before.")
@form
def list_holds(slug: str, after: int) -> dict[str, Any]:
    """Open holds, oldest first, fifty a page."""
    rows = context().database.read(
        lambda session: holds.open_of(session, accounts.get(session, slug).id, after_id=after)
    )
    return {"holds": [_hold(row) for row in rows]}


def _hold(row: models.Hold) -> dict[str, Any]:
    return {
        "id": row.id, "commission": row.commission_id, "member": row.member_id, "signal": row.signal_id,
        "reason": row.reason, "actor": row.actor, "at": row.at, "expires_at": row.expires_at, "outcome": row.outcome,
    }  # fmt: skip


@hold.command("add")
@account_option
@click.argument("commission", type=int)
@reason_option
@click.option("--days", default=REVIEW_DAYS, show_default=True, help="Then it lapses; 0 is never.")
@form
def add_hold(slug: str, commission: int, reason: str, days: int) -> dict[str, Any]:
    """Keep a frozen commission from settling."""
    now = _now()
    return context().database.transact(
        lambda session: _hold(
            holds.hold(
                session, accounts.get(session, slug).id, commission, reason=reason, actor=ACTOR,
                expires_at=now + timedelta(days=days) if days else None, now=now,
            )
        )
    )  # fmt: skip


@hold.command("release")
@account_option
@click.argument("ids", nargs=-1, required=True, type=int)
@click.option("--note", default="")
@form
def release_holds(slug: str, ids: Sequence[int], note: str) -> dict[str, Any]:
    """Let held commissions go their way."""
    now = _now()
    number = context().database.transact(
        lambda session: holds.release(
            session, accounts.get(session, slug).id, ids, actor=ACTOR, note=note, now=now
        )
    )
    return {"released": number}


@hold.command("refuse")
@account_option
@click.argument("ids", nargs=-1, required=True, type=int)
@reason_option
@form
def refuse_holds(slug: str, ids: Sequence[int], reason: str) -> dict[str, Any]:
    """Held commissions are not earned: they become void."""
    now = _now()
    number = context().database.transact(
        lambda session: holds.refuse(
            session, accounts.get(session, slug).id, ids, actor=ACTOR, reason=reason, now=now
        )
    )
    return {"refused": number}


# --- risk -----------------------------------------------------------------------------------------------------------

watch = AppGroup("risk", help="Risk signals (风控).")


@watch.command("list")
@account_option
@click.option(
    "--status",
    type=click.Choice([risk.OPEN, risk.RELEASED, risk.CONFIRMED, risk.LAPSED, "all"]),
    default=risk.OPEN,
)
@click.option("--after", default=0, help="The last id of the page before.")
@form
def list_signals(slug: str, status: str, after: int) -> dict[str, Any]:
    """Signals that wait for a person, oldest first, fifty a page."""
    wanted = None if status == "all" else status
    rows = context().database.read(
        lambda session: risk.queue(session, accounts.get(session, slug).id, wanted, after_id=after)
    )
    return {"signals": [_signal(row) for row in rows]}


def _signal(row: models.RiskSignal) -> dict[str, Any]:
    return {
        "id": row.id, "kind": row.kind, "member": row.member_id, "evidence": json.loads(row.evidence),
        "holds": row.holds, "status": row.status, "raised_at": row.raised_at, "expires_at": row.expires_at,
        "reviewer": row.reviewer, "note": row.note,
    }  # fmt: skip


@watch.command("scan")
@account_option
@form
def scan(slug: str) -> dict[str, Any]:
    """Ask the questions now, without waiting for the clock."""
    now = _now()
    database = context().database
    account = database.read(lambda session: account_of(session, slug))
    found = database.read(lambda session: risk.find(session, account, now))
    raised = database.transact(lambda session: risk.raise_signals(session, account, found, now))
    held = 0
    while number := database.transact(lambda session: risk.hold_for_open(session, account, now)):
        held += number
    return {"found": len(found), "raised": raised, "held": held}


@watch.command("release")
@account_option
@click.argument("signal", type=int)
@click.option("--note", default="")
@form
def release_signal(slug: str, signal: int, note: str) -> dict[str, Any]:
    """It was harmless: its commissions go their way."""
    now = _now()
    return context().database.transact(
        lambda session: _signal(
            risk.release(
                session, account_of(session, slug), signal, actor=ACTOR, note=note, now=now
            )
        )
    )


@watch.command("confirm")
@account_option
@click.argument("signal", type=int)
@reason_option
@form
def confirm_signal(slug: str, signal: int, reason: str) -> dict[str, Any]:
    """It was true: the commissions it holds become void."""
    now = _now()
    return context().database.transact(
        lambda session: _signal(
            risk.confirm(
                session, account_of(session, slug), signal, actor=ACTOR, reason=reason, now=now
            )
        )
    )


COMMANDS: Final = (grade, promoter, hold, watch)
