"""The built-in background: a forest, leaves, and a card with room for a name and a code. Everything is generated, so
no picture of anybody's has to be asked for. The items that stand on it are in designs.py.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import pylopdf_fonts_zh_cn
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from domain.designs import Color

WIDTH, HEIGHT = 750, 1334

_NIGHT, _FOREST, _LEAF = (9, 47, 38), (19, 92, 68), (46, 139, 99)
_GOLD, _PALE_GOLD = (226, 184, 96), (248, 226, 170)
_PAPER: Final = (255, 253, 247)
_CARD = (55, 372, 695, 1226)
_QR_PIXELS: Final = 420
_QR_TOP: Final = 588
_TEAR: Final = 1138


@lru_cache(maxsize=1)
def background() -> Image.Image:
    """Sky of a forest, leaves, and an empty card: 750 × 1334 pixels. Drawn once per process, at double size for smooth
    edges. Copy it before you draw on it."""
    double = (WIDTH * 2, HEIGHT * 2)
    picture = _gradient(double)
    _glow(picture)
    _leaves(picture)
    _card(picture)
    _heading(picture)
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _gradient(size: tuple[int, int]) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    dark, light = Image.new("RGB", size, _NIGHT), Image.new("RGB", size, _LEAF)
    middle = Image.new("RGB", size, _FOREST)
    upper = Image.composite(middle, dark, ramp.point(lambda value: min(255, value * 2)))
    return Image.composite(light, upper, ramp.point(lambda value: max(0, value * 2 - 255)))


def _glow(picture: Image.Image) -> None:
    """Light from above, behind the account's name."""
    reach = 1500
    light = (
        Image.radial_gradient("L").resize((reach, reach)).point(lambda value: (255 - value) // 3)
    )
    where = (WIDTH - reach // 2, 400 - reach // 2)
    picture.paste(Image.new("RGB", (reach, reach), (104, 178, 138)), where, light)


def _leaves(picture: Image.Image) -> None:
    """Twigs that hang in from the corners, some lighter and some darker than what is behind them."""
    for x, y, angle, length, color, strength in (
        (-70, 420, -4, 330, _NIGHT, 110), (1570, 420, 184, 330, _NIGHT, 110),
        (-60, -30, 50, 520, (132, 206, 160), 62), (1560, -30, 130, 520, (132, 206, 160), 62),
        (-60, 2560, 12, 620, (190, 236, 200), 46), (1560, 2560, 168, 620, (190, 236, 200), 46),
    ):  # fmt: skip
        _twig(picture, (x, y), math.radians(angle), length, color, strength)


def _twig(
    picture: Image.Image, root: tuple[float, float], angle: float, length: int, color: Color, strength: int
) -> None:  # fmt: skip
    """Leaves in pairs along a stalk and one at its end, smaller towards it; each with a rib. `strength` up to 255."""
    mask = Image.new("L", picture.size, 0)
    pen = ImageDraw.Draw(mask)
    pairs = 4
    pen.line((*root, *_along(root, angle, length)), fill=strength, width=6)
    for step in range(1, pairs + 1):
        at = _along(root, angle, length * step / pairs)
        size = 205 * (1 - 0.4 * step / pairs)
        for side in (-0.95, 0.95) if step < pairs else (0.0,):
            pen.polygon(_leaf(at, angle + side, size), fill=strength)
            pen.line((*at, *_along(at, angle + side, size * 0.8)), fill=strength // 2, width=4)
    picture.paste(Image.new("RGB", picture.size, color), (0, 0), mask)


def _along(start: tuple[float, float], angle: float, way: float) -> tuple[float, float]:
    return start[0] + math.cos(angle) * way, start[1] + math.sin(angle) * way


def _leaf(at: tuple[float, float], angle: float, size: float) -> list[tuple[float, float]]:
    """A banyan's leaf: round at the stalk, with a drawn-out tip."""
    outline = []
    for side in (1, -1):
        for part in range(21) if side == 1 else range(20, -1, -1):
            along = part / 20
            across = side * 0.27 * math.sin(math.pi * along**0.72) * (1 - 0.25 * along)
            outline.append((along * size, across * size))
    cos, sin = math.cos(angle), math.sin(angle)
    return [(at[0] + a * cos - b * sin, at[1] + a * sin + b * cos) for a, b in outline]


def _card(picture: Image.Image) -> None:
    box = tuple(edge * 2 for edge in _CARD)
    shadow = Image.new("L", picture.size, 0)
    ImageDraw.Draw(shadow).rounded_rectangle(
        (box[0], box[1] + 28, box[2], box[3] + 28), 72, fill=150
    )
    shadow = shadow.filter(ImageFilter.GaussianBlur(34))
    picture.paste(Image.new("RGB", picture.size, (4, 28, 22)), (0, 0), shadow)

    shape = Image.new("L", picture.size, 0)
    pen = ImageDraw.Draw(shape)
    pen.rounded_rectangle(box, 72, fill=255)
    for x in (box[0], box[2]):  # torn off here, like a ticket
        pen.ellipse((x - 26, _TEAR * 2 - 26, x + 26, _TEAR * 2 + 26), fill=0)
    picture.paste(Image.new("RGB", picture.size, _PAPER), (0, 0), shape)

    pen = ImageDraw.Draw(picture)
    for x in range(box[0] + 64, box[2] - 64, 28):
        pen.line((x, _TEAR * 2, x + 14, _TEAR * 2), fill=(214, 208, 190), width=4)
    margin = 2 * 22
    left, top = WIDTH - _QR_PIXELS - margin, _QR_TOP * 2 - margin
    side = _QR_PIXELS * 2 + margin * 2
    frame = (left, top, left + side, top + side)
    pen.rounded_rectangle(frame, 36, fill=(255, 255, 255), outline=(226, 232, 222), width=4)
    _corners(picture, frame)
    middle, y, radius = WIDTH, _CARD[1] * 2, 136
    pen.ellipse((middle - radius, y - radius, middle + radius, y + radius), fill=_PAPER)


def _heading(picture: Image.Image) -> None:
    """邀请函 between two gold lines that end in a dot."""
    pen = ImageDraw.Draw(picture)
    font = ImageFont.truetype(str(pylopdf_fonts_zh_cn.sans_path()), 56)
    label = "邀 请 函"
    half = font.getlength(label) / 2 + 52
    pen.text((WIDTH, 216), label, font=font, fill=_PALE_GOLD, anchor="mm")
    for side in (-1, 1):
        start, end = WIDTH + side * half, WIDTH + side * (half + 168)
        pen.line((start, 216, end, 216), fill=_GOLD, width=4)
        pen.ellipse((end - 8, 208, end + 8, 224), fill=_GOLD)


def _corners(picture: Image.Image, frame: tuple[int, int, int, int]) -> None:
    """The gold frame, of which only the corners show."""
    frame_only = Image.new("L", picture.size, 0)
    ImageDraw.Draw(frame_only).rounded_rectangle(frame, 36, outline=255, width=8)
    left, top, right, bottom = frame
    hide = ImageDraw.Draw(frame_only)
    hide.rectangle((left + 84, top - 9, right - 84, bottom + 9), fill=0)
    hide.rectangle((left - 9, top + 84, right + 9, bottom - 84), fill=0)
    picture.paste(Image.new("RGB", picture.size, _GOLD), (0, 0), frame_only)
