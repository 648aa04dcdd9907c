"""The menu that a new account gets. Its keys are commands of the chat (bot/commands.py), as if they had been typed."""

from __future__ import annotations

from typing import Any


def _click(name: str) -> dict[str, Any]:
    return {"type": "click", "name": name, "key": name}


def default_menu() -> list[dict[str, Any]]:
    """The buttons of https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu"""
    mine = [_click(name) for name in ("我的团队", "我的收益", "我的海报", "明细", "为什么")]
    return [{"name": "我的", "sub_button": mine}, _click("帮助")]
