"""Rows that are made by whoever needs them first, and changed by everybody: no two wait for each other.

INSERT IGNORE takes a shared lock of a row that is there; two who hold it wait for each other when they change the row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import db, events, referrals, subscriptions, sweeps, tags, windows
from domain.db import Sql
from domain.models import LinkTouch, ServiceWindow, Sweep
from tests.domain.world import World
from tests.races.together import Meeting, met_after, together

CROWD = 12
DEADLOCK = 1213

Act = Callable[[Session, World, datetime], Any]


def _allow(session: Session, world: World, at: datetime) -> None:
    subscriptions.add(session, world.id_of("ann"), "T", at)


def _speak(session: Session, world: World, at: datetime) -> None:
    windows.record(session, [(world.account.id, world.id_of("ann"), events.TEXT, at)])


def _touch(session: Session, world: World, at: datetime) -> None:
    referrals.remember(session, world.account, "visitor", world.code_of("ann"), at)


def _walk(session: Session, world: World, at: datetime) -> None:
    tags.mark_next(session, world.account.id, at)


_WINDOW = "INTO service_window (member_id, account_id, spent) VALUES (?, ?, ?)"
_LINK_TOUCH = "INTO link_touch (account_id, openid, scene_code, at) VALUES (?, ?, ?, ?)"
_SWEEP = "INTO sweep (account_id, task, after_id) VALUES (?, ?, 0)"


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The numbers of the conflicts after which a transaction was run again."""
    numbers: list[int | None] = []
    is_retryable = db.is_retryable

    def noted(error: Any) -> bool:
        numbers.append(db.error_number(error))
        return is_retryable(error)

    monkeypatch.setattr(db, "is_retryable", noted)
    return numbers


@pytest.fixture
def shop(world: World) -> World:
    """One promoter; the last touch of a visitor counts."""
    world.people("ann")
    world.change(bind_policy="last_touch")
    return world


def _at_once(world: World, act: Act, count: int) -> list[datetime]:
    """So many do it at one instant, each at another second of their own; the instants."""
    instants = [world.now + timedelta(seconds=number) for number in range(count)]
    calls = [lambda at=at: world.do(lambda session: act(session, world, at)) for at in instants]
    together(calls)
    return instants


@pytest.mark.parametrize("act", [_allow, _speak, _touch, _walk])
def test_a_crowd_opens_and_changes_one_row_without_a_deadlock(
    shop: World, passed: list[int | None], act: Act
) -> None:
    for _ in range(3):  # the first time it is made, then it is there
        _at_once(shop, act, CROWD)
    assert passed == []


def test_everything_that_a_crowd_did_is_in_the_row(shop: World) -> None:
    for act in (_allow, _speak, _touch, _walk):
        last = _at_once(shop, act, CROWD)[-1]
    ann = shop.id_of("ann")
    assert shop.look(lambda s: subscriptions.credits_of(s, [ann])) == {ann: {"T": CROWD}}
    assert shop.look(lambda s: s.scalar(select(ServiceWindow.spoke_at))) == last
    assert shop.look(lambda s: s.scalar(select(LinkTouch.at))) == last
    assert shop.look(lambda s: s.scalars(select(Sweep.after_id)).all()) == [0]


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(
    ("module", "name", "into", "act"),
    [
        (windows, "_OPEN", _WINDOW, _speak),
        (referrals, "_FIRST", _LINK_TOUCH, _touch),
        (sweeps, "_OPEN", _SWEEP, _walk),
    ],
)
def test_two_who_only_share_the_row_wait_for_each_other(
    shop: World, monkeypatch: pytest.MonkeyPatch, passed: list[int | None],
    module: Any, name: str, into: str, act: Act, guarded: bool,
) -> None:  # fmt: skip
    """With INSERT IGNORE both have their shared lock before either changes the row, and one of them must begin anew."""
    _at_once(shop, act, 1)
    opens = getattr(module, name) if guarded else Sql(f"INSERT IGNORE {into}")
    meeting = Meeting(guarded=guarded)
    monkeypatch.setattr(module, name, _Met(opens, meeting))
    shop.later(hours=1)
    _at_once(shop, act, 2)
    assert meeting.happened is not guarded
    assert passed == ([] if guarded else [DEADLOCK])


class _Met:
    """A statement with a meeting behind it, for one row or many."""

    def __init__(self, statement: Sql, meeting: Meeting) -> None:
        self._run = met_after(statement, meeting)
        self.many = met_after(statement.many, meeting)

    def __call__(self, *args: Any) -> Any:
        return self._run(*args)
