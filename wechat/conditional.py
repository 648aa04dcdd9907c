"""Conditional menus: other buttons for followers who carry a tag or use a kind of phone.

The default menu has to exist first; of several that fit a follower, the one made last is shown; nothing can be edited,
only deleted and made again. 2000 can be made and 2000 deleted a day. Deleting the default menu deletes them all.
https://developers.weixin.qq.com/doc/service/api/custommenu/api_addconditionalmenu
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from wechat.client import PlatformClient
from wechat.errors import Retryable
from wechat.menu import InvalidMenuError, MenuProblem, menu_problems

PLATFORMS: Final[Mapping[str, str]] = MappingProxyType({"ios": "1", "android": "2", "others": "3"})
LINK_DOMAINS: Final = 3
"""Domains that the links of all conditional menus may lead to, together."""

EXPLAINED: Final[Mapping[int, str]] = MappingProxyType(
    {
        40016: "a menu has one to three buttons, and a button one to five below it",
        40017: "a button's type is unknown",
        40018: "a top button's name is empty or longer than 16 bytes",
        40019: "a top button's key is empty or longer than 128 bytes",
        40020: "a top button's address is empty or longer than 1024 bytes",
        40023: "a button has more than five below it, or they have buttons below themselves",
        40024: "the type of a button below another is unknown",
        40025: "the name of a button below another is empty or longer than 60 bytes",
        40026: "the key of a button below another is empty or longer than 128 bytes",
        40027: "the address of a button below another is empty or longer than 1024 bytes",
        40033: "the request holds escaped characters",
        40054: "the address of a button below another is not allowed for this account",
        40055: "a top button's address is not allowed for this account",
        46003: "the account has no menu",
        46004: "there is no such follower",
        65301: "there is no such conditional menu",
        65302: "there is no such follower",
        65303: "conditional menus need a default menu first",
        65304: "the rule is empty: name a tag or a kind of phone",
        65305: "the account has too many conditional menus",
        65306: "the account may not have conditional menus",
        65307: "a conditional menu needs buttons",
        65308: "the links lead to too many domains",
        65309: "conditional menus are off for this account",
        65310: "a follower's province needs a country",
        65311: "a follower's city needs a province",
        65312: "there is no such country",
        65313: "there is no such province",
        65314: "there is no such city",
        65316: f"the links of all conditional menus lead to more than {LINK_DOMAINS} domains",
        65317: "an address is not one",
        65320: "WeChat no longer takes rules by sex, place or language: use a tag",
    }
)


@dataclass(frozen=True, slots=True)
class ConditionalMenu:
    """A conditional menu as WeChat has it; None where the rule says nothing."""

    menu_id: int
    buttons: tuple[Mapping[str, Any], ...]
    tag_id: int | None
    platform: str | None


def rule_of(tag_id: int | None, platform: str | None) -> dict[str, str]:
    """WeChat's matchrule. ValueError for a rule that fits everybody, or a phone that is none."""
    rule = {}
    if tag_id is not None:
        rule["tag_id"] = str(tag_id)
    if platform is not None:
        if platform not in PLATFORMS:
            raise ValueError(f"a platform is one of {', '.join(PLATFORMS)}")
        rule["client_platform_type"] = PLATFORMS[platform]
    if not rule:
        raise ValueError("a conditional menu needs a tag or a platform")
    return rule


def add_conditional_menu(
    client: PlatformClient,
    buttons: Sequence[Mapping[str, Any]],
    *,
    tag_id: int | None = None,
    platform: str | None = None,
) -> int:
    """Make a conditional menu, the last and thereby the first to be looked at; WeChat's number of it.

    InvalidMenuError before anything is sent; Refused: 40016 to 40055, 65303, 65308, 65316, 65320, 45159 (no such tag).
    https://developers.weixin.qq.com/doc/service/api/custommenu/api_addconditionalmenu
    """
    rule = rule_of(tag_id, platform)
    problems = menu_problems(buttons)
    if problems:
        raise InvalidMenuError("; ".join(map(str, problems)), problems=problems)
    path = "/cgi-bin/menu/addconditional"
    answer = client.post(path, data={"button": list(buttons), "matchrule": rule})
    try:
        return int(answer["menuid"])
    except (KeyError, TypeError, ValueError):
        raise Retryable("the answer holds no menuid", path=path) from None


def delete_conditional_menu(client: PlatformClient, menu_id: int) -> None:
    """Remove one conditional menu. Refused: 65301.

    https://developers.weixin.qq.com/doc/service/api/custommenu/api_deleteconditionalmenu
    """
    client.post("/cgi-bin/menu/delconditional", data={"menuid": str(menu_id)})


def menu_seen_by(client: PlatformClient, user_id: str) -> tuple[Mapping[str, Any], ...]:
    """The buttons that one follower sees (`user_id`: openid or WeChat number). 46003, 46004, 65302.

    https://developers.weixin.qq.com/doc/service/api/custommenu/api_trymatchmenu
    """
    path = "/cgi-bin/menu/trymatch"
    answer = client.post(path, data={"user_id": user_id})
    menu = answer.get("menu", answer)
    buttons = menu.get("button") if isinstance(menu, dict) else None
    if not isinstance(buttons, list):
        raise Retryable("the answer holds no menu", path=path)
    return tuple(buttons)


def conditional_of(values: Sequence[Mapping[str, Any]]) -> list[ConditionalMenu]:
    """The conditional menus of a menu/get answer, in the order in which they were made."""
    names = {number: name for name, number in PLATFORMS.items()}
    found = []
    for value in values:
        rule = value.get("matchrule") or {}
        tag = rule.get("tag_id") or rule.get("group_id")
        try:
            found.append(
                ConditionalMenu(
                    int(value["menuid"]),
                    tuple(value.get("button") or ()),
                    int(tag) if tag else None,
                    names.get(str(rule.get("client_platform_type") or "")),
                )
            )
        except (KeyError, TypeError, ValueError):
            raise Retryable(
                "the answer holds something else than menus", path="/cgi-bin/menu/get"
            ) from None
    return sorted(found, key=lambda menu: menu.menu_id)


def domain_problems(menus: Sequence[Sequence[Mapping[str, Any]]]) -> list[MenuProblem]:
    """Whether the links of all conditional menus lead to more domains than WeChat allows."""
    hosts = {
        urlsplit(str(button["url"])).hostname
        for buttons in menus
        for top in buttons
        for button in (top.get("sub_button") or [top])
        if button.get("url")
    }
    too_many = len(hosts) > LINK_DOMAINS
    return [MenuProblem("conditional", "too_many_domains", LINK_DOMAINS)] if too_many else []
