"""Drafts, publishing, and the pictures of articles.

https://developers.weixin.qq.com/doc/service/api/draftbox/draftmanage/api_draft_add
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from wechat.api import text_in
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, Retryable

TITLE: Final = 32

PUBLISHED: Final = 0
PUBLISHING: Final = 1


@dataclass(frozen=True, slots=True)
class DraftArticle:
    """One article; `content` is HTML whose pictures came through `upload_article_image`, `thumb_media_id` permanent."""

    title: str
    content: str
    thumb_media_id: str
    author: str = ""
    digest: str = ""
    content_source_url: str = ""

    def as_value(self) -> dict[str, Any]:
        return {
            "article_type": "news", "title": self.title, "author": self.author, "digest": self.digest,
            "content": self.content, "content_source_url": self.content_source_url,
            "thumb_media_id": self.thumb_media_id, "need_open_comment": 0, "only_fans_can_comment": 0,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Publication:
    """State of a publication: 0 done, 1 under way, 2 to 6 why not; `urls` of its articles when done."""

    status: int
    article_id: str
    urls: tuple[str, ...]


def add_draft(client: PlatformClient, articles: Sequence[DraftArticle]) -> str:
    """The media_id of a new draft. 40007 (thumb), 45002 to 45004 and 53404 (too long), 45166 (content).

    https://developers.weixin.qq.com/doc/service/api/draftbox/draftmanage/api_draft_add
    """
    path = "/cgi-bin/draft/add"
    body = {"articles": [one.as_value() for one in articles]}
    return text_in(client.post(path, data=body), "media_id", path)


def upload_article_image(
    client: PlatformClient, content: bytes, filename: str, content_type: str
) -> str:
    """The address of a picture for articles' bodies: PNG or JPEG under 1 MB, not counted in the library. 40005, 40009.

    https://developers.weixin.qq.com/doc/service/api/material/permanent/api_uploadimage
    """
    path = "/cgi-bin/media/uploadimg"
    return text_in(
        client.post(path, files={"media": (filename, content, content_type)}), "url", path
    )


def publish_draft(client: PlatformClient, media_id: str) -> str:
    """Put a draft on the account's page; nobody is sent it. The publish_id that PUBLISHJOBFINISH will name. 53503 to
    53505.

    https://developers.weixin.qq.com/doc/service/api/public/api_freepublish_submit
    """
    path = "/cgi-bin/freepublish/submit"
    answer = client.post(path, data={"media_id": media_id})
    if not answer.get("publish_id"):
        raise OutcomeUnknown("the answer holds no publish_id", path=path)
    return str(answer["publish_id"])


def publication(client: PlatformClient, publish_id: str) -> Publication:
    """How a publication stands.

    https://developers.weixin.qq.com/doc/service/api/public/api_freepublish_get
    """
    path = "/cgi-bin/freepublish/get"
    answer = client.post(path, data={"publish_id": publish_id})
    try:
        status = int(answer["publish_status"])
    except (KeyError, TypeError, ValueError):
        raise Retryable("the answer holds no valid publish_status", path=path) from None
    detail = answer.get("article_detail")
    items = detail.get("item") if isinstance(detail, dict) else None
    urls = tuple(str(one.get("article_url", "")) for one in items or () if isinstance(one, dict))
    return Publication(status, str(answer.get("article_id", "")), urls)
