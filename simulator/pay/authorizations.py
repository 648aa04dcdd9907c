"""免确认收款授权: a person allows a merchant once, and transfers of that scene arrive without being confirmed; and
电子回单, the receipt of a transfer that succeeded.

https://pay.weixin.qq.com/doc/v3/merchant/4015901167
https://pay.weixin.qq.com/doc/v3/merchant/4012716452
"""

import hashlib
import re
from typing import Any

from simulator import ids
from simulator.errors import ControlError
from simulator.pay.book import notify_url, text_field, time_text, yuan
from simulator.pay.errors import PayError
from simulator.pay.gate import PayCall, PayEndpoints
from simulator.state import Authorization, Merchant, Transfer, World

endpoints = PayEndpoints()

WAITS, TAKING_EFFECT, CLOSED = "WAIT_USER_CONFIRM", "TAKING_EFFECT", "CLOSED"
LINK_SECONDS = 600
_ASK = "/v3/fund-app/mch-transfer/user-confirm-authorization"
_BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
_RECEIPTS = "/v3/fund-app/mch-transfer/elecsign"
_FILE = "/v3/transferdownload/elecvoucherfile"
_NUMBER = re.compile(r"[0-9A-Za-z]{1,32}")


# --- the merchant's calls -------------------------------------------------------------------------------------------


@endpoints.add("POST", _ASK)
def ask(call: PayCall) -> dict[str, Any]:
    """Ask a person; the same number with the same content is the same authorisation."""
    body = call.body
    made = _asked(
        call, body, text_field(body, "transfer_scene_id"), text_field(body, "appid"), body
    )
    return _facts(made) | {"package_info": made.package_info}


@endpoints.add("GET", f"{_ASK}/out-authorization-no/<number>")
def look(call: PayCall) -> dict[str, Any]:
    """What the person said; with is_display_authorization=true also what opens the page again."""
    found = _mine(call.world, call.merchant, call.parts["number"])
    shown = call.query.get("is_display_authorization") == "true" and found.state == WAITS
    return _facts(found) | ({"package_info": found.package_info} if shown else {})


@endpoints.add("POST", f"{_ASK}/out-authorization-no/<number>/close")
def close(call: PayCall) -> dict[str, Any]:
    """The merchant gives it up; closing it again changes nothing."""
    found = _mine(call.world, call.merchant, call.parts["number"])
    end(call.world, found, "MERCHANT_CLOSE")
    return _facts(found)


@endpoints.add("POST", f"{_BILLS}/transfer")
def transfer(call: PayCall) -> dict[str, Any]:
    """Pay somebody who has allowed it: nothing is left to confirm."""
    body = call.body
    number = str(body.get("out_authorization_no") or body.get("authorization_id") or "")
    found = _mine(call.world, call.merchant, number)
    same = found.openid == body.get("openid") and found.scene_id == body.get("transfer_scene_id")
    if found.state != TAKING_EFFECT or not same:
        raise PayError("INVALID_REQUEST", "用户未授权免确认收款，或授权与转账的用户、场景不一致")
    return call.desk.transfers.create(
        call.merchant, body, call.serial, authorization_no=found.out_authorization_no
    )


@endpoints.add("POST", f"{_BILLS}/pre-transfer-with-authorization")
def transfer_and_ask(call: PayCall) -> dict[str, Any]:
    """Pay, and ask on the same page to do without confirming from now on."""
    body, info = call.body, call.body.get("authorization_info")
    if not isinstance(info, dict):
        raise PayError("PARAM_ERROR", "authorization_info 必填")
    scene, app_id = text_field(body, "transfer_scene_id"), text_field(body, "appid")
    # First: an authorisation of somebody else's must not pay this bill.
    made = _asked(call, info, scene, app_id, body)
    answer = call.desk.transfers.create(
        call.merchant, body, call.serial, authorization_no=made.out_authorization_no
    )
    return answer | {"out_authorization_no": made.out_authorization_no}


# --- receipts -------------------------------------------------------------------------------------------------------


@endpoints.add("POST", f"{_RECEIPTS}/out-bill-no")
@endpoints.add("POST", f"{_RECEIPTS}/transfer-bill-no")
def apply_receipt(call: PayCall) -> dict[str, Any]:
    """Ask for a receipt; asking again asks for the same."""
    number = call.body.get("out_bill_no") or call.body.get("transfer_bill_no")
    bill = _bill(call, str(number or ""))
    if bill.state != "SUCCESS":
        raise PayError("INVALID_REQUEST", "转账未成功，不能申请电子回单")
    with call.world.lock:
        bill.receipt_at = bill.receipt_at or call.world.now()
        call.world.changes += 1
    return {"state": _receipt_state(call.world, bill), "create_time": time_text(bill.receipt_at)}


@endpoints.add("GET", f"{_RECEIPTS}/out-bill-no/<number>")
@endpoints.add("GET", f"{_RECEIPTS}/transfer-bill-no/<number>")
def query_receipt(call: PayCall) -> dict[str, Any]:
    """Whether it is made, with the hash of the file and a link that is good for ten minutes."""
    bill = _bill(call, call.parts["number"])
    if bill.receipt_at is None:
        raise PayError("NOT_FOUND", "电子回单未申请")
    state, made = _receipt_state(call.world, bill), time_text(bill.receipt_at)
    answer = {"state": state, "create_time": made, "update_time": made}
    if state != "FINISHED":
        return answer
    until = int(call.world.now()) + LINK_SECONDS
    return answer | {
        "hash_type": "SHA256",
        "hash_value": hashlib.sha256(_receipt(bill)).hexdigest(),
        "download_url": f"{call.base_url}{_FILE}?token={bill.transfer_bill_no}.{until}&source=elecsign",
    }


@endpoints.add("GET", _FILE)
def download_receipt(call: PayCall) -> bytes:
    """The file behind the link; it is not signed."""
    number, _, until = call.query.get("token", "").partition(".")
    bill = call.desk.transfers.find(number)
    mine = bill is not None and bill.mch_id == call.merchant.mch_id
    if bill is None or not mine or not until.isdigit() or int(until) < call.world.now():
        raise PayError("INVALID_REQUEST", "token 无效或已过期")
    return _receipt(bill)


def _bill(call: PayCall, number: str) -> Transfer:
    bill = call.desk.transfers.find(number)
    if bill is None or bill.mch_id != call.merchant.mch_id:
        raise PayError("NOT_FOUND", "记录不存在")
    return bill


def _receipt_state(world: World, bill: Transfer) -> str:
    ready = (bill.receipt_at or 0.0) + world.faults.receipt_delay_seconds
    return "FINISHED" if ready <= world.now() else "GENERATING"


def _receipt(bill: Transfer) -> bytes:
    """A page of PDF with the facts, the same whenever it is made."""
    rows = (
        "WeChat Pay transfer receipt (simulator)", f"Merchant {bill.mch_id}", f"Bill {bill.out_bill_no}",
        f"Number {bill.transfer_bill_no}", f"To {bill.openid}", f"Amount CNY {yuan(bill.amount_fen)}",
        f"At {time_text(bill.updated_at)}",
    )  # fmt: skip
    lines = " T* ".join(f"({row}) Tj" for row in rows)
    stream = f"BT /F1 12 Tf 14 TL 60 780 Td {lines} ET".encode("ascii", "replace")
    parts = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    )
    content, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    foot = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return content + head + table + foot % (len(parts) + 1, len(content))


# --- the person's phone ---------------------------------------------------------------------------------------------


def allow(world: World, found: Authorization) -> None:
    """The person agrees."""
    with world.lock:
        if found.state != WAITS:
            raise ControlError(f"nothing to agree to: {found.state}", 409)
        found.state, found.authorized_at = TAKING_EFFECT, world.now()
        world.changes += 1


def end(world: World, found: Authorization, reason: str) -> None:
    """The person, or the merchant, ends it."""
    with world.lock:
        if found.state != CLOSED:
            found.state, found.closed_at, found.close_reason = CLOSED, world.now(), reason
            world.changes += 1


# --- an authorisation -----------------------------------------------------------------------------------------------


def _asked(
    call: PayCall, info: dict[str, Any], scene: str, app_id: str, body: dict[str, Any]
) -> Authorization:
    if not _NUMBER.fullmatch(text_field(info, "out_authorization_no")):
        raise PayError("PARAM_ERROR", "out_authorization_no 只能由数字、大小写字母组成")
    world, openid = call.world, text_field(body, "openid")
    account = world.state.accounts.get(app_id)
    if call.merchant.app_ids and app_id not in call.merchant.app_ids:
        raise PayError("APPID_MCHID_NOT_MATCH", "appid与mchid不匹配")
    if account is None or openid not in account.contacts:
        raise PayError("PARAM_ERROR", "openid与appid不匹配")
    wish = Authorization(
        mch_id=call.merchant.mch_id, out_authorization_no=str(info["out_authorization_no"]),
        authorization_id=f"2320000{world.next_id():018d}", app_id=app_id, openid=openid, scene_id=scene,
        user_display_name=text_field(info, "user_display_name"),
        perception=str(body.get("user_recv_perception") or ""),
        notify_url=notify_url(info.get("authorization_notify_url")),
        package_info="auth" + ids.random_text(60) + "==", created_at=world.now(),
    )  # fmt: skip
    with world.lock:
        known = world.state.authorizations.setdefault(wish.out_authorization_no, wish)
    names = ("mch_id", "app_id", "openid", "scene_id", "user_display_name", "perception")
    if any(getattr(known, name) != getattr(wish, name) for name in names):
        raise PayError("INVALID_REQUEST", "商户授权单号已存在，请核实请求参数是否与原单一致")
    return known


def _mine(world: World, merchant: Merchant, number: str) -> Authorization:
    with world.lock:
        known = list(world.state.authorizations.values())
    for one in known:
        names = (one.out_authorization_no, one.authorization_id)
        if number in names and one.mch_id == merchant.mch_id:
            return one
    raise PayError("NOT_FOUND", "授权单不存在")


def _facts(one: Authorization) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "out_authorization_no": one.out_authorization_no,
        "appid": one.app_id,
        "openid": one.openid,
        "user_display_name": one.user_display_name,
        "state": one.state,
        "transfer_scene_id": one.scene_id,
        "user_recv_perception": one.perception,
        "create_time": time_text(one.created_at),
    }
    if one.authorized_at is not None:
        facts |= {
            "authorization_id": one.authorization_id,
            "authorize_time": time_text(one.authorized_at),
        }
    if one.closed_at is not None:
        facts["close_info"] = {
            "close_time": time_text(one.closed_at),
            "close_reason": one.close_reason,
        }
    return facts
