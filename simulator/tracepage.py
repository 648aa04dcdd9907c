"""The page and the export of the trace."""

from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Response, make_response, render_template

from simulator import trace
from simulator.control.gate import Calls, ControlCall
from simulator.trace import Wish

calls = Calls()

_CHINA = timezone(timedelta(hours=8))
_WAYS = {
    "act": "手机上",
    "push": "微信 → 服务器",
    "call": "服务器 → 微信",
    "notice": "微信支付 → 服务器",
    "report": "商城 → 服务器",
}
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@calls.add("GET", "/_sim/trace")
def page(call: ControlCall) -> Response:
    """What happened, as a page: optional account, user, path (how it begins), kind (act, push, call, notice,
    report), limit (200)."""
    shown = trace.entries(call.world, _wish(call))
    response = make_response(
        render_template(
            "trace.html",
            entries=shown,
            ways=_WAYS,
            clock=_clock,
            fields=call.fields,
            accounts=call.world.accounts,
            people=list(call.world.state.users.values())[:100],
        )
    )
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


@calls.add("GET", "/_sim/trace.json")
def export(call: ControlCall) -> Any:
    """The same as JSON, newest first: also after (an id). Entries {id, at, kind, account, title, path, status,
    failed, ms, parts [{name, text}]}; secrets are masked."""
    return {"entries": [each.as_json() for each in trace.entries(call.world, _wish(call))]}


def _wish(call: ControlCall) -> Wish:
    user = call.text("user", "")
    return Wish(
        account=call.text("account", ""),
        path=call.text("path", ""),
        kind=call.text("kind", ""),
        user=call.world.get_user(user) if user else None,
        after=call.number("after", 0),
        limit=call.number("limit", 200),
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, _CHINA).strftime("%m-%d %H:%M:%S.%f")[:-3]
