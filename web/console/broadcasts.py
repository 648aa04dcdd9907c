"""群发: write a promotion, see whom it reaches, try it on a phone, send it, and see what it sold."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import campaigns, grades
from domain.campaigns.audience import Audience
from domain.errors import DomainError, Invalid
from domain.models import Campaign
from domain.staff.permissions import Permission
from domain.texts import CHINA
from web.console.both import Both
from web.console.cells import BADGE, COUNT, INSTANT
from web.console.listing import Choice, Column, Listing, Sort
from web.console.navigation import MESSAGES, Menu
from web.console.refusals import explain, said
from web.console.states import STATES, choices, state
from web.console.visit import Answer, Visit, page
from web.pages import t

STATES["campaign"] = {
    "draft": ("草稿", "Draft", "secondary"),
    "scheduled": ("已定时", "Scheduled", "info"),
    "running": ("发送中", "Sending", "info"),
    "paused": ("已暂停", "Paused", "warning"),
    "done": ("已发完", "Done", "success"),
    "cancelled": ("已取消", "Cancelled", "secondary"),
    "failed": ("没有发成", "Failed", "danger"),
}
CHANNELS: Final = {
    "mass": Both("群发消息（每人每月最多 4 条）", "Mass message (four a month each)"),
    "custom": Both("客服消息（48 小时内有互动的人）", "Customer-service message (who wrote within 48 hours)"),
}  # fmt: skip
RECIPIENTS: Final = 100

explain(
    "filters of an audience are out of range",
    Both("受众条件不对，请检查。", "The filters of the audience cannot be right."),
)
explain("no such member", Both("没有这个粉丝。", "There is no such follower."))

LIST = Listing(
    title=Both("群发", "Broadcasts"),
    columns=(
        Column(
            Both("名称", "Name"), lambda row: row.name, lead=True,
            href=lambda visit, row: visit.url("broadcast", campaign_id=row.id),
        ),
        Column(Both("状态", "Status"), lambda row: state("campaign", row.state), BADGE),
        Column(Both("渠道", "Channel"), lambda row: str(CHANNELS.get(row.channel, row.channel)), wide=True),
        Column(Both("人数", "People"), lambda row: row.recipients, COUNT),
        Column(Both("开始", "Started"), lambda row: row.started_at or row.scheduled_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Campaign.id, lambda row: row.id),),
    id_column=Campaign.id,
    row_id=lambda row: row.id,
    filters=(Choice("state", Both("状态", "Status"), choices("campaign"), Campaign.state),),
    empty=Both("还没有群发。写一条，先发到自己的手机上看看。", "No broadcasts yet. Write one and try it on a phone."),
    file="broadcasts",
    template="console/broadcasts.html",
)  # fmt: skip


@page(
    "/broadcasts",
    allow=Permission.BROADCASTS_READ,
    menu=Menu(MESSAGES, Both("群发", "Broadcasts"), "megaphone", 10),
)
def broadcasts_list(visit: Visit) -> Answer:
    """Every broadcast, newest first."""
    rows = select(Campaign).where(Campaign.account_id == visit.account.id)
    return LIST.answer(visit, rows)


def _instant(text: str) -> datetime | None:
    """A local time of the form, Beijing's. Raises `Invalid`."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=CHINA)
    except ValueError as error:
        raise Invalid("this is no date and time") from error


explain("this is no date and time", Both("日期时间不对。", "This is no date and time."))


def _audience() -> dict[str, Any]:
    """The filters of the form, as JSON values."""
    given = request.form
    bought = {"yes": True, "never": False}.get(given.get("bought", ""))
    values: dict[str, Any] = {
        "grade": given.get("grade", ""), "language": given.get("language", ""), "bought": bought,
        "promoter": given.get("promoter", "").strip(),
        "level": int(given["level"]) if given.get("level", "").isdecimal() else None,
    }  # fmt: skip
    for name in ("active_since", "bought_since"):
        at = _instant(given.get(name, ""))
        values[name] = at and at.isoformat()
    return {name: value for name, value in values.items() if value not in (None, "")}


@page("/broadcasts/new", allow=Permission.BROADCASTS_SEND, methods=("GET", "POST"))
def broadcast_new(visit: Visit) -> Answer:
    """Write one. "Count" tells how many it would reach; "save" makes a draft."""
    people: int | None = None
    if request.method == "POST":
        try:
            if request.form.get("do") == "count":
                people = visit.read(lambda session: _reach(session, visit))
            else:
                made = visit.transact(lambda session: _draft(session, visit))
                flash(t("已存为草稿。", "Saved as a draft."), "success")
                return redirect(visit.url("broadcast", campaign_id=made))
        except DomainError as error:
            flash(said(error), "danger")
    all_grades = visit.read(lambda session: grades.all_of(session, visit.account.id))
    return render_template(
        "console/broadcast_new.html", channels=CHANNELS, grades=all_grades, people=people
    )


def _reach(session: Session, visit: Visit) -> int:
    channel = request.form.get("channel", "")
    wanted = Audience.parse(_audience())
    return campaigns.count(session, visit.account.id, channel, wanted, visit.now).people


def _draft(session: Session, visit: Visit) -> int:
    given = request.form
    made = campaigns.create(
        session, visit.account, name=given.get("name", "").strip()[:190] or t("群发", "Broadcast"),
        channel=given.get("channel", ""), content={"kind": "text", "text": given.get("text", "").strip()},
        audience=_audience(), files={}, scheduled_at=_instant(given.get("scheduled_at", "")), actor=visit.actor,
        now=visit.now,
    )  # fmt: skip
    return made.id


@page("/broadcasts/<int:campaign_id>", allow=Permission.BROADCASTS_READ)
def broadcast(visit: Visit, campaign_id: int) -> Answer:
    """One broadcast: what it says, to whom, how far it is, what became of everybody, what it sold."""

    def look(session: Session) -> dict[str, Any]:
        row = campaigns.get(session, visit.account.id, campaign_id)
        draft = row.state in {campaigns.DRAFT, campaigns.SCHEDULED}
        audience = campaigns.audience_of(row)
        reach = None
        if draft and audience.tag is None:
            reach = campaigns.count(
                session, visit.account.id, row.channel, audience, visit.now
            ).people
        return {
            "row": row, "content": json.loads(row.content), "audience": audience.as_value(), "reach": reach,
            "results": campaigns.results(session, row.id),
            "recipients": campaigns.recipients(session, row, limit=RECIPIENTS),
        }  # fmt: skip

    found = visit.read(look)
    return render_template(
        "console/broadcast.html", **found, badge=state("campaign", found["row"].state),
        channel=CHANNELS.get(found["row"].channel, found["row"].channel),
    )  # fmt: skip


def _act(visit: Visit, campaign_id: int, verb: Callable[..., Any], done: str) -> Response:
    visit.read(lambda session: campaigns.get(session, visit.account.id, campaign_id))
    return visit.change(
        lambda session: verb(
            session, visit.account.id, campaign_id, actor=visit.actor, now=visit.now
        ),
        done=done,
        back=visit.url("broadcast", campaign_id=campaign_id),
    )


@page("/broadcasts/<int:campaign_id>/start", allow=Permission.BROADCASTS_SEND, methods=("POST",))
def broadcast_start(visit: Visit, campaign_id: int) -> Response:
    """Send it, now or at its hour."""
    return _act(visit, campaign_id, campaigns.start, t("开始发送。", "It is on its way."))


@page("/broadcasts/<int:campaign_id>/pause", allow=Permission.BROADCASTS_SEND, methods=("POST",))
def broadcast_pause(visit: Visit, campaign_id: int) -> Response:
    """Begin no further call."""
    return _act(visit, campaign_id, campaigns.pause, t("已暂停。", "Paused."))


@page("/broadcasts/<int:campaign_id>/resume", allow=Permission.BROADCASTS_SEND, methods=("POST",))
def broadcast_resume(visit: Visit, campaign_id: int) -> Response:
    """Go on with who has not been sent it."""
    return _act(visit, campaign_id, campaigns.resume, t("继续发送。", "Going on."))


@page("/broadcasts/<int:campaign_id>/cancel", allow=Permission.BROADCASTS_SEND, methods=("POST",))
def broadcast_cancel(visit: Visit, campaign_id: int) -> Response:
    """Send nothing more, for good."""
    return _act(visit, campaign_id, campaigns.cancel, t("已取消。", "Cancelled."))


@page("/broadcasts/<int:campaign_id>/test", allow=Permission.BROADCASTS_SEND, methods=("POST",))
def broadcast_test(visit: Visit, campaign_id: int) -> Response:
    """Send it to one phone."""
    openid = request.form.get("openid", "").strip()
    visit.read(lambda session: campaigns.get(session, visit.account.id, campaign_id))

    def test(session: Session) -> None:
        campaigns.request_test(session, visit.account.id, campaign_id, openid, visit.now)

    try:
        visit.transact(test)
    except DomainError as error:
        flash(said(error), "danger")
    else:
        flash(t("已发到这部手机，请看微信。", "Sent to that phone, look at WeChat."), "success")
    return redirect(visit.url("broadcast", campaign_id=campaign_id))
