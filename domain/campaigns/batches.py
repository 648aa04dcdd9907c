"""Batches: claimed with a lease, called, marked. What is known at each point is in the row before the call is made.

`waiting → claimed → sent → finished`, or `failed`, or `unknown`. A mass call may be repeated: WeChat knows it by its
clientmsgid for 24 hours. A single message may not: its recipient is `sending` before it leaves, and one that a killed
worker left there stays `unknown`, which is better than being sent a promotion twice.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from domain.china import month_of
from domain.db import Sql, changed, from_db, maybe_from_db, to_db, to_json
from domain.secrets import digest

LEASE_SECONDS: Final = 120
ASK_AFTER: Final = timedelta(hours=1)
"""A mass message whose result has not come by then is asked about, and every hour from then on."""
SUBSCRIPTION_REPEAT: Final = timedelta(seconds=585)
"""WeChat sends the same openid and client_msg_id once within ten minutes; a margin is left."""

_DUE = Sql(
    "SELECT b.campaign_id, b.no FROM campaign_batch b JOIN campaign c ON c.id = b.campaign_id"
    " WHERE b.state = ? AND b.next_at <= ? AND c.state = 'running' ORDER BY b.next_at, b.campaign_id, b.no LIMIT 1"
)
_CLAIM = Sql(
    "UPDATE campaign_batch SET state = 'claimed', lease_token = ?, next_at = ?, attempts = attempts + 1"
    " WHERE campaign_id = ? AND no = ? AND state = ? AND next_at <= ?"
)
_CLAIMED = Sql(
    "SELECT campaign_id, no, account_id, way, size, skipped, attempts, prepared_at, called_at, media_id"
    " FROM campaign_batch WHERE lease_token = ? AND state = 'claimed'"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch held by this worker. `called_at`: when its call was first made, perhaps by a worker that died."""

    token: str
    campaign_id: int
    no: int
    account_id: int
    way: str
    size: int
    skipped: int
    attempts: int
    called_at: datetime | None
    media_id: str | None


def claim(session: Session, now: datetime, lease_seconds: int = LEASE_SECONDS) -> str | None:
    """Take the batch that is due first, also one whose lease ran out; the lease token, or None. The UPDATE is the
    arbiter, so any number of workers may ask."""
    token = uuid.uuid4().hex
    until = to_db(now + timedelta(seconds=lease_seconds))
    for state in ("waiting", "claimed"):
        row = _DUE(session, state, to_db(now)).first()
        if row is not None and changed(
            _CLAIM(session, token, until, row.campaign_id, row.no, state, to_db(now))
        ):
            return token
    return None


def claimed(session: Session, token: str) -> Batch | None:
    """The batch that this lease holds; None when it has been taken over."""
    row = _CLAIMED(session, token).first()
    if row is None:
        return None
    return Batch(
        token, row.campaign_id, row.no, row.account_id, row.way, row.size, row.skipped, row.attempts,
        maybe_from_db(row.called_at), row.media_id,
    )  # fmt: skip


_HOLD = Sql("UPDATE campaign_batch SET next_at = ? WHERE lease_token = ? AND state = 'claimed'")


def hold(session: Session, token: str, now: datetime) -> bool:
    """Lengthen the lease; False when it is another worker's by now."""
    until = to_db(now + timedelta(seconds=LEASE_SECONDS))
    return changed(_HOLD(session, until, token)) == 1


_SKIP = Sql(
    "UPDATE campaign_recipient SET state = 'skipped' WHERE campaign_id = ? AND batch_no = ? AND state = 'waiting'"
    " AND EXISTS (SELECT 1 FROM member m WHERE m.id = campaign_recipient.member_id"
    " AND (m.muted = 1 OR m.promotions_muted = 1 OR m.following = 0))"
)
_PREPARED = Sql(
    "UPDATE campaign_batch SET prepared_at = ? WHERE lease_token = ? AND state = 'claimed' AND called_at IS NULL"
)
_ADD_SKIPPED = Sql("UPDATE campaign_batch SET skipped = skipped + ? WHERE lease_token = ?")
_WAITING = Sql(
    "SELECT r.member_id, m.openid FROM campaign_recipient r JOIN member m ON m.id = r.member_id"
    " WHERE r.campaign_id = ? AND r.batch_no = ? AND r.state = 'waiting' ORDER BY r.member_id"
)


def prepare(session: Session, batch: Batch, now: datetime) -> int | None:
    """Leave out who sent 退订 or left since the plan; how many now. Each time, because a quota or a pause may have held
    the batch up for days, until a call has been made that may have to be repeated as it was. None from then on, or when
    the batch is not ours any more."""
    if changed(_PREPARED(session, to_db(now), batch.token)) != 1:
        return None
    skipped = changed(_SKIP(session, batch.campaign_id, batch.no))
    _ADD_SKIPPED(session, skipped, batch.token)
    return skipped


def openids(session: Session, batch: Batch) -> list[tuple[int, str]]:
    """Member ids and openids that the batch still has to send to."""
    return [(row.member_id, row.openid) for row in _WAITING(session, batch.campaign_id, batch.no)]


_CALLING = Sql(
    "UPDATE campaign_batch SET called_at = COALESCE(called_at, ?), media_id = COALESCE(?, media_id), next_at = ?"
    " WHERE lease_token = ? AND state = 'claimed'"
)


def calling(session: Session, token: str, now: datetime, media_id: str | None = None) -> bool:
    """Write down, before it is made, that the call is made, and lengthen the lease; False when the batch is another
    worker's by now."""
    until = to_db(now + timedelta(seconds=LEASE_SECONDS))
    return changed(_CALLING(session, to_db(now), media_id, until, token)) == 1


def client_msg_id(campaign_key: str, number: int) -> str:
    """The clientmsgid of a batch, the same at every try: 32 characters, as long as WeChat takes it."""
    return digest(f"{campaign_key} {number}")[:32]


_ACCEPTED = Sql(
    "UPDATE campaign_batch SET state = 'sent', accepted = size - skipped, msg_id = ?, msg_data_id = ?, sent_at = ?,"
    " next_at = ?, lease_token = NULL, last_error = NULL WHERE lease_token = ? AND state = 'claimed'"
)
_MONTH: Final = (
    "INSERT INTO mass_month (month, member_id, sent) SELECT ?, r.member_id, 1 FROM campaign_recipient r"
    " WHERE r.campaign_id = ? AND r.batch_no = ? AND r.state = 'waiting'"
)
_COUNT_BATCH = Sql(
    _MONTH + " ON DUPLICATE KEY UPDATE sent = mass_month.sent + 1",
    sqlite=_MONTH + " ON CONFLICT (month, member_id) DO UPDATE SET sent = sent + 1",
)
_FOLDED = Sql(
    "SELECT f.campaign_id, f.no, z.sent_at FROM campaign_batch f JOIN campaign_batch z"
    " ON z.campaign_id = f.campaign_id AND z.no = 0 WHERE f.state = 'folded' AND z.sent_at IS NOT NULL LIMIT 1"
)
_COUNTED = Sql(
    "UPDATE campaign_batch SET state = 'counted' WHERE campaign_id = ? AND no = ? AND state = 'folded'"
)


def accepted(
    session: Session, batch: Batch, msg_id: str, msg_data_id: str | None, now: datetime
) -> bool:
    """WeChat has taken the mass message; what became of it comes later. Counts it for the month of each recipient.
    False when another worker had the batch and has marked it."""
    ask_at = to_db(now + ASK_AFTER)
    if changed(_ACCEPTED(session, msg_id, msg_data_id, to_db(now), ask_at, batch.token)) != 1:
        return False
    if batch.no > 0 and batch.way != "publish":
        _COUNT_BATCH(session, month_of(now), batch.campaign_id, batch.no)
    return True


def count_folded(session: Session) -> bool:
    """Count one folded part of a call to all for the month of its people: a million in one transaction would be too
    large a write-set for a cluster. False when nothing is left to count."""
    row = _FOLDED(session).first()
    if row is None:
        return False
    if changed(_COUNTED(session, row.campaign_id, row.no)):
        _COUNT_BATCH(session, month_of(from_db(row.sent_at)), row.campaign_id, row.no)
    return True


_PREVIEWED = Sql(
    "UPDATE campaign_batch SET state = 'finished', accepted = size - skipped, delivered = size - skipped, sent_at = ?,"
    " finished_at = ?, lease_token = NULL WHERE lease_token = ? AND state = 'claimed'"
)
_EMPTY = Sql(
    "UPDATE campaign_batch SET state = 'finished', finished_at = ?, lease_token = NULL"
    " WHERE lease_token = ? AND state = 'claimed'"
)
_AGAIN = Sql(
    "UPDATE campaign_batch SET state = 'waiting', next_at = ?, attempts = attempts - ?, last_error = ?,"
    " called_at = CASE WHEN ? = 1 THEN NULL ELSE called_at END, lease_token = NULL"
    " WHERE lease_token = ? AND state = 'claimed'"
)
_FORGET_MEDIA = Sql("UPDATE campaign_batch SET media_id = NULL WHERE lease_token = ?")
_ENDED = Sql(
    "UPDATE campaign_batch SET state = ?, failed = CASE WHEN ? = 'failed' THEN size - skipped ELSE failed END,"
    " unknown = CASE WHEN ? = 'unknown' THEN size - skipped ELSE unknown END, finished_at = ?, last_error = ?,"
    " lease_token = NULL WHERE lease_token = ? AND state = 'claimed'"
)


def delivered_alone(session: Session, token: str, now: datetime) -> bool:
    """A batch of one person was sent and shown: there is no result to wait for."""
    return changed(_PREVIEWED(session, to_db(now), to_db(now), token)) == 1


def nobody(session: Session, token: str, now: datetime) -> bool:
    """Nobody of the batch was left to send to."""
    return changed(_EMPTY(session, to_db(now), token)) == 1


def again(
    session: Session,
    token: str,
    at: datetime,
    error: str | None,
    *,
    counted: bool = True,
    unsent: bool = True,
) -> bool:
    """Give a batch back until `at`. `counted` False gives the attempt back as well (a quota, a pause); `unsent` False
    means that WeChat may have acted on the call."""
    text = (error or "")[:190] or None
    row = _AGAIN(session, to_db(at), 0 if counted else 1, text, 1 if unsent else 0, token)
    return changed(row) == 1


def forget_media(session: Session, batch: Batch) -> None:
    """WeChat does not know the draft or the picture any more: make them anew."""
    _FORGET_MEDIA(session, batch.token)
    _FORGET_FILES(session, batch.campaign_id)


_FORGET_FILES = Sql(
    "UPDATE campaign_file SET media_id = NULL, thumb_id = NULL WHERE campaign_id = ?"
)


def ended(session: Session, token: str, state: str, error: str, now: datetime) -> bool:
    """A mass batch was refused for good ("failed"), or nobody can say whether it was sent ("unknown")."""
    return changed(_ENDED(session, state, state, state, to_db(now), error[:190], token)) == 1


# --- single messages ------------------------------------------------------------------------------------------------

_SENDING = Sql(
    "UPDATE campaign_recipient SET state = 'sending', tried_at = ? WHERE campaign_id = ? AND state = 'waiting'"
    " AND member_id IN (??)"
)
_TO_UNKNOWN = Sql(
    "UPDATE campaign_recipient SET state = 'unknown' WHERE campaign_id = ? AND batch_no = ? AND state = 'sending'"
    " AND tried_at < ?"
)
_SOME_SENDING = Sql(
    "SELECT 1 FROM campaign_recipient WHERE campaign_id = ? AND batch_no = ? AND state = 'sending' LIMIT 1"
)
_TO_WAITING = Sql(
    "UPDATE campaign_recipient SET state = 'waiting' WHERE campaign_id = ? AND batch_no = ? AND state = 'sending'"
)
_ADD_UNKNOWN = Sql("UPDATE campaign_batch SET unknown = unknown + ? WHERE lease_token = ?")
_MARK = Sql(
    "UPDATE campaign_recipient SET state = ?, errcode = ? WHERE campaign_id = ? AND state = 'sending'"
    " AND member_id IN (??)"
)
_FIGURES = Sql(
    "UPDATE campaign_batch SET accepted = accepted + ?, failed = failed + ?, unknown = unknown + ?"
    " WHERE campaign_id = ? AND no = ?"
)


def sending(session: Session, batch: Batch, member_ids: Sequence[int], now: datetime) -> bool:
    """Write down, before they leave, that these messages leave; False when the batch is another worker's by now."""
    if not hold(session, batch.token, now):
        return False
    _SENDING.among(session, (to_db(now), batch.campaign_id), member_ids)
    return True


def take_over(session: Session, batch: Batch, now: datetime, *, repeatable: bool) -> int:
    """What a worker that died had begun: without an id by which WeChat knows a repeat it stays unknown; with one it is
    sent again inside the ten minutes. How many are unknown now."""
    before = now - SUBSCRIPTION_REPEAT if repeatable else now + timedelta(days=1)
    unknown = changed(_TO_UNKNOWN(session, batch.campaign_id, batch.no, to_db(before)))
    if unknown:
        _ADD_UNKNOWN(session, unknown, batch.token)
    if repeatable:
        _TO_WAITING(session, batch.campaign_id, batch.no)
    return unknown


Marks = Mapping[tuple[str, int | None], Sequence[int]]
"""(state, errcode) → member ids."""


def mark(session: Session, batch: Batch, marks: Marks) -> None:
    """What became of messages: sent, failed (with WeChat's number), unknown, or waiting again because they had not
    left. Whatever is not `sending` any more is left alone and not counted."""
    figures = dict.fromkeys(("sent", "failed", "unknown"), 0)
    for (state, errcode), ids in marks.items():
        count = changed(_MARK.among(session, (state, errcode, batch.campaign_id), ids))
        if state in figures:
            figures[state] += count
    _FIGURES(
        session, figures["sent"], figures["failed"], figures["unknown"], batch.campaign_id, batch.no
    )


_SPEND = Sql(
    "UPDATE subscription_credit SET credits = credits - 1, changed_at = ? WHERE template_id = ? AND credits > 0"
    " AND member_id IN (??)"
)
_NO_CREDIT = Sql(
    "UPDATE subscription_credit SET credits = 0, changed_at = ? WHERE template_id = ? AND member_id IN (??)"
)


def spend_credits(
    session: Session, template_id: str, member_ids: Sequence[int], now: datetime
) -> None:
    """A subscription notice went to each of these: it took one of their credits."""
    if member_ids:
        _SPEND.among(session, (to_db(now), template_id), sorted(member_ids))


def no_credit(session: Session, template_id: str, member_ids: Sequence[int], now: datetime) -> None:
    """WeChat said that these allow no such notice (any more)."""
    if member_ids:
        _NO_CREDIT.among(session, (to_db(now), template_id), sorted(member_ids))


_NOTICES = Sql(
    "SELECT r.campaign_id, r.batch_no, r.state, c.content FROM campaign c JOIN campaign_recipient r"
    " ON r.campaign_id = c.id AND r.member_id = ? WHERE c.account_id = ? AND c.channel = 'subscription'"
    " AND c.started_at > ? AND r.state IN ('sending', 'sent') ORDER BY r.tried_at DESC"
)
_NOT_SHOWN = Sql(
    "UPDATE campaign_recipient SET state = 'failed', errcode = ? WHERE campaign_id = ? AND member_id = ? AND state = ?"
)
_ONE_LESS = Sql(
    "UPDATE campaign_batch SET failed = failed + 1, accepted = accepted - ?,"
    " delivered = CASE WHEN state = 'finished' THEN delivered - ? ELSE delivered END WHERE campaign_id = ? AND no = ?"
)
NOTICE_DAYS: Final = 3


def notice_result(
    session: Session,
    account_id: int,
    member_id: int,
    template_id: str,
    error_code: int,
    now: datetime,
) -> bool:
    """subscribe_msg_sent_event of a notice: whether a broadcast has sent it, and if it was not shown, that one fewer
    was. A success changes nothing: it was counted when WeChat took the message."""
    since = to_db(now - timedelta(days=NOTICE_DAYS))
    for row in _NOTICES(session, member_id, account_id, since):
        if json.loads(row.content).get("template_id") != template_id:
            continue
        if error_code and changed(
            _NOT_SHOWN(session, error_code, row.campaign_id, member_id, row.state)
        ):
            counted = 1 if row.state == "sent" else 0
            _ONE_LESS(session, counted, counted, row.campaign_id, row.batch_no)
        return True
    return False


_DONE = Sql(
    "UPDATE campaign_batch SET state = 'finished', sent_at = ?, finished_at = ?, delivered = accepted,"
    " lease_token = NULL WHERE lease_token = ? AND state = 'claimed'"
)


def finished_people(session: Session, batch: Batch, now: datetime) -> bool:
    """The batch is done, when everybody in it has been dealt with; False when a message is still in doubt."""
    if _SOME_SENDING(session, batch.campaign_id, batch.no).first() is not None:
        return False
    return changed(_DONE(session, to_db(now), to_db(now), batch.token)) == 1


# --- what WeChat tells afterwards -----------------------------------------------------------------------------------

_FIND = Sql(
    "SELECT campaign_id, no, state, size, skipped FROM campaign_batch WHERE account_id = ? AND msg_id = ?"
)
_RESULT = Sql(
    "UPDATE campaign_batch SET state = ?, delivered = ?, failed = ?, result = ?, finished_at = ?"
    " WHERE campaign_id = ? AND no = ? AND state = 'sent'"
)


@dataclass(frozen=True, slots=True)
class MassResult:
    """MASSSENDJOBFINISH: `status` as WeChat writes it, figures in people, `copyright` what it says of the articles."""

    status: str
    total: int = 0
    filtered: int = 0
    sent: int = 0
    errors: int = 0
    details: Mapping[str, Any] | None = None

    @property
    def is_success(self) -> bool:
        return self.status.lower() in {"send success", "sendsuccess", "send_success"}


def finish_mass(
    session: Session, account_id: int, msg_id: str, result: MassResult, now: datetime
) -> bool:
    """Record what became of a mass message, once; False when no batch carries that number (yet).

    Delivered and failed add up to what was accepted. Where WeChat counts more or fewer people than we gave it (they
    left, or it is a call to all), its own figures stay in `result`.
    """
    row = _FIND(session, account_id, msg_id).first()
    if row is None:
        return False
    accepted_people = row.size - row.skipped
    delivered = min(result.sent, accepted_people) if result.is_success else 0
    state = "finished" if result.is_success else "failed"
    kept = {
        "status": result.status, "total": result.total, "filtered": result.filtered, "sent": result.sent,
        "errors": result.errors, **(dict(result.details) if result.details else {}),
    }  # fmt: skip
    _RESULT(
        session, state, delivered, accepted_people - delivered, to_json(kept), to_db(now), row.campaign_id, row.no
    )  # fmt: skip
    return True


_CALLED = Sql(
    "SELECT 1 FROM campaign_batch WHERE account_id = ? AND state IN ('waiting', 'claimed') AND msg_id IS NULL"
    " AND called_at IS NOT NULL LIMIT 1"
)


def may_come(session: Session, account_id: int) -> bool:
    """Whether a call is out whose number is not written down yet: a result that nobody knows may be its own. A mass
    message that somebody sent from WeChat's own console has none of ours."""
    return _CALLED(session, account_id).first() is not None


_SILENT = Sql(
    "SELECT campaign_id, no, account_id, way, msg_id FROM campaign_batch WHERE state = 'sent' AND next_at <= ?"
    " ORDER BY next_at LIMIT ?"
)
_ASKED = Sql(
    "UPDATE campaign_batch SET next_at = ? WHERE campaign_id = ? AND no = ? AND state = 'sent' AND next_at <= ?"
)
_TOLD = Sql(
    "UPDATE campaign_batch SET state = ?, delivered = CASE WHEN ? = 'finished' THEN accepted ELSE 0 END,"
    " failed = CASE WHEN ? = 'failed' THEN accepted ELSE 0 END, result = ?, finished_at = ?"
    " WHERE campaign_id = ? AND no = ? AND state = 'sent'"
)


@dataclass(frozen=True, slots=True)
class Silent:
    """A batch whose result has not come."""

    campaign_id: int
    no: int
    account_id: int
    way: str
    msg_id: str


def silent(session: Session, now: datetime, limit: int = 20) -> list[Silent]:
    """Batches to ask WeChat about, the longest waiting first."""
    return [
        Silent(row.campaign_id, row.no, row.account_id, row.way, row.msg_id)
        for row in _SILENT(session, to_db(now), limit)
    ]


def ask_later(session: Session, batch: Silent, now: datetime) -> bool:
    """Before asking: nobody else asks for an hour; False when somebody does."""
    later = to_db(now + ASK_AFTER)
    return changed(_ASKED(session, later, batch.campaign_id, batch.no, to_db(now))) == 1


def told(
    session: Session, batch: Silent, state: str, details: Mapping[str, Any], now: datetime
) -> bool:
    """What WeChat answered: "finished" (it names no figures, so all count as delivered) or "failed"."""
    return (
        changed(
            _TOLD(
                session, state, state, state, to_json(dict(details)), to_db(now), batch.campaign_id, batch.no
            )
        )
        == 1
    )  # fmt: skip
