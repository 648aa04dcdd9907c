"""佣金规则: versions and their dates, two of them side by side, and a new one that is tried before it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session

from domain import accounts, dryrun, grades, rules, tasks
from domain.china import CHINA
from domain.errors import DomainError, Invalid, NotFound
from domain.models import Grade, Rule, Task
from domain.money import percent, yuan
from domain.rules import RuleVersion
from domain.secrets import short_digest
from domain.staff.permissions import Permission
from web.console import rates
from web.console.both import Both
from web.console.navigation import PROGRAMME, Menu
from web.console.refusals import explain, said
from web.console.states import state
from web.console.trade import NOBODY, fen_of
from web.console.visit import Answer, Visit, page
from web.pages import grouped, minute, t

explain(
    "freeze_days is between 0 and 365", Both("冻结天数在 0 到 365 之间。", "Freeze days are between 0 and 365.")
)  # fmt: skip
explain("this is not an instant", Both("生效时间看不懂。", "The date cannot be read."))
explain(
    "a version cannot begin in the past",
    Both(
        "生效时间不能早于现在：已付款的订单按当时的规则计佣。",
        "A version cannot begin in the past: paid orders keep the rule of their time.",
    ),
)
explain(
    "this version cannot be shown in the form",
    Both(
        "现行规则有表单表达不了的内容，请用命令行修改。",
        "The present rule says more than this form can: change it from the command line.",
    ),
)

DRY_RUN_DAYS: Final = 30
AT_ONCE: Final = 2000
"""A dry run over more orders is a task: nobody waits for a page that long."""

RISK: Final = {
    1: Both("只给直接邀请人：风险最低。", "Direct invitations only: the lowest risk."),
    2: Both(
        "两级：多数系统的做法，但没有任何平台文件允许；请先咨询法律意见。",
        "Two levels: what most systems do, yet no text of the platform allows it. Ask a lawyer first.",
    ),
    3: Both(
        "三级：微信公告（2015、2016）把多级分销列为违规，账号可能被永久封禁；刑事追诉标准从三级、三十人起算。请务必先咨询法律意见。",
        "Three levels: WeChat's notices of 2015 and 2016 name multi-level distribution, the account may be closed for"
        " good; criminal thresholds begin at three levels and thirty people. Ask a lawyer first.",
    ),
}
"""What each depth means, in plain words (platform.md 13)."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version as the list shows it; `standing` is one of in_force, coming, past."""

    row: Rule
    rule: RuleVersion
    standing: str

    @property
    def id(self) -> int:
        return self.row.id


def _versions(session: Session, visit: Visit) -> list[Version]:
    rows = rules.versions_of(session, visit.account.id)
    [current] = rules.in_force(session, visit.account.id, [visit.now])

    def standing(row: Rule) -> str:
        if current is not None and row.id == current.id:
            return "in_force"
        return "coming" if row.effective_at > visit.now else "past"

    return [Version(row, rules.parse(row), standing(row)) for row in rows]


@page(
    "/rules",
    allow=Permission.RULES_READ,
    menu=Menu(PROGRAMME, Both("佣金规则", "Commission rules"), "percent", 10),
)
def rule_list(visit: Visit) -> Answer:
    """Every version, newest date first."""

    def look(session: Session) -> tuple[list[Version], dict[str, str]]:
        found = _versions(session, visit)
        return found, rates.names_of(grades.all_of(session, visit.account.id))

    versions, names = visit.read(look)
    return render_template(
        "console/rules.html", versions=versions, names=names, shown=rates.shown, risk=RISK[visit.account.depth]
    )  # fmt: skip


# --- two versions side by side --------------------------------------------------------------------------------------


@page("/rules/compare", allow=Permission.RULES_READ)
def rule_compare(visit: Visit) -> Answer:
    """What changed between two versions; without a choice, the newest and the one before."""

    def look(session: Session) -> tuple[list[Version], dict[str, str]]:
        found = _versions(session, visit)
        return found, rates.names_of(grades.all_of(session, visit.account.id))

    versions, names = visit.read(look)
    by_id = {one.id: one for one in versions}
    newest = [one.id for one in versions[:2]]
    ids = [request.args.get(name, type=int) for name in ("old", "new")]
    chosen = [by_id[one] for one in ids if one in by_id]
    if any(one is not None and one not in by_id for one in ids):
        raise NotFound("no such version")
    if len(chosen) < 2:
        chosen = [by_id[one] for one in reversed(newest)]
    if len(chosen) < 2:
        return redirect(visit.url("rule_list"))
    old, new = chosen
    return render_template(
        "console/rule_compare.html", versions=versions, old=old, new=new, lines=_lines(old.rule, new.rule, names)
    )  # fmt: skip


def _lines(
    old: RuleVersion, new: RuleVersion, names: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """(what, before, after) of everything a version says."""
    before, after = _facts(old, names), _facts(new, names)
    return [(key, before.get(key, "–"), after.get(key, "–")) for key in {**before, **after}]


def _facts(rule: RuleVersion, names: Mapping[str, str]) -> dict[str, str]:
    days = t("{} 天", "{} days").format
    found = {t("生效", "Effective"): minute(rule.effective_at)}
    found |= _rates_of(rule.terms, "")
    found |= {
        t("付佣层级", "Paid levels"): str(rule.depth),
        t("冻结", "Freeze"): days(rule.freeze_days),
        t("每笔封顶", "Cap of each"): f"¥{grouped(rule.cap_fen)}"
        if rule.cap_fen
        else t("不封顶", "none"),
        t("自购佣金", "Own orders"): t("有", "yes") if rule.self_purchase else t("没有", "no"),
    }
    for code, terms in rule.grades.items():
        found |= _rates_of(terms, f"{names.get(code, code)} · ")
    for code, number in rule.grade_freeze_days.items():
        found[f"{names.get(code, code)} · {t('冻结', 'freeze')}"] = days(number)
    return found


def _rates_of(terms: rules.Terms, prefix: str) -> dict[str, str]:
    found = {}
    if terms.pool_bps is not None:
        found[f"{prefix}{t('佣金池', 'Pool')}"] = percent(terms.pool_bps)
    word = t("分成", "share") if terms.pool_bps is not None else t("比例", "rate")
    for level, rate in enumerate(terms.rates_bps, start=1):
        found[f"{prefix}{t(f'第 {level} 级{word}', f'Level {level} {word}')}"] = percent(rate)
    return found


# --- a new one ------------------------------------------------------------------------------------------------------


@page("/rules/new", allow=Permission.RULES_CHANGE, methods=("GET", "POST"))
def rule_new(visit: Visit) -> Answer:
    """Write a version, try it on the last thirty days, publish it. It begins as the version in force."""
    if request.method == "GET":
        return _form_of(visit)
    try:
        if request.form.get("do") != "publish":
            return _tried(visit)
        visit.transact(lambda session: _publish(session, visit))
    except NotFound:
        raise
    except DomainError as error:
        flash(said(error), "danger")
        return _form(visit, request.form)
    flash(t("新版本已发布。", "The new version is published."), "success")
    return redirect(visit.url("rule_list"))


def _form_of(visit: Visit) -> Answer:
    """The form as it was tried, or as the version in force has it."""
    task_id = request.args.get("task", type=int)
    if task_id is not None:
        task = visit.read(lambda session: tasks.get(session, visit.account.id, task_id))
        if task.kind != tasks.RULE_DRY_RUN:
            raise NotFound("no such task", task=task_id)
        given = json.loads(task.params)["given"]
        return _form(visit, given, task=task, tried=tasks.result_of(task))

    def look(session: Session) -> tuple[RuleVersion | None, list[Grade]]:
        [current] = rules.in_force(session, visit.account.id, [visit.now])
        return current, grades.all_of(session, visit.account.id)

    current, all_grades = visit.read(look)
    return _form(visit, _as_given(visit, current, all_grades))


def _as_given(
    visit: Visit, current: RuleVersion | None, all_grades: Sequence[Grade]
) -> dict[str, str]:
    if current is None:
        own = "1" if visit.account.settings.self_purchase else ""
        return {"kind": rates.RATES, "freeze_days": "7", "self_purchase": own}
    if not rates.fits_the_form(current.terms, current.grades, [one.code for one in all_grades]):
        flash(said(Invalid("this version cannot be shown in the form")), "danger")
    return rates.filled(current.terms, current.grades) | {
        "freeze_days": str(current.freeze_days),
        "cap": yuan(current.cap_fen) if current.cap_fen else "",
        "self_purchase": "1" if current.self_purchase else "",
        **{f"grade-{code}-days": str(days) for code, days in current.grade_freeze_days.items()},
    }


def _form(
    visit: Visit, given: Mapping[str, str], *, task: Task | None = None, tried: Any = None
) -> str:
    def look(session: Session) -> tuple[list[Grade], bool]:
        found = rules.versions_of(session, visit.account.id)
        return grades.all_of(session, visit.account.id), not found

    all_grades, is_first = visit.read(look)
    return render_template(
        "console/rule_new.html", given=given, tried=tried or None, task=task, grades=all_grades,
        badge=None if task is None else state("task", task.state), is_first=is_first, nobody=NOBODY,
        risk=RISK[visit.account.depth], days=DRY_RUN_DAYS, least=visit.now.astimezone(CHINA),
        levels=rates.levels(visit.account.depth, given), most_bps=visit.account.settings.max_total_bps,
    )  # fmt: skip


def _draft(session: Session, visit: Visit) -> RuleVersion:
    account, codes = visit.account, [one.code for one in grades.all_of(session, visit.account.id)]
    given = {code: request.form.get(f"grade-{code}-days", "").strip() for code in codes}
    return rules.draft(
        terms=rates.terms_given(), max_total_bps=account.settings.max_total_bps, depth=account.depth,
        freeze_days=_days(request.form.get("freeze_days", "7")), grades=rates.graded(codes),
        self_purchase=request.form.get("self_purchase") == "1", cap_fen=fen_of(request.form.get("cap", "")),
        grade_freeze_days={code: _days(text) for code, text in given.items() if text},
        effective_at=_effective(session, visit),
    )  # fmt: skip


def _days(text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdecimal() and len(text.strip()) <= 3):
        raise Invalid("freeze_days is between 0 and 365")
    return int(text)


def _effective(session: Session, visit: Visit) -> datetime:
    """When it begins, Beijing's time in the form. Nothing is now; of a first rule, the account's opening. Shops report
    whole seconds: a rule that begins within one would miss the orders of that second."""
    text = request.form.get("effective", "").strip()
    now = visit.now.replace(microsecond=0)
    if not text:
        if rules.versions_of(session, visit.account.id):
            return now
        return accounts.get_by_id(session, visit.account.id).created_at.replace(microsecond=0)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("this is not an instant") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=CHINA)
    if at < now - timedelta(minutes=1):  # the minute that the form was written in
        raise Invalid("a version cannot begin in the past")
    return at


def _tried(visit: Visit) -> Answer:
    """A small period is tried at once; a large one by a worker, while the person watches or leaves."""
    since, until = visit.now - timedelta(days=DRY_RUN_DAYS), visit.now
    account_id = visit.account.id
    with visit.database.snapshot() as session:
        draft = _draft(session, visit)
        if dryrun.count(session, account_id, since, until, AT_ONCE + 1) <= AT_ONCE:
            outcome = dryrun.run(session, account_id, draft, since=since, until=until)
            return _form(visit, request.form, tried=outcome)
    given = {
        name: value for name, value in request.form.items() if name not in {"csrf_token", "do"}
    }
    params = {
        "draft": rules.definition_of(draft), "given": given,
        "since": since.isoformat(), "until": until.isoformat(),
    }  # fmt: skip
    only = short_digest(json.dumps(params["draft"], sort_keys=True))
    task = visit.transact(
        lambda session: tasks.start(
            session,
            account_id,
            tasks.RULE_DRY_RUN,
            params,
            only=only,
            actor=visit.actor,
            now=visit.now,
        )
    )
    return redirect(visit.url("rule_new", task=task.id))


def _publish(session: Session, visit: Visit) -> None:
    draft = _draft(session, visit)
    [before] = rules.in_force(session, visit.account.id, [visit.now])
    row = rules.add(
        session, visit.account.id, terms=draft.terms, max_total_bps=visit.account.settings.max_total_bps,
        depth=draft.depth, freeze_days=draft.freeze_days, self_purchase=draft.self_purchase, grades=draft.grades,
        cap_fen=draft.cap_fen, grade_freeze_days=dict(draft.grade_freeze_days), effective_at=draft.effective_at,
        actor=visit.actor, now=visit.now,
    )  # fmt: skip
    visit.note(
        session, action="rule_added", subject=f"rule/{row.id}",
        before=None if before is None else rules.definition_of(before), after=json.loads(row.definition),
    )  # fmt: skip
