from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wechat.formatting import clip_field, template_data


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
