"""Whatever happens to worker processes and to Redis, every card arrives, and none twice inside WeChat's ten minutes."""

from __future__ import annotations

import signal

import redis
from rq import Worker

from jobs.process import SENDERS
from jobs.queues import DRAINS, connect, queue_named
from tests.jobs.conftest import Shop
from tests.jobs.wiretap import tapping

SEND = "/cgi-bin/message/template/send"


def _keys(count: int) -> list[str]:
    return [f"N{number:03}" for number in range(count)]


def test_the_message_leaves_from_an_rq_worker_process_and_from_no_other(shop: Shop) -> None:
    member = shop.follower("大明")
    with tapping(shop.simulator.url) as tap:
        shop.environ["BANYAN_WECHAT__API_BASE"] = tap.url
        shop.tell(member.member_id, *_keys(40))
        worker, clock = shop.start_worker(), shop.start_clock()
        shop.wait_for(lambda: len(shop.rows("done")) == 40)
        assert tap.senders[SEND] == {worker.pid}
        with connect(shop.context.settings.redis_url) as connection:
            known = {each.pid for each in Worker.all(connection=connection, serializer="json")}
        assert worker.pid in known
        assert clock.pid not in known


def test_a_worker_killed_in_the_middle_of_sending_loses_nothing_and_shows_nothing_twice(
    shop: Shop,
) -> None:
    member = shop.follower("大明")
    keys = _keys(SENDERS + 30)
    with tapping(shop.simulator.url) as tap:
        shop.environ["BANYAN_WECHAT__API_BASE"] = tap.url
        tap.hold(SEND)
        shop.tell(member.member_id, *keys)
        worker = shop.start_worker()
        shop.start_clock()
        # All of its connections have sent a card that WeChat has taken, and none has heard so.
        shop.wait_for(lambda: tap.held == SENDERS and len(shop.cards(member.openid)) == SENDERS)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        tap.hold(None)
        assert len(shop.rows("claimed")) == len(keys)
        shop.move_clock(95)  # the lease is over, the ten minutes are not
        shop.start_worker()
        shop.wait_for(lambda: len(shop.rows("done")) == len(keys))
    assert sorted(shop.orders_on_cards(member.openid)) == keys
    assert len(shop.calls(SEND)) == len(keys) + SENDERS


def test_a_worker_that_is_asked_to_end_gives_back_what_it_has_not_begun(shop: Shop) -> None:
    member = shop.follower("大明")
    keys = _keys(200)
    shop.fault(latency_ms=250, paths=[SEND])
    shop.tell(member.member_id, *keys)
    worker = shop.start_worker()
    shop.start_clock()
    shop.wait_for(lambda: shop.rows("done"))
    worker.terminate()
    assert worker.wait(60) == 0
    assert shop.rows("claimed") == []
    waiting = shop.rows("pending")
    assert waiting
    assert {(row.attempts, row.first_try_at) for row in waiting} == {(0, None)}
    shop.start_worker()
    shop.wait_for(lambda: len(shop.rows("done")) == 200)
    assert len(shop.calls(SEND)) == 200
    assert sorted(shop.orders_on_cards(member.openid)) == keys


def test_an_emptied_redis_loses_no_card(shop: Shop) -> None:
    member = shop.follower("大明")
    keys = _keys(120)
    shop.fault(latency_ms=100, paths=[SEND])
    shop.tell(member.member_id, *keys)
    shop.start_worker()
    shop.start_clock()
    shop.wait_for(lambda: shop.rows("done"))
    with redis.Redis.from_url(shop.context.settings.redis_url) as connection:
        connection.flushall()
        shop.tell(member.member_id, "after")
        connection.flushall()
    shop.wait_for(lambda: len(shop.rows("done")) == 121)
    assert sorted(shop.orders_on_cards(member.openid)) == [*keys, "after"]


def test_many_doorbells_two_clocks_and_two_workers_send_each_card_once(shop: Shop) -> None:
    member = shop.follower("大明")
    keys = _keys(150)
    shop.tell(member.member_id, *keys)
    with connect(shop.context.settings.redis_url) as connection:
        queue = queue_named("fast", connection)
        for number in range(30):
            queue.enqueue_call(DRAINS["notice"].function, job_id=f"bell-{number}", result_ttl=0)
    for _ in range(2):
        shop.start_worker()
        shop.start_clock()
    shop.wait_for(lambda: len(shop.rows("done")) == 150)
    assert len(shop.calls(SEND)) == 150  # not even WeChat's own memory was needed
    assert sorted(shop.orders_on_cards(member.openid)) == keys


def test_a_worker_outlives_a_redis_that_goes_away(shop: Shop) -> None:
    """The connections are cut, as a restart of Redis does it; the worker and the clock find their way back."""
    member = shop.follower("大明")
    worker = shop.start_worker()
    clock = shop.start_clock()
    shop.tell(member.member_id, "before")
    shop.wait_for(lambda: len(shop.rows("done")) == 1)
    with redis.Redis.from_url(shop.context.settings.redis_url) as connection:
        connection.client_kill_filter(_type="normal", skipme=True)
        connection.client_kill_filter(_type="pubsub", skipme=True)
    shop.tell(member.member_id, "after")
    shop.wait_for(lambda: len(shop.rows("done")) == 2)
    assert worker.poll() is None
    assert clock.poll() is None
