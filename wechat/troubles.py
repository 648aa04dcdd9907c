"""What WeChat last refused an account, one entry an API path, for the people who look after it.

Refusals that speak of one recipient are not kept: they are recorded with their message. Lives in Redis, a week long;
without Redis there is nothing to show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis

from wechat.clock import Clock
from wechat.errors import RecipientRefused, WeChatError
from wechat.shared import Shared, text

_KEPT_SECONDS: Final = 7 * 86400
_ORDINARY: Final = frozenset(
    {
        45065,  # a broadcast that was sent before: the answer that its repetition asks for
        46003,  # no menu
    }
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed call. `errcode` is None where WeChat gave no intelligible answer, `message` is redacted and short."""

    path: str
    at: datetime
    errcode: int | None
    rid: str
    message: str


class Troubles:
    """The last failure of each API of one account, shared by all processes. Thread-safe."""

    def __init__(self, client: redis.Redis | None, app_id: str, clock: Clock) -> None:
        self._shared = Shared(client)
        self._key = f"wechat:{{{app_id}}}:troubles"
        self._clock = clock

    def note(self, error: WeChatError) -> None:
        """Remember a failure in place of the one before."""
        if isinstance(error, RecipientRefused) or error.errcode in _ORDINARY:
            return
        said = str(error.args[0])[:190] if error.args else ""
        value = json.dumps([self._clock().timestamp(), error.errcode, error.rid, said])

        def write(client: redis.Redis) -> None:
            client.hset(self._key, error.path, value)
            client.expire(self._key, _KEPT_SECONDS)

        self._shared.ask(write, None)

    def latest(self) -> list[Trouble]:
        """The failures of the last week, newest first."""
        found: dict[Any, Any] = self._shared.ask(lambda client: client.hgetall(self._key), {})
        read = [_trouble(text(path), json.loads(text(value))) for path, value in found.items()]
        oldest = self._clock().timestamp() - _KEPT_SECONDS
        return sorted(
            (one for one in read if one.at.timestamp() > oldest),
            key=lambda one: one.at,
            reverse=True,
        )


def _trouble(path: str, stored: tuple[float, int | None, str, str]) -> Trouble:
    at, errcode, rid, message = stored
    return Trouble(path, datetime.fromtimestamp(at, UTC), errcode, rid, message)
