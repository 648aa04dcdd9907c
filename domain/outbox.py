"""发件箱: messages that must leave. The row is the message; a job is only a doorbell (money.md 2.5).

`pending → claimed → done`, or `dead` (never), or `unsure` (sent perhaps). A claim is a lease: a worker that dies
gives its rows back when the lease runs out, and every repeat carries the same client id.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.db import Sql, changed, maybe_from_db, to_db, to_json
from domain.errors import Invalid
from domain.models import Instant, Outbox

NOTICE: Final = "notice"
POSTER: Final = "poster"
PROFILE: Final = "profile"
PAYOUT: Final = "payout"
WEBHOOK: Final = "webhook"
ALERT: Final = "alert"
REPLY: Final = "reply"
BROADCAST_TEST: Final = "broadcast_test"
CODE: Final = "code"
TOPICS: Final = (NOTICE, POSTER, PROFILE, PAYOUT, WEBHOOK, ALERT, REPLY, BROADCAST_TEST, CODE)

LEASE_SECONDS: Final = 90
DEDUPE_SECONDS: Final = 600
"""WeChat sends the same openid and client_msg_id once within ten minutes (platform.md 7)."""
DEDUPE_MARGIN_SECONDS: Final = 15
MAX_ATTEMPTS: Final = 8
"""A row that fails for a reason of ours is given up then: it would fail for ever."""
PATIENT_ATTEMPTS: Final = 40
"""A row that fails because WeChat or the network is away: given up after about three days."""
BACKOFF_SECONDS: Final = (5, 15, 60, 120, 240, 1800, 3600, 7200)

_INSERT = Sql(
    "INSERT INTO outbox (account_id, member_id, topic, dedupe_key, payload, state, attempts, next_at, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_NEW = Sql(
    "INSERT IGNORE INTO outbox"
    " (account_id, member_id, topic, dedupe_key, payload, state, attempts, next_at, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO outbox (account_id, member_id, topic, dedupe_key, payload, state, attempts, next_at,"
    " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
)
_DUE = Sql(
    "SELECT id FROM outbox WHERE state = ? AND topic = ? AND next_at <= ? ORDER BY next_at, id LIMIT ?"
)
_PRUNABLE = Sql(
    "SELECT id FROM outbox WHERE state = 'done' AND topic = ? AND next_at < ? ORDER BY next_at, id LIMIT ?"
)
_PRUNE = Sql("DELETE FROM outbox WHERE state = 'done' AND id IN (??)")
_DUE_TOPICS = Sql(
    "SELECT DISTINCT topic FROM outbox WHERE state IN ('pending', 'claimed') AND next_at <= ?"
)
_DOUBT = Sql(
    "UPDATE outbox SET state = 'unsure' WHERE state = 'pending' AND topic = ? AND next_at <= ? AND first_try_at < ?"
)
_CLAIM = Sql(
    "UPDATE outbox SET state = 'claimed', lease_token = ?, next_at = ?, attempts = attempts + 1,"
    " first_try_at = COALESCE(first_try_at, ?) WHERE state = ? AND next_at <= ? AND id IN (??)"
)
_CLAIMED = Sql(
    "SELECT id, account_id, member_id, topic, dedupe_key, payload, attempts, first_try_at, channel FROM outbox"
    " WHERE lease_token = ? AND state = 'claimed' ORDER BY id"
)
_FINISH = (
    "UPDATE outbox SET state = ?, next_at = ?, attempts = attempts + ?, last_error = ?, done_at = ?,"
    " delivery = COALESCE(?, delivery), channel = COALESCE(?, channel),"
    " first_try_at = CASE WHEN ? = 1 THEN NULL ELSE first_try_at END,"
    " lease_token = NULL{msgids} WHERE lease_token = ? AND id IN (??)"
)
_MSGIDS = ", provider_msg_id = CASE id{cases} END"
_DELIVERED = Sql(
    "UPDATE outbox SET delivery = ?, delivered_at = ?, state = CASE WHEN state = 'unsure' THEN 'done' ELSE state END"
    " WHERE account_id = ? AND provider_msg_id = ? AND delivery IS NULL"
)


class Message(NamedTuple):
    """A row to be written: `key` is unique for ever, `payload` plain JSON values, `due_at` when it may leave."""

    account_id: int
    topic: str
    key: str
    payload: dict[str, Any]
    due_at: datetime
    member_id: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row held by this worker until its lease runs out."""

    id: int
    account_id: int
    member_id: int | None
    topic: str
    key: str
    payload: dict[str, Any]
    attempts: int
    first_try_at: datetime | None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a claimed row: state done / pending (again at `next_at`) / dead / unsure.

    `counted` False gives the attempt back (a quota or a token, not a failure of this message). `unsent`: no try has
    left this machine so far, so WeChat's ten minutes have not begun. `delivery`: why it was done without a message
    (`muted`, `left`, …). `channel`: the way it went, or was tried last.
    """

    row_id: int
    state: str
    provider_msg_id: str | None = None
    error: str | None = None
    next_at: datetime | None = None
    counted: bool = True
    unsent: bool = False
    delivery: str | None = None
    channel: str | None = None


def _values(message: Message, now: datetime) -> tuple[Any, ...]:
    return (
        message.account_id, message.member_id, message.topic, message.key, to_json(message.payload),
        "pending", 0, to_db(message.due_at), to_db(now),
    )  # fmt: skip


def put(session: Session, messages: Sequence[Message], now: datetime) -> None:
    """Write messages with their cause. A known key is an error here: the cause has its own key and came first."""
    _INSERT.many(session, [_values(message, now) for message in messages])


def put_once(session: Session, message: Message, now: datetime) -> bool:
    """Write a message unless its key exists; whether it is new."""
    return _INSERT_NEW.many(session, [_values(message, now)]) == 1


def due_topics(session: Session, now: datetime) -> list[str]:
    """Topics with rows that are due, or whose lease ran out."""
    return [row.topic for row in _DUE_TOPICS(session, to_db(now))]


def doubt(session: Session, topic: str, now: datetime) -> int:
    """Leave alone what was perhaps sent, more than ten minutes ago: WeChat would show a repeat; how many rows.

    Only rows whose sender saw the answer missing. One that was killed knows nothing, and most of its rows had not left:
    those go out again, because a message that is lost is worse than one that is shown twice.
    """
    since = to_db(now - timedelta(seconds=DEDUPE_SECONDS - DEDUPE_MARGIN_SECONDS))
    return changed(_DOUBT(session, topic, to_db(now), since))


def claim(
    session: Session,
    topic: str,
    now: datetime,
    limit: int = 500,
    lease_seconds: int = LEASE_SECONDS,
) -> str | None:
    """Take up to `limit` due rows for this worker; the lease token, or None when nothing is due. Commit, then
    `claimed`. The UPDATE is the arbiter, so no SKIP LOCKED is needed: the same on every engine (money.md 2.6)."""
    token = uuid.uuid4().hex
    until = to_db(now + timedelta(seconds=lease_seconds))
    taken = 0
    for state in ("pending", "claimed"):
        ids = [row.id for row in _DUE(session, state, topic, to_db(now), limit - taken)]
        if ids:
            taken += changed(
                _CLAIM.among(session, (token, until, to_db(now), state, to_db(now)), ids)
            )
        if taken >= limit:
            break
    return token if taken else None


def claimed(session: Session, token: str) -> list[Claimed]:
    """The rows that the lease `token` holds."""
    return [
        Claimed(
            row.id, row.account_id, row.member_id, row.topic, row.dedupe_key, _payload(row.payload), row.attempts,
            maybe_from_db(row.first_try_at), row.channel,
        )
        for row in _CLAIMED(session, token)
    ]  # fmt: skip


def _payload(text: str) -> dict[str, Any]:
    """A payload that somebody damaged by hand reads as an empty one: that row fails, and not its whole chunk."""
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def finish(session: Session, token: str, results: Iterable[Result], now: datetime) -> int:
    """Mark rows with their results; how many were still ours. A row whose lease was taken over is left alone.

    Rows that fare alike share a statement: a worker's threads leave little room between two round trips.
    """
    alike: defaultdict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for result in results:
        ended = result.state in {"done", "dead"}
        next_at = now if ended else result.next_at or now
        fate = (
            result.state, to_db(next_at), 0 if result.counted else -1, (result.error or "")[:190] or None,
            to_db(now) if ended else None, result.delivery, result.channel, 1 if result.unsent else 0,
            result.provider_msg_id is None,
        )  # fmt: skip
        alike[fate].append(result)
    return sum(_finish(session, token, fate[:-1], each) for fate, each in alike.items())


def _finish(session: Session, token: str, fate: tuple[Any, ...], results: list[Result]) -> int:
    sent = [result for result in results if result.provider_msg_id is not None]
    msgids = _MSGIDS.format(cases=" WHEN ? THEN ?" * len(sent)) if sent else ""
    values = [value for result in sent for value in (result.row_id, result.provider_msg_id)]
    query = Sql(_FINISH.format(msgids=msgids))
    return changed(
        query.among(session, (*fate, *values, token), [result.row_id for result in results])
    )


MERGED: Final = "merged"
_MERGE = Sql(
    "UPDATE outbox SET state = 'done', next_at = ?, done_at = ?, delivery = 'merged', carried_by = ?,"
    " lease_token = NULL WHERE state = 'claimed' AND lease_token = ? AND id IN (??)"
)


class LeaseLost(Exception):
    """Another worker has some of these rows by now: nothing was merged."""


def merge(
    session: Session, token: str, row_ids: Sequence[int], message: Message, now: datetime
) -> None:
    """`message` carries these claimed rows on, which are done with that. All of it or nothing: raises `LeaseLost`, and
    the transaction must end then. The key of `message` is made from what it merges, so there is never a second one."""
    at = to_db(now)
    if changed(_MERGE.among(session, (at, at, message.key, token), row_ids)) != len(row_ids):
        raise LeaseLost(message.key)
    put(session, [message], now)


def carry_on(session: Session, row: Outbox, message: Message, now: datetime) -> bool:
    """`message` tells what `row` was not shown for; once, however often WeChat says so."""
    if not put_once(session, message, now):
        return False
    session.execute(update(Outbox).where(Outbox.id == row.id).values(carried_by=message.key))
    return True


def retry_at(row: Claimed, now: datetime) -> datetime:
    """When a row that failed in passing is tried again: 5 s, 15 s, 1, 2, 4 min (all inside WeChat's ten), 30 min, …"""
    step = min(max(row.attempts, 1), len(BACKOFF_SECONDS)) - 1
    return now + timedelta(seconds=BACKOFF_SECONDS[step])


def delivered(
    session: Session, account_id: int, provider_msg_id: str, delivery: str, now: datetime
) -> bool:
    """Record what WeChat says became of a message; False when no row carries that id (yet)."""
    return changed(_DELIVERED(session, delivery, to_db(now), account_id, provider_msg_id)) == 1


def find_sent(session: Session, account_id: int, provider_msg_id: str) -> Outbox | None:
    """The oldest row with WeChat's id whose fate WeChat has not told yet."""
    query = select(Outbox).where(
        Outbox.account_id == account_id,
        Outbox.provider_msg_id == provider_msg_id,
        Outbox.delivered_at.is_(None),
    )
    return session.scalar(query.order_by(Outbox.id).limit(1))


def tell_delivery(session: Session, row_id: int, delivery: str, now: datetime) -> None:
    """Record what WeChat says became of this very row."""
    session.execute(
        update(Outbox).where(Outbox.id == row_id).values(delivery=delivery, delivered_at=now)
    )


def is_delivered(session: Session, account_id: int, provider_msg_id: str) -> bool:
    """Whether a row carries that id and WeChat has told its fate already."""
    query = select(Outbox.id).where(
        Outbox.account_id == account_id,
        Outbox.provider_msg_id == provider_msg_id,
        Outbox.delivery.is_not(None),
    )
    return session.scalar(query.limit(1)) is not None


def retry(session: Session, row_ids: Sequence[int], now: datetime) -> int:
    """Give dead or unsure rows another life, by a person's wish; how many."""
    query = Sql(
        "UPDATE outbox SET state = 'pending', attempts = 0, next_at = ?, first_try_at = NULL, last_error = NULL"
        " WHERE state IN ('dead', 'unsure') AND id IN (??)"
    )
    return changed(query.among(session, (to_db(now),), row_ids))


def discard(
    session: Session, row_ids: Sequence[int], *, actor: str, reason: str, now: datetime
) -> int:
    """Give dead or unsure rows up for good, by a person's wish and with a reason, which the audit keeps; how many.
    Raises `Invalid` without a reason."""
    reason = reason.strip()
    if not reason:
        raise Invalid("a reason is needed")
    found = session.scalars(
        select(Outbox)
        .where(Outbox.id.in_(row_ids), Outbox.state.in_(("dead", "unsure")))
        .order_by(Outbox.id)
    )
    at, count = to_db(now), 0
    for row in list(found):
        if not changed(_DISCARD(session, at, at, row.id)):
            continue
        count += 1
        before = {
            "topic": row.topic,
            "key": row.dedupe_key,
            "state": row.state,
            "error": row.last_error,
        }
        audit.record(
            session, row.account_id, actor=actor, action="outbox_discarded", subject=f"outbox/{row.id}",
            before=before, after={"reason": reason}, now=now,
        )  # fmt: skip
    return count


_DISCARD = Sql(
    "UPDATE outbox SET state = 'done', next_at = ?, done_at = ?, delivery = 'discarded'"
    " WHERE state IN ('dead', 'unsure') AND id = ?"
)


@dataclass(frozen=True, slots=True)
class Grave:
    """How many rows of a topic were given up or are in doubt for one reason."""

    topic: str
    state: str
    reason: str
    rows: int
    oldest_at: datetime


def graves(session: Session, account_id: int | None = None) -> list[Grave]:
    """Dead and unsure rows by topic and reason (the start of what was said last), the largest first."""
    reason = func.coalesce(func.substr(Outbox.last_error, 1, 60), "")
    query = (
        select(
            Outbox.topic,
            Outbox.state,
            reason,
            func.count(),
            func.min(Outbox.created_at, type_=Instant()),
        )
        .where(Outbox.state.in_(("dead", "unsure")))
        .group_by(Outbox.topic, Outbox.state, reason)
        .order_by(func.count().desc(), Outbox.topic, Outbox.state, reason)
    )
    if account_id is not None:
        query = query.where(Outbox.account_id == account_id)
    return [Grave(*row) for row in session.execute(query)]


def prune(session: Session, before: datetime, limit: int = 1000) -> int:
    """Forget up to `limit` messages that were done before that instant; how many. Call it until 0, one transaction
    each: a large one is a large write-set in a cluster."""
    ids: list[int] = []
    for topic in TOPICS:  # a done row's next_at is when it was done; by topic, because the index is
        ids += [row.id for row in _PRUNABLE(session, topic, to_db(before), limit - len(ids))]
    return changed(_PRUNE.among(session, (), ids)) if ids else 0


def list_rows(
    session: Session,
    *,
    states: Sequence[str],
    account_id: int | None = None,
    topic: str | None = None,
    after_id: int = 0,
    limit: int = 100,
) -> list[Outbox]:
    """Rows in these states by id, for people."""
    query = (
        select(Outbox)
        .where(Outbox.state.in_(states), Outbox.id > after_id)
        .order_by(Outbox.id)
        .limit(limit)
    )
    if account_id is not None:
        query = query.where(Outbox.account_id == account_id)
    if topic is not None:
        query = query.where(Outbox.topic == topic)
    return list(session.scalars(query))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of one topic and state that are not done; `oldest_seconds`: how long the oldest has been due, at least 0."""

    topic: str
    state: str
    rows: int
    oldest_seconds: float


def waiting(session: Session, now: datetime) -> list[Waiting]:
    """What is still to leave, or was given up, by topic and state."""
    query = (
        select(Outbox.topic, Outbox.state, func.count(), func.min(Outbox.next_at, type_=Instant()))
        .where(Outbox.state.in_(("pending", "claimed", "dead", "unsure")))
        .group_by(Outbox.topic, Outbox.state)
        .order_by(Outbox.topic, Outbox.state)
    )
    return [
        Waiting(topic, state, rows, max(0.0, (now - oldest).total_seconds()))
        for topic, state, rows, oldest in session.execute(query)
    ]
