"""Who opens a page of which account: read once a request, before any view; web/h5/guards.py says who may see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import segno
from flask import Blueprint, Response, abort, g, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from domain import accounts, sessions, texts
from domain.accounts import OpenAccount
from domain.sessions import Visitor
from domain.texts import Words
from web import pages
from web.current import context
from wechat.shared import Shared

PREFIX: Final = "/m"
COOKIE: Final = "banyan_m_{slug}"
MINUTE: Final = 60

blueprint = Blueprint("h5", __name__, url_prefix=f"{PREFIX}/<slug>")

Page: TypeAlias = str | tuple[str, int] | Response | AnyResponse
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Here:
    """The account whose page is open, its words, and who looks at it (None: nobody who is signed in)."""

    account: OpenAccount
    words: Words
    visitor: Visitor | None
    now: datetime

    @property
    def root(self) -> str:
        """The path of the account's pages, without the slash at its end."""
        return f"{PREFIX}/{self.account.slug}"


def _bridge_host() -> str:
    """The one host besides ours whose script may run: that of the JS-SDK."""
    parts = urlsplit(context().settings.wechat.jssdk_url)
    return f"{parts.scheme}://{parts.netloc}"


def _frames() -> str:
    """Pages are never framed, except by the phones of a demonstration."""
    return context().settings.demo.simulator_url or "'none'"


pages.protect(blueprint, scripts=_bridge_host, frames=_frames)


@blueprint.url_value_preprocessor
def _take_slug(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.slug = (values or {}).pop("slug", "")


@blueprint.url_defaults
def _give_slug(_endpoint: str, values: dict[str, Any]) -> None:
    values.setdefault("slug", g.get("slug", ""))


@blueprint.before_request
def _arrive() -> None:
    slug, now, keyring = g.slug, context().clock.now(), context().keyring
    token = request.cookies.get(cookie_name(slug), "")

    def read(session: Session) -> Here:
        account = accounts.unseal(accounts.get(session, slug), keyring)
        visitor = sessions.find(session, account.id, token, now) if token else None
        member = None if visitor is None else visitor.member
        language = (member.lang if member else "") or account.settings.language
        return Here(account, texts.words_of(session, account.id)[language], visitor, now)

    g.here = context().database.read(read)
    g.language = "en" if g.here.words.lang == texts.EN else "zh"


@blueprint.context_processor
def _for_templates() -> dict[str, Any]:
    """`w` says a sentence in the account's words, `here` is who and where; an unknown account has neither."""
    if "here" not in g:
        return {}
    return {"w": here().words, "here": here(), "jssdk_url": context().settings.wechat.jssdk_url}


def here() -> Here:
    """The request's account and visitor."""
    found: Here = g.here
    return found


def cookie_name(slug: str) -> str:
    """The cookie by which a browser is known to one account; its path is that account's pages."""
    return COOKIE.format(slug=slug)


def transact(work: Callable[[Session], T]) -> T:
    """The one transaction of a request."""
    return context().database.transact(work)


def read(work: Callable[[Session], T]) -> T:
    """A plain read."""
    return context().database.read(work)


# --- where they are -------------------------------------------------------------------------------------------------


def is_in_wechat() -> bool:
    """Whether the browser is WeChat's; in a demonstration every browser is a phone."""
    in_demo = context().settings.demo.simulator_url is not None
    return in_demo or "micromessenger" in request.user_agent.string.lower()


def outside() -> Page:
    """请在微信中打开: the address as a code that WeChat can scan."""
    address = context().settings.server.public_url + request.full_path.rstrip("?")
    return render_template("h5/outside.html", code=drawn(address)), 403


def drawn(text: str) -> str:
    """A QR code as a data address for an <img>: WeChat reads it when it is pressed."""
    return str(segno.make(text, error="m").png_data_uri(scale=8, border=2))


# --- limits ---------------------------------------------------------------------------------------------------------


def limit(what: str, per_minute: int) -> None:
    """Stop a visitor who does this more often than a person would: 429. Without Redis nobody is stopped."""
    visitor = here().visitor
    who = visitor.openid if visitor is not None else "nobody"
    minute = int(here().now.timestamp()) // MINUTE
    key = f"h5:{here().account.id}:{what}:{who}:{minute}"

    def count(client: Any) -> int:
        number = int(client.incr(key))
        if number == 1:
            client.expire(key, 2 * MINUTE)
        return number

    if Shared(context().redis).ask(count, 0) > per_minute:
        abort(429)


def page_url(endpoint: str, **values: Any) -> str:
    """The full address of one of the account's pages, as phones reach it."""
    return context().settings.server.public_url + url_for(f"h5.{endpoint}", **values)
