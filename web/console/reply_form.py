"""An automatic reply as a form: when it answers, and one to four messages in one or several languages.

A field is `<language>-<message>-<name>`; language `all` is what everybody reads who has no wording of their own. A
message without a kind is none. Of a file that was only chosen so far console.js tells the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flask import request
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage

from domain import bodies, replies, uploads
from domain.bodies import Article, Body, MediaBody, NewsBody, TextBody
from domain.errors import Invalid
from domain.replies import Rule
from domain.texts import EN, ZH_CN, ZH_TW
from web.console.both import Both
from web.console.visit import Visit
from web.pages import t

ALL: Final = "all"
LANGUAGES: Final = {ZH_CN: "简体中文", ZH_TW: "繁體中文", EN: "English"}
KINDS: Final = {
    replies.KEYWORD: Both("粉丝说到关键字", "A keyword"),
    replies.CLICK: Both("点菜单按钮", "A menu button"),
    replies.SUBSCRIBE: Both("新关注", "A new follower"),
    replies.DEFAULT: Both("都没有对上时", "Nothing else fits"),
}
MATCHINGS: Final = {
    replies.EXACT: Both("完全一样", "The same text"),
    replies.CONTAINS: Both("包含", "Contains it"),
    replies.REGEX: Both("正则表达式", "A pattern"),
}
MESSAGE_KINDS: Final = {
    bodies.TEXT: Both("文字", "Text"),
    bodies.NEWS: Both("图文卡片", "Cards"),
    bodies.IMAGE: Both("图片", "Picture"),
    bodies.VOICE: Both("语音", "Voice"),
    bodies.VIDEO: Both("视频", "Video"),
}
CARD_FIELDS: Final = ("title", "description", "url", "picture_url")
MOST_READ: Final = max(uploads.MOST_BYTES.values()) + 1
"""Of a file that somebody sends: enough to see that it is too large."""
STAND_IN: Final = TextBody("…")
"""For a file that the browser has and we do not yet."""


def how(kind: str, matching: str) -> str:
    """How a reply is found, in words."""
    return str(MATCHINGS[matching] if kind == replies.KEYWORD else KINDS[kind])


@dataclass
class Message:
    """One message as it was written: `body` is what is kept, None for a file that was chosen and is not here yet;
    `file` is that file, `chosen` its name."""

    body: Body | None
    kind: str
    file: FileStorage | None = None
    chosen: str = ""


@dataclass
class Written:
    """A reply as the form has it. `messages` by language, `ALL` among them."""

    kind: str
    matching: str
    keyword: str
    priority: int
    enabled: bool
    messages: dict[str, list[Message]] = field(default_factory=dict)

    def rule(self) -> Rule:
        """What can be looked at: a stand-in is where a file is not here yet."""
        said_by = {
            lang: tuple(one.body or STAND_IN for one in each)
            for lang, each in self.messages.items()
        }
        first = said_by.pop(ALL, ())
        return Rule(
            0, self.kind, self.matching, self.keyword, first, self.priority, self.enabled, said_by
        )

    def keep_files(self, session: Session, visit: Visit) -> None:
        """Keep the files that came with the form. Raises `Invalid`, with the message."""
        for each in self.messages.values():
            for number, one in enumerate(each, start=1):
                if one.file is None:
                    continue
                try:
                    media = kept(session, visit, one.kind, one.file)
                except Invalid as error:
                    raise Invalid(error.message, **error.details, number=number) from error
                assert isinstance(one.body, MediaBody)  # noqa: S101 # `_media` made it
                one.body = replace(one.body, media=media)


def kept(session: Session, visit: Visit, kind: str, file: FileStorage) -> int:
    """Keep a file that came with a form; its number. Raises `Invalid`."""
    try:
        return uploads.add(
            session, visit.account.id, kind=kind, name=file.filename or "", content=file.read(MOST_READ),
            actor=visit.actor, now=visit.now,
        ).id  # fmt: skip
    finally:
        file.seek(0)  # a transaction may run twice


def number_of(text: str) -> int:
    """The number of a file as a form has it; 0, which no file has, for what is none."""
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def read(kind: str | None = None) -> Written:
    """The request's form; with `kind`, of a page that is for one kind only. What it says may be wrong: `replies.check`
    tells."""
    given = request.form
    kind = kind or given.get("kind", "")
    kind = kind if kind in KINDS else replies.KEYWORD
    matching = given.get("matching", "") if kind == replies.KEYWORD else replies.EXACT
    keyword = given.get("keyword", "").strip() if kind in {replies.KEYWORD, replies.CLICK} else ""
    written = Written(
        kind, matching if matching in MATCHINGS else replies.EXACT, keyword[:400],
        _whole(given.get("priority", "")), "enabled" in given,
    )  # fmt: skip
    for lang in (ALL, *LANGUAGES):
        messages = [one for number in range(bodies.MOST) if (one := _message(f"{lang}-{number}"))]
        if messages or lang == ALL:
            written.messages[lang] = messages
    return written


def _whole(text: str) -> int:
    """A number of the form; one that is none is out of every range."""
    try:
        return int(text.strip() or "0")
    except ValueError:
        return max(replies.PRIORITIES) + 1


def _message(place: str) -> Message | None:
    kind = request.form.get(f"{place}-kind", "")
    if kind == bodies.TEXT:
        return Message(
            TextBody(request.form.get(f"{place}-text", "").replace("\r\n", "\n").strip()), kind
        )
    if kind == bodies.NEWS:
        cards = [_card(f"{place}-a{number}") for number in range(bodies.ARTICLES_TO_EVENTS)]
        written = [
            card
            for card in cards
            if any((card.title, card.description, card.url, card.picture_url))
        ]
        return Message(NewsBody(tuple(written)), kind)
    return _media(place, kind) if kind in bodies.MEDIA else None


def _card(place: str) -> Article:
    return Article(*(request.form.get(f"{place}-{name}", "").strip() for name in CARD_FIELDS))


def _media(place: str, kind: str) -> Message:
    given, file = request.form, request.files.get(f"{place}-file")
    body = MediaBody(kind, number_of(given.get(f"{place}-media-{kind}", "")))
    if kind == bodies.VIDEO:
        body = replace(
            body,
            title=given.get(f"{place}-title", "").strip(),
            description=given.get(f"{place}-note", "").strip(),
        )
    if file is not None and file.filename:
        return Message(body, kind, file, file.filename)
    chosen = next((one for one in given.getlist("chosen") if one.startswith(f"{place}-file:")), "")
    return Message(None if chosen else body, kind, chosen=chosen.partition(":")[2])


# --- a form filled from a reply --------------------------------------------------------------------------------------


def given_of(rule: Rule) -> dict[str, str]:
    """The fields of the form as this reply has them."""
    given = {
        "kind": rule.kind, "matching": rule.matching, "keyword": rule.keyword, "priority": str(rule.priority),
    }  # fmt: skip
    if rule.enabled:
        given["enabled"] = "1"
    for lang, messages in {ALL: rule.messages, **rule.variants}.items():
        for number, body in enumerate(messages):
            given |= {f"{lang}-{number}-{name}": value for name, value in _fields(body).items()}
    return given


def _fields(body: Body) -> dict[str, str]:
    if isinstance(body, TextBody):
        return {"kind": body.kind, "text": body.text}
    if isinstance(body, MediaBody):
        return {
            "kind": body.kind, f"media-{body.kind}": str(body.media), "title": body.title, "note": body.description,
        }  # fmt: skip
    cards = {
        f"a{number}-{name}": getattr(card, name) for number, card in enumerate(body.articles) for name in CARD_FIELDS
    }  # fmt: skip
    return {"kind": body.kind, **cards}


# --- how it looks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One bubble of the phone. `media` is the file's id, 0 while it is not here; `name` what it is called; `apart`: it
    comes as a message of its own after the answer."""

    body: Body
    name: str = ""
    apart: bool = False

    @property
    def kind(self) -> str:
        return self.body.kind


@dataclass(frozen=True)
class Phone:
    """What a follower sees: what they said (or did, `did`), then the lines."""

    title: str
    heard: str
    did: str
    lines: Sequence[Line]


def sample(visit: Visit) -> Mapping[str, str]:
    """What the placeholders are filled with in previews."""
    return {"account": visit.account.name, "nickname": t("小明", "Ming"), "code": "ABC1234"}


def lines_of(
    visit: Visit, messages: Sequence[Body], lead: str = "", names: Sequence[str] = ()
) -> list[Line]:
    """Messages as the chat says them: `lead` before them, placeholders filled. What cannot be filled stays as it is
    written. `names`: of files that are not here yet, by message."""
    shown: list[Line] = []
    for number, body in enumerate(messages):
        name = names[number] if number < len(names) else ""
        shown.append(Line(_filled(body, sample(visit)), name))
    if lead and shown:
        led = bodies.led(lead, [one.body for one in shown])
        shown = [Line(led[0]), *(shown[1:] if len(led) == len(shown) else shown)]
    elif lead:
        shown = [Line(TextBody(lead))]
    return [replace(one, apart=number > 0) for number, one in enumerate(shown)]


def _filled(body: Body, values: Mapping[str, str]) -> Body:
    """With what is not checked yet: anything but a plain known name in braces stays as it is written."""
    try:
        is_known = bodies.names_in(body) <= values.keys()
    except Invalid:
        is_known = False
    return bodies.filled(body, values) if is_known else body


def names_of(messages: Sequence[Message]) -> list[str]:
    """The names of chosen files, by message."""
    return [one.chosen for one in messages]


def choices(session: Session, account_id: int) -> dict[str, Any]:
    """What the form offers: the account's files by kind."""
    files = uploads.all_of(session, account_id)
    return {
        "files": {kind: [one for one in files if one.kind == kind] for kind in bodies.MEDIA},
        "kinds": KINDS, "matchings": MATCHINGS, "message_kinds": MESSAGE_KINDS, "numbers": range(bodies.MOST),
        "cards": range(bodies.ARTICLES_TO_EVENTS), "all": ALL, "languages": LANGUAGES,
    }  # fmt: skip
