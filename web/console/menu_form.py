"""The menu as a form of rows: three buttons, five below each, conditional menus; read from a request and back.

A row is `<menu>-<button>-<row>-<field>`: menu 0 is the default one, row 0 the button itself. Rows without a name, and
what was ticked for removal, are left out. What a row says may be wrong: that is said beside it (`Words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flask import request

from domain.menus import MOST_CONDITIONAL
from web.console.both import Both
from web.menus import NEVER_SHOWN, SILENT, WARNINGS
from wechat.menu import BUTTON_FIELDS, SUB_BUTTONS, TOP_BUTTONS, MenuProblem

TYPES: Final = {
    "click": Both("回复消息（关键字）", "Answer in the chat (key)"),
    "view": Both("打开网页", "Open a page"),
    "miniprogram": Both("打开小程序", "Open a mini program"),
    "media_id": Both("发一个素材", "Send a file"),
    "article_id": Both("发一篇图文", "Send an article"),
    "article_view_limited": Both("打开一篇图文", "Open an article"),
    "scancode_push": Both("扫一扫", "Scan a code"),
    "scancode_waitmsg": Both("扫一扫，等回复", "Scan a code and wait"),
    "pic_sysphoto": Both("拍照", "Take a photo"),
    "pic_photo_or_album": Both("拍照或选相册", "Photo or album"),
    "pic_weixin": Both("选微信相册", "WeChat's album"),
    "location_select": Both("发送位置", "Send a place"),
}
PLATFORMS: Final = {
    "ios": "iPhone",
    "android": "Android",
    "others": Both("其他手机", "Other phones"),
}
FIELDS: Final = {
    "name": Both("名称", "Name"),
    "key": Both("关键字", "Key"),
    "url": Both("网址", "Address"),
    "type": Both("动作", "Action"),
    "appid": Both("小程序 AppID", "AppID"),
    "pagepath": Both("小程序页面", "Page"),
    "media_id": Both("素材 ID", "File ID"),
    "article_id": Both("图文 ID", "Article ID"),
    "sub_button": Both("子菜单", "Buttons below"),
}
_PROBLEMS: Final = {
    "missing": Both("还没有填", "is missing"),
    "too_many": Both("太多了，最多 {limit} 个", "too many, {limit} at most"),
    "too_long": Both(
        "太长：最多 {limit} 字节，一个汉字算 3 字节",
        "too long: {limit} bytes at most, three a Chinese character",
    ),
    "not_text": Both("要写成文字", "has to be a text"),
    "not_a_button": Both("这不是一个按钮", "is no button"),
    "unknown_type": Both("微信没有这种按钮", "WeChat has no such button"),
    "bad_url": Both("要以 https:// 或 http:// 开头", "begins with https:// or http://"),
    "too_deep": Both("子菜单下面不能再有子菜单", "nothing may stand below it"),
    "too_many_domains": Both(
        "个性化菜单里的网址最多 {limit} 个域名", "conditional menus lead to {limit} hosts at most"
    ),
    SILENT: Both(
        "没有命令或自动回复回答它，粉丝会看到默认回复",
        "no command or reply answers it: the default reply is said",
    ),
    NEVER_SHOWN: Both(
        "后面有条件相同的菜单，这个不会有人看到", "a later one with the same condition hides it"
    ),
}


def document() -> dict[str, Any]:
    """The menu as the request's form has it, for `menus.parse`."""
    count = min(request.form.get("menus", 1, type=int), MOST_CONDITIONAL + 1)
    conditional = [_conditional(number) for number in range(1, count)]
    return {
        "buttons": _buttons(0),
        "conditional": [one for one in conditional if one is not None],
    }


def _conditional(number: int) -> dict[str, Any] | None:
    given = request.form
    name, tag = given.get(f"{number}-name", "").strip(), given.get(f"{number}-tag", "")
    buttons = _buttons(number)
    if f"{number}-drop" in given or not (name or buttons):
        return None
    return {
        "name": name, "tag_id": int(tag) if tag.isdecimal() and len(tag) < 10 else None,
        "platform": given.get(f"{number}-platform") or None, "buttons": buttons,
    }  # fmt: skip


def _buttons(menu: int) -> list[dict[str, Any]]:
    found = []
    for place in range(TOP_BUTTONS):
        top = _button(f"{menu}-{place}-0")
        below = [
            one for row in range(1, SUB_BUTTONS + 1) if (one := _button(f"{menu}-{place}-{row}"))
        ]
        if below:
            found.append({"name": (top or {}).get("name", ""), "sub_button": below})
        elif top:
            found.append(top)
    return found


def _button(row: str) -> dict[str, Any] | None:
    given = {
        name: request.form.get(f"{row}-{name}", "").strip() for name in ("name", "type", "value", "appid", "pagepath")
    }  # fmt: skip
    if not given["name"] and not given["value"]:
        return None
    kind = given["type"] or "click"
    button = {"type": kind, "name": given["name"]}
    fields = BUTTON_FIELDS.get(kind, ("key",))
    for name in fields:
        value = given[name] if name in {"appid", "pagepath"} else given["value"]
        if not value and name == "key":
            value = given["name"]
        if value:
            button[name] = value
    return button


def value_of(button: Mapping[str, Any]) -> str:
    """What stands in the third field of a row: the key, the address, or the id."""
    return next(
        (str(button[name]) for name in ("url", "key", "media_id", "article_id") if button.get(name)), ""
    )  # fmt: skip


class Words:
    """The problems of a menu in words, by their places, for what is shown beside a field."""

    def __init__(self, problems: Sequence[MenuProblem]) -> None:
        self.problems = list(problems)

    @property
    def hard(self) -> list[MenuProblem]:
        """Those for which WeChat would refuse the menu."""
        return [one for one in self.problems if one.code not in WARNINGS]

    def at(self, place: str) -> list[str]:
        """What is wrong with the button or menu at this path, its own fields included."""
        return [self._said(one, place) for one in self.problems if _is_at(one.where, place)]

    @staticmethod
    def _said(problem: MenuProblem, place: str) -> str:
        name = problem.where[len(place) :].lstrip(".")
        words = str(_PROBLEMS.get(problem.code, Both(problem.code, problem.code)))
        title = f"{FIELDS[name]}：" if name in FIELDS else ""
        return title + words.replace("{limit}", str(problem.limit))


def _is_at(where: str, place: str) -> bool:
    return where == place or re.fullmatch(re.escape(place) + r"\.\w+", where) is not None


def known_keys(words: Iterable[str], replies: Iterable[Any]) -> list[str]:
    """What a key may be so that somebody answers it: commands of the chat, the merchant's menu keys and keywords."""
    own = [
        one.keyword for one in replies if one.kind in {"click", "keyword"} and one.matching == "exact" and one.enabled
    ]  # fmt: skip
    return list(dict.fromkeys((*own, *words)))
