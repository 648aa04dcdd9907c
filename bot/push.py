"""One push of WeChat as our code reads it: typed, checked, with the key that makes its repeats harmless.

https://developers.weixin.qq.com/doc/service/guide/product/message/Receiving_standard_messages.html
https://developers.weixin.qq.com/doc/service/guide/product/message/Receiving_event_pushes.html

Only the platform's own, capitalised field names are read: WeRoBot's lower-case attributes can be overridden by a tag of
that name in the XML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from domain.secrets import short_digest

EVENT: Final = "event"
_OPENID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SECONDS: Final = re.compile(r"[0-9]{1,11}")
_SCENE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_BY_CODE: Final = "qrscene_"
UNREADABLE_SCENE: Final = "?"
"""Stands for a code that none of ours can be, so that the scan is counted and refused as unknown."""


class Malformed(Exception):
    """What came is not a push: the sender gets 400, and nothing is kept."""


class TooEarly(Exception):
    """The push speaks of a row that is not there yet: it is tried again a little later."""


@dataclass(frozen=True, slots=True)
class Push:
    """`msg_type` and `event` are lower case, `event` is empty for messages; `created` is CreateTime in seconds."""

    openid: str
    to: str
    msg_type: str
    event: str
    created: int
    key: str
    raw: str
    fields: Mapping[str, Any] = field(repr=False)

    @property
    def is_event(self) -> bool:
        return self.msg_type == EVENT

    def text_of(self, name: str) -> str:
        """The text of a field; empty when it is missing, empty, or not a text."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    @property
    def event_key(self) -> str:
        return self.text_of("EventKey")

    @property
    def scene_code(self) -> str | None:
        """The code of a subscribe or scan. A subscribe has it behind `qrscene_`; what carries another prefix came by
        something else than a code."""
        key = self.event_key
        if self.event == "subscribe":
            if not key.startswith(_BY_CODE):
                return None
            key = key.removeprefix(_BY_CODE)
        if not key:
            return None
        return key if _SCENE.fullmatch(key) else UNREADABLE_SCENE

    def list_of(self, outer: str) -> list[Mapping[str, Any]]:
        """The `List` elements below a field: one of them parses as a dict, several as a list (platform.md 1.6)."""
        parent = self.fields.get(outer)
        items = parent.get("List") if isinstance(parent, Mapping) else None
        candidates = items if isinstance(items, list) else [items]
        return [item for item in candidates if isinstance(item, Mapping)]


def read(fields: Mapping[str, Any]) -> Push:
    """The push behind the children of `<xml>`. Raises `Malformed`."""
    created = _text(fields, "CreateTime")
    if not _SECONDS.fullmatch(created):
        raise Malformed("CreateTime is not a number of seconds")
    openid = _text(fields, "FromUserName")
    if not _OPENID.fullmatch(openid):
        raise Malformed("FromUserName is not an openid")
    msg_type = _text(fields, "MsgType").lower()
    event = _text(fields, "Event").lower() if msg_type == EVENT else ""
    return Push(
        openid=openid,
        to=_text(fields, "ToUserName"),
        msg_type=msg_type,
        event=event,
        created=int(created),
        key=_key(fields, openid, created, msg_type, event),
        raw=_text(fields, "raw"),
        fields=fields,
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):  # missing, empty, given twice, or with children
        raise Malformed(f"{name} is missing or not a text")
    return value


def _key(fields: Mapping[str, Any], openid: str, created: str, msg_type: str, event: str) -> str:
    """The same for every repeat of a push, different for different ones. CreateTime has whole seconds, so an event
    needs everything else that tells two of one second apart (platform.md 1.3)."""
    message_id = fields.get("MsgId")
    if msg_type != EVENT and isinstance(message_id, str):
        return short_digest(f"message|{message_id}")
    parts = [fields.get(name) for name in ("EventKey", "MsgID", "MenuId")]
    texts = [part if isinstance(part, str) else "" for part in parts]
    return short_digest("|".join([msg_type, openid, created, event, *texts]))
