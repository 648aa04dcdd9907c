"""One member: who brought them, whom they brought, and every fen."""

from __future__ import annotations

from flask import render_template
from sqlalchemy.orm import Session

from domain.errors import NotFound
from domain.models import Member
from domain.staff.permissions import Permission
from web.console.members import name_of
from web.console.visit import Answer, Visit, page


def member_of(session: Session, visit: Visit, member_id: int) -> Member:
    """The member of this account, or `NotFound`."""
    member = session.get(Member, member_id)
    if member is None or member.account_id != visit.account.id:
        raise NotFound("no such member", member=member_id)
    return member


@page("/members/<int:member_id>", allow=Permission.MEMBERS_READ)
def member(visit: Visit, member_id: int) -> Answer:
    """A member at a glance."""
    row = visit.read(lambda session: member_of(session, visit, member_id))
    return render_template("console/member.html", member=row, name=name_of(row))
