"""Words in any script: which font has a character, lines that fit a box, and their drawing.

The packaged fonts cover Chinese and Latin. For the rest (rare characters, Arabic, Hebrew, emoji) the fonts of the
machine are looked at where Debian keeps them. What no font has is never drawn as an empty box: an emoji is left out, a
letter becomes `＊`. Pillow's raqm shapes each run and sets right-to-left words the right way round.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import pylopdf_fonts_zh_cn
from PIL import Image, ImageDraw, ImageFont

from domain.designs import LINE_HEIGHT, Text

SANS: Final = str(pylopdf_fonts_zh_cn.sans_path())
SERIF: Final = str(pylopdf_fonts_zh_cn.serif_path())
_SYSTEM: Final = Path("/usr/share/fonts")
FALLBACKS: Final = (
    SANS,
    str(_SYSTEM / "opentype/noto/NotoSansCJK-Regular.ttc"),
    str(_SYSTEM / "truetype/dejavu/DejaVuSans.ttf"),
    str(_SYSTEM / "truetype/noto/NotoSans-Regular.ttf"),
    str(_SYSTEM / "truetype/noto/NotoSansArabic-Regular.ttf"),
    str(_SYSTEM / "truetype/noto/NotoSansHebrew-Regular.ttf"),
    str(_SYSTEM / "truetype/noto/NotoSansThai-Regular.ttf"),
    str(_SYSTEM / "truetype/noto/NotoSansDevanagari-Regular.ttf"),
)
EMOJI: Final = str(_SYSTEM / "truetype/noto/NotoColorEmoji.ttf")
EMOJI_SIZE: Final = 109
"""The one size in which that font has its pictures."""
EMOJI_WIDTH: Final = 1.15
LEAST_BOLD: Final = 30
"""Smaller letters run into each other when they are made bold with a stroke."""
MISSING: Final = "＊"
MOST_ACCENTS: Final = 4
MOST_MISSING: Final = 0.5
_NOTHING: Final = "\U0010fffd"
_JOINER: Final = "\u200d"


@dataclass(frozen=True, slots=True)
class Run:
    """Characters that one font draws; `font` is its file."""

    text: str
    font: str

    def width(self, size: int) -> float:
        if self.font == EMOJI:
            return size * EMOJI_WIDTH
        return float(face(self.font, size).getlength(self.text))


Line = Sequence[Run]


@lru_cache(maxsize=256)
def face(path: str, size: int) -> ImageFont.FreeTypeFont:
    """A font at one size, kept open."""
    return ImageFont.truetype(path, size)


# --- characters and their fonts -------------------------------------------------------------------------------------


def marks_of(text: str) -> Iterator[str]:
    """What a person sees as one character: a letter with its accents, an emoji with its skin, its family, its flag."""
    held = ""
    for character in text:
        if held and _belongs_to(held, character):
            held += character
            continue
        if held:
            yield held
        held = character
    if held:
        yield held


def _belongs_to(held: str, character: str) -> bool:
    if character == _JOINER or held.endswith(_JOINER):
        return True
    if unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return True
    if "\U000e0020" <= character <= "\U000e007f":  # the letters of a region's flag
        return True
    return len(held) == 1 and _is_flag(held) and _is_flag(character)


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_emoji(mark: str) -> bool:
    """Whether a mark is one that people expect in colours."""
    first = mark[0]
    return "\ufe0f" in mark or (
        first >= "\U0001f000" and unicodedata.category(first) in {"So", "Sk", "Cn"}
    )


@lru_cache(maxsize=16)
def _probe(path: str) -> ImageFont.FreeTypeFont:
    """A face that shows each character by itself: raqm would compose one that is missing from others, with a box."""
    size = EMOJI_SIZE if path == EMOJI else 24
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=16384)
def _has(path: str, character: str) -> bool:
    if not Path(path).exists():
        return False
    probe = _probe(path)
    return _shape(probe, character) != _shape(probe, _NOTHING)


def _shape(font: ImageFont.FreeTypeFont, text: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(text)
    return mask.size, bytes(mask)


def _font_for(mark: str, first: str) -> str | None:
    """The file of the font that draws this mark; None when there is none."""
    if _is_emoji(mark):
        return EMOJI if _has(EMOJI, mark[0]) else None
    bases = [each for each in mark if unicodedata.category(each)[0] not in "MC"]
    if not bases:
        return None
    for path in (first, *FALLBACKS):
        if all(each == " " or _has(path, each) for each in bases):
            return path
    if unicodedata.category(mark[0]) == "So" and _has(EMOJI, mark[0]):
        return EMOJI
    return None


def runs_of(text: str, first: str = SANS) -> list[Run]:
    """One line of text as runs; controls, direction overrides and what no font has are gone."""
    runs: list[Run] = []
    for mark in marks_of(unicodedata.normalize("NFC", " ".join(_visible(text).split()))):
        font = _font_for(mark, first)
        if font is None and unicodedata.category(mark[0])[0] in "LN":
            mark, font = MISSING, first
        if font is None:
            continue
        mark = _with_known_accents(mark, font)
        if runs and (runs[-1].font == font or mark == " ") and EMOJI not in (font, runs[-1].font):
            runs[-1] = Run(runs[-1].text + mark, runs[-1].font)
        else:
            runs.append(Run(mark, font))
    return _trimmed(runs)


def _with_known_accents(mark: str, font: str) -> str:
    """A letter with at most four of its accents that the font has: more of them would leave the line."""
    if font == EMOJI:
        return mark
    accents = [each for each in mark[1:] if each == _JOINER or _has(font, each)]
    return mark[0] + "".join(accents[:MOST_ACCENTS])


def _visible(text: str) -> str:
    """Without controls and direction overrides; the joiner stays, emoji families are made with it."""
    return "".join(
        " " if each.isspace() else each
        for each in text
        if each.isspace()
        or each == _JOINER
        or unicodedata.category(each)[0] != "C"
        or each >= "\U000e0020"
    )


def _trimmed(runs: list[Run]) -> list[Run]:
    """Without the blanks that left-out characters leave at both ends and in the middle."""
    kept = [Run(" ".join(run.text.split(" ")).replace("  ", " "), run.font) for run in runs]
    if kept:
        kept[0] = Run(kept[0].text.lstrip(), kept[0].font)
        kept[-1] = Run(kept[-1].text.rstrip(), kept[-1].font)
    return [part for run in kept if run.text for part in _with_its_blank(run)]


def _with_its_blank(run: Run) -> list[Run]:
    """A right-to-left run would show the blank before the next word on its far side: it becomes one of its own."""
    text = run.text.rstrip()
    if text and text != run.text and unicodedata.bidirectional(text[-1]) in {"R", "AL"}:
        return [Run(text, run.font), Run(" ", SANS)]
    return [run]


def is_drawable(text: str) -> bool:
    """Whether enough of a name can be drawn for it to be the same name."""
    marks = [mark for mark in marks_of(_visible(text)) if not mark.isspace()]
    missing = sum(_font_for(mark, SANS) is None for mark in marks)
    return bool(marks) and missing / len(marks) <= MOST_MISSING


def initial_of(name: str) -> str:
    """The first letter or number of a name, else its first character that can be drawn."""
    marks = [
        mark for mark in marks_of(_visible(name)) if not mark.isspace() and _font_for(mark, SANS)
    ]
    letter = next((mark for mark in marks if unicodedata.category(mark[0])[0] in "LN"), None)
    return (letter or next(iter(marks), "友")).upper()


# --- lines in a box -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fitted:
    """Lines and the size at which they fit; `line_height` in pixels."""

    lines: tuple[Line, ...]
    size: int

    @property
    def line_height(self) -> float:
        return self.size * LINE_HEIGHT


def fitted(item: Text, text: str) -> Fitted:
    """The text at the largest size at which it fits the box, else at the smallest and cut with an ellipsis."""
    runs = runs_of(text, SERIF if item.serif else SANS)
    room = item.box.width - 2 * (1 if item.bold else 0)
    for size in range(item.size, item.least - 1, -2):
        most = min(item.lines, int(item.box.height / (size * LINE_HEIGHT)))
        lines = _broken(runs, size, room)
        if most and len(lines) <= most:
            return Fitted(tuple(lines), size)
    size = item.least
    most = max(1, min(item.lines, int(item.box.height / (size * LINE_HEIGHT))))
    lines = _broken(runs, size, room)
    if len(lines) > most:
        rest = [run for line in lines[most - 1 :] for run in line]
        lines = [*lines[: most - 1], _cut(rest, size, room)]
    return Fitted(tuple(lines), size)


def width_of(line: Line, size: int) -> float:
    return sum(run.width(size) for run in line)


def _broken(runs: Line, size: int, room: int) -> list[Line]:
    """Lines no wider than the room: after a blank where there is one in the later half, else between characters."""
    lines: list[Line] = []
    rest = list(runs)
    while rest and width_of(rest, size) > room:
        head, rest = _split(rest, size, room)
        lines.append(head)
    if rest:
        lines.append(rest)
    return lines


def _split(runs: Line, size: int, room: int) -> tuple[Line, list[Run]]:
    marks = [(mark, run.font) for run in runs for mark in marks_of(run.text)]
    end = 1
    while end < len(marks) and width_of(_joined(marks[: end + 1]), size) <= room:
        end += 1
    blank = max((place for place in range(end) if marks[place][0] == " "), default=-1)
    if blank >= end // 2 and end < len(marks):
        end = blank + 1
    return _trimmed(_joined(marks[:end])), _trimmed(_joined(marks[end:]))


def _joined(marks: Sequence[tuple[str, str]]) -> list[Run]:
    runs: list[Run] = []
    for mark, font in marks:
        if runs and runs[-1].font == font and font != EMOJI:
            runs[-1] = Run(runs[-1].text + mark, font)
        else:
            runs.append(Run(mark, font))
    return runs


def _cut(runs: Line, size: int, room: int) -> Line:
    marks = [(mark, run.font) for run in runs for mark in marks_of(run.text)]
    while marks and width_of([*_joined(marks), Run("…", SANS)], size) > room:
        marks.pop()
    return [*_trimmed(_joined(marks)), Run("…", SANS)]


# --- drawing --------------------------------------------------------------------------------------------------------


def write(picture: Image.Image, item: Text, text: str) -> None:
    """Draw the text into its box: lines in the middle of its height, aligned as the item says."""
    fit = fitted(item, text)
    left, top, right, bottom = item.box.edges
    y = (top + bottom) / 2 - (len(fit.lines) - 1) / 2 * fit.line_height
    for line in fit.lines:
        width = width_of(line, fit.size)
        x = {"left": left + item.bold, "right": right - item.bold - width}.get(
            item.align, (left + right - width) / 2
        )
        bold = item.bold and fit.size >= LEAST_BOLD
        write_line(picture, (x, y), line, fit.size, item.color, bold=bold)
        y += fit.line_height


def write_line(
    picture: Image.Image, at: tuple[float, float], line: Line, size: int, color: tuple[int, int, int], *, bold: bool
) -> None:  # fmt: skip
    """Draw one line from `x` on; `y` is the middle of its height."""
    x, y = at
    ascent, descent = face(SANS, size).getmetrics()
    baseline = y + (ascent - descent) / 2
    pen = ImageDraw.Draw(picture)
    for run in line:
        if run.font == EMOJI:
            _emoji(picture, run.text, (x, y), size)
        else:
            pen.text(
                (x, baseline), run.text, font=face(run.font, size), fill=color, anchor="ls", stroke_width=int(bold)
            )  # fmt: skip
        x += run.width(size)


def _emoji(picture: Image.Image, mark: str, at: tuple[float, float], size: int) -> None:
    side = round(size * 1.08)
    small = _colored(mark).resize((side, side), Image.Resampling.LANCZOS)
    x, y = at
    where = (round(x + (size * EMOJI_WIDTH - side) / 2), round(y - side / 2 + size * 0.04))
    picture.paste(small, where, small)


@lru_cache(maxsize=512)
def _colored(mark: str) -> Image.Image:
    """The emoji in a square, as the font has it."""
    font = face(EMOJI, EMOJI_SIZE)
    left, top, right, bottom = font.getbbox(mark)
    side = int(max(right - left, bottom - top)) or 1
    large = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    place = ((side - (right - left)) / 2 - left, (side - (bottom - top)) / 2 - top)
    ImageDraw.Draw(large).text(place, mark, font=font, embedded_color=True)
    return large
