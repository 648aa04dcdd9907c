"""What a web page meets inside WeChat: the script, and what the phone checks before it shows something."""

import hashlib
from dataclasses import asdict
from typing import Any

from flask import Response, send_from_directory

from simulator.control.gate import Calls, ControlCall
from simulator.errors import ControlError

calls = Calls()

_SCRIPT = "bridge.js"
_NO_CONFIG = "config:fail, invalid signature"


@calls.add("GET", "/_sim/bridge.js")
def script(call: ControlCall) -> Response:
    """The JS-SDK of the simulator's phones: a page loads it instead of WeChat's own. It has wx, WeixinJSBridge
    (getBrandWCPayRequest, requestMerchantTransfer) and <wx-open-subscribe>."""
    response = send_from_directory("static", _SCRIPT, mimetype="text/javascript", max_age=0)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@calls.add("POST", "/_sim/bridge/config")
def config(call: ControlCall) -> Any:
    """Check wx.config as a phone does: appId, timestamp, nonceStr, signature, url (of the page, without #…).
    Answers {"err_msg": "config:ok"} or the words that wx.error gets."""
    account = call.world.state.accounts.get(call.text("appId"))
    if account is None:
        return {"err_msg": "config:fail, invalid appid"}
    if not account.jsapi_ticket:
        return {"err_msg": _NO_CONFIG}
    ticket, expires_at = account.jsapi_ticket
    parts = {
        "jsapi_ticket": ticket,
        "noncestr": call.text("nonceStr"),
        "timestamp": call.text("timestamp"),
        "url": call.text("url").partition("#")[0],
    }
    text = "&".join(f"{name}={value}" for name, value in parts.items())
    right = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    if call.text("signature") != right or expires_at <= call.world.now():
        return {"err_msg": _NO_CONFIG}
    return {"err_msg": "config:ok"}


@calls.add("POST", "/_sim/bridge/order")
def order(call: ControlCall) -> Any:
    """What the pay sheet shows: user, and what a page hands to getBrandWCPayRequest, which is checked."""
    orders, user = call.room.desk.orders, call.user()
    found = orders.asked(call.text("package").removeprefix("prepay_id="))
    orders.check_package(found, call.fields)
    if user.openids.get(found.app_id) != found.openid:
        raise ControlError("the order is for somebody else", 403)
    if found.state != "NOTPAY":
        raise ControlError(f"nothing to pay: {found.state}", 409)
    return asdict(found)


@calls.add("POST", "/_sim/bridge/transfer")
def transfer(call: ControlCall) -> Any:
    """What the sheet of a transfer shows: user, and what a page hands to requestMerchantTransfer (mchId, appId,
    package), which is checked."""
    user, wanted = call.user(), (call.text("mchId"), call.text("appId"), call.text("package"))
    with call.world.lock:
        bills = list(call.world.state.transfers.values())
    for bill in bills:
        if (bill.mch_id, bill.app_id, bill.package_info) == wanted:
            if user.openids.get(bill.app_id) != bill.openid:
                raise ControlError("the transfer is for somebody else", 403)
            if bill.state != "WAIT_USER_CONFIRM":
                raise ControlError(f"nothing to confirm: {bill.state}", 409)
            return asdict(bill)
    raise ControlError("no such transfer", 404)


@calls.add("POST", "/_sim/bridge/templates")
def templates(call: ControlCall) -> Any:
    """The titles of templates that a page wants to send notices by: account, templates [template_id, …]."""
    account = call.account()
    known = [*account.templates, *account.subscription_templates]
    titles = {each["template_id"]: each.get("title", "") for each in known}
    wanted = call.fields.get("templates")
    if not isinstance(wanted, list):
        raise ControlError("templates must be a list")
    return {"templates": [{"template_id": each, "title": titles.get(each, "")} for each in wanted]}
