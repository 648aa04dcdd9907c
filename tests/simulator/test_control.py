"""Accounts, people, the clock, the state file and the documentation page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.simulator.conftest import APP_ID, Callback, Sim, eventually, free_port, start, stop


def test_a_person_has_an_openid_per_account_and_one_unionid(sim: Sim) -> None:
    sim.control("accounts", app_id="wxother", secret="s")
    person = sim.control("users", name="小明")
    assert set(person["openids"]) == {APP_ID, "wxother"}
    assert all(re.fullmatch(r"o[\w-]{27}", each) for each in person["openids"].values())
    assert len(person["unionid"]) == 28


def test_an_openid_can_be_chosen_but_not_twice(sim: Sim) -> None:
    sim.control("users", name="小明", openid="oABC")
    sim.control("users", 409, name="小红", openid="oABC")
    assert sim.look("chats/oABC")["openid"] == "oABC"


def test_accounts_are_changed_by_app_id_and_show_no_secret(sim: Sim) -> None:
    sim.account(name="新名字")
    (account,) = sim.look("accounts")["accounts"]
    assert account["name"] == "新名字"
    assert "secret" not in account


WRONG_ACCOUNTS: list[dict[str, Any]] = [
    {"mode": "secret"},
    {"mode": "safe", "aes_key": "short"},
    {"allowed_ips": "127.0.0.1"},
    {"templates": [{"title": "no id"}]},
]


@pytest.mark.parametrize("change", WRONG_ACCOUNTS)
def test_an_account_the_console_would_refuse_is_refused(sim: Sim, change: dict[str, Any]) -> None:
    sim.control("accounts", 400, **{"app_id": APP_ID} | change)


def test_with_two_accounts_one_must_be_named(sim: Sim, callback: Callback) -> None:
    sim.control("accounts", app_id="wxother", secret="s", callback_url=callback.url, gh_id="gh_2")
    sim.user("小明")
    sim.control("follow", 400, user="小明")
    sim.control("follow", user="小明", account="wxother")
    assert callback.received[0].fields["ToUserName"] == "gh_2"


def test_impossible_acts_are_refused(sim: Sim) -> None:
    sim.user("小明")
    sim.control("follow", 404, user="nobody")
    sim.control("text", 409, user="小明", content="hi")
    sim.control("unfollow", 409, user="小明")
    sim.control("follow", user="小明")
    sim.control("follow", 409, user="小明")
    sim.control("text", 400, user="小明")


def test_the_chat_can_be_read_from_a_message_on(sim: Sim) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    for content in ("一", "二", "三"):
        sim.control("text", user="小明", content=content)
    first = sim.chat("小明")[0]
    assert [each["text"] for each in sim.chat("小明", after=first["id"])] == ["二", "三"]


def test_the_documentation_names_every_call_and_fault(sim: Sim) -> None:
    page = requests.get(f"{sim.url}/_sim/docs", timeout=10).text
    for name in ("POST /_sim/scan", "GET /_sim/chats/&lt;user&gt;", *sim.look("faults")):
        assert name in page
    assert "/cgi-bin/stable_token" in page
    assert "<dd></dd>" not in page
    assert "<dd>None</dd>" not in page


def test_the_clock_is_shared_through_a_file(tmp_path: Path) -> None:
    path, port = tmp_path / "clock.json", free_port()
    path.write_text(json.dumps({"offset_seconds": 1000}))
    process = start(port, "--clock-file", str(path))
    try:
        sim = Sim(f"http://127.0.0.1:{port}")
        assert sim.look("clock")["offset_seconds"] == 1000
        sim.advance(500)
        assert json.loads(path.read_text()) == {"offset_seconds": 1500.0}
        path.write_text(json.dumps({"offset_seconds": -5}))
        assert sim.look("clock")["offset_seconds"] == -5
        sim.http.close()
    finally:
        stop(process)


def test_the_state_survives_a_restart(tmp_path: Path, callback: Callback) -> None:
    path, port = tmp_path / "state.json", free_port()
    process = start(port, "--state-file", str(path))
    sim = Sim(f"http://127.0.0.1:{port}")
    sim.account(callback_url=callback.url)
    openid = sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("text", user="小明", content="hi")
    token, media = sim.access_token(), sim.client().media
    picture = media.upload("image", ("a.gif", b"GIF89a" + b"0" * 20))["media_id"]
    before = sim.chat("小明")
    stop(process)

    process = start(port, "--state-file", str(path))
    try:
        assert sim.chat(openid) == before
        assert "ip_list" in sim.api("/cgi-bin/getcallbackip", access_token=token)
        assert sim.client().media.download(picture).content.startswith(b"GIF89a")
        sim.control("text", user="小明", content="again")
        ids = [each["id"] for each in sim.chat("小明")]
        assert ids == sorted(set(ids))
        sim.http.close()
    finally:
        stop(process)


def test_the_state_is_saved_while_it_runs(tmp_path: Path) -> None:
    path, port = tmp_path / "state.json", free_port()
    process = start(port, "--state-file", str(path))
    try:
        sim = Sim(f"http://127.0.0.1:{port}")
        sim.account()
        eventually(lambda: path.exists() and APP_ID in path.read_text())
        sim.http.close()
    finally:
        stop(process)
