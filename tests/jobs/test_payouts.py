"""打款: every state of a transfer, every lost answer, and what must never happen twice."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from domain import accounts, members, merchants, notices, reconciliations, withdrawals
from domain.china import day_of
from domain.errors import Conflict
from domain.models import Merchant
from domain.payouts import ProviderNews, begin, finish_unsent, give_up, record_news
from jobs import payouts
from jobs.reconcile import bill_day, reconcile, reconcile_bill, reconcile_due
from tests.support.paying import BILLS, Paying, key_pair, merchant_at
from tests.support.waiting import until
from wechat import pay
from wechat.errors import AccountMisconfigured


@pytest.fixture
def cai(paying: Paying) -> Paying:
    """cai, who has 100 yuan."""
    paying.person("cai", 10_000)
    return paying


# --- the way it goes ------------------------------------------------------------------------------------------------


def test_an_approved_withdrawal_waits_for_the_member_and_is_paid_by_the_notice(cai: Paying) -> None:
    number = cai.pay(5_000)
    row = cai.get(number)
    assert (row.status, row.provider_state) == ("paying", "WAIT_USER_CONFIRM")
    assert row.package_info
    assert row.provider_bill_no == cai.bill(number)["transfer_bill_no"]
    assert cai.told(notices.WITHDRAWAL_CONFIRM) == 1
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "paid", 10)
    assert cai.balance() == (5_000, 0)
    assert cai.told(notices.WITHDRAWAL_PAID) == 1
    assert [row.state for row in cai.payout_rows()] == ["done"]
    assert cai.merchant_fen() == 10_000_000 - 5_000
    cai.check()


def test_without_any_notice_the_sweep_learns_the_end(cai: Paying) -> None:
    number = cai.pay(5_000)
    cai.faults(notice_lost_rate=1)
    cai.act(number, "confirm")
    assert cai.sweep_later(30) == 0
    assert cai.status(number) == "paying"
    assert cai.sweep_later(40) == 1
    assert cai.status(number) == "paid"
    cai.check()


def test_fee_and_tax_stay_here_and_the_member_gets_the_rest(cai: Paying) -> None:

    cai.database.transact(
        lambda s: accounts.change_settings(
            s, accounts.get(s, "tea"), {"withdraw_fee_bps": 100, "withdraw_tax_bps": 2_000}
        )
    )
    cai.account = cai.process.account(cai.account.id)
    number = cai.pay(5_000)
    assert cai.bill(number)["amount_fen"] == 3_950
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "paid", 10)
    assert cai.balance() == (5_000, 0)
    cai.check()


def test_a_large_payout_carries_the_name_encrypted(cai: Paying) -> None:

    cai.person("dan", 300_000)
    member_id = cai.member_id("dan")
    cai.database.transact(
        lambda s: members.set_contact(s, cai.context.keyring, member_id, real_name="丹青")
    )
    number = cai.pay(250_000, "dan")
    assert cai.bill(number)["user_name"] == "丹青"
    cai.act(number, "confirm", real_name="别人")
    until(lambda: cai.status(number) == "failed", 10)
    assert cai.get(number).reason == "NAME_NOT_CORRECT"
    assert cai.balance("dan") == (300_000, 0)
    cai.check()


# --- every state ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["ACCEPTED", "PROCESSING"])
def test_a_transfer_that_stands_still_is_sent_again_under_its_number(
    cai: Paying, stop: str
) -> None:
    cai.faults(transfer_stops_at=stop)
    number = cai.pay()
    first = cai.get(number)
    assert (first.status, first.provider_state) == ("paying", stop)
    cai.sweep_later()
    assert cai.get(number).provider_state == stop
    cai.faults(transfer_stops_at="")
    cai.sweep_later()
    row = cai.get(number)
    assert (row.provider_state, row.payout_no) == ("WAIT_USER_CONFIRM", first.payout_no)
    assert row.package_info
    assert len(cai.bills()) == 1
    assert cai.merchant_fen() == 10_000_000 - 5_000
    cai.check()


def test_a_transfer_on_its_way_is_left_alone_until_it_has_arrived(cai: Paying) -> None:
    cai.faults(transfer_stops_at="TRANSFERING")
    number = cai.pay()
    cai.act(number, "confirm")
    for _ in range(3):
        cai.sweep_later(700)
        assert cai.get(number).provider_state == "TRANSFERING"
        assert cai.balance() == (5_000, 5_000)
    cai.act(number, "proceed")
    until(lambda: cai.status(number) == "paid", 10)
    assert cai.bill(number)["creations"] == 1
    cai.check()


@pytest.mark.parametrize("reason", ["ACCOUNT_FROZEN", "SOMETHING_NEW"])
def test_a_transfer_that_fails_returns_the_money(cai: Paying, reason: str) -> None:
    cai.faults(transfer_fails_with=reason)
    number = cai.pay()
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "failed", 10)
    assert cai.get(number).reason == reason
    assert cai.balance() == (10_000, 0)
    assert cai.told(notices.WITHDRAWAL_FAILED) == 1
    again = cai.pay()
    assert cai.get(again).payout_no != cai.get(number).payout_no
    cai.check()


def test_a_member_who_refuses_has_the_money_back(cai: Paying) -> None:
    number = cai.pay()
    cai.act(number, "refuse")
    until(lambda: cai.status(number) == "failed", 10)
    assert cai.balance() == (10_000, 0)
    cai.check()


def test_a_cancelled_transfer_returns_the_money_when_it_is_cancelled_and_not_before(
    cai: Paying,
) -> None:
    cai.faults(transfer_stops_at="CANCELING", notice_lost_rate=1)
    number = cai.pay()
    till = payouts.open_till(cai.process, cai.account.id)
    assert pay.cancel_transfer(till.client, cai.get(number).payout_no) == "CANCELING"
    cai.sweep_later()
    assert (cai.status(number), cai.balance()) == ("paying", (5_000, 5_000))
    cai.act(number, "proceed")
    cai.sweep_later(700)
    assert (cai.status(number), cai.balance()) == ("failed", (10_000, 0))
    cai.check()


def test_the_member_is_reminded_before_the_day_is_over_and_then_the_money_returns(
    cai: Paying,
) -> None:
    number = cai.pay()
    for hours in (6, 6, 6, 2):
        cai.sweep_later(hours * 3600)
        assert cai.told(notices.WITHDRAWAL_REMIND) == 0
    cai.sweep_later(90 * 60)  # 21.5 hours
    assert cai.told(notices.WITHDRAWAL_REMIND) == 1
    cai.sweep_later(3600)
    assert cai.told(notices.WITHDRAWAL_REMIND) == 1
    assert cai.told(notices.WITHDRAWAL_CONFIRM) == 1
    cai.later(2 * 3600)
    until(lambda: cai.status(number) == "failed", 10)
    assert cai.get(number).reason == "OVERDUE_CLOSE"
    assert cai.balance() == (10_000, 0)
    cai.check()


# --- answers that are lost, late or wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    ["drop_answer_rate", "truncate_rate", "late_error_rate", "wrong_signature_rate"],
)
def test_a_lost_answer_leaves_it_paying_and_the_number_is_asked_for(
    cai: Paying, fault: str
) -> None:
    cai.faults(**{fault: 1})
    number = cai.pay()
    before = cai.get(number)
    assert (before.status, before.provider_state) == ("paying", None)
    assert cai.balance() == (5_000, 5_000)
    cai.sweep_later()
    assert cai.status(number) == "paying"
    cai.faults(**{fault: 0})
    cai.sweep_later()
    after = cai.get(number)
    assert (after.provider_state, after.payout_no) == ("WAIT_USER_CONFIRM", before.payout_no)
    assert after.package_info, "the member cannot confirm without it"
    assert len(cai.bills()) == 1
    assert cai.merchant_fen() == 10_000_000 - 5_000
    cai.check()


@pytest.mark.parametrize("fault", ["http_500_rate", "html_rate"])
def test_a_call_that_had_no_effect_is_made_again_with_the_same_number(
    cai: Paying, fault: str
) -> None:
    cai.faults(**{fault: 1})
    number = cai.pay()
    assert cai.status(number) == "paying"
    assert cai.bills() == []
    cai.faults(**{fault: 0})
    cai.sweep_later()
    assert cai.get(number).provider_state == "WAIT_USER_CONFIRM"
    assert cai.bill(number)["creations"] == 1
    cai.check()


def test_while_the_outcome_is_unknown_nothing_is_created_without_asking(cai: Paying) -> None:
    cai.faults(drop_answer_rate=1)
    number = cai.pay()
    for _ in range(5):
        cai.sweep_later(700)
    assert cai.bill(number)["creations"] == 1
    assert cai.calls("POST") == 1
    asked = f"{BILLS}/out-bill-no/{cai.get(number).payout_no}"
    assert cai.calls("GET", asked) == 5


def test_wechat_pay_that_is_away_delays_a_payout_and_loses_nothing(cai: Paying) -> None:
    number = cai.ask()
    till = payouts.open_till(cai.process, cai.account.id)
    library = till.client.library
    there, library._core._gate_way = library._core._gate_way, "http://127.0.0.1:9"
    cai.drain()
    cai.sweep_later()
    assert (cai.status(number), cai.bills()) == ("paying", [])
    library._core._gate_way = there
    cai.sweep_later(700)
    assert cai.get(number).provider_state == "WAIT_USER_CONFIRM"
    cai.check()


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_merchant_without_money_is_an_alarm_and_not_a_failed_withdrawal(cai: Paying) -> None:

    merchant_at(cai.simulator, balance_fen=100)
    number = cai.pay()
    row = cai.get(number)
    assert (row.status, row.alarm) == ("paying", "refused_NOT_ENOUGH")
    assert cai.balance() == (5_000, 5_000)
    cai.sweep_later(700)
    assert len(cai.audited("payout_alarm")) == 1
    merchant_at(cai.simulator)
    cai.sweep_later(700)
    row = cai.get(number)
    assert (row.provider_state, row.alarm) == ("WAIT_USER_CONFIRM", None)
    cai.check()


def test_too_many_calls_are_made_later_without_an_alarm(cai: Paying) -> None:
    cai.faults(pay_error="FREQUENCY_LIMITED")
    number = cai.pay()
    assert (cai.status(number), cai.get(number).alarm) == ("paying", None)
    cai.faults(pay_error="")
    cai.sweep_later()
    assert cai.get(number).provider_state == "WAIT_USER_CONFIRM"


@pytest.mark.parametrize("code", ["PARAM_ERROR", "NO_AUTH", "SYSTEM_ERROR", "SIGN_ERROR"])
def test_a_refusal_never_returns_the_money_by_itself(cai: Paying, code: str) -> None:
    cai.faults(pay_error=code)
    number = cai.pay()
    cai.sweep_later(700)
    assert cai.status(number) == "paying"
    assert cai.balance() == (5_000, 5_000)
    cai.faults(pay_error="")
    cai.sweep_later(700)
    assert cai.get(number).provider_state == "WAIT_USER_CONFIRM"
    cai.check()


# --- giving up ------------------------------------------------------------------------------------------------------


def gives_up(cai: Paying, number: int) -> None:
    cai.database.transact(
        lambda s: give_up(s, cai.account, number, actor="staff/1", reason="没有权限", now=cai.now)
    )


def test_a_payout_that_is_refused_for_ever_ends_when_a_person_gives_it_up(cai: Paying) -> None:
    cai.faults(pay_error="NO_AUTH")
    number = cai.pay()
    assert cai.get(number).alarm == "refused_NO_AUTH"
    calls = cai.calls()
    gives_up(cai, number)
    gives_up(cai, number)
    cai.sweep_later(60)
    assert cai.status(number) == "paying"  # not yet
    cai.faults(pay_error="")
    cai.sweep_later(300)
    row = cai.get(number)
    assert (row.status, row.reason, row.alarm) == ("failed", "NOT_ACCEPTED", None)
    assert cai.balance() == (10_000, 0)
    assert cai.told("withdrawal_failed") == 1
    assert cai.calls() == calls  # nothing was sent any more
    assert len(cai.audited("withdrawal_given_up")) == 1
    assert cai.bills() == []
    cai.sweep_later(700)
    cai.check()


def test_without_an_answer_a_payout_that_was_given_up_stays_paying(cai: Paying) -> None:
    cai.faults(pay_error="NO_AUTH")
    number = cai.pay()
    gives_up(cai, number)
    for _ in range(3):  # the question itself is refused: that proves nothing
        cai.sweep_later(700)
        assert cai.status(number) == "paying"
    cai.faults(http_500_rate=1)
    cai.sweep_later(700)
    assert cai.status(number) == "paying"
    assert cai.balance() == (5_000, 5_000)


def test_a_bill_that_is_there_goes_its_way_although_it_was_given_up(cai: Paying) -> None:
    """The creation was answered with an error, after its effect."""
    cai.faults(late_error_rate=1)
    number = cai.pay()
    gives_up(cai, number)
    cai.faults(late_error_rate=0)
    cai.sweep_later(700)
    row = cai.get(number)
    assert (row.status, row.provider_state, row.giving_up_at) == (
        "paying",
        "WAIT_USER_CONFIRM",
        None,
    )
    cai.sweep_later(700)
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "paid", 10)
    cai.check()


def test_a_worker_that_was_about_to_send_sends_nothing_after_a_person_gave_up(cai: Paying) -> None:
    cai.faults(pay_error="PARAM_ERROR")
    number = cai.pay()
    cai.faults(pay_error="")
    till = payouts.open_till(cai.process, cai.account.id)
    payout = cai.database.transact(lambda s: begin(s, till.account, number, till.terms, cai.now))
    gives_up(cai, number)
    payouts.carry_on(till, payout)  # it read the row before
    assert cai.bills() == []
    cai.sweep_later(700)
    assert cai.status(number) == "failed"


def test_an_answer_from_before_the_five_minutes_ends_nothing_however_late_it_is_written_down(
    cai: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was on its way when a person gave up may make the bill after that answer."""
    cai.faults(pay_error="PARAM_ERROR")
    number = cai.pay()
    cai.faults(pay_error="")
    gives_up(cai, number)

    def slowly(*question: Any) -> None:
        cai.later(400)

    with monkeypatch.context() as patch:
        patch.setattr(pay, "query_transfer", slowly)
        assert payouts.start(payouts.open_till(cai.process, cai.account.id), number)
    assert (cai.status(number), cai.balance()) == ("paying", (5_000, 5_000))
    cai.sweep_later(700)
    assert (cai.status(number), cai.balance()) == ("failed", (10_000, 0))


def test_only_what_is_being_paid_can_be_given_up(cai: Paying) -> None:
    number = cai.ask()
    with pytest.raises(withdrawals.WrongState):
        gives_up(cai, number)
    cai.drain()
    with pytest.raises(withdrawals.WrongState):
        cai.database.transact(lambda s: finish_unsent(s, cai.account, number, cai.now))
    cai.later(30 * 24 * 3600)
    with pytest.raises(Conflict):
        gives_up(cai, number)


def test_an_account_without_a_merchant_waits_with_an_alarm(cai: Paying) -> None:
    number = cai.ask()
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE merchant SET account_id = 999")
    )
    with pytest.raises(AccountMisconfigured):
        payouts.open_till(cai.process, cai.account.id)
    cai.drain()
    assert [row.state for row in cai.payout_rows()] == ["pending"]
    cai.sweep_later(700)
    assert (cai.status(number), cai.get(number).alarm) == ("approved", "no_merchant")
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql(f"UPDATE merchant SET account_id = {cai.account.id}")
    )  # fmt: skip
    cai.sweep_later(700)
    assert cai.get(number).provider_state == "WAIT_USER_CONFIRM"
    cai.check()


def test_another_merchant_number_never_repeats_a_bill(cai: Paying) -> None:
    """Asked under another merchant number every bill seems not to exist, and would be made a second time."""
    cai.faults(drop_answer_rate=1)
    number = cai.pay()
    cai.faults(drop_answer_rate=0)
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE merchant SET mch_id = '1900000999'")
    )
    cai.sweep_later()
    assert (cai.status(number), cai.get(number).alarm) == ("paying", "other_merchant")
    assert cai.bill(number)["creations"] == 1


def test_a_bill_too_old_to_be_asked_for_is_never_created_again(cai: Paying) -> None:
    cai.faults(transfer_stops_at="TRANSFERING", notice_lost_rate=1)
    number = cai.pay()
    cai.act(number, "confirm")
    cai.later(31 * 24 * 3600)
    cai.sweep()
    assert (cai.status(number), cai.get(number).alarm) == ("paying", "too_old")
    assert cai.bill(number)["creations"] == 1


def test_an_answer_about_another_amount_ends_nothing(
    cai: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = cai.pay()
    cai.faults(notice_lost_rate=1)
    cai.act(number, "confirm")
    real = pay.query_transfer

    def query(client: pay.PayClient, out_bill_no: str) -> pay.Transfer | None:

        found = real(client, out_bill_no)
        return None if found is None else replace(found, amount_fen=5_001)

    monkeypatch.setattr(pay, "query_transfer", query)
    cai.sweep_later()
    assert (cai.status(number), cai.get(number).alarm) == ("paying", "mismatch")
    assert cai.balance() == (5_000, 5_000)
    monkeypatch.undo()
    cai.sweep_later(700)
    assert (cai.status(number), cai.get(number).alarm) == ("paid", "mismatch")
    cai.check()


# --- many at once, and nobody in the way ----------------------------------------------------------------------------


def test_one_stuck_transfer_does_not_starve_the_others(cai: Paying) -> None:
    """likeshop returns at the first PROCESSING row, and every later withdrawal waits for ever."""
    cai.faults(transfer_stops_at="PROCESSING")
    stuck = cai.pay(100)
    cai.faults(transfer_stops_at="", notice_lost_rate=1)
    others = [cai.pay(200), cai.pay(300)]
    cai.faults(transfer_stops_at="PROCESSING", notice_lost_rate=1)
    for number in others:
        cai.act(number, "confirm")
        cai.simulator.post("/_sim/faults", transfer_stops_at="PROCESSING")
    cai.sweep_later()
    assert cai.status(stuck) == "paying"
    assert [cai.status(number) for number in others] == ["paid", "paid"]
    cai.check()


def test_two_workers_on_one_payout_make_one_bill(cai: Paying) -> None:
    number = cai.ask()
    till = payouts.open_till(cai.process, cai.account.id)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        payouts.start(till, number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cai.bills()) == 1
    assert cai.merchant_fen() == 10_000_000 - 5_000
    assert cai.told(notices.WITHDRAWAL_CONFIRM) == 1
    cai.check()


def test_a_payout_row_that_comes_again_asks_and_creates_nothing(cai: Paying) -> None:
    number = cai.pay()
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE outbox SET state = 'pending' WHERE topic = 'payout'")
    )  # fmt: skip
    assert cai.drain() == 1
    assert cai.bill(number)["creations"] == 1
    cai.check()


def test_a_withdrawal_that_waits_for_people_again_is_not_paid(cai: Paying) -> None:
    number = cai.ask()
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE withdrawal SET status = 'requested', round = 2")
    )  # fmt: skip
    cai.drain()
    assert cai.bills() == []
    (row,) = cai.payout_rows()
    assert (row.state, row.delivery) == ("done", payouts.NOT_APPROVED)
    assert cai.status(number) == "requested"


def test_a_lost_outbox_row_is_made_up_for_by_the_sweep(cai: Paying) -> None:
    number = cai.ask()
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE outbox SET state = 'dead' WHERE topic = 'payout'")
    )  # fmt: skip
    cai.drain()
    cai.sweep_later(660)
    assert cai.get(number).provider_state == "WAIT_USER_CONFIRM"
    cai.check()


def test_questions_become_rarer_with_age_and_stop_at_the_end(cai: Paying) -> None:
    number = cai.pay()
    path = f"{BILLS}/out-bill-no/{cai.get(number).payout_no}"
    asked = 0
    for _ in range(40):
        asked += cai.sweep_later(60)
    assert asked == cai.calls("GET", path)
    assert 5 <= asked <= 25
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "paid", 10)
    assert cai.get(number).ask_at is None
    assert cai.sweep_later(3600) == 0


# --- reconciliation -------------------------------------------------------------------------------------------------


def test_books_that_agree_with_wechat_pay_are_compared_in_silence(cai: Paying) -> None:
    paid, failed, waiting = cai.pay(100), cai.pay(200), cai.pay(300)
    cai.act(paid, "confirm")
    cai.act(failed, "refuse")
    until(lambda: cai.status(paid) == "paid" and cai.status(failed) == "failed", 10)
    found = reconcile(cai.process, cai.account.id)
    assert (found.ok, found.compared, found.paid_fen) == (True, 3, 100)
    assert cai.database.read(withdrawals.alarms) == []
    assert cai.status(waiting) == "paying"


def test_a_difference_is_an_alarm_and_nothing_is_repaired(cai: Paying) -> None:
    number = cai.pay()
    till = payouts.open_till(cai.process, cai.account.id)
    news = ProviderNews("SUCCESS", "forged")
    cai.database.transact(lambda s: record_news(s, till.account, number, news, cai.now))
    for _ in range(2):
        found = reconcile(cai.process, cai.account.id)
        (difference,) = found.differences
        assert (difference["ours"], difference["theirs"]) == ("paid", "WAIT_USER_CONFIRM")
    assert (cai.status(number), cai.get(number).alarm) == ("paid", "difference")
    (written,) = cai.audited("payout_alarm")
    assert json.loads(written)["theirs"] == "WAIT_USER_CONFIRM"


def test_a_payout_that_failed_here_and_succeeded_there_is_found(cai: Paying) -> None:
    number = cai.pay()
    news = ProviderNews("FAIL", "b", reason="OVERDUE_CLOSE")
    cai.database.transact(lambda s: record_news(s, cai.account, number, news, cai.now))
    cai.act(number, "confirm")
    found = reconcile(cai.process, cai.account.id)
    assert found.differences[0]["theirs"] == "SUCCESS"
    assert cai.balance() == (10_000, 0)
    assert not found.ok


def test_a_reconciliation_without_answers_says_so(cai: Paying) -> None:
    cai.pay()
    cai.faults(http_500_rate=1)
    found = reconcile(cai.process, cai.account.id)
    assert (found.ok, found.unanswered, found.differences) == (False, 1, [])


def test_transfers_of_an_earlier_merchant_number_are_no_difference(cai: Paying) -> None:
    """Under the new number WeChat Pay knows none of their bills, which says nothing about them."""
    number = ended(cai, 100, "confirm")
    merchant_at(cai.simulator, mch_id="1900000999")
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE merchant SET mch_id = '1900000999'")
    )
    found = reconcile(cai.process, cai.account.id)
    assert (found.compared, found.unanswered, found.differences) == (0, 1, [])
    assert cai.get(number).alarm is None


def test_a_payout_that_was_given_up_agrees_by_having_no_bill(cai: Paying) -> None:
    cai.faults(pay_error="PARAM_ERROR")
    number = cai.pay()
    gives_up(cai, number)
    cai.faults(pay_error="")
    cai.sweep_later(700)
    assert cai.status(number) == "failed"
    found = reconcile(cai.process, cai.account.id)
    assert (found.ok, found.compared) == (True, 1)


# --- reconciliation with the bill -----------------------------------------------------------------------------------


def ended(cai: Paying, fen: int, act: str) -> int:
    number = cai.pay(fen)
    cai.act(number, act)
    until(lambda: cai.status(number) in {"paid", "failed"}, 10)
    return number


def two_days_later(cai: Paying) -> None:
    """When the bills around the day are there."""
    cai.later(2 * 24 * 3600 + 60)
    while day_of(cai.now) - bill_day(cai.process) > timedelta(days=2):
        cai.later(3600)  # before ten in Beijing


def test_a_days_payouts_agree_with_the_bills_around_it(cai: Paying) -> None:
    ended(cai, 100, "confirm")
    ended(cai, 200, "refuse")
    two_days_later(cai)
    for _ in range(2):
        found = reconcile_bill(cai.process, cai.account.id)
        assert (found.ok, found.compared, found.paid_fen) == (True, 2, 100)
    row = cai.database.read(
        lambda s: reconciliations.latest(s, cai.account.id, reconciliations.BILL)
    )
    assert row is not None
    assert (row.compared, row.unanswered, row.difference_count) == (2, 0, 0)
    assert row.day == bill_day(cai.process)


def test_each_day_is_compared_once_and_again_while_answers_are_missing(cai: Paying) -> None:
    ended(cai, 100, "confirm")
    two_days_later(cai)
    cai.faults(http_500_rate=1)
    assert [one.unanswered for one in reconcile_due(cai.process, cai.account.id)] == [1, 1]
    cai.faults(http_500_rate=0)
    assert [one.compared for one in reconcile_due(cai.process, cai.account.id)] == [1, 1]
    assert reconcile_due(cai.process, cai.account.id) == []


def test_an_account_without_a_merchant_number_is_compared_only_when_it_has_paid(
    cai: Paying, caplog: pytest.LogCaptureFixture
) -> None:
    ended(cai, 100, "confirm")
    cai.database.transact(lambda s: s.execute(delete(Merchant)))
    assert next(one.unanswered for one in reconcile_due(cai.process, cai.account.id)) == 1

    cai.later(40 * 24 * 3600)
    caplog.clear()
    assert reconcile_due(cai.process, cai.account.id) == []
    assert not caplog.records


def test_what_the_bill_says_otherwise_is_an_alarm_and_nothing_is_repaired(cai: Paying) -> None:
    """Paid here and never moved there; failed here and moved there; and a transfer that nobody here asked for."""
    forged = cai.pay(100)
    cai.act(forged, "refuse")
    until(lambda: cai.status(forged) == "failed", 10)
    cai.faults(notice_lost_rate=1)
    lost = cai.pay(200)
    news = ProviderNews("FAIL", "b", reason="OVERDUE_CLOSE")
    cai.database.transact(lambda s: record_news(s, cai.account, lost, news, cai.now))
    cai.act(lost, "confirm")
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql(
            f"UPDATE withdrawal SET status = 'paid' WHERE id = {forged}"
        )
    )
    till = payouts.open_till(cai.process, cai.account.id)
    pay.create_transfer(
        till.client,
        pay.TransferOrder("STRANGER1", "cai", 300, "1005", "佣金", till.terms.report_infos),
    )
    two_days_later(cai)
    before = cai.balance()
    found = reconcile_bill(cai.process, cai.account.id)
    by_field = {(one["field"], one["ours"], one["theirs"]) for one in found.differences}
    assert by_field == {
        ("bill_fen", "100", "0"),
        ("bill_fen", "0", "200"),
        ("not_ours", "none", "300"),
    }
    assert {cai.get(number).alarm for number in (forged, lost)} == {"difference"}
    assert len(cai.audited("bill_difference")) == 1
    assert cai.balance() == before
    assert cai.status(forged) == "paid"


def test_a_payout_that_is_in_no_bill_is_found(cai: Paying) -> None:
    number = ended(cai, 100, "confirm")
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql(
            f"UPDATE withdrawal SET payout_no = 'ELSEWHERE', provider_bill_no = 'ELSE' WHERE id = {number}"
        )
    )
    two_days_later(cai)
    found = reconcile_bill(cai.process, cai.account.id)
    assert {one["field"] for one in found.differences} == {"bill_row", "not_ours"}


def test_what_ended_long_ago_is_not_asked_for(cai: Paying) -> None:
    number = cai.pay()
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "paid", 10)
    assert reconcile(cai.process, cai.account.id, timedelta(days=28)).compared == 1
    cai.later(29 * 24 * 3600)
    assert reconcile(cai.process, cai.account.id).compared == 0


def test_the_secrets_of_the_merchant_are_in_no_repr_and_no_log(
    cai: Paying, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    cai.faults(late_error_rate=1)
    cai.pay()
    till = payouts.open_till(cai.process, cai.account.id)
    opened = cai.database.read(lambda s: merchants.get(s, cai.context.keyring, cai.account.id))
    secret = key_pair()[0].splitlines()[5]
    for text in (caplog.text, repr(till), repr(opened)):
        assert secret not in text
        assert opened.api_v3_key not in text
