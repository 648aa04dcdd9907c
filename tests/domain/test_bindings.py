"""绑定: whom a scan binds to, and every way in which it does not."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from domain import bindings, events, members, notices, scenes
from domain.db import Database
from domain.models import BindingHistory, Event, Member, Outbox
from domain.tally import Figures
from tests.domain.world import KEYRING, START, World


def refusals(world: World) -> list[str | None]:
    """The reasons that were counted, oldest first."""
    query = select(Event.detail).where(
        Event.account_id == world.account.id, Event.kind == events.BIND_REFUSED
    )
    return world.look(lambda s: list(s.scalars(query.order_by(Event.id))))


def history(world: World, name: str) -> list[tuple[int, int | None, int | None, str]]:
    query = select(BindingHistory).where(BindingHistory.member_id == world.id_of(name))
    rows = world.look(lambda s: list(s.scalars(query.order_by(BindingHistory.seq))))
    return [(row.seq, row.from_referrer_id, row.to_referrer_id, row.reason) for row in rows]


def level(world: World, name: str, number: int) -> Figures:
    return world.summary(name).levels[number]


# --- who is bound ---------------------------------------------------------------------------------------------------


def test_follower_by_a_friends_code_is_bound_over_three_levels(world: World) -> None:
    world.people("ann", "bob", "cai")
    touch = world.follow("dan", "cai")
    assert (touch.is_new, touch.referrer, touch.refused) == (True, world.name_of("cai"), None)
    assert world.uplines_of("dan") == ["cai", "bob", "ann"]
    assert [level(world, "ann", n).people for n in (1, 2, 3)] == [1, 1, 1]
    world.check()


def test_fourth_level_is_bound_but_not_counted(world: World) -> None:
    world.people("ann", "bob", "cai", "dan", "eve")
    assert world.uplines_of("eve") == ["dan", "cai", "bob"]
    assert world.summary("ann").total.people == 3
    world.check()


def test_first_touch_wins(world: World) -> None:
    world.people("ann", "dan")
    world.follow("bob")
    touch = world.scan("dan", "bob")
    assert (touch.referrer, touch.refused) == (None, bindings.BOUND_ALREADY)
    assert world.referrer_of("dan") == "ann"
    assert refusals(world) == [bindings.BOUND_ALREADY]


@pytest.mark.parametrize("days", [0, 29, 31])
def test_protected_binding_moves_after_its_days(world: World, days: int) -> None:
    world.change(bind_policy="protected", protect_days=30)
    world.people("ann", "dan")
    world.follow("bob")
    world.later(days=days)
    world.scan("dan", "bob")
    assert world.referrer_of("dan") == ("bob" if days > 30 else "ann")
    world.check()


def test_last_touch_moves_at_every_scan_and_keeps_the_history(world: World) -> None:
    world.change(bind_policy="last_touch")
    world.people("ann", "dan")
    world.people("root", "bob")
    assert world.scan("dan", "bob").referrer == world.name_of("bob")
    ann, bob = world.id_of("ann"), world.id_of("bob")
    assert history(world, "dan") == [(1, None, ann, "scan"), (2, ann, bob, "scan")]
    assert world.uplines_of("dan") == ["bob", "root"]
    assert (level(world, "ann", 1).people, level(world, "bob", 1).people) == (0, 1)
    world.check()


def test_last_touch_by_the_same_referrer_changes_nothing(world: World) -> None:
    world.change(bind_policy="last_touch")
    world.people("ann", "dan")
    assert world.scan("dan", "ann").refused == bindings.BOUND_ALREADY
    assert len(history(world, "dan")) == 1


def test_follower_without_a_referrer_is_bound_by_a_later_scan(world: World) -> None:
    world.people("ann")
    world.follow("dan")
    assert world.scan("dan", "ann").referrer == world.name_of("ann")
    world.check()


def test_existing_follower_is_not_bound_when_only_new_ones_are(world: World) -> None:
    world.change(bind_existing=False)
    world.people("ann")
    world.follow("dan")
    assert world.scan("dan", "ann").refused == bindings.EXISTING_FOLLOWER
    assert world.referrer_of("dan") is None
    world.leave("dan")
    assert (
        world.follow("dan", "ann").referrer is not None
    )  # subscribing again by a code counts as new
    world.check()


def test_unknown_person_who_scans_joins_as_a_follower_and_is_bound(world: World) -> None:
    world.change(bind_existing=False)
    world.people("ann")
    touch = world.scan("dan", "ann")
    assert (touch.is_new, world.member("dan").following) == (True, True)
    assert level(world, "ann", 1) == Figures(people=1, following=1)
    world.check()


# --- who is not -----------------------------------------------------------------------------------------------------


def test_own_code_binds_nobody(world: World) -> None:
    world.people("ann")
    assert world.scan("ann", "ann").refused == bindings.SELF
    assert refusals(world) == [bindings.SELF]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8, 9, 30])
def test_code_of_somebody_below_is_a_cycle_at_any_depth(world: World, depth: int) -> None:
    chain = [f"m{number}" for number in range(depth + 1)]
    world.people(*chain)
    assert world.scan(chain[0], chain[-1]).refused == bindings.CYCLE
    assert world.referrer_of(chain[0]) is None
    assert refusals(world) == [bindings.CYCLE]
    world.check()


def test_code_of_another_account_is_unknown_here(world: World, database: Database) -> None:
    other = World.create(database, "coffee")
    other.people("ann")
    touch = world.follow("dan", code=other.code_of("ann"))
    assert (touch.referrer, touch.refused) == (None, bindings.UNKNOWN_SCENE)
    assert world.referrer_of("dan") is None
    assert other.summary("ann").total.people == 0


def test_one_person_in_two_accounts_is_two_members(world: World, database: Database) -> None:
    other = World.create(database, "coffee")
    world.people("ann", "dan")
    other.people("dan", "ann")
    assert (world.referrer_of("dan"), world.referrer_of("ann")) == ("ann", None)
    assert (other.referrer_of("dan"), other.referrer_of("ann")) == (None, "dan")
    world.check()


def test_suspended_promoter_binds_nobody(world: World) -> None:
    world.people("ann")
    world.suspend("ann")
    assert world.follow("dan", "ann").refused == bindings.SUSPENDED
    assert refusals(world) == [bindings.SUSPENDED]


@pytest.mark.parametrize("code", ["never-given", "促销", "🌳", "a" * 64, "%' OR 1=1 --"])
def test_unknown_scene_joins_without_a_referrer_and_is_counted(world: World, code: str) -> None:
    touch = world.follow("dan", code=code)
    assert (touch.is_new, touch.refused) == (True, bindings.UNKNOWN_SCENE)
    assert refusals(world) == [bindings.UNKNOWN_SCENE]


def test_channel_code_binds_nobody_and_is_no_refusal(world: World) -> None:
    scene = world.do(lambda s: scenes.of_channel(s, world.account.id, "橱窗海报", world.now))
    touch = world.follow("dan", code=scene.code)
    assert (touch.referrer, touch.refused) == (None, None)
    assert refusals(world) == []


def test_channels_with_long_alike_names_have_codes_of_their_own(world: World) -> None:
    labels = ["杂志" * 60 + end for end in "上下"]
    made = {
        world.do(
            partial(scenes.of_channel, account_id=world.account.id, label=label, now=world.now)
        ).code
        for label in labels
    }
    assert len(made) == 2


def test_scene_of_a_member_is_the_same_for_ever(world: World) -> None:
    world.people("ann")
    first = world.code_of("ann")
    world.later(days=400)
    assert world.code_of("ann") == first


# --- coming and going -----------------------------------------------------------------------------------------------


def test_leaving_keeps_the_binding_and_erases_personal_data(world: World) -> None:
    world.people("ann", "dan")
    world.do(lambda s: members.set_nickname(s, world.account.id, "dan", "小丹"))
    world.do(
        lambda s: members.set_contact(
            s,
            KEYRING,
            world.id_of("dan"),
            phone="13800138000",
            email="d@example.com",
            real_name="丹",
        )
    )
    world.leave("dan")
    gone = world.member("dan")
    assert world.referrer_of("dan") == "ann"
    assert not gone.following
    assert gone.unfollowed_at == world.now.replace(microsecond=0)
    kept = (
        gone.nickname,
        gone.phone,
        gone.phone_index,
        gone.email,
        gone.email_index,
        gone.real_name,
    )
    assert kept == (None,) * 6
    assert level(world, "ann", 1) == Figures(people=1, following=0)
    world.check()


def test_following_again_restores_the_same_member(world: World) -> None:
    world.people("ann", "dan")
    before = world.id_of("dan")
    world.leave("dan")
    touch = world.follow("dan")
    assert (touch.is_new, world.id_of("dan"), world.referrer_of("dan")) == (False, before, "ann")
    assert world.member("dan").unfollowed_at is None
    assert level(world, "ann", 1) == Figures(people=1, following=1)
    world.check()


def test_leaving_that_arrives_before_the_subscribe_it_follows_ends_gone_and_bound(
    world: World,
) -> None:
    world.people("ann")
    world.leave("dan", created=START + timedelta(seconds=50))
    touch = world.follow("dan", "ann", created=START + timedelta(seconds=40))
    assert touch.referrer is not None
    assert not world.member("dan").following
    assert level(world, "ann", 1) == Figures(people=1, following=0)
    world.check()


def test_older_pushes_do_not_change_the_follow_state(world: World) -> None:
    world.follow("dan", created=START + timedelta(seconds=100))
    world.leave("dan", created=START + timedelta(seconds=90))
    assert world.member("dan").following
    world.leave("dan", created=START + timedelta(seconds=200))
    world.follow("dan", created=START + timedelta(seconds=150))
    assert not world.member("dan").following


@pytest.mark.parametrize("last", ["follow", "leave"])
def test_tie_on_create_time_keeps_the_later_arrival(world: World, last: str) -> None:
    at = START + timedelta(seconds=100)
    world.follow("dan", created=at)
    world.leave("dan", created=at)
    if last == "follow":
        world.follow("dan", created=at)
    assert world.member("dan").following == (last == "follow")


def test_repeated_push_does_nothing(world: World) -> None:
    world.people("ann")
    world.follow("dan", "ann", key="the-same")
    world.leave("dan")
    again = world.follow("dan", "ann", key="the-same")
    assert again.repeated
    assert not world.member("dan").following
    assert len(history(world, "dan")) == 1
    world.check()


def test_counts_tell_followed_following_and_bought_apart(world: World) -> None:
    world.people("ann")
    for name in ("bob", "cai", "dan"):
        world.follow(name, "ann")
    world.leave("cai")
    world.pay("dan", 10_000)
    world.pay("dan", 10_000)
    figures = level(world, "ann", 1)
    assert (figures.people, figures.following, figures.buyers, figures.orders) == (3, 2, 1, 2)
    world.check()


def test_somebody_who_bought_before_being_bound_counts_as_a_buyer_and_old_orders_do_not(
    world: World,
) -> None:
    world.people("ann")
    world.follow("dan")
    order = world.pay("dan", 10_000)
    world.scan("dan", "ann")
    assert level(world, "ann", 1) == Figures(people=1, following=1, buyers=1)
    assert world.commissions(order) == []
    world.check()


# --- who hears of it ------------------------------------------------------------------------------------------------


def test_referrer_hears_of_a_friend_at_once(world: World) -> None:
    world.people("ann")
    touch = world.follow("dan", "ann")
    notice = world.told("ann", notices.FRIEND_JOINED)
    assert len(notice) == 1
    assert touch.name in notice[0].params
    query = select(Outbox).where(Outbox.dedupe_key == f"notice-{notice[0].notice_key}")
    message = world.look(lambda s: s.scalars(query).one())
    assert (message.member_id, message.state, message.topic) == (
        world.id_of("ann"),
        "pending",
        "notice",
    )


def test_nobody_hears_of_a_refusal(world: World) -> None:
    world.people("ann", "dan")
    world.scan("dan", "ann")
    assert len(world.told("ann", notices.FRIEND_JOINED)) == 1


# --- the console moves a member -------------------------------------------------------------------------------------


def _team(world: World) -> None:
    """old → dan → eve → fay → gus, and new under top."""
    world.people("old", "dan", "eve", "fay", "gus")
    world.people("top", "new")
    world.follow("eva", "dan")
    world.leave("fay")
    world.pay("eve", 10_000)


def test_moving_a_member_moves_the_team_with_closure_and_figures(world: World) -> None:
    _team(world)
    assert world.bind("dan", "new") is None
    assert world.uplines_of("fay") == ["eve", "dan", "new"]
    assert world.uplines_of("eve") == ["dan", "new", "top"]
    old, new, top = (world.summary(name) for name in ("old", "new", "top"))
    assert old.total.people == 0
    assert [new.levels[n].people for n in (1, 2, 3)] == [1, 2, 1]
    assert [top.levels[n].people for n in (1, 2, 3)] == [1, 1, 2]
    assert (new.levels[2].buyers, new.levels[3].following) == (1, 0)
    assert old.levels[2].spent_fen == 10_000  # the order keeps its uplines
    world.check()


def test_clearing_a_binding_leaves_the_team_below(world: World) -> None:
    _team(world)
    assert world.bind("dan", None) is None
    assert world.referrer_of("dan") is None
    assert world.member("dan").bound_at is None
    assert world.uplines_of("eve") == ["dan"]
    old = world.id_of("old")
    assert history(world, "dan") == [(1, None, old, "scan"), (2, old, None, "console")]
    world.check()


@pytest.mark.parametrize("below", ["dan", "eve", "gus"])
def test_console_cannot_bind_a_member_under_their_own_team(world: World, below: str) -> None:
    _team(world)
    assert world.bind("dan", below) == bindings.CYCLE
    assert world.referrer_of("dan") == "old"
    world.check()


def test_too_large_a_team_is_not_moved_inside_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _team(world)
    monkeypatch.setattr(bindings, "MOVE_AT_ONCE", 2)
    assert world.bind("dan", "new") == bindings.TEAM_TOO_LARGE
    assert world.referrer_of("dan") == "old"
    world.check()


def test_new_orders_follow_the_new_binding_and_old_ones_their_snapshot(world: World) -> None:
    world.people("ann", "dan")
    world.follow("bob")
    before = world.pay("dan", 10_000)
    world.bind("dan", "bob")
    after = world.pay("dan", 10_000)
    assert [one.member_id for one in world.commissions(before)] == [world.id_of("ann")]
    assert [one.member_id for one in world.commissions(after)] == [world.id_of("bob")]
    world.refund(before, {1: 10_000})
    assert world.left(before) == [0]
    world.check()


# --- the proof of the tree ------------------------------------------------------------------------------------------


def test_members_check_finds_a_cycle_and_does_not_repair_it(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    ann, cai = world.id_of("ann"), world.id_of("cai")
    world.do(lambda s: s.execute(update(Member).where(Member.id == ann).values(referrer_id=cai)))
    report = world.tree()
    lost = {one["subject"] for one in report.differences if one["check"] == "cycles"}
    assert lost == {f"member/{world.id_of(name)}" for name in ("ann", "bob", "cai")}
