"""为什么: how a commission came to its amount, or why an order paid a member nothing, in plain Chinese.

The facts come from what the order kept (its lines, uplines and rule), so the answer is the same for ever, whatever
has been rebound or re-ruled since.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import orders, rules
from domain.bindings import display_name
from domain.commissions import FROZEN, SETTLED
from domain.db import Sql, from_db, maybe_from_db
from domain.errors import NotFound
from domain.models import Commission, Grade, Hold, Member, Order, OrderLine
from domain.money import BPS, percent, share, yuan
from domain.rules import RuleVersion, Share, Terms
from domain.texts import Words, day, minute

DEPTH: Final = "depth"
"""Why a member above the rule's depth earned nothing: the plan has no line for them."""
SEARCHED_PURCHASES: Final = 500
"""How many of the account's newest purchases are looked through for one of the member's team: bounds the question."""


# --- the last commissions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A commission as 明细 lists it."""

    commission_id: int
    kind: str
    order_no: str
    level: int
    amount_fen: int
    status: str
    due_at: datetime | None
    settled_at: datetime | None
    created_at: datetime
    held: bool


_RECENT = Sql(
    "SELECT c.id, c.kind, o.order_no, c.level, c.amount_fen - c.clawed_fen AS left_fen, c.amount_fen, c.status,"
    " c.due_at, c.settled_at, c.created_at, h.id AS hold_id FROM member m JOIN commission c ON c.member_id = m.id"
    " LEFT JOIN orders o ON o.id = c.order_id LEFT JOIN hold h ON h.open_key = c.id"
    " WHERE m.account_id = ? AND m.openid = ? ORDER BY c.id DESC LIMIT ?"
)


def recent(session: Session, account_id: int, openid: str, limit: int) -> list[Row]:
    """The last commissions of a follower, newest first. The amount is what is left after refunds, or, when nothing is,
    what it had been."""
    return [
        Row(
            row.id, row.kind, row.order_no or "", row.level, int(row.left_fen or row.amount_fen), row.status,
            maybe_from_db(row.due_at), maybe_from_db(row.settled_at), from_db(row.created_at), row.hold_id is not None,
        )
        for row in _RECENT(session, account_id, openid, limit)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry(Row):
    """A commission as a page lists it. `friend` is whose order, or whose joining, paid it; `friend_id` None for one's
    own or an unknown buyer's."""

    friend_id: int | None
    friend: str


_ENTRIES = (
    "SELECT c.id, c.kind, o.order_no, c.level, c.amount_fen - c.clawed_fen AS left_fen, c.amount_fen, c.status,"
    " c.due_at, c.settled_at, c.created_at, h.id AS hold_id, f.id AS friend_id, f.nickname, f.code"
    " FROM commission c{seek} LEFT JOIN orders o ON o.id = c.order_id LEFT JOIN hold h ON h.open_key = c.id"
    " LEFT JOIN member f ON f.id = COALESCE(o.member_id, c.joined_member_id)"
    " WHERE c.member_id = ? AND c.id < ?{status} ORDER BY c.id DESC LIMIT ?"
)
# MariaDB would walk over all newer commissions to the next page (keyset.py).
_OF_ALL = Sql(
    _ENTRIES.format(seek=" FORCE INDEX (ix_commission_member_id_id)", status=""),
    sqlite=_ENTRIES.format(seek="", status=""),
)
_OF_STATUS = Sql(_ENTRIES.format(seek="", status=" AND c.status = ?"))
_NEWEST: Final = 2**62


def entries(
    session: Session,
    member_id: int,
    *,
    status: str | None = None,
    before_id: int | None = None,
    limit: int = 20,
) -> list[Entry]:
    """A member's commissions, newest first, of one state or all; keyset page before `before_id`."""
    first = _NEWEST if before_id is None else before_id
    if status is None:
        rows = _OF_ALL(session, member_id, first, limit)
    else:
        rows = _OF_STATUS(session, member_id, first, status, limit)
    return [
        Entry(
            row.id, row.kind, row.order_no or "", row.level, int(row.left_fen or row.amount_fen), row.status,
            maybe_from_db(row.due_at), maybe_from_db(row.settled_at), from_db(row.created_at), row.hold_id is not None,
            row.friend_id if row.friend_id != member_id else None,
            "" if row.friend_id is None else display_name(row.nickname, row.code),
        )
        for row in rows
    ]  # fmt: skip


def get(session: Session, member_id: int, commission_id: int) -> Explanation:
    """The facts behind one of the member's commissions; `NotFound` for anybody else's."""
    commission = session.get(Commission, commission_id)
    if commission is None or commission.member_id != member_id:
        raise NotFound("no such commission", commission=commission_id)
    return explain(session, commission)


def row_text(words: Words, number: int, row: Row) -> str:
    """Two lines of 明细."""
    values = {
        "n": number,
        "amount": yuan(row.amount_fen),
        "state": _state(words, row.status, row.due_at, row.settled_at, row.held),
        "date": day(row.created_at),
    }
    if row.kind == "registration":
        return words("commissions.registration_row", **values)
    level = words(f"level.{row.level}")
    return words("commissions.row", level=level, order_no=row.order_no, **values)


def state_text(words: Words, row: Row) -> str:
    """The state of a listed commission, with the date that matters to its owner."""
    return _state(words, row.status, row.due_at, row.settled_at, row.held)


def _state(
    words: Words, status: str, due_at: datetime | None, settled_at: datetime | None, held: bool
) -> str:
    """The state with the date that matters to its owner."""
    if status == SETTLED and settled_at is not None:
        return words("commissions.settled_on", date=day(settled_at))
    if status != FROZEN:
        return words(f"state.{status}")
    if held:
        return words("commissions.held")
    if due_at is None:
        return words("commissions.frozen_open")
    return words("commissions.frozen_until", date=day(due_at))


# --- why this amount ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything a commission's amount follows from. `bound_at`: when the buyer was bound, as the order kept it;
    `own`: the earner is the buyer; `product_terms`: the product's rates went before the rule's; `grade`: the name of
    the earner's grade, if it had rates of its own; `cap_fen`: what the rule allows one commission; `review`: the last
    hold."""

    commission_id: int
    kind: str
    level: int
    base_fen: int
    rate_bps: int
    share_bps: int
    amount_fen: int
    clawed_fen: int
    status: str
    due_at: datetime | None
    settled_at: datetime | None
    held: bool
    friend: str
    own: bool = False
    order_no: str = ""
    title: str = ""
    paid_at: datetime | None = None
    bound_at: datetime | None = None
    rule_id: int | None = None
    rule_effective_at: datetime | None = None
    product_terms: bool = False
    grade: str = ""
    cap_fen: int = 0
    review: Hold | None = None

    @property
    def is_capped(self) -> bool:
        """Whether the rule's cap made the amount smaller."""
        whole = share(self.base_fen, self.rate_bps, self.share_bps)
        return 0 < self.cap_fen == self.amount_fen < whole

    @property
    def exact_yuan(self) -> str:
        """The product before rounding: "2.997"."""
        exact = Decimal(self.base_fen * self.rate_bps * self.share_bps) / (BPS * BPS * 100)
        text = f"{exact:f}"
        whole, _, digits = text.partition(".")
        return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"

    @property
    def is_rounded(self) -> bool:
        return bool(self.base_fen * self.rate_bps * self.share_bps % (BPS * BPS))


def explain(session: Session, commission: Commission) -> Explanation:
    """The facts behind a commission."""
    last_hold = select(Hold).where(Hold.commission_id == commission.id).order_by(Hold.id.desc())
    review = session.scalar(last_hold.limit(1))
    base: dict[str, Any] = {
        "commission_id": commission.id,
        "kind": commission.kind,
        "level": commission.level,
        "base_fen": commission.base_fen,
        "rate_bps": commission.rate_bps,
        "share_bps": commission.share_bps,
        "amount_fen": commission.amount_fen,
        "clawed_fen": commission.clawed_fen,
        "status": commission.status,
        "due_at": commission.due_at,
        "settled_at": commission.settled_at,
        "held": review is not None and review.open_key is not None,
        "review": review,
    }
    if commission.order_id is None:
        friend = _name(session, commission.joined_member_id)
        return Explanation(**base, friend=friend)
    return Explanation(**base, **_of_order(session, commission))


def _of_order(session: Session, commission: Commission) -> dict[str, Any]:
    order = session.get_one(Order, commission.order_id)
    line = session.get_one(OrderLine, (order.id, commission.line_no))
    rule = None if order.rule_id is None else rules.get_version(session, order.rule_id)
    return {
        "friend": _name(session, order.member_id),
        "own": order.member_id == commission.member_id,
        "order_no": order.order_no,
        "title": line.title,
        "paid_at": order.paid_at,
        "bound_at": _bound_at(order),
        "rule_id": order.rule_id,
        "rule_effective_at": None if rule is None else rule.effective_at,
        "product_terms": line.terms is not None,
        "grade": _grade_with_rates(session, order, line, rule, commission.member_id),
        "cap_fen": 0 if rule is None else rule.cap_fen,
    }


def _grade_with_rates(
    session: Session, order: Order, line: OrderLine, rule: RuleVersion | None, member_id: int
) -> str:
    """The name of the earner's grade at that time, if the terms that paid had rates for it; else ""."""
    chain = [orders.own_in(order.uplines, order.member_id), *orders.uplines_in(order.uplines)]
    code = next((one.grade for one in chain if one and one.member_id == member_id), "")
    if line.terms is not None:
        graded = {name for name, _ in Terms.from_value(json.loads(line.terms)).grades}
    else:
        graded = set() if rule is None else set(rule.grades)
    if code not in graded:
        return ""
    name = select(Grade.name).where(Grade.account_id == order.account_id, Grade.code == code)
    return session.scalar(name) or code


def _name(session: Session, member_id: int | None) -> str:
    member = None if member_id is None else session.get(Member, member_id)
    return "" if member is None else display_name(member.nickname, member.code)


def _bound_at(order: Order) -> datetime | None:
    stored = json.loads(order.uplines)["bound_at"] if order.uplines else None
    return None if stored is None else datetime.fromisoformat(stored)


def text_of(words: Words, facts: Explanation) -> str:
    """The explanation in short lines."""
    level = words(f"level.{facts.level}")
    if facts.kind == "registration":
        lines = [words("why.registration", friend=facts.friend, amount=yuan(facts.amount_fen))]
    else:
        lines = [
            words("why.head", level=level, amount=yuan(facts.amount_fen)),
            words(
                "why.order",
                order_no=facts.order_no,
                title=facts.title,
                paid_at=_date(words, facts.paid_at),
            ),
            _buyer_line(words, facts, level),
            _rate_line(words, facts, level),
            words("why.sum", base=yuan(facts.base_fen), rate=_rate(facts), exact=facts.exact_yuan),
        ]
        if facts.is_capped:
            amount = yuan(facts.amount_fen)
            lines.append(words("why.capped", cap=yuan(facts.cap_fen), amount=amount))
        elif facts.is_rounded:
            lines.append(words("why.rounded", amount=yuan(facts.amount_fen)))
    lines += _changes(words, facts)
    state = _state(words, facts.status, facts.due_at, facts.settled_at, facts.held)
    lines.append(words("why.state", state=state))
    return "\n".join(lines)


def _changes(words: Words, facts: Explanation) -> list[str]:
    """What made it less, or makes it wait."""
    review = facts.review
    if review is not None and review.outcome == "refused":
        return [words("why.refused", reason=review.note or "")]
    if review is not None and review.open_key is not None:
        kind = review.reason.removeprefix("risk-")
        reason = words(f"risk.{kind}") if review.signal_id is not None else review.reason
        return [words("why.held", reason=reason, until=words.by(review.expires_at))]
    if not facts.clawed_fen:
        return []
    if facts.kind == "registration":
        late = facts.status == "clawed_back"
        return [words("why.left_settled" if late else "why.left", friend=facts.friend)]
    kept = yuan(facts.amount_fen - facts.clawed_fen)
    return [words("why.taken", taken=yuan(facts.clawed_fen), kept=kept)]


def _buyer_line(words: Words, facts: Explanation, level: str) -> str:
    if facts.own:
        return words("why.own")
    return words(
        "why.buyer", friend=facts.friend, level=level, bound_at=_date(words, facts.bound_at)
    )


def _rate_line(words: Words, facts: Explanation, level: str) -> str:
    rate = percent(facts.rate_bps)
    if facts.product_terms:
        line = words("why.product", level=level, rate=rate)
    else:
        effective_at = _date(words, facts.rule_effective_at)
        rule = facts.rule_id or 0
        line = words("why.rule", effective_at=effective_at, rule=rule, level=level, rate=rate)
    if facts.share_bps != BPS:
        line = words("why.share", pool=line, level=level, part=percent(facts.share_bps))
    if facts.grade:
        line += "\n" + words("why.grade", grade=facts.grade)
    return line


def _rate(facts: Explanation) -> str:
    if facts.share_bps == BPS:
        return percent(facts.rate_bps)
    return f"{percent(facts.rate_bps)} × {percent(facts.share_bps)}"


def _date(words: Words, instant: datetime | None) -> str:
    return words("date.unknown") if instant is None else minute(instant)


# --- why nothing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why one line of an order paid a member nothing. `level` is None for somebody the order does not know."""

    reason: str
    level: int | None = None
    base_fen: int = 0
    rate_bps: int = 0


def nothing_for(session: Session, order: Order, member_id: int) -> list[Nothing]:
    """Why this order paid the member nothing: each different reason once; empty when it did pay."""
    rule = None if order.rule_id is None else rules.get_version(session, order.rule_id)
    if rule is None:
        return [Nothing(rules.NO_RULE)]
    level = _level_in(order, rule, member_id)
    if level is None:
        return [Nothing(rules.NO_UPLINE)]
    if level > rule.depth:
        return [Nothing(DEPTH, level)]
    lines = orders.lines_of(session, order.id)
    shares = [one for one in orders.shares_of(session, order, lines) if one.level == level]
    if any(one.member_id == member_id for one in shares):
        return []
    unique: dict[str, Share] = {}
    for one in shares:
        unique.setdefault(one.nobody, one)
    return [
        Nothing(one.nobody, level, one.base_fen, one.rate_bps * one.share_bps // BPS)
        for one in unique.values()
    ]


def _level_in(order: Order, rule: RuleVersion, member_id: int) -> int | None:
    """At which level the order saw the member; with self-purchase the buyer is level 1 and the others move down."""
    if rule.self_purchase and order.member_id == member_id:
        return 1
    for upline in orders.uplines_in(order.uplines):
        if upline.member_id == member_id:
            return upline.level + (1 if rule.self_purchase else 0)
    return None


def nothing_text(words: Words, order: Order, reasons: list[Nothing]) -> str:
    """The reasons in short lines."""
    head = words(
        "why.none_head",
        order_no=order.order_no,
        paid_at=_date(words, order.paid_at),
        paid=yuan(order.paid_fen),
    )
    lines = [
        words(
            f"nobody.{one.reason}",
            **{
                "level": words(f"level.{one.level}") if one.level in {1, 2, 3} else "",
                "base": yuan(one.base_fen),
                "rate": percent(one.rate_bps),
            },
        )
        for one in reasons
    ]
    return "\n".join([head, *lines])


# --- what the chat asks ---------------------------------------------------------------------------------------------

_NEWEST_OF_TEAM = Sql(
    "SELECT p.detail FROM (SELECT member_id, detail, at FROM event WHERE account_id = ? AND kind = 'buy'"
    " ORDER BY at DESC LIMIT ?) p JOIN relation r ON r.descendant_id = p.member_id AND r.level <= 3"
    " AND r.ancestor_id = ? ORDER BY p.at DESC LIMIT 1"
)


def newest(session: Session, account_id: int, openid: str, words: Words) -> str:
    """Why the newest order of the member's team paid what it paid, or nothing; without one, why the newest commission
    is what it is."""
    member = session.scalar(
        select(Member).where(Member.account_id == account_id, Member.openid == openid)
    )
    if member is None:
        return words("why.nothing")
    mine = select(Commission).where(Commission.member_id == member.id)
    found = _NEWEST_OF_TEAM(session, account_id, SEARCHED_PURCHASES, member.id).first()
    if found is not None:
        order = orders.get(session, account_id, found.detail)
        mine_of_it = mine.where(Commission.order_id == order.id).order_by(Commission.line_no)
        commission = session.scalars(mine_of_it.limit(1)).first()
        if commission is None:
            return nothing_text(words, order, nothing_for(session, order, member.id))
        return text_of(words, explain(session, commission))
    commission = session.scalars(mine.order_by(Commission.id.desc()).limit(1)).first()
    return (
        words("why.nothing") if commission is None else text_of(words, explain(session, commission))
    )


def numbered(
    session: Session, account_id: int, openid: str, number: int, limit: int, words: Words
) -> str | None:
    """Why the `number`th commission of 明细 is what it is; None when the list has none of that number."""
    rows = recent(session, account_id, openid, limit)
    if not 1 <= number <= len(rows):
        return None
    commission = session.get_one(Commission, rows[number - 1].commission_id)
    return text_of(words, explain(session, commission))
