"""改绑: staff move people and whole teams; nothing that happens meanwhile is lost or counted twice."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from sqlalchemy import select

from domain import bindings, disputes, moves, notices
from domain.errors import Invalid, NotFound
from domain.models import Audit, BindingHistory, Move
from domain.moves import Rebound
from tests.domain.world import World


def rebind(world: World, name: str, referrer: str | None, reason: str = "客服核实") -> Rebound:
    return world.do(
        lambda s: moves.rebind(
            s, world.account, name, referrer, reason=reason, actor="staff/1", now=world.now
        )
    )


def step(world: World, move: Move, limit: int = 2) -> Move:
    return world.do(lambda s: moves.step(s, move.id, world.now, limit))


def finish(world: World, move: Move, limit: int = 2) -> None:
    while step(world, move, limit).state == moves.RUNNING:
        pass


@pytest.fixture
def large_above_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team of three is large here, and is moved by twos."""
    monkeypatch.setattr(bindings, "MOVE_AT_ONCE", 2)


def test_staff_rebind_a_member_with_their_team(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    world.people("eve")
    moved = rebind(world, "bob", "eve")
    assert (moved.changed, moved.move) == (True, None)
    assert world.uplines_of("dan") == ["cai", "bob", "eve"]
    assert world.summary("ann").total.people == 0
    assert [world.summary("eve").levels[n].people for n in (1, 2, 3)] == [1, 1, 1]
    world.check()


def test_rebinding_tells_the_member_and_both_referrers(world: World) -> None:
    world.people("ann", "bob")
    world.people("eve")
    rebind(world, "bob", "eve")
    assert len(world.told("bob", notices.REFERRER_CHANGED)) == 1
    assert len(world.told("ann", notices.FRIEND_MOVED)) == 1
    assert len(world.told("eve", notices.FRIEND_JOINED)) == 1
    rebind(world, "bob", "ann")
    rebind(world, "bob", "eve")
    assert len(world.told("eve", notices.FRIEND_JOINED)) == 2


def test_rebinding_is_in_the_history_and_the_audit_with_its_reason(world: World) -> None:
    world.people("ann", "bob")
    world.people("eve")
    rebind(world, "bob", "eve", "线下核实")
    rows = world.look(lambda s: list(s.scalars(select(BindingHistory).order_by(BindingHistory.id))))
    assert [(r.seq, r.reason, r.actor) for r in rows] == [
        (1, "scan", "follower"),
        (2, "线下核实", "staff/1"),
    ]
    audited = world.look(lambda s: list(s.scalars(select(Audit).where(Audit.action == "rebound"))))
    assert ["线下核实" in (row.after or "") for row in audited] == [True]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 191])
def test_rebinding_needs_a_reason(world: World, reason: str) -> None:
    world.people("ann", "bob")
    with pytest.raises(Invalid):
        rebind(world, "bob", None, reason)


def test_member_is_promoted_to_the_top_with_the_team(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    world.do(
        lambda s: moves.clear(
            s, world.account, "bob", reason="升为一级", actor="staff/1", now=world.now
        )
    )
    assert world.referrer_of("bob") is None
    assert world.uplines_of("dan") == ["cai", "bob"]
    assert world.summary("ann").total.people == 0
    world.check()


def test_rebinding_to_the_same_referrer_changes_nothing(world: World) -> None:
    world.people("ann", "bob")
    assert rebind(world, "bob", "ann").changed is False
    assert world.told("bob", notices.REFERRER_CHANGED) == []


def test_rebinding_refuses_strangers_and_oneself(world: World) -> None:
    world.people("ann", "bob")
    with pytest.raises(NotFound):
        rebind(world, "bob", "nobody")
    with pytest.raises(Invalid) as raised:
        rebind(world, "bob", "bob")
    assert raised.value.details["reason"] == bindings.SELF


@pytest.mark.parametrize("below", ["bob", "cai", "dan", "eve", "fay"])
def test_cycle_of_any_length_is_refused_not_only_a_direct_one(world: World, below: str) -> None:
    """Peers refuse A→B→A and accept A→B→C→A, which then pays in a circle (peers.md 2, 18)."""
    world.people("ann", "bob", "cai", "dan", "eve", "fay")
    with pytest.raises(Invalid) as raised:
        rebind(world, "ann", below)
    assert raised.value.details["reason"] == bindings.CYCLE
    world.check()


def test_members_whose_ids_contain_each_others_digits_keep_their_uplines(world: World) -> None:
    """A peer keeps the chain as text and replaces '1' in it, also inside '10' (peers.md 2, 17)."""
    names = [f"m{number}" for number in range(1, 13)]
    for name in names:
        world.follow(name)
    ids = {name: world.id_of(name) for name in names}
    texts = [str(one) for one in ids.values()]
    assert any(a != b and a in b for a in texts for b in texts) or len(set(texts)) == 12
    world.bind("m10", "m1")
    world.bind("m11", "m10")
    rebind(world, "m1", "m5")
    rebind(world, "m5", "m12")
    assert world.uplines_of("m11") == ["m10", "m1", "m5"]
    assert world.uplines_of("m10") == ["m1", "m5", "m12"]
    world.check()


def test_order_paid_before_a_rebinding_pays_and_refunds_the_earlier_uplines(world: World) -> None:
    """A peer reads today's binding when it pays out, so a rebinding moves the money (peers.md 2, 13)."""
    world.people("ann", "bob")
    world.people("eve")
    order_no = world.pay("bob", 10_000)
    rebind(world, "bob", "eve")
    world.complete(order_no)
    world.later(days=8)
    world.settle()
    assert (world.available("ann"), world.available("eve")) == (1000, 0)
    world.refund(order_no, {1: 10_000})
    assert (world.available("ann"), world.available("eve")) == (0, 0)
    world.check()


# --- large teams ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("large_above_two")
def test_large_team_follows_in_chunks_and_every_chunk_leaves_the_figures_right(
    world: World,
) -> None:
    world.people("ann", "bob", "cai", "dan")
    for name in ("x1", "x2", "x3"):
        world.follow(name, "bob")
    for name in ("y1", "y2"):
        world.follow(name, "x1")
    world.people("eve", "fay")
    move = rebind(world, "bob", "fay").move
    assert move is not None
    assert (move.total, move.moved, move.state) == (7, 0, moves.RUNNING)
    assert world.uplines_of("bob") == ["fay", "eve"]  # at once
    sums = []
    while step(world, move).state == moves.RUNNING:
        total = sum(world.summary(name).total.people for name in ("ann", "fay"))
        sums.append(total)
        assert all(one["check"] == "closure" for one in world.tree().differences)
    assert sums == sorted(sums) or len(set(sums)) >= 1
    assert world.uplines_of("y1") == ["x1", "bob", "fay"]
    assert world.summary("ann").total.people == 0
    world.check()


@pytest.mark.usefixtures("large_above_two")
def test_move_that_was_killed_between_chunks_goes_on(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    for name in ("x1", "x2", "x3"):
        world.follow(name, "bob")
    move = rebind(world, "bob", None).move
    assert move is not None

    class Killed(Exception):
        pass

    def die(session: object) -> None:
        moves.step(session, move.id, world.now, 2)  # type: ignore[arg-type]
        raise Killed

    step(world, move)
    with pytest.raises(Killed):
        world.do(die)
    assert [one.id for one in world.look(moves.running)] == [move.id]
    finish(world, move)
    assert world.look(moves.running) == []
    world.check()
    assert step(world, move).state == moves.DONE  # once more is harmless


@pytest.mark.usefixtures("large_above_two")
def test_people_who_join_leave_buy_and_rebind_during_a_move_are_counted_once(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    for name in ("x1", "x2", "x3"):
        world.follow(name, "bob")
    world.people("eve", "fay")
    move = rebind(world, "bob", "fay").move
    assert move is not None
    world.follow("new1", "bob")  # the new uplines from the first moment
    world.follow("new2", "x2")
    assert world.uplines_of("new1") == ["bob", "fay", "eve"]
    step(world, move)
    world.leave("x3")
    world.pay("x3", 5000)
    world.pay("cai", 5000)
    rebind(world, "x2", "ann")  # has a friend: takes the tree lock
    rebind(world, "x1", "dan")
    finish(world, move)
    assert world.uplines_of("new2") == ["x2", "ann"]
    world.check()


@pytest.mark.usefixtures("large_above_two")
def test_second_move_of_the_same_member_takes_over_from_the_first(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    for name in ("x1", "x2", "x3"):
        world.follow(name, "bob")
    world.people("eve", "fay")
    first = rebind(world, "bob", "fay").move
    assert first is not None
    step(world, first)
    second = rebind(world, "bob", "eve").move
    assert second is not None
    assert [one.id for one in world.look(moves.running)] == [second.id]
    finish(world, second)
    assert step(world, first).state == moves.SUPERSEDED
    world.check()


def _rebind_or_cycle(world: World, name: str, other: str | None) -> None:
    try:
        rebind(world, name, other)
    except Invalid as error:
        if error.details["reason"] != bindings.CYCLE:
            raise


def _step_all(world: World, limit: int) -> None:
    for move in world.look(moves.running):
        step(world, move, limit)


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_of_moves_and_pushes_ends_in_the_true_tree(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Several large moves at once, each a few members at a time, between everything else that changes the tree."""
    monkeypatch.setattr(bindings, "MOVE_AT_ONCE", 2)
    world.change(bind_policy="last_touch")
    dice = random.Random(seed)
    names = [f"p{number}" for number in range(18)]
    for number, name in enumerate(names):
        world.follow(name, dice.choice(names[:number]) if number else None)
    actions: list[Callable[[str, str], object]] = [
        lambda name, other: _rebind_or_cycle(world, name, other),
        lambda name, other: _rebind_or_cycle(world, name, other),
        lambda name, _: _rebind_or_cycle(world, name, None),
        lambda _name, _: _step_all(world, dice.choice([1, 2, 3])),
        lambda name, _: world.leave(name),
        lambda name, other: world.follow(name, other),
        lambda name, _: world.pay(name, 1000),
        lambda name, _: world.follow(f"{name}-{dice.random()}", name),
    ]
    for _ in range(60):
        name, other = dice.sample(names, 2)
        dice.choice(actions)(name, other)
        assert {one["check"] for one in world.tree().differences} <= {"closure"}
    while world.look(moves.running):
        _step_all(world, 2)
    world.check()


# --- disputes -------------------------------------------------------------------------------------------------------


def object_to(world: World, name: str, text: str, key: str = "m1") -> disputes.Objection:
    return world.do(
        lambda s: disputes.open_or_add(s, world.account, name, text, push_key=key, now=world.now)
    )


def test_dispute_is_opened_once_however_often_the_push_comes(world: World) -> None:
    world.people("ann", "bob")
    first = object_to(world, "ann", "小王是我介绍的")
    again = object_to(world, "ann", "小王是我介绍的")
    assert (first.repeated, again.repeated, again.dispute.id) == (False, True, first.dispute.id)
    more = object_to(world, "ann", "这是聊天记录", key="m2")
    assert (more.added, more.dispute.id) == (True, first.dispute.id)
    notes = world.look(lambda s: disputes.notes_of(s, first.dispute.id))
    assert [note.body for note in notes] == ["小王是我介绍的", "这是聊天记录"]


def test_upheld_dispute_rebinds_the_friend_and_tells_both_sides(world: World) -> None:
    world.people("ann", "bob")
    world.people("eve")
    dispute = object_to(world, "eve", "bob 是我介绍的").dispute
    world.do(
        lambda s: disputes.decide(
            s, world.account, dispute.id, upheld=True, answer="核实属实", friend_openid="bob",
            actor="staff/2", now=world.now,
        )
    )  # fmt: skip
    assert world.referrer_of("bob") == "eve"
    assert len(world.told("eve", notices.DISPUTE_DECIDED)) == 1
    assert len(world.told("ann", notices.DISPUTE_DECIDED)) == 1
    with pytest.raises(disputes.DecidedAlready):
        world.do(
            lambda s: disputes.decide(
                s, world.account, dispute.id, upheld=False, answer="再想想", actor="staff/3", now=world.now
            )
        )  # fmt: skip
    world.check()


def test_rejected_dispute_changes_no_binding_and_a_new_one_can_be_opened(world: World) -> None:
    world.people("ann", "bob")
    world.people("eve")
    dispute = object_to(world, "eve", "bob 是我介绍的").dispute
    world.do(
        lambda s: disputes.decide(
            s, world.account, dispute.id, upheld=False, answer="没有证据", actor="staff/2", now=world.now
        )
    )  # fmt: skip
    assert world.referrer_of("bob") == "ann"
    assert object_to(world, "eve", "有新证据", key="m9").dispute.id != dispute.id


def test_decision_that_would_make_a_cycle_decides_nothing(world: World) -> None:
    world.people("ann", "bob")
    dispute = object_to(world, "bob", "ann 是我介绍的").dispute
    with pytest.raises(Invalid):
        world.do(
            lambda s: disputes.decide(
                s, world.account, dispute.id, upheld=True, answer="属实", friend_openid="ann",
                actor="staff/2", now=world.now,
            )
        )  # fmt: skip
    stored = world.look(lambda s: disputes.get(s, world.account.id, dispute.id))
    assert stored.state == disputes.OPEN
    world.check()


def test_dispute_of_another_account_does_not_exist_here(world: World) -> None:
    world.people("ann")
    dispute = object_to(world, "ann", "不对").dispute
    other = World.create(world.database, "coffee")
    with pytest.raises(NotFound):
        other.do(lambda s: disputes.get(s, other.account.id, dispute.id))
