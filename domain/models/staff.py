"""商家员工: people who sign in to the console, their sessions, and what keeps others out."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    String,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    Id,
    Key64,
    MaybeAt,
    MaybeSealed,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Staff(Base):
    """商家员工: a person who signs in to the console.

    `opens_accounts`: may add official accounts to this installation. `totp` is sealed with the place
    `staff/<id>/totp`; it counts once `totp_since` is set. `totp_step` is the last time step whose code was accepted.
    """

    __tablename__ = "staff"
    __table_args__ = (UniqueConstraint("login"),)
    id: Mapped[Id]
    login: Mapped[Name]
    password_hash: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=true())
    opens_accounts: Mapped[bool] = mapped_column(
        Boolean(create_constraint=False), server_default=false()
    )
    totp: Mapped[MaybeSealed]
    totp_since: Mapped[MaybeAt]
    totp_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    language: Mapped[Word] = mapped_column(server_default="")
    created_at: Mapped[At]


class StaffRole(Base):
    """What a person may do in one account."""

    __tablename__ = "staff_role"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'finance', 'operator', 'support')", name="role"),
        Index(None, "account_id"),  # who works here
    )
    staff_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    role: Mapped[Word]


class StaffSession(Base):
    """One browser in which a person is signed in. The cookie holds the token, this row only its hash."""

    __tablename__ = "staff_session"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index(None, "staff_id", "id"),
        Index(None, "expires_at"),  # what is pruned
    )
    id: Mapped[Id]
    staff_id: Mapped[Ref]
    token_hash: Mapped[Key64]
    created_at: Mapped[At]
    seen_at: Mapped[At]
    expires_at: Mapped[At]
    revoked_at: Mapped[MaybeAt]
    address: Mapped[Key64]
    agent: Mapped[Name]


class StaffRecovery(Base):
    """A recovery code that works once instead of the second factor. Only its hash is kept."""

    __tablename__ = "staff_recovery"
    staff_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    code_hash: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    used_at: Mapped[MaybeAt]


class SetupCode(Base):
    """The one-time code by which the first owner is made. One row (id 1); gone once it was used."""

    __tablename__ = "setup_code"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    code_hash: Mapped[Key64]
    created_at: Mapped[At]


class LoginGuard(Base):
    """How often a login or an address guessed wrong lately, and until when nobody may guess there again."""

    __tablename__ = "login_guard"
    __table_args__ = (Index(None, "last_at"),)  # what is pruned
    name: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    failures: Mapped[Count]
    last_at: Mapped[At]
    blocked_until: Mapped[At]
