"""The simulator behind a turnstile that watches its token endpoint. `token_platform.py PORT CLOCK_FILE`

GET  /_turnstile          what went through (`Figures` in test_token_life.py)
POST /_turnstile/insist   from now on calls with the present token are refused, although stable_token goes on giving it:
                          WeChat insists on a token that it refuses, until somebody forces another
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from flask import Flask
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server
from werkzeug.wrappers import Request, Response

from simulator.server import create_app

TOKEN_PATH = "/cgi-bin/stable_token"
CALL_PATH = "/cgi-bin/getcallbackip"
REFUSED = {"errcode": 40001, "errmsg": "invalid credential, access_token is invalid or not latest"}
LIMIT_CODES = (45009, 45011)
LOOK_SECONDS = 0.001
"""A refresh takes at least so long, so that two that overlap are seen to."""
DAY = 86400
BEIJING_SECONDS = 8 * 3600


class Turnstile:
    """WSGI in front of the simulator."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._now: Callable[[], float] = app.extensions["simulator"].world.now
        self._lock = threading.Lock()
        self._inside = 0
        self._token = ""
        self._dead: set[str] = set()
        self._taken: Counter[str] = Counter()  # numbers of calls that were answered well
        self._days: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        answers = {
            TOKEN_PATH: self._refresh,
            CALL_PATH: self._call,
            "/_turnstile": self._figures,
            "/_turnstile/insist": self._insist,
        }
        answer = answers.get(request.path)
        return self._app(environ, start) if answer is None else answer(request)(environ, start)

    def _refresh(self, request: Request) -> Response:
        with self._lock:
            self._inside += 1
            self._counts["most at once"] = max(self._counts["most at once"], self._inside)
            self._counts["refreshes"] += 1
            self._days[int((self._now() + BEIJING_SECONDS) // DAY)] += 1
        try:
            time.sleep(LOOK_SECONDS)
            body = request.get_data()
            request.environ["wsgi.input"] = BytesIO(body)  # for the simulator to read again
            response = Response.from_app(self._app, request.environ)
            answer = _read(response)
        finally:
            with self._lock:
                self._inside -= 1
        with self._lock:
            self._token = answer.get("access_token", self._token)
            self._counts["forced"] += json.loads(body)["force_refresh"]
            self._counts["failed refreshes"] += "access_token" not in answer
            self._counts["beyond a limit"] += answer.get("errcode") in LIMIT_CODES
        return response

    def _call(self, request: Request) -> Response:
        if request.args["access_token"] in self._dead:
            response = Response(json.dumps(REFUSED))
        else:
            response = Response.from_app(self._app, request.environ)
        good = not _read(response).get("errcode", 0)
        with self._lock:
            self._counts["calls"] += 1
            self._counts["refused calls"] += not good
            if good:
                self._taken[request.args["number"]] += 1
        return response

    def _insist(self, request: Request) -> Response:
        self._dead.add(self._token)
        return Response("{}")

    def _figures(self, request: Request) -> Response:
        with self._lock:
            figures = {name.replace(" ", "_"): count for name, count in self._counts.items()}
            figures |= {
                "taken": len(self._taken),
                "taken_twice": sum(times > 1 for times in self._taken.values()),
                "busiest_day": max(self._days.values(), default=0),
                "days": len(self._days),
            }
        return Response(json.dumps(figures), content_type="application/json")


def _read(response: Response) -> dict[str, Any]:
    """The JSON of an answer; one that the simulator spoilt on purpose says nothing."""
    try:
        answer: dict[str, Any] = json.loads(response.get_data())
    except ValueError:
        return {}
    return answer


if __name__ == "__main__":
    clock_file = Path(sys.argv[2])
    Server(
        "tests.races.token_platform",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.WSGI,
        blocking_threads=8,
        websockets=False,
        log_level=LogLevels.error,
        workers_kill_timeout=2,
    ).serve(target_loader=lambda *_: Turnstile(create_app(clock_file)), wrap_loader=False)
