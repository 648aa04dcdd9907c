"""Customer-service messages, within the windows that people open.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
"""

from collections.abc import Callable
from typing import Any

from simulator import credits
from simulator.errors import ApiError
from simulator.platform import media
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.replies import media_url

endpoints = Endpoints()

TEXT_BYTES = 2048
TYPING_SECONDS = 15
TALK_SECONDS = 30

Fields = dict[str, Any]


@endpoints.add("POST", "/cgi-bin/message/custom/send", per_day=500_000)
def send(call: ApiCall) -> dict[str, Any]:
    """One message into the chat, paid with one of the credits that the person's own acts gave."""
    contact = call.contact(call.body.get("touser"))
    kind = str(call.body.get("msgtype"))
    branch = call.body.get(kind)
    reader = _READERS.get(kind)
    if reader is None:
        raise ApiError(40008)
    if not isinstance(branch, dict):
        raise ApiError(40035, kind)
    content = reader(call, branch)
    credits.spend(call.world, contact)
    contact.typing_until = 0.0
    call.world.add_message(contact, "account", kind, **content)
    return OK


@endpoints.add("POST", "/cgi-bin/message/custom/typing", per_day=500_000)
def typing(call: ApiCall) -> dict[str, Any]:
    """「对方正在输入…」"""
    contact = call.contact(call.body.get("touser"))
    command = call.body.get("command")
    if command not in ("Typing", "CancelTyping"):
        raise ApiError(45072)
    now = call.world.now()
    if now - contact.last_spoke_at > TALK_SECONDS:
        raise ApiError(45080)
    if command == "Typing" and contact.typing_until > now:
        raise ApiError(45081)
    contact.typing_until = now + TYPING_SECONDS if command == "Typing" else 0.0
    return OK


def _text(call: ApiCall, branch: Fields) -> Fields:
    content = branch.get("content")
    if not isinstance(content, str) or not content:
        raise ApiError(44004)
    if len(content.encode()) > TEXT_BYTES:
        raise ApiError(45002)
    return {"text": content}


def _file(call: ApiCall, branch: Fields) -> Fields:
    found = media.find(call, branch.get("media_id"))
    url_field = "image_url" if found.type == "image" else "media_url"
    return {"media_id": found.media_id, url_field: media_url(call.account, found.media_id)}


def _video(call: ApiCall, branch: Fields) -> Fields:
    words = {"title": branch.get("title"), "text": branch.get("description")}
    return _file(call, branch) | words


def _music(call: ApiCall, branch: Fields) -> Fields:
    thumb = media.find(call, branch.get("thumb_media_id"))
    return {
        "title": branch.get("title"),
        "text": branch.get("description"),
        "url": branch.get("musicurl"),
        "image_url": media_url(call.account, thumb.media_id),
    }


def _news(call: ApiCall, branch: Fields) -> Fields:
    articles = branch.get("articles")
    if not isinstance(articles, list) or not articles:
        raise ApiError(44003)
    if len(articles) > 1:
        raise ApiError(45008)
    article = articles[0]
    shown = {name: article.get(name) for name in ("title", "description", "url")}
    return {"articles": [shown | {"image_url": article.get("picurl")}]}


def _menu(call: ApiCall, branch: Fields) -> Fields:
    items = branch.get("list")
    if not isinstance(items, list) or not items:
        raise ApiError(40035, "list")
    choices = [{"id": each.get("id"), "text": each.get("content")} for each in items]
    head, tail = branch.get("head_content", ""), branch.get("tail_content", "")
    return {"text": head, "choices": choices, "tail": tail}


def _mini_program(call: ApiCall, branch: Fields) -> Fields:
    thumb = media.find(call, branch.get("thumb_media_id"))
    return {
        "title": branch.get("title"),
        "url": branch.get("pagepath"),
        "image_url": media_url(call.account, thumb.media_id),
    }


def _reference(call: ApiCall, branch: Fields) -> Fields:
    """Articles and cards live elsewhere; the chat shows which one it is."""
    return {"text": next((str(value) for value in branch.values()), "")}


_READERS: dict[str, Callable[[ApiCall, Fields], Fields]] = {
    "text": _text,
    "image": _file,
    "voice": _file,
    "video": _video,
    "music": _music,
    "news": _news,
    "msgmenu": _menu,
    "miniprogrampage": _mini_program,
    "mpnews": _reference,
    "mpnewsarticle": _reference,
    "wxcard": _reference,
}
