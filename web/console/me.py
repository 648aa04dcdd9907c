"""What a person looks after themselves: password, second factor, sessions."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from domain import audit, staff
from domain.staff import factor, lockout
from domain.staff import sessions as staff_sessions
from domain.staff.lockout import TooManyGuesses
from web import clients
from web.console import totp
from web.console.forms import Form, again, given, password, text
from web.console.login import PASSWORD
from web.console.visit import SIGNED_IN, Answer, Visit, page
from web.pages import t


class PasswordForm(Form):
    current = password("现在的密码", "Current password")
    password = password("新密码", "New password", new=(staff.MIN_PASSWORD, staff.MAX_PASSWORD))
    again = again("再输一次", "The same again")


class ConfirmForm(Form):
    current = password("现在的密码", "Current password")


class FactorForm(ConfirmForm):
    code = text(
        "手机上的六位数字",
        "Six digits on the phone",
        most=10,
        autocomplete="one-time-code",
        inputmode="numeric",
    )


@page("/me", allow=SIGNED_IN, methods=("GET", "POST"))
def me(visit: Visit) -> Answer:
    """The person's own page; a POST changes the password."""
    form = PasswordForm()
    if form.validate_on_submit() and _knows_password(visit, given(form.current)):
        person = visit.person

        def change(db: Any) -> None:
            staff.set_password(db, person.staff_id, given(form.password))
            staff_sessions.revoke_all(db, person.staff_id, visit.now, but=person.session_id)
            audit.record(
                db, None, actor=visit.actor, action="password", subject=f"staff/{person.staff_id}", now=visit.now
            )  # fmt: skip

        return visit.change(
            change,
            done=t(
                "密码已修改，其他设备已退出登录。",
                "Password changed. Other devices are signed out.",
            ),
            back=url_for("console.me"),
        )
    return _me(visit, form)


def _me(visit: Visit, form: PasswordForm) -> str:
    staff_id = visit.person.staff_id
    open_sessions, left = visit.read(
        lambda db: (
            staff_sessions.open_of(db, staff_id, visit.now),
            factor.codes_left(db, staff_id),
        )
    )
    return render_template(
        "console/me.html", form=form, confirm=ConfirmForm(formdata=None), sessions=open_sessions, codes_left=left
    )  # fmt: skip


def _knows_password(visit: Visit, password: str) -> bool:
    """A borrowed browser must not be enough; wrong guesses are counted like those at the door."""
    name, address, now = visit.person.login, clients.address(), visit.now
    try:
        visit.transact(lambda db: lockout.begin(db, PASSWORD, name, address, now))
    except TooManyGuesses:
        flash(t("错误次数太多，请稍后再试。", "Too many wrong guesses. Try again later."), "danger")
        return False
    if visit.read(lambda db: staff.check(db, name, password)) is None:
        flash(t("现在的密码不对。", "The current password is wrong."), "danger")
        return False
    visit.transact(lambda db: lockout.right(db, PASSWORD, name, address))
    return True


@page("/me/sessions/<int:session_id>/end", allow=SIGNED_IN, methods=("POST",))
def end_session(visit: Visit, session_id: int) -> Response:
    """Sign out of one of the person's own browsers."""
    staff_id = visit.person.staff_id
    if not visit.transact(lambda db: staff_sessions.revoke(db, staff_id, session_id, visit.now)):
        abort(404)
    flash(t("该设备已退出登录。", "That device is signed out."), "success")
    return redirect(url_for("console.me"))


@page("/me/sessions/end-others", allow=SIGNED_IN, methods=("POST",))
def end_other_sessions(visit: Visit) -> Response:
    """Sign out everywhere but here."""
    person = visit.person
    return visit.change(
        lambda db: staff_sessions.revoke_all(db, person.staff_id, visit.now, but=person.session_id),
        done=t("其他设备已全部退出登录。", "All other devices are signed out."),
        back=url_for("console.me"),
    )


@page("/me/factor", allow=SIGNED_IN, methods=("GET", "POST"))
def second_factor_on(visit: Visit) -> Answer:
    """Show the secret as a QR code; the first right code switches the second factor on and shows the recovery codes."""
    if visit.person.has_totp:
        return redirect(url_for("console.me"))
    form = FactorForm()
    secret = _proposed(visit)
    if form.validate_on_submit() and _knows_password(visit, given(form.current)):
        codes = _switch_on(visit, secret, given(form.code))
        if codes:
            return render_template("console/codes.html", codes=codes)
        words = t(
            "验证码不对。请核对手机时间后再试。",
            "Wrong code. Check the phone's clock and try again.",
        )
        flash(words, "danger")
    picture = totp.picture(secret, visit.person.login)
    return render_template("console/factor.html", form=form, secret=secret, picture=picture)


def _proposed(visit: Visit) -> str:
    """The secret on the screen: the same at every reload, until it is confirmed."""
    staff_id, keyring = visit.person.staff_id, visit.context.keyring
    known = visit.read(lambda db: factor.secret_of(db, keyring, staff_id))
    if known is not None:
        return known
    secret = totp.new_secret()
    visit.transact(lambda db: factor.propose(db, keyring, staff_id, secret))
    return secret


def _switch_on(visit: Visit, secret: str, code: str) -> list[str]:
    step = totp.step_of(secret, code, visit.now)
    if step is None:
        return []

    def confirm(db: Any) -> list[str]:
        staff_id = visit.person.staff_id
        if not factor.use_step(db, staff_id, step):
            return []
        return factor.confirm(db, staff_id, actor=visit.actor, now=visit.now)

    return visit.transact(confirm)


@page("/me/factor/off", allow=SIGNED_IN, methods=("POST",))
def second_factor_off(visit: Visit) -> Response:
    """Do without the second factor again; asks for the password."""
    form = ConfirmForm()
    back = url_for("console.me")
    if not form.validate_on_submit() or not _knows_password(visit, given(form.current)):
        return redirect(back)
    return visit.change(
        lambda db: factor.switch_off(db, visit.person.staff_id, actor=visit.actor, now=visit.now),
        done=t("两步验证已关闭。", "Two-step verification is off."),
        back=back,
    )


@page("/me/factor/codes", allow=SIGNED_IN, methods=("POST",))
def new_recovery_codes(visit: Visit) -> Answer:
    """New recovery codes instead of the old ones; asks for the password."""
    form = ConfirmForm()
    if not visit.person.has_totp or not form.validate_on_submit():
        return redirect(url_for("console.me"))
    if not _knows_password(visit, given(form.current)):
        return redirect(url_for("console.me"))
    codes = visit.transact(lambda db: factor.new_codes(db, visit.person.staff_id))
    return render_template("console/codes.html", codes=codes)
