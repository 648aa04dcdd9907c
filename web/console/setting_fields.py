"""Every setting of an account in plain language: what it does, how it is written, and what is risky about it.

`GROUPS` holds all of `accounts.Settings` but `risk`, which has a page of its own (watching.py), and
`commissions_stopped`, which is a verb with a reason. The warnings are platform.md 13.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.accounts import CONTACT_LENGTH, PERMANENT_CODES, TERMS_LENGTH
from domain.db import is_key
from domain.money import BPS, parse_yuan, yuan
from domain.texts import EN, LANGUAGES, ZH_CN
from web.console.both import Both
from web.pages import grouped

SWITCH: Final = "switch"
WHOLE: Final = "whole"
HOUR: Final = "hour"
FEN: Final = "fen"
PERCENT: Final = "percent"
CHOICE: Final = "choice"
TEXT: Final = "text"
LONG: Final = "long"
LIST: Final = "list"

MOST_WHOLE: Final = 999_999
ADDRESS_LENGTH: Final = 500
LIST_MOST: Final = 50

_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?\s*%?")


class Wrong(Exception):
    """A value that cannot be; says so in words."""

    def __init__(self, words: Both) -> None:
        super().__init__(words.english)
        self.words = words


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `is_risky(value)`: whether a value asks for `warning` to be read before it is
    saved. `most`: the greatest number, or how many characters."""

    name: str
    kind: str
    title: Both
    help: Both
    unit: Both | str = ""
    options: Sequence[tuple[str, Both]] = ()
    is_risky: Callable[[Any], bool] | None = None
    warning: Both | None = None
    most: int | None = None

    def shown(self, value: Any) -> str:
        """A value as its input has it."""
        if self.kind == SWITCH:
            return "1" if value else "0"
        if self.kind == FEN:
            return yuan(value)
        if self.kind == PERCENT:
            whole, rest = divmod(int(value), 100)
            return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)
        if self.kind == LIST:
            return "\n".join(value)
        return str(value)

    def said(self, value: Any) -> str:
        """A value in words: in lists of what changes, and beside the input as our default."""
        if self.kind == SWITCH:
            return str(_ON if value else _OFF)
        if self.kind == CHOICE:
            return str(dict(self.options).get(value, value))
        if self.kind == FEN:
            return f"¥{grouped(value)}"
        if self.kind == LIST:
            return "，".join(value) or str(_NONE)
        unit = "%" if self.kind == PERCENT else str(self.unit)
        return f"{self.shown(value)} {unit}".strip() or str(_NONE)

    def read(self, text: str) -> Any:
        """The value that somebody wrote; `Wrong` says what is the matter."""
        return _READERS[self.kind](self, text.strip())

    def warns(self, value: Any) -> bool:
        """Whether the value is one to be warned about."""
        return self.is_risky is not None and self.is_risky(value)


_ON: Final = Both("开", "on")
_OFF: Final = Both("关", "off")
_NONE: Final = Both("空", "empty")


def _switch(_field: Field, text: str) -> bool:
    return text == "1"


def _whole(one: Field, text: str) -> int:
    most = one.most or MOST_WHOLE
    if not text.isascii() or not text.isdecimal() or len(text) > 7 or int(text) > most:
        raise Wrong(Both(f"请填写 0 到 {most} 的整数。", f"A whole number from 0 to {most}."))
    return int(text)


def _hour(_field: Field, text: str) -> int:
    if not text.isdecimal() or len(text) > 2 or int(text) > 23:
        raise Wrong(Both("请填写 0 到 23 的整点。", "An hour from 0 to 23."))
    return int(text)


def _fen(_field: Field, text: str) -> int:
    amount = parse_yuan(text)
    if amount is None:
        raise Wrong(Both("请填写金额，例如 12 或 12.50。", "An amount, such as 12 or 12.50."))
    return amount


def _percent(_field: Field, text: str) -> int:
    match = _PERCENT.fullmatch(text)
    bps = -1 if match is None else int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if not 0 <= bps <= BPS:
        raise Wrong(
            Both(
                "请填写 0 到 100 的百分数，最多两位小数。",
                "A percentage from 0 to 100, two decimals at most.",
            )
        )
    return bps


def _choice(one: Field, text: str) -> str:
    if text not in dict(one.options):
        raise Wrong(Both("请选择一项。", "Please choose one."))
    return text


def _text(one: Field, text: str) -> str:
    most = one.most or ADDRESS_LENGTH
    if len(text) > most:
        raise Wrong(Both(f"最多 {most} 个字。", f"{most} characters at most."))
    return text


def _list(_field: Field, text: str) -> list[str]:
    items = re.split(r"[\s,，;；]+", text) if text else []
    if len(items) > LIST_MOST or not all(is_key(item) for item in items):
        raise Wrong(Both(f"每行一个，最多 {LIST_MOST} 个。", f"One a line, {LIST_MOST} at most."))
    return list(dict.fromkeys(items))


_READERS: Final[dict[str, Callable[[Field, str], Any]]] = {
    SWITCH: _switch,
    WHOLE: _whole,
    HOUR: _hour,
    FEN: _fen,
    PERCENT: _percent,
    CHOICE: _choice,
    TEXT: _text,
    LONG: _text,
    LIST: _list,
}


@dataclass(frozen=True, slots=True)
class Group:
    """A page of settings."""

    code: str
    title: Both
    icon: str
    intro: Both
    fields: Sequence[Field] = field(default=())

    def names(self) -> list[str]:
        return [one.name for one in self.fields]


_DAYS: Final = Both("天", "days")
_PEOPLE: Final = Both("人", "people")
_YUAN: Final = Both("元", "yuan")
_HOUR: Final = Both("点（北京时间）", "o'clock in Beijing")
_TIMES: Final = Both("次", "times")

_BINDING: Final = Group(
    "binding",
    Both("绑定", "Binding"),
    "link-45deg",
    Both("谁的码带来谁，什么时候算数。", "Who brought whom, and when it counts."),
    (
        Field(
            "bind_existing",
            SWITCH,
            Both("老粉丝也可以绑定", "Followers of old can be bound"),
            Both(
                "还没有推荐人的老粉丝，扫了推广码也会绑定。关掉后，只有通过推广码新关注的人才绑定。",
                "A follower without referrer is bound by scanning later. Off: only by following through a code.",
            ),
        ),
        Field(
            "bind_policy",
            CHOICE,
            Both("推荐人能不能更换", "May the referrer change"),
            Both(
                "「先到先得」最少争议：第一次绑定之后，扫别人的码不再更换。",
                "First touch has the fewest quarrels: once bound, other codes change nothing.",
            ),
            options=(
                ("first_touch", Both("先到先得，不更换（推荐）", "First touch, never changes")),
                ("protected", Both("保护期之后可以更换", "May change after some days")),
                ("last_touch", Both("每次扫码都更换", "Every scan changes it")),
            ),
            is_risky=lambda value: value == "last_touch",
            warning=Both(
                "每次扫码都换人，推广员会互相抢人，申诉增多；也容易被看作诱导拉人。",
                "Promoters will take friends from each other, disputes grow, and it looks like luring people.",
            ),
        ),
        Field(
            "protect_days",
            WHOLE,
            Both("保护期", "Protected for"),
            Both("只用于「保护期之后可以更换」。", "For the policy with protection only."),
            _DAYS,
        ),
        Field(
            "self_purchase",
            SWITCH,
            Both("自己购买也得佣金", "Own purchases earn"),
            Both(
                "打开后，推广员自己下单算一级佣金，上级顺延。",
                "On: a promoter's own order earns them level 1, the others move up.",
            ),
            is_risky=bool,
            warning=Both(
                "自购返佣会让人为了佣金而购买，容易被认定为变相返利或囤货，也最容易被刷单。",
                "People then buy for the commission: it may count as disguised rebates, and is the easiest to abuse.",
            ),
        ),
        Field(
            "buyer_wait_days",
            WHOLE,
            Both("订单等买家关注", "An order waits for its buyer"),
            Both(
                "买家还没有关注公众号时，订单先存着；在这些天里关注并绑定，佣金照算。",
                "The buyer does not follow yet: within these days their following still brings the commission.",
            ),
            _DAYS,
        ),
        Field(
            "linked_apps",
            LIST,
            Both("关联的小程序或 App", "Linked mini-programs"),
            Both(
                "商城用小程序下单时，填它的 AppID，每行一个。需在同一微信开放平台账号下。",
                "AppIDs whose buyers we may recognise, one a line; all under one Open Platform account.",
            ),
        ),
    ),
)

_MONEY: Final = Group(
    "commissions",
    Both("佣金", "Commissions"),
    "coin",
    Both(
        "比例在「佣金规则」里发布；这里是规则之外的边界。",
        "Rates are published as rules; these are the bounds around them.",
    ),
    (
        Field(
            "freeze_from",
            CHOICE,
            Both("冻结期从哪天算起", "The freeze period begins"),
            Both("佣金过了冻结期才能提现。", "A commission can be withdrawn after it."),
            options=(
                ("completed", Both("订单完成（推荐）", "when the order is completed")),
                ("paid", Both("付款", "when it is paid")),
            ),
            is_risky=lambda value: value == "paid",
            warning=Both(
                "退货期还没过，佣金就可能已经提走；之后退款只能追回，会员可能欠款。",
                "It may be withdrawn before goods can no longer come back; then it has to be clawed back.",
            ),
        ),
        Field(
            "max_total_bps",
            PERCENT,
            Both("各级佣金合计上限", "All levels together at most"),
            Both(
                "发布规则时，各级比例加起来不能超过它。",
                "No rule may give more than this in all.",
            ),
            is_risky=lambda value: value > 3000,
            warning=Both(
                "超过 30% 容易被认定为高额返利：微信 2016-07-05 的公告把它列为违规，账号可能被封。",
                "More than 30 % looks like high rebates, which WeChat's notice of 2016-07-05 forbids.",
            ),
        ),
        Field(
            "shortfall",
            CHOICE,
            Both("追回时余额不够怎么办", "When a claw-back finds too little"),
            Both(
                "订单退款要收回已结算的佣金，而会员已经提走了。买家的退款不受影响。",
                "The commission was withdrawn already. The buyer's refund is never refused.",
            ),
            options=(
                (
                    "debt",
                    Both("记为欠款，以后的佣金先抵（推荐）", "a debt that later earnings fill"),
                ),
                ("capped", Both("记欠款，但有上限", "a debt with a cap")),
                ("absorbed", Both("商家承担", "the merchant bears it")),
            ),
        ),
        Field(
            "debt_cap_fen",
            FEN,
            Both("欠款上限", "Cap of the debt"),
            Both(
                "只用于「有上限」；超过的部分由商家承担。",
                "For the cap only; the merchant bears the rest.",
            ),
            _YUAN,
        ),
        Field(
            "qualification",
            CHOICE,
            Both("谁可以得佣金", "Who may earn"),
            Both("只影响以后的订单。", "Only later orders are affected."),
            options=(
                ("everyone", Both("所有会员", "Everyone")),
                ("approved", Both("审核通过的推广员", "Promoters who were approved")),
                ("first_order", Both("买过一单的会员", "Members with a paid order")),
                ("spent", Both("累计消费满一定金额", "Members who spent enough")),
            ),
            is_risky=lambda value: value in {"first_order", "spent"},
            warning=Both(
                "「先消费才能推广」可能被认定为变相收取入门费（《禁止传销条例》第七条）。请先咨询法律意见。",
                "To have to buy first may count as an entry fee (State Council 444, art. 7). Ask a lawyer first.",
            ),
        ),
        Field(
            "qualification_spent_fen",
            FEN,
            Both("累计消费满", "Spent at least"),
            Both("只用于「累计消费满一定金额」。", "For the last choice only."),
            _YUAN,
        ),
        Field(
            "registration_reward_fen",
            FEN,
            Both("拉新奖励（每位新粉丝）", "Reward for each new follower"),
            Both("0 是关闭。只给一级，固定金额。", "0 is off. One level, a flat amount."),
            _YUAN,
            is_risky=lambda value: value > 0,
            warning=Both(
                LANGUAGES[ZH_CN]["warning.registration"], LANGUAGES[EN]["warning.registration"]
            ),
        ),
        Field(
            "registration_daily_cap",
            WHOLE,
            Both("拉新奖励每人每天最多", "Most rewards of one promoter a day"),
            Both("超过的新粉丝照样绑定，但没有奖励。", "More are bound, but not rewarded."),
            _PEOPLE,
        ),
        Field(
            "registration_hold_days",
            WHOLE,
            Both("拉新奖励观察期", "Rewards wait for"),
            Both("期间取消关注，奖励失效。", "Void when the follower leaves meanwhile."),
            _DAYS,
        ),
    ),
)

_PAYOUTS: Final = Group(
    "withdrawals",
    Both("提现", "Withdrawals"),
    "cash-stack",
    Both("会员怎样拿到钱，谁来把关。", "How members get their money, and who looks."),
    (
        Field(
            "payout_method",
            CHOICE,
            Both("打款方式", "Paid by"),
            Both(
                "微信打款需要先填好商户号。已申请的提现按申请时的方式走。",
                "WeChat needs the merchant number. What was asked for before keeps its way.",
            ),
            options=(
                ("wechat", Both("商家转账到微信零钱", "WeChat transfer to the wallet")),
                ("offline", Both("线下打款，人工登记凭证", "By hand, with a proof")),
            ),
        ),
        Field(
            "withdraw_min_fen",
            FEN,
            Both("最少", "At least"),
            Both(
                "一次提现的最小金额。微信转账不低于 0.10 元。",
                "Of one withdrawal; WeChat sends no less than 0.10.",
            ),
            _YUAN,
        ),
        Field(
            "withdraw_max_fen",
            FEN,
            Both("最多", "At most"),
            Both(
                "一次提现的最大金额。到手 2000 元起，微信要求会员填真实姓名。",
                "Of one withdrawal; from 2000 net WeChat needs the real name.",
            ),
            _YUAN,
        ),
        Field(
            "withdraw_per_day",
            WHOLE,
            Both("每人每天最多几次", "Times a day"),
            Both("北京时间零点重新计。", "Counted from Beijing's midnight."),
            _TIMES,
        ),
        Field(
            "withdraw_day_sum_fen",
            FEN,
            Both("每人每天合计最多", "Sum of a day"),
            Both("一位会员一天能申请的总金额。", "What one member may ask for in a day."),
            _YUAN,
        ),
        Field(
            "withdraw_fee_bps",
            PERCENT,
            Both("手续费", "Fee"),
            Both("从打款中扣下，单独记账。", "Withheld from what is paid, posted by itself."),
        ),
        Field(
            "withdraw_tax_bps",
            PERCENT,
            Both("代扣个税", "Tax withheld"),
            Both(
                "个人佣金一般按劳务报酬由商家代扣代缴，比例请问会计。",
                "Commissions are usually income from services that the merchant withholds tax from: ask an accountant.",
            ),
        ),
        Field(
            "audit_above_fen",
            FEN,
            Both("超过多少要人工审核", "A person looks above"),
            Both(
                "不超过它的提现直接打款；有待处理风险信号的会员除外。0 是每笔都审。",
                "Smaller ones are paid at once, unless a risk signal is open. 0: a person looks at each.",
            ),
            _YUAN,
            is_risky=lambda value: value > 0,
            warning=Both(
                "这个金额以内的提现不经人看就打出去。建议不超过您能承受的单笔损失。",
                "Nobody looks at withdrawals up to this amount. Keep it at what you could bear to lose.",
            ),
        ),
        Field(
            "second_above_fen",
            FEN,
            Both("超过多少要两个人同意", "Two people above"),
            Both("两次同意必须来自两个不同的登录名。", "By two different logins."),
            _YUAN,
            is_risky=lambda value: value > 500_000,
            warning=Both(
                "调高之后，一个人就能放出更大的金额。",
                "One person alone can then let larger amounts go.",
            ),
        ),
    ),
)

_NOTICES: Final = Group(
    "notices",
    Both("通知", "Notices"),
    "bell",
    Both("什么时候告诉会员，什么时候告诉员工。", "When members are told, and when staff are."),
    (
        Field(
            "language",
            CHOICE,
            Both("默认语言", "Usual language"),
            Both("给没有选过语言的粉丝。", "Of followers who have chosen none."),
            options=(
                ("zh-CN", Both("简体中文", "Simplified Chinese")),
                ("zh-TW", Both("繁體中文", "Traditional Chinese")),
                ("en", Both("English", "English")),
            ),
        ),
        Field(
            "digest",
            CHOICE,
            Both("二、三级佣金的通知", "News of levels 2 and 3"),
            Both("一级总是马上通知。合并可以避免打扰会员。", "Level 1 is told at once, always."),
            options=(
                ("off", Both("逐笔通知", "One by one")),
                ("daily", Both("每天合并一条", "Merged daily")),
                ("weekly", Both("每周一合并一条", "Merged on Mondays")),
            ),
        ),
        Field(
            "digest_hour",
            HOUR,
            Both("合并通知在几点发", "Merged ones are sent at"),
            Both("只用于合并通知。", "For merged ones only."),
            _HOUR,
        ),
        Field(
            "quiet_from",
            HOUR,
            Both("免打扰从", "Quiet from"),
            Both(
                "与结束相同表示不设。提现通知不受影响。",
                "Equal to the end: never. Withdrawals are told anyway.",
            ),
            _HOUR,
        ),
        Field(
            "quiet_until",
            HOUR,
            Both("免打扰到", "Quiet until"),
            Both("期间的通知，过后再发。", "What comes meanwhile is sent later."),
            _HOUR,
        ),
        Field(
            "merge_seconds",
            WHOLE,
            Both("多少秒内算扎堆", "A burst is within"),
            Both(
                "短时间内同类通知太多时，后面的合并成一条。",
                "Of many notices of a kind, the rest is merged.",
            ),
            Both("秒", "seconds"),
        ),
        Field(
            "merge_above",
            WHOLE,
            Both("扎堆超过几条就合并", "Merged above"),
            Both("0 是从不合并。", "0: never."),
            Both("条", "notices"),
        ),
        Field(
            "alert_webhook",
            TEXT,
            Both("员工提醒的网址", "Address for alarms"),
            Both(
                "风险信号会发到这里，例如企业微信机器人的地址。空是不发。",
                "Risk signals are sent there, such as a group robot. Empty: nowhere.",
            ),
        ),
        Field(
            "alert_openids",
            LIST,
            Both("收提醒的员工", "Staff who are told"),
            Both(
                "员工在这个公众号里的 openid，每行一个。",
                "Their openids in this account, one a line.",
            ),
        ),
    ),
)

_PAGES: Final = Group(
    "pages",
    Both("推广与页面", "Promotion and pages"),
    "phone",
    Both("码、链接，和会员在微信里看到的页面。", "Codes, links, and the pages that members see."),
    (
        Field(
            "campaign_window_days",
            WHOLE,
            Both("群发带来的订单算几天", "Orders count as a broadcast's for"),
            Both(
                "点了群发里的链接之后多少天内下单，算这次群发的成绩。",
                "Days from a click to the order.",
            ),
            _DAYS,
        ),
        Field(
            "permanent_pool",
            WHOLE,
            Both("永久二维码最多发几个", "Permanent codes at most"),
            Both(
                f"微信一个公众号一辈子只有 {PERMANENT_CODES} 个，发出就收不回。",
                f"WeChat makes {PERMANENT_CODES} in an account's life, and takes none back.",
            ),
            Both("个", "codes"),
            most=PERMANENT_CODES,
        ),
        Field(
            "product_url",
            TEXT,
            Both("商品链接", "Address of a product"),
            Both(
                "商品码的回复里带这个链接，用 {sku} 代替货号，例如 https://shop.example.com/p/{sku}。",
                "With {sku} for its number: https://shop.example.com/p/{sku}.",
            ),
        ),
        Field(
            "support_contact",
            TEXT,
            Both("客服联系方式", "How to reach you"),
            Both("显示在会员的页面里，例如电话或工作时间。", "As the members' pages say it."),
            most=CONTACT_LENGTH,
        ),
    ),
)

_COMPLIANCE: Final = Group(
    "compliance",
    Both("合规与隐私", "Compliance and privacy"),
    "shield-check",
    Both(
        "推广规则、会员同意和团队成员的隐私。",
        "Programme rules, consent, and the privacy of people in a team.",
    ),
    (
        Field(
            "consent_required",
            SWITCH,
            Both("推广前必须同意推广规则", "Nobody promotes before agreeing"),
            Both(
                "会员同意之后才能做海报。同意的时间和版本会保存。建议打开。",
                "Posters wait for the member's yes; when and to what is kept. Better on.",
            ),
        ),
        Field(
            "programme_terms",
            LONG,
            Both("推广规则", "The programme's rules"),
            Both(
                f"空是用我们的范文。改动后，会员需要重新同意。最多 {TERMS_LENGTH} 字。",
                "Empty: our wording. After a change members are asked again.",
            ),
            most=TERMS_LENGTH,
        ),
        Field(
            "mask_names",
            SWITCH,
            Both("团队里隐藏姓名", "Names in teams are masked"),
            Both(
                "会员看自己的团队时，名字只显示第一个字。",
                "Members see the first character of a name only.",
            ),
            is_risky=lambda value: not value,
            warning=Both(
                "下级的姓名会给上级看到。《个人信息保护法》要求事先取得本人同意。",
                "Uplines then see people's names, for which the law on personal information wants their consent.",
            ),
        ),
        Field(
            "hide_amounts",
            SWITCH,
            Both("团队里隐藏金额", "Amounts in teams are hidden"),
            Both(
                "会员看自己的团队时，看不到朋友消费了多少。",
                "Members do not see what their friends spent.",
            ),
        ),
        Field(
            "chain_people_alert",
            WHOLE,
            Both("推荐链人数写进合规记录", "Chains in the compliance record"),
            Both(
                "三级之内超过这个人数的推荐链，会写进合规记录。",
                "Teams of three levels with more people are named in it.",
            ),
            _PEOPLE,
            is_risky=lambda value: value > 30,
            warning=Both(
                "刑事立案的标准之一是三级以上、三十人以上，提醒线不宜高于 30。",
                "Thirty people on three levels is a criminal threshold: keep it at 30.",
            ),
        ),
    ),
)

GROUPS: Final = (_BINDING, _MONEY, _PAYOUTS, _NOTICES, _PAGES, _COMPLIANCE)


def group_of(code: str) -> Group:
    """The group of this name, or the first."""
    return next((one for one in GROUPS if one.code == code), GROUPS[0])


def read_all(group: Group, form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Both]]:
    """(values, what is wrong), by the names of the group's settings."""
    values: dict[str, Any] = {}
    wrong: dict[str, Both] = {}
    for one in group.fields:
        try:
            values[one.name] = one.read(form.get(one.name, ""))
        except Wrong as error:
            wrong[one.name] = error.words
    return values, wrong | _together(values)


def _together(values: Mapping[str, Any]) -> dict[str, Both]:
    """What is wrong between values that are each right."""
    wrong: dict[str, Both] = {}
    least, most = values.get("withdraw_min_fen"), values.get("withdraw_max_fen")
    if least is not None and most is not None and least > most:
        wrong["withdraw_max_fen"] = Both("不能小于最少金额。", "Not less than the least amount.")
    if least is not None and values.get("withdraw_day_sum_fen", least) < least:
        wrong["withdraw_day_sum_fen"] = Both(
            "不能小于最少金额。", "Not less than the least amount."
        )
    if values.get("qualification") == "spent" and not values.get("qualification_spent_fen"):
        wrong["qualification_spent_fen"] = Both("请填写要消费满多少。", "How much must be spent?")
    if values.get("bind_policy") == "protected" and not values.get("protect_days"):
        wrong["protect_days"] = Both("请填写保护多少天。", "For how many days?")
    return wrong
