"""Who may see a page. Inside WeChat a visitor is signed in silently and comes back to the page they wanted; any other
browser gets a page that says where to open it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import render_template, request

from domain.models import Member
from web import pages
from web.h5.arriving import Page, here, is_in_wechat, outside
from web.h5.login import start

P = ParamSpec("P")


def signed_in(view: Callable[P, Page]) -> Callable[P, Page]:
    """The view needs to know who looks: `here().visitor` is somebody."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Page:
        return view(*args, **kwargs) if here().visitor is not None else sign_in()

    return guarded


def members_only(view: Callable[P, Page]) -> Callable[P, Page]:
    """The view is about a member: `me()` is somebody. Who does not follow is asked to."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Page:
        visitor = here().visitor
        if visitor is None:
            return sign_in()
        if visitor.member is None:
            return render_template("h5/follow.html"), 403
        return view(*args, **kwargs)

    return guarded


def me() -> Member:
    """The member who looks, in a view that is `members_only`."""
    visitor = here().visitor
    if visitor is None or visitor.member is None:
        raise LookupError("a view without its guard")
    return visitor.member


def sign_in() -> Page:
    """The way to a session, and back to this page. What was posted is not kept: it is asked for again."""
    if request.method != "GET":
        return pages.error_page(401, here().words("h5.login.expired"))
    return start(request.full_path.rstrip("?")) if is_in_wechat() else outside()
