"""The merchant's shop: what people buy, and how it is reported over the merchant's API."""

from typing import Any

from simulator.control.gate import Calls, ControlCall

calls = Calls()


@calls.add("POST", "/_sim/shops")
def put_shop(call: ControlCall) -> Any:
    """Open or change a shop: name, account, base_url, key, secret, products [{sku, title, price_fen}]."""
    return call.room.shops.open(call.account(), call.fields)


@calls.add("GET", "/_sim/shops")
def get_shops(call: ControlCall) -> Any:
    """All shops, without their secrets."""
    return {"shops": call.room.shops.all()}


@calls.add("POST", "/_sim/buy")
def buy(call: ControlCall) -> Any:
    """Buy and pay: user, sku, optional quantity, shop. Answers the order and what the merchant's API said."""
    return call.room.shops.buy(
        call.user(), call.text("sku"), call.number("quantity", 1), call.fields.get("shop")
    )


@calls.add("GET", "/_sim/orders")
def get_orders(call: ControlCall) -> Any:
    """All orders, newest first."""
    return {"orders": call.room.shops.orders()}


@calls.add("POST", "/_sim/orders/<order_no>/complete")
def complete(call: ControlCall, order_no: str) -> Any:
    """The goods have arrived."""
    return call.room.shops.complete(order_no)


@calls.add("POST", "/_sim/orders/<order_no>/refund")
def refund(call: ControlCall, order_no: str) -> Any:
    """Give money back: optional line_no, refund_fen. Without them, everything that is left."""
    line_no = call.number("line_no") if "line_no" in call.fields else None
    refund_fen = call.number("refund_fen") if "refund_fen" in call.fields else None
    return call.room.shops.refund(order_no, line_no, refund_fen)
