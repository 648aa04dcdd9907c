"""The page at `/`: several phones side by side."""

from flask import Blueprint

bp = Blueprint("phones", __name__)
