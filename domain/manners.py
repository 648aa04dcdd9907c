"""When a notice may leave, and with which others it is merged (design.md 8). Pure; jobs/arrange.py acts on it.

Levels 2 and 3 wait for the digest, the night is quiet, and of more than a few messages of a kind within a minute the
rest becomes one. The hour of each is worked out from the notice itself, so nothing is planned, and a merchant's new
choice counts at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from domain import notices, outbox
from domain.accounts import Settings
from domain.china import CHINA
from domain.outbox import Claimed, Message
from domain.secrets import short_digest

DIGEST: Final = "digest"
FRIENDS: Final = "friends"
COMMISSIONS: Final = "commissions"
_FAMILIES: Final = {notices.FRIEND_JOINED: FRIENDS, notices.COMMISSION_ACCRUED: COMMISSIONS}
_OCCASIONS: Final = {
    FRIENDS: notices.FRIENDS_JOINED,
    COMMISSIONS: notices.COMMISSIONS_ACCRUED,
    DIGEST: notices.TEAM_DIGEST,
}
MOST_AT_ONCE: Final = 200
"""Notices in one merged message: its payload names each of them."""
_WEEK_DAYS: Final = 7


def quiet_end(settings: Settings, now: datetime) -> datetime | None:
    """When the quiet hours in which `now` lies are over; None outside of them. They may reach over midnight."""
    start, end = settings.quiet_from, settings.quiet_until
    if start == end:
        return None
    local = now.astimezone(CHINA)
    quiet = start <= local.hour < end if start < end else local.hour >= start or local.hour < end
    if not quiet:
        return None
    until = local.replace(hour=end, minute=0, second=0, microsecond=0)
    return until if until > local else until + timedelta(days=1)


def digest_at(settings: Settings, told_at: datetime) -> datetime:
    """The first digest after a notice of that instant: every day, or on Mondays, at the account's hour of Beijing."""
    local = told_at.astimezone(CHINA)
    at = local.replace(hour=settings.digest_hour, minute=0, second=0, microsecond=0)
    if settings.digest == "weekly":
        at += timedelta(days=-at.weekday() % _WEEK_DAYS)
        return at if at > local else at + timedelta(days=_WEEK_DAYS)
    return at if at > local else at + timedelta(days=1)


def is_for_digest(settings: Settings, payload: Mapping[str, Any]) -> bool:
    """Whether this is news of level 2 or 3 that the account tells in a digest."""
    far = payload.get("occasion") == notices.COMMISSION_ACCRUED and payload.get("level") in {2, 3}
    return far and settings.digest != "off"


def due_at(settings: Settings, payload: Mapping[str, Any], now: datetime) -> datetime:
    """When this notice may leave: `now`, or after its digest or the quiet hours. A damaged payload is never held back:
    its sender says what is wrong with it."""
    if payload.get("occasion") in notices.URGENT:
        return now
    at = now
    if is_for_digest(settings, payload):
        at = max(at, digest_at(settings, _told_at(payload, now)))
    return quiet_end(settings, at) or at


def _told_at(payload: Mapping[str, Any], now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(payload["at"])
    except (KeyError, TypeError, ValueError):
        return now
    return min(at, now) if at.tzinfo else now


def family_of(settings: Settings, payload: Mapping[str, Any]) -> str | None:
    """With which others of the same member this may be merged; None: it stands alone."""
    if is_for_digest(settings, payload):
        return DIGEST
    return _FAMILIES.get(payload.get("occasion", "")) if settings.merge_seconds else None


def window_of(settings: Settings, now: datetime) -> tuple[int, datetime]:
    """The stretch of `merge_seconds` that `now` lies in: its number, and its end."""
    number = int(now.timestamp()) // settings.merge_seconds
    end = datetime.fromtimestamp((number + 1) * settings.merge_seconds, now.tzinfo)
    return number, end


def merged(family: str, rows: Sequence[Claimed], now: datetime) -> Message:
    """The one message about several notices of a member. Its key is made from theirs: the same notices never make a
    second one. `parts` are the keys of the notices. Raises KeyError, TypeError or ValueError for damaged payloads."""
    first = rows[0]
    payload: dict[str, Any] = {
        "occasion": _OCCASIONS[family],
        "count": len(rows),
        "at": max(str(row.payload["at"]) for row in rows),
        "parts": [row.key.removeprefix("notice-") for row in rows],
    }
    if family == FRIENDS:
        payload["friends"] = [str(row.payload["friend"]) for row in rows[:4]]
    else:
        payload["amount_fen"] = sum(int(row.payload["amount_fen"]) for row in rows)
        payload["order_no"] = f"{first.payload['order_no']}+{len(rows) - 1}"
    key = short_digest("|".join(row.key for row in rows))
    return Message(first.account_id, outbox.NOTICE, f"merged-{key}", payload, now, first.member_id)
