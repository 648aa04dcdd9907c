"""Flask-Login over our own sessions: its cookie carries a token, and the row behind the token decides.

Whatever the cookie says, a session that is revoked, idle or too old signs nobody in (domain/staff/sessions.py).
"""

from __future__ import annotations

from typing import Any, Final

import flask_login
from flask import Flask, g, request, session
from flask_login import LoginManager

from domain.staff import sessions
from domain.staff.sessions import SEEN_EVERY, SignedIn
from web import clients
from web.current import context

LANGUAGES: Final = ("zh", "en")


class _Person(flask_login.UserMixin):
    """What Flask-Login carries about: its id is the token of the session."""

    def __init__(self, token: str, signed_in: SignedIn) -> None:
        self.token, self.signed_in = token, signed_in

    def get_id(self) -> str:
        return self.token


def register(app: Flask) -> None:
    """Flask-Login for the application. Its own guess at stolen cookies is off: phones change their address.

    Without its `init_app`, which would also look after a cookie that we never set, in every push of WeChat too.
    """
    manager = LoginManager()
    manager.session_protection = None
    manager.user_loader(_load)
    setattr(app, "login_manager", manager)  # noqa: B010 - Flask has no such attribute, Flask-Login reads it


def _load(token: Any) -> _Person | None:
    now = context().clock.now()
    database = context().database
    found = database.read(lambda session: sessions.find(session, str(token), now))
    if found is None:
        return None
    if now - found.seen_at >= SEEN_EVERY:
        database.transact(lambda session: sessions.saw(session, found.session_id, now))
    return _Person(str(token), found)


def signed_in() -> SignedIn | None:
    """Who asks, None when nobody has signed in."""
    person = flask_login.current_user
    return person.signed_in if person.is_authenticated else None


def begin(staff_id: int) -> None:
    """Sign in: everything the browser had before, its CSRF token too, is worth nothing from now on (fixation)."""
    now = context().clock.now()
    address, agent = clients.address(), request.headers.get("User-Agent", "")

    def start(db: Any) -> _Person | None:
        token, _ = sessions.begin(db, staff_id, address=address, agent=agent, now=now)
        found = sessions.find(db, token, now)
        return None if found is None else _Person(token, found)

    session.clear()
    person = context().database.transact(start)
    if person is not None:
        flask_login.login_user(person)


def end() -> None:
    """Sign out, here and in the database."""
    person, now = signed_in(), context().clock.now()
    if person is not None:
        context().database.transact(
            lambda db: sessions.revoke(db, person.staff_id, person.session_id, now)
        )
    flask_login.logout_user()
    session.clear()


def choose_language() -> None:
    """`g.language` of this page: the person's setting, or what this browser chose, or Chinese."""
    person = signed_in()
    wanted = (person.language if person else "") or request.cookies.get(LANGUAGE_COOKIE, "")
    g.language = wanted if wanted in LANGUAGES else "zh"


LANGUAGE_COOKIE: Final = "banyan_language"
THEME_COOKIE: Final = "banyan_theme"
THEMES: Final = ("auto", "light", "dark")


def theme() -> str:
    """Light, dark, or as the system has it."""
    wanted = request.cookies.get(THEME_COOKIE, "")
    return wanted if wanted in THEMES else "auto"
