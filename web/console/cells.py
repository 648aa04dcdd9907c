"""How values look: in a table of the console, and in a CSV file that Excel opens.

Whatever others wrote (nicknames, titles, reasons) may hold scripts, formulas, or marks that turn the direction of
writing. Jinja escapes; `visible` takes the marks away; `domain.sheets.text` disarms formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

from domain import sheets
from domain.money import percent, yuan
from web.console.both import Both
from web.pages import amount, day, minute, thousands

_DIRECTION: Final = dict.fromkeys(
    [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
)
"""Embeddings, overrides, isolates and marks: with them "gpj.exe" reads "exe.jpg"."""


def visible(value: object) -> str:
    """Somebody else's words, without marks that turn the direction of what follows."""
    return str(value).translate(_DIRECTION)


@dataclass(frozen=True, slots=True)
class Badge:
    """A state in a word, with a tone: success, info, warning, danger, secondary."""

    words: Both | str
    tone: str = "secondary"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a column's values are shown (`html`), written into a CSV (`csv`), and aligned."""

    html: Callable[[Any], str]
    csv: Callable[[Any], object]
    css: str = ""


def _words(value: object) -> Markup:
    return Markup("<bdi>{}</bdi>").format(visible(value))


def _badge(value: Badge) -> Markup:
    return Markup('<span class="badge state state-{}">{}</span>').format(value.tone, value.words)


def _money(fen: int) -> Markup:
    css = " negative" if fen < 0 else ""
    return Markup('<span class="money{}">{}</span>').format(css, amount(fen))


def _instant(at: datetime) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), minute(at))


TEXT: Final = Kind(_words, lambda value: sheets.text(visible(value)))
CODE: Final = Kind(
    lambda value: Markup("<code>{}</code>").format(visible(value)),
    lambda value: sheets.text(visible(value)),
)
MONEY: Final = Kind(_money, yuan, "num")
COUNT: Final = Kind(thousands, int, "num")
RATE: Final = Kind(percent, percent, "num")
INSTANT: Final = Kind(_instant, sheets.instant, "instant")
DAY: Final = Kind(day, day, "instant")
BADGE: Final = Kind(_badge, lambda value: sheets.text(str(value.words)))


def shown(kind: Kind, value: Any) -> Markup:
    """A cell's HTML; nothing is a dash."""
    return Markup('<span class="nothing">–</span>') if value is None else escape(kind.html(value))


def written(kind: Kind, value: Any) -> object:
    """A cell of a CSV file; nothing is empty."""
    return "" if value is None else kind.csv(value)
