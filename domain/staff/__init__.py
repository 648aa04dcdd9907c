"""商家员工: who signs in to the console, and what they may do in which account.

sessions.py: who is signed in where. lockout.py: guessing is slow. factor.py: the second factor. setup.py: the first
owner. permissions.py: what each role may do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from domain.db import changed
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Account, Staff, StaffRole
from domain.secrets import check_password, hash_password
from domain.staff.permissions import FINANCE as FINANCE
from domain.staff.permissions import OPERATOR as OPERATOR
from domain.staff.permissions import OWNER as OWNER
from domain.staff.permissions import ROLES as ROLES
from domain.staff.permissions import SUPPORT as SUPPORT

MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 256
"""A bound, because hashing is made to be expensive."""


def add(
    session: Session, *, login: str, password: str, opens_accounts: bool = False, now: datetime
) -> Staff:
    """Give a person a login; roles come from `grant`. Raises `Invalid` and, for a login in use, `Conflict`."""
    login = login.strip()
    if not 1 <= len(login) <= 190:
        raise Invalid("a login has 1 to 190 characters")
    if find(session, login) is not None:
        raise Conflict("this login is in use", login=login)
    staff = Staff(
        login=login, password_hash=_hashed(password), active=True,
        opens_accounts=opens_accounts, language="", created_at=now,
    )  # fmt: skip
    session.add(staff)
    session.flush()
    return staff


def find(session: Session, login: str) -> Staff | None:
    """The person with this login, also an inactive one."""
    return session.scalar(select(Staff).where(Staff.login == login.strip()))


def get(session: Session, login: str) -> Staff:
    """The person with this login, or `NotFound`."""
    staff = find(session, login)
    if staff is None:
        raise NotFound("no such login", login=login)
    return staff


def check(session: Session, login: str, password: str) -> Staff | None:
    """The active person whose login and password these are. As slow for an unknown login as for a wrong password."""
    staff = find(session, login)
    hashed = _NOBODY if staff is None else staff.password_hash
    right = len(password) <= MAX_PASSWORD and check_password(password, hashed)
    # MariaDB finds "anna" by "ánna" too, whose guesses are counted by themselves (lockout.py).
    if staff is None or staff.login.casefold() != login.strip().casefold():
        return None
    return staff if staff.active and right else None


def set_password(session: Session, staff_id: int, password: str) -> None:
    """Replace a password. Raises `Invalid` for one that is too short."""
    query = update(Staff).where(Staff.id == staff_id).values(password_hash=_hashed(password))
    session.execute(query)


def set_active(session: Session, staff_id: int, active: bool) -> bool:
    """Let a person in again, or keep them out; whether that changed anything."""
    query = update(Staff).where(Staff.id == staff_id, Staff.active != active)
    return changed(session.execute(query.values(active=active))) == 1


def grant(session: Session, staff_id: int, account_id: int, role: str) -> None:
    """Give a person a role in an account, instead of the one they had there. Raises `Invalid`."""
    if role not in ROLES:
        raise Invalid("no such role", role=role, roles=list(ROLES))
    row = session.get(StaffRole, (staff_id, account_id))
    if row is None:
        row = StaffRole(staff_id=staff_id, account_id=account_id)
        session.add(row)
    row.role = role
    session.flush()


def role_in(session: Session, staff_id: int, account_id: int) -> str | None:
    """The person's role in this account, None when they have no business there."""
    return session.scalar(
        select(StaffRole.role).where(
            StaffRole.staff_id == staff_id, StaffRole.account_id == account_id
        )
    )


def accounts_of(session: Session, staff_id: int) -> list[tuple[Account, str]]:
    """The accounts in which a person has a role, with the role, by name."""
    query = (
        select(Account, StaffRole.role)
        .join(StaffRole, StaffRole.account_id == Account.id)
        .where(StaffRole.staff_id == staff_id)
        .order_by(Account.name, Account.id)
    )
    return [(account, role) for account, role in session.execute(query)]


def of_account(session: Session, account_id: int) -> list[tuple[Staff, str]]:
    """Who works in an account, with their role, by login."""
    query = (
        select(Staff, StaffRole.role)
        .join(StaffRole, StaffRole.staff_id == Staff.id)
        .where(StaffRole.account_id == account_id)
        .order_by(Staff.login)
    )
    return [(person, role) for person, role in session.execute(query)]


def dismiss(session: Session, staff_id: int, account_id: int) -> bool:
    """Take a person's role in an account away; whether they had one."""
    query = delete(StaffRole).where(
        StaffRole.staff_id == staff_id, StaffRole.account_id == account_id
    )
    return changed(session.execute(query)) == 1


def is_last_owner(session: Session, staff_id: int, account_id: int) -> bool:
    """Whether nobody else owns the account. Locks its roles, so that two owners cannot dismiss each other at once."""
    query = (
        select(StaffRole.staff_id, StaffRole.role, Staff.active)
        .join(Staff, Staff.id == StaffRole.staff_id)
        .where(StaffRole.account_id == account_id)
        .with_for_update()
    )
    owners = {row.staff_id for row in session.execute(query) if row.role == OWNER and row.active}
    return owners == {staff_id}


def set_language(session: Session, staff_id: int, language: str) -> None:
    """The language of this person's pages: "zh" or "en"; "" is the browser's choice."""
    session.execute(update(Staff).where(Staff.id == staff_id).values(language=language))


def _hashed(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return hash_password(password)


_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$" + "MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43
"""A hash that no password has, with the library's parameters: checking it takes as long as a real one."""
