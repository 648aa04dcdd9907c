"""What no channel could tell a follower is told at their next visit: below the answer to a command, once. A repeat of
the push is told the same again: WeChat repeats one whose answer it did not hear."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

from sqlalchemy.orm import Session

from bot.push import Push
from bot.visit import Answer, Visit
from domain import notices
from domain.models import Notice

SHOWN: Final = 5
MAX_BYTES: Final = 2048
"""Of a text reply (platform.md 1.7); what does not fit waits for the next answer."""
_ROOM_FOR_MORE: Final = 120

_log = logging.getLogger(__name__)


def below(visit: Visit, answer: Answer) -> Answer:
    """The answer with the notices that wait, which count as read then. Costs nothing while none does: `greeting` says
    so. A picture has no room for words."""
    if not isinstance(answer, str) or not visit.greeting.unread:
        return answer
    room, at = MAX_BYTES - len(answer.encode()) - _ROOM_FOR_MORE, _moment_of(visit.push)

    def take(session: Session) -> tuple[list[str], int]:
        found = notices.waiting_for(session, visit.account.id, visit.push.openid, SHOWN, at)
        lines, read = _fitting(visit, found.notices, room)
        left = found.count - len(read)
        notices.mark_read(session, found.member_id, read, left, at)
        return lines, left

    lines, left = visit.transact(take)
    if not lines:
        return answer
    more = [visit.words("inbox.more", count=left)] if left else []
    head = visit.words("inbox.head", count=len(lines) + left)
    return "\n".join([f"{answer}\n", head, *lines, *more])


def _moment_of(push: Push) -> datetime:
    """CreateTime, with the push's key in the microseconds: a repeat finds again what it has read, and another push of
    that second does not."""
    micros = crc32(push.key.encode()) % 1_000_000
    return datetime.fromtimestamp(push.created, UTC) + timedelta(microseconds=micros)


def _fitting(visit: Visit, waiting: list[Notice], room: int) -> tuple[list[str], list[int]]:
    """The lines of as many notices as there is room for, oldest first, and the ids of those that are dealt with."""
    lines: list[str] = []
    read: list[int] = []
    for each in waiting:
        try:
            text = visit.words.notice(each.occasion, json.loads(each.params))
        except (KeyError, TypeError, ValueError):
            _log.exception(
                "notice %s has no words", each.id
            )  # and must not stand in every answer's way
            read.append(each.id)
            continue
        line = visit.words("inbox.row", text=text)
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
        read.append(each.id)
    return lines, read
