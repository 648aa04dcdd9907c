"""Guessing is made slow: a guess is written down before it is looked at, and each wrong one doubles the pause.

Per login, so that one password cannot be guessed from many addresses, and per address, so that one address cannot try
many logins. Many guesses at once count like one after another: the row's guarded UPDATE lets one through.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from domain.db import Sql, changed, from_db, to_db
from domain.errors import DomainError
from domain.models import LoginGuard
from domain.secrets import short_digest

FORGET: Final = timedelta(hours=24)
"""After so long without a wrong guess the count starts again."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`free` wrong guesses cost nothing; then 2, 4, 8 … seconds, at most `longest`."""

    free: int
    longest: timedelta

    def pause(self, failures: int) -> timedelta:
        """How long nobody may guess after so many wrong ones."""
        over = failures - self.free
        return min(timedelta(seconds=2 ** min(over, 30)), self.longest) if over > 0 else timedelta()


LOGIN: Final = Limit(free=5, longest=timedelta(minutes=15))
ADDRESS: Final = Limit(free=30, longest=timedelta(hours=1))


class TooManyGuesses(DomainError):
    """Nothing was looked at: it is too early for another guess. `details` has `retry_after` in seconds."""

    code = "too_many_guesses"
    status = 429
    permanent = False


# Not INSERT IGNORE, whose shared lock on a row that is there would make two guesses at once deadlock.
_KNOW = Sql(
    "INSERT INTO login_guard (name, failures, last_at, blocked_until) VALUES (?, 0, ?, ?)"
    " ON DUPLICATE KEY UPDATE failures = failures",
    sqlite="INSERT OR IGNORE INTO login_guard (name, failures, last_at, blocked_until) VALUES (?, 0, ?, ?)",
)
_LOCKED = Sql(
    "SELECT failures, last_at, blocked_until FROM login_guard WHERE name = ? FOR UPDATE",
    sqlite="SELECT failures, last_at, blocked_until FROM login_guard WHERE name = ?",
)
_COUNT = Sql("UPDATE login_guard SET failures = ?, last_at = ?, blocked_until = ? WHERE name = ?")
_FORGIVE = Sql(
    "UPDATE login_guard SET failures = failures - 1, blocked_until = last_at WHERE name = ? AND failures > 0"
)


def names_of(what: str, login: str, address: str) -> tuple[tuple[str, Limit], ...]:
    """The two counters of a guess, in the order in which they are locked. `what`: "password", "code", "setup"."""
    return (
        (f"address-{short_digest(_network(address))}", ADDRESS),
        (f"{what}-{short_digest(login.strip().casefold())}", LOGIN),
    )


def _network(address: str) -> str:
    """An IPv6 customer has at least 2^64 addresses: they count as one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return (
        str(ip_network(f"{parsed}/64", strict=False))
        if isinstance(parsed, IPv6Address)
        else str(parsed)
    )


def begin(session: Session, what: str, login: str, address: str, now: datetime) -> None:
    """Count a guess as wrong before it is looked at; `right` takes that back. Raises `TooManyGuesses`.

    Commit before looking: whoever breaks off in between has guessed.
    """
    for name, limit in names_of(what, login, address):
        _KNOW(session, name, to_db(now), to_db(now))
        row = _LOCKED(session, name).one()
        until = from_db(row.blocked_until)
        if until > now:
            wait = ceil((until - now).total_seconds())  # who comes back then is not too early
            raise TooManyGuesses("too many wrong guesses", retry_after=wait)
        failures = 1 if from_db(row.last_at) + FORGET < now else row.failures + 1
        _COUNT(session, failures, to_db(now), to_db(now + limit.pause(failures)), name)


def right(session: Session, what: str, login: str, address: str) -> None:
    """The guess was right: the login starts from nothing again, the address gets this one guess back."""
    (by_address, _), (by_login, _) = names_of(what, login, address)
    _FORGIVE(session, by_address)
    session.execute(delete(LoginGuard).where(LoginGuard.name == by_login))


def prune(session: Session, now: datetime, limit: int = 500) -> int:
    """Forget counters that start again anyway; how many."""
    old = select(LoginGuard.name).where(LoginGuard.last_at < now - FORGET).limit(limit)
    names = list(session.scalars(old))
    return (
        changed(session.execute(delete(LoginGuard).where(LoginGuard.name.in_(names))))
        if names
        else 0
    )
