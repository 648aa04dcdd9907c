"""A small real HTTP server that answers as WeChat does, and as WeChat sometimes does."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SECRET = "the-app-secret-0123456789"
TOKEN_PATH = "/cgi-bin/stable_token"


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """`cut` promises more bytes than it sends; `hang` holds back until the test is over."""

    body: bytes = b'{"errcode":0,"errmsg":"ok"}'
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: bool = False


def says(**content: Any) -> Answer:
    return Answer(json.dumps(content, ensure_ascii=False).encode())


def error(errcode: int, errmsg: str = "refused rid: 6a0b1c2d-11223344-55667788") -> Answer:
    return says(errcode=errcode, errmsg=errmsg)


class Stub:
    """Hands out tokens `T1`, `T2`, … and refuses calls with any other, unless told what to say."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, deque[Answer]] = defaultdict(deque)
        self.always: dict[str, Answer] = {}
        self.token_number = 1
        self.valid = {"T1"}
        self.expires_in = 7200
        self.released = threading.Event()
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Otherwise the answer waits 40 ms for the acknowledgement of its headers.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                stub._serve(self)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *args: Any) -> None:
                pass  # clients that give up are what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def rotate(self, *, overlap: bool = False) -> None:
        """WeChat gives out a new token; the old ones die unless they overlap."""
        with self._lock:
            self._rotate()
            if not overlap:
                self.valid = {f"T{self.token_number}"}

    def calls_of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    @property
    def token_calls(self) -> list[Call]:
        return self.calls_of(TOKEN_PATH)

    def _rotate(self) -> None:
        self.token_number += 1
        self.valid.add(f"T{self.token_number}")

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in handler.headers.items()}
        call = Call(handler.command, parts.path, query, headers, handler.rfile.read(length))
        with self._lock:
            self.calls.append(call)
            answer = self._answer(call)
        if answer.hang:
            self.released.wait(30)
        handler.send_response(answer.status)
        handler.send_header("Content-Length", str(len(answer.body) + (100 if answer.cut else 0)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer.body)
        if answer.cut:
            handler.close_connection = True

    def _answer(self, call: Call) -> Answer:
        if self.answers[call.path]:
            return self.answers[call.path].popleft()
        if call.path in self.always:
            return self.always[call.path]
        if call.path == TOKEN_PATH:
            if call.json().get("force_refresh"):
                self._rotate()
                self.valid = {f"T{self.token_number}"}
            return says(access_token=f"T{self.token_number}", expires_in=self.expires_in)
        if call.query.get("access_token") not in self.valid:
            return error(
                40001, "invalid credential, access_token is invalid or not latest rid: 6a0b1c2d-1-2"
            )
        return Answer()
