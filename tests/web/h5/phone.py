"""A phone with WeChat in it: the test client of our server that follows the way through WeChat's pages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

AGENT = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50 NetType/WIFI"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass
class Phone:
    """One person's browser. `get` and `post` are plain requests; `open` goes through WeChat where it is sent there."""

    app: Flask
    simulator_url: str
    name: str
    slug: str = "tea"
    agent: str = AGENT
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def path(self, page: str) -> str:
        return page if page.startswith("/") else f"/m/{self.slug}/{page}"

    def get(self, page: str, **headers: str) -> TestResponse:
        return self.client.get(self.path(page), headers={"User-Agent": self.agent, **headers})

    def post(self, page: str, csrf: str | None = None, /, **values: Any) -> TestResponse:
        """POST a form, with a CSRF token unless its fields hold one."""
        if csrf is not None:
            values["csrf_token"] = csrf
        return self.client.post(self.path(page), data=values, headers={"User-Agent": self.agent})

    def at_wechat(self, address: str, **query: str) -> str:
        """Pass WeChat's page as this person; the path and query it leads back to."""
        answer = requests.get(
            address.split("#")[0],
            params={"sim_user": self.name, **query},
            allow_redirects=False,
            timeout=10,
        )
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def open(self, page: str = "", **consent: str) -> TestResponse:
        """Open a page as a person does: through WeChat when it sends us there, along our own redirects."""
        answer = self.get(page)
        for _ in range(6):
            if answer.status_code != 302:
                return answer
            target = answer.headers["Location"]
            if "/connect/oauth2/authorize" in target:
                target = self.at_wechat(target, **consent)
            answer = self.get(target)
        raise AssertionError("round and round")

    def form(self, page: str) -> dict[str, str]:
        """The hidden fields of the (last) form on a page, the CSRF token with them."""
        html = self.open(page).text
        return {name: unescape(value) for name, value in _FIELD.findall(html)}

    def csrf(self, page: str = "profile") -> str:
        """A CSRF token that this browser was given."""
        found = _TOKEN.search(self.open(page).text)
        assert found is not None
        return found[1]

    @property
    def session_cookie(self) -> str | None:
        """The value of the cookie by which the account knows this browser."""
        cookie = self.client.get_cookie(f"banyan_m_{self.slug}", path=f"/m/{self.slug}/")
        return None if cookie is None else cookie.value
