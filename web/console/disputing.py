"""申诉: a promoter says that a friend is theirs; staff look at what both sides say, and decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from flask import render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import disputes, members
from domain.models import Dispute, Member
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import BADGE, INSTANT
from web.console.listing import Choice, Column, Listing, Sort
from web.console.members import found_by, name_of
from web.console.navigation import PEOPLE, Menu
from web.console.refusals import explain
from web.console.states import STATES, choices, state
from web.console.visit import Answer, Visit, page
from web.pages import t

LOOK_BACK: Final = timedelta(days=90)
FOUND: Final = 8

STATES["dispute"] = {
    "open": ("待处理", "Open", "warning"),
    "upheld": ("已支持", "Upheld", "success"),
    "rejected": ("已驳回", "Rejected", "secondary"),
}
explain("this dispute has been decided", Both("它已经处理过了。", "It has been decided."))
explain(
    f"one to {disputes.BODY_LENGTH} characters",
    Both(f"请写 1 到 {disputes.BODY_LENGTH} 个字。", f"One to {disputes.BODY_LENGTH} characters, please."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quarrel:
    """A dispute with who objects, and the friend it was about when it was decided for them."""

    row: Dispute
    member: Member
    friend: Member | None
    last: str

    @property
    def id(self) -> int:
        return self.row.id


def _fill(session: Session, rows: Sequence[Any]) -> list[Quarrel]:
    ids = {one for row in rows for one in (row.member_id, row.friend_id) if one is not None}
    people = members.by_ids(session, ids)
    last = disputes.last_words(session, {row.id for row in rows})
    return [
        Quarrel(row, people[row.member_id], people.get(row.friend_id or 0), last[row.id])
        for row in rows
    ]


def _beginning(one: Quarrel) -> str:
    return one.last if len(one.last) <= 60 else f"{one.last[:60]}…"


DISPUTES: Final = Listing(
    title=Both("绑定申诉", "Disputes"),
    columns=(
        Column(
            Both("申诉人", "Who objects"), lambda one: name_of(one.member), lead=True,
            href=lambda visit, one: visit.url("dispute", dispute_id=one.id),
        ),
        Column(Both("最后一句", "Last said"), _beginning),
        Column(Both("状态", "Status"), lambda one: state("dispute", one.row.state), BADGE),
        Column(Both("改绑的朋友", "Friend"), lambda one: one.friend and name_of(one.friend)),
        Column(Both("提出", "Opened"), lambda one: one.row.opened_at, INSTANT),
        Column(Both("处理", "Decided"), lambda one: one.row.decided_at, INSTANT, wide=True),
    ),
    sorts=(
        Sort("newest", Both("最新", "Newest"), Dispute.id, lambda row: row.id),
        Sort("oldest", Both("等得最久", "Waits longest"), Dispute.id, lambda row: row.id, descending=False),
    ),
    id_column=Dispute.id,
    row_id=lambda row: row.id,
    filters=(Choice("state", Both("状态", "Status"), choices("dispute"), Dispute.state),),
    fill=_fill,
    empty=Both("没有申诉。会员在公众号里发「申诉」加上经过，就会出现在这里。", "None. Members write 申诉 and why."),
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


@dataclass(frozen=True, slots=True)
class Friend:
    """Somebody whom a dispute may be about, and who has them now."""

    member: Member
    referrer: Member | None


@page("/disputes/<int:dispute_id>", allow=Permission.MEMBERS_READ)
def dispute(visit: Visit, dispute_id: int) -> Answer:
    """What was said, whom it may be about, and the decision."""
    words = " ".join(request.args.get("friend", "").split())[:100]
    where = found_by(visit, words) if words else None

    def look(session: Session) -> dict[str, Any]:
        row = disputes.get(session, visit.account.id, dispute_id)
        [quarrel] = _fill(session, [row])
        people: list[Member] = []
        if where is not None:
            query = select(Member).where(
                Member.account_id == visit.account.id, Member.id != row.member_id, where
            )
            people = list(session.scalars(query.order_by(Member.id.desc()).limit(FOUND)))
        elif not words and row.state == disputes.OPEN:
            people = disputes.candidates(session, row, visit.now - LOOK_BACK, FOUND)
        wanted = {one.referrer_id for one in people if one.referrer_id is not None}
        referrers = members.by_ids(session, wanted)
        summary = members.summary(session, visit.account.id, quarrel.member.openid)
        return {
            "one": quarrel, "notes": disputes.notes_of(session, row.id), "summary": summary,
            "friends": [Friend(person, referrers.get(person.referrer_id or 0)) for person in people],
        }  # fmt: skip

    found = visit.read(look)
    one: Quarrel = found["one"]
    return render_template(
        "console/dispute.html", **found, row=one.row, member=one.member, name=name_of(one.member), name_of=name_of,
        badge=state("dispute", one.row.state), words_given=words, decision=f"decision-{dispute_id}",
    )  # fmt: skip


@page("/disputes/<int:dispute_id>/note", allow=Permission.DISPUTES_DECIDE, methods=("POST",))
def dispute_note(visit: Visit, dispute_id: int) -> Response:
    """A note for colleagues: what the other side says, what a camera shows."""
    body = request.form.get("note", "")
    visit.read(lambda session: disputes.get(session, visit.account.id, dispute_id))
    return visit.change(
        lambda session: disputes.comment(
            session, visit.account, dispute_id, body, actor=visit.actor, now=visit.now
        ),
        done=t("已记下，只有同事能看到。", "Noted; only colleagues read it."),
        back=visit.url("dispute", dispute_id=dispute_id),
    )


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
