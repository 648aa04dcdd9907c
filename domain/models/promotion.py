"""Grades, promoters, risk."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    FenFromZero,
    Id,
    Json,
    Key64,
    Key128,
    MaybeAt,
    MaybeJson,
    MaybeName,
    MaybeRef,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Grade(Base):
    """等级: a rank of promoters that picks rates and freeze days in a rule. `conditions` is the JSON of grades.py, null
    means by hand only. `downgrade` never keeps it for ever, monthly keeps it while a month's figures suffice."""

    __tablename__ = "grade"
    __table_args__ = (
        UniqueConstraint("account_id", "code"),
        UniqueConstraint("account_id", "rank"),
        CheckConstraint("downgrade IN ('never', 'monthly')", name="downgrade"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    code: Mapped[Word]
    name: Mapped[Name]
    rank: Mapped[int] = mapped_column(Integer)
    conditions: Mapped[MaybeJson]
    downgrade: Mapped[Word] = mapped_column(server_default="never")
    updated_at: Mapped[At]


class GradeHistory(Base):
    """Every change of a member's grade, with the figures that it followed from. Append-only."""

    __tablename__ = "grade_history"
    __table_args__ = (UniqueConstraint("member_id", "seq"), Index(None, "account_id", "id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    seq: Mapped[int] = mapped_column(Integer)
    from_grade: Mapped[Word]
    to_grade: Mapped[Word]
    reason: Mapped[Name]
    figures: Mapped[MaybeJson]
    actor: Mapped[Name]
    at: Mapped[At]


class GradeMark(Base):
    """A member's totals when a month began for them (the first sweep of that month): a month's figures are differences
    of marks. `month` is Beijing's, as 202603."""

    __tablename__ = "grade_mark"
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    month: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    invited_buyers: Mapped[Count]
    own_spent_fen: Mapped[FenFromZero]
    team_sales_fen: Mapped[FenFromZero]
    earned_fen: Mapped[FenFromZero]


class Sweep(Base):
    """Where a task that walks through all members of an account stands; a killed one goes on from here."""

    __tablename__ = "sweep"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    task: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)
    after_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    finished_at: Mapped[MaybeAt]


class PromoterApplication(Base):
    """申请推广: a member's wish to promote, and who decided it; `open_key` is the member while it waits, else null."""

    __tablename__ = "promoter_application"
    __table_args__ = (
        UniqueConstraint("open_key"),
        Index(None, "account_id", "status", "id"),
        Index(None, "member_id", "id"),
        CheckConstraint("status IN ('applied', 'approved', 'rejected')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    open_key: Mapped[MaybeRef]
    status: Mapped[Word]
    message: Mapped[MaybeName]
    applied_at: Mapped[At]
    decided_at: Mapped[MaybeAt]
    decided_by: Mapped[MaybeName]
    reason: Mapped[MaybeName]


class RegistrationDay(Base):
    """拉新: how many new followers a promoter brought on one day (Beijing's); its lock makes a daily cap exact."""

    __tablename__ = "registration_day"
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    people: Mapped[Count]


class OrderClue(Base):
    """What the shop said of an order besides the money (who paid, where it goes), only if it said so: equal values on
    orders of different members are a sign. `value` is an openid or the shop's hash, never an address."""

    __tablename__ = "order_clue"
    __table_args__ = (
        Index(None, "account_id", "kind", "at"),
        Index(None, "account_id", "value", "at"),
        CheckConstraint("kind IN ('payer', 'phone', 'ship_to')", name="kind"),
    )
    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)
    account_id: Mapped[Ref]
    value: Mapped[Key64]
    at: Mapped[At]


class RiskSignal(Base):
    """风险信号: something that looks wrong about a member, with its evidence (JSON), waiting for a person."""

    __tablename__ = "risk_signal"
    __table_args__ = (
        UniqueConstraint("signal_key"),
        Index(None, "account_id", "status", "id"),
        Index(None, "member_id", "status", "id"),
        CheckConstraint("status IN ('open', 'released', 'confirmed', 'lapsed')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    signal_key: Mapped[Key128]
    kind: Mapped[Word]
    member_id: Mapped[MaybeRef]
    evidence: Mapped[Json]
    holds: Mapped[bool] = mapped_column(Boolean(create_constraint=False))
    status: Mapped[Word]
    raised_at: Mapped[At]
    expires_at: Mapped[At]
    reviewed_at: Mapped[MaybeAt]
    reviewer: Mapped[MaybeName]
    note: Mapped[MaybeName]
