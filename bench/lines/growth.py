"""Cost as the account grows: the same work in accounts of each size, in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from bench.lines.binding import Scanner, promoters
from bench.lines.orders import Seller, buyers_under
from bench.lines.reads import Reader
from bench.lines.settling import Settler, make_due
from bench.measure import Clients, MakeClient, Row, Run, Spread, clients, rates
from bench.seed import Place
from bench.world import World

LEAST: Final = 1 / 1.5


def flat(world: World) -> Iterator[Row]:
    """Reads, bindings, orders one by one and by fifty, settlement: none may cost more than 1.5 times what it costs in
    the smallest account."""
    places = [world.place(members) for members in world.scale.sizes]
    for what, side, make, options in _kinds(world):
        with ExitStack() as stack:
            teams = {
                place.members: stack.enter_context(
                    clients(world.scale.clients, make, place=place, **options(place))
                )
                for place in places
            }
            runs = _in_turn(world, teams, side)
        yield from _rows(what, runs)
    runs = _settling(world, places)
    yield from _rows("settling", runs)


def _kinds(world: World) -> Iterator[tuple[str, str, MakeClient, Any]]:
    stride = world.scale.clients

    def selling(place: Place) -> dict[str, Any]:
        return {
            "lists": {"distinct": buyers_under(place, hot=False)}, "stride": stride,
            "batch": world.scale.batch,
        }  # fmt: skip

    yield "summary of anybody", "anybody", Reader, lambda _place: {}
    yield (
        "scan to bind",
        "many",
        Scanner,
        lambda place: {"codes": promoters(place), "stride": stride},
    )
    yield "a paid order", "domain", Seller, selling
    yield f"paid orders by {world.scale.batch}", "batch", Seller, selling


def _in_turn(world: World, teams: dict[int, Clients], side: str) -> dict[int, list[Run]]:
    scale = world.scale
    runs: dict[int, list[Run]] = {members: [] for members in teams}
    for number in range(scale.rounds + 1):
        for members, team in teams.items():
            run = team.run(side, scale.seconds / 2)
            if number:  # the first is the warm-up
                runs[members].append(run)
    return runs


def _settling(world: World, places: list[Place]) -> dict[int, list[Run]]:
    each = max(200, world.scale.due // 20)
    runs: dict[int, list[Run]] = {place.members: [] for place in places}
    with ExitStack() as stack:
        teams = {
            place.members: stack.enter_context(clients(1, Settler, place=place)) for place in places
        }
        for number in range(world.scale.rounds + 1):
            for place in places:
                make_due(world, place, each)
                run = teams[place.members].run("domain", 600)
                if number:
                    runs[place.members].append(run)
    return runs


def _rows(what: str, runs: dict[int, list[Run]]) -> Iterator[Row]:
    smallest = rates(next(iter(runs.values())))
    for members, done in runs.items():
        pairs = zip(rates(done), smallest, strict=True)
        ratio = Spread.of([ours / first for ours, first in pairs if first] or [0.0])
        yield Row(
            line="growth",
            what=what,
            members=members,
            unit="/s",
            ours=Spread.of(rates(done)),
            peer_name="the smallest account",
            peer=Spread.of(smallest),
            ratio=ratio,
            target=f">= {LEAST:.2f}",
            met=ratio.median >= LEAST,
        )
