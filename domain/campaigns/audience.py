"""Who is meant: filters that all have to hold. Followers who left or sent 退订 are never among them.

A WeChat tag is known to WeChat only: its members come page by page from the platform, and the other filters apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import accounts, events, members, windows
from domain.china import month_of
from domain.db import Sql, to_db
from domain.errors import Invalid

MASS: Final = "mass"
CUSTOM: Final = "custom"
SUBSCRIPTION: Final = "subscription"
PUBLISH: Final = "publish"
CHANNELS: Final = (MASS, CUSTOM, SUBSCRIPTION, PUBLISH)

_WILLING: Final = "m.muted = 0 AND m.promotions_muted = 0"
_TAGGED: Final = (
    "m.id IN (SELECT t.member_id FROM member_tag t WHERE t.account_id = ? AND t.tag_id = ?"
    " AND t.state IN ('set', 'add'))"
)

MASS_A_MONTH: Final = 4
"""What one follower is delivered in a month (platform.md 10)."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Filters; None or empty does not filter.

    tag: id of a WeChat tag. promoter: openid of the member whose team is meant, on `level` (1 to 3), or all three.
    grade: code of a grade. bought: True ever, False never. bought_since, not_bought_since, active_since: instants.
    language: as the follower chose it, such as zh-CN.
    """

    tag: int | None = None
    promoter: str = ""
    level: int | None = None
    grade: str = ""
    bought: bool | None = None
    bought_since: datetime | None = None
    not_bought_since: datetime | None = None
    active_since: datetime | None = None
    language: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Audience:
        """An audience from JSON values; `Invalid` names what cannot be."""
        names = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise Invalid("unknown filters of an audience", keys=unknown)
        read = dict(values)
        for name in ("bought_since", "not_bought_since", "active_since"):
            read[name] = _instant(name, values.get(name))
        wrong = [name for name, right in _RIGHT.items() if not right(read.get(name))]
        if wrong:
            raise Invalid("filters of an audience are out of range", keys=wrong)
        if read.get("level") is not None and not read.get("promoter"):
            raise Invalid("a level is the level of somebody's team: name the promoter")
        return cls(**{name: value for name, value in read.items() if value is not None})

    def as_value(self) -> dict[str, Any]:
        """The filters that are set, as JSON values."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value not in (None, "")
        }

    @property
    def is_everybody(self) -> bool:
        return self == Audience()

    @property
    def is_tag(self) -> bool:
        """Exactly the members of one WeChat tag."""
        return self.tag is not None and self == Audience(tag=self.tag)


def _is_text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 64 and value.isascii())


_RIGHT: Final = {
    "tag": lambda value: value is None or (type(value) is int and value > 0),
    "promoter": _is_text,
    "level": lambda value: value in (None, 1, 2, 3) and not isinstance(value, bool),
    "grade": _is_text,
    "bought": lambda value: value is None or isinstance(value, bool),
    "language": _is_text,
}


def _instant(name: str, value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Invalid("an instant such as 2026-11-22T10:00:00+08:00", key=name) from None
    if instant.tzinfo is None:
        raise Invalid("an instant needs its zone", key=name)
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions on `member m` for a WHERE, and their values."""

    text: str
    values: tuple[Any, ...]

    def and_(self, text: str, *values: Any) -> Where:
        return Where(f"{self.text} AND {text}", (*self.values, *values))


def where(
    session: Session,
    account_id: int,
    audience: Audience,
    channel: str,
    now: datetime,
    *,
    template_id: str = "",
) -> Where:
    """Who is meant, over this channel, at this moment. Raises `NotFound` for a promoter who is nobody."""
    found = _meant(session, account_id, audience).and_(_WILLING)
    if channel == MASS:
        return found.and_(
            "NOT EXISTS (SELECT 1 FROM mass_month q WHERE q.month = ? AND q.member_id = m.id AND q.sent >= ?)",
            month_of(now),
            MASS_A_MONTH,
        )
    if channel == CUSTOM:
        return _in_window(found, now)
    if channel == SUBSCRIPTION:
        return _with_credit(found, template_id)
    return found.and_("1 = 0")  # publishing reaches nobody's chat


def _meant(session: Session, account_id: int, audience: Audience) -> Where:
    """The filters alone, for followers; muted ones still among them."""
    found = Where("m.account_id = ? AND m.following = 1", (account_id,)).and_(
        "NOT EXISTS (SELECT 1 FROM blacklisted x WHERE x.account_id = ? AND x.openid = m.openid)",
        account_id,
    )
    if audience.promoter:
        levels = (audience.level,) if audience.level else (1, 2, 3)
        promoter = members.get(session, account_id, audience.promoter)
        marks = ", ".join("?" * len(levels))
        found = found.and_(
            f"m.id IN (SELECT r.descendant_id FROM relation r WHERE r.ancestor_id = ? AND r.level IN ({marks}))",
            promoter.id,
            *levels,
        )
    if audience.grade:
        found = found.and_("m.grade = ?", audience.grade)
    if audience.bought is not None:
        found = found.and_(f"m.first_paid_at IS {'NOT ' if audience.bought else ''}NULL")
    if audience.language:
        found = _speaking(session, account_id, found, audience.language)
    return _by_acts(found, audience)


def _speaking(session: Session, account_id: int, found: Where, language: str) -> Where:
    """Followers of a language; who has chosen none has the account's."""
    usual = accounts.settings_of(accounts.get_by_id(session, account_id)).language
    if language == usual:
        return found.and_("m.lang IN (?, '')", language)
    return found.and_("m.lang = ?", language)


def _by_acts(found: Where, audience: Audience) -> Where:
    bought = (
        "EXISTS (SELECT 1 FROM orders o WHERE o.member_id = m.id AND o.status IN ('paid', 'completed')"
        " AND o.paid_at >= ?)"
    )
    if audience.bought_since is not None:
        found = found.and_(bought, to_db(audience.bought_since))
    if audience.not_bought_since is not None:
        found = found.and_(f"NOT {bought}", to_db(audience.not_bought_since))
    if audience.active_since is not None:
        found = found.and_(
            "EXISTS (SELECT 1 FROM event e WHERE e.member_id = m.id AND e.at >= ? AND e.kind <> ?)",
            to_db(audience.active_since),
            events.LEAVE,
        )
    return found


def _in_window(found: Where, now: datetime) -> Where:
    """Those whom a customer-service message can probably reach: 48 h after a message, a minute after others
    (windows.py)."""
    tapped = to_db(now - windows.TAPPED + windows.MARGIN)
    return found.and_(
        "(EXISTS (SELECT 1 FROM service_window w WHERE w.member_id = m.id AND w.spent < ?"
        " AND (w.spoke_at > ? OR w.tapped_at > ?))"
        " OR EXISTS (SELECT 1 FROM event e WHERE e.member_id = m.id AND e.at > ? AND e.kind IN (?, ?)))",
        windows.SPOKEN_MESSAGES,
        to_db(now - windows.SPOKEN + windows.MARGIN),
        tapped,
        tapped,
        events.FOLLOW,
        events.SCAN,
    )


def _with_credit(found: Where, template_id: str) -> Where:
    """Those who allowed this subscription notice and have not been sent it since (subscriptions.py)."""
    return found.and_(
        "EXISTS (SELECT 1 FROM subscription_credit s WHERE s.member_id = m.id AND s.template_id = ?"
        " AND s.credits > 0)",
        template_id,
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """Before sending: `people` will be sent it. Left out are the `muted`, and those whom the channel cannot reach."""

    people: int
    muted: int
    unreachable: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.people + other.people,
            self.muted + other.muted,
            self.unreachable + other.unreachable,
        )


def count(
    session: Session,
    account_id: int,
    audience: Audience,
    channel: str,
    now: datetime,
    *,
    template_id: str = "",
    openids: Sequence[str] | None = None,
) -> Counted:
    """How many people an audience is now. Of a WeChat tag give its `openids`, a page (up to 10,000) at a time; without
    them it is who carried the tag when we last heard of it (tags.py)."""
    meant = _meant(session, account_id, audience)
    reached = where(session, account_id, audience, channel, now, template_id=template_id)
    if audience.tag is not None and openids is None:
        known = (_TAGGED, account_id, audience.tag)
        meant, reached = meant.and_(*known), reached.and_(*known)
    people = _count(session, reached, openids)
    muted = _count(session, meant.and_("(m.muted = 1 OR m.promotions_muted = 1)"), openids)
    willing = _count(session, meant.and_(_WILLING), openids)
    return Counted(people, muted, willing - people)


def _count(session: Session, condition: Where, openids: Sequence[str] | None) -> int:
    text = f"SELECT COUNT(*) AS people FROM member m WHERE {condition.text}"
    if openids is None:
        return int(Sql(text)(session, *condition.values).scalar_one())
    query = Sql(f"{text} AND m.openid IN (??)")
    return int(query.among(session, condition.values, openids).scalar_one())
