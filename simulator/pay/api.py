"""Every call of WeChat Pay that the simulator answers.

https://pay.weixin.qq.com/doc/v3/merchant/4012791855
"""

from typing import Any

from simulator.pay import certificates
from simulator.pay.gate import PayCall, PayEndpoints
from simulator.pay.sharing import return_facts

endpoints = PayEndpoints()

_ORDERS = "/v3/pay/transactions"
_REFUNDS = "/v3/refund/domestic/refunds"
_SHARING = "/v3/profitsharing"
_BILLS = "/v3/fund-app/mch-transfer/transfer-bills"


@endpoints.add("GET", "/v3/certificates")
def list_certificates(call: PayCall) -> dict[str, Any]:
    """The platform certificates that are valid now."""
    return certificates.listing(call.world, call.merchant)


# --- JSAPI 支付 ---


@endpoints.add("POST", f"{_ORDERS}/jsapi")
def order(call: PayCall) -> dict[str, Any]:
    """What a page needs to ask for a payment."""
    made = call.desk.orders.create(call.merchant, call.body)
    if call.world.faults.notice_first and made.state == "NOTPAY":
        call.desk.tell_first(made, lambda: call.desk.orders.pay(made, made.openid))
    return {"prepay_id": made.prepay_id}


@endpoints.add("GET", f"{_ORDERS}/out-trade-no/<number>")
@endpoints.add("GET", f"{_ORDERS}/id/<number>")
def query_order(call: PayCall) -> dict[str, Any]:
    """What became of an order."""
    return call.desk.orders.facts(call.desk.orders.get(call.merchant, call.parts["number"]))


@endpoints.add("POST", f"{_ORDERS}/out-trade-no/<number>/close")
def close_order(call: PayCall) -> None:
    """Nobody can pay it any more."""
    call.desk.orders.close(call.merchant, call.parts["number"])


# --- 退款 ---


@endpoints.add("POST", _REFUNDS)
def refund(call: PayCall) -> dict[str, Any]:
    """Begin a refund."""
    made = call.desk.refunds.create(call.merchant, call.body)
    facts = call.desk.refunds.facts(made)
    if call.world.faults.notice_first:
        call.desk.tell_first(made, lambda: call.desk.refunds.finish(made))
    return facts


@endpoints.add("GET", f"{_REFUNDS}/<number>")
def query_refund(call: PayCall) -> dict[str, Any]:
    """What became of it."""
    return call.desk.refunds.facts(call.desk.refunds.get(call.merchant, call.parts["number"]))


@endpoints.add("POST", f"{_REFUNDS}/<number>/apply-abnormal-refund")
def repair_refund(call: PayCall) -> dict[str, Any]:
    """Pay an abnormal one out in another way."""
    refunds = call.desk.refunds
    return refunds.facts(refunds.repair(call.merchant, call.parts["number"], call.body))


# --- 分账 ---


@endpoints.add("POST", f"{_SHARING}/receivers/add")
def add_receiver(call: PayCall) -> dict[str, Any]:
    """Allow somebody to receive shares."""
    return dict(call.desk.sharing.add_receiver(call.merchant, call.body, call.serial))


@endpoints.add("POST", f"{_SHARING}/receivers/delete")
def delete_receiver(call: PayCall) -> dict[str, Any]:
    """Allow it no longer."""
    return dict(call.desk.sharing.delete_receiver(call.merchant, call.body))


@endpoints.add("POST", f"{_SHARING}/orders")
def share(call: PayCall) -> dict[str, Any]:
    """Share an order's money."""
    sharing = call.desk.sharing
    made = sharing.create(call.merchant, call.body, call.serial)
    facts = sharing.facts(made)
    if call.world.faults.notice_first:
        call.desk.tell_first(made, lambda: sharing.finish(made))
    return facts


@endpoints.add("POST", f"{_SHARING}/orders/unfreeze")
def unfreeze(call: PayCall) -> dict[str, Any]:
    """Give the merchant what is left."""
    return call.desk.sharing.facts(call.desk.sharing.unfreeze(call.merchant, call.body))


@endpoints.add("GET", f"{_SHARING}/orders/<number>")
def query_share(call: PayCall) -> dict[str, Any]:
    """What became of a request."""
    sharing, transaction_id = call.desk.sharing, call.query.get("transaction_id", "")
    return sharing.facts(sharing.get(call.merchant, call.parts["number"], transaction_id))


@endpoints.add("POST", f"{_SHARING}/return-orders")
def return_share(call: PayCall) -> dict[str, Any]:
    """Take a share back from a merchant."""
    return return_facts(call.desk.sharing.give_back(call.merchant, call.body))


@endpoints.add("GET", f"{_SHARING}/return-orders/<number>")
def query_return(call: PayCall) -> dict[str, Any]:
    """What became of it."""
    return return_facts(call.desk.sharing.get_return(call.merchant, call.parts["number"]))


@endpoints.add("GET", f"{_SHARING}/transactions/<number>/amounts")
def unsplit(call: PayCall) -> dict[str, Any]:
    """How much of an order may still be shared."""
    return call.desk.sharing.unsplit(call.merchant, call.parts["number"])


# --- 商家转账 ---


@endpoints.add("POST", _BILLS)
def transfer(call: PayCall) -> dict[str, Any]:
    """Begin a transfer; the person confirms it."""
    return call.desk.transfers.create(call.merchant, call.body, call.serial)


@endpoints.add("GET", f"{_BILLS}/out-bill-no/<number>")
@endpoints.add("GET", f"{_BILLS}/transfer-bill-no/<number>")
def query_transfer(call: PayCall) -> dict[str, Any]:
    """What became of it."""
    transfers = call.desk.transfers
    return transfers.query(call.merchant, transfers.find(call.parts["number"]))


@endpoints.add("POST", f"{_BILLS}/out-bill-no/<number>/cancel")
def cancel_transfer(call: PayCall) -> dict[str, Any]:
    """Take it back before the person has confirmed."""
    transfers = call.desk.transfers
    return transfers.cancel(call.merchant, transfers.find(call.parts["number"]))
