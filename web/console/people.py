"""Staff and roles of an account: who works here, and as what. For owners."""

from __future__ import annotations

from typing import Final

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import staff
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.models import Staff
from domain.staff.permissions import MAY, Permission
from web.console.both import Both
from web.console.forms import Form, choice, given, password, text
from web.console.navigation import CARE, Menu
from web.console.refusals import explain, said
from web.console.visit import ROLES, Answer, Visit, page
from web.pages import t

explain(
    "the last owner stays", Both("至少要留一位所有者。", "An account keeps at least one owner.")
)
explain(
    "a new login needs a password",
    Both("新登录名需要一个初始密码。", "A new login needs a first password."),
)
explain(
    "they work here already",
    Both("这个人已经在这里了，请直接改角色。", "They work here already: change their role."),
)


MEANT: Final = {
    Permission.DASHBOARD_READ: Both("看概览和统计", "See the overview and statistics"),
    Permission.MEMBERS_READ: Both("看会员", "See members"),
    Permission.MEMBERS_CONTACT: Both("看手机号、邮箱和真实姓名", "See phones, mail addresses and real names"),
    Permission.MEMBERS_CHANGE: Both("改绑、改等级、黑名单、同步粉丝", "Rebind, grade, blacklist, compare followers"),
    Permission.PROMOTERS_DECIDE: Both("审核、停用推广员", "Approve and suspend promoters"),
    Permission.DISPUTES_DECIDE: Both("裁决绑定申诉", "Decide disputes"),
    Permission.PRODUCTS_READ: Both("看商品", "See products"),
    Permission.PRODUCTS_CHANGE: Both("改商品", "Change products"),
    Permission.ORDERS_READ: Both("看订单", "See orders"),
    Permission.ORDERS_CHANGE: Both("确认收货、退款、上传订单", "Complete, refund and upload orders"),
    Permission.COMMISSIONS_READ: Both("看佣金", "See commissions"),
    Permission.RULES_READ: Both("看佣金规则和等级", "See rules and grades"),
    Permission.RULES_CHANGE: Both("改佣金规则和等级", "Change rules and grades"),
    Permission.RISK_READ: Both("看风险信号", "See risk signals"),
    Permission.RISK_DECIDE: Both("处理风险信号和暂缓", "Decide risk signals and holds"),
    Permission.WITHDRAWALS_READ: Both("看提现", "See withdrawals"),
    Permission.WITHDRAWALS_DECIDE: Both("审核提现、打款", "Approve and pay withdrawals"),
    Permission.BOOKS_READ: Both("看账本和对账", "See the books and reconciliation"),
    Permission.BROADCASTS_READ: Both("看群发", "See broadcasts"),
    Permission.BROADCASTS_SEND: Both("写群发、发送", "Write and send broadcasts"),
    Permission.CHAT_READ: Both("看菜单、回复和文案", "See menu, replies and texts"),
    Permission.CHAT_CHANGE: Both("改菜单、回复、文案、通知模板和标签", "Change menu, replies, texts, templates, tags"),
    Permission.CODES_READ: Both("看渠道码和海报", "See codes and posters"),
    Permission.CODES_CHANGE: Both("改渠道码和海报", "Change codes and posters"),
    Permission.DELIVERY_READ: Both("看消息投递和额度", "See messages and quotas"),
    Permission.DELIVERY_CHANGE: Both("重发、放弃消息和推送", "Retry and discard messages and pushes"),
    Permission.INTEGRATION_READ: Both("看接口密钥和回调", "See API keys and webhooks"),
    Permission.INTEGRATION_CHANGE: Both("改接口密钥和回调", "Change API keys and webhooks"),
    Permission.SETTINGS_READ: Both("看设置", "See settings"),
    Permission.SETTINGS_CHANGE: Both("改设置和微信密钥", "Change settings and secrets"),
    Permission.STAFF_CHANGE: Both("管理员工和角色", "Manage staff and roles"),
    Permission.AUDIT_READ: Both("看操作日志", "See the audit log"),
}  # fmt: skip
"""What each permission lets somebody do, in words."""


class NewPerson(Form):
    login = text("登录名", "Login", autocomplete="off")
    password = password(
        "初始密码", "First password", new=(staff.MIN_PASSWORD, staff.MAX_PASSWORD), required=False
    )
    role = choice("角色", "Role", ROLES, default=staff.SUPPORT)


@page(
    "/staff",
    allow=Permission.STAFF_CHANGE,
    methods=("GET", "POST"),
    menu=Menu(CARE, Both("员工与角色", "Staff and roles"), "person-badge", 80),
)
def people(visit: Visit) -> Answer:
    """Who works here; a POST adds somebody, new to the installation or known from another account."""
    form = NewPerson()
    if form.validate_on_submit():
        try:
            visit.transact(lambda session: _add(session, visit, form))
        except DomainError as error:
            flash(said(error), "danger")
        else:
            flash(t("已添加。", "Added."), "success")
            return redirect(visit.url("people"))
    rows = visit.read(lambda session: staff.of_account(session, visit.account.id))
    return render_template(
        "console/people.html",
        form=form,
        rows=rows,
        table=[(MEANT[one], who) for one, who in MAY.items()],
    )


def _add(session: Session, visit: Visit, form: NewPerson) -> None:
    login, password = given(form.login), given(form.password)
    person = staff.find(session, login)
    if person is None:
        if not password:
            raise Invalid("a new login needs a password")
        person = staff.add(session, login=login, password=password, now=visit.now)
    if staff.role_in(session, person.id, visit.account.id) is not None:
        raise Conflict("they work here already")
    _grant(session, visit, person, given(form.role))


def _grant(session: Session, visit: Visit, person: Staff, role: str) -> None:
    before = staff.role_in(session, person.id, visit.account.id)
    staff.grant(session, person.id, visit.account.id, role)
    _note(session, visit, person, before, role)


def _note(
    session: Session, visit: Visit, person: Staff, before: str | None, after: str | None
) -> None:
    visit.note(
        session, action="staff_role", subject=f"staff/{person.id}",
        before={"login": person.login, "role": before}, after={"login": person.login, "role": after},
    )  # fmt: skip


@page("/staff/<int:staff_id>/role", allow=Permission.STAFF_CHANGE, methods=("POST",))
def change_role(visit: Visit, staff_id: int) -> Response:
    """Another role for somebody who works here."""
    role = request.form.get("role", "")

    def change(session: Session) -> None:
        person = _colleague(session, visit, staff_id)
        if role != staff.OWNER:
            _keep_an_owner(session, visit, staff_id)
        _grant(session, visit, person, role)

    return visit.change(change, done=t("角色已修改。", "Role changed."), back=visit.url("people"))


@page("/staff/<int:staff_id>/dismiss", allow=Permission.STAFF_CHANGE, methods=("POST",))
def dismiss(visit: Visit, staff_id: int) -> Response:
    """Somebody works here no longer; their login and their roles elsewhere stay."""

    def change(session: Session) -> None:
        person = _colleague(session, visit, staff_id)
        _keep_an_owner(session, visit, staff_id)
        before = staff.role_in(session, staff_id, visit.account.id)
        staff.dismiss(session, staff_id, visit.account.id)
        _note(session, visit, person, before, None)

    back = url_for("console.home") if staff_id == visit.person.staff_id else visit.url("people")
    return visit.change(change, done=t("已移除。", "Removed."), back=back)


def _colleague(session: Session, visit: Visit, staff_id: int) -> Staff:
    if staff.role_in(session, staff_id, visit.account.id) is None:
        raise NotFound("they do not work here", staff=staff_id)
    return session.get_one(Staff, staff_id)


def _keep_an_owner(session: Session, visit: Visit, staff_id: int) -> None:
    if staff.is_last_owner(session, staff_id, visit.account.id):
        raise Invalid("the last owner stays")
