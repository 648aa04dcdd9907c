"""消息补处理: pushes of WeChat that could not be handled, orders without a buyer, refunds without an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from xml.parsers.expat import ExpatError

import xmltodict
from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import spooled
from domain import orders, refunds
from domain.errors import Invalid, NotFound
from domain.models import Order
from domain.staff.permissions import Permission
from spooled import Spooled
from web.console.both import Both
from web.console.navigation import CARE, Menu
from web.console.refusals import explain
from web.console.visit import Answer, Visit, page
from web.pages import t

SHOWN: Final = 100
"""So many of each kind are shown."""
REFUND_DAYS: Final = 90
"""How far back refunds without an order are looked for."""

explain("a reason is needed", Both("请写明原因。", "Please give a reason."))

PUSHES: Final = {
    "subscribe": Both("关注", "Follow"),
    "unsubscribe": Both("取消关注", "Unfollow"),
    "scan": Both("扫码", "Scan"),
    "click": Both("点菜单", "Menu"),
    "view": Both("点菜单链接", "Menu link"),
    "text": Both("文字消息", "Text"),
    "image": Both("图片消息", "Picture"),
    "voice": Both("语音消息", "Voice"),
    "templatesendjobfinish": Both("模板消息送达结果", "Result of a template message"),
    "masssendjobfinish": Both("群发结果", "Result of a broadcast"),
    "publishjobfinish": Both("发布结果", "Result of publishing"),
    "subscribe_msg_popup_event": Both("订阅通知授权", "Subscription allowed"),
    "subscribe_msg_change_event": Both("订阅通知授权变化", "Subscription changed"),
    "subscribe_msg_sent_event": Both("订阅通知送达结果", "Result of a notice"),
}
"""Event or MsgType in small letters → what the push says."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A parked push as people see it. `name` is its file, `error` the last line of what went wrong."""

    name: str
    item: Spooled
    title: str
    openid: str
    received_at: datetime

    @property
    def error(self) -> str:
        lines = self.item.error.strip().splitlines()
        return lines[-1] if lines else ""


@page(
    "/backlog",
    allow=Permission.DELIVERY_READ,
    menu=Menu(CARE, Both("消息补处理", "Backlog"), "arrow-repeat", 15),
)
def backlog(visit: Visit) -> Answer:
    """What could not be handled yet, with its age, its reason, and what to do."""
    data, slug = visit.context.settings.data.dir, visit.account.slug
    parked = spooled.parked(data, slug)
    waiting = spooled.waiting(data, slug)
    trade = visit.may(Permission.ORDERS_READ)

    def look(session: Session) -> tuple[list[Order], list[Any]]:
        since = visit.now - timedelta(days=REFUND_DAYS)
        return (
            orders.waiting(session, visit.account, visit.now, SHOWN),
            refunds.parked(session, visit.account.id, since, SHOWN),
        )

    lone_orders, lone_refunds = visit.read(look) if trade else ([], [])
    return render_template(
        "console/backlog.html", stuck=[_stuck(*one) for one in parked[:SHOWN]], stuck_in_all=len(parked),
        waiting=waiting, oldest=min((_at(one) for one in waiting), default=None), orders=lone_orders,
        refunds=lone_refunds, shown=SHOWN, wait_days=visit.account.settings.buyer_wait_days, refund_days=REFUND_DAYS,
        age=_age(visit.now),
    )  # fmt: skip


def _stuck(name: str, item: Spooled) -> Stuck:
    kind, openid = _read(item.xml)
    title = str(PUSHES.get(kind.lower(), kind or t("读不懂的推送", "A push that cannot be read")))
    return Stuck(name, item, title, openid, _at(item))


def _read(xml: str) -> tuple[str, str]:
    """(Event or MsgType, openid) of a push; empty where it says nothing."""
    try:
        said = next(iter(xmltodict.parse(xml).values()))
        return str(said.get("Event") or said.get("MsgType") or ""), str(
            said.get("FromUserName") or ""
        )
    except (ExpatError, ValueError, AttributeError):
        return "", ""


def _at(item: Spooled) -> datetime:
    return datetime.fromisoformat(item.received_at)


def _age(now: datetime) -> Callable[[datetime], str]:
    """How long ago something was, in words."""

    def words(at: datetime) -> str:
        minutes = max(0, int((now - at).total_seconds() // 60))
        if minutes < 60:
            return t(f"{minutes} 分钟", f"{minutes} min")
        hours = minutes // 60
        if hours < 48:
            return t(f"{hours} 小时", f"{hours} h")
        return t(f"{hours // 24} 天", f"{hours // 24} days")

    return words


@page("/backlog/replay", allow=Permission.DELIVERY_CHANGE, methods=("POST",))
def backlog_replay(visit: Visit) -> Response:
    """Let one parked push, or all of the account, be handled again: the clock does it within seconds."""
    data, slug = visit.context.settings.data.dir, visit.account.slug
    one = request.form.get("name", "")
    names = [one] if one else [name for name, _ in spooled.parked(data, slug)]
    released = [name for name in names if spooled.release(data, slug, name)]
    if not released:
        return _gone(visit)
    many = len(released)
    done = t(f"{many} 条会在几秒内再处理一次。", f"{many} will be handled again within seconds.")
    return visit.change(
        lambda session: _note(session, visit, action="spool_replayed", names=released),
        done=done,
        back=visit.url("backlog"),
    )


def _gone(visit: Visit) -> Response:
    flash(t("已经没有这条了。", "It is not there any more."), "warning")
    return redirect(visit.url("backlog"))


@page("/backlog/discard", allow=Permission.DELIVERY_CHANGE, methods=("POST",))
def backlog_discard(visit: Visit) -> Response:
    """Give a push up for good, with a reason. The note is written first: nothing disappears without one."""
    data, slug = visit.context.settings.data.dir, visit.account.slug
    name = request.form.get("name", "")
    if spooled.find_parked(data, slug, name) is None:
        return _gone(visit)

    def note(session: Session) -> None:
        if not visit.reason():
            raise Invalid("a reason is needed")
        _note(session, visit, action="spool_discarded", names=[name], reason=visit.reason())

    answer = visit.change(note, done=t("已放弃。", "Given up."), back=visit.url("backlog"))
    if visit.reason():
        spooled.discard(data, slug, name)
    return answer


def _note(
    session: Session, visit: Visit, *, action: str, names: Sequence[str], reason: str | None = None
) -> None:
    after = {"files": list(names[:SHOWN]), "reason": reason}
    visit.note(session, action=action, subject="spool", after=after)


@page("/backlog/orders/<int:order_id>/look", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def backlog_look(visit: Visit, order_id: int) -> Response:
    """Look for an order's buyer again."""

    def look(session: Session) -> bool:
        row = session.get(Order, order_id)
        if row is None or row.account_id != visit.account.id:
            raise NotFound("no such order", order=order_id)
        return orders.look_again(session, visit.account, row.order_no, visit.now)

    if visit.transact(look):
        flash(t("找到买家了，佣金已计提。", "Found: commissions are accrued."), "success")
    else:
        words = t("这位买家还没有关注，关注后会自动认领。", "The buyer does not follow yet.")
        flash(words, "warning")
    return redirect(visit.url("backlog"))
