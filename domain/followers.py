"""粉丝: WeChat's list of followers against ours. A sync walks through WeChat's pages, then through our members who were
not on them, then through the profiles; each step is one transaction, and a killed one goes on where it stopped.

Pushes know better: what a page says counts as of a minute before it was asked for, and never overrides a later push.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import members
from domain.china import day_of
from domain.db import Sql, changed, is_key, to_db
from domain.errors import Invalid, NotFound
from domain.members import CLOCK_SKEW_SECONDS, CODE_LENGTH
from domain.models import FollowerSync
from domain.secrets import random_code

LIST: Final = "list"
ABSENT: Final = "absent"
PROFILES: Final = "profiles"
DONE: Final = "done"
FAILED: Final = "failed"

CHUNK: Final = 500
"""Openids of one transaction."""
PROFILES_AT_ONCE: Final = 100
REMARK_LENGTH: Final = 30


@dataclass(frozen=True, slots=True)
class Found:
    """What a step came to, in people."""

    joined: int = 0
    returned: int = 0


# --- beginning and looking ------------------------------------------------------------------------------------------


def begin(session: Session, account_id: int, *, actor: str, now: datetime) -> FollowerSync:
    """Begin a sync; the one that runs already, if there is one."""
    running = find_running(session, account_id)
    if running is not None:
        return running
    row = FollowerSync(
        account_id=account_id, open_key=account_id, state=LIST, next_openid="", after_id=0, actor=actor, started_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def find_running(session: Session, account_id: int) -> FollowerSync | None:
    """The account's sync that has not ended."""
    return session.scalar(select(FollowerSync).where(FollowerSync.open_key == account_id))


def latest(session: Session, account_id: int) -> FollowerSync | None:
    """The account's last sync, running or ended: its progress is for people."""
    query = select(FollowerSync).where(FollowerSync.account_id == account_id)
    return session.scalar(query.order_by(FollowerSync.id.desc()).limit(1))


def due(session: Session, now: datetime) -> list[tuple[int, int]]:
    """(sync, account) of what runs and does not wait for WeChat's quota."""
    query = select(FollowerSync.id, FollowerSync.account_id).where(
        FollowerSync.open_key.is_not(None),
        (FollowerSync.retry_at.is_(None)) | (FollowerSync.retry_at <= now),
    )
    return [(row.id, row.account_id) for row in session.execute(query.order_by(FollowerSync.id))]


def get(session: Session, sync_id: int) -> FollowerSync:
    """A sync, or `NotFound`."""
    row = session.get(FollowerSync, sync_id)
    if row is None:
        raise NotFound("no such sync", sync=sync_id)
    return row


def as_value(row: FollowerSync) -> dict[str, Any]:
    """A sync as JSON values."""
    names = ("id", "state", "total", "listed", "joined", "returned", "profiles", "last_error", "actor", "started_at",
             "retry_at", "finished_at")  # fmt: skip
    return {name: getattr(row, name) for name in names} | {"left": row.left_count}


def wait(session: Session, sync_id: int, until: datetime, error: str) -> None:
    """WeChat would not answer now: go on at `until`."""
    query = update(FollowerSync).where(FollowerSync.id == sync_id)
    session.execute(query.values(retry_at=until, last_error=error[:190]))


def fail(session: Session, sync_id: int, error: str, now: datetime) -> None:
    """End a sync that cannot go on; what it found so far stays."""
    query = update(FollowerSync).where(FollowerSync.id == sync_id)
    session.execute(
        query.values(state=FAILED, open_key=None, last_error=error[:190], finished_at=now)
    )
    _FORGET_SEEN(session, sync_id)


_FORGET_SEEN = Sql("DELETE FROM seen_follower WHERE sync_id = ?")


# --- the list -------------------------------------------------------------------------------------------------------

_JOIN = Sql(
    "INSERT IGNORE INTO member"
    " (account_id, openid, code, status, grade, promoter, following, follow_changed_at, joined_at, muted)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO member"
    " (account_id, openid, code, status, grade, promoter, following, follow_changed_at, joined_at, muted)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
)
_KNOWN = Sql(
    "SELECT id, openid, following, follow_changed_at FROM member WHERE account_id = ? AND openid IN (??)"
)
_SEE = Sql(
    "INSERT IGNORE INTO seen_follower (sync_id, member_id) VALUES (?, ?)",
    sqlite="INSERT OR IGNORE INTO seen_follower (sync_id, member_id) VALUES (?, ?)",
)
_MARK_NEW = Sql("INSERT INTO tag_mark (account_id, member_id) VALUES (?, ?)")


def take_chunk(
    session: Session, sync: FollowerSync, openids: Sequence[str], asked_at: datetime, now: datetime
) -> Found:
    """At most `CHUNK` openids of a page that was asked for at `asked_at`. Who is unknown becomes a member without a
    referrer; whom we thought gone follows again, unless a push after that moment said otherwise."""
    if len(openids) > CHUNK:
        raise ValueError(f"at most {CHUNK} openids at once")
    wanted = [openid for openid in openids if is_key(openid)]
    seen_at = int(asked_at.timestamp()) - CLOCK_SKEW_SECONDS
    known = {row.openid: row for row in _KNOWN.among(session, (sync.account_id,), sorted(wanted))}
    new = [openid for openid in dict.fromkeys(wanted) if openid not in known]
    joined: list[int] = []
    while new:  # a code that is taken leaves its row out: one in 34 thousand million
        _JOIN.many(
            session,
            [
                (sync.account_id, openid, random_code(CODE_LENGTH), "active", "", "", 1, seen_at, to_db(now), 0)
                for openid in new
            ],
        )  # fmt: skip
        rows = _KNOWN.among(session, (sync.account_id,), sorted(new)).all()
        known |= {row.openid: row for row in rows}
        joined += [row.id for row in rows]
        new = [openid for openid in new if openid not in known]
    returned = [
        row.id
        for row in known.values()
        if not row.following and members.found_following(session, row.id, seen_at)
    ]
    _SEE.many(session, [(sync.id, row.id) for row in known.values()])
    _MARK_NEW.many(session, [(sync.account_id, each) for each in (*joined, *returned)])
    return Found(len(joined), len(returned))


def count_found(session: Session, sync_id: int, found: Found) -> None:
    """Add what a chunk came to, in its transaction."""
    session.execute(
        update(FollowerSync)
        .where(FollowerSync.id == sync_id)
        .values(
            joined=FollowerSync.joined + found.joined, returned=FollowerSync.returned + found.returned
        )
    )  # fmt: skip


def turn_page(
    session: Session, sync_id: int, was: str, following: str, listed: int, total: int | None
) -> bool:
    """A page of `listed` people is done; go on after `following`, or to the absent when it was the last. False when
    another worker turned it first (`was` is where this one stood)."""
    ends = not following or following == was
    values: dict[str, Any] = {
        "next_openid": following if not ends else "", "listed": FollowerSync.listed + listed, "retry_at": None,
        "last_error": None,
    }  # fmt: skip
    if total is not None:
        values["total"] = total
    if ends:
        values |= {"state": ABSENT, "after_id": 0}
    query = update(FollowerSync).where(
        FollowerSync.id == sync_id, FollowerSync.state == LIST, FollowerSync.next_openid == was
    )
    return changed(session.execute(query.values(**values))) == 1


# --- who was not on the list ----------------------------------------------------------------------------------------

_ABSENT = Sql(
    "SELECT m.id, m.openid FROM member m LEFT JOIN seen_follower s ON s.sync_id = ? AND s.member_id = m.id"
    " WHERE m.account_id = ? AND m.id > ? AND m.following = 1 AND m.follow_changed_at < ? AND s.member_id IS NULL"
    " ORDER BY m.id LIMIT ?"
)


def absent(session: Session, sync: FollowerSync) -> list[tuple[int, str]]:
    """The next members who follow as far as we know and were not on the list: (id, openid). WeChat is asked about each
    of them before anything is done, because a list that came short must not erase anybody."""
    since = int(sync.started_at.timestamp()) - CLOCK_SKEW_SECONDS
    rows = _ABSENT(session, sync.id, sync.account_id, sync.after_id, since, PROFILES_AT_ONCE)
    return [(row.id, row.openid) for row in rows]


def settle_absent(
    session: Session, sync: FollowerSync, asked: Sequence[int], gone: Sequence[int], asked_at: datetime
) -> int:  # fmt: skip
    """WeChat said that `gone` of the `asked` do not follow; how many of them that was news for. With
    nobody asked the next state begins."""
    left = sum(members.found_gone(session, member_id, asked_at) for member_id in gone)
    values: dict[str, Any] = {"left_count": FollowerSync.left_count + left, "retry_at": None}
    values |= {"after_id": asked[-1]} if asked else {"state": PROFILES, "after_id": 0}
    session.execute(update(FollowerSync).where(FollowerSync.id == sync.id).values(**values))
    return left


# --- profiles -------------------------------------------------------------------------------------------------------

_FOLLOWING = Sql(
    "SELECT id, openid FROM member WHERE account_id = ? AND id > ? AND following = 1 ORDER BY id LIMIT ?"
)
_PROFILE_COLUMNS = (
    "SELECT id, openid, unionid, remark FROM member WHERE following = 1 AND id IN (??)"
)
_PROFILE = Sql(f"{_PROFILE_COLUMNS} ORDER BY id FOR UPDATE", sqlite=_PROFILE_COLUMNS)
_TAGS = Sql("SELECT member_id, tag_id, state FROM member_tag WHERE member_id IN (??)")
_ADD_TAG = Sql(
    "INSERT INTO member_tag (member_id, tag_id, account_id, state, ours) VALUES (?, ?, ?, 'set', 0)"
)
_DROP_TAG = Sql("DELETE FROM member_tag WHERE member_id = ? AND tag_id = ? AND state = 'set'")


@dataclass(frozen=True, slots=True)
class Profile:
    """What WeChat tells of a follower."""

    openid: str
    unionid: str | None
    remark: str
    tag_ids: tuple[int, ...]


def to_ask(session: Session, sync: FollowerSync) -> list[tuple[int, str]]:
    """The next followers whose profiles are asked for: (id, openid)."""
    rows = _FOLLOWING(session, sync.account_id, sync.after_id, PROFILES_AT_ONCE)
    return [(row.id, row.openid) for row in rows]


def learn(session: Session, account_id: int, profiles: Mapping[int, Profile]) -> list[int]:
    """Keep unionid, remark and tags of these members; who got a unionid they did not have, in order that waiting orders
    find them. Tags that wait to be told to WeChat stay as they are. Who left while WeChat was asked is erased by now,
    and stays so."""
    news: list[int] = []
    known: dict[int, Profile] = {}
    for row in _PROFILE.among(session, (), sorted(profiles)):
        told = known[row.id] = profiles[row.id]
        remark = told.remark[:REMARK_LENGTH] or None
        if told.unionid is not None and told.unionid != row.unionid:
            members.set_unionid(session, row.id, told.unionid)
            news.append(row.id)
        if remark != row.remark:
            members.set_remark(session, row.id, remark)
    _learn_tags(session, account_id, known)
    return news


def _learn_tags(session: Session, account_id: int, profiles: Mapping[int, Profile]) -> None:
    have: dict[int, dict[int, str]] = {member_id: {} for member_id in profiles}
    for row in _TAGS.among(session, (), sorted(profiles)):
        have[row.member_id][row.tag_id] = row.state
    new, gone = [], []
    for member_id, told in sorted(profiles.items()):
        new += [(member_id, tag, account_id) for tag in set(told.tag_ids) - have[member_id].keys()]
        gone += [
            (member_id, tag)
            for tag, state in have[member_id].items()
            if state == "set" and tag not in told.tag_ids
        ]
    _ADD_TAG.many(session, sorted(new))
    _DROP_TAG.many(session, sorted(gone))


def step_profiles(session: Session, sync_id: int, last_id: int | None, asked: int, now: datetime) -> None:  # fmt: skip
    """`asked` profiles were read, up to the member `last_id`; None: there was nobody left, and the sync is done."""
    values: dict[str, Any] = {"profiles": FollowerSync.profiles + asked, "retry_at": None}
    if last_id is None:
        values |= {"state": DONE, "open_key": None, "finished_at": now, "last_error": None}
        _FORGET_SEEN(session, sync_id)
    else:
        values["after_id"] = last_id
    session.execute(update(FollowerSync).where(FollowerSync.id == sync_id).values(**values))


# --- figures --------------------------------------------------------------------------------------------------------


def check_remark(remark: str) -> str:
    """The remark as WeChat takes it: fewer than 30 bytes. Raises `Invalid`."""
    kept = " ".join(remark.split())
    if len(kept.encode()) >= REMARK_LENGTH:
        raise Invalid(f"a remark has fewer than {REMARK_LENGTH} bytes", bytes=len(kept.encode()))
    return kept


def nightly(session: Session, account_id: int, now: datetime) -> FollowerSync | None:
    """Begin the night's sync unless one began today (Beijing's): called often, does something once."""
    last = latest(session, account_id)
    if last is not None and day_of(last.started_at) >= day_of(now):
        return None
    return begin(session, account_id, actor="clock", now=now)
