"""What became of a message, from what WeChat said: done, again, never, or nobody knows (design.md 8). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain import outbox
from domain.outbox import Claimed, Result
from wechat import tokens
from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    QuotaExceeded,
    TokenRejected,
    WeChatError,
)

TOKEN_PAUSE: Final = timedelta(seconds=60)
REPAIR_PAUSE: Final = timedelta(minutes=10)
DEDUPED: Final = timedelta(seconds=outbox.DEDUPE_SECONDS - outbox.DEDUPE_MARGIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Done:
    """A message that left, with WeChat's id, or one that was not to be sent: `delivery` says why. `channel`: the way it
    went; `error`: what the ways before it said."""

    provider_msg_id: str | None = None
    delivery: str | None = None
    channel: str | None = None
    error: str | None = None


class Halted(Exception):
    """WeChat's answer on this channel decides what becomes of the row; channels before it had refused."""

    def __init__(self, channel: str, error: WeChatError) -> None:
        super().__init__(channel, error)
        self.channel = channel
        self.error = error


@dataclass(frozen=True, slots=True)
class Try:
    """One row in the hands of one claim, which was made at `claimed_at`."""

    row: Claimed
    claimed_at: datetime

    def done(self, done: Done) -> Result:
        return Result(
            self.row.id, "done", provider_msg_id=done.provider_msg_id, delivery=done.delivery,
            channel=done.channel, error=done.error,
        )  # fmt: skip

    def not_begun(self, now: datetime) -> Result:
        """Given back as it was."""
        return self._unsent(now, None, counted=False)

    def refused(self, error: WeChatError, now: datetime) -> Result:
        """WeChat's answer. What is wrong with the account or the quota costs the message no attempt."""
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, QuotaExceeded):
            at = max(error.retry_at or now + TOKEN_PAUSE, now + timedelta(seconds=1))
            return self._unsent(at, text, counted=False)
        if isinstance(error, AccountMisconfigured):
            return self._unsent(now + REPAIR_PAUSE, text, counted=False)
        if isinstance(error, TokenRejected):
            return self._unsent(now + TOKEN_PAUSE, text, counted=False)
        if isinstance(error, OutcomeUnknown) and error.path != tokens.PATH:
            return self._unknown(text, now)
        if error.permanent:
            return Result(self.row.id, "dead", error=text)
        return self._again(text, outbox.PATIENT_ATTEMPTS, now)

    def broken(self, error: Exception, now: datetime) -> Result:
        """Our own code cannot send it, and surely has not."""
        return self._again(f"{type(error).__name__}: {error}", outbox.MAX_ATTEMPTS, now)

    def _unknown(self, text: str, now: datetime) -> Result:
        """Perhaps sent. Inside WeChat's ten minutes the same id may be sent again; after that a person decides."""
        at = outbox.retry_at(self.row, now)
        if at > (self.row.first_try_at or now) + DEDUPED:
            return Result(self.row.id, "unsure", error=text)
        return Result(self.row.id, "pending", error=text, next_at=at)

    def _again(self, text: str, most_attempts: int, now: datetime) -> Result:
        if self.row.attempts >= most_attempts:
            return Result(self.row.id, "dead", error=text)
        return self._unsent(outbox.retry_at(self.row, now), text)

    def _unsent(self, at: datetime, text: str | None, *, counted: bool = True) -> Result:
        # Only the claim that began WeChat's ten minutes may take them back: an earlier try may have arrived.
        began_here = self.row.first_try_at == self.claimed_at
        return Result(
            self.row.id, "pending", error=text, next_at=at, counted=counted, unsent=began_here
        )
