"""接口额度: what the account may still ask of WeChat today, how its token is, what WeChat refused, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain.errors import Invalid
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.navigation import CARE, Menu
from web.console.visit import Answer, Visit, page
from web.console.wechat_words import address_in, explained
from web.pages import t
from wechat.clearing import PER_MONTH, clear_path
from wechat.errors import WeChatError, refusal
from wechat.quota import LIMITS, QuotaLeft
from wechat.troubles import Trouble

LITTLE: Final = 0.2
"""Less than this share left is worth a colour."""

NAMES: Final = {
    path: Both(chinese, english)
    for path, chinese, english in (
        ("/cgi-bin/stable_token", "访问凭证", "Access token"),
        ("/cgi-bin/ticket/getticket", "网页签名凭证", "JS-SDK ticket"),
        ("/cgi-bin/openapi/quota/get", "查询额度", "Ask for the quota"),
        ("/cgi-bin/openapi/quota/clear", "清零额度", "Clear the quota"),
        ("/cgi-bin/menu/create", "更新菜单", "Set the menu"),
        ("/cgi-bin/menu/get", "读取菜单", "Read the menu"),
        ("/cgi-bin/menu/delete", "删除菜单", "Delete the menu"),
        ("/cgi-bin/menu/addconditional", "加个性化菜单", "Add a menu for some"),
        ("/cgi-bin/menu/delconditional", "删个性化菜单", "Delete a menu for some"),
        ("/cgi-bin/menu/trymatch", "试个性化菜单", "Try a menu for some"),
        ("/cgi-bin/media/upload", "上传图片（海报）", "Upload pictures"),
        ("/cgi-bin/media/get", "下载素材", "Download media"),
        ("/cgi-bin/media/uploadimg", "上传文章配图", "Upload pictures of articles"),
        ("/cgi-bin/message/custom/send", "客服消息", "Customer-service messages"),
        ("/cgi-bin/message/template/send", "模板消息", "Template messages"),
        ("/cgi-bin/message/subscribe/bizsend", "订阅通知", "Subscription notices"),
        ("/cgi-bin/message/mass/sendall", "群发（全部或按标签）", "Broadcast to all or a tag"),
        ("/cgi-bin/message/mass/send", "群发（按名单）", "Broadcast to a list"),
        ("/cgi-bin/message/mass/preview", "群发预览", "Broadcast preview"),
        ("/cgi-bin/qrcode/create", "生成二维码", "Make codes"),
        ("/cgi-bin/user/get", "粉丝名单", "List of followers"),
        ("/cgi-bin/user/info", "粉丝资料", "Profile of a follower"),
        ("/cgi-bin/user/info/batchget", "批量粉丝资料", "Profiles of followers"),
        ("/cgi-bin/user/info/updateremark", "改粉丝备注", "Remark of a follower"),
        ("/cgi-bin/draft/add", "新建草稿", "Add a draft"),
        ("/cgi-bin/draft/get", "读取草稿", "Read a draft"),
        ("/cgi-bin/draft/delete", "删除草稿", "Delete a draft"),
        ("/cgi-bin/draft/update", "修改草稿", "Change a draft"),
        ("/cgi-bin/draft/count", "草稿数量", "Count drafts"),
        ("/cgi-bin/draft/batchget", "草稿列表", "List drafts"),
        ("/cgi-bin/freepublish/submit", "发布文章", "Publish"),
        ("/cgi-bin/freepublish/get", "查询发布", "Ask about publishing"),
        ("/cgi-bin/freepublish/delete", "删除文章", "Delete an article"),
        ("/cgi-bin/freepublish/getarticle", "读取文章", "Read an article"),
        ("/cgi-bin/freepublish/batchget", "文章列表", "List articles"),
        ("/sns/oauth2/access_token", "网页登录", "Web login"),
        ("/sns/oauth2/refresh_token", "网页登录续期", "Web login, renewed"),
        ("/sns/userinfo", "网页登录资料", "Web login, profile"),
        ("/cgi-bin/template/get_all_private_template", "模板列表", "List templates"),
        ("/wxaapi/newtmpl/gettemplate", "订阅模板列表", "List subscription templates"),
        ("/cgi-bin/getcallbackip", "微信服务器地址", "WeChat's addresses"),
    )
}
"""Every path of the meter, and some that may fail, in words."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One API as the page shows it."""

    left: QuotaLeft
    title: str

    @property
    def is_used(self) -> bool:
        return bool(self.left.day_used or self.left.minute_used or self.left.refused_until)

    @property
    def tone(self) -> str:
        """How bad it is: danger when nothing goes, warning when little is left."""
        left, limit = self.left.day_left, self.left.day_limit
        if self.left.refused_until is not None or left == 0:
            return "danger"
        return "warning" if left is not None and limit and left < limit * LITTLE else ""

    @property
    def clears(self) -> bool:
        """Whether WeChat would clear it: an API that is counted by the day."""
        return self.left.path.startswith("/cgi-bin/") and self.left.path in LIMITS


@dataclass(frozen=True, slots=True)
class Failure:
    """A trouble in words, with the address that WeChat wants on its white list."""

    trouble: Trouble
    title: str
    words: str
    address: str | None


@page(
    "/quota",
    allow=Permission.DELIVERY_READ,
    menu=Menu(CARE, Both("接口额度", "WeChat quota"), "speedometer", 20),
)
def quota(visit: Visit) -> Answer:
    """Each API with what is left today and in this minute; the token's life; the last failures."""
    client = visit.context.platform(visit.account)
    meters = [Meter(one, title_of(one.path)) for one in client.quota.left()]
    return render_template(
        "console/quota.html", used=[one for one in meters if one.is_used], per_month=PER_MONTH,
        unused=[one for one in meters if not one.is_used], seconds=client.tokens.seconds_left(),
        failures=[_failure(one) for one in client.troubles.latest()], counted=bool(meters),
    )  # fmt: skip


def title_of(path: str) -> str:
    """An API in words; its path where we have none."""
    return str(NAMES.get(path, path))


def _failure(one: Trouble) -> Failure:
    error = WeChatError(one.message, path=one.path)
    if one.errcode is not None:
        error = refusal(one.errcode, one.message, one.path)
    return Failure(one, title_of(one.path), explained(error), address_in(error))


@page("/quota/clear", allow=Permission.DELIVERY_CHANGE, methods=("POST",))
def quota_clear(visit: Visit) -> Response:
    """WeChat clears the day's count of one API, and so do we. WeChat is called outside of the transaction."""
    path, client = _path(), visit.context.platform(visit.account)
    try:
        clear_path(client, path)
    except WeChatError as error:
        flash(_no_clearing(error), "danger")
        return redirect(visit.url("quota"))
    return _noted(
        visit, "quota_cleared", path, t("微信已清零，可以继续了。", "WeChat has cleared it.")
    )


def _no_clearing(error: WeChatError) -> str:
    if error.errcode == 48006:
        return t(
            f"本月 {PER_MONTH} 次清零机会已用完，只能等零点恢复。",
            f"All {PER_MONTH} clearings of this month are used: it returns at midnight.",
        )
    return explained(error)


@page("/quota/forget", allow=Permission.DELIVERY_CHANGE, methods=("POST",))
def quota_forget(visit: Visit) -> Response:
    """The merchant cleared or raised it on WeChat's pages: our own count begins again."""
    path = _path()
    visit.context.platform(visit.account).quota.forget(path)
    return _noted(visit, "quota_forgotten", path, t("已重新开始计数。", "The count begins again."))


def _path() -> str:
    path = request.form.get("api", "")
    if path not in LIMITS:
        raise Invalid("no such API", path=path[:190])
    return path


def _noted(visit: Visit, action: str, path: str, done: str) -> Response:
    def write(session: Session) -> None:
        after = {"reason": visit.reason()}
        visit.note(session, action=action, subject=f"quota{path}", after=after)

    return visit.change(write, done=done, back=visit.url("quota"))
