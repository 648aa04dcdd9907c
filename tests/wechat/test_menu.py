from __future__ import annotations

from typing import Any

import pytest

from wechat.menu import menu_problems

CLICK = {"type": "click", "name": "收益", "key": "earnings"}


def problems(*buttons: Any) -> list[str]:
    return [str(problem) for problem in menu_problems(list(buttons))]


def test_a_full_menu_passes() -> None:
    sub = {"name": "一二三四五六七八九十", "type": "view", "url": "https://m.example.com/"}
    assert (
        problems({"name": "更多", "sub_button": [sub] * 5}, CLICK | {"sub_button": []}, CLICK) == []
    )
    assert (
        problems(
            {
                "name": "小程序",
                "type": "miniprogram",
                "appid": "wx1",
                "pagepath": "p",
                "url": "https://a/",
            },
            {"name": "扫", "type": "scancode_waitmsg", "key": "scan"},
            {"name": "图", "type": "media_id", "media_id": "m"},
        )
        == []
    )


@pytest.mark.parametrize(
    ("button", "problem"),
    [
        (CLICK | {"name": ""}, "button[0].name: missing"),
        (CLICK | {"name": 5}, "button[0].name: not_text"),
        (CLICK | {"name": "我的团队啊啊"}, "button[0].name: too_long (at most 16)"),
        (CLICK | {"key": "k" * 129}, "button[0].key: too_long (at most 128)"),
        (CLICK | {"type": "hover"}, "button[0].type: unknown_type"),
        (CLICK | {"type": None}, "button[0].type: missing"),
        (CLICK | {"type": ["click"]}, "button[0].type: unknown_type"),
        ({"type": "view", "name": "商城"}, "button[0].url: missing"),
        ({"type": "view", "name": "商城", "url": "javascript:alert(1)"}, "button[0].url: bad_url"),
        (
            {"type": "view", "name": "商城", "url": "https://" + "a" * 1017},
            "button[0].url: too_long (at most 1024)",
        ),
        ({"name": "更多", "sub_button": [CLICK] * 6}, "button[0].sub_button: too_many (at most 5)"),
        ({"name": "更多", "sub_button": "x"}, "button[0].sub_button: missing"),
        (
            {"name": "更多", "sub_button": [CLICK | {"name": "字" * 21}]},
            "button[0].sub_button[0].name: too_long (at most 60)",
        ),
        (
            {"name": "更多", "sub_button": [CLICK | {"sub_button": [CLICK]}]},
            "button[0].sub_button[0].sub_button: too_deep",
        ),
        ("x", "button[0]: not_a_button"),
    ],
)
def test_each_limit_is_named_with_its_place(button: Any, problem: str) -> None:
    assert problems(button) == [problem]


def test_the_number_of_buttons() -> None:
    assert problems() == ["button: missing"]
    assert problems(*[CLICK] * 4) == ["button: too_many (at most 3)"]


def test_every_problem_is_told_at_once() -> None:
    assert problems({"name": ""}, CLICK, {"type": "click", "name": "x"}) == [
        "button[0].name: missing",
        "button[0].type: missing",
        "button[2].key: missing",
    ]
