"""Reads by statements for the driver behave as those of the ORM: rows, errors, lost connections."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.orm import Session

from domain.db import Database, Sql
from domain.models import Tree

_ALL = Sql("SELECT account_id, version FROM tree ORDER BY account_id")
_ONE = Sql("SELECT version FROM tree WHERE account_id = ?")
_AMONG = Sql("SELECT account_id FROM tree WHERE version > ? AND account_id IN (??) ORDER BY 1")


@pytest.fixture
def trees(live_database: Database) -> Database:
    def add(session: Session) -> None:
        session.add_all(Tree(account_id=number, version=number * 10) for number in (1, 2, 3))

    live_database.transact(add)
    return live_database


def test_rows_have_names_and_the_usual_ways_to_take_them(trees: Database) -> None:
    with trees.reading() as session:
        assert [(row.account_id, row.version) for row in _ALL(session)] == [
            (1, 10),
            (2, 20),
            (3, 30),
        ]
        assert _ALL(session).first() == (1, 10)
        assert _ONE(session, 9).first() is None
        assert _ONE(session, 9).one_or_none() is None
        assert _ONE(session, 2).one().version == 20
        assert [row.account_id for row in _AMONG.among(session, (10,), [1, 2, 3])] == [2, 3]
        assert _AMONG.among(session, (10,), []).all() == []
        with pytest.raises(NoResultFound):
            _ONE(session, 9).one()
        with pytest.raises(MultipleResultsFound):
            _ALL(session).one_or_none()


def test_orm_and_driver_reads_share_a_session(trees: Database) -> None:
    def look(session: Session) -> tuple[int, int]:
        return session.get_one(Tree, 2).version, _ONE(session, 2).one().version

    assert trees.read(look) == (20, 20)


def test_a_wrong_statement_fails_as_everywhere(trees: Database) -> None:
    with pytest.raises(DBAPIError):
        trees.read(lambda session: Sql("SELECT nothing FROM nowhere")(session).all())
    assert trees.read(lambda session: _ONE(session, 1).one().version) == 10


def test_a_connection_that_died_in_the_pool_is_replaced(trees: Database) -> None:
    if trees.is_sqlite:
        return  # a file has no connections to lose
    number = Sql("SELECT CONNECTION_ID() AS id")
    before = trees.read(lambda session: number(session).one().id)
    trees.transact(lambda session: Sql("KILL ?")(session, before))
    after = trees.read(lambda session: number(session).one().id)
    assert after != before


def test_threads_read_at_once(trees: Database) -> None:
    wrong: list[object] = []

    def read() -> None:
        for _ in range(50):
            if trees.read(lambda session: _ONE(session, 3).one().version) != 30:
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_rows_are_one_statement_also_with_a_constant_among_the_values(trees: Database) -> None:
    insert = Sql("INSERT INTO tree (account_id, version) VALUES (?, 7)")

    def inserts(session: Session) -> int:
        """How many the server has counted on this connection; SQLite has no server."""
        if trees.is_sqlite:
            return 0
        return int(session.execute(text("SHOW SESSION STATUS LIKE 'Com_insert'")).one()[1])

    def add(session: Session) -> tuple[int, int]:
        before = inserts(session)
        added = insert.many(session, [(number,) for number in range(10, 720)])
        return added, inserts(session) - before

    added, statements = trees.transact(add)
    assert added == 710
    assert statements <= 2  # 500 rows at once; PyMySQL alone would send 710
    with trees.reading() as session:
        assert len(_ALL(session).all()) == 713
