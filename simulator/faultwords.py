"""What each fault is called on the page of phones, and how it is set there."""

from dataclasses import fields
from typing import Any

from simulator.faults import CHOICES, Faults

API, PUSH, PAY, ALL = "接口", "推送", "微信支付", "通用"

# name -> (group, what happens, in plain words)
WORDS = {
    "paths": (API, "只对这些路径出故障（留空：全部）"),
    "latency_ms": (API, "每次调用变慢多少毫秒"),
    "http_500_rate": (API, "返回 HTTP 500，什么也没做"),
    "empty_rate": (API, "返回空内容，什么也没做"),
    "busy_rate": (API, "系统繁忙 -1，什么也没做"),
    "html_rate": (API, "返回网页而不是 JSON，什么也没做"),
    "drop_answer_rate": (API, "做完了，但连接断开，应答丢失"),
    "truncate_rate": (API, "做完了，但应答只到一半"),
    "rotate_token_every": (API, "每多少次调用，所有 token 失效一次"),
    "invalid_token_errcode": (API, "无效 token 的错误码"),
    "refused_people": (API, "涉及这些 openid 的调用返回的错误码"),
    "unfollowed_errcode": (API, "给未关注者发模板消息的错误码"),
    "quota": (API, "某路径每天最多调用几次（45009）"),
    "rate_per_minute": (API, "某路径每分钟最多调用几次（45011）"),
    "tagging_conflict_rate": (API, "打标签时与别人冲突（45169）"),
    "last_page_ends": (API, "关注者最后一页的 next_openid 为空"),
    "snapshot_visitors": (API, "网页授权的访客都是快照页虚拟账号"),
    "push_deadline_ms": (PUSH, "等服务器应答多少毫秒"),
    "push_deliveries": (PUSH, "一条推送最多送几次"),
    "push_spacing_ms": (PUSH, "两次之间隔多少毫秒"),
    "push_repeats_refused": (PUSH, "服务器答 4xx、5xx 时也重送"),
    "duplicate_push": (PUSH, "每条推送同时多到几份"),
    "reorder_push": (PUSH, "攒几条推送，再倒着送"),
    "lower_case_events": (PUSH, "事件名全部小写"),
    "omit_empty_event_key": (PUSH, "普通关注不带 EventKey"),
    "finish_status": (PUSH, "模板消息的送达结果"),
    "finish_delay_ms": (PUSH, "送达结果晚到多少毫秒"),
    "finish_lost_rate": (PUSH, "送达结果不来"),
    "subscription_errcode": (PUSH, "订阅通知的送达结果（0 为送达）"),
    "mass_status": (PUSH, "群发的结果"),
    "mass_delay_ms": (PUSH, "群发结果晚到多少毫秒"),
    "publish_status": (PUSH, "发布的结果（0 成功）"),
    "pay_error": (PAY, "每次调用都以此错误码拒绝"),
    "pay_per_second": (PAY, "每秒最多调用几次（FREQUENCY_LIMITED）"),
    "late_error_rate": (PAY, "做完了，但应答 SYSTEM_ERROR"),
    "wrong_signature_rate": (PAY, "做完了，但应答的签名是别人的"),
    "transfer_stops_at": (PAY, "转账停在这个状态"),
    "transfer_lapses_to": (PAY, "转账 24 小时未确认后的状态"),
    "transfer_fails_with": (PAY, "转账确认后失败的原因"),
    "receipt_delay_seconds": (PAY, "电子回单要做多少秒（模拟时间）"),
    "refund_ends_in": (PAY, "退款的结局"),
    "refund_delay_seconds": (PAY, "退款处理多少秒（模拟时间）"),
    "share_delay_seconds": (PAY, "分账处理多少秒（模拟时间）"),
    "share_fails_with": (PAY, "分账失败的原因"),
    "paid_amount_off_fen": (PAY, "查询与通知里的金额多出几分"),
    "notice_first": (PAY, "通知比调用的应答先到"),
    "notice_wrong_signature_rate": (PAY, "通知的签名是别人的"),
    "notice_foreign_serial_rate": (PAY, "通知的公钥 ID 谁也不认识"),
    "notice_copies": (PAY, "每条通知同时多到几份"),
    "notice_delay_seconds": (PAY, "第一次通知晚多少秒（模拟时间）"),
    "notice_lost_rate": (PAY, "通知在路上丢失"),
    "signtest_rate": (PAY, "通知前先来一条探测签名"),
    "times": (ALL, "某个比例只发生几次"),
    "seed": (ALL, "随机种子：同样的种子，同样的故障"),
}


def listing() -> list[dict[str, Any]]:
    """Every fault with its words, in the order of the page."""
    usual = Faults()
    defaults = {each.name: getattr(usual, each.name) for each in fields(Faults)}
    return [
        {
            "name": name,
            "group": group,
            "label": label,
            "kind": _kind(name, defaults[name]),
            "default": defaults[name],
            "choices": CHOICES.get(name),
        }
        for name, (group, label) in WORDS.items()
    ]


def _kind(name: str, default: Any) -> str:
    if name in CHOICES:
        return "choice"
    if name.endswith("_rate"):
        return "rate"
    if isinstance(default, bool):
        return "switch"
    if isinstance(default, int) or name == "seed":
        return "number"
    return "text" if isinstance(default, str) else "json"
