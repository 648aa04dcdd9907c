"""Codes: asking WeChat for the tickets of channel, product and permanent codes, and renewing them before they lapse.

https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from domain import accounts, code_stats, codes, outbox, scenes
from domain.errors import NotFound
from domain.models import Scene
from domain.outbox import Claimed
from domain.secrets import Unreadable
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, Retryable

CHUNK: Final = 100
BUDGET_SECONDS: Final = 50
FRESH: Final = "fresh"
"""The scene has had a ticket of this kind for a while: another row, or a poster, was faster."""

T = TypeVar("T")


def surely(call: Callable[[], T]) -> T:
    """For calls that may be made twice: not to know whether it was done means to do it again."""
    try:
        return call()
    except OutcomeUnknown as error:
        raise Retryable(str(error), path=error.path) from None


def client_of(process: Process, account_id: int) -> PlatformClient | None:
    """The account's client; None when the account is gone or its secrets cannot be read: its rows fail and say so, the
    other accounts' go on."""
    try:
        return process.context.platform(process.account(account_id))
    except (NotFound, Unreadable):
        return None


def drain_codes() -> int:
    """RQ's way in: get the tickets that were asked for."""
    return drain(current(), outbox.CODE, prepare, chunk=CHUNK)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """A client for each account of these rows; answers with the function that gets one ticket."""
    ids = {row.account_id for row in rows}
    clients = {account_id: client_of(process, account_id) for account_id in ids}

    def deliver(row: Claimed) -> Done:
        client = clients[row.account_id]
        if client is None:
            raise NotFound("no account to ask a code for")
        scene_id, permanent = int(row.payload["scene_id"]), bool(row.payload["permanent"])
        now = process.context.clock.now()
        database = process.context.database

        def needed() -> Scene | None:
            with database.reading() as session:
                live = scenes.live_ticket(session, scene_id, now)
                if live is not None and (live.expires_at is None or not permanent):
                    return None
                return session.get_one(Scene, scene_id)

        scene = needed()
        if scene is None:
            return Done(delivery=FRESH)
        issue(process, client, scene, permanent=permanent)
        return Done()

    return deliver


def issue(process: Process, client: PlatformClient, scene: Scene, *, permanent: bool) -> None:
    """Ask WeChat for a ticket, of thirty days or for ever, and keep it. One too many, when two ask at once, is
    harmless: a scene's permanent code is the same however often it is asked for."""
    seconds = None if permanent else api.LONGEST_EXPIRY_SECONDS
    made = surely(lambda: api.create_qrcode(client, scene.code, expire_seconds=seconds))
    now = process.context.clock.now()
    expires_at = None
    if not permanent:
        expires_at = now + timedelta(seconds=made.expire_seconds or api.LONGEST_EXPIRY_SECONDS)
    process.context.database.transact(
        lambda session: scenes.record_ticket(
            session, scene, ticket=made.ticket, url=made.url, expires_at=expires_at, now=now
        )
    )


# --- what the clock rings for ---------------------------------------------------------------------------------------


def renew_codes() -> int:
    """RQ's way in: ask for new tickets of the codes in use that lapse soon; how many steps."""
    return renew(current())


def renew(process: Process) -> int:
    """Steps of `codes.RENEW_AT_ONCE` codes, a transaction each, until nothing is due or time is up."""
    give_up = time.monotonic() + BUDGET_SECONDS
    database, steps, more = process.context.database, 0, True
    while more and time.monotonic() < give_up and not process.stopping.is_set():
        now = process.context.clock.now()
        more = database.transact(partial(codes.renew_due, now=now))
        steps += 1
    return steps


def count_codes() -> int:
    """RQ's way in: the daily figures of codes and posters; how many rows changed."""
    process = current()
    database = process.context.database
    ids = database.read(lambda session: [one.id for one in accounts.all_of(session)])
    changes = 0
    for account_id in ids:
        if process.stopping.is_set():
            break
        changes += code_stats.refresh(database, account_id, process.context.clock.now())
    return changes
