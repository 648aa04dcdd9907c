"""Every sentence for people: chat, notices, refusals, states; in three languages, replaceable per account.

zh_cn.py is where a text is written first; zh_tw.py and en.py have the same keys (tests/domain/test_texts.py), and until
they do, the Chinese sentence is shown.

A merchant's own wording may use the placeholders of the default and nothing else: no attributes, no indexes, no format
specifications, so that a wording can neither fail in front of a follower nor show what it should not.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from domain.china import CHINA
from domain.errors import Invalid
from domain.models import TextOverride
from domain.money import yuan
from domain.texts import en, zh_tw
from domain.texts.zh_cn import TEXTS as TEXTS  # part of this module for its readers

ZH_CN: Final = "zh-CN"
ZH_TW: Final = "zh-TW"
EN: Final = "en"
LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {ZH_CN: TEXTS, ZH_TW: zh_tw.TEXTS, EN: en.TEXTS}
)
_NAMES: Final = {
    ZH_CN: ("zh-cn", "zh", "cn", "简体中文", "简体", "简中", "中文", "簡體中文", "簡體", "chinese", "simplified"),
    ZH_TW: ("zh-tw", "tw", "繁體中文", "繁體", "正體", "正體中文", "繁中", "繁体中文", "繁体", "traditional"),
    EN: ("en", "english", "英文", "英语", "英語"),
}  # fmt: skip
"""What people call a language."""
_BY_NAME: Final = {name: lang for lang, names in _NAMES.items() for name in names}

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


def language_named(name: str) -> str | None:
    """The language that somebody means by `name`: 繁體, English, zh-CN."""
    return _BY_NAME.get(name.strip().casefold())


def render(key: str, overrides: Mapping[str, str], /, **values: object) -> str:
    """The text of `key` in the merchant's wording, or ours."""
    return (overrides.get(key) or TEXTS[key]).format_map(values)


class Words:
    """The texts of one account in one language: `words("level.1")`, `words("scan.bound", referrer="小明")`."""

    def __init__(self, overrides: Mapping[str, str] | None = None, lang: str = ZH_CN) -> None:
        self.overrides: Mapping[str, str] = overrides or {}
        self.lang = lang
        self._texts = LANGUAGES[lang]

    def __call__(self, key: str, **values: object) -> str:
        return self.template(key).format_map(values)

    def template(self, key: str) -> str:
        """The text as it is written, with its placeholders."""
        return self.overrides.get(key) or self._texts.get(key) or TEXTS[key]

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
            elif name == "signal":
                values["reason"] = self(f"risk.{value}")
            else:
                values[name] = self._value(name, value)
        return values

    def _value(self, name: str, value: Any) -> str:
        """One stored parameter, by its name."""
        if name in {"at", "confirm_by"}:
            return minute(datetime.fromisoformat(value))
        if name == "level":
            return self(f"level.{value}")
        if name == "failure":
            return self.failure(value)
        if name == "friends":
            return self.several(value)
        if name == "until":
            return self.by(value and datetime.fromisoformat(value))
        if name in {"grade", "before"}:
            return value or self("grade.none")
        return str(value)

    def several(self, names: Sequence[str]) -> str:
        """Some names in a row; more than three are "… and more"."""
        shown = self("list.comma").join(names[:3])
        return shown if len(names) <= 3 else self("friends.more", friends=shown)

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


def missing(key: str, body: str) -> list[str]:
    """The placeholders of the default that this wording leaves out; often on purpose, sometimes a slip."""
    return sorted(PLACEHOLDERS[key] - placeholders(body))


def set_override(
    session: Session, account_id: int, key: str, body: str | None, lang: str = ZH_CN
) -> None:
    """Use the merchant's wording in a language from now on, or the default again (None). Raises `Invalid`."""
    if lang not in LANGUAGES:
        raise Invalid("no such language", lang=lang, languages=list(LANGUAGES))
    if body is None:
        session.execute(
            delete(TextOverride).where(
                TextOverride.account_id == account_id,
                TextOverride.lang == lang,
                TextOverride.text_key == key,
            )
        )
        return
    check_override(key, body)
    row = session.get(TextOverride, (account_id, lang, key))
    if row is None:
        row = TextOverride(account_id=account_id, lang=lang, text_key=key)
        session.add(row)
    row.body = body
    session.flush()


def overrides_of(session: Session, account_id: int) -> dict[str, str]:
    """The account's Chinese wordings that are usable today: one that an upgrade made impossible gives way to the
    default."""
    return dict(words_of(session, account_id)[ZH_CN].overrides)


def stored(session: Session, account_id: int, lang: str) -> dict[str, str]:
    """The account's wordings in a language as they were written, those too that cannot be used any more."""
    rows = select(TextOverride).where(
        TextOverride.account_id == account_id, TextOverride.lang == lang
    )
    return {row.text_key: row.body for row in session.scalars(rows)}


def is_usable(key: str, body: str) -> bool:
    """Whether this wording can be said: an upgrade may have made it impossible."""
    try:
        check_override(key, body)
    except Invalid:
        return False
    return True


def words_of(session: Session, account_id: int) -> dict[str, Words]:
    """The account's texts in every language, from one statement."""
    usable: dict[str, dict[str, str]] = {lang: {} for lang in LANGUAGES}
    for row in session.scalars(select(TextOverride).where(TextOverride.account_id == account_id)):
        if row.lang in usable and is_usable(row.text_key, row.body):
            usable[row.lang][row.text_key] = row.body
    return {lang: Words(overrides, lang) for lang, overrides in usable.items()}
