"""微信支付: the merchant number and the keys by which an account pays. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session

from domain import merchants
from domain.errors import DomainError, Invalid
from domain.merchants import OpenMerchant
from domain.secrets import Unreadable
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.refusals import explain, said
from web.console.visit import Answer, Visit, page
from web.pages import t

explain(
    "transfers of the present merchant number are under way",
    Both(
        "现在的商户号还有打款在途，等它们结束后才能换成另一个商户号。",
        "Transfers of the present number are under way: another one must wait until they have ended.",
    ),
)
explain(
    "these keys cannot be read",
    Both("密钥读不出来：请粘贴完整的 PEM 文件内容。", "Not keys: paste the whole PEM files."),
)

KEYS: Final = {
    "mch_id": Both("商户号是 6 到 20 位数字。", "The merchant number is 6 to 20 digits."),
    "serial_no": Both("证书序列号是 8 到 64 位十六进制。", "The serial number is 8 to 64 hex digits."),
    "private_key": Both("请粘贴 apiclient_key.pem 的全部内容。", "Paste the whole of apiclient_key.pem."),
    "api_v3_key": Both("APIv3 密钥是 32 个字符。", "The APIv3 key has 32 characters."),
    "public_key_id": Both("公钥 ID 以 PUB_KEY_ID_ 开头。", "The public key's id begins with PUB_KEY_ID_."),
    "public_key": Both("请粘贴 pub_key.pem 的全部内容。", "Paste the whole of pub_key.pem."),
    "scene_id": Both("场景 ID 是数字。", "The scene is a number."),
    "report_infos": Both("请填写报备信息，每行一条「类型=内容」。", "What the scene reports: KIND=TEXT, one a line."),
}  # fmt: skip
"""Field → what it must be."""
SECRETS: Final = ("private_key", "api_v3_key")
"""Never shown; left empty they stay as they are."""
LENGTHS: Final = {"private_key": 6000, "public_key": 4000, "report_infos": 1000}


@page("/merchant", allow=Permission.SETTINGS_READ)
def merchant_page(visit: Visit) -> Answer:
    """The merchant number and which keys are set."""
    return _shown(visit, {}, {})


def _present(session: Session, visit: Visit) -> OpenMerchant | None:
    return merchants.find(session, visit.context.keyring, visit.account.id)


def _shown(visit: Visit, given: dict[str, str], wrong: dict[str, Both]) -> str:
    unreadable = False
    try:
        present = visit.read(lambda session: _present(session, visit))
    except Unreadable:
        present, unreadable = None, True
    infos = merchants.COMMISSION_INFOS if present is None else present.report_infos
    known = {
        "scene_id": merchants.COMMISSION_SCENE,
        "report_infos": "\n".join(f"{kind}={text}" for kind, text in infos),
    }
    if present is not None:
        known |= {
            "mch_id": present.mch_id, "serial_no": present.serial_no, "public_key_id": present.public_key_id,
            "public_key": present.public_key, "scene_id": present.scene_id,
        }  # fmt: skip
    notify = f"{visit.context.settings.server.public_url}/pay/{visit.account.slug}/notify"
    safe = {name: text for name, text in given.items() if name not in SECRETS}
    return render_template(
        "console/merchant.html", present=present, unreadable=unreadable, given={**known, **safe}, wrong=wrong,
        notify=notify,
    )  # fmt: skip


@page("/merchant/save", allow=Permission.SETTINGS_CHANGE, methods=("POST",))
def merchant_save(visit: Visit) -> Answer:
    """Set or replace it. The keys are tried before they are kept; nobody is called."""
    given = {name: request.form.get(name, "").strip()[: LENGTHS.get(name, 190)] for name in KEYS}
    try:
        visit.transact(lambda session: _save(session, visit, given))
    except DomainError as error:
        wrong = {key: KEYS[key] for key in error.details.get("keys", ())}
        words = (
            t("没有保存，请检查标红的项。", "Not saved: look at what is marked red.")
            if wrong
            else said(error)
        )
        flash(words, "danger")
        return _shown(visit, given, wrong), 422
    flash(t("已保存，密钥已加密。", "Saved; the keys are sealed."), "success")
    return redirect(visit.url("merchant_page"))


def _save(session: Session, visit: Visit, given: dict[str, str]) -> None:
    values: dict[str, Any] = dict(given)
    present = None if all(given[name] for name in SECRETS) else _present(session, visit)
    for name in SECRETS:
        if not values[name] and present is not None:
            values[name] = getattr(present, name)
    values["report_infos"] = _infos(given["report_infos"])
    keyring = visit.context.keyring
    merchants.put(session, keyring, visit.account.id, actor=visit.actor, now=visit.now, **values)
    try:
        visit.context.till(visit.account, merchants.get(session, keyring, visit.account.id))
    except ValueError as error:
        raise Invalid(
            "these keys cannot be read", keys=["private_key", "public_key", "api_v3_key"]
        ) from error


def _infos(text: str) -> list[tuple[str, str]]:
    """KIND=TEXT lines; a line without = is wrong as a whole."""
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    return [(kind.strip(), content.strip()) for kind, _, content in pairs]
