"""The language and the colours of this browser's pages: cookies, and for who has signed in also their setting."""

from __future__ import annotations

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from domain import staff
from web.console.sessions import LANGUAGE_COOKIE, LANGUAGES, THEME_COOKIE, THEMES
from web.console.visit import ANYBODY, Visit, local, page
from web.current import context

_YEAR_SECONDS = 365 * 24 * 3600


@page("/look", allow=ANYBODY, methods=("POST",))
def look(visit: Visit) -> Response:
    """Keep what the buttons at the foot of the sidebar say, and go back."""
    answer = make_response(redirect(local(request.args.get("next"), url_for("console.home"))))
    theme, language = request.form.get("theme"), request.form.get("language")
    if theme in THEMES:
        _keep(answer, THEME_COOKIE, theme)
    if language in LANGUAGES:
        _keep(answer, LANGUAGE_COOKIE, language)
        if visit.is_signed_in:
            staff_id = visit.person.staff_id
            visit.transact(lambda session: staff.set_language(session, staff_id, language))
    return answer


def _keep(answer: Response, name: str, value: str) -> None:
    secure = context().settings.server.public_url.startswith("https://")
    answer.set_cookie(
        name,
        value,
        max_age=_YEAR_SECONDS,
        path="/console",
        httponly=True,
        samesite="Lax",
        secure=secure,
    )
