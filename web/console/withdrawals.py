"""提现: the queue of money that leaves, and what staff decide about one withdrawal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import members, risk, withdrawals
from domain.models import Member, Withdrawal, WithdrawalApproval
from domain.staff.permissions import Permission
from domain.texts import Words
from web.console.both import Both
from web.console.cells import BADGE, CODE, INSTANT, MONEY
from web.console.listing import Choice, Column, Days, Listing, Search, Sort
from web.console.members import name_of, to_member
from web.console.navigation import MONEY as MONEY_TOPIC
from web.console.navigation import Menu
from web.console.refusals import explain
from web.console.states import choices, state
from web.console.visit import Answer, Visit, page
from web.pages import t

explain(
    "the withdrawal is not waiting for approval",
    Both("它已经不在待审核状态，请刷新。", "It is not waiting for approval any more. Reload."),
)
explain(
    "the second approval needs another person",
    Both("您已经同意过，还需要另一个人同意。", "You have approved it; another person must too."),
)
explain("a rejection needs a reason", Both("请写明驳回原因。", "Please give a reason."))
explain("an offline payout needs its proof", Both("请填写打款凭证。", "Please enter the proof."))

STATES: Final = {
    "ACCEPTED": Both("微信已受理", "Accepted by WeChat"),
    "PROCESSING": Both("微信正在锁定资金；余额不足时请先充值", "WeChat is locking the funds; top up if they are short"),
    "WAIT_USER_CONFIRM": Both("等会员在微信里确认收款，24 小时内有效", "Waits for the member, 24 hours at most"),
    "TRANSFERING": Both("转账中", "Being transferred"),
    "SUCCESS": Both("已到账", "Arrived"),
    "FAIL": Both("没有成功，钱已退回", "Failed, the money is back"),
    "CANCELING": Both("撤销中", "Being cancelled"),
    "CANCELLED": Both("已撤销，钱已退回", "Cancelled, the money is back"),
}  # fmt: skip
"""What WeChat says of a transfer (platform.md 12.5), in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """A withdrawal with its member."""

    row: Withdrawal
    member: Member

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def member_id(self) -> int:
        return self.member.id


def _fill(session: Session, rows: Sequence[Any]) -> list[Line]:
    people = members.by_ids(session, {row.member_id for row in rows})
    return [Line(row, people[row.member_id]) for row in rows]


WITHDRAWALS = Listing(
    title=Both("提现", "Withdrawals"),
    columns=(
        Column(Both("会员", "Member"), lambda line: name_of(line.member), href=to_member),
        Column(
            Both("金额", "Amount"), lambda line: line.row.amount_fen, MONEY, lead=True,
            href=lambda visit, line: visit.url("withdrawal", withdrawal_id=line.id),
        ),
        Column(Both("到手", "Net"), lambda line: withdrawals.net_fen(line.row), MONEY, wide=True),
        Column(Both("状态", "Status"), lambda line: state("withdrawal", line.row.status), BADGE),
        Column(Both("提醒", "Alarm"), lambda line: line.row.alarm, CODE, wide=True),
        Column(Both("打款单号", "Payout number"), lambda line: line.row.payout_no, CODE, wide=True),
        Column(Both("申请时间", "Asked for"), lambda line: line.row.requested_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Withdrawal.id, lambda row: row.id),),
    id_column=Withdrawal.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("status", Both("状态", "Status"), choices("withdrawal"), Withdrawal.status),
        Days("requested", Both("申请日期", "Asked for"), Withdrawal.requested_at),
    ),
    search=Search(
        Both("打款单号", "Payout number"), lambda _visit, text: Withdrawal.payout_no == text
    ),
    fill=_fill,
    empty=Both("还没有人申请提现。", "Nobody has asked for money yet."),
    file="withdrawals",
)  # fmt: skip


@page(
    "/withdrawals",
    allow=Permission.WITHDRAWALS_READ,
    menu=Menu(MONEY_TOPIC, Both("提现", "Withdrawals"), "cash-stack", 30),
)
def withdrawals_list(visit: Visit) -> Answer:
    """The work queue, with what waits for a person by its filter."""
    rows = select(Withdrawal).where(Withdrawal.account_id == visit.account.id)
    return WITHDRAWALS.answer(visit, rows)


@page("/withdrawals/<int:withdrawal_id>", allow=Permission.WITHDRAWALS_READ)
def withdrawal(visit: Visit, withdrawal_id: int) -> Answer:
    """One withdrawal: amounts, who said yes, where the transfer stands, and what is known of the member."""

    def look(session: Session) -> dict[str, Any]:
        row = withdrawals.get(session, visit.account.id, withdrawal_id)
        member = members.by_ids(session, [row.member_id])[row.member_id]
        return {
            "row": row,
            "member": member,
            "summary": members.summary(session, visit.account.id, member.openid),
            "approvals": session.scalars(
                select(WithdrawalApproval)
                .where(WithdrawalApproval.withdrawal_id == row.id)
                .order_by(WithdrawalApproval.at)
            ).all(),
            "signals": risk.open_about(session, member.id),
            "others": withdrawals.of_member(session, member.id, limit=10),
        }

    found = visit.read(look)
    row = found["row"]
    return render_template(
        "console/withdrawal.html", **found, name=name_of(found["member"]), net=withdrawals.net_fen(row),
        badge=state("withdrawal", row.status), badges=lambda one: state("withdrawal", one.status),
        provider=STATES.get(row.provider_state or ""), risk_words=Words(),
        two=row.amount_fen > visit.account.settings.second_above_fen,
    )  # fmt: skip


def _decide(visit: Visit, withdrawal_id: int, act: Any, done: str) -> Response:
    visit.read(lambda session: withdrawals.get(session, visit.account.id, withdrawal_id))
    back = visit.url("withdrawal", withdrawal_id=withdrawal_id)
    return visit.change(act, done=done, back=back)


@page(
    "/withdrawals/<int:withdrawal_id>/approve",
    allow=Permission.WITHDRAWALS_DECIDE,
    methods=("POST",),
)
def withdrawal_approve(visit: Visit, withdrawal_id: int) -> Response:
    """One person's yes; above the second limit it takes two."""
    return _decide(
        visit, withdrawal_id,
        lambda session: withdrawals.approve(
            session, visit.account, withdrawal_id, actor=visit.actor, now=visit.now
        ),
        t("已同意。", "Approved."),
    )  # fmt: skip


@page(
    "/withdrawals/<int:withdrawal_id>/reject",
    allow=Permission.WITHDRAWALS_DECIDE,
    methods=("POST",),
)
def withdrawal_reject(visit: Visit, withdrawal_id: int) -> Response:
    """A no with its reason; the money is available again, and the member is told."""
    return _decide(
        visit, withdrawal_id,
        lambda session: withdrawals.reject(
            session, visit.account, withdrawal_id, actor=visit.actor, reason=visit.reason(), now=visit.now
        ),
        t("已驳回，金额已退回会员的可提现。", "Rejected, the amount is available to the member again."),
    )  # fmt: skip


@page(
    "/withdrawals/<int:withdrawal_id>/paid", allow=Permission.WITHDRAWALS_DECIDE, methods=("POST",)
)
def withdrawal_paid(visit: Visit, withdrawal_id: int) -> Response:
    """A person has paid it by bank, and enters the proof."""
    proof = request.form.get("proof", "").strip()[:190]
    return _decide(
        visit, withdrawal_id,
        lambda session: withdrawals.pay_offline(
            session, visit.account, withdrawal_id, actor=visit.actor, proof=proof, now=visit.now
        ),
        t("已记为打款。", "Recorded as paid."),
    )  # fmt: skip
