"""Menus as data: versions, keys that somebody answers, and what differs from WeChat's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain import events, menus, replies
from domain.db import Database
from domain.errors import Conflict, Invalid, NotFound
from domain.menus import Menu
from domain.replies import CLICK
from domain.texts import Words

ACCOUNT = 7
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def click(name: str, key: str | None = None) -> dict[str, Any]:
    return {"type": "click", "name": name, "key": key or name}


def vip(*buttons: dict[str, Any], tag: int = 100, name: str = "老客户") -> dict[str, Any]:
    return {"name": name, "tag_id": tag, "platform": None, "buttons": list(buttons)}


def document(*buttons: dict[str, Any], conditional: list[dict[str, Any]] | None = None) -> Menu:
    return menus.parse({"buttons": list(buttons), "conditional": conditional or []})


def test_every_save_is_a_version_and_two_editors_do_not_overwrite_each_other(
    database: Database,
) -> None:
    def save(session: Session, after: int, name: str) -> int:
        menu = document(click(name))
        return menus.save(session, ACCOUNT, menu, after=after, actor="小王", now=NOW).version

    assert database.transact(lambda s: save(s, 0, "甲")) == 1
    assert database.transact(lambda s: save(s, 1, "乙")) == 2
    with pytest.raises(Conflict) as caught:
        database.transact(lambda s: save(s, 1, "丙"))
    assert caught.value.details == {"version": 2}
    database.transact(lambda s: menus.pushed(s, ACCOUNT, 1, [9], actor="小李", now=NOW))
    rows = database.read(lambda s: menus.history(s, ACCOUNT))
    assert [(row.version, row.actor, row.pushed_by) for row in rows] == [
        (2, "小王", None),
        (1, "小王", "小李"),
    ]
    with pytest.raises(NotFound):
        database.transact(lambda s: menus.pushed(s, ACCOUNT + 1, 1, [], actor="x", now=NOW))
    assert menus.menu_of(rows[0]).buttons[0]["name"] == "乙"
    assert menus.menu_of(None) == menus.usual()


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"buttons": "x"},
        {"buttons": ["x"]},
        {"more": 1},
        {"buttons": [], "conditional": [vip()]},
        {"buttons": [click("x")], "conditional": [{"name": "x", "buttons": []}]},
        {"buttons": [click("x")], "conditional": [vip() | {"tag_id": True}]},
        {"buttons": [click("x")], "conditional": [vip() | {"platform": "symbian"}]},
        {"buttons": [click("x" * 61_000)]},
    ],
)
def test_what_is_no_menu_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        menus.parse(value)


def test_a_key_is_a_command_or_has_a_reply(database: Database) -> None:
    database.transact(lambda s: replies.put(s, ACCOUNT, "promo", "优惠", kind=CLICK))
    database.transact(lambda s: replies.put(s, ACCOUNT, "运费", "包邮"))
    below = {"name": "更多", "sub_button": [click("运费"), click("空", "nobody")]}
    menu = document(
        click("帮助"), click("优惠", "promo"), below, conditional=[vip(click("哑", "x"))]
    )
    table = database.read(lambda s: replies.table_of(s, ACCOUNT))
    assert [(each.where, each.key) for each in menus.silent_keys(menu, table)] == [
        ("button[2].sub_button[1]", "nobody"), ("conditional[0].button[0]", "x"),
    ]  # fmt: skip


def test_a_menu_that_a_later_one_hides_is_named() -> None:
    both = [vip(click("甲"), name="先"), vip(click("乙"), name="后")]
    assert menus.never_shown(document(click("x"), conditional=both)) == ["先"]


def test_what_wechat_adds_is_no_difference() -> None:
    ours = document(click("帮助"), {"name": "我的", "sub_button": [click("明细")]})
    theirs = document(
        click("帮助") | {"sub_button": []},
        {"type": "click", "name": "我的", "sub_button": [click("明细") | {"sub_button": []}]},
    )
    assert menus.diff(ours, theirs) == []


def test_differences_are_told_in_words() -> None:
    words = Words()
    ours = document(click("帮助"), {"name": "我的", "sub_button": [click("明细"), click("提现")]})
    theirs = document(
        click("帮助", "help"),
        {"name": "我的", "sub_button": [click("明细")]},
        {"type": "view", "name": "旧页", "url": "https://old.example"},
    )
    found = menus.diff(ours, theirs)
    assert [(each.kind, each.where) for each in found] == [
        ("changed", "button[0]"), ("missing", "button[1].sub_button[1]"), ("extra", "button[2]"),
    ]  # fmt: skip
    texts = [each.text(words) for each in found]
    assert texts[0] == "「帮助」不一样。这里：key 帮助；微信上：key help"
    assert "还没有推送到微信" in texts[1]
    assert "只在微信上有" in texts[2]


def test_conditional_menus_differ_by_rule_and_by_order() -> None:
    one, two = vip(click("甲"), tag=1, name="一"), vip(click("乙"), tag=2, name="二")
    ours = document(click("x"), conditional=[one, two])
    kinds = [
        [each.kind for each in menus.diff(ours, document(click("x"), conditional=other))]
        for other in ([one, two], [two, one], [one], [one, two, vip(click("丙"), tag=3)])
    ]
    assert kinds == [[], ["order"], ["missing"], ["extra"]]
    order = menus.diff(ours, document(click("x"), conditional=[two, one]))[0]
    assert "这里：一、二；微信上：二、一" in order.text(Words())


def test_taps_are_counted_by_beijing_day_and_key(database: Database) -> None:
    def tap(session: Session, number: int, at: datetime, key: str, member: int) -> None:
        row = (ACCOUNT, f"push-{number}", events.CLICK, member, None, key, at)
        events.record_touches(session, [row])

    midnight = datetime(2026, 11, 21, 16, tzinfo=UTC)
    for number, (at, key, member) in enumerate(
        [
            (midnight - timedelta(seconds=1), "明细", 1),
            (midnight, "明细", 1),
            (midnight, "明细", 1),
            (midnight, "提现", 2),
        ]
    ):
        database.transact(lambda s, n=number, a=at, k=key, m=member: tap(s, n, a, k, m))  # type: ignore[misc]
    found = database.read(lambda s: menus.taps(s, ACCOUNT, date(2026, 11, 21), date(2026, 11, 22)))
    assert [(each.day.day, each.key, each.taps, each.people) for each in found] == [
        (21, "明细", 1, 1), (22, "明细", 2, 1), (22, "提现", 1, 1),
    ]  # fmt: skip
    with pytest.raises(Invalid):
        database.read(lambda s: menus.taps(s, ACCOUNT, date(2026, 1, 1), date(2026, 11, 22)))
