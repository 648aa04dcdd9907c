"""What WeChat's refusals mean, in plain words, where this package knows: menus, tags, followers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from wechat import conditional, tags

EXPLAINED: Final[Mapping[int, str]] = MappingProxyType(
    {
        **conditional.EXPLAINED,
        **tags.EXPLAINED,
        40004: "WeChat does not take this kind of file",
        40005: "WeChat does not take files with this ending",
        40006: "the file is too large",
        40007: "WeChat does not have this file any more",
        40092: "the remark is too long",
        43004: "the person does not follow the account",
        45009: "the day's calls are used up",
        45011: "too many calls in this minute",
        45015: "the person has not written for 48 hours",
        45047: "too many messages for one visit of the person",
        48001: "the account may not use this; verified service accounts may",
    }
)


def explained(errcode: int | None) -> str | None:
    """The meaning of a code, or None where only WeChat's own words say it."""
    return None if errcode is None else EXPLAINED.get(errcode)
