"""拉新: what a new follower is worth to the one who brought them, and every way of not being worth it twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import commissions, explain, holds, promoters, proof, reports, statements
from domain.china import day_of
from domain.models import Commission, RegistrationDay
from domain.texts import Words
from tests.domain.purse import Purse
from tests.domain.world import World


@pytest.fixture
def paying(world: World) -> World:
    """Two promoters; a new friend is worth 2.00 yuan, ten a day at most."""
    world.follow("ann")
    world.follow("ben")
    world.change(registration_reward_fen=200, registration_daily_cap=10, registration_hold_days=7)
    return world


def rewards(world: World, name: str) -> list[Commission]:
    query = select(Commission).where(
        Commission.member_id == world.id_of(name), Commission.kind == "registration"
    )
    return world.look(lambda s: list(s.scalars(query.order_by(Commission.id))))


def test_nothing_is_paid_unless_it_is_switched_on(world: World) -> None:
    world.follow("ann")
    world.follow("new", "ann")
    assert rewards(world, "ann") == []
    assert world.look(lambda s: list(s.scalars(select(RegistrationDay)))) == []


def test_new_friend_is_worth_the_flat_amount_on_one_level(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.follow("dan", "cai")
    assert [one.amount_fen for one in rewards(paying, "cai")] == [200]
    assert [one.amount_fen for one in rewards(paying, "ann")] == [200]  # for cai, not for dan
    assert paying.frozen("ann") == 200
    assert len(paying.told("ann", "registration_reward")) == 1


def test_reward_settles_after_its_window_with_everything_else(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.later(days=6)
    assert paying.settle() == 0
    paying.later(days=2)
    assert paying.settle() == 1
    assert paying.available("ann") == 200


def test_friend_who_leaves_in_the_window_takes_the_reward_along(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.later(days=6)
    paying.leave("cai")
    assert [one.status for one in rewards(paying, "ann")] == ["voided"]
    assert paying.frozen("ann") == 0
    assert len(paying.told("ann", "registration_voided")) == 1
    paying.later(days=9)
    assert paying.settle() == 0
    assert paying.summary("ann").total.earned_fen == 0


def test_friend_who_leaves_after_the_window_leaves_the_reward(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.later(days=8)
    paying.leave("cai")  # not settled yet, but due
    assert paying.settle() == 1
    assert paying.available("ann") == 200


def test_late_push_about_a_friend_who_left_in_the_window_takes_the_settled_reward_back(
    paying: World,
) -> None:
    """The push waited in a spool, or overtook others: what counts is when the friend left."""
    paying.follow("cai", "ann")
    left_at = paying.now + timedelta(days=3)
    paying.later(days=8)
    assert paying.settle() == 1
    paying.leave("cai", created=left_at, key="late")
    paying.leave("cai", created=left_at, key="late")
    (reward,) = rewards(paying, "ann")
    assert (reward.status, reward.clawed_fen) == ("clawed_back", 200)
    assert paying.available("ann") == 0
    assert paying.summary("ann").total.earned_fen == 0
    assert len(paying.told("ann", "registration_voided")) == 1
    text = paying.look(lambda s: explain.text_of(Words(), explain.explain(s, reward)))
    assert "已结算的奖励被收回" in text
    assert "已追回" in text
    lines = paying.look(lambda s: statements.page(s, reward.member_id))
    assert [(one.reason, one.available_change_fen, one.commission_id) for one in lines[:2]] == [
        ("left", -200, reward.id), ("settle", 200, reward.id),
    ]  # fmt: skip


def test_late_push_about_a_friend_who_has_come_back_takes_the_reward_as_well(paying: World) -> None:
    paying.follow("cai", "ann")
    left_at = paying.now + timedelta(days=3)
    paying.later(days=4)
    paying.follow("cai")
    paying.leave("cai", created=left_at)
    assert paying.member("cai").following
    assert [one.status for one in rewards(paying, "ann")] == ["voided"]


def test_late_push_about_leaving_before_the_friend_came_takes_nothing(paying: World) -> None:
    """They had followed before this system knew the account; then they came by a code."""
    paying.follow("cai", "ann")
    paying.leave("cai", created=paying.now - timedelta(days=1))
    assert [one.status for one in rewards(paying, "ann")] == ["frozen"]
    paying.leave("cai", created=paying.now + timedelta(days=8))  # and long after the window
    assert [one.status for one in rewards(paying, "ann")] == ["frozen"]


@pytest.mark.parametrize(
    ("policy", "debt_cap_fen", "left"), [("debt", 0, -200), ("capped", 50, -50), ("absorbed", 0, 0)]
)
def test_reward_that_was_paid_out_before_the_late_push_is_borne_as_the_account_says(
    paying: World, policy: str, debt_cap_fen: int, left: int
) -> None:
    paying.change(shortfall=policy, debt_cap_fen=debt_cap_fen)
    paying.follow("cai", "ann")
    left_at = paying.now + timedelta(days=3)
    paying.later(days=8)
    paying.settle()
    purse = Purse(paying, "ann")
    withdrawal = purse.ask(200)
    purse.pay(purse.decide(withdrawal))
    paying.leave("cai", created=left_at)
    assert paying.available("ann") == left


def test_debt_of_a_late_push_sends_an_approved_withdrawal_back_to_people(paying: World) -> None:
    paying.follow("cai", "ann")
    left_at = paying.now + timedelta(days=3)
    paying.later(days=8)
    paying.settle()
    purse = Purse(paying, "ann")
    withdrawal = purse.decide(purse.ask(200))
    paying.leave("cai", created=left_at)
    assert paying.available("ann") == -200
    assert purse.now(withdrawal).status == "requested"


def test_what_leaving_and_refusing_take_is_in_the_figures_of_the_day(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.follow("dan", "ann")
    paying.leave("cai")
    (_, second) = rewards(paying, "ann")
    hold = paying.do(
        lambda s: holds.hold(
            s, paying.account.id, second.id, reason="同一人", actor="staff/1", now=paying.now
        )
    )
    paying.do(
        lambda s: holds.refuse(
            s, paying.account.id, [hold.id], actor="staff/1", reason="同一人", now=paying.now
        )
    )
    day = paying.look(lambda s: reports.compute(s, paying.account.id, day_of(paying.now)))
    assert day[paying.id_of("ann"), 1]["accrued_fen"] == 400
    assert day[paying.id_of("ann"), 1]["voided_fen"] == 400


def test_follower_who_comes_back_earns_nobody_a_second_reward(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.leave("cai")
    paying.follow("cai", "ann")
    paying.follow("cai", "ben")
    assert [one.status for one in rewards(paying, "ann")] == ["voided"]
    assert rewards(paying, "ben") == []


def test_last_touch_does_not_pay_for_the_same_friend_again(paying: World) -> None:
    paying.change(bind_policy="last_touch")
    paying.follow("cai", "ann")
    paying.scan("cai", "ben")
    assert paying.referrer_of("cai") == "ben"
    assert len(rewards(paying, "ann")) == 1
    assert rewards(paying, "ben") == []


def test_repeated_push_pays_once(paying: World) -> None:
    paying.follow("cai", "ann", key="the-push")
    paying.follow("cai", "ann", key="the-push")
    assert len(rewards(paying, "ann")) == 1


def test_follower_who_was_there_before_is_not_new(paying: World) -> None:
    paying.follow("old")
    paying.scan("old", "ann")
    assert paying.referrer_of("old") == "ann"
    assert rewards(paying, "ann") == []


def test_scan_of_somebody_unknown_is_no_new_follower(paying: World) -> None:
    """WeChat reports SCAN of followers only: whoever we do not know followed before us."""
    paying.scan("unknown", "ann")
    assert paying.referrer_of("unknown") == "ann"
    assert rewards(paying, "ann") == []


def test_leave_that_overtook_its_follow_pays_nothing(paying: World) -> None:
    later = paying.now + timedelta(minutes=5)
    paying.leave("cai", created=later)
    paying.follow("cai", "ann", created=paying.now)
    assert rewards(paying, "ann") == []


def test_day_has_a_cap_and_the_next_day_is_beijings(paying: World) -> None:
    paying.change(registration_daily_cap=2)
    for number in range(4):
        paying.follow(f"friend-{number}", "ann")
    assert len(rewards(paying, "ann")) == 2
    paying.follow("of-ben", "ben")
    assert len(rewards(paying, "ben")) == 1
    paying.now = paying.now.replace(hour=15, minute=59, second=0)  # 23:59 in Beijing
    paying.follow("late", "ann")
    assert len(rewards(paying, "ann")) == 2
    paying.later(minutes=2)
    paying.follow("early", "ann")
    assert len(rewards(paying, "ann")) == 3


def test_promoter_who_may_not_earn_gets_no_reward(paying: World) -> None:
    paying.change(qualification="approved")
    paying.follow("cai", "ann")
    assert rewards(paying, "ann") == []
    paying.do(
        lambda s: promoters.approve(
            s, paying.account.id, paying.id_of("ann"), actor="staff/1", now=paying.now
        )
    )
    paying.follow("dan", "ann")
    assert len(rewards(paying, "ann")) == 1


def test_reward_is_listed_and_explained_like_any_commission(paying: World) -> None:
    paying.follow("cai", "ann")
    words = Words()
    (row,) = paying.look(lambda s: explain.recent(s, paying.account.id, "ann", 10))
    assert "邀请奖励" in explain.row_text(words, 1, row)
    (reward,) = rewards(paying, "ann")
    text = paying.look(lambda s: explain.text_of(words, explain.explain(s, reward)))
    assert "¥2.00" in text
    assert "冻结中" in text
    paying.leave("cai")
    (reward,) = rewards(paying, "ann")
    assert "取消了关注" in paying.look(lambda s: explain.text_of(words, explain.explain(s, reward)))
    assert [
        one.kind for one in paying.look(lambda s: commissions.of_member(s, reward.member_id))
    ] == ["registration"]


def test_switching_it_off_keeps_what_was_earned_and_still_voids_it(paying: World) -> None:
    paying.follow("cai", "ann")
    paying.follow("dan", "ann")
    paying.change(registration_reward_fen=0)
    paying.leave("cai")
    assert [one.status for one in rewards(paying, "ann")] == ["voided", "frozen"]


def test_proof_finds_a_reward_without_its_posting(world: World) -> None:
    world.follow("ann")
    world.follow("cai", "ann")
    assert world.books().ok

    def forge(session: Session) -> None:
        session.add(
            Commission(
                account_id=world.account.id, kind="registration", joined_member_id=world.id_of("cai"), level=1,
                member_id=world.id_of("ann"), base_fen=5, rate_bps=10_000, share_bps=10_000, amount_fen=5,
                clawed_fen=0, status="frozen", due_at=world.now, created_at=world.now,
            )
        )  # fmt: skip
        session.flush()

    def look(session: Session) -> set[str]:
        with session.begin_nested() as savepoint:
            forge(session)
            found = {one["check"] for one in proof.ledger_check(session).differences}
            savepoint.rollback()
        return found

    assert {"accrual", "notices", "balances", "causes"} <= world.do(look)
