"""订单: reported paid by the shop, each exactly once, with the snapshot by which its commissions are computed.

Recording is set-based: 500 orders of a batch take the same dozen statements as one. Refunds: refunds.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import attribution, commissions, events, products, promoters, refunds, rules
from domain.accounts import OpenAccount, Settings
from domain.bindings import display_name
from domain.commissions import Accruing
from domain.db import Sql, changed, is_duplicate, is_key, maybe_from_db, to_db, to_json
from domain.errors import Invalid, NotFound, OrderConflict
from domain.models import Identity, Member, Order, OrderLine
from domain.rules import PlanLine, RuleVersion, Terms, Upline
from domain.secrets import digest, short_digest

MAX_LINES: Final = 200
CLUES: Final = frozenset({"payer", "phone", "ship_to"})
MAX_TITLE: Final = 190
MAX_FEN: Final = 10_000_000_000
"""A hundred million yuan: what a field of an order may hold."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """How the shop names the buyer: by openid of this account, by openid of a linked app, or by unionid."""

    openid: str | None = None
    unionid: str | None = None
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class PaidLine:
    """A line as the shop reports it; `paid_fen` is what was really paid for it, after every discount."""

    line_no: int
    title: str
    quantity: int
    paid_fen: int
    sku: str | None = None
    unit_price_fen: int | None = None


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """A paid order as the shop reports it.

    `clues` are optional: who paid (an openid of this account), and the shop's own hashes of the phone and the address,
    equal for equal ones; by kind "payer", "phone", "ship_to". Only risk.py reads them. `campaign` is the token that a
    broadcast's link handed to the shop (attribution.py).
    """

    order_no: str
    buyer: Buyer
    lines: tuple[PaidLine, ...]
    paid_at: datetime
    shipping_fen: int = 0
    clues: tuple[tuple[str, str], ...] = ()
    campaign: str | None = None

    @property
    def paid_fen(self) -> int:
        """Goods only: commissions never see the shipping."""
        return sum(line.paid_fen for line in self.lines)

    def content_hash(self) -> str:
        """Equal reports have equal hashes, whatever the order of the lines or the zone of the instant."""
        lines = [
            {
                "line_no": line.line_no, "title": line.title, "quantity": line.quantity, "paid_fen": line.paid_fen,
                "sku": line.sku, "unit_price_fen": line.unit_price_fen,
            }
            for line in sorted(self.lines, key=attrgetter("line_no"))
        ]  # fmt: skip
        buyer = {
            "openid": self.buyer.openid, "unionid": self.buyer.unionid, "app_id": self.buyer.app_id,
        }  # fmt: skip
        paid_at = self.paid_at.astimezone(UTC).isoformat()
        parts = [self.order_no, buyer, lines, self.shipping_fen, paid_at]
        if self.clues:
            parts.append(sorted(self.clues))
        if self.campaign is not None:
            parts.append({"campaign": self.campaign})
        return digest(to_json(parts))

    def check(self, account: OpenAccount) -> None:
        """`Invalid` for what no shop can mean: no lines, a line twice, amounts out of range, nobody as the buyer."""
        self._check_names()
        if any(len(line.title) > MAX_TITLE for line in self.lines):
            raise Invalid("a title has at most 190 characters", order_no=self.order_no)
        numbers = [line.line_no for line in self.lines]
        if not 1 <= len(numbers) <= MAX_LINES or len(set(numbers)) != len(numbers):
            raise Invalid("one to 200 lines with different numbers", order_no=self.order_no)
        amounts = [self.shipping_fen, *(line.paid_fen for line in self.lines)]
        if any(not 0 <= amount <= MAX_FEN for amount in amounts) or any(
            line.quantity < 1 for line in self.lines
        ):
            raise Invalid("an amount or a quantity is out of range", order_no=self.order_no)
        if not (self.buyer.openid or self.buyer.unionid):
            raise Invalid("the buyer needs an openid or a unionid", order_no=self.order_no)
        foreign = self.buyer.app_id not in {None, account.app_id}
        if foreign and self.buyer.app_id not in account.settings.linked_apps:
            raise Invalid("this app is not linked to the account", app_id=self.buyer.app_id)

    def _check_names(self) -> None:
        """What is compared with keys must be able to be one."""
        buyer = self.buyer.openid, self.buyer.unionid, self.buyer.app_id, self.campaign
        others = [*(line.sku for line in self.lines), *(value for _, value in self.clues)]
        if not all(is_key(key) for key in (self.order_no, *buyer, *others) if key is not None):
            raise Invalid("a number or a name has 1 to 64 ASCII characters", order_no=self.order_no)
        kinds = [kind for kind, _ in self.clues]
        if not set(kinds) <= CLUES or len(set(kinds)) != len(kinds):
            raise Invalid("a clue is a payer, a phone or a ship_to", order_no=self.order_no)


@dataclass(slots=True)
class _Known:
    """A buyer who is a member, with the chain above as it is now; `own` is how they would earn themselves."""

    id: int
    name: str
    bought: bool
    bound_at: datetime | None
    uplines: list[Upline]
    own: Upline


# --- who bought -----------------------------------------------------------------------------------------------------

_BUYERS = (
    "SELECT {key} AS buyer_key, b.id, b.code, b.nickname, b.first_paid_at, b.bound_at, b.status AS own_status,"
    " b.grade AS own_grade, b.promoter AS own_promoter, r.level, u.id AS upline_id, u.status, u.grade, u.promoter,"
    " u.first_paid_at AS upline_paid_at FROM {source} LEFT JOIN relation r ON r.descendant_id = b.id"
    " LEFT JOIN member u ON u.id = r.ancestor_id WHERE {where} ORDER BY b.id, r.level"
)
_BY_OPENID = Sql(
    _BUYERS.format(key="b.openid", source="member b", where="b.account_id = ? AND b.openid IN (??)")
)
_BY_UNIONID = Sql(
    _BUYERS.format(
        key="b.unionid", source="member b", where="b.account_id = ? AND b.unionid IN (??)"
    )
)
_BY_APP = Sql(
    _BUYERS.format(
        key="i.openid",
        source="identity i JOIN member b ON b.id = i.member_id",
        where="i.account_id = ? AND i.app_id = ? AND i.openid IN (??)",
    )
)
_NEVER_PAID = Sql("UPDATE member SET first_paid_at = NULL WHERE id IN (??)")
_FIRST_PAID = Sql("UPDATE member SET first_paid_at = ? WHERE id = ? AND first_paid_at IS NULL")


def _buyers(
    session: Session,
    account: OpenAccount,
    wanted: Sequence[Buyer],
    first: Collection[int] = frozenset(),
) -> dict[Buyer, _Known]:
    """Those of the buyers who are members; one statement for each way of naming them that occurs. The ids in `first`
    have bought nothing before what is being recorded."""
    found: dict[Buyer, _Known] = {}
    look_up = partial(_look_up, account.settings, first)
    by_openid = [one for one in wanted if one.openid and one.app_id in {None, account.app_id}]
    found |= look_up(
        _BY_OPENID.among(session, (account.id,), {one.openid for one in by_openid}),
        by_openid,
        "openid",
    )
    for app_id in {
        one.app_id for one in wanted if one.openid and one.app_id not in {None, account.app_id}
    }:
        of_app = [one for one in wanted if one.app_id == app_id]
        rows = _BY_APP.among(session, (account.id, app_id), {one.openid for one in of_app})
        found |= look_up(rows, of_app, "openid")
    by_unionid = [one for one in wanted if one.unionid and one not in found]
    if by_unionid:
        rows = _BY_UNIONID.among(session, (account.id,), {one.unionid for one in by_unionid})
        found |= look_up(rows, by_unionid, "unionid")
    if account.settings.qualification == promoters.BY_SPENDING:
        _qualify_by_spending(session, account.settings, found.values())
    return found


def _look_up(
    settings: Settings,
    first: Collection[int],
    rows: Any,
    wanted: Sequence[Buyer],
    attribute: str,
) -> dict[Buyer, _Known]:
    known: dict[str, _Known] = {}
    for row in rows:
        person = known.get(row.buyer_key)
        if person is None:
            name = display_name(row.nickname, row.code)
            bought = row.first_paid_at is not None
            before = bought and row.id not in first
            refusal = promoters.refusal(settings, row.own_status, row.own_promoter, before)
            person = known[row.buyer_key] = _Known(
                row.id, name, bought, maybe_from_db(row.bound_at), [], Upline(row.id, 1, row.own_grade, refusal)
            )  # fmt: skip
        if row.level is not None:
            bought = row.upline_paid_at is not None
            refusal = promoters.refusal(settings, row.status, row.promoter, bought)
            person.uplines.append(Upline(row.upline_id, row.level, row.grade, refusal))
    return {one: known[key] for one in wanted if (key := getattr(one, attribute)) in known}


def _qualify_by_spending(session: Session, settings: Settings, people: Collection[_Known]) -> None:
    """Lift the refusal of those who have spent enough before what is being recorded."""
    chains = [[person.own, *person.uplines] for person in people]
    refused = {
        one.member_id for chain in chains for one in chain if one.refusal == rules.NOT_QUALIFIED
    }
    enough = promoters.spent_enough(session, settings, refused)

    def lifted(one: Upline) -> Upline:
        lift = one.refusal == rules.NOT_QUALIFIED and one.member_id in enough
        return replace(one, refusal="") if lift else one

    for person in people:
        person.own = lifted(person.own)
        person.uplines = [lifted(one) for one in person.uplines]


def _mark_first_purchases(
    session: Session, account: OpenAccount, orders: Sequence[PaidOrder], now: datetime
) -> tuple[dict[Buyer, _Known], set[int]]:
    """The known buyers, and the ids of those who buy for the first time, marked as such.

    Marking locks the buyer's row; their uplines are read again after it, so that a binding that was committed
    meanwhile and this purchase agree on who gained a buyer.
    """
    wanted = [order.buyer for order in orders]
    known = _buyers(session, account, wanted)
    fresh = sorted({person.id for person in known.values() if not person.bought})
    first = {
        member_id for member_id in fresh if changed(_FIRST_PAID(session, to_db(now), member_id))
    }
    if fresh:
        again = [buyer for buyer, person in known.items() if not person.bought]
        known |= _buyers(session, account, again, first)
    return known, first


# --- recording ------------------------------------------------------------------------------------------------------

_INSERT = Sql(
    "INSERT INTO orders (account_id, order_no, content_hash, channel, status, member_id, buyer_openid, buyer_unionid,"
    " buyer_app_id, paid_fen, refunded_fen, shipping_fen, shipping_refunded_fen, rule_id, uplines, paid_at, created_at)"
    " VALUES (?, ?, ?, ?, 'paid', ?, ?, ?, ?, ?, 0, ?, 0, ?, ?, ?, ?)"
)
_INSERT_LINE = Sql(
    "INSERT INTO order_line (order_id, line_no, sku, title, quantity, unit_price_fen, paid_fen, refunded_fen, terms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)"
)
_INSERT_CLUE = Sql(
    "INSERT INTO order_clue (order_id, kind, account_id, value, at) VALUES (?, ?, ?, ?, ?)"
)
_IDS = Sql("SELECT order_no, id FROM orders WHERE account_id = ? AND order_no IN (??)")
_HASHES = Sql("SELECT order_no, content_hash FROM orders WHERE account_id = ? AND order_no IN (??)")


def record_paid(
    session: Session,
    account: OpenAccount,
    orders: Sequence[PaidOrder],
    now: datetime,
    channel: str = "api",
) -> set[str]:
    """Record paid orders with their commissions; the numbers of those that are new.

    The same report again changes nothing. Raises `OrderConflict` for another content under a known number, `Invalid`
    for an impossible order; nothing of the batch is kept then. A buyer we do not know yet is stored without earners
    and attached when that person follows (`attach_waiting`). Parked refunds are applied at once.
    """
    for order in orders:
        order.check(account)
    new = _unseen_in(orders)
    known, first = _mark_first_purchases(session, account, new, now)
    versions = dict(
        zip(
            (order.order_no for order in new),
            rules.in_force(session, account.id, [order.paid_at for order in new]),
            strict=True,
        )
    )
    rows = {
        order.order_no: _row(
            account, order, known.get(order.buyer), versions[order.order_no], channel, now
        )
        for order in new
    }
    ids = _insert(session, account, new, rows)
    new = [order for order in new if order.order_no in ids]
    # The order of somebody marked above was a repeat (of one that had never found its buyer): they bought nothing now.
    buying = {known[order.buyer].id for order in new if order.buyer in known}
    if mistaken := first - buying:
        _NEVER_PAID.among(session, (), sorted(mistaken))
    if not ids:
        return set()
    terms = products.terms_of(
        session, account.id, {line.sku for order in new for line in order.lines if line.sku}
    )
    _write_lines(session, new, ids, terms)
    _write_clues(session, account.id, new, ids)
    attribution.attribute(
        session,
        account.id,
        {ids[order.order_no]: (order.campaign, order.paid_at) for order in new if order.campaign},
    )
    accruing = []
    for order in new:
        buyer = known.get(order.buyer)
        if buyer is not None:
            version = versions[order.order_no]
            due_at = None
            if version is not None:
                due_at = commissions.due_date(
                    order.paid_at, None, account.settings.freeze_from, version.freeze_days
                )
            lines = [
                PlanLine(line.line_no, line.paid_fen, terms.get(line.sku or ""))
                for line in order.lines
            ]
            accruing.append(
                Accruing(
                    ids[order.order_no], order.order_no, buyer.id, buyer.name, order.paid_fen, version, buyer.uplines,
                    lines, due_at, buyer.id in first, buyer.own,
                )
            )  # fmt: skip
            first.discard(buyer.id)  # two orders of one new buyer in a batch: one new buyer
    commissions.accrue(session, account.id, accruing, now)
    _record_purchases(session, account.id, accruing, now)
    refunds.apply_parked(session, account, ids, now)
    strangers = [order.buyer for order in new if order.buyer not in known]
    for member in _joined_meanwhile(session, account, strangers) if strangers else ():
        attach_waiting(session, account, member, now)
    return set(ids)


def _insert(
    session: Session,
    account: OpenAccount,
    orders: list[PaidOrder],
    rows: dict[str, tuple[Any, ...]],
) -> dict[str, int]:
    """Insert the orders; number → id of those that are new. The insert itself finds the repeats, so the usual case
    asks nothing."""
    try:
        if len(orders) == 1:
            number = orders[0].order_no
            return {number: _INSERT(session, *rows[number]).lastrowid}
        with session.begin_nested():  # many rows may be many statements
            _INSERT.many(session, [rows[order.order_no] for order in orders])
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        repeated = _check_repeats(session, account, orders)
        unknown = [order for order in orders if order.order_no not in repeated]
        # From the start again: one of these may have become known since they were looked up.
        return _insert(session, account, unknown, rows) if unknown else {}
    numbers = [order.order_no for order in orders]
    return {row.order_no: row.id for row in _IDS.among(session, (account.id,), numbers)}


def _unseen_in(orders: Sequence[PaidOrder]) -> list[PaidOrder]:
    """The orders without repeats inside the batch itself."""
    seen: dict[str, PaidOrder] = {}
    for order in orders:
        known = seen.setdefault(order.order_no, order)
        if known is not order and known.content_hash() != order.content_hash():
            raise OrderConflict(
                "the batch holds this order twice, with other content", order_no=order.order_no
            )
    return list(seen.values())


def _row(
    account: OpenAccount,
    order: PaidOrder,
    buyer: _Known | None,
    version: RuleVersion | None,
    channel: str,
    now: datetime,
) -> tuple[Any, ...]:
    return (
        account.id, order.order_no, order.content_hash(), channel, buyer.id if buyer else None,
        order.buyer.openid, order.buyer.unionid, order.buyer.app_id, order.paid_fen, order.shipping_fen,
        version.id if version else None, snapshot(buyer.uplines, buyer.bound_at, buyer.own) if buyer else None,
        to_db(order.paid_at), to_db(now),
    )  # fmt: skip


def _write_lines(
    session: Session, orders: Sequence[PaidOrder], ids: dict[str, int], terms: dict[str, Terms]
) -> None:
    _INSERT_LINE.many(
        session,
        [
            (
                ids[order.order_no], line.line_no, line.sku, line.title, line.quantity, line.unit_price_fen,
                line.paid_fen, to_json(terms[line.sku].as_value()) if line.sku in terms else None,
            )
            for order in orders
            for line in order.lines
        ],
    )  # fmt: skip


def _write_clues(
    session: Session, account_id: int, orders: Sequence[PaidOrder], ids: dict[str, int]
) -> None:
    """Nothing, and no statement, when the shop sends none."""
    rows = [
        (ids[order.order_no], kind, account_id, value, to_db(order.paid_at))
        for order in orders
        for kind, value in order.clues
    ]
    _INSERT_CLUE.many(session, rows)


def _check_repeats(session: Session, account: OpenAccount, orders: Sequence[PaidOrder]) -> set[str]:
    """The numbers that are known already, with the same content; `OrderConflict` for other content."""
    stored = {
        row.order_no: row.content_hash
        for row in _HASHES.among(session, (account.id,), [o.order_no for o in orders])
    }
    for order in orders:
        if stored.get(order.order_no, order.content_hash()) != order.content_hash():
            raise OrderConflict(
                "this order number is known with other content", order_no=order.order_no
            )
    return set(stored)


def hashes_of(session: Session, account_id: int, order_nos: Collection[str]) -> dict[str, str]:
    """What was recorded under these numbers, as `PaidOrder.content_hash` says it; unknown numbers are left out."""
    rows = _HASHES.among(session, (account_id,), sorted(order_nos))
    return {row.order_no: row.content_hash for row in rows}


def _record_purchases(
    session: Session, account_id: int, orders: Sequence[Accruing], now: datetime
) -> None:
    events.record_touches(
        session,
        [
            (
                account_id,
                short_digest(f"buy {one.order_no}"),
                events.BUY,
                one.buyer_id,
                None,
                one.order_no,
                now,
            )
            for one in orders
        ],
    )


# --- the snapshot ---------------------------------------------------------------------------------------------------


def snapshot(
    uplines: Sequence[Upline], bound_at: datetime | None, own: Upline | None = None
) -> str:
    """The chain above the buyer when the order was paid, as the order keeps it for ever; `own`: the buyer's grade and
    refusal, kept when there is something to keep."""
    chain = [[one.level, one.member_id, one.grade, one.refusal] for one in uplines]
    kept: dict[str, Any] = {"bound_at": bound_at and bound_at.isoformat(), "chain": chain}
    if own is not None and (own.grade or own.refusal):
        kept["own"] = [own.grade, own.refusal]
    return to_json(kept)


def uplines_in(stored: str | None) -> list[Upline]:
    """The chain of a stored snapshot."""
    if stored is None:
        return []
    return [
        Upline(member_id, level, grade, refusal)
        for level, member_id, grade, refusal in json.loads(stored)["chain"]
    ]


def own_in(stored: str | None, buyer_id: int | None) -> Upline | None:
    """The buyer of a stored snapshot as an earner of their own order."""
    if stored is None or buyer_id is None:
        return None
    grade, refusal = json.loads(stored).get("own", ("", ""))
    return Upline(buyer_id, 1, grade, refusal)


def shares_of(session: Session, order: Order, lines: Sequence[OrderLine]) -> list[rules.Share]:
    """The plan of a stored order, computed again from its snapshot: also who earns nothing, and why."""
    version = None if order.rule_id is None else rules.get_version(session, order.rule_id)
    own = own_in(order.uplines, order.member_id)
    return rules.plan(version, order.member_id, uplines_in(order.uplines), plan_lines(lines), own)


def plan_lines(lines: Sequence[OrderLine]) -> list[PlanLine]:
    """Stored lines as the plan takes them, with the product's terms of that time."""
    return [
        PlanLine(
            line.line_no,
            line.paid_fen,
            None if line.terms is None else Terms.from_value(json.loads(line.terms)),
        )
        for line in lines
    ]


# --- later in an order's life ---------------------------------------------------------------------------------------

_COMPLETE = Sql("UPDATE orders SET status = ?, completed_at = ? WHERE id = ? AND status = ?")


def complete(
    session: Session, account: OpenAccount, order_no: str, completed_at: datetime
) -> Order:
    """The order is completed: its freeze period starts. A repeat changes nothing, also with another instant.
    Raises `NotFound`, and `Invalid` for an order that is not paid."""
    order = get(session, account.id, order_no)
    if changed(_COMPLETE(session, "completed", to_db(completed_at), order.id, "paid")):
        session.refresh(order)
        if order.rule_id is not None and order.member_id is not None:
            version = rules.get_version(session, order.rule_id)
            earners = [*uplines_in(order.uplines), own_in(order.uplines, order.member_id)]
            commissions.start_freeze(
                session, order.id, completed_at, version, [one for one in earners if one]
            )
        return order
    session.refresh(order)  # it may have been completed at this very moment
    if order.status != "completed":
        raise Invalid("only a paid order can be completed", order_no=order_no, status=order.status)
    return order


_AWAITED_BY = (
    "SELECT 1 FROM orders WHERE account_id = ? AND buyer_openid = ? AND member_id IS NULL LIMIT 1"
)
_AWAITED = Sql(_AWAITED_BY + " FOR UPDATE", sqlite=_AWAITED_BY)


def is_awaited(session: Session, account_id: int, openid: str) -> bool:
    """Whether an order waits for this openid: the cheap question in front of `attach_waiting`, for every follow. A
    locking read, for the reason that `_waiting_for` gives."""
    return _AWAITED(session, account_id, openid).first() is not None


_ATTACH = Sql("UPDATE orders SET member_id = ?, uplines = ? WHERE id = ? AND member_id IS NULL")


def attach_waiting(session: Session, account: OpenAccount, member: Member, now: datetime) -> int:
    """Give a follower the paid orders that waited for them, with commissions by today's binding and the rule of the
    payment; how many. Called when somebody follows or when WeChat tells their unionid."""
    waiting = _waiting_for(session, account, member, now)
    if not waiting:
        return 0
    buyer = Buyer(openid=member.openid)
    paid = PaidOrder("", buyer, (), now)
    known, first = _mark_first_purchases(session, account, [paid], now)
    person = known[buyer]
    accruing = []
    for order in waiting:
        if not changed(
            _ATTACH(
                session, person.id, snapshot(person.uplines, person.bound_at, person.own), order.id
            )
        ):
            continue  # another follow of the same person was first
        session.refresh(order)
        accruing.append(_accruing(session, account, order, person, person.id in first))
        first.discard(person.id)
    commissions.accrue(session, account.id, accruing, now)
    _record_purchases(session, account.id, accruing, now)
    for one in accruing:
        refunds.take_back_again(session, account, one.order_id, now)
    return len(accruing)


def waiting(session: Session, account: OpenAccount, now: datetime, limit: int) -> list[Order]:
    """Paid orders that still wait for their buyer, oldest first."""
    since = now - timedelta(days=account.settings.buyer_wait_days)
    query = select(Order).where(
        Order.account_id == account.id, Order.member_id.is_(None), Order.paid_at >= since
    )
    return list(session.scalars(query.order_by(Order.paid_at, Order.id).limit(limit)))


def look_again(session: Session, account: OpenAccount, order_no: str, now: datetime) -> bool:
    """Look for the buyer of an order that waits, as if the buyer followed now; whether they were found."""
    row = get(session, account.id, order_no)
    if row.member_id is not None:
        return True
    buyer = Buyer(row.buyer_openid, row.buyer_unionid, row.buyer_app_id)
    found = _joined_meanwhile(session, account, [buyer])
    return sum(attach_waiting(session, account, member, now) for member in found) > 0


_WAITING = "SELECT id FROM orders WHERE account_id = ? AND member_id IS NULL AND paid_at >= ? AND "
_OF_OPENID = _WAITING + "buyer_openid = ? AND (buyer_app_id IS NULL OR buyer_app_id = ?)"
_OF_APP = _WAITING + "buyer_openid = ? AND buyer_app_id = ?"
_OF_UNIONID = _WAITING + "buyer_unionid = ?"
_WAITING_BY_OPENID = Sql(_OF_OPENID + " FOR UPDATE", sqlite=_OF_OPENID)
_WAITING_BY_APP = Sql(_OF_APP + " FOR UPDATE", sqlite=_OF_APP)
_WAITING_BY_UNIONID = Sql(_OF_UNIONID + " FOR UPDATE", sqlite=_OF_UNIONID)


def _waiting_for(
    session: Session, account: OpenAccount, member: Member, now: datetime
) -> list[Order]:
    """Paid orders without a member whose buyer is this one by openid, unionid or an openid in a linked app.

    Locking reads, one for each name so that each has its index: an order that is being recorded at this moment is
    waited for, and found.
    """
    since = to_db(now - timedelta(days=account.settings.buyer_wait_days))
    found = _WAITING_BY_OPENID(session, account.id, since, member.openid, account.app_id).all()
    if member.unionid:
        found += _WAITING_BY_UNIONID(session, account.id, since, member.unionid).all()
    identities = select(Identity.app_id, Identity.openid).where(Identity.member_id == member.id)
    for app_id, openid in session.execute(identities):
        found += _WAITING_BY_APP(session, account.id, since, openid, app_id).all()
    if not found:
        return []
    query = select(Order).where(Order.id.in_({row.id for row in found})).order_by(Order.id)
    return list(session.scalars(query))


_JOINED = "SELECT id FROM member WHERE account_id = ? AND {name} IN (??)"
_BY_NAME = {
    name: Sql(text + " LOCK IN SHARE MODE", sqlite=text)
    for name in ("openid", "unionid")
    for text in [_JOINED.format(name=name)]
}
_LINKED = (
    "SELECT member_id AS id FROM identity WHERE account_id = ? AND app_id = ? AND openid IN (??)"
)
_LINKED_SHARED = Sql(_LINKED + " LOCK IN SHARE MODE", sqlite=_LINKED)


def _joined_meanwhile(
    session: Session, account: OpenAccount, strangers: Sequence[Buyer]
) -> list[Member]:
    """Those of the buyers unknown a moment ago who are members now.

    Asked with a lock after their orders are written: somebody who is joining at this moment either sees the order
    (`_waiting_for`) or is waited for and seen here. Otherwise both would commit, and the order would wait for ever.
    """
    ids: set[int] = set()
    for name in ("openid", "unionid"):
        values = {
            value
            for one in strangers
            if (value := getattr(one, name))
            and (name == "unionid" or one.app_id in {None, account.app_id})
        }
        if values:
            rows = _BY_NAME[name].among(session, (account.id,), sorted(values))
            ids |= {row.id for row in rows}
    for one in strangers:
        if one.openid and one.app_id not in {None, account.app_id}:
            rows = _LINKED_SHARED.among(session, (account.id, one.app_id), [one.openid])
            ids |= {row.id for row in rows}
    return list(session.scalars(select(Member).where(Member.id.in_(ids)))) if ids else []


def _accruing(
    session: Session, account: OpenAccount, order: Order, person: _Known, first_purchase: bool
) -> Accruing:
    """A stored order as accrual sees it."""
    version = None if order.rule_id is None else rules.get_version(session, order.rule_id)
    due_at = None
    if version is not None and order.paid_at is not None:
        due_at = commissions.due_date(
            order.paid_at, order.completed_at, account.settings.freeze_from, version.freeze_days
        )
    return Accruing(
        order.id, order.order_no, person.id, person.name, order.paid_fen, version, uplines_in(order.uplines),
        plan_lines(lines_of(session, order.id)), due_at, first_purchase,
        own_in(order.uplines, order.member_id),
    )  # fmt: skip


def get(session: Session, account_id: int, order_no: str) -> Order:
    """The order of this number in this account, or `NotFound`."""
    query = select(Order).where(Order.account_id == account_id, Order.order_no == order_no)
    order = session.scalar(query) if is_key(order_no) else None
    if order is None:
        raise NotFound("no such order", order_no=order_no)
    return order


def lines_of(session: Session, order_id: int) -> list[OrderLine]:
    """The lines of an order, by number."""
    return list(
        session.scalars(
            select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.line_no)
        )
    )


def of_numbers(session: Session, account_id: int, order_nos: Collection[str]) -> list[Order]:
    """Those of the orders that exist, in no particular order."""
    return list(
        session.scalars(
            select(Order).where(Order.account_id == account_id, Order.order_no.in_(order_nos))
        )
    )


def numbers_of(session: Session, order_ids: Collection[int]) -> dict[int, str]:
    """The shop's number of each order."""
    rows = session.execute(select(Order.id, Order.order_no).where(Order.id.in_(order_ids)))
    return {order_id: order_no for order_id, order_no in rows}


def lines_of_all(session: Session, order_ids: Collection[int]) -> dict[int, list[OrderLine]]:
    """The lines of each of the orders, by number."""
    query = select(OrderLine).where(OrderLine.order_id.in_(order_ids))
    result: dict[int, list[OrderLine]] = {order_id: [] for order_id in order_ids}
    for line in session.scalars(query.order_by(OrderLine.order_id, OrderLine.line_no)):
        result[line.order_id].append(line)
    return result
