"""海报模板 as data: what stands where on a poster. Pure: JSON in, a checked design out, or every problem in words.

Lengths are pixels of the poster, from its upper left corner. Text boxes may hold the placeholders of `PLACEHOLDERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from domain.db import to_json
from domain.errors import Invalid
from domain.secrets import short_digest

INVITE: Final = "invite"
PRODUCT: Final = "product"
PURPOSES: Final = (INVITE, PRODUCT)
PLACEHOLDERS: Final = frozenset({"name", "code", "expires", "account", "product", "price"})
BANYAN: Final = "banyan"
SMALLEST: Final = (300, 400)
LARGEST: Final = (1500, 2700)
SMALLEST_QR: Final = 200
QUIET_ZONE: Final = 0.08
"""Of a code's side, on each side: cameras look for it."""
LEAST_CONTRAST: Final = 4.5
MOST_ITEMS: Final = 24
TEXT_LENGTH: Final = 200
LINE_HEIGHT: Final = 1.4

Color: TypeAlias = tuple[int, int, int]
_TEXT_FIELDS: Final = frozenset(
    [
        "kind",
        "x",
        "y",
        "width",
        "height",
        "text",
        "size",
        "min_size",
        "lines",
        "color",
        "align",
        "font",
        "bold",
    ]
)
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, and the first pixel behind it to the right and below."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    def overlaps(self, other: Box) -> bool:
        left, top, right, bottom = self.edges
        its_left, its_top, its_right, its_bottom = other.edges
        return left < its_right and its_left < right and top < its_bottom and its_top < bottom


@dataclass(frozen=True, slots=True)
class Avatar:
    """A circle with the member's picture, or with the first letter of the name."""

    box: Box
    fill: Color
    ink: Color


@dataclass(frozen=True, slots=True)
class Code:
    """The QR code with its quiet zone."""

    box: Box
    dark: Color
    light: Color


@dataclass(frozen=True, slots=True)
class Text:
    """Words in a box: as large as `size` and as they fit, not smaller than `least`; then cut with an ellipsis."""

    box: Box
    text: str
    size: int
    least: int
    lines: int
    color: Color
    align: str
    serif: bool
    bold: bool


Item: TypeAlias = Avatar | Code | Text


@dataclass(frozen=True, slots=True)
class Design:
    """A checked template. One of `picture` (an uploaded background's id), `banyan` and `color` is behind everything."""

    width: int
    height: int
    picture: int | None
    banyan: bool
    color: Color
    items: tuple[Item, ...]
    digest: str

    @property
    def code(self) -> Code:
        return next(item for item in self.items if isinstance(item, Code))


def parse(value: Any) -> Design:
    """The design that this JSON value describes. Raises `Invalid` whose `problems` name every wrong place."""
    reading = _Reading()
    design = reading.design(value)
    if design is None or reading.problems:
        raise Invalid(
            f"not a poster template: {'; '.join(reading.problems)}", problems=reading.problems
        )
    return design


class _Reading:
    """Collects what is wrong, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def design(self, value: Any) -> Design | None:
        fields = self._object(value, "template", {"size", "background", "items"})
        size = fields.get("size", [750, 1334])
        if not (isinstance(size, list) and len(size) == 2 and all(_is_int(side) for side in size)):
            self.problems.append("size: two whole numbers, [width, height]")
            return None
        width, height = size
        inside = all(
            least <= side <= most for least, side, most in zip(SMALLEST, size, LARGEST, strict=True)
        )
        if not inside:
            self.problems.append(
                f"size: from {SMALLEST[0]}×{SMALLEST[1]} to {LARGEST[0]}×{LARGEST[1]}"
            )
        picture, banyan, color = self._background(fields.get("background", {"design": BANYAN}))
        items = self._items(fields.get("items"), Box(0, 0, width, height))
        if self.problems:
            return None
        return Design(width, height, picture, banyan, color, items, short_digest(to_json(value)))

    def _background(self, value: Any) -> tuple[int | None, bool, Color]:
        fields = self._object(value, "background", {"picture", "color", "design"})
        if len(fields) != 1:
            self.problems.append("background: exactly one of picture, color, design")
        picture = fields.get("picture")
        if picture is not None and not (_is_int(picture) and picture > 0):
            self.problems.append("background.picture: the number of an uploaded picture")
        if fields.get("design", BANYAN) != BANYAN:
            self.problems.append(f"background.design: {BANYAN} is the only one")
        color = self._color(fields.get("color", "#ffffff"), "background.color")
        return picture, "design" in fields, color

    def _items(self, value: Any, canvas: Box) -> tuple[Item, ...]:
        if not isinstance(value, list) or not 0 < len(value) <= MOST_ITEMS:
            self.problems.append(f"items: a list of 1 to {MOST_ITEMS}")
            return ()
        items = [self._item(each, f"items[{place}]", canvas) for place, each in enumerate(value)]
        codes = [place for place, item in enumerate(items) if isinstance(item, Code)]
        if len(codes) != 1:
            self.problems.append("items: exactly one qr")
        elif (code := items[codes[0]]) is not None:
            self.problems += [
                f"items[{place}]: covers the qr"
                for place, item in enumerate(items)
                if item is not None and place > codes[0] and item.box.overlaps(code.box)
            ]
        return tuple(item for item in items if item is not None)

    def _item(self, value: Any, at: str, canvas: Box) -> Item | None:
        kind = value.get("kind") if isinstance(value, dict) else None
        readers: dict[str, Callable[[Any, str], Item]] = {
            "avatar": self._avatar,
            "qr": self._qr,
            "text": self._text,
        }
        if not isinstance(kind, str) or kind not in readers:
            self.problems.append(f"{at}.kind: one of {', '.join(sorted(readers))}")
            return None
        item = readers[kind](value, at)
        left, top, right, bottom = item.box.edges
        if left < 0 or top < 0 or right > canvas.width or bottom > canvas.height:
            self.problems.append(f"{at}: reaches out of the poster")
        return item

    def _avatar(self, value: Mapping[str, Any], at: str) -> Avatar:
        fields = self._object(value, at, {"kind", "x", "y", "size", "color", "ink"})
        side = self._int(fields, at, "size", 40, 800)
        fill = self._color(fields.get("color", "#f8e2aa"), f"{at}.color")
        ink = self._color(fields.get("ink", "#12352b"), f"{at}.ink")
        return Avatar(self._box(fields, at, side, side), fill, ink)

    def _qr(self, value: Mapping[str, Any], at: str) -> Code:
        fields = self._object(value, at, {"kind", "x", "y", "size", "dark", "light"})
        side = self._int(fields, at, "size", SMALLEST_QR, 1200)
        dark = self._color(fields.get("dark", "#000000"), f"{at}.dark")
        light = self._color(fields.get("light", "#ffffff"), f"{at}.light")
        if (luminance(light) + 0.05) / (luminance(dark) + 0.05) < LEAST_CONTRAST:
            self.problems.append(f"{at}: dark and light are too alike to be read by a camera")
        return Code(self._box(fields, at, side, side), dark, light)

    def _text(self, value: Mapping[str, Any], at: str) -> Text:
        fields = self._object(value, at, _TEXT_FIELDS)
        size = self._int(fields, at, "size", 12, 200)
        least = self._int(fields, at, "min_size", 10, 200, default=max(10, size * 2 // 3))
        lines = self._int(fields, at, "lines", 1, 8, default=1)
        height = self._int(
            fields, at, "height", 10, LARGEST[1], default=round(size * LINE_HEIGHT) * lines
        )
        width = self._int(fields, at, "width", 20, LARGEST[0])
        if least > size:
            self.problems.append(f"{at}.min_size: at most size")
        if height < round(least * LINE_HEIGHT):
            self.problems.append(f"{at}.height: too low for a line of {least} pixels")
        for name, allowed in (("align", ("left", "center", "right")), ("font", ("sans", "serif"))):
            if fields.get(name, allowed[0]) not in allowed:
                self.problems.append(f"{at}.{name}: one of {', '.join(allowed)}")
        if not isinstance(fields.get("bold", False), bool):
            self.problems.append(f"{at}.bold: true or false")
        return Text(
            self._box(fields, at, width, height), self._words(fields.get("text"), at), size, least, lines,
            self._color(fields.get("color", "#000000"), f"{at}.color"), str(fields.get("align", "left")),
            fields.get("font") == "serif", bool(fields.get("bold", False)),
        )  # fmt: skip

    def _words(self, text: Any, at: str) -> str:
        if not isinstance(text, str) or not 0 < len(text.strip()) <= TEXT_LENGTH:
            self.problems.append(f"{at}.text: 1 to {TEXT_LENGTH} characters")
            return ""
        unknown = sorted(set(_PLACEHOLDER.findall(text)) - PLACEHOLDERS)
        if unknown or set(_PLACEHOLDER.sub("", text)) & {"{", "}"}:
            named = "".join(f" {{{name}}}" for name in unknown)
            self.problems.append(
                f"{at}.text: no such placeholder{named}; there are {', '.join(sorted(PLACEHOLDERS))}"
            )
        return text

    def _object(self, value: Any, at: str, known: Set[str]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.problems.append(f"{at}: a JSON object")
            return {}
        self.problems += [
            f"{at}.{name}: unknown" for name in sorted(set(map(str, value)) - set(known))
        ]
        return value

    def _box(self, fields: Mapping[str, Any], at: str, width: int, height: int) -> Box:
        x, y = (self._int(fields, at, name, 0, LARGEST[1]) for name in ("x", "y"))
        return Box(x, y, width, height)

    def _int(
        self, fields: Mapping[str, Any], at: str, name: str, least: int, most: int, *, default: int | None = None
    ) -> int:  # fmt: skip
        value = fields.get(name, default)
        if not _is_int(value) or not least <= value <= most:
            self.problems.append(f"{at}.{name}: a whole number from {least} to {most}")
            return least
        return int(value)

    def _color(self, value: Any, at: str) -> Color:
        if not isinstance(value, str) or not _COLOR.fullmatch(value):
            self.problems.append(f"{at}: a colour such as #1a2b3c")
            return (0, 0, 0)
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def luminance(color: Color) -> float:
    """Relative luminance of sRGB, 0 black to 1 white."""
    linear = [
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in color
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders replaced, each by its value as it is."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], ""), text)


# --- the built-in ones ----------------------------------------------------------------------------------------------


def _line(y: int, text: str, size: int, color: str, width: int, **more: Any) -> dict[str, Any]:
    """A centred line whose middle is at `y`."""
    height = more.pop("height", round(size * LINE_HEIGHT) + 2)
    return {
        "kind": "text", "x": (750 - width) // 2, "y": y - height // 2, "width": width, "height": height,
        "text": text, "size": size, "color": color, "align": "center", **more,
    }  # fmt: skip


def _built_in(middle: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "size": [750, 1334],
        "background": {"design": BANYAN},
        "items": [
            {"kind": "avatar", "x": 314, "y": 311, "size": 122, "color": "#f8e2aa", "ink": "#12352b"},
            {"kind": "qr", "x": 154, "y": 577, "size": 442, "dark": "#092f26", "light": "#ffffff"},
            _line(194, "{account}", 76, "#fffdf7", 610, min_size=38, font="serif", bold=True),
            *middle,
            _line(1062, "长按识别二维码", 36, "#12352b", 560, bold=True),
            _line(1106, "关注「{account}」", 26, "#70847a", 560, min_size=18),
            _line(1182, "{expires}", 26, "#a0762a", 590, min_size=18),
        ],
    }  # fmt: skip


BUILT_IN: Final[Mapping[str, dict[str, Any]]] = {
    INVITE: _built_in(
        [
            _line(268, "好东西，和朋友一起分享", 27, "#bee2ce", 610),
            _line(474, "{name}", 46, "#12352b", 548, min_size=26, lines=2, height=76, bold=True),
            _line(532, "邀请您一起加入 · 邀请码 {code}", 26, "#70847a", 560),
        ]
    ),
    PRODUCT: _built_in(
        [
            _line(268, "{name} 推荐给您", 27, "#bee2ce", 610, min_size=18),
            _line(472, "{product}", 42, "#12352b", 560, min_size=24, bold=True),
            _line(532, "{price}", 36, "#a0762a", 548, bold=True),
        ]
    ),
}
"""As merchants write them; `flask poster template preview` shows them."""


def built_in(purpose: str) -> Design:
    """Our own design for this purpose."""
    return parse(BUILT_IN[purpose])
