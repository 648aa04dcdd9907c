"""A poster template as a form: fields from a design, a design from fields, and its problems beside their fields.

`domain/designs.py` says what is wrong as `place: words`; here each gets its field and, in Chinese, its words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain import designs
from domain.errors import Invalid
from web.console.both import Both

ROWS: Final = designs.MOST_ITEMS
EMPTY_ROWS: Final = 2
"""So many empty rows wait below the filled ones."""
KINDS: Final = {
    "": Both("（不用）", "(unused)"),
    "text": Both("文字", "Text"),
    "qr": Both("二维码", "QR code"),
    "avatar": Both("头像", "Avatar"),
}
ALIGNS: Final = {
    "left": Both("靠左", "Left"),
    "center": Both("居中", "Centre"),
    "right": Both("靠右", "Right"),
}
FONTS: Final = {"sans": Both("黑体", "Sans"), "serif": Both("宋体", "Serif")}
BACKGROUNDS: Final = {
    "design": Both("榕树图案", "Our banyan"),
    "color": Both("一种颜色", "A colour"),
    "picture": Both("上传的图片", "A picture"),
}
_NUMBERS: Final = ("x", "y", "size", "width", "height", "min_size", "lines")
_FIELDS: Final = {
    "text": (
        "x", "y", "width", "height", "text", "size", "min_size", "lines", "color", "align", "font", "bold",
    ),
    "qr": ("x", "y", "size", "dark", "light"),
    "avatar": ("x", "y", "size", "color", "ink"),
}  # fmt: skip
TITLES: Final = {
    "x": Both("左", "Left"),
    "y": Both("上", "Top"),
    "size": Both("大小", "Size"),
    "width": Both("宽", "Width"),
    "height": Both("高", "Height"),
    "text": Both("文字", "Words"),
    "min_size": Both("最小字号", "Smallest"),
    "lines": Both("最多行数", "Lines"),
    "color": Both("颜色", "Colour"),
    "ink": Both("字的颜色", "Letter"),
    "dark": Both("深色", "Dark"),
    "light": Both("浅色", "Light"),
    "align": Both("对齐", "Align"),
    "font": Both("字体", "Font"),
    "bold": Both("粗体", "Bold"),
    "kind": Both("种类", "Kind"),
}
USUAL: Final = {
    "color": "#000000",
    "ink": "#12352b",
    "dark": "#000000",
    "light": "#ffffff",
    "x": "75",
    "y": "100",
    "size": "36",
    "width": "600",
}
"""What an empty row begins with."""
SAMPLES: Final = (
    ("小明", Both("短", "Short")),
    ("爱喝明前龙井的山泉茶舍王掌柜和他的猫咪大橘", Both("很长", "Long")),
    ("🌿茶茶🍵Lily✨", Both("表情", "Emoji")),
    ("㙍䶮𠮷堃", Both("生僻字", "Rare")),
    ("Alexandra Constantinou", Both("英文", "English")),
    ("مريم", Both("其他文字", "Other script")),
)
"""Nicknames to try a design with."""
SAMPLE_LENGTH: Final = 60

_WHOLE: Final = re.compile(r"-?[0-9]{1,6}")
_ITEM: Final = re.compile(r"items\[(\d+)\](?:\.(\w+))?")
_WORDS: Final = (
    (r"a whole number from (\d+) to (\d+)", r"\1 到 \2 的整数"),
    (r"two whole numbers, \[width, height\]", "宽和高都要是整数"),
    (r"from (\d+)×(\d+) to (\d+)×(\d+)", r"宽 \1–\3，高 \2–\4"),
    (r"exactly one of picture, color, design", "背景选一种"),
    (r"the number of an uploaded picture", "先上传并选一张图片"),
    (r"(\w+) is the only one", r"只有 \1 这一种"),
    (r"a list of 1 to (\d+)", r"海报上要有 1 到 \1 样东西"),
    (r"exactly one qr", "要有一个二维码，只能一个"),
    (r"covers the qr", "盖住了二维码"),
    (r"reaches out of the poster", "超出了海报"),
    (
        r"dark and light are too alike to be read by a camera",
        "深色和浅色太接近，手机扫不出来",
    ),
    (r"at most size", "不能大于字号"),
    (r"too low for a line of (\d+) pixels", r"太矮，放不下 \1 像素的一行字"),
    (r"1 to (\d+) characters", r"要有 1 到 \1 个字"),
    (
        r"no such placeholder(.*); there are (.*)",
        r"没有这个占位符\1；可用的有 \2",
    ),
    (r"a colour such as (#\w+)", r"要写成 \1 这样的颜色"),
    (r"one of (.*)", r"只能是 \1"),
    (r"true or false", "只能是 true 或 false"),
    (r"unknown", "没有这一项"),
    (r"a JSON object", "要写成 { … }"),
)
"""What `domain/designs.py` says → the same in Chinese."""


@dataclass(frozen=True)
class Problems:
    """What is wrong, by field: `at("i3-x")`, `at("size")`; `all` in order, with where it is."""

    by_field: Mapping[str, list[str]] = field(default_factory=dict)
    all: Sequence[tuple[str, str]] = ()

    def at(self, name: str) -> list[str]:
        return self.by_field.get(name, [])

    def __bool__(self) -> bool:
        return bool(self.all)

    def in_row(self, row: int) -> bool:
        """Whether something of this row is wrong."""
        prefix = f"i{row}-"
        return any(name == f"i{row}" or name.startswith(prefix) for name in self.by_field)


@dataclass(frozen=True)
class Written:
    """The design that a form describes, and which row each of its items stands in."""

    design: dict[str, Any]
    rows: tuple[int, ...]


def read(form: Mapping[str, str]) -> Written:
    """The design that the form has now, right or wrong; an empty field is left to the design's own default."""
    items, rows = [], []
    for row in range(ROWS):
        kind = form.get(f"i{row}-kind", "")
        if kind in _FIELDS:
            items.append({"kind": kind, **dict(_item(form, row, kind))})
            rows.append(row)
    size = [_number(form.get(name, "")) for name in ("width", "height")]
    return Written({"size": size, "background": _background(form), "items": items}, tuple(rows))


def _item(form: Mapping[str, str], row: int, kind: str) -> Iterator[tuple[str, Any]]:
    for name in _FIELDS[kind]:
        given = form.get(f"i{row}-{name}", "")
        if name == "bold":
            if given:
                yield name, True
        elif given.strip():
            yield name, _number(given) if name in _NUMBERS else given


def _number(text: str) -> Any:
    return int(text) if _WHOLE.fullmatch(text.strip()) else text


def _background(form: Mapping[str, str]) -> dict[str, Any]:
    kind = form.get("back", "design")
    if kind == "picture":
        return {"picture": _number(form.get("picture", ""))}
    if kind == "color":
        return {"color": form.get("back_color", "")}
    return {"design": designs.BANYAN}


def fields_of(design: Any) -> dict[str, str]:
    """The form's fields that describe this design; of something else than a design, what can be read."""
    given: dict[str, str] = {}
    if not isinstance(design, dict):
        return given
    size = design.get("size", [750, 1334])
    if isinstance(size, list) and len(size) == 2:
        given |= {"width": str(size[0]), "height": str(size[1])}
    back = design.get("background", {"design": designs.BANYAN})
    if isinstance(back, dict):
        given["back"] = next((name for name in BACKGROUNDS if name in back), "design")
        given |= {
            "back_color": str(back.get("color", "#ffffff")),
            "picture": str(back.get("picture", "")),
        }
    items = design.get("items")
    for row, item in enumerate(items[:ROWS] if isinstance(items, list) else []):
        if isinstance(item, dict):
            given |= {f"i{row}-{name}": _shown(value) for name, value in item.items()}
    return given


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    return str(value)


def rows_of(given: Mapping[str, str]) -> range:
    """The rows that the form shows: what is filled, and some empty ones."""
    filled = [row for row in range(ROWS) if given.get(f"i{row}-kind", "") in _FIELDS]
    return range(min(ROWS, max(filled, default=-1) + 1 + EMPTY_ROWS))


def from_json(text: str) -> Any:
    """A design as people keep it. Raises `Invalid`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("this is not JSON") from error


def problems_of(error: Invalid, written: Written) -> Problems:
    """Each problem of a design at its field."""
    by_field: dict[str, list[str]] = {}
    listed = []
    for problem in error.details.get("problems", []):
        place, _, words = problem.partition(": ")
        name, where = _place(place, written)
        said = str(Both(chinese(words), words))
        by_field.setdefault(name, []).append(said)
        listed.append((where, said))
    return Problems(by_field, listed)


def _place(place: str, written: Written) -> tuple[str, str]:
    """The field that is meant, and where that is in words."""
    found = _ITEM.fullmatch(place)
    if found is None:
        name = {"background.picture": "picture", "background.color": "back_color"}.get(place, place)
        titles = {"size": Both("尺寸", "Size"), "items": Both("内容", "Items")}
        return name, str(titles.get(name, Both("背景", "Background")))
    number, name = int(found[1]), found[2]
    row = written.rows[number] if number < len(written.rows) else number
    item = written.design["items"][number] if number < len(written.design["items"]) else {}
    title = str(KINDS.get(item.get("kind", ""), ""))
    where = f"{row + 1} {title}"
    if name is None:
        return f"i{row}", where
    return f"i{row}-{name}", f"{where} · {TITLES.get(name, name)}"


def chinese(words: str) -> str:
    """What `domain/designs.py` says of a place, in Chinese."""
    for pattern, said in _WORDS:
        found = re.fullmatch(pattern, words)
        if found is not None:
            return found.expand(said)
    return words
