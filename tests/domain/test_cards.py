"""Words of a card: what each occasion says, and which keyword of a template shows what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domain import cards, notices
from domain.texts import TEXTS

AT = "2026-11-22T02:24:00+00:00"
PAYLOADS: dict[str, dict[str, object]] = {
    notices.FRIEND_JOINED: {"friend": "小红", "at": AT},
    notices.REFERRER_CHANGED: {"friend": "小红", "at": AT},
    notices.REFERRER_CLEARED: {"at": AT},
    notices.FRIEND_MOVED: {"friend": "小红", "at": AT},
    notices.DISPUTE_DECIDED: {"state": "upheld", "answer": "属实", "friend": "", "at": AT},
    notices.COMMISSION_ACCRUED: {
        "order_no": "E1", "friend": "小红", "level": 2, "amount_fen": 1234, "paid_fen": 12340, "at": AT
    },
    notices.COMMISSION_SETTLED: {"amount_fen": 5, "count": 3, "at": AT},
    notices.COMMISSION_VOIDED: {"order_no": "E1", "amount_fen": 100, "at": AT},
    notices.COMMISSION_CLAWED_BACK: {"order_no": "E1", "amount_fen": 100, "at": AT},
    notices.REGISTRATION_REWARD: {"friend": "小红", "amount_fen": 200, "days": 7, "at": AT},
    notices.REGISTRATION_VOIDED: {"friend": "小红", "amount_fen": 200, "at": AT},
    notices.COMMISSION_HELD: {"signal": "churn", "until": AT, "at": AT},
    notices.COMMISSION_RELEASED: {"count": 2, "amount_fen": 0, "at": AT},
    notices.COMMISSION_REFUSED: {"count": 2, "amount_fen": 500, "reason": "同一人", "at": AT},
    notices.GRADE_UP: {"grade": "黄金", "before": "", "at": AT},
    notices.GRADE_DOWN: {"grade": "", "before": "黄金", "at": AT},
    notices.PROMOTER_APPROVED: {"reason": "", "at": AT},
    notices.PROMOTER_REJECTED: {"reason": "资料不全", "at": AT},
    notices.PROMOTER_SUSPENDED: {"reason": "核实", "at": AT},
    notices.PROMOTER_REINSTATED: {"reason": "", "at": AT},
    notices.WITHDRAWAL_REQUESTED: {"amount_fen": 5000, "net_fen": 5000, "withdrawal": 1, "at": AT},
    notices.WITHDRAWAL_APPROVED: {"amount_fen": 5000, "net_fen": 5000, "withdrawal": 1, "at": AT},
    notices.WITHDRAWAL_REJECTED: {"amount_fen": 5000, "net_fen": 5000, "reason": "资料不全", "at": AT},
    notices.WITHDRAWAL_CONFIRM: {"amount_fen": 5000, "net_fen": 4900, "confirm_by": AT, "at": AT},
    notices.WITHDRAWAL_REMIND: {"amount_fen": 5000, "net_fen": 4900, "confirm_by": AT, "at": AT},
    notices.WITHDRAWAL_PAID: {"amount_fen": 5000, "net_fen": 4900, "withdrawal": 1, "at": AT},
    notices.WITHDRAWAL_FAILED: {"amount_fen": 5000, "net_fen": 5000, "failure": "OTHER", "at": AT},
    notices.FRIENDS_JOINED: {"count": 4, "friends": ["小红"], "at": AT},
    notices.COMMISSIONS_ACCRUED: {"count": 4, "amount_fen": 5, "order_no": "E1+3", "at": AT},
    notices.TEAM_DIGEST: {"count": 4, "amount_fen": 5, "order_no": "E1+3", "at": AT},
    notices.NOTICE_TEST: {"at": AT},
    notices.RISK_ALERT: {"kind": "churn", "signal": 1, "member": 2, "evidence": {}, "holds": True, "at": AT},
}  # fmt: skip


def words_for(occasion: str) -> dict[str, str]:
    return cards.words_of({"occasion": occasion, **PAYLOADS[occasion]})


@pytest.mark.parametrize("occasion", notices.OCCASIONS)
def test_every_occasion_fills_every_default_keyword(occasion: str) -> None:
    words = words_for(occasion)
    filled = cards.card(cards.DEFAULT_FIELDS[occasion], words)
    assert all(filled.values()), filled
    assert set(words) <= set(notices.PARAMETERS)


def test_times_are_beijings_and_amounts_are_yuan() -> None:
    words = words_for(notices.COMMISSION_ACCRUED)
    assert words["time"] == "2026年11月22日 10:24"
    assert words["amount"] == "12.34元"
    assert words["level"] == "二级好友"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "客户姓名：{{thing8.DATA}}\n订单号：{{character_string1.DATA}}\n订单金额：{{amount2.DATA}}\n佣金：{{amount5.DATA}}\n"
            "下单时间：{{time3.DATA}}",
            {"thing8": "friend", "character_string1": "order_no", "amount2": "paid", "amount5": "amount",
             "time3": "time"},
        ),
        (
            "{{first.DATA}}\n收益类型：{{keyword1.DATA}}\n收益金额：{{keyword2.DATA}}\n到账时间：{{keyword3.DATA}}\n{{remark.DATA}}",
            {"first": "occasion", "keyword1": "occasion", "keyword2": "amount", "keyword3": "time",
             "remark": "status"},
        ),
        ("", {}),
    ],
)  # fmt: skip
def test_labels_and_kinds_decide_what_a_keyword_shows(
    content: str, expected: dict[str, str]
) -> None:
    words = words_for(notices.COMMISSION_ACCRUED)
    assert cards.fields_from(content, words) == expected


def test_the_catalogue_of_the_documentation_is_that_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs/notices.md").read_text(encoding="utf-8")
    catalogue = page.split("## The catalogue")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", catalogue, re.MULTILINE))
    assert list(rows) == list(notices.OCCASIONS)
    for occasion, row in rows.items():
        text = TEXTS.get(f"notice.{occasion}", TEXTS[f"title.{occasion}"]).replace("\n", " ")
        parameters = ", ".join(sorted(cards.words_of(cards.sample(occasion))))
        rungs = "all, also at night" if occasion in notices.URGENT else "all"
        if occasion == notices.RISK_ALERT:
            rungs = "template, to staff"
        assert row == f"{text} | {parameters} | {rungs}"
