"""Rewards, holds and applications at the same instant, with real commits."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from domain import commissions, holds, members, promoters
from domain.db import Database
from domain.models import Commission, Hold, Member, PromoterApplication
from tests.domain.world import World
from tests.races.together import together


@pytest.fixture
def live(live_database: Database) -> World:
    return World.create(live_database)


def test_two_last_friends_of_the_day_at_once_stay_under_the_cap(live: World) -> None:
    live.follow("ann")
    live.change(registration_reward_fen=100, registration_daily_cap=3)
    code = live.code_of("ann")
    created = int(live.now.timestamp())

    def follow(number: int) -> None:
        live.database.transact(
            lambda s: members.follow(
                s, live.account, f"friend-{number}", scene_code=code, created=created, push_key=f"push-{number}",
                now=live.now,
            )
        )  # fmt: skip

    together([lambda number=number: follow(number) for number in range(8)])  # type: ignore[misc]
    query = select(func.count()).select_from(Commission).where(Commission.kind == "registration")
    assert live.look(lambda s: s.scalar(query)) == 3
    live.check()


def test_hold_and_settlement_at_once_never_both_happen(live: World) -> None:
    live.people("ann", "ben", "cai", "dan")
    for _ in range(6):
        order = live.pay("dan", 10_000)
        live.complete(order)
        live.later(days=8)
        ids = [one.id for one in live.commissions(order)]

        def hold(ids: list[int] = ids) -> int:
            wish = holds.Wish("review", "test")
            return live.database.transact(
                lambda s: len(holds.place(s, live.account.id, ids, wish, live.now))
            )

        def settle() -> int:
            return live.database.transact(
                lambda s: commissions.settle_due(s, live.account, live.now)
            )

        held, settled = together([hold, settle])
        assert held + settled == 3
        assert live.states(order).count("settled") == settled
    live.check()


class _Blind:
    """The guard taken out: nothing is ever held."""

    def among(self, *_arguments: object) -> tuple[()]:
        return ()


@pytest.mark.parametrize("guarded", [True, False])
def test_hold_that_commits_between_the_candidates_and_their_locks_is_seen(
    live: World, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The interleaving that a plain "due and not held" would lose, played step by step, also without the guard."""
    if live.database.is_sqlite:
        pytest.skip("one writer: nothing can come between")
    live.people("ann", "ben")
    order = live.pay("ben", 10_000)
    live.complete(order)
    live.later(days=8)
    (commission,) = live.commissions(order)
    found, held = threading.Event(), threading.Event()
    original = commissions._DUE_LOCKED

    class Paused:
        def among(self, *arguments: object) -> object:
            found.set()
            assert held.wait(10)
            return original.among(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(commissions, "_DUE_LOCKED", Paused())
    if not guarded:
        monkeypatch.setattr(commissions, "_HELD", _Blind())

    def hold() -> int:
        assert found.wait(10)
        wish = holds.Wish("review", "test")
        live.database.transact(
            lambda s: holds.place(s, live.account.id, [commission.id], wish, live.now)
        )
        held.set()
        return 0

    def settle() -> int:
        return live.database.transact(lambda s: commissions.settle_due(s, live.account, live.now))

    assert together([settle, hold]) == [0 if guarded else 1, 0]
    assert live.states(order) == ["frozen" if guarded else "settled"]
    assert live.look(lambda s: s.scalar(select(func.count()).select_from(Hold))) == 1
    live.check()


def test_application_sent_twice_at_once_waits_once(live: World) -> None:
    live.follow("ann")
    member_id = live.id_of("ann")

    def ask() -> int:
        return live.database.transact(
            lambda s: promoters.apply(s, s.get_one(Member, member_id), now=live.now).id
        )

    first, second = together([ask, ask])
    assert first == second
    query = select(func.count()).select_from(PromoterApplication)
    assert live.look(lambda s: s.scalar(query)) == 1


def test_friend_who_leaves_while_their_reward_settles_costs_it_once(live: World) -> None:
    live.follow("ann")
    live.change(registration_reward_fen=100, registration_hold_days=1)
    for number in range(5):
        name = f"friend-{number}"
        live.follow(name, "ann")
        inside = live.now + timedelta(hours=23)
        live.later(days=2)

        def leave(name: str = name, created: int = int(inside.timestamp())) -> int:
            live.database.transact(
                lambda s: members.leave(
                    s, live.account, name, created=created, push_key=f"leave-{name}", now=live.now
                )
            )
            return 0

        def settle() -> int:
            return live.database.transact(
                lambda s: commissions.settle_due(s, live.account, live.now)
            )

        together([leave, settle])
        live.check()
