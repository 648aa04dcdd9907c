"""新公众号: a merchant's account from its names to the first follower, each choice with its risk in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import abort, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from domain import accounts, audit, staff
from domain.errors import Conflict, Invalid
from domain.models import Account
from web.console.account_settings import DEPTHS
from web.console.both import Both
from web.console.visit import SIGNED_IN, Answer, Visit, page
from web.pages import t

FIELDS: Final = {
    "name": Both("请填写公众号的名字，最多 190 个字。", "The account's name, 190 characters at most."),
    "slug": Both(
        "用小写字母、数字和连字符，1 到 63 位；不能用 login、accounts 等保留词。",
        "Small letters, digits and hyphens, 1 to 63; some words are ours.",
    ),
    "gh_id": Both("原始 ID 以 gh_ 开头，在公众号设置里。", "The original id begins with gh_."),
    "app_id": Both("AppID 以 wx 开头，在基本配置里。", "The AppID begins with wx."),
    "app_secret": Both("请填写 AppSecret。", "The AppSecret, please."),
    "token": Both("3 到 32 位字母和数字。", "3 to 32 letters and digits."),
    "aes_key": Both("正好 43 位字母和数字。", "43 letters and digits exactly."),
    "mode": Both("请选择加解密方式。", "Please choose how messages are sealed."),
    "depth": Both("请选择层级：没有默认值，要您自己决定。", "Please choose: there is no default."),
}  # fmt: skip
"""Field of the form → what it must be."""
MODES: Final = {
    "safe": Both("安全模式（推荐）：消息全部加密", "Safe (better): everything is encrypted"),
    "compatible": Both("兼容模式：明文和密文都有，用于迁移", "Compatible: both, while moving"),
    "plain": Both("明文模式：不加密，只用于测试", "Plain: not encrypted, for tests"),
}
GENERATED: Final = {"token": accounts.new_token, "aes_key": accounts.new_aes_key}


@page("/accounts/new", allow=SIGNED_IN)
def account_new(visit: Visit) -> Answer:
    """The first step: what the account is called, how WeChat knows it, and how deep the programme goes."""
    _must_open(visit)
    fresh = {name: make() for name, make in GENERATED.items()}
    return _form({"mode": "safe", **fresh}, {})


def _must_open(visit: Visit) -> None:
    if not visit.person.opens_accounts:
        abort(403)


def _form(given: Mapping[str, str], wrong: Mapping[str, Both]) -> str:
    return render_template(
        "console/account_new.html", given=given, wrong=wrong, depths=DEPTHS, modes=MODES
    )


@page("/accounts/open", allow=SIGNED_IN, methods=("POST",))
def account_open(visit: Visit) -> Answer:
    """Open it, or make another token or key on the way; whoever opens an account owns it."""
    _must_open(visit)
    given = {name: request.form.get(name, "").strip()[:256] for name in FIELDS}
    wanted = request.form.get("do", "")
    if wanted in GENERATED:
        return _form({**given, wanted: GENERATED[wanted]()}, {})
    wrong = _wrong(given)
    if not wrong:
        try:
            slug = visit.transact(lambda session: _open(session, visit, given))
        except Invalid as error:
            wrong = {key: FIELDS[key] for key in error.details.get("keys", ())}
        except Conflict:
            taken = Both("这个名称或 AppID 已被使用。", "This name or AppID is in use.")
            wrong = {"slug": taken, "app_id": taken}
        else:
            flash(t("公众号已开通，下面接上微信。", "Opened. Now connect it to WeChat."), "success")
            return redirect(url_for("console.connect", slug=slug))
    flash(
        t("还没有开通，请检查标红的项。", "Not opened yet: look at what is marked red."), "danger"
    )
    return _form(given, wrong), 422


def _wrong(given: Mapping[str, str]) -> dict[str, Both]:
    """What is left empty; the rest is the domain's to say."""
    empty = [name for name, text in given.items() if not text]
    if given["depth"] not in {"1", "2", "3"}:
        empty.append("depth")
    if len(given["name"]) > 190:
        empty.append("name")
    return {name: FIELDS[name] for name in empty}


def _open(session: Session, visit: Visit, given: Mapping[str, str]) -> str:
    values: dict[str, Any] = {**given, "depth": int(given["depth"])}
    row: Account = accounts.add(session, visit.context.keyring, now=visit.now, **values)
    staff.grant(session, visit.person.staff_id, row.id, staff.OWNER)
    audit.record(
        session, row.id, actor=visit.actor, action="account_added", subject=f"account/{row.id}",
        after={"slug": row.slug, "app_id": row.app_id, "mode": row.mode, "depth": row.depth}, now=visit.now,
    )  # fmt: skip
    return row.slug
