"""What the merchant's answers are made of: texts, cards, pictures, voices and videos, kept as JSON.

A text may use the placeholders of `PLACEHOLDERS` and nothing else (domain/texts checks them as it checks wordings).
Channel codes, replies and menus share these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from domain.db import to_json
from domain.errors import Invalid
from domain.texts import placeholders

TEXT: Final = "text"
NEWS: Final = "news"
IMAGE: Final = "image"
VOICE: Final = "voice"
VIDEO: Final = "video"
MEDIA: Final = (IMAGE, VOICE, VIDEO)

MOST: Final = 4
"""Messages of one answer: WeChat takes three customer-service messages after a follow, and one passive reply."""
TEXT_LENGTH: Final = 600
"""Characters: WeChat takes about 2048 bytes of text, and a Chinese character has three."""
TITLE_LENGTH: Final = 64
DESCRIPTION_LENGTH: Final = 120
URL_LENGTH: Final = 1024
ARTICLES_TO_EVENTS: Final = 8
ARTICLES_TO_MESSAGES: Final = 1
"""platform.md 1.7: to what a follower writes, one card; to a follow or a menu tap, eight."""
PASSIVE_BYTES: Final = 2048
"""Of a text that answers a push at once."""
PLACEHOLDERS: Final = frozenset({"nickname", "account", "code"})
"""{nickname} the member's name, {account} the account's, {code} the member's 邀请码."""


@dataclass(frozen=True, slots=True)
class TextBody:
    """A text, with placeholders."""

    text: str

    @property
    def kind(self) -> str:
        return TEXT


@dataclass(frozen=True, slots=True)
class MediaBody:
    """A file of the merchant by the id of its `reply_media` row; title and description are shown with a video."""

    kind: str
    media: int
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Article:
    """A card that leads to a page. Title and description may have placeholders; addresses may not."""

    title: str
    description: str
    url: str
    picture_url: str


@dataclass(frozen=True, slots=True)
class NewsBody:
    """One or several cards."""

    articles: tuple[Article, ...]

    @property
    def kind(self) -> str:
        return NEWS


Body: TypeAlias = TextBody | MediaBody | NewsBody


def as_values(bodies: Sequence[Body]) -> list[dict[str, Any]]:
    """The bodies as JSON values: `[{"kind": "text", "text": "…"}, …]`."""
    return [{"kind": body.kind, **asdict(body)} for body in bodies]


def as_json(bodies: Sequence[Body]) -> str:
    """What is kept in a row."""
    return to_json(as_values(bodies))


def of_json(text: str) -> list[Body]:
    """The bodies of a row that `as_json` wrote."""
    return [_of_value(value) for value in json.loads(text)]


def variants_as_json(variants: Mapping[str, Sequence[Body]]) -> str | None:
    """What is kept of the messages in other languages, by language; None when there are none."""
    return to_json({lang: as_values(each) for lang, each in variants.items()}) if variants else None


def variants_of_json(text: str | None) -> dict[str, tuple[Body, ...]]:
    """The messages by language that `variants_as_json` wrote."""
    return {
        lang: tuple(_of_value(one) for one in each)
        for lang, each in json.loads(text or "{}").items()
    }


def of_values(values: Any) -> list[Body]:
    """The bodies of JSON values from outside. Raises `Invalid` for what is none."""
    if not isinstance(values, list) or not all(isinstance(each, Mapping) for each in values):
        raise Invalid("messages are a list of objects")
    try:
        return [_of_value(value) for value in values]
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid("not a message", reason=str(error)[:190]) from error


def _of_value(value: Mapping[str, Any]) -> Body:
    fields = {name: each for name, each in value.items() if name != "kind"}
    kind = value["kind"]
    if kind == TEXT:
        return TextBody(**fields)
    if kind == NEWS:
        return NewsBody(tuple(Article(**each) for each in fields["articles"]))
    if kind in MEDIA:
        return MediaBody(kind, int(fields.pop("media")), **fields)
    raise ValueError(f"no such kind: {kind}")


def check(bodies: Sequence[Body], *, most_articles: int) -> None:
    """`Invalid`, with the place, for what WeChat would not show. A customer-service message holds one card, so only
    the first message, the passive reply, may have `most_articles`."""
    if not 1 <= len(bodies) <= MOST:
        raise Invalid(f"an answer has 1 to {MOST} messages", messages=len(bodies))
    for number, body in enumerate(bodies, start=1):
        if isinstance(body, TextBody):
            _check_text(body.text, TEXT_LENGTH, number)
        elif isinstance(body, NewsBody):
            _check_news(body, most_articles if number == 1 else ARTICLES_TO_MESSAGES, number)
        else:
            _check_media(body, number)


def _check_media(body: MediaBody, number: int) -> None:
    if body.kind not in MEDIA or body.media <= 0:
        raise Invalid("a picture, voice or video names an uploaded file", number=number)
    if body.title or body.description:
        _check_text(body.title, TITLE_LENGTH, number, may_be_empty=True)
        _check_text(body.description, DESCRIPTION_LENGTH, number, may_be_empty=True)


def _check_news(body: NewsBody, most: int, number: int) -> None:
    if not 1 <= len(body.articles) <= most:
        raise Invalid(
            f"here a message has 1 to {most} cards", number=number, cards=len(body.articles)
        )
    for article in body.articles:
        _check_text(article.title, TITLE_LENGTH, number)
        _check_text(article.description, DESCRIPTION_LENGTH, number, may_be_empty=True)
        _check_url(article.url, number)
        if article.picture_url:
            _check_url(article.picture_url, number)


def _check_text(text: Any, most: int, number: int, *, may_be_empty: bool = False) -> None:
    if not isinstance(text, str) or len(text) > most or not (text.strip() or may_be_empty):
        raise Invalid(f"a text has 1 to {most} characters", number=number)
    unknown = sorted(placeholders(text) - PLACEHOLDERS)
    if unknown:
        known = sorted(PLACEHOLDERS)
        raise Invalid("unknown placeholders", number=number, unknown=unknown, known=known)


def _check_url(url: Any, number: int) -> None:
    right = isinstance(url, str) and url.startswith(("http://", "https://"))
    if not right or len(url) > URL_LENGTH or any(mark.isspace() for mark in url):
        raise Invalid("an address begins with https:// or http://", number=number)


def names_in(body: Body) -> set[str]:
    """The placeholders that this body uses: what has to be known before it can be said."""
    names: set[str] = set()
    for text in _texts(body):
        names |= placeholders(text)
    return names


def _texts(body: Body) -> list[str]:
    if isinstance(body, TextBody):
        return [body.text]
    if isinstance(body, MediaBody):
        return [body.title, body.description]
    return [text for each in body.articles for text in (each.title, each.description)]


def filled(body: Body, values: Mapping[str, str]) -> Body:
    """The body with its placeholders filled. The values are put in as they are: what a follower called themselves is
    never read as a placeholder."""
    if isinstance(body, TextBody):
        return TextBody(body.text.format_map(values))
    if isinstance(body, MediaBody):
        title, description = (each.format_map(values) for each in (body.title, body.description))
        return MediaBody(body.kind, body.media, title, description)
    return NewsBody(
        tuple(
            Article(
                each.title.format_map(values), each.description.format_map(values), each.url, each.picture_url
            )
            for each in body.articles
        )
    )  # fmt: skip


def led(lead: str, said: Sequence[Body]) -> list[Body]:
    """The messages with a text of ours before them, in the same message where it fits."""
    first = said[0]
    if isinstance(first, TextBody):
        text = f"{lead}\n\n{first.text}"
        if len(text.encode("utf-8", "replace")) <= PASSIVE_BYTES:
            return [TextBody(text), *said[1:]]
    return [TextBody(lead), *said]


def outline(bodies: Sequence[Body]) -> str:
    """One line for lists: the first text, or what kind of message it is."""
    first = bodies[0]
    if isinstance(first, TextBody):
        return first.text.replace("\n", " ")[:60]
    return first.articles[0].title if isinstance(first, NewsBody) else f"[{first.kind}]"
