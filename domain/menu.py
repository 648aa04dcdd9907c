"""The menu that a new account gets. Its keys are commands of the chat (bot/commands.py), as if they had been typed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

COMMAND_WORDS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "我的团队": False, "团队": False, "我的團隊": False, "團隊": False, "my team": False, "team": False,
        "我的收益": False, "收益": False, "余额": False, "餘額": False, "my earnings": False,
        "earnings": False, "balance": False, "明细": False, "明細": False, "details": False,
        "commissions": False, "为什么": True, "為什麼": True, "why": True, "提现进度": False, "进度": False,
        "提現進度": False, "進度": False, "progress": False, "提现": True, "提現": True, "提領": True,
        "withdraw": True, "实名": True, "實名": True, "real name": True, "排行": True, "ranking": True,
        "我的海报": False, "海报": False, "我的海報": False, "海報": False, "my poster": False,
        "poster": False, "商品海报": True, "商品海報": True, "product poster": True, "邀请码": True,
        "邀請碼": True, "invitation": True, "invite code": True, "昵称": True, "暱稱": True, "nickname": True,
        "申请推广": True, "我要推广": True, "申請推廣": True, "我要推廣": True, "apply": True, "申诉": True,
        "申訴": True, "dispute": True, "退订": True, "td": True, "退訂": True, "unsubscribe": True,
        "订阅": True, "訂閱": True, "subscribe": True, "语言": True, "語言": True, "language": True,
        "帮助": False, "help": False, "?": False, "？": False, "菜单": False, "幫助": False, "說明": False,
        "選單": False, "menu": False,
    }
)  # fmt: skip
"""Every word that the chat answers as a command, and whether it takes an argument. bot/commands.py is the truth, and a
test compares; the console, which knows no bot, reads this."""


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
