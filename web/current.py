"""What the running application holds, for views and commands."""

from __future__ import annotations

from typing import cast

from flask import current_app

from context import Context


def context() -> Context:
    """The process's context; app.py put it there."""
    return cast(Context, current_app.extensions["banyan"])
