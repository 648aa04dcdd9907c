"""The proof of the books and of the tree, from the rows alone (money.md 2.2). Nothing here repairs money.

`ledger_check` reads one snapshot in chunks and keeps no more than a chunk in memory; `members_check` compares the
closure and the figures with what `referrer_id`, orders and commissions say; repair.py rebuilds those two, which are
derived.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session, aliased

from domain import ledger, registrations
from domain.bindings import closure_of
from domain.commissions import left_after_refund
from domain.db import Sql
from domain.models import (
    Balance,
    Clawback,
    Commission,
    Hold,
    ImportedRow,
    Member,
    Order,
    Posting,
    Refund,
    RefundLine,
    Rule,
    Withdrawal,
)
from domain.orders import own_in, plan_lines, uplines_in
from domain.rules import RuleVersion, Share, earners_of, get_version, plan
from domain.tally import COLUMNS, Figures

CHUNK: Final = 1000
POSTINGS_AT_ONCE: Final = 50_000
"""Counted in the server, so a piece can be larger than what is fetched."""
SHOWN: Final = 100
"""Differences that a report names; it counts all of them."""

LEGAL_MOVES: Final = frozenset(
    {
        ("accrue", ledger.COMMISSION, ledger.FROZEN),
        ("settle", ledger.FROZEN, ledger.AVAILABLE),
        ("void", ledger.FROZEN, ledger.COMMISSION),
        ("refuse", ledger.FROZEN, ledger.COMMISSION),
        ("left", ledger.FROZEN, ledger.COMMISSION),
        ("left", ledger.AVAILABLE, ledger.COMMISSION),
        ("clawback", ledger.AVAILABLE, ledger.COMMISSION),
        ("absorb", ledger.COMMISSION, ledger.AVAILABLE),
        ("hold", ledger.AVAILABLE, ledger.WITHDRAWING),
        ("back", ledger.WITHDRAWING, ledger.AVAILABLE),
        ("paid", ledger.WITHDRAWING, ledger.CASH),
        ("fee", ledger.WITHDRAWING, ledger.FEE),
        ("tax", ledger.WITHDRAWING, ledger.TAX),
        ("opening", ledger.ADJUST, ledger.AVAILABLE),
        ("opening", ledger.AVAILABLE, ledger.ADJUST),  # somebody came with a debt
    }
)


@dataclass(slots=True)
class Report:
    """What was read and what does not agree; `ok` when nothing differs."""

    counts: dict[str, int] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)
    difference_count: int = 0

    @property
    def ok(self) -> bool:
        return self.difference_count == 0

    def differs(self, check: str, subject: str, expected: Any, found: Any) -> None:
        self.difference_count += 1
        if len(self.differences) < SHOWN:
            row = {"check": check, "subject": subject, "expected": expected, "found": found}
            self.differences.append(row)

    def compare(self, check: str, subject: str, expected: Any, found: Any) -> None:
        if expected != found:
            self.differs(check, subject, expected, found)

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def as_value(self) -> dict[str, Any]:
        """For JSON: {"ok", "postings", …, "difference_count", "differences"}."""
        return {
            "ok": self.ok,
            **self.counts,
            "difference_count": self.difference_count,
            "differences": self.differences,
        }


Progress = Callable[[str, int], None]


def silent(_what: str, _done: int) -> None:
    """Nobody watches: the progress of a run that shows none."""


# --- the books ------------------------------------------------------------------------------------------------------


def ledger_check(session: Session, progress: Progress = silent) -> Report:
    """Prove the books: legal postings, each with its cause; balances and frozen money equal their postings; every paid
    order has exactly the commissions of its plan and the refunds it was reported; every commission has its notice.

    `session` should be a snapshot (`Database.snapshot`). `progress(what, done)` is called after each chunk.
    """
    report = Report(counts={"postings": 0, "orders": 0, "commissions": 0, "members": 0})
    posted = _check_postings(session, report, progress)
    _check_balances(session, report, progress)
    _check_orders(session, report, progress)
    _check_registrations(session, report, progress)
    _check_withdrawals(session, report, progress)
    _check_causes(session, report, posted)
    _check_absorbed(session, report)
    return report


def _chunks(session: Session, column: Any, size: int | None = None) -> Iterator[tuple[int, int]]:
    """(above, up to) ranges of an id column, each of `size` rows (else CHUNK), in order."""
    above, size = 0, size or CHUNK
    while True:
        ids = (
            select(column.label("id")).where(column > above).order_by(column).limit(size).subquery()
        )
        last = session.scalar(select(func.max(ids.c.id)))
        if last is None:
            return
        yield above, last
        above = last


def _check_postings(session: Session, report: Report, progress: Progress) -> dict[str, int]:
    """Only legal moves of positive amounts; how many postings each reason has."""
    posted: dict[str, int] = defaultdict(int)
    moves: dict[tuple[str, str, str], tuple[int, int]] = {}
    kinds = (Posting.reason, Posting.source, Posting.destination)
    query = select(*kinds, func.count(), func.min(Posting.amount_fen)).group_by(*kinds)
    # In pieces: to group all of them at once, SQLite sorts them all in memory.
    for above, last in _chunks(session, Posting.id, POSTINGS_AT_ONCE):
        for *kind, number, smallest in session.execute(_between(query, Posting.id, above, last)):
            before, least = moves.get(move := tuple(kind), (0, smallest))
            moves[move] = before + number, min(least, smallest)
            report.count("postings", number)
        progress("postings", report.counts["postings"])
    for (reason, source, destination), (number, smallest) in sorted(moves.items()):
        posted[reason] += number
        if (reason, source, destination) not in LEGAL_MOVES:
            name = f"{reason}: {source} to {destination}"
            report.differs("legal_postings", name, "no such posting", f"{number} postings")
        if smallest <= 0:
            report.differs("positive_postings", reason, "amounts above zero", smallest)
    return posted


def _check_balances(session: Session, report: Report, progress: Progress) -> None:
    """Per member: the balance row and the frozen commissions equal the sums of the postings."""

    def flow(bucket: str) -> Any:
        signed = case(
            (Posting.destination == bucket, Posting.amount_fen),
            (Posting.source == bucket, -Posting.amount_fen),
            else_=0,
        )
        return func.sum(signed)

    flows = [flow(bucket) for bucket in (ledger.AVAILABLE, ledger.WITHDRAWING, ledger.FROZEN)]
    for above, last in _chunks(session, Member.id):
        found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        balances = select(Balance.member_id, Balance.available_fen, Balance.withdrawing_fen)
        for member_id, available, withdrawing in session.execute(
            _between(balances, Balance.member_id, above, last)
        ):
            found[member_id][:2] = [available, withdrawing]
        left = func.sum(Commission.amount_fen - Commission.clawed_fen)
        frozen = select(Commission.member_id, left).where(Commission.status == "frozen")
        query = _between(frozen, Commission.member_id, above, last).group_by(Commission.member_id)
        for member_id, amount_fen in session.execute(query):
            found[member_id][2] = int(amount_fen)
        posted: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        sums = _between(select(Posting.member_id, *flows), Posting.member_id, above, last)
        for member_id, *amounts in session.execute(sums.group_by(Posting.member_id)):
            posted[member_id] = [int(amount) for amount in amounts]
        for member_id in sorted(found.keys() | posted.keys()):
            names = ("available", "withdrawing", "frozen")
            expected = dict(zip(names, posted[member_id], strict=True))
            report.compare(
                "balances",
                f"member/{member_id}",
                expected,
                dict(zip(names, found[member_id], strict=True)),
            )
        report.count("members", len(found.keys() | posted.keys()))
        progress("members", report.counts["members"])
    for table, name in ((Posting, "postings"), (Balance, "balances")):
        orphans = select(func.count()).select_from(table)
        orphans = orphans.where(~select(Member.id).where(Member.id == table.member_id).exists())
        report.compare("balances", f"{name} without a member", 0, session.scalar(orphans))


def _between(query: Any, column: Any, above: int, last: int) -> Any:
    return query.where(column > above, column <= last)


# Plain rows: as objects of the ORM, a million postings took minutes.
_ORDERS = Sql(
    "SELECT id, order_no, status, member_id, rule_id, uplines, paid_fen, refunded_fen, shipping_refunded_fen"
    " FROM orders WHERE id > ? AND id <= ?"
)
_LINES = Sql(
    "SELECT order_id, line_no, paid_fen, refunded_fen, terms FROM order_line"
    " WHERE order_id > ? AND order_id <= ?"
)
# With its postings and its notice, found by their keys in the server: fetched as rows of their own they cost three
# times as much as all the rest.
_COMMISSION = (
    "SELECT c.id, c.order_id, c.line_no, c.level, c.member_id, c.base_fen, c.rate_bps, c.share_bps, c.amount_fen,"
    " c.clawed_fen, c.status, a.member_id AS accrued_to, a.amount_fen AS accrued_fen, s.member_id AS settled_to,"
    " s.amount_fen AS settled_fen, n.id AS notice_id FROM commission c"
    " LEFT JOIN posting a ON a.posting_key = {accrued} LEFT JOIN posting s ON s.posting_key = {settled}"
    " LEFT JOIN notice n ON n.notice_key = {told} WHERE c.order_id > ? AND c.order_id <= ?"
)


def _key_text(*parts: str) -> str:
    """A key made of columns and words, as MariaDB can look it up: in the charset and collation of key columns."""
    return f"CONVERT(CONCAT({', '.join(parts)}) USING ascii) COLLATE ascii_bin"


_COMMISSIONS = Sql(
    _COMMISSION.format(
        accrued=_key_text("'accrue-'", "c.order_id", "'-'", "c.line_no", "'-'", "c.level"),
        settled=_key_text("'settle-'", "c.id"),
        told=_key_text("'accrued-'", "c.order_id", "'-'", "c.member_id"),
    ),
    sqlite=_COMMISSION.format(
        accrued="'accrue-' || c.order_id || '-' || c.line_no || '-' || c.level",
        settled="'settle-' || c.id",
        told="'accrued-' || c.order_id || '-' || c.member_id",
    ),
)
_TAKEN = Sql(
    "SELECT b.refund_id, b.commission_id, b.amount_fen, b.from_bucket"
    " FROM clawback b JOIN commission c ON c.id = b.commission_id WHERE c.order_id > ? AND c.order_id <= ?"
)
_POSTINGS = Sql("SELECT posting_key, member_id, amount_fen FROM posting WHERE posting_key IN (??)")
_NOTICES = Sql("SELECT notice_key FROM notice WHERE notice_key IN (??)")


def _check_orders(session: Session, report: Report, progress: Progress) -> None:
    rule_ids = set(session.scalars(select(Rule.id)))
    for above, last in _chunks(session, Order.id):
        orders = _ORDERS(session, above, last).all()
        lines = _by(_LINES(session, above, last), "order_id")
        rows = _by(_COMMISSIONS(session, above, last), "order_id")
        taken = _by(_TAKEN(session, above, last), "commission_id")
        posted = _postings_by_key(session, [_key(one) for group in taken.values() for one in group])
        refunded_by = _refunded(session, above, last)
        refused = _refused(session, [row for group in rows.values() for row in group])
        for order in orders:
            version = _version(session, report, order, rule_ids)
            _check_order(report, order, version, lines.get(order.id, []), rows.get(order.id, []))
            _check_refunds(report, order, lines.get(order.id, []), refunded_by)
        for group in rows.values():
            for row in group:
                refunded = {
                    line.line_no: line.refunded_fen for line in lines.get(row.order_id or 0, [])
                }
                gone = taken.get(row.id, [])
                _check_commission(report, row, refunded, gone, posted, refused.get(row.id))
        report.count("orders", len(orders))
        report.count("commissions", sum(len(group) for group in rows.values()))
        progress("orders", report.counts["orders"])
    report.compare(
        "plan", "commissions without an order", 0,
        session.scalar(
            select(func.count()).select_from(Commission).where(
                Commission.kind == "order", ~select(Order.id).where(Order.id == Commission.order_id).exists()
            )
        ),
    )  # fmt: skip


def _by(rows: Iterable[Any], attribute: str) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, attribute)].append(row)
    return groups


def _check_order(
    report: Report,
    order: Any,
    version: RuleVersion | None,
    lines: Sequence[Any],
    rows: Sequence[Any],
) -> None:
    """The order's amounts are those of its lines, and its commissions those of the plan of its snapshot."""
    name = f"order/{order.order_no}"
    amounts = sum(line.paid_fen for line in lines), sum(line.refunded_fen for line in lines)
    report.compare("order_lines", name, amounts, (order.paid_fen, order.refunded_fen))
    expected: list[Share] = []
    if order.member_id is not None and order.status in {"paid", "completed"}:
        own = own_in(order.uplines, order.member_id)
        shares = plan(version, order.member_id, uplines_in(order.uplines), plan_lines(lines), own)
        expected = [one for _, one in earners_of(shares)]
    planned = sorted(
        (s.line_no, s.level, s.member_id, s.base_fen, s.rate_bps, s.share_bps, s.amount_fen)
        for s in expected
    )
    stored = sorted(
        (c.line_no or 0, c.level, c.member_id, c.base_fen, c.rate_bps, c.share_bps, c.amount_fen)
        for c in rows
    )
    report.compare("plan", name, planned, stored)


def _version(
    session: Session, report: Report, order: Any, rule_ids: set[int]
) -> RuleVersion | None:
    """The rule of the order; None, and a difference, when there is no such rule."""
    if order.rule_id is None:
        return None
    if order.rule_id not in rule_ids:
        report.differs("plan", f"order/{order.order_no}", f"rule/{order.rule_id}", None)
        return None
    return get_version(session, order.rule_id)


def _refunded(
    session: Session, above: int, last: int
) -> dict[tuple[int, int | None], tuple[int, int]]:
    """What applied refunds say: (goods, shipping) by (order, None), and (fen, 0) by (order, line)."""
    applied = Refund.status == "applied"
    found: dict[tuple[int, int | None], tuple[int, int]] = defaultdict(lambda: (0, 0))
    whole = select(
        Refund.order_id, func.sum(Refund.goods_fen), func.sum(Refund.shipping_refund_fen)
    )
    query = _between(whole.where(applied), Refund.order_id, above, last).group_by(Refund.order_id)
    for order_id, goods_fen, shipping_fen in session.execute(query):
        found[order_id, None] = int(goods_fen), int(shipping_fen)
    lines = select(Refund.order_id, RefundLine.line_no, func.sum(RefundLine.refund_fen))
    lines = lines.join(RefundLine, RefundLine.refund_id == Refund.id).where(applied)
    query = _between(lines, Refund.order_id, above, last).group_by(
        Refund.order_id, RefundLine.line_no
    )
    for order_id, line_no, refund_fen in session.execute(query):
        found[order_id, line_no] = int(refund_fen), 0
    return found


def _check_refunds(
    report: Report,
    order: Any,
    lines: Sequence[Any],
    refunded: dict[tuple[int, int | None], tuple[int, int]],
) -> None:
    """What the order says was refunded is what its refunds say, in all and line by line."""
    name = f"order/{order.order_no}"
    stored = order.refunded_fen, order.shipping_refunded_fen
    report.compare("order_refunds", name, refunded[order.id, None], stored)
    for line in lines:
        expected, _ = refunded[order.id, line.line_no]
        report.compare("order_refunds", f"{name} line {line.line_no}", expected, line.refunded_fen)


def _key(taken: Any) -> str:
    verb = "void" if taken.from_bucket == ledger.FROZEN else "clawback"
    return f"{verb}-{taken.refund_id}-{taken.commission_id}"


def _postings_by_key(session: Session, keys: Sequence[str]) -> dict[str, tuple[int, int]]:
    """(member, amount) of the postings that are there, by key."""
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(keys), CHUNK):
        for key, member_id, amount in _POSTINGS.among(session, (), keys[start : start + CHUNK]):
            found[key] = member_id, amount
    return found


def _refused(session: Session, rows: Sequence[Any]) -> dict[int, int]:
    """What a person's refusal took from each of these commissions, from the postings of its hold; 0 when that posting
    is missing."""
    voided = [row.id for row in rows if row.status == "voided"]
    holds: dict[str, int] = {}
    for start in range(0, len(voided), CHUNK):
        query = select(Hold.id, Hold.commission_id).where(
            Hold.commission_id.in_(voided[start : start + CHUNK]), Hold.outcome == "refused"
        )
        holds |= {f"refuse-{hold_id}": commission for hold_id, commission in session.execute(query)}
    found = _postings_by_key(session, sorted(holds))
    return {commission: found.get(key, (0, 0))[1] for key, commission in holds.items()}


def _check_commission(
    report: Report,
    row: Any,
    refunded: dict[int, int],
    taken: Sequence[Any],
    posted: dict[str, tuple[int, int]],
    refused: int | None,
) -> None:
    """Accrued and settled once with the right amounts, told, and reduced by exactly what its refunds ask, or a
    refusal."""
    name = f"commission/{row.id}"
    accrued = None if row.accrued_to is None else (row.accrued_to, row.accrued_fen)
    settled = None if row.settled_to is None else (row.settled_to, row.settled_fen)
    report.compare("accrual", name, (row.member_id, row.amount_fen), accrued)
    voided = sum(one.amount_fen for one in taken if one.from_bucket == ledger.FROZEN)
    left = left_after_refund(row, refunded.get(row.line_no or 0, 0))
    if refused is not None:
        left = 0
    report.compare("refunds", name, row.amount_fen - left, row.clawed_fen)
    all_taken = sum(one.amount_fen for one in taken) + (refused or 0)
    report.compare("clawbacks", name, row.clawed_fen, all_taken)
    for one in taken:
        report.compare("clawbacks", name, (row.member_id, one.amount_fen), posted.get(_key(one)))
    expected = None
    if row.status in {"settled", "clawed_back"}:
        expected = row.member_id, row.amount_fen - voided
    report.compare("settlement", name, expected, settled)
    gone = {"frozen": "voided", "settled": "clawed_back"}
    alive = {"voided": "frozen", "clawed_back": "settled"}.get(row.status, row.status)
    report.compare("status", name, alive if left else gone[alive], row.status)
    if row.notice_id is None:
        report.differs("notices", f"accrued-{row.order_id}-{row.member_id}", "a notice", None)


def _check_told(session: Session, report: Report, keys: set[str]) -> None:
    wanted = sorted(keys)
    known: set[str] = set()
    for start in range(0, len(wanted), CHUNK):
        found = _NOTICES.among(session, (), wanted[start : start + CHUNK])
        known.update(row.notice_key for row in found)
    for key in wanted:
        if key not in known:
            report.differs("notices", key, "a notice", None)


def _check_registrations(session: Session, report: Report, progress: Progress) -> None:
    """Every registration reward was for a friend, once, told, and has exactly the postings of its state."""
    report.counts.setdefault("registrations", 0)
    for above, last in _chunks(session, Commission.joined_member_id):
        chunk = _between(select(Commission), Commission.joined_member_id, above, last)
        rows = list(session.scalars(chunk))
        refused = _refused(session, rows)
        keys = [key for row in rows for key in _registration_keys(row)]
        posted = _postings_by_key(session, keys)
        wanted = {f"registration-{row.member_id}-{row.joined_member_id}" for row in rows}
        _check_told(session, report, wanted)
        for row in rows:
            accrue, settle, void, clawback = _registration_keys(row)
            name, whole = f"commission/{row.id}", (row.member_id, row.amount_fen)
            settled = row.status in {"settled", "clawed_back"}
            left_early = row.status == "voided" and row.id not in refused
            left_late = row.status == "clawed_back"
            report.compare("accrual", name, whole, posted.get(accrue))
            report.compare("settlement", name, whole if settled else None, posted.get(settle))
            report.compare("registration", name, whole if left_early else None, posted.get(void))
            report.compare("registration", name, whole if left_late else None, posted.get(clawback))
            if row.id in refused:
                report.compare("registration", name, row.amount_fen, refused[row.id])
            shape = (row.kind, row.level, row.order_id, row.clawed_fen)
            taken = row.amount_fen if row.status in {"voided", "clawed_back"} else 0
            report.compare("registration", name, ("registration", 1, None, taken), shape)
        report.count("registrations", len(rows))
        session.expunge_all()
        progress("registrations", report.counts["registrations"])


def _registration_keys(row: Commission) -> tuple[str, str, str, str]:
    accrue = registrations.accrual_key(row.member_id, row.joined_member_id or 0)
    taken = registrations.void_key(row.id), registrations.clawback_key(row.id)
    return accrue, f"settle-{row.id}", *taken


_WITHDRAWAL_POSTINGS: Final = {
    "requested": ("hold",),
    "approved": ("hold",),
    "paying": ("hold",),
    "rejected": ("hold", "back"),
    "failed": ("hold", "back"),
    "paid": ("hold", "paid", "fee", "tax"),
}


def _check_withdrawals(session: Session, report: Report, progress: Progress) -> None:
    """Every withdrawal has exactly the postings of its state, and nobody else's money moved under its name."""
    report.counts.setdefault("withdrawals", 0)
    for above, last in _chunks(session, Withdrawal.id):
        rows = list(session.scalars(_between(select(Withdrawal), Withdrawal.id, above, last)))
        keys = [
            f"{step}-{row.id}" for row in rows for step in ("hold", "back", "paid", "fee", "tax")
        ]
        found = _postings_by_key(session, keys)
        for row in rows:
            parts = {
                "hold": row.amount_fen,
                "back": row.amount_fen,
                "fee": row.fee_fen,
                "tax": row.tax_fen,
            }
            parts["paid"] = row.amount_fen - row.fee_fen - row.tax_fen
            steps = _WITHDRAWAL_POSTINGS[row.status]
            for step, amount_fen in parts.items():
                expected = (row.member_id, amount_fen) if step in steps and amount_fen else None
                report.compare(
                    "withdrawals", f"{step}-{row.id}", expected, found.get(f"{step}-{row.id}")
                )
        report.count("withdrawals", len(rows))
        progress("withdrawals", report.counts["withdrawals"])


def _check_causes(session: Session, report: Report, posted: dict[str, int]) -> None:
    """No posting without its cause. That every cause has its posting was shown by key, so equal numbers are enough."""
    commissions = select(func.count()).select_from(Commission)
    clawbacks = select(func.count()).select_from(Clawback)
    withdrawals = select(func.count()).select_from(Withdrawal)
    paid = withdrawals.where(Withdrawal.status == "paid")
    refused = select(func.count()).select_from(Hold).where(Hold.outcome == "refused")
    refused_here = select(Hold.id).where(
        Hold.commission_id == Commission.id, Hold.outcome == "refused"
    )
    left = commissions.where(
        Commission.kind == "registration",
        Commission.status.in_(["voided", "clawed_back"]),
        ~refused_here.exists(),
    )
    balances = select(func.count()).select_from(ImportedRow).where(ImportedRow.kind == "balance")
    for reason, query in (
        ("accrue", commissions),
        ("settle", commissions.where(Commission.status.in_(["settled", "clawed_back"]))),
        ("void", clawbacks.where(Clawback.from_bucket == ledger.FROZEN)),
        ("clawback", clawbacks.where(Clawback.from_bucket == ledger.AVAILABLE)),
        ("hold", withdrawals),
        ("back", withdrawals.where(Withdrawal.status.in_(["rejected", "failed"]))),
        ("paid", paid),
        ("fee", paid.where(Withdrawal.fee_fen > 0)),
        ("tax", paid.where(Withdrawal.tax_fen > 0)),
        ("refuse", refused),
        ("left", left),
        ("opening", balances),
    ):
        found = posted.get(reason, 0)
        report.compare("causes", f"postings of {reason}", session.scalar(query), found)


def _check_absorbed(session: Session, report: Report) -> None:
    """What the merchant gave up belongs to a refund or to a friend who left, and is no more than that took from the
    member."""
    absorbed = {
        row.posting_key: (row.member_id, row.amount_fen)
        for row in session.execute(
            select(Posting.posting_key, Posting.member_id, Posting.amount_fen).where(Posting.reason == "absorb")
        )
    }  # fmt: skip
    keys = list(absorbed)
    clawed: dict[str, int] = {}
    for start in range(0, len(keys), CHUNK):
        refund_ids = {key.split("-")[1] for key in keys[start : start + CHUNK]}
        query = (
            select(Clawback.refund_id, Commission.member_id, func.sum(Clawback.amount_fen))
            .join(Commission, Commission.id == Clawback.commission_id)
            .where(
                Clawback.from_bucket == ledger.AVAILABLE,
                Clawback.refund_id.in_(int(one) for one in refund_ids if one.isdigit()),
            )
            .group_by(Clawback.refund_id, Commission.member_id)
        )
        for refund_id, member_id, amount in session.execute(query):
            clawed[f"absorb-{refund_id}-{member_id}"] = int(amount)
        clawed |= _taken_rewards(session, keys[start : start + CHUNK])
    for key, (member_id, amount_fen) in absorbed.items():
        most = clawed.get(key, 0) if key.endswith(f"-{member_id}") else 0
        if amount_fen > most:
            report.differs("absorbed", key, f"at most {most}", amount_fen)


def _taken_rewards(session: Session, absorbed: Sequence[str]) -> dict[str, int]:
    """What was taken of the settled registration rewards that these keys name, by key."""
    kind = "absorb-registration-"
    ids = [key.removeprefix(kind).split("-")[0] for key in absorbed if key.startswith(kind)]
    query = select(Commission.id, Commission.member_id, Commission.clawed_fen).where(
        Commission.id.in_(int(one) for one in ids if one.isdigit()),
        Commission.status == "clawed_back",
    )
    return {f"{kind}{one.id}-{one.member_id}": one.clawed_fen for one in session.execute(query)}


# --- the tree -------------------------------------------------------------------------------------------------------

_TRUE_PEOPLE = Sql(
    "SELECT r.ancestor_id AS member_id, r.level, COUNT(*), SUM(m.following),"
    " SUM(CASE WHEN m.first_paid_at IS NULL THEN 0 ELSE 1 END)"
    " FROM relation r JOIN member m ON m.id = r.descendant_id"
    " WHERE r.ancestor_id > ? AND r.ancestor_id <= ? GROUP BY r.ancestor_id, r.level"
)
_TRUE_EARNINGS = Sql(
    "SELECT member_id, level, SUM(amount_fen - clawed_fen),"
    " SUM(CASE WHEN status = 'frozen' THEN amount_fen - clawed_fen ELSE 0 END)"
    " FROM commission WHERE member_id > ? AND member_id <= ? GROUP BY member_id, level"
)
_TALLY_SUMS = ", ".join(f"SUM({column})" for column in COLUMNS)
_FIGURES = Sql(
    f"SELECT member_id, level, {_TALLY_SUMS} FROM tally"
    " WHERE member_id > ? AND member_id <= ? GROUP BY member_id, level"
)
_RELATIONS = Sql(
    "SELECT descendant_id, level, ancestor_id FROM relation WHERE descendant_id > ? AND descendant_id <= ?"
)
_CHAINS = Sql(
    "SELECT a.id, a.referrer_id AS first, b.referrer_id AS second, c.referrer_id AS third FROM member a"
    " LEFT JOIN member b ON b.id = a.referrer_id LEFT JOIN member c ON c.id = b.referrer_id"
    " WHERE a.id > ? AND a.id <= ?"
)
BEYOND: Final = 2**62
"""Above every id: the last chunk of the tree is open, so rows of members who do not exist are seen."""


def members_check(session: Session, *, progress: Progress = silent) -> Report:
    """Prove the tree: no cycle, `relation` is the closure of `referrer_id`, `tally` what the rows amount to.

    `session` should be a snapshot. A million members take about 20 MB: two numbers each for the search of cycles,
    everything else a chunk at a time. A move that is under way shows as differences of the closure. Repair: repair.py.
    """
    report = Report(counts={"members": 0})
    check_referrers(session, report)
    for above, last in _open_chunks(session):
        _check_relations(session, report, above, last)
        progress("closure", report.counts["members"])
    for _ in wrong_figures(session, report, progress):
        pass  # the report has counted it
    return report


def _open_chunks(session: Session) -> Iterator[tuple[int, int]]:
    last = 0
    for above, last in _chunks(session, Member.id):
        yield above, last
    yield last, BEYOND


# --- cycles


def check_referrers(session: Session, report: Report) -> None:
    """Every referrer is a member of the same account, and nobody is their own upline."""
    referrer = aliased(Member)
    query = (
        select(Member.id, Member.referrer_id)
        .outerjoin(referrer, referrer.id == Member.referrer_id)
        .where(
            Member.referrer_id.is_not(None),
            or_(referrer.id.is_(None), referrer.account_id != Member.account_id),
        )
        .order_by(Member.id)
    )
    for member_id, referrer_id in session.execute(query):
        report.differs(
            "referrers", f"member/{member_id}", "a member of the account", f"member/{referrer_id}"
        )
    ids, referrers = array("q"), array("q")
    for above, last in _chunks(session, Member.id):
        pairs = select(Member.id, Member.referrer_id).order_by(Member.id)
        for member_id, referrer_id in session.execute(_between(pairs, Member.id, above, last)):
            ids.append(member_id)
            referrers.append(referrer_id or 0)
    for member_id in _in_cycles(ids, referrers):
        report.differs("cycles", f"member/{member_id}", "no cycle", "own upline")


_UNSEEN, _ON_PATH, _SAFE = 0, 1, 2


def _in_cycles(ids: array[int], referrers: array[int]) -> list[int]:
    """Members from whom climbing comes back to themselves; `ids` ascend, 0 is no referrer. Each is visited once."""
    state = bytearray(len(ids))
    lost: list[int] = []
    for start in range(len(ids)):
        path: list[int] = []
        at = start
        while at >= 0 and state[at] == _UNSEEN:
            state[at] = _ON_PATH
            path.append(at)
            at = _index(ids, referrers[at])
        if at >= 0 and state[at] == _ON_PATH:
            lost += [ids[one] for one in path[path.index(at) :]]
        for one in path:
            state[one] = _SAFE
    return sorted(lost)


def _index(ids: array[int], member_id: int) -> int:
    """Where the id stands, -1 for nobody."""
    place = bisect_left(ids, member_id)
    return place if place < len(ids) and ids[place] == member_id else -1


# --- closure


def _check_relations(session: Session, report: Report, above: int, last: int) -> None:
    chains = _CHAINS(session, above, last).all()
    expected = {
        row for one in chains for row in closure_of(one.id, (one.first, one.second, one.third))
    }
    found = {
        (ancestor_id, level, member_id)
        for member_id, level, ancestor_id in _RELATIONS(session, above, last)
    }
    for row in sorted(expected ^ found, key=lambda row: (row[2], row[1])):
        ancestor_id, level, member_id = row
        report.differs(
            "closure", f"member/{member_id}", f"level {level} under {ancestor_id}",
            "missing" if row in expected else "too many",
        )  # fmt: skip
    report.count("members", len(chains))


# --- figures


class _Purchases:
    """Orders, spend and refunds per upline and level, from the snapshots of the orders: kept in a private file that
    SQLite throws away, because the uplines of a million members' orders do not belong in memory."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("")
        self._file.execute(
            "CREATE TABLE sums (member INTEGER, level INTEGER, orders INTEGER, spent INTEGER, refunded INTEGER,"
            " PRIMARY KEY (member, level)) WITHOUT ROWID"
        )

    def add(self, sums: dict[tuple[int, int], list[int]]) -> None:
        self._file.executemany(
            "INSERT INTO sums VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET orders = orders + excluded.orders,"
            " spent = spent + excluded.spent, refunded = refunded + excluded.refunded",
            [(*key, *values) for key, values in sums.items()],
        )

    def between(self, above: int, last: int) -> Iterator[tuple[int, int, Figures]]:
        query = "SELECT * FROM sums WHERE member > ? AND member <= ?"
        for member_id, level, orders, spent, refunded in self._file.execute(query, (above, last)):
            yield member_id, level, Figures(orders=orders, spent_fen=spent, refunded_fen=refunded)

    def close(self) -> None:
        self._file.close()


def _purchases(session: Session) -> _Purchases:
    purchases = _Purchases()
    for above, last in _chunks(session, Order.id):
        query = select(Order.uplines, Order.paid_fen, Order.refunded_fen)
        query = query.where(Order.member_id.is_not(None))
        sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for uplines, paid_fen, refunded_fen in session.execute(
            _between(query, Order.id, above, last)
        ):
            for upline in uplines_in(uplines):
                row = sums[upline.member_id, upline.level]
                row[0] += 1
                row[1] += paid_fen
                row[2] += refunded_fen
        purchases.add(sums)
    return purchases


def wrong_figures(
    session: Session, report: Report, progress: Progress = silent
) -> Iterator[tuple[int, int, Figures]]:
    """(member, level, what has to be added to be right) wherever the stored figures differ; the report names them."""
    purchases = _purchases(session)
    for above, last in _open_chunks(session):
        expected = _true_figures(session, purchases, above, last)
        found = {
            (member_id, level): Figures(*(int(value) for value in values))
            for member_id, level, *values in _FIGURES(session, above, last)
        }
        for key in sorted(expected.keys() | found.keys()):
            right, stored = expected.get(key, Figures()), found.get(key, Figures())
            if right != stored:
                subject = f"member/{key[0]} level {key[1]}"
                report.differs("figures", subject, str(right), str(stored))
                yield *key, right.less(stored)
        progress("figures", report.counts["members"])
    purchases.close()


def _true_figures(
    session: Session, purchases: _Purchases, above: int, last: int
) -> dict[tuple[int, int], Figures]:
    expected: dict[tuple[int, int], Figures] = defaultdict(Figures)
    for member_id, level, figures in purchases.between(above, last):
        expected[member_id, level].add(figures)
    for member_id, level, people, following, buyers in _TRUE_PEOPLE(session, above, last):
        one = Figures(people=int(people), following=int(following), buyers=int(buyers))
        expected[member_id, level].add(one)
    for member_id, level, earned, frozen in _TRUE_EARNINGS(session, above, last):
        expected[member_id, level].add(Figures(earned_fen=int(earned), frozen_fen=int(frozen)))
    return expected
