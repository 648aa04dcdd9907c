"""商家员工: who signs in to the console, and what they may do in which account."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.db import changed
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Staff, StaffRole
from domain.secrets import check_password, hash_password

OWNER: Final = "owner"
FINANCE: Final = "finance"
OPERATOR: Final = "operator"
SUPPORT: Final = "support"
ROLES: Final = (OWNER, FINANCE, OPERATOR, SUPPORT)

MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 256
"""A bound, because hashing is made to be expensive."""


def add(session: Session, *, login: str, password: str, now: datetime) -> Staff:
    """Give a person a login; roles come from `grant`. Raises `Invalid` and, for a login in use, `Conflict`."""
    login = login.strip()
    if not 1 <= len(login) <= 190:
        raise Invalid("a login has 1 to 190 characters")
    if find(session, login) is not None:
        raise Conflict("this login is in use", login=login)
    staff = Staff(login=login, password_hash=_hashed(password), active=True, created_at=now)
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
    return staff if staff is not None and staff.active and right else None


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


def roles_of(session: Session, staff_id: int) -> dict[int, str]:
    """The role of a person in each account, by account id."""
    rows = session.scalars(select(StaffRole).where(StaffRole.staff_id == staff_id))
    return {row.account_id: row.role for row in rows}


def all_of(session: Session) -> list[Staff]:
    """Everybody with a login, by login."""
    return list(session.scalars(select(Staff).order_by(Staff.login)))


def _hashed(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return hash_password(password)


_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$" + "MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43
"""A hash that no password has, with the library's parameters: checking it takes as long as a real one."""
