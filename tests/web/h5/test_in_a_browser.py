"""The pages in a real Chromium: through WeChat's page and back, confirming a transfer, and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium
from tests.web.h5.conftest import Village
from tests.web.h5.phone import AGENT

PAGES = (
    "", "earnings", "statement", "team", "ranking", "withdraw", "withdrawals", "rules", "poster", "more", "profile",
    "notices", "privacy", "dispute", "real-name", "welcome",
)  # fmt: skip
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_phone(village: Village, browser: Browser) -> Generator[Callable[..., Page]]:
    """Opens a page on somebody's phone, through WeChat. Whatever the browser complains of fails the test."""
    contexts, complaints = [], []

    def opened(name: str, path: str = "", **options: Any) -> Page:
        village.stranger(name)
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, user_agent=AGENT, **options
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda line: complaints.append(line.text) if line.type == "error" else None
        )
        public = village.paying.context.settings.server.public_url
        query = urlencode({"user": name, "url": f"{public}/m/tea/{path}"})
        page.goto(f"{village.simulator.url}/_sim/open?{query}")
        assert page.url.startswith(f"{public}/m/tea/")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def test_pages_fit_a_phone_and_nothing_is_blocked(
    village: Village, open_phone: Callable[..., Page]
) -> None:
    village.full_of_life()
    page = open_phone("mei")
    expect(page.get_by_text("可提现")).to_be_visible()
    root = page.url.split("#")[0]
    for path in PAGES:
        page.goto(root + path)
        assert page.evaluate(OVERFLOW) <= 0, path
        assert page.title()


def test_transfer_is_confirmed_in_wechat_and_believed_from_wechat_pay_alone(
    village: Village, open_phone: Callable[..., Page]
) -> None:
    village.person("mei", 50_000)
    number = village.paying.pay(5_000, "mei")
    village.paying.faults(notice_lost_rate=0)
    page = open_phone("mei", f"withdrawals/{number}")
    confirm = page.get_by_role("button", name="确认收款")
    expect(confirm).to_be_visible()  # once the SDK is ready
    config = page.evaluate("window.shim.config")
    assert config["appId"] == village.account.app_id
    assert config["jsApiList"] == ["requestMerchantTransfer"]
    page.evaluate("window.shimAnswer = 'cancel'")
    confirm.click()
    expect(page.get_by_text("您还没有确认收款")).to_be_visible()
    page.evaluate("window.shimAnswer = 'ok'")
    confirm.click()
    expect(page.get_by_text("正在向微信支付核实")).to_be_visible()
    assert page.evaluate("window.shim.invoked.at(-1)") == {
        "name": "requestMerchantTransfer",
        "values": {
            "mchId": "1900000109",
            "appId": village.account.app_id,
            "package": village.paying.get(number).package_info,
        },
    }
    # WeChat's page has said ok, WeChat Pay has said nothing: asked at once, it still waits.
    village.paying.sweep()
    assert village.paying.status(number) == "paying"
    village.paying.act(number, "confirm")  # the notice reaches our server
    expect(page.get_by_text("已打款")).to_be_visible()
    expect(page.get_by_text("确认收款", exact=True)).to_have_count(0)
    assert village.paying.status(number) == "paid"


def test_money_is_asked_for_without_javascript(
    village: Village, open_phone: Callable[..., Page]
) -> None:
    village.person("mei", 50_000)
    page = open_phone("mei", "withdraw", java_script_enabled=False)
    page.get_by_label("提现金额").fill("50")
    page.get_by_role("button", name="下一步").click()
    expect(page.get_by_text("50.00").first).to_be_visible()
    page.get_by_role("button", name="确认提现").click()
    expect(page.get_by_text("打款单号")).to_be_visible()
    assert village.paying.balance("mei") == (45_000, 5_000)
    village.paying.drain()
    page.reload()
    expect(page.get_by_text("请在手机微信里打开这个页面")).to_be_visible()
    number = int(page.url.rsplit("/", 1)[1])
    village.paying.act(number, "confirm")
    village.paying.sweep_later()
    page.get_by_role("button", name="我已确认，查看结果").click()
    expect(page.get_by_text("已打款")).to_be_visible()


def test_link_of_a_friend_binds_in_the_browser_and_is_copied_from_there(
    village: Village, open_phone: Callable[..., Page]
) -> None:
    village.person("mei")
    village.person("bo")
    mei = open_phone("mei", "poster")
    link = mei.get_by_label("我的推广链接").input_value()
    bo = open_phone("bo", link.split("/m/tea/")[1])
    expect(bo.get_by_text("现在是您的邀请人")).to_be_visible()
    assert village.referrer_of("bo") == "mei"
