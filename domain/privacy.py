"""个人信息: what a member may take along, and what is erased when they ask for it.

The ledger, the bindings and the withdrawals are the merchant's books: they stay, without the name behind them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit, consents, ledger, members, sessions
from domain.accounts import OpenAccount
from domain.errors import Conflict
from domain.models import (
    BindingHistory,
    Commission,
    Dispute,
    DisputeNote,
    Event,
    Member,
    Notice,
    Withdrawal,
)
from domain.secrets import Keyring
from domain.withdrawals import OPEN

ROWS: Final = 5000
"""The newest rows of each kind: a bound for the longest life, far above an ordinary one."""
_SEALED: Final = ("phone", "email", "real_name")


class StillPaying(Conflict):
    """A withdrawal is under way that may need the name."""

    code = "still_paying"


def export(session: Session, keyring: Keyring, member: Member) -> dict[str, Any]:
    """Everything that is kept about a member, as plain JSON values: amounts in fen, instants as ISO 8601 in UTC.
    Other people appear by number only."""
    mine = member.id
    profile = {
        "openid": member.openid, "unionid": member.unionid, "code": member.code, "nickname": member.nickname,
        "joined_at": _at(member.joined_at), "bound_at": _at(member.bound_at), "following": member.following,
        "unfollowed_at": _at(member.unfollowed_at), "status": member.status, "grade": member.grade,
        "promoter": member.promoter, "muted": member.muted,
    }  # fmt: skip
    for column in _SEALED:
        sealed = getattr(member, column)
        profile[column] = (
            None if sealed is None else keyring.open(sealed, f"member/{mine}/{column}")
        )
    return {
        "profile": profile,
        "bindings": [
            {"at": _at(row.at), "reason": row.reason, "referrer": row.to_referrer_id}
            for row in _rows(session, BindingHistory, BindingHistory.member_id == mine)
        ],
        "consents": [
            {"version": row.version, "at": _at(row.at)}
            for row in consents.of_member(session, mine)
        ],
        "events": [
            {"at": _at(row.at), "kind": row.kind, "detail": row.detail}
            for row in _rows(session, Event, Event.member_id == mine)
        ],
        "commissions": [
            {
                "id": row.id, "kind": row.kind, "level": row.level, "base_fen": row.base_fen,
                "rate_bps": row.rate_bps, "amount_fen": row.amount_fen, "clawed_fen": row.clawed_fen,
                "status": row.status, "created_at": _at(row.created_at), "settled_at": _at(row.settled_at),
            }
            for row in _rows(session, Commission, Commission.member_id == mine)
        ],
        "postings": [
            {"at": _at(row.at), "from": row.source, "to": row.destination, "amount_fen": row.amount_fen,
             "reason": row.reason}
            for row in ledger.statement(session, mine, limit=ROWS)
        ],
        "withdrawals": [
            {
                "payout_no": row.payout_no, "amount_fen": row.amount_fen, "fee_fen": row.fee_fen,
                "tax_fen": row.tax_fen, "status": row.status, "requested_at": _at(row.requested_at),
                "finished_at": _at(row.finished_at), "reason": row.reason,
            }
            for row in _rows(session, Withdrawal, Withdrawal.member_id == mine)
        ],
        "notices": [
            {"at": _at(row.created_at), "occasion": row.occasion, "params": json.loads(row.params)}
            for row in _rows(session, Notice, Notice.member_id == mine)
        ],
        "disputes": _disputes(session, mine),
    }  # fmt: skip


def _rows(session: Session, table: Any, of_mine: Any) -> list[Any]:
    query = select(table).where(of_mine).order_by(table.id.desc()).limit(ROWS)
    return list(session.scalars(query))


def _disputes(session: Session, member_id: int) -> list[dict[str, Any]]:
    query = (
        select(Dispute.id, Dispute.state, DisputeNote.actor, DisputeNote.body, DisputeNote.at)
        .join(DisputeNote, DisputeNote.dispute_id == Dispute.id)
        .where(Dispute.member_id == member_id)
        .order_by(DisputeNote.id)
        .limit(ROWS)
    )
    return [
        {
            "dispute": row.id, "state": row.state, "by": "me" if row.actor == "member" else "staff",
            "text": row.body, "at": _at(row.at),
        }
        for row in session.execute(query)
    ]  # fmt: skip


def _at(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def erase(session: Session, account: OpenAccount, member: Member, now: datetime) -> None:
    """The member asks for it: name, phone, mail and real name go, every browser is signed out, the request is noted.
    Raises `StillPaying` while a withdrawal is under way."""
    still = select(Withdrawal.id).where(
        Withdrawal.member_id == member.id, Withdrawal.status.in_(OPEN)
    )
    if session.scalar(still.limit(1)) is not None:
        raise StillPaying("a withdrawal is under way", member=member.id)
    members.erase(session, account.id, member.openid)
    sessions.end_all(session, account.id, member.openid, now)
    audit.record(
        session, account.id, actor="member", action="personal_data_erased",
        subject=f"member/{member.id}", now=now,
    )  # fmt: skip
