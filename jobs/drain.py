"""Draining one topic of the outbox: claim, send, mark (money.md 2.5, T7). What is sent, the topic's own module says.

Rows are claimed with a lease and marked in small chunks; nothing is open in the database while HTTP is out. A worker
that is killed loses nothing: its rows come back when the lease runs out, and go out with the same client id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Final

from domain import outbox
from domain.outbox import Claimed, Result
from jobs.process import Process
from jobs.queues import DRAINS
from wechat import tokens
from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    QuotaExceeded,
    TokenRejected,
    WeChatError,
)

DRAIN_SECONDS: Final = 50
LAUNCH_SECONDS: Final = 50
"""Rows of a claim that were not begun by then are given back: the slowest call must end inside the lease of 90 s."""
MARK_AT_ONCE: Final = 20
MARK_AFTER_SECONDS: Final = 0.05
TOKEN_PAUSE: Final = timedelta(seconds=60)
REPAIR_PAUSE: Final = timedelta(minutes=10)
DEDUPED: Final = timedelta(seconds=outbox.DEDUPE_SECONDS - outbox.DEDUPE_MARGIN_SECONDS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """A message that left, with WeChat's id, or one that was not to be sent: `delivery` says why."""

    provider_msg_id: str | None = None
    delivery: str | None = None


Deliver = Callable[[Claimed], Done]
"""Sends one row, in a thread of its own; raises what WeChat says."""
Prepare = Callable[[Process, Sequence[Claimed]], Deliver]
"""Reads what the rows of one claim need, in a few statements."""


def drain(process: Process, topic: str, prepare: Prepare, *, chunk: int = 500) -> int:
    """Send what is due of `topic`, until nothing is, or time is up, or another job waits; how many rows were marked."""
    marked = 0
    database, now = process.context.database, process.context.clock.now()
    database.transact(lambda session: outbox.doubt(session, topic, now))
    give_up = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < give_up and not process.stopping.is_set():
        found = _Chunk(process, topic, chunk).drain(prepare)
        if found is None:
            break
        marked += found
        if process.leave_room(DRAINS[topic]):
            break
    return marked


class _Chunk:
    """The rows of one claim."""

    def __init__(self, process: Process, topic: str, limit: int) -> None:
        self._process = process
        self._database = process.context.database
        self._now = process.context.clock.now
        self._answers: SimpleQueue[Result] = SimpleQueue()
        self._giving_back = False
        self._claimed_at = self._now()
        self._launch_until = time.monotonic() + LAUNCH_SECONDS
        self._token = self._database.transact(
            lambda session: outbox.claim(session, topic, self._claimed_at, limit)
        )

    def drain(self, prepare: Prepare) -> int | None:
        """How many rows were marked; None when nothing was due."""
        token = self._token
        if token is None:
            return None
        rows = self._database.read(lambda session: outbox.claimed(session, token))
        deliver = prepare(self._process, rows)
        try:
            for row in rows:
                self._process.senders.submit(self._send, deliver, row)
            return self._mark_all(token, len(rows))
        finally:
            self._giving_back = True  # when this ends early, what has not begun stays here

    def _mark_all(self, token: str, left: int) -> int:
        marked = 0
        batch: list[Result] = []
        while left or batch:
            try:
                batch.append(self._answers.get(timeout=MARK_AFTER_SECONDS if batch else None))
                left -= 1
                full = len(batch) >= MARK_AT_ONCE or not left
            except Empty:
                full = True
            if full:
                marked += self._mark(token, batch)
                batch = []
        return marked

    def _mark(self, token: str, batch: list[Result]) -> int:
        return self._database.transact(
            lambda session: outbox.finish(session, token, batch, self._now())
        )

    def _send(self, deliver: Deliver, row: Claimed) -> None:
        """Runs in a sender's thread, and always answers."""
        late = time.monotonic() > self._launch_until
        if self._giving_back or late or self._process.stopping.is_set():
            self._answers.put(self._again(row, self._now(), counted=False, unsent=True))
            return
        try:
            done = deliver(row)
            result = Result(
                row.id, "done", provider_msg_id=done.provider_msg_id, delivery=done.delivery
            )
        except WeChatError as error:
            result = self._refused(row, error)
        except Exception as error:
            # Whatever a payload makes our own code raise concerns that row alone: the others must leave.
            _log.exception("outbox row %s (%s) cannot be sent", row.id, row.topic)
            text = f"{type(error).__name__}: {error}"
            result = self._failed(row, text, outbox.MAX_ATTEMPTS)
        self._answers.put(result)

    def _refused(self, row: Claimed, error: WeChatError) -> Result:
        """What WeChat's answer means for the row: later, never, or nobody knows (design.md 8)."""
        now, text = self._now(), f"{type(error).__name__}: {error}"
        if isinstance(error, QuotaExceeded):
            at = max(error.retry_at or now + TOKEN_PAUSE, now + timedelta(seconds=1))
            return self._again(row, at, error=text, counted=False, unsent=True)
        if isinstance(error, AccountMisconfigured):
            return self._again(row, now + REPAIR_PAUSE, error=text, counted=False, unsent=True)
        if isinstance(error, TokenRejected):
            return self._again(row, now + TOKEN_PAUSE, error=text, counted=False, unsent=True)
        if isinstance(error, OutcomeUnknown) and error.path != tokens.PATH:
            return self._unknown(row, text, now)
        if error.permanent:
            return Result(row.id, "dead", error=text)
        return self._failed(row, text, outbox.PATIENT_ATTEMPTS)

    def _unknown(self, row: Claimed, text: str, now: datetime) -> Result:
        """Perhaps sent. Inside WeChat's ten minutes the same id may be sent again; after that a person decides."""
        at = outbox.retry_at(row, now)
        if at > (row.first_try_at or now) + DEDUPED:
            return Result(row.id, "unsure", error=text)
        return self._again(row, at, error=text)

    def _failed(self, row: Claimed, text: str, attempts: int) -> Result:
        """Surely not sent. Again, or never when it has failed so many times."""
        if row.attempts >= attempts:
            return Result(row.id, "dead", error=text)
        return self._again(row, outbox.retry_at(row, self._now()), error=text, unsent=True)

    def _again(
        self,
        row: Claimed,
        at: datetime,
        *,
        error: str | None = None,
        counted: bool = True,
        unsent: bool = False,
    ) -> Result:
        # Only the claim that began the ten minutes may take them back: an earlier try may have been sent.
        began_here = row.first_try_at == self._claimed_at
        return Result(
            row.id, "pending", error=error, next_at=at, counted=counted, unsent=unsent and began_here
        )  # fmt: skip
