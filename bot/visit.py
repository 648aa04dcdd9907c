"""What a handler works with: the push, the account it came to, the database, and the moment by which to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

from sqlalchemy.orm import Session

from bot.push import Push
from bot.touches import Journal
from domain import members
from domain.accounts import OpenAccount
from domain.bodies import Article
from domain.db import Database
from domain.members import Greeting
from domain.replies import KeywordTable
from domain.secrets import Keyring
from domain.texts import Words

T = TypeVar("T")
TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as the answer: `media_id` is what WeChat calls it."""

    media_id: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A voice message as the answer."""

    media_id: str


@dataclass(frozen=True, slots=True)
class Film:
    """A video as the answer."""

    media_id: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Cards:
    """Linked cards as the answer: one to what a follower wrote, up to eight to what they did (platform.md 1.7)."""

    articles: tuple[Article, ...]


class Done:
    """Nothing to say; the push is dealt with."""


DONE: Final = Done()
Answer: TypeAlias = str | Picture | Recording | Film | Cards | Done


class _Known:
    """What this push has found out about its sender so far."""

    greeting: Greeting | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One push being answered. `deadline` is a `time.monotonic()` instant, None when a spooled push is replayed;
    `languages` are the account's texts by language."""

    push: Push
    account: OpenAccount
    languages: Mapping[str, Words]
    keywords: KeywordTable
    database: Database
    journal: Journal
    now: datetime
    keyring: Keyring
    deadline: float | None = None
    _known: _Known = field(default_factory=_Known, repr=False)

    @property
    def greeting(self) -> Greeting:
        """The sender's language and whether notices wait for them: one statement, unless `meet` has told it. Ask
        outside of a transaction."""
        known = self._known
        if known.greeting is None:
            known.greeting = self.read(
                lambda session: members.greeting(session, self.account.id, self.push.openid)
            )
        return known.greeting

    def meet(self, lang: str, unread: bool) -> None:
        """A statement that was needed anyhow has told how to speak to the sender."""
        self._known.greeting = Greeting(lang, unread)

    @property
    def words(self) -> Words:
        """The texts in the sender's language."""
        return self.languages[self.greeting.lang or self.account.settings.language]

    def transact(self, fn: Callable[[Session], T]) -> T:
        """The one transaction of this push. In the callback two tries at most: WeChat waits five seconds."""
        if self.deadline is None:
            return self.database.transact(fn)
        return self.database.transact(fn, deadline=self.deadline, tries=TRIES)

    def read(self, fn: Callable[[Session], T]) -> T:
        """A plain read."""
        return self.database.read(fn)

    def note(self, kind: str, detail: str) -> None:
        """Remember for statistics that the follower did this; costs no commit (touches.py)."""
        push = self.push
        self.journal.note(self.account.id, push.key, kind, push.openid, detail, push.created)
