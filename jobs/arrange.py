"""Manners before sending: of the notices in hand, some wait for a better hour and some become one (domain/manners.py).

Rows are put back or merged in one transaction under the lease that holds them, so a kill leaves either all of them as
they were or the merged row in their place. How much somebody was told within the last minute stands in Redis: without
it nothing is merged, and nothing else happens.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import accounts, manners, outbox
from domain.accounts import Settings
from domain.models import Account
from domain.outbox import Claimed, LeaseLost, Message, Result
from jobs.process import Process

Group = tuple[int, str]
"""A member, and the kind of news."""
_PREFIX: Final = "banyan:told"

_log = logging.getLogger(__name__)


@dataclass
class Plan:
    """What becomes of the rows of one claim."""

    send: list[Claimed] = field(default_factory=list)
    later: list[tuple[Claimed, datetime]] = field(default_factory=list)
    merges: list[tuple[list[Claimed], Message]] = field(default_factory=list)


def arrange(
    process: Process, token: str, at: datetime, rows: Sequence[Claimed]
) -> Sequence[Claimed]:
    """Of the rows that the lease `token` of `at` holds, those to send now; the others have been put back or merged."""
    settings = process.context.database.read(lambda session: _settings_of(session, rows))
    plan, groups = _sorted(settings, at, rows)
    _merge(plan, groups, settings, _told(process.context.redis, groups, settings, at), at)
    if plan.later or plan.merges:
        try:
            process.context.database.transact(lambda session: _write(session, token, plan, at))
        except LeaseLost:
            _log.warning("a lease ended before its notices were merged")
            return plan.send
    return plan.send


def _settings_of(session: Session, rows: Sequence[Claimed]) -> dict[int, Settings]:
    ids = sorted({row.account_id for row in rows})
    found = session.scalars(select(Account).where(Account.id.in_(ids)))
    return {row.id: accounts.settings_of(row) for row in found}


def _sorted(
    settings: Mapping[int, Settings], at: datetime, rows: Sequence[Claimed]
) -> tuple[Plan, dict[Group, list[Claimed]]]:
    """Rows that stand alone, rows for a later hour, and the rest by member and kind. What was tried before, perhaps
    with success, goes out again as it is."""
    plan, groups = Plan(), defaultdict(list)
    for row in rows:
        chosen = settings.get(row.account_id)
        fresh = row.attempts == 1 and row.first_try_at == at
        if chosen is None or row.member_id is None or not fresh:
            plan.send.append(row)
            continue
        due = manners.due_at(chosen, row.payload, at)
        if due > at:
            plan.later.append((row, due))
            continue
        family = manners.family_of(chosen, row.payload)
        if family is None:
            plan.send.append(row)
        else:
            groups[row.member_id, family].append(row)
    return plan, groups


def _told(
    store: Any,
    groups: Mapping[Group, list[Claimed]],
    settings: Mapping[int, Settings],
    at: datetime,
) -> dict[Group, int]:
    """How many news of each kind every member has had in the present stretch, these included."""
    counted = [group for group in groups if group[1] != manners.DIGEST]
    pipeline = store.pipeline(transaction=False)
    for group in counted:
        rows = groups[group]
        chosen = settings[rows[0].account_id]
        number, _ = manners.window_of(chosen, at)
        key = f"{_PREFIX}:{group[0]}:{group[1]}:{number}"
        pipeline.incrby(key, len(rows))
        pipeline.expire(key, 2 * chosen.merge_seconds)
    if not counted:
        return {}
    try:
        return dict(zip(counted, pipeline.execute()[::2], strict=True))
    except redis.RedisError as error:
        _log.warning("nothing is merged without Redis: %s", error)
        return {}


def _merge(
    plan: Plan,
    groups: Mapping[Group, list[Claimed]],
    settings: Mapping[int, Settings],
    told: Mapping[Group, int],
    at: datetime,
) -> None:
    """Decide for each group: as they are, into one, or not before the present stretch is over."""
    for group, rows in groups.items():
        chosen = settings[rows[0].account_id]
        if group[1] == manners.DIGEST:
            _into_one(plan, group[1], rows, at)
            continue
        after, most = told.get(group, 0), chosen.merge_above
        if after <= most:
            plan.send += rows
        elif after - len(rows) >= max(most, 1):
            _, end = manners.window_of(chosen, at)
            plan.later += [(row, end) for row in rows]
        else:
            _into_one(plan, group[1], rows, at)


def _into_one(plan: Plan, family: str, rows: list[Claimed], at: datetime) -> None:
    for start in range(0, len(rows), manners.MOST_AT_ONCE):
        some = rows[start : start + manners.MOST_AT_ONCE]
        if len(some) == 1:
            plan.send += some
            continue
        try:
            plan.merges.append((some, manners.merged(family, some, at)))
        except (KeyError, TypeError, ValueError):
            plan.send += some  # whoever sends them says what is wrong with which


def _write(session: Session, token: str, plan: Plan, at: datetime) -> None:
    back = [
        Result(row.id, "pending", next_at=due, counted=False, unsent=True)
        for row, due in plan.later
    ]
    outbox.finish(session, token, back, at)
    for rows, message in plan.merges:
        outbox.merge(session, token, [row.id for row in rows], message, at)
