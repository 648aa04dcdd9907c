"""One member: who brought them, whom they brought, what they did, and every fen."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Response as FlaskResponse
from flask import render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import (
    events,
    explain,
    grades,
    members,
    moves,
    notices,
    promoters,
    risk,
    statements,
    texts,
)
from domain.errors import NotFound
from domain.members import Summary
from domain.models import (
    BindingHistory,
    Commission,
    Event,
    GradeHistory,
    Hold,
    Member,
    Notice,
    Order,
    Posting,
    Tally,
)
from domain.secrets import Unreadable
from domain.staff.permissions import Permission
from domain.texts import Words
from web.console.both import Both
from web.console.cells import BADGE, CODE, INSTANT, MONEY
from web.console.happenings import badge_of, detail_of
from web.console.listing import Column, Listing, Sort
from web.console.members import name_of, to_member
from web.console.navigation import PEOPLE, Menu
from web.console.states import state
from web.console.visit import Answer, Visit, page
from web.pages import t

TREE_PAGE: Final = 50
TABS: Final = (
    ("member", Both("概况", "Overview")),
    ("member_team", Both("团队", "Team")),
    ("member_journey", Both("轨迹", "Journey")),
    ("member_orders", Both("订单", "Orders")),
    ("member_commissions", Both("佣金", "Commissions")),
    ("member_ledger", Both("账本", "Ledger")),
    ("member_notices", Both("通知", "Notices")),
    ("member_codes", Both("推广码", "Codes")),
    ("member_history", Both("变更记录", "History")),
)


def member_of(session: Session, visit: Visit, member_id: int) -> Member:
    """The member of this account, or `NotFound`."""
    member = session.get(Member, member_id)
    if member is None or member.account_id != visit.account.id:
        raise NotFound("no such member", member=member_id)
    return member


def words_of(session: Session, visit: Visit) -> Words:
    """The account's own wording of what members read."""
    return Words(texts.overrides_of(session, visit.account.id))


# --- at a glance ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Glance:
    """What the first page of a member shows."""

    member: Member
    summary: Summary
    chain: list[Member]
    grade: str
    is_qualified: bool
    signals: list[Any]
    moves: list[Any]
    contact: list[tuple[Both, str | None]]
    grades: list[Any]


@page("/members/<int:member_id>", allow=Permission.MEMBERS_READ)
def member(visit: Visit, member_id: int) -> Answer:
    """A member at a glance, with what can be done."""
    glance = visit.read(lambda session: _glance(session, visit, member_id))
    return _with_tabs("console/member.html", glance.member, glance=glance, risk_words=Words())


def _with_tabs(template: str, row: Member, **more: Any) -> str:
    return render_template(template, member=row, name=name_of(row), tabs=TABS, **more)


def _glance(session: Session, visit: Visit, member_id: int) -> Glance:
    row = member_of(session, visit, member_id)
    summary = members.summary(session, visit.account.id, row.openid)
    assert summary is not None, "the member is there"  # noqa: S101 # a bug
    all_grades = grades.all_of(session, visit.account.id)
    names = {grade.code: grade.name for grade in all_grades}
    return Glance(
        row, summary, _chain(session, row), names.get(row.grade, row.grade),
        promoters.is_qualified(session, visit.account.settings, row), risk.open_about(session, row.id),
        [one for one in moves.running(session) if one.member_id == row.id], _contact(visit, row), all_grades,
    )  # fmt: skip


def _chain(session: Session, row: Member) -> list[Member]:
    """Everybody above, nearest first, as far as ten levels: pay stops at three, curiosity does not."""
    above: list[Member] = []
    while row.referrer_id is not None and len(above) < 10:
        row = session.get_one(Member, row.referrer_id)
        above.append(row)
    return above


def _contact(visit: Visit, row: Member) -> list[tuple[Both, str | None]]:
    """Phone, mail and real name, in clear for those who may see them."""
    columns = (
        (Both("手机", "Phone"), "phone"),
        (Both("邮箱", "Mail"), "email"),
        (Both("真实姓名", "Real name"), "real_name"),
    )
    clear = visit.may(Permission.MEMBERS_CONTACT)
    return [(title, _opened(visit, row, column, clear)) for title, column in columns]


def _opened(visit: Visit, row: Member, column: str, clear: bool) -> str | None:
    sealed = getattr(row, column)
    if sealed is None:
        return None
    if not clear:
        return t("已填写，您的角色看不到", "Given; your role may not see it")
    try:
        return visit.context.keyring.open(sealed, f"member/{row.id}/{column}")
    except Unreadable:
        return t("用现在的密钥打不开", "Cannot be opened with the present key")


# --- the team -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Branch:
    """A member in the tree: how many are directly below, and in all three levels."""

    member: Member
    direct: int
    people: int
    earned_fen: int


@page("/members/<int:member_id>/team", allow=Permission.MEMBERS_READ)
def member_team(visit: Visit, member_id: int) -> Answer:
    """Who came by this member. Each branch is loaded when it is opened; without a script it leads to its own page."""
    after_id = request.args.get("after", 0, type=int)
    row, branches, more = visit.read(lambda session: _branches(session, visit, member_id, after_id))
    part = "X-Fragment" in request.headers
    template = "console/branches.html" if part else "console/member_team.html"
    return _with_tabs(template, row, branches=branches, more=more)


def _branches(
    session: Session, visit: Visit, member_id: int, after_id: int
) -> tuple[Member, list[Branch], int | None]:
    row = member_of(session, visit, member_id)
    below = members.downline(session, row.id, 1, after_id=after_id, limit=TREE_PAGE + 1)
    more = below[TREE_PAGE - 1].id if len(below) > TREE_PAGE else None
    below = below[:TREE_PAGE]
    figures: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    tallies = select(Tally.member_id, Tally.level, Tally.people, Tally.earned_fen)
    for one_id, level, people, earned in session.execute(
        tallies.where(Tally.member_id.in_([one.id for one in below]))
    ):
        figures[one_id][0] += people if level == 1 else 0
        figures[one_id][1] += people
        figures[one_id][2] += earned
    return row, [Branch(one, *figures[one.id]) for one in below], more


# --- lists of one member --------------------------------------------------------------------------------------------


def _answer(
    visit: Visit, member_id: int, listing: Listing, query: Any, tab: str, **more: Any
) -> Answer:
    row = visit.read(lambda session: member_of(session, visit, member_id))
    return listing.answer(visit, query, member=row, name=name_of(row), tabs=TABS, tab=tab, **more)


JOURNEY = Listing(
    title=Both("轨迹", "Journey"),
    columns=(
        Column(Both("发生了什么", "What"), badge_of, BADGE, lead=True),
        Column(Both("详情", "More"), detail_of),
        Column(Both("时间", "When"), lambda row: row.at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Event.at, lambda row: row.at),),
    id_column=Event.id,
    row_id=lambda row: row.id,
    empty=Both("还没有任何动作。", "Nothing has happened yet."),
    template="console/member_list.html",
    file="journey",
)  # fmt: skip


@page("/members/<int:member_id>/journey", allow=Permission.MEMBERS_READ)
def member_journey(visit: Visit, member_id: int) -> Answer:
    """What a member did: scanned, followed, clicked, bought."""
    query = select(Event).where(Event.member_id == member_id)
    return _answer(visit, member_id, JOURNEY, query, "member_journey")


ORDERS = Listing(
    title=Both("订单", "Orders"),
    columns=(
        Column(Both("订单号", "Order"), lambda row: row.order_no, CODE, lead=True),
        Column(Both("状态", "Status"), lambda row: state("order", row.status), BADGE),
        Column(Both("实付", "Paid"), lambda row: row.paid_fen, MONEY),
        Column(Both("已退款", "Refunded"), lambda row: row.refunded_fen, MONEY),
        Column(Both("付款时间", "Paid at"), lambda row: row.paid_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Order.id, lambda row: row.id),),
    id_column=Order.id,
    row_id=lambda row: row.id,
    empty=Both("还没有买过东西。", "They have bought nothing yet."),
    template="console/member_list.html",
    file="orders",
)  # fmt: skip


@page("/members/<int:member_id>/orders", allow=Permission.MEMBERS_READ)
def member_orders(visit: Visit, member_id: int) -> Answer:
    """What a member bought."""
    query = select(Order).where(Order.member_id == member_id)
    return _answer(visit, member_id, ORDERS, query, "member_orders")


@dataclass(frozen=True, slots=True)
class Earned:
    """A commission with its order's number and whether it is held."""

    row: Commission
    order_no: str | None
    is_held: bool

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def state(self) -> str:
        return "held" if self.is_held and self.row.status == "frozen" else self.row.status


def earned(session: Session, rows: Sequence[Any]) -> list[Earned]:
    """Order numbers and holds of one page of commissions, in two statements."""
    order_ids = {row.order_id for row in rows if row.order_id is not None}
    numbers: dict[int, str] = {
        order_id: number
        for order_id, number in session.execute(
            select(Order.id, Order.order_no).where(Order.id.in_(order_ids))
        )
    }
    held = set(
        session.scalars(select(Hold.open_key).where(Hold.open_key.in_([row.id for row in rows])))
    )
    return [Earned(row, numbers.get(row.order_id), row.id in held) for row in rows]


def to_commission(visit: Visit, row: Earned) -> str:
    return visit.url("commission", commission_id=row.id)


COMMISSION_COLUMNS: Final = (
    Column(
        Both("佣金", "Commission"), lambda row: row.row.amount_fen, MONEY, to_commission, lead=True
    ),
    Column(Both("状态", "Status"), lambda row: state("commission", row.state), BADGE),
    Column(Both("层级", "Level"), lambda row: str(row.row.level)),
    Column(Both("来源", "From"), lambda row: row.order_no or str(Both("拉新奖励", "Registration"))),
    Column(Both("已追回", "Taken back"), lambda row: row.row.clawed_fen or None, MONEY),
    Column(Both("产生", "Accrued"), lambda row: row.row.created_at, INSTANT),
)

COMMISSIONS = Listing(
    title=Both("佣金", "Commissions"),
    columns=COMMISSION_COLUMNS,
    sorts=(Sort("newest", Both("最新", "Newest"), Commission.id, lambda row: row.id),),
    id_column=Commission.id,
    row_id=lambda row: row.id,
    fill=earned,
    empty=Both("还没有佣金。", "No commissions yet."),
    template="console/member_list.html",
    file="commissions",
)


@page("/members/<int:member_id>/commissions", allow=Permission.MEMBERS_READ)
def member_commissions(visit: Visit, member_id: int) -> Answer:
    """What a member earned."""
    query = select(Commission).where(Commission.member_id == member_id)
    return _answer(visit, member_id, COMMISSIONS, query, "member_commissions")


def _lines(session: Session, rows: Sequence[Any]) -> Sequence[Any]:
    """Postings with the balances after each."""
    if not rows:
        return []
    return statements.page(session, rows[0].member_id, before_id=rows[0].id + 1, limit=len(rows))


LEDGER = Listing(
    title=Both("账本", "Ledger"),
    columns=(
        Column(Both("事项", "What"), lambda row: statements.REASONS.get(row.reason, row.reason), lead=True),
        Column(Both("时间", "When"), lambda row: row.at, INSTANT),
        Column(Both("订单", "Order"), lambda row: row.order_no, CODE),
        Column(Both("冻结", "Frozen"), lambda row: row.frozen_change_fen or None, MONEY),
        Column(Both("可提现", "Available"), lambda row: row.available_change_fen or None, MONEY),
        Column(Both("提现中", "Withdrawing"), lambda row: row.withdrawing_change_fen or None, MONEY),
        Column(Both("可提现余额", "Balance"), lambda row: row.available_fen, MONEY),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Posting.id, lambda row: row.id),),
    id_column=Posting.id,
    row_id=lambda row: row.id,
    fill=_lines,
    empty=Both("账本里还没有分录。", "No postings yet."),
    template="console/member_list.html",
    exports=False,
)  # fmt: skip


@page("/members/<int:member_id>/ledger", allow=Permission.MEMBERS_READ)
def member_ledger(visit: Visit, member_id: int) -> Answer:
    """Every posting of a member with the balances after it."""
    query = select(Posting).where(Posting.member_id == member_id)
    return _answer(
        visit, member_id, LEDGER, query, "member_ledger",
        file=visit.url("member_statement", member_id=member_id),
    )  # fmt: skip


@page("/members/<int:member_id>/statement.csv", allow=Permission.MEMBERS_READ)
def member_statement(visit: Visit, member_id: int) -> FlaskResponse:
    """The whole statement as a file, oldest first."""
    row = visit.read(lambda session: member_of(session, visit, member_id))

    database = visit.database

    def pieces() -> Iterator[bytes]:
        with database.snapshot() as session:
            yield from statements.as_csv(session, row.id)

    name = f"{visit.account.slug}-statement-{row.code}.csv"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return FlaskResponse(pieces(), mimetype="text/csv", headers=disposition)


@dataclass(frozen=True, slots=True)
class Told:
    """A notice in the words of the account."""

    row: Notice
    text: str


def _told(session: Session, rows: Sequence[Any]) -> list[Told]:
    if not rows:
        return []
    words = Words(texts.overrides_of(session, rows[0].account_id))
    return [Told(row, words.notice(row.occasion, _params(row))) for row in rows]


def _params(row: Notice) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(row.params)
    return value


NOTICES = Listing(
    title=Both("通知", "Notices"),
    columns=(
        Column(Both("内容", "Text"), lambda row: row.text, lead=True),
        Column(Both("时间", "When"), lambda row: row.row.created_at, INSTANT),
        Column(Both("已读", "Read"), lambda row: row.row.read_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Notice.id, lambda row: row.id),),
    id_column=Notice.id,
    row_id=lambda row: row.id,
    fill=_told,
    empty=Both("还没有通知。", "No notices yet."),
    template="console/member_list.html",
    exports=False,
)


@page("/members/<int:member_id>/notices", allow=Permission.MEMBERS_READ)
def member_notices(visit: Visit, member_id: int) -> Answer:
    """What a member was told, as long as it is kept."""
    query = select(Notice).where(Notice.member_id == member_id, Notice.params != notices.ERASED)
    return _answer(visit, member_id, NOTICES, query, "member_notices")


@page("/members/<int:member_id>/history", allow=Permission.MEMBERS_READ)
def member_history(visit: Visit, member_id: int) -> Answer:
    """Every change of referrer and of grade, by whom and why."""

    def find(
        session: Session,
    ) -> tuple[Member, list[BindingHistory], dict[int, Member], list[GradeHistory]]:
        row = member_of(session, visit, member_id)
        query = select(BindingHistory).where(BindingHistory.member_id == member_id)
        bound = list(session.scalars(query.order_by(BindingHistory.seq.desc()).limit(200)))
        ids = {one for each in bound for one in (each.from_referrer_id, each.to_referrer_id) if one}
        return row, bound, members.by_ids(session, ids), grades.history_of(session, member_id)

    row, bound, people, graded = visit.read(find)
    return _with_tabs(
        "console/member_history.html",
        row,
        bound=bound,
        people=people,
        graded=graded,
        name_of=name_of,
    )


# --- one commission -------------------------------------------------------------------------------------------------


def commission_of(session: Session, visit: Visit, commission_id: int) -> Commission:
    """The commission of this account, or `NotFound`."""
    row = session.get(Commission, commission_id)
    if row is None or row.account_id != visit.account.id:
        raise NotFound("no such commission", commission=commission_id)
    return row


@page("/commissions/<int:commission_id>", allow=Permission.COMMISSIONS_READ)
def commission(visit: Visit, commission_id: int) -> Answer:
    """为什么: how a commission came to its amount, and whether it waits."""

    def find(session: Session) -> tuple[Earned, Member, str, list[Hold]]:
        row = commission_of(session, visit, commission_id)
        why = explain.text_of(words_of(session, visit), explain.explain(session, row))
        holds = list(
            session.scalars(select(Hold).where(Hold.commission_id == row.id).order_by(Hold.id))
        )
        return earned(session, [row])[0], session.get_one(Member, row.member_id), why, holds

    found, earner, why, holds = visit.read(find)
    return render_template(
        "console/commission.html", found=found, badge=state("commission", found.state), member=earner,
        name=name_of(earner), why=why, holds=holds,
    )  # fmt: skip


# --- bindings that were refused -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A scan that bound nobody."""

    row: Event
    member: Member | None

    @property
    def id(self) -> int:
        return self.row.member_id or 0


def _refused(session: Session, rows: Sequence[Any]) -> list[Refused]:
    people = members.by_ids(session, {row.member_id for row in rows if row.member_id is not None})
    return [Refused(row, people.get(row.member_id)) for row in rows]


REFUSED = Listing(
    title=Both("被拒的绑定", "Refused bindings"),
    columns=(
        Column(Both("会员", "Member"), lambda row: row.member and name_of(row.member), href=to_member, lead=True),
        Column(Both("原因", "Why"), lambda row: detail_of(row.row)),
        Column(Both("时间", "When"), lambda row: row.row.at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Event.at, lambda row: row.at),),
    id_column=Event.id,
    row_id=lambda row: row.id,
    fill=_refused,
    empty=Both("没有被拒的绑定。", "No binding was refused."),
    file="refused-bindings",
)  # fmt: skip


@page(
    "/members/refused",
    allow=Permission.MEMBERS_READ,
    menu=Menu(PEOPLE, Both("被拒的绑定", "Refused bindings"), "person-x", 30),
)
def refused_bindings(visit: Visit) -> Answer:
    """Scans that bound nobody, and why: what to answer a promoter who misses a friend."""
    query = select(Event).where(
        Event.account_id == visit.account.id, Event.kind == events.BIND_REFUSED
    )
    return REFUSED.answer(visit, query)
