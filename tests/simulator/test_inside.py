"""A merchant's page inside a phone, in a real browser: it is configured, asks for money, and takes a transfer."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from playwright.sync_api import FrameLocator, Locator, expect

from tests.simulator.conftest import Sim
from tests.simulator.merchant import APP_ID, Merchant
from tests.simulator.test_pay import INFOS, MCH_ID, client, merchant
from tests.simulator.test_phones_page import (  # noqa: F401  # fixtures
    Phones,
    browser,
    follow,
    open_page,
    simulator,
)
from tests.simulator.test_phones_page import merchant as shop  # noqa: F401  # a fixture

PAGE = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>收银台</title>
<script src="{sim}/_sim/bridge.js"></script>
<p id="said">…</p><button id="act">开始</button>
<script>
const given = {given};
const said = words => document.getElementById("said").textContent = words;
wx.config(given.config);
wx.ready(() => said("ready"));
wx.error(problem => said(problem.errMsg));
document.getElementById("act").addEventListener("click", () =>
  WeixinJSBridge.invoke(given.name, given.values, result => said(result.err_msg)));
</script>"""


class Till:
    """The merchant's web server: one page that asks the phone for what the test says."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.given: dict[str, Any] = {}
        till = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = json.dumps(till.given)
                body = PAGE.replace("{sim}", till.sim.url).replace("{given}", given).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/till"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def sign(self, ticket: str) -> dict[str, Any]:
        """What the merchant gives to wx.config, signed as WeChat documents it."""
        text = f"jsapi_ticket={ticket}&noncestr=abc&timestamp=1700000000&url={self.url}"
        signature = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        names = ["chooseWXPay", "requestMerchantTransfer"]
        return {
            "appId": APP_ID,
            "timestamp": 1_700_000_000,
            "nonceStr": "abc",
            "signature": signature,
            "jsApiList": names,
            "openTagList": ["wx-open-subscribe"],
        }


@pytest.fixture
def till(shop: Merchant, simulator: Sim) -> Iterator[Till]:  # noqa: F811  # the fixtures above
    made = Till(simulator)
    yield made
    made.server.shutdown()
    made.server.server_close()


def ticket(sim: Sim) -> str:
    login = {"grant_type": "client_credential", "appid": APP_ID, "secret": "the-secret"}
    token = sim.api("/cgi-bin/stable_token", login)["access_token"]
    answer = sim.api("/cgi-bin/ticket/getticket", access_token=token, type="jsapi")
    return str(answer["ticket"])


@pytest.fixture
def alice(open_page: Callable[..., Phones], till: Till) -> Locator:  # noqa: F811  # as above
    phone = open_page("Alice").of("Alice")
    follow(phone)
    return phone


def visit(phone: Locator, sim: Sim, url: str) -> FrameLocator:
    """Open the page in the phone, from a link in the chat."""
    openid = sim.look("chats/Alice")["openid"]
    login = {"grant_type": "client_credential", "appid": APP_ID, "secret": "the-secret"}
    token = sim.api("/cgi-bin/stable_token", login)["access_token"]
    message = {"touser": openid, "msgtype": "text", "text": {"content": url}}
    path = f"{sim.url}/cgi-bin/message/custom/send?access_token={token}"
    assert requests.post(path, json=message, timeout=10).json()["errcode"] == 0
    phone.get_by_role("button", name=url).click()
    return phone.frame_locator("iframe")


def test_a_page_asks_for_money_and_the_person_pays(alice: Locator, till: Till) -> None:
    sim = till.sim
    pay = client(sim, merchant(sim))
    openid = sim.look("chats/Alice")["openid"]
    text = pay.pay(
        description="武夷岩茶礼盒",
        out_trade_no="order-0001",
        amount={"total": 12_800},
        payer={"openid": openid},
        appid=APP_ID,
        notify_url=f"{till.url}/none",
    )[1]
    parts = [APP_ID, "1700000000", "abc", f"prepay_id={json.loads(text)['prepay_id']}"]
    names = ("appId", "timeStamp", "nonceStr", "package")
    values = dict(zip(names, parts, strict=True)) | {"signType": "RSA", "paySign": pay.sign(parts)}
    till.given = {
        "config": till.sign(ticket(sim)),
        "name": "getBrandWCPayRequest",
        "values": values,
    }
    page = visit(alice, sim, till.url)
    expect(page.locator("#said")).to_have_text("ready")
    page.locator("#act").click()
    sheet = alice.get_by_role("dialog", name="微信支付")
    expect(sheet).to_contain_text("¥128")
    sheet.get_by_role("button", name="取消").click()
    expect(page.locator("#said")).to_have_text("get_brand_wcpay_request:cancel")
    page.locator("#act").click()
    sheet.get_by_role("button", name="确认支付").click()
    expect(page.locator("#said")).to_have_text("get_brand_wcpay_request:ok")
    assert sim.look("pay_orders")["pay_orders"][0]["state"] == "SUCCESS"


def test_a_page_asks_to_take_a_transfer(alice: Locator, till: Till) -> None:
    sim = till.sim
    pay = client(sim, merchant(sim))
    openid = sim.look("chats/Alice")["openid"]
    text = pay.mch_transfer_bills(
        out_bill_no="bill1",
        transfer_scene_id="1005",
        openid=openid,
        transfer_amount=5000,
        transfer_remark="推广佣金",
        transfer_scene_report_infos=INFOS,
        appid=APP_ID,
    )[1]
    package = json.loads(text)["package_info"]
    values = {"mchId": MCH_ID, "appId": APP_ID, "package": package}
    till.given = {
        "config": till.sign(ticket(sim)),
        "name": "requestMerchantTransfer",
        "values": values,
    }
    page = visit(alice, sim, till.url)
    expect(page.locator("#said")).to_have_text("ready")
    page.locator("#act").click()
    alice.get_by_role("button", name="确认收款").click()
    expect(page.locator("#said")).to_have_text("requestMerchantTransfer:ok")
    assert sim.look("transfers/bill1")["state"] == "SUCCESS"


def test_a_page_with_a_wrong_signature_is_told_so(alice: Locator, till: Till) -> None:
    till.given = {
        "config": till.sign(ticket(till.sim)) | {"nonceStr": "other"},
        "name": "requestMerchantTransfer",
        "values": {},
    }
    page = visit(alice, till.sim, till.url)
    expect(page.locator("#said")).to_have_text("config:fail, invalid signature")
    page.locator("#act").click()
    expect(page.locator("#said")).to_contain_text("offline verifying")
