"""The lines of a process: whole, findable, and without secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from flask import Flask

import logs
from web.current import request_of_this_moment

ROOT = Path(__file__).parents[1]
SPEAKER = """
import logging, logs
logs.start(lambda: {"job": "notices-1"})
log = logging.getLogger("jobs.notify")
log.debug("not said")
log.info("sent %d to %s", 3, "小明")
log.warning("GET /cgi-bin/user/get?access_token=72_abcDEF-x&next_openid=o1 answered 502")
try:
    raise ValueError("the answer {'access_token': '73_secret', 'expires_in': 7200}")
except ValueError:
    log.exception("no answer")
"""


def lines() -> list[dict[str, str]]:
    said = subprocess.run(
        [sys.executable, "-c", SPEAKER], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == ""
    return [json.loads(line) for line in said.stderr.splitlines()]


def test_each_line_is_an_object_with_its_time_its_speaker_and_its_job() -> None:
    first, *_ = lines()
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "sent 3 to 小明", "level": "info", "logger": "jobs.notify", "job": "notices-1",
    }  # fmt: skip


def test_tokens_in_somebody_elses_words_are_blotted_out() -> None:
    _, warning, failure = lines()
    assert warning["event"] == (
        "GET /cgi-bin/user/get?access_token=***&next_openid=o1 answered 502"
    )
    assert "73_secret" not in json.dumps(failure)
    assert "ValueError" in failure["exception"]
    assert "'expires_in': 7200" in failure["exception"]


def test_ordinary_words_stay() -> None:
    for line in ("the secret is kept", "ticket 12 of 300", "tokens: none was asked for"):
        assert logs.blot(line) == line


def test_all_lines_of_a_request_have_one_id() -> None:
    app = Flask("lines")
    assert request_of_this_moment() == {}
    with app.test_request_context("/"):
        assert request_of_this_moment()["request"] == request_of_this_moment()["request"]
    with app.test_request_context("/", headers={"X-Request-Id": "proxy-1234.5"}):
        assert request_of_this_moment()["request"] == "proxy-1234.5"
    with app.test_request_context("/", headers={"X-Request-Id": 'x"} {'}):
        assert len(request_of_this_moment()["request"]) == 16
