"""Web login: from a visitor's browser, through WeChat's page, to an openid.

Nothing here is kept between two calls: one object shared by threads would mix up visitors. `state` is made and checked
by the caller, who knows the browser; it is quoted here.

https://developers.weixin.qq.com/doc/service/guide/h5/auth.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from wechat.client import PlatformClient
from wechat.errors import Refused, Retryable, TokenRejected, WeChatError

BASE: Final = "snsapi_base"
"""Silent: the openid and nothing else."""
USERINFO: Final = "snsapi_userinfo"
"""Nickname and picture, which a visitor is asked for."""
SCOPES: Final = (BASE, USERINFO)

_CODE_REFUSED: Final = frozenset(
    {
        40029,  # no such code
        40163,  # the code was used
        41008,  # no code
        42003,  # the code has expired
    }
)
_TOKEN_PATH: Final = "/sns/oauth2/access_token"  # noqa: S105 - a path
_USERINFO_PATH: Final = "/sns/userinfo"


class CodeRefused(Refused):
    """The code is unknown (40029), used (40163), missing (41008) or older than five minutes (42003): the visitor has
    to pass WeChat's page again."""


class GrantExpired(Refused):
    """The visitor's own token is not good any more (40001, 40014, 42001): they have to pass WeChat's page again."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code was exchanged for. `is_snapshot`: a visitor of WeChat's snapshot mode, whose openid is made up and
    must never be bound to anything. `unionid` comes with `snsapi_userinfo` only."""

    openid: str
    scope: str
    is_snapshot: bool
    unionid: str | None
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a visitor let us know. `nickname` is whatever they typed; `picture_url` may be empty."""

    openid: str
    nickname: str
    picture_url: str
    unionid: str | None


def authorize_url(
    client: PlatformClient, redirect_uri: str, state: str, *, scope: str = BASE
) -> str:
    """The address of WeChat's page that sends the browser back to `redirect_uri` with `code` and `state`.

    Parameters stand in the documented order, which WeChat asks for. The host of `redirect_uri` must be the account's
    web domain, else the page says 10003. `state` has up to 128 letters and digits.
    """
    if scope not in SCOPES:
        raise ValueError(f"no such scope: {scope}")
    if not (0 < len(state) <= 128 and state.isascii() and state.isalnum()):
        raise ValueError("a state has 1 to 128 letters and digits")
    query = urlencode(
        {
            "appid": client.appid,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": scope,
            "state": state,
        }
    )
    return f"{client.open_base}/connect/oauth2/authorize?{query}#wechat_redirect"


def exchange(client: PlatformClient, secret: str, code: str) -> Grant:
    """Who is behind a code; it works once. `secret` is the AppSecret.

    CodeRefused for 40029, 40163, 41008 and 42003; AccountMisconfigured for 40013 and 40125.
    https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsaccesstoken
    """
    params = {
        "appid": client.appid,
        "secret": secret,
        "code": code,
        "grant_type": "authorization_code",
    }
    answer = _asked(client, _TOKEN_PATH, params, secret)
    return Grant(
        openid=_text(answer, "openid", _TOKEN_PATH),
        scope=str(answer.get("scope", "")),
        is_snapshot=str(answer.get("is_snapshotuser", "0")) == "1",
        unionid=_maybe(answer, "unionid"),
        access_token=_text(answer, "access_token", _TOKEN_PATH),
    )


def profile(client: PlatformClient, grant: Grant) -> Profile:
    """Nickname and picture, after `snsapi_userinfo`. Refused for 48001 (the scope was snsapi_base); GrantExpired.

    https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsuserinfo
    """
    params = {"access_token": grant.access_token, "openid": grant.openid, "lang": "zh_CN"}
    answer = _asked(client, _USERINFO_PATH, params, grant.access_token)
    openid = _text(answer, "openid", _USERINFO_PATH)
    if openid != grant.openid:
        raise Retryable("the answer is about somebody else", path=_USERINFO_PATH)
    return Profile(
        openid=openid,
        nickname=str(answer.get("nickname", "")),
        picture_url=str(answer.get("headimgurl") or ""),
        unionid=_maybe(answer, "unionid"),
    )


def _asked(
    client: PlatformClient, path: str, params: dict[str, str], secret: str
) -> dict[str, Any]:
    """The answer; refusals that speak of the visitor's code or token are errors of this module."""
    try:
        return client.ask(path, params)
    except WeChatError as error:
        kind: type[WeChatError] | None = None
        if error.errcode in _CODE_REFUSED:
            kind = CodeRefused
        elif isinstance(error, TokenRejected):
            kind = GrantExpired
        if kind is None:
            raise
        message = (str(error.args[0]) if error.args else "").replace(secret, "***")
        translated = kind(message, errcode=error.errcode, path=path, rid=error.rid)
    raise translated


def _text(answer: dict[str, Any], name: str, path: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise Retryable(f"the answer holds no {name}", path=path)
    return value


def _maybe(answer: dict[str, Any], name: str) -> str | None:
    return str(answer[name]) if answer.get(name) else None
