"""正则: a merchant's patterns, which must never keep a follower waiting. The one module that imports `regex`, because
Python's own `re` cannot be stopped."""

from __future__ import annotations

from math import prod
from typing import Final, TypeAlias

import regex

from domain.errors import Invalid

LENGTH: Final = 190
MATCH_SECONDS: Final = 0.02
"""For one text of a follower. A sane pattern takes microseconds."""
PROBE_SECONDS: Final = 0.01
MOST_REPEATED: Final = 1000
"""Numbers in braces multiplied: a repetition is written out when a pattern is made ready, which nothing stops, and
`(a{9999}){9999}` needs more memory than there is."""
_NUMBER: Final = regex.compile(r"(?<=[{,]\s*)\d+(?=\s*[,}])")
_PROBE_LENGTH: Final = 2000

Pattern: TypeAlias = "regex.Pattern[str]"


class TooSlow(Exception):
    """The pattern was stopped: it counts as no match."""


def compiled(text: str) -> Pattern:
    """The pattern, ready to search; letters match whatever their case. Raises `Invalid` for what is none."""
    if not 1 <= len(text) <= LENGTH:
        raise Invalid(f"a pattern has 1 to {LENGTH} characters")
    if prod(int(number) for number in _NUMBER.findall(text) if int(number)) > MOST_REPEATED:
        raise Invalid("this pattern repeats too often")
    try:
        return regex.compile(text, regex.IGNORECASE | regex.VERSION1)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise Invalid("not a regular expression", reason=str(error)[:190]) from error


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises `TooSlow`."""
    return _search(pattern, text, MATCH_SECONDS)


def check(text: str) -> None:
    """`Invalid` for a pattern that is wrong, that matches everything (an empty text), or that takes too long on one of
    the texts on which patterns take long: many repetitions of what it looks for, and then something else."""
    pattern = compiled(text)
    try:
        if _search(pattern, "", PROBE_SECONDS):
            raise Invalid("this pattern matches every text: make it the default reply instead")
        for probe in _probes(text):
            _search(pattern, probe, PROBE_SECONDS)
    except TooSlow:
        raise Invalid(
            "this pattern may take very long: avoid a repetition inside a repetition"
        ) from None


def _search(pattern: Pattern, text: str, seconds: float) -> bool:
    try:
        return pattern.search(text, timeout=seconds) is not None
    except TimeoutError:
        raise TooSlow from None


def _probes(text: str) -> list[str]:
    """Long texts of one kind that end in a surprise."""
    letters = dict.fromkeys(mark for mark in text if mark.isalnum())
    kinds = [*letters, "a", "0", "中", " ", "-"]
    words = ["".join(letters) or "a", "a ", "a1"]
    many = [kind * 40 + "!" for kind in kinds] + [kind * _PROBE_LENGTH + "!" for kind in kinds]
    return many + [word * (_PROBE_LENGTH // len(word)) + "\n!" for word in words]
