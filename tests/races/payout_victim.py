"""A process that forks children which die in the middle of a payout. Reads one JSON object a line, answers likewise.

{"environ": {…}, "step": "drain" | "sweep" | "notice", "die_at": [file, line] | null, "notice": {…}}
→ {"lines": [[file, line], …]}, every line of the watched files that the step ran, or {"died": true | false}

The child kills itself with SIGKILL just before the line runs for the first time, in whatever thread: nothing is cleaned
up, no transaction is ended, no connection is closed, as when the machine loses its power.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from app import app_of
from config import load_settings
from context import Context, open_context
from domain import outbox
from jobs import payouts
from jobs.drain import drain
from jobs.process import Process
from jobs.queues import connect
from tests.support.compiled import keep_compiled

ROOT = Path(__file__).parents[2]
WATCHED = {
    str(ROOT / name): name
    for name in (
        "jobs/payouts.py",
        "domain/payouts.py",
        "domain/withdrawals.py",
        "wechat/pay.py",
        "web/pay.py",
        "domain/db.py",
    )
}
Place = tuple[str, int]


Notice = dict[str, Any]


def drain_step(process: Process, _notice: Notice) -> None:
    drain(process, outbox.PAYOUT, payouts.prepare)


def sweep_step(process: Process, _notice: Notice) -> None:
    payouts.ask(process)


def notice_step(process: Process, notice: Notice) -> None:
    client = app_of(process.context).test_client()
    client.post("/pay/tea/notify", data=notice["body"], headers=notice["headers"])


STEPS: dict[str, Callable[[Process, Notice], None]] = {
    "drain": drain_step,
    "sweep": sweep_step,
    "notice": notice_step,
}


def run(context: Context, order: dict[str, Any], die_at: Place | None) -> list[Place]:
    """Do the step, watched; the lines that ran. Dies when it comes to `die_at`."""
    seen: set[Place] = set()

    def on_line(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            place = WATCHED[frame.f_code.co_filename], frame.f_lineno
            if place == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen.add(place)
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return on_line if frame.f_code.co_filename in WATCHED else None

    process = Process(context, connect(context.settings.redis_url))
    threading.settrace(on_call)  # of threads to come: the senders
    sys.settrace(on_call)
    try:
        STEPS[order["step"]](process, order.get("notice") or {})
    finally:
        sys.settrace(None)
        threading.settrace(None)
        process.senders.shutdown()
        process.queue_redis.close()
        context.redis.close()
        context.close()  # nothing may be open when a child is forked
        context._tills.clear()  # and every child opens its own till, as a fresh process does
    return sorted(seen)


def die(context: Context, order: dict[str, Any]) -> bool:
    """Do the step in a child that is to die; whether it did."""
    pid = os.fork()
    if pid == 0:
        try:
            run(context, order, tuple(order["die_at"]))
        except BaseException as error:  # a child must never go on as a second parent
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        raise RuntimeError(f"the child ended with {status}")
    return False


@lru_cache(maxsize=1)
def opened(environ: frozenset[tuple[str, str]]) -> Context:
    """One for the orders of one test, so that every child finds what the first run has compiled."""
    return open_context(load_settings(dict(environ)))


def main() -> None:
    keep_compiled()
    for line in sys.stdin:
        order = json.loads(line)
        context = opened(frozenset(order["environ"].items()))
        if order["die_at"] is None:
            answer: dict[str, Any] = {"lines": run(context, order, None)}
        else:
            answer = {"died": die(context, order)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
