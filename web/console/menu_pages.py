"""菜单: edit, look at it on a phone, push it to WeChat, compare, history, and how often each button is tapped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import menus, replies, tags
from domain.china import day_of
from domain.errors import DomainError, Invalid, NotFound
from domain.menus import Difference
from domain.models import MenuVersion
from domain.staff.permissions import Permission
from domain.texts import Words, overrides_of
from web import menus as platform_menus
from web.console import menu_form
from web.console.both import Both
from web.console.navigation import MESSAGES, Menu
from web.console.refusals import explain, said
from web.console.visit import Answer, Visit, page
from web.console.wechat_words import explained
from web.pages import t
from wechat.errors import WeChatError

TAP_DAYS: Final = 7
ROWS: Final = range(1, 6)
COMMANDS_SHOWN: Final = (
    "我的团队",
    "我的收益",
    "我的海报",
    "明细",
    "为什么",
    "提现",
    "提现进度",
    "排行",
    "邀请码",
    "帮助",
)

explain(
    "menu_refused",
    Both(
        "微信不会接受这个菜单，请先改好标出的地方。",
        "WeChat would refuse it: correct what is marked first.",
    ),
)
explain(
    "a conditional menu has a name of 1 to 60 characters",
    Both(
        "个性化菜单要有名称，最多 60 个字。",
        "A conditional menu needs a name, 60 characters at most.",
    ),
)
explain(
    "a conditional menu is for a tag or a platform",
    Both("个性化菜单要选标签或手机。", "A conditional menu is for a tag or a kind of phone."),
)
explain(
    "conditional menus need a default menu",
    Both("有了默认菜单才能有个性化菜单。", "Conditional menus need a default menu."),
)
explain(
    "somebody saved another version meanwhile",
    Both(
        "别人刚刚保存了另一个版本，请打开新版本再改。",
        "Somebody saved another version meanwhile: open it and edit that.",
    ),
)
explain("no such version of the menu", Both("没有这个版本。", "There is no such version."))


def talk(visit: Visit, fn: Callable[[], str], back: str) -> Response:
    """Do something with WeChat; `fn` returns what to say, refusals and WeChat's errors are put into words."""
    try:
        flash(fn(), "success")
    except DomainError as error:
        flash(said(error), "danger")
    except WeChatError as error:
        flash(explained(error), "danger")
    return redirect(back)


@dataclass(frozen=True)
class Shown:
    """A menu on the screen: its document, what is wrong with it, and the version that it was made from."""

    document: dict[str, Any]
    words: menu_form.Words
    after: int

    @property
    def all(self) -> list[dict[str, Any]]:
        """The default menu and the conditional ones, each with the beginning of its paths."""
        first = {
            "name": t("默认菜单", "Default menu"),
            "buttons": self.document["buttons"],
            "prefix": "",
        }
        others = [
            {**one, "prefix": f"conditional[{number}]."}
            for number, one in enumerate(self.document["conditional"])
        ]
        return [first, *others]


@page(
    "/menu",
    allow=Permission.CHAT_READ,
    menu=Menu(MESSAGES, Both("自定义菜单", "Menu"), "menu-button-wide", 20),
)
def menu(visit: Visit) -> Answer:
    """The menu of the newest version, or of the one that `?version=` names."""
    wanted = request.args.get("version", type=int)

    def look(session: Session) -> dict[str, Any]:
        newest = menus.newest(session, visit.account.id)
        row = menus.get(session, visit.account.id, wanted) if wanted else newest
        document = platform_menus.menu_of(visit.context, visit.account, row).as_value()
        return {
            **_around(session, visit), "row": row,
            "shown": _shown(session, visit, document, newest.version if newest else 0),
        }  # fmt: skip

    return render_template("console/menu.html", **visit.read(look))


def _shown(session: Session, visit: Visit, document: dict[str, Any], after: int) -> Shown:
    parsed = menus.parse(document)
    problems = platform_menus.problems(session, visit.account.id, parsed)
    return Shown(parsed.as_value(), menu_form.Words(problems), after)


def _around(session: Session, visit: Visit) -> dict[str, Any]:
    """What stands around the form: what may be chosen, the history, the taps."""
    account_id = visit.account.id
    today = day_of(visit.now)
    taps = menus.taps(session, account_id, today - timedelta(days=TAP_DAYS - 1), today)
    history = menus.history(session, account_id)
    return {
        "types": menu_form.TYPES, "platforms": menu_form.PLATFORMS, "value_of": menu_form.value_of, "sub_rows": ROWS,
        "tags": tags.tags_of(session, account_id), "history": history, "taps": _summed(taps, today),
        "known": menu_form.known_keys(COMMANDS_SHOWN, replies.all_of(session, account_id)),
        "pushed": next((one for one in history if one.pushed_at), None),
    }  # fmt: skip


@dataclass
class KeyTaps:
    """Taps of a key in the last days, oldest first."""

    key: str
    kind: str
    days: list[int]

    @property
    def total(self) -> int:
        return sum(self.days)


def _summed(taps: Sequence[menus.Taps], today: date) -> list[KeyTaps]:
    found: dict[tuple[str, str], KeyTaps] = defaultdict(lambda: KeyTaps("", "", [0] * TAP_DAYS))
    for one in taps:
        row = found[one.kind, one.key]
        row.kind, row.key = one.kind, one.key
        row.days[TAP_DAYS - 1 - (today - one.day).days] += one.taps
    return sorted(found.values(), key=lambda row: -row.total)


@page("/menu/save", allow=Permission.CHAT_CHANGE, methods=("POST",))
def menu_save(visit: Visit) -> Answer:
    """Save the form as the next version; a draft may break WeChat's limits, which are said beside its fields."""
    document = menu_form.document()
    after = request.form.get("after", 0, type=int)

    def save(session: Session) -> MenuVersion:
        return menus.save(
            session, visit.account.id, menus.parse(document), after=after, actor=visit.actor, now=visit.now,
            note=request.form.get("note", "").strip(),
        )  # fmt: skip

    try:
        saved = visit.transact(save)
    except DomainError as error:
        flash(said(error), "danger")
        around = visit.read(lambda session: _around(session, visit))
        shown = Shown(document, menu_form.Words([]), after)
        return render_template("console/menu.html", **around, row=None, shown=shown)
    flash(
        t(
            f"已保存第 {saved.version} 版，还没有推送。",
            f"Version {saved.version} is saved, not pushed yet.",
        ),
        "success",
    )
    return redirect(visit.url("menu"))


@page("/menu/look", allow=Permission.CHAT_CHANGE, methods=("POST",))
def menu_look(visit: Visit) -> Answer:
    """The form as it is written just now on a phone, with its problems; nothing is kept."""
    document = menu_form.document()
    try:
        shown = visit.read(lambda session: _shown(session, visit, document, 0))
        refused = ""
    except DomainError as error:
        shown, refused = Shown(document, menu_form.Words([]), 0), said(error)
    return render_template("console/menu_look.html", shown=shown, refused=refused)


@page("/menu/push", allow=Permission.CHAT_CHANGE, methods=("POST",))
def menu_push(visit: Visit) -> Response:
    """Give WeChat a version: the one that was saved last, or an earlier one."""
    version = request.form.get("version", type=int)

    def push() -> str:
        done = platform_menus.push(visit.context, visit.account, actor=visit.actor, version=version)
        return t(
            f"第 {done.version} 版已推送，手机上几分钟内更新。",
            f"Version {done.version} is pushed; phones show it within minutes.",
        )

    return talk(visit, push, visit.url("menu"))


@page("/menu/fetch", allow=Permission.CHAT_CHANGE, methods=("POST",))
def menu_fetch(visit: Visit) -> Response:
    """Save what WeChat has as the next version, to go on from there."""

    def fetch() -> str:
        newest = visit.read(lambda session: menus.newest(session, visit.account.id))
        ours = platform_menus.menu_of(visit.context, visit.account, newest)
        theirs = platform_menus.fetch(visit.context.platform(visit.account), ours)
        after = newest.version if newest else 0
        note = t("取自微信", "from WeChat")
        saved = visit.transact(
            lambda session: menus.save(
                session, visit.account.id, theirs, after=after, actor=visit.actor, now=visit.now, note=note
            )
        )  # fmt: skip
        return t(
            f"微信上的菜单已存为第 {saved.version} 版。",
            f"WeChat's menu is version {saved.version} now.",
        )

    return talk(visit, fetch, visit.url("menu"))


@page("/menu/compare", allow=Permission.CHAT_READ)
def menu_compare(visit: Visit) -> Answer:
    """What differs between the version saved last and what WeChat has."""
    differences: list[Difference] = []
    failed = ""
    try:
        differences = platform_menus.compare(visit.context, visit.account)
    except WeChatError as error:
        failed = explained(error)
    words = visit.read(lambda session: Words(overrides_of(session, visit.account.id)))
    return render_template(
        "console/menu_compare.html", failed=failed, differences=[one.text(words) for one in differences]
    )  # fmt: skip


@page("/menu/back", allow=Permission.CHAT_CHANGE, methods=("POST",))
def menu_back(visit: Visit) -> Response:
    """Make the next version of an earlier one."""
    version = request.form.get("version", 0, type=int)

    def back(session: Session) -> None:
        try:
            old = menus.get(session, visit.account.id, version)
        except NotFound as error:
            raise Invalid(error.message) from error
        newest = menus.newest(session, visit.account.id)
        note = t(f"回到第 {version} 版", f"back to version {version}")
        menus.save(
            session, visit.account.id, menus.menu_of(old), after=newest.version if newest else 0, actor=visit.actor,
            now=visit.now, note=note,
        )  # fmt: skip

    done = t("已作为新版本保存，还没有推送。", "Saved as a new version, not pushed yet.")
    return visit.change(back, done=done, back=visit.url("menu"))
