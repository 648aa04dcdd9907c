"""推广员: who may earn. Everybody, or whoever was approved, has bought, or has spent enough: the account's choice.

The answer is taken when an order's snapshot is taken and stays with the order. A member whom a person approved
qualifies under every policy; a suspended one under none.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit, notices
from domain.accounts import Settings
from domain.db import Sql, changed, is_duplicate
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Member, PromoterApplication
from domain.rules import NOT_QUALIFIED, SUSPENDED

APPLIED: Final = "applied"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"

EVERYONE: Final = "everyone"
BY_APPROVAL: Final = "approved"
BY_FIRST_ORDER: Final = "first_order"
BY_SPENDING: Final = "spent"

MAX_MESSAGE: Final = 190

_SPENT = Sql(
    "SELECT member_id, SUM(paid_fen - refunded_fen) AS spent_fen FROM orders"
    " WHERE member_id IN (??) AND status IN ('paid', 'completed') GROUP BY member_id"
)
_SET_PROMOTER = Sql("UPDATE member SET promoter = ? WHERE id = ? AND promoter <> ?")
_SET_STATUS = Sql("UPDATE member SET status = ? WHERE id = ? AND account_id = ? AND status <> ?")


# --- may they earn --------------------------------------------------------------------------------------------------


def refusal(settings: Settings, status: str, promoter: str, bought: bool) -> str:
    """Why a member cannot earn, "" when they can. `bought`: they have paid an order before.

    Under the policy `spent` the caller asks `spent_enough` about those who are refused here."""
    if status != "active":
        return SUSPENDED
    if settings.qualification == EVERYONE or promoter == APPROVED:
        return ""
    if settings.qualification == BY_FIRST_ORDER and bought:
        return ""
    return NOT_QUALIFIED


def spent_by(session: Session, member_ids: Collection[int]) -> dict[int, int]:
    """What these members spent in fen, refunds taken off; who bought nothing is not in it. One statement."""
    if not member_ids:
        return {}
    rows = _SPENT.among(session, (), sorted(set(member_ids)))
    return {row.member_id: int(row.spent_fen) for row in rows}


def spent_enough(session: Session, settings: Settings, member_ids: Collection[int]) -> set[int]:
    """Those of the members who have spent what the account asks, refunds taken off; one statement."""
    enough = settings.qualification_spent_fen
    return {one for one, spent in spent_by(session, member_ids).items() if spent >= enough}


def is_qualified(session: Session, settings: Settings, member: Member) -> bool:
    """Whether the member may earn now: what the chat says and a registration reward asks."""
    bought = member.first_paid_at is not None
    reason = refusal(settings, member.status, member.promoter, bought)
    if reason == NOT_QUALIFIED and settings.qualification == BY_SPENDING:
        return bool(spent_enough(session, settings, [member.id]))
    return not reason


# --- applying -------------------------------------------------------------------------------------------------------


def apply(
    session: Session, member: Member, *, message: str = "", now: datetime
) -> PromoterApplication:
    """申请推广: ask to become a promoter; the one that waits already, if there is one. Raises `Conflict` for a
    member who was approved before."""
    if member.promoter == APPROVED:
        raise Conflict("the member is a promoter already", member=member.id)
    if member.status != "active":
        raise Invalid("the member is suspended", reason=SUSPENDED)
    waiting = select(PromoterApplication).where(PromoterApplication.open_key == member.id)
    known = session.scalar(waiting)
    if known is not None:
        return known
    application = PromoterApplication(
        account_id=member.account_id, member_id=member.id, open_key=member.id, status=APPLIED,
        message=message.strip()[:MAX_MESSAGE] or None, applied_at=now,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(application)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return session.scalars(waiting).one()  # asked twice at once
    _SET_PROMOTER(session, APPLIED, member.id, APPLIED)
    return application


def approve(
    session: Session, account_id: int, member_id: int, *, actor: str, now: datetime
) -> Member:
    """Make a member a promoter, whether they asked or not; a repeat changes nothing. From their next friend's order on
    they earn. Raises `NotFound`."""
    return _decide(session, account_id, member_id, APPROVED, actor, "", now)


def reject(
    session: Session, account_id: int, member_id: int, *, actor: str, reason: str, now: datetime
) -> Member:
    """Say no to a member, with the reason that they are told; they may ask again. Raises `NotFound`, `Invalid`."""
    if not reason.strip():
        raise Invalid("a rejection needs a reason")
    return _decide(session, account_id, member_id, REJECTED, actor, reason.strip(), now)


_OCCASIONS: Final = {APPROVED: notices.PROMOTER_APPROVED, REJECTED: notices.PROMOTER_REJECTED}


def _decide(
    session: Session,
    account_id: int,
    member_id: int,
    status: str,
    actor: str,
    reason: str,
    now: datetime,
) -> Member:
    member = _locked(session, account_id, member_id)
    before = member.promoter
    if before == status:
        return member
    member.promoter = status
    application = session.scalar(
        select(PromoterApplication).where(PromoterApplication.open_key == member.id)
    )
    if application is not None:
        application.status, application.open_key, application.reason = status, None, reason or None
        application.decided_at, application.decided_by = now, actor
    session.flush()
    note = _note(
        session, member, actor, f"promoter_{status}",
        {"promoter": before}, {"promoter": status, "reason": reason}, now,
    )  # fmt: skip
    _tell(session, member, _OCCASIONS[status], note, {"reason": reason}, now)
    return member


def waiting(session: Session, account_id: int, limit: int = 50) -> list[PromoterApplication]:
    """Applications that nobody has decided, oldest first: up to `limit`."""
    query = select(PromoterApplication).where(
        PromoterApplication.account_id == account_id,
        PromoterApplication.status == APPLIED,
    )
    return list(session.scalars(query.order_by(PromoterApplication.id).limit(limit)))


# --- suspending -----------------------------------------------------------------------------------------------------


def suspend(
    session: Session, account_id: int, member_id: int, *, actor: str, reason: str, now: datetime
) -> Member:
    """Stop a member from earning by later orders and from binding friends; what they have stays theirs. The member is
    told why. Raises `NotFound`, `Invalid` without a reason."""
    if not reason.strip():
        raise Invalid("a suspension needs a reason")
    return _set_status(
        session, account_id, member_id, "suspended", notices.PROMOTER_SUSPENDED, actor, reason, now
    )


def reinstate(
    session: Session, account_id: int, member_id: int, *, actor: str, now: datetime
) -> Member:
    """Let a suspended member earn and withdraw again. Raises `NotFound`."""
    return _set_status(
        session, account_id, member_id, "active", notices.PROMOTER_REINSTATED, actor, "", now
    )


def _set_status(
    session: Session,
    account_id: int,
    member_id: int,
    status: str,
    occasion: str,
    actor: str,
    reason: str,
    now: datetime,
) -> Member:
    turned = changed(_SET_STATUS(session, status, member_id, account_id, status))
    member = _locked(session, account_id, member_id)
    if turned:
        why = {"reason": reason.strip()}
        note = _note(session, member, actor, f"member_{status}", None, why, now)
        _tell(session, member, occasion, note, why, now)
    return member


# --- shared ---------------------------------------------------------------------------------------------------------


def _locked(session: Session, account_id: int, member_id: int) -> Member:
    query = select(Member).where(Member.account_id == account_id, Member.id == member_id)
    locked = query.with_for_update().execution_options(populate_existing=True)
    member = session.scalar(locked)
    if member is None:
        raise NotFound("no such member", member=member_id)
    return member


def _note(
    session: Session,
    member: Member,
    actor: str,
    action: str,
    before: dict[str, str] | None,
    after: dict[str, str],
    now: datetime,
) -> int:
    return audit.record(
        session, member.account_id, actor=actor, action=action, subject=f"member/{member.id}",
        before=before, after=after, now=now,
    )  # fmt: skip


def _tell(
    session: Session,
    member: Member,
    occasion: str,
    note: int,
    params: dict[str, str],
    now: datetime,
) -> None:
    """Tell the member of the decision that the audit noted as `note`."""
    told = {**params, "at": now.isoformat()}
    news = notices.News(member.account_id, member.id, occasion, f"{occasion}-{note}", told)
    notices.tell(session, [news], now)
