"""How rates are written into forms and shown: per level, or a pool that levels share, and those of grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flask import request

from domain.errors import Invalid
from domain.models import Grade
from domain.money import percent
from domain.rules import PAID_LEVELS, Terms
from web.console.both import Both
from web.console.refusals import explain
from web.console.trade import fen_of

LEVELS: Final = range(1, PAID_LEVELS + 1)
RATES: Final = "rates"
POOL: Final = "pool"

for _message, _words in {
    "all levels together exceed the cap": Both("各级比例之和超过了上限。", "All levels together exceed the cap."),
    "uplines of different grades together exceed the cap": Both(
        "不同等级的人站在各级时，比例之和会超过上限。",
        "With people of different grades the levels would exceed the cap.",
    ),
    "the shares of a pool exceed the pool": Both(
        "各级分成之和不能超过 100%。", "The shares of a pool are at most 100 %."
    ),
    "one to three levels": Both("至少填第一级的比例。", "Fill in at least the rate of level 1."),
    "a rate is between 0 and 10000 basis points": Both("比例在 0 到 100% 之间。", "A rate is between 0 and 100 %."),
    "a percentage is a number with at most two decimals": Both(
        "比例写成 10 或 12.5，最多两位小数。", "Write a percentage as 10 or 12.5, at most two decimals."
    ),
    "fill in the levels from the first on": Both("请从第一级开始填。", "Fill in the levels from the first on."),
}.items():  # fmt: skip
    explain(_message, _words)


def bps(text: str) -> int:
    """A percentage as people write it, in basis points. Raises `Invalid`."""
    try:
        return fen_of(
            text.strip().removesuffix("%")
        )  # the same notation: two decimals, nothing negative
    except Invalid:
        raise Invalid("a percentage is a number with at most two decimals") from None


def terms_given(prefix: str = "") -> Terms:
    """The terms of a form; no rates when none were written. A pool is one for all grades. Raises `Invalid`."""
    given = [request.form.get(f"{prefix}rate-{level}", "").strip() for level in LEVELS]
    while given and not given[-1]:
        given.pop()
    if "" in given:
        raise Invalid("fill in the levels from the first on")
    rates = tuple(bps(one) for one in given)
    pool = bps(request.form.get("pool", "")) if request.form.get("kind") == POOL else None
    return Terms(rates, pool)


def graded(codes: Sequence[str]) -> dict[str, Terms]:
    """The other rates of those grades that have some in the form."""
    found = {code: terms_given(f"grade-{code}-") for code in codes}
    return {code: terms for code, terms in found.items() if terms.rates_bps}


def filled(terms: Terms | None, grades: Mapping[str, Terms]) -> dict[str, str]:
    """What stands in a form for these terms."""
    if terms is None:
        return {"kind": RATES}
    values = {"kind": RATES if terms.pool_bps is None else POOL}
    if terms.pool_bps is not None:
        values["pool"] = _plain(terms.pool_bps)
    for prefix, one in [
        ("", terms),
        *((f"grade-{code}-", terms) for code, terms in grades.items()),
    ]:
        for level, rate in enumerate(one.rates_bps, start=1):
            values[f"{prefix}rate-{level}"] = _plain(rate)
    return values


def _plain(rate_bps: int) -> str:
    return percent(rate_bps).removesuffix("%")


def fits_the_form(terms: Terms, grades: Mapping[str, Terms], known: Sequence[str]) -> bool:
    """Whether the form can show these terms whole: one kind and one pool for all, and grades that there are."""
    return all(one.pool_bps == terms.pool_bps for one in grades.values()) and set(grades) <= set(
        known
    )


def levels(depth: int, given: Mapping[str, str]) -> range:
    """The levels that a form has a field for: those of the account, and any further one that says something."""
    return range(
        1, max(depth, *(level for level in LEVELS if given.get(f"rate-{level}") or level == 1)) + 1
    )


def shown(terms: Terms) -> str:
    """10% / 5% / 2%, or a pool: 20%（50% / 30% / 20%）."""
    rates = " / ".join(percent(rate) for rate in terms.rates_bps)
    return rates if terms.pool_bps is None else f"{percent(terms.pool_bps)}（{rates}）"


def names_of(grades: Sequence[Grade]) -> dict[str, str]:
    """Code → name."""
    return {grade.code: grade.name for grade in grades}
