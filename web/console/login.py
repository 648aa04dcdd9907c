"""Getting in: password, second factor, and the first owner of an empty installation. Every guess is counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from flask import flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from domain import staff
from domain.errors import DomainError
from domain.models import Staff
from domain.staff import factor, lockout, setup
from domain.staff.lockout import TooManyGuesses
from web import clients
from web.console import sessions, totp
from web.console.forms import Form, again, given, password, text
from web.console.refusals import said
from web.console.visit import ANYBODY, Answer, Visit, local, page
from web.pages import t

CODE_WITHIN: Final = timedelta(minutes=5)
"""How long a right password waits for its second factor."""
_WAITING: Final = "second_factor"

PASSWORD: Final = "password"  # noqa: S105 # the name of a counter
CODE: Final = "code"
SETUP: Final = "setup"


class LoginForm(Form):
    login = text("登录名", "Login", autocomplete="username", autofocus=True)
    password = password("密码", "Password")


class CodeForm(Form):
    code = text(
        "验证码或恢复码",
        "Code, or a recovery code",
        most=40,
        autocomplete="one-time-code",
        autofocus=True,
    )


class SetupForm(Form):
    code = text("安装码", "Setup code", most=40, autocomplete="off", autofocus=True)
    login = text("登录名", "Login", autocomplete="username")
    password = password("密码", "Password", new=(staff.MIN_PASSWORD, staff.MAX_PASSWORD))
    again = again("再输一次", "The same again")


@page("/login", allow=ANYBODY, methods=("GET", "POST"))
def login(visit: Visit) -> Answer:
    """Login and password. An installation without people leads to its first step."""
    if visit.is_signed_in:
        return redirect(url_for("console.home"))
    if visit.read(setup.is_needed):
        return redirect(url_for("console.first_step"))
    form = LoginForm()
    if form.validate_on_submit():
        try:
            person = _right_password(visit, given(form.login), given(form.password))
        except TooManyGuesses as error:
            return _page("login", form, wait=error), 429
        if person is not None:
            return _after_password(visit, person)
        flash(t("登录名或密码不对。", "Wrong login or password."), "danger")
        return _page("login", form), 401
    return _page("login", form)


def _right_password(visit: Visit, name: str, password: str) -> Staff | None:
    """The guess is committed before the password is looked at: hashing takes its time, and is worth racing against."""
    address, now = clients.address(), visit.now
    visit.transact(lambda session: lockout.begin(session, PASSWORD, name, address, now))
    person = visit.read(lambda session: staff.check(session, name, password))
    if person is not None:
        visit.transact(lambda session: lockout.right(session, PASSWORD, name, address))
    return person


def _after_password(visit: Visit, person: Staff) -> Response:
    wanted = local(request.args.get("next"), url_for("console.home"))
    if person.totp_since is None:
        sessions.begin(person.id)
        return redirect(wanted)
    session.clear()
    session[_WAITING] = [person.id, person.login, visit.now.isoformat(), wanted]
    return redirect(url_for("console.second_factor"))


@page("/code", allow=ANYBODY, methods=("GET", "POST"))
def second_factor(visit: Visit) -> Answer:
    """The code of the phone, after a right password."""
    waiting = session.get(_WAITING)
    if waiting is None or visit.now - datetime.fromisoformat(waiting[2]) > CODE_WITHIN:
        return redirect(url_for("console.login"))
    staff_id, name, _, wanted = waiting
    form = CodeForm()
    if form.validate_on_submit():
        try:
            right = _right_code(visit, int(staff_id), name, given(form.code))
        except TooManyGuesses as error:
            return _page("second_factor", form, wait=error), 429
        if right:
            sessions.begin(int(staff_id))
            return redirect(local(wanted, url_for("console.home")))
        flash(t("验证码不对，或者已经用过。", "Wrong code, or one that was used before."), "danger")
        return _page("second_factor", form), 401
    return _page("second_factor", form)


def _right_code(visit: Visit, staff_id: int, name: str, code: str) -> bool:
    address, now = clients.address(), visit.now
    visit.transact(lambda session: lockout.begin(session, CODE, name, address, now))
    keyring = visit.context.keyring

    def check(session: Any) -> bool:
        secret = factor.secret_of(session, keyring, staff_id)
        step = None if secret is None else totp.step_of(secret, code, now)
        if step is not None:
            right = factor.use_step(session, staff_id, step)
        else:
            right = factor.use_recovery(session, staff_id, code, now)
        if right:
            lockout.right(session, CODE, name, address)
        return right

    return visit.transact(check)


@page("/setup", allow=ANYBODY, methods=("GET", "POST"))
def first_step(visit: Visit) -> Answer:
    """The first owner, by the code that the release step printed; gone for good once somebody has a login."""
    if not visit.read(setup.is_needed):
        return redirect(url_for("console.login"))
    form = SetupForm()
    if form.validate_on_submit():
        address, now = clients.address(), visit.now
        try:
            visit.transact(lambda session: lockout.begin(session, SETUP, SETUP, address, now))
            person = visit.transact(
                lambda session: setup.first_owner(
                    session, code=given(form.code), login=given(form.login), password=given(form.password), now=now
                )
            )  # fmt: skip
        except TooManyGuesses as error:
            return _page("first_step", form, wait=error), 429
        except DomainError as error:
            flash(said(error), "danger")
            return _page("first_step", form), error.status
        visit.transact(lambda session: lockout.right(session, SETUP, SETUP, address))
        sessions.begin(person.id)
        return redirect(url_for("console.home"))
    return _page("first_step", form)


@page("/logout", allow=ANYBODY, methods=("POST",))
def logout(visit: Visit) -> Response:
    """Sign out of this browser."""
    sessions.end()
    return redirect(url_for("console.login"))


def _page(name: str, form: Form, wait: TooManyGuesses | None = None) -> str:
    if wait is not None:
        seconds = wait.details["retry_after"]
        words = t(
            f"错误次数太多，请 {_span(seconds)}后再试。",
            f"Too many wrong guesses. Try again in {_span(seconds)}.",
        )
        flash(words, "danger")
    return render_template(f"console/{name}.html", form=form)


def _span(seconds: int) -> str:
    if seconds < 90:
        return t(f"{seconds} 秒", f"{seconds} s")
    return t(f"{round(seconds / 60)} 分钟", f"{round(seconds / 60)} min")
