"""申请推广, 等级 and 拉新 as a follower sees them in the chat."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain import members, promoters, risk
from domain.texts import TEXTS, Words
from tests.bot.chat import Chat


def chat_with(chat: Chat, **settings: Any) -> None:
    chat.add_account("pro", **settings)
    chat.follow("anna", slug="pro")


def test_everybody_may_promote_where_nothing_else_is_set(chat: Chat) -> None:
    chat.follow("anna")
    assert chat.say("anna", "申请推广").text == TEXTS["promoter.open"]
    assert "申请推广" not in chat.say("anna", "帮助").text
    assert "推广资格" not in chat.say("anna", "我的收益").text


def test_application_waits_is_approved_and_then_is_not_needed(chat: Chat) -> None:
    chat_with(chat, qualification="approved")
    assert "申请推广" in chat.say("anna", "帮助", "pro").text
    assert "申请推广" in chat.say("anna", "我的收益", "pro").text
    assert chat.say("anna", "申请推广 我开了一家店", "pro").text == TEXTS["promoter.applied"]
    assert chat.say("anna", "申请推广", "pro").text == TEXTS["promoter.waiting"]
    account_id, now = chat.accounts["pro"].id, chat.context.clock.now()
    (waiting,) = chat.do(lambda s: promoters.waiting(s, account_id))
    assert waiting.message == "我开了一家店"
    chat.do(lambda s: promoters.approve(s, account_id, waiting.member_id, actor="staff/1", now=now))
    assert chat.say("anna", "申请推广", "pro").text == TEXTS["promoter.is_one"]
    assert "推广资格" not in chat.say("anna", "我的收益", "pro").text


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"qualification": "first_order"}, TEXTS["promoter.first_order"]),
        (
            {"qualification": "spent", "qualification_spent_fen": 9_900},
            "累计消费满 ¥99.00 就自动成为推广员，不用申请。",
        ),
    ],
)  # fmt: skip
def test_other_accounts_say_how_one_becomes_a_promoter(
    chat: Chat, settings: dict[str, Any], answer: str
) -> None:
    chat_with(chat, **settings)
    assert chat.say("anna", "申请推广", "pro").text == answer


def test_suspended_member_is_told_whom_to_ask(chat: Chat) -> None:
    chat_with(chat, qualification="approved")
    account_id, now = chat.accounts["pro"].id, chat.context.clock.now()

    def suspend(session: Session) -> None:
        member = members.get(session, account_id, "anna")
        promoters.suspend(session, account_id, member.id, actor="a", reason="核实", now=now)

    chat.do(suspend)
    assert chat.say("anna", "申请推广", "pro").text == TEXTS["promoter.suspended"]


def test_registration_reward_is_in_the_chat_like_any_commission(chat: Chat) -> None:
    chat_with(chat, registration_reward_fen=250)
    chat.follow("ben", by="anna", slug="pro")
    assert "¥2.50" in chat.say("anna", "明细", "pro").text
    assert "邀请奖励" in chat.say("anna", "明细", "pro").text
    assert "¥2.50" in chat.say("anna", "为什么 1", "pro").text
    assert "冻结中 ¥2.50" in chat.say("anna", "我的收益", "pro").text
    chat.event("ben", "unsubscribe", "pro", created=chat.now_seconds + 1)
    assert "取消了关注" in chat.say("anna", "为什么 1", "pro").text
    assert "冻结中 ¥0.00" in chat.say("anna", "我的收益", "pro").text


def test_notices_read_like_sentences() -> None:
    words = Words()
    at = "2026-03-01T00:00:00+00:00"
    held = words.notice("commission_held", {"signal": "churn", "until": at, "at": at})
    assert held == (
        "您有佣金正在例行复核：近期有较多新朋友关注后又离开。"
        "复核期间暂不结算，最晚 2026-03-01 有结果，不影响您继续推广"
    )
    by_hand = words.notice("commission_held", {"reason": "核对订单", "until": None, "at": at})
    assert "核对订单。复核期间暂不结算，我们会尽快有结果" in by_hand
    down = words.notice("grade_down", {"grade": "", "before": "黄金", "at": at})
    assert down == "您的等级由「黄金」变为「普通会员」，已有的佣金不变"


def test_every_risk_has_polite_words() -> None:
    for kind in risk.KINDS:
        assert TEXTS[f"risk.{kind}"]
        assert not any(word in TEXTS[f"risk.{kind}"] for word in ("作弊", "欺诈", "刷单", "违规"))
