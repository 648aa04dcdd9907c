"""The page of phones in a real browser, with the real simulator and a small merchant's server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.simulator.conftest import Sim, eventually
from tests.simulator.merchant import Merchant

DESKTOP, TELEPHONE = (1280, 800), (390, 844)
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
GUIDE = [
    {
        "text": "在 Alice 的手机里点「我的海报」",
        "user": "Alice",
        "does": "click",
        "what": "poster",
    },
    {"text": "在 Bob 的手机里扫一扫", "user": "Bob", "does": "scan"},
    {"text": "Bob 购买", "user": "Bob", "does": "buy"},
    {"text": "看 Alice 收到佣金通知", "user": "Alice", "does": "receive", "what": "佣金到账"},
]


class Phones:
    """The page as somebody uses it."""

    def __init__(self, page: Page, narrow: bool) -> None:
        self.page = page
        self.narrow = narrow

    def of(self, name: str) -> Locator:
        """One phone; on a narrow screen its tab is tapped first."""
        if self.narrow:
            self.page.get_by_role("tab", name=name).click()
        return self.page.get_by_role("region", name=f"{name} 的手机", exact=True)

    def log(self) -> Locator:
        """The rows of the log, newest first."""
        return self.page.locator(".log-row")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield started
        started.close()


@pytest.fixture
def simulator(sim_url: str) -> Iterator[Sim]:
    """An empty simulator."""
    empty = Sim(sim_url)
    empty.control("reset")
    empty.control("clock", offset_seconds=0)
    yield empty
    empty.http.close()


@pytest.fixture
def merchant(simulator: Sim) -> Iterator[Merchant]:
    server = Merchant(simulator.url)
    server.introduce()
    yield server
    server.close()


@pytest.fixture
def open_page(simulator: Sim, browser: Browser) -> Iterator[Callable[..., Phones]]:
    """Opens the page for people with these names; nothing may go wrong in it until the end."""
    contexts, mistakes = [], []

    def opened(*names: str, size: tuple[int, int] = DESKTOP) -> Phones:
        for name in names:
            simulator.control("users", name=name)
        narrow = size == TELEPHONE
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, is_mobile=narrow, has_touch=narrow
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on(
            "console", lambda line: mistakes.append(line.text) if line.type == "error" else None
        )
        page.goto(simulator.url)
        page.locator("body[data-ready]").wait_for()
        return Phones(page, narrow)

    yield opened
    for context in contexts:
        context.close()
    assert mistakes == []


@pytest.fixture
def desk(merchant: Merchant, open_page: Callable[..., Phones]) -> Phones:
    """Alice and Bob, at 1280 pixels."""
    return open_page("Alice", "Bob")


def follow(phone: Locator) -> None:
    phone.get_by_role("button", name="关注公众号").click()
    expect(phone.get_by_text("欢迎来到榕树严选")).to_be_visible()


def get_poster(phone: Locator) -> None:
    phone.get_by_role("menuitem", name="我的海报").click()
    expect(phone.get_by_role("button", name="查看大图")).to_be_visible()


def scan_poster_of(phone: Locator, name: str) -> None:
    phone.get_by_role("button", name="扫一扫", exact=True).first.click()
    phone.get_by_role("button", name=f"扫 {name} 的图片").click()


@pytest.mark.parametrize("size", [DESKTOP, TELEPHONE], ids=["1280", "390"])
def test_a_newcomer_walks_the_whole_loop(
    size: tuple[int, int],
    simulator: Sim,
    merchant: Merchant,
    open_page: Callable[..., Phones],
) -> None:
    phones = open_page("Alice", "Bob", size=size)
    simulator.control("guide", steps=GUIDE)
    steps = phones.page.get_by_role("region", name="新手引导").get_by_role("listitem")
    expect(steps).to_have_count(4)

    alice = phones.of("Alice")
    follow(alice)
    get_poster(alice)
    expect(steps.nth(0)).to_have_class("done")
    expect(steps.nth(1)).to_have_class("next")

    bob = phones.of("Bob")
    scan_poster_of(bob, "Alice")
    expect(bob.get_by_text("欢迎来到榕树严选")).to_be_visible()
    bob.get_by_role("button", name="武夷岩茶礼盒").click()
    expect(bob.get_by_text("已付款 ¥128.00")).to_be_visible()

    alice = phones.of("Alice")
    notice = alice.get_by_role("article", name="佣金到账通知")
    expect(notice.get_by_text("¥12.80")).to_be_visible()
    expect(notice.get_by_role("button", name="查看详情")).to_be_in_viewport()
    expect(steps.and_(phones.page.locator(".done"))).to_have_count(4)
    assert _does_not_scroll_sideways(phones.page)


def _does_not_scroll_sideways(page: Page) -> bool:
    """Not compared with innerWidth: on a phone, what sticks out widens that too."""
    size = page.viewport_size
    assert size is not None
    return bool(page.evaluate("document.documentElement.scrollWidth") <= size["width"])


def test_text_goes_both_ways_and_the_keyboard_alone_is_enough(desk: Phones) -> None:
    alice = desk.of("Alice")
    follow(alice)
    keyboard = desk.page.keyboard
    alice.get_by_role("button", name="切换到键盘").focus()
    keyboard.press("Enter")
    expect(alice.get_by_label("消息")).to_be_focused()
    keyboard.type("你好")
    keyboard.press("Enter")
    expect(alice.locator(".mine .bubble")).to_have_text("你好")
    expect(alice.locator(".theirs .bubble")).to_have_text("收到：你好，去商城看看。")


def test_arrow_keys_walk_the_menu_and_escape_closes_it(desk: Phones) -> None:
    alice = desk.of("Alice")
    follow(alice)
    mine = alice.get_by_role("menuitem", name="我的", exact=True)
    mine.focus()
    desk.page.keyboard.press("Enter")
    desk.page.keyboard.press("ArrowDown")
    expect(alice.get_by_role("menuitem", name="我的团队")).to_be_focused()
    desk.page.keyboard.press("ArrowDown")
    expect(alice.get_by_role("menuitem", name="我的收益")).to_be_focused()
    desk.page.keyboard.press("Escape")
    expect(alice.get_by_role("menuitem", name="我的收益")).to_be_hidden()
    expect(mine).to_be_focused()
    desk.page.keyboard.press("ArrowRight")
    expect(alice.get_by_role("menuitem", name="我的海报")).to_be_focused()


def test_a_menu_click_reaches_the_server_and_the_log_shows_both_sides(
    desk: Phones, merchant: Merchant
) -> None:
    alice = desk.of("Alice")
    follow(alice)
    alice.get_by_role("menuitem", name="我的", exact=True).click()
    alice.get_by_role("menuitem", name="我的收益").click()
    expect(alice.get_by_text("累计 ¥12.80")).to_be_visible()
    assert merchant.pushes[-1]["EventKey"] == "earnings"
    row = desk.log().first
    expect(row).to_contain_text("Alice 点菜单「earnings」")
    expect(row).to_contain_text("回复文字")
    row.locator("summary").click()
    expect(row.locator("pre").first).to_contain_text("<EventKey><![CDATA[earnings]]></EventKey>")


def test_what_strangers_write_stays_text(
    merchant: Merchant, open_page: Callable[..., Phones]
) -> None:
    evil = "<img src=x onerror=document.title='hacked'>"
    phones = open_page(evil)
    phone = phones.of(evil)
    follow(phone)
    phone.get_by_role("button", name="切换到键盘").click()
    phone.get_by_label("消息").fill(evil)
    phone.get_by_role("button", name="发送").click()
    expect(phone.locator(".mine .bubble")).to_have_text(evil)
    expect(phone.locator(".theirs .bubble")).to_contain_text(evil)
    expect(phones.log().first).to_contain_text(evil)
    expect(phones.page.locator("img[src='x']")).to_have_count(0)
    expect(phones.page).to_have_title("微信模拟器")


def test_addresses_that_are_no_web_pages_are_not_opened(
    desk: Phones, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = "<item><Title>点我</Title><Description/><PicUrl/><Url>javascript:alert(1)</Url></item>"
    news = f"<MsgType>news</MsgType><ArticleCount>1</ArticleCount><Articles>{item}</Articles>"
    monkeypatch.setattr(merchant, "answer", lambda push: news)
    alice = desk.of("Alice")
    alice.get_by_role("button", name="关注公众号").click()
    alice.get_by_role("button", name="点我").click()
    expect(alice.get_by_role("status")).to_have_text("打不开这个地址")
    expect(desk.page.locator("iframe")).to_have_count(0)


def test_the_page_forbids_inline_scripts_and_being_framed(simulator: Sim) -> None:
    page = requests.get(simulator.url, timeout=10)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "<style" not in page.text
    assert " style=" not in page.text


def test_a_server_that_fails_makes_the_phone_apologise(
    desk: Phones, merchant: Merchant, simulator: Sim
) -> None:
    alice = desk.of("Alice")
    follow(alice)
    simulator.control("faults", push_spacing_ms=20)
    merchant.breaks = True
    alice.get_by_role("menuitem", name="我的海报").click()
    expect(alice.get_by_text("该公众号提供的服务出现故障")).to_be_visible()
    row = desk.log().first
    expect(row).to_contain_text("第 3 次")
    expect(row).to_have_class("log-row push failed")


def test_the_chat_stays_where_its_reader_is(desk: Phones, simulator: Sim) -> None:
    alice = desk.of("Alice")
    follow(alice)
    simulator.control("text", user="Alice", content="很长\n" * 40)
    newest = alice.locator(".bubble").last
    expect(newest).to_contain_text("收到：很长")
    expect(newest.get_by_role("button", name="商城")).to_be_in_viewport()
    alice.get_by_role("log").evaluate("chat => { chat.scrollTop = 100 }")
    simulator.control("click", user="Alice", key="earnings")
    expect(newest).to_contain_text("累计")
    expect(newest).not_to_be_in_viewport()


def test_a_picture_that_grows_late_does_not_push_the_newest_message_away(
    desk: Phones, simulator: Sim
) -> None:
    alice = desk.of("Alice")
    follow(alice)
    get_poster(alice)
    alice.get_by_role("log").evaluate(
        """chat => {
            const picture = chat.querySelector(".picture");
            picture.style.height = "300px";
            chat.scrollTop = chat.scrollHeight;
            picture.style.height = "900px"; // before the event of that scrolling is delivered
        }"""
    )
    desk.page.evaluate(TWO_FRAMES)
    simulator.control("click", user="Alice", key="earnings")
    expect(alice.get_by_text("累计 ¥12.80")).to_be_in_viewport()


def test_a_poster_can_be_dragged_to_another_phone(desk: Phones) -> None:
    alice, bob = desk.of("Alice"), desk.of("Bob")
    follow(alice)
    get_poster(alice)
    alice.get_by_role("button", name="查看大图").drag_to(bob.locator(".screen"))
    expect(bob.get_by_text("欢迎来到榕树严选")).to_be_visible()
    expect(alice.get_by_role("article", name="新成员加入通知")).to_be_visible()


def test_a_large_picture_can_be_scanned_by_the_other_phone(desk: Phones) -> None:
    alice, bob = desk.of("Alice"), desk.of("Bob")
    follow(alice)
    get_poster(alice)
    alice.get_by_role("button", name="查看大图").click()
    alice.get_by_role("button", name="Bob 来扫").click()
    expect(bob.get_by_text("欢迎来到榕树严选")).to_be_visible()
    expect(alice.get_by_role("dialog")).to_have_count(0)


def test_an_order_is_completed_and_refunded_from_the_phone(
    desk: Phones, merchant: Merchant
) -> None:
    bob = desk.of("Bob")
    follow(bob)
    bob.get_by_role("button", name="白瓷盖碗").click()
    orders = bob.get_by_role("list", name="Bob 的订单")
    expect(orders).to_contain_text("白瓷盖碗 ¥59")
    orders.get_by_role("button", name="确认收货").click()
    expect(orders).to_contain_text("已完成")
    orders.get_by_role("button", name="退款").click()
    expect(orders).to_contain_text("已退款")
    expect(orders.get_by_role("button")).to_have_count(0)
    paths = [path.rpartition("/")[2] for path, _ in merchant.orders]
    assert paths == ["orders", "complete", "refunds"]
    reports = desk.page.locator(".log-row.report")
    expect(reports).to_have_count(3)
    expect(reports.last).to_contain_text("Bob 下单付款")
    expect(reports.last).to_contain_text("201")


def test_unfollowing_asks_first_and_then_shows_the_profile_again(
    desk: Phones, merchant: Merchant
) -> None:
    alice = desk.of("Alice")
    follow(alice)
    alice.get_by_role("button", name="更多").click()
    alice.get_by_role("button", name="取消关注").click()
    alice.get_by_role("button", name="不再关注").click()
    expect(alice.get_by_role("button", name="关注公众号")).to_be_visible()
    eventually(lambda: merchant.pushes[-1]["Event"] == "unsubscribe")
    expect(alice.get_by_role("log")).to_be_hidden()
    alice.get_by_role("button", name="关注公众号").click()
    expect(alice.get_by_role("log").get_by_role("article")).to_have_count(2)


def test_only_the_page_opened_last_stays_alive(desk: Phones, merchant: Merchant) -> None:
    for name in ("Alice", "Bob"):
        phone = desk.of(name)
        follow(phone)
        phone.get_by_role("menuitem", name="商城").click()
        phone.get_by_role("menuitem", name="逛逛商城").click()
        page = phone.frame_locator("iframe")
        expect(page.get_by_role("heading", name="榕树茶铺")).to_be_visible()
    alice = desk.of("Alice")
    expect(alice.get_by_text("另一部手机打开了网页")).to_be_visible()
    alice.get_by_role("button", name="继续").click()
    expect(alice.frame_locator("iframe").get_by_role("heading", name="榕树茶铺")).to_be_visible()
    expect(desk.of("Bob").get_by_text("另一部手机打开了网页")).to_be_visible()
    views = [push["Event"] for push in merchant.pushes if push.get("Event") == "VIEW"]
    assert len(views) == 2


def test_another_phone_does_not_inherit_the_visit_of_the_first(
    simulator: Sim, merchant: Merchant
) -> None:
    browser = requests.Session()
    alice, bob = (simulator.control("users", name=name)["id"] for name in ("Alice", "Bob"))

    def visit(user: str) -> None:
        query = {"user": user, "url": f"{merchant.url}/shop"}
        answer = browser.get(f"{simulator.url}/_sim/open", params=query, timeout=10)
        assert answer.url == f"{merchant.url}/shop"

    visit(alice)
    browser.cookies.set("visitor", "alice", domain="127.0.0.1", path="/")
    visit(alice)
    assert browser.cookies["visitor"] == "alice"
    visit(bob)
    assert "visitor" not in browser.cookies
    assert browser.cookies["sim_user"] == bob


def test_a_page_must_be_a_web_address(simulator: Sim, merchant: Merchant) -> None:
    user = simulator.control("users", name="Alice")["id"]
    query = {"user": user, "url": "javascript:alert(1)"}
    answer = requests.get(f"{simulator.url}/_sim/open", params=query, timeout=10)
    assert answer.status_code == 400


def test_the_clock_and_the_faults_are_in_reach(desk: Phones, simulator: Sim) -> None:
    desk.page.get_by_role("button", name="＋8 天").click()
    expect(desk.page.get_by_text("比现实快 8 天")).to_be_visible()
    assert simulator.look("clock")["offset_seconds"] == 8 * 86400
    desk.page.get_by_text("故障演练").click()
    desk.page.locator(".fault-group summary", has_text="接口").click()
    desk.page.get_by_label("返回 HTTP 500，什么也没做").fill("0.5")
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator(".count")).to_have_text("1")
    assert simulator.look("faults")["http_500_rate"] == 0.5
    desk.page.get_by_role("button", name="全部关掉").click()
    expect(desk.page.locator(".count")).to_be_hidden()


def test_every_fault_has_words_and_is_in_the_panel(desk: Phones, simulator: Sim) -> None:
    listed = {each["name"] for each in simulator.look("faults/list")["faults"]}
    assert listed == set(simulator.look("faults"))
    desk.page.locator(".fault-group").nth(3).wait_for(state="attached")
    shown = desk.page.locator(".faults [name]").evaluate_all("all => all.map(each => each.name)")
    assert set(shown) == listed


def test_a_phone_is_added_by_name(desk: Phones) -> None:
    desk.page.get_by_role("button", name="添加手机").click()
    desk.page.get_by_label("名字").fill("Carol")
    desk.page.keyboard.press("Enter")
    expect(desk.of("Carol").get_by_role("button", name="关注公众号")).to_be_visible()


def test_the_page_starts_over_when_the_simulator_is_reset(desk: Phones, simulator: Sim) -> None:
    follow(desk.of("Alice"))
    simulator.control("reset")
    expect(desk.page.locator(".phone")).to_have_count(0)
    expect(desk.log()).to_have_count(0)
    simulator.control("users", name="Dave")
    expect(desk.of("Dave")).to_be_visible()


def test_on_a_telephone_a_tab_shows_whose_phone_has_news(
    merchant: Merchant, simulator: Sim, open_page: Callable[..., Phones]
) -> None:
    phones = open_page("Alice", "Bob", size=TELEPHONE)
    follow(phones.of("Alice"))
    simulator.control("follow", user="Bob")
    tab = phones.page.get_by_role("tab", name="Bob")
    expect(tab.get_by_text("有新消息")).to_have_count(1)
    phones.of("Bob")
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(tab.get_by_text("有新消息")).to_have_count(0)


@pytest.mark.parametrize(
    "steps",
    [
        "no list",
        [{"user": "Alice"}],
        [{"text": "飞", "user": "Alice", "does": "fly"}],
        [{"text": "点", "does": "click"}],
    ],
)
def test_a_guide_that_makes_no_sense_is_refused(simulator: Sim, steps: Any) -> None:
    answer = requests.post(f"{simulator.url}/_sim/guide", json={"steps": steps}, timeout=10)
    assert answer.status_code == 400
    assert simulator.look("guide") == {"steps": []}


def test_what_happened_before_the_guide_was_set_ticks_nothing(
    simulator: Sim, merchant: Merchant
) -> None:
    simulator.control("users", name="Bob")
    simulator.control("follow", user="Bob")
    simulator.control("buy", user="Bob", sku="TEA")
    steps = [
        {"text": "关注", "user": "Bob", "does": "follow"},
        {"text": "收到欢迎", "user": "Bob", "does": "receive", "what": "欢迎"},
        {"text": "说你好", "user": "Bob", "does": "say", "what": "你好"},
        {"text": "买盖碗", "user": "Bob", "does": "buy", "what": "CUP"},
        {"text": "等 Zoe", "user": "Zoe", "does": "follow"},
        {"text": "收到图文", "user": "Bob", "does": "news"},
    ]
    simulator.control("guide", steps=steps)
    assert _ticks(simulator) == [False] * 6
    simulator.control("text", user="Bob", content="你好吗")
    simulator.control("buy", user="Bob", sku="TEA")
    assert _ticks(simulator) == [False, False, True, False, False, False]
    simulator.control("buy", user="Bob", sku="CUP")
    assert _ticks(simulator) == [False, False, True, True, False, False]
    simulator.control("unfollow", user="Bob")
    simulator.control("follow", user="Bob")
    assert _ticks(simulator) == [True, True, True, True, False, True]


def _ticks(simulator: Sim) -> list[bool]:
    return [step["done"] for step in simulator.look("guide")["steps"]]
