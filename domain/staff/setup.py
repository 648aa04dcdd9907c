"""The first owner: made in the browser by whoever can read what the release step printed, once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import accounts, audit, staff
from domain.db import changed, is_duplicate
from domain.errors import Conflict, Invalid
from domain.models import SetupCode, Staff
from domain.secrets import digest, random_code

_LENGTH = 16


class WrongCode(Invalid):
    """Not the code that was printed."""

    code = "wrong_setup_code"


def is_needed(session: Session) -> bool:
    """Whether nobody has a login yet."""
    return session.scalar(select(Staff.id).limit(1)) is None


def first_code(session: Session, now: datetime) -> str | None:
    """The code to print, if nobody has a login and none was printed before: two release steps print one."""
    if not is_needed(session) or session.get(SetupCode, 1) is not None:
        return None
    code = random_code(_LENGTH)
    try:
        with session.begin_nested():
            session.add(SetupCode(id=1, code_hash=digest(code), created_at=now))
            session.flush()
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return None
    return _readable(code)


def new_code(session: Session, now: datetime) -> str:
    """Another code, when the printed one is lost. Raises `Conflict` when somebody has a login."""
    if not is_needed(session):
        raise Conflict("somebody has a login already: use flask staff add")
    session.execute(delete(SetupCode))
    code = random_code(_LENGTH)
    session.add(SetupCode(id=1, code_hash=digest(code), created_at=now))
    session.flush()
    return _readable(code)


def first_owner(session: Session, *, code: str, login: str, password: str, now: datetime) -> Staff:
    """Use the code: the first person, who may open accounts and owns those that exist. Raises `WrongCode`, and
    `Invalid` for a login or a password that will not do, which leaves the code as it was."""
    plain = "".join(mark for mark in code.upper() if mark.isalnum())
    used = delete(SetupCode).where(SetupCode.code_hash == digest(plain))
    if not is_needed(session) or not changed(session.execute(used)):
        raise WrongCode("this is not the setup code")
    person = staff.add(session, login=login, password=password, opens_accounts=True, now=now)
    for account in accounts.all_of(session):
        staff.grant(session, person.id, account.id, staff.OWNER)
    audit.record(
        session, None, actor=f"staff:{person.login}", action="first_owner", subject=f"staff/{person.id}", now=now
    )  # fmt: skip
    return person


def _readable(code: str) -> str:
    return "-".join(code[start : start + 4] for start in range(0, _LENGTH, 4))
