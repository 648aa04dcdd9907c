"""What members did, in words: the journey of one, and bindings that were refused."""

from __future__ import annotations

from typing import Final

from domain import events
from domain.models import Event
from web.console.both import Both
from web.console.cells import Badge

EVENTS: Final = {
    events.FOLLOW: (Both("关注", "Followed"), "success"),
    events.LEAVE: (Both("取消关注", "Left"), "secondary"),
    events.SCAN: (Both("扫码", "Scanned"), "info"),
    events.CLICK: (Both("点菜单", "Menu"), "secondary"),
    events.VIEW: (Both("打开页面", "Viewed"), "secondary"),
    events.TEXT: (Both("发消息", "Wrote"), "secondary"),
    events.BUY: (Both("购买", "Bought"), "success"),
    events.BIND_REFUSED: (Both("绑定被拒", "Binding refused"), "warning"),
}

REFUSALS: Final = {
    "self": Both("扫了自己的码", "Their own code"),
    "cycle": Both("对方在自己的团队里", "The other one is in their own team"),
    "unknown_scene": Both("码不存在或已失效", "Unknown or expired code"),
    "suspended": Both("推广员已停用", "The promoter is suspended"),
    "bound_already": Both("已经有推荐人", "They have a referrer already"),
    "existing_follower": Both("扫码前已关注", "They followed before"),
    "team_too_large": Both("团队太大，需要后台处理", "Their team is too large: staff must do it"),
    "snapshot": Both("快照页访客", "A snapshot visitor"),
}


def badge_of(event: Event) -> Badge:
    """What happened."""
    words, tone = EVENTS.get(event.kind, (event.kind, "secondary"))
    return Badge(words, tone)


def detail_of(event: Event) -> str | None:
    """More about it: why a binding was refused, the code, the order number."""
    if event.kind == events.BIND_REFUSED and event.detail is not None:
        return str(REFUSALS.get(event.detail.split(":")[0], event.detail))
    return event.detail
