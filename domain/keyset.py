"""Pages by keyset that cost the same wherever they begin.

For `WHERE account_id = ? AND paid_at <= ? ORDER BY paid_at DESC LIMIT 50` MariaDB enters the index (account_id,
paid_at) by the account alone and walks over everything newer: the thousandth page costs a thousand pages, and an
export, which is all pages, their square. Only when it is told to use that index does it begin at the place. SQLite
always does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import BooleanClauseList, Index, Select, Table, UniqueConstraint
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, Grouping

_RANGES: Final = frozenset({operators.lt, operators.le, operators.gt, operators.ge})


def seek(query: Select[Any], *order: Any) -> Select[Any]:
    """The query, which begins or ends at a place, bound to the index of its equalities and the columns by which it is
    ordered (attributes of one mapped class; the last is its key). Left alone when it asks for anything else, or when
    another index finds its rows by more equalities."""
    table: Table = order[0].class_.__table__
    names = [column.key for column in order]
    conditions = list(_conditions(query.whereclause))
    equal = {_name(one) for one in conditions if _is(one, operators.eq)}
    ranges = [one for one in conditions if not _is(one, operators.eq, operators.ne)]
    if not ranges or not all(_is(one, *_RANGES) and _name(one) in names for one in ranges):
        return query
    index = _index(table, equal, names)
    if index is None:
        return query
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(order[0].class_, f"FORCE INDEX ({index})", dialect)
    return query


def _conditions(clause: Any) -> Iterator[Any]:
    """The comparisons of a WHERE that all hold; those of an OR too, if it is one of ranges."""
    if isinstance(clause, Grouping):
        yield from _conditions(clause.element)
    elif isinstance(clause, BooleanClauseList) and not (
        clause.operator is operators.or_ and any(not _is(one, *_RANGES) for one in clause.clauses)
    ):
        for one in clause.clauses:
            yield from _conditions(one)
    elif clause is not None:
        yield clause


def _is(clause: Any, *kinds: Any) -> bool:
    return isinstance(clause, BinaryExpression) and clause.operator in kinds


def _name(clause: Any) -> str:
    return str(getattr(clause.left, "key", ""))


def _index(table: Table, equal: set[str], order: Sequence[str]) -> str | None:
    """The index that begins with most of `equal` and goes on with the order, whose key need not stand at the end
    (InnoDB adds it); None when none does, or when one in another order begins with as many and other ones."""
    ordered: dict[str, set[str]] = {}
    others: list[set[str]] = []
    for name, columns in _indexes(table):
        first = set(takewhile(equal.__contains__, columns))
        rest = columns[len(first) :]
        if first and (rest[: len(order)] == list(order) or rest == list(order[:-1])):
            ordered[name] = first
        else:
            others.append(first)
    best = max(ordered, key=lambda name: len(ordered[name]), default=None)
    if best is None or any(
        len(one) >= len(ordered[best]) and one - ordered[best] for one in others
    ):
        return None
    return best


def _indexes(table: Table) -> Iterator[tuple[str, list[str]]]:
    yield "PRIMARY", list(table.primary_key.columns.keys())
    for one in (*table.indexes, *table.constraints):
        if isinstance(one, Index | UniqueConstraint):
            yield str(one.name), list(one.columns.keys())
