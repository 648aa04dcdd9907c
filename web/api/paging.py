"""Opaque cursors of keyset pages: where the last page ended. Nobody is to read them, so their form may change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from web.errors import Refusal

Row = TypeVar("Row")


def encode(position: int | str) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """The position in a cursor; refuses with 422 what we did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _not_ours() from None


def decode_id(cursor: str | None) -> int | None:
    """The row id in a cursor, None without one."""
    if cursor is None:
        return None
    text = decode(cursor)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise _not_ours()
    return int(text)


def page(
    rows: Sequence[Row], limit: int, position: Callable[[Row], int | str]
) -> tuple[Sequence[Row], str | None]:
    """From `limit + 1` rows asked for: those of this page, and the cursor of the next if there is more."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(position(rows[limit - 1]))


def _not_ours() -> Refusal:
    return Refusal(422, "invalid_cursor", "send next_cursor of the last page as it was")
