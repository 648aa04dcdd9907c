"""Risk, disputes and the books: people look at the evidence, decide with a reason, and nobody decides twice."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select, update

from domain import accounts, disputes, events, holds, risk, scenes, tasks
from domain.accounts import RISK_LIMITS
from domain.models import (
    Audit,
    Commission,
    Dispute,
    DisputeNote,
    Event,
    Hold,
    Member,
    RiskSignal,
    Staff,
    Task,
)
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.world import World, seed
from web.console import proving, watching


def read(console: Console, query: Any) -> Any:
    return console.merchant.database.read(lambda session: session.scalars(query).one())


def raised(console: Console, world: World) -> int:
    """A signal about the child that holds their commission."""
    account, now = world.account, console.now
    child = world.member_ids["child"]

    def work(session: Any) -> int:
        evidence = {"refunded": 6, "orders": 8, "members": [child], "last_order": world.places["order_id"]}  # fmt: skip
        finding = risk.Finding(risk.REFUNDS, "k", child, evidence, True)
        [signal_id] = risk.raise_signals(session, account, [finding], now)
        risk.hold_for_open(session, account, now)
        return signal_id

    return console.merchant.database.transact(work)


# --- risk -----------------------------------------------------------------------------------------------------------


def test_signal_shows_its_evidence_and_what_it_holds(
    console: Console, world: World, boss: Browser
) -> None:
    number = raised(console, world)
    html = boss.get(f"/console/tea/risk/{number}").text
    for words in ("退款订单数", "¥2.99", "现在暂缓 1 笔", f"/orders/{world.places['order_id']}"):
        assert words in html
    listed = boss.get("/console/tea/risk", status="open", kind="refunds").text
    assert "¥2.99" in listed
    assert "退款偏多" in boss.get("/console/tea/holds", outcome="open").text


def test_confirmed_signal_makes_void_what_it_holds_and_only_once(
    console: Console, world: World, boss: Browser
) -> None:
    number = raised(console, world)
    path = f"/console/tea/risk/{number}"
    boss.post(f"{path}/confirm")
    assert "请写明原因" in boss.said()
    boss.post(f"{path}/confirm", reason="刷单")
    assert "已判定无效" in boss.said()
    held = read(console, select(Hold))
    assert held.outcome == holds.REFUSED
    assert read(console, select(Commission).where(Commission.level == 1)).status == "voided"
    boss.post(f"{path}/release", reason="看错了")
    assert "已经处理过" in boss.said()
    assert "刷单" in boss.get(path).text


def test_released_signal_lets_the_commissions_go(
    console: Console, world: World, boss: Browser
) -> None:
    number = raised(console, world)
    boss.post(f"/console/tea/risk/{number}/release", reason="活动现场")
    assert read(console, select(Hold)).outcome == holds.RELEASED
    assert read(console, select(Commission).where(Commission.level == 1)).status == "frozen"


def test_limits_are_all_on_the_page_and_kept_when_they_differ_from_ours(
    console: Console, world: World, boss: Browser
) -> None:
    asked = [one.name for _, _, limits in watching.QUESTIONS for one in limits]
    assert sorted(asked) == sorted(RISK_LIMITS)
    form = {name: str(number) for name, number in RISK_LIMITS.items() if not name.endswith("_holds")}  # fmt: skip
    form |= {"churn_holds": "1", "shared_holds": "1", "ring_holds": "1", "churn_people": "25"}
    boss.post("/console/tea/risk/limits/save", **form)
    assert "已保存" in boss.said()
    settings = console.merchant.database.read(
        lambda s: accounts.settings_of(accounts.get(s, "tea"))
    )
    assert settings.risk == {"churn_people": 25}
    note = read(console, select(Audit).where(Audit.action == "settings_changed"))
    assert json.loads(note.before or "") == {"risk": {}}
    assert json.loads(note.after or "") == {"risk": {"churn_people": 25}}
    html = boss.post("/console/tea/risk/limits/save", **{**form, "churn_people": "-3"})
    assert html.status_code == 422
    assert 'value="-3"' in html.text, "what was written is not lost"
    assert boss.post("/console/tea/risk/limits/save", **{**form, "window_days": "0"}).status_code == 422  # fmt: skip
    finance = console.as_role(world.account, "finance")
    assert finance.post("/console/tea/risk/limits/save", **form).status_code == 403


# --- disputes -------------------------------------------------------------------------------------------------------


def test_friend_who_came_by_the_promoters_code_is_suggested(
    console: Console, world: World, boss: Browser
) -> None:
    account, now = world.account, console.now
    parent, buyer = world.member_ids["parent"], world.member_ids["buyer"]

    def scanned(session: Any) -> None:
        code = scenes.of_member(session, account.id, parent, now)
        session.add(
            Event(
                account_id=account.id, push_key="refused-1", kind=events.BIND_REFUSED, member_id=buyer,
                scene_id=code.id, detail="bound", at=now,
            )
        )  # fmt: skip

    path = f"/console/tea/disputes/{world.places['dispute_id']}"
    assert 'value="buyer"' not in boss.get(path).text
    console.merchant.database.transact(scanned)
    assert 'value="buyer"' in boss.get(path).text
    assert 'value="buyer"' in boss.get(path, friend="buyer").text
    assert "没有找到" in boss.get(path, friend="没有这个人").text


def test_upheld_dispute_rebinds_the_chosen_friend_and_is_decided_once(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/disputes/{world.places['dispute_id']}"
    boss.post(f"{path}/decide", upheld="1", friend="buyer")
    assert "请写 1 到" in boss.said()
    boss.post(f"{path}/decide", upheld="1", friend="nobody", reason="有监控")
    assert read(console, select(Dispute)).state == disputes.OPEN
    boss.post(f"{path}/decide", upheld="1", friend="buyer", reason="有监控")
    assert "双方会收到答复" in boss.said()
    buyer = read(console, select(Member).where(Member.openid == "buyer"))
    assert buyer.referrer_id == world.member_ids["parent"]
    html = boss.get(path).text
    assert "有监控" in html
    assert "已改绑的朋友" in html
    boss.post(f"{path}/decide", upheld="0", reason="再想想")
    assert "已经处理过" in boss.said()


def test_note_of_the_staff_is_for_colleagues_and_leaves_the_member_their_word(
    console: Console, world: World, boss: Browser
) -> None:
    number = world.places["dispute_id"]
    path = f"/console/tea/disputes/{number}"
    boss.post(f"{path}/note", note="")
    assert "请写 1 到" in boss.said()
    for turn in range(disputes.NOTES_LIMIT):
        boss.post(f"{path}/note", note=f"原推荐人说 {turn}")
    assert "内部备注" in boss.get(path).text
    console.merchant.database.transact(
        lambda s: disputes.open_or_add(
            s, world.account, "parent", "还有一句", push_key="more", now=console.now
        )
    )
    last = read(console, select(DisputeNote).order_by(DisputeNote.id.desc()).limit(1))
    assert last.actor == disputes.MEMBER
    support = console.as_role(world.account, "support")
    assert support.get(path).status_code == 200
    assert support.post(f"{path}/note", note="x").status_code == 403
    boss.post(f"{path}/decide", upheld="0", reason="没有证据")
    boss.post(f"{path}/note", note="晚了")
    assert "已经处理过" in boss.said()


# --- the books ------------------------------------------------------------------------------------------------------


def proved(console: Console, result: dict[str, Any]) -> None:
    def work(session: Any) -> None:
        task = tasks.newest(session, None, tasks.BOOKS, tasks.WAITING) or tasks.start(
            session, None, tasks.BOOKS, actor="clock", now=console.now
        )
        session.execute(
            update(Task).where(Task.id == task.id).values(
                state="done", open_key=None, result=json.dumps(result), finished_at=console.now
            )
        )  # fmt: skip

    console.merchant.database.transact(work)


BROKEN = {
    "ok": False, "postings": 12_345, "difference_count": 1,
    "differences": [{"check": "balances", "subject": "member/77", "expected": {"available": 5}, "found": None}],
}  # fmt: skip


def test_books_show_the_last_proof_with_figures_and_what_each_part_means(
    console: Console, world: World, boss: Browser
) -> None:
    assert "还没有核对过" in boss.get("/console/tea/books").text
    proved(console, {"ok": True, "postings": 12_345, "difference_count": 0, "differences": []})
    html = boss.get("/console/tea/books").text
    assert "12,345" in html
    assert "账本平衡" in html
    proved(console, BROKEN)
    html = boss.get("/console/tea/books").text
    assert "1 处不一致" in html
    assert "member/77" in html


def test_proof_is_begun_from_the_page_and_can_be_watched(boss: Browser) -> None:
    assert boss.post("/console/tea/books/prove").location.endswith("/console/tea/books")
    html = boss.get("/console/tea/books").text
    assert "data-poll" in html
    assert "books/prove" not in html


def test_figures_of_an_installation_are_not_shown_to_somebody_of_one_account(
    console: Console, world: World, boss: Browser
) -> None:
    proved(console, BROKEN)
    console.merchant.open_account("other")
    html = boss.get("/console/tea/books").text
    assert "1 处不一致" in html
    assert "member/77" not in html
    assert "12,345" not in html
    console.merchant.database.transact(
        lambda s: s.execute(update(Staff).where(Staff.login == "boss").values(opens_accounts=True))
    )
    assert "member/77" in boss.get("/console/tea/books").text


def test_every_check_of_the_proof_is_explained(console: Console) -> None:
    explained = [check for checks, _, _ in proving.INVARIANTS for check in checks]
    assert len(explained) == len(set(explained))
    assert {"balances", "plan", "withdrawals", "causes", "refunds"} <= set(explained)


def test_reconciliation_says_what_differs_in_words(boss: Browser, world: World) -> None:
    html = boss.get(f"/console/tea/reconciliations/{world.places['reconciliation_id']}").text
    assert "不是我们发起的转账" in html
    assert "¥1.00" in html
    assert f"/withdrawals/{world.places['withdrawal_id']}" in html
    listed = boss.get("/console/tea/reconciliations", result="different").text
    assert "2 处不一致" in listed


def test_signal_of_another_account_is_no_evidence_here(
    console: Console, world: World, boss: Browser, merchant: Merchant
) -> None:
    other = seed(merchant, "other")
    theirs = {"members": [other.member_ids["buyer"]], "last_order": other.places["order_id"]}
    merchant.database.transact(
        lambda s: s.execute(
            update(RiskSignal)
            .where(RiskSignal.id == world.places["signal_id"])
            .values(evidence=json.dumps(theirs))
        )
    )  # fmt: skip
    html = boss.get(f"/console/tea/risk/{world.places['signal_id']}").text
    assert f"/members/{other.member_ids['buyer']}" not in html
    assert f"/orders/{other.places['order_id']}" not in html
