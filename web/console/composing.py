"""What the composer's form says: content, audience, pictures. Reads a form, and fills one from a draft.

Pictures are named by their places: `image.png`, `cover-1.jpg`, and `1.png`, `2.png` … in the bodies of articles, where
`[图1]` stands for the first. A body without tags is paragraphs; one with tags is HTML as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from html.parser import HTMLParser
from typing import Any, Final

from flask import request
from markupsafe import Markup
from werkzeug.datastructures import FileStorage

from domain.campaigns import content as contents
from domain.campaigns.audience import CHANNELS
from domain.china import CHINA
from domain.errors import Invalid
from domain.models import Campaign
from web.console.both import Both
from web.console.cells import visible
from web.console.refusals import explain

ARTICLES: Final = range(contents.ARTICLES)
INSTANTS: Final = ("active_since", "bought_since", "not_bought_since")
_STAND_IN: Final = b"\x89PNG\r\n\x1a\n"
"""For a picture that the browser has and we do not yet: what is written is looked at before it is saved."""
_MARK: Final = re.compile(r"\[(?:图|pic)\s*(\d{1,2})\]")
_TAG: Final = re.compile(r"<[a-zA-Z/!]")
_NUMBERED: Final = re.compile(r"(\d{1,2})\.[a-z]+")
_ENDINGS: Final = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}

explain("this is no date and time", Both("日期时间不对。", "This is no date and time."))


@dataclass
class Written:
    """What was written, as the domain takes it. `files` are all pictures of the draft afterwards."""

    name: str
    channel: str
    content: dict[str, Any]
    audience: dict[str, Any]
    scheduled_at: datetime | None
    files: dict[str, bytes] = field(default_factory=dict)


def read(kept: Mapping[str, bytes]) -> Written:
    """The request's form. `kept`: the pictures that the draft has already. Raises `Invalid` for a date that is none."""
    given, files = request.form, _pictures(kept)
    channel = given.get("channel", "")
    return Written(
        given.get("name", "").strip()[:190], channel if channel in CHANNELS else "mass", _content(files), audience(),
        instant(given.get("scheduled_at", "")), files,
    )  # fmt: skip


def instant(text: str) -> datetime | None:
    """A local time of the form, Beijing's. Raises `Invalid`."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=CHINA)
    except ValueError as error:
        raise Invalid("this is no date and time") from error


def local(at: datetime | str | None) -> str:
    """An instant as a field of the form holds it."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return "" if moment is None else f"{moment.astimezone(CHINA):%Y-%m-%dT%H:%M}"


def audience() -> dict[str, Any]:
    """The filters of the form, as JSON values; those that were left alone are left out."""
    given = request.form
    values: dict[str, Any] = {
        "grade": given.get("grade", ""), "language": given.get("language", ""),
        "bought": {"yes": True, "never": False}.get(given.get("bought", "")),
        "promoter": given.get("promoter", "").strip(),
        "level": _number(given.get("level", "")), "tag": _number(given.get("tag", "")),
    }  # fmt: skip
    for name in INSTANTS:
        at = instant(given.get(name, ""))
        values[name] = at and at.isoformat()
    if not values["promoter"]:
        values["level"] = None
    return {name: value for name, value in values.items() if value not in (None, "")}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


# --- pictures -------------------------------------------------------------------------------------------------------


def _pictures(kept: Mapping[str, bytes]) -> dict[str, bytes]:
    files = {name: content for name, content in kept.items() if f"drop-{name}" not in request.form}
    for place, name, content in _chosen():
        ending = _ENDINGS.get(name[name.rfind(".") :].lower(), ".png")
        stem = place if place != "pictures" else str(_next_number(files))
        for old in [one for one in files if one.rpartition(".")[0] == stem]:
            del files[old]
        files[f"{stem}{ending}"] = content
    return files


def _chosen() -> list[tuple[str, str, bytes]]:
    """(place, file name, bytes) of what was uploaded, or only chosen (the names that console.js sends)."""
    uploads: list[tuple[str, FileStorage]] = list(request.files.items(multi=True))
    found = [(place, one.filename, one.read()) for place, one in uploads if one.filename]
    for one in request.form.getlist("chosen"):
        place, _, name = one.partition(":")
        found.append((place, name, _STAND_IN))
    places = {"image", "pictures", *(f"cover-{number}" for number in ARTICLES)}
    return [one for one in found if one[0] in places]


def _next_number(files: Mapping[str, bytes]) -> int:
    return 1 + max((int(m[1]) for one in files if (m := _NUMBERED.fullmatch(one))), default=0)


def named(files: Mapping[str, Any], stem: str) -> str:
    """The picture of a place, whatever its ending; "" when there is none."""
    return next((one for one in files if one.rpartition(".")[0] == stem), "")


# --- content --------------------------------------------------------------------------------------------------------


def _content(files: Mapping[str, bytes]) -> dict[str, Any]:
    given = request.form
    kind = given.get("kind", "text")
    if kind == contents.IMAGE:
        return {"kind": kind, "image": named(files, "image")}
    if kind == contents.ARTICLE:
        return {"kind": kind, "articles": _articles(files)}
    if kind == contents.NOTICE:
        return {
            "kind": kind, "template_id": given.get("template_id", "").strip(), "data": _lines(given.get("data", "")),
            "page": given.get("page", "").strip(),
        }  # fmt: skip
    return {"kind": contents.TEXT, "text": given.get("text", "").strip()}


def _lines(text: str) -> dict[str, str]:
    pairs = (
        re.split("[:：]", line, maxsplit=1)
        for line in text.splitlines()
        if re.search("[:：]", line)
    )
    return {name.strip(): value.strip() for name, value in pairs}


def _articles(files: Mapping[str, bytes]) -> list[dict[str, str]]:
    found = []
    for number in ARTICLES:
        one = {
            name: request.form.get(f"{name}-{number}", "").strip()
            for name in ("title", "author", "digest", "source_url")
        }
        body = request.form.get(f"body-{number}", "").strip()
        cover = named(files, f"cover-{number}")
        if any(one.values()) or body:
            found.append({**one, "html": html_of(body, files), "cover": cover})
    return found


def html_of(body: str, files: Mapping[str, Any]) -> str:
    """The HTML of a body as it is written: paragraphs, and `[图1]` for pictures."""
    if _TAG.search(body):
        html = body
    else:
        lines = [line.strip() for line in body.replace("\r\n", "\n").split("\n")]
        html = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    return _MARK.sub(
        lambda mark: f'<img src="{contents.FILE}{named(files, mark[1]) or mark[1] + ".png"}">',
        html,
    )


def body_of(html: str, files: Mapping[str, Any]) -> str:
    """The text that makes this HTML, so that it can be written on; HTML of another make stays HTML."""
    text = re.sub(
        rf'<img src="{contents.FILE}([^"]+)">',
        lambda mark: f"[图{mark[1].rpartition('.')[0]}]",
        html,
    )
    text = text.removeprefix("<p>").removesuffix("</p>").replace("</p><p>", "\n\n")
    for mark, plain in (
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", '"'),
        ("&#x27;", "'"),
        ("&amp;", "&"),
    ):
        text = text.replace(mark, plain)
    return text if html_of(text, files) == html else html


class _Shown(HTMLParser):
    """A body with a handful of harmless tags and without any attribute; pictures by their address."""

    KEPT: Final = frozenset(
        [
            "p",
            "br",
            "h1",
            "h2",
            "h3",
            "h4",
            "strong",
            "b",
            "em",
            "i",
            "ul",
            "ol",
            "li",
            "blockquote",
        ]
    )

    def __init__(self, addresses: Mapping[str, str]) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._addresses, self._open = addresses, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            name = (dict(attrs).get("src") or "").removeprefix(contents.FILE)
            address = self._addresses.get(name)
            stand_in = f'<span class="phone-picture">{escape(visible(name))}</span>'
            shown = f'<img src="{escape(address)}" alt="">' if address else stand_in
            self.parts.append(shown)
        elif tag in self.KEPT:
            self.parts.append(f"<{tag}>")
            if tag != "br":
                self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while (last := self._open.pop()) != tag:
                self.parts.append(f"</{last}>")
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(visible(data)))

    def whole(self) -> Markup:
        """Everything, with what was left open closed."""
        return Markup("".join((*self.parts, *(f"</{tag}>" for tag in reversed(self._open)))))  # noqa: S704 # escaped


def shown_body(html: str, addresses: Mapping[str, str]) -> Markup:
    """A body to look at inside the console: nothing of it can act there."""
    parser = _Shown(addresses)
    parser.feed(html)
    parser.close()
    return parser.whole()


# --- a form filled from a draft --------------------------------------------------------------------------------------


def given_of(row: Campaign, files: Mapping[str, Any]) -> dict[str, str]:
    """The fields of the form as this draft has them."""
    content, filters = json.loads(row.content), json.loads(row.audience)
    given = {
        "name": row.name, "channel": row.channel, "kind": content["kind"], "scheduled_at": local(row.scheduled_at),
        "text": content.get("text", ""), "template_id": content.get("template_id", ""), "page": content.get("page", ""),
        "data": "\n".join(f"{name}：{value}" for name, value in (content.get("data") or {}).items()),
    }  # fmt: skip
    for number, one in enumerate(content.get("articles", ())):
        given |= {
            f"{name}-{number}": one.get(name, "")
            for name in ("title", "author", "digest", "source_url")
        }
        given[f"body-{number}"] = body_of(one.get("html", ""), files)
    for name, value in filters.items():
        given[name] = local(value) if name in INSTANTS else str(value)
    if "bought" in filters:
        given["bought"] = "yes" if filters["bought"] else "never"
    return given
