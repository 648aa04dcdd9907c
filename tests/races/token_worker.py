"""A worker process of the token test. `token_worker.py NAME URL REDIS_URL CLOCK_FILE guarded|unguarded`

Reads a line for each round, makes its calls and those that are still open, and answers how many are open.
"""

from __future__ import annotations

import sys
from pathlib import Path

import redis

from clock import Clock
from wechat import shared, tokens
from wechat.client import PlatformClient
from wechat.errors import QuotaExceeded, Retryable

CALL_PATH = "/cgi-bin/getcallbackip"
CALLS_A_ROUND = 1
# Time goes a hundred thousand times faster here, the pauses that are the machine's do not: they are made short.
tokens.POLL_SECONDS = 0.002
tokens.SILENCE_AFTER_OTHER_ERROR = 0.01
shared.PAUSE_SECONDS = 0.01


def main(name: str, url: str, redis_url: str, clock_file: str, guard: str) -> None:
    """Work until the input ends."""
    if guard == "unguarded":
        tokens.TokenService._lock_for_all = lambda self, owner: True  # type: ignore[method-assign] # the guard off
    client = PlatformClient(
        "wx0123456789abcdef",
        lambda: "0123456789abcdef0123456789abcdef",
        store=redis.Redis.from_url(redis_url),
        api_base=url,
        clock=Clock(file=Path(clock_file)).now,
    )
    number, open_calls = 0, list[str]()
    for _ in sys.stdin:
        for _ in range(CALLS_A_ROUND):
            number += 1
            open_calls.append(f"{name}-{number}")
        open_calls = [each for each in open_calls if not done(client, each)]
        sys.stdout.write(f"{number} {len(open_calls)}\n")
        sys.stdout.flush()


def done(client: PlatformClient, number: str) -> bool:
    """Make a call, as a worker of the outbox does: what may be tried again is kept for the next round."""
    try:
        client.get(CALL_PATH, params={"number": number})
    except (Retryable, QuotaExceeded):
        return False
    return True


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    main(*sys.argv[1:])
