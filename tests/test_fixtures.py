"""The fixtures that every other test stands on: what they promise, and that they could fail."""

from __future__ import annotations

import json
from threading import Barrier, Thread

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import Database
from tests.support.mariadb import MariaDB
from tests.support.servers import Simulator

ADD = text("INSERT INTO tree (account_id, version) VALUES (:id, 0)")
COUNT = text("SELECT COUNT(*) FROM tree")


def _count(database: Database) -> int:
    found: int = database.read(lambda session: session.execute(COUNT).scalar_one())
    return found


@pytest.mark.parametrize("time", ["first", "second"])
def test_database_is_empty_for_every_test(database: Database, time: str) -> None:
    assert _count(database) == 0
    database.transact(lambda session: session.execute(ADD, {"id": 1}))
    assert _count(database) == 1, "what one transaction committed, the next one reads"


@pytest.mark.parametrize("time", ["first", "second"])
def test_live_database_is_empty_for_every_test(live_database: Database, time: str) -> None:
    assert _count(live_database) == 0
    live_database.transact(lambda session: session.execute(ADD, {"id": 1}))
    assert _count(live_database) == 1


def test_failed_transaction_leaves_nothing_and_the_next_one_works(database: Database) -> None:
    def twice(session: Session) -> None:
        for _ in range(2):
            session.execute(ADD, {"id": 1})

    with pytest.raises(IntegrityError):
        database.transact(twice)
    assert _count(database) == 0
    database.transact(lambda session: session.execute(ADD, {"id": 1}))
    assert _count(database) == 1


def test_threads_commit_side_by_side_in_a_live_database(live_database: Database) -> None:
    start = Barrier(4)

    def add(number: int) -> None:
        start.wait()
        live_database.transact(lambda session: session.execute(ADD, {"id": number}))

    threads = [Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _count(live_database) == 4


def test_mariadb_is_as_production_is(mariadb: MariaDB) -> None:
    with mariadb.connect() as root, root.cursor() as cursor:
        cursor.execute(
            "SELECT @@tx_isolation, @@character_set_server, @@log_bin, @@binlog_format, @@bind_address"
        )
        assert cursor.fetchone() == ("READ-COMMITTED", "utf8mb4", 1, "ROW", "127.0.0.1")


def test_valkey_is_empty_for_every_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("a", "b")


def test_simulator_answers_and_moves_its_clock(simulator: Simulator) -> None:
    before = simulator.get("/_sim/clock")
    simulator.post("/_sim/clock", offset_seconds=86400)
    assert simulator.get("/_sim/clock") != before
    assert json.loads(simulator.clock_file.read_text())["offset_seconds"] == 86400
