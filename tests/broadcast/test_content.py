"""What may be said over which channel, and links that carry the campaign."""

from __future__ import annotations

from typing import Any

import pytest

from domain.campaigns import content as contents
from domain.errors import Invalid
from tests.broadcast.conftest import PNG

ARTICLE = {"title": "新茶", "html": '<p>好茶</p><img src="file:a.png">', "cover": "c.png"}
FILES = {"a.png": PNG, "c.png": PNG}


def _problems(channel: str, files: dict[str, bytes] | None = None, **values: Any) -> list[str]:
    return contents.problems(channel, contents.parse(values), files or {})


def _article(**changes: Any) -> dict[str, Any]:
    return {"kind": "article", "articles": [ARTICLE | changes]}


def test_good_content_has_no_problem() -> None:
    assert _problems("mass", kind="text", text="你好") == []
    assert _problems("mass", {"a.png": PNG}, kind="image", image="a.png") == []
    assert _problems("mass", FILES, **_article()) == []
    assert _problems("custom", FILES, **_article(source_url="https://tea.example/")) == []
    assert _problems("publish", FILES, **_article()) == []
    assert (
        _problems("subscription", kind="notice", template_id="t", data={"thing1": "上新通知"}) == []
    )


@pytest.mark.parametrize(
    ("channel", "values", "words"),
    [
        ("mass", {"kind": "text", "text": " "}, "不能为空"),
        ("mass", {"kind": "text", "text": "茶" * 700}, "2048"),
        ("mass", {"kind": "text", "text": "https://a.example/ " * 23}, "2048"),
        ("mass", {"kind": "image", "image": "x.png"}, "找不到图片"),
        ("mass", {"kind": "notice", "template_id": "t", "data": {"thing1": "a"}}, "不支持"),
        ("subscription", {"kind": "text", "text": "你好"}, "不支持"),
        ("mass", _article(title="长" * 33), "标题超过"),
        ("mass", _article(author="长" * 17), "作者超过"),
        ("mass", _article(digest="长" * 121), "摘要超过"),
        ("mass", _article(html="长" * 20_000), "正文须为"),
        ("mass", _article(html='<a href="https://tea.example/">买</a>'), "阅读原文"),
        ("mass", _article(html='<img src="https://elsewhere.example/x.png">'), "正文图片"),
        ("mass", _article(html="<script>alert(1)</script>"), "<script>"),
        ("mass", _article(source_url="https://a.example/" + "x" * 1100), "链接过长"),
        ("custom", _article(), "source_url"),
        ("subscription", {"kind": "notice", "data": {"thing1": "a"}}, "模板"),
        ("subscription", {"kind": "notice", "template_id": "t", "data": {"thing1": "长" * 21}}, "thing1"),
        ("subscription", {"kind": "notice", "template_id": "t", "data": {"thing1": "限时特价"}}, "营销"),
    ],
)  # fmt: skip
def test_what_wechat_would_refuse_is_said_before(
    channel: str, values: dict[str, Any], words: str
) -> None:
    found = _problems(channel, FILES, **values)
    assert any(words in each for each in found), found


def test_a_picture_is_a_picture_and_not_too_large() -> None:
    assert _problems("mass", {"a": b"GIF89a"}, kind="image", image="a") == [
        "图片须为 PNG 或 JPEG:a"
    ]
    large = PNG + bytes(contents.IMAGE_BYTES)
    assert _problems("mass", {"a": large}, kind="image", image="a") == ["图片过大:a"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "fax"},
        {"kind": "text", "text": 5},
        {"kind": "article", "articles": [{"head": "x"}]},
    ],
)
def test_a_shape_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        contents.parse(values)


def test_every_address_is_replaced_by_its_link() -> None:
    text = '看https://tea.example/a?b=1。还有 <a href="https://tea.example/b">这里</a>'
    content = contents.parse({"kind": "text", "text": text})
    assert content.urls() == ["https://tea.example/a?b=1", "https://tea.example/b"]
    links = {url: f"https://s.example/r/{number}" for number, url in enumerate(content.urls())}
    said = contents.tracked(content, links).text
    assert said == '看https://s.example/r/0。还有 <a href="https://s.example/r/1">这里</a>'


def test_pictures_of_a_body_get_their_uploaded_addresses() -> None:
    article = contents.parse(_article()).articles[0]
    assert contents.pictures_of(article) == ["a.png"]
    body = contents.with_pictures(article.html, {"a.png": "https://mmbiz.example/1"})
    assert body == '<p>好茶</p><img src="https://mmbiz.example/1">'
