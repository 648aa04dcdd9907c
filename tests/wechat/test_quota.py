from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis

from wechat.errors import QuotaExceeded
from wechat.quota import LIMITS, Limit, QuotaMeter

NOON = datetime(2026, 11, 22, 4, 0, 20, tzinfo=UTC)  # 12:00:20 in Beijing
SEND = "/cgi-bin/message/template/send"


class StoppedClock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> StoppedClock:
    return StoppedClock(NOON)


@pytest.fixture
def meter(store: redis.Redis, time: StoppedClock) -> Callable[..., QuotaMeter]:
    """Builds meters as separate processes would have them."""

    def build(**limits: Limit) -> QuotaMeter:
        table = {f"/{name}": limit for name, limit in limits.items()} or LIMITS
        return QuotaMeter(store, "wx-test", clock=time, limits=table)

    return build


def used_up(meter: QuotaMeter, path: str, at_most: int = 10_000) -> int:
    """How many calls pass before the meter stops them."""
    for passed in range(at_most):
        try:
            meter.check(path)
        except QuotaExceeded:
            return passed
    return at_most


def test_a_day_ends_at_midnight_in_beijing(
    meter: Callable[..., QuotaMeter], time: StoppedClock
) -> None:
    daily = meter(api=Limit(day=3))
    assert used_up(daily, "/api") == 3

    with pytest.raises(QuotaExceeded) as caught:
        daily.check("/api")
    assert caught.value.retry_at == datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    assert caught.value.path == "/api"

    time.now = datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC)
    assert used_up(daily, "/api") == 0
    time.now += timedelta(seconds=1)
    assert used_up(daily, "/api") == 3


def test_a_minute_ends_with_the_minute(
    meter: Callable[..., QuotaMeter], time: StoppedClock
) -> None:
    mass = meter(api=Limit(day=5, minute=2))
    assert used_up(mass, "/api") == 2

    with pytest.raises(QuotaExceeded) as caught:
        mass.check("/api")
    assert caught.value.retry_at == NOON + timedelta(seconds=40)

    time.now += timedelta(seconds=40)
    assert used_up(mass, "/api") == 2
    time.now += timedelta(minutes=1)
    assert used_up(mass, "/api") == 1  # the day's fifth


def test_a_patient_caller_waits_for_the_next_minute(store: redis.Redis, time: StoppedClock) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.now += timedelta(seconds=seconds)

    meter = QuotaMeter(
        store, "wx-test", clock=time, limits={"/api": Limit(day=9, minute=1)}, sleep=sleep
    )
    meter.check("/api")
    meter.check("/api", patience_seconds=60)
    assert pauses == [40.0]

    with pytest.raises(QuotaExceeded):
        meter.check("/api", patience_seconds=59)
    assert pauses == [40.0]


def test_processes_share_one_count(meter: Callable[..., QuotaMeter]) -> None:
    meters = [meter(api=Limit(day=10_000)) for _ in range(4)]  # blocks of five

    with ThreadPoolExecutor(16) as pool:
        passed = sum(pool.map(lambda index: used_up(meters[index % 4], "/api"), range(16)))

    assert passed == 10_000


def test_a_block_is_one_round_trip(meter: Callable[..., QuotaMeter], store: redis.Redis) -> None:
    busy = meter()
    before = (
        int(store.info("commandstats")["cmdstat_eval"]["calls"])
        if "cmdstat_eval" in store.info("commandstats")
        else 0
    )
    for _ in range(500):
        busy.check(SEND)
    assert int(store.info("commandstats")["cmdstat_eval"]["calls"]) - before == 10

    (left,) = [left for left in busy.left() if left.path == SEND]
    assert (left.day_limit, left.day_used, left.day_left, left.learned) == (
        100_000,
        500,
        99_500,
        False,
    )


def test_a_block_is_not_carried_into_the_next_day(
    meter: Callable[..., QuotaMeter], time: StoppedClock
) -> None:
    ours = meter(api=Limit(day=10_000))
    ours.check("/api")
    time.now += timedelta(days=1)
    ours.check("/api")

    assert ours.left()[0].day_used == 5


def test_accounts_do_not_share_a_count(store: redis.Redis, time: StoppedClock) -> None:
    limits = {"/api": Limit(day=2)}
    assert used_up(QuotaMeter(store, "wx-one", clock=time, limits=limits), "/api") == 2
    assert used_up(QuotaMeter(store, "wx-two", clock=time, limits=limits), "/api") == 2


def test_what_wechat_says_replaces_the_table(meter: Callable[..., QuotaMeter]) -> None:
    ours, theirs = meter(api=Limit(day=2)), meter(api=Limit(day=2))
    assert used_up(ours, "/api") == 2

    ours.learn("/api", daily_limit=10, used=7)  # another program of the merchant made five calls

    assert used_up(theirs, "/api") == 3
    (left,) = ours.left()
    assert (left.day_limit, left.day_used, left.day_left, left.learned) == (10, 10, 0, True)


def test_a_figure_of_zero_is_no_figure(meter: Callable[..., QuotaMeter]) -> None:
    ours = meter(api=Limit(day=2))
    ours.learn("/api", daily_limit=0, used=0)
    assert used_up(ours, "/api") == 2


def test_is_asked_about_once_an_hour(meter: Callable[..., QuotaMeter]) -> None:
    ours = meter(api=Limit(day=1))
    assert ours.should_ask("/api")
    assert not ours.should_ask("/api")
    assert not ours.should_ask("/unlisted")


def test_after_a_cleared_quota_the_count_starts_again(meter: Callable[..., QuotaMeter]) -> None:
    ours = meter(api=Limit(day=2))
    used_up(ours, "/api")
    ours.refused("/api", 45009)

    ours.forget("/api")
    assert used_up(ours, "/api") == 2


@pytest.mark.parametrize(
    ("now", "errcode", "until"),
    [
        (NOON, 45009, NOON + timedelta(hours=1)),
        (NOON.replace(hour=15, minute=30), 45009, datetime(2026, 11, 22, 16, 0, tzinfo=UTC)),
        (NOON, 45011, NOON + timedelta(seconds=40)),
    ],
)
def test_a_refusal_by_wechat_holds_for_every_process(
    meter: Callable[..., QuotaMeter],
    time: StoppedClock,
    now: datetime,
    errcode: int,
    until: datetime,
) -> None:
    time.now = now
    ours, theirs = meter(api=Limit(day=100)), meter(api=Limit(day=100))
    ours.check("/api")

    assert ours.refused("/api", errcode) == until
    for one in (ours, theirs):
        with pytest.raises(QuotaExceeded) as caught:
            one.check("/api")
        assert caught.value.retry_at == until
    assert ours.left()[0].refused_until == until

    time.now = until
    ours.check("/api")
    theirs.check("/api")
    assert ours.left()[0].refused_until is None


def test_an_api_without_a_figure_passes_until_wechat_refuses(
    meter: Callable[..., QuotaMeter],
) -> None:
    ours = meter(api=Limit(day=1))
    assert used_up(ours, "/unlisted", at_most=50) == 50

    ours.refused("/unlisted", 45009)
    assert used_up(ours, "/unlisted") == 0


def test_without_redis_everything_passes_until_wechat_refuses(dead_store: redis.Redis) -> None:
    time = StoppedClock(NOON)
    for client in (None, dead_store):
        alone = QuotaMeter(client, "wx-test", clock=time, limits={"/api": Limit(day=1)})
        assert used_up(alone, "/api", at_most=50) == 50
        assert alone.left() == []
        alone.refused("/api", 45009)
        assert used_up(alone, "/api") == 0


def test_a_redis_that_decodes_its_answers_does_as_well(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as decoding:
        ours = QuotaMeter(decoding, "wx-test", limits={"/api": Limit(day=2)})
        assert used_up(ours, "/api") == 2
        assert ours.left()[0].day_used == 2


def test_a_refusal_that_somebody_lifted_is_lifted_in_every_process(
    meter: Callable[..., QuotaMeter],
) -> None:
    refused, other = meter(), meter()
    refused.refused(SEND, 45009)
    assert used_up(refused, SEND, 5) == 0

    other.forget(SEND)
    assert used_up(refused, SEND, 5) == 5


def test_what_is_left_names_the_minute_and_what_is_held(
    meter: Callable[..., QuotaMeter], time: StoppedClock
) -> None:
    mass = meter(api=Limit(day=5, minute=2))
    mass.check("/api")
    mass.refused("/other", 45011)

    api, other = mass.left()
    assert (api.day_used, api.day_left, api.minute_limit, api.minute_used) == (1, 4, 2, 1)
    assert (other.path, other.day_limit, other.minute_limit) == ("/other", None, None)
    assert other.refused_until == NOON + timedelta(seconds=40)
    time.now += timedelta(minutes=1)
    assert [(one.path, one.minute_used) for one in mass.left()] == [("/api", 0)]
