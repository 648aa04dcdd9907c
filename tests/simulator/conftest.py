"""A real simulator in its own process, and a small real HTTP server that stands for somebody's callback."""

import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import segno
import xmltodict
from wechatpy import WeChatClient

ROOT = Path(__file__).parents[2]
APP_ID, SECRET, TOKEN, GH_ID = "wx1234567890abcdef", "s3cret", "callbacktoken", "gh_banyan"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@dataclass
class Sim:
    """The simulator over HTTP, as a test speaks to it."""

    url: str
    http: requests.Session = field(default_factory=requests.Session)

    def control(
        self, path: str, expect: int | tuple[int, ...] = (200, 201, 202), **body: Any
    ) -> Any:
        """POST to /_sim/<path>."""
        answer = self.http.post(f"{self.url}/_sim/{path}", json=body, timeout=30)
        expected = (expect,) if isinstance(expect, int) else expect
        assert answer.status_code in expected, answer.text
        return answer.json()

    def look(self, path: str, **query: Any) -> Any:
        """GET /_sim/<path>."""
        answer = self.http.get(f"{self.url}/_sim/{path}", params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def api(self, path: str, body: Any = None, **query: Any) -> Any:
        """Call a path of the platform: GET, or POST when there is a body. Business errors are HTTP 200."""
        url = f"{self.url}{path}"
        if body is None:
            answer = self.http.get(url, params=query, timeout=30)
        else:
            answer = self.http.post(url, params=query, json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def account(self, **settings: Any) -> Any:
        """The account of these tests, with other settings where wanted."""
        usual = {"app_id": APP_ID, "secret": SECRET, "token": TOKEN, "gh_id": GH_ID, "name": "榕树"}
        return self.control("accounts", **usual | {"aes_key": AES_KEY} | settings)

    def user(self, name: str, app_id: str = APP_ID) -> str:
        """A new person; answers the openid."""
        return str(self.control("users", name=name)["openids"][app_id])

    def chat(self, user: str, after: int = 0) -> list[dict[str, Any]]:
        """The messages on this person's phone."""
        messages: list[dict[str, Any]] = self.look(f"chats/{user}", after=after)["messages"]
        return messages

    def access_token(self) -> str:
        """A token of the stable channel."""
        body = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET}
        return str(self.api("/cgi-bin/stable_token", body)["access_token"])

    def advance(self, seconds: float) -> None:
        """Move the simulated time forward."""
        self.control("clock", advance_seconds=seconds)

    def client(self) -> WeChatClient:
        """wechatpy's own client, pointed at the simulator."""
        return client_of(self.url)


def client_of(url: str) -> WeChatClient:
    """wechatpy reads its addresses from the class, except for the token."""

    class Client(WeChatClient):  # type: ignore[misc]  # wechatpy has no types
        API_BASE_URL = f"{url}/cgi-bin/"

        def fetch_access_token(self) -> Any:
            return self._fetch_access_token(
                url=f"{url}/cgi-bin/token",
                params={"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET},
            )

    return Client(APP_ID, SECRET, timeout=10)


@dataclass
class Received:
    """One request that reached the callback."""

    method: str
    query: dict[str, str]
    body: str
    at: float
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The XML fields of the body."""
        parsed: dict[str, Any] = xmltodict.parse(self.body)["xml"]
        return parsed


Answer = Callable[[Received], tuple[int, str]]


class Callback:
    """The developer's server: remembers what it received and answers as the test says."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Answer = lambda _: (200, "success")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/wechat"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def wait_for(self, count: int) -> list[Received]:
        """The requests, as soon as there are so many."""
        eventually(lambda: len(self.received) >= count)
        return self.received

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        callback = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                query = dict(parse_qsl(urlsplit(self.path).query))
                received = Received(
                    self.command, query, body, time.monotonic(), dict(self.headers.items())
                )
                callback.received.append(received)
                status, answer = callback.answer(received)
                try:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(answer.encode())
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the platform did not wait for us: what some tests are about

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        return Handler


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Poll until the condition holds; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def png(text: str = "picture") -> bytes:
    """A picture with a QR code in it."""
    drawn = io.BytesIO()
    segno.make(text).save(drawn, kind="png", scale=6, border=4)
    return drawn.getvalue()


def follower(sim: Sim, name: str = "小明") -> str:
    openid = sim.user(name)
    sim.control("follow", user=name)
    return openid


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(port: int, *options: str, ca: Path | None = None) -> subprocess.Popen[bytes]:
    """`python -m simulator`, when it answers; with `ca`, over https."""
    command = [sys.executable, "-m", "simulator", "--port", str(port), *options]
    process = subprocess.Popen(command, cwd=ROOT)
    eventually(lambda: _is_up(port, ca), 90)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it as an operator does, and wait."""
    process.terminate()
    process.wait(90)


def _is_up(port: int, ca: Path | None) -> bool:
    scheme = "https" if ca else "http"
    try:
        return requests.get(
            f"{scheme}://127.0.0.1:{port}/healthz", timeout=2, verify=str(ca or True)
        ).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="session")
def sim_url() -> Iterator[str]:
    port = free_port()
    process = start(port)
    yield f"http://127.0.0.1:{port}"
    stop(process)


@pytest.fixture
def callback() -> Iterator[Callback]:
    server = Callback()
    yield server
    server.close()


@pytest.fixture
def sim(sim_url: str, callback: Callback) -> Iterator[Sim]:
    """An empty simulator with one account in plain mode whose pushes go to `callback`."""
    simulator = Sim(sim_url)
    simulator.control("reset")
    simulator.control("clock", offset_seconds=0)
    simulator.account(callback_url=callback.url)
    yield simulator
    simulator.http.close()
