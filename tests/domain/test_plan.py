"""Who earns what, and why somebody does not: `plan` is a function of values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import rules
from domain.errors import Invalid
from domain.money import share
from domain.rules import PlanLine, RuleVersion, Terms, Upline, plan
from tests.domain.world import START

RULE = RuleVersion(1, START, Terms((1000, 500, 200)), 7, False, 3, {})
CHAIN = [Upline(11, 1), Upline(12, 2), Upline(13, 3)]


def rule(**changes: Any) -> RuleVersion:
    values: dict[str, Any] = {
        "id": 1, "effective_at": START, "terms": Terms((1000, 500, 200)), "freeze_days": 7,
        "self_purchase": False, "depth": 3, "grades": {},
    }  # fmt: skip
    return RuleVersion(**{**values, **changes})


def earned(
    version: RuleVersion, chain: list[Upline], *lines: PlanLine
) -> list[tuple[int, int, int]]:
    """(level, member, fen) of everybody who earns."""
    shares = plan(version, 10, chain, lines)
    return [(one.level, member, one.amount_fen) for member, one in rules.earners_of(shares)]


def reasons(
    version: RuleVersion | None, buyer: int | None, chain: list[Upline], fen: int
) -> list[str]:
    return [one.nobody for one in plan(version, buyer, chain, [PlanLine(1, fen)])]


def test_three_levels_of_29_97_yuan() -> None:
    assert earned(RULE, CHAIN, PlanLine(1, 2997)) == [(1, 11, 299), (2, 12, 149), (3, 13, 59)]


def test_every_line_is_floored_by_itself() -> None:
    lines = [PlanLine(1, 2997), PlanLine(2, 2997)]
    assert sum(fen for _, _, fen in earned(RULE, CHAIN, *lines)) == 2 * (299 + 149 + 59)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_depth_ends_the_plan(depth: int) -> None:
    shares = plan(rule(depth=depth), 10, CHAIN, [PlanLine(1, 10_000)])
    assert [one.level for one in shares] == list(range(1, depth + 1))


def test_missing_uplines_pay_nobody_and_nobody_else_gets_their_share() -> None:
    assert earned(RULE, CHAIN[:1], PlanLine(1, 10_000)) == [(1, 11, 1000)]
    assert reasons(RULE, 10, CHAIN[:1], 10_000) == ["", rules.NO_UPLINE, rules.NO_UPLINE]


def test_suspended_upline_earns_nothing_and_the_next_keeps_their_own_level() -> None:
    chain = [Upline(11, 1, refusal=rules.SUSPENDED), Upline(12, 2)]
    assert earned(RULE, chain, PlanLine(1, 10_000)) == [(2, 12, 500)]
    assert reasons(RULE, 10, chain, 10_000) == [rules.SUSPENDED, "", rules.NO_UPLINE]


def test_self_purchase_makes_the_buyer_level_one_and_moves_the_rest() -> None:
    version = rule(self_purchase=True)
    assert earned(version, CHAIN, PlanLine(1, 10_000)) == [
        (1, 10, 1000),
        (2, 11, 500),
        (3, 12, 200),
    ]


def test_self_purchase_with_one_level_pays_the_buyer_only() -> None:
    assert earned(rule(self_purchase=True, depth=1), CHAIN, PlanLine(1, 10_000)) == [(1, 10, 1000)]


def test_products_own_rates_go_before_the_rule() -> None:
    lines = [PlanLine(1, 10_000, Terms((3000,))), PlanLine(2, 10_000)]
    assert earned(RULE, CHAIN, *lines) == [(1, 11, 3000), (1, 11, 1000), (2, 12, 500), (3, 13, 200)]


def test_product_pool_of_twenty_percent_is_shared_50_30_20() -> None:
    line = PlanLine(1, 10_001, Terms((5000, 3000, 2000), pool_bps=2000))
    assert earned(RULE, CHAIN, line) == [(1, 11, 1000), (2, 12, 600), (3, 13, 400)]


def test_grade_of_the_earner_picks_the_terms_and_a_product_goes_before_it() -> None:
    version = rule(grades={"gold": Terms((1500, 800, 400))})
    chain = [Upline(11, 1, "gold"), Upline(12, 2), Upline(13, 3, "gold")]
    assert earned(version, chain, PlanLine(1, 10_000)) == [
        (1, 11, 1500),
        (2, 12, 500),
        (3, 13, 400),
    ]
    assert earned(version, chain, PlanLine(1, 10_000, Terms((100,)))) == [(1, 11, 100)]


def test_unknown_grade_uses_the_rule() -> None:
    assert earned(RULE, [Upline(11, 1, "platinum")], PlanLine(1, 10_000)) == [(1, 11, 1000)]


@pytest.mark.parametrize(
    ("version", "buyer", "chain", "fen", "expected"),
    [
        (None, 10, CHAIN, 10_000, [rules.NO_RULE]),
        (RULE, None, [], 10_000, [rules.BUYER_UNKNOWN] * 3),
        (rule(terms=Terms((1000, 0))), 10, CHAIN, 10_000, ["", rules.NO_RATE, rules.NO_RATE]),
        (RULE, 10, CHAIN, 10, ["", rules.ROUNDS_TO_ZERO, rules.ROUNDS_TO_ZERO]),
        (RULE, 10, CHAIN, 0, [rules.ROUNDS_TO_ZERO] * 3),
    ],
)
def test_every_level_that_pays_nobody_says_why(
    version: RuleVersion | None,
    buyer: int | None,
    chain: list[Upline],
    fen: int,
    expected: list[str],
) -> None:
    assert reasons(version, buyer, chain, fen) == expected


@given(
    st.lists(st.integers(0, 3000), min_size=3, max_size=3),
    st.lists(st.integers(0, 10_000_000), min_size=1, max_size=5),
    st.booleans(),
)
def test_plan_stays_within_the_budget_of_every_line(
    rates: list[int], amounts: list[int], self_purchase: bool
) -> None:
    version = rule(terms=Terms(tuple(rates)), self_purchase=self_purchase)
    lines = [PlanLine(number, fen) for number, fen in enumerate(amounts, start=1)]
    shares = plan(version, 10, CHAIN, lines)
    for line in lines:
        paid = sum(one.amount_fen for one in shares if one.line_no == line.line_no)
        assert paid <= share(line.base_fen, sum(rates)) <= line.base_fen


@pytest.mark.parametrize(
    ("terms", "cap"),
    [
        (Terms((2000, 1000, 1)), 3000),  # above the cap
        (Terms((5000, 3000, 2001), 2000), 3000),  # more than the pool
        (Terms((5000,), 3001), 3000),
        (Terms((-1,)), 3000),
        (Terms((10_001,)), 10_000),
        (Terms(()), 3000),
        (Terms((1, 1, 1, 1)), 3000),
    ],
)
def test_impossible_terms_are_refused(terms: Terms, cap: int) -> None:
    with pytest.raises(Invalid):
        terms.check(cap)
