"""文案: our texts in the merchant's own words, by language: beside the default, with the placeholders checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import texts
from domain.bodies import TextBody
from domain.errors import DomainError, Invalid
from domain.staff.permissions import Permission
from domain.texts import LANGUAGES, PLACEHOLDERS, TEXTS, Words
from domain.wordings import change
from web.console import reply_form
from web.console.both import Both
from web.console.navigation import MESSAGES, Menu
from web.console.reply_form import Line, Phone
from web.console.reply_words import why
from web.console.visit import Answer, Visit, page
from web.pages import t

GROUPS: Final = {
    "follow": (
        Both("关注和扫码", "Following and codes"),
        ("follow", "scan", "refused", "invite", "product", "reply"),
    ),
    "chat": (
        Both("帮助和没对上的话", "Help, and what fits nothing"),
        ("help", "fallback", "busy", "inbox", "language", "nickname", "mute"),
    ),
    "team": (Both("团队和排行", "Team and rankings"), ("team", "ranking", "friends", "level", "grade")),
    "earnings": (
        Both("收益和为什么", "Earnings and why"),
        ("earnings", "commissions", "why", "nobody", "state", "date", "list", "card"),
    ),
    "withdraw": (
        Both("提现", "Withdrawals"),
        ("withdraw", "withdrawals", "withdrawal", "failure", "real_name"),
    ),
    "promoter": (Both("推广员和海报", "Promoters and posters"), ("promoter", "poster")),
    "dispute": (Both("复核和申诉", "Reviews and disputes"), ("risk", "dispute")),
    "notice": (Both("通知", "Notices"), ("notice", "title", "status", "friend")),
    "h5": (Both("手机网页", "Phone pages"), ("h5",)),
}  # fmt: skip
"""By group: its name, and the beginnings of its texts' keys."""
NOT_THEIRS: Final = frozenset({"wechat", "menu", "warning"})
"""Texts for staff."""
SAMPLES: Final = {
    "account": "榕树茶铺", "amount": "12.80", "answer": "已核实", "available": "86.40", "base": "128.00",
    "code": "ABC1234", "contact": "客服微信 banyan", "count": "3", "date": "2026-06-01", "friend": "小明",
    "friends": "小明、小红", "level": "一级", "n": "1", "name": "小明", "net": "12.80", "order_no": "A1024",
    "paid": "128.00", "people": "12", "price": "128.00", "product": "明前龙井", "rate": "10%", "reason": "资料不全",
    "referrer": "小红", "sku": "T-1", "text": "……", "until": "2026-06-08", "at": "2026-06-01 09:30",
}  # fmt: skip
"""What placeholders are filled with in previews; others show their name."""


def group_of(key: str) -> str:
    """The group of a text; "" for one that is not the merchant's."""
    first = key.partition(".")[0]
    return next((name for name, (_, firsts) in GROUPS.items() if first in firsts), "")


def _lang(visit: Visit) -> str:
    """The language that the address asks for, else the account's."""
    given = request.args.get("lang", "")
    return given if given in LANGUAGES else visit.account.settings.language


@dataclass(frozen=True)
class Row:
    """One text in the list: the default, and the merchant's own, `broken` where it cannot be used any more."""

    key: str
    default: str
    own: str
    broken: bool


def _rows(session: Session, visit: Visit, lang: str) -> list[Row]:
    own = texts.stored(session, visit.account.id, lang)
    default = Words(lang=lang)
    return [
        Row(
            key,
            default.template(key),
            own.get(key, ""),
            key in own and not texts.is_usable(key, own[key]),
        )
        for key in TEXTS
        if group_of(key)
    ]


@page("/texts", allow=Permission.CHAT_READ, menu=Menu(MESSAGES, Both("文案", "Texts"), "fonts", 24))
def wordings(visit: Visit) -> Answer:
    """Every text that the merchant may change, by group and language."""
    lang, wanted = _lang(visit), request.args.get("group", "follow")
    words = " ".join(request.args.get("q", "").split())[:100]
    rows = visit.read(lambda session: _rows(session, visit, lang))
    changed = [row for row in rows if row.own]
    if words:
        shown = [
            one
            for one in rows
            if words.casefold() in f"{one.key} {one.default} {one.own}".casefold()
        ]
    elif wanted == "changed":
        shown = changed
    else:
        shown = [row for row in rows if group_of(row.key) == wanted]
    return render_template(
        "console/wordings.html", rows=shown, groups=GROUPS, group="" if words else wanted, chosen=lang, words=words,
        languages=reply_form.LANGUAGES, changed=len(changed),
    )  # fmt: skip


# --- one text -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How a text reads, and why it cannot be kept as it is written."""

    phone: Phone
    refused: str
    missing: Sequence[str]


def look_of(visit: Visit, key: str, body: str, lang: str) -> Look:
    """The text as it is written, else the default, with placeholders filled."""
    template, refused, missing = body.strip() or Words(lang=lang).template(key), "", []
    try:
        texts.check_override(key, template)
        missing = texts.missing(key, template)
    except Invalid as error:
        refused = why(error)
    shown = template if refused else template.format_map(_values(visit, key))
    return Look(Phone(visit.account.name, "", "", [Line(TextBody(shown))]), refused, missing)


def _values(visit: Visit, key: str) -> dict[str, str]:
    samples = {**SAMPLES, "account": visit.account.name}
    return {name: samples.get(name, f"〔{name}〕") for name in PLACEHOLDERS[key]}


@page("/texts/edit", allow=Permission.CHAT_READ)
def wording(visit: Visit) -> Answer:
    """One text in one language: the default beside the merchant's own. `?key=&lang=`."""
    key = request.args.get("key", "")
    if not group_of(key) or key not in TEXTS:
        return redirect(visit.url("wordings"))
    lang = _lang(visit)
    own = visit.read(lambda session: texts.stored(session, visit.account.id, lang)).get(key, "")
    return _form(visit, key, lang, own, own)


def _form(visit: Visit, key: str, lang: str, own: str, body: str) -> str:
    defaults = {name: Words(lang=name).template(key) for name in LANGUAGES}
    return render_template(
        "console/wording.html", key=key, chosen=lang, languages=reply_form.LANGUAGES, defaults=defaults, own=own,
        body=body, names=sorted(PLACEHOLDERS[key]), samples=_values(visit, key), most=texts.MAX_LENGTH,
        look=look_of(visit, key, body, lang), group=group_of(key), groups=GROUPS,
    )  # fmt: skip


def _asked(visit: Visit) -> tuple[str, str, str] | None:
    """Key, language and wording of the form; None when there is no such text."""
    key, lang = request.form.get("key", ""), request.form.get("lang", "")
    if not group_of(key) or key not in TEXTS or lang not in LANGUAGES:
        return None
    return key, lang, request.form.get("body", "").replace("\r\n", "\n").strip()


@page("/texts/look", allow=Permission.CHAT_CHANGE, methods=("POST",))
def wording_look(visit: Visit) -> Answer:
    """The text as it is written just now; nothing is kept."""
    asked = _asked(visit)
    if asked is None:
        return redirect(visit.url("wordings"))
    key, lang, body = asked
    return render_template("console/wording_look.html", look=look_of(visit, key, body, lang))


@page("/texts/save", allow=Permission.CHAT_CHANGE, methods=("POST",))
def wording_save(visit: Visit) -> Answer:
    """Use this wording from now on."""
    asked = _asked(visit)
    if asked is None:
        return redirect(visit.url("wordings"))
    key, lang, body = asked
    try:
        texts.check_override(key, body)
        left_out = texts.missing(key, body)
        if left_out and "without" not in request.form:
            raise Invalid("placeholders are missing", key=key, missing=left_out)
        visit.transact(lambda session: _set(session, visit, key, lang, body))
    except DomainError as error:
        flash(_why(error), "danger")
        return _form(visit, key, lang, request.form.get("was", ""), body)
    flash(t("已保存，几秒钟后生效。", "Saved; it works within seconds."), "success")
    return redirect(visit.url("wording", key=key, lang=lang))


def _why(error: DomainError) -> str:
    if "missing" not in error.details:
        return why(error)
    names = "、".join(f"{{{name}}}" for name in error.details["missing"])
    return t(
        f"少了 {names}：粉丝会看不到它。请补上；是有意不写，就勾选下面的确认。",
        f"{names} is missing: people would not see it. Add it, or confirm below that it is meant.",
    )


def _set(session: Session, visit: Visit, key: str, lang: str, body: str | None) -> None:
    was = request.form.get("was", "").replace("\r\n", "\n")
    change(session, visit.account.id, lang, key, body, was=was, actor=visit.actor, now=visit.now)


@page("/texts/reset", allow=Permission.CHAT_CHANGE, methods=("POST",))
def wording_reset(visit: Visit) -> Response:
    """Back to our own wording."""
    asked = _asked(visit)
    if asked is None:
        return redirect(visit.url("wordings"))
    key, lang, _ = asked
    done = t("已换回默认的文案。", "The default is used again.")
    back = visit.url("wording", key=key, lang=lang)
    return visit.change(lambda session: _set(session, visit, key, lang, None), done=done, back=back)
