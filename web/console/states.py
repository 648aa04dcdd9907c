"""States in words with a tone, for badges in lists and on pages: `state("commission", "frozen")`."""

from __future__ import annotations

from typing import Final

from web.console.both import Both
from web.console.cells import Badge

STATES: Final[dict[str, dict[str, tuple[str, str, str]]]] = {
    "member": {
        "active": ("正常", "Active", "success"),
        "suspended": ("已停用", "Suspended", "danger"),
    },
    "following": {
        "yes": ("已关注", "Following", "success"),
        "no": ("未关注", "Not following", "secondary"),
    },
    "promoter": {
        "": ("未申请", "Not asked", "secondary"),
        "applied": ("申请中", "Applied", "warning"),
        "approved": ("推广员", "Promoter", "success"),
        "rejected": ("已拒绝", "Rejected", "danger"),
    },
    "order": {
        "unpaid": ("待付款", "Unpaid", "secondary"),
        "paid": ("已付款", "Paid", "info"),
        "completed": ("已完成", "Completed", "success"),
        "closed": ("已关闭", "Closed", "secondary"),
    },
    "commission": {
        "frozen": ("冻结中", "Frozen", "info"),
        "held": ("待审核", "On hold", "warning"),
        "settled": ("已结算", "Settled", "success"),
        "voided": ("已失效", "Void", "secondary"),
        "clawed_back": ("已追回", "Clawed back", "danger"),
    },
    "withdrawal": {
        "requested": ("待审核", "Requested", "warning"),
        "approved": ("待打款", "Approved", "info"),
        "paying": ("打款中", "Paying", "info"),
        "paid": ("已打款", "Paid", "success"),
        "failed": ("打款失败", "Failed", "danger"),
        "rejected": ("已驳回", "Rejected", "secondary"),
    },
    "outbox": {
        "pending": ("待发送", "Pending", "info"),
        "claimed": ("发送中", "Sending", "info"),
        "done": ("已发送", "Sent", "success"),
        "dead": ("发送失败", "Failed", "danger"),
        "unsure": ("结果未知", "Unknown", "warning"),
    },
    "task": {
        "waiting": ("排队中", "Waiting", "info"),
        "running": ("进行中", "Running", "info"),
        "done": ("已完成", "Done", "success"),
        "failed": ("失败", "Failed", "danger"),
    },
    "signal": {
        "open": ("待处理", "Open", "warning"),
        "released": ("已放行", "Released", "success"),
        "confirmed": ("已确认", "Confirmed", "danger"),
        "lapsed": ("已过期", "Lapsed", "secondary"),
    },
}


def state(noun: str, value: str) -> Badge:
    """The badge of a state; a state that we have no words for shows itself."""
    chinese, english, tone = STATES[noun].get(value, (value, value, "secondary"))
    return Badge(Both(chinese, english), tone)


def choices(noun: str) -> list[tuple[str, Both]]:
    """The states of a noun, for a filter."""
    return [
        (value, Both(chinese, english)) for value, (chinese, english, _) in STATES[noun].items()
    ]
