"""The second factor: a secret shared with the person's phone, and recovery codes for when the phone is lost.

The arithmetic of codes is the door's (web/console/totp.py); what is kept, and that a code counts once, is here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.db import changed
from domain.models import Staff, StaffRecovery
from domain.secrets import Keyring, digest, random_code

RECOVERY_CODES: Final = 10
_CODE_LENGTH: Final = 12


def _place(staff_id: int) -> str:
    return f"staff/{staff_id}/totp"


def propose(session: Session, keyring: Keyring, staff_id: int, secret: str) -> bool:
    """Keep a new secret that counts for nothing until `confirm`; False when a second factor is on already."""
    query = update(Staff).where(Staff.id == staff_id, Staff.totp_since.is_(None))
    values = {"totp": keyring.seal(secret, _place(staff_id)), "totp_step": 0}
    return changed(session.execute(query.values(**values))) == 1


def secret_of(session: Session, keyring: Keyring, staff_id: int) -> str | None:
    """The shared secret, proposed or confirmed."""
    sealed = session.scalar(select(Staff.totp).where(Staff.id == staff_id))
    return None if sealed is None else keyring.open(sealed, _place(staff_id))


def use_step(session: Session, staff_id: int, step: int) -> bool:
    """A right code of this time step was given; False when it, or a later one, was accepted before."""
    query = update(Staff).where(Staff.id == staff_id, Staff.totp_step < step)
    return changed(session.execute(query.values(totp_step=step))) == 1


def confirm(session: Session, staff_id: int, *, actor: str, now: datetime) -> list[str]:
    """Switch the second factor on; the recovery codes, shown this once. [] when it was on already."""
    query = update(Staff).where(
        Staff.id == staff_id, Staff.totp_since.is_(None), Staff.totp.is_not(None)
    )
    if not changed(session.execute(query.values(totp_since=now))):
        return []
    audit.record(session, None, actor=actor, action="totp_on", subject=f"staff/{staff_id}", now=now)
    return new_codes(session, staff_id)


def new_codes(session: Session, staff_id: int) -> list[str]:
    """Recovery codes instead of all earlier ones, like `ABCD-EFGH-JKLM`."""
    session.execute(delete(StaffRecovery).where(StaffRecovery.staff_id == staff_id))
    codes = [random_code(_CODE_LENGTH) for _ in range(RECOVERY_CODES)]
    session.add_all(StaffRecovery(staff_id=staff_id, code_hash=digest(code)) for code in codes)
    session.flush()
    return [
        "-".join(code[start : start + 4] for start in range(0, _CODE_LENGTH, 4)) for code in codes
    ]


def use_recovery(session: Session, staff_id: int, code: str, now: datetime) -> bool:
    """Whether this is a recovery code that nobody has used; it is used now."""
    plain = "".join(mark for mark in code.upper() if mark.isalnum())
    query = update(StaffRecovery).where(
        StaffRecovery.staff_id == staff_id,
        StaffRecovery.code_hash == digest(plain),
        StaffRecovery.used_at.is_(None),
    )
    return changed(session.execute(query.values(used_at=now))) == 1


def codes_left(session: Session, staff_id: int) -> int:
    """How many recovery codes are unused."""
    query = select(func.count()).where(
        StaffRecovery.staff_id == staff_id, StaffRecovery.used_at.is_(None)
    )
    return session.scalar(query) or 0


def switch_off(session: Session, staff_id: int, *, actor: str, now: datetime) -> bool:
    """Do without the second factor again; False when there was none."""
    query = update(Staff).where(Staff.id == staff_id, Staff.totp_since.is_not(None))
    values = {"totp": None, "totp_since": None, "totp_step": 0}
    if not changed(session.execute(query.values(**values))):
        return False
    session.execute(delete(StaffRecovery).where(StaffRecovery.staff_id == staff_id))
    audit.record(
        session, None, actor=actor, action="totp_off", subject=f"staff/{staff_id}", now=now
    )
    return True
