"""A promoter's link, the rules they agree to, and the poster."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import members, posters
from domain.models import BindingHistory, Consent, Event, ProgrammeText
from jobs import posters as poster_jobs
from jobs.drain import drain
from tests.web.h5.conftest import Village


def history_of(village: Village, name: str) -> list[str]:
    member_id = village.paying.member_id(name)
    query = select(BindingHistory.reason).where(BindingHistory.member_id == member_id)
    return village.database.read(lambda s: list(s.scalars(query)))


# --- the link -------------------------------------------------------------------------------------------------------


def test_follower_without_a_referrer_is_bound_by_a_link(village: Village) -> None:
    village.person("mei")
    village.person("bo")
    phone = village.phone("bo")
    answer = phone.open(f"?r={village.code_of('mei')}")
    assert "现在是您的邀请人" in answer.text
    assert village.referrer_of("bo") == "mei"
    assert history_of(village, "bo") == ["link"]
    assert village.paying.told("friend_joined") == 1


def test_link_opened_again_changes_nothing(village: Village) -> None:
    village.person("mei")
    village.person("bo")
    phone, link = village.phone("bo"), f"?r={village.code_of('mei')}"
    phone.open(link)
    phone.open(link)
    assert history_of(village, "bo") == ["link"]
    assert village.paying.told("friend_joined") == 1


@pytest.mark.parametrize(
    ("who", "whose", "said"),
    [
        ("mei", "mei", "这是您自己的码"),
        ("mei", "bo", "对方已经在您的团队里"),
        ("bo", "eve", "您已经有邀请人了"),
        ("eve", "nobody", "这个码已经失效"),
    ],
)
def test_link_is_refused_for_the_reasons_of_a_code(
    village: Village, who: str, whose: str, said: str
) -> None:
    for name in ("mei", "eve"):
        village.person(name)
    village.friend("bo", "mei")
    code = "NOSUCHCODE22" if whose == "nobody" else village.code_of(whose)
    before = village.referrer_of(who)
    assert said in village.phone(who).open(f"?r={code}").text
    assert village.referrer_of(who) == before
    query = select(Event.detail).where(Event.kind == "bind_refused")
    assert len(village.database.read(lambda s: list(s.scalars(query)))) == 1


def test_account_that_binds_new_followers_only_binds_no_old_one_by_a_link(
    village: Village,
) -> None:
    village.set(bind_existing=False)
    village.person("mei")
    village.person("bo")
    assert "已经关注我们" in village.phone("bo").open(f"?r={village.code_of('mei')}").text
    assert village.referrer_of("bo") is None


def test_visitor_who_follows_later_is_bound_to_whose_link_they_opened(village: Village) -> None:
    """They see the promoter's own code; whichever way they follow, the link came first."""
    village.person("mei")
    village.person("eve")
    village.stranger("lin")
    phone = village.phone("lin")
    answer = phone.open(f"?r={village.code_of('mei')}")
    assert "邀请您" in answer.text
    assert "长按二维码" in answer.text
    assert village.member("lin") is None
    village.paying._follow("lin", village.paying.member_id("eve"))
    assert village.referrer_of("lin") == "mei"
    assert history_of(village, "lin") == ["link"]


def test_link_leads_outside_wechat_to_a_code_that_keeps_it(village: Village) -> None:
    village.person("mei")
    answer = village.phone("bo", agent="Chrome").get(f"?r={village.code_of('mei')}")
    assert answer.status_code == 403


@pytest.mark.parametrize("code", ["<script>", "é", "x" * 500, "' OR 1=1 --", "%00", "{x}"])
def test_link_with_anything_in_it_is_an_unknown_code(village: Village, code: str) -> None:
    village.person("bo")
    phone = village.phone("bo")
    phone.open("")
    answer = phone.client.get(
        "/m/tea/", query_string={"r": code}, headers={"User-Agent": phone.agent}
    )
    assert answer.status_code == 302
    assert "这个码已经失效" in phone.open("").text


def test_links_tapped_like_a_program_does_are_stopped(village: Village) -> None:
    village.person("bo")
    phone = village.phone("bo")
    phone.open("")
    answers = [phone.get(f"?r=CODE{number}").status_code for number in range(11)]
    assert answers == [302] * 10 + [429]


# --- the rules ------------------------------------------------------------------------------------------------------


def test_nobody_promotes_before_they_agreed_where_the_account_wants_it(village: Village) -> None:
    village.set(consent_required=True, programme_terms="第一条\n请如实介绍 <b>商品</b>")
    village.person("mei")
    phone = village.phone("mei")
    page = phone.open("poster").text
    assert "请先阅读并同意推广规则" in page
    assert "&lt;b&gt;商品&lt;/b&gt;" in page
    form = phone.form("rules")
    assert phone.post("rules", **form).headers["Location"] == "/m/tea/poster"
    phone.post("rules", **form)
    assert "我的推广链接" in phone.open("poster").text
    rows = village.database.read(lambda s: list(s.scalars(select(Consent))))
    texts = village.database.read(lambda s: list(s.scalars(select(ProgrammeText))))
    assert [(one.member_id, one.version) for one in rows] == [
        (village.paying.member_id("mei"), texts[0].version)
    ]
    assert texts[0].body.startswith("第一条")


def test_new_wording_asks_everybody_again_and_agrees_for_nobody(village: Village) -> None:
    village.set(consent_required=True, programme_terms="旧")
    village.person("mei")
    phone = village.phone("mei")
    phone.open("")
    form = phone.form("rules")
    village.set(programme_terms="新")
    assert phone.post("rules", **form).headers["Location"] == "/m/tea/rules"
    assert "规则刚刚更新过" in phone.open("rules").text
    assert "请先阅读并同意推广规则" in phone.open("poster").text
    assert village.database.read(lambda s: list(s.scalars(select(Consent)))) == []


# --- the poster -----------------------------------------------------------------------------------------------------


def test_poster_is_made_once_and_shown_to_its_owner_alone(village: Village) -> None:
    village.person("mei")
    village.person("eve")
    phone = village.phone("mei")
    form = phone.form("poster")
    assert phone.post("poster", **form).headers["Location"] == "/m/tea/poster?making=1"
    phone.post("poster", **form)
    assert "正在制作" in phone.open("poster?making=1").text
    assert drain(village.paying.process, "poster", poster_jobs.prepare) == 1
    page = phone.open("poster?making=1").text
    picture = re.search(r"/m/tea/(poster\.jpg\?v=\w+)", page)
    assert picture is not None
    image = phone.open(picture[1])
    assert image.mimetype == "image/jpeg"
    assert image.data.startswith(b"\xff\xd8")
    assert "private" in image.headers["Cache-Control"]
    assert village.phone("eve").open(picture[1]).status_code == 404


def test_picture_that_wechat_forgot_is_made_anew(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    phone.post("poster", **phone.form("poster"))
    drain(village.paying.process, "poster", poster_jobs.prepare)

    def lose(session: Session) -> None:
        member = members.get(session, village.account.id, "mei")
        shown = posters.facts(session, member.id, village.now)
        assert shown is not None
        posters.keep(session, shown, "no-such-media", village.now.replace(year=2100), village.now)

    village.database.transact(lose)
    assert phone.open("poster.jpg").status_code == 404
    assert "制作海报" in phone.open("poster").text


def test_suspended_promoter_gets_no_poster(village: Village) -> None:
    village.person("mei")

    def suspend(session: Session) -> None:
        members.get(session, village.account.id, "mei").status = "suspended"

    phone = village.phone("mei")
    form = phone.form("poster")
    village.database.transact(suspend)
    assert "推广资格已暂停" in phone.open("poster").text
    assert phone.post("poster", **form).headers["Location"] == "/m/tea/poster"
    assert drain(village.paying.process, "poster", poster_jobs.prepare) == 0
