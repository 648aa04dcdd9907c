"""Planning a broadcast: writing down, once each, everybody whom it is sent to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from bench.measure import Row, Spread, Step, clients
from bench.seed import Place
from bench.world import World
from domain import campaigns
from domain.campaigns import planning
from domain.db import Database
from domain.models import Campaign

MOST_SECONDS: Final = 60.0
MOST_MB: Final = 200.0
MILLION: Final = 1_000_000
_TEXT: Final = {"kind": "text", "text": "新茶上市 https://tea.example/new"}


class Planner:
    """A client process that plans one broadcast after another, a chunk a go as the worker does it."""

    def __init__(self, _number: int, *, place: Place) -> None:
        self.retries = 0
        self._place = place
        self._database = Database(place.url)
        self._campaign: Campaign | None = None
        self._finished = False
        self.sides: dict[str, Step] = {
            "all": lambda: self._plan({}),
            "never bought": lambda: self._plan({"bought": False}),
        }

    def _plan(self, audience: dict[str, Any]) -> int:
        """People written down by the next chunk; 0 when the plan is complete, and the next go begins another."""
        if self._finished:
            self._finished, self._campaign = False, None
            return 0
        if self._campaign is None:
            self._campaign = self._database.transact(lambda session: self._begin(session, audience))
        campaign_id, now = self._campaign.id, datetime.now(UTC)
        done = self._database.transact(
            lambda session: planning.step(session, session.get_one(Campaign, campaign_id), now)
        )
        self._finished = done.finished
        return done.people

    def _begin(self, session: Any, audience: dict[str, Any]) -> Campaign:
        account, now = self._place.account, datetime.now(UTC)
        made = campaigns.create(
            session, account, name="bench", channel="mass", content=_TEXT, audience=audience, files={}, actor="bench",
            now=now,
        )  # fmt: skip
        return campaigns.start(session, account.id, made.id, actor="bench", now=now)

    def close(self) -> None:
        self._database.dispose()


def plan(world: World) -> Iterator[Row]:
    """Everybody, and a filtered audience, in rounds; memory is that of the planning process, Python and all."""
    place, scale = world.largest, world.scale
    for side in ("all", "never bought"):
        with clients(1, Planner, place=place) as planners:
            runs = [planners.run(side, 600) for _ in range(max(1, scale.rounds - 2))]
        seconds = [run.seconds for run in runs]
        memory = max(run.memory for run in runs) / 2**20
        slowest = max(seconds) / max(1, runs[0].units) * MILLION
        yield Row(
            line="broadcast-plan",
            what=f"planning a broadcast to {runs[0].units:,} people, {side}",
            members=place.members,
            unit="s",
            ours=Spread.of(seconds),
            target=f"< {MOST_SECONDS:.0f} s a million, < {MOST_MB:.0f} MB",
            met=slowest < MOST_SECONDS and memory < MOST_MB,
            notes={
                "seconds_per_million": round(slowest, 1),
                "longest_transaction_ms": round(max(max(run.latencies) for run in runs) * 1000, 1),
                "memory_mb": round(memory, 1),
            },
        )
