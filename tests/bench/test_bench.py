"""The bench measures what it says: every line gives its rows, and the peers do the same work. No test of times."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from bench import byhand
from bench.__main__ import LINES, run, table
from bench.lines.orders import buyers_under, order_of, sale_of
from bench.lines.settling import make_due
from bench.measure import Spread, against
from bench.seed import Place, make_place
from bench.world import TINY
from domain import commissions, orders, proof
from domain.db import Database
from domain.models import Base
from domain.secrets import short_digest
from tests.support.mariadb import MariaDB
from tests.support.ports import free_port

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def _quiet(_text: str) -> None:
    """Nobody watches."""


def test_every_line_gives_rows() -> None:
    rows = run(dataclasses.replace(TINY, ports=(free_port(), free_port())), [], _quiet)
    assert {row.line for row in rows} == {*LINES, "orders-batch"}
    assert len([row for row in rows if row.line == "callback"]) == 2 * len(TINY.sizes)
    assert all(row.ours.median > 0 for row in rows)
    assert "我的收益, safe" in table(rows)


def test_the_seeded_account_agrees_with_itself(mariadb: MariaDB) -> None:
    place = make_place(mariadb, 10_000, _quiet)
    database = Database(place.url)
    try:
        with database.snapshot() as session:
            assert proof.members_check(session).differences == []
            assert proof.ledger_check(session).differences == []
    finally:
        database.dispose()


def _rows_of(place: Place) -> dict[str, list[Any]]:
    """Every row of every table, but secrets, which are sealed differently each time."""
    found: dict[str, list[Any]] = {}
    with place.connect() as connection, connection.cursor() as cursor:
        for name in sorted(set(Base.metadata.tables) - {"account"}):
            cursor.execute(f"SELECT * FROM `{name}`")
            found[name] = sorted(map(repr, cursor.fetchall()))
    return found


@pytest.fixture
def twins(mariadb: MariaDB) -> tuple[Place, Place]:
    """Two accounts that are alike to the last id."""
    # Each test has twins of its own: they share the server.
    mark = uuid4().hex[:8]
    return (
        make_place(mariadb, 500, _quiet, f"ours_{mark}"),
        make_place(mariadb, 500, _quiet, f"peer_{mark}"),
    )


def test_both_sides_of_an_order_leave_the_same_rows(twins: tuple[Place, Place]) -> None:
    ours, peer = twins
    buyers = buyers_under(ours, hot=False)[:5]
    assert buyers == buyers_under(peer, hot=False)[:5]
    before = _rows_of(ours)
    database, connection = Database(ours.url), peer.connect()
    try:
        for number, openid in enumerate(buyers):
            at = NOW + timedelta(minutes=number)
            paid = order_of(f"A{number}", openid, at)
            database.transact(lambda session: orders.record_paid(session, ours.account, [paid], at))  # noqa: B023
            sale = sale_of(f"A{number}", openid, at)
            byhand.record_sale(connection, peer.account.id, sale, at, short_digest)
    finally:
        database.dispose()
        connection.close()
    after = _rows_of(ours)
    changed = {name for name, rows in after.items() if rows != before[name]}
    assert changed == {
        "orders", "order_line", "commission", "posting", "tally", "notice", "outbox", "event",
    }  # fmt: skip
    assert after == _rows_of(peer)


def test_both_sides_of_a_settlement_leave_the_same_rows(
    mariadb: MariaDB, twins: tuple[Place, Place]
) -> None:
    ours, peer = twins
    for place in twins:
        make_due(mariadb, place, 50)
    later = datetime.now(UTC) + timedelta(hours=1)
    database, connection = Database(ours.url), peer.connect()
    try:
        settled = database.transact(
            lambda session: commissions.settle_due(session, ours.account, later, limit=40)
        )
        assert settled == byhand.settle_batch(connection, peer.account.id, later, limit=40) == 40
    finally:
        database.dispose()
        connection.close()
    assert _without_due_dates(ours) == _without_due_dates(peer)


def _without_due_dates(place: Place) -> dict[str, list[Any]]:
    """The two became due a moment apart, by the server's clock."""
    with place.connect() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE commission SET due_at = NULL")
        connection.commit()
    return _rows_of(place)


def test_a_ratio_is_taken_between_neighbours() -> None:
    assert against([10, 40, 90], [10, 20, 30]) == Spread(2.0, 1.0, 3.0)
