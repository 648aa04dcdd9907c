"""The account at a glance: what the job counts, what the days add up to, and that a past day keeps its followers."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from domain import glance, outbox, reports
from domain.china import day_of
from domain.models import AccountDay
from domain.outbox import Message
from tests.domain.world import World


def test_today_is_counted_and_yesterday_keeps_its_followers(world: World) -> None:
    for openid, by in (("ann", None), ("ben", "ann"), ("eve", "ben")):
        world.follow(openid, by)
    database, account, now = world.database, world.account, world.now
    today = day_of(now)
    glance.count(database, account.id, now)
    reports.roll_up(database, account.id, today)
    seen = database.read(lambda session: glance.look(session, account.id, 7, now))
    assert len(seen.days) == 7
    assert seen.days[-1].day == today
    assert (seen.following, seen.total("people"), seen.total("bound")) == (3, 3, 2)

    tomorrow = now + timedelta(days=1)
    world.follow("new")
    glance.count(database, account.id, tomorrow)
    seen = database.read(lambda session: glance.look(session, account.id, 7, tomorrow))
    assert [day.following for day in seen.days[-2:]] == [3, 4]


def test_counting_twice_is_counting_once(world: World) -> None:
    world.follow("ann")
    for _ in range(2):
        glance.count(world.database, world.account.id, world.now)
    rows = world.database.read(lambda session: session.query(AccountDay).count())
    assert rows in {1, 2}  # soon after midnight yesterday is counted as well
    seen = world.database.read(
        lambda session: glance.look(session, world.account.id, 30, world.now)
    )
    assert seen.following == 1


def test_messages_that_wait_and_failed_are_counted(world: World) -> None:
    def put(session: Session) -> None:
        messages = [
            Message(world.account.id, outbox.NOTICE, f"m-{number}", {}, world.now)
            for number in range(3)
        ]
        outbox.put(session, messages, world.now)

    world.database.transact(put)
    seen = world.database.read(lambda session: glance.look(session, world.account.id, 7, world.now))
    assert seen.proof.ok is None
