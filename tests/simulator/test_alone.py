"""The simulator needs nothing else of Banyan, keeps old state, and its documentation is true."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import requests

from simulator.docs import EXAMPLES, HAZARDS
from simulator.faults import Faults
from simulator.store import read_state
from tests.simulator.conftest import ROOT, Sim, eventually, free_port, stop


def test_a_copy_of_the_folder_runs_by_itself(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "simulator", tmp_path / "simulator")
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "simulator", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environ)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(url), 20)
        for path in ("/", "/_sim/docs", "/_sim/trace", "/_sim/bridge.js", "/_sim/static/phones.css"):  # fmt: skip
            assert requests.get(url + path, timeout=10).status_code == 200
        assert requests.post(f"{url}/_sim/users", json={"name": "Alice"}, timeout=10).ok
    finally:
        stop(process)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).ok
    except requests.ConnectionError:
        return False


def test_the_examples_of_the_documentation_work(sim: Sim) -> None:
    sim.control("reset")
    page = html.unescape(requests.get(f"{sim.url}/_sim/docs", timeout=10).text)
    shown = re.findall(r'<pre class="example">curl (\S+) -d \'(.*?)\'</pre>', page, re.DOTALL)
    assert len(shown) == len(EXAMPLES)
    sim.control("faults", push_deliveries=1)
    for url, body in shown:
        assert urlsplit(url).netloc == urlsplit(sim.url).netloc
        answer = requests.post(url, data=body.encode(), timeout=30)
        assert answer.ok, answer.text
        assert not answer.json().get("errcode"), answer.text


def test_what_the_documentation_says_of_faults_and_calls_exists(sim: Sim) -> None:
    page = html.unescape(requests.get(f"{sim.url}/_sim/docs", timeout=10).text)
    names = {each.name for each in fields(Faults)}
    hows = " ".join(how for _, how in HAZARDS)
    for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", hows):
        known = {"advance_seconds", "rotate_token", "share_max_bps", "share_notify_url", "mch_id"}
        assert word in names | known, word
    for call in re.findall(r"POST (/_sim/[a-z_/<>]+)", hows):
        assert f"POST {call}" in page


def test_a_state_file_of_an_older_simulator_is_still_read(tmp_path: Path) -> None:
    old = {
        "accounts": {
            "wx1": {
                "app_id": "wx1",
                "secret": "s",
                "menu": {"button": []},
                "contacts": {"o1": {"openid": "o1", "user_id": "u1", "subscribed": True}},
                "something_that_is_gone": 1,
            }
        },
        "users": {"u1": {"id": "u1", "name": "Alice", "unionid": "oU", "openids": {"wx1": "o1"}}},
        "merchants": {
            "19": {
                "mch_id": "19", "api_v3_key": "k", "serial_no": "S", "public_key": "P",
                "public_key_id": "ID", "platform_key": "K", "balance_fen": 5,
            }
        },
        "last_id": 7,
    }  # fmt: skip
    file = tmp_path / "state.json"
    file.write_text(json.dumps(old), "utf-8")
    state = read_state(file)
    account = state.accounts["wx1"]
    assert (account.contacts["o1"].tags, account.contacts["o1"].blacklisted) == ([], False)
    assert [tag.name for tag in account.tags.values()] == ["星标组"]
    assert (state.merchants["19"].balance_fen, state.merchants["19"].fee_bps) == (5, 60)
    assert state.users["u1"].platform == "2"
    assert state.last_id == 7
