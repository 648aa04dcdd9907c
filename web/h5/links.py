"""Links of broadcasts: `/m/<slug>/r/<token>` counts a click and leads on, with the token behind the address.

Only to addresses that staff have put into a campaign: a token is looked up, never built into an address.
"""

from __future__ import annotations

from flask import Response, redirect
from werkzeug.exceptions import NotFound as NoPage

from domain import attribution, sessions
from domain.errors import NotFound
from web.h5.arriving import Page, blueprint, here, is_in_wechat, read, transact
from web.h5.login import start


@blueprint.get("/r/<token>")
def follow_link(token: str) -> Page:
    """Count, with the member where we know who it is, and lead on.

    A phone is asked who it is, silently, where somebody has been signed in by WeChat before: an account that may not
    ask (no certified domain) would show WeChat's error in place of the shop.
    """
    account, visitor, now = here().account, here().visitor, here().now
    if visitor is None and is_in_wechat() and read(lambda s: sessions.has_any(s, account.id)):
        return start(f"{here().root}/r/{token}")
    member_id = visitor.member.id if visitor is not None and visitor.member is not None else None
    try:
        target = transact(
            lambda session: attribution.click(session, account.id, token, now, member_id)
        )
    except NotFound:
        raise NoPage from None
    answer: Response = redirect(target, 302)  # type: ignore[assignment]  # werkzeug's own class stands in its annotation
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
