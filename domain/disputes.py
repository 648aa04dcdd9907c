"""申诉: a promoter objects to a binding, staff decide, both sides are told, everything said is kept.

One dispute is open per member; what they say meanwhile is added to it. Deciding for the promoter rebinds the friend in
the same transaction (moves.py), so there is no decision without its effect.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit, events, members, moves, notices
from domain.accounts import OpenAccount
from domain.bindings import display_name
from domain.db import changed, is_duplicate
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Dispute, DisputeNote, Event, Member, Scene
from domain.moves import Rebound

OPEN: Final = "open"
UPHELD: Final = "upheld"
REJECTED: Final = "rejected"
MEMBER: Final = "member"
"""The actor of a note by the promoter."""
BODY_LENGTH: Final = 1000
NOTES_LIMIT: Final = 20
"""What a promoter may add before staff have decided."""


class DecidedAlready(Conflict):
    """Somebody else decided this dispute first."""

    code = "decided_already"


@dataclass(frozen=True, slots=True)
class Objection:
    """What an objection came to: `repeated` for the same push again, `added` when a dispute was open already."""

    dispute: Dispute
    repeated: bool = False
    added: bool = False


def open_or_add(
    session: Session,
    account: OpenAccount,
    openid: str,
    evidence: str,
    *,
    push_key: str,
    now: datetime,
) -> Objection:
    """申诉 …: open a dispute with its evidence, or add to the open one. A repeat of the push changes nothing.

    Raises `Invalid` for an empty text, and when more than twenty notes wait for a decision.
    """
    body = _body(evidence)
    member = members.get(session, account.id, openid)
    note_key = f"{account.id}-{push_key}"
    known = session.scalar(
        select(Dispute)
        .join(DisputeNote, DisputeNote.dispute_id == Dispute.id)
        .where(DisputeNote.note_key == note_key)
    )
    if known is not None:
        return Objection(known, repeated=True)
    dispute = _find_open(session, member.id)
    added = dispute is not None
    if dispute is None:
        dispute = _open(session, account.id, member.id, now)
    elif sum(one.actor == MEMBER for one in notes_of(session, dispute.id)) >= NOTES_LIMIT:
        raise Invalid("enough has been said until somebody decides", limit=NOTES_LIMIT)
    _note(session, dispute.id, note_key, MEMBER, body, now)
    return Objection(dispute, added=added)


def _body(text: str) -> str:
    body = text.strip()
    if not body or len(body) > BODY_LENGTH:
        raise Invalid(f"one to {BODY_LENGTH} characters")
    return body


def _find_open(session: Session, member_id: int) -> Dispute | None:
    return session.scalar(select(Dispute).where(Dispute.open_key == member_id))


def _open(session: Session, account_id: int, member_id: int, now: datetime) -> Dispute:
    dispute = Dispute(
        account_id=account_id, member_id=member_id, open_key=member_id, state=OPEN, opened_at=now
    )
    try:
        with session.begin_nested():
            session.add(dispute)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        other = _find_open(session, member_id)  # two messages at once: the other one opened it
        if other is None:
            raise
        return other
    return dispute


def _note(
    session: Session, dispute_id: int, note_key: str, actor: str, body: str, now: datetime
) -> None:
    session.add(
        DisputeNote(dispute_id=dispute_id, note_key=note_key, actor=actor, body=body, at=now)
    )
    session.flush()


def comment(
    session: Session, account: OpenAccount, dispute_id: int, body: str, *, actor: str, now: datetime
) -> None:
    """A note of the staff beside what the promoter said, for colleagues; nobody else reads it. Raises `Invalid`,
    `NotFound`, and `DecidedAlready`."""
    dispute = get(session, account.id, dispute_id)
    if dispute.state != OPEN:
        raise DecidedAlready("this dispute has been decided", dispute=dispute_id)
    key = f"staff-{dispute_id}-{secrets.token_hex(8)}"
    _note(session, dispute_id, key, actor, _body(body), now)


def candidates(session: Session, dispute: Dispute, since: datetime, limit: int = 8) -> list[Member]:
    """Whom it may be about: members who came by a code of the promoter since then and were not bound to them, newest
    first."""
    query = (
        select(Event.member_id)
        .join(Scene, Scene.id == Event.scene_id)
        .where(
            Event.account_id == dispute.account_id,
            Event.kind == events.BIND_REFUSED,
            Event.at >= since,
            Scene.member_id == dispute.member_id,
            Event.member_id.is_not(None),
            Event.member_id != dispute.member_id,
        )
        .group_by(Event.member_id)
        .order_by(func.max(Event.at).desc())
        .limit(limit)
    )
    ids = [one for one in session.scalars(query) if one is not None]
    found = members.by_ids(session, ids) if ids else {}
    return [found[one] for one in ids if one in found]


def decide(
    session: Session,
    account: OpenAccount,
    dispute_id: int,
    *,
    upheld: bool,
    answer: str,
    friend_openid: str | None = None,
    actor: str,
    now: datetime,
) -> Rebound | None:
    """Decide an open dispute and tell both sides. Upheld with `friend_openid`: that member becomes the promoter's.

    `answer` is what both are told. Raises `DecidedAlready`, `NotFound`, and `Invalid` for what `moves.rebind` refuses
    (then nothing is decided).
    """
    answer = _body(answer)
    dispute = get(session, account.id, dispute_id)
    friend = None if friend_openid is None else members.get(session, account.id, friend_openid)
    if friend is not None and not upheld:
        raise Invalid("a rejected dispute rebinds nobody")
    taken = update(Dispute).where(Dispute.id == dispute_id, Dispute.state == OPEN)
    values = {
        "state": UPHELD if upheld else REJECTED,
        "open_key": None,
        "friend_id": None if friend is None else friend.id,
        "decided_at": now,
        "decided_by": actor,
    }
    if not changed(session.execute(taken.values(**values))):
        raise DecidedAlready("this dispute has been decided", dispute=dispute_id)
    session.refresh(dispute)
    _note(session, dispute_id, f"decision-{dispute_id}", actor, answer, now)
    promoter = session.get_one(Member, dispute.member_id)
    other_id = None if friend is None else friend.referrer_id
    rebound = None
    if friend is not None:
        rebound = moves.rebind(
            session, account, friend.openid, promoter.openid,
            reason=f"dispute {dispute_id}", actor=actor, now=now,
        )  # fmt: skip
    audit.record(
        session, account.id, actor=actor, action="dispute_decided", subject=f"dispute/{dispute_id}",
        after={"state": dispute.state, "friend_id": dispute.friend_id}, now=now,
    )  # fmt: skip
    _tell(session, dispute, friend, other_id, answer, now)
    return rebound


def _tell(
    session: Session,
    dispute: Dispute,
    friend: Member | None,
    other_id: int | None,
    answer: str,
    now: datetime,
) -> None:
    """The promoter who objected, and whoever the friend belonged to before."""
    name = "" if friend is None else display_name(friend.nickname, friend.code)
    params = {"state": dispute.state, "answer": answer, "friend": name, "at": now.isoformat()}
    told = {dispute.member_id} | ({other_id} if other_id is not None else set())
    notices.tell(
        session,
        [
            notices.News(
                dispute.account_id, member_id, notices.DISPUTE_DECIDED,
                f"dispute-{dispute.id}-{member_id}", params,
            )
            for member_id in sorted(told)
        ],
        now,
    )  # fmt: skip


def get(session: Session, account_id: int, dispute_id: int) -> Dispute:
    """The dispute of this id in this account, or `NotFound`."""
    dispute = session.get(Dispute, dispute_id)
    if dispute is None or dispute.account_id != account_id:
        raise NotFound("no such dispute", dispute=dispute_id)
    return dispute


def latest_of(session: Session, member_id: int) -> Dispute | None:
    """The newest dispute of a member: what 申诉 alone answers with."""
    query = select(Dispute).where(Dispute.member_id == member_id).order_by(Dispute.id.desc())
    return session.scalar(query.limit(1))


def of_account(
    session: Session, account_id: int, *, state: str = OPEN, limit: int = 50
) -> list[Dispute]:
    """The newest disputes of an account in one state, newest first."""
    query = select(Dispute).where(Dispute.account_id == account_id, Dispute.state == state)
    return list(session.scalars(query.order_by(Dispute.id.desc()).limit(limit)))


def notes_of(session: Session, dispute_id: int) -> list[DisputeNote]:
    """Everything said in a dispute, oldest first."""
    query = select(DisputeNote).where(DisputeNote.dispute_id == dispute_id)
    return list(session.scalars(query.order_by(DisputeNote.id)))


def last_words(session: Session, dispute_ids: Collection[int]) -> dict[int, str]:
    """What was said last in each of these disputes, by dispute."""
    query = select(DisputeNote.dispute_id, DisputeNote.body).where(
        DisputeNote.dispute_id.in_(dispute_ids)
    )
    ordered = query.order_by(DisputeNote.dispute_id, DisputeNote.id)
    return {dispute_id: body for dispute_id, body in session.execute(ordered)}
