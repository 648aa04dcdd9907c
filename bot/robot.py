"""WeRoBot behind one door: it parses, decrypts, dispatches to the decorated handlers below, and makes the replies.

The only module that imports werobot. What its sources do that we must not (docs/decisions: WeRoBot) is closed here:
sessions are off, exceptions pass, unknown types reach a handler, values in replies are made safe, and a message type
cannot pretend to be an event.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable
from typing import Any, Final
from xml.parsers.expat import ExpatError

from werobot.config import Config
from werobot.crypto import MessageCrypt
from werobot.crypto.exceptions import AppIdValidationError
from werobot.messages.events import WeChatEvent
from werobot.parser import parse_xml, process_message
from werobot.replies import Article as Card
from werobot.replies import (
    ArticlesReply,
    ImageReply,
    SuccessReply,
    TextReply,
    VideoReply,
    VoiceReply,
    WeChatReply,
)
from werobot.robot import WeRoBot

from bot import handlers
from bot.push import EVENT, Malformed, Push
from bot.visit import Answer, Cards, Done, Film, Picture, Recording, Visit
from domain.bodies import ARTICLES_TO_EVENTS, ARTICLES_TO_MESSAGES

logging.getLogger("WeRoBot").setLevel(logging.ERROR)  # it warns of every push that needs no reply

SUCCESS: Final = "success"
MAX_TEXT_BYTES: Final = 2048
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# --- events that WeRoBot does not know ------------------------------------------------------------------------------


class MassSendJobFinishEvent(WeChatEvent):
    __type__ = "masssendjobfinish_event"


class PublishJobFinishEvent(WeChatEvent):
    __type__ = "publishjobfinish_event"


class SubscribeMsgPopupEvent(WeChatEvent):
    __type__ = "subscribe_msg_popup_event_event"


class SubscribeMsgChangeEvent(WeChatEvent):
    __type__ = "subscribe_msg_change_event_event"


class SubscribeMsgSentEvent(WeChatEvent):
    __type__ = "subscribe_msg_sent_event_event"


class ViewMiniprogramEvent(WeChatEvent):
    __type__ = "view_miniprogram_event"


class UserInfoModifiedEvent(WeChatEvent):
    __type__ = "user_info_modified_event"


class UserAuthorizationRevokeEvent(WeChatEvent):
    __type__ = "user_authorization_revoke_event"


class UserAuthorizationCancellationEvent(WeChatEvent):
    __type__ = "user_authorization_cancellation_event"


OUR_EVENTS: Final = (
    MassSendJobFinishEvent,
    PublishJobFinishEvent,
    SubscribeMsgPopupEvent,
    SubscribeMsgChangeEvent,
    SubscribeMsgSentEvent,
    ViewMiniprogramEvent,
    UserInfoModifiedEvent,
    UserAuthorizationRevokeEvent,
    UserAuthorizationCancellationEvent,
)


# --- the robot ------------------------------------------------------------------------------------------------------


class Robot(WeRoBot):
    """WeRoBot without sessions, with our events, and with errors that are seen. Holds nothing of any request, so one
    robot serves all accounts and threads."""

    message_types = (
        *WeRoBot.message_types,
        *(event.__type__ for event in OUR_EVENTS),
    )

    def __init__(self) -> None:
        super().__init__(config=Config(SESSION_STORAGE=False, TOKEN=None))

    def on(self, event: type[WeChatEvent]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator for an event that WeRoBot has no decorator for."""

        def register(handler: Callable[..., Any]) -> Callable[..., Any]:
            self.add_handler(handler, type=event.__type__)
            return handler

        return register

    def get_reply(self, message: Any) -> WeChatReply | None:
        """The reply of the first handler that answers. What a handler raises is raised here: WeRoBot's own loop
        swallows everything, and WeChat would take the lost push for done."""
        for handler, arguments in self.get_handlers(message.type):
            answer = handler(*(message, None)[:arguments])
            if answer is not None:
                return reply_to(message.visit.push, answer)
        return None

    def message_of(self, push: Push) -> Any:
        """WeRoBot's message for a push. Raises `Malformed` when its type asks for fields that are not there."""
        fields = dict(push.fields)
        if push.msg_type != EVENT and push.msg_type.endswith("_event"):
            # Messages and events share one registry, so such a message would be built as that event.
            fields["MsgType"] = "unknown"
        try:
            return process_message(fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"not a {push.event or push.msg_type}") from error

    def answer(self, message: Any, visit: Visit) -> str:
        """Dispatch to the handlers; the reply as XML, or `success`."""
        message.visit = visit
        reply = self.get_reply(message)
        return SUCCESS if reply is None else str(reply.render()).strip()


def reply_to(push: Push, answer: Answer) -> WeChatReply:
    """WeRoBot's reply to the sender of a push. Addresses come from the fields that were checked."""
    addresses = {"source": _safe(push.to), "target": _safe(push.openid)}
    if isinstance(answer, Done):
        return SuccessReply(**addresses)
    if isinstance(answer, Picture):
        return ImageReply(media_id=_safe(answer.media_id), **addresses)
    if isinstance(answer, str):
        return TextReply(content=_safe(_fitting(answer)), **addresses)
    if isinstance(answer, Recording):
        return VoiceReply(media_id=_safe(answer.media_id), **addresses)
    if isinstance(answer, Film):
        words = {"title": _safe(answer.title), "description": _safe(answer.description)}
        return VideoReply(media_id=_safe(answer.media_id), **words, **addresses)
    if isinstance(answer, Cards):
        return _cards(push, answer, addresses)
    raise TypeError(f"a handler answered with {type(answer).__name__}")


def _cards(push: Push, answer: Cards, addresses: dict[str, str]) -> WeChatReply:
    """At most what WeChat shows: WeRoBot itself would send ten to anything."""
    most = ARTICLES_TO_EVENTS if push.is_event else ARTICLES_TO_MESSAGES
    reply = ArticlesReply(**addresses)
    for each in answer.articles[:most]:
        parts = (each.title, each.description, each.picture_url, each.url)
        reply.add_article(Card(*(_safe(part) for part in parts)))
    return reply


def _safe(text: str) -> str:
    """Text that stays inside the CDATA section it is put in, without characters that XML cannot hold."""
    return _ILLEGAL.sub("", text).replace("]]>", "]]]]><![CDATA[>")


def _fitting(text: str) -> str:
    """At most what WeChat takes of a text, cut between characters."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_TEXT_BYTES:
        return text
    return encoded[: MAX_TEXT_BYTES - 3].decode("utf-8", "ignore") + "…"


# --- XML and its envelope -------------------------------------------------------------------------------------------


def read_xml(xml: str) -> dict[str, Any]:
    """The children of `<xml>`, and the text itself as `raw`. Raises `Malformed`."""
    try:
        fields = parse_xml(xml)  # refuses entity declarations, because xmltodict does
    except (ExpatError, KeyError, ValueError, TypeError) as error:
        raise Malformed("not an XML push") from error
    if not isinstance(fields, dict):
        raise Malformed("nothing inside <xml>")
    return fields


class WrongEnvelope(Exception):
    """An encrypted body that this account's key does not open, or that was made for another app."""


class Envelope:
    """Encryption between WeChat and one account. The signature around it is checked by the caller, in constant time.

    https://developers.weixin.qq.com/doc/oplatform/developers/dev/message-crypt.html
    """

    def __init__(self, token: str, aes_key: str, app_id: str) -> None:
        self._crypt = MessageCrypt(token=token, encoding_aes_key=aes_key, app_id=app_id)

    def open(self, encrypted: str) -> str:
        """The XML inside. Raises `WrongEnvelope`."""
        try:
            clear = self._crypt.prp_crypto.decrypt(encrypted, self._crypt.app_id)
            return str(clear, "utf-8")
        except (AppIdValidationError, ValueError, IndexError, struct.error) as error:
            # Padding and lengths are not validated there, so a foreign key shows in any of these.
            raise WrongEnvelope from error

    def seal(self, xml: str) -> str:
        """The encrypted and signed reply."""
        return str(self._crypt.encrypt_message(xml))


# --- who answers what: one handler a type, because each @robot.filter or key_click would be tried in turn ------------

robot: Final = Robot()
Message = Any


@robot.subscribe
def _subscribe(message: Message) -> Answer:
    return handlers.on_subscribe(message.visit)


@robot.scan
def _scan(message: Message) -> Answer:
    return handlers.on_scan(message.visit)


@robot.unsubscribe
def _unsubscribe(message: Message) -> Answer:
    return handlers.on_unsubscribe(message.visit)


@robot.text
def _text(message: Message) -> Answer:
    return handlers.on_text(message.visit)


@robot.click
@robot.scancode_waitmsg
def _click(message: Message) -> Answer:
    return handlers.on_click(message.visit)


@robot.view
@robot.on(ViewMiniprogramEvent)
def _view(message: Message) -> Answer:
    return handlers.on_view(message.visit)


@robot.image
@robot.voice
@robot.video
@robot.shortvideo
@robot.location
@robot.link
def _media(message: Message) -> Answer:
    return handlers.on_media(message.visit)


@robot.templatesendjobfinish_event
def _template_result(message: Message) -> Answer:
    return handlers.on_template_result(message.visit)


@robot.on(SubscribeMsgSentEvent)
def _subscription_result(message: Message) -> Answer:
    return handlers.on_subscription_result(message.visit)


@robot.on(SubscribeMsgPopupEvent)
def _subscription_answer(message: Message) -> Answer:
    return handlers.on_subscription_answer(message.visit)


@robot.on(SubscribeMsgChangeEvent)
def _subscription_change(message: Message) -> Answer:
    return handlers.on_subscription_change(message.visit)


@robot.on(UserInfoModifiedEvent)
def _info_modified(message: Message) -> Answer:
    return handlers.on_info_modified(message.visit)


@robot.on(UserAuthorizationRevokeEvent)
@robot.on(UserAuthorizationCancellationEvent)
def _authorization_gone(message: Message) -> Answer:
    return handlers.on_authorization_gone(message.visit)


@robot.on(MassSendJobFinishEvent)
def _mass_result(message: Message) -> Answer:
    return handlers.on_mass_result(message.visit)


@robot.on(PublishJobFinishEvent)
def _publish_result(message: Message) -> Answer:
    return handlers.on_publish_result(message.visit)


@robot.location_event
@robot.scancode_push
@robot.pic_sysphoto
@robot.pic_photo_or_album
@robot.pic_weixin
@robot.location_select
def _noted(message: Message) -> Answer:
    return handlers.on_noted(message.visit)


@robot.handler
def _unknown(message: Message) -> Answer:
    # Runs last; every handler above answers, so only what has none comes here.
    return handlers.on_unknown(message.visit)
