"""Every documented push goes through WeRoBot's dispatch to the handler that is decorated for it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.robot import robot
from tests.bot import samples
from tests.bot.chat import Chat

ALL = {**samples.MESSAGES, **samples.EVENTS, **samples.UNKNOWN}


def _record_dispatch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The types that WeRoBot was asked for handlers of."""
    asked: list[str] = []
    get_handlers = robot.get_handlers

    def recording(kind: str) -> Any:
        asked.append(kind)
        return get_handlers(kind)

    monkeypatch.setattr(robot, "get_handlers", recording)
    return asked


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
def test_documented_push_is_dispatched_and_answered(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, kind: str, sealed: bool
) -> None:
    asked = _record_dispatch(monkeypatch)
    reply = chat.push_sealed(ALL[kind]) if sealed else chat.push(ALL[kind])
    assert asked == [kind]
    assert reply.status == 200
    spooled = list((chat.context.settings.data.dir / "spool").glob("*"))
    assert spooled == []


def test_nothing_happens_to_a_push_that_no_handler_gets(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers beside the dispatch answers here too, and fails this test."""
    monkeypatch.setattr(robot, "_handlers", {kind: [] for kind in robot._handlers})
    for xml in ALL.values():
        assert chat.push(xml).is_success
    assert chat.member(samples.OPENID) is None


def test_every_type_has_one_handler_of_its_own_or_none() -> None:
    """A chain of handlers is tried one after the other: WeRoBot's filters and key_clicks would make one."""
    assert {kind: len(found) for kind, found in robot._handlers.items() if len(found) > 1} == {}


def test_event_name_is_taken_in_any_case(chat: Chat) -> None:
    assert not chat.event("anna", "Subscribe", EventKey="").is_success
    assert chat.member("anna") is not None
    chat.event("anna", "UNSUBSCRIBE", created=chat.now_seconds + 1)
    member = chat.member("anna")
    assert member is not None
    assert not member.following
