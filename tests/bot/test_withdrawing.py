"""提现 and 提现进度 in the chat."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app import app_of
from domain import accounts, commissions, members, payouts, proof, refunds, withdrawals
from domain.models import Withdrawal
from domain.money import parse_yuan
from domain.payouts import ProviderNews, Terms
from domain.refunds import Refunding
from tests.bot.chat import Chat, text_xml

TERMS = Terms("1900000109", "1005", "推广佣金提现", (("岗位类型", "推广员"),))
_numbers = itertools.count(7_000)


@pytest.fixture
def rich(chat: Chat) -> Chat:
    """anna has 100 yuan that she can withdraw."""
    change(chat, freeze_from="paid", audit_above_fen=5_000, withdraw_per_day=3)
    chat.follow("anna")
    chat.follow("ben", by="anna")
    chat.buy("ben", "A1", 100_000)
    at = chat.context.clock.now() + timedelta(days=8)
    chat.do(lambda s: commissions.settle_due(s, chat.tea, at))
    return chat


def change(chat: Chat, **settings: Any) -> None:
    def write(session: Session) -> accounts.OpenAccount:
        row = accounts.get(session, "tea")
        accounts.change_settings(session, row, settings)
        session.refresh(row)
        return accounts.unseal(row, chat.context.keyring)

    chat.accounts["tea"] = chat.do(write)
    chat.app = app_of(chat.context)  # the running one serves the old settings for some seconds


def last(chat: Chat) -> Withdrawal:
    member = chat.member("anna")
    assert member is not None
    return chat.do(lambda s: withdrawals.of_member(s, member.id, 1))[0]


def prove(chat: Chat) -> None:
    with chat.context.database.reading() as session:
        assert proof.ledger_check(session).differences == []


@pytest.mark.parametrize(
    ("said", "fen"),
    [
        ("50", 5_000), ("50.5", 5_050), ("50.05元", 5_005), ("５０", 5_000), ("５０．５元", 5_050), ("¥50", 5_000),
        ("￥ 0.50", 50), (" 50 块 ", 5_000), ("0", 0), ("1000000", 100_000_000),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_it_was_meant(said: str, fen: int) -> None:
    assert parse_yuan(said) == fen


@pytest.mark.parametrize(
    "said",
    [
        "", "-50", "+50", "1,000", "1，000", "50.555", "5e3", "0x50", "五十", "50 60", "50.", ".5", "50元元", "٥٠",
        "99999999",
    ],
)  # fmt: skip
def test_an_amount_that_could_mean_two_things_is_not_guessed(said: str) -> None:
    assert parse_yuan(said) is None


@pytest.mark.parametrize("said", ["提现 30", "提现30", "提现３０元", "提现 ¥30.00"])
def test_money_is_asked_for_in_one_line(rich: Chat, said: str) -> None:
    text = rich.say("anna", said).text
    assert "提现 ¥30.00 已通过" in text
    assert (last(rich).amount_fen, last(rich).status) == (3_000, "approved")
    assert "提现中 ¥30.00" in rich.say("anna", "我的收益").text
    prove(rich)


def test_a_repeat_of_the_push_is_answered_as_the_first_time(rich: Chat) -> None:
    push = text_xml("anna", "提现 全部", next(_numbers), rich.now_seconds)
    first, again = rich.push(push), rich.push(push)
    assert first.text == again.text
    assert "¥100.00" in first.text
    assert "还没有" not in again.text
    prove(rich)


def test_a_larger_amount_waits_for_review(rich: Chat) -> None:
    assert "正在审核" in rich.say("anna", "提现 60").text
    assert "待审核" in rich.say("anna", "提现进度").text


def test_fee_and_tax_are_told(rich: Chat) -> None:
    change(rich, withdraw_fee_bps=100, withdraw_tax_bps=2_000)
    assert "手续费 ¥0.50，代扣个税 ¥10.00，到手 ¥39.50" in rich.say("anna", "提现 50").text


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("提现", "可提现 ¥100.00"),
        ("提现 五十", "没看懂金额"),
        ("提现 1,000", "没看懂金额"),
        ("提现 0.5", "一次可以提现 ¥1.00 到 ¥20000.00"),
        ("提现 100.01", "可提现 ¥100.00，不够提现 ¥100.01"),
    ],
)
def test_each_refusal_has_its_sentence(rich: Chat, said: str, answer: str) -> None:
    assert answer in rich.say("anna", said).text


def test_the_limits_of_a_day_have_their_sentences(rich: Chat) -> None:
    change(rich, withdraw_per_day=2, withdraw_day_sum_fen=5_000)
    rich.say("anna", "提现 30")
    assert "每天最多提现 ¥50.00" in rich.say("anna", "提现 30").text
    rich.say("anna", "提现 10")
    assert "每天最多提现 2 次" in rich.say("anna", "提现 1").text
    prove(rich)


def test_somebody_without_money_is_told_how_much_is_needed(rich: Chat) -> None:
    assert "可提现 ¥0.00，满 ¥1.00 就可以提现" in rich.say("ben", "提现").text
    assert "可提现 ¥0.00，不够" in rich.say("ben", "提现 5").text
    assert "可提现 ¥0.00，不够" in rich.say("stranger", "提现 5").text
    assert "您还没有提现过" in rich.say("ben", "提现进度").text


def test_a_large_amount_asks_for_the_real_name_and_keeps_it_sealed(rich: Chat) -> None:
    rich.buy("ben", "A2", 3_000_000)
    at = rich.context.clock.now() + timedelta(days=8)
    rich.do(lambda s: commissions.settle_due(s, rich.tea, at))
    assert "「实名」" in rich.say("anna", "提现 2000").text
    assert "实名 张三" in rich.say("anna", "实名 12345").text
    assert "加密保存" in rich.say("anna", "实名 欧阳·娜娜").text
    member = rich.member("anna")
    assert member is not None
    assert member.real_name is not None
    assert "欧阳".encode() not in member.real_name
    assert "正在审核" in rich.say("anna", "提现 2000").text
    prove(rich)


def test_every_state_has_its_sentence(rich: Chat) -> None:
    account, now = rich.tea, rich.context.clock.now()

    def news(state: str, reason: str | None = None) -> None:
        number = last(rich).id
        rich.do(
            lambda s: payouts.record_news(
                s, account, number, ProviderNews(state, f"b{number}", "p", reason), now
            )
        )

    def begin() -> None:
        number = last(rich).id
        rich.do(lambda s: payouts.begin(s, account, number, TERMS, now))

    def progress() -> str:
        return rich.say("anna", "提现进度").text.split("\n\n")[1]

    rich.say("anna", "提现 10")
    assert "已通过，等待打款" in progress()
    begin()
    assert "打款中，¥10.00 正在路上" in progress()
    news("WAIT_USER_CONFIRM")
    assert "请在微信里确认收款 ¥10.00" in progress()
    news("SUCCESS")
    assert "已打款 ¥10.00" in progress()
    rich.say("anna", "提现 20")
    begin()
    news("FAIL", "OVERDUE_CLOSE")
    assert "没有成功：24 小时内没有确认收款。金额已退回可提现" in progress()
    rich.say("anna", "提现 60")
    number = last(rich).id
    rich.do(
        lambda s: withdrawals.reject(
            s, account, number, actor="staff/1", reason="资料不全", now=now
        )
    )
    assert "已驳回：资料不全。金额已退回可提现" in progress()
    prove(rich)


def test_a_debt_is_explained(rich: Chat) -> None:
    rich.say("anna", "提现 50")
    now = rich.context.clock.now()
    rich.do(lambda s: refunds.record(s, rich.tea, Refunding("A1", "r1", {1: 100_000}, 0), now))
    assert "待抵扣" in rich.say("anna", "提现 5").text
    prove(rich)


def test_a_suspended_member_is_told_so(rich: Chat) -> None:
    def suspend(session: Session) -> None:
        members.get(session, rich.tea.id, "anna").status = "suspended"
        session.flush()

    rich.do(suspend)
    assert "现在不能提现" in rich.say("anna", "提现 5").text
