"""提现: the queue of money that leaves, and what staff decide about one withdrawal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import flash, redirect, render_template, request
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import members, merchants, payouts, risk, withdrawals
from domain.db import is_key
from domain.errors import DomainError
from domain.models import Member, Withdrawal
from domain.staff.permissions import Permission
from domain.withdrawals import Record
from web.console import payout_words
from web.console.both import Both
from web.console.cells import BADGE, CODE, INSTANT, MONEY, TEXT, Badge, Kind, shown
from web.console.listing import Choice, Column, Condition, Days, Listing, Search, Sort
from web.console.members import found_by, name_of, to_member
from web.console.navigation import MONEY as MONEY_TOPIC
from web.console.navigation import Menu
from web.console.refusals import explain, said
from web.console.states import choices, state
from web.console.suspicions import SIGNALS, short
from web.console.visit import Answer, Visit, page
from web.pages import grouped, t
from wechat import pay
from wechat.errors import OutcomeUnknown

_DECIDED: Final = Both(
    "它已经不在待审核状态，请刷新。", "It is not waiting for approval any more. Reload."
)
_REASON: Final = Both("请写明原因。", "Please give a reason.")
for _message, _words in (
    ("the withdrawal is not waiting for approval", _DECIDED),
    (
        "the second approval needs another person",
        Both(
            "您已经同意过了，超过第二限额还需要另一个人同意。",
            "You have approved it; above the second limit another person must too.",
        ),
    ),
    ("a rejection needs a reason", Both("请写明驳回原因。", "Please give a reason.")),
    ("giving up needs a reason", _REASON),
    ("an offline payout needs its proof", Both("请填写打款凭证。", "Please enter the proof.")),
    (
        "this withdrawal is paid through WeChat Pay",
        Both(
            "这笔由微信支付打款，不能再线下打一次。",
            "WeChat Pay pays this one: it must not be paid by hand as well.",
        ),
    ),
    (
        "the withdrawal is not being paid",
        Both("还没有审核通过，或者已经有了结果。", "It is not approved yet, or it has ended."),
    ),
    ("no transfer is under way", Both("现在没有进行中的转账。", "No transfer is under way.")),
    (
        "WeChat Pay no longer tells about bills of that time",
        Both(
            "时间太久，微信支付已经查不到这笔转账，请人工核对。",
            "WeChat Pay no longer tells about it: compare by hand.",
        ),
    ),
    (
        "the account has no merchant number",
        Both("这个公众号还没有商户号。", "The account has no merchant number."),
    ),
):
    explain(_message, _words)


@dataclass(frozen=True, slots=True)
class Line:
    """A withdrawal with its member, what is open against them, and how earlier ones ended."""

    row: Withdrawal
    member: Member
    signals: list[str]
    record: Record

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def member_id(self) -> int:
        return self.member.id


def _fill(session: Session, rows: Sequence[Any]) -> list[Line]:
    """Members, signals and records of one page, in three statements."""
    ids = {row.member_id for row in rows}
    people = members.by_ids(session, ids)
    signals = risk.kinds_about(session, ids)
    records = withdrawals.records_of(session, ids)
    return [
        Line(row, people[row.member_id], signals.get(row.member_id, []), records.get(row.member_id, Record()))
        for row in rows
    ]  # fmt: skip


def record_in_words(record: Record) -> str:
    """How a member's earlier withdrawals ended."""
    if record == Record():
        return t("第一次提现", "First one")
    parts = []
    if record.paid:
        paid = grouped(record.paid_fen)
        parts.append(t(f"已打款 {record.paid} 笔 ¥{paid}", f"{record.paid} paid, ¥{paid}"))
    if record.rejected:
        parts.append(t(f"驳回 {record.rejected}", f"{record.rejected} rejected"))
    if record.failed:
        parts.append(t(f"失败 {record.failed}", f"{record.failed} failed"))
    return t("，", ", ").join(parts)


def _two_lines(lines: tuple[Markup | str, str]) -> Markup:
    above, below = lines
    return Markup('{}<span class="till-below">{}</span>').format(above, below)


TWO_LINES: Final = Kind(_two_lines, lambda lines: f"{lines[0]} {lines[1]}")
"""A value with smaller words below it."""


def _amount(line: Line) -> tuple[Markup, str]:
    row = line.row
    net = t(
        f"到手 ¥{grouped(withdrawals.net_fen(row))}", f"net ¥{grouped(withdrawals.net_fen(row))}"
    )
    parts = [net]
    if row.fee_fen:
        parts.append(t(f"手续费 {grouped(row.fee_fen)}", f"fee {grouped(row.fee_fen)}"))
    if row.tax_fen:
        parts.append(t(f"个税 {grouped(row.tax_fen)}", f"tax {grouped(row.tax_fen)}"))
    return shown(MONEY, row.amount_fen), " · ".join(parts)


def _standing(line: Line) -> tuple[Markup, str]:
    mark = shown(BADGE, state("withdrawal", line.row.status))
    if line.row.alarm is not None:
        mark += Markup(" ") + shown(BADGE, Badge(Both("警报", "Alarm"), "danger"))
    provider = payout_words.transfer(line.row.provider_state)
    waits = line.row.status == withdrawals.PAYING and provider is not None
    return mark, str(provider.what) if waits and provider is not None else ""


def _alarm(line: Line) -> Badge | None:
    meaning = payout_words.alarm(line.row.alarm)
    return None if meaning is None else Badge(meaning.what, meaning.tone)


def _found(visit: Visit, words: str) -> Condition | None:
    """A payout number names one withdrawal; other words are whose they are."""
    by_number = select(Withdrawal.id).where(
        Withdrawal.account_id == visit.account.id, Withdrawal.payout_no == words
    )
    if is_key(words, 32) and visit.read(lambda session: session.scalar(by_number)) is not None:
        return Withdrawal.payout_no == words
    who = found_by(visit, words)
    if who is None:
        return None
    theirs = select(Member.id).where(Member.account_id == visit.account.id, who)
    return Withdrawal.member_id.in_(theirs)


WITHDRAWALS = Listing(
    title=Both("提现", "Withdrawals"),
    columns=(
        Column(
            Both("金额", "Amount"), _amount, TWO_LINES, lead=True,
            href=lambda visit, line: visit.url("withdrawal", withdrawal_id=line.id),
        ),
        Column(
            Both("会员与以往提现", "Member, earlier ones"),
            lambda line: (shown(TEXT, name_of(line.member)), record_in_words(line.record)), TWO_LINES, href=to_member,
        ),
        Column(Both("风险信号", "Risk"), lambda line: line.signals, SIGNALS),
        Column(Both("状态", "Status"), _standing, TWO_LINES),
        Column(Both("申请时间", "Asked for"), lambda line: line.row.requested_at, INSTANT),
    ),
    sorts=(
        Sort("newest", Both("最新", "Newest"), Withdrawal.id, lambda row: row.id),
        Sort("oldest", Both("等得最久", "Waits longest"), Withdrawal.id, lambda row: row.id, descending=False),
    ),
    id_column=Withdrawal.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("status", Both("状态", "Status"), choices("withdrawal"), Withdrawal.status),
        Choice(
            "alarm", Both("警报", "Alarm"), [("1", Both("需要查看", "To be looked at"))],
            where=lambda _value: Withdrawal.alarm.is_not(None),
        ),
        Days("requested", Both("申请日期", "Asked for"), Withdrawal.requested_at),
    ),
    search=Search(
        Both("打款单号、会员姓名、openid 或手机号", "Payout number, or the member's name, openid or phone"), _found
    ),
    fill=_fill,
    empty=Both("还没有人申请提现。", "Nobody has asked for money yet."),
    file="withdrawals",
    template="console/withdrawals.html",
)  # fmt: skip
SHEET: Final = replace(
    WITHDRAWALS,
    columns=(
        Column(Both("打款单号", "Payout number"), lambda line: line.row.payout_no, CODE),
        Column(Both("会员", "Member"), lambda line: name_of(line.member)),
        Column(Both("openid", "openid"), lambda line: line.member.openid, CODE),
        Column(Both("申请金额", "Amount"), lambda line: line.row.amount_fen, MONEY),
        Column(Both("手续费", "Fee"), lambda line: line.row.fee_fen, MONEY),
        Column(Both("代扣个税", "Tax"), lambda line: line.row.tax_fen, MONEY),
        Column(Both("到手", "Net"), lambda line: withdrawals.net_fen(line.row), MONEY),
        Column(Both("状态", "Status"), lambda line: state("withdrawal", line.row.status), BADGE),
        Column(Both("方式", "Way"), lambda line: line.row.method, CODE),
        Column(Both("风险信号", "Risk"), lambda line: line.signals, SIGNALS),
        Column(Both("以往提现", "Earlier ones"), lambda line: record_in_words(line.record)),
        Column(Both("警报", "Alarm"), _alarm, BADGE),
        Column(Both("微信单号", "WeChat's number"), lambda line: line.row.provider_bill_no, CODE),
        Column(Both("凭证", "Proof"), lambda line: line.row.proof),
        Column(Both("原因", "Reason"), lambda line: line.row.reason),
        Column(Both("申请", "Asked for"), lambda line: line.row.requested_at, INSTANT),
        Column(Both("完成", "Finished"), lambda line: line.row.finished_at, INSTANT),
    ),
)
"""The same rows as a file, every value in a column of its own."""


@page(
    "/withdrawals",
    allow=Permission.WITHDRAWALS_READ,
    menu=Menu(MONEY_TOPIC, Both("提现", "Withdrawals"), "cash-stack", 30),
)
def withdrawals_list(visit: Visit) -> Answer:
    """The work queue, with what waits for a person by its filter."""
    account_id = visit.account.id
    sums, alarms = visit.read(
        lambda session: (
            withdrawals.open_sums(session, account_id),
            withdrawals.alarm_count(session, account_id),
        )
    )
    rows = select(Withdrawal).where(Withdrawal.account_id == account_id)
    listing = SHEET if request.args.get("format") == "csv" else WITHDRAWALS
    return listing.answer(visit, rows, sums=sums, alarms=alarms)


# --- one withdrawal -------------------------------------------------------------------------------------------------

_MOVES: Final = {
    "hold": Both("预留", "Reserved"),
    "paid": Both("打款", "Paid"),
    "fee": Both("手续费", "Fee"),
    "tax": Both("代扣个税", "Tax"),
    "back": Both("退回", "Back"),
}
"""The reason of a posting of a withdrawal, in words."""
BUCKETS: Final = {
    "available": Both("可提现", "available"),
    "withdrawing": Both("提现中", "withdrawing"),
    "cash": Both("已打款", "paid out"),
    "fee": Both("手续费", "fees"),
    "tax": Both("个税", "tax"),
}
_STEPS: Final = {
    "withdrawal_approved": Both("同意打款", "Approved"),
    "withdrawal_rejected": Both("驳回", "Rejected"),
    "withdrawal_paid": Both("打款完成", "Paid"),
    "withdrawal_failed": Both("打款失败，退回", "Failed, given back"),
    "withdrawal_cancel_asked": Both("请求撤销转账", "Asked to cancel"),
    "withdrawal_given_up": Both("放弃打款", "Given up"),
    "payout_alarm": Both("警报", "Alarm"),
    "payout_alarm_over": Both("警报关闭", "Alarm closed"),
}
_BY: Final = {
    "automatic": Both("自动（低于审核限额）", "automatic (below the limit)"),
    "system": Both("系统", "system"),
}


def _actor(name: str) -> str:
    return str(_BY.get(name) or name.removeprefix("staff:"))


@page("/withdrawals/<int:withdrawal_id>", allow=Permission.WITHDRAWALS_READ)
def withdrawal(visit: Visit, withdrawal_id: int) -> Answer:
    """One withdrawal: amounts, who said yes, where the transfer stands and what to do, and what is known of the
    member."""

    def look(session: Session) -> dict[str, Any]:
        row = withdrawals.get(session, visit.account.id, withdrawal_id)
        member = members.by_ids(session, [row.member_id])[row.member_id]
        return {
            "row": row,
            "member": member,
            "summary": members.summary(session, visit.account.id, member.openid),
            "approvals": withdrawals.approvals_of(session, row),
            "signals": risk.open_about(session, member.id),
            "others": [
                one
                for one in withdrawals.of_member(session, member.id, limit=9)
                if one.id != row.id
            ],
            "record": withdrawals.records_of(session, [member.id]).get(member.id, Record()),
            "postings": withdrawals.postings_of(session, row),
            "story": withdrawals.story_of(session, row),
        }

    found = visit.read(look)
    row: Withdrawal = found["row"]
    return render_template(
        "console/withdrawal.html", **found, name=name_of(found["member"]), net=withdrawals.net_fen(row),
        badge=state("withdrawal", row.status), badges=lambda one: state("withdrawal", one.status),
        provider=payout_words.transfer(row.provider_state), alarm=payout_words.alarm(row.alarm),
        needed=withdrawals.approvals_needed(visit.account, row), may_reject=withdrawals.may_reject(row),
        is_mine=visit.actor in {one.actor for one in found["approvals"]},
        record_words=record_in_words(found["record"]), moves=_MOVES, buckets=BUCKETS, steps=_STEPS, by=_actor,
        short=short,
    )  # fmt: skip


def _back(visit: Visit, withdrawal_id: int) -> str:
    return visit.url("withdrawal", withdrawal_id=withdrawal_id)


def _decide(visit: Visit, withdrawal_id: int, act: Callable[[Session], Any], done: str) -> Response:
    visit.read(lambda session: withdrawals.get(session, visit.account.id, withdrawal_id))
    return visit.change(act, done=done, back=_back(visit, withdrawal_id))


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
        lambda session: payouts.pay_offline(
            session, visit.account, withdrawal_id, actor=visit.actor, proof=proof, now=visit.now
        ),
        t("已记为打款。", "Recorded as paid."),
    )  # fmt: skip


@page(
    "/withdrawals/<int:withdrawal_id>/silence",
    allow=Permission.WITHDRAWALS_DECIDE,
    methods=("POST",),
)
def withdrawal_silence(visit: Visit, withdrawal_id: int) -> Response:
    """A person has looked at the alarm."""
    return _decide(
        visit, withdrawal_id,
        lambda session: withdrawals.silence(
            session, visit.account, withdrawal_id, actor=visit.actor, now=visit.now
        ),
        t("警报已关闭。", "The alarm is closed."),
    )  # fmt: skip


@page(
    "/withdrawals/<int:withdrawal_id>/give-up",
    allow=Permission.WITHDRAWALS_DECIDE,
    methods=("POST",),
)
def withdrawal_give_up(visit: Visit, withdrawal_id: int) -> Response:
    """End a payout that WeChat Pay will never take. The money returns when WeChat Pay says that there is no bill."""
    return _decide(
        visit, withdrawal_id,
        lambda session: payouts.give_up(
            session, visit.account, withdrawal_id, actor=visit.actor, reason=visit.reason(), now=visit.now
        ),
        t("不会再发出。五分钟后系统向微信支付确认没有这笔转账，钱才退回。",
          "Nothing is sent any more. In five minutes we ask WeChat Pay: without a bill the money returns."),
    )  # fmt: skip


@page(
    "/withdrawals/<int:withdrawal_id>/cancel",
    allow=Permission.WITHDRAWALS_DECIDE,
    methods=("POST",),
)
def withdrawal_cancel(visit: Visit, withdrawal_id: int) -> Response:
    """Ask WeChat Pay to take back a transfer that the member has not confirmed. It is noted before WeChat is asked;
    the money returns when WeChat Pay says CANCELLED, which the sweep learns."""
    visit.read(lambda session: withdrawals.get(session, visit.account.id, withdrawal_id))

    def note(session: Session) -> tuple[str, merchants.OpenMerchant]:
        row = payouts.note_cancel(
            session, visit.account, withdrawal_id, actor=visit.actor, now=visit.now
        )
        return row.payout_no, merchants.get(session, visit.context.keyring, visit.account.id)

    try:
        number, opened = visit.transact(note)
        pay.cancel_transfer(visit.context.till(visit.account, opened), number)
    except DomainError as error:
        flash(said(error), "danger")
    except (pay.PayRefused, OutcomeUnknown, ValueError) as error:
        flash(t(f"微信支付没有接受撤销：{error}", f"WeChat Pay did not take it: {error}"), "danger")
    else:
        flash(
            t("已请求撤销，微信确认后钱会退回。", "Asked to cancel; the money returns when WeChat says so."),
            "success",
        )  # fmt: skip
    return redirect(_back(visit, withdrawal_id))
