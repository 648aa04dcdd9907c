"""订单表格: paid orders as a CSV file, for shops that report none over the API.

One row is one line of an order; rows with the same number are one order. A rehearsal records the orders as the API does
and rolls everything back, so that what it says (new orders, commissions, unknown buyers) is what would happen.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import audit, orders
from domain.accounts import OpenAccount
from domain.db import Database
from domain.errors import DomainError, Invalid
from domain.imports.sources import Columns
from domain.imports.staging import Problems
from domain.models import Commission, Order
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.proof import Progress, silent

CHANNEL: Final = "console"
CHUNK: Final = 100
MOST_ROWS: Final = 20_000
HEADINGS: Final[Mapping[str, Sequence[str]]] = {
    "order": ("订单号", "订单编号", "orderno", "ordersn", "order"),
    "openid": ("买家openid", "openid", "buyeropenid"),
    "unionid": ("买家unionid", "unionid", "buyerunionid"),
    "sku": ("货号", "商品编码", "sku"),
    "title": ("商品", "商品名称", "title", "product", "productname"),
    "quantity": ("数量", "quantity", "qty"),
    "amount": ("实付金额", "实付", "paid", "paidamount", "payamount", "amount"),
    "shipping": ("运费", "shipping", "freight"),
    "paid_at": ("付款时间", "支付时间", "paidat", "paytime"),
    "completed_at": ("完成时间", "收货时间", "completedat"),
}
"""Meaning → headings it goes by, in lower case without spaces and underscores."""
NEEDED: Final = ("order", "amount", "paid_at")
EXAMPLE: Final = (
    ("订单号", "买家openid", "货号", "商品", "数量", "实付金额", "运费", "付款时间", "完成时间"),
    ("A1001", "oABC123", "tea-128", "正山小种 礼盒", "1", "128.00", "8.00", "2026-03-01 09:30:00", ""),
    ("A1001", "oABC123", "cup-59", "手绘茶杯", "2", "118.00", "", "2026-03-01 09:30:00", ""),
)  # fmt: skip
"""A file that can be read: two lines of one order."""


@dataclass(slots=True)
class Sheet:
    """A file that has been read. `completed_at` by order number; an order with a bad row is left out whole."""

    orders: list[PaidOrder] = field(default_factory=list)
    completed_at: dict[str, datetime] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    rows: int = 0


def read(content: bytes, account: OpenAccount, now: datetime) -> Sheet:
    """Read a file in UTF-8 or GB 18030. Problems are counted and named by row; `Invalid` for what is no such table."""
    sheet = Sheet()
    reader = csv.DictReader(io.StringIO(_text(content), newline=""))
    columns = _columns(reader.fieldnames or ())
    drafts: dict[str, _Draft] = {}
    bad: set[str] = set()
    for number, row in enumerate(_rows(reader), start=2):
        sheet.rows += 1
        if sheet.rows > MOST_ROWS:
            raise Invalid("a table has at most 20000 rows", rows=MOST_ROWS)
        order_no = columns.text(row, "order") or ""
        try:
            _add(drafts, columns, row, order_no)
        except DomainError as error:
            sheet.problems.add("row_refused", f"{number}", f"{order_no} {error.message}".strip())
            bad.add(order_no)
    for order_no, draft in drafts.items():
        if order_no not in bad:
            _finish(sheet, account, draft, now)
    return sheet


def _text(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid("the file is neither UTF-8 nor GB 18030")


def _rows(reader: csv.DictReader[str]) -> Iterator[Mapping[str, Any]]:
    try:
        yield from (
            row
            for row in reader
            if any(isinstance(one, str) and one.strip() for one in row.values())
        )
    except csv.Error as error:
        raise Invalid("this is not a CSV file", why=str(error)) from None


def _columns(headings: Sequence[str]) -> Columns:
    columns = Columns.of(headings, HEADINGS, HEADINGS)
    missing = [HEADINGS[meaning][0] for meaning in NEEDED if meaning not in columns]
    if "openid" not in columns and "unionid" not in columns:
        missing.append(HEADINGS["openid"][0])
    if missing:
        raise Invalid("columns are missing", columns=missing)
    return columns


@dataclass(slots=True)
class _Draft:
    order_no: str
    buyer: Buyer
    paid_at: datetime
    lines: list[PaidLine] = field(default_factory=list)
    shipping_fen: int = 0
    completed_at: datetime | None = None


def _add(
    drafts: dict[str, _Draft], columns: Columns, row: Mapping[str, Any], order_no: str
) -> None:
    buyer = Buyer(columns.text(row, "openid"), columns.text(row, "unionid"))
    paid_at = columns.instant(row, "paid_at")
    if not order_no or paid_at is None:
        raise Invalid("an order has a number and a time of payment")
    if columns.text(row, "amount") is None:
        raise Invalid("an amount is missing")
    draft = drafts.setdefault(order_no, _Draft(order_no, buyer, paid_at))
    if (draft.buyer, draft.paid_at) != (buyer, paid_at):
        raise Invalid("rows of one order name different buyers or times")
    quantity = columns.text(row, "quantity") or "1"
    if not re.fullmatch("[0-9]{1,6}", quantity) or int(quantity) < 1:
        raise Invalid("a quantity is a whole number from 1")
    draft.lines.append(
        PaidLine(
            len(draft.lines) + 1, columns.text(row, "title") or columns.text(row, "sku") or order_no,
            int(quantity), columns.fen(row, "amount"), sku=columns.text(row, "sku"),
        )
    )  # fmt: skip
    draft.shipping_fen += columns.fen(row, "shipping")
    draft.completed_at = columns.instant(row, "completed_at") or draft.completed_at


def _finish(sheet: Sheet, account: OpenAccount, draft: _Draft, now: datetime) -> None:
    order = PaidOrder(
        draft.order_no, draft.buyer, tuple(draft.lines), draft.paid_at, draft.shipping_fen
    )
    try:
        order.check(account)
        late = max(draft.paid_at, draft.completed_at or draft.paid_at)
        if late > now + timedelta(minutes=5):
            raise Invalid("a time is in the future", order_no=order.order_no)
    except DomainError as error:
        sheet.problems.add("order_refused", draft.order_no, error.message)
        return
    sheet.orders.append(order)
    if draft.completed_at is not None:
        sheet.completed_at[order.order_no] = draft.completed_at


# --- recording ------------------------------------------------------------------------------------------------------


class _Undo(Exception):
    """Ends a rehearsal: what was written is rolled back, what it came to is kept."""

    def __init__(self, outcome: Counter[str]) -> None:
        self.outcome = outcome


def run(
    database: Database,
    account: OpenAccount,
    content: bytes,
    *,
    dry_run: bool,
    actor: str,
    now: datetime,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Read a file and record its orders, a hundred a transaction; a `dry_run` rolls each of them back. For JSON.

    An order that is known with the same content is a repeat and changes nothing; with other content it is a problem and
    left as it is. So a file that was written in part is simply written again.
    """
    sheet = read(content, account, now)
    written: Counter[str] = Counter()
    todo = iter(sheet.orders)
    while chunk := list(islice(todo, CHUNK)):
        chunk = _without_conflicts(database, account, sheet, chunk)
        written += _record(database, account, sheet, chunk, dry_run, now)
        progress("orders", written["orders"] + written["repeats"])
    if not dry_run:
        note = {"written": dict(written), "problems": dict(sheet.problems.counts)}
        database.transact(
            lambda session: audit.record(
                session, account.id, actor=actor, action="orders_uploaded", subject=f"account/{account.id}",
                after=note, now=now,
            )
        )  # fmt: skip
    return {
        "dry_run": dry_run, "rows": sheet.rows, "written": dict(written),
        "problems": dict(sheet.problems.counts), "problem_rows": sheet.problems.shown,
    }  # fmt: skip


def _without_conflicts(
    database: Database, account: OpenAccount, sheet: Sheet, chunk: list[PaidOrder]
) -> list[PaidOrder]:
    numbers = {one.order_no for one in chunk}
    known = database.read(lambda session: orders.hashes_of(session, account.id, numbers))
    kept = []
    for one in chunk:
        if known.get(one.order_no, one.content_hash()) == one.content_hash():
            kept.append(one)
        else:
            sheet.problems.add("order_conflict", one.order_no, "known already, with other content")
    return kept


def _record(
    database: Database,
    account: OpenAccount,
    sheet: Sheet,
    chunk: Sequence[PaidOrder],
    dry_run: bool,
    now: datetime,
) -> Counter[str]:
    def record(session: Session) -> Counter[str]:
        new = orders.record_paid(session, account, chunk, now, channel=CHANNEL)
        for one in chunk:
            if one.order_no in sheet.completed_at:
                orders.complete(session, account, one.order_no, sheet.completed_at[one.order_no])
        outcome = _counted(session, account.id, chunk, new)
        if dry_run:
            raise _Undo(outcome)
        return outcome

    try:
        return database.transact(record)
    except _Undo as undone:
        return undone.outcome


def _counted(
    session: Session, account_id: int, chunk: Sequence[PaidOrder], new: set[str]
) -> Counter[str]:
    """What the new orders of a chunk came to."""
    session.flush()
    mine = select(Order.id, Order.member_id).where(
        Order.account_id == account_id, Order.order_no.in_(new)
    )
    rows = session.execute(mine).all()
    paid = select(func.count(), func.sum(Commission.amount_fen)).where(
        Commission.order_id.in_([row.id for row in rows])
    )
    number, fen = session.execute(paid).one()
    return Counter(
        orders=len(new),
        repeats=len(chunk) - len(new),
        goods_fen=sum(one.paid_fen for one in chunk if one.order_no in new),
        unknown_buyers=sum(row.member_id is None for row in rows),
        commissions=int(number),
        commissions_fen=int(fen or 0),
    )
