"""An installation in which nothing has happened yet: our web server, workers and clock, a fake WeChat, and a browser.

`town` is new for each test. `desk` is somebody at the console in Chromium: `desk.open("佣金规则")` goes through the
menu, `desk.look("rules")` asserts that the page fits its window and keeps a picture of it in the test's folder.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, sync_playwright

from domain.db import Database
from tests.support.servers import AppServer, Simulator, running_app, set_clock

WIDTHS = {1280: 800, 390: 844}
"""Width of the window → its height: a desk and a phone."""
PATIENCE_MS = 10_000


@dataclass
class Town:
    """Both sides of an installation."""

    app: AppServer
    simulator: Simulator

    def setup_code(self) -> str:
        """What the release step printed, as whoever installs it reads it."""
        found = re.search(r"with this setup code: (\S+)", self.app.output)
        assert found, self.app.output
        return found[1]

    def later(self, days: int) -> None:
        """Days go by, here and at WeChat."""
        set_clock(self.app.clock_file, days * 86400)
        self.simulator.post("/_sim/clock", offset_seconds=days * 86400)


@dataclass
class Desk:
    """Somebody at the console. `complaints`: what the browser said went wrong, blocked files included."""

    page: Page
    home: str
    pictures: Path
    is_narrow: bool
    complaints: list[str] = field(default_factory=list)
    _number: int = 0

    def open(self, title: str) -> None:
        """A page of the menu, by its name there; on a narrow screen the menu is opened first."""
        if self.is_narrow:
            self.page.locator(".menu-open").click()
        self.page.locator(".topics").get_by_role("link", name=title, exact=True).click()
        self.page.locator("h1").filter(has_text=title).wait_for()
        self.look(title)

    def press(self, name: str) -> None:
        """A button of the page, by its words."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def fill(self, **fields: str) -> None:
        """Fields of a form, by their names."""
        for name, text in fields.items():
            self.page.locator(f"main [name='{name}']").fill(text)

    def act(self, label: str, **fields: str) -> None:
        """A verb: open its form, fill it, and send it."""
        self.page.locator("details.verb > summary").filter(has_text=label).first.click()
        form = self.page.locator("details.verb[open] form")
        for name, text in fields.items():
            form.locator(f"[name={name}]").fill(text)
        form.locator("button[type=submit]").last.click()

    def says(self, words: str) -> None:
        """The page shows these words, by now or soon."""
        self.page.get_by_text(words).first.wait_for()

    def comes_to_say(self, words: str) -> None:
        """The page shows these words when it is loaded again, as somebody waiting for them would."""
        for _ in range(60):
            if self.page.locator("main").get_by_text(words).locator("visible=true").count():
                return
            self.page.wait_for_timeout(250)
            self.page.reload()
        raise AssertionError(f"never said {words!r}: {self.page.locator('main').inner_text()}")

    def sign_in(self, login: str, password: str) -> None:
        self.page.goto(f"{self.home}/login")
        self.fill(login=login, password=password)
        self.press("登录")
        self.page.locator(".sidebar").wait_for(state="attached")

    def sign_out(self) -> None:
        if self.is_narrow:
            self.page.locator(".menu-open").click()
        self.press("退出登录")

    def look(self, name: str) -> None:
        """Nothing of the page runs out of the window."""
        self._number += 1
        self.page.screenshot(path=self.pictures / f"{self._number:02}-{name}.png", full_page=True)
        width = self.page.evaluate("document.documentElement.scrollWidth")
        size = self.page.viewport_size  # a phone's innerWidth grows with what sticks out
        assert size is not None
        assert width <= size["width"], f"{name} runs out of the window"


@pytest.fixture
def town(
    tmp_path: Path, live_database: Database, redis_url: str, simulator: Simulator
) -> Generator[Town]:
    """Every process that an installation has, on an empty database."""
    settings = {"database.url": live_database.url, "redis.url": redis_url, **simulator.settings}
    with running_app(tmp_path, ("web", "worker", "clock"), settings) as app:
        yield Town(app, simulator)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def desk(town: Town, browser: Browser, width: int, tmp_path: Path) -> Generator[Desk]:
    """A browser in which nobody is signed in; nothing may go wrong in it until the end."""
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]}, locale="zh-CN", is_mobile=width < 800,
        has_touch=width < 800,
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    made = Desk(page, f"{town.app.url}/console", pictures, is_narrow=width < 800)
    page.on("console", lambda s: made.complaints.append(s.text) if s.type == "error" else None)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    yield made
    page.screenshot(path=pictures / "last.png", full_page=True)
    context.close()
    assert made.complaints == []


def opened_in_wechat(town: Town, user: str, url: str) -> requests.Response:
    """The page that somebody sees who taps a link in their chat: through WeChat's consent, as WeChat's browser."""
    with requests.Session() as phone:
        phone.headers["User-Agent"] = "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50"
        return phone.get(
            f"{town.simulator.url}/_sim/open", params={"user": user, "url": url}, timeout=20
        )
