"""`python -m tests.screenshots`: a picture of every page of the console, at a desk and on a phone, and their tour.

The pages come from the URL map, the things they show from tests/web/console/world.py with friendlier words, among
a month of trade. Writes docs/screenshots/console-*.png and docs/console-tour.md; no part of the product needs it.
"""

from __future__ import annotations

import base64
import io
import random
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

from flask import Flask
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.serving import make_server

import migrations
from app import app_of
from clock import Clock
from config import Settings
from context import Context
from domain import commissions, glance, orders, reports, staff, withdrawals
from domain.accounts import OpenAccount
from domain.china import day_of
from domain.db import Database
from domain.errors import DomainError
from domain.models import Account, Commission, Member, Withdrawal
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.secrets import Keyring
from tests.support.ports import free_port
from tests.support.servers import MASTER_KEY, Simulator, running_simulator
from tests.support.valkey import running_valkey
from tests.web.conftest import Merchant
from tests.web.console import world
from tests.web.console.browser import Console
from web.console.navigation import TOPICS, sidebar
from web.console.visit import ACCESS, ANYBODY

DOCS: Final = Path(__file__).parents[1] / "docs"
PICTURES: Final = DOCS / "screenshots"
TOUR: Final = DOCS / "console-tour.md"
WINDOWS: Final = {1280: (800, 1700), 390: (844, 2200)}
"""Width → height of the window, and how much of a longer page is kept."""
LARGEST: Final = 120 * 1024
PASSWORD: Final = "correct horse battery"
DAYS: Final = 28
NAMES: Final = (
    "小美", "小林", "小周", "阿杰", "晓雯", "大伟", "思思", "小北", "佳佳", "老陈", "文静", "子涵", "小雨", "国强",
    "丽娜", "小七", "阿珍", "志远", "小满", "安安",
)  # fmt: skip
GOODS: Final = (
    ("正山小种 礼盒", 12_800),
    ("手绘茶杯", 5_900),
    ("五常大米 5kg", 8_800),
    ("明前龙井 250g", 26_800),
)
WORDS: Final = {
    "SCRIPT": "春茶上新",
    "OVERRIDE": "",
    "FORMULA": "礼盒",
    "KEY": "OPENTM207498902",
    "HOSTILE": ("小美", "小林", "小周"),
}
"""What world.py says here in place of its hostile words."""


# --- a month of trade -----------------------------------------------------------------------------------------------


def trade(merchant: Merchant) -> world.World:
    """An account with one of everything, and a month of followers, orders, settlements and withdrawals."""
    for name, value in WORDS.items():
        setattr(world, name, value)
    merchant.move_clock(days=-DAYS)
    made = world.seed(merchant, "tea")
    dice, known = random.Random(7), list(made.member_ids)
    for day in range(DAYS, -1, -1):
        merchant.move_clock(days=-day)
        for _ in range(dice.randint(2, 5)):
            openid = f"o{len(known):05}"
            number = merchant.follow(made.account, openid, dice.choice([*known[:9], None]))
            name = NAMES[len(known) % len(NAMES)]
            _change(merchant, update(Member).where(Member.id == number).values(nickname=name))
            known.append(openid)
        _sell(merchant, made.account, day, dice, known)
        merchant.database.transact(
            lambda s: commissions.settle_due(s, made.account, merchant.context.clock.now())
        )
    _change(merchant, update(Account).where(Account.slug == "tea").values(name="山泉茶舍"))
    _withdraw(merchant, made)
    _count(merchant, made.account)
    made.places |= merchant.database.read(_richest)
    return made


def _change(merchant: Merchant, statement: Any) -> None:
    merchant.database.transact(lambda session: session.execute(statement))


def _sell(
    merchant: Merchant, account: OpenAccount, day: int, dice: random.Random, known: list[str]
) -> None:
    now = merchant.context.clock.now()
    sold = []
    for number in range(dice.randint(2, 7)):
        lines = [
            PaidLine(line, title, count, count * fen)
            for line, (title, fen) in enumerate(dice.sample(GOODS, dice.choice([1, 1, 2])), 1)
            for count in [dice.choice([1, 1, 2])]
        ]
        buyer = Buyer(openid=dice.choice(known[-30:]))
        sold.append(PaidOrder(f"S{now:%Y%m%d}-{number + 1:03}", buyer, tuple(lines), now))

    def sell(session: Session) -> None:
        orders.record_paid(session, account, sold, now=now)
        for one in sold[: 0 if day < 3 else -1]:
            orders.complete(session, account, one.order_no, now)

    merchant.database.transact(sell)


def _withdraw(merchant: Merchant, made: world.World) -> None:
    """The four who earned most ask for money; two of them have a first yes."""
    account, now = made.account, merchant.context.clock.now()

    def ask(session: Session) -> None:
        for openid in ("grand", "parent", "child", "buyer"):
            member = session.scalars(select(Member).where(Member.openid == openid)).one()
            try:
                row = withdrawals.request(
                    session, account, member, 1_200 + member.id * 310, client_token=f"t-{openid}-001", now=now,
                )  # fmt: skip
            except DomainError:  # who has not earned it
                continue
            if openid == "grand":
                withdrawals.approve(session, account, row.id, actor="staff:li", now=now)

    merchant.database.transact(ask)


def _count(merchant: Merchant, account: OpenAccount) -> None:
    """The figures of each day, as the worker counts them."""
    now = merchant.context.clock.now()
    today = day_of(now)
    for day in range(DAYS + 1):
        reports.roll_up(merchant.database, account.id, today - timedelta(days=day))
    glance.count(merchant.database, account.id, now)


def _richest(session: Session) -> dict[str, Any]:
    """The order, the commission and the member that have most to show."""
    paid = session.scalars(
        select(Commission).where(Commission.level == 2).order_by(Commission.amount_fen.desc())
    ).first()
    asked = session.scalars(select(Withdrawal).order_by(Withdrawal.id.desc())).first()
    parent = session.scalars(select(Member.id).where(Member.openid == "grand")).one()
    assert paid is not None
    assert asked is not None
    return {
        "order_id": paid.order_id, "commission_id": paid.id, "member_id": parent, "withdrawal_id": asked.id,
    }  # fmt: skip


# --- pages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stop:
    """A page of the tour."""

    endpoint: str
    path: str
    topic: str
    order: tuple[int, int, str]
    what: str

    @property
    def name(self) -> str:
        return f"console-{self.endpoint.replace('_', '-')}"


def stops(app: Flask, places: dict[str, Any]) -> list[Stop]:
    """Every route of the URL map that is read, in the order of the sidebar; a page of a thing behind its list."""
    entries = {
        entry.endpoint: (number, entry.menu.order, str(title))
        for number, (title, listed) in enumerate(_sidebar(app))
        for entry in listed
    }
    roots = {
        str(rule.rule): entries[rule.endpoint.removeprefix("console.")]
        for rule in _rules(app) if rule.endpoint.removeprefix("console.") in entries
    }  # fmt: skip
    found = []
    for rule in _rules(app):
        values = {"slug": "tea", **places}
        built = rule.build({name: values[name] for name in rule.arguments})
        if built is None:
            raise LookupError(rule)
        near = [
            root for root in roots if str(rule.rule).startswith(root) and root != "/console/<slug>/"
        ]
        inside = "slug" in rule.arguments
        number, order, topic = roots[max(near, key=len)] if near else (
            (len(TOPICS), 0, "设置与接入") if inside else (-1, 0, "登录与账号")
        )  # fmt: skip
        endpoint = rule.endpoint.removeprefix("console.")
        if endpoint in entries:
            number, order, topic = entries[endpoint]
        what = (getdoc(app.view_functions[rule.endpoint]) or "").split("\n\n")[0].replace("\n", " ")
        found.append(Stop(endpoint, built[1], topic, (number, order, str(rule.rule)), what))
    return sorted(found, key=lambda one: one.order)


def _sidebar(app: Flask) -> list[Any]:
    with app.test_request_context("/console/"):
        return [(str(title), entries) for title, entries in sidebar(staff.OWNER)]


def _rules(app: Flask) -> Iterator[Rule]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint in ACCESS and "GET" in (rule.methods or set()):
            yield rule


def is_a_page(page: Page, address: str) -> bool:
    """Whether there is a whole page: no file, no part of one, and not somewhere else."""
    answer = page.request.get(address, max_redirects=0)
    kind = answer.headers.get("content-type", "")
    return answer.status == 200 and kind.startswith("text/html") and "<h1" in answer.text()


def picture(page: Page, width: int, file: Path) -> None:
    """What the page looks like, in as many colours as fit into the size."""
    height = min(page.evaluate("document.documentElement.scrollHeight"), WINDOWS[width][1])
    page.set_viewport_size({"width": width, "height": max(height, WINDOWS[width][0])})
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    page.set_viewport_size({"width": width, "height": WINDOWS[width][0]})
    for colours in (128, 64, 32, 16):
        shot.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            return
    raise ValueError(f"{file} is too large")


# --- the tour -------------------------------------------------------------------------------------------------------


def tour(shown: list[tuple[Stop, str]]) -> str:
    """docs/console-tour.md: the pages in their order, with what they are called and what they are for."""
    lines = [
        "# 后台一览 / A tour of the console", "",
        "每一页在电脑（1280 像素）和手机（390 像素）上的样子，按左边菜单的顺序；数据是示例。"
        "本页和图片由 `python -m tests.screenshots` 生成。",
        "Every page at a desk (1280 px) and on a phone (390 px), in the order of the menu, with example data. Made by"
        " `python -m tests.screenshots`; how to add a page: [console.md](console.md).",
    ]  # fmt: skip
    topic = ""
    for stop, heading in shown:
        if stop.topic != topic:
            topic = stop.topic
            lines += ["", f"## {topic}"]
        path = stop.path.replace("/tea", "/‹slug›", 1)
        lines += [
            "", f"### {heading}", "", f"{stop.what} `{path}`", "",
            f'<img src="screenshots/{stop.name}-1280.png" width="640" alt="{heading}, 1280 px">'
            f' <img src="screenshots/{stop.name}-390.png" width="195" alt="{heading}, 390 px">',
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def heading_of(page: Page) -> str:
    """Where one is, as the page says it, without the account."""
    places = [one.strip() for one in page.locator(".crumbs li").all_inner_texts()]
    return " › ".join(places[1:] if len(places) > 1 else places) or page.locator("h1").inner_text()


# --- all of it ------------------------------------------------------------------------------------------------------


@contextmanager
def installation(folder: Path) -> Generator[tuple[Merchant, Flask, str]]:
    """An empty one: its merchant's side, the application, and where it is served."""
    url = f"sqlite:///{folder / 'banyan.db'}"
    migrations.upgrade(url)
    with running_valkey() as redis_url, running_simulator(folder) as simulator:
        port = free_port()
        context = _context(folder, url, redis_url, simulator, port)
        app = app_of(context)
        server = make_server("127.0.0.1", port, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Merchant(context, folder / "ours.json"), app, f"http://127.0.0.1:{port}"
        finally:
            server.shutdown()
            thread.join()
            context.redis.close()
            context.close()


def _context(folder: Path, url: str, redis_url: str, simulator: Simulator, port: int) -> Context:
    settings = Settings.model_validate(
        {
            "server": {"public_url": f"http://127.0.0.1:{port}"},
            "secrets": {"key": base64.b64encode(MASTER_KEY).decode()},
            "redis": {"url": redis_url},
            "wechat": dict.fromkeys(("api_base", "mp_base", "open_base"), simulator.url),
            "data": {"dir": str(folder / "data")},
        }
    )
    database = Database(url)
    clock = Clock(file=folder / "ours.json")
    return Context(settings, database, database, Keyring(MASTER_KEY), clock)


def shoot(
    browser: Browser,
    width: int,
    app: Flask,
    base: str,
    merchant: Merchant,
    made: world.World | None,
) -> list[tuple[Stop, str]]:
    """Pictures of every page that somebody sees who is signed in; without a world, of those before."""
    window = browser.new_context(
        viewport={"width": width, "height": WINDOWS[width][0]}, locale="zh-CN"
    )
    page, shown = window.new_page(), []
    if made is not None:
        page.goto(f"{base}/console/login")
        page.locator("[name=login]").fill("wang")
        page.locator("[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="登录").click()
        page.locator(".sidebar").wait_for(state="attached")
    for stop in stops(app, made.places if made else _anything(app)):
        is_before = ACCESS[f"console.{stop.endpoint}"].allow is ANYBODY
        if is_before != (made is None) or not is_a_page(page, base + stop.path):
            continue
        page.goto(base + stop.path)
        picture(page, width, PICTURES / f"{stop.name}-{width}.png")
        shown.append((stop, heading_of(page)))
    window.close()
    return shown


def _anything(app: Flask) -> dict[str, Any]:
    """Values for every parameter, while there is nothing yet."""
    return {name: "x" if converter_is_text else 1
            for rule in _rules(app) for name in rule.arguments
            for converter_is_text in [f"<{name}>" in str(rule.rule)]}  # fmt: skip


def main() -> int:
    """All pictures anew."""
    for old in PICTURES.glob("console-*.png"):
        old.unlink()
    with (
        tempfile.TemporaryDirectory(prefix="banyan-tour-") as folder,
        installation(Path(folder)) as (merchant, app, base),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for width in WINDOWS:
            shown = shoot(browser, width, app, base, merchant, None)
        made = trade(merchant)
        person = Console(app, merchant).person((made.account, staff.OWNER), login="wang")
        merchant.database.transact(lambda s: staff.set_password(s, person.id, PASSWORD))
        for width in WINDOWS:
            signed_in = shoot(browser, width, app, base, merchant, made)
        browser.close()
    TOUR.write_text(tour([*shown, *signed_in]), encoding="utf-8")
    sys.stdout.write(f"{len(shown) + len(signed_in)} pages, {TOUR}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
