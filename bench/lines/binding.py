"""Scan to bind: followers who come by one member's code against followers who come by many."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from bench.measure import Row, Spread, Step, against, clients, cpu_of, cycle, rates
from bench.seed import STAR, Place
from bench.world import World
from domain import members
from domain.db import Database
from domain.members import Touch
from domain.secrets import short_digest


def promoters(place: Place, limit: int = 5000) -> list[str]:
    """Codes of members with two above them, so that a binding writes all three levels; made at the first wish."""
    with place.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT IGNORE INTO scene (account_id, code, kind, owner_key, member_id, created_at)"
            " SELECT 1, CONCAT('scene', id), 'promoter', CONCAT('promoter-', id), id, UTC_TIMESTAMP() FROM ("
            " SELECT descendant_id AS id FROM relation WHERE level = 2 AND ancestor_id <> %s LIMIT %s) AS chosen",
            (STAR, limit),
        )
        connection.commit()
        cursor.execute("SELECT code FROM scene ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


class Scanner:
    """A client process that is many followers, each subscribing by a code."""

    def __init__(self, number: int, *, place: Place, codes: list[str], stride: int) -> None:
        self.retries = 0
        self._account = place.account
        self._database = Database(place.url)
        self._people = (f"oScan{os.getpid():09d}{count:014d}" for count in itertools.count())
        codes_of_many = cycle(codes, number, stride)
        self.sides: dict[str, Step] = {
            "one": lambda: self._follow(codes[0]),
            "many": lambda: self._follow(next(codes_of_many)),
        }

    def _follow(self, code: str) -> int:
        openid, now = next(self._people), datetime.now(UTC)
        tries = 0

        def work(session: Session) -> Touch:
            nonlocal tries
            tries += 1
            return members.follow(
                session, self._account, openid,
                scene_code=code, created=int(now.timestamp()), push_key=short_digest(openid), now=now,
            )  # fmt: skip

        touch = self._database.transact(work)
        assert touch.referrer is not None, touch
        self.retries += tries - 1
        return 1

    def close(self) -> None:
        self._database.dispose()


def one_referrer(world: World) -> Iterator[Row]:
    """All under one referrer, against distinct ones."""
    place, scale = world.largest, world.scale
    options: dict[str, Any] = {
        "place": place, "codes": promoters(place), "stride": scale.many_clients,
    }  # fmt: skip
    with clients(scale.many_clients, Scanner, **options) as scanners:
        runs = scanners.in_turn(["one", "many"], scale.rounds, scale.seconds)
    ratio = against(rates(runs["one"]), rates(runs["many"]))
    bound = sum(run.units for run in runs["one"])
    yield Row(
        line="binding",
        what=f"scan to bind under one referrer, {scale.many_clients} clients",
        members=place.members,
        unit="bindings/s",
        ours=Spread.of(rates(runs["one"])),
        peer_name="the same under distinct referrers",
        peer=Spread.of(rates(runs["many"])),
        ratio=ratio,
        target=">= 0.8",
        met=ratio.median >= 0.8,
        notes={
            "retries_per_binding": round(
                sum(run.retries for run in runs["one"]) / max(1, bound), 5
            ),
            "client_cpu_us": cpu_of(runs["one"]),
            "p99_ms": round(max(run.percentile(0.99) for run in runs["one"]) * 1000, 2),
        },
    )
