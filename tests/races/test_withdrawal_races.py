"""Many want the same money at the same moment. Each guard is first shown to be needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from domain import ledger, notices, withdrawals
from domain.db import Database
from domain.errors import DomainError
from domain.models import Withdrawal
from domain.payouts import ProviderNews
from domain.withdrawals import NotEnough
from tests.domain.purse import Purse
from tests.domain.world import World
from tests.support.databases import Schemas, emptied


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Run in that many threads from one barrier; each result, or the refusal."""
    barrier = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except DomainError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def with_100_fen(database: Database) -> Purse:
    """cai with exactly 100 fen."""
    world = World.create(database, withdraw_per_day=1000, audit_above_fen=100_000)
    world.people("cai", "dan")
    world.pay_and_settle("dan", 1_000)
    assert Purse(world).balance == (100, 0)
    return Purse(world)


@pytest.fixture
def live(live_database: Database) -> Purse:
    return with_100_fen(live_database)


def won(results: list[object]) -> int:
    return sum(isinstance(one, Withdrawal) for one in results)


def test_fifty_requests_at_once_with_money_for_one_give_one(live: Purse) -> None:
    results = at_once(50, lambda number: live.ask(100, f"t-{number}"))
    assert won(results) == 1
    assert sum(isinstance(one, NotEnough) for one in results) == 49
    assert live.balance == (0, 100)
    live.world.check()


class ReadThenWrite:
    """The reservation as most shops write it: look at the balance, then set it."""

    def __init__(self, together: threading.Barrier) -> None:
        self._together = together

    def __call__(
        self, session: Session, fen: int, _fen: int, member_id: int, _least: int
    ) -> object:
        row = session.connection().exec_driver_sql(
            f"SELECT available_fen, withdrawing_fen FROM balance WHERE member_id = {member_id}"
        ).one()  # fmt: skip
        if row.available_fen < fen:
            return session.connection().exec_driver_sql(
                "UPDATE balance SET version = 0 WHERE 1 = 0"
            )
        self._together.wait(10)
        return session.connection().exec_driver_sql(
            f"UPDATE balance SET available_fen = {row.available_fen - fen},"
            f" withdrawing_fen = {row.withdrawing_fen + fen} WHERE member_id = {member_id}"
        )


def test_without_the_compare_and_set_the_same_money_is_spent_twice(
    schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race is real: two requests that look before they write both win. (SQLite has one writer, and no race.)"""
    with emptied(schemas.live("mariadb")) as database:
        live = with_100_fen(database)
        monkeypatch.setattr(ledger, "lock_available", lambda *_: {})
        monkeypatch.setattr(withdrawals, "_RESERVE", ReadThenWrite(threading.Barrier(2)))
        results = at_once(2, lambda number: live.ask(100, f"t-{number}"))
        assert won(results) == 2
        assert live.world.books().differences != []


def test_fifty_copies_of_one_push_are_one_request(live: Purse) -> None:
    results = at_once(50, lambda _: live.ask(100, "msgid-1"))
    assert won(results) == 50
    assert len({one.id for one in results if isinstance(one, Withdrawal)}) == 1
    assert live.balance == (0, 100)
    live.world.check()


def test_requests_and_a_claw_back_at_once_never_overdraw_by_a_withdrawal(live: Purse) -> None:
    world = live.world
    order = world.pay_and_settle("dan", 9_000)  # 1,000 in all
    world.later(days=1)

    def work(number: int) -> object:
        if number == 0:
            return world.refund(order, {1: 9_000}, no="r-1")
        return live.ask(100, f"t-{number}")

    at_once(20, work)
    available, withdrawing = live.balance
    assert available + withdrawing == 100
    assert available >= -900
    world.check()


def test_a_decision_is_made_once_whoever_is_first(live: Purse) -> None:
    live.world.change(audit_above_fen=0)
    asked = live.ask(100)

    def work(number: int) -> object:
        return live.decide(asked, f"staff/{number}") if number % 2 else live.reject(asked)

    results = at_once(16, work)
    assert won(results) == 1
    status = live.now(asked).status
    assert live.balance == ((100, 0) if status == "rejected" else (0, 100))
    live.world.check()


def test_the_end_of_a_payout_is_recorded_once_by_sweep_and_notices_together(live: Purse) -> None:
    asked = live.ask(100)
    live.begin(asked)
    results = at_once(16, lambda _: live.news(asked, ProviderNews("SUCCESS", "b")))
    assert won(results) == 16
    assert live.balance == (0, 0)
    assert len(live.world.told("cai", notices.WITHDRAWAL_PAID)) == 1
    live.world.check()


def test_a_day_limit_holds_when_all_ask_at_once(live: Purse) -> None:
    live.world.change(withdraw_per_day=2, withdraw_min_fen=10)
    results = at_once(20, lambda number: live.ask(10, f"t-{number}"))
    assert won(results) == 2
    assert live.balance == (80, 20)
    live.world.check()
