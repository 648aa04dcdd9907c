"""Who a broadcast means: never somebody who left or said 退订, and exactly those whom every filter names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from domain import campaigns, events, members, subscriptions, tags, windows
from domain.campaigns import audience as people
from domain.campaigns.audience import Audience, Counted
from domain.china import month_of
from domain.db import Sql
from domain.errors import Invalid, NotFound
from domain.models import CampaignRecipient, MassMonth, Member, MemberTag
from tests.broadcast.conftest import Broadcasting


def _names(
    world: Broadcasting, channel: str = "mass", *, template_id: str = "", **filters: Any
) -> set[str]:
    """Openids of those who would be sent it."""
    audience = Audience.parse(filters)

    def look(session: Any) -> set[str]:
        condition = people.where(
            session, world.account.id, audience, channel, world.now, template_id=template_id
        )
        query = Sql(f"SELECT m.openid FROM member m WHERE {condition.text}")
        return {row.openid for row in query(session, *condition.values)}

    found = world.look(look)
    counted = world.look(
        lambda s: campaigns.count(
            s, world.account.id, channel, audience, world.now, template_id=template_id
        )
    )
    assert counted.people == len(found)  # what is counted is what is sent
    return found


@pytest.fixture
def family(world: Broadcasting) -> Broadcasting:
    """甲 brought 乙 and 丙, 乙 brought 丁; 丙 said 退订, 戊 left."""
    for name, by in (("jia", None), ("yi", "jia"), ("bing", "jia"), ("ding", "yi"), ("wu", None)):
        world.follow(name, by)
    world.do(lambda s: members.set_muted(s, world.account.id, "bing", True))
    world.do(
        lambda s: members.leave(
            s, world.account, "wu", created=int(world.now.timestamp()) + 5, push_key="gone", now=world.now
        )
    )  # fmt: skip
    return world


def test_everybody_is_neither_the_muted_nor_those_who_left(family: Broadcasting) -> None:
    assert _names(family) == {"jia", "yi", "ding"}
    counted = family.look(
        lambda s: campaigns.count(s, family.account.id, "mass", Audience(), family.now)
    )
    assert counted == Counted(people=3, muted=1, unreachable=0)


def test_another_account_is_never_meant(family: Broadcasting) -> None:
    other = Broadcasting.create(family.database, "coffee")
    other.follow("stranger")
    assert _names(family) == {"jia", "yi", "ding"}
    with pytest.raises(NotFound):
        _names(family, promoter="stranger")


def test_a_team_is_one_level_or_all_three(family: Broadcasting) -> None:
    assert _names(family, promoter="jia", level=1) == {"yi"}
    assert _names(family, promoter="jia", level=2) == {"ding"}
    assert _names(family, promoter="jia") == {"yi", "ding"}


def test_grade_and_purchases_filter(family: Broadcasting) -> None:
    family.do(lambda s: setattr(s.scalar(select(Member).where(Member.openid == "yi")), "grade", "gold"))  # fmt: skip
    assert _names(family, grade="gold") == {"yi"}
    family.pay("ding", 100)
    assert _names(family, bought=True) == {"ding"}
    assert _names(family, bought=False) == {"jia", "yi"}
    before, after = family.now - timedelta(days=1), family.now + timedelta(days=1)
    assert _names(family, bought_since=before.isoformat()) == {"ding"}
    assert _names(family, not_bought_since=before.isoformat()) == {"jia", "yi"}
    assert _names(family, bought_since=after.isoformat()) == set()


def test_a_language_is_the_chosen_one_or_the_accounts(family: Broadcasting) -> None:
    assert _names(family, language="zh-CN") == {"jia", "yi", "ding"}
    family.do(lambda s: members.set_language(s, family.account.id, "yi", "en"))
    assert _names(family, language="en") == {"yi"}
    assert _names(family, language="zh-CN") == {"jia", "ding"}
    assert _names(family, language="fr") == set()


def _note(world: Broadcasting, openid: str, kind: str, **ago: float) -> None:
    at = world.now - timedelta(**ago)

    def write(session: Any) -> None:
        member = members.get(session, world.account.id, openid)
        key = f"{openid}-{kind}-{ago}"
        events.record(session, world.account.id, key, kind, at, member_id=member.id)
        windows.record(session, [(world.account.id, member.id, kind, at)])

    world.do(write)


def test_active_since_and_the_window_of_single_messages(family: Broadcasting) -> None:
    family.later(hours=72)
    assert _names(family, "custom") == set()
    _note(family, "jia", events.TEXT, hours=47)
    _note(family, "yi", events.TEXT, hours=49)
    _note(family, "ding", events.CLICK, seconds=30)
    _note(family, "bing", events.TEXT, hours=1)
    assert _names(family, "custom") == {"jia", "ding"}
    since = family.now - timedelta(hours=48)
    assert _names(family, active_since=since.isoformat()) == {"jia", "ding"}


def test_who_has_had_four_this_month_is_left_out_until_the_next(family: Broadcasting) -> None:
    jia = family.look(lambda s: members.get(s, family.account.id, "jia").id)
    month = month_of(family.now)
    family.do(lambda s: s.add(MassMonth(month=month, member_id=jia, sent=4)))
    assert _names(family) == {"yi", "ding"}
    counted = family.look(
        lambda s: campaigns.count(s, family.account.id, "mass", Audience(), family.now)
    )
    assert counted.unreachable == 1
    family.later(days=31)
    assert _names(family) == {"jia", "yi", "ding"}


def test_a_subscription_notice_reaches_those_with_a_credit_for_it(family: Broadcasting) -> None:
    for openid, template_id in (("jia", "t1"), ("yi", "t2"), ("bing", "t1")):
        member = family.look(lambda s, o=openid: members.get(s, family.account.id, o).id)  # type: ignore[misc]
        family.do(lambda s, m=member, t=template_id: subscriptions.add(s, m, t, family.now))  # type: ignore[misc]
    assert _names(family, "subscription", template_id="t1") == {"jia"}  # 丙 takes no promotions
    assert _names(family, "subscription", template_id="t2") == {"yi"}
    assert _names(family, "subscription", template_id="t3") == set()


def test_promotions_can_be_refused_alone_and_the_blacklist_is_kept_out(
    family: Broadcasting,
) -> None:
    family.do(lambda s: members.set_promotions_muted(s, family.account.id, "yi", True))
    assert _names(family) == {"jia", "ding"}
    family.do(
        lambda s: tags.keep_blacklist(
            s, family.account.id, ["ding"], actor="a", now=family.now, whole=False
        )
    )
    assert _names(family) == {"jia"}


def test_a_tag_is_counted_by_who_carried_it_when_we_last_heard(family: Broadcasting) -> None:
    jia = family.look(lambda s: members.get(s, family.account.id, "jia").id)
    bing = family.look(lambda s: members.get(s, family.account.id, "bing").id)
    for member in (jia, bing):
        row = {"member_id": member, "tag_id": 101, "account_id": family.account.id, "state": "set"}
        family.do(lambda s, r=row: s.add(MemberTag(**r)))  # type: ignore[misc]
    found = family.look(
        lambda s: campaigns.count(s, family.account.id, "mass", Audience(tag=101), family.now)
    )
    assert found == Counted(people=1, muted=1, unreachable=0)


@pytest.mark.parametrize(
    "filters",
    [
        {"everything": True},
        {"tag": 0},
        {"tag": True},
        {"level": 1},
        {"promoter": "jia", "level": 4},
        {"bought": "yes"},
        {"active_since": "yesterday"},
        {"bought_since": "2026-03-01T00:00:00"},
        {"grade": "黄金"},
    ],
)
def test_an_audience_that_cannot_be_is_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Audience.parse(filters)


def test_an_audience_survives_its_json(world: Broadcasting) -> None:
    audience = Audience.parse(
        {
            "promoter": "jia",
            "level": 2,
            "bought": False,
            "active_since": "2026-03-01T08:00:00+08:00",
        }
    )
    assert Audience.parse(audience.as_value()) == audience


def test_the_plan_is_the_count(world: Broadcasting) -> None:
    world.crowd(60)
    world.crowd(7, muted=True)
    campaign = world.started({"bought": False})
    rows = world.look(
        lambda s: s.scalars(
            select(CampaignRecipient.member_id).where(CampaignRecipient.campaign_id == campaign.id)
        ).all()
    )
    assert len(rows) == len(set(rows)) == 60
