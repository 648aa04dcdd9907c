"""`python -m jobs.worker [queue]`: one RQ worker on exactly one queue; without a queue, one such process for each.

One queue each, because RQ loses a job when a worker on several dies at the wrong moment (libraries.md R2). A
SimpleWorker: our jobs are short loops that look after themselves, and a fork for each costs more than the job.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

import redis
from rq import SimpleWorker, get_current_job
from rq.exceptions import StopRequested

import logs
from config import ConfigError, load_settings
from context import open_context
from jobs import process
from jobs.alive import Pulse
from jobs.process import Process
from jobs.queues import QUEUES, connect, queue_named

RESTART_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class QueueWorker(SimpleWorker):
    """Tells the job in hand when the process has been asked to end: RQ itself would wait for it in silence."""

    stopping: threading.Event

    def handle_warm_shutdown_request(self) -> None:
        self.stopping.set()

    def check_for_suspension(self, burst: bool) -> None:
        """RQ asks this before each job. A signal that came while it was starting had no handler of RQ's to tell it."""
        if self.stopping.is_set():
            raise StopRequested
        super().check_for_suspension(burst)


def work(queue: str) -> None:
    """Work on one queue until SIGTERM or SIGINT. Redis may go away and come back meanwhile."""
    settings = load_settings()
    context = open_context(settings)
    connection = connect(settings.redis_url)
    here = Process(context, connection)
    process.begin(here)
    pulse = Pulse(context.redis, f"worker:{queue}")
    pulse.start()
    try:
        while not here.stopping.is_set():
            _work_once(here, queue, settings.redis_url)
    finally:
        pulse.stop()
        here.senders.shutdown()
        context.close()


def _work_once(here: Process, queue: str, url: str) -> None:
    """RQ's loop, which ends when it is asked to, and also when Redis leaves in the middle of a job."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        here.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)  # until RQ sets its own, and after it left them behind
    connection = connect(url)
    try:
        worker = QueueWorker(
            [queue_named(queue, connection)], connection=connection, serializer="json"
        )
        worker.log_job_description = False
        worker.stopping = here.stopping
        worker.work(logging_level="WARNING")
    except redis.RedisError as error:
        _log.warning("Redis: %s", error)
    except StopRequested:
        here.stopping.set()
    finally:
        connection.close()
    here.stopping.wait(RESTART_SECONDS)


def supervise() -> str | None:
    """One process for each queue, until told to end, or until one of them has died: then all end, and whoever started
    us starts the whole again, in a known state."""
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    children = [subprocess.Popen([sys.executable, "-m", "jobs.worker", queue]) for queue in QUEUES]
    while not asked and all(child.poll() is None for child in children):
        time.sleep(0.1)
    for child in children:
        child.send_signal(signal.SIGTERM)  # to nobody, when it has ended
    for child in children:
        child.wait()
    return None if asked else "a worker died"


def _end_with_parent(parent: int) -> None:
    """A supervisor that is killed with -9 must not leave workers behind that nobody stops."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _job_of_this_moment() -> dict[str, str]:
    job = get_current_job()
    return {} if job is None else {"job": job.id}


def main(arguments: Sequence[str]) -> str | None:
    """`[queue]`: work on it, or supervise all. Returns what is wrong, for sys.exit."""
    logs.start(_job_of_this_moment)
    if not arguments:
        return supervise()
    if len(arguments) > 1 or arguments[0] not in QUEUES:
        return f"usage: python -m jobs.worker [{'|'.join(QUEUES)}]"
    _end_with_parent(os.getppid())
    try:
        work(arguments[0])
    except ConfigError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
