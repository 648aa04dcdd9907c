"""粉丝同步 against the simulator: pages, who is new, back or gone, profiles, and tags in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import followers, members, tags
from domain.models import FollowerSync, Member, MemberTag
from jobs import followers as job
from jobs import tags as tag_job
from jobs.process import Process
from tests.jobs.conftest import APP_ID, Shop
from wechat import api
from wechat import followers as platform
from wechat import tags as platform_tags
from wechat.client import PlatformClient


def person(shop: Shop, name: str, *, follows: bool = True) -> str:
    """Somebody the simulator knows and we do not; their openid."""
    openid: str = shop.simulator.post("/_sim/users", name=name)["openids"][APP_ID]
    if follows:
        shop.simulator.post("/_sim/follow", user=openid, wait=False)
    return openid


def begin(shop: Shop) -> FollowerSync:
    now = shop.context.clock.now()
    return shop.database.transact(
        lambda s: followers.begin(s, shop.account.id, actor="小王", now=now)
    )


def known_before(shop: Shop, openid: str, *, following: bool = True, seconds_ago: int = 3600) -> int:  # fmt: skip
    """A member since a while ago, by a push."""
    now = shop.context.clock.now()
    created = int(now.timestamp()) - seconds_ago

    def join(session: Session) -> int:
        act = members.follow if following else members.leave
        more: dict[str, Any] = {"scene_code": None} if following else {}
        return act(
            session, shop.account, openid, created=created, push_key=f"k-{openid}", now=now, **more
        ).member_id

    return shop.database.transact(join)


def result(shop: Shop) -> dict[str, Any]:
    row = shop.database.read(lambda s: followers.latest(s, shop.account.id))
    assert row is not None
    return followers.as_value(row)


def member(shop: Shop, openid: str) -> Member:
    return shop.database.read(lambda s: members.get(s, shop.account.id, openid))


def test_a_sync_makes_our_followers_those_of_wechat(shop: Shop, process: Process) -> None:
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, unionid=True)
    new, back = person(shop, "新"), person(shop, "回")
    gone, just_came = person(shop, "走", follows=False), person(shop, "刚来", follows=False)
    known_before(shop, back, following=False)
    known_before(shop, gone)
    known_before(shop, just_came, seconds_ago=0)
    platform.set_remark(shop.context.platform(shop.account), new, "王姐")
    assert begin(shop).id == begin(shop).id, "one sync at a time"
    job.sync(process)
    done = result(shop)
    assert {name: done[name] for name in ("state", "total", "listed", "joined", "returned", "left")} == {
        "state": "done", "total": 2, "listed": 2, "joined": 1, "returned": 1, "left": 1,
    }  # fmt: skip
    joined = member(shop, new)
    assert (joined.following, joined.referrer_id, joined.remark) == (True, None, "王姐")
    assert joined.unionid
    assert member(shop, back).following
    assert not member(shop, gone).following
    assert member(shop, just_came).following, "their push is newer than the list"
    begin(shop)
    job.sync(process)
    again = result(shop)
    assert (again["joined"], again["returned"], again["left"]) == (0, 0, 0)


def test_who_leaves_while_wechat_is_asked_about_them_stays_erased(
    shop: Shop, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    openid = person(shop, "大明")
    shop.simulator.post("/_sim/tag", account=APP_ID, tag=101, openids=[openid])
    platform.set_remark(shop.context.platform(shop.account), openid, "老客户")
    usual = api.users_info

    def answer_late(client: PlatformClient, openids: Sequence[str]) -> list[api.Follower]:
        told = usual(client, openids)
        now = shop.context.clock.now()
        shop.database.transact(
            lambda s: members.leave(
                s, shop.account, openid, created=int(now.timestamp()) + 1, push_key="left", now=now
            )
        )  # fmt: skip
        return told

    monkeypatch.setattr(api, "users_info", answer_late)
    begin(shop)
    job.sync(process)
    assert result(shop)["state"] == followers.DONE
    gone = member(shop, openid)
    assert (gone.following, gone.remark) == (False, None)
    tagged = select(MemberTag).where(MemberTag.member_id == gone.id)
    assert shop.database.read(lambda s: list(s.scalars(tagged))) == []


@pytest.mark.parametrize("ends", [True, False])
def test_both_ways_in_which_the_list_may_end(shop: Shop, process: Process, ends: bool) -> None:
    person(shop, "甲")
    shop.fault(last_page_ends=ends)
    begin(shop)
    job.sync(process)
    assert (result(shop)["state"], result(shop)["listed"]) == ("done", 1)


def test_a_busy_platform_lets_the_sync_wait_where_it_stands(shop: Shop, process: Process) -> None:
    person(shop, "甲")
    begin(shop)
    shop.fault(busy_rate=1.0, paths=["/cgi-bin/user/info/batchget"])
    job.sync(process)
    waits = result(shop)
    assert (waits["state"], waits["listed"]) == ("profiles", 1)
    assert waits["last_error"]
    assert job.sync(process) == 0, "it waits"
    shop.fault(busy_rate=0.0)
    shop.move_clock(601)
    job.sync(process)
    assert (result(shop)["state"], result(shop)["listed"]) == ("done", 1)


def carried(shop: Shop, member_id: int) -> dict[int, str]:
    def read(session: Session) -> dict[int, str]:
        rows = session.query(MemberTag).filter(MemberTag.member_id == member_id)
        return {row.tag_id: row.state for row in rows}

    return shop.database.read(read)


def test_tags_of_rules_reach_wechat_and_leave_again(shop: Shop, process: Process) -> None:
    client = shop.context.platform(shop.account)
    anna, ben = person(shop, "安"), person(shop, "本")
    one, two = known_before(shop, anna), known_before(shop, ben)
    rule = shop.database.transact(
        lambda s: tags.put_rule(s, shop.account.id, tags.BOUGHT, "yes", "老客户")
    )
    shop.database.transact(lambda s: tags.put_rule(s, shop.account.id, tags.BOUGHT, "no", "新客"))
    tag_job.sync(process)
    names = {each.name: each.tag_id for each in platform_tags.list_tags(client)}
    assert platform_tags.tags_of_person(client, anna) == [names["新客"]]
    now = shop.context.clock.now()

    def buys(session: Session) -> None:
        session.get_one(Member, one).first_paid_at = now
        session.flush()
        tags.mark(session, shop.account.id, [one])

    shop.database.transact(buys)
    tag_job.sync(process)
    assert platform_tags.tags_of_person(client, anna) == [names["老客户"]]
    assert platform_tags.tags_of_person(client, ben) == [names["新客"]]
    assert carried(shop, one) == {names["老客户"]: "set"}
    assert carried(shop, two) == {names["新客"]: "set"}
    before = len(shop.calls("/cgi-bin/tags/members/batchtagging"))
    tag_job.sync(process)
    assert len(shop.calls("/cgi-bin/tags/members/batchtagging")) == before, "told once"
    shop.database.transact(lambda s: tags.remove_rule(s, shop.account.id, rule.id))
    tag_job.sync(process)
    assert platform_tags.tags_of_person(client, anna) == []
    assert carried(shop, one) == {}


def test_one_person_whom_wechat_refuses_does_not_stop_the_others(
    shop: Shop, process: Process
) -> None:
    client = shop.context.platform(shop.account)
    openids = [person(shop, name) for name in "甲乙丙"]
    ids = [known_before(shop, openid) for openid in openids]
    stranger = known_before(shop, "o-never-heard-of")
    shop.database.transact(lambda s: tags.put_rule(s, shop.account.id, tags.BOUGHT, "no", "新客"))
    tag_job.sync(process)
    [tag_id] = [each.tag_id for each in platform_tags.list_tags(client) if each.name == "新客"]
    assert [carried(shop, each) for each in ids] == [{tag_id: "set"}] * 3
    assert carried(shop, stranger) == {tag_id: "refused"}
    assert shop.database.read(lambda s: tags.next_batch(s, shop.account.id)) is None


def test_tags_given_in_wechat_are_read_back_and_no_rule_takes_them(
    shop: Shop, process: Process
) -> None:
    client = shop.context.platform(shop.account)
    anna = person(shop, "安")
    tag = platform_tags.create_tag(client, "熟客")
    platform_tags.tag_people(client, tag.tag_id, [anna])
    begin(shop)
    job.sync(process)
    one = member(shop, anna).id
    assert carried(shop, one) == {tag.tag_id: "set"}
    shop.database.transact(lambda s: tags.mark(s, shop.account.id, [one]))
    shop.database.transact(lambda s: tags.look(s, shop.account.id))
    assert carried(shop, one) == {tag.tag_id: "set"}
    platform_tags.untag_people(client, tag.tag_id, [anna])
    begin(shop)
    job.sync(process)
    assert carried(shop, one) == {}
