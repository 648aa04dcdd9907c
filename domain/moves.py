"""改绑: staff give a member another referrer, or none, with a reason; a team of any size follows.

The member moves at once: `referrer_id`, the history and the member's own closure change in one transaction, and from
then on everybody who joins below gets the new uplines. A team of up to a thousand moves with them. A larger one
follows in chunks: `step` takes the next thousand of the team under the tree lock and makes their closure what
`referrer_id` says, together with the figures. Nothing is remembered but a cursor and nothing is guessed from an
earlier chunk, so a step that is killed is simply done again, and people who join, leave, buy or are rebound meanwhile
are right before and after their chunk.

Until their chunk is done, members of the team are shown under the earlier uplines, and what they buy pays those: an
order follows the closure of its moment, and keeps it. Members who were moved never move back by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import audit, bindings, members, notices
from domain.accounts import OpenAccount
from domain.bindings import Person, display_name
from domain.db import Sql, maybe_from_db
from domain.errors import Invalid, NotFound
from domain.models import Member, Move, Relation
from domain.tally import Changes

RUNNING: Final = "running"
DONE: Final = "done"
SUPERSEDED: Final = "superseded"
CHUNK: Final = 1000
LAST_LEVEL: Final = bindings.PAID_LEVELS - 1
"""Who is further below has nobody of those above among their three uplines."""

_PERSON = (
    "SELECT id, code, nickname, referrer_id, bound_at, following, follow_changed_at, first_paid_at"
    " FROM member WHERE account_id = ? AND openid = ?"
)
_PERSON_LOCKED = Sql(_PERSON + " FOR UPDATE", sqlite=_PERSON)
_NEXT = Sql(
    "SELECT descendant_id FROM relation WHERE ancestor_id = ? AND level = ? AND descendant_id > ?"
    " ORDER BY descendant_id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Rebound:
    """What a rebinding came to. `changed` False: the referrer was this one already. `move` is set when the team is
    large and follows in chunks."""

    member_id: int
    from_referrer_id: int | None
    to_referrer_id: int | None
    changed: bool
    move: Move | None = None


def rebind(
    session: Session,
    account: OpenAccount,
    openid: str,
    referrer_openid: str | None,
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> Rebound:
    """Give a member another referrer, or none (the top level). The member and both referrers are told.

    Old orders keep their uplines. Raises `NotFound`, and `Invalid` for an empty reason, oneself, a cycle at any depth.
    """
    reason = reason.strip()
    if not reason or len(reason) > 190:
        raise Invalid("a rebinding needs a reason of at most 190 characters")
    referrer = None
    if referrer_openid is not None:
        referrer = members.get(session, account.id, referrer_openid)
    bindings.lock_tree(session, account.id)
    person = _locked(session, account.id, openid)
    to_id = None if referrer is None else referrer.id
    if to_id == person.id:
        raise Invalid("a member cannot be their own referrer", reason=bindings.SELF)
    if to_id == person.referrer_id:
        return Rebound(person.id, person.referrer_id, to_id, changed=False)
    size = bindings.team_size(session, person.id, bindings.MOVE_AT_ONCE + 1)
    large = size > bindings.MOVE_AT_ONCE
    changes = Changes()
    refused = bindings.set_referrer(
        session, account.id, person, to_id,
        scene_id=None, reason=reason, actor=actor, changes=changes, now=now, team_follows_later=large,
    )  # fmt: skip
    if refused is not None:
        raise Invalid(
            "the new referrer stands below this member" if refused == bindings.CYCLE else refused,
            reason=refused,
        )
    changes.write(session)
    move = _start(session, account.id, person, to_id, reason, actor, now) if large else None
    audit.record(
        session, account.id, actor=actor, action="rebound", subject=f"member/{person.id}",
        before={"referrer_id": person.referrer_id},
        after={"referrer_id": to_id, "reason": reason, "move": None if move is None else move.id}, now=now,
    )  # fmt: skip
    _tell(session, account.id, person, referrer, now)
    return Rebound(person.id, person.referrer_id, to_id, changed=True, move=move)


def clear(
    session: Session, account: OpenAccount, openid: str, *, reason: str, actor: str, now: datetime
) -> Rebound:
    """Take a member's referrer away: they and their team stand at the top from now on."""
    return rebind(session, account, openid, None, reason=reason, actor=actor, now=now)


def _locked(session: Session, account_id: int, openid: str) -> Person:
    row = _PERSON_LOCKED(session, account_id, openid).one_or_none()
    if row is None:
        raise NotFound("no such member", openid=openid)
    return Person(
        row.id, row.code, row.nickname, row.referrer_id, maybe_from_db(row.bound_at), bool(row.following),
        row.follow_changed_at, row.first_paid_at is not None,
    )  # fmt: skip


def _start(
    session: Session,
    account_id: int,
    person: Person,
    to_id: int | None,
    reason: str,
    actor: str,
    now: datetime,
) -> Move:
    """Write the move down; an earlier one of the same member has nothing left to do, because this one takes all."""
    session.execute(
        update(Move)
        .where(Move.member_id == person.id, Move.state == RUNNING)
        .values(state=SUPERSEDED, finished_at=now)
    )
    total = session.scalar(
        select(func.count())
        .select_from(Relation)
        .where(Relation.ancestor_id == person.id, Relation.level <= LAST_LEVEL)
    )
    move = Move(
        account_id=account_id, member_id=person.id, from_referrer_id=person.referrer_id, to_referrer_id=to_id,
        reason=reason, actor=actor, state=RUNNING, level=1, after_id=0, total=total or 0, moved=0, created_at=now,
    )  # fmt: skip
    session.add(move)
    session.flush()
    return move


def _tell(
    session: Session, account_id: int, person: Person, referrer: Member | None, now: datetime
) -> None:
    """The member, the referrer they had and the one they have now: nobody finds out by counting."""
    key = f"{person.id}-{_changes_so_far(session, person.id)}"
    at = now.isoformat()
    news: list[tuple[int, str, dict[str, Any]]] = []
    if referrer is None:
        news.append((person.id, notices.REFERRER_CLEARED, {"at": at}))
    else:
        name = display_name(referrer.nickname, referrer.code)
        news.append((person.id, notices.REFERRER_CHANGED, {"friend": name, "at": at}))
    if person.referrer_id is not None:
        news.append((person.referrer_id, notices.FRIEND_MOVED, {"friend": person.name, "at": at}))
    if referrer is not None:
        news.append((referrer.id, notices.FRIEND_JOINED, {"friend": person.name, "at": at}))
    notices.tell(
        session,
        [
            notices.News(account_id, to, occasion, f"rebound-{key}-{to}", params)
            for to, occasion, params in news
        ],
        now,
    )


_SEQ = Sql("SELECT MAX(seq) FROM binding_history WHERE member_id = ?")


def _changes_so_far(session: Session, member_id: int) -> int:
    return int(_SEQ(session, member_id).one()[0])


# --- taking the team along ------------------------------------------------------------------------------------------


def running(session: Session) -> list[Move]:
    """Moves that are not finished, oldest first: what the clock rings for."""
    return list(session.scalars(select(Move).where(Move.state == RUNNING).order_by(Move.id)))


def step(session: Session, move_id: int, now: datetime, limit: int = CHUNK) -> Move:
    """Take the next `limit` of the team along, in this transaction; call it until `state` is no longer running.

    Two at once are harmless: the tree lock lets one pass, and the cursor is read under it.
    """
    move = session.get_one(Move, move_id)
    bindings.lock_tree(session, move.account_id)
    session.refresh(move)
    if move.state != RUNNING:
        return move
    ids = [
        row.descendant_id
        for row in _NEXT(session, move.member_id, move.level, move.after_id, limit)
    ]
    if ids:
        changes = Changes()
        bindings.reconcile(session, ids, changes)
        changes.write(session)
        move.after_id, move.moved = ids[-1], move.moved + len(ids)
    if len(ids) < limit:
        if move.level < LAST_LEVEL:
            move.level, move.after_id = move.level + 1, 0
        else:
            move.state, move.finished_at = DONE, now
    session.flush()
    return move


def of_account(session: Session, account_id: int, limit: int = 50) -> list[Move]:
    """The newest moves of an account, newest first."""
    query = select(Move).where(Move.account_id == account_id)
    return list(session.scalars(query.order_by(Move.id.desc()).limit(limit)))
