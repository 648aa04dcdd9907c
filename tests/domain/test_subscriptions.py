"""Subscription notices: what a member allowed is counted once for each cause."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain import events, subscriptions, windows
from domain.db import Database
from tests.domain.world import World


@pytest.fixture
def shop(database: Database) -> World:
    world = World.create(database)
    world.follow("anna")
    return world


def credits(shop: World, template: str = "t1") -> int:
    member_id = shop.id_of("anna")
    found = shop.look(lambda s: subscriptions.credits_of(s, [member_id]))
    return found.get(member_id, {}).get(template, 0)


def answer(shop: World, status: str, key: str, who: str = "anna") -> bool:
    return shop.do(
        lambda s: subscriptions.record_answers(
            s, shop.account.id, who, [("t1", status), ("t2", "accept")],
            in_settings=False, push_key=key, now=shop.now,
        )
    )  # fmt: skip


def sent(shop: World, msg_id: str, code: int, *, ours: bool) -> bool:
    return shop.do(
        lambda s: subscriptions.record_sent(
            s, shop.account.id, "anna", "t1", msg_id=msg_id, error_code=code, ours=ours, now=shop.now
        )
    )  # fmt: skip


def test_each_accepted_popup_allows_one_message_and_a_repeat_none(shop: World) -> None:
    assert answer(shop, "accept", "a")
    assert not answer(shop, "accept", "a")
    assert answer(shop, "accept", "b")
    assert answer(shop, "reject", "c")
    assert (credits(shop), credits(shop, "t2")) == (2, 3)


def test_somebody_who_does_not_follow_has_no_credits(shop: World) -> None:
    assert not answer(shop, "accept", "a", who="stranger")


def test_switching_off_in_wechat_clears_what_was_allowed(shop: World) -> None:
    answer(shop, "accept", "a")
    assert shop.do(
        lambda s: subscriptions.record_answers(
            s, shop.account.id, "anna", [("t1", "reject")], in_settings=True, push_key="x", now=shop.now
        )
    )  # fmt: skip
    assert (credits(shop), credits(shop, "t2")) == (0, 1)


def test_failed_message_of_ours_gives_its_credit_back_and_a_refusal_clears_all(shop: World) -> None:
    answer(shop, "accept", "a")
    answer(shop, "accept", "b")
    member_id = shop.id_of("anna")
    assert shop.do(lambda s: subscriptions.take(s, member_id, "t1", shop.now))
    assert sent(shop, "1", 20001, ours=True)
    assert not sent(shop, "1", 20001, ours=True)
    assert credits(shop) == 2
    assert sent(shop, "2", subscriptions.REFUSED_BY_USER, ours=True)
    assert credits(shop) == 0


def test_message_of_another_system_takes_a_credit(shop: World) -> None:
    answer(shop, "accept", "a")
    assert sent(shop, "1", 0, ours=False)
    assert credits(shop) == 0
    assert not shop.do(lambda s: subscriptions.take(s, shop.id_of("anna"), "t1", shop.now))


# --- the window of customer-service messages ------------------------------------------------------------------------


def touch(shop: World, kind: str) -> None:
    member_id = shop.id_of("anna")
    shop.do(lambda s: windows.record(s, [(shop.account.id, member_id, kind, shop.now)]))


def is_open(shop: World) -> bool:
    member_id = shop.id_of("anna")
    return shop.look(lambda s: windows.open_for(s, [member_id], shop.now)) == {member_id}


def test_what_somebody_wrote_opens_two_days_for_five_messages(shop: World) -> None:
    shop.later(minutes=5)  # following opens a minute of its own
    assert not is_open(shop)
    touch(shop, events.TEXT)
    assert is_open(shop)
    for _ in range(5):
        shop.do(lambda s: windows.spend(s, [shop.id_of("anna")]))
    assert not is_open(shop)
    touch(shop, events.TEXT)
    assert not is_open(shop)  # the very same push
    shop.later(hours=1)
    touch(shop, events.TEXT)
    assert is_open(shop)
    shop.later(hours=48)
    assert not is_open(shop)


def test_a_tap_opens_one_minute(shop: World) -> None:
    shop.later(minutes=5)
    touch(shop, events.CLICK)
    assert is_open(shop)
    shop.later(seconds=60)
    assert not is_open(shop)


def test_wechats_own_word_closes_the_window(shop: World) -> None:
    shop.later(minutes=5)
    touch(shop, events.TEXT)
    shop.do(lambda s: windows.close(s, [shop.id_of("anna")]))
    assert not is_open(shop)


def test_following_opens_a_minute_without_any_touch(shop: World) -> None:
    assert is_open(shop)
    shop.now += timedelta(minutes=2)
    assert not is_open(shop)
