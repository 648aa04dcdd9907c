"""佣金规则: versions of rates, products' own terms, and the pure `plan` of who earns what on an order.

`plan` is a function of values: the same snapshot, rule and lines give the same result for ever. The API answers,
为什么, the dry run and the proof of the books all call it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.db import Sql, from_db, to_json
from domain.errors import Invalid
from domain.models import Rule
from domain.money import BPS, share

PAID_LEVELS: Final = 3

# Why a level pays nobody (or nothing); the words for people are in texts.py under `nobody.<reason>`.
NO_UPLINE: Final = "no_upline"
SUSPENDED: Final = "suspended"
NOT_QUALIFIED: Final = "not_qualified"
NO_RATE: Final = "no_rate"
ROUNDS_TO_ZERO: Final = "rounds_to_zero"
BUYER_UNKNOWN: Final = "buyer_unknown"
NO_RULE: Final = "no_rule"


@dataclass(frozen=True, slots=True)
class Terms:
    """How one line pays: a rate per level (level 1 first), or a pool that levels share.

    Rates: Terms((1000, 500, 200)). Pool: 20 % of the line, shared 50/30/20: Terms((5000, 3000, 2000), pool_bps=2000).
    `grades`: a product's other terms for promoters of a grade, as (grade, terms) pairs.
    """

    rates_bps: tuple[int, ...]
    pool_bps: int | None = None
    grades: tuple[tuple[str, Terms], ...] = ()

    def of_grade(self, grade: str) -> Terms:
        """These terms as a promoter of that grade has them."""
        return next((terms for name, terms in self.grades if name == grade), self)

    def for_level(self, level: int) -> tuple[int, int]:
        """(rate_bps, share_bps) of a level; a level that is not named has rate 0."""
        if level > len(self.rates_bps):
            return 0, BPS
        if self.pool_bps is None:
            return self.rates_bps[level - 1], BPS
        return self.pool_bps, self.rates_bps[level - 1]

    @property
    def total_bps(self) -> int:
        """The most that all levels together can take of the base."""
        return sum(self.rates_bps) if self.pool_bps is None else self.pool_bps

    def check(self, max_total_bps: int) -> None:
        """`Invalid` when a rate is out of range, shares exceed the pool or the levels exceed the cap, in whatever way
        promoters of different grades stand above a buyer."""
        check_together([self, *(terms for _, terms in self.grades)], max_total_bps)

    def check_alone(self, max_total_bps: int) -> None:
        """`check` of these terms without their grades."""
        if not 1 <= len(self.rates_bps) <= PAID_LEVELS:
            raise Invalid("one to three levels", levels=len(self.rates_bps))
        if (
            any(not 0 <= rate <= BPS for rate in self.rates_bps)
            or not 0 <= (self.pool_bps or 0) <= BPS
        ):
            raise Invalid("a rate is between 0 and 10000 basis points", rates=list(self.rates_bps))
        if self.pool_bps is not None and sum(self.rates_bps) > BPS:
            raise Invalid("the shares of a pool exceed the pool", shares=list(self.rates_bps))
        if self.total_bps > max_total_bps:
            raise Invalid(
                "all levels together exceed the cap",
                total_bps=self.total_bps,
                max_total_bps=max_total_bps,
            )

    def as_value(self) -> dict[str, Any]:
        """For JSON: {"rates": […]} or {"pool": bps, "shares": […]}, and "grades" if there are any."""
        value: dict[str, Any] = (
            {"rates": list(self.rates_bps)}
            if self.pool_bps is None
            else {"pool": self.pool_bps, "shares": list(self.rates_bps)}
        )
        if self.grades:
            value["grades"] = {name: terms.as_value() for name, terms in self.grades}
        return value

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> Terms:
        grades = tuple(
            (name, cls.from_value(terms)) for name, terms in sorted(value.get("grades", {}).items())
        )
        if "pool" in value:
            return cls(tuple(value["shares"]), value["pool"], grades)
        return cls(tuple(value["rates"]), None, grades)


def check_together(all_terms: Sequence[Terms], max_total_bps: int) -> None:
    """`Invalid` when any of these terms is impossible, or when promoters of different grades above one buyer could
    together earn more than the cap: each grade may stand at each level."""
    for terms in all_terms:
        terms.check_alone(max_total_bps)
    if most_of(all_terms) > max_total_bps * BPS:
        raise Invalid(
            "uplines of different grades together exceed the cap", max_total_bps=max_total_bps
        )


def most_of(all_terms: Sequence[Terms]) -> int:
    """The most that all levels together can take of the base, whichever of the terms each of them has, in bps of
    bps."""
    if len(all_terms) == 1:
        return all_terms[0].total_bps * BPS
    levels = range(1, PAID_LEVELS + 1)
    return sum(max(math.prod(terms.for_level(level)) for terms in all_terms) for level in levels)


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """One version as the plan sees it. `grades` replace the account's terms for promoters of that grade,
    `grade_freeze_days` its freeze period; `cap_fen` bounds every single commission, 0 does not."""

    id: int
    effective_at: datetime
    terms: Terms
    freeze_days: int
    self_purchase: bool
    depth: int
    grades: dict[str, Terms]
    cap_fen: int = 0
    grade_freeze_days: Mapping[str, int] = field(default_factory=dict)

    def freeze_days_of(self, grade: str) -> int:
        """The freeze period of a promoter of that grade."""
        return self.grade_freeze_days.get(grade, self.freeze_days)

    def most_fen(self, line: PlanLine) -> int:
        """The most that the commissions of a line can come to: more would be a fault of ours."""
        if line.terms is not None:
            terms = [line.terms, *(one for _, one in line.terms.grades)]
        else:
            terms = [self.terms, *self.grades.values()]
        return share(line.base_fen, most_of(terms), 1)


@dataclass(frozen=True, slots=True)
class Upline:
    """One member above the buyer, as they were when the order was paid. `refusal` says why they cannot earn."""

    member_id: int
    level: int
    grade: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What the plan needs of an order line; `terms` are the product's own at that time, if it has any."""

    line_no: int
    base_fen: int
    terms: Terms | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """One level of one line: the earner and the amount, or nobody, the reason, and what it would have been.

    `grade` is the earner's when they earned; `capped`: the rule's cap made the amount smaller.
    """

    line_no: int
    level: int
    member_id: int | None
    base_fen: int
    rate_bps: int
    share_bps: int
    amount_fen: int
    nobody: str = ""
    grade: str = ""
    capped: bool = False


def plan(
    rule: RuleVersion | None,
    buyer_id: int | None,
    uplines: Sequence[Upline],
    lines: Sequence[PlanLine],
    own: Upline | None = None,
) -> list[Share]:
    """Who earns what: one `Share` for every line and every level of the rule's depth, by line and level.

    base = the line's paid goods value; amount = floor(base × rate [× share]), at most `cap_fen`; what no eligible
    earner takes stays with the merchant and says why in `nobody`. With `self_purchase` the buyer is level 1, with the
    grade and the refusal that `own` says, and the others move down one.

    Example: 29.97 yuan at 10 % / 5 % / 2 % gives 2.99, 1.49 and 0.59; the merchant keeps the fractions.
    """
    if rule is None:
        return [Share(line.line_no, 1, None, line.base_fen, 0, BPS, 0, NO_RULE) for line in lines]
    chain = {upline.level: upline for upline in uplines}
    if rule.self_purchase and buyer_id is not None:
        moved = {upline.level + 1: upline for upline in uplines if upline.level < PAID_LEVELS}
        chain = {1: own or Upline(buyer_id, 1), **moved}
    result = []
    for line in lines:
        for level in range(1, rule.depth + 1):
            earner = chain.get(level)
            result.append(_share(rule, buyer_id, line, level, earner))
    return result


def _share(
    rule: RuleVersion, buyer_id: int | None, line: PlanLine, level: int, earner: Upline | None
) -> Share:
    grade = earner.grade if earner is not None else ""
    terms = line.terms.of_grade(grade) if line.terms else rule.grades.get(grade, rule.terms)
    rate, part = terms.for_level(level)
    amount = share(line.base_fen, rate, part)
    capped = 0 < rule.cap_fen < amount
    if capped:
        amount = rule.cap_fen
    nobody = _nobody(buyer_id, earner, rate * part, amount)
    member_id = earner.member_id if earner is not None and not nobody else None
    return Share(
        line.line_no, level, member_id, line.base_fen, rate, part, amount, nobody, grade, capped
    )  # fmt: skip


def _nobody(buyer_id: int | None, earner: Upline | None, rate: int, amount_fen: int) -> str:
    """Why nobody earns a level, or "" when somebody does."""
    if buyer_id is None:
        return BUYER_UNKNOWN
    if earner is None:
        return NO_UPLINE
    if earner.refusal:
        return earner.refusal
    if rate == 0:
        return NO_RATE
    return ROUNDS_TO_ZERO if amount_fen == 0 else ""


def earners_of(shares: Sequence[Share]) -> list[tuple[int, Share]]:
    """(member id, share) of the shares that somebody earns."""
    return [(one.member_id, one) for one in shares if one.member_id is not None]


def add(
    session: Session,
    account_id: int,
    *,
    terms: Terms,
    max_total_bps: int,
    depth: int,
    freeze_days: int = 7,
    self_purchase: bool = False,
    grades: dict[str, Terms] | None = None,
    cap_fen: int = 0,
    grade_freeze_days: dict[str, int] | None = None,
    effective_at: datetime,
    actor: str,
    now: datetime,
) -> Rule:
    """Publish a version; it is never edited, a later `effective_at` supersedes it. Raises `Invalid`."""
    version = draft(
        terms=terms, max_total_bps=max_total_bps, depth=depth, freeze_days=freeze_days, self_purchase=self_purchase,
        grades=grades, cap_fen=cap_fen, grade_freeze_days=grade_freeze_days, effective_at=effective_at,
    )  # fmt: skip
    rule = Rule(
        account_id=account_id,
        effective_at=effective_at,
        definition=to_json(definition_of(version)),
        actor=actor,
        created_at=now,
    )
    session.add(rule)
    session.flush()
    return rule


def draft(
    *,
    terms: Terms,
    max_total_bps: int,
    depth: int,
    freeze_days: int = 7,
    self_purchase: bool = False,
    grades: dict[str, Terms] | None = None,
    cap_fen: int = 0,
    grade_freeze_days: dict[str, int] | None = None,
    effective_at: datetime,
) -> RuleVersion:
    """A version that is written nowhere (its id is 0), checked like one that is: for the dry run. Raises `Invalid`."""
    if terms.grades:
        raise Invalid("the grades of a rule are its own, not those of its terms")
    if not 1 <= depth <= PAID_LEVELS:
        raise Invalid("depth is 1, 2 or 3", depth=depth)
    days = [freeze_days, *(grade_freeze_days or {}).values()]
    if any(not 0 <= one <= 365 for one in days):
        raise Invalid("freeze_days is between 0 and 365", freeze_days=days)
    if cap_fen < 0:
        raise Invalid("cap_fen is not negative", cap_fen=cap_fen)
    check_together([terms, *(grades or {}).values()], max_total_bps)
    return RuleVersion(
        0, effective_at, terms, freeze_days, self_purchase, depth, dict(grades or {}), cap_fen,
        dict(grade_freeze_days or {}),
    )  # fmt: skip


def definition_of(version: RuleVersion) -> dict[str, Any]:
    """A version without its id and date, for JSON: what a row keeps of it, and a task that tries a draft."""
    return {
        **version.terms.as_value(),
        "freeze_days": version.freeze_days,
        "self_purchase": version.self_purchase,
        "depth": version.depth,
        "grades": {name: one.as_value() for name, one in version.grades.items()},
        "cap_fen": version.cap_fen,
        "grade_freeze_days": dict(version.grade_freeze_days),
    }


def from_definition(
    value: Mapping[str, Any], effective_at: datetime, rule_id: int = 0
) -> RuleVersion:
    """The version that `definition_of` wrote down."""
    return RuleVersion(
        id=rule_id,
        effective_at=effective_at,
        terms=Terms.from_value(dict(value)),
        freeze_days=value["freeze_days"],
        self_purchase=value["self_purchase"],
        depth=value["depth"],
        grades={name: Terms.from_value(one) for name, one in value["grades"].items()},
        cap_fen=value.get("cap_fen", 0),
        grade_freeze_days=value.get("grade_freeze_days", {}),
    )


def parse(rule: Rule) -> RuleVersion:
    """A stored version as the plan takes it."""
    return from_definition(json.loads(rule.definition), rule.effective_at, rule.id)


def versions_of(session: Session, account_id: int) -> list[Rule]:
    """Every version of the account, newest first."""
    query = (
        select(Rule)
        .where(Rule.account_id == account_id)
        .order_by(Rule.effective_at.desc(), Rule.id.desc())
    )
    return list(session.scalars(query))


_DATES = Sql(
    "SELECT id, effective_at FROM rule WHERE account_id = ? ORDER BY effective_at DESC, id DESC"
)


def in_force(
    session: Session, account_id: int, instants: Sequence[datetime]
) -> list[RuleVersion | None]:
    """The version in force at each instant, None before the first one."""
    dates = [(from_db(row.effective_at), row.id) for row in _DATES(session, account_id)]
    ids = [next((rule_id for since, rule_id in dates if since <= at), None) for at in instants]
    return [None if rule_id is None else get_version(session, rule_id) for rule_id in ids]


def get_version(session: Session, rule_id: int) -> RuleVersion:
    """The version of this id. Versions are immutable, so the process remembers them (`Database.memory`)."""
    memory = session.info.setdefault("memory", {})
    known: RuleVersion | None = memory.get(("rule", rule_id))
    if known is None:
        known = memory["rule", rule_id] = parse(session.get_one(Rule, rule_id))
    return known
