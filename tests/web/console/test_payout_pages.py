"""The queue of withdrawals and one of them: what staff see beside the amount, and what they do about a transfer."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from sqlalchemy import select

from app import app_of
from domain import payouts, withdrawals
from domain.models import Audit, Withdrawal
from tests.support.paying import Paying
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.test_money_pages import asked
from tests.web.console.world import World
from web.console import payout_words


def change(console: Console, act: Any) -> Any:
    return console.merchant.database.transact(act)


def test_queue_shows_what_is_known_of_the_member_beside_the_amount(
    console: Console, world: World, boss: Browser
) -> None:
    row = asked(console, world, 200)
    html = boss.get("/console/tea/withdrawals", status="requested").text
    assert "关注后流失多" in html
    assert "第一次提现" in html
    assert "待审核 <b>1</b>" in html
    boss.post(f"/console/tea/withdrawals/{row.id}/reject", reason="资料不全")
    html = boss.get("/console/tea/withdrawals").text
    assert "驳回 1" in html
    assert "待审核 <b>0</b>" in html
    assert "没有符合条件" in boss.get("/console/tea/withdrawals", status="paid").text


def test_withdrawal_is_found_by_its_number_and_by_its_member(
    console: Console, world: World, boss: Browser
) -> None:
    row = asked(console, world, 200)
    link = f"/withdrawals/{row.id}"
    for words in (row.payout_no, "child"):
        assert link in boss.get("/console/tea/withdrawals", q=words).text
    for words in ("YVTURLSUXGL22G4IVSNGUOYZK7ZP4IZX", "buyer", "没有这个人"):
        assert link not in boss.get("/console/tea/withdrawals", q=words).text


def test_sheet_of_withdrawals_has_every_amount_in_a_column_of_its_own(
    console: Console, world: World, boss: Browser
) -> None:
    asked(console, world, 200)
    answer = boss.get("/console/tea/withdrawals", format="csv")
    [titles, cells] = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    line = dict(zip(titles, cells, strict=True))
    assert (line["申请金额"], line["到手"], line["状态"]) == ("2.00", "2.00", "待审核")
    assert line["风险信号"] == "关注后流失多"


def test_who_has_approved_is_asked_to_find_somebody_else(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/withdrawals/{asked(console, world, 200).id}"
    assert f"{path}/approve" in boss.get(path).text
    boss.post(f"{path}/approve")
    html = boss.get(path).text
    assert f"{path}/approve" not in html
    assert "必须由另一个人来做" in html
    assert "还需要一位同事同意" in html


def test_alarm_is_explained_and_closed_by_a_person(
    console: Console, world: World, boss: Browser
) -> None:
    row = asked(console, world, 100)
    change(
        console,
        lambda s: withdrawals.sound_by_id(
            s, world.account.id, row.id, "refused_NOT_ENOUGH", console.now
        ),
    )
    path = f"/console/tea/withdrawals/{row.id}"
    assert f"/withdrawals/{row.id}" in boss.get("/console/tea/withdrawals", alarm="1").text
    html = boss.get(path).text
    assert "商户号余额不足" in html
    assert "充值" in html
    support = console.as_role(world.account, "support")
    assert support.post(f"{path}/silence").status_code == 403
    boss.post(f"{path}/silence")
    assert "警报已关闭" in boss.said()
    assert "充值" not in boss.get(path).text
    note = console.merchant.database.read(
        lambda s: s.scalars(select(Audit).order_by(Audit.id.desc()).limit(1)).one()
    )
    assert (note.action, note.actor) == ("payout_alarm_over", "staff:boss")


def test_every_alarm_and_every_state_has_words_of_its_own(console: Console) -> None:
    with console.app.test_request_context("/console/"):
        for name in payouts.LASTING_ALARMS:
            meaning = payout_words.alarm(name)
            assert meaning is not None
            assert str(meaning.what) != name
        for state in (payouts.WAITING, *payouts.MOVING, payouts.NEVER_SENT):
            assert state in payout_words.TRANSFERS
        unknown = payout_words.alarm("refused_SOMETHING_NEW")
        assert unknown is not None
        assert "SOMETHING_NEW" in str(unknown.what)


def test_nothing_is_cancelled_or_given_up_before_it_is_being_paid(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/withdrawals/{asked(console, world, 100).id}"
    for verb in ("cancel", "give-up"):
        boss.post(f"{path}/{verb}", reason="卡住了")
        assert "没有进行中的转账" in boss.said()
    boss.post(f"{path}/give-up")
    assert "请写明原因" in boss.said()


class TestTransfer:
    """With WeChat Pay's side beside it."""

    @pytest.fixture
    def counter(self, paying: Paying, tmp_path: Any) -> Console:
        return Console(app_of(paying.context), Merchant(paying.context, tmp_path / "clock.json"))

    def test_transfer_that_waits_for_the_member_is_explained_and_can_be_cancelled(
        self, paying: Paying, counter: Console
    ) -> None:
        paying.person("cai", 5_000)
        number = paying.pay()
        browser = counter.as_role(paying.account, "finance")
        path = f"/console/tea/withdrawals/{number}"
        html = browser.get(path).text
        assert "等会员在微信里确认收款" in html
        assert "24 小时内没有确认" in html
        browser.post(f"{path}/cancel")
        assert "已请求撤销" in browser.said()
        paying.sweep_later()
        assert paying.status(number) == "failed"
        assert "钱已退回会员的可提现" in browser.get(path).text
        browser.post(f"{path}/cancel")
        assert "没有进行中的转账" in browser.said()
        paying.check()

    def test_payout_that_wechat_refuses_is_given_up_and_the_money_returns(
        self, paying: Paying, counter: Console
    ) -> None:
        paying.person("cai", 5_000)
        paying.faults(pay_error="NO_AUTH")
        number = paying.pay()
        browser = counter.as_role(paying.account, "finance")
        path = f"/console/tea/withdrawals/{number}"
        assert "商家转账" in browser.get(path).text
        browser.post(f"{path}/cancel")
        assert "微信支付没有接受撤销" in browser.said()
        browser.post(f"{path}/give-up", reason="没有开通")
        assert "不会再发出" in browser.said()
        assert "已放弃打款" in browser.get(path).text
        paying.faults(pay_error="")
        paying.sweep_later(400)
        row = paying.get(number)
        assert (row.status, row.alarm) == ("failed", None)
        assert "微信支付从未受理" in browser.get(path).text
        assert paying.balance() == (5_000, 0)
        paying.check()


def test_two_people_are_counted_by_who_they_are_not_by_where_they_sit(
    console: Console, world: World, boss: Browser
) -> None:
    row = asked(console, world, 200)
    person = console.person((world.account, "finance"), login="money")
    first, second = console.browser(person), console.browser(person)
    for browser in (first, second):
        browser.post(f"/console/tea/withdrawals/{row.id}/approve")
    assert "还需要另一个人同意" in second.said()
    found = console.merchant.database.read(lambda s: s.get_one(Withdrawal, row.id))
    assert found.status == "requested"
