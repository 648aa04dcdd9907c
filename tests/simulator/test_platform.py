"""Quotas, addresses, bodies and the journal: what all calls have in common."""

import pytest
import requests
from wechatpy.exceptions import APILimitedException

from tests.simulator.conftest import APP_ID, Sim, eventually

QR = "/cgi-bin/qrcode/create"


def test_the_day_has_a_limit_that_can_be_seen_and_cleared(sim: Sim) -> None:
    sim.control("faults", quota={"/cgi-bin/menu/get": 3})
    client = sim.client()
    for _ in range(3):
        assert client.menu.get() is None
    with pytest.raises(APILimitedException):
        client.menu.get()
    path = {"cgi_path": "/cgi-bin/menu/get"}
    seen = client.post("openapi/quota/get", data=path)["quota"]
    assert seen == {"daily_limit": 3, "used": 3, "remain": 0}
    client.post("clear_quota", data={"appid": APP_ID})
    assert client.menu.get() is None
    sim.advance(86_400)
    assert sim.client().post("openapi/quota/get", data=path)["quota"]["used"] == 0


def test_quotas_can_be_cleared_ten_times_a_month(sim: Sim) -> None:
    token = sim.access_token()
    answers = [
        sim.api("/cgi-bin/clear_quota", {"appid": APP_ID}, access_token=token)["errcode"]
        for _ in range(11)
    ]
    assert answers == [0] * 10 + [48006]


def test_a_minute_can_have_a_limit_too(sim: Sim) -> None:
    sim.control("faults", rate_per_minute={"/cgi-bin/getcallbackip": 2})
    token = sim.access_token()
    answers = [sim.api("/cgi-bin/getcallbackip", access_token=token) for _ in range(3)]
    # A minute may end between two of the calls: then the third is the second of the next one.
    assert answers[-1].get("errcode", 45011) == 45011
    assert "ip_list" in answers[0]


UNKNOWN_PATHS = [("/cgi-bin/nothing", 76021), ("cgi-bin/menu/get", 76003)]


@pytest.mark.parametrize(("path", "errcode"), UNKNOWN_PATHS)
def test_the_quota_of_an_unknown_path_is_refused(sim: Sim, path: str, errcode: int) -> None:
    body = {"cgi_path": path}
    answer = sim.api("/cgi-bin/openapi/quota/get", body, access_token=sim.access_token())
    assert answer["errcode"] == errcode


def test_wechatpy_reads_the_platforms_addresses(sim: Sim) -> None:
    assert sim.client().misc.get_wechat_ips() == ["127.0.0.1"]


def test_a_body_that_is_not_json_is_a_format_error(sim: Sim) -> None:
    token = sim.access_token()
    for body, errcode in ((b"", 44002), (b"{", 47001), (b"[]", 47001), (b"\xff", 47001)):
        url = f"{sim.url}{QR}?access_token={token}"
        assert requests.post(url, data=body, timeout=10).json()["errcode"] == errcode


def test_recorded_calls_hide_every_secret(sim: Sim) -> None:
    client = sim.client()
    client.menu.get()
    sim.access_token()
    shown = eventually(lambda: sim.look("calls")["calls"])
    assert [each["path"] for each in shown] == [
        "/cgi-bin/stable_token",
        "/cgi-bin/menu/get",
        "/cgi-bin/token",
    ]
    assert shown[1]["errcode"] == 46003
    assert client.access_token not in str(shown)
    assert "s3cret" not in str(shown)
