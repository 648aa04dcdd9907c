"""风控: what looks wrong becomes a signal with its evidence, for a person to decide. Nothing is punished by itself.

A tick asks bounded, indexed questions over the last days of an account. A signal has a unique key, so it is raised
once; by the account's limits the commissions of the members concerned wait for the review (holds.py), and they are
told so politely. Staff hear of it through the outbox. A person releases or confirms; what nobody decides lapses.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import alerts, audit, holds, notices
from domain.accounts import OpenAccount
from domain.db import Sql, changed, from_db, to_db, to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.holds import Wish
from domain.models import RiskSignal

OPEN: Final = "open"
RELEASED: Final = "released"
CONFIRMED: Final = "confirmed"
LAPSED: Final = "lapsed"

CHURN: Final = "churn"
VELOCITY: Final = "velocity"
SHARED_PAYER: Final = "shared_payer"
SHARED_PHONE: Final = "shared_phone"
SHARED_ADDRESS: Final = "shared_address"
SELF_PAID: Final = "self_paid"
RING: Final = "ring"
REFUNDS: Final = "refunds"
SAME_PHONE: Final = "same_phone"
SAME_NAME: Final = "same_name"
CHAIN_PEOPLE: Final = "chain_people"
KINDS: Final = (
    CHURN, VELOCITY, SHARED_PAYER, SHARED_PHONE, SHARED_ADDRESS, SELF_PAID, RING, REFUNDS, SAME_PHONE, SAME_NAME,
    CHAIN_PEOPLE,
)  # fmt: skip

ACTOR: Final = "risk"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a question found: about whom, why, and what shows it. The key says when it is the same finding again.

    `members` are those whose commissions wait; by default whoever it is about."""

    kind: str
    key: str
    member_id: int | None
    evidence: dict[str, Any]
    holds: bool
    members: tuple[int, ...] = field(default=())


Question = Callable[[Session, OpenAccount, datetime, datetime], list[Finding]]
"""(session, account, since, now) → findings."""


# --- the questions --------------------------------------------------------------------------------------------------

_LEFT = Sql(
    "SELECT m.referrer_id AS promoter_id, COUNT(DISTINCT m.id) AS people"
    " FROM event e JOIN member m ON m.id = e.member_id"
    " WHERE e.account_id = ? AND e.kind = 'leave' AND e.at >= ? AND m.following = 0 AND m.bound_at >= ?"
    " AND m.referrer_id IS NOT NULL GROUP BY m.referrer_id HAVING COUNT(DISTINCT m.id) >= ?"
)
_CAME = Sql(
    "SELECT m.referrer_id AS promoter_id, COUNT(DISTINCT m.id) AS people"
    " FROM event e JOIN member m ON m.id = e.member_id"
    " WHERE e.account_id = ? AND e.kind = 'follow' AND e.at >= ? AND m.bound_at >= ? AND m.referrer_id IN (??)"
    " GROUP BY m.referrer_id"
)


def churn(session: Session, account: OpenAccount, since: datetime, now: datetime) -> list[Finding]:
    """Friends of one promoter who followed by their code and left again."""
    limit = account.settings.risk_limit
    at = to_db(since)
    left = {
        row.promoter_id: row.people
        for row in _LEFT(session, account.id, at, at, limit("churn_people"))
    }
    if not left:
        return []
    came = {row.promoter_id: row.people for row in _CAME.among(session, (account.id, at, at), left)}
    return [
        Finding(
            CHURN, _weekly(CHURN, promoter_id, now), promoter_id, {"left": gone, "came": came[promoter_id]},
            bool(limit("churn_holds")),
        )
        for promoter_id, gone in sorted(left.items())
        if gone * 100 >= limit("churn_percent") * came.get(promoter_id, gone)
    ]  # fmt: skip


_BUSY = Sql(
    "SELECT m.referrer_id AS promoter_id FROM event e JOIN member m ON m.id = e.member_id"
    " WHERE e.account_id = ? AND e.kind = 'follow' AND e.at >= ? AND m.bound_at >= ? AND m.referrer_id IS NOT NULL"
    " GROUP BY m.referrer_id HAVING COUNT(DISTINCT m.id) >= ?"
)
_ARRIVALS = Sql(
    "SELECT m.referrer_id AS promoter_id, MIN(e.at) AS at FROM event e JOIN member m ON m.id = e.member_id"
    " WHERE e.account_id = ? AND e.kind = 'follow' AND e.at >= ? AND m.bound_at >= ? AND m.referrer_id IN (??)"
    " GROUP BY m.referrer_id, m.id ORDER BY at"
)


def velocity(
    session: Session, account: OpenAccount, since: datetime, now: datetime
) -> list[Finding]:
    """Many friends of one promoter within seconds: a machine, or a very good poster. Looks at one day at most."""
    limit = account.settings.risk_limit
    people, seconds = limit("velocity_people"), limit("velocity_seconds")
    at = to_db(max(since, now - timedelta(days=1)))
    busy = [row.promoter_id for row in _BUSY(session, account.id, at, at, people)]
    if not busy:
        return []
    arrivals: dict[int, list[datetime]] = defaultdict(list)
    for row in _ARRIVALS.among(session, (account.id, at, at), busy):
        arrivals[row.promoter_id].append(from_db(row.at))
    span = timedelta(seconds=seconds)
    return [
        Finding(
            VELOCITY, _weekly(VELOCITY, promoter_id, now), promoter_id,
            {"people": people, "seconds": seconds, "from": start.isoformat()}, bool(limit("velocity_holds")),
        )
        for promoter_id, instants in sorted(arrivals.items())
        if (start := _first_burst(instants, people, span)) is not None
    ]  # fmt: skip


def _first_burst(instants: Sequence[datetime], people: int, span: timedelta) -> datetime | None:
    """When the first `people` of the sorted instants within `span` began."""
    ends = instants[people - 1 :]
    return next(
        (start for start, end in zip(instants, ends, strict=False) if end - start <= span), None
    )


_SHARED = Sql(
    "SELECT c.kind, c.value, m.referrer_id AS promoter_id, COUNT(DISTINCT m.id) AS people, MAX(o.id) AS order_id"
    " FROM order_clue c JOIN orders o ON o.id = c.order_id JOIN member m ON m.id = o.member_id"
    " WHERE c.account_id = ? AND c.kind IN ('payer', 'phone', 'ship_to') AND c.at >= ?"
    " AND m.referrer_id IS NOT NULL GROUP BY c.kind, c.value, m.referrer_id HAVING COUNT(DISTINCT m.id) >= ?"
)
_SHARED_KINDS: Final = {"payer": SHARED_PAYER, "phone": SHARED_PHONE, "ship_to": SHARED_ADDRESS}


def shared(session: Session, account: OpenAccount, since: datetime, now: datetime) -> list[Finding]:
    """Several friends of one promoter whose orders one person paid, or that go to one phone or address."""
    limit = account.settings.risk_limit
    rows = _SHARED(session, account.id, to_db(since), limit("shared_people"))
    return [
        Finding(
            _SHARED_KINDS[row.kind], f"{_SHARED_KINDS[row.kind]}-{row.promoter_id}-{row.value}", row.promoter_id,
            {"people": row.people, "value": row.value, "last_order": row.order_id}, bool(limit("shared_holds")),
        )
        for row in rows
    ]  # fmt: skip


_SELF_PAID = Sql(
    "SELECT p.id AS promoter_id, COUNT(DISTINCT c.order_id) AS orders, MAX(c.order_id) AS order_id FROM order_clue c"
    " JOIN member p ON p.account_id = c.account_id AND p.openid = c.value"
    " JOIN commission k ON k.order_id = c.order_id AND k.member_id = p.id JOIN orders o ON o.id = c.order_id"
    " WHERE c.account_id = ? AND c.kind = 'payer' AND c.at >= ? AND o.member_id <> p.id"
    " GROUP BY p.id HAVING COUNT(DISTINCT c.order_id) >= ?"
)


def self_paid(
    session: Session, account: OpenAccount, since: datetime, now: datetime
) -> list[Finding]:
    """Somebody pays the orders of others by which they earn."""
    limit = account.settings.risk_limit
    rows = _SELF_PAID(session, account.id, to_db(since), limit("self_paid_orders"))
    return [
        Finding(
            SELF_PAID, _weekly(SELF_PAID, row.promoter_id, now), row.promoter_id,
            {"orders": row.orders, "last_order": row.order_id}, bool(limit("ring_holds")),
        )
        for row in rows
    ]  # fmt: skip


_RINGS = Sql(
    "SELECT DISTINCT t.id AS top_id, m.id AS middle_id, b.id AS buyer_id FROM orders o"
    " JOIN member b ON b.id = o.member_id JOIN member m ON m.id = b.referrer_id JOIN member t ON t.id = m.referrer_id"
    " WHERE o.account_id = ? AND o.paid_at >= ?"
    " AND EXISTS (SELECT 1 FROM orders x WHERE x.member_id = m.id AND x.status IN ('paid', 'completed')"
    "  AND x.paid_at >= ?)"
    " AND EXISTS (SELECT 1 FROM orders x WHERE x.member_id = t.id AND x.status IN ('paid', 'completed')"
    "  AND x.paid_at >= ?)"
    " AND NOT EXISTS (SELECT 1 FROM member x WHERE x.referrer_id = m.id AND x.id <> b.id)"
    " AND NOT EXISTS (SELECT 1 FROM member x WHERE x.referrer_id = t.id AND x.id <> m.id)"
    " ORDER BY t.id LIMIT 500"
)


def rings(session: Session, account: OpenAccount, since: datetime, now: datetime) -> list[Finding]:
    """A line of members of whom each brought only the next, and who all buy: one person with three phones earns their
    own commissions back."""
    at, today = to_db(since), to_db(max(since, now - timedelta(days=1)))
    hold = bool(account.settings.risk_limit("ring_holds"))
    return [
        Finding(
            RING, f"{RING}-{row.top_id}-{row.middle_id}-{row.buyer_id}", row.top_id,
            {"members": [row.top_id, row.middle_id, row.buyer_id]}, hold, (row.top_id, row.middle_id),
        )
        for row in _RINGS(session, account.id, today, at, at)
    ]  # fmt: skip


_REFUNDED = Sql(
    "SELECT k.member_id AS promoter_id, COUNT(DISTINCT r.order_id) AS orders FROM refund r"
    " JOIN commission k ON k.order_id = r.order_id AND k.level = 1"
    " WHERE r.account_id = ? AND r.created_at >= ? AND r.status = 'applied'"
    " GROUP BY k.member_id HAVING COUNT(DISTINCT r.order_id) >= ?"
)
_EARNED_BY = Sql(
    "SELECT member_id AS promoter_id, COUNT(DISTINCT order_id) AS orders FROM commission"
    " WHERE created_at >= ? AND level = 1 AND kind = 'order' AND member_id IN (??) GROUP BY member_id"
)


def refunds(
    session: Session, account: OpenAccount, since: datetime, now: datetime
) -> list[Finding]:
    """Promoters whose friends send back far more than others do."""
    limit = account.settings.risk_limit
    at = to_db(since)
    refunded = {
        row.promoter_id: row.orders
        for row in _REFUNDED(session, account.id, at, limit("refund_orders"))
    }
    if not refunded:
        return []
    all_orders = {row.promoter_id: row.orders for row in _EARNED_BY.among(session, (at,), refunded)}
    return [
        Finding(
            REFUNDS, _weekly(REFUNDS, promoter_id, now), promoter_id,
            {"refunded": number, "orders": all_orders.get(promoter_id, 0)}, bool(limit("refund_holds")),
        )
        for promoter_id, number in sorted(refunded.items())
        if number * 100 >= limit("refund_percent") * all_orders.get(promoter_id, 0)
    ]  # fmt: skip


_IDENTITIES = (
    "SELECT m.{column} AS value, COUNT(DISTINCT m.id) AS people FROM withdrawal w"
    " JOIN member m ON m.id = w.member_id WHERE w.account_id = ? AND w.requested_at >= ? AND m.{column} IS NOT NULL"
    " GROUP BY m.{column} HAVING COUNT(DISTINCT m.id) >= ?"
)
_PHONES = Sql(_IDENTITIES.format(column="phone_index"))
_NAMES = Sql(_IDENTITIES.format(column="real_name_index"))
_WHO = (
    "SELECT DISTINCT m.id FROM withdrawal w JOIN member m ON m.id = w.member_id"
    " WHERE w.account_id = ? AND w.requested_at >= ? AND m.{column} = ? ORDER BY m.id LIMIT 50"
)
_WHO_BY_PHONE = Sql(_WHO.format(column="phone_index"))
_WHO_BY_NAME = Sql(_WHO.format(column="real_name_index"))


def identities(
    session: Session, account: OpenAccount, since: datetime, now: datetime
) -> list[Finding]:
    """Members who withdraw under one phone number, or under one name, which is weaker: many are called 王伟."""
    limit = account.settings.risk_limit
    at, hold = to_db(since), bool(limit("identity_holds"))
    found = []
    for kind, groups, people, who in (
        (SAME_PHONE, _PHONES, limit("identity_people"), _WHO_BY_PHONE),
        (SAME_NAME, _NAMES, limit("name_people"), _WHO_BY_NAME),
    ):
        for row in groups(session, account.id, at, people).all() if people else ():
            ids = [one.id for one in who(session, account.id, at, row.value)]
            evidence = {"people": row.people, "members": ids}
            found += [
                Finding(kind, f"{kind}-{one}-{row.value}", one, evidence, hold) for one in ids
            ]
    return found


_CHAINS = Sql(
    "SELECT t.member_id, SUM(t.people) AS people FROM tally t WHERE t.member_id IN (SELECT DISTINCT r.ancestor_id"
    " FROM event e JOIN relation r ON r.descendant_id = e.member_id"
    " WHERE e.account_id = ? AND e.kind = 'follow' AND e.at >= ?)"
    " GROUP BY t.member_id HAVING SUM(t.people) >= ? ORDER BY t.member_id LIMIT 1"
)
_TOLD = Sql("SELECT 1 FROM risk_signal WHERE signal_key = ?")


def chain_people(
    session: Session, account: OpenAccount, since: datetime, now: datetime
) -> list[Finding]:
    """The first chain of the account with as many people as the criminal threshold names: the merchant should know,
    once (platform.md 13)."""
    people = account.settings.risk_limit("chain_people")
    key = f"{CHAIN_PEOPLE}-{account.id}"
    if _TOLD(session, key).first() is not None:
        return []
    return [
        Finding(CHAIN_PEOPLE, key, row.member_id, {"people": int(row.people)}, False)
        for row in _CHAINS(session, account.id, to_db(since), people)
    ]


def _weekly(kind: str, member_id: int, now: datetime) -> str:
    """The same finding about a member counts once a week: a released one is not raised again tomorrow."""
    year, week, _ = now.isocalendar()
    return f"{kind}-{member_id}-{year}{week:02d}"


QUESTIONS: Final[tuple[tuple[str, Question], ...]] = (
    ("churn_people", churn),
    ("velocity_people", velocity),
    ("shared_people", shared),
    ("self_paid_orders", self_paid),
    ("ring_holds", rings),
    ("refund_orders", refunds),
    ("window_days", identities),
    ("chain_people", chain_people),
)
"""Each question with the limit that switches it off when it is 0."""


# --- the tick -------------------------------------------------------------------------------------------------------


def find(session: Session, account: OpenAccount, now: datetime) -> list[Finding]:
    """What all questions find now. Reads only."""
    limit = account.settings.risk_limit
    since = now - timedelta(days=limit("window_days"))
    findings: list[Finding] = []
    for switch, question in QUESTIONS:
        if limit(switch):
            findings += question(session, account, since, now)
    return findings


_RAISE = Sql(
    "INSERT IGNORE INTO risk_signal (account_id, signal_key, kind, member_id, evidence, holds, status, raised_at,"
    " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO risk_signal (account_id, signal_key, kind, member_id, evidence, holds, status,"
    " raised_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
)
_BY_KEY = Sql("SELECT id, holds FROM risk_signal WHERE signal_key = ?")


def raise_signals(
    session: Session, account: OpenAccount, findings: Sequence[Finding], now: datetime
) -> list[int]:
    """Write the findings that are new, each with its alert to the staff; the ids of their signals."""
    expires_at = now + timedelta(days=account.settings.risk_limit("review_days"))
    raised = []
    for one in findings:
        evidence = {**one.evidence, "held_members": list(one.members or _maybe(one.member_id))}
        new = _RAISE(
            session, account.id, one.key, one.kind, one.member_id, to_json(evidence), one.holds, OPEN, to_db(now),
            to_db(expires_at),
        )  # fmt: skip
        if not changed(new):
            continue
        signal_id = _BY_KEY(session, one.key).one().id
        raised.append(signal_id)
        alerts.tell(
            session, account.id, one.key, kind=one.kind, evidence=one.evidence, now=now,
            signal=signal_id, member_id=one.member_id, holds=one.holds,
        )  # fmt: skip
    return raised


def _maybe(member_id: int | None) -> tuple[int, ...]:
    return () if member_id is None else (member_id,)


_TO_HOLD = Sql(
    "SELECT c.id FROM commission c"
    " LEFT JOIN hold h ON h.commission_id = c.id AND (h.open_key = c.id OR h.signal_id = ?)"
    " WHERE c.member_id = ? AND c.status = 'frozen' AND h.id IS NULL ORDER BY c.id LIMIT ?"
)
_TOLD_OF = Sql("SELECT 1 FROM hold WHERE signal_id = ? AND member_id = ? LIMIT 1")


def hold_for_open(session: Session, account: OpenAccount, now: datetime, limit: int = 500) -> int:
    """Hold frozen commissions of the members whom open signals concern, also those that came since; how many. Each
    member hears of it once a signal. Call until 0, one transaction each."""
    query = select(RiskSignal).where(
        RiskSignal.account_id == account.id, RiskSignal.status == OPEN, RiskSignal.holds.is_(True)
    )
    placed = 0
    for signal in session.scalars(query.order_by(RiskSignal.id).limit(200)).all():
        wish = Wish(f"risk-{signal.kind}", ACTOR, signal.expires_at, signal.id)
        for member_id in json.loads(signal.evidence)["held_members"]:
            ids = [row.id for row in _TO_HOLD(session, signal.id, member_id, limit - placed)]
            first = bool(ids) and _TOLD_OF(session, signal.id, member_id).first() is None
            got = holds.place(session, account.id, ids, wish, now) if ids else []
            if got and first:
                _tell_held(session, account.id, signal, member_id, now)
            placed += len(got)
            if placed >= limit:
                return placed
    return placed


def _tell_held(
    session: Session, account_id: int, signal: RiskSignal, member_id: int, now: datetime
) -> None:
    params = {"signal": signal.kind, "until": signal.expires_at.isoformat(), "at": now.isoformat()}
    key = f"held-signal-{signal.id}-{member_id}"
    notices.tell(
        session, [notices.News(account_id, member_id, notices.COMMISSION_HELD, key, params)], now
    )


_LAPSE = Sql(
    "UPDATE risk_signal SET status = 'lapsed', reviewed_at = ?, reviewer = ?"
    " WHERE account_id = ? AND status = 'open' AND expires_at <= ?"
)


def lapse_due(session: Session, account: OpenAccount, now: datetime) -> int:
    """Signals that nobody reviewed in time count no longer; their holds lapse by their own date. How many."""
    return changed(_LAPSE(session, to_db(now), holds.CLOCK, account.id, to_db(now)))


# --- the review -----------------------------------------------------------------------------------------------------


def queue(
    session: Session,
    account_id: int,
    status: str | None = OPEN,
    *,
    after_id: int = 0,
    limit: int = 50,
) -> list[RiskSignal]:
    """Signals of the account by id, those that wait or of any status; keyset page after `after_id`."""
    query = select(RiskSignal).where(RiskSignal.account_id == account_id, RiskSignal.id > after_id)
    if status is not None:
        query = query.where(RiskSignal.status == status)
    return list(session.scalars(query.order_by(RiskSignal.id).limit(limit)))


def open_about(session: Session, member_id: int) -> list[RiskSignal]:
    """Open signals about a member: what a withdrawal's screen shows."""
    query = select(RiskSignal).where(RiskSignal.member_id == member_id, RiskSignal.status == OPEN)
    return list(session.scalars(query.order_by(RiskSignal.id)))


def kinds_about(session: Session, member_ids: Collection[int]) -> dict[int, list[str]]:
    """The kinds of the open signals about each of these members, in one statement: what a queue shows."""
    query = select(RiskSignal.member_id, RiskSignal.kind).where(
        RiskSignal.member_id.in_(member_ids), RiskSignal.status == OPEN
    )
    found: dict[int, list[str]] = defaultdict(list)
    for member_id, kind in session.execute(query.order_by(RiskSignal.id)):
        if member_id is not None:
            found[member_id].append(kind)
    return found


def release(
    session: Session,
    account: OpenAccount,
    signal_id: int,
    *,
    actor: str,
    note: str = "",
    now: datetime,
) -> RiskSignal:
    """A person found it harmless: its holds end and the members are told. Raises `NotFound`, `Conflict`."""
    signal = _decide(session, account, signal_id, RELEASED, actor, note, now)
    while ids := holds.ids_of_signal(session, signal_id):
        holds.release(session, account.id, ids, actor=actor, note=note, now=now)
    return signal


def confirm(
    session: Session,
    account: OpenAccount,
    signal_id: int,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> RiskSignal:
    """A person found it true: the commissions it holds are void, and the members are told this reason. Their bindings,
    balances and later commissions stay; suspending somebody is a decision of its own (promoters.py). Raises
    `NotFound`, `Conflict`, and `Invalid` without a reason."""
    if not reason.strip():
        raise Invalid("confirming a signal needs a reason")
    signal = _decide(session, account, signal_id, CONFIRMED, actor, reason, now)
    while ids := holds.ids_of_signal(session, signal_id):
        holds.refuse(session, account.id, ids, actor=actor, reason=reason, now=now)
    return signal


def _decide(
    session: Session,
    account: OpenAccount,
    signal_id: int,
    status: str,
    actor: str,
    note: str,
    now: datetime,
) -> RiskSignal:
    query = select(RiskSignal).where(
        RiskSignal.account_id == account.id, RiskSignal.id == signal_id
    )
    locked = query.with_for_update().execution_options(populate_existing=True)
    signal = session.scalar(locked)
    if signal is None:
        raise NotFound("no such signal", signal=signal_id)
    if signal.status != OPEN:
        raise Conflict("the signal has been decided", status=signal.status)
    signal.status, signal.reviewed_at, signal.reviewer = status, now, actor
    signal.note = note.strip() or None
    session.flush()
    audit.record(
        session, account.id, actor=actor, action=f"risk_{status}", subject=f"risk_signal/{signal.id}",
        after={"kind": signal.kind, "note": note.strip()}, now=now,
    )  # fmt: skip
    return signal
