"""概览: what happened, each number with a way to its list."""

from __future__ import annotations

from typing import Final

from flask import redirect, render_template, request
from markupsafe import Markup
from werkzeug.wrappers import Response

from domain import glance, tasks
from domain.glance import Glance
from domain.staff.permissions import Permission
from web.console import charts
from web.console.both import Both
from web.console.charts import Series
from web.console.navigation import TODAY, Menu
from web.console.visit import Answer, Visit, page
from web.pages import t
from wechat.quota import QuotaLeft

QUOTAS: Final = 5
"""The calls of which least is left."""


@page(
    "/",
    allow=Permission.DASHBOARD_READ,
    menu=Menu(TODAY, Both("概览", "Overview"), "speedometer2", 10),
)
def dashboard(visit: Visit) -> Answer:
    """The account at a glance, over 7, 30 or 90 days."""
    wanted = request.args.get("days", 30, type=int)
    span = wanted if wanted in glance.SPANS else 30
    seen = visit.read(lambda session: glance.look(session, visit.account.id, span, visit.now))
    return render_template(
        "console/dashboard.html", glance=seen, span=span, spans=glance.SPANS,
        charts=_charts(seen), quotas=_quotas(visit),
    )  # fmt: skip


def _charts(seen: Glance) -> list[tuple[str, list[str], Markup]]:
    """(title, names of the series, picture)."""

    def series(title: str, figure: str) -> Series:
        return Series(title, [getattr(day, figure) for day in seen.days])

    people = (
        series(t("新粉丝", "New followers"), "people"),
        series(t("新绑定", "New bindings"), "bound"),
    )
    sales = (series(t("销售额", "Sales"), "sales_fen"),)
    earned = (
        series(t("计提", "Accrued"), "accrued_fen"),
        series(t("结算", "Settled"), "settled_fen"),
    )
    pushes = series(t("已发送", "Sent"), "sent"), series(t("失败", "Failed"), "failed")
    wanted = (
        (t("粉丝与绑定", "Followers and bindings"), people, _whole),
        (t("销售额", "Sales"), sales, _money),
        (t("佣金", "Commissions"), earned, _money),
        (t("推送", "Messages"), pushes, _whole),
    )
    days = [day.day for day in seen.days]
    return [
        (title, [one.title for one in rows], charts.bars(title, days, rows, shown))
        for title, rows, shown in wanted
    ]


def _money(fen: float) -> str:
    return f"¥{round(fen) // 100:,}"


def _whole(number: float) -> str:
    return f"{round(number):,}"


def _quotas(visit: Visit) -> list[QuotaLeft]:
    """The calls of WeChat of which least is left today, by share."""
    left = [one for one in visit.context.platform(visit.account).quota.left() if one.day_limit]
    return sorted(left, key=lambda one: (one.day_left or 0) / (one.day_limit or 1))[:QUOTAS]


@page("/prove", allow=Permission.BOOKS_READ, methods=("POST",))
def prove_books(visit: Visit) -> Response:
    """Prove the books now: read everything again, in the background."""
    visit.transact(
        lambda session: tasks.start(session, None, tasks.BOOKS, actor=visit.actor, now=visit.now)
    )
    return redirect(visit.url("dashboard") + "#books")
