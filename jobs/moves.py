"""Teams that follow a member to another referrer (改绑), a thousand people a transaction."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from domain import moves
from jobs.process import Process, current
from jobs.queues import MOVE

BUDGET_SECONDS: Final = 50


def move_teams() -> int:
    """RQ's way in: go on with every move that is under way; how many people were taken along."""
    return move(current())


def move(process: Process, chunk: int = moves.CHUNK) -> int:
    """One chunk of each move in turn, until none is under way, or time is up, or another job waits."""
    context = process.context
    moved = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    while running := context.database.read(moves.running):
        for one in running:
            if process.stopping.is_set() or time.monotonic() > give_up or process.leave_room(MOVE):
                return moved
            now = context.clock.now()
            done = context.database.transact(
                partial(moves.step, move_id=one.id, now=now, limit=chunk)
            )
            moved += done.moved - one.moved
    return moved
