"""统计: what each day brought, who leads, and the compliance record as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from flask import Response as FlaskResponse
from flask import render_template, request, stream_with_context

from domain import reports, sheets
from domain.china import begin_of, day_of
from domain.models import Daily
from domain.money import yuan
from domain.staff.permissions import Permission
from web.console import charts
from web.console.both import Both
from web.console.charts import Series
from web.console.listing import day_in
from web.console.navigation import PROGRAMME, TODAY, Menu
from web.console.visit import Answer, Visit, page
from web.pages import t

DAYS: Final = 30
MOST_DAYS: Final = 366
LEADERS: Final = 100

FIGURES: Final = (
    ("people", Both("新粉丝", "New followers")),
    ("orders", Both("订单", "Orders")),
    ("spent_fen", Both("销售额", "Sales")),
    ("refunded_fen", Both("退款", "Refunded")),
    ("accrued_fen", Both("计提佣金", "Accrued")),
    ("settled_fen", Both("结算", "Settled")),
    ("voided_fen", Both("失效", "Void")),
    ("clawed_fen", Both("追回", "Clawed back")),
)
"""`reports.FIGURES` in words; those that end with _fen are amounts."""


# --- by day ---------------------------------------------------------------------------------------------------------


def span_of(visit: Visit, days: int = DAYS) -> tuple[date, date]:
    """The days that the request asks for, both included: at most a year; the last thirty without it."""
    until = day_in(request.values.get("until")) or day_of(visit.now)
    since = day_in(request.values.get("since")) or until - timedelta(days=days - 1)
    since, until = min(since, until), max(since, until)
    return max(since, until - timedelta(days=MOST_DAYS - 1)), until


@page(
    "/statistics",
    allow=Permission.DASHBOARD_READ,
    menu=Menu(TODAY, Both("每日统计", "Statistics"), "bar-chart", 20),
)
def statistics(visit: Visit) -> Answer:
    """What each day brought. One row a day is read, whatever the size of the account."""
    since, until = span_of(visit)
    rows = visit.read(lambda session: reports.of_account(session, visit.account.id, since, until))
    if request.args.get("format") == "csv":
        return _file(visit, f"days-{since:%Y%m%d}-{until:%Y%m%d}", _day_cells(rows))
    totals = {name: sum(getattr(row, name) for row in rows) for name, _ in FIGURES}
    return render_template(
        "console/statistics.html", rows=rows[::-1], totals=totals, figures=FIGURES,
        since=since, until=until, charts=_charts(rows, since, until),
    )  # fmt: skip


@page("/statistics/levels", allow=Permission.DASHBOARD_READ)
def statistics_levels(visit: Visit) -> Answer:
    """What each level brought and cost over these days."""
    since, until = span_of(visit)
    levels = visit.read(lambda session: reports.by_level(session, visit.account.id, since, until))
    part = "X-Fragment" in request.headers
    template = "console/levels_part.html" if part else "console/levels.html"
    return render_template(
        template, levels=sorted(levels.items()), figures=FIGURES, since=since, until=until
    )


def _day_cells(rows: Sequence[Daily]) -> Iterator[Sequence[object]]:
    yield [t("日期", "Day"), *(str(title) for _, title in FIGURES)]
    for row in rows:
        yield [row.day.isoformat(), *(_cell(name, getattr(row, name)) for name, _ in FIGURES)]


def _cell(name: str, number: int) -> object:
    return yuan(number) if name.endswith("_fen") else number


def _charts(rows: Sequence[Daily], since: date, until: date) -> list[tuple[str, list[str], Any]]:
    """(title, names of the series, picture) of the span."""
    known = {row.day: row for row in rows}
    days = [since + timedelta(days=number) for number in range((until - since).days + 1)]

    def series(name: str) -> Series:
        values = [getattr(known[day], name) if day in known else 0 for day in days]
        return Series(str(dict(FIGURES)[name]), values)

    def drawn(title: str, names: Sequence[str], shown: Any) -> tuple[str, list[str], Any]:
        lines = [series(name) for name in names]
        return title, [one.title for one in lines], charts.bars(title, days, lines, shown)

    return [
        drawn(t("销售额与退款", "Sales and refunds"), ("spent_fen", "refunded_fen"), _yuan),
        drawn(t("佣金", "Commissions"), ("accrued_fen", "settled_fen"), _yuan),
    ]


def _yuan(fen: float) -> str:
    return f"¥{round(fen) // 100:,}"


def _file(visit: Visit, name: str, cells: Iterator[Sequence[object]]) -> FlaskResponse:
    disposition = f'attachment; filename="{visit.account.slug}-{name}.csv"'
    return FlaskResponse(
        stream_with_context(sheets.encode(cells)), mimetype="text/csv", headers={"Content-Disposition": disposition}
    )  # fmt: skip


# --- rankings -------------------------------------------------------------------------------------------------------

METRICS: Final = {
    reports.EARNED: Both("收益", "Earned"),
    reports.PEOPLE: Both("直接邀请", "People brought"),
}
PERIODS: Final = {
    reports.WEEK: Both("本周", "This week"),
    reports.MONTH: Both("本月", "This month"),
    reports.ALL: Both("全部", "All time"),
}


@dataclass(frozen=True, slots=True)
class Board:
    """Which ranking is on the screen."""

    metric: str
    period: str

    @property
    def is_money(self) -> bool:
        return self.metric == reports.EARNED


def _board() -> Board:
    metric, period = (request.args.get(name, "") for name in ("metric", "period"))
    return Board(
        metric if metric in METRICS else reports.EARNED,
        period if period in PERIODS else reports.WEEK,
    )


@page(
    "/rankings",
    allow=Permission.MEMBERS_READ,
    menu=Menu(TODAY, Both("排行榜", "Rankings"), "trophy", 30),
)
def rankings(visit: Visit) -> Answer:
    """The first hundred of a ranking, as the last count has it."""
    board = _board()
    leaders = visit.read(
        lambda session: reports.leaders(
            session, visit.account.id, board.metric, board.period, visit.now, LEADERS
        )
    )
    if request.args.get("format") == "csv":
        return _file(visit, f"ranking-{board.metric}-{board.period}", _rank_cells(board, leaders))
    best = max((one.value for one in leaders), default=0)
    return render_template(
        "console/rankings.html", board=board, leaders=leaders, best=best, metrics=METRICS, periods=PERIODS
    )  # fmt: skip


def _rank_cells(board: Board, leaders: Sequence[reports.Leader]) -> Iterator[Sequence[object]]:
    yield [t("名次", "Place"), t("会员", "Member"), str(METRICS[board.metric])]
    for one in leaders:
        yield [one.place, sheets.text(one.name), yuan(one.value) if board.is_money else one.value]


# --- the compliance record ------------------------------------------------------------------------------------------


@page(
    "/compliance",
    allow=Permission.AUDIT_READ,
    menu=Menu(PROGRAMME, Both("合规记录", "Compliance record"), "file-earmark-check", 90),
)
def compliance(visit: Visit) -> Answer:
    """What the record holds, and for which days to write it."""
    since, until = span_of(visit, MOST_DAYS)
    return render_template("console/compliance.html", since=since, until=until)


@page("/compliance/file", allow=Permission.AUDIT_READ, methods=("POST",))
def compliance_file(visit: Visit) -> FlaskResponse:
    """The record as lines of JSON with their checksum at the end, streamed; that it was written is itself noted."""
    first, last = span_of(visit, MOST_DAYS)
    since, until = begin_of(first), begin_of(last + timedelta(days=1))
    account, now, database = visit.account, visit.now, visit.database
    visit.transact(
        lambda session: visit.note(
            session, action="compliance_exported", subject=f"account/{account.id}",
            after={"since": first.isoformat(), "until": last.isoformat()},
        )
    )  # fmt: skip

    def pieces() -> Iterator[bytes]:
        with database.snapshot() as session:
            yield from reports.as_lines(reports.compliance(session, account, since, until, now))

    name = f"{account.slug}-compliance-{first:%Y%m%d}-{last:%Y%m%d}.jsonl"
    return FlaskResponse(
        pieces(), mimetype="application/x-ndjson", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )  # fmt: skip
