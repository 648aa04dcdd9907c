"""What all pages share: headers, CSRF, errors in words, both languages."""

from __future__ import annotations

import io

import pytest
from flask import Blueprint, Flask, session
from flask.testing import FlaskClient

from app import app_of
from domain.errors import Conflict
from tests.web.conftest import Merchant
from web import pages


@pytest.fixture
def app(merchant: Merchant) -> Flask:
    made = app_of(merchant.context)
    toy = Blueprint("toy", __name__, url_prefix="/console/toy")
    pages.protect(toy, scripts=lambda: "https://res.example")

    @toy.get("/seen")
    def seen() -> str:
        session["seen"] = True
        return "seen"

    @toy.post("/done")
    def done() -> str:
        return "done"

    @toy.get("/taken")
    def taken() -> str:
        raise Conflict("somebody was first")

    @toy.get("/broken")
    def broken() -> str:
        raise RuntimeError("secret of the house")

    made.register_blueprint(toy)
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_page_runs_no_script_but_ours_and_is_neither_cached_nor_framed(client: FlaskClient) -> None:
    headers = client.get("/console/toy/seen").headers
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self' https://res.example;" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_post_without_the_token_does_nothing(client: FlaskClient) -> None:
    refused = client.post("/console/toy/done")
    assert refused.status_code == 400
    assert b"done" not in refused.data


def test_session_cookie_is_for_pages_alone(client: FlaskClient) -> None:
    cookie = client.get("/console/toy/seen").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Set-Cookie" not in client.get("/healthz").headers


@pytest.mark.parametrize(
    ("path", "status", "words", "home"),
    [
        ("/console/toy/taken", 409, "别人刚刚改过它", "/console/"),
        ("/console/toy/broken", 500, "我们这边出了问题", "/console/"),
        ("/console/nowhere/at/all", 404, "没有这个页面", "/console/"),
        ("/m/tea/nowhere", 404, "没有这个页面", "/m/tea/"),
    ],
)
def test_error_of_a_page_is_a_page_in_words_with_a_way_back(
    client: FlaskClient, path: str, status: int, words: str, home: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert words in answer.text
    assert "secret of the house" not in answer.text
    assert f'<a href="{home}">回首页</a>' in answer.text
    assert "Content-Security-Policy" in answer.headers


def test_error_of_the_api_stays_json(client: FlaskClient) -> None:
    assert client.get("/api/v1/nowhere").json is not None


def test_our_own_files_and_bootstrap_are_served_from_here(client: FlaskClient) -> None:
    html = client.get("/console/nowhere/at/all").text.split("<body")[0]
    links = [part.split('"')[0] for part in html.split('href="')[1:]]
    assert links
    for link in links:
        assert link.startswith(("/static/", "/bootstrap/"))
        with client.get(link.replace("&amp;", "&")) as file:
            assert file.status_code == 200


def test_strangers_file_is_not_read_to_its_end(app: Flask, client: FlaskClient) -> None:
    """A form is parsed, files to the disk, before anybody knows who sends it."""
    body = io.BytesIO(b"--x")
    answer = client.post(
        "/console/toy/done", input_stream=body, content_type="multipart/form-data; boundary=x",
        environ_overrides={"CONTENT_LENGTH": str(10**10)},
    )  # fmt: skip
    assert (answer.status_code, "文件太大了" in answer.text) == (413, True)
    assert body.tell() == 0


@pytest.mark.parametrize(
    ("fen", "words"),
    [
        (0, "¥0.00"), (5, "¥0.05"), (-5, "−¥0.05"), (99_999, "¥999.99"), (123_456_789, "¥1,234,567.89"),
        (-100_000, "−¥1,000.00"),
    ],
)  # fmt: skip
def test_amount_on_a_page_is_grouped_with_its_sign_in_front(fen: int, words: str) -> None:
    assert pages.amount(fen) == words
