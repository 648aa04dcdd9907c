"""群发: write a promotion, see whom it reaches, try it on a phone, send it, and see what it sold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import flash, redirect, render_template, request
from flask import session as flask_session
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import attribution, campaigns, grades, members, tags
from domain.bindings import display_name
from domain.campaigns import content as contents
from domain.errors import DomainError, NotFound
from domain.models import Campaign, CampaignRecipient, Member, Order
from domain.staff.permissions import Permission
from web.console import compose, composing
from web.console.both import Both
from web.console.cells import BADGE, CODE, COUNT, INSTANT
from web.console.listing import Choice, Column, Condition, Listing, Search, Sort
from web.console.navigation import MESSAGES, Menu
from web.console.refusals import explain, said
from web.console.states import STATES, choices, state
from web.console.visit import Answer, Visit, page
from web.pages import minute, t

STATES["campaign"] = {
    "draft": ("草稿", "Draft", "secondary"),
    "scheduled": ("已定时", "Scheduled", "info"),
    "running": ("发送中", "Sending", "info"),
    "paused": ("已暂停", "Paused", "warning"),
    "done": ("已发完", "Done", "success"),
    "cancelled": ("已取消", "Cancelled", "secondary"),
    "failed": ("没有发成", "Failed", "danger"),
}
STATES["recipient"] = {
    "waiting": ("等待", "Waiting", "secondary"),
    "sending": ("正在发", "Sending", "info"),
    "sent": ("已发出", "Sent", "info"),
    "delivered": ("已送达", "Delivered", "success"),
    "failed": ("失败", "Failed", "danger"),
    "skipped": ("已跳过", "Left out", "secondary"),
    "unknown": ("不确定", "Unknown", "warning"),
}
OPEN: Final = frozenset({campaigns.SCHEDULED, campaigns.RUNNING})
ORDERS: Final = 20
TEST_PHONE: Final = "test_phone"
FILTERS: Final = {
    "tag": Both("微信标签", "WeChat tag"), "promoter": Both("团队", "Team of"), "level": Both("第几级", "Level"),
    "grade": Both("等级", "Grade"), "bought": Both("买过东西", "Bought"), "language": Both("语言", "Language"),
    "bought_since": Both("从这时起买过", "Bought since"),
    "not_bought_since": Both("从这时起没买过", "Not bought since"),
    "active_since": Both("从这时起有互动", "Active since"),
}  # fmt: skip

explain(
    "wrong_state",
    Both(
        "这次群发的状态已经变了，请看一下现在的状态。",
        "It is in another state by now; please look.",
    ),
)

LIST = Listing(
    title=Both("群发", "Broadcasts"),
    columns=(
        Column(
            Both("名称", "Name"), lambda row: row.name, lead=True,
            href=lambda visit, row: visit.url("broadcast", campaign_id=row.id),
        ),
        Column(Both("状态", "Status"), lambda row: state("campaign", row.state), BADGE),
        Column(Both("渠道", "Channel"), lambda row: str(compose.CHANNELS.get(row.channel, row.channel)), wide=True),
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


@dataclass(frozen=True)
class Sold:
    """An order that the broadcast brought."""

    order: Order
    buyer: Member | None


@page("/broadcasts/<int:campaign_id>", allow=Permission.BROADCASTS_READ)
def broadcast(visit: Visit, campaign_id: int) -> Answer:
    """One broadcast: what it says, to whom, how far it is, what it sold, and what can be done."""

    def look(session: Session) -> dict[str, Any]:
        row = campaigns.get(session, visit.account.id, campaign_id)
        content, wanted = campaigns.content_of(row), campaigns.audience_of(row)
        files = {name: one.content for name, one in campaigns.files_of(session, row.id).items()}
        found = problems = None
        if row.state in {campaigns.DRAFT, campaigns.SCHEDULED}:
            problems = contents.problems(row.channel, content, files)
            found = compose.reach(session, visit, row.channel, wanted, content)
        return {
            "row": row, "audience": _in_words(session, visit, wanted.as_value()),
            "look": compose.Look(content, compose.addresses_of(visit, row, files), problems or [], found),
            "results": campaigns.results(session, row.id), "sold": _sold(session, row),
        }  # fmt: skip

    found = visit.read(look)
    return render_template(
        "console/broadcast.html", **found, badge=state("campaign", found["row"].state),
        channel=compose.CHANNELS.get(found["row"].channel, found["row"].channel), open_states=OPEN,
        phone_before=flask_session.get(TEST_PHONE, ""),
    )  # fmt: skip


def _in_words(session: Session, visit: Visit, filters: dict[str, Any]) -> list[tuple[Both, str]]:
    """The filters of an audience, as people say them."""
    grade_names = {one.code: one.name for one in grades.all_of(session, visit.account.id)}
    tag_names = {one.tag_id: one.name for one in tags.tags_of(session, visit.account.id)}
    shown: dict[str, Callable[[Any], str]] = {
        "bought": lambda value: t("买过", "has bought") if value else t("没买过", "never bought"),
        "grade": lambda value: grade_names.get(value, value),
        "tag": lambda value: tag_names.get(value, f"#{value}"),
        "language": lambda value: compose.LANGUAGES.get(value, value),
        "promoter": lambda value: _who(members.find(session, visit.account.id, value)) or value,
    }
    for name in composing.INSTANTS:
        shown[name] = lambda value: minute(datetime.fromisoformat(value))
    return [(FILTERS[name], shown.get(name, str)(value)) for name, value in filters.items()]


def _who(member: Member | None) -> str:
    return "" if member is None else display_name(member.nickname, member.code)


def _sold(session: Session, row: Campaign) -> list[Sold]:
    ids = [number for number, _ in attribution.orders_of(session, row.id, limit=ORDERS)]
    rows = list(session.scalars(select(Order).where(Order.id.in_(ids)).order_by(Order.id)))
    who = members.by_ids(session, {one.member_id for one in rows if one.member_id is not None})
    return [Sold(one, who.get(one.member_id or 0)) for one in rows]


@page("/broadcasts/<int:campaign_id>/progress", allow=Permission.BROADCASTS_READ)
def broadcast_progress(visit: Visit, campaign_id: int) -> Answer:
    """How far it is: a part of its page that is polled while it is under way."""

    def look(session: Session) -> dict[str, Any]:
        row = campaigns.get(session, visit.account.id, campaign_id)
        return {"row": row, "results": campaigns.results(session, row.id)}

    if "X-Fragment" not in request.headers:
        visit.read(look)
        return redirect(visit.url("broadcast", campaign_id=campaign_id))
    found = visit.read(look)
    return render_template(
        "console/broadcast_progress.html", **found, badge=state("campaign", found["row"].state), open_states=OPEN
    )  # fmt: skip


def _told(session: Session, rows: Sequence[Any]) -> Sequence[Any]:
    if not rows:
        return []
    return campaigns.results_of(session, session.get_one(Campaign, rows[0].campaign_id), rows)


def _by_person(visit: Visit, text: str) -> Condition | None:
    found = visit.read(lambda session: members.find_named(session, visit.account.id, text))
    return None if found is None else CampaignRecipient.member_id == found.id


RECIPIENTS = Listing(
    title=Both("每个人的结果", "What became of everybody"),
    columns=(
        Column(
            Both("粉丝", "Follower"), lambda row: row.nickname or row.openid, lead=True,
            href=lambda visit, row: visit.link("member", member_id=row.member_id),
        ),
        Column(Both("openid", "openid"), lambda row: row.openid, CODE, wide=True),
        Column(Both("结果", "Result"), lambda row: state("recipient", row.state), BADGE),
        Column(Both("微信的错误码", "WeChat's error"), lambda row: row.errcode, CODE),
    ),
    sorts=(
        Sort(
            "first", Both("最早关注", "First joined"), CampaignRecipient.member_id, lambda row: row.member_id,
            descending=False,
        ),
        Sort("last", Both("最近关注", "Last joined"), CampaignRecipient.member_id, lambda row: row.member_id),
    ),
    id_column=CampaignRecipient.member_id,
    row_id=lambda row: row.member_id,
    search=Search(Both("openid 或邀请码", "openid or code"), _by_person),
    fill=_told,
    empty=Both("还没有收件人：开始以后，名单会写在这里。", "No recipients yet: they are written down when it starts."),
    file="recipients",
    template="console/broadcast_recipients.html",
)  # fmt: skip


@page("/broadcasts/<int:campaign_id>/recipients", allow=Permission.BROADCASTS_READ)
def broadcast_recipients(visit: Visit, campaign_id: int) -> Answer:
    """What became of each recipient; as CSV too."""
    row = visit.read(lambda session: campaigns.get(session, visit.account.id, campaign_id))
    query = select(CampaignRecipient).where(CampaignRecipient.campaign_id == row.id)
    return RECIPIENTS.answer(visit, query, row=row)


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
    wanted = request.form.get("openid", "").strip()
    visit.read(lambda session: campaigns.get(session, visit.account.id, campaign_id))

    def test(session: Session) -> None:
        found = members.find_named(session, visit.account.id, wanted)
        if found is None:
            raise NotFound("no such member")
        campaigns.request_test(session, visit.account.id, campaign_id, found.openid, visit.now)

    try:
        visit.transact(test)
    except DomainError as error:
        flash(said(error), "danger")
    else:
        flask_session[TEST_PHONE] = wanted
        flash(
            t("正在发到这部手机，请看微信。", "On its way to that phone, look at WeChat."),
            "success",
        )
    return redirect(visit.url("broadcast", campaign_id=campaign_id))
