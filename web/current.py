"""What the running application holds, for views and commands."""

from __future__ import annotations

import re
import secrets
from typing import cast

from flask import current_app, g, has_request_context, request

from context import Context


def context() -> Context:
    """The process's context; app.py put it there."""
    return cast(Context, current_app.extensions["banyan"])


def request_of_this_moment() -> dict[str, str]:
    """The id of the request that is being answered, for the log: the reverse proxy's X-Request-Id, else one of ours."""
    if not has_request_context():
        return {}
    if "request_id" not in g:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if re.fullmatch(r"[\w.-]{8,64}", given) else secrets.token_hex(8)
    return {"request": g.request_id, "endpoint": request.endpoint or "none"}
