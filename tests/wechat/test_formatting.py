from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wechat.formatting import (
    UnfitError,
    clip_field,
    subscription_data,
    subscription_value,
    template_data,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("新会员加入", "新会员加入"),
        ("一" * 20, "一" * 20),
        ("一" * 21, "一" * 19 + "…"),
        ("订单 " + "A1" * 30, "订单 " + "A1" * 30),  # a Latin run counts as one
        ("a b c d e f g h i j k", "a b c d e f g h i j…"),
        ("第一行\n第二行\r\n\t第三行", "第一行 第二行 第三行"),
        ("恭喜🎉 收到👨‍👩‍👧 ¥1️⃣2.50 ❤️ ⭐ 🇨🇳", "恭喜 收到 ¥12.50"),
        ("张★三→四", "张★三→四"),
        ("𠮷野家", "𠮷野家"),  # a character beyond the basic plane is not an emoji
        ("零\x00宽\u2028行", "零 宽 行"),
        ("", "-"),
        ("🎉\n", "-"),
    ],
)
def test_a_field_becomes_what_wechat_would_show(text: str, shown: str) -> None:
    assert clip_field(text) == shown


@settings(max_examples=50)
@given(st.text())
def test_a_field_is_never_empty_long_or_broken(text: str) -> None:
    shown = clip_field(text)

    assert shown
    assert "\n" not in shown
    assert clip_field(shown) == shown


def test_data_in_the_form_of_the_api() -> None:
    assert template_data({"thing1": "甲", "amount2": ""}) == {
        "thing1": {"value": "甲"},
        "amount2": {"value": "-"},
    }


@pytest.mark.parametrize(
    ("keyword", "text", "shown"),
    [
        (
            "thing1",
            "二十一个字的一句话要在二十个字以内才行啊啊",
            "二十一个字的一句话要在二十个字以内才行…",
        ),
        ("thing1", "🎉好\n的", "好 的"),
        ("character_string2", "A" * 40, "A" * 32),
        ("amount3", "12.34元", "12.34元"),
        ("amount3", "¥12.34", "¥12.34"),
        ("phrase4", "待确认收款了", "待确认收款"),
        ("number5", "3", "3"),
        ("time6", "2026年11月22日 10:24", "2026年11月22日 10:24"),
        ("name7", "张三", "张三"),
    ],
)
def test_a_value_is_cut_to_what_a_subscription_notice_takes(
    keyword: str, text: str, shown: str
) -> None:
    assert subscription_value(keyword, text) == shown
    assert len(subscription_value(keyword, text)) <= 32


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("phrase1", "frozen"),
        ("number1", "三"),
        ("character_string1", "2笔订单"),
        ("amount1", "十元"),
        ("amount1", "12345678901"),
        ("name1", "一二三四五六七八九十一"),
        ("number1", "1" * 33),
    ],
)
def test_a_value_that_cannot_be_made_to_fit_is_not_sent(keyword: str, text: str) -> None:
    with pytest.raises(UnfitError):
        subscription_data({keyword: text})
