"""Draining one topic of the outbox: claim, send, mark (money.md 2.5, T7). What is sent, the topic's own module says.

Rows are claimed with a lease and marked in small chunks; nothing is open in the database while HTTP is out. A worker
that is killed loses nothing: its rows come back when the lease runs out, and go out with the same client id.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Final

from sqlalchemy.orm import Session

from domain import outbox
from domain.outbox import Claimed, Result
from jobs.outcomes import Done, Halted, Try
from jobs.process import SENDERS, Process
from jobs.queues import DRAINS
from wechat.errors import WeChatError

DRAIN_SECONDS: Final = 50
LAUNCH_SECONDS: Final = 50
"""Rows of a claim that were not begun by then are given back: the slowest call must end inside the lease of 90 s."""
MARK_AT_ONCE: Final = 20
MARK_AFTER_SECONDS: Final = 0.05

_log = logging.getLogger(__name__)

Deliver = Callable[[Claimed], Done]
"""Sends one row, in a thread of its own; raises what WeChat says."""
After = Callable[[Session, Sequence[tuple[Claimed, Result]], datetime], None]
"""Writes, in the transaction that marks rows, what else follows from their results."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one claim is sent with."""

    deliver: Deliver
    after: After | None = None


Prepare = Callable[[Process, Sequence[Claimed]], Deliver | Round]
"""Reads what the rows of one claim need, in a few statements."""
Arrange = Callable[[Process, str, datetime, Sequence[Claimed]], Sequence[Claimed]]
"""Given the lease, its instant and its rows: puts back or merges some of them, answers with those to send now."""


def drain(
    process: Process,
    topic: str,
    prepare: Prepare,
    *,
    arrange: Arrange | None = None,
    chunk: int = 500,
) -> int:
    """Send what is due of `topic`, until nothing is, or time is up, or another job waits; how many rows were marked."""
    now = process.context.clock.now()
    process.context.database.transact(lambda session: outbox.doubt(session, topic, now))
    return _Drain(process, topic, prepare, arrange, chunk).run()


@dataclass(frozen=True, slots=True)
class _Claim:
    token: str
    at: datetime
    launch_until: float
    round: Round
    rows: Mapping[int, Claimed]


class _Drain:
    """One run. The next rows are claimed while the last ones are still out, so no sender waits for the database."""

    def __init__(
        self, process: Process, topic: str, prepare: Prepare, arrange: Arrange | None, chunk: int
    ) -> None:
        self._process = process
        self._database = process.context.database
        self._now = process.context.clock.now
        self._topic, self._prepare, self._arrange, self._chunk = topic, prepare, arrange, chunk
        self._claims: dict[str, _Claim] = {}
        self._give_up = time.monotonic() + DRAIN_SECONDS
        self._answers: SimpleQueue[tuple[str, Result]] = SimpleQueue()
        self._giving_back = False
        self._out = 0

    def run(self) -> int:
        """How many rows were marked."""
        marked = 0
        more = True
        try:
            while True:
                if more and self._out <= SENDERS:
                    more = self._launch() and not self._is_over()
                if not self._out:
                    if more:
                        continue  # all of that claim was put back or merged: what it became may be due
                    return marked
                marked += self._mark(self._answered())
        finally:
            self._giving_back = True  # when this ends early, what has not begun stays here

    def _launch(self) -> bool:
        """Claim rows and hand them to the senders; whether there were any."""
        at = self._now()
        launch_until = time.monotonic() + LAUNCH_SECONDS
        token = self._database.transact(
            lambda session: outbox.claim(session, self._topic, at, self._chunk)
        )
        if token is None:
            return False
        rows = self._database.read(lambda session: outbox.claimed(session, token))
        if self._arrange is not None:
            rows = list(self._arrange(self._process, token, at, rows))
        made = self._prepare(self._process, rows)
        each_way = made if isinstance(made, Round) else Round(made)
        claim = _Claim(token, at, launch_until, each_way, {row.id: row for row in rows})
        self._claims[token] = claim
        for row in rows:
            self._process.senders.submit(self._send, claim, row)
        self._out += len(rows)
        return True

    def _is_over(self) -> bool:
        """Asked after a claim, never before the first: two topics that make room for each other would do nothing."""
        if time.monotonic() > self._give_up or self._process.stopping.is_set():
            return True
        return self._process.leave_room(DRAINS[self._topic])

    def _answered(self) -> dict[str, list[Result]]:
        """Results by claim: at least one, up to MARK_AT_ONCE, not waiting long for more."""
        results: dict[str, list[Result]] = defaultdict(list)
        for count in range(min(MARK_AT_ONCE, self._out)):
            try:
                token, result = self._answers.get(timeout=MARK_AFTER_SECONDS if count else None)
            except Empty:
                break
            results[token].append(result)
            self._out -= 1
        return results

    def _mark(self, results: dict[str, list[Result]]) -> int:
        def mark(session: Session) -> int:
            now = self._now()
            marked = 0
            for token, each in results.items():
                marked += outbox.finish(session, token, each, now)
                claim = self._claims[token]
                if claim.round.after is not None:
                    pairs = [(claim.rows[result.row_id], result) for result in each]
                    claim.round.after(session, pairs, now)
            return marked

        return self._database.transact(mark)

    def _send(self, claim: _Claim, row: Claimed) -> None:
        """Runs in a sender's thread, and always answers."""
        attempt = Try(row, claim.at)
        late = self._giving_back or time.monotonic() > claim.launch_until
        if late or self._process.stopping.is_set():
            self._answers.put((claim.token, attempt.not_begun(self._now())))
            return
        try:
            result = attempt.done(claim.round.deliver(row))
        except Halted as halted:
            result = replace(attempt.refused(halted.error, self._now()), channel=halted.channel)
        except WeChatError as error:
            result = attempt.refused(error, self._now())
        except Exception as error:
            # Whatever a payload makes our own code raise concerns that row alone: the others must leave.
            _log.exception("outbox row %s (%s) cannot be sent", row.id, row.topic)
            result = attempt.broken(error, self._now())
        self._answers.put((claim.token, result))
