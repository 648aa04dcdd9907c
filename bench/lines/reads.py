"""What a chat answer reads: a huge team against none, and three ways to know how large a team is."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import redis

from bench.measure import Row, Spread, Step, against, clients, cpu_of, medians, rates
from bench.seed import STAR, Place, openid_of
from bench.world import World
from domain import members
from domain.db import Database
from domain.tally import fold


class Reader:
    """A client process that reads summaries."""

    def __init__(self, _number: int, *, place: Place) -> None:
        self.retries = 0
        self._account_id = place.account.id
        self._database = Database(place.url)
        self.sides: dict[str, Step] = {
            "star": lambda: self._read(openid_of(STAR)),
            "loner": lambda: self._read(openid_of(place.loner)),
            "anybody": lambda: self._read(openid_of(random.randint(1, place.members))),
        }

    def _read(self, openid: str) -> int:
        found = self._database.read(
            lambda session: members.summary(session, self._account_id, openid)
        )
        assert found is not None
        return 1

    def close(self) -> None:
        self._database.dispose()


def team(world: World) -> Iterator[Row]:
    """我的团队 of the member with 35 % of everybody below, against that of a member with nobody."""
    place, scale = world.largest, world.scale
    with clients(1, Reader, place=place) as readers:
        runs = readers.in_turn(["star", "loner"], scale.rounds, scale.seconds / 2)
    ratio = against(medians(runs["star"]), medians(runs["loner"]))
    yield Row(
        line="team",
        what=f"read of a member with {place.members * 35 // 100:,} downlines",
        members=place.members,
        unit="us",
        ours=Spread.of(medians(runs["star"])),
        peer_name="the same for a member with none",
        peer=Spread.of(medians(runs["loner"])),
        ratio=ratio,
        target="<= 1.2",
        met=ratio.median <= 1.2,
        notes={"client_cpu_us": cpu_of(runs["star"]), "peer_client_cpu_us": cpu_of(runs["loner"])},
    )


# --- three ways to count a team -------------------------------------------------------------------------------------

_EVERYBODY = "SELECT id, referrer_id FROM member"
_RECURSION = (
    "WITH RECURSIVE team AS (SELECT id, 1 AS level FROM member WHERE referrer_id = %s"
    " UNION ALL SELECT m.id, team.level + 1 FROM team JOIN member m ON m.referrer_id = team.id WHERE team.level < 3)"
    " SELECT level, COUNT(*) FROM team GROUP BY level"
)
TREE_KEY = "bench-tree"
TREE_SECONDS = 3600


class Counter:
    """A client process that counts the star's team in three ways."""

    def __init__(self, _number: int, *, place: Place, redis_url: str) -> None:
        self.retries = 0
        self._place = place
        self._database = Database(place.url)
        self._connection = place.connect()
        self._connection.autocommit(True)
        self._redis = redis.Redis.from_url(redis_url)
        self.sides: dict[str, Step] = {
            "tally": self._tally,
            "tree": self._tree,
            "recursion": self._recursion,
        }
        self.store_tree()

    def _tally(self) -> int:
        found = self._database.read(
            lambda session: members.summary(session, self._place.account.id, openid_of(STAR))
        )
        return self._check(sum(level.people for level in found.levels.values()) if found else 0)

    def store_tree(self) -> None:
        """What shops do that keep no figures: the whole tree under one key, for an hour."""
        with self._connection.cursor() as cursor:
            cursor.execute(_EVERYBODY)
            children: defaultdict[int, list[int]] = defaultdict(list)
            for member_id, referrer_id in cursor.fetchall():
                if referrer_id is not None:
                    children[referrer_id].append(member_id)
        self._redis.set(TREE_KEY, json.dumps(children), ex=TREE_SECONDS)

    def _tree(self) -> int:
        stored: Any = self._redis.get(TREE_KEY)
        children = json.loads(stored)
        total, level = 0, [STAR]
        for _ in range(3):
            level = [child for parent in level for child in children.get(str(parent), ())]
            total += len(level)
        return self._check(total)

    def _recursion(self) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(_RECURSION, (STAR,))
            return self._check(sum(count for _level, count in cursor.fetchall()))

    def _check(self, people: int) -> int:
        assert people >= self._place.members * 35 // 100, people
        return 1

    def close(self) -> None:
        self._database.dispose()
        self._connection.close()
        self._redis.close()


_STALENESS = {
    "tally": "none: written with the binding",
    "tree": f"up to {TREE_SECONDS} s",
    "recursion": "none",
}


def _fold(place: Place) -> None:
    """As the clock does every two seconds: nobody has folded what the lines before this one wrote."""
    database = Database(place.url)
    while database.transact(fold):
        pass
    database.dispose()


def three_ways(world: World) -> Iterator[Row]:
    """Stored figures, a tree cached for an hour, recursion: at every size, with how old each may be."""
    for members_count in world.scale.sizes:
        place = world.place(members_count)
        _fold(place)
        began = time.monotonic()
        with clients(1, Counter, place=place, redis_url=world.redis_url) as counters:
            built = time.monotonic() - began
            runs = {
                way: counters.in_turn([way], max(1, world.scale.rounds - 2), world.scale.seconds / 3)[way]
                for way in ("tally", "tree", "recursion")
            }  # fmt: skip
        tally = medians(runs["tally"])
        for way, done in runs.items():
            yield Row(
                line="team-ways",
                what={"tally": "stored tally", "tree": "tree cached for an hour", "recursion": "recursive query"}[way],
                members=place.members,
                unit="us",
                ours=Spread.of(medians(done)),
                peer_name="stored tally",
                peer=Spread.of(tally),
                ratio=against(medians(done), tally),
                target="recorded",
                notes={
                    "stale": _STALENESS[way], "per_second": round(Spread.of(rates(done)).median, 1),
                    **({"start_and_tree_built_s": round(built, 2)} if way == "tree" else {}),
                },
            )  # fmt: skip
