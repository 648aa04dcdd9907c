"""订阅通知: how many subscription notices of each template a member has allowed (platform.md 8).

Each accepted pop-up allows one message. Every change comes with a key of the push or message that caused it, so a
repeat counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import events, members, notices
from domain.db import Sql, changed, to_db
from domain.models import Member, NoticeTemplate, SubscriptionCredit
from domain.secrets import short_digest

ACCEPT: Final = "accept"
REJECT: Final = "reject"
POPUP_TEMPLATES: Final = 3
"""A pop-up of `wx-open-subscribe` asks about so many templates at once."""
REFUSED_BY_USER: Final = 43101

_ADD = Sql(
    "INSERT INTO subscription_credit (member_id, template_id, credits, changed_at) VALUES (?, ?, 1, ?)"
    " ON DUPLICATE KEY UPDATE credits = credits + 1, changed_at = VALUES(changed_at)",
    sqlite="INSERT INTO subscription_credit (member_id, template_id, credits, changed_at) VALUES (?, ?, 1, ?)"
    " ON CONFLICT (member_id, template_id) DO UPDATE SET credits = credits + 1, changed_at = excluded.changed_at",
)
_TAKE = Sql(
    "UPDATE subscription_credit SET credits = credits - 1, changed_at = ? WHERE member_id = ? AND template_id = ?"
    " AND credits > 0"
)
_CLEAR = Sql(
    "UPDATE subscription_credit SET credits = 0, changed_at = ? WHERE member_id = ? AND template_id = ?"
)
_AMONG = Sql(
    "SELECT member_id, template_id, credits FROM subscription_credit WHERE credits > 0 AND member_id IN (??)"
)


def record_answers(
    session: Session,
    account_id: int,
    openid: str,
    answers: Sequence[tuple[str, str]],
    *,
    in_settings: bool,
    push_key: str,
    now: datetime,
) -> bool:
    """subscribe_msg_popup_event: (template, accept or reject); an accept adds one. `in_settings`:
    subscribe_msg_change_event, what the member rejects there has nothing left. False for a repeat or a stranger."""
    told = "|".join(f"{template}={status}" for template, status in answers)
    kind, wanted, act = ("change", REJECT, clear) if in_settings else ("popup", ACCEPT, add)
    member_id = _first_time(session, account_id, openid, f"{kind}|{push_key}|{told}", now)
    if member_id is None:
        return False
    for template_id in sorted(template for template, status in answers if status == wanted):
        act(session, member_id, template_id, now)
    return True


def record_sent(
    session: Session,
    account_id: int,
    openid: str,
    template_id: str,
    *,
    msg_id: str,
    error_code: int,
    ours: bool,
    now: datetime,
) -> bool:
    """subscribe_msg_sent_event of one message. Ours had taken its credit when it was sent: a failure gives it back,
    unless the member refused. One that another system sent takes a credit now. False for a repeat or a stranger."""
    member_id = _first_time(session, account_id, openid, f"sent|{msg_id}", now)
    if member_id is None:
        return False
    if error_code == REFUSED_BY_USER:
        clear(session, member_id, template_id, now)
    elif error_code and ours:
        add(session, member_id, template_id, now)
    elif not error_code and not ours:
        take(session, member_id, template_id, now)
    return True


def _first_time(
    session: Session, account_id: int, openid: str, cause: str, now: datetime
) -> int | None:
    """The member, when this cause is new."""
    member_id = members.ids_of(session, account_id, [openid]).get(openid)
    if member_id is None:
        return None  # a visitor of a page who does not follow: nothing could be sent to them
    key = short_digest(f"{openid}|{cause}")
    new = events.record(session, account_id, key, events.SUBSCRIPTION, now, member_id=member_id)
    return member_id if new else None


def add(session: Session, member_id: int, template_id: str, now: datetime) -> None:
    """One message of this template may be sent."""
    _ADD(session, member_id, template_id, to_db(now))


def take(session: Session, member_id: int, template_id: str, now: datetime) -> bool:
    """One message of this template was sent; False when none was left, by our count."""
    return changed(_TAKE(session, to_db(now), member_id, template_id)) == 1


def clear(session: Session, member_id: int, template_id: str, now: datetime) -> None:
    """Nothing of this template can be sent any more."""
    _CLEAR(session, to_db(now), member_id, template_id)


def credits_of(session: Session, member_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """What may be sent to these members: credits by template, those that are left."""
    found: dict[int, dict[str, int]] = {}
    for row in _AMONG.among(session, (), sorted(set(member_ids))) if member_ids else ():
        found.setdefault(row.member_id, {})[row.template_id] = row.credits
    return found


def offered(session: Session, account_id: int, member_id: int) -> list[tuple[str, int]]:
    """The subscription templates of the account with the member's credits, fewest first: what a page with the pop-up
    asks for, `POPUP_TEMPLATES` at a time."""
    query = (
        select(NoticeTemplate.template_id)
        .where(
            NoticeTemplate.account_id == account_id,
            NoticeTemplate.channel == notices.SUBSCRIPTION,
        )
        .distinct()
    )
    left: Mapping[str, int] = credits_of(session, [member_id]).get(member_id, {})
    found = [(template_id, left.get(template_id, 0)) for template_id in session.scalars(query)]
    return sorted(found, key=lambda one: (one[1], one[0]))


def reachable(
    session: Session, account_id: int, template_id: str, *, after_id: int = 0, limit: int = 500
) -> list[int]:
    """Followers with a credit for this template who take promotions; keyset page by id. For broadcasts."""
    query = (
        select(SubscriptionCredit.member_id)
        .join(Member, Member.id == SubscriptionCredit.member_id)
        .where(
            SubscriptionCredit.template_id == template_id,
            SubscriptionCredit.credits > 0,
            SubscriptionCredit.member_id > after_id,
            Member.account_id == account_id,
            Member.following.is_(True),
            Member.promotions_muted.is_(False),
            Member.muted.is_(False),
        )
        .order_by(SubscriptionCredit.member_id)
        .limit(limit)
    )
    return list(session.scalars(query))
