"""The worker takes large teams along, and refreshes statistics."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from domain import bindings, members, moves, proof
from domain.models import Daily
from jobs.moves import move
from jobs.process import Process
from jobs.queues import BULK, MOVE, connect, queue_named, ring
from jobs.reports import refresh
from tests.jobs.conftest import Shop


def _team(shop: Shop) -> tuple[members.Recipient, members.Recipient]:
    """A promoter with six friends, and another promoter."""
    leader, other = shop.follower("大明"), shop.follower("小李")
    for number in range(6):
        friend = shop.follower(f"朋友{number}")
        shop.database.transact(
            lambda session, friend=friend: moves.rebind(  # type: ignore[misc]
                session, shop.account, friend.openid, leader.openid,
                reason="test", actor="test", now=shop.context.clock.now(),
            )
        )  # fmt: skip
    return leader, other


def test_large_team_is_taken_along_by_the_worker(
    shop: Shop, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "MOVE_AT_ONCE", 2)
    leader, other = _team(shop)
    started = shop.database.transact(
        lambda session: moves.rebind(
            session, shop.account, leader.openid, other.openid,
            reason="test", actor="test", now=shop.context.clock.now(),
        )
    )  # fmt: skip
    assert started.move is not None
    assert move(process, chunk=2) == 6
    assert shop.database.read(moves.running) == []
    assert shop.database.read(proof.members_check).ok


def test_move_makes_room_for_another_job_and_gets_in_line_again(
    shop: Shop, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "MOVE_AT_ONCE", 2)
    leader, other = _team(shop)
    shop.database.transact(
        lambda session: moves.rebind(
            session, shop.account, leader.openid, other.openid,
            reason="test", actor="test", now=shop.context.clock.now(),
        )
    )  # fmt: skip
    connection = connect(shop.context.settings.redis_url)
    ring(MOVE, connection)
    assert move(process, chunk=1) == 0
    assert queue_named(BULK, connection).count == 1
    connection.close()


def test_statistics_are_refreshed_for_every_account(shop: Shop, process: Process) -> None:
    _team(shop)
    assert refresh(process) > 0
    assert refresh(process) == 0
    assert shop.database.read(
        lambda session: session.scalar(select(func.count()).select_from(Daily))
    )
