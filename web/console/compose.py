"""写群发: the composer. Text, picture, articles or a notice, to whom, and beside it a phone that shows how it looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from flask import flash, redirect, render_template, request
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound as NoPage
from werkzeug.wrappers import Response

from domain import campaigns, grades, members, tags
from domain.campaigns import audience as people
from domain.campaigns import content as contents
from domain.campaigns.audience import Audience, Counted
from domain.campaigns.content import Content
from domain.errors import DomainError, NotFound
from domain.models import Campaign
from domain.staff.permissions import Permission
from domain.texts import EN, ZH_CN, ZH_TW
from web.console import composing
from web.console.both import Both
from web.console.refusals import explain, said
from web.console.visit import Answer, Visit, page
from web.pages import t

CHANNELS: Final = {
    people.MASS: Both("群发消息（每人每月最多 4 条）", "Mass message (four a month each)"),
    people.CUSTOM: Both("客服消息（48 小时内有互动的人）", "Customer-service message (48 hours)"),
    people.SUBSCRIPTION: Both("订阅通知（允许过的人，不能写促销）", "Subscription notice (no promotions)"),
    people.PUBLISH: Both("发布文章（不推送给任何人）", "Publish articles (nobody is sent them)"),
}  # fmt: skip
KINDS: Final = {
    contents.TEXT: Both("文字", "Text"),
    contents.IMAGE: Both("图片", "Picture"),
    contents.ARTICLE: Both("图文", "Articles"),
    contents.NOTICE: Both("订阅通知", "Notice"),
}
CALLS: Final = {
    people.MASS: ("/cgi-bin/message/mass/send", "/cgi-bin/message/mass/sendall"),
    people.CUSTOM: ("/cgi-bin/message/custom/send",),
    people.SUBSCRIPTION: ("/cgi-bin/message/subscribe/bizsend",),
    people.PUBLISH: ("/cgi-bin/freepublish/submit",),
}
LANGUAGES: Final = {ZH_CN: "简体中文", ZH_TW: "繁體中文", EN: "English"}
A_LIST: Final = 10_000
"""People of one call of a mass message (platform.md 10)."""

explain(
    "filters of an audience are out of range",
    Both("受众条件不对，请检查。", "The filters of the audience cannot be right."),
)
explain(
    "no such member",
    Both(
        "没有这个粉丝：请填 openid 或邀请码。",
        "There is no such follower: give an openid or a code.",
    ),
)
explain(
    "at most 20 pictures, with plain names",
    Both("一次群发最多 20 张图片。", "At most 20 pictures."),
)
explain("a picture has at most 2 MiB", Both("每张图片最大 2 MB。", "A picture has at most 2 MB."))
explain(
    "a campaign needs a name of at most 190 characters",
    Both("请写一个名称。", "Please give it a name."),
)


@dataclass(frozen=True)
class Reach:
    """Whom it would reach now, and what it takes of today's calls; `left` is None while nobody knows."""

    counted: Counted
    calls: int
    left: int | None

    @property
    def is_enough(self) -> bool:
        return self.left is None or self.calls <= self.left


def reach(session: Session, visit: Visit, channel: str, wanted: Audience, content: Content) -> Reach:  # fmt: skip
    """The count before the button. Of a WeChat tag: who carried it when we last heard of it."""
    counted = campaigns.count(
        session, visit.account.id, channel, wanted, visit.now, template_id=content.template_id
    )
    calls = counted.people
    if channel == people.MASS:
        calls = -(-counted.people // A_LIST)
    elif channel == people.PUBLISH:
        calls = 1
    return Reach(counted, calls, left_today(visit, channel))


def left_today(visit: Visit, channel: str) -> int | None:
    """Calls of this channel that are left today by our own count; None while Redis is away."""
    known = visit.context.platform(visit.account).quota.left()
    left = [
        one.day_left for one in known if one.path in CALLS[channel] and one.day_left is not None
    ]
    return min(left, default=None)


def named_promoter(session: Session, visit: Visit, filters: dict[str, Any]) -> dict[str, Any]:
    """The filters with the openid of whom the form names by openid or code. Raises `NotFound`."""
    if "promoter" not in filters:
        return filters
    found = members.find_named(session, visit.account.id, filters["promoter"])
    if found is None:
        raise NotFound("no such member")
    return {**filters, "promoter": found.openid}


@page("/broadcasts/new", allow=Permission.BROADCASTS_SEND, methods=("GET", "POST"))
def broadcast_new(visit: Visit) -> Answer:
    """Write one."""
    return _composer(visit, None)


@page("/broadcasts/<int:campaign_id>/edit", allow=Permission.BROADCASTS_SEND, methods=("GET", "POST"))  # fmt: skip
def broadcast_edit(visit: Visit, campaign_id: int) -> Answer:
    """Write on at a draft."""
    row = visit.read(lambda session: campaigns.get(session, visit.account.id, campaign_id))
    if row.state != campaigns.DRAFT:
        flash(t("只有草稿能改。", "Only a draft can be edited."), "danger")
        return redirect(visit.url("broadcast", campaign_id=campaign_id))
    return _composer(visit, row)


def _composer(visit: Visit, row: Campaign | None) -> Answer:
    kept = visit.read(lambda session: _kept(session, row))
    given: Any = request.form if request.method == "POST" else {}
    if row is not None and request.method == "GET":
        given = composing.given_of(row, kept)
    if request.method == "POST" and given.get("do") != "look":
        try:
            made = visit.transact(lambda session: _save(session, visit, row, kept))
        except DomainError as error:
            flash(_why(error), "danger")
        else:
            flash(t("已存为草稿。", "Saved as a draft."), "success")
            return redirect(visit.url("broadcast", campaign_id=made))
    look = _look(visit, row, kept, given) if given else None
    lists = visit.read(lambda session: _lists(session, visit))
    return render_template(
        "console/broadcast_new.html", row=row, given=given, kept=kept, channels=CHANNELS, kinds=KINDS, look=look,
        languages=LANGUAGES, articles=composing.ARTICLES, named=composing.named, **lists,
    )  # fmt: skip


def _why(error: DomainError) -> str:
    problems = error.details.get("problems")
    return "；".join(problems) if problems else said(error)


def _kept(session: Session, row: Campaign | None) -> dict[str, bytes]:
    if row is None:
        return {}
    return {name: one.content for name, one in campaigns.files_of(session, row.id).items()}


def _lists(session: Session, visit: Visit) -> dict[str, Any]:
    account_id = visit.account.id
    return {"grades": grades.all_of(session, account_id), "tags": tags.tags_of(session, account_id)}


def _save(session: Session, visit: Visit, row: Campaign | None, kept: dict[str, bytes]) -> int:
    written = composing.read(kept)
    values: dict[str, Any] = {
        "name": written.name or t("群发", "Broadcast"), "channel": written.channel, "content": written.content,
        "audience": named_promoter(session, visit, written.audience), "files": written.files,
        "scheduled_at": written.scheduled_at, "actor": visit.actor, "now": visit.now,
    }  # fmt: skip
    if row is None:
        return campaigns.create(session, visit.account, **values).id
    return campaigns.edit(session, visit.account.id, row.id, **values).id


# --- how it will look -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What stands beside the form: the message as a phone shows it, what is wrong with it, whom it reaches."""

    content: Content
    addresses: dict[str, str]
    problems: list[str]
    reach: Reach | None
    refused: str = ""

    def body(self, html: str) -> Markup:
        """An article's body, harmless."""
        return composing.shown_body(html, self.addresses)


def addresses_of(visit: Visit, row: Campaign | None, names: Any) -> dict[str, str]:
    """Where the pictures of a stored draft are shown."""
    if row is None:
        return {}
    return {
        name: visit.url("broadcast_picture", campaign_id=row.id, picture=name) for name in names
    }


def _look(visit: Visit, row: Campaign | None, kept: dict[str, bytes], given: Any) -> Look | None:
    try:
        if request.method == "GET" and row is not None:
            content, channel, files = campaigns.content_of(row), row.channel, kept
            filters = campaigns.audience_of(row).as_value()
        else:
            written = composing.read(kept)
            content, channel, files = (
                contents.parse(written.content),
                written.channel,
                written.files,
            )
            filters = written.audience
        addresses = addresses_of(visit, row, kept)
        look = Look(content, addresses, contents.problems(channel, content, files), None)
    except DomainError as error:
        return Look(Content(contents.TEXT), {}, [], None, said(error))
    try:
        found = visit.read(lambda session: reach(
            session, visit, channel, Audience.parse(named_promoter(session, visit, filters)), content
        ))  # fmt: skip
        return replace(look, reach=found)
    except DomainError as error:
        return replace(look, refused=said(error))


@page("/broadcasts/look", allow=Permission.BROADCASTS_SEND, methods=("POST",))
def broadcast_look(visit: Visit) -> Answer:
    """The form as it is written just now, for console.js: preview, problems and count; nothing is kept."""
    number = request.form.get("draft", type=int)
    row = None
    if number is not None:
        row = visit.read(lambda session: campaigns.get(session, visit.account.id, number))
    kept = visit.read(lambda session: _kept(session, row))
    return render_template(
        "console/broadcast_look.html", look=_look(visit, row, kept, request.form)
    )


@page("/broadcasts/<int:campaign_id>/pictures/<picture>", allow=Permission.BROADCASTS_READ)
def broadcast_picture(visit: Visit, campaign_id: int, picture: str) -> Response:
    """A picture of a broadcast, for its preview."""

    def find(session: Session) -> bytes:
        campaigns.get(session, visit.account.id, campaign_id)
        found = campaigns.files_of(session, campaign_id).get(picture)
        if found is None:
            raise NoPage
        return found.content

    content = visit.read(find)
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, mimetype=kind, headers={"Cache-Control": "private, max-age=60"})
