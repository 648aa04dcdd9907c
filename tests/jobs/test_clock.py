"""The clock: one waiting job of a kind at most, only for what is due, and nothing stops it."""

from __future__ import annotations

import threading
import time

import redis

from domain import outbox
from jobs.clock import doorbells
from jobs.queues import BULK, FAST, SETTLE, connect, queue_named, ring
from jobs.ticker import Tick, Ticker
from tests.jobs.conftest import Shop
from tests.support.waiting import until


def _waiting(shop: Shop, queue: str) -> list[str]:
    with connect(shop.context.settings.redis_url) as connection:
        return [each.split("-")[0] for each in queue_named(queue, connection).get_job_ids()]


def _tick(shop: Shop, name: str) -> None:
    (tick,) = [each for each in doorbells(shop.context) if each.name == name]
    tick.do()


def test_it_rings_for_due_topics_once_until_somebody_has_heard(shop: Shop) -> None:
    member = shop.follower("大明")
    _tick(shop, "outbox")
    assert _waiting(shop, FAST) == []
    shop.tell(member.member_id, "N1", "N2")
    for _ in range(3):
        _tick(shop, "outbox")
    assert _waiting(shop, FAST) == ["notices"]


def test_topics_that_nobody_carries_ring_nothing(shop: Shop) -> None:
    now = shop.context.clock.now()
    odd = outbox.Message(shop.account.id, outbox.WEBHOOK, "hook", {}, now)
    shop.database.transact(lambda session: outbox.put(session, [odd], now))
    _tick(shop, "outbox")
    assert _waiting(shop, FAST) == []


def test_jobs_are_json_and_leave_nothing_behind_in_redis(shop: Shop) -> None:
    with connect(shop.context.settings.redis_url) as connection:
        assert ring(SETTLE, connection)
        (job_id,) = queue_named(BULK, connection).get_job_ids()
        job = queue_named(BULK, connection).fetch_job(job_id)
        assert job is not None
        assert (job.result_ttl, job.failure_ttl) == (0, 3600)
        stored = connection.hget(f"rq:job:{job_id}", "data")
    assert b"jobs.settle.settle_commissions" in _inflated(stored)
    shop.start_worker("bulk")
    shop.wait_for(lambda: not _job_keys(shop))


def _inflated(stored: object) -> bytes:
    import zlib

    assert isinstance(stored, bytes)
    return zlib.decompress(stored)


def _job_keys(shop: Shop) -> list[bytes]:
    with redis.Redis.from_url(shop.context.settings.redis_url) as connection:
        found: list[bytes] = connection.keys("rq:job:*")
        return found


def test_a_tick_that_fails_stops_neither_itself_nor_the_others() -> None:
    stopping = threading.Event()
    done: list[str] = []

    def fail() -> None:
        done.append("fails")
        raise RuntimeError("the database is away")

    ticks = [Tick("fails", 0.01, fail), Tick("works", 0.01, lambda: done.append("works"))]
    thread = threading.Thread(target=Ticker(ticks, stopping).run)
    thread.start()
    until(lambda: done.count("fails") >= 3 and done.count("works") >= 3)
    stopping.set()
    thread.join()


def test_a_tick_waits_for_its_interval() -> None:
    stopping = threading.Event()
    done: list[float] = []
    ticks = [
        Tick("often", 0.01, lambda: done.append(time.monotonic())),
        Tick("rare", 3600, lambda: done.append(0.0)),
    ]
    thread = threading.Thread(target=Ticker(ticks, stopping).run)
    thread.start()
    until(lambda: len(done) >= 10)
    stopping.set()
    thread.join()
    assert done.count(0.0) == 1


def test_the_clock_ends_when_asked(shop: Shop) -> None:
    clock = shop.start_clock()
    with redis.Redis.from_url(shop.context.settings.redis_url) as connection:
        shop.wait_for(lambda: connection.exists("banyan:alive:clock"))
    clock.terminate()
    assert clock.wait(60) == 0
