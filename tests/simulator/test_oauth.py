"""Web login: from the page in the phone to the person behind the code."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.simulator.conftest import APP_ID, SECRET, Sim

BACK = "https://shop.example.com/m?x=1"


def visit(sim: Sim, user: str | None, **change: Any) -> requests.Response:
    """Open the authorize page on this person's phone; redirects are not followed."""
    query = {
        "appid": APP_ID,
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "snsapi_base",
        "state": "s t&",
    }
    holder = {"sim_user": user} if user else {}
    return requests.get(
        f"{sim.url}/connect/oauth2/authorize",
        params=query | holder | change,
        allow_redirects=False,
        timeout=10,
    )


def code_of(answer: requests.Response) -> str:
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def exchange(sim: Sim, code: str, **change: Any) -> Any:
    query = {"appid": APP_ID, "secret": SECRET, "code": code, "grant_type": "authorization_code"}
    return sim.api("/sns/oauth2/access_token", **query | change)


def test_a_silent_login_gives_the_openid_and_nothing_more(sim: Sim) -> None:
    openid = sim.user("小明")
    answer = visit(sim, "小明")
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.headers["Location"].startswith(BACK)
    assert (query["state"], query["x"]) == (["s t&"], ["1"])
    token = exchange(sim, code_of(answer))
    assert (token["openid"], token["scope"]) == (openid, "snsapi_base")
    who = {"access_token": token["access_token"], "openid": openid}
    assert sim.api("/sns/auth", **who)["errcode"] == 0
    assert sim.api("/sns/userinfo", **who)["errcode"] == 48001


def test_a_code_works_once_and_for_five_minutes(sim: Sim) -> None:
    sim.user("小明")
    used, late = code_of(visit(sim, "小明")), code_of(visit(sim, "小明"))
    assert "openid" in exchange(sim, used)
    assert exchange(sim, used)["errcode"] == 40163
    sim.advance(301)
    assert exchange(sim, late)["errcode"] == 42003
    assert exchange(sim, "made up")["errcode"] == 40029
    assert exchange(sim, "")["errcode"] == 41008
    assert exchange(sim, used, secret="wrong")["errcode"] == 40125


def test_strangers_are_asked_for_name_and_picture_and_followers_are_not(sim: Sim) -> None:
    sim.account(unionid=True)
    openid = sim.user("小明")
    asked = visit(sim, "小明", scope="snsapi_userinfo")
    assert asked.status_code == 200
    assert "允许" in asked.text
    agreed = visit(sim, "小明", scope="snsapi_userinfo", sim_agreed="1")
    token = exchange(sim, code_of(agreed))
    info = sim.api("/sns/userinfo", access_token=token["access_token"], openid=openid)
    assert (info["nickname"], info["unionid"]) == ("小明", token["unionid"])
    assert requests.get(info["headimgurl"], timeout=10).headers["Content-Type"] == "image/png"
    sim.control("follow", user="小明")
    assert visit(sim, "小明", scope="snsapi_userinfo").status_code == 302


def test_tokens_expire_and_are_refreshed_for_30_days(sim: Sim) -> None:
    openid = sim.user("小明")
    token = exchange(sim, code_of(visit(sim, "小明")))
    refreshing = {"appid": APP_ID, "grant_type": "refresh_token"}
    refreshing["refresh_token"] = token["refresh_token"]
    sim.advance(7201)
    who = {"access_token": token["access_token"], "openid": openid}
    assert sim.api("/sns/auth", **who)["errcode"] == 42001
    fresh = sim.api("/sns/oauth2/refresh_token", **refreshing)
    who["access_token"] = fresh["access_token"]
    assert sim.api("/sns/auth", **who)["errcode"] == 0
    assert sim.api("/sns/auth", access_token=fresh["access_token"], openid="x")["errcode"] == 40003
    sim.advance(30 * 86_400)
    assert sim.api("/sns/oauth2/refresh_token", **refreshing)["errcode"] == 42002


def test_a_snapshot_visitor_has_an_openid_of_nobody(sim: Sim) -> None:
    openid = sim.user("小明")
    sim.control("faults", snapshot_visitors=True)
    token = exchange(sim, code_of(visit(sim, "小明")))
    assert token["is_snapshotuser"] == 1
    assert token["openid"] != openid


WRONG = [
    ({"appid": "wxnobody"}, "10013"),
    ({"redirect_uri": "nonsense"}, "10003"),
    ({"redirect_uri": "https://evil.example.com/"}, "10003"),
    ({"scope": "everything"}, "10005"),
]


@pytest.mark.parametrize(("change", "errcode"), WRONG)
def test_a_wrong_request_ends_on_an_error_page(
    sim: Sim, change: dict[str, str], errcode: str
) -> None:
    sim.account(web_domains=["shop.example.com"])
    sim.user("小明")
    answer = visit(sim, "小明", **change)
    assert answer.status_code == 200
    assert errcode in answer.text


def test_without_a_phone_in_hand_the_page_asks_whose_it_is(sim: Sim) -> None:
    sim.user("小明")
    assert "小明" in visit(sim, None).text
    page = visit(sim, None).url
    with requests.Session() as browser:
        opened = browser.get(
            f"{sim.url}/_sim/open",
            params={"user": "小明", "url": page},
            allow_redirects=False,
            timeout=10,
        )
        assert opened.headers["Location"] == page
        assert browser.get(page, allow_redirects=False, timeout=10).status_code == 302


def test_the_js_ticket_stays_the_same_until_it_expires(sim: Sim) -> None:
    token = sim.access_token()
    path = "/cgi-bin/ticket/getticket"
    first = sim.api(path, access_token=token, type="jsapi")
    sim.advance(3600)
    again = sim.api(path, access_token=token, type="jsapi")
    assert again["ticket"] == first["ticket"]
    assert 3590 <= again["expires_in"] <= 3600
    sim.advance(3700)
    assert sim.api(path, access_token=sim.access_token(), type="jsapi")["ticket"] != first["ticket"]
    assert sim.api(path, access_token=sim.access_token(), type="tea")["errcode"] == 40097
