"""The menu under the chat, checked against the platform's limits.

https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Creating_Custom-Defined_Menu.html
"""

import re
from typing import Any
from urllib.parse import urlsplit

from simulator.errors import ApiError
from simulator.platform.gate import OK, ApiCall, Endpoints

endpoints = Endpoints()

TOP_BUTTONS, SUB_BUTTONS = 3, 5
TOP_NAME_BYTES, SUB_NAME_BYTES = 16, 60
KEY_BYTES, URL_BYTES = 128, 1024
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
    buttons = call.body.get("button")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= TOP_BUTTONS:
        raise ApiError(40016)
    call.account.menu = {"button": [_top(button) for button in buttons]}
    call.account.menu_id = call.world.next_msgid()
    return OK


@endpoints.add("GET", "/cgi-bin/menu/get", per_day=10_000)
def get(call: ApiCall) -> dict[str, Any]:
    """The menu as it was created; 46003 when there is none."""
    if call.account.menu is None:
        raise ApiError(46003)
    return {"menu": call.account.menu}


@endpoints.add("GET", "/cgi-bin/menu/delete", per_day=1000)
def delete(call: ApiCall) -> dict[str, Any]:
    """Take the menu away."""
    call.account.menu = None
    return OK


@endpoints.add("GET", "/cgi-bin/get_current_selfmenu_info", per_day=10_000)
def current(call: ApiCall) -> dict[str, Any]:
    """The menu as the console shows it: sub buttons are wrapped in a list of their own."""
    if call.account.menu is None:
        return {"is_menu_open": 0}
    buttons = [_wrapped(button) for button in call.account.menu["button"]]
    return {"is_menu_open": 1, "selfmenu_info": {"button": buttons}}


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
