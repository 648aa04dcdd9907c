"""Golden amounts, and what must hold for every amount."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import percent, remaining_after_refund, share, yuan
from domain.rules import Terms

BASES = st.integers(0, 10_000_000_000)
RATES = st.integers(0, 10_000)


def test_ten_percent_of_29_97_yuan_is_2_99() -> None:
    assert share(2997, 1000) == 299


@pytest.mark.parametrize(
    ("base", "rate", "part", "expected"),
    [
        (10_001, 2000, 5000, 1000),  # a pool of 20 % of 100.01 yuan, half of it: 10.001 yuan
        (10_001, 2000, 3000, 600),
        (10_001, 2000, 2000, 400),
        (99, 100, 10_000, 0),
        (100, 100, 10_000, 1),
        (1, 10_000, 10_000, 1),
        (10_000_000_000, 10_000, 10_000, 10_000_000_000),
    ],
)
def test_share_is_one_floor(base: int, rate: int, part: int, expected: int) -> None:
    assert share(base, rate, part) == expected


def test_pool_is_floored_once_and_not_once_for_the_pool_and_again_for_the_level() -> None:
    # 9.99 yuan, pool 33.33 %, of that 50 %: 1.66 by one floor; floor(332.96) = 332, half of it 166: the same here,
    # but of 0.59 yuan at 50 % and 34 %: one floor gives 10, two give 9.
    assert share(59, 5000, 3400) == 10
    assert share(share(59, 5000), 3400) == 9


@given(BASES, st.lists(RATES, min_size=1, max_size=3))
def test_levels_together_never_exceed_the_budget(base: int, rates: list[int]) -> None:
    assert sum(share(base, rate) for rate in rates) <= share(base, sum(rates))


@given(BASES, RATES, st.integers(0, 10_000), st.integers(0, 10_000))
def test_shares_of_a_pool_never_exceed_the_pool(base: int, pool: int, one: int, two: int) -> None:
    shares = sorted((one, two))
    parts = (shares[0], shares[1] - shares[0], 10_000 - shares[1])
    assert sum(share(base, pool, part) for part in parts) <= share(base, pool)


@given(st.data())
def test_any_sequence_of_refunds_ends_at_the_same_amount(data: st.DataObject) -> None:
    base = data.draw(st.integers(1, 1_000_000))
    rate, part = data.draw(RATES), data.draw(RATES)
    stops = sorted(data.draw(st.lists(st.integers(0, base), max_size=6)))
    left = share(base, rate, part)
    for refunded in stops:
        taken = left - remaining_after_refund(base, refunded, rate, part)
        assert taken >= 0
        left -= taken
    assert left == remaining_after_refund(base, stops[-1] if stops else 0, rate, part)


@given(BASES, RATES, RATES)
def test_full_refund_leaves_nothing(base: int, rate: int, part: int) -> None:
    assert remaining_after_refund(base, base, rate, part) == 0


def _refund_in_parts(dice: random.Random, base: int, rate: int) -> tuple[int, int]:
    """What is left after a full refund in random parts: cumulative as ours, and floor per refund as others do it."""
    left = per_refund = share(base, rate)
    refunded = 0
    while refunded < base:
        part = dice.randint(1, base - refunded)
        refunded += part
        left -= left - remaining_after_refund(base, refunded, rate)
        per_refund -= share(part, rate)
    return left, per_refund


def test_two_hundred_thousand_random_refunds_leave_nothing_and_floor_per_refund_would() -> None:
    dice = random.Random(20260301)
    wrong = others_wrong = 0
    for _ in range(200_000):
        left, per_refund = _refund_in_parts(dice, dice.randint(1, 5_000), dice.randint(1, 3_000))
        wrong += left != 0
        others_wrong += per_refund != 0
    assert wrong == 0
    assert others_wrong > 20_000  # the mutant of money.md F9: the test could have failed


@pytest.mark.parametrize(
    ("fen", "text"), [(0, "0.00"), (5, "0.05"), (299, "2.99"), (-1205, "-12.05"), (-5, "-0.05")]
)
def test_yuan_for_people(fen: int, text: str) -> None:
    assert yuan(fen) == text


@pytest.mark.parametrize(
    ("bps", "text"),
    [(1000, "10%"), (1250, "12.5%"), (1, "0.01%"), (0, "0%"), (10_000, "100%"), (105, "1.05%")],
)
def test_percent_for_people(bps: int, text: str) -> None:
    assert percent(bps) == text


@pytest.mark.parametrize(
    "terms",
    [Terms((1000, 500, 200)), Terms((5000, 3000, 2000), 2000), Terms((0,)), Terms((10_000,), 0)],
)
def test_terms_survive_their_json(terms: Terms) -> None:
    assert Terms.from_value(terms.as_value()) == terms
