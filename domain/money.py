"""Integer fen and integer basis points, and the one place where an amount is rounded."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

BPS: Final = 10_000
"""Basis points in a whole: 1000 bps are 10 %."""

_YUAN: Final = re.compile(r"[¥]?\s*([0-9]{1,7})(?:\.([0-9]{1,2}))?\s*(?:元|块)?")


def share(base_fen: int, rate_bps: int, share_bps: int = BPS) -> int:
    """The part of `base_fen` at `rate_bps`, and of that the part at `share_bps`; one floor, in fen.

    10 % of 29.97 yuan: share(2997, 1000) == 299. The fraction of a fen stays with the merchant, so the levels
    together never exceed the budget. A pool of 20 % of 100.01 yuan shared 50/30/20: share(10001, 2000, 5000) == 1000.
    """
    return base_fen * rate_bps * share_bps // (BPS * BPS)


def remaining_after_refund(
    base_fen: int, refunded_fen: int, rate_bps: int, share_bps: int = BPS
) -> int:
    """What is left of a commission when `refunded_fen` of its base has been refunded in all, in fen.

    Cumulative, not per refund: any sequence of partial refunds ends at the same amount and a full refund leaves 0
    (money.md 2.4: flooring every refund's own part leaves fen behind).
    """
    return share(base_fen - refunded_fen, rate_bps, share_bps)


def yuan(amount_fen: int) -> str:
    """An amount for people: yuan(-1205) == '-12.05'. Display only."""
    sign = "-" if amount_fen < 0 else ""
    return f"{sign}{abs(amount_fen) // 100}.{abs(amount_fen) % 100:02d}"


def parse_yuan(text: str) -> int | None:
    """Fen of an amount in yuan as people type it: 50, 50.5, ￥50.50, ５０元. None for anything else: an amount that
    could mean two things is asked for again, never guessed."""
    match = _YUAN.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def percent(rate_bps: int) -> str:
    """A rate for people: percent(1000) == '10%', percent(1250) == '12.5%'."""
    whole, rest = divmod(rate_bps, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "%" if rest else f"{whole}%"
