"""群发: broadcasts, from a draft to what they sold.

`draft → scheduled → running ⇄ paused → done`, or `cancelled`, or `failed` when WeChat refuses what is said. Every
change of state is a guarded UPDATE by a person or by jobs/broadcast.py, and is audited. Who is meant: audience.py. What
is said: content.py. Who is written down, in which batches: planning.py. How they leave: batches.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from domain import attribution, audit, members, outbox
from domain.accounts import OpenAccount
from domain.campaigns import audience as people
from domain.campaigns import content as contents
from domain.campaigns.audience import Audience, Counted
from domain.campaigns.content import Content
from domain.db import Sql, changed, is_key, to_db, to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.keyset import seek
from domain.models import (
    Campaign,
    CampaignBatch,
    CampaignFile,
    CampaignLink,
    CampaignRecipient,
    Member,
)
from domain.secrets import random_secret, short_digest

DRAFT: Final = "draft"
SCHEDULED: Final = "scheduled"
RUNNING: Final = "running"
PAUSED: Final = "paused"
DONE: Final = "done"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"

MAX_FILES: Final = 20
FILE_BYTES: Final = contents.IMAGE_BYTES


class WrongCampaignState(Conflict):
    """The campaign is in a state from which this cannot be done; somebody may have been faster."""

    code = "wrong_state"


# --- making one -----------------------------------------------------------------------------------------------------


def create(
    session: Session,
    account: OpenAccount,
    *,
    name: str,
    channel: str,
    content: Mapping[str, Any],
    audience: Mapping[str, Any],
    files: Mapping[str, bytes],
    scheduled_at: datetime | None = None,
    actor: str,
    now: datetime,
) -> Campaign:
    """A draft with its pictures by name. Raises `Invalid` with every problem of content and audience."""
    made = Campaign(
        account_id=account.id, name=name, channel=channel, content="", audience="", state=DRAFT,
        campaign_key=random_secret()[:32], window_days=account.settings.campaign_window_days,
        scheduled_at=scheduled_at, actor=actor, created_at=now,
    )  # fmt: skip
    _fill(made, name, channel, content, audience, files)
    session.add(made)
    session.flush()
    _write_files(session, made.id, files)
    audit.record(
        session, account.id, actor=actor, action="campaign_created", subject=f"campaign/{made.id}",
        after={"name": name, "channel": channel, "audience": json.loads(made.audience)}, now=now,
    )  # fmt: skip
    return made


def edit(
    session: Session,
    account_id: int,
    campaign_id: int,
    *,
    name: str,
    channel: str,
    content: Mapping[str, Any],
    audience: Mapping[str, Any],
    files: Mapping[str, bytes],
    scheduled_at: datetime | None,
    actor: str,
    now: datetime,
) -> Campaign:
    """Replace a draft as a whole; `files` are all of its pictures. `WrongCampaignState` for anything but a draft."""
    found = get(session, account_id, campaign_id)
    _guarded(session, found, (DRAFT,), state=DRAFT)
    session.refresh(found)
    _fill(found, name, channel, content, audience, files)
    found.scheduled_at = scheduled_at
    session.flush()
    session.execute(delete(CampaignFile).where(CampaignFile.campaign_id == campaign_id))
    _write_files(session, campaign_id, files)
    audit.record(
        session, account_id, actor=actor, action="campaign_edited", subject=f"campaign/{campaign_id}", now=now
    )  # fmt: skip
    return found


def _fill(
    row: Campaign,
    name: str,
    channel: str,
    content: Mapping[str, Any],
    audience: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> None:
    if not name.strip() or len(name) > 190:
        raise Invalid("a campaign needs a name of at most 190 characters")
    if len(files) > MAX_FILES or not all(is_key(each) for each in files):
        raise Invalid("at most 20 pictures, with plain names")
    if any(len(each) > FILE_BYTES for each in files.values()):
        raise Invalid("a picture has at most 2 MiB")
    read = contents.parse(content)
    contents.check(channel, read, files)
    row.name, row.channel = name.strip(), channel
    row.content = to_json(read.as_value())
    row.audience = to_json(Audience.parse(audience).as_value())


def _write_files(session: Session, campaign_id: int, files: Mapping[str, bytes]) -> None:
    session.add_all(
        CampaignFile(campaign_id=campaign_id, name=name, content=content)
        for name, content in files.items()
    )
    session.flush()


# --- reading --------------------------------------------------------------------------------------------------------


def get(session: Session, account_id: int, campaign_id: int) -> Campaign:
    """The campaign, or `NotFound`, also when it is another account's."""
    found = session.scalar(
        select(Campaign).where(Campaign.id == campaign_id, Campaign.account_id == account_id)
    )
    if found is None:
        raise NotFound("no such campaign", campaign=campaign_id)
    return found


def list_campaigns(
    session: Session, account_id: int, *, before_id: int | None = None, limit: int = 50
) -> list[Campaign]:
    """Campaigns of an account, newest first; keyset page before `before_id`."""
    query = select(Campaign).where(Campaign.account_id == account_id)
    if before_id is not None:
        query = query.where(Campaign.id < before_id)
    return list(session.scalars(query.order_by(Campaign.id.desc()).limit(limit)))


def content_of(campaign: Campaign) -> Content:
    return contents.parse(json.loads(campaign.content))


def audience_of(campaign: Campaign) -> Audience:
    return Audience.parse(json.loads(campaign.audience))


def files_of(session: Session, campaign_id: int) -> dict[str, CampaignFile]:
    """The pictures of a campaign, by name."""
    query = select(CampaignFile).where(CampaignFile.campaign_id == campaign_id)
    return {one.name: one for one in session.scalars(query)}


def count(
    session: Session,
    account_id: int,
    channel: str,
    audience: Audience,
    now: datetime,
    *,
    template_id: str = "",
    openids: Sequence[str] | None = None,
) -> Counted:
    """Who would be sent it now, before the button. Of a WeChat tag: who carried it when we last heard of it; give its
    `openids` page by page, and add the pages, for what WeChat says now."""
    return people.count(
        session, account_id, audience, channel, now, template_id=template_id, openids=openids
    )


# --- what a person decides ------------------------------------------------------------------------------------------


def start(
    session: Session, account_id: int, campaign_id: int, *, actor: str, now: datetime
) -> Campaign:
    """Send it now, or at its hour. The content is checked once more. `WrongCampaignState` unless it is a draft."""
    campaign = get(session, account_id, campaign_id)
    files = {name: one.content for name, one in files_of(session, campaign_id).items()}
    contents.check(campaign.channel, content_of(campaign), files)
    later = campaign.scheduled_at is not None and campaign.scheduled_at > now
    if later:
        _guarded(session, campaign, (DRAFT,), state=SCHEDULED)
    else:
        _guarded(session, campaign, (DRAFT,), state=RUNNING, started_at=now)
    return _changed(session, campaign, "campaign_started", actor, now)


def pause(
    session: Session, account_id: int, campaign_id: int, *, actor: str, now: datetime
) -> Campaign:
    """Begin no further call. What is on its way to WeChat at this moment arrives."""
    campaign = get(session, account_id, campaign_id)
    _guarded(session, campaign, (RUNNING,), state=PAUSED)
    return _changed(session, campaign, "campaign_paused", actor, now)


def resume(
    session: Session, account_id: int, campaign_id: int, *, actor: str, now: datetime
) -> Campaign:
    """Go on with who has not been sent it; also after `failed`, when the reason is gone: nobody is sent it twice."""
    campaign = get(session, account_id, campaign_id)
    _guarded(session, campaign, (PAUSED, FAILED), state=RUNNING, last_error=None, finished_at=None)
    return _changed(session, campaign, "campaign_resumed", actor, now)


def cancel(
    session: Session, account_id: int, campaign_id: int, *, actor: str, now: datetime
) -> Campaign:
    """Send nothing more, for good. Whom it was sent stays counted; the others stay where they are."""
    campaign = get(session, account_id, campaign_id)
    _guarded(
        session,
        campaign,
        (DRAFT, SCHEDULED, RUNNING, PAUSED, FAILED),
        state=CANCELLED,
        finished_at=now,
    )
    return _changed(session, campaign, "campaign_cancelled", actor, now)


def _guarded(session: Session, campaign: Campaign, states: Sequence[str], **values: Any) -> None:
    done = session.execute(
        update(Campaign)
        .where(Campaign.id == campaign.id, Campaign.state.in_(states))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if changed(done) != 1 and not _is_same(session, campaign, states):
        session.refresh(campaign)
        raise WrongCampaignState(
            f"the campaign is {campaign.state}", campaign=campaign.id, state=campaign.state
        )


def _is_same(session: Session, campaign: Campaign, states: Sequence[str]) -> bool:
    """MariaDB counts the rows that changed: an UPDATE that sets what was there changes none."""
    session.refresh(campaign)
    return states == (DRAFT,) and campaign.state == DRAFT


def _changed(
    session: Session, campaign: Campaign, action: str, actor: str, now: datetime
) -> Campaign:
    before = campaign.state
    session.refresh(campaign)
    audit.record(
        session, campaign.account_id, actor=actor, action=action, subject=f"campaign/{campaign.id}",
        before={"state": before}, after={"state": campaign.state}, now=now,
    )  # fmt: skip
    return campaign


def request_test(
    session: Session, account_id: int, campaign_id: int, openid: str, now: datetime
) -> str:
    """Send it to one follower's phone, as it is now; the key of the outbox row that tells what became of it.

    The same wish in the same second is one. `NotFound` for an openid that is nobody's.
    """
    campaign = get(session, account_id, campaign_id)
    member = session.scalar(
        select(Member).where(Member.account_id == account_id, Member.openid == openid)
    )
    if member is None:
        raise NotFound("no such member", openid=openid)
    key = f"campaign-test-{campaign.id}-{member.id}-{int(now.timestamp())}"
    message = outbox.Message(
        account_id, outbox.BROADCAST_TEST, key, {"campaign": campaign.id}, now, member.id
    )
    outbox.put_once(session, message, now)
    return key


# --- what the jobs do -----------------------------------------------------------------------------------------------

_START_DUE = Sql(
    "UPDATE campaign SET state = 'running', started_at = ? WHERE state = 'scheduled' AND scheduled_at <= ?"
)
_ACTIVE = Sql("SELECT id FROM campaign WHERE state = 'running' ORDER BY id")
_DUE = Sql(
    "SELECT 1 FROM campaign c WHERE c.state = 'running' AND (c.planned_at IS NULL OR NOT EXISTS (SELECT 1"
    " FROM campaign_batch w WHERE w.campaign_id = c.id AND w.state IN ('waiting', 'claimed')) OR EXISTS (SELECT 1"
    " FROM campaign_batch b WHERE b.campaign_id = c.id AND b.state IN ('waiting', 'claimed') AND b.next_at <= ?))"
    " LIMIT 1"
)
_DUE_SCHEDULE = Sql(
    "SELECT 1 FROM campaign WHERE state = 'scheduled' AND scheduled_at <= ? LIMIT 1"
)
_DUE_QUESTION = Sql("SELECT 1 FROM campaign_batch WHERE state = 'sent' AND next_at <= ? LIMIT 1")
_STILL = Sql(
    "SELECT COUNT(*) AS batches FROM campaign_batch WHERE campaign_id = ? AND state IN ('waiting', 'claimed')"
)
_FINISH = Sql(
    "UPDATE campaign SET state = 'done', finished_at = ?, last_error = NULL WHERE id = ? AND state = 'running'"
    " AND planned_at IS NOT NULL"
)
_FAIL = Sql(
    "UPDATE campaign SET state = 'failed', finished_at = ?, last_error = ? WHERE id = ? AND state = 'running'"
)
_NOTE = Sql("UPDATE campaign SET last_error = ? WHERE id = ? AND state IN ('running', 'paused')")
_ORPHANS = Sql(
    "SELECT b.lease_token FROM campaign_batch b JOIN campaign c ON c.id = b.campaign_id"
    " WHERE b.state = 'claimed' AND b.next_at <= ? AND c.state IN ('cancelled', 'failed') LIMIT 20"
)


def is_due(session: Session, now: datetime) -> bool:
    """Whether a worker has something to do: what the clock rings for."""
    at = to_db(now)
    return any(
        query(session, at).first() is not None for query in (_DUE, _DUE_SCHEDULE, _DUE_QUESTION)
    )


def start_due(session: Session, now: datetime) -> int:
    """Start what was scheduled for now or earlier; how many."""
    return changed(_START_DUE(session, to_db(now), to_db(now)))


def running(session: Session) -> list[int]:
    """Ids of the campaigns under way."""
    return [row.id for row in _ACTIVE(session)]


def finish(session: Session, campaign_id: int, now: datetime) -> bool:
    """Done, when the plan is complete and every batch has left; results may still come. Whether it is done now."""
    if _STILL(session, campaign_id).one().batches:
        return False
    return changed(_FINISH(session, to_db(now), campaign_id)) == 1


def fail(session: Session, campaign_id: int, error: str, now: datetime) -> bool:
    """WeChat refuses what the campaign says: nothing more is sent until a person has looked."""
    return changed(_FAIL(session, to_db(now), error[:190], campaign_id)) == 1


def note(session: Session, campaign_id: int, error: str | None) -> None:
    """What holds it up at the moment, for people: a quota, a confirmation that is waited for."""
    _NOTE(session, error and error[:190], campaign_id)


def orphans(session: Session, now: datetime) -> list[str]:
    """Lease tokens of batches that a worker died with, of campaigns that were cancelled or failed since: whether they
    were sent cannot be asked without sending them."""
    return [row.lease_token for row in _ORPHANS(session, to_db(now))]


def links_of(
    session: Session, account_id: int, campaign: Campaign, address: Callable[[str], str]
) -> dict[str, str]:
    """The tracked address for every address in the content: made once, the same ones from then on.

    `address` makes the whole address of a token: `https://…/m/<slug>/r/<token>`.
    """
    urls = content_of(campaign).urls()
    tokens = {
        url: short_digest(f"{campaign.campaign_key} {number} {url}")[:12] for number, url in enumerate(urls)
    }  # fmt: skip
    known = set(
        session.scalars(select(CampaignLink.token).where(CampaignLink.campaign_id == campaign.id))
    )
    _NEW_LINK.many(
        session,
        [
            (account_id, campaign.id, token, url)
            for url, token in tokens.items()
            if token not in known
        ],
    )
    return {url: address(token) for url, token in tokens.items()}


_NEW_LINK = Sql(
    "INSERT IGNORE INTO campaign_link (account_id, campaign_id, token, url) VALUES (?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO campaign_link (account_id, campaign_id, token, url) VALUES (?, ?, ?, ?)",
)


# --- what came of it ------------------------------------------------------------------------------------------------

_FIGURES = Sql(
    "SELECT state, size, skipped, accepted, delivered, failed, unknown FROM campaign_batch WHERE campaign_id = ?"
)
_PARTS: Final = frozenset({"folded", "counted"})
"""Batches that are counted in the call to all."""


@dataclass(frozen=True, slots=True)
class Results:
    """A campaign in figures, in people. recipients = waiting + skipped + sent + failed + unknown, always;
    sent = delivered + undecided (no result yet). `batches`: number by state. Money in fen."""

    recipients: int
    waiting: int
    skipped: int
    sent: int
    delivered: int
    undecided: int
    failed: int
    unknown: int
    batches: dict[str, int]
    clicks: int
    clickers: int
    orders: int
    buyers: int
    sales_fen: int
    commission_fen: int


def results(session: Session, campaign_id: int) -> Results:
    """What became of everybody, and what it sold, from its batches (a hundred, or a few thousand) and the clicks."""
    rows = [row for row in _FIGURES(session, campaign_id) if row.state not in _PARTS]
    total = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("size", "skipped", "delivered", "failed", "unknown")
    }
    undecided = sum(row.accepted for row in rows if row.state not in {"finished", "failed"})
    sent = total["delivered"] + undecided
    waiting = total["size"] - total["skipped"] - sent - total["failed"] - total["unknown"]
    return Results(
        recipients=total["size"], waiting=waiting, skipped=total["skipped"], sent=sent,
        delivered=total["delivered"], undecided=undecided, failed=total["failed"], unknown=total["unknown"],
        batches=dict(Counter(row.state for row in rows)), **attribution.sales_of(session, campaign_id),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """One recipient. `state`: waiting, sending, sent, delivered, failed, skipped or unknown; of a mass message
    WeChat tells figures, not people, so `sent` may be all that is known. `errcode` is WeChat's."""

    member_id: int
    openid: str
    nickname: str | None
    state: str
    errcode: int | None


def recipients(
    session: Session, campaign: Campaign, *, after_id: int = 0, limit: int = 100
) -> list[RecipientResult]:
    """Recipients by member id: keyset pages behind `after_id`."""
    query = (
        select(CampaignRecipient)
        .where(CampaignRecipient.campaign_id == campaign.id, CampaignRecipient.member_id > after_id)
        .order_by(CampaignRecipient.member_id)
        .limit(limit)
    )
    query = seek(query, CampaignRecipient.member_id)
    return results_of(session, campaign, list(session.scalars(query)))


def results_of(
    session: Session, campaign: Campaign, rows: Sequence[CampaignRecipient]
) -> list[RecipientResult]:
    """What became of these recipients of one campaign, in their order, in two statements."""
    all_in_one = campaign.way == "sendall"
    numbers = {0} if all_in_one else {row.batch_no for row in rows}
    query = select(CampaignBatch).where(
        CampaignBatch.campaign_id == campaign.id, CampaignBatch.no.in_(numbers)
    )
    batches = {one.no: one for one in session.scalars(query)}
    who = members.by_ids(session, {row.member_id for row in rows})
    return [
        RecipientResult(
            row.member_id, who[row.member_id].openid, who[row.member_id].nickname,
            _state_of(row.state, batches[0 if all_in_one else row.batch_no]), row.errcode,
        )
        for row in rows
        if row.member_id in who
    ]  # fmt: skip


def _state_of(own: str, batch: CampaignBatch) -> str:
    """A recipient's state: their own, or that of the mass call which they were part of."""
    if own != "waiting" or batch.way == "person":
        return own
    if batch.state == "finished":
        return "delivered" if batch.delivered == batch.accepted else "sent"
    return batch.state if batch.state in {"sent", "failed", "unknown"} else "waiting"


def prune_months(session: Session, before_month: int, limit: int = 1000) -> int:
    """Forget how many mass messages were sent in months before that one (as 202603); up to `limit` rows."""
    ids = [row.member_id for row in _OLD_MONTH(session, before_month, limit)]
    return changed(_FORGET.among(session, (before_month,), ids)) if ids else 0


_OLD_MONTH = Sql("SELECT member_id FROM mass_month WHERE month < ? LIMIT ?")
_FORGET = Sql("DELETE FROM mass_month WHERE month < ? AND member_id IN (??)")
