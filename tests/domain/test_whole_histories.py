"""Every verb of the money, in any sequence and really at once, against a naive model that knows neither SQL nor locks.

On SQLite one verb after the other; on MariaDB up to four at the same instant, each in a thread and a session of its
own: whatever came of a round must be what the naive shop gives in some order. Both proofs hold at the end of every
history, and now and then in the middle.

By night: BANYAN_STEPS=50000 (and BANYAN_SEED for the same dice again) takes that many steps on each engine, in
histories of about three hundred; `-o faulthandler_timeout=0` lets it take its time.
"""

from __future__ import annotations

import os
import random
from contextlib import AbstractContextManager

from domain.db import Database
from tests.domain.histories import Driver
from tests.support.databases import Schemas, emptied, rolled_back

STEPS = int(os.environ.get("BANYAN_STEPS", "0"))
SEED = int(os.environ.get("BANYAN_SEED", "0"))
LONG = 300
SHORT = {"sqlite": 500, "mariadb": 250}


def test_every_verb_in_any_sequence_agrees_with_the_naive_shop(
    schemas: Schemas, engine_name: str
) -> None:
    seed = SEED or random.randrange(1, 1_000_000)
    dice = random.Random(seed)
    left = STEPS or SHORT[engine_name]
    number = 0
    while left > 0:
        number += 1
        with world_of(schemas, engine_name) as database:
            threads = 1 if engine_name == "sqlite" else 4
            try:
                left -= one_history(database, dice, threads, min(left, LONG))
            except BaseException as error:
                error.add_note(f"BANYAN_SEED={seed}, history {number} on {engine_name}")
                raise


def world_of(schemas: Schemas, engine_name: str) -> AbstractContextManager[Database]:
    """Real commits for real sessions; a transaction that is rolled back where there is only one."""
    if engine_name == "sqlite":
        return rolled_back(schemas.shared(engine_name))
    return emptied(schemas.live(engine_name))


def one_history(database: Database, dice: random.Random, threads: int, steps: int) -> int:
    """How many steps it took."""
    driver = Driver(database, dice, threads)
    while driver.steps < steps:
        driver.step()
        if dice.random() < 0.01:
            driver.world.check()
    driver.world.check()
    return driver.steps
