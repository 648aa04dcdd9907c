"""The page at /_sim/docs, made from the docstrings of the control calls and the comments of the faults."""

import inspect
import re
from dataclasses import fields

from flask import Blueprint, render_template_string

from simulator.control.gate import Declared
from simulator.faults import Faults

_FAULT = re.compile(r"^    (\w+): .*?#\s*(.+)$", re.MULTILINE)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Simulator: control API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { color: #07a352 } h2 { margin-top: 2rem } dt { font-family: ui-monospace, monospace; margin-top: .8rem }
dd { margin: 0 0 0 1.5rem; color: #444 } code { background: #f3f3f3; padding: 0 .2rem }
</style></head><body>
<h1>A fake WeChat</h1>
<p>Point your server at this address instead of <code>https://api.weixin.qq.com</code>,
<code>https://mp.weixin.qq.com</code> and <code>https://open.weixin.qq.com</code>.
Calls below answer JSON; a mistake answers 4xx with <code>{"error": "…"}</code>.
<code>account</code> is an app id and may be left out while there is only one account;
<code>user</code> is a user id, a name or an openid.</p>
<h2>Control</h2>
<dl>{% for each in calls %}
<dt>{{ each.method }} {{ each.path }}</dt><dd>{{ each.handler.__doc__ }}</dd>{% endfor %}</dl>
<h2>Faults</h2>
<dl>{% for name, default, comment in faults %}<dt>{{ name }} = {{ default }}</dt><dd>{{ comment }}</dd>{% endfor %}</dl>
<h2>The platform's own paths</h2>
<ul>{% for path in paths %}<li><code>{{ path }}</code></li>{% endfor %}</ul>
</body></html>"""


def blueprint(declared: list[Declared], paths: list[str]) -> Blueprint:
    """GET /_sim/docs."""
    bp = Blueprint("docs", __name__)

    @bp.get("/_sim/docs")
    def page() -> str:
        """This page."""
        return render_template_string(_PAGE, calls=declared, faults=_faults(), paths=paths)

    return bp


def _faults() -> list[tuple[str, object, str]]:
    comments = dict(_FAULT.findall(inspect.getsource(Faults)))
    defaults = Faults()
    return [
        (each.name, getattr(defaults, each.name), comments.get(each.name, ""))
        for each in fields(Faults)
    ]
