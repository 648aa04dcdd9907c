"""Bindings that happen at the same moment: first shown to go wrong without the lock, then to go right with it."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from sqlalchemy import delete, select

from domain import bindings, members, proof
from domain.db import Database, Sql
from domain.models import BindingHistory, Relation, Tally
from tests.domain.world import World
from tests.races.together import Meeting, met_after, met_before, somebody_waits_for_a_lock, together
from tests.support.mariadb import MariaDB

NO_TREE_LOCK = Sql("SELECT 1 FROM tree WHERE account_id = ?")
NO_SHARED_LOCK = Sql(bindings._CHAIN)
NO_OWN_LOCK = members._PERSON


def test_sixteen_threads_bind_eighty_followers_under_one_referrer(world: World) -> None:
    world.people("top", "hot")
    code = world.code_of("hot")

    def scan(worker: int) -> None:
        for number in range(5):
            world.follow(f"f-{worker}-{number}", code=code)

    together([partial(scan, worker) for worker in range(16)])
    assert world.summary("hot").levels[1].people == 80
    assert world.summary("top").levels[2].following == 80
    world.check()


@pytest.mark.parametrize("pushes", ["the same push", "two pushes"])
def test_first_pushes_of_one_follower_at_once_make_one_member(world: World, pushes: str) -> None:
    world.people("ann")
    code = world.code_of("ann")

    def follow(number: int) -> members.Touch:
        key = "one" if pushes == "the same push" else f"key-{number}"
        return world.follow("dan", code=code, key=key)

    touches = together([partial(follow, number) for number in range(8)])
    assert len({touch.member_id for touch in touches}) == 1
    assert [touch.is_new for touch in touches].count(True) == 1
    assert [touch.referrer is not None for touch in touches].count(True) == 1
    assert [touch.repeated for touch in touches].count(True) == (
        7 if pushes == "the same push" else 0
    )
    world.check()


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_two_codes_scanned_at_once_make_one_binding(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    for name in ("ann", "bob", "dan"):
        world.follow(name)
    meeting = Meeting(guarded=guard)
    monkeypatch.setattr(bindings, "_refusal", met_after(bindings._refusal, meeting))
    if not guard:
        monkeypatch.setattr(members, "_PERSON_LOCKED", NO_OWN_LOCK)
    world.code_of("ann"), world.code_of("bob")
    touches = together([partial(world.scan, "dan", name) for name in ("ann", "bob")])
    bound = [touch.referrer for touch in touches if touch.referrer]
    assert meeting.happened != guard
    assert len(bound) == (1 if guard else 2)
    if guard:
        world.check()
        rows = world.look(lambda s: list(s.scalars(select(BindingHistory))))
        assert len(rows) == 1


# --- cycles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_two_members_with_teams_bound_under_each_other_make_no_cycle(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    world.people("ann", "ann-1")
    world.people("bob", "bob-1")
    meeting = Meeting(guarded=guard)
    monkeypatch.setattr(bindings, "_count", met_before(bindings._count, meeting))
    if not guard:
        monkeypatch.setattr(bindings, "_LOCK_TREE", NO_TREE_LOCK)
        monkeypatch.setattr(bindings, "_SUBTREE_LOCKED", Sql(bindings._SUBTREE))
        monkeypatch.setattr(bindings, "_CHAIN_SHARED", NO_SHARED_LOCK)
    refused = together([partial(world.bind, "ann", "bob"), partial(world.bind, "bob", "ann")])
    report = world.tree()
    cycles = [one for one in report.differences if one["check"] == "cycles"]
    assert bool(cycles) != guard
    if guard:
        assert sorted(refused, key=str) == [None, bindings.CYCLE]
        assert report.ok


def test_many_rounds_of_two_members_bound_under_each_other_make_no_cycle(world: World) -> None:
    for number in range(25):
        one, two = f"one-{number}", f"two-{number}"
        world.follow(one)
        world.follow(two)
        if number % 2:
            world.follow(f"below-{one}", one)
        refused = together([partial(world.bind, one, two), partial(world.bind, two, one)])
        assert sorted(refused, key=str) == [None, bindings.CYCLE]
    assert world.tree().ok


def test_member_without_a_team_joining_deep_below_somebody_who_moves_under_them_makes_no_cycle(
    world: World, mariadb: MariaDB
) -> None:
    """lone joins far below top, and top, at the same moment, is bound under lone: only lone's row joins the two."""
    chain = [f"m{number}" for number in range(8)]
    world.people(*chain)
    world.follow("lone")
    lone, deep, top = world.id_of("lone"), world.id_of(chain[-1]), world.id_of(chain[0])
    bound = threading.Event()

    def join() -> str | None:
        def work(session: object) -> str | None:
            answer = world.bind_in(session, lone, deep)  # type: ignore[arg-type]
            bound.set()
            somebody_waits_for_a_lock(mariadb)  # top has climbed, and now wants our row
            return answer

        return world.do(work)

    def move() -> str | None:
        bound.wait(10)
        return world.do(lambda s: world.bind_in(s, top, lone))

    assert together([join, move]) == [None, bindings.CYCLE]
    assert world.tree().ok


# --- a team that grows while it moves -------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_friend_who_joins_while_the_team_moves_is_in_the_closure(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    world.people("root", "new")
    world.people("dan", "eve")
    meeting = Meeting(guarded=guard)
    monkeypatch.setattr(bindings, "_count", met_before(bindings._count, meeting))
    if not guard:
        monkeypatch.setattr(bindings, "_CHAIN_SHARED", NO_SHARED_LOCK)
    world.code_of("dan")
    together([partial(world.bind, "dan", "new"), partial(world.follow, "friend", "dan")])
    assert world.referrer_of("dan") == "new"
    assert world.referrer_of("friend") == "dan"
    assert world.tree().ok == guard
    if guard:
        assert world.uplines_of("friend") == ["dan", "new", "root"]


def test_many_friends_join_on_every_level_while_the_team_moves_to_and_fro(world: World) -> None:
    world.people("root", "left")
    world.people("stem", "right")
    world.people("dan", "eve", "fay")
    codes = {name: world.code_of(name) for name in ("dan", "eve", "fay")}

    def join(name: str) -> None:
        for number in range(6):
            world.follow(f"{name}-{number}", code=codes[name])

    def move() -> None:
        for number in range(6):
            world.bind("dan", ("left", "right")[number % 2])

    together([move, partial(join, "dan"), partial(join, "eve"), partial(join, "fay")])
    assert world.look(lambda s: s.query(Relation).count()) > 40
    world.check()


def test_member_who_buys_for_the_first_time_while_being_bound_counts_on_one_side(
    world: World,
) -> None:
    for number in range(12):
        world.follow(f"ref-{number}")
        world.follow(f"buyer-{number}")
        order = world.order(f"buyer-{number}", 10_000)
        world.code_of(f"ref-{number}")
        together(
            [partial(world.record, order), partial(world.scan, f"buyer-{number}", f"ref-{number}")]
        )
        assert world.summary(f"ref-{number}").levels[1].buyers == 1
    world.check()


def test_repair_loses_nothing_that_is_written_meanwhile(world: World) -> None:
    world.people("ann", "bob")
    world.do(lambda s: s.execute(delete(Tally)))
    with world.database.snapshot() as session:
        assert not proof.members_check(session).ok  # the first read chooses the instant
        world.follow("cai", "bob")
        world.pay("bob", 10_000)
        proof.members_check(session, repair=True)
        session.commit()
    world.check()


def test_crowd_can_be_fifty(crowd: Database) -> None:
    """The fixtures really open a connection for each thread: else the tests above would queue and prove nothing."""
    meeting = threading.Barrier(50)

    def meet(session: object) -> int:
        del session
        return meeting.wait(20)

    assert sorted(together([lambda: crowd.transact(meet)] * 50)) == list(range(50))
