"""Guesses at the same instant are counted like one after another, and a one-time code is accepted once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain import staff
from domain.db import Database, Sql
from domain.staff import factor, lockout
from domain.staff.lockout import LOGIN, TooManyGuesses
from tests.races.together import Meeting, together

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def guess(database: Database, address: str, login: str = "anna") -> bool:
    """Whether the guess from this address may be looked at."""
    try:
        database.transact(lambda session: lockout.begin(session, "password", login, address, NOW))
    except TooManyGuesses:
        return False
    return True


@pytest.mark.parametrize("engine_name", ["mariadb"], indirect=True)
@pytest.mark.parametrize("guarded", [True, False])
def test_last_free_guess_is_given_to_one_of_two(
    live_database: Database, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    for _ in range(LOGIN.free):
        assert guess(live_database, "192.0.2.1")
    for address in ("192.0.2.2", "192.0.2.3"):
        assert guess(live_database, address, "bob")
    meeting, count = Meeting(guarded=guarded), lockout._COUNT

    def met(session: Session, *values: Any) -> Any:
        if values[-1].startswith("password-"):
            meeting.wait()
        return count(session, *values)

    monkeypatch.setattr(lockout, "_COUNT", met)
    if not guarded:
        read = "SELECT failures, last_at, blocked_until FROM login_guard WHERE name = ?"
        monkeypatch.setattr(lockout, "_LOCKED", Sql(read))
        monkeypatch.setattr(lockout, "_KNOW", lambda *_: None)  # it locks the row as well
    answers = together(
        [lambda: guess(live_database, "192.0.2.2"), lambda: guess(live_database, "192.0.2.3")]
    )
    assert meeting.happened is not guarded
    assert sorted(answers) == ([False, True] if guarded else [True, True])


def test_one_code_opens_one_door(live_database: Database) -> None:
    person = live_database.transact(
        lambda session: staff.add(session, login="anna", password="a long password", now=NOW)
    )
    codes = live_database.transact(lambda session: factor.new_codes(session, person.id))
    by_step = together(
        [lambda: live_database.transact(lambda s: factor.use_step(s, person.id, 59))] * 4
    )
    by_code = together(
        [lambda: live_database.transact(lambda s: factor.use_recovery(s, person.id, codes[0], NOW))]
        * 4
    )
    assert sorted(by_step) == sorted(by_code) == [False, False, False, True]
