"""The menu under the chat, checked against the platform's limits.

https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Creating_Custom-Defined_Menu.html
"""

import re
from typing import Any
from urllib.parse import urlsplit

from simulator import menus
from simulator.errors import ApiError
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.state import Contact

endpoints = Endpoints()

TOP_BUTTONS, SUB_BUTTONS = 3, 5
TOP_NAME_BYTES, SUB_NAME_BYTES = 16, 60
KEY_BYTES, URL_BYTES = 128, 1024
LINK_DOMAINS = 3  # of all conditional menus together
_PRIVATE = {"sex", "country", "province", "city", "language"}
_ESCAPED = re.compile(rb"\\u[0-9a-fA-F]{4}")
_NEEDED = {
    "click": ("key",),
    "view": ("url",),
    "miniprogram": ("url", "appid", "pagepath"),
    "scancode_push": ("key",),
    "scancode_waitmsg": ("key",),
    "pic_sysphoto": ("key",),
    "pic_photo_or_album": ("key",),
    "pic_weixin": ("key",),
    "location_select": ("key",),
    "media_id": ("media_id",),
    "article_id": ("article_id",),
    "article_view_limited": ("article_id",),
}
# What is wrong -> (errcode for a top button, errcode for a sub button).
_TYPE, _NAME, _KEY, _URL, _DOMAIN = (
    (40017, 40024),
    (40018, 40025),
    (40019, 40026),
    (40020, 40027),
    (40055, 40054),
)


@endpoints.add("POST", "/cgi-bin/menu/create", per_day=1000)
def create(call: ApiCall) -> dict[str, Any]:
    """Replace the menu; the platform refuses escaped characters in it."""
    if _ESCAPED.search(call.raw):
        raise ApiError(40033)
    call.account.menu = {"button": _buttons(call)}
    call.account.menu_id = call.world.next_msgid()
    return OK


@endpoints.add("GET", "/cgi-bin/menu/get", per_day=10_000)
def get(call: ApiCall) -> dict[str, Any]:
    """The menus as they were created; 46003 when there is none."""
    account = call.account
    if account.menu is None:
        raise ApiError(46003)
    if not account.conditional_menus:
        return {"menu": account.menu}
    return {
        "menu": account.menu | {"menuid": account.menu_id},
        "conditionalmenu": account.conditional_menus[::-1],
    }


@endpoints.add("GET", "/cgi-bin/menu/delete", per_day=1000)
def delete(call: ApiCall) -> dict[str, Any]:
    """Take the menu away, and all conditional menus with it."""
    with call.world.lock:
        call.account.menu = None
        call.account.conditional_menus.clear()
    return OK


@endpoints.add("POST", "/cgi-bin/menu/addconditional", per_day=2000)
def add_conditional(call: ApiCall) -> dict[str, Any]:
    """A menu for whoever a rule fits; the newest that fits is shown."""
    if _ESCAPED.search(call.raw):
        raise ApiError(40033)
    if call.account.menu is None:
        raise ApiError(65303)
    if not call.body.get("button"):
        raise ApiError(65307)
    menu = {"button": _buttons(call), "matchrule": _rule(call), "menuid": call.world.next_msgid()}
    with call.world.lock:
        if len(_domains([*call.account.conditional_menus, menu])) > LINK_DOMAINS:
            raise ApiError(65316)
        call.account.conditional_menus.append(menu)
    return {"menuid": str(menu["menuid"])}


@endpoints.add("POST", "/cgi-bin/menu/delconditional", per_day=2000)
def delete_conditional(call: ApiCall) -> dict[str, Any]:
    """Take one conditional menu away."""
    wanted, menus_now = str(call.body.get("menuid")), call.account.conditional_menus
    with call.world.lock:
        found = [each for each in menus_now if str(each["menuid"]) == wanted]
        if not found:
            raise ApiError(65301)
        menus_now.remove(found[0])
    return OK


@endpoints.add("POST", "/cgi-bin/menu/trymatch", per_day=20_000)
def try_match(call: ApiCall) -> dict[str, Any]:
    """The buttons that a person sees, found by openid or by the name of their phone's owner."""
    wanted, account = str(call.body.get("user_id")), call.account
    contact = account.contacts.get(wanted) or next(
        (each for each in account.contacts.values() if _is_called(call, each, wanted)), None
    )
    if contact is None:
        raise ApiError(65302)
    seen = menus.seen_by(account, call.world.state.users[contact.user_id], contact)
    if seen is None:
        raise ApiError(46003)
    return {"button": seen["button"]}


@endpoints.add("GET", "/cgi-bin/get_current_selfmenu_info", per_day=10_000)
def current(call: ApiCall) -> dict[str, Any]:
    """The menu as the console shows it: sub buttons are wrapped in a list of their own."""
    if call.account.menu is None:
        return {"is_menu_open": 0}
    buttons = [_wrapped(button) for button in call.account.menu["button"]]
    return {"is_menu_open": 1, "selfmenu_info": {"button": buttons}}


def _buttons(call: ApiCall) -> list[dict[str, Any]]:
    buttons = call.body.get("button")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= TOP_BUTTONS:
        raise ApiError(40016)
    return [_top(button) for button in buttons]


def _rule(call: ApiCall) -> dict[str, str]:
    """By tag and by kind of phone; what is private about a person cannot be asked for any more."""
    given = call.body.get("matchrule")
    if not isinstance(given, dict):
        raise ApiError(65304)
    stated = {name: str(value) for name, value in given.items() if value not in ("", None)}
    if _PRIVATE & set(stated):
        raise ApiError(65320)
    rule = {name: stated[name] for name in ("tag_id", "client_platform_type") if name in stated}
    if not rule:
        raise ApiError(65304)
    if "tag_id" in rule and rule["tag_id"] not in call.account.tags:
        raise ApiError(45159)
    if rule.get("client_platform_type", "1") not in ("1", "2", "3"):
        raise ApiError(40035, "client_platform_type")
    return rule


def _domains(of: list[dict[str, Any]]) -> set[str]:
    """The hosts that these menus lead to."""
    leaves = [
        leaf for menu in of for top in menu["button"] for leaf in (top.get("sub_button") or [top])
    ]
    return {urlsplit(leaf["url"]).netloc for leaf in leaves if "url" in leaf}


def _is_called(call: ApiCall, contact: Contact, name: str) -> bool:
    return call.world.state.users[contact.user_id].name == name


def _wrapped(button: dict[str, Any]) -> dict[str, Any]:
    if not button.get("sub_button"):
        return {name: value for name, value in button.items() if name != "sub_button"}
    return {"name": button["name"], "sub_button": {"list": button["sub_button"]}}


def _top(button: Any) -> dict[str, Any]:
    if not isinstance(button, dict):
        raise ApiError(40016)
    _check_size(button.get("name"), TOP_NAME_BYTES, _NAME[0])
    inner = button.get("sub_button") or []
    if not inner:
        return _leaf(button, 0) | {"sub_button": []}
    if not isinstance(inner, list) or len(inner) > SUB_BUTTONS:
        raise ApiError(40023)
    return {"name": button["name"], "sub_button": [_sub(each) for each in inner]}


def _sub(button: Any) -> dict[str, Any]:
    if not isinstance(button, dict) or button.get("sub_button"):
        raise ApiError(40023)
    _check_size(button.get("name"), SUB_NAME_BYTES, _NAME[1])
    return _leaf(button, 1) | {"sub_button": []}


def _leaf(button: dict[str, Any], level: int) -> dict[str, Any]:
    kind = button.get("type")
    if kind not in _NEEDED:
        raise ApiError(_TYPE[level])
    for name in _NEEDED[kind]:
        if name == "url":
            _check_url(button.get(name), level)
        else:
            _check_size(button.get(name), KEY_BYTES, _KEY[level])
    return {name: button[name] for name in ("type", "name", *_NEEDED[kind])}


def _check_url(url: object, level: int) -> None:
    _check_size(url, URL_BYTES, _URL[level])
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ApiError(_DOMAIN[level])


def _check_size(value: object, limit: int, errcode: int) -> None:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= limit:
        raise ApiError(errcode)
