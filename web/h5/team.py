"""我的团队 by level, and 排行. Names and amounts of others are shown as the account's settings allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import abort, render_template, request
from sqlalchemy.orm import Session

from domain import members, promoters, reports
from domain.bindings import display_name
from domain.members import Summary
from domain.models import Member
from domain.reports import Leader, Place
from web.h5.arriving import Page, blueprint, here, read
from web.h5.earnings import before, shown_name
from web.h5.guards import me, members_only

PAGE: Final = 20
LEADERS: Final = 20


@dataclass(frozen=True, slots=True)
class Friend:
    """Somebody of the team. `spent_fen` None: the account does not show it."""

    member: Member
    name: str
    spent_fen: int | None


@blueprint.get("/team")
@members_only
def team() -> Page:
    """One level of the team, the latest to join first."""
    account, member, first = here().account, me(), before()
    text = request.args.get("level", "1")
    if text not in {str(level) for level in range(1, account.depth + 1)}:
        abort(404)
    level = int(text)

    def look(session: Session) -> tuple[Summary | None, list[Member], dict[int, int]]:
        people = members.newest_downline(session, member.id, level, before_id=first, limit=PAGE + 1)
        hidden = account.settings.hide_amounts
        spent = {} if hidden else promoters.spent_by(session, [one.id for one in people])
        return members.summary(session, account.id, member.openid), people, spent

    summary, people, spent = read(look)
    if summary is None:
        raise LookupError("a member without figures")
    more = people[PAGE - 1].id if len(people) > PAGE else None
    friends = [
        Friend(
            one, shown_name(display_name(one.nickname, one.code)),
            None if account.settings.hide_amounts else spent.get(one.id, 0),
        )
        for one in people[:PAGE]
    ]  # fmt: skip
    return render_template(
        "h5/team.html",
        me=summary,
        total=summary.down_to(account.depth),
        level=level,
        friends=friends,
        more=more,
    )


@blueprint.get("/ranking")
@members_only
def ranking() -> Page:
    """排行: the first of both rankings, and one's own place."""
    period = request.args.get("period", reports.WEEK)
    metric = request.args.get("by", reports.EARNED)
    if period not in reports.PERIODS or metric not in reports.METRICS:
        abort(404)
    account, member, now = here().account, me(), here().now

    def look(session: Session) -> tuple[Place | None, list[Leader]]:
        place = reports.standing(session, account.id, member.id, metric, period, now)
        return place, reports.leaders(session, account.id, metric, period, now, LEADERS)

    place, leaders = read(look)
    return render_template(
        "h5/ranking.html", place=place, leaders=leaders, period=period, metric=metric, mine=member.id,
        periods=reports.PERIODS, metrics=reports.METRICS, masked=reports.masked,
    )  # fmt: skip
