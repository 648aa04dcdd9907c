"""What stops an account at WeChat and what to do about it, in both languages. What single calls are refused for is in
wechat/explained.py and the texts `wechat.<code>`.

https://developers.weixin.qq.com/doc/oplatform/developers/errCode/errCode.html
"""

from __future__ import annotations

import re
from typing import Final

from domain.texts import TEXTS
from web.console.both import Both
from wechat import explained as meanings
from wechat.errors import QuotaExceeded, Retryable, WeChatError

_IP: Final = re.compile(r"invalid ip\s+([0-9a-fA-F:.]+)")
_CODE: Final = re.compile(r"(?<!\d)(\d{5})(?!\d)")
_WHERE: Final = "微信公众平台（或微信开发者平台）› 设置与开发 › 开发接口管理 › 基本配置"

EXPLAINED: Final = {
    -1: Both("微信系统繁忙，过一会儿再试。", "WeChat is busy: try again later."),
    40001: Both(
        "AppSecret 或访问凭证无效：AppSecret 可能重置过，请在「微信接入」更新；也可能有别的系统在抢凭证。",
        "AppSecret or token invalid: the secret was reset (enter it again), or another system fetches tokens, too.",
    ),
    40002: Both("请求的凭证类型不对，请联系我们。", "The kind of credential is wrong: tell us."),
    40013: Both(
        "AppID 不对：请核对「基本配置」里的开发者 ID，注意不要填成小程序或商户号的。",
        "The AppID is wrong: compare it with the developer id in the basic configuration.",
    ),
    40037: Both(
        "微信里没有这个模板 ID：可能被删除，或换了服务类目。请在「通知模板」重新选。",
        "WeChat has no such template: choose another under notice templates.",
    ),
    40125: Both(
        "AppSecret 不对：请在「基本配置」里重置或启用，再到「微信接入」更新。重置后旧的立即失效。",
        "The AppSecret is wrong: reset or enable it there, then enter it here. The old one dies at once.",
    ),
    40164: Both(
        "我们服务器的 IP 不在白名单里：请把它加进「基本配置」的 IP 白名单，几分钟后再查。",
        "Our address is not on the white list: add it in the basic configuration, and look again in some minutes.",
    ),
    40249: Both(
        "模板消息里有营销内容，被微信拒绝。推广请用群发。", "Refused as marketing: use a broadcast for promotions."
    ),
    40243: Both(
        "AppSecret 已被冻结：请在公众平台解冻，再检查一次。", "The AppSecret is frozen: release it there."
    ),
    42001: Both("访问凭证过期了，再检查一次即可。", "The token has expired: look again."),
    43101: Both(
        "对方没有允许订阅通知，或允许的次数用完了。", "The person has allowed no notice, or all were used."
    ),
    43116: Both(
        "这个模板被微信限制了：请到公众平台查看原因，或换一个模板。", "WeChat has restricted this template."
    ),
    45009: Both("今天这个接口的次数用完了，明天零点恢复。", "Today's calls are used up; they return at midnight."),
    45011: Both("这一分钟调用太频繁，稍等再试。", "Too many calls in this minute: wait a little."),
    46003: Both("公众号还没有菜单。", "The account has no menu yet."),
    47003: Both(
        "模板的某一栏内容不合格（太长、类型不符或为空）：请在「通知模板」里换一个内容。",
        "A keyword does not take its value: let it show something else.",
    ),
    48001: Both(
        "这个公众号没有此接口的权限：订阅号和未认证的号都没有，请用已认证的服务号。",
        "The account may not use this: verified service accounts may.",
    ),
    48004: Both(
        "此接口因违规被封禁，请到公众平台查看通知并申诉。", "The interface is banned: see the platform's notices."
    ),
    50002: Both("账号受到限制，请到公众平台查看通知。", "The account is limited: see the platform's notices."),
    50004: Both("此账号的接口已被禁用，请到公众平台查看通知。", "The account's interfaces are disabled."),
    50007: Both("账号已冻结，请到公众平台查看通知。", "The account is frozen."),
    61024: Both("账号托管给了第三方平台，不能再用 AppSecret。", "A third-party platform runs the account."),
    89503: Both(
        "这次调用需要公众号管理员确认：请管理员在微信里点「确认」，再检查一次。",
        "An administrator has to confirm our address in WeChat; then look again.",
    ),
    89506: Both("管理员两次拒绝了我们的 IP，24 小时内不能再试。", "An administrator refused twice: 24 hours."),
    89507: Both("管理员拒绝了我们的 IP，1 小时内不能再试。", "An administrator refused: one hour."),
}  # fmt: skip
"""errcode → what it means and what to do."""


def address_in(error: WeChatError) -> str | None:
    """The IP address that WeChat saw, when it says that it is not on the white list."""
    found = _IP.search(str(error)) if error.errcode == 40164 else None
    return found.group(1) if found else None


def explained(error: WeChatError) -> str:
    """What a failure means and what to do, in the language of the page; WeChat's own words where we have none."""
    known = None if error.errcode is None else EXPLAINED.get(error.errcode)
    if known is not None:
        return str(known)
    english = meanings.explained(error.errcode)
    if english is not None:
        chinese = TEXTS.get(f"wechat.{error.errcode}", english)
        return str(Both(f"{chinese}（{error.errcode}）", f"{english} ({error.errcode})"))
    if error.errcode is not None:
        return str(Both(f"微信拒绝了：{error}", f"WeChat refused: {error}"))
    if isinstance(error, QuotaExceeded):
        return str(EXPLAINED[45009])
    if isinstance(error, Retryable):
        return str(
            Both(
                "连不上微信服务器，或没有等到回答：请检查服务器的外网和 DNS，稍后再试。",
                "WeChat cannot be reached, or does not answer: check the network, and try again.",
            )
        )
    return str(Both(f"没有成功：{error}", f"Failed: {error}"))


def retold(noted: str) -> str:
    """What a row noted of a failure, in words when it names one of WeChat's codes that we know."""
    found = _CODE.search(noted)
    code = int(found[1]) if found is not None else None
    if code is None or not (code in EXPLAINED or meanings.explained(code)):
        return noted
    return explained(WeChatError("", errcode=code))


WHERE: Final = Both(_WHERE, "WeChat's pages › Settings and development › Basic configuration")
