"""订单: reported paid, completed and refunded by the shop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from flask import Response
from pydantic import ValidationError

from domain import orders, refunds
from domain.errors import DomainError, RefundTooLarge
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.refunds import Refunding
from web.api import answers, shapes
from web.api.blueprint import ORDERS, answer, api, problems, refusals
from web.api.signature import caller, needs
from web.current import context

ORDERS_A_TRANSACTION: Final = 50


@api.post(
    "/orders", tags=[ORDERS], responses={"201": shapes.Order, "200": shapes.Order, **refusals(409)}
)
@needs("orders.write")
def record_order(body: shapes.OrderIn) -> Response:
    """Report a paid order
    Exactly once, however often you send it: 201 the first time, 200 with the current state when the same content comes
    again, 409 `order_conflict` for other content under a known number. The answer names who earns on each level of each
    line, and why nobody earns a level. A buyer we do not know yet is kept: the order is given to them when they follow
    within the account's days (`buyer_wait_days`)."""
    order = paid_order(body)
    account, now = caller().account, context().clock.now()
    new = context().database.transact(
        lambda session: orders.record_paid(session, account, [order], now)
    )
    return answer(_order(order.order_no), 201 if new else 200)


@api.post("/orders:batch", tags=[ORDERS], responses={"200": shapes.Batch})
@needs("orders.write")
def record_orders(body: shapes.BatchIn) -> Response:
    """Report up to 500 paid orders
    Each order gets a result of its own: a bad one is refused with its error, the others are recorded. 503 means that
    some of them may have been recorded: send the same batch again, nothing is counted twice."""
    items: list[Any] = list(body.orders)  # as they were sent
    read = [_read(item) for item in items]
    good = [order for order in read if isinstance(order, PaidOrder)]
    created: set[str] = set()
    refused: dict[int, DomainError] = {}
    for start in range(0, len(good), ORDERS_A_TRANSACTION):
        _record(good[start : start + ORDERS_A_TRANSACTION], created, refused)
    account = caller().account
    known = context().database.read(
        lambda session: answers.orders_by_number(
            session, account, {order.order_no for order in good if id(order) not in refused}
        )
    )
    results = []
    for item, order in zip(items, read, strict=True):
        if isinstance(order, shapes.Error):
            number = item.get("order_no") if isinstance(item, dict) else None
            results.append(_refusal(number if isinstance(number, str) else None, 422, order))
        elif id(order) in refused:
            error = refused[id(order)]
            shape = shapes.Error(code=error.code, message=error.message, details=error.details)
            results.append(_refusal(order.order_no, error.status, shape))
        else:
            results.append(_recorded(known[order.order_no], order.order_no in created))
            created.discard(order.order_no)  # the same order twice in one batch: created once
    return answer(_counted(results))


@api.get("/orders/<order_no>", tags=[ORDERS], responses={"200": shapes.Order, **refusals(404)})
@needs("orders.read")
def get_order(path: shapes.OrderPath) -> Response:
    """An order as it is now
    With its commissions, and why nobody earns a level."""
    return answer(_order(path.order_no))


@api.post(
    "/orders/<order_no>/complete", tags=[ORDERS], responses={"200": shapes.Order, **refusals(404)}
)
@needs("orders.write")
def complete_order(path: shapes.OrderPath, body: shapes.CompleteIn) -> Response:
    """Report that an order is completed
    The freeze period starts (unless the account starts it at the payment); `due_at` says when commissions settle. The
    first report counts: a repeat changes nothing, also with another instant."""
    account = caller().account
    context().database.transact(
        lambda session: orders.complete(session, account, path.order_no, body.completed_at)
    )
    return answer(_order(path.order_no))


@api.post(
    "/orders/<order_no>/refunds",
    tags=[ORDERS],
    responses={"200": shapes.Refund, "202": shapes.Refund, **refusals(409)},
)
@needs("orders.write")
def record_refund(path: shapes.OrderPath, body: shapes.RefundIn) -> Response:
    """Report a refund
    Whole or in part, any number of times. Commissions shrink at their original rate on every level: voided before
    settlement, clawed back after it. Before the payment of the order is known the answer is 202 `parked`, and the
    refund is applied together with the payment. The same `refund_no` again answers the same; other content under it is
    409 `refund_conflict`; more than was paid is 422 `refund_too_large`."""
    account, now = caller().account, context().clock.now()
    lines = {line.line_no: line.refund_fen for line in body.lines}
    refunding = Refunding(path.order_no, body.refund_no, lines, body.shipping_refund_fen)
    stored = context().database.transact(
        lambda session: refunds.record(session, account, refunding, now)
    )
    if stored.status == refunds.REFUSED:
        raise RefundTooLarge(
            "it was parked, and turned out larger than the payment", refund_no=body.refund_no
        )
    shown = context().database.read(lambda session: answers.refund(session, account, stored))
    return answer(shown, 202 if shown.status == refunds.PARKED else 200)


def paid_order(body: shapes.OrderIn) -> PaidOrder:
    """A report as the domain takes it."""
    return PaidOrder(
        body.order_no,
        Buyer(openid=body.openid, unionid=body.unionid, app_id=body.appid),
        tuple(
            PaidLine(
                line.line_no, line.title, line.quantity, line.paid_fen, line.sku, line.unit_price_fen
            )
            for line in body.lines
        ),
        body.paid_at,
        body.shipping_fen,
        _clues(body),
        body.campaign,
    )  # fmt: skip


def _clues(body: shapes.OrderIn) -> tuple[tuple[str, str], ...]:
    clues = (
        ("payer", body.payer_openid),
        ("phone", body.phone_hash),
        ("ship_to", body.ship_to_hash),
    )
    return tuple((kind, value) for kind, value in clues if value is not None)


def _order(order_no: str) -> shapes.Order:
    account = caller().account
    return context().database.read(lambda session: answers.order(session, account, order_no))


def _read(item: object) -> PaidOrder | shapes.Error:
    try:
        return paid_order(shapes.OrderIn.model_validate(item))
    except ValidationError as error:
        found = problems(error)
        return shapes.Error(
            code="invalid_request", message=found[0]["problem"], details={"problems": found}
        )


def _record(some: Sequence[PaidOrder], created: set[str], refused: dict[int, DomainError]) -> None:
    """One transaction; when an order spoils it, its halves, down to that order alone. What is busy is not refused:
    the whole batch is to be sent again."""
    account, now = caller().account, context().clock.now()
    try:
        created |= context().database.transact(
            lambda session: orders.record_paid(session, account, some, now)
        )
    except DomainError as error:
        if not error.permanent:
            raise
        if len(some) == 1:
            refused[id(some[0])] = error
            return
        middle = len(some) // 2
        _record(some[:middle], created, refused)
        _record(some[middle:], created, refused)


def _recorded(order: shapes.Order, is_new: bool) -> shapes.BatchResult:
    return shapes.BatchResult(
        order_no=order.order_no, result="created" if is_new else "unchanged",
        status=201 if is_new else 200, order=order, error=None,
    )  # fmt: skip


def _refusal(order_no: str | None, status: int, error: shapes.Error) -> shapes.BatchResult:
    return shapes.BatchResult(
        order_no=order_no, result="refused", status=status, order=None, error=error
    )


def _counted(results: list[shapes.BatchResult]) -> shapes.Batch:
    counts = Counter(one.result for one in results)
    return shapes.Batch(
        created=counts["created"],
        unchanged=counts["unchanged"],
        refused=counts["refused"],
        results=results,
    )
