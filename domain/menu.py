"""The menu that a new account gets. Its keys are commands of the chat (bot/commands.py), as if they had been typed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

COMMAND_WORDS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "我的团队": False, "团队": False, "我的收益": False, "收益": False, "余额": False, "明细": False,
        "为什么": True,
        "提现进度": False, "进度": False, "提现": True, "实名": True, "排行": True, "我的海报": False, "海报": False,
        "商品海报": True, "邀请码": True,
        "昵称": True, "申请推广": True, "我要推广": False, "申诉": True, "退订": False, "td": False, "订阅": False,
        "帮助": False, "help": False, "?": False, "？": False, "菜单": False,
    }
)  # fmt: skip
"""Every word that the chat answers as a command, and whether it takes an argument. bot/commands.py is the truth, and a
test compares; the console, which knows no bot, reads this."""


def _click(name: str) -> dict[str, Any]:
    return {"type": "click", "name": name, "key": name}


def default_menu() -> list[dict[str, Any]]:
    """The buttons of https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu"""
    mine = [_click(name) for name in ("我的团队", "我的收益", "我的海报", "明细", "为什么")]
    money = [_click(name) for name in ("提现", "提现进度")]
    return [
        {"name": "我的", "sub_button": mine},
        {"name": "提现", "sub_button": money},
        _click("帮助"),
    ]
