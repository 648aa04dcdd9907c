"""What WeChat accepts as a menu, checked before it is sent.

https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wechat.errors import Refused

TOP_BUTTONS = 3
SUB_BUTTONS = 5
TOP_NAME_BYTES = 16
SUB_NAME_BYTES = 60
KEY_BYTES = 128
URL_BYTES = 1024

# type → the fields it cannot do without
BUTTON_FIELDS: Mapping[str, tuple[str, ...]] = {
    "click": ("key",),
    "view": ("url",),
    "miniprogram": ("appid", "pagepath", "url"),
    "scancode_push": ("key",),
    "scancode_waitmsg": ("key",),
    "pic_sysphoto": ("key",),
    "pic_photo_or_album": ("key",),
    "pic_weixin": ("key",),
    "location_select": ("key",),
    "media_id": ("media_id",),
    "article_id": ("article_id",),
    "article_view_limited": ("article_id",),
}


@dataclass(frozen=True, slots=True)
class MenuProblem:
    """One reason why WeChat would refuse the menu.

    `where` is a path into it ("button[0].sub_button[2].name"); `code` is one of missing, too_many,
    too_long, not_text, not_a_button, unknown_type, bad_url, too_deep; `limit` is the limit that was
    passed, where there is one.
    """

    where: str
    code: str
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.code}" + (
            "" if self.limit is None else f" (at most {self.limit})"
        )


class InvalidMenuError(Refused):
    """The menu breaks the platform's limits; it was not sent. `problems` says where."""

    def __init__(self, message: str = "", *, problems: Sequence[MenuProblem] = ()) -> None:
        super().__init__(message, path="/cgi-bin/menu/create")
        self.problems = tuple(problems)


def menu_problems(buttons: Sequence[Mapping[str, Any]]) -> list[MenuProblem]:
    """Everything WeChat would refuse in these top buttons; empty when the menu may be sent."""
    return list(_list_problems(buttons, "button", TOP_BUTTONS, nested=False))


def _list_problems(buttons: Any, where: str, limit: int, *, nested: bool) -> Iterator[MenuProblem]:
    if not isinstance(buttons, Sequence) or isinstance(buttons, str) or not buttons:
        yield MenuProblem(where, "missing")
        return
    if len(buttons) > limit:
        yield MenuProblem(where, "too_many", limit)
    for index, button in enumerate(buttons):
        if isinstance(button, Mapping):
            yield from _button_problems(button, f"{where}[{index}]", nested=nested)
        else:
            yield MenuProblem(f"{where}[{index}]", "not_a_button")


def _button_problems(
    button: Mapping[str, Any], where: str, *, nested: bool
) -> Iterator[MenuProblem]:
    yield from _text_problems(button, "name", where, SUB_NAME_BYTES if nested else TOP_NAME_BYTES)
    if button.get("sub_button"):  # WeChat itself answers menu/get with empty lists in the leaves
        if nested:
            yield MenuProblem(f"{where}.sub_button", "too_deep")
        else:
            yield from _list_problems(
                button["sub_button"], f"{where}.sub_button", SUB_BUTTONS, nested=True
            )
        return
    kind = button.get("type")
    fields = BUTTON_FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        yield MenuProblem(f"{where}.type", "unknown_type" if kind else "missing")
        return
    limits = {"key": KEY_BYTES, "url": URL_BYTES}
    for name in fields:
        yield from _text_problems(button, name, where, limits.get(name))
    url = button.get("url")
    if (
        "url" in fields
        and isinstance(url, str)
        and url
        and not url.startswith(("http://", "https://"))
    ):
        yield MenuProblem(f"{where}.url", "bad_url")


def _text_problems(
    button: Mapping[str, Any], name: str, where: str, limit: int | None
) -> Iterator[MenuProblem]:
    value = button.get(name)
    if value is None or value == "":
        yield MenuProblem(f"{where}.{name}", "missing")
    elif not isinstance(value, str):
        yield MenuProblem(f"{where}.{name}", "not_text")
    elif limit is not None and len(value.encode("utf-8", "replace")) > limit:
        yield MenuProblem(f"{where}.{name}", "too_long", limit)
