"""提现: who may ask for how much, who decides, and that no fen is spent twice, lost or made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from domain import members, merchants, notices, payouts, withdrawals
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Audit, Withdrawal, WithdrawalApproval
from domain.payouts import ProviderNews, Terms
from domain.secrets import short_digest
from domain.withdrawals import LimitReached, NotEnough, WrongState
from tests.domain.purse import TERMS, WAITING, Purse
from tests.domain.world import KEYRING, World


@pytest.fixture
def purse(world: World) -> Purse:
    """cai has 10,000 fen available, everything up to 50 yuan is paid without a person."""
    world.change(audit_above_fen=5_000, second_above_fen=8_000, withdraw_per_day=10)
    world.people("cai", "dan")
    world.pay_and_settle("dan", 100_000)
    assert Purse(world).balance == (10_000, 0)
    return Purse(world)


# --- asking ---------------------------------------------------------------------------------------------------------


def test_a_small_request_is_approved_at_once_and_on_its_way(purse: Purse) -> None:
    asked = purse.ask(5_000)
    assert asked.status == "approved"
    assert purse.balance == (5_000, 5_000)
    assert purse.payouts_waiting() == 1
    assert len(asked.payout_no) == 32
    assert asked.payout_no.isalnum()
    purse.world.check()


def test_a_larger_one_waits_for_a_person(purse: Purse) -> None:
    asked = purse.ask(5_001)
    assert asked.status == "requested"
    assert purse.payouts_waiting() == 0
    assert purse.decide(asked).status == "approved"
    assert purse.payouts_waiting() == 1
    purse.world.check()


def test_a_person_may_be_asked_for_although_the_amount_is_small(purse: Purse) -> None:
    assert purse.ask(200, audited=True).status == "requested"


def test_a_repeat_of_the_push_is_the_same_request(purse: Purse) -> None:
    first = purse.ask(3_000, "msgid-1")
    again = purse.ask(3_000, "msgid-1")
    assert (again.id, again.payout_no) == (first.id, first.payout_no)
    assert purse.balance == (7_000, 3_000)
    with pytest.raises(Conflict):
        purse.ask(3_001, "msgid-1")
    purse.world.check()


def test_a_repeat_after_everything_was_spent_is_still_the_first_answer(purse: Purse) -> None:
    purse.world.change(withdraw_per_day=1)
    first = purse.ask(10_000, "msgid-1")
    assert purse.ask(10_000, "msgid-1").id == first.id


def test_the_payout_number_is_derived_and_never_random(purse: Purse) -> None:
    one = purse.ask(200, "a")
    other = purse.ask(200, "b")
    assert one.payout_no != other.payout_no
    purse.reject(purse.ask(6_000, "c"))
    world = purse.world
    expected = short_digest(f"payout {world.account.app_id} cai a")
    assert one.payout_no == expected


@pytest.mark.parametrize("fen", [-5, 0, 99, 2_000_001])
def test_an_amount_out_of_range_is_refused(purse: Purse, fen: int) -> None:
    with pytest.raises(Invalid) as refused:
        purse.ask(fen)
    assert refused.value.details["reason"] == "range"
    assert purse.balance == (10_000, 0)


def test_nothing_is_out_of_range_also_without_a_smallest_amount(purse: Purse) -> None:
    purse.world.change(withdraw_min_fen=0, payout_method="offline")
    with pytest.raises(Invalid) as refused:
        purse.ask(0)
    assert refused.value.details["min_fen"] == 1


def test_more_than_there_is_is_refused(purse: Purse) -> None:
    with pytest.raises(NotEnough):
        purse.ask(10_001)
    assert purse.balance == (10_000, 0)
    purse.world.check()


def test_a_member_without_any_balance_is_refused(purse: Purse) -> None:
    with pytest.raises(NotEnough):
        Purse(purse.world, "dan").ask(100)


def test_a_suspended_member_is_refused(purse: Purse) -> None:
    purse.world.suspend("cai")
    with pytest.raises(Invalid) as refused:
        purse.ask(200)
    assert refused.value.details["reason"] == "suspended"


def test_what_wechat_pay_would_refuse_is_refused_before_the_money_moves(purse: Purse) -> None:
    world = purse.world
    world.change(withdraw_min_fen=1)
    with pytest.raises(Invalid) as refused:
        purse.ask(9)
    assert refused.value.details["reason"] == "too_small"
    world.pay_and_settle("dan", 3_000_000)
    with pytest.raises(Invalid) as refused:
        purse.ask(200_000)
    assert refused.value.details["reason"] == "name"
    assert purse.ask(199_999).amount_fen == 199_999
    world.do(lambda s: members.set_contact(s, KEYRING, world.id_of("cai"), real_name="蔡文"))
    assert purse.ask(100_000 + 10_001).status == "requested"
    world.check()


def test_a_bank_payout_has_no_limits_of_wechat(purse: Purse) -> None:
    purse.world.change(payout_method="offline")
    purse.world.pay_and_settle("dan", 3_000_000)
    assert purse.ask(200_000).method == "offline"


# --- a day in Beijing -----------------------------------------------------------------------------------------------


def test_the_day_ends_at_midnight_in_beijing(purse: Purse) -> None:
    world = purse.world
    world.change(withdraw_per_day=1)
    world.now = datetime(2026, 3, 20, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Beijing
    purse.ask(200)
    with pytest.raises(LimitReached) as refused:
        purse.ask(200)
    assert refused.value.details == {"per_day": 1}
    world.later(seconds=1)
    purse.ask(200)
    world.now = datetime(2026, 3, 21, 15, 59, 59, tzinfo=UTC)  # UTC has another day since hours
    with pytest.raises(LimitReached):
        purse.ask(200)
    world.check()


def test_the_sum_of_a_day_is_limited(purse: Purse) -> None:
    purse.world.change(withdraw_day_sum_fen=6_000)
    purse.ask(4_000)
    with pytest.raises(LimitReached) as refused:
        purse.ask(2_001)
    assert refused.value.details == {"day_sum_fen": 6_000}
    purse.ask(2_000)
    assert purse.balance == (4_000, 6_000)
    purse.world.check()


def test_what_was_rejected_or_failed_does_not_count(purse: Purse) -> None:
    purse.world.change(withdraw_per_day=1, withdraw_day_sum_fen=6_000)
    purse.reject(purse.ask(6_000))
    failed = purse.ask(4_000)
    purse.begin(failed)
    purse.news(failed, ProviderNews("FAIL", "b", reason="ACCOUNT_FROZEN"))
    purse.ask(6_000)
    with pytest.raises(LimitReached):
        purse.ask(100)
    purse.world.check()


# --- deciding -------------------------------------------------------------------------------------------------------


def test_above_the_second_limit_two_different_people_are_needed(purse: Purse) -> None:
    asked = purse.ask(8_001)
    assert purse.decide(asked, "staff/1").status == "requested"
    with pytest.raises(Conflict, match="another person"):
        purse.decide(asked, "staff/1")
    assert purse.payouts_waiting() == 0
    assert purse.decide(asked, "staff/2").status == "approved"
    assert purse.payouts_waiting() == 1
    purse.world.check()


def test_at_the_second_limit_one_is_enough(purse: Purse) -> None:
    assert purse.decide(purse.ask(8_000)).status == "approved"


def test_the_machine_is_never_one_of_the_two_people(purse: Purse) -> None:
    """Even where everything that needs two people is below what is paid without a person."""
    purse.world.change(audit_above_fen=9_000, second_above_fen=8_000)
    asked = purse.ask(8_500)
    assert asked.status == "requested"
    assert purse.decide(asked, "staff/1").status == "requested"
    assert purse.payouts_waiting() == 0
    assert purse.decide(asked, "staff/2").status == "approved"


def test_a_rejection_returns_the_money_with_its_reason(purse: Purse) -> None:
    asked = purse.ask(6_000)
    with pytest.raises(Invalid):
        purse.reject(asked, "  ")
    rejected = purse.reject(asked)
    assert (rejected.status, rejected.reason) == ("rejected", "资料不全")
    assert purse.balance == (10_000, 0)
    assert set(purse.postings(asked)) == {"hold", "back"}
    purse.world.check()


def test_two_clerks_at_once_decide_once(purse: Purse) -> None:
    asked = purse.ask(6_000)
    purse.decide(asked)
    with pytest.raises(WrongState):
        purse.reject(asked)
    with pytest.raises(WrongState):
        purse.decide(asked, "staff/2")
    assert purse.balance == (4_000, 6_000)


def test_another_account_does_not_see_it(purse: Purse, world: World) -> None:
    asked = purse.ask(6_000)
    other = World.create(world.database, "coffee")
    with pytest.raises(NotFound):
        other.do(
            lambda s: withdrawals.approve(s, other.account, asked.id, actor="x", now=other.now)
        )


# --- paying ---------------------------------------------------------------------------------------------------------


def test_paying_posts_net_fee_and_tax_one_by_one(purse: Purse) -> None:
    purse.world.change(withdraw_fee_bps=60, withdraw_tax_bps=2_000)
    asked = purse.ask(3_333)
    payout = purse.begin(asked)
    assert payout.amount_fen == 3_333 - 19 - 666
    purse.news(asked, ProviderNews("SUCCESS", "b"))
    assert purse.postings(asked) == {
        "hold": ("available", "withdrawing", 3_333),
        "paid": ("withdrawing", "cash", 2_648),
        "fee": ("withdrawing", "fee", 19),
        "tax": ("withdrawing", "tax", 666),
    }
    assert purse.balance == (6_667, 0)
    purse.world.check()


def test_begin_says_whether_the_number_may_be_known_already(purse: Purse) -> None:
    asked = purse.ask(200)
    assert not purse.begin(asked).was_paying
    again = purse.begin(asked)
    assert again.was_paying
    assert again.payout_no == asked.payout_no


def test_only_what_is_approved_can_begin(purse: Purse) -> None:
    asked = purse.ask(6_000)
    with pytest.raises(WrongState):
        purse.begin(asked)
    purse.reject(asked)
    with pytest.raises(WrongState):
        purse.begin(asked)


def test_a_changed_scene_does_not_change_a_transfer_that_was_begun(purse: Purse) -> None:
    asked = purse.ask(200)
    purse.begin(asked)
    later = Terms(TERMS.mch_id, "1000", "别的", (("活动名称", "x"),))
    assert purse.begin(asked, later).terms == TERMS


def test_another_merchant_number_never_repeats_the_bill(purse: Purse) -> None:
    asked = purse.ask(200)
    purse.begin(asked)
    with pytest.raises(Conflict, match="another merchant"):
        purse.begin(asked, Terms("1900000999", "1005", "r", TERMS.report_infos))


def test_the_member_is_asked_once_and_reminded_once(purse: Purse) -> None:
    world, asked = purse.world, purse.ask(200)
    began = world.now
    purse.begin(asked)
    for state in ("ACCEPTED", "WAIT_USER_CONFIRM", "PROCESSING", "WAIT_USER_CONFIRM"):
        purse.news(asked, ProviderNews(state, "b", "package"))
    assert purse.now(asked).confirm_by == began + timedelta(hours=24)
    assert len(world.told("cai", notices.WITHDRAWAL_CONFIRM)) == 1
    assert world.told("cai", notices.WITHDRAWAL_REMIND) == []
    world.now = began + timedelta(hours=21)
    purse.news(asked, WAITING)
    purse.news(asked, WAITING)
    assert len(world.told("cai", notices.WITHDRAWAL_REMIND)) == 1
    world.check()


@pytest.mark.parametrize("end", ["FAIL", "CANCELLED"])
def test_only_the_end_of_the_bill_returns_the_money(purse: Purse, end: str) -> None:
    asked = purse.ask(5_000)
    purse.begin(asked)
    for state in (
        "ACCEPTED", "PROCESSING", "WAIT_USER_CONFIRM", "TRANSFERING", "CANCELING", "SOMETHING_NEW",
    ):  # fmt: skip
        assert purse.news(asked, ProviderNews(state)).status == "paying"
        assert purse.balance == (5_000, 5_000)
    failed = purse.news(asked, ProviderNews(end, "b", reason="OVERDUE_CLOSE"))
    assert (failed.status, failed.reason) == ("failed", "OVERDUE_CLOSE")
    assert purse.balance == (10_000, 0)
    purse.world.check()


def test_a_state_that_nobody_knows_is_an_alarm_until_the_payout_goes_on(purse: Purse) -> None:
    asked = purse.ask(200)
    purse.begin(asked)
    assert purse.news(asked, ProviderNews("SOMETHING_NEW")).alarm == "unknown_state"
    assert purse.news(asked, WAITING).alarm is None


def test_the_same_end_twice_changes_nothing_and_the_other_end_is_refused(purse: Purse) -> None:
    asked = purse.ask(5_000)
    purse.pay(asked)
    purse.news(asked, ProviderNews("SUCCESS", "b"))
    assert purse.balance == (5_000, 0)
    with pytest.raises(WrongState):
        purse.news(asked, ProviderNews("FAIL", "b"))
    assert purse.balance == (5_000, 0)
    purse.world.check()


def test_an_alarm_is_written_down_once_and_ends_with_a_person(purse: Purse) -> None:
    world, asked = purse.world, purse.ask(200)
    purse.begin(asked)
    for _ in range(3):
        world.do(
            lambda s: withdrawals.sound_by_id(
                s, world.account.id, asked.id, "mismatch", world.now, field="amount_fen"
            )
        )
    purse.news(asked, WAITING)
    assert purse.now(asked).alarm == "mismatch"
    assert [row.id for row in world.look(withdrawals.alarms)] == [asked.id]
    assert world.look(withdrawals.figures)["alarm"] == {"mismatch": 1}
    world.do(
        lambda s: withdrawals.silence(s, world.account, asked.id, actor="staff/1", now=world.now)
    )
    actions = select(Audit.action).where(Audit.subject == f"withdrawal/{asked.id}")
    written = world.look(lambda s: list(s.scalars(actions.order_by(Audit.id))))
    assert written == ["withdrawal_approved", "payout_alarm", "payout_alarm_over"]


# --- offline --------------------------------------------------------------------------------------------------------


def test_a_bank_payout_needs_its_proof_and_posts_like_any_other(purse: Purse) -> None:
    world = purse.world
    world.change(payout_method="offline")
    asked = purse.decide(purse.ask(6_000))
    assert purse.payouts_waiting() == 0

    def pay(proof: str) -> Withdrawal:
        return world.do(
            lambda s: payouts.pay_offline(
                s, world.account, asked.id, actor="staff/1", proof=proof, now=world.now
            )
        )

    with pytest.raises(Invalid):
        pay(" ")
    paid = pay("回单 20260309-1")
    assert (paid.status, paid.proof) == ("paid", "回单 20260309-1")
    assert pay("回单 20260309-1").id == paid.id
    assert purse.balance == (4_000, 0)
    world.check()


def test_an_approved_bank_payout_that_cannot_be_made_returns_the_money(purse: Purse) -> None:
    purse.world.change(payout_method="offline")
    asked = purse.decide(purse.ask(6_000))
    assert purse.reject(asked, "户名不符").status == "rejected"
    assert purse.balance == (10_000, 0)
    with pytest.raises(WrongState):
        purse.world.do(
            lambda s: payouts.pay_offline(
                s, purse.world.account, asked.id, actor="staff/1", proof="回单", now=purse.world.now
            )
        )
    purse.world.check()


def test_an_approved_transfer_of_an_account_without_a_merchant_can_still_be_refused(
    purse: Purse,
) -> None:
    asked = purse.ask(200)
    with pytest.raises(WrongState):  # it is on its way
        purse.reject(asked)
    purse.world.do(
        lambda s: withdrawals.sound_by_id(
            s, purse.world.account.id, asked.id, "no_merchant", purse.world.now
        )
    )
    rejected = purse.reject(asked)
    assert (rejected.status, rejected.alarm, rejected.ask_at) == ("rejected", None, None)
    with pytest.raises(WrongState):
        purse.begin(asked)
    assert purse.balance == (10_000, 0)
    purse.world.check()


def test_a_transfer_of_wechat_cannot_be_paid_by_hand_as_well(purse: Purse) -> None:
    world, asked = purse.world, purse.ask(200)
    with pytest.raises(Invalid):
        world.do(
            lambda s: payouts.pay_offline(
                s, world.account, asked.id, actor="staff/1", proof="x", now=world.now
            )
        )


# --- debts ----------------------------------------------------------------------------------------------------------


def test_a_claw_back_sends_approved_withdrawals_back_to_people(world: World) -> None:
    world.people("cai", "dan")
    order = world.pay_and_settle("dan", 100_000)
    purse = Purse(world)
    asked = purse.decide(purse.ask(10_000))
    world.refund(order, {1: 50_000})
    waiting = purse.now(asked)
    assert (waiting.status, waiting.round, waiting.ask_at) == ("requested", 2, None)
    with pytest.raises(WrongState):
        purse.begin(asked)
    with pytest.raises(NotEnough):
        purse.ask(100)
    assert purse.balance == (-5_000, 10_000)
    assert purse.decide(asked).status == "approved"  # the same person may say yes again
    yeses = select(WithdrawalApproval.round).where(WithdrawalApproval.withdrawal_id == asked.id)
    assert sorted(world.look(lambda s: list(s.scalars(yeses)))) == [1, 2]
    world.check()


def test_a_claw_back_leaves_a_payout_that_has_begun_alone(world: World) -> None:
    world.people("cai", "dan")
    order = world.pay_and_settle("dan", 100_000)
    purse = Purse(world)
    asked = purse.decide(purse.ask(10_000))
    purse.begin(asked)
    world.refund(order, {1: 50_000})
    assert purse.news(asked, ProviderNews("SUCCESS", "b")).status == "paid"
    assert purse.balance == (-5_000, 0)
    world.check()


# --- reading --------------------------------------------------------------------------------------------------------


def test_payouts_are_asked_about_longest_due_first_and_none_starves(purse: Purse) -> None:
    world = purse.world
    rows = [purse.ask(200) for _ in range(3)]
    for row in rows:
        world.later(seconds=5)
        purse.begin(row)
    world.later(minutes=2)

    def due() -> list[int]:
        return [row.id for row in world.look(lambda s: payouts.due_to_ask(s, world.now, limit=1))]

    def put_off(number: int) -> bool:
        until = world.now + timedelta(minutes=1)
        return world.do(lambda s: payouts.ask_later(s, number, until))

    seen = []
    for _ in rows:
        (number,) = due()
        seen.append(number)
        assert put_off(number)
    assert seen == [row.id for row in rows]
    assert due() == []


def test_only_one_sweep_takes_a_question(purse: Purse) -> None:
    world, asked = purse.world, purse.ask(200)
    purse.begin(asked)
    seen = purse.now(asked).ask_at
    until = world.now + timedelta(minutes=9)
    taken = [world.do(lambda s: payouts.ask_later(s, asked.id, until, seen=seen)) for _ in range(2)]
    assert taken == [True, False]


def test_approved_withdrawals_that_nobody_began_are_found(purse: Purse) -> None:
    world, asked = purse.world, purse.ask(200)
    assert world.look(lambda s: payouts.due_to_ask(s, world.now)) == []
    world.later(minutes=11)
    assert [row.id for row in world.look(lambda s: payouts.due_to_ask(s, world.now))] == [asked.id]


def put_merchant(world: World, mch_id: str) -> None:
    world.do(
        lambda s: merchants.put(
            s, KEYRING, world.account.id, mch_id=mch_id, serial_no="5157F09E", api_v3_key="k" * 32,
            private_key="-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",
            public_key="-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----",
            public_key_id="PUB_KEY_ID_0001", actor="test", now=world.now,
        )
    )  # fmt: skip


def test_the_merchant_number_stays_while_transfers_are_under_way(purse: Purse) -> None:
    world = purse.world
    put_merchant(world, "1900000109")
    asked = purse.ask(200)
    purse.begin(asked)
    put_merchant(world, "1900000109")
    with pytest.raises(Conflict):
        put_merchant(world, "1900000999")
    purse.news(asked, ProviderNews("FAIL", "b"))
    put_merchant(world, "1900000999")
    opened = world.look(lambda s: merchants.get(s, KEYRING, world.account.id))
    assert (opened.mch_id, opened.api_v3_key) == ("1900000999", "k" * 32)
    assert "k" * 32 not in repr(opened)
    with pytest.raises(Invalid) as refused:
        world.do(
            lambda s: merchants.put(
                s, KEYRING, world.account.id, mch_id="x", serial_no="", private_key="", api_v3_key="short",
                public_key_id="", public_key="", report_infos=(), actor="test", now=world.now,
            )
        )  # fmt: skip
    assert len(refused.value.details["keys"]) == 7


def test_a_worker_with_the_merchant_number_of_a_moment_ago_begins_nothing(purse: Purse) -> None:
    """Begun under a number that is no longer the account's, a transfer could never be asked about again."""
    put_merchant(purse.world, "1900000109")
    asked = purse.ask(200)
    put_merchant(purse.world, "1900000999")  # the worker read the merchant before
    with pytest.raises(WrongState):
        purse.begin(asked)
    assert purse.now(asked).status == "approved"
    now = Terms("1900000999", "1005", "r", TERMS.report_infos)
    assert purse.begin(asked, now).terms == now


def test_the_merchant_number_can_go_back_to_that_of_the_transfers_under_way(purse: Purse) -> None:
    purse.begin(purse.ask(200))
    put_merchant(purse.world, "1900000999")  # as if by hand: nothing was set while it was begun
    put_merchant(purse.world, TERMS.mch_id)
    opened = purse.world.look(lambda s: merchants.get(s, KEYRING, purse.world.account.id))
    assert opened.mch_id == TERMS.mch_id
