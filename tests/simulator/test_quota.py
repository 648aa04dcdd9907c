"""What the platform says about quotas, request ids and its own addresses."""

from typing import Any

from tests.simulator.conftest import APP_ID, SECRET, Sim

MENU = "/cgi-bin/menu/get"


def quota_of(sim: Sim, path: str) -> Any:
    return sim.api(
        "/cgi-bin/openapi/quota/get", {"cgi_path": path}, access_token=sim.access_token()
    )


def test_quota_get_tells_the_day_and_the_minute(sim: Sim) -> None:
    sim.api(MENU, access_token=sim.access_token())
    answer = quota_of(sim, MENU)
    assert answer["quota"] == {"daily_limit": 10_000, "used": 1, "remain": 9999}
    assert "rate_limit" not in answer
    minute = quota_of(sim, "/cgi-bin/stable_token")["rate_limit"]
    assert minute == {"call_count": 10_000, "refresh_second": 60}


def test_quota_get_refuses_what_is_no_path_of_the_account(sim: Sim) -> None:
    assert quota_of(sim, "cgi-bin/menu/get")["errcode"] == 76003
    assert quota_of(sim, "https://api.weixin.qq.com/cgi-bin/menu/get")["errcode"] == 76003
    assert quota_of(sim, "/cgi-bin/dance")["errcode"] == 76021
    assert quota_of(sim, "/sns/oauth2/access_token")["errcode"] == 76022


def test_one_path_is_cleared_fifty_times_a_month(sim: Sim) -> None:
    sim.control("faults", quota={MENU: 1})
    token = sim.access_token()
    clear = {"cgi_path": MENU}
    for _ in range(50):
        assert sim.api(MENU, access_token=token)["errcode"] == 46003
        assert sim.api(MENU, access_token=token)["errcode"] == 45009
        assert sim.api("/cgi-bin/openapi/quota/clear", clear, access_token=token)["errcode"] == 0
    assert sim.api("/cgi-bin/openapi/quota/clear", clear, access_token=token)["errcode"] == 48006
    whole = {"appid": APP_ID, "appsecret": SECRET}
    assert sim.api("/cgi-bin/clear_quota/v2", whole)["errcode"] == 0


def test_a_request_id_is_found_for_seven_days(sim: Sim) -> None:
    token = sim.access_token()
    words = sim.api(MENU, access_token=token)["errmsg"]
    rid = {"rid": words.rpartition("rid: ")[2]}
    path = "/cgi-bin/openapi/rid/get"
    found = sim.api(path, rid, access_token=token)["request"]
    assert "46003" in found["response_body"]
    assert token not in str(found)
    assert sim.api(path, {"rid": "nonsense"}, access_token=token)["errcode"] == 76002
    unknown = {"rid": "00000000-00000000-00000000"}
    assert sim.api(path, unknown, access_token=token)["errcode"] == 76001
    sim.advance(7 * 86_400 + 1)
    assert sim.api(path, rid, access_token=sim.access_token())["errcode"] == 76004


def test_the_platform_tells_its_addresses(sim: Sim) -> None:
    token = sim.access_token()
    assert sim.api("/cgi-bin/getcallbackip", access_token=token)["ip_list"] == ["127.0.0.1"]
    assert sim.api("/cgi-bin/get_api_domain_ip", access_token=token)["ip_list"] == ["127.0.0.1"]
