"""WeChat Pay: merchants, what people pay, and what they do with money that is sent to them."""

from dataclasses import asdict
from typing import Any

from simulator.control.gate import Calls, ControlCall
from simulator.errors import ControlError
from simulator.pay import authorizations, certificates, signing
from simulator.state import Authorization, Merchant, Transfer

calls = Calls()

SIGNERS = ("public_key", "certificate", "mixed")
_API_KEY_BYTES = 32


@calls.add("POST", "/_sim/merchants")
def put_merchant(call: ControlCall) -> Any:
    """Make or change a merchant of WeChat Pay: mch_id, api_v3_key (32 bytes), serial_no (of the merchant's
    certificate), public_key (PEM, of the merchant's API certificate), optional balance_fen, bill_max_fen, app_ids,
    signs_with (public_key, certificate, or mixed: answers come signed with either), fee_bps (60), share_max_bps
    (3000), share_notify_url (where profit sharing is told; set in the console). Answers public_key_id and
    public_key: the platform's, by which its answers are verified."""
    mch_id, key = call.text("mch_id"), call.text("api_v3_key")
    if call.text("signs_with", "public_key") not in SIGNERS:
        raise ControlError(f"signs_with must be one of {', '.join(SIGNERS)}")
    if len(key.encode()) != _API_KEY_BYTES:
        raise ControlError("api_v3_key must have 32 bytes")
    public_key = call.text("public_key")
    signing.check_public_key(public_key)
    with call.world.lock:
        merchant = call.world.state.merchants.get(mch_id)
        if merchant is None:
            merchant = Merchant(
                mch_id, "", "", "", f"PUB_KEY_ID_0{mch_id}{call.world.next_id():020d}", signing.new_key()
            )  # fmt: skip
        merchant.api_v3_key, merchant.public_key = key, public_key
        merchant.serial_no = call.text("serial_no")
        merchant.balance_fen = call.number("balance_fen", merchant.balance_fen)
        merchant.bill_max_fen = call.number("bill_max_fen", merchant.bill_max_fen)
        merchant.app_ids = list(call.fields.get("app_ids", merchant.app_ids))
        merchant.fee_bps = call.number("fee_bps", merchant.fee_bps)
        merchant.share_max_bps = call.number("share_max_bps", merchant.share_max_bps)
        merchant.share_notify_url = call.text("share_notify_url", merchant.share_notify_url)
        merchant.signs_with = signs_with = call.text("signs_with", merchant.signs_with)
        if signs_with != "public_key" and not merchant.certificates:
            certificates.rotate(call.world, merchant)
        call.world.state.merchants[mch_id] = merchant
    return merchant_json(merchant)


@calls.add("GET", "/_sim/merchants")
def get_merchants(call: ControlCall) -> Any:
    """All merchants with their balances, without their secrets."""
    return {"merchants": [merchant_json(each) for each in call.world.state.merchants.values()]}


@calls.add("POST", "/_sim/merchants/<mch_id>/rotate")
def rotate(call: ControlCall, mch_id: str) -> Any:
    """A new platform certificate signs from now on; the one before is still given out for a day. Answers its
    serial_no."""
    merchant = call.world.state.merchants.get(mch_id)
    if merchant is None:
        raise ControlError(f"no merchant {mch_id}", 404)
    return {"serial_no": certificates.rotate(call.world, merchant).serial_no}


@calls.add("GET", "/_sim/pay_orders")
def get_orders(call: ControlCall) -> Any:
    """All orders of WeChat Pay, newest first, with every delivery of their notices."""
    return {"pay_orders": _newest(call, call.world.state.pay_orders)}


@calls.add("GET", "/_sim/refunds")
def get_refunds(call: ControlCall) -> Any:
    """All refunds, newest first, with every delivery of their notices."""
    return {"refunds": _newest(call, call.world.state.refunds)}


@calls.add("GET", "/_sim/shares")
def get_shares(call: ControlCall) -> Any:
    """All requests of profit sharing, newest first, with every delivery of their notices."""
    return {"shares": _newest(call, call.world.state.shares)}


@calls.add("POST", "/_sim/pay")
def pay(call: ControlCall) -> Any:
    """The person pays: user, prepay_id; or what a page hands to getBrandWCPayRequest (appId, timeStamp, nonceStr,
    package, signType, paySign), which is then checked as a phone does."""
    desk, user = call.room.desk, call.user()
    order = desk.orders.asked(_prepay_id(call))
    if "paySign" in call.fields:
        desk.orders.check_package(order, call.fields)
    desk.orders.pay(order, user.openids.get(order.app_id, ""))
    return asdict(order)


@calls.add("POST", "/_sim/notify")
def notify_again(call: ControlCall) -> Any:
    """Deliver a notice of WeChat Pay once more: number (of an order, a refund, a request of profit sharing or a
    transfer, the merchant's or WeChat Pay's own). Answers {at, status, body}."""
    state, number = call.world.state, call.text("number")
    entries: list[Any] = [
        *state.pay_orders.values(),
        *state.refunds.values(),
        *state.shares.values(),
    ]
    for entry in (*entries, *state.transfers.values()):
        if number in (getattr(entry, name, "") for name in _NUMBERS):
            if not entry.notify_url:
                raise ControlError(f"{number} has no notify_url", 409)
            return call.room.desk.deliver(entry)
    raise ControlError(f"nothing with the number {number}", 404)


@calls.add("GET", "/_sim/authorizations")
def get_authorizations(call: ControlCall) -> Any:
    """What people allowed merchants (免确认收款授权), newest first."""
    with call.world.lock:
        known = list(reversed(call.world.state.authorizations.values()))
    return {"authorizations": [asdict(each) for each in known]}


@calls.add("POST", "/_sim/authorizations/<number>/confirm")
def confirm_authorization(call: ControlCall, number: str) -> Any:
    """The person agrees that transfers arrive without being confirmed."""
    found = _authorization(call, number)
    authorizations.allow(call.world, found)
    return asdict(found)


@calls.add("POST", "/_sim/authorizations/<number>/close")
def close_authorization(call: ControlCall, number: str) -> Any:
    """The person takes it back."""
    found = _authorization(call, number)
    authorizations.end(call.world, found, "USER_CLOSE")
    return asdict(found)


def _authorization(call: ControlCall, number: str) -> Authorization:
    found = call.world.state.authorizations.get(number)
    if found is None:
        raise ControlError(f"no authorization {number}", 404)
    return found


@calls.add("GET", "/_sim/transfers")
def get_transfers(call: ControlCall) -> Any:
    """All transfers, newest first: optional mch_id, state."""
    with call.world.lock:
        bills = list(reversed(call.world.state.transfers.values()))
    wanted = {name: call.text(name) for name in ("mch_id", "state") if name in call.fields}
    return {
        "transfers": [
            asdict(bill)
            for bill in bills
            if all(getattr(bill, name) == value for name, value in wanted.items())
        ]
    }


@calls.add("GET", "/_sim/transfers/<bill>")
def get_transfer(call: ControlCall, bill: str) -> Any:
    """One transfer, by out_bill_no or transfer_bill_no, with every delivery of its notice."""
    return asdict(_get(call, bill))


@calls.add("POST", "/_sim/transfers/<bill>/confirm")
def confirm(call: ControlCall, bill: str) -> Any:
    """The person takes the money: optional real_name, what their bank knows (FAIL when the bill says another)."""
    found = _get(call, bill)
    call.room.transfers.confirm(found, call.text("real_name", ""))
    return asdict(found)


@calls.add("POST", "/_sim/transfers/<bill>/refuse")
def refuse(call: ControlCall, bill: str) -> Any:
    """The person does not want the money: FAIL."""
    found = _get(call, bill)
    call.room.transfers.refuse(found)
    return asdict(found)


@calls.add("POST", "/_sim/transfers/<bill>/proceed")
def proceed(call: ControlCall, bill: str) -> Any:
    """A transfer that a fault has stopped goes on."""
    found = _get(call, bill)
    call.room.transfers.proceed(found)
    return asdict(found)


@calls.add("POST", "/_sim/transfers/<bill>/notify")
def notify(call: ControlCall, bill: str) -> Any:
    """Deliver the notice once more. Answers {at, status, body}."""
    return call.room.desk.deliver(_get(call, bill))


def merchant_json(merchant: Merchant) -> dict[str, Any]:
    """A merchant as the control API shows it."""
    return {
        "mch_id": merchant.mch_id,
        "serial_no": merchant.serial_no,
        "balance_fen": merchant.balance_fen,
        "bill_max_fen": merchant.bill_max_fen,
        "app_ids": merchant.app_ids,
        "signs_with": merchant.signs_with,
        "certificates": [each.serial_no for each in merchant.certificates],
        "public_key_id": merchant.public_key_id,
        "public_key": signing.public_half(merchant.platform_key),
    }


_NUMBERS = (
    "out_trade_no", "transaction_id", "out_refund_no", "refund_id", "out_order_no", "order_id", "out_bill_no",
    "transfer_bill_no",
)  # fmt: skip


def _prepay_id(call: ControlCall) -> str:
    if "package" in call.fields:
        return call.text("package").removeprefix("prepay_id=")
    return call.text("prepay_id")


def _newest(call: ControlCall, entries: dict[str, Any]) -> list[dict[str, Any]]:
    with call.world.lock:
        return [asdict(each) for each in reversed(entries.values())]


def _get(call: ControlCall, number: str) -> Transfer:
    bill = call.room.transfers.find(number)
    if bill is None:
        raise ControlError(f"no transfer {number}", 404)
    return bill
