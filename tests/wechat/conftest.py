from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.wechat.stub import SECRET, Stub
from wechat.client import PlatformClient


class MovableClock:
    """Time that goes on by itself and can be pushed."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, **by: float) -> None:
        self.offset += timedelta(**by)


@pytest.fixture
def store(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def dead_store() -> redis.Redis:
    """A Redis that is away: nothing listens on port 1."""
    return redis.Redis(
        host="127.0.0.1", port=1, socket_connect_timeout=0.3, retry=Retry(NoBackoff(), 0)
    )


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


@pytest.fixture
def connect(stub: Stub, store: redis.Redis, clock: MovableClock) -> Callable[..., PlatformClient]:
    """Builds clients as separate processes have them: own memory, the same Redis."""

    def build(**options: Any) -> PlatformClient:
        chosen: dict[str, Any] = {
            "store": store,
            "api_base": stub.url,
            "mp_base": stub.url,
            "open_base": stub.url,
            "clock": clock,
            "timeout": (1.0, 3.0),
        } | options
        return PlatformClient("wx-test", lambda: SECRET, **chosen)

    return build


@pytest.fixture
def client(connect: Callable[..., PlatformClient]) -> PlatformClient:
    return connect()
