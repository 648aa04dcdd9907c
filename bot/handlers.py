"""What each kind of push does: one function a kind, called by the decorators in robot.py.

Whatever changes state happens in one transaction with the push's key, so that a repeat changes nothing; words are made
after it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter
from sqlalchemy.orm import Session

from bot import commands, saying
from bot.push import Push, TooEarly
from bot.visit import DONE, Answer, Picture, Visit
from domain import codes, events, members, notices, orders, outbox, subscriptions, welcomes
from domain.campaigns import batches
from domain.campaigns.batches import MassResult
from domain.codes import Answering
from domain.db import is_key
from domain.members import Touch
from domain.welcomes import Welcome

UNKNOWN: Final = Counter("banyan_pushes_unknown", "Pushes of a kind that nothing here answers")

_log = logging.getLogger(__name__)


# --- following ------------------------------------------------------------------------------------------------------


def on_subscribe(visit: Visit) -> Answer:
    """A follower came, perhaps by a code: join, bind, give them the orders that waited for them."""
    push = visit.push

    def work(session: Session) -> Touch:
        touch = members.follow(
            session, visit.account, push.openid,
            scene_code=push.scene_code, created=push.created, push_key=push.key, now=visit.now,
        )  # fmt: skip
        _welcome(session, visit, touch)
        return touch

    touch = visit.transact(work)
    welcome = welcomes.of_follow(
        visit.words, visit.account, visit.keywords.welcome, _of_code(visit, touch),
        referrer=touch.referrer, refused=touch.refused, is_back=not (touch.is_new or touch.repeated),
    )  # fmt: skip
    return _say(visit, welcome)


def _say(visit: Visit, welcome: Welcome) -> Answer:
    if welcome.picture is not None:
        return Picture(welcome.picture)
    return welcome.lead if welcome.rule is None else saying.say(visit, welcome.rule, welcome.lead)


def on_scan(visit: Visit) -> Answer:
    """A follower scanned a code."""
    push = visit.push
    code = push.scene_code
    if code is None:
        return visit.words("scan.seen")
    scene_code = code

    def work(session: Session) -> Touch:
        touch = members.scan(
            session, visit.account, push.openid,
            scene_code=scene_code, created=push.created, push_key=push.key, now=visit.now,
        )  # fmt: skip
        if touch.is_new:
            _welcome(session, visit, touch)
        return touch

    touch = visit.transact(work)
    said = _of_code(visit, touch)
    own = welcomes.of_code(said)
    if own is not None:
        return _say(visit, own)
    lead = ""
    if touch.referrer is not None:
        lead = visit.words("scan.bound", referrer=touch.referrer)
    elif touch.refused is not None:
        lead = visit.words(f"refused.{touch.refused}")
    card = welcomes.card_of(visit.words, visit.account, said)
    return welcomes.joined(lead, card) or visit.words("scan.seen")


def _of_code(visit: Visit, touch: Touch) -> Answering:
    """What the merchant's code says instead of our words, or the product that it is about, to be said below them."""
    scene = touch.scene
    if scene is None:
        return codes.NOTHING
    return visit.read(lambda session: codes.answering(session, visit.account.id, scene))


def on_unsubscribe(visit: Visit) -> Answer:
    """A follower left. Nobody reads an answer."""
    push = visit.push
    visit.transact(
        lambda session: members.leave(
            session,
            visit.account,
            push.openid,
            created=push.created,
            push_key=push.key,
            now=visit.now,
        )
    )
    return DONE


def _welcome(session: Session, visit: Visit, touch: Touch) -> None:
    """In the transaction of a follow: orders that waited for this person, and asking WeChat once who they are."""
    if touch.repeated:
        return
    if orders.is_awaited(session, visit.account.id, visit.push.openid):
        member = members.get(session, visit.account.id, visit.push.openid)
        orders.attach_waiting(session, visit.account, member, visit.now)
    if touch.is_new:
        _ask_profile(session, visit, touch.member_id, f"profile-{touch.member_id}")


def _ask_profile(session: Session, visit: Visit, member_id: int, key: str) -> None:
    message = outbox.Message(
        visit.account.id,
        outbox.PROFILE,
        key,
        {"openid": visit.push.openid},
        visit.now,
        member_id,
    )
    outbox.put_once(session, message, visit.now)


# --- what a follower says and taps ----------------------------------------------------------------------------------


def on_text(visit: Visit) -> Answer:
    """A command, one of the merchant's keywords, or something that gets a kind answer."""
    return commands.answer(visit, visit.push.text_of("Content"), events.TEXT)


def on_click(visit: Visit) -> Answer:
    """A menu button: its key is a command, as if it had been typed."""
    return commands.answer(visit, visit.push.event_key, events.CLICK)


def on_view(visit: Visit) -> Answer:
    """A menu button that opens a page: counted."""
    visit.note(events.VIEW, visit.push.event_key)
    return DONE


def on_media(visit: Visit) -> Answer:
    """A picture, a voice message, a place: we cannot read them, and say so."""
    visit.note(events.TEXT, visit.push.msg_type)
    rule = visit.keywords.default
    return visit.words("fallback.media") if rule is None else saying.say(visit, rule)


# --- what WeChat reports --------------------------------------------------------------------------------------------

DELIVERED: Final = "delivered"
_DELIVERY: Final = {"success": DELIVERED, "failed:user block": "blocked"}


def on_template_result(visit: Visit) -> Answer:
    """TEMPLATESENDJOBFINISH: what became of a template message."""
    status = visit.push.text_of("Status").lower().replace(": ", ":")
    _delivered(visit, {visit.push.text_of("MsgID"): _DELIVERY.get(status, "failed")})
    return DONE


def on_mass_result(visit: Visit) -> Answer:
    """MASSSENDJOBFINISH: what became of a mass message. The push may be faster than the worker that writes its number
    down; one that no campaign of ours sent is nobody's, and is noted when it has been tried long enough."""
    push = visit.push
    result = MassResult(
        status=push.text_of("Status"), total=_number(push, "TotalCount"), filtered=_number(push, "FilterCount"),
        sent=_number(push, "SentCount"), errors=_number(push, "ErrorCount"), details=_articles(push),
    )  # fmt: skip
    _finished(visit, push.text_of("MsgID") or push.text_of("MsgId"), result)
    return DONE


def on_publish_result(visit: Visit) -> Answer:
    """PUBLISHJOBFINISH: whether articles are on the account's page."""
    info = visit.push.fields.get("PublishEventInfo")
    found = info if isinstance(info, Mapping) else {}
    status = str(found.get("publish_status", ""))
    details = {
        "publish_status": status,
        "article": found.get("article_detail"),
        "failed": found.get("fail_idx"),
    }
    words = "send success" if status == "0" else f"publish_status {status}"
    _finished(visit, str(found.get("publish_id", "")), MassResult(words, details=details))
    return DONE


def _finished(visit: Visit, number: str, result: MassResult) -> None:
    if not is_key(number):
        _log.warning("%s of account %s without a number", visit.push.event, visit.account.slug)
        return
    known = visit.transact(
        lambda session: batches.finish_mass(session, visit.account.id, number, result, visit.now)
    )
    if not known and visit.read(lambda session: batches.may_come(session, visit.account.id)):
        raise TooEarly(f"no mass message has the number {number}")


def _number(push: Push, name: str) -> int:
    text = push.text_of(name)
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def _articles(push: Push) -> dict[str, object]:
    """What the platform says of the articles: originality, and where they are."""
    return {
        name: push.fields[field]
        for name, field in (("copyright", "CopyrightCheckResult"), ("articles", "ArticleUrlResult"))
        if isinstance(push.fields.get(field), Mapping)
    }


def _delivered(visit: Visit, results: dict[str, str]) -> None:
    """Mark the messages. The push may be faster than the worker that writes the message's number down. What was not
    shown goes on by the next channel."""

    def work(session: Session) -> list[str]:
        missing = []
        for number, delivery in results.items():
            row = (
                None
                if delivery == DELIVERED
                else outbox.find_sent(session, visit.account.id, number)
            )
            if outbox.delivered(session, visit.account.id, number, delivery, visit.now):
                if row is not None:
                    notices.not_shown(session, row, visit.now)
            elif not outbox.is_delivered(session, visit.account.id, number):
                missing.append(number)
        return missing

    missing = visit.transact(work)
    if missing:
        raise TooEarly(f"no message has the number {', '.join(missing)}")


def on_subscription_answer(visit: Visit) -> Answer:
    """subscribe_msg_popup_event: which templates were allowed, once each. No answer is expected."""
    answers = _answers(visit, "SubscribeMsgPopupEvent")
    visit.transact(
        lambda session: subscriptions.record_answers(
            session,
            visit.account.id,
            visit.push.openid,
            answers,
            push_key=visit.push.key,
            now=visit.now,
        )
    )
    return DONE


def on_subscription_change(visit: Visit) -> Answer:
    """subscribe_msg_change_event: templates that were switched off in WeChat's settings."""
    answers = _answers(visit, "SubscribeMsgChangeEvent")
    visit.transact(
        lambda session: subscriptions.record_rejections(
            session,
            visit.account.id,
            visit.push.openid,
            answers,
            push_key=visit.push.key,
            now=visit.now,
        )
    )
    return DONE


def _answers(visit: Visit, field: str) -> list[tuple[str, str]]:
    """(template, accept or reject), one or several in a push."""
    return [
        (str(item.get("TemplateId")), str(item.get("SubscribeStatusString")).lower())
        for item in visit.push.list_of(field)
        if is_key(str(item.get("TemplateId")))
    ]


def on_subscription_result(visit: Visit) -> Answer:
    """subscribe_msg_sent_event: what became of subscription notices; one or several in a push. One that no message of
    ours is waiting for is looked for once more, by the spool; then another system of the merchant's has sent it."""
    push, account_id, now = visit.push, visit.account.id, visit.now

    def work(session: Session) -> list[str]:
        member_id = members.ids_of(session, account_id, [push.openid]).get(push.openid, 0)
        early = []
        for item in push.list_of("SubscribeMsgSentEvent"):
            template_id, code = str(item.get("TemplateId")), _error_code(item.get("ErrorCode"))
            number = notices.subscription_number(member_id, template_id)
            row = outbox.find_sent(session, account_id, number)
            of_broadcast = row is None and batches.notice_result(
                session, account_id, member_id, template_id, code, now
            )
            if row is None and not of_broadcast and visit.deadline is not None:
                early.append(template_id)
                continue
            new = subscriptions.record_sent(
                session, account_id, push.openid, template_id,
                msg_id=str(item.get("MsgID")), error_code=code, ours=row is not None or of_broadcast, now=now,
            )  # fmt: skip
            if new and row is not None:
                outbox.tell_delivery(session, row.id, DELIVERED if code == 0 else "failed", now)
                if code:
                    notices.not_shown(session, row, now)
        return early

    if early := visit.transact(work):
        raise TooEarly(f"no message of {', '.join(early)} is waiting")
    return DONE


def _error_code(text: object) -> int:
    """WeChat's error code; a text that is none counts as an unknown failure."""
    return int(text) if isinstance(text, str) and text.isdecimal() else -1


def on_info_modified(visit: Visit) -> Answer:
    """The follower changed their profile: ask WeChat for it again."""

    def work(session: Session) -> None:
        member = members.find(session, visit.account.id, _subject(visit))
        if member is not None:
            _ask_profile(session, visit, member.id, f"profile-{member.id}-{visit.push.key}")

    visit.transact(work)
    return DONE


def on_authorization_gone(visit: Visit) -> Answer:
    """The follower took back their consent or closed their WeChat account: erase personal data, as the platform
    demands. Binding and ledger are the merchant's books and stay."""
    closed = visit.push.event == "user_authorization_cancellation"
    visit.transact(
        lambda session: members.erase(session, visit.account.id, _subject(visit), closed=closed)
    )
    return DONE


def _subject(visit: Visit) -> str:
    """Whom such an event is about; its sender may be the platform."""
    return visit.push.text_of("OpenID") or visit.push.openid


def on_noted(visit: Visit) -> Answer:
    """Events that need nothing from us but a line in the log."""
    _log.info("%s of account %s", visit.push.event, visit.account.slug)
    return DONE


def on_unknown(visit: Visit) -> Answer:
    """What nobody knows yet: logged without its content, counted, accepted."""
    UNKNOWN.inc()
    _log.warning(
        "unknown push %s of account %s",
        ascii(visit.push.event or visit.push.msg_type)[:80],
        visit.account.slug,
    )
    return DONE
