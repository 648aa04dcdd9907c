"""A list: columns, search, filters, sorts, keyset pages, CSV. Every list of the console is one `Listing`.

The view says which rows there are (`MEMBERS.answer(visit, select(Member).where(Member.account_id == …))`), the
listing how they are found and shown. Pages go by keyset: "more", never "page 17 of 900", so that the last page of a
million rows costs what the first does and nothing is counted. Give every filter and sort an index that begins with the
account and ends with the sort's column.

`?format=csv` streams all rows that the search and the filters leave, from one snapshot, a thousand at a time.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, cast

from flask import Response as FlaskResponse
from flask import abort, render_template, request, stream_with_context
from sqlalchemy import ColumnElement, Select, and_, false, or_
from sqlalchemy.orm import Session

from domain import sheets
from domain.china import CHINA, begin_of
from domain.keyset import seek
from domain.models import Instant
from web.console.both import Both
from web.console.cells import TEXT, Badge, Kind, written
from web.console.visit import Visit

PAGE: Final = 50
CSV_PAGE: Final = 1000
SEARCH_LENGTH: Final = 100

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Column:
    """What a list shows of each row. `value(row)` gives it as `kind` takes it (fen, an instant, a `Badge`), or None.

    `href(visit, row)` makes it a link. `lead`: the line by which a row is known on a phone; `wide`: left out there."""

    title: Both
    value: Callable[[Any], Any]
    kind: Kind = TEXT
    href: Callable[[Visit, Any], str | None] | None = None
    lead: bool = False
    wide: bool = False

    @property
    def css(self) -> str:
        marks = (self.kind.css, self.lead and "lead-cell", self.wide and "wide-only")
        return " ".join(mark for mark in marks if mark)


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter with some values. `options` are (value, title), or what the account has, asked when the list is shown.

    `where(value)` is the condition; without it `column` equals the value."""

    name: str
    title: Both
    options: Sequence[tuple[str, object]] | Callable[[Visit], Sequence[tuple[str, object]]]
    column: Any = None
    where: Callable[[str], Condition] | None = None

    def values(self, visit: Visit) -> list[tuple[str, object]]:
        return list(self.options(visit) if callable(self.options) else self.options)

    def condition(self, visit: Visit, given: Mapping[str, str]) -> Condition | None:
        value = given.get(self.name, "")
        if not value or value not in {one for one, _ in self.values(visit)}:
            return None
        return self.where(value) if self.where else cast(Condition, self.column == value)


@dataclass(frozen=True, slots=True)
class Days:
    """A filter by the day (Beijing's) of an instant: `<name>_from` and `<name>_to`, both included."""

    name: str
    title: Both
    column: Any

    def condition(self, visit: Visit, given: Mapping[str, str]) -> Condition | None:
        since, until = (day_in(given.get(f"{self.name}_{end}")) for end in ("from", "to"))
        parts = []
        if since is not None:
            parts.append(self.column >= begin_of(since))
        if until is not None:
            parts.append(self.column < begin_of(until + timedelta(days=1)))
        return and_(*parts) if parts else None


def day_in(text: str | None) -> date | None:
    """The day that a request names, of this century; None for anything else."""
    try:
        found = date.fromisoformat(text or "")
    except ValueError:
        return None
    return found if 2000 <= found.year <= 2100 else None


Filter = Choice | Days


@dataclass(frozen=True, slots=True)
class Search:
    """A box for words. `where(visit, text)` is the condition, None when nothing can be found by this text."""

    hint: Both
    where: Callable[[Visit, str], Condition | None]


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of the rows by a column that is never null; equal ones by id. `value(row)` is the column's value."""

    name: str
    title: Both
    column: Any
    value: Callable[[Any], Any]
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """What is on the screen."""

    rows: Sequence[Any]
    after: str | None
    is_first: bool
    is_narrowed: bool


@dataclass(frozen=True)
class Listing:
    """A list. `row_id(row)` and `id_column` make the order total; `fill(session, rows)` may load what belongs to the
    rows of one page and return what the columns read instead; `css(row)` marks a row."""

    title: Both
    columns: Sequence[Column]
    sorts: Sequence[Sort]
    id_column: Any
    row_id: Callable[[Any], int]
    empty: Both
    filters: Sequence[Filter] = ()
    search: Search | None = None
    fill: Callable[[Session, Sequence[Any]], Sequence[Any]] = field(
        default=lambda _session, rows: rows
    )
    file: str = "list"
    template: str = "console/list.html"
    exports: bool = True

    def answer(self, visit: Visit, query: Select[Any], **more: Any) -> str | FlaskResponse:
        """The page of the request, or the CSV file; `more` goes to the template."""
        if self.exports and request.args.get("format") == "csv":
            return self._csv(visit, query)
        page = visit.read(lambda session: self.page(visit, session, query))
        return render_template(self.template, listing=self, page=page, visit=visit, **more)

    def page(self, visit: Visit, session: Session, query: Select[Any], limit: int = PAGE) -> Page:
        """One page, by the request's search, filters, sort and place."""
        query, narrowed = self._narrowed(visit, query)
        sort = self.sort
        place = _place(request.args.get("after"), sort)
        rows = self._rows(session, query, sort, place, limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        after = self._mark(sort, rows[-1]) if more else None
        return Page(self.fill(session, rows), after, place is None, narrowed)

    def first(self, session: Session, query: Select[Any], limit: int = 5) -> Page:
        """The first rows, for a page that shows a few of them; the request's search and filters are not its own."""
        rows = self._rows(session, query, self.sorts[0], None, limit + 1)
        after = "more" if len(rows) > limit else None
        return Page(self.fill(session, rows[:limit]), after, True, False)

    @property
    def sort(self) -> Sort:
        """The one that the request asks for, or the first."""
        wanted = request.args.get("sort", "")
        return next((one for one in self.sorts if one.name == wanted), self.sorts[0])

    def _narrowed(self, visit: Visit, query: Select[Any]) -> tuple[Select[Any], bool]:
        given = request.args
        conditions = [one.condition(visit, given) for one in self.filters]
        text = " ".join(given.get("q", "").split())[:SEARCH_LENGTH]
        if self.search is not None and text:
            found = self.search.where(visit, text)
            conditions.append(false() if found is None else found)
        wanted = [one for one in conditions if one is not None]
        return query.where(*wanted), bool(wanted)

    def _rows(
        self,
        session: Session,
        query: Select[Any],
        sort: Sort,
        place: tuple[Any, int] | None,
        limit: int,
    ) -> list[Any]:
        columns = (sort.column, self.id_column)
        order = [one.desc() if sort.descending else one.asc() for one in columns]
        if place is not None:
            query = query.where(_beyond(sort, self.id_column, place))
        query = seek(query, *dict.fromkeys(columns))
        result = session.execute(query.order_by(*dict.fromkeys(order)).limit(limit))
        alone = len(query.column_descriptions) == 1
        return list(result.scalars() if alone else result)

    def _mark(self, sort: Sort, row: Any) -> str:
        value = sort.value(row)
        plain = value.isoformat() if isinstance(value, datetime) else value
        mark = json.dumps([sort.name, plain, self.row_id(row)], ensure_ascii=False)
        return base64.urlsafe_b64encode(mark.encode()).decode().rstrip("=")

    # --- as a file ---

    def _csv(self, visit: Visit, query: Select[Any]) -> FlaskResponse:
        query, _ = self._narrowed(visit, query)
        name = f"{visit.account.slug}-{self.file}-{visit.now.astimezone(CHINA):%Y%m%d-%H%M}.csv"
        return FlaskResponse(
            stream_with_context(sheets.encode(self._cells(visit, query, self.sort))),
            mimetype="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _cells(self, visit: Visit, query: Select[Any], sort: Sort) -> Iterator[Sequence[object]]:
        yield [str(column.title) for column in self.columns]
        place: tuple[Any, int] | None = None
        with visit.database.snapshot() as session:
            while True:
                rows = self._rows(session, query, sort, place, CSV_PAGE)
                for row in self.fill(session, rows):
                    yield [written(column.kind, column.value(row)) for column in self.columns]
                if len(rows) < CSV_PAGE:
                    return
                place = sort.value(rows[-1]), self.row_id(rows[-1])
                session.expunge_all()


def _beyond(sort: Sort, id_column: Any, place: tuple[Any, int]) -> Condition:
    """What comes after this place. The first comparison says nothing new, but it is what an index can begin at."""
    value, row_id = place
    if sort.column is id_column:
        return cast(Condition, id_column < row_id if sort.descending else id_column > row_id)
    if sort.descending:
        return and_(sort.column <= value, or_(sort.column < value, id_column < row_id))
    return and_(sort.column >= value, or_(sort.column > value, id_column > row_id))


def _place(mark: str | None, sort: Sort) -> tuple[Any, int] | None:
    """The place that a "more" link named; 400 for one that is none of ours."""
    if not mark:
        return None
    try:
        padded = mark + "=" * (-len(mark) % 4)
        name, value, row_id = json.loads(base64.urlsafe_b64decode(padded.encode()))
        if sort.name != name or not isinstance(row_id, int):
            raise ValueError("a place in another order")
        return _value_of(sort, value), row_id
    except (ValueError, TypeError, binascii.Error):
        abort(400)


def _value_of(sort: Sort, value: Any) -> Any:
    kind = sort.column.type
    if isinstance(kind, Instant):
        return datetime.fromisoformat(value).astimezone(UTC)
    if not isinstance(value, kind.python_type):
        raise TypeError("not a value of this column")
    return value


__all__ = ["Badge", "Choice", "Column", "Days", "Listing", "Page", "Search", "Sort"]
