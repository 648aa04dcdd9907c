"""What all pages share, H5 and console alike: Bootstrap from its package, CSRF, headers, errors in words, filters.

A folder of pages makes its blueprint safe with `protect(blueprint)`: every POST needs a CSRF token, no script or style
but our own files runs, nothing is cached or framed, and errors are pages instead of JSON. Templates extend
`page.html`, say everything in two languages with `t("中文", "English")`, and need no inline style or script.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final

from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    current_app,
    g,
    make_response,
    render_template,
    request,
    url_for,
)
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from context import Context
from domain.china import CHINA
from domain.errors import DomainError
from domain.money import percent, yuan

STATIC: Final = Path(__file__).parent / "static"
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of a request: another system's tables (30 MB) are the most that anybody sends. A form is parsed before it is known
who sends it, files to the disk, and a body need not say how long it is."""
PREFIXES: Final = ("/console", "/m/")
"""Where errors are pages, also for an address that no view answers."""

blueprint = Blueprint(
    "pages",
    __name__,
    static_folder="static",
    static_url_path="/static",
    template_folder="templates",
)
csrf: Final = CSRFProtect()

_ERRORS: Final = {
    400: ("这个请求不完整，请返回上一页再试一次。", "The request is not complete. Go back and try again."),
    401: ("请先登录。", "Please sign in."),
    403: ("您没有权限做这件事。", "You may not do this."),
    404: ("没有这个页面，或者您看不到它。", "There is no such page, or you may not see it."),
    405: ("这个地址不能这样打开。", "This address cannot be opened like that."),
    409: ("别人刚刚改过它，请刷新后再试。", "Somebody has just changed it. Reload and try again."),
    413: ("文件太大了。", "The file is too large."),
    422: ("有内容填得不对，请检查。", "Something is not filled in correctly. Please check it."),
    429: ("操作太频繁，请稍后再试。", "Too many requests. Please try again later."),
    503: ("系统有点忙，请过一会儿再试，什么都没有改变。", "We are busy. Nothing was changed; please try again."),
}  # fmt: skip
_BUG: Final = (
    "我们这边出了问题，已经记录下来。",
    "Something went wrong on our side. It has been noted.",
)


class PageSessions(SecureCookieSessionInterface):
    """Flask's signed cookie for pages only: pushes and API calls have none, and need not look for one."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return super().open_session(app, request) if request.path.startswith(PREFIXES) else None


Sources = Callable[[], str]


def register(app: Flask, context: Context) -> None:
    """Bootstrap, sessions and filters, once for the application."""
    app.session_interface = PageSessions()
    app.secret_key = context.keyring.session_key
    app.static_url_path = "/static"  # Bootstrap-Flask makes its own address from it
    app.config.update(
        SESSION_COOKIE_NAME="banyan_page",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=context.settings.server.public_url.startswith("https://"),
        MAX_CONTENT_LENGTH=MOST_BYTES,
        SEND_FILE_MAX_AGE_DEFAULT=3600,
        BOOTSTRAP_SERVE_LOCAL=True,
        WTF_CSRF_CHECK_DEFAULT=False,  # the signed API has no cookies; `protect` asks for the token where pages are
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a form may stay open over lunch
        WTF_CSRF_SSL_STRICT=False,  # behind a proxy the referrer's host is not ours to compare
    )
    Bootstrap5(app)
    csrf.init_app(app)
    app.before_request_funcs.pop(
        None
    )  # its check of every request, which `protect` does where pages are
    app.register_blueprint(blueprint)
    app.jinja_env.filters.update(
        yuan=grouped,
        typed_yuan=yuan,
        amount=amount,
        percent=percent,
        minute=minute,
        day=day,
        thousands=thousands,
    )
    app.jinja_env.globals.update(t=t, lang=language, static_url=static_url)


def protect(
    pages: Blueprint, *, scripts: Sources = lambda: "", frames: Sources = lambda: "'none'"
) -> None:
    """Make a blueprint of pages safe. `scripts` names hosts besides ours whose scripts may run, `frames` who may show
    the pages in a frame; both are asked in a request."""

    @pages.before_request
    def _check_csrf() -> None:
        csrf.protect()

    @pages.after_request
    def _headers(response: Response) -> Response:
        return _guarded(response, policy(scripts(), frames()))

    pages.register_error_handler(DomainError, of_domain)
    pages.register_error_handler(HTTPException, of_http)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        pages.register_error_handler(kind, _of_database)
    pages.register_error_handler(Exception, _of_bug)


def _guarded(response: Response, content_policy: str) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Content-Security-Policy"] = content_policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def policy(scripts: str = "", frames: str = "'none'") -> str:
    """The Content-Security-Policy of a page."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {scripts}".strip(),
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {frames}",
        )
    )


# --- errors ---------------------------------------------------------------------------------------------------------


def error_page(status: int, words: str | None = None) -> tuple[str, int]:
    """An error in words for people; `words` instead of the usual sentence."""
    chinese, english = _ERRORS.get(status, _BUG if status >= 500 else _ERRORS[400])
    said = words or t(chinese, english)
    home = re.match(r"/console/|/m/[^/]+/", request.path)
    return render_template("error.html", status=status, words=said, home=home and home[0]), status


def of_http(error: HTTPException) -> Response | tuple[str, int] | HTTPException:
    """What Flask or a view refused; redirects pass."""
    if error.response is not None or (error.code or 500) < HTTPStatus.BAD_REQUEST:
        return error
    return error_page(error.code or 500)


def of_domain(error: DomainError) -> tuple[str, int]:
    """A refusal of the domain that no view had words for."""
    current_app.logger.warning("%s: %s %s", error.code, error.message, error.details)
    return error_page(error.status)


def _of_database(error: Exception) -> tuple[str, int]:
    current_app.logger.error("database: %s", error)
    return error_page(HTTPStatus.SERVICE_UNAVAILABLE)


def _of_bug(error: Exception) -> tuple[str, int]:
    current_app.logger.exception("%s %s failed", request.method, request.path, exc_info=error)
    return error_page(HTTPStatus.INTERNAL_SERVER_ERROR)


def of_no_page(error: HTTPException) -> Response:
    """An address under `PREFIXES` that no view answers: no blueprint is asked, so the headers are set here."""
    return _guarded(make_response(of_http(error)), policy())


# --- words, figures, files ------------------------------------------------------------------------------------------


def language() -> str:
    """Of this page: "zh" or "en"; the folder's own code sets `g.language`."""
    return str(g.get("language", "zh"))


def t(chinese: str, english: str) -> str:
    """The sentence in the language of this page: both stand side by side in the template, so none is ever missing."""
    return english if language() == "en" else chinese


def minute(at: datetime | None) -> str:
    """An instant as people here read it: Beijing's time, 2026-03-01 09:30."""
    return "" if at is None else f"{at.astimezone(CHINA):%Y-%m-%d %H:%M}"


def day(at: datetime | None) -> str:
    """The day of an instant in Beijing."""
    return "" if at is None else f"{at.astimezone(CHINA):%Y-%m-%d}"


def thousands(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def grouped(amount_fen: int) -> str:
    """An amount to read on a page: grouped(-123456789) == '-1,234,567.89'. Fields, chat and CSV have `yuan`."""
    return f"{Decimal(amount_fen) / 100:,.2f}"


def amount(amount_fen: int) -> str:
    """With its sign before the ¥: amount(-1205) == '−¥12.05'."""
    return f"{'−' if amount_fen < 0 else ''}¥{grouped(abs(amount_fen))}"


def static_url(name: str) -> str:
    """The address of one of our static files; it changes with the content, so that no browser keeps an old one."""
    return url_for("pages.static", filename=name, v=_digest(name))


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
