"""The menu that a new account gets. Its keys are commands of the chat (bot/commands.py), as if they had been typed."""

from __future__ import annotations

from typing import Any


def _click(name: str) -> dict[str, Any]:
    return {"type": "click", "name": name, "key": name}


def _view(name: str, url: str) -> dict[str, Any]:
    return {"type": "view", "name": name, "url": url}


def default_menu(pages: str = "") -> list[dict[str, Any]]:
    """The buttons of https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu

    `pages` is where the account's pages are ("https://…/m/<slug>"): then some buttons open them. The commands work all
    the same when they are typed, and what answers in the chat best (the poster) stays there.
    """
    mine = [_click(name) for name in ("我的团队", "我的收益", "我的海报", "明细", "为什么")]
    money = [_click(name) for name in ("提现", "提现进度")]
    if pages:
        mine = [_view("我的主页", f"{pages}/"), *(one for one in mine if one["name"] != "明细")]
        money = [
            _view("申请提现", f"{pages}/withdraw"),
            *money[1:],
            _view("收支明细", f"{pages}/statement"),
        ]
    return [
        {"name": "我的", "sub_button": mine},
        {"name": "提现", "sub_button": money},
        _click("帮助"),
    ]
