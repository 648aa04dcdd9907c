"""概览: what happened, each number with a way to its list."""

from __future__ import annotations

from flask import render_template

from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.navigation import TODAY, Menu
from web.console.visit import Answer, Visit, page


@page(
    "/",
    allow=Permission.DASHBOARD_READ,
    menu=Menu(TODAY, Both("概览", "Overview"), "speedometer2", 10),
)
def dashboard(visit: Visit) -> Answer:
    """The account at a glance."""
    return render_template("console/dashboard.html")
