"""The processes: one worker per queue under one supervisor, which never leaves half of them behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
import redis

from jobs.process import Process
from jobs.queues import QUEUES, connect, queue_named
from jobs.worker import QueueWorker
from tests.jobs.conftest import Shop


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _signs_of_life(shop: Shop) -> set[str]:
    with redis.Redis.from_url(shop.context.settings.redis_url) as connection:
        return {key.decode() for key in connection.keys("banyan:alive:*")}


def test_without_a_queue_it_supervises_one_worker_for_each_and_stops_them(shop: Shop) -> None:
    supervisor = shop.start("-m", "jobs.worker")
    shop.start_clock()
    expected = {f"banyan:alive:worker:{queue}" for queue in QUEUES} | {"banyan:alive:clock"}
    shop.wait_for(lambda: _signs_of_life(shop) == expected)
    children = _children(supervisor.pid)
    assert len(children) == len(QUEUES)
    supervisor.terminate()
    assert supervisor.wait(60) == 0
    assert not any(map(_alive, children))


def test_one_dead_worker_ends_all_loudly(shop: Shop) -> None:
    supervisor = shop.start("-m", "jobs.worker")
    shop.wait_for(lambda: len(_signs_of_life(shop)) == len(QUEUES))
    children = _children(supervisor.pid)
    os.kill(children[0], signal.SIGKILL)
    assert supervisor.wait(60) == 1
    assert not any(map(_alive, children))
    assert "a worker died" in shop.output()


def test_workers_end_when_their_supervisor_was_killed(shop: Shop) -> None:
    supervisor = shop.start("-m", "jobs.worker")
    shop.wait_for(lambda: len(_signs_of_life(shop)) == len(QUEUES))
    children = _children(supervisor.pid)
    supervisor.kill()
    shop.wait_for(lambda: not any(map(_alive, children)))


def test_a_signal_while_it_starts_is_not_lost(shop: Shop) -> None:
    for wait_for_imports in (0.0, 0.3, 0.6, 0.9, 1.2, 1.5):
        worker = shop.start_worker()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(wait_for_imports)
        worker.terminate()
        assert worker.wait(60) in (0, -signal.SIGTERM)


def test_a_worker_told_to_end_before_rq_listens_ends(
    shop: Shop, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.stopping.set()
    with connect(shop.context.settings.redis_url) as connection:
        worker = QueueWorker(
            [queue_named("fast", connection)], connection=connection, serializer="json"
        )
        worker.stopping = process.stopping
        monkeypatch.setattr(worker, "_install_signal_handlers", lambda: None)  # pytest has its own
        worker.work(logging_level="WARNING")  # comes back instead of waiting for a job


def test_a_queue_that_does_not_exist_is_refused(shop: Shop) -> None:
    worker = shop.start("-m", "jobs.worker", "nowhere")
    assert worker.wait(60) == 1
    assert "usage" in shop.output()
