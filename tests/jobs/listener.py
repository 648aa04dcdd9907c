"""A merchant's server that writes down what it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Listener:
    """Answers 200; `refuse` of the first requests with 500, and all with 302 to `redirect_to` when that is set."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.refuse = 0
        self.redirect_to = ""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                listener.raw.append(self.rfile.read(int(self.headers["Content-Length"])))
                listener.headers.append(dict(self.headers))
                listener.paths.append(self.path)
                status = 302 if listener.redirect_to else 500 if listener.refuse else 200
                listener.refuse = max(0, listener.refuse - 1)
                self.send_response(status)
                if listener.redirect_to:
                    self.send_header("Location", listener.redirect_to)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Not on standard error."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alarm"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.raw]

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
