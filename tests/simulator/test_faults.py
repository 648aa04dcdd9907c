"""Faults on request, and nothing without request."""

import pytest
import requests

from tests.simulator.conftest import APP_ID, Sim, follower

PROBE = "/cgi-bin/getcallbackip"


def probe(sim: Sim, token: str) -> requests.Response:
    return requests.get(f"{sim.url}{PROBE}", params={"access_token": token}, timeout=10)


def test_the_platform_can_fail_with_html_be_busy_or_answer_nonsense(sim: Sim) -> None:
    token = sim.access_token()
    sim.control("faults", http_500_rate=1)
    assert probe(sim, token).status_code == 500
    sim.control("faults", off=True, html_rate=1.0)
    assert probe(sim, token).text.startswith("<html>")
    sim.control("faults", off=True, busy_rate=1.0)
    assert probe(sim, token).json()["errcode"] == -1
    sim.control("faults", off=True, truncate_rate=1.0)
    with pytest.raises(requests.JSONDecodeError):
        probe(sim, token).json()
    sim.control("faults", off=True)
    assert "ip_list" in probe(sim, token).json()


def test_a_dropped_answer_has_had_its_effect(sim: Sim) -> None:
    token, openid = sim.access_token(), sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("faults", drop_answer_rate=1.0, paths=["/cgi-bin/message/"])
    body = {"touser": openid, "template_id": "t", "data": {"a": {"value": "1"}}}
    with pytest.raises(requests.RequestException):
        requests.post(
            f"{sim.url}/cgi-bin/message/template/send?access_token={token}", json=body, timeout=10
        )
    assert [each["type"] for each in sim.chat("小明")] == ["template"]


def test_faults_can_be_kept_to_some_paths(sim: Sim) -> None:
    token = sim.access_token()
    sim.control("faults", busy_rate=1.0, paths=["/cgi-bin/menu/"])
    assert "ip_list" in probe(sim, token).json()
    assert sim.api("/cgi-bin/menu/get", access_token=token)["errcode"] == -1


def test_tokens_can_be_rotated_in_the_middle_of_a_batch(sim: Sim) -> None:
    token = sim.access_token()
    sim.control("faults", rotate_token_every=3)
    codes = [probe(sim, token).json().get("errcode", 0) for _ in range(4)]
    assert codes == [0, 0, 40001, 40001]


def test_the_same_seed_makes_the_same_calls_fail(sim: Sim) -> None:
    token = sim.access_token()
    runs = []
    for _ in range(2):
        sim.control("faults", busy_rate=0.5, seed=7)
        runs.append([probe(sim, token).json().get("errcode", 0) for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {0, -1}


def test_a_fault_that_does_not_exist_or_has_the_wrong_type_is_refused(sim: Sim) -> None:
    before = sim.look("faults")
    assert "busy_rate" in sim.control("faults", 400, bussy_rate=1.0)["error"]
    sim.control("faults", 400, latency_ms="long")
    sim.control("faults", 400, push_deliveries=True)
    assert sim.look("faults") == before


def test_latency_delays_every_call_alike(sim: Sim) -> None:
    token = sim.access_token()
    sim.control("faults", latency_ms=80)
    assert probe(sim, token).elapsed.total_seconds() >= 0.08
    assert sim.look("accounts")["accounts"][0]["app_id"] == APP_ID


def test_one_person_can_be_refused(sim: Sim) -> None:
    alice, bob = follower(sim, "Alice"), follower(sim, "Bob")
    sim.control("faults", refused_people={alice: 43116})
    template = {"template_id": "T", "data": {"thing1": {"value": "x"}}}
    path, token = "/cgi-bin/message/template/send", sim.access_token()
    sent = [sim.api(path, template | {"touser": each}, access_token=token) for each in (alice, bob)]
    assert [each["errcode"] for each in sent] == [43116, 0]
    sim.control("faults", off=True)


def test_an_answer_may_be_empty(sim: Sim) -> None:
    sim.control("faults", empty_rate=1, paths=["/cgi-bin/getcallbackip"])
    answer = sim.http.get(f"{sim.url}/cgi-bin/getcallbackip", timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")
    sim.control("faults", off=True)


def test_a_choice_is_one_of_its_values(sim: Sim) -> None:
    sim.control("faults", expect=400, refund_ends_in="LOST")
    sim.control("faults", expect=400, times={"dance_rate": 1})
    sim.control("faults", expect=400, times={"latency_ms": 1})
