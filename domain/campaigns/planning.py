"""Planning: writing down who is sent a campaign, once, in batches; set-based, resumable at every transaction.

The cursor of the campaign row says where planning stands, and is moved in the transaction that wrote the rows. A chunk
that is killed is simply planned again. Followers are walked by id; a WeChat tag is walked by the platform's pages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from domain.campaigns import audience as people
from domain.campaigns.audience import Audience, Where
from domain.db import Sql, changed, to_db
from domain.models import Campaign

LIST_SIZE: Final = 10_000
"""The most openids of one call (platform.md 10)."""
PERSON_SIZE: Final = 500
CHUNK: Final = 10_000
LIST: Final = "list"
SENDALL: Final = "sendall"

_CAMPAIGN = "SELECT state, planned_at, plan_after_id, plan_cursor, plan_batches, left_out FROM campaign WHERE id = ?"
_LOCKED = Sql(_CAMPAIGN + " FOR UPDATE", sqlite=_CAMPAIGN)
_INSERT_BATCH = Sql(
    "INSERT INTO campaign_batch (campaign_id, no, account_id, way, state, size, next_at)"
    " VALUES (?, ?, ?, ?, 'waiting', ?, ?)"
)
_MOVE = Sql(
    "UPDATE campaign SET plan_after_id = ?, plan_cursor = ?, plan_batches = ?, recipients = recipients + ?,"
    " left_out = left_out + ?, planned_at = ? WHERE id = ?"
)
_FOLD = Sql(
    "UPDATE campaign_batch SET state = 'folded' WHERE campaign_id = ? AND state = 'waiting' AND no > 0"
)
_WAY = Sql("UPDATE campaign SET way = ? WHERE id = ?")
_TOTAL = Sql(
    "SELECT COALESCE(SUM(size), 0) AS people FROM campaign_batch WHERE campaign_id = ? AND no > 0"
)
_UNWILLING = Sql(
    "SELECT COUNT(*) AS people FROM member m WHERE m.account_id = ? AND m.following = 1"
    " AND (m.muted = 1 OR m.promotions_muted = 1)"
)
_NOT_YET: Final = (
    "NOT EXISTS (SELECT 1 FROM campaign_recipient p WHERE p.campaign_id = ? AND p.member_id = m.id)"
)
_RECIPIENT: Final = (
    "INSERT INTO campaign_recipient (campaign_id, member_id, batch_no, state)"
    " SELECT ?, m.id, ?, 'waiting' FROM member m WHERE "
)


@dataclass(frozen=True, slots=True)
class Planned:
    """What one step of planning came to: people written down, and whether the plan is complete."""

    people: int
    finished: bool


def step(session: Session, campaign: Campaign, now: datetime, *, template_id: str = "") -> Planned:
    """Plan the next chunk of a campaign whose audience is ours to know (not a WeChat tag). Two at once are harmless:
    the row lock lets one pass, and the cursor is read under it."""
    state = _LOCKED(session, campaign.id).one()
    if state.state != "running" or state.planned_at is not None:
        return Planned(0, True)
    audience = _audience_of(campaign)
    condition = people.where(
        session, campaign.account_id, audience, campaign.channel, now, template_id=template_id
    )
    size = LIST_SIZE if campaign.channel == people.MASS else PERSON_SIZE
    after, number, written = state.plan_after_id, state.plan_batches, 0
    finished = False
    while written < CHUNK and not finished:
        upto, finished = _boundary(session, condition, after, size)
        if upto > after:
            number += 1
            chunk = condition.and_("m.id > ? AND m.id <= ?", after, upto)
            written += _write(session, campaign, number, chunk, now)
            after = upto
    _MOVE(
        session, after, state.plan_cursor, number, written, 0, to_db(now) if finished else None,
        campaign.id,
    )  # fmt: skip
    if finished:
        _choose_way(session, campaign, audience, now)
    return Planned(written, finished)


def _boundary(session: Session, condition: Where, after: int, size: int) -> tuple[int, bool]:
    """The last id of the next batch and whether it is the last one. A single person is never left over: a call to one
    openid is refused (40130), so that the last two batches share what remains."""
    query = Sql(
        f"SELECT m.id FROM member m WHERE {condition.text} AND m.id > ? ORDER BY m.id LIMIT 3 OFFSET ?"
    )
    offset = max(0, size - 2)
    ids = [row.id for row in query(session, *condition.values, after, offset)]
    # ids: the people at places size - 1, size and size + 1 of what remains
    if len(ids) < 3:
        return _last(session, condition, after), True
    beyond = _exists_beyond(session, condition, ids[2])
    return (ids[1], False) if beyond or size < 3 else (ids[0], False)


def _last(session: Session, condition: Where, after: int) -> int:
    query = Sql(f"SELECT MAX(m.id) AS id FROM member m WHERE {condition.text} AND m.id > ?")
    found = query(session, *condition.values, after).one().id
    return after if found is None else int(found)


def _exists_beyond(session: Session, condition: Where, member_id: int) -> bool:
    query = Sql(
        f"SELECT m.id FROM member m WHERE {condition.text} AND m.id > ? ORDER BY m.id LIMIT 1"
    )
    return query(session, *condition.values, member_id).first() is not None


def _write(session: Session, campaign: Campaign, number: int, chunk: Where, now: datetime) -> int:
    count = changed(Sql(_RECIPIENT + chunk.text)(session, campaign.id, number, *chunk.values))
    if count:
        way = LIST if campaign.channel == people.MASS else "person"
        _INSERT_BATCH(session, campaign.id, number, campaign.account_id, way, count, to_db(now))
    return count


def step_tag(
    session: Session,
    campaign: Campaign,
    cursor: str,
    openids: Sequence[str],
    next_cursor: str,
    now: datetime,
    *,
    template_id: str = "",
) -> Planned:
    """Plan one page of a WeChat tag: `openids` that came for `cursor` ("" is the first page); an empty page is the
    end. A page that was planned already (another worker was faster) changes nothing."""
    state = _LOCKED(session, campaign.id).one()
    if (
        state.state != "running"
        or state.planned_at is not None
        or (state.plan_cursor or "") != cursor
    ):
        return Planned(0, state.planned_at is not None)
    audience = _audience_of(campaign)
    condition = people.where(
        session, campaign.account_id, audience, campaign.channel, now, template_id=template_id
    ).and_(_NOT_YET, campaign.id)
    number, written = state.plan_batches, 0
    size = LIST_SIZE if campaign.channel == people.MASS else PERSON_SIZE
    for start in range(0, len(openids), size):
        number += 1
        written += _write_openids(
            session, campaign, number, condition, openids[start : start + size], now
        )
    finished = not openids or not next_cursor
    _MOVE(
        session, state.plan_after_id, next_cursor or cursor or None, number, written, len(openids) - written,
        to_db(now) if finished else None, campaign.id,
    )  # fmt: skip
    if finished:
        _choose_way(session, campaign, audience, now, state.left_out + len(openids) - written)
    return Planned(written, finished)


def _write_openids(
    session: Session,
    campaign: Campaign,
    number: int,
    condition: Where,
    openids: Sequence[str],
    now: datetime,
) -> int:
    query = Sql(f"{_RECIPIENT}{condition.text} AND m.openid IN (??)")
    count = changed(query.among(session, (campaign.id, number, *condition.values), openids))
    if count:
        way = LIST if campaign.channel == people.MASS else "person"
        _INSERT_BATCH(session, campaign.id, number, campaign.account_id, way, count, to_db(now))
    return count


def _choose_way(
    session: Session, campaign: Campaign, audience: Audience, now: datetime, left_out: int = 0
) -> None:
    """One call to everybody, or to the tag, where that means exactly the people of the plan; else the lists stay.

    Nobody may be left out: a follower who sent 退订, or has had four this month, would be in WeChat's own group.
    """
    if campaign.channel == people.PUBLISH:
        _INSERT_BATCH(session, campaign.id, 1, campaign.account_id, "publish", 0, to_db(now))
        return
    if campaign.channel != people.MASS or not (audience.is_everybody or audience.is_tag):
        return
    total = int(_TOTAL(session, campaign.id).scalar_one())
    if left_out or total < 2 or not _is_exact(session, campaign, audience, total):
        return
    _FOLD(session, campaign.id)
    way = "all" if audience.is_everybody else "tag"
    _INSERT_BATCH(session, campaign.id, 0, campaign.account_id, way, total, to_db(now))
    _WAY(session, SENDALL, campaign.id)


_FOLLOWERS = Sql(
    "SELECT COUNT(*) AS people FROM member m WHERE m.account_id = ? AND m.following = 1"
)


def _is_exact(session: Session, campaign: Campaign, audience: Audience, total: int) -> bool:
    """Whether WeChat's group and the plan are the same people, as far as we know."""
    if audience.is_tag:
        return not unwilling(session, campaign.account_id)
    return int(_FOLLOWERS(session, campaign.account_id).scalar_one()) == total


def unwilling(session: Session, account_id: int) -> int:
    """Followers of the account who sent 退订, of everything or of promotions."""
    return int(_UNWILLING(session, account_id).scalar_one())


_UNFOLD = Sql(
    "UPDATE campaign_batch SET state = 'waiting', next_at = ? WHERE campaign_id = ? AND state = 'folded'"
)
_DROP_ALL = Sql(
    "DELETE FROM campaign_batch WHERE campaign_id = ? AND no = 0 AND called_at IS NULL AND state = 'claimed'"
    " AND lease_token = ?"
)


def back_to_lists(session: Session, campaign_id: int, token: str, now: datetime) -> bool:
    """Somebody sent 退订 between planning and the call to all: send lists instead, which leave them out. False when the
    call has been made, or is somebody else's."""
    if changed(_DROP_ALL(session, campaign_id, token)) != 1:
        return False
    _UNFOLD(session, to_db(now), campaign_id)
    _WAY(session, LIST, campaign_id)
    return True


def _audience_of(campaign: Campaign) -> Audience:
    values: dict[str, Any] = json.loads(campaign.audience)
    return Audience.parse(values)
