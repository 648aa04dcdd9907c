"""What is to be imported, read once, checked, and put in order: in a private file that SQLite throws away.

Parents come before their friends (`depth`), whatever the order of the source. A problem never stops the reading: it
is counted, and named up to a hundred times, so that one dry run shows all of them.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from domain.db import to_json
from domain.errors import Invalid
from domain.imports.sources import (
    COMMISSIONS,
    ORDERS,
    PEOPLE,
    RELATIONS,
    Columns,
    Source,
    first_of,
)
from domain.members import clean_nickname
from domain.secrets import digest, short_digest

SHOWN: Final = 100
PAID_WORDS: Final = (
    "paid", "completed", "complete", "finished", "success", "shipped", "received",
    "已支付", "已付款", "已发货", "已收货", "已完成",
)  # fmt: skip
SETTLED_WORDS: Final = (
    "settled",
    "available",
    "complete",
    "completed",
    "已结算",
    "可提现",
    "已到账",
)
SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
"""How a source is named."""
_OPENID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GRADE = re.compile(r"[A-Za-z0-9_-]{1,32}")
_ORDER_NO = re.compile(r"[\x21-\x7e]{1,64}")
MAX_ORDER_FEN: Final = 10_000_000_000

_TABLES = """
CREATE TABLE person (key TEXT PRIMARY KEY, openid TEXT NOT NULL UNIQUE, placeholder INTEGER, unionid TEXT,
    parent TEXT, name TEXT, grade TEXT, phone TEXT, balance INTEGER, joined TEXT, following INTEGER, depth INTEGER);
CREATE INDEX person_parent ON person (parent);
CREATE INDEX person_depth ON person (depth, key);
CREATE TABLE relation (person TEXT, parent TEXT, level INTEGER);
CREATE TABLE purchase (order_no TEXT PRIMARY KEY, buyer TEXT, paid INTEGER, paid_at TEXT, title TEXT);
"""


@dataclass(frozen=True, slots=True)
class Options:
    """How a source is read. `source` names it for ever: keys are remembered under it.

    `paid_statuses`, `settled_statuses`: words (or numbers) of the source that mean an order was paid, a commission can
    be withdrawn. `placeholders`: people without an openid get one that nobody at WeChat has, until they are claimed.
    """

    source: str
    paid_statuses: tuple[str, ...] = PAID_WORDS
    settled_statuses: tuple[str, ...] = SETTLED_WORDS
    placeholders: bool = True


@dataclass(slots=True)
class Problems:
    """What was wrong with rows of the source, by kind."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def add(self, kind: str, subject: str, why: Any = None) -> None:
        self.counts[kind] += 1
        if len(self.shown) < SHOWN:
            self.shown.append({"problem": kind, "row": subject, "why": why})


@dataclass(frozen=True, slots=True)
class Person:
    key: str
    openid: str
    placeholder: bool
    unionid: str | None
    parent: str | None
    name: str | None
    grade: str
    phone: str | None
    balance_fen: int
    joined_at: datetime | None
    following: bool

    def content_hash(self) -> str:
        return digest(to_json([self.openid, self.parent, self.balance_fen]))


@dataclass(frozen=True, slots=True)
class Purchase:
    order_no: str
    buyer: str
    paid_fen: int
    paid_at: datetime
    title: str

    def content_hash(self) -> str:
        return digest(to_json([self.buyer, self.paid_fen, self.paid_at.isoformat()]))


class Staged:
    """A source that has been read. `totals` are sums of the source in rows and fen; `problems` what was left out."""

    def __init__(self, source: Source, options: Options) -> None:
        if not SOURCE.fullmatch(options.source):
            raise Invalid("a source is named by up to 32 of a-z, 0-9 and -", source=options.source)
        self.options = options
        self.problems = Problems()
        self.totals: Counter[str] = Counter()
        self.discarded_columns: list[str] = []
        self._file = sqlite3.connect("")
        self._file.executescript(_TABLES)
        self._from_commissions: Counter[str] = Counter()
        has_balance = self._read_people(source)
        self._read_relations(source)
        self._order_by_depth()
        self._compare_relations()
        self._read_commissions(source, has_balance)
        self._read_orders(source)

    # --- people

    def _read_people(self, source: Source) -> bool:
        table = first_of(source, PEOPLE)
        if table is None:
            raise Invalid("no table of people", wanted=list(PEOPLE))
        columns: Columns | None = None
        for row in source.rows(table):
            if columns is None:
                columns = Columns.of(
                    row,
                    ("key", "openid", "unionid", "parent", "name", "grade", "phone", "balance", "joined", "following"),
                )  # fmt: skip
                self.discarded_columns += columns.discarded
            self.totals["people"] += 1
            self._stage_person(columns, row)
        return columns is not None and "balance" in columns

    def _stage_person(self, columns: Columns, row: Mapping[str, Any]) -> None:
        openid = columns.text(row, "openid")
        key = columns.text(row, "key") or openid
        if key is None or len(key) > 64 or not key.isascii():
            self.problems.add("no_key", str(key))
            return
        try:
            values = self._person_values(columns, row, key, openid)
        except Invalid as error:
            self.problems.add("person_refused", key, error.message)
            return
        try:
            self._file.execute(
                "INSERT INTO person VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", values
            )
        except sqlite3.IntegrityError:
            self.problems.add("duplicate_person", key, "its key or its openid occurred before")
            return
        self.totals["balance_fen"] += values[8]

    def _person_values(
        self, columns: Columns, row: Mapping[str, Any], key: str, openid: str | None
    ) -> tuple[Any, ...]:
        placeholder = openid is None
        if openid is None:
            if not self.options.placeholders:
                raise Invalid("no openid")
            openid = placeholder_openid(self.options.source, key)
            self.totals["without_openid"] += 1
        if not _OPENID.fullmatch(openid):
            raise Invalid("not an openid", value=openid)
        parent = columns.text(row, "parent")
        joined = columns.instant(row, "joined")
        following = columns.text(row, "following")
        if following is None:
            following = "0" if placeholder else "1"
        return (
            key, openid, placeholder, columns.text(row, "unionid"), None if parent == "0" else parent,
            _name(columns.text(row, "name")), _grade(columns.text(row, "grade")), columns.text(row, "phone"),
            columns.fen(row, "balance"), None if joined is None else joined.isoformat(),
            following.lower() in {"1", "true", "yes"},
        )  # fmt: skip

    # --- the tree

    def _read_relations(self, source: Source) -> None:
        """t_user_relations: (user, parent, level); level 1, or a table without levels, is the referrer."""
        table = first_of(source, RELATIONS)
        if table is None:
            return
        columns: Columns | None = None
        for row in source.rows(table):
            columns = columns or Columns.of(row, ("person", "parent", "level"))
            person, parent = columns.text(row, "person"), columns.text(row, "parent")
            level = columns.text(row, "level") or "1"
            if person is None or parent in {None, "0"} or not level.isdigit():
                continue
            self.totals["relations"] += 1
            self._file.execute(
                "INSERT INTO relation VALUES (?, ?, ?)", (person, parent, int(level))
            )
        self._file.execute("CREATE INDEX relation_person ON relation (person, level)")
        for key, own, other in self._file.execute(
            "SELECT p.key, p.parent, r.parent FROM relation r JOIN person p ON p.key = r.person"
            " WHERE r.level = 1 AND p.parent IS NOT NULL AND p.parent <> r.parent"
        ):
            self.problems.add("relation_differs", key, f"referrer {own}, relation says {other}")
        self._file.execute(
            "UPDATE person SET parent = (SELECT MIN(parent) FROM relation WHERE person = key AND level = 1)"
            " WHERE parent IS NULL"
        )

    def _order_by_depth(self) -> None:
        # A list of ours may name the referrer by openid although its rows have keys.
        self._file.execute(
            "UPDATE person SET parent = (SELECT q.key FROM person q WHERE q.openid = person.parent)"
            " WHERE parent NOT IN (SELECT key FROM person) AND parent IN (SELECT openid FROM person)"
        )
        for key, parent in self._file.execute(
            "SELECT p.key, p.parent FROM person p LEFT JOIN person q ON q.key = p.parent"
            " WHERE p.parent IS NOT NULL AND q.key IS NULL"
        ).fetchall():
            self.problems.add("orphan", key, f"its referrer {parent} is not there")
        self._file.execute(
            "UPDATE person SET parent = NULL WHERE parent IS NOT NULL AND parent NOT IN (SELECT key FROM person)"
        )
        self._file.execute("UPDATE person SET depth = 0 WHERE parent IS NULL")
        self._descend(0)
        for key in self._in_cycles():
            self.problems.add("cycle", key, "it is its own upline")
            self._file.execute("UPDATE person SET parent = NULL, depth = 0 WHERE key = ?", (key,))
        self._descend(0)

    def _descend(self, depth: int) -> None:
        """Give everybody below a member of depth 0 their depth."""
        statement = (
            "UPDATE person SET depth = ? WHERE depth IS NULL"
            " AND parent IN (SELECT key FROM person WHERE depth = ?)"
        )
        while self._file.execute(statement, (depth + 1, depth)).rowcount or self._any_at(depth + 1):
            depth += 1

    def _any_at(self, depth: int) -> bool:
        return (
            self._file.execute("SELECT 1 FROM person WHERE depth = ? LIMIT 1", (depth,)).fetchone()
            is not None
        )

    def _in_cycles(self) -> list[str]:
        """Who climbs back to themselves among those that no top level leads to."""
        left = dict(self._file.execute("SELECT key, parent FROM person WHERE depth IS NULL"))
        done: set[str] = set()
        found: list[str] = []
        for start in left:
            path: dict[str, int] = {}
            at = start
            while at not in done and at not in path:
                path[at] = len(path)
                at = left[at]
            if at in path:
                found += list(path)[path[at] :]
            done.update(path)
        return sorted(found)

    def _compare_relations(self) -> None:
        """Stored relations of the second and third level must be what the tree says."""
        climb = {2: "b.parent", 3: "c.parent"}
        for level, expected in climb.items():
            rows = self._file.execute(
                "SELECT r.person, r.parent FROM relation r JOIN person a ON a.key = r.person"
                " LEFT JOIN person b ON b.key = a.parent LEFT JOIN person c ON c.key = b.parent"
                f" WHERE r.level = ? AND {expected} IS NOT r.parent",
                (level,),
            )
            for key, parent in rows:
                self.problems.add("relation_differs", key, f"level {level} under {parent}")

    # --- money

    def _read_commissions(self, source: Source, has_balance: bool) -> None:
        """Sums by status; where people have no balance of their own, settled commissions are it."""
        table = first_of(source, COMMISSIONS)
        if table is None:
            return
        columns: Columns | None = None
        sums: Counter[str] = Counter()
        for row in source.rows(table):
            columns = columns or Columns.of(row, ("person", "amount", "status"))
            person = columns.text(row, "person") or ""
            try:
                amount = columns.fen(row, "amount")
            except Invalid as error:
                self.problems.add("commission_refused", person, error.message)
                continue
            status = columns.text(row, "status") or self.options.settled_statuses[0]
            self.totals["commissions"] += 1
            self.totals[f"commissions_{status}_fen"] += amount
            if status.lower() in self.options.settled_statuses:
                sums[person] += amount
        if not has_balance:
            self._give_balances(sums)

    def _give_balances(self, sums: Mapping[str, int]) -> None:
        for person, amount in sums.items():
            given = self._file.execute(
                "UPDATE person SET balance = ? WHERE key = ?", (amount, person)
            )
            if given.rowcount:
                self.totals["balance_fen"] += amount
            else:
                self.problems.add("commission_of_nobody", person, amount)

    def _read_orders(self, source: Source) -> None:
        table = first_of(source, ORDERS)
        if table is None:
            return
        columns: Columns | None = None
        for row in source.rows(table):
            columns = columns or Columns.of(
                row, ("person", "order", "amount", "refunded", "status", "paid_at", "title")
            )
            self.totals["orders"] += 1
            order_no = columns.text(row, "order") or ""
            try:
                self._stage_order(columns, row, order_no)
            except Invalid as error:
                self.problems.add("order_refused", order_no, error.message)

    def _stage_order(self, columns: Columns, row: Mapping[str, Any], order_no: str) -> None:
        status = (columns.text(row, "status") or self.options.paid_statuses[0]).lower()
        if status not in self.options.paid_statuses:
            self.totals[f"orders_left_out_{status}"] += 1
            return
        paid, refunded = columns.fen(row, "amount"), columns.fen(row, "refunded")
        paid_at = columns.instant(row, "paid_at")
        buyer = columns.text(row, "person")
        if not _ORDER_NO.fullmatch(order_no) or paid_at is None:
            raise Invalid("an order needs a number and the instant of its payment")
        if not 0 <= refunded <= paid <= MAX_ORDER_FEN:
            raise Invalid("an amount is out of range", paid_fen=paid, refunded_fen=refunded)
        known = self._file.execute(
            "SELECT key FROM person WHERE key = ?1 OR openid = ?1", (buyer,)
        ).fetchone()
        if known is None:
            raise Invalid("its buyer is not there", buyer=buyer)
        if paid == refunded:
            self.totals["orders_fully_refunded"] += 1
            return
        title = (columns.text(row, "title") or "历史订单")[:190]
        try:
            self._file.execute(
                "INSERT INTO purchase VALUES (?, ?, ?, ?, ?)",
                (order_no, known[0], paid - refunded, paid_at.isoformat(), title),
            )
        except sqlite3.IntegrityError:
            raise Invalid("its number occurred before") from None
        self.totals["orders_fen"] += paid - refunded

    # --- reading what was staged

    def depths(self) -> int:
        """How many levels of people there are."""
        deepest = self._file.execute("SELECT MAX(depth) FROM person").fetchone()[0]
        return 0 if deepest is None else int(deepest) + 1

    def people(self, depth: int, chunk: int) -> Iterator[list[Person]]:
        """The people of one depth, some at a time."""
        after = ""
        query = (
            "SELECT key, openid, placeholder, unionid, parent, name, grade, phone, balance, joined, following"
            " FROM person WHERE depth = ? AND key > ? ORDER BY key LIMIT ?"
        )
        while rows := self._file.execute(query, (depth, after, chunk)).fetchall():
            after = rows[-1][0]
            yield [_person(row) for row in rows]

    def balances(self, chunk: int) -> Iterator[list[tuple[str, int]]]:
        """(key, fen) of those whose balance is not zero, some at a time."""
        after = ""
        query = (
            "SELECT key, balance FROM person WHERE balance <> 0 AND key > ? ORDER BY key LIMIT ?"
        )
        while rows := self._file.execute(query, (after, chunk)).fetchall():
            after = rows[-1][0]
            yield rows

    def purchases(self, chunk: int) -> Iterator[list[Purchase]]:
        """The orders to be taken over, some at a time."""
        after = ""
        query = "SELECT * FROM purchase WHERE order_no > ? ORDER BY order_no LIMIT ?"
        while rows := self._file.execute(query, (after, chunk)).fetchall():
            after = rows[-1][0]
            yield [
                Purchase(no, buyer, paid, datetime.fromisoformat(at).astimezone(UTC), title)
                for no, buyer, paid, at, title in rows
            ]

    def close(self) -> None:
        self._file.close()


def _person(row: tuple[Any, ...]) -> Person:
    key, openid, placeholder, unionid, parent, name, grade, phone, balance, joined, following = row
    joined_at = None if joined is None else datetime.fromisoformat(joined)
    return Person(
        key, openid, bool(placeholder), unionid, parent, name, grade, phone, balance, joined_at, bool(following)
    )  # fmt: skip


def placeholder_openid(source: str, key: str) -> str:
    """The openid of somebody of whom the source has none: no follower at WeChat has one like it."""
    return f"import-{short_digest(f'{source} {key}')}"


def _name(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return clean_nickname(text)
    except Invalid:
        return None


def _grade(text: str | None) -> str:
    """`level` of a person is a grade here; 0 is none. Another script than ASCII becomes a digest."""
    if text is None or text == "0":
        return ""
    return text if _GRADE.fullmatch(text) else short_digest(text)
