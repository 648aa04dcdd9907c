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
from domain import outbox, withdrawals
from domain.errors import Busy
from web import clients
from web.current import context

ALIVE: Final = "banyan:alive:"
"""Each process of `jobs/` keeps `banyan:alive:<process>` in Redis, for 60 s at a time."""
PROCESSES: Final = ("clock", "worker:fast", "worker:bulk", "worker:slow")

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


class _Collector(Collector):
    """What the shared stores say at this moment: the same whichever process is asked."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self._context.clock.now()
        with self._context.database.reading() as session:
            waiting = outbox.waiting(session, now)
            payouts = withdrawals.figures(session)
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


def _gauge(
    name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family
