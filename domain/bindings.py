"""绑定: whose friend a member is. First committed touch wins, unless the account chose otherwise.

`member.referrer_id` is the truth at any depth, `relation` its closure over the three paid levels, `tally` the figures
that the chat shows; all three change here and only here.

Locks (money.md 2.3; docs/decisions.md): the member's own row first (the caller has it), then the referrer and the one
above shared, because both become part of our closure. Nobody can join below us meanwhile: they would need our row. Only
a member who has downlines can close a cycle or has a closure below, so only they take the account's tree lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import events, notices
from domain.accounts import OpenAccount, Settings
from domain.db import Sql, is_key, to_db
from domain.tally import Changes

PAID_LEVELS: Final = 3
MOVE_AT_ONCE: Final = 1000
"""A larger team is not moved inside a request: it is refused there."""

# Why a binding was refused; the words are in texts.py under `refused.<reason>`.
SELF: Final = "self"
CYCLE: Final = "cycle"
UNKNOWN_SCENE: Final = "unknown_scene"
SUSPENDED: Final = "suspended"
BOUND_ALREADY: Final = "bound_already"
EXISTING_FOLLOWER: Final = "existing_follower"
TEAM_TOO_LARGE: Final = "team_too_large"


@dataclass(frozen=True, slots=True)
class Person:
    """A member as the binding rules see one."""

    id: int
    code: str
    nickname: str | None
    referrer_id: int | None
    bound_at: datetime | None
    following: bool
    follow_changed_at: int
    first_paid: bool

    @property
    def name(self) -> str:
        return display_name(self.nickname, self.code)


def display_name(nickname: str | None, code: str) -> str:
    """WeChat tells no names any more: until a member gives one, it is 会员·code."""
    return nickname or f"会员·{code}"


_PROMOTER = Sql(
    "SELECT s.id AS scene_id, s.kind, p.id, p.status, p.code, p.nickname FROM scene s"
    " LEFT JOIN member p ON p.id = s.member_id WHERE s.account_id = ? AND s.code = ?"
)
_CHAIN = (
    "SELECT a.id AS first, a.referrer_id AS second, b.referrer_id AS third FROM member a"
    " LEFT JOIN member b ON b.id = a.referrer_id WHERE a.id = ?"
)
_CHAIN_SHARED = Sql(_CHAIN + " LOCK IN SHARE MODE", sqlite=_CHAIN)
_HAS_DOWNLINE = Sql("SELECT 1 FROM member WHERE referrer_id = ? LIMIT 1")
_LOCK_TREE = Sql("UPDATE tree SET version = version + 1 WHERE account_id = ?")
_CLIMB = Sql(
    "SELECT a.referrer_id, b.referrer_id, c.referrer_id, d.referrer_id FROM member a"
    " LEFT JOIN member b ON b.id = a.referrer_id LEFT JOIN member c ON c.id = b.referrer_id"
    " LEFT JOIN member d ON d.id = c.referrer_id WHERE a.id = ?"
)
_SUBTREE = (
    "SELECT m.id, r.level, m.following, m.first_paid_at FROM relation r JOIN member m ON m.id = r.descendant_id"
    " WHERE r.ancestor_id = ? AND r.level < ? ORDER BY m.id LIMIT ?"
)
_SUBTREE_LOCKED = Sql(_SUBTREE + " FOR UPDATE", sqlite=_SUBTREE)
_UPLINES = Sql("SELECT level, ancestor_id FROM relation WHERE descendant_id = ? ORDER BY level")
_SET_REFERRER = Sql(
    "UPDATE member SET referrer_id = ?, bound_at = ?, bound_scene_id = ? WHERE id = ?"
)
_RELATE = Sql("INSERT INTO relation (ancestor_id, level, descendant_id) VALUES (?, ?, ?)")
_UNRELATE = Sql("DELETE FROM relation WHERE ancestor_id = ? AND level = ? AND descendant_id = ?")
_HISTORY = Sql(
    "INSERT INTO binding_history"
    " (account_id, member_id, seq, from_referrer_id, to_referrer_id, scene_id, reason, actor, at)"
    " SELECT ?, ?, COALESCE(MAX(seq), 0) + 1, ?, ?, ?, ?, ?, ? FROM binding_history WHERE member_id = ?"
)


def by_scan(
    session: Session,
    account: OpenAccount,
    person: Person,
    scene_code: str,
    by_follow: bool,
    push_key: str,
    changes: Changes,
    now: datetime,
) -> tuple[str | None, str | None]:
    """Bind `person`, whose row is locked, to the promoter behind a code; `by_follow`: they came by subscribing.

    (referrer's name, None) when bound now, (None, reason) when refused, (None, None) for a code that binds nobody.
    The referrer hears at once; a refusal is recorded with its reason.
    """
    promoter = None
    if is_key(scene_code):  # anybody can print a code with anything in it
        promoter = _PROMOTER(session, account.id, scene_code).one_or_none()
    if promoter is not None and promoter.kind != "promoter":
        return None, None
    refused: str | None = UNKNOWN_SCENE
    if promoter is not None:
        refused = _refusal(account.settings, person, promoter, by_follow, now)
    if promoter is not None and refused is None:
        refused = set_referrer(
            session, account.id, person, promoter.id,
            scene_id=promoter.scene_id, reason="scan", actor="follower", changes=changes, now=now,
        )  # fmt: skip
    if promoter is None or refused is not None:
        scene_id = None if promoter is None else promoter.scene_id
        events.record(
            session, account.id, f"{push_key}-refused", events.BIND_REFUSED, now,
            member_id=person.id, scene_id=scene_id, detail=refused,
        )  # fmt: skip
        return None, refused
    news = notices.News(
        account.id, promoter.id, notices.FRIEND_JOINED, f"joined-{person.id}-{push_key}",
        {"friend": person.name, "at": now.isoformat()},
    )  # fmt: skip
    notices.tell(session, [news], now)
    return display_name(promoter.nickname, promoter.code), None


def _refusal(
    settings: Settings, person: Person, promoter: Any, by_follow: bool, now: datetime
) -> str | None:
    """Why this scan binds nobody, as far as it shows before a lock is taken."""
    if promoter.id == person.id:
        return SELF
    if promoter.status != "active":
        return SUSPENDED
    if not by_follow and not settings.bind_existing:
        return EXISTING_FOLLOWER
    if person.referrer_id is None:
        return None
    if person.referrer_id == promoter.id or settings.bind_policy == "first_touch":
        return BOUND_ALREADY
    protected_until = (person.bound_at or now) + timedelta(days=settings.protect_days)
    if settings.bind_policy == "protected" and now < protected_until:
        return BOUND_ALREADY
    return None


def set_referrer(
    session: Session,
    account_id: int,
    person: Person,
    referrer_id: int | None,
    *,
    scene_id: int | None,
    reason: str,
    actor: str,
    changes: Changes,
    now: datetime,
) -> str | None:
    """Bind, rebind or clear (None), with closure, figures and history; None, or why it was refused.

    `person` was read with their row locked. Old orders keep their uplines: only later ones follow the new binding.
    """
    moving = [(person.id, 0, person.following, person.first_paid)]
    has_team = _HAS_DOWNLINE(session, person.id).first() is not None
    if has_team:
        _LOCK_TREE(session, account_id)
    chain: list[int] = []
    if referrer_id is not None:
        above = _CHAIN_SHARED(session, referrer_id).one()
        chain = [one for one in (above.first, above.second, above.third) if one is not None]
        # Climb after locking: a referrer who had no team of their own may have joined our team a moment ago.
        if person.id in chain or (has_team and _is_above(session, person.id, referrer_id)):
            return CYCLE
    if has_team:
        team = _SUBTREE_LOCKED(session, person.id, PAID_LEVELS, MOVE_AT_ONCE + 1).all()
        if len(team) > MOVE_AT_ONCE:
            return TEAM_TOO_LARGE
        moving += [
            (row.id, row.level, bool(row.following), row.first_paid_at is not None) for row in team
        ]
    before = [row.ancestor_id for row in _UPLINES(session, person.id)]
    _UNRELATE.many(session, _count(before, moving, -1, changes))
    _RELATE.many(session, _count(chain, moving, 1, changes))
    _SET_REFERRER(session, referrer_id, to_db(now) if referrer_id else None, scene_id, person.id)
    _HISTORY(
        session,
        account_id,
        person.id,
        person.referrer_id,
        referrer_id,
        scene_id,
        reason,
        actor,
        to_db(now),
        person.id,
    )
    return None


def _count(
    chain: list[int], moving: list[tuple[int, int, bool, bool]], sign: int, changes: Changes
) -> list[tuple[int, int, int]]:
    """The closure rows between `chain` (nearest first) and those who move, each counted in `changes`."""
    rows = []
    for height, ancestor_id in enumerate(chain, start=1):
        for member_id, depth, following, bought in moving:
            level = height + depth
            if level <= PAID_LEVELS:
                rows.append((ancestor_id, level, member_id))
                changes.add(
                    ancestor_id,
                    level,
                    people=sign,
                    following=sign * following,
                    buyers=sign * bought,
                )
    return rows


def _is_above(session: Session, member_id: int, start_id: int) -> bool:
    """Whether `member_id` is `start_id` or stands above it, at any depth: four levels a statement, up to the root.
    A recursive query would stop at the server's recursion limit without saying so."""
    climbing: int | None = start_id
    while climbing is not None:
        if climbing == member_id:
            return True
        steps = _CLIMB(session, climbing).one()
        if member_id in steps:
            return True
        climbing = None if None in steps else steps[3]
    return False
