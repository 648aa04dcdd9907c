"""回复试答: what would be answered, and why. It asks what the chat asks (`replies.choose`, `welcomes.of_follow`) and
writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flask import render_template, request
from sqlalchemy.orm import Session

from domain import bindings, codes, replies, texts, welcomes
from domain.bodies import TextBody
from domain.codes import Answering
from domain.replies import Rule
from domain.staff.permissions import Permission
from domain.texts import Words
from web.console import reply_form
from web.console.both import Both
from web.console.reply_form import Line, Phone
from web.console.reply_pages import addresses
from web.console.visit import Answer, Visit, page
from web.pages import t

SAY: Final = "say"
TAP: Final = "tap"
SEND: Final = "send"
FOLLOW: Final = "follow"
WAYS: Final = {
    SAY: Both("说一句话", "Says something"),
    TAP: Both("点菜单按钮", "Taps a button"),
    SEND: Both("发图片或语音", "Sends a picture or voice"),
    FOLLOW: Both("关注", "Follows"),
}
FRIEND: Final = "friend"
CODES_SHOWN: Final = 100
HELP: Final = {
    "我的团队": "team", "我的收益": "earnings", "明细": "commissions", "为什么": "why", "提现进度": "withdrawals",
    "提现": "withdraw", "实名": "real_name", "排行": "ranking", "我的海报": "poster", "商品海报": "product_poster",
    "邀请码": "invitation", "昵称": "nickname", "申请推广": "apply", "申诉": "dispute", "退订": "mute",
    "订阅": "mute", "语言": "language", "帮助": "help",
}  # fmt: skip
"""By command: its line in the help of the chat."""


@dataclass(frozen=True)
class Step:
    """One sentence of why, and what it is about: `rule` leads to that reply."""

    words: str
    rule: Rule | None = None
    is_it: bool = False


@dataclass(frozen=True)
class Tried:
    """What came of it."""

    phone: Phone
    steps: Sequence[Step]
    addresses: Mapping[int, str] = field(default_factory=dict)


@page("/replies/try", allow=Permission.CHAT_READ, methods=("GET", "POST"))
def reply_trial(visit: Visit) -> Answer:
    """Somebody says or does something: what would they read? The form is posted, so that its token is in no address."""
    return render_template(
        "console/reply_trial.html", **visit.read(lambda s: _tried(s, visit, request.values))
    )


@page("/replies/try/look", allow=Permission.CHAT_READ, methods=("POST",))
def reply_trial_look(visit: Visit) -> Answer:
    """The same while one types."""
    return render_template(
        "console/reply_tried.html", **visit.read(lambda s: _tried(s, visit, request.form))
    )


def _tried(session: Session, visit: Visit, asked: Mapping[str, str]) -> dict[str, Any]:
    account = visit.account
    how = asked.get("how", SAY)
    how = how if how in WAYS else SAY
    lang = asked.get("lang", "")
    lang = lang if lang in reply_form.LANGUAGES else account.settings.language
    text, came = asked.get("text", "").strip()[:2000], asked.get("came", "")
    words = texts.words_of(session, account.id)[lang]
    given = {"how": how, "lang": lang, "text": text, "came": came}
    around = {
        "given": given,
        "ways": WAYS,
        "languages": reply_form.LANGUAGES,
        "codes": codes.names(session, account.id, limit=CODES_SHOWN),
    }
    if how == FOLLOW:
        return {**around, "tried": _follow(session, visit, words, came)}
    if how == SEND:
        return {**around, "tried": _sent(session, visit, words)}
    if not text:
        return {**around, "tried": None}
    return {**around, "tried": _said(session, visit, words, text, tapped=how == TAP)}


# --- what was said or tapped ----------------------------------------------------------------------------------------


def _said(session: Session, visit: Visit, words: Words, text: str, *, tapped: bool) -> Tried:
    trial = replies.try_text(session, visit.account.id, text, tapped=tapped)
    chosen, rule = trial.chosen, trial.chosen.rule
    if chosen.command:
        lines = [
            _line(
                f"（命令「{chosen.command}」的回答，每个人的不同）",
                f"(what “{chosen.command}” answers, to each their own)",
            )
        ]
        step = _of_command(chosen, words)
    elif rule is None:
        lines = [Line(TextBody(words("fallback")))]
        step = _it(
            "不是命令，也没有对上的回复：说默认的一句话（文案 fallback）。",
            "It is no command and fits no reply: our default text (fallback) is said.",
        )
    else:
        lines = reply_form.lines_of(visit, rule.said_in(words.lang))
        step = Step(_because(rule, tapped), rule, True)
    did = t(f"点了「{text}」", f"tapped “{text}”") if tapped else ""
    others = [Step(_why_not(one, chosen), one) for one in trial.others]
    phone = Phone(visit.account.name, "" if tapped else text, did, lines)
    return Tried(phone, [step, *others], addresses(visit, rule) if rule else {})


def _line(chinese: str, english: str) -> Line:
    return Line(TextBody(t(chinese, english)))


def _it(chinese: str, english: str, rule: Rule | None = None) -> Step:
    """What answers."""
    return Step(t(chinese, english), rule, True)


def _of_command(chosen: replies.Chosen, words: Words) -> Step:
    name, argument, about = chosen.command, "", words(f"help.{HELP[chosen.command]}")
    if chosen.argument:
        argument = t(f"，后面带着「{chosen.argument}」", f", with “{chosen.argument}”")
    return _it(
        f"聊天命令「{name}」回答{argument}：{about}",
        f"The command “{name}” answers{argument}: {about}",
    )


def _because(rule: Rule, tapped: bool) -> str:
    if rule.kind == replies.DEFAULT:
        return t(
            "没有别的对上：“都没有对上时”的回复回答。",
            "Nothing else fits: the reply for that answers.",
        )
    if rule.kind == replies.CLICK:
        return t(
            f"按钮「{rule.keyword}」的回复回答。",
            f"The reply to the button “{rule.keyword}” answers.",
        )
    how = reply_form.MATCHINGS[rule.matching]
    words = t(
        f"对上了关键字「{rule.keyword}」（{how}，优先级 {rule.priority}）",
        f"It fits “{rule.keyword}” ({how}, priority {rule.priority})",
    )
    as_said = t(
        "，按钮没有自己的回复，当作说了这句话",
        "; the button has no reply of its own, so it counts as said",
    )
    return words + (as_said if tapped else "") + t("。", ".")


def _why_not(rule: Rule, chosen: replies.Chosen) -> str:
    name = rule.keyword or str(reply_form.KINDS[rule.kind])
    how = reply_form.how(rule.kind, rule.matching)
    fits = t(
        f"「{name}」（{how}，优先级 {rule.priority}）也对得上：",
        f"“{name}” ({how}, priority {rule.priority}) fits too: ",
    )
    return fits + _reason(rule, chosen)


def _reason(rule: Rule, chosen: replies.Chosen) -> str:
    """Why this one does not answer."""
    best = chosen.rule
    if not rule.enabled:
        return t("停用着。", "it is off.")
    if chosen.command:
        return t("命令先回答。", "commands answer first.")
    if best is None or best.kind == replies.DEFAULT:
        return t(
            "正则有时太慢，这一次被停下了。",
            "the pattern is slow at times, and was stopped this time.",
        )
    if best.kind != rule.kind:
        return t("按钮自己的回复先回答。", "the button's own reply answers first.")
    if best.priority != rule.priority:
        return t(f"优先级比 {best.priority} 低。", f"its priority is below {best.priority}.")
    if best.matching != rule.matching:
        return t(
            "同级时，完全一样先于包含，包含先于正则。",
            "among equals the same text goes before “contains”, and that before patterns.",
        )
    return t("同级时，长的关键字先回答。", "among equals the longer keyword answers.")


def _sent(session: Session, visit: Visit, words: Words) -> Tried:
    rule = replies.table_of(session, visit.account.id).default
    if rule is None:
        lines = [Line(TextBody(words("fallback.media")))]
        step = _it(
            "看不懂的消息：说默认的一句话（文案 fallback.media）。",
            "What we cannot read: our default text (fallback.media) is said.",
        )
    else:
        lines = reply_form.lines_of(visit, rule.said_in(words.lang))
        step = Step(_because(rule, False), rule, True)
    phone = Phone(visit.account.name, "", t("发了一张图片", "sent a picture"), lines)
    return Tried(phone, [step], addresses(visit, rule) if rule else {})


# --- who follows ----------------------------------------------------------------------------------------------------


def _follow(session: Session, visit: Visit, words: Words, came: str) -> Tried:
    friend, said, did = None, codes.NOTHING, t("关注了公众号", "followed")
    scene = None if came == FRIEND else bindings.look_up(session, visit.account.id, came)
    if came == FRIEND:
        friend, did = t("小红", "Hong"), t("扫朋友的码关注", "followed by a friend's code")
    elif scene is not None:
        said = codes.answering(session, visit.account.id, scene)
        did = t("扫渠道码关注", "followed by a channel's code")
    rule = replies.table_of(session, visit.account.id).welcome
    made = welcomes.of_follow(
        words, visit.account, rule, said, referrer=friend, refused=None, is_back=False
    )
    messages = () if made.rule is None else made.rule.said_in(words.lang)
    lines = reply_form.lines_of(visit, messages, made.lead)
    if made.picture is not None:
        lines = [_line("[图片]", "[Picture]")]
    shown = addresses(visit, made.rule) if made.rule else {}
    return Tried(Phone(visit.account.name, "", did, lines), _steps(made, said, friend), shown)


def _steps(made: welcomes.Welcome, said: Answering, friend: str | None) -> list[Step]:
    if made.source == welcomes.CODE:
        return [
            _it(
                "这个码有自己的回复，只说它。",
                "This code has an answer of its own, and that is all.",
            )
        ]
    steps = []
    if friend is not None:
        steps.append(
            _it(
                "先说是谁邀请的（文案 follow.bound）。",
                "First whose code it was (text follow.bound).",
            )
        )
    if said.product is not None:
        steps.append(
            _it(
                "这个码是商品的：也说商品（文案 product.card）。",
                "The code is about a product: that is told, too (product.card).",
            )
        )
    if made.rule is not None:
        steps.append(_it("接着是您写的欢迎语。", "Then your welcome.", made.rule))
    elif friend is None:
        steps.append(
            _it(
                "没有写欢迎语：说默认的（文案 follow.welcome）。",
                "There is no welcome of yours: ours is said (follow.welcome).",
            )
        )
    return steps
