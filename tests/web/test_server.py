"""The real server: processes, sockets, a browser, and the page of the manual as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.browser import chromium
from tests.support.servers import ROOT, AppServer

MANUAL = ROOT / "docs" / "api.md"


@pytest.fixture
def server(app_server: Callable[..., AppServer]) -> AppServer:
    return app_server("web")


@pytest.fixture
def key(server: AppServer, tmp_path: Path) -> tuple[str, str]:
    """A key of an account that pays three levels, all made by the fixed forms of the command line."""
    secret = tmp_path / "app-secret"
    secret.write_text("secret")
    server.flask(
        "account", "add", "--slug", "tea", "--app-id", "wx-tea", "--app-secret-file", str(secret), "--token", "token1",
        "--aes-key", "a" * 43, "--gh-id", "gh_1", "--mode", "safe", "--depth", "3",
    )  # fmt: skip
    server.flask("rule", "add", "--account", "tea", "--rates", "1000,500,200", "--freeze-days", "7",
                 "--effective-at", "2026-01-01T00:00:00+08:00")  # fmt: skip
    made = server.flask("apikey", "add", "--account", "tea")
    return made["key"], made["secret"]


@pytest.fixture(scope="module")
def manual() -> dict[str, Any]:
    """What the Python of docs/api.md defines."""
    (code,) = re.findall(r"```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(MANUAL), "exec"), names)  # noqa: S102 - the manual's own example is what is tested
    return names


@pytest.mark.parametrize("engine_name", ["mariadb"])
def test_the_manual_signs_and_reports_a_first_order(
    server: AppServer, key: tuple[str, str], manual: dict[str, Any]
) -> None:
    first = manual["report_paid"](server.url, *key)
    again = manual["report_paid"](server.url, *key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert [one["nobody"]["reason"] for one in first.json()["commissions"]] == ["buyer_unknown"] * 3

    def call(method: str, path: str, body: Any = None) -> requests.Response:
        answer: requests.Response = manual["call"](server.url, *key, method, path, body)
        return answer

    odd = {"order_no": "A|1:x", "openid": "o", "paid_at": "2026-11-22T10:00:00Z",
           "lines": [{"line_no": 1, "title": "茶", "quantity": 1, "paid_fen": 1}]}  # fmt: skip
    assert call("POST", "/api/v1/orders:batch", {"orders": [odd]}).json()["created"] == 1
    assert call("GET", "/api/v1/orders/A%7C1:x").json()["order_no"] == "A|1:x"
    assert call("GET", "/api/v1/products?limit=1").json() == {"items": [], "next_cursor": None}
    assert call("GET", "/api/v1/products/none").status_code == 404
    assert server.flask("ledger", "check")["ok"] is True
    assert server.flask("members", "check")["ok"] is True
    assert server.flask("db", "upgrade").keys() == {"version"}


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_bodies_too_large_or_without_a_length_are_answered(
    server: AppServer, key: tuple[str, str]
) -> None:
    headers = {
        "X-Banyan-Key": key[0],
        "X-Banyan-Timestamp": "1",
        "X-Banyan-Nonce": "n",
        "X-Banyan-Signature": "s",
    }
    large = requests.post(
        f"{server.url}/api/v1/orders", data=b" " * (5 << 20), headers=headers, timeout=20
    )
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    chunked = requests.post(
        f"{server.url}/api/v1/orders", data=iter([b"{}"] * 3), headers=headers, timeout=20
    )
    assert (chunked.status_code, chunked.json()["code"]) == (401, "bad_signature")


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_the_description_can_be_read_in_a_browser_that_reaches_nothing_else(
    server: AppServer,
) -> None:
    with chromium() as browser:
        page = browser.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{server.url}/api/v1/docs")
        page.get_by_text("Report a paid order").wait_for()
        page.get_by_text("Report a paid order").click()
        page.get_by_text("409", exact=True).wait_for()
        assert page.get_by_role("button", name="Try it out").count() == 0
    assert complaints == []
    assert all(url.startswith((server.url, "data:")) for url in asked), asked
