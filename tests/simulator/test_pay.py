"""商家转账 at the simulator, by wechatpayv3 unchanged."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.type import RequestType

from tests.simulator.conftest import (
    APP_ID,
    Callback,
    Sim,
    eventually,
    follower,
    free_port,
    start,
    stop,
)

MCH_ID, SERIAL, API_KEY = "1900000109", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "k" * 32
INFOS = [
    {"info_type": "岗位类型", "info_content": "推广员"},
    {"info_type": "报酬说明", "info_content": "推广佣金"},
]
BILLS = "/v3/fund-app/mch-transfer/transfer-bills"


def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


PRIVATE, PUBLIC = key_pair()


@dataclass
class Till:
    """A merchant with money, and somebody who follows."""

    sim: Sim
    pay: WeChatPay
    openid: str
    notify_url: str

    def create(self, number: str = "bill1", fen: int = 5000, **more: Any) -> tuple[int, Any]:
        status, text = self.pay.mch_transfer_bills(
            out_bill_no=number,
            transfer_scene_id="1005",
            openid=self.openid,
            transfer_amount=fen,
            transfer_remark="推广佣金",
            transfer_scene_report_infos=INFOS,
            notify_url=self.notify_url,
            **more,
        )
        return status, json.loads(text)

    def query(self, number: str = "bill1") -> tuple[int, Any]:
        status, text = self.pay.mch_transfer_bills_query(out_bill_no=number)
        return status, json.loads(text)

    def cancel(self, number: str = "bill1") -> tuple[int, Any]:
        status, text = self.pay.mch_transfer_bills_cancel(number)
        return status, json.loads(text)

    def state(self, number: str = "bill1") -> str:
        return str(self.query(number)[1]["state"])

    def act(self, what: str, number: str = "bill1", **body: Any) -> Any:
        return self.sim.control(f"transfers/{number}/{what}", **body)

    def bill(self, number: str = "bill1") -> dict[str, Any]:
        bill: dict[str, Any] = self.sim.look(f"transfers/{number}")
        return bill

    @property
    def balance(self) -> int:
        return int(self.sim.look("merchants")["merchants"][0]["balance_fen"])

    def deliveries(self, number: str = "bill1") -> list[dict[str, Any]]:
        return [each for each in self.bill(number)["notices"] if not each["probe"]]


def client(sim: Sim, merchant: dict[str, Any], private_key: str = PRIVATE) -> WeChatPay:
    pay = WeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid=MCH_ID,
        private_key=private_key,
        cert_serial_no=SERIAL,
        apiv3_key=API_KEY,
        appid=APP_ID,
        notify_url="http://127.0.0.1:9/unused",
        timeout=(3, 10),
        public_key=merchant["public_key"],
        public_key_id=merchant["public_key_id"],
    )
    pay._core._gate_way = sim.url
    return pay


def merchant(sim: Sim, **more: Any) -> dict[str, Any]:
    usual = {"mch_id": MCH_ID, "api_v3_key": API_KEY, "serial_no": SERIAL, "public_key": PUBLIC}
    made: dict[str, Any] = sim.control("merchants", **usual | {"balance_fen": 1_000_000} | more)
    return made


@pytest.fixture
def till(sim: Sim, callback: Callback) -> Iterator[Till]:
    url = callback.url
    openid = follower(sim)
    sim.control("faults", off=True, signtest_rate=0)
    callback.received.clear()
    yield Till(sim, client(sim, merchant(sim)), openid, url)
    sim.control("faults", off=True)


def test_a_transfer_waits_for_the_person_and_then_succeeds(till: Till) -> None:
    status, made = till.create()
    assert (status, made["state"]) == (200, "WAIT_USER_CONFIRM")
    assert made["package_info"]
    assert till.balance == 995_000
    assert "50.00" in till.sim.chat("小明")[-1]["text"]
    till.act("confirm")
    status, found = till.query()
    assert (found["state"], found["transfer_amount"], found["openid"]) == (
        "SUCCESS",
        5000,
        till.openid,
    )
    by_our_number = till.pay.mch_transfer_bills_query(transfer_bill_no=made["transfer_bill_no"])
    assert json.loads(by_our_number[1]) == found
    assert till.balance == 995_000


def test_a_query_does_not_tell_the_package_but_creating_again_does(till: Till) -> None:
    made = till.create()[1]
    assert "package_info" not in till.query()[1]
    assert till.create()[1]["package_info"] == made["package_info"]
    assert till.bill()["creations"] == 2
    assert till.balance == 995_000


def test_the_same_number_with_other_content_is_refused(till: Till) -> None:
    till.create()
    status, refusal = till.create(fen=5001)
    assert (status, refusal["code"]) == (400, "INVALID_REQUEST")
    assert till.query()[1]["transfer_amount"] == 5000


def test_a_merchant_without_money_is_told_so_and_no_bill_is_made(till: Till) -> None:
    status, refusal = till.create(fen=1_500_000, user_name="张三")
    assert (status, refusal["code"]) == (403, "NOT_ENOUGH")
    assert till.query()[0] == 404


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"fen": 9}, "INVALID_REQUEST"),
        ({"fen": 20_000_001, "user_name": "张三"}, "INVALID_REQUEST"),
        ({"number": "bill-1"}, "PARAM_ERROR"),
        ({"number": "b" * 33}, "PARAM_ERROR"),
        ({"appid": "wxsomebodyelse00"}, "PARAM_ERROR"),
    ],
)
def test_what_the_platform_would_refuse_is_refused(
    till: Till, wish: dict[str, Any], code: str
) -> None:
    assert till.create(**wish)[1]["code"] == code


def test_scene_reports_are_a_fixed_set(till: Till) -> None:
    kinds = {"transfer_scene_report_infos": INFOS[:1], "transfer_scene_id": "1005"}
    usual = {"out_bill_no": "x", "openid": till.openid, "transfer_amount": 100}
    status, text = till.pay.mch_transfer_bills(**usual, transfer_remark="r", **kinds)
    assert (status, json.loads(text)["code"]) == (400, "PARAM_ERROR")


def test_2000_yuan_need_a_name_which_travels_encrypted(till: Till) -> None:
    body = {
        "appid": APP_ID, "out_bill_no": "big", "transfer_scene_id": "1005", "openid": till.openid,
        "transfer_amount": 200_000, "transfer_remark": "r", "transfer_scene_report_infos": INFOS,
    }  # fmt: skip
    status, text = till.pay._core.request(BILLS, method=RequestType.POST, data=body)
    assert (status, json.loads(text)["code"]) == (400, "PARAM_ERROR")
    assert till.create("big", 200_000, user_name="张三")[0] == 200
    (call, _) = [each for each in till.sim.look("calls")["calls"] if each["path"] == BILLS]
    assert "张三" not in call["body"]
    assert till.bill("big")["user_name"] == "张三"
    assert till.act("confirm", "big", real_name="李四")["fail_reason"] == "NAME_NOT_CORRECT"
    assert till.balance == 1_000_000


def test_a_request_of_another_key_or_time_is_refused(till: Till) -> None:
    stranger, _ = key_pair()
    till.pay = client(till.sim, merchant(till.sim), stranger)
    assert till.query()[0] == 401
    till.pay = client(till.sim, merchant(till.sim))
    assert till.query()[0] == 404
    nobody = till.sim.http.get(f"{till.sim.url}{BILLS}/out-bill-no/bill1", timeout=5)
    assert nobody.status_code == 401


def test_answers_are_signed_and_a_wrong_signature_is_noticed_after_the_effect(till: Till) -> None:
    till.sim.control("faults", wrong_signature_rate=1)
    with pytest.raises(Exception, match="verify the signature"):
        till.create()
    assert till.bill()["state"] == "WAIT_USER_CONFIRM"


@pytest.mark.parametrize("fault", ["drop_answer_rate", "truncate_rate", "late_error_rate"])
def test_an_answer_is_lost_after_the_effect(till: Till, fault: str) -> None:
    till.sim.control("faults", **{fault: 1})
    try:
        status, _ = till.create()
    except Exception:  # whatever the library makes of it
        status = 0
    assert status in (0, 500)
    assert till.bill()["creations"] == 1


def test_faults_before_the_effect_have_none(till: Till) -> None:
    till.sim.control("faults", pay_error="FREQUENCY_LIMITED")
    assert till.create()[0] == 429
    till.sim.control("faults", pay_error="", http_500_rate=1)
    assert till.pay.mch_transfer_bills_query(out_bill_no="bill1")[0] == 500
    till.sim.control("faults", http_500_rate=0)
    assert till.query()[0] == 404


@pytest.mark.parametrize("stop", ["ACCEPTED", "PROCESSING"])
def test_a_transfer_that_stands_still_goes_on_when_its_number_is_sent_again(
    till: Till, stop: str
) -> None:
    till.sim.control("faults", transfer_stops_at=stop)
    assert till.create()[1]["state"] == stop
    assert till.create()[1]["state"] == stop
    till.sim.control("faults", transfer_stops_at="")
    assert till.create()[1]["state"] == "WAIT_USER_CONFIRM"
    assert till.balance == 995_000


def test_transfering_takes_its_time_and_may_still_fail(till: Till) -> None:
    till.sim.control("faults", transfer_stops_at="TRANSFERING")
    till.create()
    till.act("confirm")
    assert till.state() == "TRANSFERING"
    till.sim.control("faults", transfer_fails_with="ACCOUNT_FROZEN")
    till.act("proceed")
    assert till.query()[1]["fail_reason"] == "ACCOUNT_FROZEN"
    assert till.balance == 1_000_000


def test_cancelling_gives_the_money_back(till: Till) -> None:
    till.sim.control("faults", transfer_stops_at="CANCELING")
    till.create()
    assert till.cancel()[1]["state"] == "CANCELING"
    assert till.balance == 995_000
    till.act("proceed")
    assert till.state() == "CANCELLED"
    assert till.balance == 1_000_000
    till.sim.control("faults", transfer_stops_at="")
    till.create("other")
    till.act("confirm", "other")
    assert till.cancel("other")[1]["code"] == "INVALID_REQUEST"


def test_a_person_may_refuse(till: Till) -> None:
    till.create()
    till.act("refuse")
    assert till.state() == "FAIL"
    assert till.sim.control("transfers/bill1/confirm", expect=409)


def test_after_a_day_without_confirmation_the_bill_closes_and_the_money_returns(
    till: Till, callback: Callback
) -> None:
    till.create()
    till.sim.advance(24 * 3600 - 60)
    assert till.state() == "WAIT_USER_CONFIRM"
    till.sim.advance(61)
    eventually(lambda: till.state() == "FAIL")
    assert till.query()[1]["fail_reason"] == "OVERDUE_CLOSE"
    assert till.balance == 1_000_000
    callback.wait_for(1)


def test_a_bill_cannot_be_asked_for_after_30_days(till: Till) -> None:
    till.create()
    till.act("confirm")
    till.sim.advance(30 * 24 * 3600 + 60)
    assert till.query()[0] == 404


def test_the_notice_is_signed_and_encrypted_and_names_its_type(
    till: Till, callback: Callback
) -> None:
    till.create()
    till.act("confirm")
    (received,) = callback.wait_for(1)
    told = till.pay.callback(received.headers, received.body)
    assert told["event_type"] == "MCHTRANSFER.BILL.FINISHED"
    assert json.loads(received.body)["resource"]["original_type"] == "mch_payment"
    inside = told["resource"]
    assert (inside["state"], inside["transfer_amount"], inside["mchid"]) == (
        "SUCCESS",
        5000,
        MCH_ID,
    )


def test_a_notice_that_is_refused_is_repeated_after_15_seconds_15_30_and_3_minutes(
    till: Till, callback: Callback
) -> None:
    def tried(times: int) -> bool:
        return bool(till.bill()["notify_at"]) and len(till.deliveries()) == times

    callback.answer = lambda _: (500, '{"code":"FAIL"}')
    till.create()
    till.act("confirm")
    for count, pause in enumerate((15, 15, 30, 180), start=1):
        eventually(partial(tried, count))
        till.sim.advance(pause - 1)
        time.sleep(0.2)  # nothing may happen yet
        assert len(till.deliveries()) == count
        till.sim.advance(2)
    callback.answer = lambda _: (204, "")
    eventually(lambda: len(till.deliveries()) == 5)
    eventually(lambda: till.bill()["notify_at"] is None)


def test_notices_are_doubled_probed_and_lost_on_request(till: Till, callback: Callback) -> None:
    till.sim.control("faults", notice_copies=2, signtest_rate=1)
    till.create()
    till.act("confirm")
    received = callback.wait_for(4)
    probes = [each for each in received if "SIGNTEST" in each.headers["Wechatpay-Signature"]]
    assert len(probes) == 1
    assert till.pay.callback(probes[0].headers, probes[0].body) is None
    till.sim.control("faults", notice_lost_rate=1, signtest_rate=0, notice_copies=0)
    till.create("lost")
    till.act("confirm", "lost")
    eventually(lambda: till.bill("lost")["notify_tries"] == 1)
    assert till.deliveries("lost") == []


def test_bills_and_pending_notices_survive_a_restart(sim: Sim, tmp_path: Any) -> None:
    port, state = free_port(), str(tmp_path / "state.json")
    process = start(port, "--state-file", state)
    try:
        other = replace(sim, url=f"http://127.0.0.1:{port}")
        other.account()
        other.control("faults", signtest_rate=0)
        openid = other.user("小明")
        till = Till(other, client(other, merchant(other)), openid, "http://127.0.0.1:9/gone")
        till.create()
    finally:
        stop(process)
    process = start(port, "--state-file", state)
    try:
        assert till.state() == "WAIT_USER_CONFIRM"
        till.act("confirm")
        eventually(lambda: till.bill()["notify_tries"] == 1)
    finally:
        stop(process)
