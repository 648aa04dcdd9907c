"""The console in a real browser, at a desk and on a phone: nothing is blocked by the policy or runs out of the page;
the menu, the tree, the verbs and the colours work, with the keyboard too."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest
from playwright.sync_api import Page
from werkzeug.serving import make_server

from domain import staff
from domain.db import Database
from tests.support.browser import chromium
from tests.support.ports import free_port
from tests.web.conftest import Merchant
from tests.web.console.browser import Console
from tests.web.console.world import seed

PASSWORD = "correct horse battery"
PAGES = (
    "",
    "members",
    "members/1",
    "members/1/team",
    "members/1/ledger",
    "commissions/1",
    "staff",
    "changes",
    "orders",
    "orders/1",
    "commissions",
    "withdrawals",
    "withdrawals/1",
    "rules",
    "rules/new",
    "rules/compare",
    "grades",
    "grades/1",
    "rewards",
    "products",
    "products/1",
    "products/new",
    "imports",
    "imports/1",
    "risk",
    "disputes",
    "risk/1",
    "risk/limits",
    "holds",
    "disputes/1",
    "books",
    "reconciliations",
    "reconciliations/1",
    "statistics",
    "rankings",
    "compliance",
    "settings",
    "settings?group=commissions",
    "merchant",
    "connect",
    "checkup",
    "replies",
    "replies/1",
    "replies/try?text=x",
    "welcome",
    "media",
    "texts",
    "texts/edit?key=follow.bound",
    "broadcasts",
    "broadcasts/new",
    "broadcasts/1",
    "messages",
    "backlog",
    "quota",
    "templates",
    "templates/commission_accrued",
    "api-keys",
    "webhooks",
    "codes",
    "codes/1",
    "codes/new",
    "codes/pool",
    "members/1/codes",
    "posters",
    "posters/1",
    "posters/new",
    "tags",
    "blacklist",
    "followers",
)


@pytest.fixture
def database(live_database: Database) -> Database:
    """Real commits: the server answers in threads."""
    return live_database


@pytest.fixture
def address(console: Console, merchant: Merchant) -> Generator[str]:
    """The console on a port, with a seeded account and somebody who owns it."""
    world = seed(merchant, "tea")
    person = console.person((world.account, "owner"), login="anna")
    merchant.database.transact(lambda session: staff.set_password(session, person.id, PASSWORD))
    server = make_server("127.0.0.1", free_port(), console.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/console"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: scripts that failed, files that the policy blocked."""
    return []


@pytest.fixture(params=[1280, 390])
def screen(request: pytest.FixtureRequest, address: str, complaints: list[str]) -> Generator[Page]:
    """A page in a window of this width, signed in."""
    with chromium() as browser:
        window = browser.new_page(
            viewport={"width": request.param, "height": 844}, color_scheme="dark", locale="zh-CN"
        )
        window.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        window.on("pageerror", lambda error: complaints.append(str(error)))
        window.goto(f"{address}/login")
        window.keyboard.type("anna")
        window.keyboard.press("Tab")
        window.keyboard.type(PASSWORD)
        window.keyboard.press("Enter")
        window.wait_for_url(f"{address}/tea/")
        yield window


def test_console_works_at_a_desk_and_on_a_phone(
    screen: Page, address: str, complaints: list[str]
) -> None:
    for path in PAGES:
        screen.goto(f"{address}/tea/{path}")
        width = screen.evaluate("document.documentElement.scrollWidth")
        assert width <= screen.evaluate("innerWidth"), f"{path} runs out of the page"
        assert screen.locator("h1").is_visible(), path
    assert screen.locator("html").get_attribute("data-bs-theme") == "dark", "as the system has it"

    screen.goto(f"{address}/tea/members/1/team")
    screen.locator(".tree summary").first.click()
    screen.locator(".tree .tree .tree-name").first.wait_for()

    screen.goto(f"{address}/tea/members/3")
    screen.get_by_text("停用", exact=True).first.click()
    screen.locator(".verb[open] textarea").fill("刷单")
    screen.locator(".verb[open] button[type=submit]").click()
    screen.get_by_role("status").filter(has_text="已停用").wait_for()

    screen.goto(f"{address}/tea/replies/new")
    screen.get_by_label("文字（最多 600 字）").first.fill("{nickname}，您好")
    screen.locator(".phone-bubble").filter(has_text="小明，您好").wait_for()
    screen.goto(f"{address}/tea/posters/new")
    screen.locator(".poster-item summary").first.click()
    screen.locator("[name=i0-x]").fill("9999")
    screen.locator("#poster-look .problems").filter(has_text="0 到 2700 的整数").wait_for()
    screen.locator("[name=i0-x]").fill("20")
    screen.locator("#poster-look img").wait_for()

    if screen.viewport_size and screen.viewport_size["width"] < 800:
        assert not screen.locator(".topics").is_visible()
        screen.locator(".menu-open").click()
        screen.locator(".topics").wait_for()
        screen.keyboard.press("Escape")
    screen.goto(f"{address}/me")
    screen.evaluate("document.querySelector('button[name=theme][value=light]').click()")
    screen.wait_for_load_state()
    screen.wait_for_function("document.documentElement.dataset.bsTheme === 'light'")
    assert complaints == []
