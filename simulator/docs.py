"""The page at /_sim/docs: how to begin, every control call, every fault, and what they are good for."""

import inspect
import json
import re
from dataclasses import fields
from typing import Any

from flask import Blueprint, render_template

from simulator import faultwords
from simulator.control.gate import Declared
from simulator.faults import Faults
from simulator.scenario.grammar import HELP
from simulator.tls import HOSTS

_FAULT = re.compile(r"^    (\w+): .*?#\s*(.+)$", re.MULTILINE)

# A first half hour, in calls that can be copied; the tests make them all.
EXAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "Make an account, as the console of WeChat does. Pushes go to callback_url.",
        "/_sim/accounts",
        {
            "app_id": "wx1234567890abcdef",
            "secret": "s3cret",
            "token": "callbacktoken",
            "name": "My account",
            "mode": "plain",
            "callback_url": "http://127.0.0.1:8000/wechat",
        },
    ),
    ("Give somebody a phone.", "/_sim/users", {"name": "Alice"}),
    ("She follows; the answer tells what your server said.", "/_sim/follow", {"user": "Alice"}),
    ("She says something.", "/_sim/text", {"user": "Alice", "content": "hello"}),
    (
        "Get a token, as your server would.",
        "/cgi-bin/stable_token",
        {
            "grant_type": "client_credential",
            "appid": "wx1234567890abcdef",
            "secret": "s3cret",
        },
    ),
    ("Let the next call be refused with -1, once.", "/_sim/faults", {"busy_rate": 1, "times": {"busy_rate": 1}}),
    ("Let a week pass.", "/_sim/clock", {"advance_seconds": 604800}),
    ("Everything as it should be again.", "/_sim/faults", {"off": True}),
)  # fmt: skip

# What breaks naive servers, and the call that makes it happen.
HAZARDS: tuple[tuple[str, str], ...] = (
    ("the server answers later than 5 s: three deliveries", "let it; or push_deadline_ms, push_spacing_ms"),
    ("the same push several times at once", "duplicate_push"),
    ("subscribe and unsubscribe out of order", "reorder_push"),
    ("several events of one person in one second", "POST /_sim/click with wait false, several times"),
    ("one List element, or several", "POST /_sim/event with fields"),
    ("an event nobody has heard of", "POST /_sim/push with fields or xml"),
    ("an event in other letters", "lower_case_events"),
    ("a subscribe without EventKey", "omit_empty_event_key"),
    ("padding of 17 to 32 bytes in safe mode", "mode safe: the text's length decides, every length comes by"),
    ("tokens change in the middle of a batch", "rotate_token_every, or rotate_token"),
    ("a storm of 40001", "rotate_token_every 1"),
    ("42001, an expired token", "POST /_sim/clock with advance_seconds 7201"),
    ("-1 in bursts", "busy_rate"),
    ("45009, and clear_quota", "quota"),
    ("45011, too many in a minute", "rate_per_minute"),
    ("an HTML page, an empty answer, a slow one, half of one", "html_rate, empty_rate, latency_ms, truncate_rate"),
    ("done, but nobody hears of it", "drop_answer_rate"),
    ("43004, 43116, 47003 … for one person", "refused_people"),
    ("the result of a template message: late, never, a failure", "finish_delay_ms, finish_lost_rate, finish_status"),
    ("an OAuth code is used twice", "use it twice: 40163"),
    ("a snapshot visitor", "snapshot_visitors"),
    ("the notice of a payment comes twice, late, never", "notice_copies, notice_delay_seconds, notice_lost_rate"),
    ("a notice with a wrong signature", "signtest_rate, notice_wrong_signature_rate"),
    ("a notice with another serial", "notice_foreign_serial_rate"),
    ("the notice comes before the answer of the call", "notice_first"),
    ("another amount than was asked for", "paid_amount_off_fen"),
    ("a refund becomes ABNORMAL", "refund_ends_in"),
    ("a transfer waits until it lapses", "POST /_sim/clock with advance_seconds 86401, transfer_lapses_to"),
    ("sharing is refused with RULE_LIMIT", "share more than share_max_bps, or pay_error"),
    ("TRANSACTION.SUCCESS that is about profit sharing", "share_notify_url of the merchant"),
    ("platform certificates change", "POST /_sim/merchants/<mch_id>/rotate"),
    ("somebody is on the blacklist", "batchblacklist, then POST /_sim/text: 403, no push"),
)  # fmt: skip


def blueprint(declared: list[Declared], paths: list[str]) -> Blueprint:
    """GET /_sim/docs."""
    bp = Blueprint("docs", __name__, template_folder="templates")

    @bp.get("/_sim/docs")
    def page() -> str:
        """This page."""
        examples = [
            (words, path, json.dumps(body, ensure_ascii=False)) for words, path, body in EXAMPLES
        ]
        return render_template(
            "docs.html",
            calls=declared,
            faults=_faults(),
            paths=paths,
            examples=examples,
            hazards=HAZARDS,
            sentences=HELP,
            hosts=HOSTS,
        )

    return bp


def _faults() -> list[tuple[str, object, str, str]]:
    comments = dict(_FAULT.findall(inspect.getsource(Faults)))
    defaults = Faults()
    return [
        (
            each.name,
            getattr(defaults, each.name),
            comments.get(each.name, ""),
            faultwords.WORDS[each.name][1],
        )
        for each in fields(Faults)
    ]
