"""风控: signals with their evidence, the commissions that wait because of them, and what we look for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import accounts, holds, members, risk
from domain.accounts import RISK_LIMITS
from domain.errors import DomainError, Invalid, NotFound
from domain.models import Commission, Hold, Member, Order, RiskSignal
from domain.staff.permissions import Permission
from domain.texts import Words
from web.console.both import Both
from web.console.cells import BADGE, DAY, INSTANT, MONEY, TEXT, Badge
from web.console.listing import Choice, Column, Listing, Sort
from web.console.members import name_of, to_member
from web.console.navigation import PROGRAMME, Menu
from web.console.refusals import explain, said
from web.console.states import STATES, choices, state
from web.console.suspicions import MEMBERS_IN, SHORT, members_in, short, title_of
from web.console.visit import Answer, Visit, page
from web.pages import t

STATES["hold"] = {
    "open": ("待处理", "Open", "warning"),
    "released": ("已放行", "Released", "success"),
    "lapsed": ("到期放行", "Lapsed", "secondary"),
    "refused": ("判定无效", "Void", "danger"),
}
explain("the signal has been decided", Both("它已经处理过了。", "It has been decided."))
explain("confirming a signal needs a reason", Both("请写明原因。", "Please give a reason."))


# --- the queue of signals -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A signal with whom it is about, what it rests on, and what it holds: commissions and their fen."""

    row: RiskSignal
    member: Member | None
    evidence: dict[str, Any]
    held: int
    held_fen: int

    @property
    def id(self) -> int:
        return self.row.id


def _fill_signals(session: Session, rows: Sequence[Any]) -> list[Suspicion]:
    people = members.by_ids(session, {row.member_id for row in rows if row.member_id is not None})
    sums = holds.sums_of_signals(session, {row.id for row in rows})
    return [
        Suspicion(row, people.get(row.member_id), json.loads(row.evidence), *sums.get(row.id, (0, 0)))
        for row in rows
    ]  # fmt: skip


def _in_short(one: Suspicion) -> str:
    """The figures of an evidence in one line."""
    shown = ("left", "came", "people", "seconds", "orders", "refunded")
    parts = [f"{title_of(key)} {one.evidence[key]}" for key in shown if key in one.evidence]
    if not parts and "members" in one.evidence:
        parts = [f"{title_of('members')} {len(one.evidence['members'])}"]
    return t("，", ", ").join(parts)


SIGNALS: Final = Listing(
    title=Both("风险信号", "Risk signals"),
    columns=(
        Column(
            Both("信号", "Signal"), lambda one: short(one.row.kind), TEXT, lead=True,
            href=lambda visit, one: visit.url("risk_signal", signal_id=one.id),
        ),
        Column(
            Both("会员", "Member"), lambda one: one.member and name_of(one.member),
            href=lambda visit, one: one.member and visit.url("member", member_id=one.member.id),
        ),
        Column(Both("证据", "Evidence"), _in_short),
        Column(Both("暂缓佣金", "Held"), lambda one: one.held_fen if one.held else None, MONEY),
        Column(Both("状态", "Status"), lambda one: state("signal", one.row.status), BADGE),
        Column(Both("发现", "Raised"), lambda one: one.row.raised_at, DAY),
        Column(Both("到期自动放行", "Lapses"), lambda one: one.row.expires_at, DAY, wide=True),
    ),
    sorts=(
        Sort("newest", Both("最新", "Newest"), RiskSignal.id, lambda row: row.id),
        Sort("oldest", Both("等得最久", "Waits longest"), RiskSignal.id, lambda row: row.id, descending=False),
    ),
    id_column=RiskSignal.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("status", Both("状态", "Status"), choices("signal"), RiskSignal.status),
        Choice("kind", Both("种类", "Kind"), list(SHORT.items()), RiskSignal.kind),
    ),
    fill=_fill_signals,
    empty=Both("没有风险信号。系统每五分钟检查一次。", "No risk signals. We look every five minutes."),
    file="signals",
    template="console/risk.html",
)  # fmt: skip


@page(
    "/risk",
    allow=Permission.RISK_READ,
    menu=Menu(PROGRAMME, Both("风险信号", "Risk signals"), "shield-exclamation", 40),
)
def risk_list(visit: Visit) -> Answer:
    """What looks wrong, waiting for a person."""
    rows = select(RiskSignal).where(RiskSignal.account_id == visit.account.id)
    return SIGNALS.answer(visit, rows)


# --- one signal -----------------------------------------------------------------------------------------------------


def _signal(session: Session, visit: Visit, signal_id: int) -> RiskSignal:
    row = session.get(RiskSignal, signal_id)
    if row is None or row.account_id != visit.account.id:
        raise NotFound("no such signal", signal=signal_id)
    return row


@page("/risk/<int:signal_id>", allow=Permission.RISK_READ)
def risk_signal(visit: Visit, signal_id: int) -> Answer:
    """One signal with its evidence and the commissions it holds, to release or to confirm."""

    def look(session: Session) -> dict[str, Any]:
        row = _signal(session, visit, signal_id)
        [one] = _fill_signals(session, [row])
        wanted = members_in(one.evidence)
        people = {
            number: member
            for number, member in members.by_ids(session, wanted).items()
            if member.account_id == visit.account.id
        }
        last = one.evidence.get("last_order")
        order = session.get(Order, last) if isinstance(last, int) else None
        held = holds.of_signal(session, signal_id)
        earners = members.by_ids(session, {hold.member_id for hold, _ in held})
        about = risk.open_about(session, row.member_id) if row.member_id is not None else []
        return {
            "one": one, "people": people, "held": held, "earners": earners,
            "order": order if order is not None and order.account_id == visit.account.id else None,
            "others": [other for other in about if other.id != row.id],
        }  # fmt: skip

    found = visit.read(look)
    one: Suspicion = found["one"]
    figures = [
        (title_of(key), value)
        for key, value in one.evidence.items()
        if key not in (*MEMBERS_IN, "last_order")
    ]
    lists = [(title_of(key), one.evidence[key]) for key in MEMBERS_IN if one.evidence.get(key)]
    return render_template(
        "console/risk_signal.html", **found, row=one.row, member=one.member, title=short(one.row.kind),
        meaning=Words()(f"risk.{one.row.kind}"), badge=state("signal", one.row.status), figures=figures, lists=lists,
        hold_badge=lambda hold: state("hold", hold.outcome), name_of=name_of, short=short,
    )  # fmt: skip


def _decide(visit: Visit, signal_id: int, act: Callable[[Session], Any], done: str) -> Response:
    visit.read(lambda session: _signal(session, visit, signal_id))
    return visit.change(act, done=done, back=visit.url("risk_signal", signal_id=signal_id))


@page("/risk/<int:signal_id>/release", allow=Permission.RISK_DECIDE, methods=("POST",))
def risk_release(visit: Visit, signal_id: int) -> Response:
    """Harmless: its holds end, the members are told."""
    return _decide(
        visit, signal_id,
        lambda session: risk.release(
            session, visit.account, signal_id, actor=visit.actor, note=visit.reason(), now=visit.now
        ),
        t("已放行，暂缓的佣金恢复正常。", "Released: the held commissions go on."),
    )  # fmt: skip


@page("/risk/<int:signal_id>/confirm", allow=Permission.RISK_DECIDE, methods=("POST",))
def risk_confirm(visit: Visit, signal_id: int) -> Response:
    """True: the commissions it holds are void, the members are told the reason."""
    return _decide(
        visit, signal_id,
        lambda session: risk.confirm(
            session, visit.account, signal_id, actor=visit.actor, reason=visit.reason(), now=visit.now
        ),
        t("已判定无效，暂缓的佣金已失效。", "Confirmed: the held commissions are void."),
    )  # fmt: skip


# --- commissions that wait ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A hold with its commission and who earned it."""

    row: Hold
    commission: Commission
    member: Member

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def member_id(self) -> int:
        return self.member.id

    @property
    def why(self) -> str:
        """The reason in words; those of signals are kinds."""
        kind = self.row.reason.removeprefix("risk-")
        return str(short(kind)) if self.row.reason.startswith("risk-") else self.row.reason


def _fill_holds(session: Session, rows: Sequence[Any]) -> list[Held]:
    ids = {row.commission_id for row in rows}
    found = {
        one.id: one for one in session.scalars(select(Commission).where(Commission.id.in_(ids)))
    }
    people = members.by_ids(session, {row.member_id for row in rows})
    return [Held(row, found[row.commission_id], people[row.member_id]) for row in rows]


def _from(held: Held) -> Badge:
    by_hand = held.row.signal_id is None
    return Badge(Both("人工", "By hand"), "info") if by_hand else Badge(Both("风控", "Signal"), "warning")  # fmt: skip


HOLDS: Final = Listing(
    title=Both("暂缓的佣金", "Commissions on hold"),
    columns=(
        Column(
            Both("佣金", "Commission"), lambda one: one.commission.amount_fen - one.commission.clawed_fen, MONEY,
            lead=True, href=lambda visit, one: visit.url("commission", commission_id=one.commission.id),
        ),
        Column(Both("会员", "Member"), lambda one: name_of(one.member), href=to_member),
        Column(
            Both("原因", "Reason"), lambda one: one.why,
            href=lambda visit, one: one.row.signal_id and visit.url("risk_signal", signal_id=one.row.signal_id),
        ),
        Column(Both("来源", "From"), _from, BADGE),
        Column(Both("状态", "Status"), lambda one: state("hold", one.row.outcome), BADGE),
        Column(Both("开始", "Since"), lambda one: one.row.at, INSTANT),
        Column(Both("到期", "Until"), lambda one: one.row.expires_at, INSTANT, wide=True),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Hold.id, lambda row: row.id),),
    id_column=Hold.id,
    row_id=lambda row: row.id,
    filters=(Choice("outcome", Both("状态", "Status"), choices("hold"), Hold.outcome),),
    fill=_fill_holds,
    empty=Both("没有暂缓的佣金。", "No commission is on hold."),
    file="holds",
)  # fmt: skip


@page(
    "/holds",
    allow=Permission.RISK_READ,
    menu=Menu(PROGRAMME, Both("暂缓的佣金", "On hold"), "pause-circle", 50),
)
def hold_list(visit: Visit) -> Answer:
    """Commissions that wait for a person; each is decided on its own page, or with its signal."""
    return HOLDS.answer(visit, select(Hold).where(Hold.account_id == visit.account.id))


# --- what we look for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of `RISK_LIMITS` in words. `unit` follows the number; a switch is 0 or 1."""

    name: str
    title: Both
    unit: Both | str = ""

    @property
    def is_switch(self) -> bool:
        return self.name.endswith("_holds")

    @property
    def usual(self) -> int:
        return RISK_LIMITS[self.name]


_PEOPLE: Final = Both("人", "people")
_PERCENT: Final = Both("%", "%")
_DAYS: Final = Both("天", "days")
_ORDERS: Final = Both("单", "orders")
_HOLDS: Final = Both("发现后暂缓相关佣金，等人处理", "The commissions concerned wait for a person")

QUESTIONS: Final = (
    (
        Both("范围", "How far"),
        Both(
            "每次检查看最近多少天；信号没人处理，到期自动放行。",
            "How many days are looked at; a signal that nobody decides lapses.",
        ),
        (
            Limit("window_days", Both("看最近", "Look at the last"), _DAYS),
            Limit("review_days", Both("信号保留", "A signal waits for"), _DAYS),
        ),
    ),
    (
        Both("关注后流失", "Friends who leave again"),
        Both("靠推荐来的粉丝大量又取消关注：常见于买粉、刷关注。", "Many friends follow and leave: bought followers."),
        (
            Limit("churn_people", Both("至少", "At least"), _PEOPLE),
            Limit("churn_percent", Both("占同期关注", "Of those who came"), _PERCENT),
            Limit("churn_holds", _HOLDS),
        ),
    ),
    (
        Both("短时间大量关注", "Many within seconds"),
        Both("几秒内来很多人：可能是机器，也可能是活动现场，所以默认只提醒。", "A machine, or an event on the spot."),
        (
            Limit("velocity_people", Both("至少", "At least"), _PEOPLE),
            Limit("velocity_seconds", Both("在多少秒内", "Within"), Both("秒", "seconds")),
            Limit("velocity_holds", _HOLDS),
        ),
    ),
    (
        Both("共用付款人、电话、地址", "One payer, phone or address"),
        Both("同一推广员的几位朋友，订单由同一人付款或寄往同一处。", "Friends share who pays, or where it goes."),
        (Limit("shared_people", Both("至少", "At least"), _PEOPLE), Limit("shared_holds", _HOLDS)),
    ),
    (
        Both("替朋友付款、互相邀请", "Pays friends' orders, rings"),
        Both("推广员自己给带佣金的订单付款，或三人互相邀请又都购买。", "Who earns pays, or three who all buy."),
        (
            Limit("self_paid_orders", Both("替人付款至少", "Paid for others"), _ORDERS),
            Limit("ring_holds", _HOLDS),
        ),
    ),
    (
        Both("退款偏多", "Many refunds"),
        Both("朋友的订单退得远比别人多。", "Friends send back far more than others do."),
        (
            Limit("refund_orders", Both("至少", "At least"), _ORDERS),
            Limit("refund_percent", Both("占他们的订单", "Of their orders"), _PERCENT),
            Limit("refund_holds", _HOLDS),
        ),
    ),
    (
        Both("提现资料相同", "One identity"),
        Both("几位会员用同一个电话或姓名提现。重名很常见，门槛更高。", "Members withdraw by one phone or name."),
        (
            Limit("identity_people", Both("电话相同至少", "One phone"), _PEOPLE),
            Limit("name_people", Both("姓名相同至少", "One name"), _PEOPLE),
            Limit("identity_holds", _HOLDS),
        ),
    ),
    (
        Both("推荐链人数", "People in one chain"),
        Both(
            "刑事立案的标准之一是三级以上、三十人以上。到这个人数时提醒一次。",
            "The criminal threshold is three levels and thirty people: you are told once when a chain gets there.",
        ),
        (Limit("chain_people", Both("到达", "Reaches"), _PEOPLE),),
    ),
)  # fmt: skip
"""What risk.py asks, in words, with its limits; together all of RISK_LIMITS."""


@page("/risk/limits", allow=Permission.RISK_READ)
def risk_limits(visit: Visit) -> Answer:
    """What we look for, and from which number on."""
    limit = visit.account.settings.risk_limit
    return _limits_page({name: str(limit(name)) for name in RISK_LIMITS})


def _limits_page(given: dict[str, str], wrong: Sequence[str] = ()) -> str:
    return render_template(
        "console/risk_limits.html", questions=QUESTIONS, given=given, wrong=set(wrong)
    )


@page("/risk/limits/save", allow=Permission.SETTINGS_CHANGE, methods=("POST",))
def risk_limits_save(visit: Visit) -> Answer:
    """Other limits for this account; what equals ours is not kept, so that it follows ours."""
    given = {
        name: request.form.get(name, "0" if name.endswith("_holds") else "").strip()
        for name in RISK_LIMITS
    }
    wrong = [name for name, text in given.items() if not (text.isdecimal() and len(text) <= 6)]
    if wrong:
        flash(t("请填写 0 到 999999 的整数。", "Whole numbers from 0 to 999999, please."), "danger")
        return _limits_page(given, wrong), 422
    try:
        visit.transact(lambda session: _save_limits(session, visit, given))
    except DomainError as error:
        flash(said(error), "danger")
        return _limits_page(given), 422
    flash(t("已保存，下一次检查时生效。", "Saved; it counts from the next look."), "success")
    return redirect(visit.url("risk_limits"))


def _save_limits(session: Session, visit: Visit, given: dict[str, str]) -> None:
    if int(given["window_days"]) < 1 or int(given["review_days"]) < 1:
        raise Invalid("days to look at and days to wait are one at least")
    wanted = {name: int(text) for name, text in given.items()}
    own = {name: number for name, number in wanted.items() if number != RISK_LIMITS[name]}
    accounts.revise(
        session, visit.account.id, {"risk": own}, actor=visit.actor, now=visit.now
    )  # fmt: skip


explain(
    "days to look at and days to wait are one at least",
    Both(
        "天数至少为 1。要关掉某一项，请把它的人数或单数填 0。",
        "At least one day. 0 people switch a question off.",
    ),
)
