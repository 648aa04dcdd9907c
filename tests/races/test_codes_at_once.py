"""Codes and posters at once: the last permanent code, two posters of one member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from domain import codes, posters, scenes
from domain.db import Sql
from domain.models import PermanentGrant, Poster, Scene
from tests.domain.world import World
from tests.races.together import Meeting, met_before, together


def _grant(world: World, scene_code: str) -> Callable[[], Any]:
    """Try to give the code; the number, or the refusal."""

    def give() -> Any:
        try:
            return world.do(
                lambda session: codes.grant_permanent(
                    session, world.account.id, world.account.settings, scene_code, actor="t", now=world.now
                )
            ).number  # fmt: skip
        except codes.PoolExhausted:
            return None

    return give


def _channels(world: World, count: int) -> list[str]:
    return [
        world.do(
            lambda session, number=number: codes.add(  # type: ignore[misc]
                session, world.account.id, name=f"渠道{number}", now=world.now
            )
        ).scene.code
        for number in range(count)
    ]


def test_of_two_grants_of_the_last_permanent_code_one_is_refused(world: World) -> None:
    world.change(permanent_pool=1)
    numbers = together([_grant(world, code) for code in _channels(world, 2)])
    assert sorted(numbers, key=str) == [1, None]


def test_without_the_guard_the_pool_would_be_overdrawn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both count first, and both see one code left: the numbers run past the pool."""
    world.change(permanent_pool=1)
    unguarded = Sql(
        "UPDATE permanent_pool SET granted = granted + 1 WHERE account_id = ? AND ? > 0"
    )
    monkeypatch.setattr(codes, "_TAKE", unguarded)
    numbers = together([_grant(world, code) for code in _channels(world, 2)])
    assert sorted(numbers) == [1, 2]


def test_many_grants_give_each_number_once_and_no_more_than_there_are(world: World) -> None:
    world.change(permanent_pool=7)
    numbers = together([_grant(world, code) for code in _channels(world, 12)])
    given = sorted(number for number in numbers if number is not None)
    assert given == list(range(1, 8))
    assert world.look(lambda s: s.scalar(select(func.count(PermanentGrant.number)))) == 7


def test_two_grants_of_one_code_take_one_place(world: World) -> None:
    (code,) = _channels(world, 1)
    assert together([_grant(world, code)] * 4) == [1, 1, 1, 1]
    assert world.look(lambda s: codes.granted(s, world.account.id)) == 1


def test_two_posters_of_one_member_at_once_keep_one_picture(world: World) -> None:
    world.people("ann")
    ann = world.id_of("ann")

    def prepared(session: Any) -> posters.Facts | None:
        scene = scenes.of_member(session, world.account.id, ann, world.now)
        scenes.record_ticket(session, scene, ticket="T", url="U", expires_at=None, now=world.now)
        return posters.facts(session, ann, world.now)

    shown = world.do(prepared)
    assert shown is not None
    facts = shown
    meeting = Meeting(guarded=False)

    def keep(media_id: str) -> Callable[[], None]:
        def write(session: Any) -> None:
            posters.live_media(session, facts, world.now)
            posters.keep(session, facts, media_id, world.now, world.now)

        return met_before(lambda: world.do(write), meeting)

    together([keep("M1"), keep("M2")])
    assert meeting.happened
    kept = world.look(lambda s: s.scalars(select(Poster.media_id)).all())
    assert len(kept) == 1
    assert kept[0] in {"M1", "M2"}


def test_two_first_wishes_at_once_make_one_scene(world: World) -> None:
    world.people("ann")
    ann = world.id_of("ann")

    def facts() -> int:
        shown = world.do(lambda s: posters.facts(s, ann, world.now))
        assert shown is not None
        return shown.scene_id

    assert len(set(together([facts] * 6))) == 1
    owned = select(func.count(Scene.id)).where(Scene.member_id == ann)
    assert world.look(lambda s: s.scalar(owned)) == 1
