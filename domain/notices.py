"""通知: what a member should be told. Written with its cause; a message about it leaves through the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import outbox
from domain.db import Sql, to_db, to_json
from domain.errors import Invalid
from domain.models import Notice, NoticeTemplate

FRIEND_JOINED: Final = "friend_joined"
COMMISSION_ACCRUED: Final = "commission_accrued"
COMMISSION_SETTLED: Final = "commission_settled"
COMMISSION_VOIDED: Final = "commission_voided"
COMMISSION_CLAWED_BACK: Final = "commission_clawed_back"
WITHDRAWAL_REQUESTED: Final = "withdrawal_requested"
WITHDRAWAL_APPROVED: Final = "withdrawal_approved"
WITHDRAWAL_REJECTED: Final = "withdrawal_rejected"
WITHDRAWAL_CONFIRM: Final = "withdrawal_confirm"
WITHDRAWAL_REMIND: Final = "withdrawal_remind"
WITHDRAWAL_PAID: Final = "withdrawal_paid"
WITHDRAWAL_FAILED: Final = "withdrawal_failed"
REGISTRATION_REWARD: Final = "registration_reward"
REGISTRATION_VOIDED: Final = "registration_voided"
COMMISSION_HELD: Final = "commission_held"
COMMISSION_RELEASED: Final = "commission_released"
COMMISSION_REFUSED: Final = "commission_refused"
GRADE_UP: Final = "grade_up"
GRADE_DOWN: Final = "grade_down"
PROMOTER_APPROVED: Final = "promoter_approved"
PROMOTER_REJECTED: Final = "promoter_rejected"
PROMOTER_SUSPENDED: Final = "promoter_suspended"
PROMOTER_REINSTATED: Final = "promoter_reinstated"
RISK_ALERT: Final = "risk_alert"
"""For staff, not for members: the template of jobs/alerts.py."""
REFERRER_CHANGED: Final = "referrer_changed"
REFERRER_CLEARED: Final = "referrer_cleared"
FRIEND_MOVED: Final = "friend_moved"
DISPUTE_DECIDED: Final = "dispute_decided"
OCCASIONS: Final = (
    FRIEND_JOINED,
    REFERRER_CHANGED,
    REFERRER_CLEARED,
    FRIEND_MOVED,
    DISPUTE_DECIDED,
    COMMISSION_ACCRUED,
    COMMISSION_SETTLED,
    COMMISSION_VOIDED,
    COMMISSION_CLAWED_BACK,
    WITHDRAWAL_REQUESTED,
    WITHDRAWAL_APPROVED,
    WITHDRAWAL_REJECTED,
    WITHDRAWAL_CONFIRM,
    WITHDRAWAL_REMIND,
    WITHDRAWAL_PAID,
    WITHDRAWAL_FAILED,
    REGISTRATION_REWARD,
    REGISTRATION_VOIDED,
    COMMISSION_HELD,
    COMMISSION_RELEASED,
    COMMISSION_REFUSED,
    GRADE_UP,
    GRADE_DOWN,
    PROMOTER_APPROVED,
    PROMOTER_REJECTED,
    PROMOTER_SUSPENDED,
    PROMOTER_REINSTATED,
    RISK_ALERT,
)

PARAMETERS: Final = (
    "friend", "order_no", "level", "amount", "paid", "count", "time", "status", "occasion"
)  # fmt: skip
"""What a template's keyword can show; jobs/notify.py turns the params of a notice into these words."""

_INSERT = Sql(
    "INSERT INTO notice (account_id, member_id, occasion, notice_key, params, created_at) VALUES (?, ?, ?, ?, ?, ?)"
)


class News(NamedTuple):
    """One thing to tell one member; `key` is unique for ever, `params` are the named values of its text."""

    account_id: int
    member_id: int
    occasion: str
    key: str
    params: dict[str, Any]


def tell(session: Session, news: Sequence[News], now: datetime) -> None:
    """Write the notices and, for each, the message that carries it (topic `notice`, same key)."""
    at = to_db(now)
    _INSERT.many(
        session,
        [
            (one.account_id, one.member_id, one.occasion, one.key, to_json(one.params), at)
            for one in news
        ],
    )
    outbox.put(
        session,
        [
            outbox.Message(
                one.account_id, outbox.NOTICE, f"notice-{one.key}", {"occasion": one.occasion, **one.params}, now,
                one.member_id,
            )
            for one in news
        ],
        now,
    )  # fmt: skip


def latest_of(session: Session, member_id: int, limit: int = 5) -> list[Notice]:
    """The newest notices of a member."""
    return list(
        session.scalars(
            select(Notice)
            .where(Notice.member_id == member_id)
            .order_by(Notice.id.desc())
            .limit(limit)
        )
    )


def set_template(
    session: Session,
    account_id: int,
    occasion: str,
    template_id: str,
    fields: dict[str, str] | None = None,
) -> None:
    """Choose the WeChat template of an occasion. `fields`: template keyword → our parameter; None leaves it to
    jobs/notify to find what each keyword wants. Raises `Invalid` for an unknown occasion or parameter."""
    if occasion not in OCCASIONS:
        raise Invalid("no such occasion", occasion=occasion, occasions=list(OCCASIONS))
    unknown = sorted(set((fields or {}).values()) - set(PARAMETERS))
    if unknown:
        raise Invalid("no such parameter", unknown=unknown, parameters=list(PARAMETERS))
    row = session.get(NoticeTemplate, (account_id, occasion))
    if row is None:
        row = NoticeTemplate(account_id=account_id, occasion=occasion)
        session.add(row)
    row.template_id = template_id
    row.fields = None if fields is None else to_json(fields)
    session.flush()


def templates_of(session: Session, account_id: int) -> dict[str, NoticeTemplate]:
    """The account's templates by occasion."""
    rows = session.scalars(select(NoticeTemplate).where(NoticeTemplate.account_id == account_id))
    return {row.occasion: row for row in rows}
