"""For the operator: is it alive, can it serve, and what is stuck. Counted when asked, so no process keeps figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import redis
from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound

from context import Context
from domain import accounts, glance, outbox, withdrawals
from domain.accounts import OpenAccount
from domain.errors import Busy
from web import clients
from web.current import context

ALIVE: Final = "banyan:alive:"
"""Each process of `jobs/` keeps `banyan:alive:<process>` in Redis, for 60 s at a time."""
QUEUES: Final = ("fast", "bulk", "slow")
QUEUE_KEY: Final = "rq:queue:"
"""RQ keeps the jobs of a queue in a list of this name; only `jobs/` knows more of it."""
PROCESSES: Final = ("clock", *(f"worker:{queue}" for queue in QUEUES))

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """This process answers."""
    return jsonify(ok=True)


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Whether requests can be served: the database, with this release's tables, and Redis. A worker or a clock that was
    not seen lately is told and does not turn requests away: what they do waits in the database."""
    checks = {
        "database": _works("database", _reach_database),
        "migrations": _works("migrations", _check_migrations),
        "redis": _works("redis", _reach_redis),
    }
    ready = all(checks.values())
    body = jsonify(ready=ready, checks=checks, processes=_seen(context()))
    return body, 200 if ready else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus. Only for clients on this machine or in a private network; to others it does not exist."""
    if not clients.is_inside():
        raise NotFound
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(context()))
    return Response(
        generate_latest(registry), content_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _reach_database() -> bool:
    with context().database.reading() as session:
        session.connection().exec_driver_sql("SELECT 1")
    return True


def _check_migrations() -> bool:
    import migrations  # Alembic is a quarter of the time in which a worker starts

    with context().database.reading() as session:
        return migrations.is_current(session.connection())


def _reach_redis() -> bool:
    """False too when nobody has said where it is."""
    return bool(context().settings.redis.url and context().redis.ping())


def _works(name: str, check: Callable[[], object]) -> bool:
    try:
        return bool(check())
    except (SQLAlchemyError, redis.RedisError, Busy) as error:
        current_app.logger.warning("not ready: %s: %s", name, error)
        return False


def _seen(context: Context) -> dict[str, bool]:
    """Which of the other processes were seen in the last minute."""
    if not context.settings.redis.url:
        return dict.fromkeys(PROCESSES, False)
    try:
        found = context.redis.mget([ALIVE + name for name in PROCESSES])
    except redis.RedisError:
        return dict.fromkeys(PROCESSES, False)
    return {name: value is not None for name, value in zip(PROCESSES, found, strict=True)}


def _queued(context: Context) -> dict[tuple[str, ...], float]:
    """How many jobs wait in each queue; no answer while Redis is away."""
    if not context.settings.redis.url:
        return {}
    try:
        with context.redis.pipeline(transaction=False) as pipe:
            for queue in QUEUES:
                pipe.llen(QUEUE_KEY + queue)
            lengths = pipe.execute()
    except redis.RedisError:
        return {}
    return {(queue,): length for queue, length in zip(QUEUES, lengths, strict=True)}


class _Collector(Collector):
    """What the shared stores say at this moment: the same whichever process is asked."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self._context.clock.now()
        with self._context.database.reading() as session:
            waiting = outbox.waiting(session, now)
            payouts = withdrawals.figures(session)
            proof = glance.last_proof(session)
            opened = [
                accounts.unseal(row, self._context.keyring) for row in accounts.all_of(session)
            ]
        yield _gauge("banyan_outbox_rows", "Messages by topic and state, without those that are done.",
                     ["topic", "state"], {(one.topic, one.state): one.rows for one in waiting})  # fmt: skip
        due = [one.oldest_seconds for one in waiting if one.state == "pending"]
        yield _gauge("banyan_outbox_oldest_seconds", "How long the oldest due message has been waiting.",
                     [], {(): max([0.0, *due])})  # fmt: skip
        yield _gauge("banyan_withdrawals_open", "Withdrawals that have not ended, by status.",
                     ["status"], {(name,): rows for name, rows in payouts["open"].items()})  # fmt: skip
        yield _gauge("banyan_payout_alarms", "Withdrawals that a person has to look at.",
                     ["alarm"], {(name,): rows for name, rows in payouts["alarm"].items()})  # fmt: skip
        spool = self._context.settings.data.dir / "spool"
        files = sum(1 for _ in spool.glob("*.json"))  # not the lock, nor a file half written
        yield _gauge("banyan_spool_files", "Pushes on this machine that wait for the database.",
                     [], {(): files})  # fmt: skip
        seen: dict[tuple[str, ...], float] = {
            (name,): alive for name, alive in _seen(self._context).items()
        }
        yield _gauge("banyan_process_seen", "Whether a process was seen in the last minute.",
                     ["process"], seen)  # fmt: skip
        yield _gauge("banyan_queue_jobs", "Doorbells that no worker has heard yet, by queue.",
                     ["queue"], _queued(self._context))  # fmt: skip
        proved: dict[tuple[str, ...], float] = (
            {} if proof.at is None else {(): (now - proof.at).total_seconds()}
        )
        yield _gauge("banyan_books_proof_age_seconds", "Since the last proof of the books ended; absent: never.",
                     [], proved)  # fmt: skip
        yield _gauge("banyan_books_differences", "What the last proof of the books found; anything but 0 is an alarm.",
                     [], {(): proof.differences} if proved else {})  # fmt: skip
        yield from self._of_wechat(opened)

    def _of_wechat(self, opened: list[OpenAccount]) -> Iterator[GaugeMetricFamily]:
        """What is left of tokens and quotas. Without Redis there is nothing to say, and no sample."""
        tokens: dict[tuple[str, ...], float] = {}
        quotas: dict[tuple[str, ...], float] = {}
        if self._context.settings.redis.url:
            for account in opened:
                platform = self._context.platform(account)
                seconds = platform.tokens.seconds_left()
                if seconds is not None:
                    tokens[(account.slug,)] = seconds
                for one in platform.quota.left():
                    if one.day_left is not None:
                        quotas[(account.slug, one.path)] = one.day_left
        yield _gauge("banyan_token_seconds", "Until the access token ends; absent: none was needed yet.",
                     ["account"], tokens)  # fmt: skip
        yield _gauge("banyan_quota_left", "Calls of an API of WeChat that are left today.",
                     ["account", "path"], quotas)  # fmt: skip


def _gauge(
    name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family
