"""The words of the chat's commands: what a follower may type or tap, in every language. bot/commands.py has what each
of them does; the console and `flask` ask here who would answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Spoken:
    """`name` is the keyword and the menu key, `aliases` are other words for it. `argument` matches what may follow any
    of them; its first group is handed on."""

    name: str
    aliases: tuple[str, ...] = ()
    argument: re.Pattern[str] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        return self.name, *self.aliases


_TEXT: Final = r"[\s:：]+"
_PROMOTIONS: Final = re.compile(r"\s*(活动|活動|推广|推廣|promotions?)", re.IGNORECASE)
_AMOUNT: Final = re.compile(r"(\s+.{1,30}|(?:[¥￥]?\s*[0-9０-９.．,，-]|全部).{0,30})")
"""What after 提现 is meant to be an amount; anything else may be one of the merchant's keywords."""

SPOKEN: Final = (
    Spoken("我的团队", ("团队", "我的團隊", "團隊", "my team", "team")),
    Spoken("我的收益", ("收益", "余额", "餘額", "my earnings", "earnings", "balance")),
    Spoken("明细", ("明細", "details", "commissions")),
    Spoken("为什么", ("為什麼", "why"), re.compile(r"\s*([0-9]{1,3})[?？]?")),
    Spoken("提现进度", ("进度", "提現進度", "進度", "progress")),
    Spoken("提现", ("提現", "提領", "withdraw"), _AMOUNT),
    Spoken("实名", ("實名", "real name"), re.compile(r"[\s:：]+(.{1,60})")),
    Spoken("排行", ("ranking",), re.compile(r"\s*([周週月总總]|week|month|all)榜?", re.IGNORECASE)),
    Spoken("我的海报", ("海报", "我的海報", "海報", "my poster", "poster")),
    Spoken("商品海报", ("商品海報", "product poster"), re.compile(r"\s*[:：]?\s*([0-9A-Za-z_.|*-]{1,64})")),
    Spoken("邀请码", ("邀請碼", "invitation", "invite code"), re.compile(r"\s*[:：]?\s*([0-9A-Za-z]{4,16})")),
    Spoken("昵称", ("暱稱", "nickname"), re.compile(_TEXT + "(.{1,200})", re.DOTALL)),
    Spoken(
        "申请推广", ("我要推广", "申請推廣", "我要推廣", "apply"), re.compile(_TEXT + "(.{1,190})", re.DOTALL)
    ),
    Spoken("申诉", ("申訴", "dispute"), re.compile(_TEXT + r"(\S.*)", re.DOTALL)),
    Spoken("退订", ("td", "退訂", "unsubscribe"), _PROMOTIONS),
    Spoken("订阅", ("訂閱", "subscribe"), _PROMOTIONS),
    Spoken("语言", ("語言", "language"), re.compile(r"[\s:：]*(\S{1,20})")),
    Spoken("帮助", ("help", "?", "？", "菜单", "幫助", "說明", "選單", "menu")),
)  # fmt: skip

COMMAND_OF: Final[Mapping[str, str]] = MappingProxyType(
    {word.casefold(): spoken.name for spoken in SPOKEN for word in spoken.words}
)
"""Every word that the chat answers as a command → the command's name."""
_WITH_ARGUMENT: Final = tuple(
    (word.casefold(), spoken.name, spoken.argument)
    for spoken in SPOKEN
    for word in spoken.words
    if spoken.argument is not None
)


def find(said: str) -> tuple[str, str] | None:
    """The command that was said or tapped, by its name, with its argument; None when it is no command."""
    exact = COMMAND_OF.get(said.casefold())
    if exact is not None:
        return exact, ""
    for word, name, argument in _WITH_ARGUMENT:
        if said[: len(word)].casefold() == word:
            match = argument.fullmatch(said, len(word))
            if match is not None:
                return name, match[1]
    return None
