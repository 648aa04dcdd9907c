"""A poster from its design: background, avatar, code, words."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import segno
from PIL import Image, ImageDraw, ImageOps

from domain import designs
from domain.designs import Avatar, Code, Design
from domain.drawing import banyan, lettering
from domain.drawing.uploads import clean_upload
from domain.errors import Invalid

QUALITY: Final = 90
_SMOOTH: Final = 4
_drawing = (
    Lock()
)  # one picture at a time: FreeType's faces are shared, and a poster is all computing


@dataclass(frozen=True, slots=True)
class Shown:
    """What a poster says: `url` is in the code, `values` replace the placeholders, `name` gives the avatar its letter.

    `avatar` and `background` are the bytes of pictures, None for the letter and for what the design says.
    """

    url: str
    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    avatar: bytes | None = None
    background: bytes | None = None


def draw(design: Design, shown: Shown) -> bytes:
    """The poster as a JPEG of the design's size, 10 to 40 ms of computing. Raises `Invalid` for a background that the
    design names and nobody gave, and for an address that is too long for the code's side."""
    with _drawing:
        picture = _background(design, shown)
        for item in design.items:
            if isinstance(item, Avatar):
                _avatar(picture, item, shown)
            elif isinstance(item, Code):
                _code(picture, item, shown.url)
            else:
                lettering.write(picture, item, designs.filled(item.text, shown.values))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=QUALITY, optimize=True, subsampling=0)
        return out.getvalue()


SAMPLE: Final[Mapping[str, str]] = {
    "name": "小明", "code": "7K3QF9A", "expires": "二维码有效期至 2026年12月22日", "account": "榕树小店",
    "product": "明前龙井 250 克", "price": "¥128.00",
}  # fmt: skip
SAMPLE_URL: Final = "http://weixin.qq.com/q/02abcDEFghi_jklMNop1234"


def render_preview(
    template: Any, sample: Mapping[str, str] | None = None, *, background: bytes | None = None
) -> bytes:
    """A template as people write it (JSON values), drawn with sample words for a live editor: JPEG bytes.

    `sample` replaces single words of `SAMPLE` ("name", "code", …); `background` are the bytes of the picture that the
    template names. Raises `Invalid` with every problem of the template.
    """
    design = designs.parse(template)
    values = {**SAMPLE, **(sample or {})}
    if design.picture is not None and background is None:
        background = _blank(design)
    return draw(design, Shown(SAMPLE_URL, values["name"], values, background=background))


def _blank(design: Design) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (design.width, design.height), (226, 232, 222)).save(out, "JPEG")
    return out.getvalue()


# --- the parts ------------------------------------------------------------------------------------------------------


def _background(design: Design, shown: Shown) -> Image.Image:
    size = (design.width, design.height)
    if design.picture is not None:
        if shown.background is None:
            raise Invalid("the background of this template is gone", picture=design.picture)
        with Image.open(io.BytesIO(shown.background), formats=["JPEG"]) as picture:
            return ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)
    if design.banyan:
        return ImageOps.fit(banyan.background().copy(), size, Image.Resampling.LANCZOS)
    return Image.new("RGB", size, design.color)


def _avatar(picture: Image.Image, item: Avatar, shown: Shown) -> None:
    """A circle, drawn larger and made small for a smooth edge."""
    side = item.box.width
    large = side * _SMOOTH
    mask = Image.new("L", (large, large), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, large - 1, large - 1), fill=255)
    mask = mask.resize((side, side), Image.Resampling.LANCZOS)
    face = _portrait(shown.avatar, side) or _letter(item, shown.name)
    picture.paste(face, (item.box.x, item.box.y), mask)


def _portrait(avatar: bytes | None, side: int) -> Image.Image | None:
    """The member's own picture; None when there is none, or it is no picture."""
    if avatar is None:
        return None
    try:
        clean = clean_upload(avatar).jpeg
    except Invalid:
        return None  # somebody's broken picture must not cost them the poster: the letter is drawn
    with Image.open(io.BytesIO(clean)) as picture:
        return ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)


def _letter(item: Avatar, name: str) -> Image.Image:
    side = item.box.width
    face = Image.new("RGB", (side, side), item.fill)
    line = lettering.runs_of(lettering.initial_of(name), lettering.SERIF)
    size = side // 2
    at = ((side - lettering.width_of(line, size)) / 2, side / 2)
    lettering.write_line(face, at, line, size, item.ink, bold=True)
    return face


def _code(picture: Image.Image, item: Code, url: str) -> None:
    """Whole pixels for each module, so that cameras see sharp edges; a quiet zone of the light colour around it."""
    matrix = segno.make(url, error="m", micro=False).matrix
    side = item.box.width
    scale = int(side * (1 - 2 * designs.QUIET_ZONE / 2)) // len(matrix)
    if scale < 3:
        raise Invalid("the address is too long for a code of this size", pixels=side)
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = item.box.edges
    pen.rectangle((left, top, right - 1, bottom - 1), fill=item.light)
    start = (side - scale * len(matrix)) // 2
    for y, row in enumerate(matrix):
        for x, dark in enumerate(row):
            if dark:
                at = (left + start + x * scale, top + start + y * scale)
                pen.rectangle((*at, at[0] + scale - 1, at[1] + scale - 1), fill=item.dark)
