"""会员: find anybody by name, openid, phone or code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from domain import grades, members
from domain.bindings import display_name
from domain.db import is_key
from domain.models import Balance, Member, Tally
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import BADGE, CODE, COUNT, DAY, MONEY, Badge
from web.console.listing import Choice, Column, Condition, Days, Listing, Search, Sort
from web.console.navigation import PEOPLE, Menu
from web.console.states import choices, state
from web.console.visit import Answer, Visit, page

NAMELESS: Final = "会员·"


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member as the list shows one, with what belongs to them from other tables."""

    member: Member
    referrer: Member | None
    people: int
    earned_fen: int
    available_fen: int

    @property
    def id(self) -> int:
        return self.member.id


def name_of(member: Member) -> str:
    """The name a member chose, or 会员·code."""
    return display_name(member.nickname, member.code)


def fill(session: Session, rows: Sequence[Any]) -> list[MemberRow]:
    """Referrers, team figures and balances of one page of members, in three statements."""
    ids = [row.id for row in rows]
    referrers = members.by_ids(
        session, {row.referrer_id for row in rows if row.referrer_id is not None}
    )
    teams = {
        member_id: (int(people), int(earned))
        for member_id, people, earned in session.execute(
            select(Tally.member_id, func.sum(Tally.people), func.sum(Tally.earned_fen))
            .where(Tally.member_id.in_(ids))
            .group_by(Tally.member_id)
        )
    }
    balances = select(Balance.member_id, Balance.available_fen).where(Balance.member_id.in_(ids))
    available: dict[int, int] = {one: fen for one, fen in session.execute(balances)}
    return [
        MemberRow(row, referrers.get(row.referrer_id), *teams.get(row.id, (0, 0)), available.get(row.id, 0))
        for row in rows
    ]  # fmt: skip


def found_by(visit: Visit, text: str) -> Condition | None:
    """A phone number, an openid and a code name one member; other words are the beginning of a name."""
    text = text.removeprefix(NAMELESS)
    exact = _exactly(visit, text)
    if exact:
        return Member.id.in_(exact)
    return Member.nickname.startswith(text, autoescape=True)


def _exactly(visit: Visit, text: str) -> list[int]:
    """Ids found by keys, each by its own index: an OR over three indexes would read none of them in order."""
    account_id = visit.account.id

    def look_up(session: Session) -> list[int]:
        found: list[int] = []
        if is_key(text):
            keys = or_(Member.openid == text, Member.code == text.upper())
            found += session.scalars(select(Member.id).where(Member.account_id == account_id, keys))
        if members.is_phone(text):
            keyring = visit.context.keyring
            same = members.find_by_phone(session, keyring, account_id, text)
            found += [member.id for member in same]
        return found

    return visit.read(look_up)


def _grades(visit: Visit) -> list[tuple[str, str]]:
    rows = visit.read(lambda session: grades.all_of(session, visit.account.id))
    return [(grade.code, grade.name) for grade in rows]


def to_member(visit: Visit, row: Any) -> str | None:
    """The page of a row's member, for columns that name one."""
    member_id = getattr(row, "member_id", None) or row.id
    return visit.url("member", member_id=member_id)


def _standing(row: MemberRow) -> Badge:
    if row.member.status != "active":
        return state("member", row.member.status)
    return state("following", "yes" if row.member.following else "no")


def _follows(value: str) -> Condition:
    return Member.following == (value == "yes")


def _to_referrer(visit: Visit, row: MemberRow) -> str | None:
    return None if row.referrer is None else visit.url("member", member_id=row.referrer.id)


MEMBERS = Listing(
    title=Both("会员", "Members"),
    columns=(
        Column(Both("会员", "Member"), lambda row: name_of(row.member), href=to_member, lead=True),
        Column(Both("邀请码", "Code"), lambda row: row.member.code, CODE, wide=True),
        Column(Both("状态", "Status"), _standing, BADGE),
        Column(Both("推荐人", "Referrer"), lambda row: row.referrer and name_of(row.referrer), href=_to_referrer),
        Column(Both("团队", "Team"), lambda row: row.people, COUNT),
        Column(Both("累计佣金", "Earned"), lambda row: row.earned_fen, MONEY),
        Column(Both("可提现", "Available"), lambda row: row.available_fen, MONEY),
        Column(Both("加入", "Joined"), lambda row: row.member.joined_at, DAY),
    ),
    sorts=(
        Sort("newest", Both("最新加入", "Newest"), Member.joined_at, lambda row: row.joined_at),
        Sort("oldest", Both("最早加入", "Oldest"), Member.joined_at, lambda row: row.joined_at, descending=False),
    ),
    id_column=Member.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("status", Both("状态", "Status"), choices("member"), Member.status),
        Choice("following", Both("关注", "Following"), choices("following"), where=_follows),
        Choice("grade", Both("等级", "Grade"), _grades, Member.grade),
        Days("joined", Both("加入日期", "Joined"), Member.joined_at),
    ),
    search=Search(Both("姓名、openid、手机号或邀请码", "Name, openid, phone or code"), found_by),
    fill=fill,
    empty=Both("还没有会员。有人关注后会出现在这里。", "No members yet. Whoever follows appears here."),
    file="members",
)  # fmt: skip


@page(
    "/members",
    allow=Permission.MEMBERS_READ,
    menu=Menu(PEOPLE, Both("会员", "Members"), "people", 10),
)
def members_list(visit: Visit) -> Answer:
    """Everybody who ever followed."""
    return MEMBERS.answer(visit, select(Member).where(Member.account_id == visit.account.id))
