"""The calls we make, typed. Each takes the client first and answers with a small frozen object, or
raises a WeChatError.

Every call may raise Retryable, QuotaExceeded, TokenRejected or AccountMisconfigured; the docstrings
name the refusals that belong to the call. Quota figures are in `wechat.quota`.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, Refused, Retryable, WeChatError
from wechat.formatting import template_data
from wechat.menu import InvalidMenuError, menu_problems

MediaKind = Literal["image", "voice", "video", "thumb"]

LONGEST_EXPIRY_SECONDS = 2_592_000  # 30 days
LONGEST_SCENE = 64
USERS_PER_CALL = 100
MEDIA_LIFETIME = timedelta(days=3)
MEDIA_BYTES: Mapping[str, int] = {
    "image": 10 * 1024 * 1024,
    "voice": 2 * 1024 * 1024,
    "video": 10 * 1024 * 1024,
    "thumb": 64 * 1024,
}

_NO_MENU = 46003


@dataclass(frozen=True, slots=True)
class QRCode:
    """A parametric QR code. `url` is what the code says, so it can be drawn without asking for the
    image.
    """

    ticket: str
    url: str
    expire_seconds: int | None  # None: permanent


@dataclass(frozen=True, slots=True)
class Menu:
    """The menu in force, buttons as WeChat writes them."""

    buttons: tuple[Mapping[str, Any], ...]
    conditional: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Media:
    """An uploaded temporary file, usable until `expires_at` (UTC)."""

    kind: str
    media_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Follower:
    """What WeChat tells about a user. Without `subscribed` only the openid is known."""

    openid: str
    subscribed: bool
    subscribed_at: datetime | None
    unionid: str | None
    remark: str
    tag_ids: tuple[int, ...]
    subscribe_scene: str
    qr_scene: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template of this account; `content` holds its fields as `{{thing1.DATA}}`."""

    template_id: str
    title: str
    content: str
    example: str


@dataclass(frozen=True, slots=True)
class Quota:
    """WeChat's own count for one API. The rate is None where WeChat names none."""

    path: str
    daily_limit: int
    used: int
    remain: int
    rate_count: int | None
    rate_seconds: int | None


@dataclass(frozen=True, slots=True)
class Article:
    """A linked card of a customer-service message."""

    title: str
    description: str
    url: str
    picture_url: str


def create_qrcode(client: PlatformClient, scene: str, *, expire_seconds: int | None) -> QRCode:
    """A QR code carrying `scene` (1 to 64 characters): temporary for up to 30 days, or permanent
    with None.

    An account has 100 000 permanent codes in its life. 40052, 40053.
    https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
    """
    if not 0 < len(scene) <= LONGEST_SCENE:
        raise ValueError(f"a scene has 1 to {LONGEST_SCENE} characters")
    body: dict[str, Any] = {
        "action_name": "QR_LIMIT_STR_SCENE",
        "action_info": {"scene": {"scene_str": scene}},
    }
    if expire_seconds is not None:
        if not 0 < expire_seconds <= LONGEST_EXPIRY_SECONDS:
            raise ValueError(f"a temporary code lives 1 to {LONGEST_EXPIRY_SECONDS} seconds")
        body |= {"action_name": "QR_STR_SCENE", "expire_seconds": expire_seconds}
    path = "/cgi-bin/qrcode/create"
    answer = client.post(path, data=body)
    expires = None if expire_seconds is None else _number(answer, "expire_seconds", path)
    return QRCode(text_in(answer, "ticket", path), text_in(answer, "url", path), expires)


def fetch_qrcode_image(client: PlatformClient, ticket: str) -> bytes:
    """The JPEG of a ticket. Refused (HTTP 404) when the ticket is wrong or over.

    https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
    """
    return client.download(f"{client.mp_base}/cgi-bin/showqrcode", ticket=ticket)


def create_menu(client: PlatformClient, buttons: Sequence[Mapping[str, Any]]) -> None:
    """Replace the account's menu; phones show it within five minutes.

    InvalidMenuError before anything is sent when `wechat.menu.menu_problems` finds any; 40016 to
    40055 from WeChat.
    https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu
    """
    problems = menu_problems(buttons)
    if problems:
        raise InvalidMenuError("; ".join(map(str, problems)), problems=problems)
    client.post("/cgi-bin/menu/create", data={"button": list(buttons)})


def find_menu(client: PlatformClient) -> Menu | None:
    """The menu made over the API, or None when there is none (46003).

    https://developers.weixin.qq.com/doc/service/api/custommenu/api_getmenu
    """
    path = "/cgi-bin/menu/get"
    try:
        answer = client.get(path)
    except Refused as error:
        if error.errcode == _NO_MENU:
            return None
        raise
    menu = answer.get("menu")
    if not isinstance(menu, dict):
        raise Retryable("the answer holds no menu", path=path)
    return Menu(tuple(menu.get("button") or ()), tuple(answer.get("conditionalmenu") or ()))


def delete_menu(client: PlatformClient) -> None:
    """Remove the menu, every conditional menu included.

    https://developers.weixin.qq.com/doc/service/api/custommenu/api_deletemenu
    """
    client.get("/cgi-bin/menu/delete")


def upload_media(client: PlatformClient, kind: MediaKind, content: bytes, filename: str) -> Media:
    """Upload a temporary file; its media_id lives three days. 40004 type, 40005, 40006, 41005,
    44001.

    `filename` tells WeChat the format (poster.png); it must be ASCII.
    https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia
    """
    if not 0 < len(content) <= MEDIA_BYTES[kind]:
        raise ValueError(f"a {kind} has 1 to {MEDIA_BYTES[kind]} bytes")
    if not filename.isascii():
        raise ValueError("WeChat mangles file names that are not ASCII")
    content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    path = "/cgi-bin/media/upload"
    answer = client.post(
        path, params={"type": kind}, files={"media": (filename, content, content_type)}
    )
    # A thumb is answered with thumb_media_id.
    media_id = text_in(answer, "thumb_media_id" if "thumb_media_id" in answer else "media_id", path)
    created_at = datetime.fromtimestamp(_number(answer, "created_at", path), UTC)
    return Media(str(answer.get("type", kind)), media_id, created_at + MEDIA_LIFETIME)


def send_template(
    client: PlatformClient,
    openid: str,
    template_id: str,
    data: Mapping[str, str],
    *,
    url: str | None = None,
    client_msg_id: str | None = None,
) -> int:
    """Send a template message; answers with WeChat's msgid, which TEMPLATESENDJOBFINISH will name.

    `data` maps field names to text, which is clipped to what is shown. Calls with the same openid
    and `client_msg_id` within ten minutes send one message: give it whenever the call might be
    repeated. RecipientRefused for 40003 and 43004; Refused for 40036, 40037, 40039, 40249
    (marketing), 43116 (template restricted), 47003 (a field is invalid).
    https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage
    """
    body: dict[str, Any] = {
        "touser": openid,
        "template_id": template_id,
        "data": template_data(data),
    }
    if url:
        body["url"] = url
    if client_msg_id:
        body["client_msg_id"] = client_msg_id
    path = "/cgi-bin/message/template/send"
    return _number(client.post(path, data=body), "msgid", path, OutcomeUnknown)


def send_custom_text(client: PlatformClient, openid: str, content: str) -> None:
    """Send a customer-service text inside the reply window.

    RecipientRefused for 40003, 45015 (window closed), 45047 (too many), 70000; Refused for 45008
    and others.
    https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
    """
    _send_custom(client, openid, "text", {"content": content})


def send_custom_image(client: PlatformClient, openid: str, media_id: str) -> None:
    """Send an uploaded picture inside the reply window; errors as `send_custom_text`, and 40007
    (media_id).

    https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
    """
    _send_custom(client, openid, "image", {"media_id": media_id})


def send_custom_news(client: PlatformClient, openid: str, article: Article) -> None:
    """Send a linked card inside the reply window (WeChat takes exactly one); errors as
    `send_custom_text`.

    https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
    """
    card = {
        "title": article.title,
        "description": article.description,
        "url": article.url,
        "picurl": article.picture_url,
    }
    _send_custom(client, openid, "news", {"articles": [card]})


def user_info(client: PlatformClient, openid: str) -> Follower:
    """What WeChat tells about one user. RecipientRefused for 40003.

    https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_userinfo
    """
    path = "/cgi-bin/user/info"
    return _follower(client.get(path, params={"openid": openid, "lang": "zh_CN"}), path)


def users_info(client: PlatformClient, openids: Sequence[str]) -> list[Follower]:
    """The same for up to 100 users in one call. 40032 (too many), 40003.

    https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_batchuserinfo
    """
    if not 0 < len(openids) <= USERS_PER_CALL:
        raise ValueError(f"1 to {USERS_PER_CALL} users in one call")
    path = "/cgi-bin/user/info/batchget"
    body = {"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]}
    return [
        _follower(user, path)
        for user in _list(client.post(path, data=body), "user_info_list", path)
    ]


def list_templates(client: PlatformClient) -> list[Template]:
    """The templates this account has chosen (at most 25).

    https://developers.weixin.qq.com/doc/service/api/notify/template/api_getalltemplates
    """
    path = "/cgi-bin/template/get_all_private_template"
    return [
        Template(
            text_in(template, "template_id", path),
            str(template.get("title", "")),
            str(template.get("content", "")),
            str(template.get("example", "")),
        )
        for template in _list(client.get(path), "template_list", path)
    ]


def quota_get(client: PlatformClient, api_path: str) -> Quota:
    """WeChat's own count of `api_path` ("/cgi-bin/…") today; the client's meter takes it over.

    Refused for 76021 (no such path), 76022 (not ours to ask), 76003 (no leading slash).
    https://developers.weixin.qq.com/doc/service/api/apimanage/api_getapiquota
    """
    path = "/cgi-bin/openapi/quota/get"
    answer = client.post(path, data={"cgi_path": api_path})
    figures = answer.get("quota")
    if not isinstance(figures, dict):
        raise Retryable("the answer holds no quota", path=path)
    rate = answer.get("rate_limit")
    rate = rate if isinstance(rate, dict) else {}
    quota = Quota(
        path=api_path,
        daily_limit=_number(figures, "daily_limit", path),
        used=_number(figures, "used", path),
        remain=_number(figures, "remain", path),
        rate_count=_number(rate, "call_count", path) if "call_count" in rate else None,
        rate_seconds=_number(rate, "refresh_second", path) if "refresh_second" in rate else None,
    )
    client.quota.learn(api_path, quota.daily_limit, quota.used)
    return quota


def get_callback_ip(client: PlatformClient) -> list[str]:
    """The addresses and networks WeChat's pushes come from; they change, so ask daily.

    https://developers.weixin.qq.com/doc/service/api/base/api_getcallbackip
    """
    path = "/cgi-bin/getcallbackip"
    return [str(address) for address in _list(client.get(path), "ip_list", path)]


def _send_custom(
    client: PlatformClient, openid: str, kind: str, content: Mapping[str, Any]
) -> None:
    client.post(
        "/cgi-bin/message/custom/send", data={"touser": openid, "msgtype": kind, kind: content}
    )


def _follower(user: Any, path: str) -> Follower:
    if not isinstance(user, dict):
        raise Retryable("the answer holds something else than users", path=path)
    subscribed = bool(user.get("subscribe"))
    return Follower(
        openid=text_in(user, "openid", path),
        subscribed=subscribed,
        subscribed_at=datetime.fromtimestamp(_number(user, "subscribe_time", path), UTC)
        if subscribed
        else None,
        unionid=str(user["unionid"]) if user.get("unionid") else None,
        remark=str(user.get("remark", "")),
        tag_ids=tuple(int(tag) for tag in user.get("tagid_list") or ()),
        subscribe_scene=str(user.get("subscribe_scene", "")),
        qr_scene=str(user.get("qr_scene_str") or user.get("qr_scene") or ""),
    )


def text_in(answer: Mapping[str, Any], name: str, path: str) -> str:
    """The text of this name that an answer has to hold; raises `Retryable` when it does not."""
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise Retryable(f"the answer holds no {name}", path=path)
    return value


def _number(
    answer: Mapping[str, Any], name: str, path: str, otherwise: type[WeChatError] = Retryable
) -> int:
    try:
        return int(answer[name])
    except (KeyError, TypeError, ValueError):
        problem = otherwise(f"the answer holds no valid {name}", path=path)
    raise problem


def _list(answer: Mapping[str, Any], name: str, path: str) -> list[Any]:
    value = answer.get(name)
    if not isinstance(value, list):
        raise Retryable(f"the answer holds no {name}", path=path)
    return value
