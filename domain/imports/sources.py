"""Where another system's rows come from, and which of its columns mean what.

A folder of CSV files (one a table) or a database. Names are compared in lower case without underscores, so `Pid`,
`parent_id` and `parentId` are one. Amounts are yuan with at most two decimals unless the column ends in `fen`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import MetaData, Table, create_engine, inspect, select
from sqlalchemy.pool import NullPool

from domain.china import CHINA
from domain.errors import Invalid

PEOPLE: Final = ("members", "users", "user", "t_user", "t_users", "member")
RELATIONS: Final = ("t_user_relations", "t_user_relation", "user_relations", "relations")
ORDERS: Final = ("orders", "order", "t_order", "t_orders")
COMMISSIONS: Final = ("commissions", "commission", "t_commission", "t_commissions")

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "key": ("id", "userid", "uid", "memberid"),
    "openid": ("openid", "wxopenid", "wechatopenid"),
    "unionid": ("unionid",),
    "parent": (
        "parentid", "pid", "referrerid", "inviterid", "spreaduid", "parentuserid", "ancestorid",
        "referrer", "referreropenid", "parentid1", "pid1",
    ),
    "name": ("nickname", "username", "name"),
    "grade": ("grade", "level"),
    "phone": ("phone", "mobile"),
    "balance": ("balancefen", "availablefen", "balance", "availablebalance", "money", "brokerageprice"),
    "joined": ("joinedat", "createdat", "createtime", "addtime", "regtime"),
    "following": ("following", "subscribe", "issubscribe"),
    "person": ("userid", "uid", "memberid", "buyerid", "openid", "childid", "descendantid"),
    "order": ("orderno", "ordersn", "orderid", "id"),
    "amount": (
        "paidfen", "amountfen", "payprice", "paidamount", "payamount", "amount", "totalamount", "total",
        "totalprice", "price", "commission", "money",
    ),
    "refunded": ("refundedfen", "refundedamount", "refundamount", "refundprice"),
    "status": ("status", "state"),
    "paid_at": ("paidat", "paytime", "createdat", "createtime", "addtime"),
    "title": ("title", "productname", "goodsname"),
    "level": ("level", "depth"),
}  # fmt: skip
"""Meaning → the names it goes by, the best first."""
SECRETS: Final = frozenset(
    {"password", "passwd", "pwd", "passwordhash", "salt", "paypassword", "paypwd"}
)
"""Columns that are never read further than their heading."""

_NOTHING: Final = frozenset({"", "null", "none", "\\n"})


class Source(Protocol):
    """Rows of another system by table."""

    def tables(self) -> Iterable[str]: ...

    def rows(self, table: str) -> Iterator[Mapping[str, Any]]: ...


class CsvFolder:
    """A folder with one CSV file a table: UTF-8, or GB 18030 as Excel in China writes it."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.stem.lower(): path for path in sorted(folder.glob("*.[cC][sS][vV]"))}
        if not self._files:
            raise Invalid("no CSV file in this folder", folder=str(folder))

    def tables(self) -> Iterable[str]:
        return self._files

    def rows(self, table: str) -> Iterator[Mapping[str, Any]]:
        path = self._files[table]
        with path.open(encoding=_encoding_of(path), newline="") as file:
            yield from csv.DictReader(file)


def _encoding_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


class DatabaseTables:
    """Tables of a database that SQLAlchemy can open; they are only read."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)

    def tables(self) -> Iterable[str]:
        return [name.lower() for name in self._names()]

    def _names(self) -> list[str]:
        return inspect(self._engine).get_table_names()

    def rows(self, table: str) -> Iterator[Mapping[str, Any]]:
        name = next(one for one in self._names() if one.lower() == table)
        reflected = Table(name, MetaData(), autoload_with=self._engine)
        with self._engine.connect() as connection:
            found = connection.execution_options(yield_per=1000).execute(select(reflected))
            for row in found.mappings():
                yield {str(column): value for column, value in row.items()}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table means what, found once by its headings."""

    names: Mapping[str, str]
    discarded: tuple[str, ...]

    @classmethod
    def of(
        cls,
        headings: Iterable[str | None],
        meanings: Iterable[str],
        known: Mapping[str, Sequence[str]] | None = None,
    ) -> Columns:
        """`known`: meaning → headings it goes by, plain; `COLUMNS` without it."""
        known = COLUMNS if known is None else known
        plain = {_plain(one): one for one in headings if one}
        names: dict[str, str] = {}
        taken: set[str] = set()
        for meaning in meanings:
            found = next((one for one in known[meaning] if one in plain and one not in taken), None)
            if found is not None:
                names[meaning] = plain[found]
                taken.add(found)
        return cls(names, tuple(sorted(plain[one] for one in SECRETS & plain.keys())))

    def __contains__(self, meaning: str) -> bool:
        return meaning in self.names

    def text(self, row: Mapping[str, Any], meaning: str) -> str | None:
        """The value, None when the table has no such column or it says nothing."""
        name = self.names.get(meaning)
        value = None if name is None else row.get(name)
        if value is None:
            return None
        text = str(value).strip()
        return None if text.lower() in _NOTHING else text

    def fen(self, row: Mapping[str, Any], meaning: str) -> int:
        """An amount in fen; nothing is 0. Raises `Invalid` for what is not an amount, or finer than a fen."""
        text = self.text(row, meaning)
        if text is None:
            return 0
        unit = 1 if _plain(self.names[meaning]).endswith("fen") else 100
        try:
            amount = Decimal(text.removeprefix("¥").replace(",", "")) * unit
        except InvalidOperation:
            raise Invalid("not an amount", value=text) from None
        if not amount.is_finite() or amount != amount.to_integral_value() or abs(amount) > 10**15:
            raise Invalid("not an amount in whole fen", value=text)
        return int(amount)

    def instant(self, row: Mapping[str, Any], meaning: str) -> datetime | None:
        """An instant: seconds since 1970, or a date as a clock in China shows it unless it names a zone; also as Excel
        writes it, 2026/3/2 8:05."""
        text = self.text(row, meaning)
        if text is None or text == "0":
            return None
        try:
            if re.fullmatch(r"[0-9]{9,11}", text):
                return datetime.fromtimestamp(int(text), UTC)
            at = datetime.fromisoformat(_padded(text.replace("/", "-")))
        except (ValueError, OverflowError):
            raise Invalid("not an instant", value=text) from None
        return (at.replace(tzinfo=CHINA) if at.tzinfo is None else at).astimezone(UTC)


def _padded(text: str) -> str:
    """2026-3-2 8:05 with the zeros that ISO 8601 asks for; other texts as they are."""
    found = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[ T]([0-9]{1,2})(:.*))?", text)
    if found is None:
        return text
    year, month, day, hour, rest = found.groups()
    date = f"{year}-{month:0>2}-{day:0>2}"
    return date if hour is None else f"{date}T{hour:0>2}{rest}"


def _plain(heading: str) -> str:
    return heading.strip().lower().replace("_", "").replace(" ", "")


def first_of(source: Source, names: Sequence[str]) -> str | None:
    """The table that goes by one of these names."""
    present = set(source.tables())
    return next((name for name in names if name in present), None)
