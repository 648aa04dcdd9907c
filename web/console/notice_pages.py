"""通知模板: which template of WeChat's tells each occasion, what its keywords show, how it looks, and a test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import cards, notices
from domain.errors import DomainError, Invalid, NotFound
from domain.models import NoticeTemplate
from domain.staff.permissions import Permission
from domain.texts import EN, LANGUAGES, ZH_CN, Words
from web import previews
from web.console import reply_form
from web.console.both import Both
from web.console.cells import Badge
from web.console.navigation import MESSAGES, Menu
from web.console.refusals import explain, said
from web.console.visit import Answer, Visit, page
from web.console.wechat_words import explained
from web.pages import language, t
from web.previews import Preview
from wechat import api
from wechat.api import Template
from wechat.client import PlatformClient
from wechat.errors import WeChatError
from wechat.subscriptions import list_subscription_templates

CHANNELS: Final = {
    notices.TEMPLATE: Both("模板消息", "Template message"),
    notices.SUBSCRIPTION: Both("订阅通知", "Subscription notice"),
}
GROUPS: Final = (
    (Both("朋友与绑定", "Friends"), ("friend", "referrer", "registration", "dispute")),
    (Both("佣金", "Commissions"), ("commission", "team")),
    (Both("提现", "Withdrawals"), ("withdrawal",)),
    (Both("等级与推广资格", "Grades and promoters"), ("grade", "promoter")),
    (Both("给员工与测试", "For staff, and tests"), ("risk", "notice")),
)
"""The occasions by how their names begin; together all of `notices.OCCASIONS`."""
PARAMETERS: Final = {
    "friend": Both("朋友的名字", "The friend's name"),
    "order_no": Both("订单号", "Order number"),
    "level": Both("层级或等级", "Level or grade"),
    "amount": Both("金额（佣金、提现）", "Amount"),
    "paid": Both("朋友付了多少", "What the friend paid"),
    "count": Both("笔数、人数", "How many"),
    "time": Both("时间", "Time"),
    "status": Both("状态（四字）", "Status"),
    "occasion": Both("事项（标题）", "What it is about"),
}
"""`notices.PARAMETERS` in words."""

explain("an openid, please", Both("请填写接收人的 openid。", "Please give the receiver's openid."))
explain("a template id, please", Both("请选择模板，或填写模板 ID。", "Please choose a template."))
explain(
    "no template for this occasion",
    Both("还没有为它选模板，先保存再试发。", "No template was chosen: save one first."),
)

_PROBLEMS: Final = (
    (
        re.compile("WeChat has no such template"),
        Both(
            "微信里没有这个模板：可能被删除，或换了服务类目。请重新选一个。",
            "WeChat has no such template: it was deleted, or the category changed. Choose another.",
        ),
    ),
    (
        re.compile("keywords without a parameter: (.*)"),
        Both("这些栏目还没有内容，会发不出去：{}。", "These keywords show nothing, and WeChat refuses: {}."),
    ),
    (
        re.compile("keywords that the template does not have: (.*)"),
        Both("模板里没有这些栏目，请去掉：{}。", "The template has no such keywords: {}."),
    ),
)  # fmt: skip


def problem_in_words(problem: str) -> str:
    """What `cards.problems` or WeChat has against a template, in the language of the page."""
    words = []
    for part in problem.split("; "):
        for pattern, meaning in _PROBLEMS:
            if found := pattern.fullmatch(part):
                words.append(str(meaning).format(*found.groups()))
                break
        else:
            words.append(part)
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class Line:
    """An occasion of the list, with its choice for each channel."""

    occasion: str
    title: str
    text: str
    chosen: Mapping[str, NoticeTemplate | None]

    def badge(self, channel: str) -> Badge:
        row = self.chosen[channel]
        if row is None:
            return Badge(Both("没选", "None"), "secondary")
        if row.problem:
            return Badge(Both("有问题", "Problem"), "danger")
        return Badge(Both("已选", "Chosen"), "success")


@page(
    "/templates",
    allow=Permission.CHAT_READ,
    menu=Menu(MESSAGES, Both("通知模板", "Notice templates"), "card-text", 45),
)
def templates(visit: Visit) -> Answer:
    """Every occasion, and which template tells it by either channel."""

    def look(session: Session) -> dict[str, dict[str, NoticeTemplate]]:
        read = partial(notices.templates_of, session, visit.account.id)
        return {channel: read(channel) for channel in notices.MAPPED}

    chosen = visit.read(look)
    groups = [
        (title, [_line(one, chosen) for one in notices.OCCASIONS if one.split("_")[0].rstrip("s") in names])
        for title, names in GROUPS
    ]  # fmt: skip
    return render_template(
        "console/notice_templates.html", groups=groups, channels=CHANNELS, words=problem_in_words,
        chosen=sum(len(rows) for rows in chosen.values()),
    )  # fmt: skip


def _line(occasion: str, chosen: Mapping[str, Mapping[str, NoticeTemplate]]) -> Line:
    words = _words()
    text = "" if occasion == notices.RISK_ALERT else words.notice(occasion, cards.sample(occasion))
    rows = {channel: rows.get(occasion) for channel, rows in chosen.items()}
    return Line(occasion, words(f"title.{occasion}"), text, rows)


def _words() -> Words:
    return Words(lang=ZH_CN if language() == "zh" else EN)


@page("/templates/check", allow=Permission.CHAT_CHANGE, methods=("POST",))
def templates_check(visit: Visit) -> Response:
    """Compare every choice with what WeChat has, now. WeChat is asked outside of the transaction."""
    client = visit.context.platform(visit.account)
    problems = 0
    for channel in notices.MAPPED:
        read = partial(notices.templates_of, account_id=visit.account.id, channel=channel)
        chosen = visit.read(read)
        try:
            contents = previews.contents_of(client, channel) if chosen else {}
        except WeChatError as error:
            flash(f"{CHANNELS[channel]}：{explained(error)}", "danger")
            return redirect(visit.url("templates"))
        said_of = cards.problems_of(list(chosen.values()), contents)
        problems += sum(one is not None for one in said_of.values())
        visit.transact(partial(_note_problems, visit, channel, said_of))
    if problems:
        flash(t(f"有 {problems} 处要改，见标红的。", f"{problems} to mend: see what is red."), "warning")  # fmt: skip
    else:
        flash(t("和微信里的一致，没有问题。", "All as WeChat has it."), "success")
    return redirect(visit.url("templates"))


def _note_problems(
    visit: Visit, channel: str, said_of: Mapping[str, str | None], session: Session
) -> None:
    for template_id, problem in sorted(said_of.items()):
        notices.note_problem(session, visit.account.id, channel, template_id, problem, visit.now)


# --- one occasion ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """A keyword of the chosen template: its label, what it shows by the merchant's choice ("" by ours), what we guess,
    what the phone shows, and why not."""

    keyword: str
    label: str
    chosen: str
    guess: str
    value: str
    unfit: str


def _asked() -> tuple[str, str]:
    """(channel, language) that the address or the form names."""
    channel = request.values.get("channel", notices.TEMPLATE)
    lang = request.values.get("lang", "")
    return (
        channel if channel in notices.MAPPED else notices.TEMPLATE,
        lang if lang in LANGUAGES else "",
    )


def _known(occasion: str) -> str:
    if occasion not in notices.OCCASIONS:
        raise NotFound("no such occasion", occasion=occasion[:32])
    return occasion


def _list(client: PlatformClient, channel: str) -> tuple[list[Template], str]:
    """The templates that WeChat has, or none and why."""
    try:
        found = (
            api.list_templates(client)
            if channel == notices.TEMPLATE
            else list_subscription_templates(client)
        )
    except WeChatError as error:
        return [], explained(error)
    return found, ""


@page("/templates/<occasion>", allow=Permission.CHAT_READ)
def template(visit: Visit, occasion: str) -> Answer:
    """One occasion: its template, what each keyword shows, and how it looks on a phone."""
    occasion, (channel, lang) = _known(occasion), _asked()
    offered, trouble = _list(visit.context.platform(visit.account), channel)
    contents = {one.template_id: one for one in offered}

    def look(session: Session) -> tuple[NoticeTemplate | None, Preview | None, Preview]:
        row = notices.templates_of(session, visit.account.id, channel).get(occasion)
        text = previews.preview(session, visit.account, occasion, notices.CUSTOM, lang)
        if row is None:
            return None, None, text
        there = contents.get(row.template_id)
        content = "" if there is None else there.content
        return row, previews.preview(session, visit.account, occasion, channel, lang, content), text

    row, shown, plain = visit.read(look)
    there = contents.get(row.template_id) if row else None
    return render_template(
        "console/notice_template.html", occasion=occasion, title=_words()(f"title.{occasion}"), channel=channel,
        channels=CHANNELS, spoken=lang or visit.account.settings.language, languages=reply_form.LANGUAGES,
        row=row, there=there,
        offered=offered, trouble=trouble, parameters=_parameters(occasion), plain=plain.text,
        fields=_fields(occasion, row, there, shown), problem=_told(row, there, trouble),
        borrowed=notices.MERGED.get(occasion),
    )  # fmt: skip


def _parameters(occasion: str) -> dict[str, str]:
    """What this occasion can show, with an example each."""
    example = cards.words_of(cards.sample(occasion))
    return {name: f"{PARAMETERS[name]}：{example[name]}" for name in PARAMETERS if name in example}


def _fields(
    occasion: str, row: NoticeTemplate | None, there: Template | None, shown: Preview | None
) -> list[Field]:
    if row is None or shown is None:
        return []
    chosen = notices.fields_of(row) or {}
    content = there.content if there else ""
    guess = cards.fields_from(content, cards.words_of(cards.sample(occasion)))
    guess = guess or dict(cards.DEFAULT_FIELDS[occasion])
    labels = {keyword: label for label, keyword in cards.keywords(content)}
    return [
        Field(
            name, labels.get(name) or name, chosen.get(name, ""), guess.get(name, ""),
            shown.fields.get(name, ""), shown.unfit.get(name, ""),
        )
        for name in [*labels, *(one for one in chosen or guess if one not in labels)]
    ]  # fmt: skip


def _told(row: NoticeTemplate | None, there: Template | None, trouble: str) -> str:
    """What is wrong with the choice: by what WeChat has now, else as it was noted last."""
    if row is None:
        return ""
    if trouble:
        return problem_in_words(row.problem) if row.problem else ""
    found = cards.problems(notices.fields_of(row), there.content if there else None)
    return problem_in_words("; ".join(found) or row.problem or "")


@page("/templates/<occasion>/set", allow=Permission.CHAT_CHANGE, methods=("POST",))
def template_set(visit: Visit, occasion: str) -> Response:
    """Choose the template, and what its keywords show; where nothing is chosen for any, we decide by label and kind."""
    occasion, (channel, _) = _known(occasion), _asked()
    written = request.form.get("template_id", "") or request.form.get("other", "")
    template_id = written.strip()
    fields = _given()

    def choose(session: Session) -> None:
        before = notices.templates_of(session, visit.account.id, channel).get(occasion)
        was = None if before is None else _noted(before)
        same = before is not None and before.template_id == template_id
        notices.set_template(
            session,
            visit.account.id,
            occasion,
            template_id,
            (fields or None) if same else None,
            channel,
        )
        after = notices.templates_of(session, visit.account.id, channel)[occasion]
        visit.note(
            session,
            action="template_set",
            subject=f"template/{occasion}/{channel}",
            before=was,
            after=_noted(after),
        )

    return visit.change(
        choose, done=t("已保存，下一条通知就用它。", "Saved: the next notice uses it."),
        back=visit.url("template", occasion=occasion, channel=channel),
    )  # fmt: skip


def _given() -> dict[str, str]:
    """keyword → parameter of the form. When one is chosen, the others keep what we guess: none stays empty."""
    pairs = zip(
        request.form.getlist("keyword"), request.form.getlist("parameter"), request.form.getlist("guess"), strict=False
    )  # fmt: skip
    rows = [(keyword[:32], chosen, guess) for keyword, chosen, guess in pairs]
    if not any(chosen for _, chosen, _ in rows):
        return {}
    return {keyword: chosen or guess for keyword, chosen, guess in rows if chosen or guess}


def _noted(row: NoticeTemplate) -> dict[str, Any]:
    return {"template_id": row.template_id, "fields": notices.fields_of(row)}


@page("/templates/<occasion>/remove", allow=Permission.CHAT_CHANGE, methods=("POST",))
def template_remove(visit: Visit, occasion: str) -> Response:
    """Tell the occasion by this channel no more: the next rung of the ladder does."""
    occasion, (channel, _) = _known(occasion), _asked()

    def remove(session: Session) -> None:
        before = notices.templates_of(session, visit.account.id, channel).get(occasion)
        notices.remove_template(session, visit.account.id, occasion, channel)
        was = None if before is None else _noted(before)
        visit.note(
            session,
            action="template_removed",
            subject=f"template/{occasion}/{channel}",
            before=was,
            after={"reason": visit.reason()},
        )

    return visit.change(
        remove, done=t("已停用这个模板。", "It is used no more."),
        back=visit.url("template", occasion=occasion, channel=channel),
    )  # fmt: skip


@page("/templates/<occasion>/test", allow=Permission.CHAT_CHANGE, methods=("POST",))
def template_test(visit: Visit, occasion: str) -> Response:
    """Send the sample to one phone, now; what WeChat says against it is explained."""
    occasion, (channel, lang) = _known(occasion), _asked()
    openid = request.form.get("openid", "").strip()[:64]
    back = redirect(visit.url("template", occasion=occasion, channel=channel, lang=lang))
    try:
        if not openid:
            raise Invalid("an openid, please")
        previews.send_test(visit.context, visit.account, occasion, channel, openid, lang)
    except WeChatError as error:
        flash(explained(error), "danger")
        return back
    except DomainError as error:
        flash(said(error), "danger")
        return back
    visit.transact(
        lambda session: visit.note(
            session,
            action="template_tested",
            subject=f"template/{occasion}/{channel}",
            after={"openid": openid},
        )
    )
    flash(t("已发出，请看那部手机。", "Sent: look at that phone."), "success")
    return back
