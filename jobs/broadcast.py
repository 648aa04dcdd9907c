"""Broadcasts: planned, sent batch by batch, asked about, finished (design.md 9). One job on the bulk queue.

Each round does one small thing and commits it; a worker that is killed anywhere leaves rows that say what was begun.
Nobody is sent anything twice: a mass call is repeated with the clientmsgid by which WeChat knows it, a single message
that may have left is not repeated. How single messages leave: broadcast_people.py.

https://developers.weixin.qq.com/doc/service/api/notify/message/api_sendall
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import campaigns
from domain.campaigns import audience as people
from domain.campaigns import batches, planning
from domain.campaigns.batches import Batch, Silent
from domain.china import bounds, day_of
from domain.errors import NotFound
from domain.models import Campaign
from domain.outbox import BROADCAST_TEST, Claimed
from domain.secrets import Unreadable
from jobs import broadcast_people
from jobs.broadcast_material import Parcel, parcel_of
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from jobs.queues import BROADCAST
from wechat import drafts, mass, tags
from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    QuotaExceeded,
    RecipientRefused,
    Refused,
    TokenRejected,
    WeChatError,
)

BUDGET_SECONDS: Final = 50
REPEATABLE: Final = timedelta(hours=23)
"""WeChat knows a clientmsgid for 24 hours: after that a call that may have been heard is not repeated."""
PAUSE: Final = timedelta(minutes=1)
REPAIR_PAUSE: Final = timedelta(minutes=10)
BACKOFF_SECONDS: Final = (5, 15, 60, 120, 300, 600, 1800, 3600)
MEDIA_TRIES: Final = 3
_MEDIA_GONE: Final = 40007

_log = logging.getLogger(__name__)


def run_broadcasts() -> int:
    """RQ's way in: how many steps were taken."""
    return broadcast(current())


def broadcast(process: Process) -> int:
    """Step by step, until nothing is to be done, or time is up, or another job waits."""
    database, clock = process.context.database, process.context.clock
    give_up = time.monotonic() + BUDGET_SECONDS
    database.transact(lambda session: campaigns.start_due(session, clock.now()))
    steps = 0
    while _step(process):
        steps += 1
        if process.stopping.is_set() or time.monotonic() > give_up or process.leave_room(BROADCAST):
            break
    _finish(process)
    return steps


def _step(process: Process) -> bool:
    """The first thing that there is to do; whether there was any."""
    steps: Sequence[Callable[[Process], bool]] = (_plan, _send, _count, _ask)
    return any(step(process) for step in steps)


# --- planning -------------------------------------------------------------------------------------------------------


def _plan(process: Process) -> bool:
    """A chunk of the first campaign that is not planned yet."""
    database = process.context.database
    for campaign_id in database.read(campaigns.running):
        campaign = database.read(lambda s, one=campaign_id: s.get_one(Campaign, one))  # type: ignore[misc]
        if campaign.planned_at is None and _plan_chunk(process, campaign):
            return True
    return False


def _plan_chunk(process: Process, campaign: Campaign) -> bool:
    """False when it has to wait: WeChat does not tell who is in the tag."""
    now = process.context.clock.now()
    template_id = campaigns.content_of(campaign).template_id
    tag = campaigns.audience_of(campaign).tag
    if tag is None or campaign.channel == people.PUBLISH:
        process.context.database.transact(
            lambda session: planning.step(session, campaign, now, template_id=template_id)
        )
        return True
    cursor = campaign.plan_cursor or ""
    try:
        client = process.context.platform(process.account(campaign.account_id))
        page = tags.people_of_tag(client, tag, cursor)
    except (WeChatError, NotFound, Unreadable) as error:
        _tag_unknown(process, campaign, error)
        return False
    process.context.database.transact(
        lambda session: planning.step_tag(
            session, campaign, cursor, page.openids, page.next_openid, now, template_id=template_id
        )
    )
    return True


def _tag_unknown(process: Process, campaign: Campaign, error: Exception) -> None:
    def write(session: Session) -> None:
        if isinstance(error, Refused):
            campaigns.fail(session, campaign.id, f"标签 {error}", process.context.clock.now())
        else:
            campaigns.note(session, campaign.id, str(error))

    process.context.database.transact(write)


# --- sending --------------------------------------------------------------------------------------------------------


def _send(process: Process) -> bool:
    """The batch that is due first; whether there was one."""
    database, clock = process.context.database, process.context.clock
    now = clock.now()
    token = database.transact(lambda session: batches.claim(session, now))
    batch = None if token is None else database.read(lambda s: batches.claimed(s, token))
    if batch is None:
        return False
    try:
        parcel = parcel_of(process.context, process.account(batch.account_id), batch.campaign_id)
        _ways(batch.way)(process, parcel, batch)
    except WeChatError as error:
        _refused(process, batch, error)
    except (NotFound, Unreadable) as error:
        _hold_up(process, batch, REPAIR_PAUSE, error)
    except Exception as error:
        # A batch that our own code cannot send must neither stop the others nor be tried for ever.
        _log.exception("batch %s of campaign %s", batch.no, batch.campaign_id)
        _broken(process, batch, error)
    return True


def _ways(way: str) -> Callable[[Process, Parcel, Batch], None]:
    if way == "person":
        return broadcast_people.send
    return {"list": _send_list, "publish": _publish}.get(way, _send_to_all)


def _send_to_all(process: Process, parcel: Parcel, batch: Batch) -> None:
    """One call to everybody, or to a tag; lists instead when somebody has sent 退订 since."""
    database, clock = process.context.database, process.context.clock
    if batch.called_at is None:
        unwilling = database.read(lambda s: planning.unwilling(s, batch.account_id))
        if unwilling:
            database.transact(
                lambda s: planning.back_to_lists(s, batch.campaign_id, batch.token, clock.now())
            )
            return
    tag = campaigns.audience_of(parcel.campaign).tag
    _call(
        process, parcel, batch,
        lambda branch, key: mass.send_all(parcel.client, branch, key, tag_id=tag),
    )  # fmt: skip


def _send_list(process: Process, parcel: Parcel, batch: Batch) -> None:
    """One call to up to 10,000 openids. One person left over is shown it as a preview: a list has two at least."""
    database, clock = process.context.database, process.context.clock
    database.transact(lambda session: batches.prepare(session, batch, clock.now()))
    openids = [openid for _, openid in database.read(lambda s: batches.openids(s, batch))]
    if not openids:
        database.transact(lambda session: batches.nobody(session, batch.token, clock.now()))
    elif len(openids) < mass.SMALLEST_LIST:
        _send_alone(process, parcel, batch, openids[0])
    else:
        _call(
            process, parcel, batch, lambda branch, key: mass.send_to(parcel.client, openids, branch, key)
        )  # fmt: skip


def _call(
    process: Process,
    parcel: Parcel,
    batch: Batch,
    send: Callable[[mass.Branch, str], mass.MassSent],
) -> None:
    database, clock = process.context.database, process.context.clock
    if batch.called_at is not None and clock.now() - batch.called_at > REPEATABLE:
        _unknown(process, batch, "WeChat does not know a repeat after a day")
        return
    media_id = _draft_of(parcel, batch)
    branch = parcel.branch(media_id)
    if not database.transact(lambda s: batches.calling(s, batch.token, clock.now(), media_id)):
        return
    key = batches.client_msg_id(parcel.campaign.campaign_key, batch.no)
    sent = send(branch, key)

    def keep(session: Session) -> None:
        if batches.accepted(session, batch, sent.msg_id, sent.msg_data_id, clock.now()):
            campaigns.note(session, batch.campaign_id, None)

    database.transact(keep)


def _draft_of(parcel: Parcel, batch: Batch) -> str | None:
    """The draft of this batch, the same at every try; None for what is no article."""
    return (batch.media_id or parcel.draft()) if parcel.content.articles else None


def _send_alone(process: Process, parcel: Parcel, batch: Batch, openid: str) -> None:
    """A preview has no clientmsgid: one that a worker died with stays unknown."""
    database, clock = process.context.database, process.context.clock
    if batch.called_at is not None:
        _unknown(process, batch, "a worker died with it")
        return
    branch = parcel.branch(_draft_of(parcel, batch), preview=True)
    if database.transact(lambda s: batches.calling(s, batch.token, clock.now())):
        try:
            mass.preview(parcel.client, openid, branch)
        except RecipientRefused as error:  # they left, and nobody else is in this batch
            said = _text(error)
            database.transact(lambda s: batches.ended(s, batch.token, "failed", said, clock.now()))
        else:
            database.transact(lambda s: batches.delivered_alone(s, batch.token, clock.now()))


def _publish(process: Process, parcel: Parcel, batch: Batch) -> None:
    """Articles onto the account's page; PUBLISHJOBFINISH says what became of it."""
    database, clock = process.context.database, process.context.clock
    if batch.called_at is not None:
        _unknown(process, batch, "a worker died with it")
        return
    media_id = _draft_of(parcel, batch) or ""
    if database.transact(lambda s: batches.calling(s, batch.token, clock.now(), media_id)):
        publish_id = drafts.publish_draft(parcel.client, media_id)
        database.transact(lambda s: batches.accepted(s, batch, publish_id, None, clock.now()))


# --- what WeChat says against it ------------------------------------------------------------------------------------


def _refused(process: Process, batch: Batch, error: WeChatError) -> None:
    """A quota, a confirmation, a token and an account to repair wait; what is refused for good stops the campaign."""
    now = process.context.clock.now()
    if isinstance(error, QuotaExceeded):
        at = max(error.retry_at or now + PAUSE, now + timedelta(seconds=1))
        _hold_up(process, batch, at - now, error)
    elif error.errcode in _PATIENCE:
        _hold_up(process, batch, _PATIENCE[error.errcode](now), error)
    elif isinstance(error, AccountMisconfigured):
        _hold_up(process, batch, REPAIR_PAUSE, error)
    elif isinstance(error, TokenRejected):
        _hold_up(process, batch, PAUSE, error)
    elif error.errcode == _MEDIA_GONE and batch.attempts < MEDIA_TRIES:
        process.context.database.transact(lambda session: batches.forget_media(session, batch))
        _try_again(process, batch, error)
    elif error.permanent:
        _stop(process, batch, error)
    else:
        _try_again(process, batch, error)


def _until_tomorrow(now: datetime) -> timedelta:
    """To Beijing's midnight, an hour at most: the merchant may have been given more meanwhile."""
    return min(bounds(day_of(now))[1] - now, timedelta(hours=1))


_PATIENCE: Final[dict[int | None, Callable[[datetime], timedelta]]] = {
    mass.PERIOD_QUOTA: _until_tomorrow,
    mass.SENDING_NOW: lambda _now: PAUSE,
    mass.WAITS_FOR_ADMIN: lambda _now: PAUSE,
}
_HEARD: Final = frozenset({mass.SENDING_NOW, mass.WAITS_FOR_ADMIN})
"""WeChat has the call and may still act on it: it is repeated as it was, and never becomes lists beside it."""


def _hold_up(process: Process, batch: Batch, pause: timedelta, error: Exception) -> None:
    """Not this batch's fault: it waits, and the campaign says why."""
    now = process.context.clock.now()
    unsent = batch.called_at is None and getattr(error, "errcode", None) not in _HEARD

    def write(session: Session) -> None:
        batches.again(session, batch.token, now + pause, _text(error), counted=False, unsent=unsent)
        campaigns.note(session, batch.campaign_id, _text(error))

    process.context.database.transact(write)


def _try_again(process: Process, batch: Batch, error: WeChatError) -> None:
    """-1, a broken line, no answer. A mass call is repeated while WeChat knows its clientmsgid; one without waits for
    nobody to guess."""
    now = process.context.clock.now()
    unknown = isinstance(error, OutcomeUnknown)
    called = batch.called_at or now
    if (unknown and not _is_repeatable(process, batch)) or now - called > REPEATABLE:
        _unknown(process, batch, _text(error))
    else:
        step = min(batch.attempts, len(BACKOFF_SECONDS)) - 1
        at = now + timedelta(seconds=BACKOFF_SECONDS[step])
        maybe_sent = unknown or batch.called_at is not None
        process.context.database.transact(
            lambda s: batches.again(s, batch.token, at, _text(error), unsent=not maybe_sent)
        )


def _is_repeatable(process: Process, batch: Batch) -> bool:
    """Whether the call had a clientmsgid: neither a publication nor a preview has."""
    if batch.way != "list":
        return batch.way != "publish"
    rest = process.context.database.read(lambda session: batches.openids(session, batch))
    return len(rest) >= mass.SMALLEST_LIST


def _stop(process: Process, batch: Batch, error: WeChatError) -> None:
    """WeChat will refuse every call like this: nothing was sent, and nothing more is before a person has looked."""
    now = process.context.clock.now()

    def write(session: Session) -> None:
        unsent = batch.called_at is None or error.errcode == mass.REFUSED_BY_ADMIN
        batches.again(session, batch.token, now, _text(error), counted=False, unsent=unsent)
        campaigns.fail(session, batch.campaign_id, _text(error), now)

    process.context.database.transact(write)


def _broken(process: Process, batch: Batch, error: Exception) -> None:
    now = process.context.clock.now()

    def write(session: Session) -> None:
        text = f"{type(error).__name__}: {error}"
        batches.again(session, batch.token, now + PAUSE, text, unsent=False)
        if batch.attempts >= len(BACKOFF_SECONDS):
            campaigns.fail(session, batch.campaign_id, text, now)

    process.context.database.transact(write)


def _unknown(process: Process, batch: Batch, text: str) -> None:
    now = process.context.clock.now()
    process.context.database.transact(
        lambda session: batches.ended(session, batch.token, "unknown", text, now)
    )


def _text(error: Exception) -> str:
    code = getattr(error, "errcode", None)
    return f"{code}: {error}" if code is not None else f"{type(error).__name__}: {error}"


# --- afterwards -----------------------------------------------------------------------------------------------------


def _count(process: Process) -> bool:
    """A part of a call to all, counted for the month."""
    return process.context.database.transact(batches.count_folded)


def _ask(process: Process) -> bool:
    """About one batch whose result has not come; whether there was one."""
    database, clock = process.context.database, process.context.clock
    now = clock.now()
    for batch in database.read(lambda session: batches.silent(session, now, 1)):
        if not database.transact(lambda s, one=batch: batches.ask_later(s, one, now)):  # type: ignore[misc]
            continue
        try:
            _ask_about(process, batch)
        except (WeChatError, NotFound, Unreadable) as error:
            _log.warning("campaign %s is asked about again: %s", batch.campaign_id, error)
        return True
    return False


def _ask_about(process: Process, batch: Silent) -> None:
    client = process.context.platform(process.account(batch.account_id))
    if batch.way == "publish":
        found = drafts.publication(client, batch.msg_id)
        state = {drafts.PUBLISHED: "finished", drafts.PUBLISHING: ""}.get(found.status, "failed")
        status = str(found.status)
    else:
        status = mass.mass_status(client, batch.msg_id)
        state = {mass.SUCCESS: "finished", mass.SENDING: ""}.get(status, "failed")
    if state:
        now = process.context.clock.now()
        process.context.database.transact(
            lambda session: batches.told(session, batch, state, {"asked": status}, now)
        )


def _finish(process: Process) -> None:
    database, clock = process.context.database, process.context.clock
    now = clock.now()
    for token in database.read(lambda session: campaigns.orphans(session, now)):
        database.transact(
            lambda s, one=token: batches.ended(s, one, "unknown", "a worker died with it", now)  # type: ignore[misc]
        )
    for campaign_id in database.read(campaigns.running):
        database.transact(lambda s, one=campaign_id: campaigns.finish(s, one, now))  # type: ignore[misc]


# --- a test on one's own phone --------------------------------------------------------------------------------------


def drain_tests() -> int:
    """RQ's way in: show campaigns to those who asked for a test."""
    return drain(current(), BROADCAST_TEST, prepare_tests)


def prepare_tests(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """Answers with the function that shows one campaign on one phone."""

    def deliver(row: Claimed) -> Done:
        account = process.account(row.account_id)
        parcel = parcel_of(process.context, account, int(row.payload["campaign"]))
        openid = process.context.database.read(
            lambda session: broadcast_people.openid_of(session, row.member_id or 0)
        )
        _show(parcel, openid, row.key)
        return Done()

    return deliver


def _show(parcel: Parcel, openid: str, key: str) -> None:
    """As it will look: single messages as such where they can be sent, everything else as a preview."""
    channel = parcel.campaign.channel
    if channel == people.SUBSCRIPTION:
        broadcast_people.message_of(parcel)(openid, key)
        return
    if channel == people.CUSTOM:
        try:
            broadcast_people.message_of(parcel)(openid, key)
        except RecipientRefused:  # the window is closed: WeChat's own preview needs none
            pass
        else:
            return
    mass.preview(parcel.client, openid, parcel.branch(preview=True))
