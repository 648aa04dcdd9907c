"""What every table is made of: key columns, instants, money; see the package."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


class Instant(TypeDecorator[datetime]):
    """An aware instant, stored as naive UTC with microseconds; a naive value is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def ascii_key(length: int) -> Any:
    """A key column: compared by bytes, one byte a character in every index."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )


Id = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)]
Ref = Annotated[int, mapped_column(BigInteger)]
MaybeRef = Annotated[int | None, mapped_column(BigInteger)]
Fen = Annotated[int, mapped_column(BigInteger)]
FenFromZero = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]
Count = Annotated[int, mapped_column(Integer, server_default=text("0"))]
Word = Annotated[str, mapped_column(ascii_key(32))]
MaybeWord = Annotated[str | None, mapped_column(ascii_key(32))]
Key64 = Annotated[str, mapped_column(ascii_key(64))]
MaybeKey64 = Annotated[str | None, mapped_column(ascii_key(64))]
Key128 = Annotated[str, mapped_column(ascii_key(128))]
MaybeKey128 = Annotated[str | None, mapped_column(ascii_key(128))]
Name = Annotated[str, mapped_column(String(190))]
MaybeName = Annotated[str | None, mapped_column(String(190))]
Json = Annotated[str, mapped_column(Text)]
MaybeJson = Annotated[str | None, mapped_column(Text)]
At = Annotated[datetime, mapped_column(Instant)]
MaybeAt = Annotated[datetime | None, mapped_column(Instant)]
Sealed = Annotated[bytes, mapped_column(LargeBinary(2000))]
MaybeSealed = Annotated[bytes | None, mapped_column(LargeBinary(2000))]


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
