"""What a template card says: from the params of a notice to words, and from words to the keywords of a template. Pure.

WeChat's templates name their keywords by kind (`thing1`, `amount2`, `time3`) and label them in Chinese, and every
account has others. Unless the merchant has said which keyword shows what, the label and then the kind decide.

https://developers.weixin.qq.com/doc/service/guide/product/template_message/Template_Message_Operation_Specifications.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from domain import notices
from domain.money import yuan
from domain.texts import TEXTS

_BEIJING: Final = timezone(timedelta(hours=8))
_LEVELS: Final = {1: "一级好友", 2: "二级好友", 3: "三级好友"}
_DISPUTES: Final = {"upheld": "已通过", "rejected": "未通过"}
_OCCASIONS: Final = {
    notices.FRIEND_JOINED: ("新好友加入", "已绑定"),
    notices.REFERRER_CHANGED: ("邀请人已变更", "已变更"),
    notices.REFERRER_CLEARED: ("邀请人已取消", "已变更"),
    notices.FRIEND_MOVED: ("好友绑定已变更", "已变更"),
    notices.DISPUTE_DECIDED: ("绑定申诉有了结果", "已处理"),
    notices.COMMISSION_ACCRUED: ("获得新佣金", "冻结中"),
    notices.COMMISSION_SETTLED: ("佣金已结算", "可提现"),
    notices.COMMISSION_VOIDED: ("佣金已失效", "已失效"),
    notices.COMMISSION_CLAWED_BACK: ("佣金已追回", "已追回"),
    notices.WITHDRAWAL_REQUESTED: ("提现申请已收到", "待审核"),
    notices.WITHDRAWAL_APPROVED: ("提现已通过", "待打款"),
    notices.WITHDRAWAL_REJECTED: ("提现已驳回，金额已退回", "已驳回"),
    notices.WITHDRAWAL_CONFIRM: ("提现请在24小时内确认收款", "待确认"),
    notices.WITHDRAWAL_REMIND: ("收款即将过期，请确认", "待确认"),
    notices.WITHDRAWAL_PAID: ("提现已打款", "已打款"),
    notices.WITHDRAWAL_FAILED: ("提现没有成功，金额已退回", "已退回"),
    notices.REGISTRATION_REWARD: ("获得邀请奖励", "冻结中"),
    notices.REGISTRATION_VOIDED: ("邀请奖励失效", "已失效"),
    notices.COMMISSION_HELD: ("佣金例行复核", "复核中"),
    notices.COMMISSION_RELEASED: ("佣金复核完成", "已恢复"),
    notices.COMMISSION_REFUSED: ("佣金不予结算", "已失效"),
    notices.GRADE_UP: ("等级提升", "已生效"),
    notices.GRADE_DOWN: ("等级变化", "已生效"),
    notices.PROMOTER_APPROVED: ("推广申请通过", "已通过"),
    notices.PROMOTER_REJECTED: ("推广申请未通过", "未通过"),
    notices.PROMOTER_SUSPENDED: ("推广资格暂停", "已暂停"),
    notices.PROMOTER_REINSTATED: ("推广资格恢复", "已恢复"),
    notices.RISK_ALERT: ("风险信号待复核", "待复核"),
}
_WITHDRAWAL_FIELDS: Final = {
    "thing1": "occasion", "amount2": "amount", "phrase3": "status", "time4": "time",
}  # fmt: skip

_EVENT_FIELDS: Final = {"thing1": "occasion", "phrase2": "status", "time3": "time"}
_EVENTS: Final = (
    notices.COMMISSION_HELD, notices.COMMISSION_RELEASED, notices.COMMISSION_REFUSED, notices.GRADE_UP,
    notices.GRADE_DOWN, notices.PROMOTER_APPROVED, notices.PROMOTER_REJECTED, notices.PROMOTER_SUSPENDED,
    notices.PROMOTER_REINSTATED, notices.RISK_ALERT,
)  # fmt: skip
DEFAULT_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    notices.FRIEND_JOINED: {"thing1": "friend", "thing2": "occasion", "time3": "time"},
    notices.REFERRER_CHANGED: {"thing1": "occasion", "thing2": "friend", "time3": "time"},
    notices.REFERRER_CLEARED: {"thing1": "occasion", "phrase2": "status", "time3": "time"},
    notices.FRIEND_MOVED: {"thing1": "occasion", "thing2": "friend", "time3": "time"},
    notices.DISPUTE_DECIDED: {"thing1": "occasion", "phrase2": "status", "time3": "time"},
    notices.COMMISSION_ACCRUED: {
        "thing1": "friend", "character_string2": "order_no", "amount3": "amount", "thing4": "level", "time5": "time",
    },
    notices.COMMISSION_SETTLED: {
        "thing1": "occasion", "amount2": "amount", "number3": "count", "time4": "time",
    },
    notices.COMMISSION_VOIDED: {
        "thing1": "occasion", "character_string2": "order_no", "amount3": "amount", "time4": "time",
    },
    notices.COMMISSION_CLAWED_BACK: {
        "thing1": "occasion", "character_string2": "order_no", "amount3": "amount", "time4": "time",
    },
    **dict.fromkeys((each for each in notices.OCCASIONS if each.startswith("withdrawal_")), _WITHDRAWAL_FIELDS),
    notices.REGISTRATION_REWARD: {"thing1": "friend", "amount2": "amount", "time3": "time"},
    notices.REGISTRATION_VOIDED: {"thing1": "friend", "amount2": "amount", "time3": "time"},
    **dict.fromkeys(_EVENTS, _EVENT_FIELDS),
}  # fmt: skip
"""For a template whose text WeChat does not tell us: keyword → parameter."""

_KEYWORD = re.compile(r"([^\n{}]*)\{\{\s*([A-Za-z_]+?)(\d*)\.DATA\s*\}\}")
_LABELS: Final = (
    (re.compile("订单金额|消费|支付|实付|付款|成交"), "paid"),
    (re.compile("金额|佣金|收益|奖励|收入|返利|提成"), "amount"),
    (re.compile("时间|日期"), "time"),
    (re.compile("数量|笔数|次数|单数"), "count"),
    (re.compile("单号|编号|订单"), "order_no"),
    (re.compile("状态|进度|结果"), "status"),
    (re.compile("层级|级别|等级|级数"), "level"),
    (re.compile("昵称|姓名|好友|客户|会员|粉丝|成员|用户|下级|来源|购买者|买家"), "friend"),
    (re.compile("类型|事项|内容|备注|说明|项目|提醒|名称|通知"), "occasion"),
)
_KINDS: Final = {
    "amount": "amount", "time": "time", "date": "time", "character_string": "order_no", "number": "count",
    "phrase": "status", "const": "status", "name": "friend", "thing": "occasion", "keyword": "occasion",
}  # fmt: skip


def words_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """The words of a notice by parameter (`notices.PARAMETERS`); those that it does not know are missing.

    Raises KeyError, TypeError or ValueError for a payload that no notice ever wrote.
    """
    title, status = _OCCASIONS[payload["occasion"]]
    words = {"occasion": title, "status": status, "time": _beijing(payload["at"])}
    words |= {name: str(payload[name]) for name in ("friend", "order_no") if name in payload}
    words |= _standing(payload)
    if payload["occasion"] == notices.DISPUTE_DECIDED:
        words["status"] = _DISPUTES[payload["state"]]
    if "count" in payload:
        words["count"] = str(int(payload["count"]))
    for name in ("amount", "paid"):
        if f"{name}_fen" in payload:
            words[name] = f"{yuan(int(payload[f'{name}_fen']))}元"
    return words


def _standing(payload: Mapping[str, Any]) -> dict[str, str]:
    """The level of a friend, or a new grade, or what a risk signal is about."""
    if payload["occasion"] == notices.RISK_ALERT:
        return {"friend": TEXTS[f"risk.{payload['kind']}"]}
    if payload.get("grade"):
        return {"level": str(payload["grade"])}
    return {"level": _LEVELS[payload["level"]]} if "level" in payload else {}


def _beijing(at: str) -> str:
    moment = datetime.fromisoformat(at).astimezone(_BEIJING)
    return f"{moment:%Y年%m月%d日 %H:%M}"


def fields_from(content: str, words: Mapping[str, str]) -> dict[str, str]:
    """Keyword → parameter for a template's text (`label{{thing1.DATA}}`): by the label, else by the kind, and of
    several possible ones by what is not shown yet."""
    fields: dict[str, str] = {}
    for label, kind, number in _KEYWORD.findall(content):
        meant = [parameter for parameter in _wishes(label) if parameter in words]
        others = [
            each for each in (_KINDS.get(kind, "occasion"), "occasion", "status") if each in words
        ]
        fresh = [each for each in others if each not in fields.values()]
        fields[kind + number] = (meant or fresh or others)[0]
    return fields


def _wishes(label: str) -> list[str]:
    """The parameters that a label may mean, likeliest first: what a Chinese compound is comes last (佣金 + 状态)."""
    found = [(_last_end(pattern, label), parameter) for pattern, parameter in _LABELS]
    return [parameter for end, parameter in sorted(found, key=lambda one: -one[0]) if end >= 0]


def _last_end(pattern: re.Pattern[str], label: str) -> int:
    return max((match.end() for match in pattern.finditer(label)), default=-1)


def card(fields: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """Keyword → text. A parameter that this occasion does not have stays empty, which is sent as a dash."""
    return {keyword: words.get(parameter, "") for keyword, parameter in fields.items()}
