"""JSAPI payments, refunds, profit sharing and certificates, by wechatpayv3 unchanged."""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core
from wechatpayv3.type import RequestType

from tests.simulator.conftest import (
    APP_ID,
    Callback,
    Received,
    Sim,
    eventually,
    follower,
    free_port,
    start,
    stop,
)
from tests.simulator.test_pay import API_KEY, MCH_ID, PRIVATE, SERIAL, client, merchant


@dataclass
class Counter:
    """A merchant whose customers pay with their phones."""

    sim: Sim
    pay: WeChatPay
    openid: str
    callback: Callback

    def order(self, number: str = "order-0001", fen: int = 10_000, **more: Any) -> tuple[int, Any]:
        status, text = self.pay.pay(
            description="武夷岩茶",
            out_trade_no=number,
            amount={"total": fen, "currency": "CNY"},
            payer={"openid": self.openid},
            notify_url=self.callback.url,
            **more,
        )
        return status, json.loads(text)

    def paid(self, number: str = "order-0001", fen: int = 10_000, **more: Any) -> dict[str, Any]:
        """An order that was paid; what a query says."""
        prepay_id = self.order(number, fen, **more)[1]["prepay_id"]
        self.sim.control("pay", user="小明", prepay_id=prepay_id)
        found: dict[str, Any] = self.query(number)[1]
        return found

    def query(self, number: str = "order-0001") -> tuple[int, Any]:
        status, text = self.pay.query(out_trade_no=number)
        return status, json.loads(text)

    def refund(self, number: str = "refund-1", fen: int = 3000, **more: Any) -> tuple[int, Any]:
        wish = {"out_trade_no": "order-0001", "notify_url": self.callback.url} | more
        amount = {"refund": fen, "total": 10_000, "currency": "CNY"}
        status, text = self.pay.refund(out_refund_no=number, amount=amount, **wish)
        return status, json.loads(text)

    def refund_state(self, number: str = "refund-1") -> str:
        return str(json.loads(self.pay.query_refund(number)[1])["status"])

    @property
    def balance(self) -> int:
        return int(self.sim.look("merchants")["merchants"][0]["balance_fen"])

    def heard(self, original_type: str, count: int = 1) -> list[dict[str, Any]]:
        """The insides of notices of this kind, as soon as there are so many."""

        def those() -> list[dict[str, Any]]:
            opened = [self.open(each) for each in self.callback.received if "resource" in each.body]
            mine = [each for each in opened if each["resource_type"] == original_type]
            return mine if len(mine) >= count else []

        found: list[dict[str, Any]] = eventually(those)
        return found

    def open(self, received: Received) -> dict[str, Any]:
        """Verified and decrypted by wechatpayv3; `resource_type` tells what it is about."""
        result = self.pay.callback(received.headers, received.body)
        assert result, "the notice was refused"
        outside = json.loads(received.body)
        kind = outside["resource"]["original_type"]
        return dict(result["resource"]) | {"resource_type": kind, "event": outside["event_type"]}


@pytest.fixture
def counter(sim: Sim, callback: Callback) -> Iterator[Counter]:
    openid = follower(sim)
    sim.control("faults", off=True, signtest_rate=0)
    callback.received.clear()
    yield Counter(sim, client(sim, merchant(sim)), openid, callback)
    sim.control("faults", off=True)


def test_an_order_is_paid_on_the_phone_and_told(counter: Counter) -> None:
    status, made = counter.order(attach="row 7")
    assert (status, counter.query()[1]["trade_state"]) == (200, "NOTPAY")
    sign = ["timeStamp", "nonceStr", f"prepay_id={made['prepay_id']}"]
    package = {
        "appId": APP_ID,
        "timeStamp": sign[0],
        "nonceStr": sign[1],
        "package": sign[2],
        "signType": "RSA",
        "paySign": counter.pay.sign([APP_ID, *sign]),
    }
    forged = package | {"paySign": counter.pay.sign([APP_ID, "1", *sign[1:]])}
    counter.sim.control("pay", expect=403, user="小明", **forged)
    counter.sim.control("pay", user="小明", **package)
    found = counter.query()[1]
    assert (found["trade_state"], found["payer"]["openid"]) == ("SUCCESS", counter.openid)
    assert (found["amount"]["total"], found["attach"]) == (10_000, "row 7")
    by_id = json.loads(counter.pay.query(transaction_id=found["transaction_id"])[1])
    assert by_id == found
    told = counter.heard("transaction")[0]
    assert {name: told[name] for name in found} == found
    assert counter.balance == 1_000_000 + 10_000 - 60
    assert "100.00" in counter.sim.chat("小明")[-1]["text"]


def test_only_the_one_who_is_asked_can_pay_and_only_once(counter: Counter) -> None:
    prepay_id = counter.order()[1]["prepay_id"]
    follower(counter.sim, "Mallory")
    counter.sim.control("pay", expect=403, user="Mallory", prepay_id=prepay_id)
    counter.sim.control("pay", user="小明", prepay_id=prepay_id)
    counter.sim.control("pay", expect=409, user="小明", prepay_id=prepay_id)
    counter.sim.control("pay", expect=404, user="小明", prepay_id="wx0")


def test_the_same_number_is_the_same_order_and_other_content_is_refused(counter: Counter) -> None:
    made = counter.order()[1]
    assert counter.order()[1] == made
    assert counter.order(fen=9_999)[1]["code"] == "INVALID_REQUEST"
    counter.sim.control("pay", user="小明", prepay_id=made["prepay_id"])
    assert counter.order()[1]["code"] == "OUT_TRADE_NO_USED"


@pytest.mark.parametrize(
    "wish", [{"number": "short"}, {"number": "order 0001"}, {"fen": 0}, {"time_expire": "soon"}]
)
def test_a_wrong_order_is_refused(counter: Counter, wish: dict[str, Any]) -> None:
    status, refusal = counter.order(**wish)
    assert (status, refusal["code"]) == (400, "PARAM_ERROR")


def test_an_order_can_be_closed_until_it_is_paid_and_lapses_by_itself(counter: Counter) -> None:
    made = counter.order()[1]
    assert counter.pay.close("order-0001")[0] == 204
    assert counter.query()[1]["trade_state"] == "CLOSED"
    counter.sim.control("pay", expect=409, user="小明", prepay_id=made["prepay_id"])
    counter.paid("order-0002")
    assert counter.pay.close("order-0002")[0] == 400
    made = counter.order("order-0003")[1]
    counter.sim.advance(2 * 3600 + 1)
    counter.sim.control("pay", expect=410, user="小明", prepay_id=made["prepay_id"])
    counter.sim.advance(7 * 86_400)
    pay_orders = "pay_orders"
    eventually(lambda: counter.sim.look(pay_orders)[pay_orders][0]["state"] == "CLOSED")


def test_refunds_are_processing_first_and_add_up_to_the_whole(counter: Counter) -> None:
    counter.paid()
    counter.sim.control("faults", refund_delay_seconds=60)
    status, made = counter.refund()
    assert (status, made["status"]) == (200, "PROCESSING")
    assert counter.refund()[1]["refund_id"] == made["refund_id"]
    assert counter.refund(fen=1)[1]["code"] == "INVALID_REQUEST"
    assert counter.refund("refund-2", 7001)[1]["code"] == "INVALID_REQUEST"
    assert counter.refund("refund-2", 7000)[0] == 200
    assert counter.refund_state() == "PROCESSING"
    counter.sim.advance(61)
    told = {each["out_refund_no"]: each for each in counter.heard("refund", 2)}
    assert told["refund-1"]["event"] == "REFUND.SUCCESS"
    assert told["refund-2"]["amount"]["refund"] == 7000
    assert counter.query()[1]["trade_state"] == "REFUND"
    assert counter.balance == 1_000_000 - 60


def test_an_abnormal_refund_is_paid_out_in_another_way(counter: Counter) -> None:
    counter.paid()
    counter.sim.control("faults", refund_ends_in="ABNORMAL")
    made = counter.refund()[1]
    assert counter.heard("refund")[0]["event"] == "REFUND.ABNORMAL"
    path = f"/v3/refund/domestic/refunds/{made['refund_id']}/apply-abnormal-refund"
    wish = {"out_refund_no": "refund-1", "type": "MERCHANT_BANK_CARD"}
    assert counter.pay._core.request(path, method=RequestType.POST, data=wish)[0] == 200
    assert counter.pay._core.request(path, method=RequestType.POST, data=wish)[0] == 400
    assert counter.heard("refund", 2)[1]["event"] == "REFUND.SUCCESS"
    assert counter.refund_state() == "SUCCESS"


def test_a_closed_refund_gives_the_money_back_to_the_merchant(counter: Counter) -> None:
    counter.paid()
    before = counter.balance
    counter.sim.control("faults", refund_ends_in="CLOSED")
    counter.refund()
    assert counter.heard("refund")[0]["event"] == "REFUND.CLOSED"
    assert counter.balance == before
    assert counter.query()[1]["trade_state"] == "SUCCESS"


def test_a_merchant_without_money_cannot_refund(counter: Counter) -> None:
    counter.paid()
    merchant(counter.sim, balance_fen=10)
    status, refusal = counter.refund()
    assert (status, refusal["code"]) == (403, "NOT_ENOUGH")


def test_the_notice_may_come_before_the_answer(counter: Counter) -> None:
    counter.sim.control("faults", notice_first=True)
    counter.order()
    first = counter.callback.received[0]
    assert counter.open(first)["trade_state"] == "SUCCESS"
    counter.refund()
    assert counter.open(counter.callback.received[-1])["event"] == "REFUND.SUCCESS"


def test_notices_may_be_forged_and_amounts_may_be_wrong(counter: Counter) -> None:
    counter.sim.control("faults", paid_amount_off_fen=-1, notice_wrong_signature_rate=1)
    assert counter.paid()["amount"]["total"] == 9_999
    forged = counter.callback.wait_for(1)[0]
    assert not counter.pay.callback(forged.headers, forged.body)
    counter.sim.control("faults", notice_wrong_signature_rate=0, notice_foreign_serial_rate=1)
    counter.sim.control("notify", number="order-0001")
    serial = counter.callback.received[-1].headers["Wechatpay-Serial"]
    assert serial != counter.sim.look("merchants")["merchants"][0]["public_key_id"]
    counter.sim.control("notify", expect=404, number="nothing")


def test_calls_are_refused_when_there_are_too_many(counter: Counter) -> None:
    counter.paid()
    counter.sim.control("faults", pay_per_second=1)
    answers = [counter.query() for _ in range(4)]
    limited = [each for each in answers if each[0] == 429]
    assert limited
    assert limited[0][1]["code"] == "FREQUENCY_LIMITED"


SHARED: dict[str, Any] = {"settle_info": {"profit_sharing": True}}


def receiver(counter: Counter, kind: str, account: str) -> dict[str, str]:
    relation = "STAFF" if kind == "PERSONAL_OPENID" else "SUPPLIER"
    counter.pay.profitsharing_add_receiver(account_type=kind, account=account, relation_type=relation)  # fmt: skip
    return {"type": kind, "account": account, "description": "推广佣金"}


def share(
    counter: Counter, found: dict[str, Any], *receivers: dict[str, Any], number: str = "share-1"
) -> tuple[int, Any]:
    status, text = counter.pay.profitsharing_order(
        transaction_id=found["transaction_id"],
        out_order_no=number,
        receivers=list(receivers),
        unfreeze_unsplit=False,
    )
    return status, json.loads(text)


def unsplit(counter: Counter, found: dict[str, Any]) -> int:
    text = counter.pay.profitsharing_amount_query(found["transaction_id"])[1]
    return int(json.loads(text)["unsplit_amount"])


def test_an_order_is_shared_told_and_given_free(counter: Counter) -> None:
    merchant(counter.sim, share_notify_url=counter.callback.url)
    found = counter.paid(**SHARED)
    assert (counter.balance, unsplit(counter, found)) == (1_000_000, 9_940)
    staff = receiver(counter, "PERSONAL_OPENID", counter.openid)
    supplier = receiver(counter, "MERCHANT_ID", "1900000999")
    status, made = share(counter, found, staff | {"amount": 800}, supplier | {"amount": 1200})
    assert (status, made["state"]) == (200, "PROCESSING")
    told = counter.heard("profitsharing", 2)
    assert {each["event"] for each in told} == {"TRANSACTION.SUCCESS"}
    assert sorted(each["receiver"]["amount"] for each in told) == [800, 1200]
    text = counter.pay.profitsharing_order_query(found["transaction_id"], "share-1")[1]
    done = json.loads(text)
    assert done["state"] == "FINISHED"
    assert {each["result"] for each in done["receivers"]} == {"SUCCESS"}
    counter.pay.profitsharing_unfreeze(found["transaction_id"], "free-1", "完结")
    eventually(lambda: counter.balance == 1_000_000 + 9_940 - 2000)
    assert unsplit(counter, found) == 0


def test_a_merchant_gives_a_share_back_and_a_person_cannot(counter: Counter) -> None:
    found = counter.paid(**SHARED)
    supplier = receiver(counter, "MERCHANT_ID", "1900000999")
    share(counter, found, supplier | {"amount": 1000})
    eventually(lambda: unsplit(counter, found) == 8_940)

    def give_back(number: str, account: str, fen: int) -> tuple[int, Any]:
        status, text = counter.pay.profitsharing_return(
            order_id=None,
            out_order_no="share-1",
            out_return_no=number,
            return_mchid=account,
            amount=fen,
            description="退货",
        )
        return status, json.loads(text)

    eventually(lambda: give_back("return-1", "1900000999", 600)[0] == 200)
    query = counter.pay.profitsharing_return_query("share-1", "return-1")
    assert json.loads(query[1])["result"] == "SUCCESS"
    assert give_back("return-2", "1900000999", 401)[1]["code"] == "INVALID_REQUEST"
    assert give_back("return-3", counter.openid, 1)[1]["code"] == "INVALID_REQUEST"


def test_sharing_has_limits(counter: Counter) -> None:
    plain = counter.paid("order-0009")
    staff = receiver(counter, "PERSONAL_OPENID", counter.openid)
    assert share(counter, plain, staff | {"amount": 1})[1]["code"] == "INVALID_REQUEST"
    found = counter.paid(**SHARED)
    assert share(counter, found, staff | {"amount": 3001})[1]["code"] == "RULE_LIMIT"
    stranger = staff | {"account": "somebody", "amount": 1}
    assert share(counter, found, stranger)[1]["code"] == "INVALID_REQUEST"
    assert share(counter, found, staff | {"amount": 5})[0] == 200
    assert share(counter, found, staff | {"amount": 6})[1]["code"] == "INVALID_REQUEST"


def test_a_receiver_may_fail_and_frozen_money_is_free_after_30_days(counter: Counter) -> None:
    found = counter.paid(**SHARED)
    staff = receiver(counter, "PERSONAL_OPENID", counter.openid)
    counter.sim.control("faults", share_fails_with="ACCOUNT_ABNORMAL")
    share(counter, found, staff | {"amount": 500})

    def state() -> Any:
        return counter.sim.look("shares")["shares"][0]["receivers"][0]

    assert eventually(lambda: state()["result"] == "CLOSED")
    assert (state()["fail_reason"], unsplit(counter, found)) == ("ACCOUNT_ABNORMAL", 9_940)
    counter.sim.advance(30 * 86_400)
    eventually(lambda: counter.balance == 1_000_000 + 9_940)


def test_a_merchant_of_the_older_kind_downloads_certificates(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counter.pay._core.request("/v3/certificates")[0] == 404
    merchant(counter.sim, signs_with="mixed")
    known = counter.sim.look("merchants")["merchants"][0]
    made = client(counter.sim, known)
    status, text = made._core.request("/v3/certificates", skip_verify=True)
    listed = json.loads(text)["data"]
    assert (status, [each["serial_no"] for each in listed]) == (200, known["certificates"])
    counter.sim.control(f"merchants/{MCH_ID}/rotate")
    merchant(counter.sim, signs_with="certificate")
    both = json.loads(made._core.request("/v3/certificates", skip_verify=True)[1])["data"]
    assert len(both) == 2
    old = certificate_client(counter.sim, monkeypatch)
    counter.paid("order-0042")
    status, text = old.query(out_trade_no="order-0042")
    assert (status, json.loads(text)["trade_state"]) == (200, "SUCCESS")
    answer = counter.callback.wait_for(1)[-1]
    assert answer.headers["Wechatpay-Serial"] == both[1]["serial_no"]
    assert old.callback(answer.headers, answer.body)["event_type"] == "TRANSACTION.SUCCESS"


def certificate_client(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> WeChatPay:
    """wechatpayv3 in certificate mode: it downloads in its constructor, from an address that cannot be given."""

    class Here(Core):  # type: ignore[misc]  # wechatpayv3 has no types
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, sim.url if name == "_gate_way" else value)

    monkeypatch.setattr("wechatpayv3.core.Core", Here)
    return WeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid=MCH_ID,
        private_key=PRIVATE,
        cert_serial_no=SERIAL,
        apiv3_key=API_KEY,
        appid=APP_ID,
        notify_url="http://127.0.0.1:9/unused",
        timeout=(3, 10),
    )


def test_old_notices_are_recognised_by_their_time(counter: Counter) -> None:
    counter.paid()
    told = counter.callback.wait_for(1)[0]
    assert abs(int(told.headers["Wechatpay-Timestamp"]) - time.time()) < 300


def test_the_bills_of_a_day_tell_payments_refunds_and_fees(counter: Counter) -> None:
    counter.paid()
    counter.refund()
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 8 * 3600))
    assert counter.pay.trade_bill(bill_date=day)[0] == 400
    counter.sim.advance(2 * 86_400)
    asked = [counter.pay.trade_bill(bill_date=day), counter.pay.fundflow_bill(bill_date=day)]
    files = []
    for status, text in asked:
        assert status == 200
        place = json.loads(text)
        status, content = counter.pay.download_bill(place["download_url"].replace(counter.sim.url, ""))  # fmt: skip
        content = gzip.decompress(content)
        assert hashlib.sha1(content, usedforsecurity=False).hexdigest() == place["hash_value"]
        files.append(content.decode().splitlines())
    trades, funds = files
    assert trades[-1] == "`2,`100.00,`30.00,`0.00,`0.60,`100.00,`30.00"
    assert [row.split(",`")[5] for row in funds[1:-2]] == ["收入", "支出", "支出"]
    assert funds[-1] == "`3,`1,`100.00,`2,`30.60"


def test_orders_refunds_and_shares_survive_a_restart(tmp_path: Path, callback: Callback) -> None:
    port, file = free_port(), tmp_path / "state.json"
    process = start(port, "--state-file", str(file))
    sim = Sim(f"http://127.0.0.1:{port}")
    try:
        sim.account(callback_url=callback.url)
        openid = follower(sim)
        made = merchant(sim, signs_with="mixed")
        before = Counter(sim, client(sim, made), openid, callback)
        found = before.paid(**SHARED)
        before.refund()
        share(before, found, receiver(before, "PERSONAL_OPENID", openid) | {"amount": 10})
    finally:
        stop(process)
    process = start(port, "--state-file", str(file))
    try:
        after = Counter(sim, before.pay, openid, callback)
        assert after.query()[1]["transaction_id"] == found["transaction_id"]
        assert eventually(lambda: after.refund_state() == "SUCCESS")
        assert sim.look("shares")["shares"][0]["receivers"][0]["amount"] == 10
    finally:
        stop(process)
