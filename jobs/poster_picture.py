"""The drawing of a poster: who invites, the account, the code, and until when it works. Pure: words in, JPEG out.

Everything is generated, so no picture of anybody's has to be asked for. The font covers the Chinese of GB 18030's
first two levels and Latin. Emoji are left out, a single letter that it lacks is a □, and a name with many of them
gives way to 会员·code: an honest poster rather than a row of boxes.
"""

from __future__ import annotations

import io
import math
import unicodedata
from datetime import date
from functools import lru_cache
from threading import Lock
from typing import Final

import pylopdf_fonts_zh_cn
import segno
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from domain.posters import Facts

WIDTH, HEIGHT = 750, 1334

_NIGHT, _FOREST, _LEAF = (9, 47, 38), (19, 92, 68), (46, 139, 99)
_GOLD, _PALE_GOLD = (226, 184, 96), (248, 226, 170)
_PAPER, _INK, _SOFT = (255, 253, 247), (18, 53, 43), (112, 132, 122)
_CARD = (55, 372, 695, 1226)
_QR_PIXELS: Final = 420
_QR_TOP: Final = 588
_TEAR: Final = 1138
_MOST_UNDRAWABLE: Final = 0.5

_Color = tuple[int, int, int]
_drawing = (
    Lock()
)  # one picture at a time: FreeType's faces are shared, and a poster is all computing


def draw(shown: Facts) -> bytes:
    """The poster as a JPEG of 750 × 1334. The facts must have their ticket."""
    if shown.ticket_url is None:
        raise ValueError("a poster needs a ticket")
    with _drawing:
        picture = _background().copy()
        pen = ImageDraw.Draw(picture)
        name = drawable(shown.name) or drawable(shown.fallback) or "会员"
        account = drawable(shown.account) or "公众号"
        _head(pen, account)
        _inviter(pen, name)
        _code(picture, pen, shown.ticket_url)
        _foot(pen, account, shown.expires_on)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=90, optimize=True, subsampling=0)
        return out.getvalue()


# --- words that the font has ----------------------------------------------------------------------------------------


def drawable(text: str) -> str:
    """`text` as one line of marks that the font has; empty when too much of it would be missing to be the same name."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    letters = [mark for mark in line if unicodedata.category(mark)[0] in "LN"]
    missing = sum(not _has(mark) for mark in letters)
    if letters and missing / len(letters) > _MOST_UNDRAWABLE:
        return ""
    kept = (mark if _has(mark) else "□" if mark in letters else "" for mark in line)
    return " ".join("".join(kept).split())


@lru_cache(maxsize=8192)
def _has(mark: str) -> bool:
    category = unicodedata.category(mark)
    if mark == " ":
        return True
    if category[0] == "C" or category == "Mn" or "\ufe00" <= mark <= "\ufe0f":
        return False
    probe = _sans(24)
    return _shape(probe, mark) != _shape(probe, "\U0010fffd")


def _shape(font: ImageFont.FreeTypeFont, mark: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(mark)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _sans(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(pylopdf_fonts_zh_cn.sans_path()), size)


@lru_cache(maxsize=64)
def _serif(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(pylopdf_fonts_zh_cn.serif_path()), size)


def _fitted(text: str, sizes: range, width: int, serif: bool) -> tuple[str, ImageFont.FreeTypeFont]:
    """The largest size at which the text is no wider than `width`, or the smallest and a text cut with `…`."""
    make = _serif if serif else _sans
    for size in sizes:
        font = make(size)
        if font.getlength(text) <= width:
            return text, font
    while text and font.getlength(text + "…") > width:
        text = text[:-1].rstrip()
    return text + "…", font


def _centred(
    pen: ImageDraw.ImageDraw, y: int, text: str, font: ImageFont.FreeTypeFont, fill: _Color, bold: int = 0
) -> None:  # fmt: skip
    pen.text((WIDTH / 2, y), text, font=font, fill=fill, anchor="mm", stroke_width=bold)


# --- the parts ------------------------------------------------------------------------------------------------------


def _head(pen: ImageDraw.ImageDraw, account: str) -> None:
    label, font = "邀 请 函", _sans(28)
    half = font.getlength(label) / 2 + 26
    _centred(pen, 108, label, font, _PALE_GOLD)
    for side in (-1, 1):
        start, end = WIDTH / 2 + side * half, WIDTH / 2 + side * (half + 84)
        pen.line((start, 108, end, 108), fill=_GOLD, width=2)
        pen.ellipse((end - 4, 104, end + 4, 112), fill=_GOLD)
    text, font = _fitted(account, range(76, 39, -4), 600, serif=True)
    _centred(pen, 194, text, font, _PAPER, bold=1)
    _centred(pen, 268, "好东西，和朋友一起分享", _sans(27), (190, 222, 206))


def _inviter(pen: ImageDraw.ImageDraw, name: str) -> None:
    first = next((mark for mark in name if unicodedata.category(mark)[0] in "LN"), name[0])
    _centred(pen, _CARD[1] - 3, first.upper(), _serif(62), _INK, bold=1)
    text, font = _fitted(name, range(46, 33, -2), 540, serif=False)
    _centred(pen, 476, text, font, _INK, bold=1)
    _centred(pen, 532, "邀请您一起加入", _sans(28), _SOFT)


def _code(picture: Image.Image, pen: ImageDraw.ImageDraw, url: str) -> None:
    """Whole pixels for each module, so that cameras see sharp edges; the quiet zone is the paper around it."""
    matrix = segno.make(url, error="m", micro=False).matrix
    scale = _QR_PIXELS // len(matrix)
    side = scale * len(matrix)
    left, top = (WIDTH - side) // 2, _QR_TOP + (_QR_PIXELS - side) // 2
    for y, row in enumerate(matrix):
        for x, dark in enumerate(row):
            if dark:
                at = (left + x * scale, top + y * scale)
                pen.rectangle((*at, at[0] + scale - 1, at[1] + scale - 1), fill=_NIGHT)


def _foot(pen: ImageDraw.ImageDraw, account: str, expires_on: date | None) -> None:
    _centred(pen, 1062, "长按识别二维码", _sans(36), _INK, bold=1)
    text, font = _fitted(f"关注「{account}」", range(26, 21, -2), 560, serif=False)
    _centred(pen, 1106, text, font, _SOFT)
    until = "二维码长期有效"
    if expires_on is not None:
        until = f"二维码有效期至 {expires_on.year}年{expires_on.month}月{expires_on.day}日"
    _centred(pen, 1182, until, _sans(26), (160, 118, 42))


# --- what is the same on every poster -------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _background() -> Image.Image:
    """Sky of a forest, leaves, and an empty card. Drawn once per process, at double size for smooth edges."""
    double = (WIDTH * 2, HEIGHT * 2)
    picture = _gradient(double)
    _glow(picture)
    _leaves(picture)
    _card(picture)
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
    picture: Image.Image, root: tuple[float, float], angle: float, length: int, color: _Color, strength: int
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
    middle, y, radius = WIDTH, _CARD[1] * 2, 122
    pen.ellipse(
        (middle - radius - 14, y - radius - 14, middle + radius + 14, y + radius + 14), fill=_PAPER
    )
    pen.ellipse((middle - radius, y - radius, middle + radius, y + radius), fill=_PALE_GOLD)
    pen.ellipse(
        (middle - radius + 8, y - radius + 8, middle + radius - 8, y + radius - 8), outline=_GOLD, width=4
    )  # fmt: skip


def _corners(picture: Image.Image, frame: tuple[int, int, int, int]) -> None:
    """The gold frame, of which only the corners show."""
    frame_only = Image.new("L", picture.size, 0)
    ImageDraw.Draw(frame_only).rounded_rectangle(frame, 36, outline=255, width=8)
    left, top, right, bottom = frame
    hide = ImageDraw.Draw(frame_only)
    hide.rectangle((left + 84, top - 9, right - 84, bottom + 9), fill=0)
    hide.rectangle((left - 9, top + 84, right + 9, bottom - 84), fill=0)
    picture.paste(Image.new("RGB", picture.size, _GOLD), (0, 0), frame_only)
