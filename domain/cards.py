"""What a template card says: from the params of a notice to words, and from words to the keywords of a template. Pure.

WeChat's templates name their keywords by kind (`thing1`, `amount2`, `time3`) and label them in Chinese, and every
account has others. Unless the merchant has said which keyword shows what, the label and then the kind decide.

https://developers.weixin.qq.com/doc/service/guide/product/template_message/Template_Message_Operation_Specifications.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from domain import notices
from domain.china import CHINA
from domain.models import NoticeTemplate
from domain.money import yuan
from domain.texts import EN, ZH_CN, Words

_WITHDRAWAL_FIELDS: Final = {
    "thing1": "occasion", "amount2": "amount", "phrase3": "status", "time4": "time",
}  # fmt: skip

_SEVERAL_FIELDS: Final = {
    "thing1": "friend", "character_string2": "order_no", "amount3": "amount", "thing4": "occasion", "time5": "time",
}  # fmt: skip
_EVENT_FIELDS: Final = {"thing1": "occasion", "phrase2": "status", "time3": "time"}
_EVENTS: Final = (
    notices.COMMISSION_HELD, notices.COMMISSION_RELEASED, notices.COMMISSION_REFUSED, notices.GRADE_UP,
    notices.GRADE_DOWN, notices.PROMOTER_APPROVED, notices.PROMOTER_REJECTED, notices.PROMOTER_SUSPENDED,
    notices.PROMOTER_REINSTATED, notices.RISK_ALERT, notices.NOTICE_TEST,
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
    notices.FRIENDS_JOINED: {"thing1": "friend", "thing2": "occasion", "time3": "time"},
    **dict.fromkeys((notices.COMMISSIONS_ACCRUED, notices.TEAM_DIGEST), _SEVERAL_FIELDS),
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


_CHINESE = Words(lang=ZH_CN)


def words_of(payload: Mapping[str, Any], words: Words = _CHINESE) -> dict[str, str]:
    """The words of a notice by parameter (`notices.PARAMETERS`); those that it does not know are missing.

    Raises KeyError, TypeError or ValueError for a payload that no notice ever wrote.
    """
    occasion = payload["occasion"]
    if occasion not in notices.OCCASIONS:
        raise KeyError(occasion)
    shown = {
        "occasion": words(f"title.{occasion}"),
        "status": words(
            f"status.{payload['state'] if occasion == notices.DISPUTE_DECIDED else occasion}"
        ),
        "time": _beijing(payload["at"]),
    }
    shown |= {name: str(payload[name]) for name in ("friend", "order_no") if name in payload}
    shown |= _standing(payload, words)
    if "count" in payload:
        shown["count"] = str(int(payload["count"]))
        if occasion in notices.MERGED:
            shown["friend"] = words("friend.several", count=shown["count"])
    for name in ("amount", "paid"):
        if f"{name}_fen" in payload:
            shown[name] = words("card.amount", amount=yuan(int(payload[f"{name}_fen"])))
    return shown


def _standing(payload: Mapping[str, Any], words: Words) -> dict[str, str]:
    """The level of a friend, or a new grade, or what a risk signal is about."""
    if payload["occasion"] == notices.RISK_ALERT:
        return {"friend": words(f"risk.{payload['kind']}")}
    if payload.get("grade"):
        return {"level": str(payload["grade"])}
    return {"level": words(f"friend.level.{payload['level']}")} if "level" in payload else {}


def _beijing(at: str) -> str:
    """The form that WeChat's `time` keywords take, in every language."""
    return f"{datetime.fromisoformat(at).astimezone(CHINA):%Y年%m月%d日 %H:%M}"


def keywords(content: str) -> list[tuple[str, str]]:
    """(label, keyword) of a template's text, in its order."""
    return [
        (label.strip(" ：:\t"), kind + number) for label, kind, number in _KEYWORD.findall(content)
    ]


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


_CHINESE_ONLY: Final = re.compile(r"(?:phrase|const)[0-9]*")
"""Keywords that take nothing but 汉字 (platform.md 8)."""


def card(
    fields: Mapping[str, str], shown: Mapping[str, str], chinese: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Keyword → text. A parameter that this occasion does not have stays empty, which is sent as a dash. `chinese`: the
    words for keywords that take no other writing, when `shown` is English."""
    return {
        keyword: (chinese or shown if _CHINESE_ONLY.fullmatch(keyword) else shown).get(
            parameter, ""
        )
        for keyword, parameter in fields.items()
    }


def filled(
    payload: Mapping[str, Any], words: Words, fields: Mapping[str, str] | None, content: str = ""
) -> dict[str, str]:
    """The card of a notice: keyword → text, not yet cut to what a channel takes. `fields`: the merchant's choice;
    without one, `content` (the template's text as WeChat has it) decides, and without that the usual keywords."""
    shown = words_of(payload, words)
    if fields is None:
        fields = fields_from(content, shown) or DEFAULT_FIELDS[payload["occasion"]]
    chinese = shown if words.lang != EN else words_of(payload)
    return card(fields, shown, chinese)


def problems(fields: Mapping[str, str] | None, content: str | None) -> list[str]:
    """What is wrong with a chosen template, given its text as WeChat has it (None: it has no such template)."""
    if content is None:
        return ["WeChat has no such template"]
    wanted = {kind + number for _, kind, number in _KEYWORD.findall(content)}
    if fields is None or not wanted:
        return []
    missing, odd = sorted(wanted - set(fields)), sorted(set(fields) - wanted)
    said = [f"keywords without a parameter: {', '.join(missing)}"] if missing else []
    return said + ([f"keywords that the template does not have: {', '.join(odd)}"] if odd else [])


def problems_of(
    chosen: Sequence[NoticeTemplate], contents: Mapping[str, str]
) -> dict[str, str | None]:
    """Template id → what is wrong with it in any of the occasions that use it; None: nothing that a list tells."""
    said: dict[str, str | None] = {}
    for each in chosen:
        found = problems(notices.fields_of(each), contents.get(each.template_id))
        said[each.template_id] = "; ".join(found) or said.get(each.template_id)
    return said


# --- samples, for previews and tests --------------------------------------------------------------------------------

_AT: Final = "2026-11-22T02:24:00+00:00"
_MONEY: Final = {"amount_fen": 1234, "net_fen": 1200, "confirm_by": _AT, "failure": "OVERDUE_CLOSE"}
_SAMPLE: Final[Mapping[str, Any]] = {
    "at": _AT, "friend": "小明", "order_no": "20261122001", "level": 1, "amount_fen": 1234, "paid_fen": 12340,
    "count": 3, "days": 7, "reason": "示例", "answer": "示例", "state": "upheld", "until": _AT, "signal": "churn",
    "kind": "churn", "before": "黄金", "friends": ["小明", "小红", "小华", "小丽"],
}  # fmt: skip
_SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    notices.FRIEND_JOINED: ("friend",),
    notices.REFERRER_CHANGED: ("friend",),
    notices.REFERRER_CLEARED: (),
    notices.FRIEND_MOVED: ("friend",),
    notices.DISPUTE_DECIDED: ("answer", "state"),
    notices.COMMISSION_ACCRUED: ("friend", "order_no", "level", "amount_fen", "paid_fen"),
    notices.COMMISSION_SETTLED: ("amount_fen", "count"),
    notices.COMMISSION_VOIDED: ("order_no", "amount_fen"),
    notices.COMMISSION_CLAWED_BACK: ("order_no", "amount_fen"),
    notices.REGISTRATION_REWARD: ("friend", "amount_fen", "days"),
    notices.REGISTRATION_VOIDED: ("friend", "amount_fen"),
    notices.COMMISSION_HELD: ("signal", "until"),
    notices.COMMISSION_RELEASED: ("count",),
    notices.COMMISSION_REFUSED: ("count", "amount_fen", "reason"),
    notices.GRADE_UP: ("before",),
    notices.GRADE_DOWN: ("before",),
    notices.PROMOTER_APPROVED: (),
    notices.PROMOTER_REJECTED: ("reason",),
    notices.PROMOTER_SUSPENDED: ("reason",),
    notices.PROMOTER_REINSTATED: (),
    notices.RISK_ALERT: ("kind",),
    notices.FRIENDS_JOINED: ("count", "friends"),
    notices.COMMISSIONS_ACCRUED: ("count", "amount_fen", "order_no"),
    notices.TEAM_DIGEST: ("count", "amount_fen", "order_no"),
    notices.NOTICE_TEST: (),
}


def sample(occasion: str) -> dict[str, Any]:
    """A notice of this occasion as it might be written, for previews and test messages."""
    if occasion.startswith("withdrawal_"):
        return {"occasion": occasion, "at": _AT, "reason": _SAMPLE["reason"], **_MONEY}
    values: dict[str, Any] = {name: _SAMPLE[name] for name in _SHOWN[occasion]}
    if occasion in (notices.GRADE_UP, notices.GRADE_DOWN):
        values["grade"] = "铂金"
    return {"occasion": occasion, "at": _AT, **values}
