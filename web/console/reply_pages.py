"""自动回复: the list, the form with a phone beside it, off and on, removal; and 欢迎语, what a new follower reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import bodies, codes, replies, texts, welcomes
from domain.db import to_json
from domain.errors import Conflict, DomainError
from domain.models import Code, Reply
from domain.replies import Rule
from domain.staff.permissions import Permission
from domain.texts import Words
from web.console import reply_form
from web.console.both import Both
from web.console.cells import BADGE, COUNT, Badge
from web.console.listing import Choice, Column, Condition, Listing, Search, Sort
from web.console.navigation import MESSAGES, Menu
from web.console.reply_form import KINDS, MATCHINGS, Phone, Written
from web.console.reply_words import why
from web.console.visit import Answer, Visit, page
from web.pages import t

WELCOME_TEXTS: Final = ("follow.welcome", "follow.bound", "follow.again")
CODES_SHOWN: Final = 50
ON: Final = Badge(Both("开", "On"), "success")
OFF: Final = Badge(Both("关", "Off"))


def _found_by(_visit: Visit, text: str) -> Condition:
    return or_(
        *(
            column.contains(text, autoescape=True)
            for column in (Reply.keyword, Reply.messages, Reply.variants, Reply.body)
        )
    )


def _languages(row: Reply) -> str:
    names = [reply_form.LANGUAGES.get(lang, lang) for lang in Rule.of(row).variants]
    return t("、", ", ").join([t("通用", "All"), *names])


def _how(row: Reply) -> str | None:
    return reply_form.how(row.kind, row.matching) if row.keyword else None


def _address(visit: Visit, row: Reply) -> str:
    if row.kind == replies.SUBSCRIBE:
        return visit.url("welcome")
    return visit.url("reply", reply_id=row.id)


REPLIES: Final = Listing(
    title=Both("自动回复", "Automatic replies"),
    columns=(
        Column(
            Both("什么时候", "When"),
            lambda row: row.keyword or str(KINDS[row.kind]),
            href=_address,
            lead=True,
        ),
        Column(Both("怎么对上", "Fits by"), _how),
        Column(Both("回答", "Answer"), lambda row: bodies.outline(Rule.of(row).messages)),
        Column(Both("语言", "Languages"), _languages, wide=True),
        Column(Both("优先级", "Priority"), lambda row: row.priority, COUNT, wide=True),
        Column(Both("太慢", "Too slow"), lambda row: row.timeouts or None, COUNT, wide=True),
        Column(Both("状态", "State"), lambda row: ON if row.enabled else OFF, BADGE),
    ),
    sorts=(
        Sort("newest", Both("最新", "Newest"), Reply.id, lambda row: row.id),
        Sort(
            "keyword",
            Both("关键字", "Keyword"),
            Reply.keyword,
            lambda row: row.keyword,
            descending=False,
        ),
        Sort("priority", Both("优先级", "Priority"), Reply.priority, lambda row: row.priority),
        Sort("slow", Both("太慢的次数", "Too slow"), Reply.timeouts, lambda row: row.timeouts),
    ),
    filters=(
        Choice("kind", Both("什么时候", "When"), tuple(KINDS.items()), Reply.kind),
        Choice(
            "matching",
            Both("怎么对上", "Fits by"),
            tuple(MATCHINGS.items()),
            where=lambda value: (Reply.kind == replies.KEYWORD) & (Reply.matching == value),
        ),
        Choice(
            "state",
            Both("状态", "State"),
            (("on", ON.words), ("off", OFF.words)),
            where=lambda value: Reply.enabled.is_(value == "on"),
        ),
    ),
    search=Search(Both("关键字或回答里的话", "Keyword or words of the answer"), _found_by),
    id_column=Reply.id,
    row_id=lambda row: row.id,
    file="replies",
    empty=Both(
        "还没有自动回复。粉丝说的话没有对上时，会看到默认的一句话。",
        "No replies yet: the default text is said to whatever fits nothing.",
    ),
    template="console/reply_list.html",
)


@page(
    "/replies",
    allow=Permission.CHAT_READ,
    menu=Menu(MESSAGES, Both("自动回复", "Replies"), "chat-dots", 21),
)
def reply_list(visit: Visit) -> Answer:
    """Every reply of the account."""
    return REPLIES.answer(visit, select(Reply).where(Reply.account_id == visit.account.id))


# --- the form -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What stands beside the form: phones, and why it cannot be kept as it is."""

    phones: Sequence[Phone]
    refused: str = ""
    addresses: Mapping[int, str] = field(default_factory=dict)


def _mark_of(row: Reply | None) -> str:
    """Tells whether a reply is still what the form was made from."""
    if row is None:
        return ""
    value = replies.as_value(row)
    del value["timeouts"]
    return hashlib.sha256(to_json(value).encode()).hexdigest()[:16]


def _form(visit: Visit, row: Reply | None, given: Mapping[str, str], look: Look) -> str:
    offered = visit.read(lambda session: reply_form.choices(session, visit.account.id))
    return render_template(
        "console/reply.html", row=row, given=given, look=look, was=_was(row), **offered
    )


def _was(row: Reply | None) -> str:
    return request.form["was"] if "was" in request.form else _mark_of(row)


def _looked(visit: Visit, written: Written) -> Look:
    """The form as it is written on phones, one a language, and what is wrong with it."""
    return replace(_look_of(visit, written), refused=_refusal(visit, written.rule()))


def _refusal(visit: Visit, rule: Rule) -> str:
    try:
        visit.read(lambda session: replies.check(session, visit.account.id, rule))
    except DomainError as error:
        return why(error)
    return ""


def _look_of(visit: Visit, written: Written) -> Look:
    heard, did = _occasion(written)
    phones = [
        Phone(
            visit.account.name if lang == reply_form.ALL else reply_form.LANGUAGES[lang], heard, did,
            reply_form.lines_of(
                visit, [one.body or reply_form.STAND_IN for one in said], names=reply_form.names_of(said)
            ),
        )
        for lang, said in written.messages.items()
    ]  # fmt: skip
    return Look(phones, addresses=addresses(visit, written.rule()))


def _occasion(written: Written) -> tuple[str, str]:
    """What the follower says, or what they do."""
    if written.kind == replies.CLICK:
        return "", t(f"点了「{written.keyword}」", f"tapped “{written.keyword}”")
    if written.kind == replies.DEFAULT:
        return t("（别的话）", "(something else)"), ""
    if written.matching == replies.REGEX:
        return t("（符合正则的话）", "(what the pattern fits)"), ""
    around = t("请问{}？", "Hello, {}?") if written.matching == replies.CONTAINS else "{}"
    return around.replace("{}", written.keyword) if written.keyword else "", ""


def addresses(visit: Visit, *rules: Rule) -> dict[int, str]:
    """Where the pictures of these replies are shown."""
    said = [
        body for rule in rules for each in (rule.messages, *rule.variants.values()) for body in each
    ]
    return {
        body.media: visit.url("media_file", media_id=body.media)
        for body in said
        if isinstance(body, bodies.MediaBody) and body.media
    }


def written_of(rule: Rule) -> Written:
    """A stored reply as if it had just been written."""
    messages = {
        lang: [reply_form.Message(body, body.kind) for body in said]
        for lang, said in {reply_form.ALL: rule.messages, **rule.variants}.items()
    }
    return Written(rule.kind, rule.matching, rule.keyword, rule.priority, rule.enabled, messages)


def _keep(session: Session, visit: Visit, row: Reply | None, written: Written) -> Reply:
    """In one transaction: the files, the reply, the note in the audit."""
    before = None
    if row is not None:
        row = replies.get(session, visit.account.id, row.id, lock=True)
        if request.form.get("was", "") != _mark_of(row):
            raise Conflict("somebody changed it meanwhile", reply=row.id)
        before = replies.as_value(row)
    written.keep_files(session, visit)
    rule = written.rule()
    if row is None:
        saved = replies.create(session, visit.account.id, rule)
    else:
        saved = replies.change(session, visit.account.id, row.id, rule)
    action = "reply_added" if row is None else "reply_changed"
    replies.note(
        session, visit.account.id, actor=visit.actor, action=action, before=before, after=replies.as_value(saved),
        now=visit.now,
    )  # fmt: skip
    return saved


@page("/replies/new", allow=Permission.CHAT_CHANGE, methods=("GET", "POST"))
def reply_new(visit: Visit) -> Answer:
    """Write a reply."""
    if request.method == "GET":
        kind = request.args.get("kind", replies.KEYWORD)
        given = {"kind": kind, "enabled": "1", "keyword": request.args.get("keyword", "")[:60]}
        return _form(visit, None, given, Look([]))
    return _save(visit, None)


@page("/replies/<int:reply_id>", allow=Permission.CHAT_READ)
def reply(visit: Visit, reply_id: int) -> Answer:
    """A reply, to be changed."""
    row = visit.read(lambda session: replies.get(session, visit.account.id, reply_id))
    if row.kind == replies.SUBSCRIBE:
        return redirect(visit.url("welcome"))
    rule = Rule.of(row)
    return _form(visit, row, reply_form.given_of(rule), _look_of(visit, written_of(rule)))


@page("/replies/<int:reply_id>/save", allow=Permission.CHAT_CHANGE, methods=("POST",))
def reply_save(visit: Visit, reply_id: int) -> Answer:
    """Keep what was changed."""
    return _save(visit, visit.read(lambda s: replies.get(s, visit.account.id, reply_id)))


def _save(visit: Visit, row: Reply | None) -> Answer:
    written = reply_form.read()
    try:
        saved = visit.transact(lambda session: _keep(session, visit, row, written))
    except DomainError as error:
        flash(why(error), "danger")
        return _form(visit, row, request.form, _look_of(visit, written))
    flash(t("已保存，几秒钟后生效。", "Saved; it works within seconds."), "success")
    return redirect(_address(visit, saved))


@page("/replies/look", allow=Permission.CHAT_CHANGE, methods=("POST",))
def reply_look(visit: Visit) -> Answer:
    """The form as it is written just now on a phone, with what is wrong; nothing is kept."""
    return render_template("console/reply_look.html", look=_looked(visit, reply_form.read()))


@page("/replies/<int:reply_id>/switch", allow=Permission.CHAT_CHANGE, methods=("POST",))
def reply_switch(visit: Visit, reply_id: int) -> Response:
    """Use a reply, or keep it without using it."""
    on = request.form.get("to") == "on"

    def switch(session: Session) -> None:
        before = replies.as_value(replies.get(session, visit.account.id, reply_id))
        replies.switch(session, visit.account.id, reply_id, on)
        after = replies.as_value(replies.get(session, visit.account.id, reply_id))
        replies.note(
            session, visit.account.id, actor=visit.actor, action="reply_changed", before=before, after=after,
            now=visit.now,
        )  # fmt: skip

    done = t("已开启。", "It is on.") if on else t("已停用，内容还在。", "It is off, and kept.")
    return visit.change(switch, done=done, back=visit.url("reply", reply_id=reply_id))


@page("/replies/<int:reply_id>/remove", allow=Permission.CHAT_CHANGE, methods=("POST",))
def reply_remove(visit: Visit, reply_id: int) -> Response:
    """Delete a reply; the audit keeps what it was."""

    def remove(session: Session) -> None:
        before = replies.as_value(replies.get(session, visit.account.id, reply_id))
        replies.remove(session, visit.account.id, reply_id)
        replies.note(
            session, visit.account.id, actor=visit.actor, action="reply_removed", before=before, after=None,
            now=visit.now,
        )  # fmt: skip

    return visit.change(remove, done=t("已删除。", "Removed."), back=visit.url("reply_list"))


# --- what a new follower reads --------------------------------------------------------------------------------------


def _welcome_row(session: Session, visit: Visit) -> Reply | None:
    return replies.one_of_kind(session, visit.account.id, replies.SUBSCRIBE)


def _welcomed(visit: Visit, written: Written) -> Look:
    """What three people read who follow now: one by themselves, one by a friend's code, one who comes back."""
    rule = written.rule() if written.messages[reply_form.ALL] and written.enabled else None
    words = visit.read(lambda session: texts.words_of(session, visit.account.id))
    own = words[visit.account.settings.language]
    names = reply_form.names_of(written.messages[reply_form.ALL])
    ways = (
        (t("自己关注", "By themselves"), None, False),
        (t("扫朋友的码", "By a friend's code"), t("小红", "Hong"), False),
        (t("以前关注过，又回来", "Who comes back"), None, True),
    )
    phones = [_follower(visit, own, rule, names, *way) for way in ways]
    if rule is not None:
        phones += [
            replace(
                _follower(
                    visit, words[lang], rule, (), t("自己关注", "By themselves"), None, False
                ),
                title=name,
            )
            for lang, name in reply_form.LANGUAGES.items()
            if lang in rule.variants
        ]
    return Look(phones, addresses=addresses(visit, *([rule] if rule else [])))


def _follower(
    visit: Visit, words: Words, rule: Rule | None, names: Sequence[str], did: str, friend: str | None, is_back: bool,
) -> Phone:  # fmt: skip
    welcome = welcomes.of_follow(
        words, visit.account, rule, codes.NOTHING, referrer=friend, refused=None, is_back=is_back
    )
    messages = () if welcome.rule is None else welcome.rule.said_in(words.lang)
    return Phone(
        visit.account.name, "", did, reply_form.lines_of(visit, messages, welcome.lead, names)
    )


def _welcome_form(visit: Visit, row: Reply | None, given: Mapping[str, str], look: Look) -> str:
    account_id = visit.account.id
    language = visit.account.settings.language

    def around(session: Session) -> dict[str, Any]:
        own = select(Code).where(Code.account_id == account_id, Code.archived_at.is_(None))
        said = own.where(
            Code.reply.is_not(None) | Code.media.is_not(None) | Code.media_id.is_not(None)
        )
        words = texts.words_of(session, account_id)[language]
        return {
            **reply_form.choices(session, account_id), "language": language,
            "ours": [(key, words.template(key), key in words.overrides) for key in WELCOME_TEXTS],
            "codes": session.scalars(said.order_by(Code.scene_id.desc()).limit(CODES_SHOWN)).all(),
        }  # fmt: skip

    return render_template(
        "console/welcome.html", row=row, given=given, look=look, was=_was(row), **visit.read(around)
    )


@page(
    "/welcome",
    allow=Permission.CHAT_READ,
    menu=Menu(MESSAGES, Both("欢迎语", "Welcome"), "emoji-smile", 22),
)
def welcome(visit: Visit) -> Answer:
    """What somebody reads who has just followed, however they came."""
    row = visit.read(lambda session: _welcome_row(session, visit))
    if row is None:
        return _welcome_form(visit, None, {"enabled": "1"}, _welcomed(visit, _nothing()))
    rule = Rule.of(row)
    return _welcome_form(visit, row, reply_form.given_of(rule), _welcomed(visit, written_of(rule)))


def _nothing() -> Written:
    return Written(replies.SUBSCRIBE, replies.EXACT, "", 0, True, {reply_form.ALL: []})


@page("/welcome/save", allow=Permission.CHAT_CHANGE, methods=("POST",))
def welcome_save(visit: Visit) -> Answer:
    """Keep the welcome message."""
    written = reply_form.read(replies.SUBSCRIBE)
    row = visit.read(lambda session: _welcome_row(session, visit))
    try:
        visit.transact(lambda session: _keep(session, visit, row, written))
    except DomainError as error:
        flash(why(error), "danger")
        return _welcome_form(visit, row, request.form, _welcomed(visit, written))
    flash(t("已保存，几秒钟后生效。", "Saved; it works within seconds."), "success")
    return redirect(visit.url("welcome"))


@page("/welcome/look", allow=Permission.CHAT_CHANGE, methods=("POST",))
def welcome_look(visit: Visit) -> Answer:
    """The welcome message as it is written just now on phones; nothing is kept."""
    written = reply_form.read(replies.SUBSCRIBE)
    look = _welcomed(visit, written)
    if written.messages[reply_form.ALL]:
        look = replace(look, refused=_refusal(visit, written.rule()))
    return render_template("console/reply_look.html", look=look)


@page("/welcome/remove", allow=Permission.CHAT_CHANGE, methods=("POST",))
def welcome_remove(visit: Visit) -> Response:
    """Back to our own welcome."""

    def remove(session: Session) -> None:
        row = _welcome_row(session, visit)
        if row is None:
            return
        before = replies.as_value(row)
        replies.remove(session, visit.account.id, row.id)
        replies.note(
            session, visit.account.id, actor=visit.actor, action="reply_removed", before=before, after=None,
            now=visit.now,
        )  # fmt: skip

    done = t("已换回默认的欢迎语。", "Our own welcome is said again.")
    return visit.change(remove, done=done, back=visit.url("welcome"))
