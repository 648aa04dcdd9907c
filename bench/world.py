"""What the lines measure with: one MariaDB as production runs it, seeded once, and how long to measure."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from bench.seed import Place, make_place
from tests.support.mariadb import MariaDB, running_mariadb
from tests.support.valkey import running_valkey

# A binary log that is synced with every commit, as a server with a replica or a backup has it: without one, a hot row
# hides its price (money.md 4.4).
DURABLE: Final = (
    "--innodb-flush-log-at-trx-commit=1",
    "--sync-binlog=1",
    "--innodb-doublewrite=1",
    "--innodb-file-per-table=1",
    "--innodb-flush-method=O_DIRECT",
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=1G",
    "--max-connections=200",
)


@dataclass(frozen=True)
class Scale:
    """How much to measure. `seconds` of each side in each round; the ports are for our own and the peer's server."""

    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    rounds: int = 5
    seconds: float = 3.0
    due: int = 100_000
    batch: int = 50
    clients: int = 4
    many_clients: int = 16
    warm_up: bool = True
    ports: tuple[int, int] = (8190, 8191)


QUICK: Final = Scale(sizes=(10_000, 100_000), rounds=3, seconds=1.0, due=10_000)
TINY: Final = Scale(
    sizes=(500,), rounds=1, seconds=0.05, due=400, clients=2, many_clients=2, warm_up=False
)
"""For the test that every line still runs; its figures mean nothing."""


@dataclass
class World:
    """The server, the places of each size, and a Valkey when a line wants one."""

    scale: Scale
    server: MariaDB
    say: Callable[[str], None]
    stack: ExitStack
    places: dict[int, Place] = field(default_factory=dict)

    def place(self, members: int) -> Place:
        """The account with so many members; made at the first wish."""
        if members not in self.places:
            self.places[members] = make_place(self.server, members, self.say)
        return self.places[members]

    @property
    def largest(self) -> Place:
        return self.place(self.scale.sizes[-1])

    @cached_property
    def redis_url(self) -> str:
        return self.stack.enter_context(running_valkey())


@contextmanager
def open_world(scale: Scale, say: Callable[[str], None]) -> Generator[World]:
    """Everything a run needs; gone at the end of the block."""
    with ExitStack() as stack:
        server = stack.enter_context(running_mariadb(*DURABLE, binlog=True))
        yield World(scale, server, say, stack)
