"""`flask member …`, `flask members …`, `flask dispute …`: who belongs to whom, proved, mended, and changed by staff."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, disputes, moves, proof
from domain.models import Dispute, Move
from domain.moves import Rebound
from domain.repair import repair_members
from web.api import answers
from web.cli import ACTOR, account_of, account_option, form, show_progress
from web.current import context

reason_option = click.option("--reason", required=True, help="Kept in the history.")


# --- members ----------------------------------------------------------------------------------------------------------

member = AppGroup("member", help="Members (会员).")


@member.command("show")
@account_option
@click.argument("openid")
@form
def show_member(slug: str, openid: str) -> dict[str, Any]:
    """A member: referrer, counts per level, balances in fen."""
    return (
        context()
        .database.read(
            lambda session: answers.member(session, accounts.get(session, slug).id, openid)
        )
        .model_dump(mode="json")
    )


tree = AppGroup("members", help="The tree of members.")


@tree.command("check")
@click.option("--repair", is_flag=True, help="Rebuild levels and figures where they differ.")
@form
def check_members(repair: bool) -> dict[str, Any]:
    """Prove that levels and figures agree with who brought whom.

    --repair may run beside the doors; it names what it changed, and ends with 0 when the tree is right after it.
    """
    changed: dict[str, Any] = {}
    if repair:
        mended = repair_members(context().database, context().clock.now(), show_progress).as_value()
        changed = {"repaired": {name: mended[name] for name in mended if name != "ok"}}
    with context().database.snapshot() as session:
        return {**proof.members_check(session, progress=show_progress).as_value(), **changed}


# --- rebinding ------------------------------------------------------------------------------------------------------


@member.command("rebind")
@account_option
@click.argument("openid")
@click.option("--to", "referrer", required=True, metavar="OPENID", help="The new referrer.")
@reason_option
@form
def rebind(slug: str, openid: str, referrer: str, reason: str) -> dict[str, Any]:
    """Give a member another referrer; the team follows. The member and both referrers are told."""
    return _rebound(slug, openid, referrer, reason)


@member.command("clear-referrer")
@account_option
@click.argument("openid")
@reason_option
@form
def clear_referrer(slug: str, openid: str, reason: str) -> dict[str, Any]:
    """Take a member's referrer away: they stand at the top from now on, with their team."""
    return _rebound(slug, openid, None, reason)


def _rebound(slug: str, openid: str, referrer: str | None, reason: str) -> dict[str, Any]:
    now = context().clock.now()

    def change(session: Session) -> Rebound:
        account = account_of(session, slug)
        return moves.rebind(session, account, openid, referrer, reason=reason, actor=ACTOR, now=now)

    done = context().database.transact(change)
    if done.move is not None:
        click.echo(
            "The team is large: the worker takes it along; `flask members moves` shows how far.",
            err=True,
        )
    return {**asdict(done), "move": None if done.move is None else _shown(done.move)}


@tree.command("moves")
@account_option
@click.option("--finish", is_flag=True, help="Do now and here what is left of them.")
@form
def list_moves(slug: str, finish: bool) -> dict[str, Any]:
    """Moves of large teams, newest first, with their progress."""
    database = context().database
    if finish:
        for one in database.read(moves.running):
            _finish(one)
    rows = database.read(lambda session: moves.of_account(session, accounts.get(session, slug).id))
    return {"moves": [_shown(row) for row in rows]}


def _finish(move: Move) -> None:
    while move.state == moves.RUNNING:
        now = context().clock.now()
        move = context().database.transact(
            lambda session, move=move, now=now: moves.step(session, move.id, now)  # type: ignore[misc]
        )
        if move.total:
            click.echo(f"\rmoved {move.moved} of about {move.total} ", err=True, nl=False)


def _shown(row: Move) -> dict[str, Any]:
    return {
        "id": row.id, "member_id": row.member_id, "from_referrer_id": row.from_referrer_id,
        "to_referrer_id": row.to_referrer_id, "reason": row.reason, "actor": row.actor, "state": row.state,
        "moved": row.moved, "total": row.total, "created_at": row.created_at, "finished_at": row.finished_at,
    }  # fmt: skip


# --- disputes -------------------------------------------------------------------------------------------------------

dispute = AppGroup("dispute", help="Objections to bindings (申诉).")


@dispute.command("list")
@account_option
@click.option(
    "--state",
    type=click.Choice([disputes.OPEN, disputes.UPHELD, disputes.REJECTED]),
    default=disputes.OPEN,
    show_default=True,
)
@form
def list_disputes(slug: str, state: str) -> dict[str, Any]:
    """Disputes in one state, newest first, with what was said."""

    def read(session: Session) -> list[dict[str, Any]]:
        rows = disputes.of_account(session, accounts.get(session, slug).id, state=state)
        return [_dispute(session, row) for row in rows]

    return {"disputes": context().database.read(read)}


@dispute.command("decide")
@account_option
@click.argument("dispute_id", type=int)
@click.option("--uphold/--reject", required=True)
@click.option("--answer", required=True, help="What both sides are told.")
@click.option("--friend", metavar="OPENID", help="Upheld: who becomes the promoter's.")
@form
def decide(
    slug: str, dispute_id: int, uphold: bool, answer: str, friend: str | None
) -> dict[str, Any]:
    """Decide a dispute, and rebind the friend it is about in the same transaction."""
    now = context().clock.now()

    def change(session: Session) -> dict[str, Any]:
        account = account_of(session, slug)
        disputes.decide(
            session, account, dispute_id,
            upheld=uphold, answer=answer, friend_openid=friend, actor=ACTOR, now=now,
        )  # fmt: skip
        return _dispute(session, disputes.get(session, account.id, dispute_id))

    return context().database.transact(change)


def _dispute(session: Session, row: Dispute) -> dict[str, Any]:
    return {
        "id": row.id, "member_id": row.member_id, "state": row.state, "friend_id": row.friend_id,
        "opened_at": row.opened_at, "decided_at": row.decided_at, "decided_by": row.decided_by,
        "notes": [
            {"actor": note.actor, "body": note.body, "at": note.at}
            for note in disputes.notes_of(session, row.id)
        ],
    }  # fmt: skip


COMMANDS: Final = (member, tree, dispute)
