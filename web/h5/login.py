"""Signing in through WeChat: silently for the openid, with consent for a nickname and a picture.

What began in a browser ends in it: a cookie, signed and ten minutes old at most, holds the nonce that `state` repeats
under our signature, and the page to come back to, which is always one of the same account's. A nonce begins one session
ever. A snapshot visitor is shown a public page and gets neither session nor binding.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Response, current_app, flash, make_response, redirect, render_template, request
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy.orm import Session

from domain import avatars, members, orders, sessions
from domain.errors import Invalid, NotFound
from domain.secrets import short_digest
from domain.sessions import UsedAlready
from web.current import context
from web.h5.arriving import (
    Page,
    blueprint,
    cookie_name,
    here,
    is_in_wechat,
    outside,
    page_url,
    read,
    transact,
)
from wechat import api, oauth
from wechat.client import PlatformClient
from wechat.errors import WeChatError
from wechat.oauth import CodeRefused, Grant, GrantExpired, Profile

STATE_SECONDS: Final = 600
"""How long somebody may look at WeChat's page of consent."""
_NONCE: Final = 32
_MAC: Final = 32


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way, as the browser's cookie tells it. `to` is a path of this account's pages."""

    nonce: str
    to: str
    scope: str


# --- leaving for WeChat ---------------------------------------------------------------------------------------------


def start(to: str, scope: str = oauth.BASE) -> Response:
    """Send the browser to WeChat's page; it comes back to `to`."""
    nonce = secrets.token_hex(_NONCE // 2)
    back = page_url("callback")
    address = oauth.authorize_url(_client(), back, nonce + _mac(nonce), scope=scope)
    response = make_response(redirect(address))
    value = {"n": nonce, "to": own_path(to), "s": scope, "at": int(here().now.timestamp())}
    _set(response, _login_cookie(nonce), str(_serializer().dumps(value)), STATE_SECONDS)
    return response


def own_path(wanted: str) -> str:
    """`wanted` if it is a page of this account, else the account's first page: nobody is sent anywhere else."""
    root = here().root + "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:  # brackets that do not match
        return root
    plain = wanted.isprintable() and "\\" not in wanted and ".." not in parts.path
    if parts.scheme or parts.netloc or not plain or not parts.path.startswith(root):
        return root
    return wanted


@blueprint.get("/login/start")
def login() -> Page:
    """登录: from a link on a page; `to` is where to come back to."""
    return start(request.args.get("to", "")) if is_in_wechat() else outside()


# --- coming back ----------------------------------------------------------------------------------------------------


@blueprint.get("/login")
def callback() -> Page:
    """WeChat sends the browser here with `code` and `state`. Opened again, it leads on kindly and changes nothing."""
    begun = _begun(request.args.get("state", ""))
    code = request.args.get("code", "")
    if begun is None:
        return _led_on()
    if not code:
        return _again("h5.login.refused", 403)
    try:
        return _came_back(begun, code)
    except (CodeRefused, GrantExpired, UsedAlready):
        return _led_on()
    except WeChatError as error:
        current_app.logger.warning("sign-in at %s: %s", here().account.slug, error)
        return _again("h5.login.away", 503)


def _came_back(begun: Begun, code: str) -> Page:
    account = here().account
    grant = oauth.exchange(_client(), account.app_secret, code)
    if grant.is_snapshot:
        response = make_response(render_template("h5/snapshot.html"))
        response.delete_cookie(_login_cookie(begun.nonce), path=f"{here().root}/")
        return response
    follower = _follower(grant)
    told = oauth.profile(_client(), grant) if begun.scope == oauth.USERINFO else None
    replaces = request.cookies.get(cookie_name(account.slug)) or None

    def work(session: Session) -> str:
        if follower is not None:
            _join(session, follower, here().now)
        if told is not None:
            _learn(session, told, begun.nonce)
        return sessions.begin(
            session, account.id, grant.openid, login_nonce=begun.nonce, replaces=replaces, now=here().now
        )  # fmt: skip

    token = transact(work)
    response = make_response(redirect(begun.to))
    _set(response, cookie_name(account.slug), token, int(sessions.LIFETIME.total_seconds()))
    response.delete_cookie(_login_cookie(begun.nonce), path=f"{here().root}/")
    return response


def _begun(state: str) -> Begun | None:
    """The sign-in that this browser began with this state; None for any other."""
    nonce, mac = state[:_NONCE], state[_NONCE:]
    if not state.isascii() or not hmac.compare_digest(mac, _mac(nonce)):
        return None
    try:
        value: dict[str, Any] = _serializer().loads(request.cookies.get(_login_cookie(nonce), ""))
    except BadSignature:
        return None
    fresh = here().now.timestamp() - value["at"] <= STATE_SECONDS
    if value["n"] != nonce or not fresh:
        return None
    return Begun(nonce, own_path(value["to"]), value["s"])


def _led_on() -> Page:
    """A callback that leads nowhere (reloaded, opened from the history, or somebody else's): who is signed in goes on,
    others may begin again by a tap. Never by itself: a browser without cookies would go round for ever."""
    if here().visitor is not None:
        return redirect(f"{here().root}/")
    return _again("h5.login.stale", 400)


def _again(text_key: str, status: int) -> Page:
    return render_template("h5/login_again.html", said=here().words(text_key)), status


# --- who came -------------------------------------------------------------------------------------------------------


def _follower(grant: Grant) -> api.Follower | None:
    """What WeChat says of somebody who is no member, if they follow: they followed before we were installed, or their
    push was lost. Nobody else becomes a member by opening a page."""
    account_id = here().account.id
    known = read(lambda session: members.find(session, account_id, grant.openid))
    if known is not None:
        return None
    try:
        told = api.user_info(_client(), grant.openid)
    except WeChatError as error:
        current_app.logger.warning("is a visitor a follower: %s", error)
        return None
    return told if told.subscribed else None


def _join(session: Session, follower: api.Follower, now: datetime) -> None:
    """The same as a follow that was pushed, with the orders that waited."""
    account, since = here().account, follower.subscribed_at or now
    touch = members.follow(
        session, account, follower.openid, scene_code=None, created=int(since.astimezone(UTC).timestamp()),
        push_key=f"h5-join-{short_digest(follower.openid)}", now=now,
    )  # fmt: skip
    if follower.unionid is not None:
        members.set_unionid(session, touch.member_id, follower.unionid)
    member = members.get(session, account.id, follower.openid)
    orders.attach_waiting(session, account, member, now)


def _learn(session: Session, told: Profile, nonce: str) -> None:
    """The name the visitor let us know, and their picture, which a job fetches; a name that cannot be shown is left
    out, and the picture with it."""
    account_id = here().account.id
    try:
        name = members.set_nickname(session, account_id, told.openid, told.nickname)
    except (Invalid, NotFound):
        return
    member = members.get(session, account_id, told.openid)
    avatars.ask(session, member, told.picture_url, nonce, here().now)
    flash(here().words("nickname.done", name=name))


# --- leaving --------------------------------------------------------------------------------------------------------


@blueprint.post("/logout")
def logout() -> Page:
    """退出: this browser is nobody any more."""
    account, token = here().account, request.cookies.get(cookie_name(here().account.slug), "")
    transact(lambda session: sessions.end(session, account.id, token, here().now))
    response = make_response(redirect(f"{here().root}/welcome"))
    response.delete_cookie(cookie_name(account.slug), path=f"{here().root}/")
    return response


# --- shared ---------------------------------------------------------------------------------------------------------


def _client() -> PlatformClient:
    return context().platform(here().account)


def _mac(nonce: str) -> str:
    """Our signature under a nonce, for this account."""
    key, signed = context().keyring.session_key, f"h5-state {here().account.id} {nonce}"
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()[:_MAC]


def _login_cookie(nonce: str) -> str:
    """One for each sign-in under way: two pages may be opened at once."""
    return f"banyan_login_{nonce[:8]}"


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(
        context().keyring.session_key.hex(), salt=f"h5-login-{here().account.id}"
    )


def _set(response: Response, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name, value, max_age=seconds, path=f"{here().root}/", httponly=True, samesite="Lax",
        secure=context().settings.server.public_url.startswith("https://"),
    )  # fmt: skip
