"""通知: what a member should be told. Written with its cause; a message about it leaves through the outbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from domain import outbox
from domain.db import Sql, changed, is_key, to_db, to_json
from domain.errors import Invalid, NotFound
from domain.models import Member, Notice, NoticeTemplate, Outbox
from domain.secrets import short_digest

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
FRIENDS_JOINED: Final = "friends_joined"
COMMISSIONS_ACCRUED: Final = "commissions_accrued"
TEAM_DIGEST: Final = "team_digest"
NOTICE_TEST: Final = "notice_test"
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
    FRIENDS_JOINED,
    COMMISSIONS_ACCRUED,
    TEAM_DIGEST,
    NOTICE_TEST,
)

TEMPLATE: Final = "template"
SUBSCRIPTION: Final = "subscription"
CUSTOM: Final = "custom"
INBOX: Final = "inbox"
CHANNELS: Final = (TEMPLATE, SUBSCRIPTION, CUSTOM, INBOX)
"""The ladder (design.md 8): what one rung cannot tell, the next one tells."""
MAPPED: Final = (TEMPLATE, SUBSCRIPTION)
"""Channels whose messages are filled-in templates of the account's."""
MERGED: Final[Mapping[str, str]] = MappingProxyType(
    {
        FRIENDS_JOINED: FRIEND_JOINED,
        COMMISSIONS_ACCRUED: COMMISSION_ACCRUED,
        TEAM_DIGEST: COMMISSION_ACCRUED,
    }
)
"""Messages that tell several notices at once, and whose template they borrow when the account gave them none."""
URGENT: Final = frozenset(
    {
        WITHDRAWAL_REQUESTED,
        WITHDRAWAL_APPROVED,
        WITHDRAWAL_REJECTED,
        WITHDRAWAL_CONFIRM,
        WITHDRAWAL_REMIND,
        WITHDRAWAL_PAID,
        WITHDRAWAL_FAILED,
        RISK_ALERT,
        NOTICE_TEST,
    }
)
"""Told in quiet hours too: somebody waits for them, or has only hours to confirm."""

PARAMETERS: Final = (
    "friend", "order_no", "level", "amount", "paid", "count", "time", "status", "occasion"
)  # fmt: skip
"""What a template's keyword can show; domain/cards.py turns the params of a notice into these words."""

_INSERT = Sql(
    "INSERT INTO notice (account_id, member_id, occasion, notice_key, params, created_at) VALUES (?, ?, ?, ?, ?, ?)"
)


ERASED: Final = "{}"
"""The parameters of a notice whose member had their personal data erased."""


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
    """The newest notices of a member; those of which nothing is left (privacy.py) have no sentence any more."""
    return list(
        session.scalars(
            select(Notice)
            .where(Notice.member_id == member_id, Notice.params != ERASED)
            .order_by(Notice.id.desc())
            .limit(limit)
        )
    )


# --- the inbox of the chat ------------------------------------------------------------------------------------------

_UNREAD = Sql("UPDATE member SET unread = ? WHERE id IN (??)")
_WAIT = Sql("UPDATE notice SET waiting_at = ? WHERE waiting_at IS NULL AND notice_key IN (??)")
_MEET = Sql("UPDATE member SET unread = ? WHERE account_id = ? AND openid = ?")
_READ = Sql("UPDATE notice SET read_at = ? WHERE read_at IS NULL AND id IN (??)")


def wait_in_inbox(
    session: Session, keys: Sequence[str], member_ids: Sequence[int], now: datetime
) -> None:
    """No channel took these notices (by key): their members read them at the next visit. A repeat changes nothing.

    The member's row first, here and in `waiting_for`: so neither a notice nor the mark on the member is overlooked.
    """
    if member_ids:
        _UNREAD.among(session, (True,), sorted(set(member_ids)))
    if keys:
        _WAIT.among(session, (to_db(now),), sorted(set(keys)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """The oldest notices that wait for a member's visit, of `count`."""

    member_id: int
    notices: list[Notice]
    count: int


def waiting_for(
    session: Session, account_id: int, openid: str, limit: int, at: datetime | None = None
) -> Waiting:
    """What waits for this follower, and what was read at exactly `at`; their row is locked until the end of the
    transaction, which must `mark_read`."""
    _MEET(session, False, account_id, openid)
    member_id = session.scalar(
        select(Member.id).where(Member.account_id == account_id, Member.openid == openid)
    )
    waits = (
        Notice.member_id == (member_id or 0),
        Notice.waiting_at.is_not(None),
        or_(Notice.read_at.is_(None), Notice.read_at == at),
    )
    count = session.scalar(select(func.count(Notice.id)).where(*waits)) or 0
    oldest = session.scalars(select(Notice).where(*waits).order_by(Notice.id).limit(limit))
    return Waiting(member_id or 0, list(oldest), count)


def mark_read(
    session: Session, member_id: int, notice_ids: Sequence[int], left: int, at: datetime
) -> None:
    """These are shown at `at`; `left`: how many still wait. The next visit looks again, even when none does: it may be
    the same one, whose answer was lost."""
    if notice_ids:
        _READ.among(session, (to_db(at),), list(notice_ids))
    if notice_ids or left:
        _UNREAD.among(session, (True,), [member_id])


# --- what WeChat says afterwards ------------------------------------------------------------------------------------


def keys_of(row_key: str, payload: Mapping[str, Any]) -> list[str]:
    """The keys of the notices that a message is about."""
    parts = payload.get("parts")
    return (
        [str(each) for each in parts]
        if isinstance(parts, list)
        else [row_key.removeprefix("notice-")]
    )


def subscription_number(member_id: int, template_id: str) -> str:
    """Stands for the id that WeChat does not give a subscription notice."""
    return f"sub-{member_id}-{short_digest(template_id)}"


def not_shown(session: Session, row: Outbox, now: datetime) -> None:
    """WeChat took this message and says later that it was not shown: the next channel has it, once."""
    if row.topic != outbox.NOTICE or row.channel not in MAPPED:
        return
    payload = json.loads(row.payload)
    below = CHANNELS[CHANNELS.index(row.channel) + 1]
    payload |= {"from": below, "parts": keys_of(row.dedupe_key, payload)}
    key = f"after-{row.id}-{row.channel}"
    message = outbox.Message(row.account_id, outbox.NOTICE, key, payload, now, row.member_id)
    outbox.carry_on(session, row, message, now)


# --- templates ------------------------------------------------------------------------------------------------------


def set_template(
    session: Session,
    account_id: int,
    occasion: str,
    template_id: str,
    fields: dict[str, str] | None = None,
    channel: str = TEMPLATE,
) -> None:
    """Choose the WeChat template of an occasion, for template messages or subscription notices. `fields`: template
    keyword → our parameter; None leaves it to jobs/notify to find what each keyword wants. Raises `Invalid` for an
    unknown occasion, channel or parameter, and for what is no id of a template."""
    if not is_key(template_id):
        raise Invalid("a template id, please", template_id=template_id)
    if channel not in MAPPED:
        raise Invalid("no such channel", channel=channel, channels=list(MAPPED))
    if occasion not in OCCASIONS:
        raise Invalid("no such occasion", occasion=occasion, occasions=list(OCCASIONS))
    unknown = sorted(set((fields or {}).values()) - set(PARAMETERS))
    if unknown:
        raise Invalid("no such parameter", unknown=unknown, parameters=list(PARAMETERS))
    row = session.get(NoticeTemplate, (account_id, occasion, channel))
    if row is None:
        row = NoticeTemplate(account_id=account_id, occasion=occasion, channel=channel)
        session.add(row)
    row.template_id = template_id
    row.fields = None if fields is None else to_json(fields)
    row.problem = row.problem_at = None
    session.flush()


def remove_template(
    session: Session, account_id: int, occasion: str, channel: str = TEMPLATE
) -> None:
    """The occasion is not told by this channel any more. Raises `NotFound`."""
    query = delete(NoticeTemplate).where(
        NoticeTemplate.account_id == account_id,
        NoticeTemplate.occasion == occasion,
        NoticeTemplate.channel == channel,
    )
    if not changed(session.execute(query)):
        raise NotFound("no such template", occasion=occasion, channel=channel)


def templates_of(
    session: Session, account_id: int, channel: str = TEMPLATE
) -> dict[str, NoticeTemplate]:
    """The account's templates of a channel by occasion."""
    rows = session.scalars(
        select(NoticeTemplate).where(
            NoticeTemplate.account_id == account_id, NoticeTemplate.channel == channel
        )
    )
    return {row.occasion: row for row in rows}


def fields_of(template: NoticeTemplate) -> dict[str, str] | None:
    """The merchant's choice of what each keyword shows; None where the template's text decides."""
    return None if template.fields is None else dict(json.loads(template.fields))


_PROBLEM = Sql(
    "UPDATE notice_template SET problem = ?, problem_at = ? WHERE account_id = ? AND channel = ? AND template_id = ?"
    " AND (problem IS NULL OR problem <> ?)"
)
_NO_PROBLEM = Sql(
    "UPDATE notice_template SET problem = NULL, problem_at = NULL WHERE account_id = ? AND channel = ?"
    " AND template_id = ? AND problem IS NOT NULL"
)


def note_problem(
    session: Session,
    account_id: int,
    channel: str,
    template_id: str,
    problem: str | None,
    now: datetime,
) -> bool:
    """What WeChat has against a template (None: nothing any more), for people to see; whether it is news."""
    if problem is None:
        return changed(_NO_PROBLEM(session, account_id, channel, template_id)) > 0
    said = problem[:190]
    return changed(_PROBLEM(session, said, to_db(now), account_id, channel, template_id, said)) > 0
