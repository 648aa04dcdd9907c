"""Tables for people who open them in Excel: UTF-8 with its mark, Windows line ends, and no cell that is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from domain.china import CHINA

BOM: Final = b"\xef\xbb\xbf"
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_DIGITS_SHOWN: Final = 11
"""Longer numbers become 1.2E+19 in Excel, and lose digits when saved."""


def text(value: object) -> str:
    """A cell of somebody else's words. What Excel would calculate gets an apostrophe before it; a long number of an
    order gets a tab behind it, which makes it text."""
    cell = "" if value is None else str(value)
    if cell.lstrip(" \u3000").startswith(_FORMULA_STARTS) or cell.startswith(_FORMULA_STARTS):
        return "'" + cell
    if len(cell) > _DIGITS_SHOWN and cell.isdigit():
        return cell + "\t"
    return cell


def instant(at: datetime | None) -> str:
    """An instant as a clock in China shows it."""
    return "" if at is None else at.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


def encode(rows: Iterable[Sequence[object]], *, every: int = 500) -> Iterator[bytes]:
    """The table as pieces of a CSV file, some hundred rows each. Cells that hold words must have gone through `text`;
    numbers and amounts of ours may begin with a minus."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    yield BOM
    waiting = 0
    for row in rows:
        writer.writerow(row)
        waiting += 1
        if waiting == every:
            yield _take(buffer)
            waiting = 0
    if waiting:
        yield _take(buffer)


def _take(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return content
