"""What staff do with a member and a commission. Each takes a reason where somebody is worse off by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import request
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import grades, holds, moves, promoters
from domain.db import is_key
from domain.errors import Invalid
from domain.models import Hold, Member
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.member import commission_of, member_of
from web.console.refusals import explain
from web.console.visit import Visit, page
from web.pages import t

_REASON = Both("请写明原因。", "Please give a reason.")
for _message in (
    "a change of grade needs a reason", "a hold needs a reason", "a rejection needs a reason",
    "a suspension needs a reason", "refusing a commission needs a reason",
    "a rebinding needs a reason of at most 190 characters",
):  # fmt: skip
    explain(_message, _REASON)
explain("no such referrer", Both("没有这个邀请码或 openid。", "No member has this code or openid."))
explain(
    "a member cannot be their own referrer",
    Both("不能做自己的推荐人。", "Nobody can be their own referrer."),
)
explain(
    "the new referrer stands below this member",
    Both("对方在此会员的团队里，会形成循环。", "The new referrer is in this member's own team."),
)
explain("no such grade", Both("没有这个等级。", "There is no such grade."))
explain(
    "only a frozen commission can be held",
    Both("只能暂缓冻结中的佣金。", "Only a frozen one can be held."),
)
explain("nobody holds it", Both("这笔佣金没有在审核。", "This commission is not on hold."))


def _on_member(
    visit: Visit, member_id: int, act: Callable[[Session, Member], Any], done: str
) -> Response:
    back = visit.url("member", member_id=member_id)
    return visit.change(
        lambda session: act(session, member_of(session, visit, member_id)), done=done, back=back
    )


@page("/members/<int:member_id>/rebind", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def member_rebind(visit: Visit, member_id: int) -> Response:
    """Another referrer, named by code or openid; the team follows, at once or in steps."""
    wanted = request.form.get("referrer", "").strip()

    def rebind(session: Session, row: Member) -> None:
        referrer = _named(session, visit, wanted)
        moves.rebind(
            session, visit.account, row.openid, referrer.openid,
            reason=visit.reason(), actor=visit.actor, now=visit.now,
        )  # fmt: skip

    return _on_member(visit, member_id, rebind, t("推荐人已修改。", "The referrer was changed."))


def _named(session: Session, visit: Visit, wanted: str) -> Member:
    keys = or_(Member.openid == wanted, Member.code == wanted.upper())
    query = select(Member).where(Member.account_id == visit.account.id, keys)
    found = session.scalars(query.limit(1)).first() if is_key(wanted) else None
    if found is None:
        raise Invalid("no such referrer")
    return found


@page("/members/<int:member_id>/clear", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def member_clear(visit: Visit, member_id: int) -> Response:
    """No referrer any more: the member and the team stand at the top."""
    return _on_member(
        visit, member_id,
        lambda session, row: moves.clear(
            session, visit.account, row.openid, reason=visit.reason(), actor=visit.actor, now=visit.now
        ),
        t("绑定已解除。", "The referrer was cleared."),
    )  # fmt: skip


@page("/members/<int:member_id>/grade", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def member_grade(visit: Visit, member_id: int) -> Response:
    """Another grade by hand."""
    code, pinned = request.form.get("grade", ""), request.form.get("pinned") == "1"
    return _on_member(
        visit, member_id,
        lambda session, row: grades.assign(
            session, visit.account.id, row.id, code,
            pinned=pinned, actor=visit.actor, reason=visit.reason(), now=visit.now,
        ),
        t("等级已修改。", "The grade was changed."),
    )  # fmt: skip


@page("/members/<int:member_id>/approve", allow=Permission.PROMOTERS_DECIDE, methods=("POST",))
def member_approve(visit: Visit, member_id: int) -> Response:
    """Make a member a promoter."""
    return _on_member(
        visit, member_id,
        lambda session, row: promoters.approve(session, visit.account.id, row.id, actor=visit.actor, now=visit.now),
        t("已批准为推广员。", "Approved as promoter."),
    )  # fmt: skip


@page("/members/<int:member_id>/reject", allow=Permission.PROMOTERS_DECIDE, methods=("POST",))
def member_reject(visit: Visit, member_id: int) -> Response:
    """Say no to a member who wants to promote."""
    return _on_member(
        visit, member_id,
        lambda session, row: promoters.reject(
            session, visit.account.id, row.id, actor=visit.actor, reason=visit.reason(), now=visit.now
        ),
        t("已拒绝。", "Rejected."),
    )  # fmt: skip


@page("/members/<int:member_id>/suspend", allow=Permission.PROMOTERS_DECIDE, methods=("POST",))
def member_suspend(visit: Visit, member_id: int) -> Response:
    """Stop a member from earning by later orders and from binding friends."""
    return _on_member(
        visit, member_id,
        lambda session, row: promoters.suspend(
            session, visit.account.id, row.id, actor=visit.actor, reason=visit.reason(), now=visit.now
        ),
        t("已停用。", "Suspended."),
    )  # fmt: skip


@page("/members/<int:member_id>/reinstate", allow=Permission.PROMOTERS_DECIDE, methods=("POST",))
def member_reinstate(visit: Visit, member_id: int) -> Response:
    """Let a suspended member earn again."""
    return _on_member(
        visit, member_id,
        lambda session, row: promoters.reinstate(session, visit.account.id, row.id, actor=visit.actor, now=visit.now),
        t("已恢复。", "Reinstated."),
    )  # fmt: skip


# --- commissions ----------------------------------------------------------------------------------------------------


def _on_commission(
    visit: Visit, commission_id: int, act: Callable[[Session], Any], done: str
) -> Response:
    def do(session: Session) -> None:
        commission_of(session, visit, commission_id)
        act(session)

    back = visit.url("commission", commission_id=commission_id)
    return visit.change(do, done=done, back=back)


def _open_hold(session: Session, commission_id: int) -> int:
    found = session.scalar(select(Hold.id).where(Hold.open_key == commission_id))
    if found is None:
        raise Invalid("nobody holds it")
    return found


@page("/commissions/<int:commission_id>/hold", allow=Permission.RISK_DECIDE, methods=("POST",))
def commission_hold(visit: Visit, commission_id: int) -> Response:
    """Keep a frozen commission from settling until somebody decides."""
    return _on_commission(
        visit, commission_id,
        lambda session: holds.hold(
            session, visit.account.id, commission_id, reason=visit.reason(), actor=visit.actor, now=visit.now
        ),
        t("已暂缓结算。", "It is on hold."),
    )  # fmt: skip


@page("/commissions/<int:commission_id>/release", allow=Permission.RISK_DECIDE, methods=("POST",))
def commission_release(visit: Visit, commission_id: int) -> Response:
    """Let a held commission go its way."""
    return _on_commission(
        visit, commission_id,
        lambda session: holds.release(
            session, visit.account.id, [_open_hold(session, commission_id)],
            actor=visit.actor, note=visit.reason(), now=visit.now,
        ),
        t("已放行。", "Released."),
    )  # fmt: skip


@page("/commissions/<int:commission_id>/refuse", allow=Permission.RISK_DECIDE, methods=("POST",))
def commission_refuse(visit: Visit, commission_id: int) -> Response:
    """A held commission is not earned: it is void, and the member is told why."""
    return _on_commission(
        visit, commission_id,
        lambda session: holds.refuse(
            session, visit.account.id, [_open_hold(session, commission_id)],
            actor=visit.actor, reason=visit.reason(), now=visit.now,
        ),
        t("已判定无效。", "It is void."),
    )  # fmt: skip
