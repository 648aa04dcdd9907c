"""Single messages of a broadcast: customer-service messages inside the window, and subscription notices.

A recipient is `sending`, and that is committed, before the message leaves. A customer-service message has no id by
which WeChat knows a repeat, so one in doubt is not sent again; a subscription notice has, for ten minutes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import windows
from domain.campaigns import audience as people
from domain.campaigns import batches, content
from domain.campaigns.batches import Batch
from domain.db import Sql
from domain.errors import NotFound
from domain.models import Campaign, Member
from domain.secrets import short_digest
from jobs.broadcast_material import Parcel
from jobs.process import SENDERS, Process
from wechat import api, subscriptions
from wechat.errors import OutcomeUnknown, QuotaExceeded, RecipientRefused, Refused, WeChatError
from wechat.formatting import UnfitError

LAUNCH_SECONDS: Final = 60
"""A message that has not left by then stays here: the lease must outlive the slowest call."""
DOUBT_PAUSE: Final = timedelta(seconds=15)

Send = Callable[[str, str], None]
"""Sends to an openid; the key is the same at every try."""

_STATE = Sql("SELECT state FROM campaign WHERE id = ?")


@dataclass
class _Chunk:
    """What became of some recipients; `stop` is what keeps the others from being sent now."""

    marks: dict[tuple[str, int | None], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    paid: list[int] = field(default_factory=list)
    stop: WeChatError | None = None


def openid_of(session: Session, member_id: int) -> str:
    member = session.get(Member, member_id)
    if member is None:
        raise NotFound("no such member", member=member_id)
    return member.openid


def message_of(parcel: Parcel) -> Send:
    """How a single message of this campaign is sent; uploads what it needs before the first."""
    client, said = parcel.client, parcel.content
    if parcel.campaign.channel == people.SUBSCRIPTION:
        return _notice(parcel)
    if said.kind == content.TEXT:
        return lambda openid, _key: api.send_custom_text(client, openid, said.text)
    if said.kind == content.IMAGE:
        media_id = parcel.picture(said.image)
        return lambda openid, _key: api.send_custom_image(client, openid, media_id)
    card = parcel.card()
    return lambda openid, _key: api.send_custom_news(client, openid, card)


def _notice(parcel: Parcel) -> Send:
    client, said = parcel.client, parcel.content
    data = dict(said.data or {})

    def notify(openid: str, key: str) -> None:
        try:
            subscriptions.send_subscription(
                client, openid, said.template_id, data, page=said.page or None, client_msg_id=short_digest(key)
            )  # fmt: skip
        except UnfitError as error:
            raise Refused(str(error), path=subscriptions.SEND) from error

    return notify


def send(process: Process, parcel: Parcel, batch: Batch) -> None:
    """Send to everybody of the batch who waits, as many at a time as there are connections, until all are done, the
    campaign is paused, or WeChat says that it is enough. Raises what stopped it, after marking."""
    database, clock = process.context.database, process.context.clock
    notice = parcel.campaign.channel == people.SUBSCRIPTION
    call = message_of(parcel)

    def begin(session: Session) -> None:
        batches.prepare(session, batch, clock.now())
        batches.take_over(session, batch, clock.now(), repeatable=notice)

    database.transact(begin)
    rest = database.read(lambda session: batches.openids(session, batch))
    for start in range(0, len(rest), SENDERS):
        some = rest[start : start + SENDERS]
        if process.stopping.is_set() or not _is_running(process, parcel.campaign):
            database.transact(
                lambda s: batches.again(s, batch.token, clock.now(), None, counted=False)
            )
            return
        if not _begin(process, batch, some):
            return
        chunk = _send_some(process, parcel, call, some)
        _mark(process, batch, chunk, parcel.content.template_id)
        if chunk.stop is not None:
            raise chunk.stop
    _end(process, batch)


def _begin(process: Process, batch: Batch, some: Sequence[tuple[int, str]]) -> bool:
    ids = [member_id for member_id, _ in some]
    now = process.context.clock.now()
    return process.context.database.transact(lambda s: batches.sending(s, batch, ids, now))


def _is_running(process: Process, campaign: Campaign) -> bool:
    state = process.context.database.read(lambda s: _STATE(s, campaign.id).one().state)
    return str(state) == "running"


def _send_some(
    process: Process, parcel: Parcel, call: Send, some: Sequence[tuple[int, str]]
) -> _Chunk:
    until = time.monotonic() + LAUNCH_SECONDS
    key = parcel.campaign.campaign_key

    def deliver(member_id: int, openid: str) -> WeChatError | str | None:
        if time.monotonic() > until:
            return "late"
        try:
            call(openid, f"{key} {member_id}")
        except WeChatError as error:
            return error
        return None

    futures = [
        (member_id, process.senders.submit(deliver, member_id, openid))
        for member_id, openid in some
    ]
    chunk = _Chunk()
    notice = parcel.campaign.channel == people.SUBSCRIPTION
    for member_id, future in futures:
        _sort(chunk, member_id, future.result(), repeatable=notice)
    return chunk


def _sort(
    chunk: _Chunk, member_id: int, answer: WeChatError | str | None, *, repeatable: bool
) -> None:
    """One answer. What is neither sent nor refused to this person waits; what is in doubt and can be repeated stays
    `sending`, and is taken up again with the batch."""
    if answer is None:
        chunk.marks["sent", None].append(member_id)
        chunk.paid.append(member_id)
    elif isinstance(answer, str):
        chunk.marks["waiting", None].append(member_id)
    elif isinstance(answer, RecipientRefused):
        chunk.marks["failed", answer.errcode].append(member_id)
    elif isinstance(answer, OutcomeUnknown):
        if not repeatable:
            chunk.marks["unknown", None].append(member_id)
    else:
        chunk.marks["waiting", None].append(member_id)
        chunk.stop = _worse(chunk.stop, answer)


_NO_CREDIT: Final = 43101
_WINDOW_SHUT: Final = (45015, 45047)


def _worse(known: WeChatError | None, new: WeChatError) -> WeChatError:
    """Of several reasons to stop, the one that lasts: a refusal, then a quota, then what passes."""

    def rank(error: WeChatError | None) -> int:
        if error is None:
            return 0
        return 3 if error.permanent else 2 if isinstance(error, QuotaExceeded) else 1

    return new if known is None or rank(new) > rank(known) else known


def _mark(process: Process, batch: Batch, chunk: _Chunk, template_id: str) -> None:
    now = process.context.clock.now()

    def write(session: Session) -> None:
        batches.mark(session, batch, chunk.marks)
        if template_id:
            batches.spend_credits(session, template_id, chunk.paid, now)
            batches.no_credit(
                session, template_id, chunk.marks.get(("failed", _NO_CREDIT), ()), now
            )
        else:
            windows.spend(session, chunk.paid)
            shut = [one for code in _WINDOW_SHUT for one in chunk.marks.get(("failed", code), ())]
            windows.close(session, shut)

    process.context.database.transact(write)


def _end(process: Process, batch: Batch) -> None:
    """Done, or once more for the messages in doubt and those that were late."""
    now: datetime = process.context.clock.now()

    def write(session: Session) -> None:
        if batches.openids(session, batch) or not batches.finished_people(session, batch, now):
            batches.again(session, batch.token, now + DOUBT_PAUSE, None, counted=False)

    process.context.database.transact(write)
