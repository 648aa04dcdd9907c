"""绑定: whose friend a member is. First committed touch wins, unless the account chose otherwise.

`member.referrer_id` is the truth at any depth, `relation` its closure over the three paid levels, `tally` the figures
that the chat shows; all three change here and only here.

Locks (money.md 2.3; docs/decisions.md): the member's own row first (the caller has it), then the referrer and the one
above shared, because both become part of our closure. Nobody can join below us meanwhile: they would need our row. Only
a member who has downlines can close a cycle or has a closure below, so only they take the account's tree lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import events, notices, webhooks
from domain.accounts import OpenAccount, Settings
from domain.db import Sql, is_key, to_db
from domain.tally import Changes

PAID_LEVELS: Final = 3
MOVE_AT_ONCE: Final = 1000
"""A larger team is not moved inside one transaction: a scan is refused, staff start a move (moves.py)."""

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


_FOUND = Sql(
    "SELECT s.id AS scene_id, s.kind, s.sku, p.id, p.status, p.code, p.nickname FROM scene s"
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
# Counted up to the limit and before anything is locked: FOR UPDATE would lock every row it reads.
_TEAM_SIZE = Sql(
    "SELECT COUNT(*) FROM"
    " (SELECT 1 AS one FROM relation WHERE ancestor_id = ? AND level IN (1, 2) LIMIT ?) team"
)
_SUBTREE = (
    "SELECT m.id, r.level, m.following, m.first_paid_at FROM relation r JOIN member m ON m.id = r.descendant_id"
    " WHERE r.ancestor_id = ? AND r.level IN (1, 2) ORDER BY m.id"
)
_SUBTREE_LOCKED = Sql(_SUBTREE + " FOR UPDATE", sqlite=_SUBTREE)
_ABOVE = Sql(
    "SELECT ancestor_id, level, descendant_id FROM relation WHERE descendant_id IN (??)"
    " ORDER BY descendant_id, level"
)
_SET_REFERRER = Sql(
    "UPDATE member SET referrer_id = ?, bound_at = ?, bound_scene_id = ? WHERE id = ?"
)
_RELATE = Sql("INSERT INTO relation (ancestor_id, level, descendant_id) VALUES (?, ?, ?)")
_UNRELATE = Sql(
    "DELETE FROM relation WHERE ancestor_id = ? AND level = ? AND descendant_id IN (??)"
)
_TRUE_CHAINS = Sql(
    "SELECT a.id, a.referrer_id AS first, b.referrer_id AS second, c.referrer_id AS third FROM member a"
    " LEFT JOIN member b ON b.id = a.referrer_id LEFT JOIN member c ON c.id = b.referrer_id"
    " WHERE a.id IN (??)"
)
_MOVING = "SELECT id, following, first_paid_at FROM member WHERE id IN (??) ORDER BY id"
_MOVING_LOCKED = Sql(_MOVING + " FOR UPDATE", sqlite=_MOVING)
_HISTORY = Sql(
    "INSERT INTO binding_history"
    " (account_id, member_id, seq, from_referrer_id, to_referrer_id, scene_id, reason, actor, at)"
    " SELECT ?, ?, COALESCE(MAX(seq), 0) + 1, ?, ?, ?, ?, ?, ? FROM binding_history WHERE member_id = ?"
)


@dataclass(frozen=True, slots=True)
class Found:
    """The scene behind a code, and the promoter it leads to, if it leads to one."""

    scene_id: int
    kind: str
    sku: str | None
    promoter_id: int | None
    status: str | None
    code: str | None
    nickname: str | None


def look_up(session: Session, account_id: int, scene_code: str | None) -> Found | None:
    """What a code of this account carries; None for one that is unknown here."""
    if scene_code is None or not is_key(scene_code):  # anybody can print a code with anything in it
        return None
    row = _FOUND(session, account_id, scene_code).one_or_none()
    return None if row is None else Found(*row)


def by_scan(
    session: Session,
    account: OpenAccount,
    person: Person,
    found: Found | None,
    by_follow: bool,
    push_key: str,
    changes: Changes,
    now: datetime,
    *,
    reason: str = "scan",
) -> tuple[str | None, str | None]:
    """Bind `person`, whose row is locked, to the promoter behind a code; `found` is None for one that nobody knows,
    `by_follow`: they came by subscribing; `reason` is what the history says ("scan", or "link" for a promoter's link).

    (referrer's name, None) when bound now, (None, reason) when refused, (None, None) for a code that binds nobody.
    The referrer hears at once; a refusal is recorded with its reason.
    """
    if found is not None and found.promoter_id is None:
        return None, None
    refused: str | None = UNKNOWN_SCENE
    if found is not None and found.promoter_id is not None:
        refused = _refusal(account.settings, person, found, by_follow, now)
        if refused is None:
            refused = set_referrer(
                session, account.id, person, found.promoter_id,
                scene_id=found.scene_id, reason=reason, actor="follower", changes=changes, now=now,
            )  # fmt: skip
    if found is None or found.promoter_id is None or refused is not None:
        scene_id = None if found is None else found.scene_id
        events.record(
            session, account.id, f"{push_key}-refused", events.BIND_REFUSED, now,
            member_id=person.id, scene_id=scene_id, detail=refused,
        )  # fmt: skip
        return None, refused
    news = notices.News(
        account.id, found.promoter_id, notices.FRIEND_JOINED, f"joined-{person.id}-{push_key}",
        {"friend": person.name, "at": now.isoformat()},
    )  # fmt: skip
    notices.tell(session, [news], now)
    return display_name(found.nickname, found.code or ""), None


def _refusal(
    settings: Settings, person: Person, promoter: Found, by_follow: bool, now: datetime
) -> str | None:
    """Why this scan binds nobody, as far as it shows before a lock is taken."""
    if promoter.promoter_id == person.id:
        return SELF
    if promoter.status != "active":
        return SUSPENDED
    if not by_follow and not settings.bind_existing:
        return EXISTING_FOLLOWER
    if person.referrer_id is None:
        return None
    if person.referrer_id == promoter.promoter_id or settings.bind_policy == "first_touch":
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
    team_follows_later: bool = False,
) -> str | None:
    """Bind, rebind or clear (None), with closure, figures and history; None, or why it was refused.

    `person` was read with their row locked. Old orders keep their uplines: only later ones follow the new binding.
    `team_follows_later`: only the person's own closure changes now, a move (moves.py) takes the team along.
    """
    moving = [_Moving(person.id, 0, person.following, person.first_paid)]
    has_team = _HAS_DOWNLINE(session, person.id).first() is not None
    if has_team:
        lock_tree(session, account_id)
    chain: list[int] = []
    if referrer_id is not None:
        above = _CHAIN_SHARED(session, referrer_id).one()
        chain = [one for one in (above.first, above.second, above.third) if one is not None]
        # Climb after locking: a referrer who had no team of their own may have joined our team a moment ago.
        if person.id in chain or (has_team and _is_above(session, person.id, referrer_id)):
            return CYCLE
    if has_team and not team_follows_later:
        if team_size(session, person.id, MOVE_AT_ONCE + 1) > MOVE_AT_ONCE:
            return TEAM_TOO_LARGE
        moving += [
            _Moving(row.id, row.level, bool(row.following), row.first_paid_at is not None)
            for row in _SUBTREE_LOCKED(session, person.id)
        ]
    _replace_above(session, chain, moving, changes)
    _SET_REFERRER(session, referrer_id, to_db(now) if referrer_id else None, scene_id, person.id)
    _HISTORY(
        session, account_id, person.id, person.referrer_id, referrer_id, scene_id, reason, actor, to_db(now), person.id
    )  # fmt: skip
    subject = {"member": person.id, "referrer": referrer_id, "reason": reason}
    bound = webhooks.Happened(
        webhooks.MEMBER_BOUND, f"bound-{person.id}-{now:%Y%m%d%H%M%S%f}", subject
    )
    webhooks.tell(session, account_id, [bound], now)
    return None


def lock_tree(session: Session, account_id: int) -> None:
    """Take the account's tree lock until the end of the transaction: no team moves meanwhile."""
    _LOCK_TREE(session, account_id)


def team_size(session: Session, member_id: int, limit: int) -> int:
    """How many members a move of this one takes along (two levels: the third has no upline above), up to `limit`."""
    return int(_TEAM_SIZE(session, member_id, limit).one()[0])


@dataclass(frozen=True, slots=True)
class _Moving:
    """Somebody whose uplines change; `depth` levels below the one who was rebound."""

    id: int
    depth: int
    following: bool
    bought: bool


def _replace_above(
    session: Session, chain: list[int], moving: list[_Moving], changes: Changes
) -> None:
    """Put `chain` (nearest first) above those who move, in place of whatever is stored above the one rebound.

    The rows that are really there are taken away, not those that should be: a move that is still under way may have
    left some of the team under the earlier uplines.
    """
    people = {one.id: one for one in moving}
    stored = _ABOVE.among(session, (), people).all()
    _unrelate(
        session,
        [tuple(row) for row in stored if row.level > people[row.descendant_id].depth],
        people,
        changes,
    )
    _relate(
        session,
        [
            (ancestor_id, height + one.depth, one.id)
            for height, ancestor_id in enumerate(chain, start=1)
            for one in moving
            if height + one.depth <= PAID_LEVELS
        ],
        people,
        changes,
    )


Row = tuple[int, int, int]
"""A closure row: (ancestor, level, descendant)."""


def _relate(
    session: Session, rows: list[Row], people: dict[int, _Moving], changes: Changes
) -> None:
    _RELATE.many(session, rows)
    _count(rows, people, 1, changes)


def _unrelate(
    session: Session, rows: list[Row], people: dict[int, _Moving], changes: Changes
) -> None:
    """Those who move share their uplines, so a handful of statements takes a thousand rows."""
    groups: dict[tuple[int, int], list[int]] = {}
    for ancestor_id, level, descendant_id in rows:
        groups.setdefault((ancestor_id, level), []).append(descendant_id)
    for (ancestor_id, level), descendant_ids in sorted(groups.items()):
        _UNRELATE.among(session, (ancestor_id, level), descendant_ids)
    _count(rows, people, -1, changes)


def _count(rows: list[Row], people: dict[int, _Moving], sign: int, changes: Changes) -> None:
    for ancestor_id, level, descendant_id in rows:
        one = people[descendant_id]
        changes.add(
            ancestor_id,
            level,
            people=sign,
            following=sign * one.following,
            buyers=sign * one.bought,
        )


@dataclass(frozen=True, slots=True)
class Wrong:
    """A closure row that differed from what `referrer_id` says: `stands` is "missing" or "too many"."""

    member_id: int
    level: int
    ancestor_id: int
    stands: str


def reconcile(session: Session, member_ids: Iterable[int], changes: Changes) -> list[Wrong]:
    """Make the closure above these members (at most a thousand) what `referrer_id` says, and `changes` with it.

    The caller holds the tree lock, so nobody above them moves; their own rows are locked here. What is right already
    is left alone: it may be called for anybody, any number of times.
    """
    people = {
        row.id: _Moving(row.id, 0, bool(row.following), row.first_paid_at is not None)
        for row in _MOVING_LOCKED.among(session, (), sorted(member_ids))
    }
    expected = {
        row
        for chain in _TRUE_CHAINS.among(session, (), people)
        for row in closure_of(chain.id, (chain.first, chain.second, chain.third))
    }
    found: set[Row] = {tuple(row) for row in _ABOVE.among(session, (), people)}
    _unrelate(session, sorted(found - expected), people, changes)
    _relate(session, sorted(expected - found), people, changes)
    return [
        Wrong(member_id, level, ancestor_id, "missing" if (ancestor_id, level, member_id) in expected else "too many")
        for ancestor_id, level, member_id in sorted(expected ^ found, key=lambda row: (row[2], row[1]))
    ]  # fmt: skip


def closure_of(member_id: int, chain: Iterable[int | None]) -> list[Row]:
    """The closure rows of a member whose uplines are `chain`, nearest first. A chain that comes back to somebody
    (a cycle, which only damage can make) ends there."""
    rows: list[Row] = []
    seen = {member_id}
    for level, ancestor_id in enumerate(chain, start=1):
        if ancestor_id is None or ancestor_id in seen:
            break
        seen.add(ancestor_id)
        rows.append((ancestor_id, level, member_id))
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
