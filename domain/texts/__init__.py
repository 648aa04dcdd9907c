"""Every sentence for people: chat, notices, refusals, states. zh-CN, with named placeholders, replaceable per account.

A merchant's own wording may use the placeholders of the default and nothing else: no attributes, no indexes, no format
specifications, so that a wording can neither fail in front of a follower nor show what it should not.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from domain.errors import Invalid
from domain.models import TextOverride
from domain.money import yuan
from domain.texts.zh_cn import TEXTS as TEXTS  # part of this module for its readers

CHINA: Final = timezone(timedelta(hours=8))
"""China has one time zone and no summer time."""
MAX_LENGTH: Final = 2000


def placeholders(body: str) -> set[str]:
    """The names a text uses; `Invalid` for anything but a plain `{name}`."""
    names = set()
    try:
        parts = list(string.Formatter().parse(body))
    except ValueError as error:
        raise Invalid(f"the braces do not match: {error}") from error
    for _, name, specification, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or specification or conversion:
            raise Invalid("a placeholder is a name in braces", placeholder=name)
        names.add(name)
    return names


PLACEHOLDERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {key: frozenset(placeholders(body)) for key, body in TEXTS.items()}
)


def render(key: str, overrides: Mapping[str, str], **values: object) -> str:
    """The text of `key` in the merchant's wording, or ours."""
    return (overrides.get(key) or TEXTS[key]).format_map(values)


class Words:
    """The texts of one account: `words("level.1")`, `words("scan.bound", referrer="小明")`."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self.overrides: Mapping[str, str] = overrides or {}

    def __call__(self, key: str, **values: object) -> str:
        return render(key, self.overrides, **values)

    def notice(self, occasion: str, params: Mapping[str, Any]) -> str:
        """The sentence of a notice, from the parameters it was written with."""
        return self(f"notice.{occasion}", **self.values_of(params))

    def failure(self, code: str) -> str:
        """Why WeChat Pay did not pay: its fail_reason in words."""
        key = f"failure.{code}"
        return self(key if key in TEXTS else "failure.other")

    def values_of(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Stored parameters as people read them: `amount_fen` 299 is `amount` "2.99", instants are China's time."""
        values = {}
        for name, value in params.items():
            if name.endswith("_fen"):
                values[name.removesuffix("_fen")] = yuan(value)
            elif name in {"at", "confirm_by"}:
                values[name] = minute(datetime.fromisoformat(value))
            elif name in {"level", "failure"}:
                values[name] = self(f"level.{value}") if name == "level" else self.failure(value)
            elif name == "signal":
                values["reason"] = self(f"risk.{value}")
            elif name == "until":
                values[name] = self.by(value and datetime.fromisoformat(value))
            elif name in {"grade", "before"}:
                values[name] = value or self("grade.none")
            else:
                values[name] = str(value)
        return values

    def by(self, instant: datetime | None) -> str:
        """By when something will be known."""
        return self("date.open") if instant is None else self("date.latest", date=day(instant))


def day(instant: datetime) -> str:
    """A date for people: 2026-11-22, in China's time."""
    return instant.astimezone(CHINA).strftime("%Y-%m-%d")


def minute(instant: datetime) -> str:
    """An instant for people: 2026-11-22 09:30, in China's time."""
    return instant.astimezone(CHINA).strftime("%Y-%m-%d %H:%M")


# --- the merchant's own wording -------------------------------------------------------------------------------------


def check_override(key: str, body: str) -> None:
    """`Invalid` for an unknown text, an empty or too long wording, or placeholders that the default does not have."""
    if key not in TEXTS:
        raise Invalid("no such text", key=key)
    if not body.strip() or len(body) > MAX_LENGTH:
        raise Invalid(f"a wording has 1 to {MAX_LENGTH} characters", key=key)
    unknown = sorted(placeholders(body) - PLACEHOLDERS[key])
    if unknown:
        known = sorted(PLACEHOLDERS[key])
        raise Invalid("unknown placeholders", key=key, unknown=unknown, known=known)


def set_override(session: Session, account_id: int, key: str, body: str | None) -> None:
    """Use the merchant's wording from now on, or the default again (None). Raises `Invalid`."""
    if body is None:
        session.execute(
            delete(TextOverride).where(
                TextOverride.account_id == account_id, TextOverride.text_key == key
            )
        )
        return
    check_override(key, body)
    row = session.get(TextOverride, (account_id, key))
    if row is None:
        row = TextOverride(account_id=account_id, text_key=key)
        session.add(row)
    row.body = body
    session.flush()


def overrides_of(session: Session, account_id: int) -> dict[str, str]:
    """The account's wordings that are usable today: one that an upgrade made impossible gives way to the default."""
    usable = {}
    for row in session.scalars(select(TextOverride).where(TextOverride.account_id == account_id)):
        try:
            check_override(row.text_key, row.body)
        except Invalid:
            continue
        usable[row.text_key] = row.body
    return usable
