"""A sentence in both languages, said when the page is: for titles and labels that stand outside a request."""

from __future__ import annotations

from dataclasses import dataclass

from web.pages import t


@dataclass(frozen=True, slots=True)
class Both:
    """`Both("会员", "Members")`; `str()` of it is the one for the language of the page."""

    chinese: str
    english: str

    def __str__(self) -> str:
        return t(self.chinese, self.english)
