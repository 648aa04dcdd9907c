"""What goes wrong with trees and codes in systems of the field (peers.md 2, 15 and 17–21), and does not here.

17, 18 and 13 are in test_moves.py, beside the moves that would do the harm.
"""

from __future__ import annotations

from datetime import timedelta

import redis
from sqlalchemy import select

from domain import bindings, repair, scenes
from domain.db import Database
from domain.models import Clawback, Commission, Posting, Scene
from tests.domain.world import World


def test_repair_and_settling_again_delete_no_commission_and_no_posting(
    live_database: Database,
) -> None:
    """15: a peer's re-settlement deletes commission rows, and with them the trail."""
    world = World.create(live_database)
    world.people("ann", "bob")
    order_no = world.pay_and_settle("bob", 10_000)
    world.refund(order_no, {1: 5000})

    def money() -> list[list[object]]:
        tables = (Commission, Posting, Clawback)
        return world.look(
            lambda s: [[tuple(row) for row in s.execute(select(one.__table__))] for one in tables]
        )

    before = money()
    repair.repair_members(world.database, world.now)
    world.settle()
    assert money() == before
    world.check()


def test_printed_permanent_code_still_binds_after_a_temporary_one_was_made(world: World) -> None:
    """19: a peer keeps one row for both kinds of code and looks scans up by ticket, so the poster on the wall dies."""
    world.follow("ann")
    ann = world.id_of("ann")

    def issue(ticket: str, lives_days: int | None) -> Scene:
        def write(session: object) -> Scene:
            scene = scenes.of_member(session, world.account.id, ann, world.now)  # type: ignore[arg-type]
            expires_at = None if lives_days is None else world.now + timedelta(days=lives_days)
            scenes.record_ticket(
                session, scene, ticket=ticket, url=f"http://weixin.qq.com/q/{ticket}",  # type: ignore[arg-type]
                expires_at=expires_at, now=world.now,
            )  # fmt: skip
            return scene

        return world.do(write)

    printed = issue("permanent", None)
    world.later(days=40)
    assert issue("temporary", 30).code == printed.code
    world.later(days=40)
    world.follow("bob", code=printed.code)
    world.scan("cai", code=printed.code)
    assert world.uplines_of("bob") == world.uplines_of("cai") == ["ann"]
    world.check()


def test_follower_who_is_told_they_have_a_referrer_keeps_that_referrer(world: World) -> None:
    """20: a peer answers "already bound", rebinds all the same, and forgets that the follower came back."""
    world.people("ann", "bob")
    world.follow("eve")
    world.leave("bob")
    touch = world.follow("bob", "eve")
    assert (touch.refused, touch.referrer) == (bindings.BOUND_ALREADY, None)
    assert world.referrer_of("bob") == "ann"
    assert world.summary("ann").levels[1].following == 1
    assert world.summary("eve").total.people == 0
    world.check()


def test_flushed_redis_erases_no_binding(world: World, redis_url: str) -> None:
    """21: a peer keeps referrals in Redis only."""
    world.people("ann", "bob", "cai")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert world.uplines_of("cai") == ["bob", "ann"]
    world.check()
