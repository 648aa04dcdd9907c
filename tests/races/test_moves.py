"""F21: rebindings that race each other, joins, orders and moves of large teams, with real sessions on both engines."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from domain import bindings, moves
from domain.db import Database
from domain.errors import Busy, Invalid
from tests.domain.world import START, World


@pytest.fixture
def shop(live_database: Database) -> World:
    return World.create(live_database)


def together(runs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all at the same instant; their results."""
    barrier = Barrier(len(runs))

    def start(run: Callable[[], Any]) -> Any:
        barrier.wait(10)
        return run()

    with ThreadPoolExecutor(len(runs)) as pool:
        return [done.result() for done in [pool.submit(start, run) for run in runs]]


def rebind(world: World, name: str, to: str | None) -> bool:
    """False when it would close a cycle."""
    try:
        world.do(
            lambda s: moves.rebind(
                s, world.account, name, to, reason="race", actor="staff/1", now=world.now
            )
        )
    except Invalid as error:
        if error.details.get("reason") != bindings.CYCLE:
            raise
        return False
    return True


def test_two_people_put_under_each_other_never_make_a_cycle(shop: World) -> None:
    for number in range(12):
        a, b = f"a{number}", f"b{number}"
        shop.people(a, f"{a}-friend")
        shop.people(b, f"{b}-friend")
        passed = together([partial(rebind, shop, a, b), partial(rebind, shop, b, a)])
        assert sorted(passed) == [False, True]
    shop.check()


def test_cycle_of_three_is_refused_whoever_is_first(shop: World) -> None:
    for number in range(8):
        names = [f"{letter}{number}" for letter in "abc"]
        for name in names:
            shop.people(name, f"{name}-friend")
        pairs = zip(names, [*names[1:], names[0]], strict=True)
        passed = together([partial(rebind, shop, x, y) for x, y in pairs])
        assert passed.count(True) == 2
    shop.check()


def test_team_moves_while_people_join_leave_buy_and_are_rebound_below(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "MOVE_AT_ONCE", 2)
    shop.people("ann", "bob")
    shop.people("eve", "fay")
    team = [f"t{number}" for number in range(24)]
    dice = random.Random(3)
    for number, name in enumerate(team):
        shop.follow(name, dice.choice(["bob", *team[:number]][:8]))

    def move_three_times() -> None:
        for target in ("fay", "ann", "eve"):
            rebind(shop, "bob", target)
            finish(shop)

    def live(seed: int) -> None:
        own, world = (
            random.Random(seed),
            World(shop.database, shop.account, START + timedelta(days=1)),
        )
        for number in range(14):
            name = f"n{seed}-{number}"
            patiently(partial(world.follow, name, own.choice(team), key=f"f-{name}"))
            patiently(partial(world.pay, own.choice([name, *team]), 700, no=f"o-{name}"))
            patiently(partial(world.leave, own.choice(team), key=f"l-{name}"))
            patiently(partial(rebind, world, own.choice(team), own.choice([*team, "ann"])))

    together([move_three_times, lambda: live(1), lambda: live(2)])
    finish(shop)  # those that the others began last
    shop.check()


def finish(world: World) -> None:
    """What the worker does: a chunk of every move in turn, until none is under way."""
    while running := world.look(moves.running):
        for one in running:
            patiently(partial(step, world, one.id))


def step(world: World, move_id: int) -> None:
    world.do(lambda s: moves.step(s, move_id, world.now, 3))


def patiently(run: Callable[[], Any]) -> None:
    """Busy is an answer that a person would repeat; oneself as a referrer is drawn now and then."""
    for _ in range(20):
        try:
            run()
        except Busy:
            continue
        except Invalid as error:
            if error.details.get("reason") != bindings.SELF:
                raise
        return
    raise AssertionError("busy for too long")
