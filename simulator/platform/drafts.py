"""Drafts of articles, and publishing them.

https://developers.weixin.qq.com/doc/offiaccount/Draft_Box/Add_draft.html
https://developers.weixin.qq.com/doc/offiaccount/Publish/Publish.html
"""

import re
from typing import Any

from simulator import ids
from simulator.errors import ApiError
from simulator.platform import media
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.replies import media_url
from simulator.state import Account, Draft, Publication

endpoints = Endpoints()

TITLE, AUTHOR, DIGEST = 32, 16, 120
CONTENT, CONTENT_BYTES, SOURCE_BYTES = 20_000, 1024 * 1024, 1024
ARTICLES = 8
_PAGE = range(1, 21)
_IMAGE = re.compile(r"<img\b[^>]*?\bsrc\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
_SCRIPT = re.compile(r"<(script|iframe)\b.*?(</\1>|$)", re.IGNORECASE | re.DOTALL)
DEFAULTS: dict[str, Any] = {
    "article_type": "news", "author": "", "digest": "", "content_source_url": "", "need_open_comment": 0,
    "only_fans_can_comment": 0,
}  # fmt: skip


@endpoints.add("POST", "/cgi-bin/draft/add", per_day=1_000)
def add(call: ApiCall) -> dict[str, Any]:
    """One to eight articles; scripts are removed, pictures from elsewhere vanish."""
    articles = call.body.get("articles")
    if not isinstance(articles, list) or not 1 <= len(articles) <= ARTICLES:
        raise ApiError(44003)
    draft = Draft(ids.media_id(), [_article(call, each) for each in articles], int(call.at))
    with call.world.lock:
        call.account.drafts[draft.media_id] = draft
    return {"media_id": draft.media_id}


@endpoints.add("POST", "/cgi-bin/draft/get", per_day=500)
def get(call: ApiCall) -> dict[str, Any]:
    """The articles of a draft."""
    return {"news_item": find(call.account, call.body.get("media_id")).articles}


@endpoints.add("POST", "/cgi-bin/draft/delete", per_day=1_000)
def delete(call: ApiCall) -> dict[str, Any]:
    """Forget a draft, for good."""
    with call.world.lock:
        draft = find(call.account, call.body.get("media_id"))
        del call.account.drafts[draft.media_id]
    return OK


@endpoints.add("POST", "/cgi-bin/draft/update", per_day=1_000)
def update(call: ApiCall) -> dict[str, Any]:
    """Replace one article of a draft; `articles` is an object here."""
    draft = find(call.account, call.body.get("media_id"))
    index, article = call.body.get("index", 0), call.body.get("articles")
    if not isinstance(index, int) or not 0 <= index < len(draft.articles):
        raise ApiError(40114)
    made = _article(call, article)
    with call.world.lock:
        draft.articles[index] = made
        draft.updated_at = int(call.at)
    return OK


@endpoints.add("GET", "/cgi-bin/draft/count", per_day=1_000)
def count(call: ApiCall) -> dict[str, Any]:
    """How many drafts."""
    return {"total_count": len(call.account.drafts)}


@endpoints.add("POST", "/cgi-bin/draft/batchget", per_day=1_000)
def batch_get(call: ApiCall) -> dict[str, Any]:
    """A page of drafts, newest first: offset, count 1 to 20, no_content."""
    drafts = list(reversed(list(call.account.drafts.values())))
    page = _page(call, drafts)
    bare = call.body.get("no_content") == 1
    items = [
        {
            "media_id": each.media_id,
            "content": {"news_item": [_shown(one, bare) for one in each.articles]},
            "update_time": each.updated_at,
        }
        for each in page
    ]
    return {"total_count": len(drafts), "item_count": len(items), "item": items}


# --- publishing -----------------------------------------------------------------------------------------------------


@endpoints.add("POST", "/cgi-bin/freepublish/submit", per_day=100)
def submit(call: ApiCall) -> dict[str, Any]:
    """Publish a draft: accepted now, decided a little later (PUBLISHJOBFINISH). Nobody is sent anything."""
    status = call.world.faults.publish_status
    with call.world.lock:
        draft = _for_publishing(call)
        publication = Publication(
            publish_id=str(call.world.next_msgid()), article_id=ids.media_id(), articles=draft.articles,
            status=status, at=int(call.at),
        )  # fmt: skip
        call.account.publications[publication.publish_id] = publication
        if status == 0:
            del call.account.drafts[draft.media_id]
    call.people.finish_publication(call.account, publication, call.base_url)
    return {"errcode": 0, "errmsg": "ok", "publish_id": publication.publish_id}


def _for_publishing(call: ApiCall) -> Draft:
    draft = call.account.drafts.get(str(call.body.get("media_id")))
    if draft is None:
        raise ApiError(53503)
    if not all(each["thumb_media_id"] for each in draft.articles):
        raise ApiError(53504)
    return draft


@endpoints.add("POST", "/cgi-bin/freepublish/get", per_day=100)
def get_publication(call: ApiCall) -> dict[str, Any]:
    """How a publication stands."""
    found = call.account.publications.get(str(call.body.get("publish_id")))
    if found is None:
        raise ApiError(40035, "publish_id")
    return publication_json(call.account, found, call.base_url)


@endpoints.add("POST", "/cgi-bin/freepublish/delete", per_day=10)
def delete_publication(call: ApiCall) -> dict[str, Any]:
    """Take a published article back; index 0 or none: all of them."""
    found = _published(call)
    with call.world.lock:
        found.status = 5
    return OK


@endpoints.add("POST", "/cgi-bin/freepublish/getarticle", per_day=100)
def get_article(call: ApiCall) -> dict[str, Any]:
    """The articles of a publication."""
    found = _published(call)
    return {
        "news_item": [
            each | {"url": article_url(call.account, found.article_id, number, call.base_url), "is_deleted": False}
            for number, each in enumerate(found.articles, 1)
        ]
    }  # fmt: skip


@endpoints.add("POST", "/cgi-bin/freepublish/batchget", per_day=100)
def batch_get_publications(call: ApiCall) -> dict[str, Any]:
    """A page of what was published, newest first."""
    done = [each for each in reversed(list(call.account.publications.values())) if each.status == 0]
    page = _page(call, done)
    bare = call.body.get("no_content") == 1
    items = [
        {
            "article_id": each.article_id,
            "content": {"news_item": [_shown(one, bare) for one in each.articles]},
            "update_time": each.at,
        }
        for each in page
    ]
    return {"total_count": len(done), "item_count": len(items), "item": items}


def _published(call: ApiCall) -> Publication:
    for each in list(call.account.publications.values()):
        if each.article_id == call.body.get("article_id") and each.status == 0:
            return each
    raise ApiError(53600)


def publication_json(account: Account, found: Publication, base_url: str) -> dict[str, Any]:
    """The fields of freepublish/get, which PUBLISHJOBFINISH carries as well."""
    answer: dict[str, Any] = {
        "publish_id": found.publish_id,
        "publish_status": found.status,
        "fail_idx": [],
    }
    if found.status != 0:
        return answer | {"fail_idx": [1]}
    items = [
        {"idx": number, "article_url": article_url(account, found.article_id, number, base_url)}
        for number in range(1, len(found.articles) + 1)
    ]
    return answer | {
        "article_id": found.article_id,
        "article_detail": {"count": len(items), "item": items},
    }


def article_url(account: Account, key: str, number: int, base_url: str) -> str:
    """Where a phone opens an article: a page of the simulator."""
    return f"{base_url}/_sim/articles/{account.app_id}/{key}/{number}"


def card_of(
    account: Account, articles: list[dict[str, Any]], key: str, base_url: str
) -> dict[str, Any]:
    """The articles as the chat shows them."""
    return {
        "articles": [
            {
                "title": each["title"],
                "description": each["digest"],
                "url": article_url(account, key, number, base_url),
                "image_url": media_url(account, each["thumb_media_id"]),
            }
            for number, each in enumerate(articles, 1)
        ]
    }


def find(account: Account, media_id: object) -> Draft:
    """The draft of this media_id; 40007 when there is none, also after it was sent."""
    draft = account.drafts.get(str(media_id))
    if draft is None:
        raise ApiError(40007)
    return draft


def _page(call: ApiCall, rows: list[Any]) -> list[Any]:
    offset, wanted = call.body.get("offset", 0), call.body.get("count", 20)
    if wanted not in _PAGE or not isinstance(offset, int) or offset < 0:
        raise ApiError(40035, "count")
    return rows[offset : offset + wanted]


def _shown(article: dict[str, Any], bare: bool) -> dict[str, Any]:
    return {name: value for name, value in article.items() if not (bare and name == "content")}


def _article(call: ApiCall, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ApiError(44003)
    article = DEFAULTS | {name: value for name, value in given.items() if value is not None}
    _check_lengths(article)
    thumb = media.find(call, article.get("thumb_media_id"))
    if not thumb.in_library:
        raise ApiError(40007)
    content = _SCRIPT.sub("", article["content"])
    article["content"] = _IMAGE.sub(lambda match: _own_picture(call, match), content)
    return article


def _check_lengths(article: dict[str, Any]) -> None:
    title, content = article.get("title"), article.get("content")
    if not isinstance(title, str) or not title.strip() or len(title) > TITLE:
        raise ApiError(45003)
    if not isinstance(content, str) or not content:
        raise ApiError(44004)
    if len(content) >= CONTENT or len(content.encode()) >= CONTENT_BYTES:
        raise ApiError(45002)
    if len(article["author"]) > AUTHOR:
        raise ApiError(45110)
    if len(article["digest"]) > DIGEST:
        raise ApiError(45004)
    if len(article["content_source_url"].encode()) > SOURCE_BYTES:
        raise ApiError(45005)


def _own_picture(call: ApiCall, match: re.Match[str]) -> str:
    """Pictures that did not come through uploadimg are filtered out."""
    own = f"/_sim/media/{call.account.app_id}/" in match[1]
    return match[0] if own else match[0].replace(match[1], "")
