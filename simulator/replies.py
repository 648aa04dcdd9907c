"""Passive replies: what the callback answers to a push, and how it looks in the chat.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html
"""

from collections.abc import Callable
from typing import Any

from simulator import envelope
from simulator.envelope import MalformedError
from simulator.state import Account, Contact, World

TEXT_BYTES = 2048
ARTICLES_TO_A_MESSAGE = 1
ARTICLES_TO_AN_EVENT = 8


def read(account: Account, contact: Contact, body: str, to_message: bool) -> dict[str, Any] | None:
    """The reply in the body: None for an empty one or `success`; MalformedError for what a phone cannot show."""
    if body in ("", "success"):
        return None
    fields = _opened(account, envelope.parse(body))
    if fields.get("ToUserName") != contact.openid or fields.get("FromUserName") != account.gh_id:
        raise MalformedError("ToUserName and FromUserName are not swapped")
    kind = str(fields.get("MsgType"))
    reader = _READERS.get(kind)
    if reader is None:
        raise MalformedError(f"unknown MsgType {kind!r}")
    reply = {"type": kind} | reader(account, fields)
    if kind == "news":
        limit = ARTICLES_TO_A_MESSAGE if to_message else ARTICLES_TO_AN_EVENT
        reply["articles"] = reply["articles"][:limit]
    return reply


def show(world: World, account: Account, contact: Contact, reply: dict[str, Any] | None) -> None:
    """Put the reply into the chat; nobody sees anything of a hand-over to customer service."""
    if reply is not None and reply["type"] != "transfer_customer_service":
        content = {name: value for name, value in reply.items() if name != "type"}
        world.add_message(contact, "account", reply["type"], **content)


def media_url(account: Account, media_id: str) -> str:
    """Where the simulator serves an uploaded file to its own pages."""
    return f"/_sim/media/{account.app_id}/{media_id}"


def media_content(account: Account, media_id: object) -> dict[str, Any]:
    """The chat fields of an uploaded file; MalformedError when the account has no such file."""
    if media_id not in account.media:
        raise MalformedError(f"no media {media_id!r}")
    media = account.media[str(media_id)]
    url_field = "image_url" if media.type in ("image", "thumb") else "media_url"
    return {"media_id": media.media_id, url_field: media_url(account, media.media_id)}


def _opened(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    """Take the reply out of its envelope; in safe mode there must be one."""
    if account.mode == "plain" or (account.mode == "compatible" and "Encrypt" not in fields):
        return fields
    parts = [str(fields.get(name, "")) for name in ("TimeStamp", "Nonce", "Encrypt")]
    if envelope.sign(account.token, *parts) != fields.get("MsgSignature"):
        raise MalformedError("MsgSignature is missing or wrong")
    return envelope.parse(envelope.decrypt(parts[2], account.aes_key, account.app_id))


def _text(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    content = fields.get("Content")
    if not isinstance(content, str):
        raise MalformedError("a text without Content")
    if len(content.encode()) > TEXT_BYTES:
        raise MalformedError(f"Content is longer than {TEXT_BYTES} bytes")
    return {"text": content}


def _image(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    return media_content(account, _branch(fields, "Image").get("MediaId"))


def _voice(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    return media_content(account, _branch(fields, "Voice").get("MediaId"))


def _video(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    video = _branch(fields, "Video")
    words = {"title": video.get("Title"), "text": video.get("Description")}
    return media_content(account, video.get("MediaId")) | words


def _music(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    music = _branch(fields, "Music")
    thumb = media_content(account, music.get("ThumbMediaId"))
    return {
        "title": music.get("Title"),
        "text": music.get("Description"),
        "url": music.get("MusicUrl"),
        "image_url": thumb["image_url"],
    }


def _news(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    items = _branch(fields, "Articles").get("item") or []
    items = items if isinstance(items, list) else [items]
    if not items or str(fields.get("ArticleCount")) != str(len(items)):
        raise MalformedError("ArticleCount is not the number of articles")
    return {"articles": [_article(item) for item in items]}


def _article(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": item.get("Title"),
        "description": item.get("Description"),
        "image_url": item.get("PicUrl"),
        "url": item.get("Url"),
    }


def _transfer(account: Account, fields: dict[str, Any]) -> dict[str, Any]:
    info = fields.get("TransInfo")
    return {"kf_account": info.get("KfAccount") if isinstance(info, dict) else None}


def _branch(fields: dict[str, Any], name: str) -> dict[str, Any]:
    branch = fields.get(name)
    if not isinstance(branch, dict):
        raise MalformedError(f"no {name}")
    return branch


_READERS: dict[str, Callable[[Account, dict[str, Any]], dict[str, Any]]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "music": _music,
    "news": _news,
    "transfer_customer_service": _transfer,
}
