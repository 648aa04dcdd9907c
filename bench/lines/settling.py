"""Settling what is due: the domain's batches against set-based batches of 200 by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from bench import byhand
from bench.measure import Row, Run, Spread, Step, against, clients, cpu_of, rates
from bench.seed import Place, add_orders
from bench.world import World
from domain import commissions
from domain.db import Database

BATCH_BY_HAND: Final = 200


class Settler:
    """A client process that settles until nothing is due."""

    def __init__(self, _number: int, *, place: Place) -> None:
        self.retries = 0
        self._account = place.account
        self._database = Database(place.url)
        self._connection = place.connect()
        self.sides: dict[str, Step] = {"domain": self._settle, "hand": self._by_hand}

    def _settle(self) -> int:
        now = datetime.now(UTC)
        return self._database.transact(
            lambda session: commissions.settle_due(session, self._account, now)
        )

    def _by_hand(self) -> int:
        return byhand.settle_batch(
            self._connection, self._account.id, datetime.now(UTC), BATCH_BY_HAND
        )

    def close(self) -> None:
        self._database.dispose()
        self._connection.close()


def make_due(world: World, place: Place, count: int) -> None:
    """Let `count` frozen commissions become due; more are made when there are too few."""
    with (
        world.server.connect(f"bench_{place.members}") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SET sql_log_bin=0, sql_mode='STRICT_ALL_TABLES', group_concat_max_len=100000"
        )
        cursor.execute("SELECT COUNT(*) FROM commission WHERE status = 'frozen' AND due_at IS NULL")
        while (found := cursor.fetchone()[0]) < count:
            buyers = min(place.members, max(1, (count - found) // 2))
            add_orders(cursor, f"id BETWEEN 2 AND {buyers + 1}", 0)
            cursor.execute(
                "SELECT COUNT(*) FROM commission WHERE status = 'frozen' AND due_at IS NULL"
            )
        cursor.execute(
            "UPDATE commission SET due_at = UTC_TIMESTAMP() WHERE status = 'frozen' AND due_at IS NULL"
            " ORDER BY id LIMIT %s",
            (count,),
        )


def backlog(world: World) -> Iterator[Row]:
    """As many due commissions for each side, settled in rounds by one client; its memory must not grow."""
    place, scale = world.largest, world.scale
    rounds = max(1, scale.rounds - 1)
    each = max(BATCH_BY_HAND, scale.due // rounds)
    runs: dict[str, list[Run]] = {"domain": [], "hand": []}
    with clients(1, Settler, place=place) as settlers:
        for number in range(rounds + 1):
            for side, done in runs.items():
                make_due(world, place, each if number else min(each, 1000))
                run = settlers.run(side, 600)
                if number:  # the first is the warm-up
                    done.append(run)
    ratio = against(rates(runs["domain"]), rates(runs["hand"]))
    memory = [run.memory for run in runs["domain"]]
    flat = memory[-1] <= memory[0] * 1.1
    yield Row(
        line="settling",
        what=f"{each * rounds:,} due commissions, 1 client",
        members=place.members,
        unit="commissions/s",
        ours=Spread.of(rates(runs["domain"])),
        peer_name=f"by hand in batches of {BATCH_BY_HAND}",
        peer=Spread.of(rates(runs["hand"])),
        ratio=ratio,
        target=">= 0.5, memory flat",
        met=ratio.median >= 0.5 and flat,
        notes={
            "memory_mb": [round(value / 2**20, 1) for value in memory],
            "client_cpu_us": cpu_of(runs["domain"]),
            "peer_client_cpu_us": cpu_of(runs["hand"]),
        },
    )
