"""What is sent: a text, a picture, articles, or a subscription notice; checked before anybody is sent it.

Limits: https://developers.weixin.qq.com/doc/service/api/draftbox/draftmanage/api_draft_add and platform.md 8 to 10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final

from domain.campaigns.audience import CHANNELS, CUSTOM, MASS, PUBLISH, SUBSCRIPTION
from domain.errors import Invalid

TEXT: Final = "text"
IMAGE: Final = "image"
ARTICLE: Final = "article"
NOTICE: Final = "notice"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    MASS: (TEXT, IMAGE, ARTICLE),
    CUSTOM: (TEXT, IMAGE, ARTICLE),
    SUBSCRIPTION: (NOTICE,),
    PUBLISH: (ARTICLE,),
}

TEXT_BYTES: Final = 2048
TITLE: Final = 32
AUTHOR: Final = 16
DIGEST: Final = 120
HTML: Final = 20_000
HTML_BYTES: Final = 1024 * 1024
SOURCE_URL_BYTES: Final = 1024
ARTICLES: Final = 8
IMAGE_BYTES: Final = 2 * 1024 * 1024
ARTICLE_IMAGE_BYTES: Final = 1024 * 1024
LINK_BYTES: Final = 90
"""What a tracked link may take in a text: the address of this server, the account and a token."""

FILE: Final = "file:"
"""`<img src="file:NAME">` in an article names a picture of the campaign."""

_URL: Final = re.compile(r"https?://[^\s\"'<>，。；、）)】」]+")
_TAGS: Final = frozenset({"script", "iframe", "form", "input", "object", "embed", "link", "style"})
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
MARKETING: Final = re.compile(
    "优惠|促销|特价|秒杀|抢购|打折|折扣|满减|红包|立减|清仓|包邮|免费领|限时|爆款|团购|返现|中奖|抽奖"
)
"""Words of a promotion: a notice that holds one is 40249, and the account is warned (platform.md 7)."""
_VALUE_LENGTHS: Final = {
    "thing": 20, "number": 32, "letter": 32, "symbol": 5, "character_string": 32, "phone_number": 17,
    "car_number": 8, "name": 10, "phrase": 5,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Article:
    """One article; `cover` names a picture of the campaign, `source_url` is 阅读原文."""

    title: str
    html: str
    cover: str
    author: str = ""
    digest: str = ""
    source_url: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What a campaign says; only the fields of its kind are filled."""

    kind: str
    text: str = ""
    image: str = ""
    articles: tuple[Article, ...] = ()
    template_id: str = ""
    data: Mapping[str, str] | None = None
    page: str = ""

    def as_value(self) -> dict[str, Any]:
        """As JSON values, empty fields left out."""
        value: dict[str, Any] = {"kind": self.kind}
        for name in ("text", "image", "template_id", "page"):
            if getattr(self, name):
                value[name] = getattr(self, name)
        if self.data is not None:
            value["data"] = dict(self.data)
        if self.articles:
            value["articles"] = [
                {name: each for name in Article.__slots__ if (each := getattr(one, name))}
                for one in self.articles
            ]
        return value

    def urls(self) -> list[str]:
        """The addresses that lead out of the message, each once, in their order."""
        found = _URL.findall(self.text)
        found += [one.source_url for one in self.articles if one.source_url]
        found += [self.page] if self.page.startswith(("http://", "https://")) else []
        return list(dict.fromkeys(found))


def parse(values: Mapping[str, Any]) -> Content:
    """Content from JSON values; `Invalid` for a shape that cannot be. What it says is checked by `problems`."""
    kind = values.get("kind")
    if kind not in (TEXT, IMAGE, ARTICLE, NOTICE):
        raise Invalid("content is a text, an image, an article or a notice", kind=str(kind))
    try:
        return Content(
            kind,
            text=_text(values.get("text", "")),
            image=_text(values.get("image", "")),
            articles=tuple(_article(each) for each in values.get("articles", ())),
            template_id=_text(values.get("template_id", "")),
            data=_data(values.get("data")),
            page=_text(values.get("page", "")),
        )
    except (TypeError, AttributeError) as error:
        raise Invalid(f"the content cannot be read: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value.replace("\r\n", "\n")


def _article(value: Any) -> Article:
    unknown = sorted(set(value) - set(Article.__slots__))
    if unknown:
        raise TypeError(f"an article has no {unknown[0]}")
    return Article(**{name: _text(each) for name, each in value.items()})


def _data(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    return {str(name): _text(each) for name, each in value.items()}


# --- the check ------------------------------------------------------------------------------------------------------


def check(channel: str, content: Content, files: Mapping[str, bytes]) -> None:
    """`Invalid` with every problem, when there is any."""
    found = problems(channel, content, files)
    if found:
        raise Invalid("; ".join(found), problems=found)


def problems(channel: str, content: Content, files: Mapping[str, bytes]) -> list[str]:
    """Everything that WeChat would refuse or punish, in words for the merchant (zh-CN); empty when it may be sent."""
    if channel not in CHANNELS:
        raise Invalid("no such channel", channel=channel)
    if content.kind not in KINDS[channel]:
        return ["这个发送方式不支持这种内容"]
    found = list(_CHECKS[content.kind](channel, content, files))
    found += [
        f"链接过长:{url[:40]}…" for url in content.urls() if len(url.encode()) > SOURCE_URL_BYTES
    ]
    return found


def _check_text(_channel: str, content: Content, _files: Mapping[str, bytes]) -> list[str]:
    if not content.text.strip():
        return ["文字内容不能为空"]
    shown = _URL.sub("x" * LINK_BYTES, content.text)
    if len(shown.encode()) > TEXT_BYTES:
        return [f"文字超过 {TEXT_BYTES} 字节(链接按 {LINK_BYTES} 字节计)"]
    return []


def _check_image(_channel: str, content: Content, files: Mapping[str, bytes]) -> list[str]:
    return _picture(content.image, files, IMAGE_BYTES)


def _picture(name: str, files: Mapping[str, bytes], limit: int) -> list[str]:
    content = files.get(name)
    if content is None:
        return [f"找不到图片:{name or '(未填写)'}"]
    if not content.startswith((_PNG, _JPEG)):
        return [f"图片须为 PNG 或 JPEG:{name}"]
    return [f"图片过大:{name}"] if len(content) >= limit else []


def _check_articles(channel: str, content: Content, files: Mapping[str, bytes]) -> list[str]:
    count = len(content.articles)
    most = 1 if channel == CUSTOM else ARTICLES
    if not 1 <= count <= most:
        return [f"图文须为 1 至 {most} 篇"]
    found = [each for one in content.articles for each in _check_article(one, files)]
    if channel == CUSTOM and not content.articles[0].source_url:
        found.append("客服图文卡片须填写链接 source_url")
    return found


def _check_article(one: Article, files: Mapping[str, bytes]) -> list[str]:
    limits = (
        ("标题", one.title, TITLE),
        ("作者", one.author, AUTHOR),
        ("摘要", one.digest, DIGEST),
    )
    found = [f"{name}超过 {limit} 字" for name, text, limit in limits if len(text) > limit]
    if not one.title.strip():
        found.append("标题不能为空")
    if not one.html.strip() or len(one.html) >= HTML or len(one.html.encode()) >= HTML_BYTES:
        found.append(f"正文须为 1 至 {HTML} 字")
    body = _Body()
    body.feed(one.html)
    found += [f"正文中不能使用 <{tag}>" for tag in sorted(body.tags & _TAGS)]
    if body.links:
        found.append("正文中的外部链接会被微信去掉,请改用「阅读原文」source_url")
    for source in body.images:
        if source.startswith(FILE):
            found += _picture(source.removeprefix(FILE), files, ARTICLE_IMAGE_BYTES)
        else:
            found.append('正文图片须随群发上传(src="file:名称")')
    return found + _picture(one.cover, files, ARTICLE_IMAGE_BYTES)


class _Body(HTMLParser):
    """What an article's body is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "a" and (values.get("href") or "").startswith(("http:", "https:", "//")):
            self.links.append(str(values["href"]))
        if tag == "img":
            self.images.append(values.get("src") or "")


def _check_notice(_channel: str, content: Content, _files: Mapping[str, bytes]) -> list[str]:
    found = [] if content.template_id else ["请选择订阅通知模板"]
    data = content.data or {}
    if not data:
        found.append("订阅通知的内容不能为空")
    for name, value in data.items():
        limit = _VALUE_LENGTHS.get(name.rstrip("0123456789"))
        if not value.strip() or (limit is not None and len(value) > limit):
            found.append(f"{name} 须为 1 至 {limit or '?'} 字")
    if any(MARKETING.search(value) for value in data.values()):
        found.append("通知中不能含营销用语(会被微信处罚),促销请用群发或客服消息")
    return found


_Check = Callable[[str, Content, Mapping[str, bytes]], Sequence[str]]
_CHECKS: Final[Mapping[str, _Check]] = {
    TEXT: _check_text,
    IMAGE: _check_image,
    ARTICLE: _check_articles,
    NOTICE: _check_notice,
}


# --- links ----------------------------------------------------------------------------------------------------------


def tracked(content: Content, links: Mapping[str, str]) -> Content:
    """The content with every address replaced by what `links` says."""
    return Content(
        content.kind,
        text=_URL.sub(lambda match: links.get(match[0], match[0]), content.text),
        image=content.image,
        articles=tuple(
            Article(
                one.title, one.html, one.cover, one.author, one.digest, links.get(one.source_url, one.source_url)
            )
            for one in content.articles
        ),
        template_id=content.template_id,
        data=content.data,
        page=links.get(content.page, content.page),
    )  # fmt: skip


def with_pictures(html: str, urls: Mapping[str, str]) -> str:
    """An article's body with the addresses of its uploaded pictures."""
    for name, url in urls.items():
        html = html.replace(f'"{FILE}{name}"', f'"{url}"').replace(f"'{FILE}{name}'", f"'{url}'")
    return html


def pictures_of(one: Article) -> list[str]:
    """Names of the pictures in an article's body."""
    body = _Body()
    body.feed(one.html)
    return [name.removeprefix(FILE) for name in body.images if name.startswith(FILE)]
