"""How long a statement may take: the kernel ends it, and the transaction is run again or given up in words."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain.db import Database, is_retryable
from domain.errors import Busy
from tests.support.databases import Schemas


@pytest.fixture
def impatient(schemas: Schemas) -> Generator[Database]:
    database = Database(schemas.shared("mariadb"), statement_seconds=1)
    yield database
    database.dispose()


def _too_long(session: Session) -> None:
    session.execute(text("SELECT SLEEP(5)")).all()


def test_statement_that_takes_too_long_is_a_lost_connection(impatient: Database) -> None:
    with pytest.raises(DBAPIError) as failure, impatient.reading() as session:
        _too_long(session)
    assert failure.value.connection_invalidated
    assert is_retryable(failure.value)


def test_next_statement_has_a_connection_of_its_own(impatient: Database) -> None:
    with pytest.raises(DBAPIError):
        impatient.read(_too_long)  # which tries a second connection before it gives up
    assert impatient.read(lambda session: session.scalar(text("SELECT 7"))) == 7


def test_transaction_that_never_gets_its_answer_is_busy(impatient: Database) -> None:
    with pytest.raises(Busy):
        impatient.transact(_too_long, tries=1)


def test_long_answer_arrives_whole(impatient: Database) -> None:
    """More than the buffer of a read: nothing is lost between the kernel and the driver."""
    assert len(impatient.read(lambda s: s.scalar(text("SELECT REPEAT('x', 300000)")))) == 300_000
