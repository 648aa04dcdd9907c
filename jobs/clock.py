"""`python -m jobs.clock`: looks what is due, and rings. It does none of the work, keeps no state, and may run twice."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

import redis
from sqlalchemy.orm import Session

import logs
from config import ConfigError, load_settings
from context import Context, open_context
from domain import campaigns, followers, moves, outbox, tasks
from jobs import alive
from jobs.queues import (
    ASK,
    BROADCAST,
    COUNT,
    DRAINS,
    FOLD,
    FOLLOWERS,
    GRADES,
    HOLDS,
    MEDIA,
    MOVE,
    NIGHTLY,
    PRUNE,
    RECONCILE,
    RENEW,
    REPORT,
    RISK,
    SETTLE,
    TAGS,
    TASKS,
    TEMPLATES,
    Errand,
    connect,
    ring,
)
from jobs.tasks import prove_daily
from jobs.ticker import Tick, Ticker


def _ring_syncs(context: Context, connection: redis.Redis) -> None:
    """Ring for syncs of followers that run and do not wait for a quota."""
    now = context.clock.now()
    if context.database.read(lambda session: followers.due(session, now)):
        ring(FOLLOWERS, connection)


def doorbells(context: Context) -> list[Tick]:
    """What this folder wants to be rung for."""
    connection = connect(context.settings.redis_url)

    def ring_due_topics() -> None:
        now = context.clock.now()
        for topic in context.database.read(lambda session: outbox.due_topics(session, now)):
            if topic in DRAINS:
                ring(DRAINS[topic], connection)

    def bell_if(
        errand: Errand, is_due: Callable[[Session, datetime], object]
    ) -> Callable[[], object]:
        def look() -> None:
            now = context.clock.now()
            if context.database.read(lambda session: is_due(session, now)):
                ring(errand, connection)

        return look

    def bell(errand: Errand) -> Callable[[], object]:
        return lambda: ring(errand, connection)

    return [
        Tick("outbox", 0.5, ring_due_topics),
        Tick("settle", 5, bell(SETTLE)),
        Tick("fold", 2, bell(FOLD)),
        Tick("payouts", 5, bell(ASK)),
        Tick("reconcile", 3600, bell(RECONCILE)),
        Tick("grades", 60, bell(GRADES)),
        Tick("holds", 60, bell(HOLDS)),
        Tick("risk", 300, bell(RISK)),
        Tick("moves", 5, bell_if(MOVE, lambda session, _now: moves.running(session))),
        Tick("broadcasts", 1, bell_if(BROADCAST, campaigns.is_due)),
        Tick("followers", 5, lambda: _ring_syncs(context, connection)),
        Tick("nightly", 3600, bell(NIGHTLY)),
        Tick("tags", 60, bell(TAGS)),
        Tick("media", 3600, bell(MEDIA)),
        Tick("reports", 300, bell(REPORT)),
        Tick("tasks", 2, bell_if(TASKS, tasks.is_due)),
        Tick("proof", 600, lambda: prove_daily(context)),
        Tick("renew-codes", 600, bell(RENEW)),
        Tick("count-codes", 300, bell(COUNT)),
        Tick("templates", 6 * 3600, bell(TEMPLATES)),
        Tick("prune", 600, bell(PRUNE)),
        Tick("alive", alive.EVERY_SECONDS, lambda: alive.say(context.redis, "clock")),
    ]


def run(context: Context, machine_ticks: Sequence[Tick], stopping: threading.Event) -> None:
    """Ring the doorbells, and do this machine's own ticks in a thread beside them, where a slow one delays no card."""
    beside = threading.Thread(target=Ticker(machine_ticks, stopping).run, name="machine-ticks")
    beside.start()
    try:
        Ticker(doorbells(context), stopping).run()
    finally:
        stopping.set()
        beside.join()


def main() -> str | None:
    """Run until SIGTERM or SIGINT. Returns what is wrong, for sys.exit."""
    # This process is put together here: ticks.py, like app.py, knows every door, and no door knows another.
    from ticks import machine_ticks

    logs.start()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    try:
        context = open_context(load_settings())
        run(context, machine_ticks(context), stopping)
    except ConfigError as error:
        return str(error)
    context.close()
    return None


if __name__ == "__main__":
    sys.exit(main())
