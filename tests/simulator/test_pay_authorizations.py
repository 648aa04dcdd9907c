"""免确认收款授权 and 电子回单 at the simulator, asked by wechatpayv3's own signed requests."""

import hashlib
import json
from typing import Any

import pytest
from wechatpayv3.type import RequestType

from tests.simulator.conftest import APP_ID, follower
from tests.simulator.test_pay import BILLS, INFOS, Till, till

__all__ = ["till"]

ASK = "/v3/fund-app/mch-transfer/user-confirm-authorization"
RECEIPTS = "/v3/fund-app/mch-transfer/elecsign"


def call(till: Till, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """A signed call; POST with a body, else GET."""
    kind = RequestType.GET if body is None else RequestType.POST
    status, text = till.pay._core.request(path, method=kind, data=body or None)
    return status, json.loads(text)


def ask(till: Till, number: str = "auth1", **more: Any) -> tuple[int, Any]:
    wish = {
        "appid": APP_ID, "openid": till.openid, "out_authorization_no": number, "transfer_scene_id": "1005",
        "user_display_name": "小林", "user_recv_perception": "佣金报酬",
    }  # fmt: skip
    return call(till, ASK, wish | more)


def pay(till: Till, path: str, number: str = "bill1", **more: Any) -> tuple[int, Any]:
    wish = {
        "appid": APP_ID, "openid": till.openid, "out_bill_no": number, "transfer_scene_id": "1005",
        "transfer_amount": 5000, "transfer_remark": "推广佣金", "transfer_scene_report_infos": INFOS,
    }  # fmt: skip
    return call(till, f"{BILLS}/{path}", wish | more)


def test_whoever_has_agreed_is_paid_without_confirming(till: Till) -> None:
    status, asked = ask(till)
    assert (status, asked["state"]) == (200, "WAIT_USER_CONFIRM")
    assert asked["package_info"]
    assert pay(till, "transfer", out_authorization_no="auth1")[0] == 400
    balance = till.balance

    till.sim.control("authorizations/auth1/confirm")
    found = call(till, f"{ASK}/out-authorization-no/auth1")[1]
    assert (found["state"], found["openid"]) == ("TAKING_EFFECT", till.openid)
    status, bill = pay(till, "transfer", authorization_id=found["authorization_id"])
    assert (status, bill["state"]) == (200, "SUCCESS")
    assert "package_info" not in bill
    assert till.balance == balance - 5000


def test_asking_again_with_the_same_number_is_the_same_and_with_other_content_refused(
    till: Till,
) -> None:
    first = ask(till)[1]
    assert ask(till)[1]["package_info"] == first["package_info"]
    assert ask(till, user_display_name="小红")[0] == 400
    assert ask(till, "no-dashes")[0] == 400
    assert ask(till, "auth2", openid="stranger")[0] == 400
    shown = call(till, f"{ASK}/out-authorization-no/auth1?is_display_authorization=true")[1]
    assert shown["package_info"] == first["package_info"]
    assert call(till, f"{ASK}/out-authorization-no/none")[0] == 404


@pytest.mark.parametrize("by", ["merchant", "person"])
def test_a_closed_authorisation_pays_nothing(till: Till, by: str) -> None:
    ask(till)
    till.sim.control("authorizations/auth1/confirm")
    if by == "merchant":
        assert call(till, f"{ASK}/out-authorization-no/auth1/close", {})[1]["state"] == "CLOSED"
    else:
        till.sim.control("authorizations/auth1/close")
    found = call(till, f"{ASK}/out-authorization-no/auth1")[1]
    assert found["close_info"]["close_reason"] == {
        "merchant": "MERCHANT_CLOSE", "person": "USER_CLOSE",
    }[by]  # fmt: skip
    assert pay(till, "transfer", out_authorization_no="auth1")[0] == 400
    assert till.balance == 1_000_000


def test_another_scene_is_not_paid_by_it(till: Till) -> None:
    ask(till, transfer_scene_id="1000")
    till.sim.control("authorizations/auth1/confirm")
    assert pay(till, "transfer", out_authorization_no="auth1")[0] == 400


def test_one_confirmation_takes_the_money_and_agrees_to_what_follows(till: Till) -> None:
    info = {"user_display_name": "小林", "out_authorization_no": "auth1"}
    status, bill = pay(till, "pre-transfer-with-authorization", authorization_info=info)
    assert (status, bill["state"]) == (200, "WAIT_USER_CONFIRM")
    assert bill["out_authorization_no"] == "auth1"
    till.act("confirm")
    assert till.state() == "SUCCESS"
    assert pay(till, "transfer", "bill2", out_authorization_no="auth1")[1]["state"] == "SUCCESS"
    assert pay(till, "pre-transfer-with-authorization", "bill3")[0] == 400
    balance = till.balance
    other = follower(till.sim, "小红")
    stolen = {"openid": other, "authorization_info": info}
    assert pay(till, "pre-transfer-with-authorization", "bill4", **stolen)[0] == 400
    assert till.balance == balance


@pytest.mark.parametrize("by", ["out-bill-no", "transfer-bill-no"])
def test_a_receipt_is_made_for_a_transfer_that_succeeded_and_its_hash_is_right(
    till: Till, by: str
) -> None:
    created = till.create()[1]
    field = by.replace("-", "_")
    number = created[field]
    assert call(till, f"{RECEIPTS}/{by}", {field: number})[0] == 400
    till.act("confirm")
    assert call(till, f"{RECEIPTS}/{by}/{number}")[0] == 404

    till.sim.control("faults", receipt_delay_seconds=30)
    assert call(till, f"{RECEIPTS}/{by}", {field: number})[1]["state"] == "GENERATING"
    assert "download_url" not in call(till, f"{RECEIPTS}/{by}/{number}")[1]
    till.sim.advance(31)
    found = call(till, f"{RECEIPTS}/{by}/{number}")[1]
    assert (found["state"], found["hash_type"]) == ("FINISHED", "SHA256")

    link = found["download_url"].removeprefix(till.sim.url)
    file = till.pay._core.request(link, skip_verify=True)[1]
    content = file if isinstance(file, bytes) else file.encode()
    assert content.startswith(b"%PDF-")
    assert hashlib.sha256(content).hexdigest() == found["hash_value"]
    till.sim.advance(601)
    assert till.pay._core.request(link, skip_verify=True)[0] == 400
