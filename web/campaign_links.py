"""Links of broadcasts: `/m/<slug>/r/<token>` counts a click and leads on, with the token behind the address.

Only to addresses that staff have put into a campaign: a token is looked up, never built into an address.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, redirect
from werkzeug.exceptions import NotFound as NoPage

from domain import accounts, attribution
from domain.errors import NotFound
from web.current import context

blueprint: Final = Blueprint("campaign_links", __name__)


@blueprint.get("/m/<slug>/r/<token>")
def follow_link(slug: str, token: str) -> Response:
    """Count, and lead on. A page of ours that knows its visitor counts the member itself (attribution.click)."""
    now = context().clock.now()
    try:
        target = context().database.transact(
            lambda session: attribution.click(session, accounts.get(session, slug).id, token, now)
        )
    except NotFound:
        raise NoPage from None
    answer = redirect(target, 302)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer  # type: ignore[return-value]  # werkzeug's own class stands in its annotation
