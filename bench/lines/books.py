"""The proof of the books over a million postings: how long, and in how much memory."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Row, Spread, clients
from bench.seed import Place
from bench.world import World
from domain import proof
from domain.db import Database

MOST_SECONDS = 30.0


class Auditor:
    """A client process that proves the books, and remembers how much it looked at."""

    def __init__(self, _number: int, *, place: Place) -> None:
        self.retries = 0
        self._database = Database(place.url, statement_seconds=300)
        self.sides = {"ledger": self._ledger}

    def _ledger(self) -> int:
        with self._database.snapshot() as session:
            report = proof.ledger_check(session)
        assert report.ok, report.differences[:5]
        return report.counts["postings"]

    def close(self) -> None:
        self._database.dispose()


def ledger(world: World) -> Iterator[Row]:
    """The same process proves a small account first: what a large one needs beyond that is what memory grows by."""
    small, large = world.place(world.scale.sizes[0]), world.largest
    runs = []
    for place in (small, large):
        with clients(1, Auditor, place=place) as auditors:
            runs.append(auditors.run("ledger", 600, steps=1))
    first, last = runs
    seconds = last.seconds * min(1.0, 1_000_000 / max(1, last.units))
    flat = last.memory <= first.memory * 1.25
    yield Row(
        line="ledger-check",
        what=f"proof of {last.units:,} postings",
        members=large.members,
        unit="s",
        ours=Spread.of([last.seconds]),
        target=f"< {MOST_SECONDS:.0f} s a million, memory constant",
        met=seconds < MOST_SECONDS and flat,
        notes={
            "seconds_per_million": round(last.seconds / max(1, last.units) * 1e6, 1),
            "memory_mb": round(last.memory / 2**20, 1),
            "memory_mb_small": round(first.memory / 2**20, 1),
        },
    )
