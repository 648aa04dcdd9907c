"""The sidebar: topics in their order, and the pages that `@page(…, menu=Menu(…))` put under them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from domain.staff.permissions import Permission, may
from web.console.both import Both

TODAY: Final = "today"
PEOPLE: Final = "people"
TRADE: Final = "trade"
MONEY: Final = "money"
PROGRAMME: Final = "programme"
MESSAGES: Final = "messages"
CARE: Final = "care"

TOPICS: Final = {
    TODAY: Both("概览", "Overview"),
    PEOPLE: Both("会员", "People"),
    TRADE: Both("商品与订单", "Goods and orders"),
    MONEY: Both("佣金与提现", "Commissions and payouts"),
    PROGRAMME: Both("规则与风控", "Rules and risk"),
    MESSAGES: Both("消息与推广", "Messages and promotion"),
    CARE: Both("运维与设置", "Operation and settings"),
}


@dataclass(frozen=True, slots=True)
class Menu:
    """A place in the sidebar. `icon` is a name of Bootstrap Icons; `order` sorts within the topic."""

    topic: str
    title: Both
    icon: str
    order: int = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the sidebar."""

    menu: Menu
    endpoint: str
    permission: Permission


_ENTRIES: Final[list[Entry]] = []


def remember(menu: Menu, endpoint: str, permission: Permission) -> None:
    """Put a page into the sidebar of those who may see it."""
    _ENTRIES.append(Entry(menu, endpoint, permission))


def sidebar(role: str) -> Iterator[tuple[Both, list[Entry]]]:
    """The topics with the pages that this role may see; a topic without any is left out."""
    for topic, title in TOPICS.items():
        lines = [one for one in _ENTRIES if one.menu.topic == topic and may(role, one.permission)]
        if lines:
            yield title, sorted(lines, key=lambda one: (one.menu.order, one.endpoint))
