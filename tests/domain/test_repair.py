"""`flask members check --repair`: the derived rows of the tree are rebuilt from the truth, beside what goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from domain import proof, repair
from domain.db import Database
from domain.errors import Busy
from domain.models import Member
from tests.domain.world import START, World

DAMAGE = {
    "closure row missing": "DELETE FROM relation WHERE level = 2",
    "closure row too many": (
        "INSERT INTO relation (ancestor_id, level, descendant_id) SELECT MIN(id), 3, MAX(id) FROM member"
    ),
    "closure row of nobody": (
        "INSERT INTO relation (ancestor_id, level, descendant_id) SELECT MIN(id), 3, 999999 FROM member"
    ),
    "closure level wrong": "UPDATE relation SET level = 3 WHERE level = 2",
    "figures too high": "UPDATE tally SET people = people + 1, orders = 7 WHERE level = 1",
    "figures missing": "DELETE FROM tally",
    "figures of nobody": "UPDATE tally SET member_id = 999999",
    "referrer changed behind our back": "UPDATE member SET referrer_id = NULL WHERE openid = 'cai'",
}


@pytest.fixture
def shop(live_database: Database) -> World:
    """A world with real commits: a repair opens its own transactions."""
    return World.create(live_database)


def mend(world: World) -> proof.Report:
    return repair.repair_members(world.database, world.now)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_repair_mends_what_the_check_finds_and_says_what_it_changed(
    shop: World, damage: str
) -> None:
    shop.people("ann", "bob", "cai")
    shop.follow("zoe")
    shop.pay("cai", 10_000)
    shop.check()
    shop.do(lambda s: s.connection().exec_driver_sql(damage))
    assert not shop.tree().ok
    report = mend(shop)
    assert report.counts["closure_rows_changed"] + report.counts["figures_changed"] > 0
    assert report.difference_count > 0
    shop.check()
    assert mend(shop).ok


def test_repair_leaves_a_cycle_for_people_to_decide(shop: World) -> None:
    shop.people("ann", "bob", "cai", "dan")
    ann, cai = shop.id_of("ann"), shop.id_of("cai")
    shop.do(lambda s: s.execute(update(Member).where(Member.id == ann).values(referrer_id=cai)))
    report = mend(shop)
    lost = {one["subject"] for one in report.differences if one["check"] == "cycles"}
    assert lost == {f"member/{shop.id_of(name)}" for name in ("ann", "bob", "cai")}
    assert {one["check"] for one in shop.tree().differences} == {"cycles"}


def test_referrer_of_another_account_is_found(shop: World) -> None:
    shop.people("ann")
    other = World.create(shop.database, "coffee")
    other.people("eve")
    eve, ann = other.id_of("eve"), shop.id_of("ann")
    shop.do(lambda s: s.execute(update(Member).where(Member.id == ann).values(referrer_id=eve)))
    assert "referrers" in {one["check"] for one in shop.tree().differences}


def test_second_repair_waits_its_turn_and_takes_over_from_one_that_was_killed(
    shop: World,
) -> None:
    shop.people("ann", "bob")
    repair._Lease(shop.database, shop.now)  # a run that never came to its end
    with pytest.raises(Busy):
        mend(shop)
    shop.later(minutes=repair.LEASE_MINUTES + 1)
    assert mend(shop).ok


def test_repair_beside_follows_orders_and_folds_corrects_every_figure_once(shop: World) -> None:
    """The mutant that writes the true figures instead of the difference loses what is recorded meanwhile."""
    names = [f"p{number}" for number in range(40)]
    dice = random.Random(7)
    for number, name in enumerate(names):
        shop.follow(name, dice.choice(names[:number]) if number else None)
        shop.pay(name, 1000)
    shop.do(
        lambda s: s.connection().exec_driver_sql(
            "UPDATE tally SET people = people + 3, orders = orders - 1"
        )
    )
    shop.do(lambda s: s.connection().exec_driver_sql("DELETE FROM relation WHERE level = 2"))

    def busy(seed: int) -> None:
        own = random.Random(seed)
        mine = World(shop.database, shop.account, START + timedelta(days=1))
        for number in range(12):
            name = f"n{seed}-{number}"
            mine.follow(name, own.choice(names), key=f"follow-{name}")
            mine.pay(name, 500, no=f"order-{name}")
            mine.leave(own.choice(names), key=f"leave-{name}")
            mine.try_fold()

    runs: list[Callable[[], Any]] = [lambda: busy(1), lambda: busy(2), lambda: mend(shop)]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(run) for run in runs]:
            done.result()
    shop.check()
