"""等级: how a member comes to a grade, how they lose it, and that the task can be stopped anywhere."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import grades
from domain.errors import Conflict, Invalid
from domain.grades import Conditions, Step, Swept, Totals, decide, reached
from domain.rules import Terms
from tests.domain.world import World


def put(world: World, code: str, rank: int, downgrade: str = "never", **conditions: Any) -> None:
    world.do(
        lambda s: grades.put(
            s, world.account.id, code, name={"silver": "白银", "gold": "黄金"}.get(code, code), rank=rank,
            conditions=conditions or None, downgrade=downgrade, actor="staff/1", now=world.now,
        )
    )  # fmt: skip


def step(world: World, limit: int = 1000) -> Swept:
    return world.do(
        lambda s: grades.sweep(s, world.account.id, world.now, limit=limit, pause=timedelta(0))
    )


def sweep(world: World, limit: int = 1000) -> int:
    """One whole sweep; how many moved."""
    moved = 0
    while True:
        one = step(world, limit)
        moved += one.moved
        if one.finished:
            return moved


def grade_of(world: World, name: str) -> str:
    return world.member(name).grade


# --- the pure part --------------------------------------------------------------------------------------------------

SILVER = Step("silver", 1, Conditions.parse({"own_spent_fen": 100}), False)
GOLD = Step("gold", 2, Conditions.parse({"own_spent_fen": 1000, "invited_buyers": 2}), False)
STAR = Step("star", 3, Conditions.parse({"team_sales_fen": 500}), True)
BY_HAND = Step("friend", 9, None, False)
STEPS = [SILVER, GOLD, STAR, BY_HAND]


def test_all_conditions_or_any_of_them() -> None:
    both = {"own_spent_fen": 10, "earned_fen": 5}
    totals = Totals(own_spent_fen=10)
    assert not Conditions.parse({"match": "all", **both}).are_met(totals)
    assert Conditions.parse({"match": "any", **both}).are_met(totals)


@pytest.mark.parametrize(
    "conditions",
    [{}, {"match": "all"}, {"friends": 3}, {"earned_fen": 0}, {"earned_fen": True}, {"match": "some", "earned_fen": 1}],
)  # fmt: skip
def test_conditions_that_nobody_could_mean_are_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Conditions.parse(conditions)


def test_grade_without_conditions_is_never_reached_by_itself() -> None:
    huge = Totals(10**9, 10**9, 10**9, 10**9)
    assert reached([SILVER, BY_HAND], huge, huge, huge) == SILVER


def test_monthly_grade_asks_for_one_month_and_not_for_the_total() -> None:
    ever = Totals(team_sales_fen=900)
    assert reached(STEPS, ever, Totals(team_sales_fen=499), Totals(team_sales_fen=401)) is None
    assert reached(STEPS, ever, Totals(), Totals(team_sales_fen=500)) == STAR


@given(
    st.sampled_from(["", "silver", "gold", "star", "friend"]),
    st.sampled_from([None, SILVER, GOLD, STAR]),
    st.booleans(),
)
def test_nobody_falls_from_a_grade_that_is_kept_for_ever(
    current: str, goal: Step | None, month_began: bool
) -> None:
    target = decide(STEPS, current, goal, month_began)
    ranks = {"": 0, **{one.code: one.rank for one in STEPS}}
    if target is not None and ranks[target] < ranks[current]:
        assert current == "star"
        assert month_began
    if goal is not None and goal.rank > ranks[current]:
        assert target == goal.code


# --- upgrades -------------------------------------------------------------------------------------------------------


def test_member_rises_by_friends_who_bought(chain: World) -> None:
    put(chain, "silver", 1, invited_buyers=1)
    assert sweep(chain) == 0
    chain.pay("dan", 100)
    assert sweep(chain) == 1
    assert grade_of(chain, "cai") == "silver"
    assert grade_of(chain, "ben") == ""  # dan is not ben's own friend
    (notice,) = chain.told("cai", "grade_up")
    assert "白银" in notice.params


@pytest.mark.parametrize(
    ("figure", "number", "who"),
    [("own_spent_fen", 10_000, "dan"), ("team_sales_fen", 10_000, "ann"), ("earned_fen", 1_000, "cai")],
)  # fmt: skip
def test_member_rises_by_each_of_the_figures(
    chain: World, figure: str, number: int, who: str
) -> None:
    put(chain, "silver", 1, "never", **{figure: number})
    order = chain.pay("dan", 10_000)
    sweep(chain)
    assert grade_of(chain, who) == "silver"
    (row,) = chain.look(lambda s: grades.history_of(s, chain.id_of(who)))
    assert json.loads(row.figures or "{}")[figure] == number
    chain.refund(order, {1: 1})
    assert sweep(chain) == 0  # kept for ever


def test_refunded_purchase_does_not_make_a_grade(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=10_000)
    chain.refund(chain.pay("dan", 10_000), {1: 1})
    assert sweep(chain) == 0


def test_member_jumps_to_the_highest_grade_they_reach(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=100)
    put(chain, "gold", 2, own_spent_fen=1_000)
    chain.pay("dan", 5_000)
    assert sweep(chain) == 1
    assert grade_of(chain, "dan") == "gold"


def test_second_sweep_moves_nobody_and_tells_nothing_again(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=100)
    chain.pay("dan", 5_000)
    assert sweep(chain) == 1
    assert sweep(chain) == 0
    assert len(chain.told("dan", "grade_up")) == 1


def test_task_that_is_killed_goes_on_where_it_stopped(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=100)
    for name in ("ann", "ben", "cai", "dan"):
        chain.pay(name, 500)
    first = step(chain, 2)
    assert (first.members, first.moved, first.finished) == (2, 2, False)
    with pytest.raises(RuntimeError, match="killed"):
        chain.do(lambda s: _killed(s, chain))
    assert [grade_of(chain, name) for name in ("ann", "ben", "cai", "dan")] == ["silver"] * 2 + [
        ""
    ] * 2
    assert sweep(chain, 2) == 2
    assert all(len(chain.told(name, "grade_up")) == 1 for name in ("ann", "ben", "cai", "dan"))


def _killed(session: Any, world: World) -> None:
    grades.sweep(session, world.account.id, world.now, limit=2)
    raise RuntimeError("killed")


def test_finished_sweep_rests(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=100)
    sweep(chain)
    chain.pay("dan", 500)
    assert chain.do(lambda s: grades.sweep(s, chain.account.id, chain.now)).members == 0
    chain.later(minutes=31)
    assert chain.do(lambda s: grades.sweep(s, chain.account.id, chain.now)).moved == 1


def test_account_without_grades_costs_one_question(chain: World) -> None:
    assert step(chain) == Swept(0, 0, True)


# --- month by month -------------------------------------------------------------------------------------------------


def month(world: World, number: int) -> None:
    """Ten o'clock on the second of that month in 2026."""
    world.now = world.now.replace(year=2026, month=number, day=2, hour=2)


def test_month_keeps_a_grade_until_the_end_of_the_next_one(chain: World) -> None:
    put(chain, "star", 1, "monthly", own_spent_fen=1_000)
    month(chain, 3)
    sweep(chain)
    chain.pay("dan", 1_000)
    sweep(chain)
    assert grade_of(chain, "dan") == "star"
    month(chain, 4)
    sweep(chain)
    assert grade_of(chain, "dan") == "star"  # March was enough
    month(chain, 5)
    sweep(chain)
    assert grade_of(chain, "dan") == ""  # April was not
    assert len(chain.told("dan", "grade_down")) == 1


def test_busy_month_keeps_it_again(chain: World) -> None:
    put(chain, "star", 1, "monthly", own_spent_fen=1_000)
    for number in (3, 4, 5, 6):
        month(chain, number)
        sweep(chain)
        chain.pay("dan", 1_000)
        sweep(chain)
        assert grade_of(chain, "dan") == "star"
    assert len(chain.told("dan", "grade_up")) == 1


def test_total_of_many_quiet_months_is_no_busy_one(chain: World) -> None:
    put(chain, "star", 1, "monthly", own_spent_fen=1_000)
    for number in (3, 4, 5, 6):
        month(chain, number)
        sweep(chain)
        chain.pay("dan", 400)
        sweep(chain)
    assert grade_of(chain, "dan") == ""


def test_new_ladder_counts_what_there_is_for_its_first_month(chain: World) -> None:
    month(chain, 3)
    chain.pay("dan", 1_000)
    month(chain, 5)
    put(chain, "star", 1, "monthly", own_spent_fen=1_000)
    sweep(chain)
    assert grade_of(chain, "dan") == "star"
    month(chain, 6)
    sweep(chain)
    assert grade_of(chain, "dan") == "star"
    month(chain, 7)
    sweep(chain)
    assert grade_of(chain, "dan") == ""


def test_member_falls_only_as_far_as_they_must(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=500)
    put(chain, "star", 2, "monthly", own_spent_fen=1_000)
    month(chain, 3)
    chain.pay("dan", 1_000)
    sweep(chain)
    month(chain, 4)
    sweep(chain)
    month(chain, 5)
    sweep(chain)
    assert grade_of(chain, "dan") == "silver"


# --- by hand --------------------------------------------------------------------------------------------------------


def assign(world: World, name: str, code: str, pinned: bool = True) -> None:
    world.do(
        lambda s: grades.assign(
            s, world.account.id, world.id_of(name), code, pinned=pinned, actor="staff/1", reason="老客户",
            now=world.now,
        )
    )  # fmt: skip


def test_pinned_grade_is_left_alone_until_it_is_unpinned(chain: World) -> None:
    put(chain, "silver", 1, own_spent_fen=100)
    put(chain, "gold", 2)
    assign(chain, "dan", "gold")
    chain.pay("dan", 500)
    assert sweep(chain) == 0
    assign(chain, "dan", "", pinned=False)
    assert sweep(chain) == 1
    history = chain.look(lambda s: grades.history_of(s, chain.id_of("dan")))
    assert [(one.seq, one.to_grade, one.actor) for one in history] == [
        (1, "gold", "staff/1"), (2, "", "staff/1"), (3, "silver", "clock"),
    ]  # fmt: skip


def test_grade_decides_the_rate_of_the_next_order(chain: World) -> None:
    chain.rule(grades={"gold": Terms((1500, 500, 200))})
    put(chain, "gold", 2, invited_buyers=1)
    assert chain.left(chain.pay("dan", 10_000))[0] == 1_000
    sweep(chain)
    assert chain.left(chain.pay("dan", 10_000))[0] == 1_500


def test_two_grades_cannot_share_a_rank(chain: World) -> None:
    put(chain, "silver", 1)
    with pytest.raises(Conflict):
        put(chain, "gold", 1)
    put(chain, "silver", 1, earned_fen=5)  # replacing is fine


def test_unknown_grade_and_no_reason_are_refused(chain: World) -> None:
    with pytest.raises(Invalid):
        assign(chain, "dan", "platinum")
