"""设置: what an account is like, group by group, with its risks said before they are taken; and the switch that stops
all settlement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import accounts
from domain.accounts import Settings
from domain.errors import DomainError, Invalid
from domain.staff.permissions import Permission
from web.console.blueprint import blueprint
from web.console.both import Both
from web.console.navigation import CARE, Menu
from web.console.refusals import explain, said
from web.console.setting_fields import GROUPS, Field, Group, group_of, read_all
from web.console.visit import Answer, Visit, page
from web.pages import t

explain("a stop needs a reason", Both("请写明原因。", "Please give a reason."))

DEPTHS: Final = {
    1: Both(
        "一级：只有直接推荐人得佣金。最稳妥：微信和法规针对的都是两级以上。",
        "One level: only who brought the buyer earns. The safest: platform and law speak of more than one.",
    ),
    2: Both(
        "两级：推荐人和他的上级得佣金。市面上常见，但微信公告把「按下级销售额计酬」列为违规，账号有被处罚的可能。",
        "Two levels: common, but WeChat's notices forbid pay by the sales of a down-line: the account may be punished.",
    ),
    3: Both(
        "三级：三层上级都得佣金。风险最大：三级以上、三十人以上是组织领导传销罪的立案标准之一；请先咨询律师，"
        "并务必按真实销售付佣、不收入门费、不按人头付钱。",
        "Three levels: the greatest risk. Three levels and thirty people are a threshold of the criminal law: ask a "
        "lawyer, pay on real sales only, take no entry fee, pay nothing by head.",
    ),
}
"""The risk of each depth in plain words (platform.md 13)."""


@dataclass(frozen=True, slots=True)
class Row:
    """A setting as the page shows it: what is in its input, what is wrong with it, and our default where it differs."""

    field: Field
    shown: str
    usual: str | None
    wrong: Both | None
    warns: bool


def _rows(
    group: Group, settings: Settings, given: Mapping[str, str], wrong: Mapping[str, Both]
) -> list[Row]:
    usual = asdict(Settings())
    now = asdict(settings)
    return [
        Row(
            one, given.get(one.name, one.shown(now[one.name])),
            None if usual[one.name] == now[one.name] else one.said(usual[one.name]),
            wrong.get(one.name), one.warns(now[one.name]),
        )
        for one in group.fields
    ]  # fmt: skip


Risk = tuple[Field, str, str, str]
"""(setting, before, after, what the form says when exactly this was accepted)"""


@page(
    "/settings",
    allow=Permission.SETTINGS_READ,
    menu=Menu(CARE, Both("设置", "Settings"), "gear", 20),
)
def settings(visit: Visit) -> Answer:
    """One group of settings with what each does."""
    return _shown(visit, group_of(request.args.get("group", "")))


def _shown(
    visit: Visit,
    group: Group,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, Both] | None = None,
    risks: list[Risk] | None = None,
) -> str:
    """The page of a group; `risks` are to be accepted before what was given is saved."""
    account = visit.account
    return render_template(
        "console/settings.html", group=group, rows=_rows(group, account.settings, given or {}, wrong or {}),
        depth=DEPTHS[account.depth], stopped=account.settings.commissions_stopped, risks=risks or [],
    )  # fmt: skip


@page("/settings/save", allow=Permission.SETTINGS_CHANGE, methods=("POST",))
def settings_save(visit: Visit) -> Answer:
    """Save a group. What is risky and new is said once more, and saved when somebody says that they have read it."""
    group = group_of(request.form.get("group", ""))
    given = {one.name: request.form.get(one.name, "") for one in group.fields}
    values, wrong = read_all(group, given)
    wrong = wrong or _refused(visit.account.settings, values)
    if wrong:
        flash(t("没有保存，请检查标红的项。", "Not saved: look at what is marked red."), "danger")
        return _shown(visit, group, given, wrong), 422
    risks = _new_risks(group, visit.account.settings, values)
    accepted = request.form.getlist("accepted") if request.form.get("understood") == "1" else []
    if not {key for *_, key in risks} <= set(accepted):
        return _shown(visit, group, given, risks=risks), 422
    try:
        changed = visit.transact(
            lambda session: accounts.revise(
                session, visit.account.id, values, actor=visit.actor, now=visit.now
            )
        )
    except DomainError as error:
        flash(said(error), "danger")
        return _shown(visit, group, given), 422
    done = t(f"已保存 {len(changed)} 项修改。", f"Saved: {len(changed)} changed.")
    flash(done if changed else t("没有任何改动。", "Nothing was changed."), "success")
    return redirect(visit.url("settings", group=group.code))


def _refused(now: Settings, values: Mapping[str, Any]) -> dict[str, Both]:
    """What the domain would refuse, by setting."""
    try:
        Settings.parse({**asdict(now), **values})
    except Invalid as error:
        words = Both("这个值不行。", "This value cannot be.")
        return dict.fromkeys(error.details["keys"], words)
    return {}


def _new_risks(group: Group, now: Settings, values: Mapping[str, Any]) -> list[Risk]:
    """What becomes risky, or risky in another way."""
    before = asdict(now)
    return [
        (
            one,
            one.said(before[one.name]),
            one.said(values[one.name]),
            f"{one.name}={one.shown(values[one.name])}",
        )
        for one in group.fields
        if one.warns(values[one.name]) and values[one.name] != before[one.name]
    ]


# --- the switch -----------------------------------------------------------------------------------------------------


@page("/settings/stop", allow=Permission.SETTINGS_CHANGE, methods=("POST",))
def settings_stop(visit: Visit) -> Response:
    """Stop all settlement of the account, or let it go on, with a reason. Nothing is lost: what is due waits."""
    stop = request.form.get("stop") == "1"
    reason = visit.reason()

    def change(session: Session) -> None:
        if not reason:
            raise Invalid("a stop needs a reason")
        accounts.revise(
            session, visit.account.id, {"commissions_stopped": stop},
            actor=visit.actor, reason=reason, now=visit.now,
        )  # fmt: skip

    done = (
        t("已停止结算：所有佣金都停在冻结状态。", "Stopped: every commission stays frozen.")
        if stop
        else t("已恢复结算，到期的佣金会依次结算。", "It goes on: what is due settles one by one.")
    )
    return visit.change(change, done=done, back=visit.url("settings", group="commissions"))


def tabs(visit: Visit) -> list[tuple[str, Both, str | None]]:
    """(code, title, address) of everything that belongs to the settings; only what the person may see."""
    found: list[tuple[str, Both, str | None]] = [
        (group.code, group.title, visit.link("settings", group=group.code)) for group in GROUPS
    ]
    found += [
        ("merchant", Both("微信支付", "WeChat Pay"), visit.link("merchant_page")),
        ("risk", Both("风控", "Risk"), visit.link("risk_limits")),
        ("connect", Both("微信接入", "Connection"), visit.link("connect")),
        ("checkup", Both("健康检查", "Health check"), visit.link("checkup")),
    ]
    return [one for one in found if one[2] is not None]


@blueprint.context_processor
def _tabs() -> dict[str, Any]:
    return {"setting_tabs": tabs}
