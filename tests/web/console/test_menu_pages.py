"""The menu: edited in rows, its problems told beside them, pushed to and compared with a WeChat that answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from domain import events, menus
from domain.accounts import OpenAccount
from domain.models import Audit, MenuVersion
from tests.web.console.browser import Browser, Console

MENU = "/console/tea/menu"
FORM = {
    "after": "0", "menus": "2", "note": "春天",
    "0-0-0-name": "我的", "0-0-1-name": "团队", "0-0-1-type": "click", "0-0-1-value": "我的团队",
    "0-0-3-name": "商城", "0-0-3-type": "view", "0-0-3-value": "https://shop.example/",
    "0-2-0-name": "帮助", "0-2-0-type": "click",
}  # fmt: skip
SAVED = [
    {
        "name": "我的",
        "sub_button": [
            {"type": "click", "name": "团队", "key": "我的团队"},
            {"type": "view", "name": "商城", "url": "https://shop.example/"},
        ],
    },
    {"type": "click", "name": "帮助", "key": "帮助"},
]


def newest(console: Console) -> MenuVersion:
    query = select(MenuVersion).order_by(MenuVersion.id.desc()).limit(1)
    return console.merchant.database.read(lambda session: session.scalars(query).one())


def test_rows_are_saved_as_the_next_version(console: Console, owner: Browser) -> None:
    owner.post(f"{MENU}/save", **FORM)
    assert "已保存第 1 版" in owner.said()
    saved = newest(console)
    assert menus.menu_of(saved).as_value() == {"buttons": SAVED, "conditional": []}
    assert (saved.note, saved.actor) == ("春天", f"staff:{owner.login}")
    html = owner.get(MENU).text
    assert 'value="https://shop.example/"' in html
    assert "没有问题，可以推送" in html
    audits = select(Audit).where(Audit.action == "menu_saved")
    assert len(console.merchant.database.read(lambda s: s.scalars(audits).all())) == 1


def test_two_who_edit_at_once_do_not_overwrite_each_other(console: Console, owner: Browser) -> None:
    owner.post(f"{MENU}/save", **FORM)
    late = owner.post(f"{MENU}/save", **(FORM | {"0-2-0-name": "客服"}))
    assert "别人刚刚保存了另一个版本" in late.text
    assert 'value="客服"' in late.text, "what was written is still in the form"
    assert newest(console).version == 1


def test_problems_stand_beside_their_rows_and_forbid_the_push(owner: Browser) -> None:
    wrong = FORM | {
        "0-0-3-value": "shop.example",
        "0-2-0-name": "很长很长的名字",
        "0-2-0-value": "没有人答",
    }
    seen = owner.post(f"{MENU}/look", **wrong)
    assert "有 2 处微信不会接受" in seen.text
    owner.post(f"{MENU}/save", **wrong)
    html = owner.get(MENU).text
    assert "网址：要以 https:// 或 http:// 开头" in html
    assert "名称：太长：最多 16 字节" in html
    owner.post(f"{MENU}/push")
    assert "微信不会接受这个菜单" in owner.said()
    silent = FORM | {"after": "1", "0-2-0-value": "没有人答"}
    owner.post(f"{MENU}/save", **silent)
    assert "没有命令或自动回复回答它" in owner.get(MENU).text


def test_conditional_menu_needs_a_condition_and_can_be_removed(
    console: Console, owner: Browser
) -> None:
    more = FORM | {"1-name": "苹果", "1-0-0-name": "苹果", "1-0-0-value": "帮助"}
    assert "要选标签或手机" in owner.post(f"{MENU}/save", **more).text
    owner.post(f"{MENU}/save", **(more | {"1-platform": "ios"}))
    assert [one.name for one in menus.menu_of(newest(console)).conditional] == ["苹果"]
    owner.post(f"{MENU}/save", **(more | {"1-platform": "ios", "1-drop": "1", "after": "1"}))
    assert menus.menu_of(newest(console)).conditional == ()


def test_earlier_version_becomes_the_next_one(console: Console, owner: Browser) -> None:
    owner.post(f"{MENU}/save", **FORM)
    owner.post(f"{MENU}/save", after="1", menus="1")
    assert menus.menu_of(newest(console)).buttons == ()
    owner.post(f"{MENU}/back", version="1")
    assert newest(console).version == 3
    assert list(menus.menu_of(newest(console)).buttons) == SAVED
    owner.post(f"{MENU}/back", version="9")
    assert "没有这个版本" in owner.said()


def test_wechat_that_does_not_answer_is_told_and_changes_nothing(
    console: Console, owner: Browser
) -> None:
    owner.post(f"{MENU}/save", **FORM)
    owner.post(f"{MENU}/push")
    assert "连不上微信" in owner.said()
    assert newest(console).pushed_at is None
    assert "连不上微信" in owner.get(f"{MENU}/compare").text


def test_taps_of_the_last_days_are_shown_by_key(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    def tap(session: Any) -> None:
        for number, days in enumerate((0, 0, 3, 9)):
            events.record(
                session, account.id, f"tap-{number}", events.CLICK, console.now - timedelta(days=days), member_id=1,
                detail="提现",
            )  # fmt: skip

    console.merchant.database.transact(tap)
    html = owner.get(MENU).text
    assert "<strong>3</strong>" in html
    assert 'aria-label="0, 0, 0, 1, 0, 0, 2"' in html


def test_menu_is_pushed_compared_and_fetched(connected: Browser, console: Console) -> None:
    connected.post(f"{MENU}/save", **FORM)
    assert "还没有推送到微信" in connected.get(f"{MENU}/compare").text
    connected.post(f"{MENU}/push")
    assert "第 1 版已推送" in connected.said()
    assert "一样。" in connected.get(f"{MENU}/compare").text
    assert "微信上是最新版" in connected.get(MENU).text
    connected.post(f"{MENU}/save", after="1", menus="1", **{"0-0-0-name": "帮助"})
    assert "微信上是第 1 版" in connected.get(MENU).text
    connected.post(f"{MENU}/fetch")
    assert "已存为第 3 版" in connected.said()
    assert [one["name"] for one in menus.menu_of(newest(console)).buttons] == ["我的", "帮助"]
