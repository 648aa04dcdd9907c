"""风控: each question finds what it looks for and nothing else; a person decides; nobody is punished in silence."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from domain import holds, members, outbox, risk, withdrawals
from domain.errors import Conflict, Invalid
from domain.models import Hold, Outbox, RiskSignal
from domain.orders import PaidOrder
from tests.domain.world import KEYRING, World


def scan(world: World) -> list[RiskSignal]:
    """One tick; the signals that are new."""
    found = world.look(lambda s: risk.find(s, world.account, world.now))
    ids = world.do(lambda s: risk.raise_signals(s, world.account, found, world.now))
    while world.do(lambda s: risk.hold_for_open(s, world.account, world.now, 2)):
        pass
    query = select(RiskSignal).where(RiskSignal.id.in_(ids)).order_by(RiskSignal.id)
    return world.look(lambda s: list(s.scalars(query)))


def kinds(world: World) -> list[tuple[str, int | None]]:
    return [(one.kind, one.member_id) for one in scan(world)]


def limits(world: World, **numbers: int) -> None:
    """Only the questions that are named, with these limits."""
    off = {
        "churn_people": 0, "velocity_people": 0, "shared_people": 0, "self_paid_orders": 0, "ring_holds": 0,
        "refund_orders": 0, "identity_people": 0, "name_people": 0, "chain_people": 0,
    }  # fmt: skip
    world.change(risk={**off, **numbers})


def pay(world: World, buyer: str, fen: int, **clues: str) -> str:
    order = world.order(buyer, fen)
    order = PaidOrder(
        order.order_no, order.buyer, order.lines, order.paid_at, 0, tuple(clues.items())
    )
    world.record(order)
    return order.order_no


# --- the questions --------------------------------------------------------------------------------------------------


def test_quiet_account_raises_nothing(chain: World) -> None:
    world = chain
    world.complete(world.pay("dan", 10_000))
    world.refund(world.pay("cai", 5_000), {1: 5_000})
    world.leave("dan")
    assert kinds(world) == []


def test_friends_who_follow_and_leave_are_churn(world: World) -> None:
    limits(world, churn_people=3, churn_percent=50)
    world.follow("ann")
    world.follow("ben")
    for number in range(5):
        world.follow(f"of-ann-{number}", "ann")
        world.follow(f"of-ben-{number}", "ben")
    for number in range(2):
        world.leave(f"of-ann-{number}")
        world.leave(f"of-ben-{number}")
    assert kinds(world) == []
    world.leave("of-ann-2")
    (signal,) = scan(world)
    assert (signal.kind, signal.member_id) == ("churn", world.id_of("ann"))
    assert json.loads(signal.evidence)["left"] == 3
    assert json.loads(signal.evidence)["came"] == 5


def test_popular_promoter_is_not_churn_because_some_leave(world: World) -> None:
    limits(world, churn_people=3, churn_percent=50)
    world.follow("ann")
    for number in range(8):
        world.follow(f"f{number}", "ann")
    for number in range(3):
        world.leave(f"f{number}")
    assert kinds(world) == []


def test_friend_who_came_back_did_not_leave(world: World) -> None:
    limits(world, churn_people=1, churn_percent=1)
    world.follow("ann")
    world.follow("ben", "ann")
    world.leave("ben")
    world.follow("ben")
    assert kinds(world) == []


def test_many_friends_within_seconds_are_velocity(world: World) -> None:
    limits(world, velocity_people=4, velocity_seconds=10)
    world.follow("ann")
    world.follow("ben")
    for number in range(4):
        world.follow(f"fast-{number}", "ann")  # one a second
    for number in range(4):
        world.later(seconds=9)
        world.follow(f"slow-{number}", "ben")
    (signal,) = scan(world)
    assert (signal.kind, signal.member_id) == ("velocity", world.id_of("ann"))


def test_first_burst_is_found_wherever_it_is() -> None:
    from tests.domain.world import START

    instants = [START + timedelta(seconds=second) for second in (0, 50, 100, 101, 102, 300)]
    assert risk._first_burst(instants, 3, timedelta(seconds=2)) == instants[2]
    assert risk._first_burst(instants, 4, timedelta(seconds=2)) is None
    assert risk._first_burst([], 1, timedelta(seconds=1)) is None


@pytest.mark.parametrize(
    ("clue", "kind"), [("payer", "shared_payer"), ("phone", "shared_phone"), ("ship_to", "shared_address")]
)  # fmt: skip
def test_orders_of_several_friends_with_one_mark(world: World, clue: str, kind: str) -> None:
    limits(world, shared_people=3)
    world.follow("ann")
    for name in ("b1", "b2", "b3", "b4"):
        world.follow(name, "ann")
    for name in ("b1", "b2", "b1"):
        pay(world, name, 1_000, **{clue: "the-same-one"})
    pay(world, "b4", 1_000, **{clue: "another"})
    assert kinds(world) == []
    pay(world, "b3", 1_000, **{clue: "the-same-one"})
    assert kinds(world) == [(kind, world.id_of("ann"))]


def test_earner_who_pays_the_orders_of_friends(chain: World) -> None:
    limits(chain, self_paid_orders=2)
    pay(chain, "dan", 1_000, payer="cai")
    pay(chain, "dan", 1_000, payer="dan")  # their own money
    assert kinds(chain) == []
    pay(chain, "dan", 1_000, payer="cai")
    assert kinds(chain) == [("self_paid", chain.id_of("cai"))]


def test_line_of_single_friends_who_all_buy_is_a_ring(chain: World) -> None:
    limits(chain, ring_holds=1)
    for name in ("ben", "cai"):
        chain.pay(name, 1_000)
    assert kinds(chain) == []
    chain.pay("dan", 1_000)
    assert kinds(chain) == [("ring", chain.id_of("ben"))]


def test_line_with_other_friends_beside_it_is_no_ring(chain: World) -> None:
    limits(chain, ring_holds=1)
    chain.follow("other", "cai")
    for name in ("ann", "ben", "cai", "dan"):
        chain.pay(name, 1_000)
    assert kinds(chain) == [("ring", chain.id_of("ann"))]  # ann, ben, cai; but not ben, cai, dan


def test_promoter_whose_friends_send_everything_back(world: World) -> None:
    limits(world, refund_orders=3, refund_percent=50)
    world.follow("ann")
    world.follow("ben")
    for promoter, orders in (("ann", 4), ("ben", 8)):
        world.follow(f"of-{promoter}", promoter)
        for number in range(orders):
            order = world.pay(f"of-{promoter}", 1_000)
            if number < 3:
                world.refund(order, {1: 1_000})
    assert kinds(world) == [("refunds", world.id_of("ann"))]


def withdraw(world: World, name: str, fen: int = 100) -> Any:
    return world.do(
        lambda s: withdrawals.request(
            s, world.account, members.get(s, world.account.id, name), fen,
            client_token=f"{name}-{world.now.isoformat()}", now=world.now,
        )
    )  # fmt: skip


def test_one_phone_or_one_name_behind_several_withdrawals(world: World) -> None:
    limits(world, identity_people=2, name_people=3)
    for name in ("ann", "ben", "cai"):
        world.follow(name)
        world.follow(f"of-{name}", name)
        world.pay_and_settle(f"of-{name}", 10_000)
        phone = "13900000003" if name == "cai" else "13900000001"
        set_contact = partial(
            members.set_contact,
            keyring=KEYRING, member_id=world.id_of(name), phone=phone, real_name="王 伟",
        )  # fmt: skip
        world.do(set_contact)
    for name in ("ann", "ben"):
        withdraw(world, name)
    assert kinds(world) == [("same_phone", world.id_of("ann")), ("same_phone", world.id_of("ben"))]
    withdraw(world, "cai")
    assert [kind for kind, _ in kinds(world)] == ["same_name"] * 3


def test_merchant_is_told_once_that_a_chain_is_long(world: World) -> None:
    limits(world, chain_people=3)
    world.people("ann", "ben", "cai")
    assert kinds(world) == []
    world.follow("dan", "cai")
    assert kinds(world) == [("chain_people", world.id_of("ann"))]
    world.follow("eve", "dan")
    assert kinds(world) == []


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.fixture
def suspicious(world: World) -> tuple[World, RiskSignal, list[str]]:
    """Three friends of ann, brought by gran, share a payer; three orders; the signal is raised."""
    limits(world, shared_people=3, shared_holds=1)
    world.people("gran", "ann")
    for name in ("b1", "b2", "b3"):
        world.follow(name, "ann")
    orders = [pay(world, name, 1_000, payer="p") for name in ("b1", "b2", "b3")]
    (signal,) = scan(world)
    for order in orders:
        world.complete(order)
    return world, signal, orders


def test_signal_holds_its_members_commissions_and_says_so_once(
    suspicious: tuple[World, RiskSignal, list[str]],
) -> None:
    world, _, orders = suspicious
    world.later(days=8)
    assert world.settle() == 3  # gran's, who has nothing to do with it
    assert [world.states(order)[0] for order in orders] == ["frozen"] * 3
    (notice,) = world.told("ann", "commission_held")
    assert "shared_payer" in notice.params
    assert world.told("gran", "commission_held") == []


def test_commission_that_comes_while_the_signal_is_open_waits_too(
    suspicious: tuple[World, RiskSignal, list[str]],
) -> None:
    world, _, _ = suspicious
    late = world.pay("b1", 5_000)
    world.complete(late)
    assert scan(world) == []
    world.later(days=8)
    world.settle()
    assert world.states(late) == ["frozen", "settled"]
    assert len(world.told("ann", "commission_held")) == 1


def test_released_signal_lets_everything_go_and_is_not_raised_again(
    suspicious: tuple[World, RiskSignal, list[str]],
) -> None:
    world, signal, _ = suspicious
    world.do(
        lambda s: risk.release(
            s, world.account, signal.id, actor="staff/1", note="一家人", now=world.now
        )
    )
    assert scan(world) == []
    world.later(days=8)
    assert world.settle() == 6
    assert len(world.told("ann", "commission_released")) == 1
    with pytest.raises(Conflict):
        world.do(lambda s: risk.release(s, world.account, signal.id, actor="a", now=world.now))


def test_confirmed_signal_voids_what_it_held_with_a_reason(
    suspicious: tuple[World, RiskSignal, list[str]],
) -> None:
    world, signal, orders = suspicious
    with pytest.raises(Invalid):
        world.do(
            lambda s: risk.confirm(s, world.account, signal.id, actor="a", reason="", now=world.now)
        )
    world.do(
        lambda s: risk.confirm(
            s, world.account, signal.id, actor="staff/1", reason="同一人付款", now=world.now
        )
    )
    assert [world.states(order) for order in orders] == [["voided", "frozen"]] * 3
    assert world.frozen("ann") == 0
    assert len(world.told("ann", "commission_refused")) == 1
    assert world.referrer_of("b1") == "ann"  # nothing else happened
    assert world.member("ann").status == "active"


def test_hold_that_a_person_released_is_not_placed_again_by_the_same_signal(
    suspicious: tuple[World, RiskSignal, list[str]],
) -> None:
    world, signal, _ = suspicious
    ids = world.look(lambda s: holds.ids_of_signal(s, signal.id))
    world.do(lambda s: holds.release(s, world.account.id, ids[:1], actor="a", now=world.now))
    scan(world)
    assert world.look(lambda s: holds.ids_of_signal(s, signal.id)) == ids[1:]


def test_what_nobody_reviewed_lapses(suspicious: tuple[World, RiskSignal, list[str]]) -> None:
    world, signal, _ = suspicious
    world.later(days=31)
    assert world.do(lambda s: risk.lapse_due(s, world.account, world.now)) == 1
    assert world.do(lambda s: holds.lapse_due(s, world.account.id, world.now)) == 3
    assert world.settle() == 6
    assert world.look(lambda s: s.get_one(RiskSignal, signal.id)).status == "lapsed"


def test_staff_hear_of_it_once(suspicious: tuple[World, RiskSignal, list[str]]) -> None:
    world, signal, _ = suspicious
    scan(world)
    query = select(Outbox).where(Outbox.topic == outbox.ALERT)
    (row,) = world.look(lambda s: list(s.scalars(query)))
    payload = json.loads(row.payload)
    assert (payload["signal"], payload["kind"]) == (signal.id, "shared_payer")


def test_signal_without_holds_only_asks_for_a_look(world: World) -> None:
    limits(world, velocity_people=2, velocity_seconds=60, velocity_holds=0)
    world.follow("ann")
    world.follow("b1", "ann")
    world.follow("b2", "ann")
    world.pay("b1", 1_000)
    assert len(scan(world)) == 1
    assert world.look(lambda s: list(s.scalars(select(Hold)))) == []
    assert world.told("ann", "commission_held") == []


def test_withdrawal_of_somebody_under_review_waits_for_a_person(chain: World) -> None:
    chain.change(audit_above_fen=10_000)
    limits(chain, self_paid_orders=1, ring_holds=0)
    chain.pay_and_settle("dan", 100_000)
    assert withdraw(chain, "ben", 200).status == "approved"
    pay(chain, "dan", 1_000, payer="ben")
    (signal,) = scan(chain)
    assert signal.member_id == chain.id_of("ben")
    assert withdraw(chain, "cai", 200).status == "approved"
    chain.later(seconds=1)
    assert withdraw(chain, "ben", 200).status == "requested"


def test_unknown_limit_is_refused(world: World) -> None:
    with pytest.raises(Invalid):
        world.change(risk={"churn": 3})
