"""The three queues. A job is a doorbell: it says what to look for, never what to do it with (money.md 2.5).

So a lost job, a second one and one that comes too late are all harmless, and the queue never holds more than one
waiting job of a kind. Nothing secret and nothing that matters is ever in Redis.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue

from domain import outbox

FAST: Final = "fast"
"""What somebody waits for: cards, posters, profiles."""
BULK: Final = "bulk"
"""What may take a minute: settlement, folds, pruning. A queue of its own, so that it never stands before a card."""
SLOW: Final = "slow"
"""What may take an hour and that somebody watches or leaves: proofs, imports. Nothing else waits for it."""
QUEUES: Final = (FAST, BULK, SLOW)

JOB_SECONDS: Final = 300
"""RQ interrupts a job then. Our own loops end after DRAIN_SECONDS, so this means that something hangs."""
FAILURES_KEPT_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Errand:
    """A kind of job: its name, the function that does it (by path, so the clock imports no poster), its queue, and the
    seconds after which it must be hanging."""

    name: str
    function: str
    queue: str
    seconds: int = JOB_SECONDS


DRAINS: Final = {
    outbox.NOTICE: Errand("notices", "jobs.notify.drain_notices", FAST),
    outbox.POSTER: Errand("posters", "jobs.posters.drain_posters", FAST),
    outbox.PROFILE: Errand("profiles", "jobs.profiles.drain_profiles", FAST),
    outbox.PAYOUT: Errand("payouts", "jobs.payouts.drain_payouts", FAST),
    outbox.REPLY: Errand("replies", "jobs.replies.drain_replies", FAST),
    outbox.ALERT: Errand("alerts", "jobs.alerts.drain_alerts", FAST),
    outbox.WEBHOOK: Errand("webhooks", "jobs.webhooks.drain_webhooks", BULK),
    outbox.BROADCAST_TEST: Errand("broadcast-tests", "jobs.broadcast.drain_tests", FAST),
    outbox.CODE: Errand("code-tickets", "jobs.codes.drain_codes", BULK),
}
"""Who carries which topic of the outbox."""
SETTLE: Final = Errand("settle", "jobs.settle.settle_commissions", BULK)
FOLD: Final = Errand("fold", "jobs.settle.fold_tallies", BULK)
ASK: Final = Errand("ask-payouts", "jobs.payouts.ask_about_payouts", FAST)
RECONCILE: Final = Errand("reconcile", "jobs.reconcile.reconcile_payouts", BULK)
GRADES: Final = Errand("grades", "jobs.upkeep.sweep_grades", BULK)
HOLDS: Final = Errand("holds", "jobs.upkeep.lapse_holds", BULK)
RISK: Final = Errand("risk", "jobs.upkeep.watch_risk", BULK)
MOVE: Final = Errand("moves", "jobs.moves.move_teams", BULK)
REPORT: Final = Errand("reports", "jobs.reports.refresh_reports", BULK)
MEDIA: Final = Errand("media", "jobs.replies.renew_media", BULK)
FOLLOWERS: Final = Errand("followers", "jobs.followers.sync_followers", BULK)
NIGHTLY: Final = Errand("nightly", "jobs.followers.sync_nightly", BULK)
TAGS: Final = Errand("tags", "jobs.tags.sync_tags", BULK)
BROADCAST: Final = Errand("broadcasts", "jobs.broadcast.run_broadcasts", BULK)
RENEW: Final = Errand("renew-codes", "jobs.codes.renew_codes", BULK)
COUNT: Final = Errand("count-codes", "jobs.codes.count_codes", BULK)
TEMPLATES: Final = Errand("templates", "jobs.templates.check_templates", BULK)
PRUNE: Final = Errand("prune", "jobs.prune.prune", BULK)
TASKS: Final = Errand("tasks", "jobs.tasks.work_on_tasks", SLOW, seconds=6 * 3600)


def connect(url: str, socket_seconds: float = 2.0) -> redis.Redis:
    """Redis for RQ, apart from the one of requests: a worker sets its time-outs to minutes (libraries.md R12)."""
    return redis.Redis.from_url(
        url,
        socket_timeout=socket_seconds,
        socket_connect_timeout=2.0,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
    )


def queue_named(name: str, connection: redis.Redis) -> Queue:
    """The queue, with JSON instead of pickle: who can write to Redis must not be able to run code here."""
    return Queue(name, connection=connection, serializer="json", default_timeout=JOB_SECONDS)


def ring(errand: Errand, connection: redis.Redis) -> bool:
    """Enqueue the errand unless one is waiting already; whether it was. A running one does not count: it may have
    looked for work just before there was some."""
    queue = queue_named(errand.queue, connection)
    if any(job_id.startswith(f"{errand.name}-") for job_id in queue.get_job_ids()):
        return False
    queue.enqueue_call(
        errand.function,
        job_id=f"{errand.name}-{uuid.uuid4().hex}",
        timeout=errand.seconds,
        result_ttl=0,
        failure_ttl=FAILURES_KEPT_SECONDS,
    )
    return True


def others_wait(queue: str, connection: redis.Redis) -> bool:
    """Whether another job waits in this queue."""
    return queue_named(queue, connection).count > 0
