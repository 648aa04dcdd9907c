"""Risk signals in few words for queues, and their evidence in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from markupsafe import Markup

from domain.sheets import text
from web.console.both import Both
from web.console.cells import Kind

SHORT: Final = {
    "churn": Both("关注后流失多", "Friends left again"),
    "velocity": Both("短时间大量关注", "Many within seconds"),
    "shared_payer": Both("同一人付款", "One payer"),
    "shared_phone": Both("同一收货电话", "One phone"),
    "shared_address": Both("同一收货地址", "One address"),
    "self_paid": Both("替朋友付款", "Pays friends' orders"),
    "ring": Both("互相邀请并购买", "A ring of buyers"),
    "refunds": Both("退款偏多", "Many refunds"),
    "same_phone": Both("提现电话相同", "One phone, several members"),
    "same_name": Both("提现姓名相同", "One name, several members"),
    "chain_people": Both("推荐链人数多", "A long chain"),
}
"""Kind of a signal → a few words."""


def short(kind: str) -> Both:
    """A few words for a signal."""
    return SHORT.get(kind) or Both(kind, kind)


def _badges(kinds: list[str]) -> Markup:
    if not kinds:
        return Markup('<span class="nothing">–</span>')
    badge = Markup('<span class="badge state state-danger">{}</span>')
    return Markup(" ").join(badge.format(short(one)) for one in kinds)


SIGNALS: Final = Kind(_badges, lambda kinds: text(" ".join(str(short(one)) for one in kinds)))
"""A column of open signals, by kind."""

_FIGURES: Final[Mapping[str, Both]] = {
    "left": Both("又取消关注的人", "People who left again"),
    "came": Both("同期关注的人", "People who came"),
    "people": Both("人数", "People"),
    "seconds": Both("在多少秒内", "Within seconds"),
    "from": Both("从", "From"),
    "orders": Both("订单数", "Orders"),
    "refunded": Both("退款订单数", "Refunded orders"),
    "value": Both("相同的值（加密比对）", "The value they share (compared encrypted)"),
    "last_order": Both("最近一笔订单", "The last order"),
    "members": Both("相关会员", "Members"),
    "held_members": Both("暂缓谁的佣金", "Whose commissions wait"),
}


def title_of(key: str) -> str:
    """The title of a piece of evidence; its own name where we have none."""
    return str(_FIGURES.get(key) or key)


MEMBERS_IN: Final = ("members", "held_members")
"""Pieces of evidence that are lists of member ids."""


def members_in(evidence: Mapping[str, Any]) -> set[int]:
    """Every member whom the evidence names."""
    return {int(one) for key in MEMBERS_IN for one in evidence.get(key, ()) if isinstance(one, int)}
