"""The blueprint of the console; `visit.page` puts pages on it."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("console", __name__, url_prefix="/console", template_folder="templates")
