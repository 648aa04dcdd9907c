"""The drawing of posters: 200 nicknames, every code readable, every text in its box, no empty boxes for letters.

BANYAN_CONTACT_SHEET=file.png keeps all of them on one sheet, to be looked at.
"""

from __future__ import annotations

import io
import os
import random
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from domain import designs, drawing
from domain.designs import Design, Text
from domain.drawing import canvas, lettering
from domain.errors import Invalid

HAND_MADE = [
    "大明", "小红", "李", "欧阳修文", "𠮷野家", "𠀀𠀁𠀂", "龘靐齉爩", "〇〇七", "㐀㐁㐂", "張愛玲", "ひらがな",
    "カタカナ", "김민수",
    "🌸小红🌸✨", "👨‍👩‍👧‍👦", "🇨🇳", "👍🏽", "❤️爱你❤️", "1️⃣2️⃣3️⃣", "🏳️‍🌈", "🫠", "☀️☁️☂️", "😀😃😄😁😆😅🤣😂", "★☆♥♪",
    "محمد علي", "فاطمة الزهراء", "שלום", "ירושלים", "محمد 小明", "שלום world", "\u202eabc\u202c", "\u2066محمد\u2069",
    "A", "Zoë Ångström", "A\u0301ria", "Ñandú", "Владимир", "Ελένη", "สมชาย", "नमस्ते", "Tiếng Việt", "İstanbul", "ﬁﬂ",
    "", " ", "\n\t", "\u200b\u200b", "\u0000", "\ufeff", "\ue000\ue001",
    "....", "——", "「」", "'\";--", "<b>名</b>", "{name}",
    "A" * 64, "特别长的昵称" * 10 + "一二三四", "W" * 64, "i" * 64, "🌸" * 64, "م" * 64, "長 " * 32, "a b c " * 10,
    "Ａ" * 64,
    "z̸̢̛a̷l̶g̵o̴", "e\u0301" * 32, "龍\ufe00", "한" * 64, "𝓕𝓪𝓷𝓬𝔂", "①②③", "㊙㊗", "½⅓", "™®©", "→←↑↓", "𓀀𓀁", "ᚠᚢᚦ", "ꙮ",
]  # fmt: skip


def nicknames() -> list[str]:
    """The ones above, and mixtures of every script, 200 in all; the same each time."""
    chance = random.Random(20261125)
    ranges = [
        (0x4E00, 0x9FA5), (0x3400, 0x4DB5), (0x20000, 0x2A6D6), (0x1F300, 0x1F64F), (0x621, 0x64A), (0x5D0, 0x5EA),
        (0x41, 0x7A), (0xC0, 0x17F), (0x400, 0x44F), (0x3041, 0x3096), (0xAC00, 0xD7A3),
    ]  # fmt: skip
    names = list(HAND_MADE)
    while len(names) < 200:
        length = chance.choice([1, 2, 3, 4, 6, 8, 12, 20, 64])
        kinds = chance.sample(ranges, chance.choice([1, 1, 2, 3]))
        names.append("".join(chr(chance.randint(*chance.choice(kinds))) for _ in range(length)))
    return names


NAMES = nicknames()
FALLBACK = "会员·7K3QF9A"


def values(name: str) -> dict[str, str]:
    """What domain/posters.py says for this name."""
    shown = name if lettering.is_drawable(name) else FALLBACK
    return {**canvas.SAMPLE, "name": shown}


def poster(name: str, purpose: str = designs.INVITE, url: str = canvas.SAMPLE_URL) -> bytes:
    words = values(name)
    return drawing.draw(designs.built_in(purpose), canvas.Shown(url, words["name"], words))


def test_two_hundred_nicknames_give_posters_whose_code_every_camera_reads() -> None:
    sheet = Image.new("RGB", (20 * 150, 10 * 267), "white")
    unread, heavy = [], []
    for place, name in enumerate(NAMES):
        url = f"http://weixin.qq.com/q/02poster{place:04d}xyz"
        drawn = poster(name, designs.PURPOSES[place % 2], url)
        with Image.open(io.BytesIO(drawn)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (750, 1334))
            phone = picture.convert("L").resize((375, 667))
            sheet.paste(picture.resize((150, 267)), (place % 20 * 150, place // 20 * 267))
        if [each.text for each in zxingcpp.read_barcodes(phone)] != [url]:
            unread.append(name)
        if len(drawn) > 400_000:
            heavy.append(name)
    if kept := os.environ.get("BANYAN_CONTACT_SHEET"):
        sheet.save(kept)
    assert (unread, heavy) == ([], [])


def text_alone(design: Design, item: Text, name: str) -> Image.Image:
    """The text in white on black, nothing else: where its ink lies."""
    picture = Image.new("RGB", (design.width, design.height))
    white = replace(item, color=(255, 255, 255))
    lettering.write(picture, white, designs.filled(item.text, values(name)))
    return picture


def test_no_nickname_leaves_its_box() -> None:
    design = designs.built_in(designs.INVITE)
    (item,) = (each for each in design.items if isinstance(each, Text) and "{name}" in each.text)
    left, top, right, bottom = item.box.edges
    outside = {}
    for name in NAMES:
        ink = text_alone(design, item, name).getbbox()
        assert ink is not None, f"nothing is drawn for {name!a}"
        if ink[0] < left or ink[1] < top or ink[2] > right or ink[3] > bottom:
            outside[name] = ink
    assert outside == {}


def test_no_nickname_is_drawn_with_the_box_of_a_missing_letter() -> None:
    """Every run's font has every letter of the run."""
    boxes = [
        (name, letter)
        for name in NAMES
        for run in lettering.runs_of(values(name)["name"])
        for letter in run.text
        if unicodedata.category(letter)[0] not in "CZ" and not lettering._has(run.font, letter)
        and run.font != lettering.EMOJI
    ]  # fmt: skip
    assert boxes == []


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("小红", ["小", "红"]), ("👨‍👩‍👧", ["👨‍👩‍👧"]), ("👍🏽a", ["👍🏽", "a"]), ("🇨🇳🇯🇵", ["🇨🇳", "🇯🇵"]),
        ("e\u0301x", ["e\u0301", "x"]),
        ("❤️!", ["❤️", "!"]),
    ],
)  # fmt: skip
def test_what_a_person_sees_as_one_character_stays_together(text: str, marks: list[str]) -> None:
    assert list(lettering.marks_of(text)) == marks


def test_without_the_machines_fonts_letters_become_a_mark_and_emoji_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lettering, "FALLBACKS", (lettering.SANS,))
    monkeypatch.setattr(lettering, "EMOJI", "/nowhere.ttf")

    def shown(text: str) -> str:
        return "".join(run.text for run in lettering.runs_of(text))

    assert shown("🌸小红🌸✨") == "小红"
    assert shown(" 小  红\n") == "小 红"
    assert shown("𠮷野家") == "＊野家"
    assert shown("\u202e小红") == "小红"
    assert not lettering.is_drawable("محمد")
    assert not lettering.is_drawable("👨‍👩‍👧")
    assert lettering.is_drawable("𠮷野家")


def test_a_blank_between_two_directions_stays_between_the_words() -> None:
    runs = [run.text for run in lettering.runs_of("محمد علي 小明")]
    assert runs == ["محمد علي", " ", "小明"]


@pytest.mark.parametrize(
    ("name", "initial"),
    [("大明", "大"), ("🌸小红", "小"), ("anna", "A"), ("", "友"), ("「一」", "一"), ("…", "…")],
)
def test_the_avatar_shows_the_first_letter(name: str, initial: str) -> None:
    assert lettering.initial_of(name) == initial


def test_the_longest_address_is_still_read() -> None:
    url = "https://mp.example.com/q/" + "x" * 230
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(poster("大明", url=url))))
    assert [each.text for each in found] == [url]


def test_a_name_is_words_and_never_a_placeholder_or_markup() -> None:
    assert designs.filled("{name} {code}", {"name": "{code}", "code": "X"}) == "{code} X"


# --- templates ------------------------------------------------------------------------------------------------------


def qr(**changes: Any) -> dict[str, Any]:
    return {"kind": "qr", "x": 0, "y": 0, "size": 300, **changes}


def template(**changes: Any) -> dict[str, Any]:
    """A small correct template with other values by name."""
    text = {
        "kind": "text",
        "x": 0,
        "y": 0,
        "width": 500,
        "height": 60,
        "size": 30,
        "text": "{name}",
    }
    items = [qr(x=100, y=100), {**text, **changes.pop("text", {})}]
    return {"size": [500, 700], "background": {"color": "#fff8e1"}, "items": items, **changes}


def test_a_template_of_ones_own_is_drawn_and_read() -> None:
    drawn = drawing.render_preview(template(), {"name": "阿明"})
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.size == (500, 700)
        assert picture.getpixel((5, 690)) == pytest.approx((255, 248, 225), abs=3)
        assert [each.text for each in zxingcpp.read_barcodes(picture)] == [canvas.SAMPLE_URL]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("text", "a JSON object"), ({}, "items"), (template(size=[10, 10]), "size"), (template(size="x"), "size"),
        (template(size=[True, 700]), "size"), (template(extra=1), "template.extra: unknown"),
        (template(background={}), "exactly one"), (template(background={"color": "red"}), "colour"),
        (template(background={"picture": -1}), "picture"), (template(background={"design": "oak"}), "banyan"),
        (template(items=[]), "items"), (template(items=[qr()] * 2), "exactly one qr"),
        (template(items=[qr(x=300)]), "reaches out"),
        (template(items=[qr(size=100)]), "size"),
        (template(items=[qr(dark="#888888")]), "too alike"),
        (template(items=[qr(dark="#ffffff", light="#000000")]), "too alike"),
        (template(items=[{"kind": ["qr"]}]), "kind"), (template(items=[7]), "kind"),
        (template(text={"y": 200}), "covers the qr"), (template(text={"text": "{phone}"}), "{phone}"),
        (template(text={"text": "a } b"}), "placeholder"), (template(text={"text": ""}), "characters"),
        (template(text={"align": "justify"}), "align"), (template(text={"font": "comic"}), "font"),
        (template(text={"bold": 1}), "bold"), (template(text={"min_size": 90}), "min_size"),
        (template(text={"height": 12}), "too low"), (template(text={"width": True}), "width"),
    ],
)  # fmt: skip
def test_a_wrong_template_says_where(wrong: Any, says: str) -> None:
    with pytest.raises(Invalid) as refusal:
        designs.parse(wrong)
    assert says in refusal.value.message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        designs.parse(template(text={"align": "x", "font": "y", "color": "z"}))
    assert len(refusal.value.details["problems"]) == 3


# --- uploads --------------------------------------------------------------------------------------------------------


def picture(size: tuple[int, int] = (800, 600), kind: str = "PNG", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA" if kind == "PNG" else "RGB", size, (200, 30, 30)).save(out, kind, **more)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_upload_becomes_a_plain_jpeg_of_at_most_a_posters_size(kind: str) -> None:
    upload = drawing.clean_upload(picture((4000, 3000), kind))
    assert upload.width == 1500
    with Image.open(io.BytesIO(upload.jpeg)) as kept:
        assert (kept.format, kept.size, len(kept.getexif())) == ("JPEG", (1500, upload.height), 0)


def test_damaged_notes_of_a_picture_are_bad_input() -> None:
    """Turned upright, its notes are written again: here with a number that is none."""
    notes, out = Image.Exif(), io.BytesIO()
    notes[0x0112], notes[0x010E] = 6, "hello"
    Image.new("RGB", (20, 30)).save(out, "JPEG", exif=notes.tobytes())
    described, width = b"\x01\x0e\x00\x02", b"\x01\x00\x00\x02"  # a text, and the width as a text
    assert described in out.getvalue()
    with pytest.raises(Invalid, match="readable"):
        drawing.clean_upload(out.getvalue().replace(described, width))


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = picture((1, 1))
    huge = (
        bomb[:16] + (50_000).to_bytes(4, "big") * 2 + bomb[24:]
    )  # a PNG that claims 2,500 million pixels
    for content in (huge, picture((6000, 5000), "JPEG", quality=10)):
        with pytest.raises(Invalid):
            drawing.clean_upload(content)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg/>", picture()[:60], b"\0" * 9_000_000])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        drawing.clean_upload(content)


def test_an_avatar_that_is_no_picture_costs_nobody_the_poster() -> None:
    design = designs.built_in(designs.INVITE)
    letter = drawing.draw(design, canvas.Shown(canvas.SAMPLE_URL, "大明", values("大明")))
    broken = canvas.Shown(canvas.SAMPLE_URL, "大明", values("大明"), avatar=b"nothing")
    shown = canvas.Shown(canvas.SAMPLE_URL, "大明", values("大明"), avatar=picture())
    assert drawing.draw(design, broken) == letter
    with Image.open(io.BytesIO(drawing.draw(design, shown))) as drawn:
        assert drawn.getpixel((375, 340)) == pytest.approx((200, 30, 30), abs=6)
