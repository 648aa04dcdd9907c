"""The merchant's console: real pages on real data, in Chinese first, for a desk and for a phone.

docs/console.md tells how to add a page. `visit.page` decides who may see one, `listing.Listing` is every list,
`navigation` the sidebar, templates/console/macros.html the parts that pages are made of.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from flask import Flask, g

from context import Context
from domain.staff.permissions import Permission
from web import pages
from web.console import sessions
from web.console.blueprint import blueprint
from web.console.cells import shown, visible
from web.console.navigation import sidebar
from web.console.visit import ROLES

PAGES: Final = (
    "look",
    "login",
    "me",
    "choosing",
    "dashboard",
    "figures",
    "members",
    "member",
    "member_verbs",
    "trade",
    "withdrawals",
    "proving",
    "compose",
    "broadcasts",
    "menu_pages",
    "reply_pages",
    "reply_trial",
    "material",
    "wordings",
    "code_pages",
    "poster_pages",
    "tag_pages",
    "rulebook",
    "goods",
    "ladder",
    "intakes",
    "watching",
    "disputing",
    "delivery",
    "people",
    "account_settings",
    "merchanting",
    "opening",
    "connecting",
    "changes",
    "tasks",
)
"""The modules of this folder that hold pages, in the order of the sidebar."""

for _name in PAGES:
    import_module(f"web.console.{_name}")

pages.protect(blueprint)


def register(app: Flask, context: Context) -> None:
    """The console for the application."""
    sessions.register(app)
    app.register_blueprint(blueprint)
    app.jinja_env.filters.update(visible=visible)


@blueprint.before_request
def _language() -> None:
    sessions.choose_language()


@blueprint.context_processor
def _for_templates() -> dict[str, Any]:
    return {
        "visit": g.get("visit"),
        "theme": sessions.theme(),
        "cell": shown,
        "sidebar": sidebar,
        "roles": ROLES,
        "may": Permission,
    }
