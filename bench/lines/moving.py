"""A team of 350,000 moves to another referrer as the worker moves it, and the proof of the tree afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from bench.measure import Row, Spread, clients
from bench.seed import STAR, Place, openid_of
from bench.world import World
from domain import moves, proof
from domain.db import Database

MOST_SECONDS: Final = 600.0
MOST_STEP_MS: Final = 1000.0
"""A step holds the tree lock: who joins meanwhile waits for it."""
MOST_CHECK_SECONDS: Final = 60.0


class Mover:
    """A client process that moves the star below another member and back, a chunk a go."""

    def __init__(self, _number: int, *, place: Place) -> None:
        self.retries = 0
        self._place = place
        self._database = Database(place.url)
        self._move_id: int | None = None
        outside = openid_of(place.members * 35 // 100 + 2)
        self.sides = {
            "begin": lambda: self._begin(outside),
            "begin back": lambda: self._begin(None),
            "step": self._step,
        }

    def _begin(self, referrer: str | None) -> int:
        account, now = self._place.account, datetime.now(UTC)
        done = self._database.transact(
            lambda session: moves.rebind(
                session, account, openid_of(STAR), referrer, reason="bench", actor="bench", now=now
            )
        )
        self._move_id = done.move.id if done.move is not None else None
        return 1

    def _step(self) -> int:
        """The team's members whose closure is right now; 0 when all are."""
        move_id = self._move_id
        if move_id is None:
            return 0
        move = self._database.transact(
            lambda session: moves.step(session, move_id, datetime.now(UTC))
        )
        if move.state != moves.RUNNING:
            self._move_id = None
        return max(1, move.moved)

    def close(self) -> None:
        self._database.dispose()


class Surveyor:
    """A client process that proves the tree."""

    def __init__(self, _number: int, *, place: Place) -> None:
        self.retries = 0
        self._database = Database(place.url, statement_seconds=300)
        self.sides = {"members": self._members}

    def _members(self) -> int:
        with self._database.snapshot() as session:
            report = proof.members_check(session)
        assert report.ok, report.differences[:5]
        return report.counts["members"]

    def close(self) -> None:
        self._database.dispose()


def largest_team(world: World) -> Iterator[Row]:
    """There, proved, and back again: the other lines find the tree as it was."""
    place = world.largest
    with clients(1, Mover, place=place) as movers:
        begun = movers.run("begin", 600, steps=1)
        there = movers.run("step", 3600)
        with clients(1, Surveyor, place=place) as surveyors:
            proved = surveyors.run("members", 600, steps=1)
        movers.run("begin back", 600, steps=1)
        movers.run("step", 3600)
    seconds = begun.seconds + there.seconds
    longest_ms = max([*begun.latencies, *there.latencies]) * 1000
    yield Row(
        line="moving",
        what=f"a team of {place.members * 35 // 100:,} moves to another referrer",
        members=place.members,
        unit="s",
        ours=Spread.of([seconds]),
        target=f"< {MOST_SECONDS:.0f} s, no step over {MOST_STEP_MS:.0f} ms",
        met=seconds < MOST_SECONDS and longest_ms < MOST_STEP_MS,
        notes={
            "begin_ms": round(begun.seconds * 1000, 1),
            "steps": len(there.latencies),
            "median_step_ms": round(there.percentile(0.5) * 1000, 1),
            "longest_step_ms": round(longest_ms, 1),
            "memory_mb": round(there.memory / 2**20, 1),
            "client_cpu_s": round(there.cpu, 1),
        },
    )
    yield Row(
        line="moving",
        what=f"proof of a tree of {proved.units:,} members afterwards",
        members=place.members,
        unit="s",
        ours=Spread.of([proved.seconds]),
        target=f"< {MOST_CHECK_SECONDS:.0f} s",
        met=proved.seconds < MOST_CHECK_SECONDS,
        notes={"memory_mb": round(proved.memory / 2**20, 1), "client_cpu_s": round(proved.cpu, 1)},
    )
