"""The wizard in a real browser: an account is opened, WeChat verifies the address, the light turns green by itself."""

from __future__ import annotations

import time
from typing import Any

import requests
from playwright.sync_api import Page
from sqlalchemy import update

from domain.models import Staff
from tests.web.conftest import Merchant
from tests.web.console import test_in_chromium
from tests.web.console.test_opening_pages import ASKED
from wechat.signing import signature

address, complaints = test_in_chromium.address, test_in_chromium.complaints
database, screen = test_in_chromium.database, test_in_chromium.screen


def test_account_is_opened_and_its_light_turns_green(
    screen: Page, address: str, merchant: Merchant, complaints: list[str]
) -> None:
    merchant.database.transact(lambda s: s.execute(update(Staff).values(opens_accounts=True)))
    screen.goto(f"{address}/accounts")
    screen.get_by_role("link", name="接入新的公众号").click()
    for name in ("name", "slug", "gh_id", "app_id", "app_secret"):
        screen.locator(f"[name={name}]").fill(ASKED[name])
    screen.locator("[name=depth][value='1']").check()
    token = screen.locator("[name=token]").input_value()
    screen.get_by_role("button", name="换一个").first.click()
    screen.wait_for_function(f"document.querySelector('[name=token]').value !== '{token}'")
    assert screen.locator("[name=depth][value='1']").is_checked()
    screen.get_by_role("button", name="开通").click()
    screen.wait_for_url("**/spring/connect")
    screen.get_by_text("还在等微信来验证").wait_for()
    width = screen.evaluate("document.documentElement.scrollWidth")
    assert width <= screen.evaluate("innerWidth")
    _verify(address.removesuffix("/console"), screen.locator("#p-token").input_value())
    screen.get_by_text("微信已验证这个网址").wait_for()
    screen.get_by_role("link", name="健康检查").first.click()
    screen.get_by_text("微信已验证").wait_for()
    assert complaints == []


def _verify(base: str, token: str) -> None:
    stamp = str(int(time.time()))
    query: dict[str, Any] = {"timestamp": stamp, "nonce": "n", "echostr": "4711"}
    query["signature"] = signature(token, stamp, "n")
    answer = requests.get(f"{base}/wechat/spring", params=query, timeout=5)
    assert (answer.status_code, answer.text) == (200, "4711")
