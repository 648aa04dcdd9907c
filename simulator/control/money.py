"""WeChat Pay: merchants, and what people do with money that is sent to them."""

from dataclasses import asdict
from typing import Any

from simulator.control.gate import Calls, ControlCall
from simulator.errors import ControlError
from simulator.pay import signing
from simulator.state import Merchant, Transfer

calls = Calls()

_API_KEY_BYTES = 32


@calls.add("POST", "/_sim/merchants")
def put_merchant(call: ControlCall) -> Any:
    """Make or change a merchant of WeChat Pay: mch_id, api_v3_key (32 bytes), serial_no (of the merchant's
    certificate), public_key (PEM, of the merchant's API certificate), optional balance_fen, bill_max_fen, app_ids.
    Answers public_key_id and public_key: the platform's, by which its answers are verified."""
    mch_id, key = call.text("mch_id"), call.text("api_v3_key")
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
        call.world.state.merchants[mch_id] = merchant
    return merchant_json(merchant)


@calls.add("GET", "/_sim/merchants")
def get_merchants(call: ControlCall) -> Any:
    """All merchants with their balances, without their secrets."""
    return {"merchants": [merchant_json(each) for each in call.world.state.merchants.values()]}


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
        "public_key_id": merchant.public_key_id,
        "public_key": signing.public_half(merchant.platform_key),
    }


def _get(call: ControlCall, number: str) -> Transfer:
    bill = call.room.transfers.find(number)
    if bill is None:
        raise ControlError(f"no transfer {number}", 404)
    return bill
