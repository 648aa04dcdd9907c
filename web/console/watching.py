"""风控、申诉与账本: signals with their evidence, objections to bindings, and the proof of the books."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import disputes, glance, members, reconciliations, risk, tasks
from domain.errors import NotFound
from domain.models import Dispute, Member, RiskSignal
from domain.staff.permissions import Permission
from domain.texts import Words
from web.console.both import Both
from web.console.cells import BADGE, INSTANT, YES
from web.console.listing import Choice, Column, Listing, Sort
from web.console.members import name_of
from web.console.navigation import MONEY, PEOPLE, PROGRAMME, Menu
from web.console.refusals import explain
from web.console.states import STATES, choices, state
from web.console.visit import Answer, Visit, page
from web.pages import t

STATES["dispute"] = {
    "open": ("待处理", "Open", "warning"),
    "upheld": ("已支持", "Upheld", "success"),
    "rejected": ("已驳回", "Rejected", "secondary"),
}
explain("the signal has been decided", Both("它已经处理过了。", "It has been decided."))
explain("confirming a signal needs a reason", Both("请写明原因。", "Please give a reason."))
explain("the dispute has been decided", Both("它已经处理过了。", "It has been decided."))


@dataclass(frozen=True, slots=True)
class About:
    """A row with the member whom it is about."""

    row: Any
    member: Member | None

    @property
    def id(self) -> int:
        return int(self.row.id)


def _with_members(session: Session, rows: Sequence[Any]) -> list[About]:
    people = members.by_ids(session, {row.member_id for row in rows if row.member_id is not None})
    return [About(row, people.get(row.member_id)) for row in rows]


def _about(one: About) -> str | None:
    return None if one.member is None else name_of(one.member)


SIGNALS = Listing(
    title=Both("风险信号", "Risk signals"),
    columns=(
        Column(
            Both("信号", "Signal"), lambda one: Words()(f"risk.{one.row.kind}"), lead=True,
            href=lambda visit, one: visit.url("risk_signal", signal_id=one.id),
        ),
        Column(Both("会员", "Member"), _about),
        Column(Both("状态", "Status"), lambda one: state("signal", one.row.status), BADGE),
        Column(Both("暂缓佣金", "Holds"), lambda one: one.row.holds, YES, wide=True),
        Column(Both("发现", "Raised"), lambda one: one.row.raised_at, INSTANT),
        Column(Both("到期", "Until"), lambda one: one.row.expires_at, INSTANT, wide=True),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), RiskSignal.id, lambda row: row.id),),
    id_column=RiskSignal.id,
    row_id=lambda row: row.id,
    filters=(Choice("status", Both("状态", "Status"), choices("signal"), RiskSignal.status),),
    fill=_with_members,
    empty=Both("没有风险信号。", "No risk signals."),
    file="signals",
)  # fmt: skip


@page(
    "/risk",
    allow=Permission.RISK_READ,
    menu=Menu(PROGRAMME, Both("风险信号", "Risk signals"), "shield-exclamation", 30),
)
def risk_list(visit: Visit) -> Answer:
    """What looks wrong, waiting for a person."""
    rows = select(RiskSignal).where(RiskSignal.account_id == visit.account.id)
    return SIGNALS.answer(visit, rows)


def _signal(session: Session, visit: Visit, signal_id: int) -> tuple[RiskSignal, Member | None]:
    row = session.get(RiskSignal, signal_id)
    found = row if row is not None and row.account_id == visit.account.id else None
    if found is None:
        raise NotFound("no such signal", signal=signal_id)
    [about] = _with_members(session, [found])
    return found, about.member


@page("/risk/<int:signal_id>", allow=Permission.RISK_READ)
def risk_signal(visit: Visit, signal_id: int) -> Answer:
    """One signal with its evidence, to release or to confirm."""
    row, member = visit.read(lambda session: _signal(session, visit, signal_id))
    return render_template(
        "console/risk_signal.html", row=row, member=member, name=member and name_of(member),
        title=Words()(f"risk.{row.kind}"), badge=state("signal", row.status), evidence=json.loads(row.evidence),
    )  # fmt: skip


@page("/risk/<int:signal_id>/release", allow=Permission.RISK_DECIDE, methods=("POST",))
def risk_release(visit: Visit, signal_id: int) -> Response:
    """Harmless: its holds end, the members are told."""
    visit.read(lambda session: _signal(session, visit, signal_id))
    return visit.change(
        lambda session: risk.release(
            session, visit.account, signal_id, actor=visit.actor, note=visit.reason(), now=visit.now
        ),
        done=t("已放行。", "Released."),
        back=visit.url("risk_list"),
    )


@page("/risk/<int:signal_id>/confirm", allow=Permission.RISK_DECIDE, methods=("POST",))
def risk_confirm(visit: Visit, signal_id: int) -> Response:
    """True: the commissions it holds are void, the members are told the reason."""
    visit.read(lambda session: _signal(session, visit, signal_id))
    return visit.change(
        lambda session: risk.confirm(
            session, visit.account, signal_id, actor=visit.actor, reason=visit.reason(), now=visit.now
        ),
        done=t("已判定无效。", "Confirmed, the held commissions are void."),
        back=visit.url("risk_list"),
    )  # fmt: skip


# --- disputes -------------------------------------------------------------------------------------------------------

DISPUTES = Listing(
    title=Both("绑定申诉", "Disputes"),
    columns=(
        Column(
            Both("申诉人", "Who objects"), _about, lead=True,
            href=lambda visit, one: visit.url("dispute", dispute_id=one.id),
        ),
        Column(Both("状态", "Status"), lambda one: state("dispute", one.row.state), BADGE),
        Column(Both("提出", "Opened"), lambda one: one.row.opened_at, INSTANT),
        Column(Both("处理", "Decided"), lambda one: one.row.decided_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Dispute.id, lambda row: row.id),),
    id_column=Dispute.id,
    row_id=lambda row: row.id,
    filters=(Choice("state", Both("状态", "Status"), choices("dispute"), Dispute.state),),
    fill=_with_members,
    empty=Both("没有申诉。", "No disputes."),
    file="disputes",
)  # fmt: skip


@page(
    "/disputes",
    allow=Permission.MEMBERS_READ,
    menu=Menu(PEOPLE, Both("绑定申诉", "Disputes"), "chat-left-text", 30),
)
def dispute_list(visit: Visit) -> Answer:
    """Objections to bindings."""
    return DISPUTES.answer(visit, select(Dispute).where(Dispute.account_id == visit.account.id))


@page("/disputes/<int:dispute_id>", allow=Permission.MEMBERS_READ)
def dispute(visit: Visit, dispute_id: int) -> Answer:
    """What both sides said, and the decision."""

    def look(session: Session) -> dict[str, Any]:
        row = disputes.get(session, visit.account.id, dispute_id)
        [about] = _with_members(session, [row])
        return {"row": row, "member": about.member, "notes": disputes.notes_of(session, row.id)}

    found = visit.read(look)
    member = found["member"]
    return render_template(
        "console/dispute.html", **found, name=member and name_of(member), badge=state("dispute", found["row"].state)
    )  # fmt: skip


@page("/disputes/<int:dispute_id>/decide", allow=Permission.DISPUTES_DECIDE, methods=("POST",))
def dispute_decide(visit: Visit, dispute_id: int) -> Response:
    """Uphold it (the friend is rebound in the same transaction) or not; both sides are told the answer."""
    upheld = request.form.get("upheld") == "1"
    friend = request.form.get("friend", "").strip() or None
    visit.read(lambda session: disputes.get(session, visit.account.id, dispute_id))
    return visit.change(
        lambda session: disputes.decide(
            session, visit.account, dispute_id, upheld=upheld, answer=visit.reason(), friend_openid=friend,
            actor=visit.actor, now=visit.now,
        ),
        done=t("已处理，双方会收到答复。", "Decided; both sides are told."),
        back=visit.url("dispute", dispute_id=dispute_id),
    )  # fmt: skip


# --- the books ------------------------------------------------------------------------------------------------------


@page(
    "/books",
    allow=Permission.BOOKS_READ,
    menu=Menu(MONEY, Both("账本核对", "Books"), "journal-check", 50),
)
def books(visit: Visit) -> Answer:
    """The last proof, what it proves, and the reconciliations with WeChat Pay."""

    def look(session: Session) -> dict[str, Any]:
        return {
            "proof": glance.last_proof(session),
            "task": tasks.newest(session, None, tasks.BOOKS, "waiting", "running"),
            "rows": [
                reconciliations.as_value(row)
                for row in reconciliations.of_account(session, visit.account.id)
            ],
        }

    return render_template("console/books.html", **visit.read(look))
