"""What WeChat Pay says of a transfer and what our alarms mean, in plain words, each with what to do.

The states are platform.md 12.5, the alarms those of `withdrawals.sound`, the refusals the codes of
https://pay.weixin.qq.com/doc/v3/merchant/4012711988
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from web.console.both import Both


@dataclass(frozen=True, slots=True)
class Meaning:
    """What it is, what a person does about it, and how it looks (success, info, warning, danger, secondary)."""

    what: Both
    do: Both
    tone: str = "info"


_NOTHING: Final = Both("不用处理，系统会自动查询结果。", "Nothing: we keep asking for the result.")

TRANSFERS: Final = {
    "ACCEPTED": Meaning(Both("微信支付已受理", "Accepted by WeChat Pay"), _NOTHING),
    "PROCESSING": Meaning(
        Both("微信支付正在锁定资金", "WeChat Pay is locking the funds"),
        Both(
            "停在这里通常是商户号余额不足：充值后系统会用同一单号继续，不会重复打款。",
            "If it stays here, the merchant number is short of money: top it up. We go on under the same number.",
        ),
    ),
    "WAIT_USER_CONFIRM": Meaning(
        Both("等会员在微信里确认收款", "Waits for the member to confirm in WeChat"),
        Both(
            "会员 24 小时内没有确认，转账自动关闭，钱退回会员的可提现。系统会提醒会员一次。",
            "Without the member's yes within 24 hours it closes and the money is available again. We remind them once.",
        ),
        "warning",
    ),
    "TRANSFERING": Meaning(Both("会员已确认，转账中", "Confirmed, being transferred"), _NOTHING),
    "SUCCESS": Meaning(
        Both("已到会员的微信零钱", "Arrived in the member's wallet"),
        Both("已完成，账本已记为打款。", "Done, and posted as paid."),
        "success",
    ),
    "FAIL": Meaning(
        Both("转账失败", "The transfer failed"),
        Both(
            "钱已退回会员的可提现。会员改正资料后可以再次申请。",
            "The money is available to the member again, who may ask once more.",
        ),
        "danger",
    ),
    "CANCELING": Meaning(
        Both("撤销中", "Being cancelled"),
        Both(
            "微信确认撤销后，钱退回会员的可提现。",
            "The money returns when WeChat says that it is cancelled.",
        ),
        "warning",
    ),
    "CANCELLED": Meaning(
        Both("已撤销", "Cancelled"),
        Both("钱已退回会员的可提现。", "The money is available to the member again."),
        "secondary",
    ),
    "NONE": Meaning(
        Both("微信支付从未受理", "WeChat Pay never took it"),
        Both(
            "已放弃，钱已退回会员的可提现。",
            "Given up; the money is available to the member again.",
        ),
        "secondary",
    ),
}
"""`withdrawal.provider_state` → its meaning."""

_ASK_US: Final = Both(
    "不要重复打款。请到微信支付商户平台按打款单号核对，查清后再关闭警报。",
    "Do not pay again. Look the payout number up at WeChat Pay's merchant pages; close the alarm when it is clear.",
)

ALARMS: Final = {
    "mismatch": Meaning(
        Both(
            "微信支付的账单与我们的单子不符（收款人、金额或商户号）",
            "WeChat Pay's bill differs from ours",
        ),
        _ASK_US,
        "danger",
    ),
    "contradiction": Meaning(
        Both(
            "微信支付的结果与我们已记的结果相反", "WeChat Pay says the opposite of what we recorded"
        ),
        _ASK_US,
        "danger",
    ),
    "difference": Meaning(
        Both("对账时发现不一致", "Found different when reconciling"), _ASK_US, "danger"
    ),
    "too_old": Meaning(
        Both(
            "超过 29 天还没有结果，微信支付已查不到",
            "Older than 29 days: WeChat Pay no longer tells",
        ),
        _ASK_US,
        "danger",
    ),
    "other_merchant": Meaning(
        Both("这笔打款是用另一个商户号发起的", "It was begun under another merchant number"),
        Both(
            "请换回原来的商户号，等它结束后再更换。",
            "Set the former merchant number again until it has ended.",
        ),
        "danger",
    ),
    "no_merchant": Meaning(
        Both("没有可用的商户号", "There is no usable merchant number"),
        Both(
            "请到「设置 › 微信支付」填写商户号和密钥，之后会自动继续。",
            "Enter it under Settings › WeChat Pay; then it goes on.",
        ),
        "warning",
    ),
    "cannot_send": Meaning(
        Both("转账请求没有发出", "The request could not be sent"),
        Both(
            "多半是密钥或网络有问题。修好后会自动继续，也可以放弃打款。",
            "Keys or network. It goes on once repaired; or give it up.",
        ),
        "warning",
    ),
    "unknown_state": Meaning(
        Both("微信支付给了一个我们不认识的状态", "WeChat Pay names a state that we do not know"),
        Both(
            "请到商户平台查看这笔转账，系统会继续查询。",
            "Look at it in the merchant pages; we keep asking.",
        ),
        "warning",
    ),
}
"""`withdrawal.alarm` → its meaning; the codes of refusals are in `REFUSALS`."""

REFUSALS: Final = {
    "NOT_ENOUGH": Meaning(
        Both("商户号余额不足", "The merchant number is short of money"),
        Both(
            "给商户号的运营账户充值，之后会用同一单号自动继续。",
            "Top up its operating account; it goes on under the same number.",
        ),
    ),
    "NO_AUTH": Meaning(
        Both(
            "商户号没有开通「商家转账」或这个场景",
            "The merchant number may not transfer, or not for this scene",
        ),
        Both(
            "到商户平台 › 产品中心开通商家转账和佣金报酬场景；不打算开通就放弃打款。",
            "Open 商家转账 and its scene there; or give it up.",
        ),
    ),
    "PARAM_ERROR": Meaning(
        Both("微信支付说参数不对", "WeChat Pay calls a parameter wrong"),
        Both(
            "多半是场景报备信息或会员真实姓名不对。改正后放弃这笔，让会员再申请。",
            "The scene's report or the real name. Give it up and let the member ask again.",
        ),
    ),
    "INVALID_REQUEST": Meaning(
        Both(
            "超过单笔或单日限额，或场景不允许",
            "Above a limit of the merchant pages, or not allowed by the scene",
        ),
        Both(
            "到商户平台调高商家转账限额；之后会自动继续。",
            "Raise the limits in the merchant pages; then it goes on.",
        ),
    ),
    "FREQUENCY_LIMITED": Meaning(Both("请求太频繁", "Too many requests"), _NOTHING),
    "SYSTEM_ERROR": Meaning(Both("微信支付系统忙", "WeChat Pay is busy"), _NOTHING),
    "SIGN_ERROR": Meaning(
        Both(
            "签名不对：商户私钥或证书序列号有误",
            "The signature is wrong: private key or serial number",
        ),
        Both(
            "请到「设置 › 微信支付」重新填写密钥。",
            "Enter the keys again under Settings › WeChat Pay.",
        ),
    ),
    "ACCOUNT_ERROR": Meaning(
        Both("会员的微信账户不能收款", "The member's WeChat account cannot receive money"),
        Both("联系会员处理后再继续，或放弃打款。", "Ask the member, or give it up."),
    ),
}
"""WeChat Pay's error codes that people can do something about."""

_REFUSED: Final = "refused_"


def transfer(state: str | None) -> Meaning | None:
    """What a state of WeChat Pay means; None where there is none, its own word where we have none."""
    if state is None:
        return None
    return TRANSFERS.get(state) or Meaning(Both(state, state), _NOTHING, "warning")


def alarm(name: str | None) -> Meaning | None:
    """What an alarm means; None without one."""
    if name is None:
        return None
    if not name.startswith(_REFUSED):
        return ALARMS.get(name) or Meaning(Both(name, name), _ASK_US, "warning")
    code = name.removeprefix(_REFUSED)
    known = REFUSALS.get(code)
    chinese, english = f"微信支付拒绝了转账（{code}）", f"WeChat Pay refused it ({code})"
    if known is None:
        do = Both(
            "请查看商户平台的提示；无法继续时放弃打款。",
            "See the merchant pages; give it up if it cannot go on.",
        )
        return Meaning(Both(chinese, english), do, "warning")
    what = Both(f"{chinese}：{known.what.chinese}", f"{english}: {known.what.english}")
    return Meaning(what, known.do, "warning")
