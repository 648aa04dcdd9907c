"""The first days of a merchant, from an empty installation to a broadcast that sold something, all of it through pages:
at a desk and on a phone, with real servers, workers, a database and a WeChat that is simulated over HTTP."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Desk, Town, opened_in_wechat
from tests.support.paying import API_V3_KEY, MCH_ID, SERIAL, key_pair
from tests.support.waiting import until

APP_ID = "wx0123456789abcdef"
ACCOUNT = {
    "name": "山泉茶舍", "slug": "spring", "app_id": APP_ID, "app_secret": "s" * 32, "gh_id": "gh_0123456789ab",
}  # fmt: skip
OWNER, OWNERS_PASSWORD = "wang", "spring tea at dawn"
FINANCE, FINANCES_PASSWORD = "li", "count every fen twice"
CROWD = 300
FRIENDS = ("小美", "小林", "小周")
"""Each came by the one before."""


@pytest.mark.parametrize(
    ("width", "engine_name"), [(1280, "mariadb"), (390, "sqlite")], ids=["desk", "phone"]
)
def test_merchant_goes_from_nothing_to_a_paid_withdrawal_and_a_broadcast_that_sold(
    town: Town, desk: Desk
) -> None:
    create_the_owner(town, desk)
    open_the_account(town, desk)
    prepare_the_programme(town, desk)
    prepare_the_payouts(town, desk)
    sell_through_friends(town, desk)
    pay_out(town, desk)
    broadcast(town, desk)


def create_the_owner(town: Town, desk: Desk) -> None:
    desk.page.goto(desk.home)
    desk.look("first-step")
    desk.fill(code=town.setup_code(), login=OWNER, password=OWNERS_PASSWORD, again=OWNERS_PASSWORD)
    desk.press("创建并登录")
    desk.says("还没有公众号")
    desk.look("no-account")


def open_the_account(town: Town, desk: Desk) -> None:
    page = desk.page
    page.get_by_role("link", name="接入第一个公众号").click()
    desk.look("wizard")
    desk.fill(**ACCOUNT)
    page.locator("[name=depth][value='2']").check()
    page.get_by_role("button", name="开通，下一步接上微信").click()
    desk.says("还在等微信来验证")
    desk.look("connect")
    town.simulator.post(
        "/_sim/accounts", app_id=APP_ID, secret=ACCOUNT["app_secret"], gh_id=ACCOUNT["gh_id"], name=ACCOUNT["name"],
        mode="safe", callback_url=page.locator("#p-url").input_value(),
        token=page.locator("#p-token").input_value(), aes_key=page.locator("#p-aes").input_value(),
    )  # fmt: skip
    assert town.simulator.post("/_sim/verify")["ok"]
    desk.says("微信已验证这个网址")
    desk.look("verified")
    page.get_by_role("link", name="健康检查").first.click()
    desk.look("checkup")
    page.get_by_role("button", name="现在检查").click()
    desk.says("AppID、AppSecret 和 IP 白名单都对")
    desk.look("checkup-done")
    town.simulator.post("/_sim/crowd", account=APP_ID, count=CROWD - len(FRIENDS))
    desk.open("粉丝同步")
    desk.press("现在同步")
    desk.comes_to_say("已完成")
    desk.look("synced")


def prepare_the_programme(town: Town, desk: Desk) -> None:
    page = desk.page
    desk.open("佣金规则")
    page.get_by_role("link", name="新版本").click()
    desk.fill(**{"rate-1": "10", "rate-2": "5", "freeze_days": "7"})
    desk.look("rule-new")
    desk.press("发布")
    desk.says("生效中")
    desk.look("rule-published")

    desk.open("自定义菜单")
    page.locator("[name='0-0-0-name']").fill("我的收益")
    desk.says("没有问题，可以推送")
    page.get_by_role("button", name="保存为新版本").click()
    desk.says("还没有推送")
    desk.act("推送到微信")
    desk.says("微信上是最新版")
    desk.look("menu-pushed")
    menu = town.simulator.get("/_sim/menu", account=APP_ID)
    assert "我的收益" in str(menu)


def prepare_the_payouts(town: Town, desk: Desk) -> None:
    page = desk.page
    desk.open("设置")
    page.get_by_role("link", name="提现", exact=True).last.click()
    desk.fill(second_above_fen="100")
    desk.look("settings-withdrawals")
    desk.press("保存")
    desk.says("已保存")
    page.locator("main").get_by_role("link", name="微信支付", exact=True).click()
    theirs = town.simulator.post(
        "/_sim/merchants", mch_id=MCH_ID, api_v3_key=API_V3_KEY, serial_no=SERIAL, public_key=key_pair()[1],
        balance_fen=10_000_000, app_ids=[APP_ID],
    )  # fmt: skip
    desk.fill(
        mch_id=MCH_ID, serial_no=SERIAL, private_key=key_pair()[0], api_v3_key=API_V3_KEY,
        public_key_id=theirs["public_key_id"], public_key=theirs["public_key"],
    )  # fmt: skip
    desk.look("merchant")
    desk.press("保存")
    desk.says("已保存，密钥已加密")

    desk.open("员工与角色")
    desk.fill(login=FINANCE, password=FINANCES_PASSWORD)
    page.locator("main [name=role]").last.select_option("finance")
    desk.press("添加")
    desk.says("已添加")
    desk.look("staff-added")

    desk.open("接口密钥")
    desk.press("生成")
    desk.says("密钥只显示这一次")
    desk.look("api-key")
    key, secret = (page.locator(f"#k-{name}").input_value() for name in ("key", "secret"))
    town.simulator.post(
        "/_sim/shops", name="山泉茶铺", account=APP_ID, base_url=town.app.url, key=key, secret=secret,
        products=[{"sku": "tea-1280", "title": "正山小种 礼盒", "price_fen": 128_000}],
    )  # fmt: skip


def sell_through_friends(town: Town, desk: Desk) -> None:
    wechat, page = town.simulator, desk.page
    for name in FRIENDS:
        wechat.post("/_sim/users", name=name)
    wechat.post("/_sim/follow", user="小美")
    for who, friend in (("小美", "小林"), ("小林", "小周")):
        wechat.post("/_sim/scan", user=friend, image_message_id=poster_of(town, who))
    for name in FRIENDS:
        wechat.post("/_sim/text", user=name, content=f"昵称 {name}")
    bought = wechat.post("/_sim/buy", user="小周", sku="tea-1280")
    desk.open("订单")
    page.get_by_role("link", name=bought["order"]["order_no"]).click()
    for words in ("小周", "小林", "小美", "¥128.00", "¥64.00"):
        desk.says(words)
    desk.look("order")
    page.get_by_role("link", name="为什么").first.click()
    desk.says("10%")
    desk.look("commission")
    desk.open("会员")
    desk.look("members")
    wechat.post(f"/_sim/orders/{bought['order']['order_no']}/complete")


def poster_of(town: Town, name: str) -> int:
    """The number of the picture that somebody gets who asks for their poster."""
    town.simulator.post("/_sim/text", user=name, content="我的海报")

    def picture() -> int:
        chat = town.simulator.get(f"/_sim/chats/{name}", account=APP_ID)
        return next((one["id"] for one in chat["messages"] if one["type"] == "image"), 0)

    return until(picture)


def user_of(town: Town, name: str) -> str:
    users = town.simulator.get("/_sim/users")["users"]
    return next(str(one["id"]) for one in users if one["name"] == name)


def told(town: Town, name: str, words: str) -> str:
    """What somebody is answered who says this in the chat."""
    push = town.simulator.post("/_sim/text", user=name, content=words)
    return str(push["reply"]["text"])


def pay_out(town: Town, desk: Desk) -> None:
    page, wechat = desk.page, town.simulator
    town.later(days=8)
    page.reload()
    desk.says("登录商家后台")
    desk.sign_in(OWNER, OWNERS_PASSWORD)
    desk.open("佣金")
    desk.comes_to_say("已结算")
    desk.look("settled")
    assert "正在审核" in told(town, "小林", "提现 120")

    for login, password in ((OWNER, OWNERS_PASSWORD), (FINANCE, FINANCES_PASSWORD)):
        if login != OWNER:
            desk.sign_out()
            desk.sign_in(login, password)
        desk.open("提现")
        page.locator(".list tbody a").first.click()
        desk.look(f"withdrawal-{login}")
        desk.act("同意打款")
        desk.says("已同意")
    desk.comes_to_say("WAIT_USER_CONFIRM")
    desk.look("waits-for-the-person")
    [bill] = wechat.get("/_sim/transfers")["transfers"]
    assert bill["amount_fen"] == 12_000
    wechat.post(f"/_sim/transfers/{bill['out_bill_no']}/confirm")
    desk.comes_to_say("打款完成")
    desk.look("paid")
    assert "已打款 ¥120.00" in told(town, "小林", "提现进度")
    desk.open("账本核对")
    desk.press("现在核对一次")
    for title in ("订单", "提现"):
        page.locator(".stat").filter(has_text=re.compile(f"{title}\\s*1\\D")).wait_for()
    desk.says("账本平衡")
    desk.look("books")


def broadcast(town: Town, desk: Desk) -> None:
    page, wechat = desk.page, town.simulator
    desk.sign_out()
    desk.sign_in(OWNER, OWNERS_PASSWORD)
    desk.open("群发")
    page.get_by_role("link", name="写一条").click()
    desk.fill(name="春茶上新", text=f"春茶到店，点开看看：{wechat.url}/healthz")
    desk.says(f"{CROWD}")
    desk.look("compose")
    desk.press("存为草稿")
    desk.says("已存为草稿")
    desk.look("draft")
    desk.act("开始发送")
    desk.comes_to_say("已发完")
    opened_in_wechat(town, user_of(town, "小美"), f"{town.app.url}/m/spring/")
    for name in ("小林", "小周"):
        chat = wechat.get(f"/_sim/chats/{name}", account=APP_ID)["messages"]
        text = next(one["text"] for one in reversed(chat) if "春茶到店" in str(one.get("text")))
        [link] = re.findall(r"http\S+", text)
        answer = opened_in_wechat(town, user_of(town, name), link)
        assert answer.url.startswith(f"{wechat.url}/healthz?c=")
        wechat.post("/_sim/buy", user=name, sku="tea-1280")
    page.reload()
    desk.says("2 位买家")
    desk.says("¥2,560.00")
    desk.says("¥320.00")
    desk.look("sold")
    page.get_by_role("link", name=f"{CROWD}").first.click()
    desk.look("recipients")
    desk.open("概览")
