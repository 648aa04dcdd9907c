"""等级与奖励: grades and what reaches them, who may earn, and the reward for new followers with its warning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import accounts, grades, promoters, tasks
from domain.accounts import QUALIFICATIONS
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Grade
from domain.money import yuan
from domain.staff.permissions import Permission
from domain.texts import EN, LANGUAGES, ZH_CN
from web.console.both import Both
from web.console.navigation import PROGRAMME, Menu
from web.console.refusals import explain
from web.console.states import state
from web.console.trade import fen_of
from web.console.visit import Answer, Visit, page
from web.pages import grouped, language, t

for _message, _words in {
    "a grade's code has 1 to 32 small letters, digits, _ or -": Both(
        "代号为 1 到 32 位小写字母、数字、_ 或 -。", "A code has 1 to 32 small letters, digits, _ or -."
    ),
    "a grade has a name and a rank from 1": Both(
        "请填写名称（最多 60 字）和从 1 开始的级别。", "A grade has a name of at most 60 characters and a rank from 1."
    ),
    "another grade has this rank": Both("已有等级用了这个级别。", "Another grade has this rank."),
    "this code has a grade": Both("已有等级用了这个代号。", "Another grade has this code."),
    "a condition asks for a number above zero": Both(
        "条件要大于零；不需要的请留空。", "A condition is above zero; leave empty what does not matter."
    ),
    "this is not a whole number": Both("请写整数。", "Please write a whole number."),
    "the warning was not accepted": Both(
        "开启拉新奖励前，请先勾选已阅读风险提示。",
        "Before you switch the reward on, confirm that you have read the warning.",
    ),
    "how much must be spent": Both("请填写要消费多少元。", "Please say how much must be spent."),
    "settings out of range": Both("有数字超出范围。", "A number is out of range."),
}.items():  # fmt: skip
    explain(_message, _words)

MEASURES: Final = {
    "invited_buyers": Both("直接邀请并已购买的好友", "Direct friends who bought"),
    "own_spent_fen": Both("自己消费", "Own purchases"),
    "team_sales_fen": Both("团队销售额", "The team's purchases"),
    "earned_fen": Both("累计佣金", "Commissions earned"),
}
"""What grades are reached by (grades.Totals); amounts are written in yuan."""
DOWNGRADES: Final = {
    grades.NEVER: Both("达到后一直保留", "Kept for ever"),
    grades.MONTHLY: Both("按月考核，不达标降级", "Judged month by month"),
}
WHO: Final = {
    "everyone": Both("人人都可以推广", "Everybody"),
    "approved": Both("申请并审核通过的人", "Those who asked and were approved"),
    "first_order": Both("买过一次的人", "Those who have bought"),
    "spent": Both("消费满一定金额的人", "Those who have spent enough"),
}


# --- grades ---------------------------------------------------------------------------------------------------------


@page(
    "/grades",
    allow=Permission.RULES_READ,
    menu=Menu(PROGRAMME, Both("等级", "Grades"), "award", 20),
)
def grade_list(visit: Visit) -> Answer:
    """The ladder, highest first, and how far the last look at everybody is."""

    def look(session: Session) -> dict[str, Any]:
        return {
            "rows": [(row, needs_of(row)) for row in reversed(grades.all_of(session, visit.account.id))],
            "task": tasks.newest(session, visit.account.id, tasks.GRADES),
        }  # fmt: skip

    found = visit.read(look)
    task = found["task"]
    return render_template(
        "console/grades.html", **found, downgrades=DOWNGRADES, result={} if task is None else tasks.result_of(task),
        badge=None if task is None else state("task", task.state),
    )  # fmt: skip


def needs_of(row: Grade) -> tuple[str, list[tuple[Both, str]]]:
    """("all" or "any", [(measure, what it asks)]) of a grade; nothing when it is given by hand."""
    if row.conditions is None:
        return "", []
    value: dict[str, Any] = json.loads(row.conditions)
    needs = [
        (title, f"¥{grouped(value[name])}" if name.endswith("_fen") else f"{value[name]:,}")
        for name, title in MEASURES.items()
        if name in value
    ]
    return value.get("match", "all"), needs


@page("/grades/new", allow=Permission.RULES_CHANGE, methods=("GET", "POST"))
def grade_new(visit: Visit) -> Answer:
    """One more step of the ladder."""
    if request.method == "GET":
        rank = 1 + max((row.rank for row in visit.read(_all(visit))), default=0)
        return _grade_form(None, {"rank": str(rank)})

    def add(session: Session) -> None:
        code = request.form.get("code", "").strip()
        if code and grades.find(session, visit.account.id, code) is not None:
            raise Conflict("this code has a grade", code=code)
        _put(session, visit, code)

    return _saved(visit, None, add)


@page("/grades/<int:grade_id>", allow=Permission.RULES_CHANGE, methods=("GET", "POST"))
def grade(visit: Visit, grade_id: int) -> Answer:
    """Another name, rank or condition of a grade; its code stays, rules know it by that."""
    row = visit.read(lambda session: _grade(session, visit, grade_id))
    if request.method == "GET":
        return _grade_form(row, _given(row))
    return _saved(visit, row, lambda session: _put(session, visit, row.code))


def _all(visit: Visit) -> Any:
    return lambda session: grades.all_of(session, visit.account.id)


def _grade(session: Session, visit: Visit, grade_id: int) -> Grade:
    row = session.get(Grade, grade_id)
    if row is None or row.account_id != visit.account.id:
        raise NotFound("no such grade", grade=grade_id)
    return row


def _given(row: Grade) -> dict[str, str]:
    given = {"name": row.name, "rank": str(row.rank), "downgrade": row.downgrade}
    if row.conditions is not None:
        value = json.loads(row.conditions)
        given["match"] = value.get("match", "all")
        for name in MEASURES:
            if name in value:
                given[name] = _plain(name, value[name])
    return given


def _plain(name: str, number: int) -> str:
    return yuan(number).removesuffix(".00") if name.endswith("_fen") else str(number)


def _put(session: Session, visit: Visit, code: str) -> None:
    form = request.form
    figures = {
        name: fen_of(text) if name.endswith("_fen") else _whole(text)
        for name in MEASURES
        if (text := form.get(name, "").strip())
    }
    match = "any" if form.get("match") == "any" else "all"
    grades.put(
        session, visit.account.id, code, name=form.get("name", ""), rank=_whole(form.get("rank", "")),
        conditions={"match": match, **figures} if figures else None,
        downgrade=form.get("downgrade", grades.NEVER), actor=visit.actor, now=visit.now,
    )  # fmt: skip


def _whole(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise Invalid("this is not a whole number")
    return int(text)


def _saved(visit: Visit, row: Grade | None, save: Any) -> Answer:
    return visit.save(
        save,
        done=t("等级已保存，下次评定时生效。", "Saved; it counts from the next look at everybody."),
        back=visit.url("grade_list"),
        again=lambda: _grade_form(row, request.form),
    )


def _grade_form(row: Grade | None, given: Mapping[str, str]) -> str:
    return render_template(
        "console/grade.html", row=row, given=given, measures=MEASURES, downgrades=DOWNGRADES
    )  # fmt: skip


@page("/grades/judge", allow=Permission.RULES_CHANGE, methods=("POST",))
def grade_judge(visit: Visit) -> Response:
    """Look at everybody's grade now; the clock does it every half an hour anyway."""
    return visit.change(
        lambda session: tasks.start(
            session, visit.account.id, tasks.GRADES, actor=visit.actor, now=visit.now
        ),
        done=t("开始评定。", "Looking at everybody."),
        back=visit.url("grade_list"),
    )


# --- who may earn, and the reward for new followers -----------------------------------------------------------------


@page(
    "/rewards",
    allow=Permission.RULES_READ,
    menu=Menu(PROGRAMME, Both("推广资格与奖励", "Qualification and reward"), "patch-check", 30),
)
def rewards(visit: Visit) -> Answer:
    """Who may earn, and what a new follower is worth."""
    return _rewards(visit, {})


def _rewards(visit: Visit, given: Mapping[str, str]) -> str:
    settings = visit.account.settings
    now = {
        "qualification": settings.qualification,
        "spent": yuan(settings.qualification_spent_fen) if settings.qualification_spent_fen else "",
        "reward": yuan(settings.registration_reward_fen) if settings.registration_reward_fen else "",
        "cap": str(settings.registration_daily_cap),
        "hold": str(settings.registration_hold_days),
    }  # fmt: skip
    words = LANGUAGES[EN if language() == "en" else ZH_CN]
    return render_template(
        "console/rewards.html", settings=settings, given={**now, **given}, who=WHO,
        waiting=settings.qualification == promoters.APPROVED, warning=words["warning.registration"],
    )  # fmt: skip


@page("/rewards/qualification", allow=Permission.RULES_CHANGE, methods=("POST",))
def qualification_save(visit: Visit) -> Answer:
    """Who earns by later orders; those that were paid keep what their snapshot says."""

    def wanted() -> dict[str, Any]:
        kind = request.form.get("qualification", "")
        if kind not in QUALIFICATIONS:
            raise Invalid("settings out of range", keys=["qualification"])
        spent = fen_of(request.form.get("spent", ""))
        if kind == promoters.BY_SPENDING and not spent:
            raise Invalid("how much must be spent")
        return {"qualification": kind, "qualification_spent_fen": spent}

    return _settle(visit, wanted)


@page("/rewards/registration", allow=Permission.RULES_CHANGE, methods=("POST",))
def registration_save(visit: Visit) -> Answer:
    """The reward for new followers; to switch it on, or to pay more, somebody must have read what it means."""

    def wanted() -> dict[str, Any]:
        form = request.form
        reward = fen_of(form.get("reward", ""))
        more = reward > visit.account.settings.registration_reward_fen
        if more and form.get("read") != "1":
            raise Invalid("the warning was not accepted")
        return {
            "registration_reward_fen": reward,
            "registration_daily_cap": _whole(form.get("cap", "")),
            "registration_hold_days": _whole(form.get("hold", "")),
        }

    return _settle(visit, wanted)


def _settle(visit: Visit, wanted: Any) -> Answer:
    """Replace some settings of the account."""
    return visit.save(
        lambda session: accounts.revise(
            session, visit.account.id, wanted(), actor=visit.actor, now=visit.now
        ),
        done=t(
            "已保存，之后的订单和关注按它计算。", "Saved; it holds for later orders and followers."
        ),
        back=visit.url("rewards"),
        again=lambda: _rewards(visit, request.form),
    )
