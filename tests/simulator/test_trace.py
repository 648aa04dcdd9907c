"""「我的服务器刚才做了什么？」: everything in one line of time, without secrets."""

from pathlib import Path
from typing import Any

import requests

from simulator.blobs import Blobs
from simulator.clock import Clock
from simulator.state import JOURNAL_LENGTH, World
from tests.simulator.conftest import APP_ID, SECRET, Callback, Sim, follower


def seen(sim: Sim, **wish: Any) -> list[dict[str, Any]]:
    answer = sim.http.get(f"{sim.url}/_sim/trace.json", params=wish, timeout=10)
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


def test_an_act_its_push_and_the_calls_follow_each_other(sim: Sim) -> None:
    openid = follower(sim, "Alice")
    sim.client().user.get(openid)
    story = [(each["kind"], each["path"]) for each in reversed(seen(sim))]
    assert story[-4:] == [
        ("act", "/_sim/follow"),
        ("push", sim.look("accounts")["accounts"][0]["callback_url"]),
        ("call", "/cgi-bin/token"),
        ("call", "/cgi-bin/user/info"),
    ]


def test_secrets_are_masked_everywhere(sim: Sim) -> None:
    follower(sim, "Alice")
    client = sim.client()
    client.jsapi.get_ticket()
    token = client.access_token
    ticket = client.jsapi.get_jsapi_ticket()
    told = str(seen(sim))
    page = requests.get(f"{sim.url}/_sim/trace", timeout=10).text
    for secret in (SECRET, token, ticket, "callbacktoken"):
        assert secret not in told
        assert secret not in page
    assert "***" in told


def test_the_trace_is_filtered_by_phone_path_kind_and_account(sim: Sim) -> None:
    alice, _ = follower(sim, "Alice"), follower(sim, "Bob")
    sim.client().user.get(alice)
    assert all(alice in str(each) or "Alice" in str(each) for each in seen(sim, user="Alice"))
    assert {each["kind"] for each in seen(sim, user="Alice")} == {"act", "push", "call"}
    assert {each["path"] for each in seen(sim, path="/cgi-bin/user")} == {"/cgi-bin/user/info"}
    assert {each["kind"] for each in seen(sim, kind="push")} == {"push"}
    assert seen(sim, account="wxnobody") == []
    newest = seen(sim)[0]["id"]
    assert seen(sim, after=newest) == []
    assert len(seen(sim, limit=2)) == 2
    assert seen(sim, account=APP_ID, kind="call")


def test_repeated_deliveries_are_all_told(sim: Sim, callback: Callback) -> None:
    sim.control("faults", push_spacing_ms=10)
    callback.answer = lambda _: (500, "<b>broken</b>")
    follower(sim, "Alice")
    push = seen(sim, kind="push")[0]
    names = [each["name"] for each in push["parts"]]
    assert push["failed"]
    assert [name.partition(",")[0] for name in names if name.startswith("delivery")] == [
        "delivery 1: 500",
        "delivery 2: 500",
        "delivery 3: 500",
    ]
    page = requests.get(f"{sim.url}/_sim/trace", timeout=10).text
    assert "<b>broken</b>" not in page
    assert "&lt;b&gt;broken" in page
    sim.control("faults", off=True)


def test_the_memory_of_what_happened_is_bounded(tmp_path: Path) -> None:
    world = World(Clock(), Blobs(tmp_path))
    for journal in (world.acts, world.pushes, world.calls, world.notices, world.reports):
        assert journal.maxlen == JOURNAL_LENGTH
