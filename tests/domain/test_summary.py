"""What members are told of themselves: the same figures, however many rows they stand in."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from domain import members
from domain.tally import Changes, Figures
from tests.domain.statements import recorded
from tests.domain.world import World


def sell(world: World, times: int) -> None:
    """Sales in the team of ann, each with rows of its own on two levels."""
    for _ in range(times):

        def work(session: Session) -> None:
            changes = Changes()
            for level in (1, 3):
                changes.add(world.id_of("ann"), level, orders=1, spent_fen=level * 10**12)
            changes.write(session)

        world.do(work)


@pytest.mark.parametrize(("times", "statements"), [(0, 1), (5, 1), (6, 2), (40, 2)])
def test_the_figures_do_not_depend_on_who_adds_them_up(
    world: World, times: int, statements: int
) -> None:
    world.follow("ann")
    world.follow("ben", by="ann")
    world.fold()
    joined = world.summary("ann")
    assert (joined.levels[1].people, joined.levels[2], joined.levels[3]) == (
        1,
        Figures(),
        Figures(),
    )
    sell(world, times)
    with recorded() as sent:
        now = world.summary("ann")
    assert len({one.text for one in sent if "packed" in one.text}) == statements
    assert now.levels == {
        1: Figures(people=1, following=1, orders=times, spent_fen=times * 10**12),
        2: Figures(),
        3: Figures(orders=times, spent_fen=times * 3 * 10**12),
    }
    assert (now.lang, now.unread, now.available_fen, now.withdrawing_fen) == ("", False, 0, 0)
    world.fold()
    assert world.summary("ann") == now
    assert now.down_to(2) == now.levels[1]
    assert now.total.orders == 2 * times


def test_strangers_have_no_figures(world: World) -> None:
    assert world.database.read(lambda s: members.summary(s, world.account.id, "nobody")) is None
