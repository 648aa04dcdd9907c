"""The accounts this process answers for: secrets open, the merchant's texts and replies read, kept for some seconds."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final

from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bot.robot import Envelope
from domain import accounts, replies, texts
from domain.accounts import OpenAccount
from domain.db import Database
from domain.errors import Busy, NotFound
from domain.replies import KeywordTable
from domain.secrets import Keyring
from domain.texts import Words

KEEP_SECONDS: Final = 5.0
PATTERNS_STOPPED: Final = Counter(
    "banyan_patterns_stopped", "Texts on which a merchant's pattern took too long"
)
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """An account as the callback needs it; `stale_at` is a `time.monotonic()` instant."""

    account: OpenAccount
    envelope: Envelope
    languages: Mapping[str, Words]
    keywords: KeywordTable
    stale_at: float

    @property
    def words(self) -> Words:
        """The texts in the account's own language, for when nobody knows the follower's."""
        return self.languages[self.account.settings.language]


class KnownAccounts:
    """Looks accounts up by slug. While the database is away the last known state serves on, so that pushes can still
    be verified and spooled."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._known: dict[str, Known] = {}
        self._refreshing = Lock()

    def find(self, slug: str) -> Known | None:
        """The account of this slug, None when there is none. Raises what the database raises only when the account
        has never been read."""
        known = self._known.get(slug)
        if known is not None and time.monotonic() < known.stale_at:
            return known
        if known is None:
            return self._read(slug) if _SLUG.fullmatch(slug) else None
        if not self._refreshing.acquire(blocking=False):
            return known  # another thread is asking; what we have is some seconds old
        try:
            return self._read(slug)
        except DBAPIError:
            _log.warning("the database is away; account %s is served as last known", slug)
            fields = (known.account, known.envelope, known.languages, known.keywords)
            self._known[slug] = Known(*fields, stale_at=time.monotonic() + KEEP_SECONDS)
            return known
        finally:
            self._refreshing.release()

    def _read(self, slug: str) -> Known | None:
        try:
            known = self._database.read(lambda session: self._open(session, slug))
        except NotFound:
            self._known.pop(slug, None)
            return None
        before = self._known.get(slug)
        self._known[slug] = known
        if before is not None and before.keywords.timeouts:
            self._count_timeouts(before)
        return known

    def _count_timeouts(self, known: Known) -> None:
        """Patterns that were stopped while this table was in use: told to the merchant, and to who watches us. A push
        is waiting: one try, and a figure less where the database is busy."""
        counts = dict(known.keywords.timeouts)
        PATTERNS_STOPPED.inc(sum(counts.values()))
        try:
            self._database.transact(lambda session: replies.add_timeouts(session, counts), tries=1)
        except (DBAPIError, Busy):
            _log.warning("stopped patterns of account %s are not counted", known.account.slug)

    def _open(self, session: Session, slug: str) -> Known:
        account = accounts.unseal(accounts.get(session, slug), self._keyring)
        return Known(
            account,
            Envelope(account.token, account.aes_key, account.app_id),
            texts.words_of(session, account.id),
            replies.table_of(session, account.id),
            stale_at=time.monotonic() + KEEP_SECONDS,
        )
