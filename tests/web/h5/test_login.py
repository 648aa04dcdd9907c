"""Signing in through WeChat: silently, once, in the browser that began it, and only to where it may lead."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import accounts
from domain.models import Member, Outbox, WebSession
from tests.web.h5.conftest import Village
from tests.web.h5.phone import Phone
from wechat import oauth


def sessions_of(village: Village) -> int:
    return village.database.read(lambda s: s.scalar(select(func.count(WebSession.id)))) or 0


def members_of(village: Village) -> int:
    return village.database.read(lambda s: s.scalar(select(func.count(Member.id)))) or 0


def to_wechat(phone: Phone, page: str = "") -> str:
    """Where WeChat's page is that this browser is sent to."""
    answer = phone.get(page)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def test_follower_is_signed_in_silently_and_sees_the_page_they_wanted(village: Village) -> None:
    village.person("mei", 5_000)
    phone = village.phone("mei")
    address = to_wechat(phone, "statement?before=99")
    query = parse_qs(urlsplit(address).query)
    assert query["scope"] == [oauth.BASE]
    assert len(query["state"][0]) == 64
    back = phone.get(phone.at_wechat(address))
    assert back.headers["Location"] == "/m/tea/statement?before=99"
    cookie = next(one for one in back.headers.getlist("Set-Cookie") if "banyan_m_tea" in one)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/m/tea/" in cookie
    assert "可提现" in phone.open("").text


def test_outside_wechat_the_page_says_where_to_open_it(village: Village) -> None:
    village.person("mei")
    answer = village.phone("mei", agent="Mozilla/5.0 (X11; Linux) Chrome/130").get("earnings")
    assert answer.status_code == 403
    assert "请在微信中打开" in answer.text
    assert "data:image/png;base64," in answer.text


def test_callback_opened_again_leads_on_and_begins_nothing(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    back = phone.at_wechat(to_wechat(phone))
    phone.get(back)
    cookie = phone.session_cookie
    again = phone.get(back)
    assert (again.status_code, again.headers["Location"]) == (302, "/m/tea/")
    assert phone.session_cookie == cookie
    assert sessions_of(village) == 1


def test_state_cannot_be_used_twice_even_with_a_fresh_code(village: Village) -> None:
    """The cookie is put back as a thief would who copied it, and the code is a new one."""
    village.person("mei")
    phone = village.phone("mei")
    address = to_wechat(phone)
    name = next(
        c.key for c in (phone.client._cookies or {}).values() if c.key.startswith("banyan_login")
    )
    kept = phone.client.get_cookie(name, path="/m/tea/")
    assert kept is not None
    first, second = phone.at_wechat(address), phone.at_wechat(address)
    phone.get(first)
    thief = village.phone("mei")
    thief.client.set_cookie(name, kept.value, path="/m/tea/")
    answer = thief.get(second)
    assert answer.status_code == 400
    assert "已经用过" in answer.text
    assert thief.session_cookie is None
    assert sessions_of(village) == 1


def test_state_of_another_browser_signs_nobody_in(village: Village) -> None:
    """Whoever sends somebody their own callback would put them into the sender's account."""
    village.person("mei")
    village.person("eve")
    eve, mei = village.phone("eve"), village.phone("mei")
    lure = eve.at_wechat(to_wechat(eve))
    answer = mei.get(lure)
    assert answer.status_code == 400
    assert mei.session_cookie is None
    assert sessions_of(village) == 0


@pytest.mark.parametrize("state", ["", "x", "0" * 64, "é" * 64, "0" * 32 + "g" * 32, "a" * 4000])
def test_state_of_nobodys_making_is_refused(village: Village, state: str) -> None:
    answer = village.phone("mei").client.get(
        "/m/tea/login", query_string={"code": "c", "state": state}
    )
    assert answer.status_code == 400
    assert sessions_of(village) == 0


def test_sign_in_that_took_too_long_has_to_begin_again(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    address = to_wechat(phone)
    village.paying.later(601)
    assert phone.get(phone.at_wechat(address)).status_code == 400


def test_used_code_is_handled_kindly(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    back = phone.at_wechat(to_wechat(phone))
    code = parse_qs(urlsplit(back).query)["code"][0]
    oauth.exchange(village.paying.context.platform(village.account), "s" * 32, code)
    answer = phone.get(back)
    assert answer.status_code == 400
    assert "重新打开" in answer.text
    assert "可提现" in phone.open("").text


def test_wechat_that_is_away_is_said_and_nothing_begins(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    back = phone.at_wechat(to_wechat(phone))
    village.simulator.post("/_sim/faults", busy_rate=1)
    answer = phone.get(back)
    assert answer.status_code == 503
    assert sessions_of(village) == 0


def test_visitor_who_refuses_consent_is_not_signed_in(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    state = parse_qs(urlsplit(to_wechat(phone)).query)["state"][0]
    assert phone.get(f"login?state={state}").status_code == 403
    assert sessions_of(village) == 0


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "/m/other/", "/console/", "javascript:alert(1)",
        "/m/tea/../../console/", "/m/tea/\r\nSet-Cookie: a=b", "/m/tea", "/m/teahouse/", "", "\u2028/m/tea/",
        "http://[",
    ],
)  # fmt: skip
def test_nobody_is_led_to_another_site_or_account(village: Village, to: str) -> None:
    village.person("mei")
    phone = village.phone("mei")
    answer = phone.client.get(
        "/m/tea/login/start", query_string={"to": to}, headers={"User-Agent": phone.agent}
    )
    back = phone.get(phone.at_wechat(answer.headers["Location"]))
    assert back.headers["Location"] == "/m/tea/"


def test_snapshot_visitor_sees_a_public_page_and_is_nobody(village: Village) -> None:
    village.person("mei")
    village.person("eve")
    code = village.code_of("mei")
    village.simulator.post("/_sim/faults", snapshot_visitors=True)
    before = members_of(village)
    phone = village.phone("eve")
    answer = phone.open(f"?r={code}")
    assert answer.status_code == 200
    assert "使用完整服务" in answer.text
    assert phone.session_cookie is None
    assert (sessions_of(village), members_of(village)) == (0, before)
    assert village.referrer_of("eve") is None


def test_cookie_of_one_account_is_worthless_in_another(village: Village) -> None:
    village.person("mei", 5_000)
    phone = village.phone("mei")
    phone.open("")
    token = phone.session_cookie
    assert token is not None

    def other(session: Session) -> None:
        accounts.add(
            session, village.paying.context.keyring, slug="rice", name="米", app_id="wxrice", gh_id="gh_rice",
            app_secret="s", token="token2", aes_key="a" * 43, mode="plain", depth=3, now=village.now,
        )  # fmt: skip

    village.database.transact(other)
    thief = village.phone("mei", slug="rice")
    thief.client.set_cookie("banyan_m_rice", token, path="/m/rice/")
    answer = thief.get("")
    assert answer.status_code == 302
    assert "/connect/oauth2/authorize" in answer.headers["Location"]


def test_every_sign_in_rotates_the_cookie_and_ends_the_session_before(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    phone.open("")
    old = phone.session_cookie
    assert old is not None
    answer = phone.get("login/start")
    phone.get(phone.at_wechat(answer.headers["Location"]))
    assert phone.session_cookie not in {None, old}
    thief = village.phone("mei")
    thief.client.set_cookie("banyan_m_tea", old, path="/m/tea/")
    assert thief.get("").status_code == 302


def test_session_ends_by_leaving_and_by_time(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    token = phone.csrf()
    kept = phone.session_cookie
    assert kept is not None
    assert phone.post("logout", token).headers["Location"] == "/m/tea/welcome"
    thief = village.phone("mei")
    thief.client.set_cookie("banyan_m_tea", kept, path="/m/tea/")
    assert thief.get("").status_code == 302
    phone.open("")
    assert phone.get("").status_code == 200
    village.database.transact(
        lambda s: s.execute(update(WebSession).values(expires_at=village.now))
    )
    assert phone.get("").status_code == 302


def test_follower_from_before_us_becomes_a_member_at_the_first_visit(village: Village) -> None:
    village.stranger("old", subscribed=True)
    assert village.member("old") is None
    assert "可提现" in village.phone("old").open("").text
    member = village.member("old")
    assert member is not None
    assert member.following


def test_visitor_who_does_not_follow_becomes_no_member(village: Village) -> None:
    village.stranger("new")
    phone = village.phone("new")
    answer = phone.open("earnings")
    assert answer.status_code == 403
    assert "请先关注公众号" in answer.text
    assert village.member("new") is None
    assert phone.get("rules").status_code == 200


def test_nickname_is_asked_for_only_with_consent(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    phone.open("profile")
    address = to_wechat(phone, "profile/wechat")
    assert parse_qs(urlsplit(address).query)["scope"] == [oauth.USERINFO]
    phone.get(phone.at_wechat(address, sim_agreed="1"))
    member = village.member("mei")
    assert member is not None
    assert member.nickname == "mei"
    asked = village.database.read(
        lambda s: s.scalars(select(Outbox).where(Outbox.member_id == member.id)).all()
    )
    [picture] = [one.payload for one in asked if "picture" in one.payload]
    assert "/132" in picture, "a job fetches it"


def test_unknown_account_is_no_page(village: Village) -> None:
    for slug in ("nobody", "TEA", "tea%00", "é"):
        answer = village.phone("mei", slug=slug).get("")
        assert answer.status_code == 404
        assert answer.mimetype == "text/html"
