"""微信接入与健康检查: what to paste into WeChat's pages, whether WeChat has verified it, and what does not work yet."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session

from domain import accounts, merchants
from domain.errors import DomainError
from domain.secrets import Unreadable, short_digest
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.opening import FIELDS, GENERATED, MODES
from web.console.refusals import said
from web.console.visit import Answer, Visit, page
from web.console.wechat_words import WHERE, address_in, explained
from web.pages import t
from wechat import api, pay
from wechat.client import PlatformClient
from wechat.errors import Retryable, WeChatError

NEXT: Final = (
    (
        "menu",
        "list",
        Both("做菜单", "The menu"),
        Both("粉丝在对话框下面看到的按钮。", "What followers tap below the chat."),
    ),
    (
        "templates",
        "envelope-paper",
        Both("选通知模板", "Notice templates"),
        Both("佣金、提现的通知靠它送达。", "Commissions and withdrawals are told by them."),
    ),
    (
        "rule_list",
        "percent",
        Both("发布第一条佣金规则", "The first rule"),
        Both(
            "没有规则就没有佣金。可以先试算再发布。",
            "Nobody earns without one; try it before you publish it.",
        ),
    ),
    (
        "settings",
        "gear",
        Both("看一遍设置", "The settings"),
        Both("绑定、提现、通知和合规。", "Binding, withdrawals, notices, compliance."),
    ),
    (
        "merchant_page",
        "wallet2",
        Both("填微信支付商户号", "The merchant number"),
        Both("要用微信零钱打款时才需要。", "To pay into WeChat wallets."),
    ),
    (
        "people",
        "person-badge",
        Both("加同事", "Colleagues"),
        Both("财务、运营、客服各有各的权限。", "Finance, operators and support have their rights."),
    ),
)
"""(endpoint, icon, title, what for) of the steps that follow; those that this installation has."""


# --- the server configuration ---------------------------------------------------------------------------------------


@page("/connect", allow=Permission.SETTINGS_CHANGE)
def connect(visit: Visit) -> Answer:
    """What to paste into WeChat's pages, with a light that turns green when WeChat has asked."""
    return _connect(visit, {})


def _connect(visit: Visit, wrong: dict[str, Both]) -> str:
    public_url = visit.context.settings.server.public_url
    found = [(visit.link(name), icon, title, what) for name, icon, title, what in NEXT]
    return render_template(
        "console/connect.html", url=f"{public_url}/wechat/{visit.account.slug}", modes=MODES, wrong=wrong, where=WHERE,
        warning=_unreachable(public_url), steps=[one for one in found if one[0] is not None], verified=_verified(visit),
    )  # fmt: skip


def _verified(visit: Visit) -> datetime | None:
    return visit.read(lambda session: accounts.verified_at(session, visit.account.id))


def _unreachable(public_url: str) -> Both | None:
    """Why WeChat cannot reach this address, as far as one sees from here."""
    parts = urlsplit(public_url)
    try:
        inside = not ipaddress.ip_address(parts.hostname or "").is_global
    except ValueError:
        inside = parts.hostname == "localhost"
    if inside:
        return Both(
            "这个地址只在内网，微信访问不到：请先把 server.public_url 配成公网域名。",
            "This address is private and WeChat cannot reach it: set server.public_url to a public name.",
        )
    if parts.port not in (None, 80, 443):
        return Both(
            "微信只访问 80 和 443 端口，请在反向代理上换成标准端口。",
            "WeChat knows ports 80 and 443 only: let the reverse proxy listen there.",
        )
    return None


@page("/connect/light", allow=Permission.SETTINGS_CHANGE)
def connect_light(visit: Visit) -> Answer:
    """The light alone: polled until WeChat has verified the address; a page of its own without a script."""
    part = "X-Fragment" in request.headers
    template = "console/light_part.html" if part else "console/light.html"
    return render_template(template, verified=_verified(visit))


@page("/connect/secrets", allow=Permission.SETTINGS_CHANGE, methods=("POST",))
def connect_secrets(visit: Visit) -> Answer:
    """Other secrets, after they were changed at WeChat; what is left empty stays."""
    names = ("app_secret", "token", "aes_key", "mode")
    given = {name: request.form.get(name, "").strip()[:256] for name in names}
    wanted = request.form.get("do", "")
    if wanted in GENERATED:
        given = dict.fromkeys(names, "") | {wanted: GENERATED[wanted]()}
    try:
        replaced = visit.transact(
            lambda session: accounts.replace_secrets(
                session, visit.context.keyring, visit.account.id, actor=visit.actor, now=visit.now, **given
            )
        )  # fmt: skip
    except DomainError as error:
        flash(
            said(error)
            if "keys" not in error.details
            else t("没有保存，请检查标红的项。", "Not saved."),
            "danger",
        )
        return _connect(visit, {key: FIELDS[key] for key in error.details.get("keys", ())}), 422
    words = t("已更新，微信那边请填同样的值。", "Replaced: WeChat's pages must say the same.")
    flash(words if replaced else t("没有任何改动。", "Nothing was changed."), "success")
    return redirect(visit.url("connect"))


# --- the health check -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What one question to WeChat came to. `ok` None: not asked, because an earlier one failed or nothing is set."""

    title: Both
    ok: bool | None
    words: str
    code: int | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask WeChat: `ask(client)` returns what to say about the answer."""

    title: Both
    ask: Callable[[PlatformClient], str]


def _token(client: PlatformClient) -> str:
    client.tokens.current()
    return t("AppID、AppSecret 和 IP 白名单都对。", "AppID, AppSecret and white list are right.")


def _addresses(client: PlatformClient) -> str:
    number = len(api.get_callback_ip(client))
    return t(f"微信会从 {number} 个地址推送消息。", f"WeChat pushes from {number} addresses.")


def _menu(client: PlatformClient) -> str:
    menu = api.find_menu(client)
    if menu is None:
        return t("可以设置菜单；现在还没有。", "The menu may be set; there is none yet.")
    return t(
        f"有菜单，{len(menu.buttons)} 个一级按钮。",
        f"There is one, with {len(menu.buttons)} buttons.",
    )


def _templates(client: PlatformClient) -> str:
    number = len(api.list_templates(client))
    if not number:
        return t("可以用模板消息，但还没有选模板。", "Allowed, but no template has been chosen.")
    return t(f"已选 {number} 个模板。", f"{number} templates.")


def _code(client: PlatformClient) -> str:
    api.create_qrcode(client, "checkup", expire_seconds=60)
    return t("可以生成带参数的二维码，推广码能用。", "Codes of promoters can be made.")


QUESTIONS: Final = (
    Question(Both("访问凭证", "Access token"), _token),
    Question(Both("微信服务器地址", "WeChat's addresses"), _addresses),
    Question(Both("自定义菜单", "Menu"), _menu),
    Question(Both("模板消息", "Template messages"), _templates),
    Question(Both("带参数二维码", "Parametric codes"), _code),
)


@page("/checkup", allow=Permission.SETTINGS_READ)
def checkup(visit: Visit) -> Answer:
    """What will be asked; nothing is called before somebody says so."""
    return _checked(visit, [])


@page("/checkup/run", allow=Permission.SETTINGS_READ, methods=("POST",))
def checkup_run(visit: Visit) -> Answer:
    """Ask WeChat now. Each failure says what it means and what to do; after the token's nothing more is asked."""
    return _checked(visit, _ask_all(visit))


def _checked(visit: Visit, findings: Sequence[Finding]) -> str:
    addresses = [one.address for one in findings if one.address]
    return render_template(
        "console/checkup.html", findings=findings, addresses=addresses, questions=QUESTIONS, verified=_verified(visit),
        where=WHERE, asked=visit.now if findings else None,
    )  # fmt: skip


def _ask_all(visit: Visit) -> list[Finding]:
    # A client of its own: the shared one remembers a failure for a while, and would not notice a changed secret as
    # long as its token lives.
    hosts = visit.context.settings.wechat
    client = PlatformClient(
        visit.account.app_id, lambda: visit.account.app_secret, api_base=hosts.api_base, mp_base=hosts.mp_base,
        open_base=hosts.open_base, clock=visit.context.clock.now,
    )  # fmt: skip
    findings: list[Finding] = []
    for question in QUESTIONS:
        if findings and findings[0].ok is False:
            skipped = t("先解决上面的问题。", "Solve what is above first.")
            findings.append(Finding(question.title, None, skipped))
        else:
            findings.append(_asked(question, client))
    return [*findings, _pay(visit)]


def _asked(question: Question, client: PlatformClient) -> Finding:
    try:
        return Finding(question.title, True, question.ask(client))
    except WeChatError as error:
        return Finding(question.title, False, explained(error), error.errcode, address_in(error))


PAY: Final = Both("微信支付商户号", "WeChat Pay")


def _pay(visit: Visit) -> Finding:
    """Asks for a transfer that does not exist: only a merchant whose keys are right is told so. No money moves."""

    def find(session: Session) -> merchants.OpenMerchant | None:
        return merchants.find(session, visit.context.keyring, visit.account.id)

    try:
        merchant = visit.read(find)
        if merchant is None:
            return Finding(
                PAY,
                None,
                t("还没有填写；用微信打款时才需要。", "Not set; needed to pay by WeChat."),
            )
        number = short_digest(f"checkup {visit.account.app_id}")
        pay.query_transfer(visit.context.till(visit.account, merchant), number)
    except Unreadable:
        words = t(
            "密钥打不开：主密钥与加密时不同。",
            "The keys cannot be opened: the master key is another one.",
        )
        return Finding(PAY, False, words)
    except ValueError:
        return Finding(
            PAY,
            False,
            t("密钥读不出来，请重新填写。", "The keys cannot be read: enter them again."),
        )
    except Retryable:
        return Finding(
            PAY, False, t("连不上微信支付，或签名对不上。", "No answer, or its signature is wrong.")
        )
    except pay.PayRefused as error:
        words = t(f"微信支付拒绝了：{error}", f"WeChat Pay refused: {error}")
        return Finding(PAY, False, words)
    return Finding(PAY, True, t("商户号和密钥都对。", "Number and keys are right."))
