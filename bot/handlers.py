"""What each kind of push does: one function a kind, called by the decorators in robot.py.

Whatever changes state happens in one transaction with the push's key, so that a repeat changes nothing; words are made
after it.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import quote

from prometheus_client import Counter
from sqlalchemy.orm import Session

from bot import commands
from bot.push import TooEarly
from bot.visit import DONE, Answer, Picture, Visit
from domain import codes, events, members, orders, outbox
from domain.members import Touch
from domain.money import yuan

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
    words = visit.words
    if touch.referrer is not None:
        bound = words("follow.bound", account=visit.account.name, referrer=touch.referrer)
        return _with_code(visit, touch, bound)
    greeting = "follow.welcome" if touch.is_new or touch.repeated else "follow.again"
    text = words(greeting, account=visit.account.name)
    if touch.refused is not None:
        text = f"{words(f'refused.{touch.refused}')}\n\n{text}"
    return _with_code(visit, touch, text)


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
    if touch.referrer is not None:
        return _with_code(visit, touch, visit.words("scan.bound", referrer=touch.referrer))
    key = "scan.seen" if touch.refused is None else f"refused.{touch.refused}"
    return _with_code(visit, touch, visit.words(key))


def _with_code(visit: Visit, touch: Touch, text: str) -> Answer:
    """What the merchant's code says instead of our words, and the product that a code is about below them."""
    scene = touch.scene
    if scene is None:
        return text
    said = visit.read(lambda session: codes.answering(session, visit.account.id, scene))
    if said.media_id is not None:
        return Picture(said.media_id)
    if said.reply is not None:
        return said.reply
    if said.product is None:
        return text
    product, address = said.product, visit.account.settings.product_url
    card = visit.words("product.card", product=product.name, price=yuan(product.price_fen))
    if address:
        card += "\n" + address.replace("{sku}", quote(product.sku, safe=""))
    return card if text == visit.words("scan.seen") else f"{text}\n\n{card}"


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
    return visit.words("fallback.media")


# --- what WeChat reports --------------------------------------------------------------------------------------------

_DELIVERY: Final = {"success": "delivered", "failed:user block": "blocked"}


def on_template_result(visit: Visit) -> Answer:
    """TEMPLATESENDJOBFINISH: what became of a template message."""
    status = visit.push.text_of("Status").lower().replace(": ", ":")
    _delivered(visit, {visit.push.text_of("MsgID"): _DELIVERY.get(status, "failed")})
    return DONE


def on_subscription_result(visit: Visit) -> Answer:
    """subscribe_msg_sent_event: what became of subscription notices; one or several in a push."""
    results = {
        str(item.get("MsgID")): "delivered" if item.get("ErrorCode") == "0" else "failed"
        for item in visit.push.list_of("SubscribeMsgSentEvent")
    }
    _delivered(visit, results)
    return DONE


def _delivered(visit: Visit, results: dict[str, str]) -> None:
    """Mark the messages. The push may be faster than the worker that writes the message's number down."""

    def work(session: Session) -> list[str]:
        return [
            number
            for number, delivery in results.items()
            if not outbox.delivered(session, visit.account.id, number, delivery, visit.now)
            and not outbox.is_delivered(session, visit.account.id, number)
        ]

    missing = visit.transact(work)
    if missing:
        raise TooEarly(f"no message has the number {', '.join(missing)}")


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
    visit.transact(lambda session: members.erase(session, visit.account.id, _subject(visit)))
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
