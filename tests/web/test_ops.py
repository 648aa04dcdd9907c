"""What the operator sees."""

from __future__ import annotations

import json

import redis
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session

from domain import tasks
from domain.accounts import OpenAccount
from tests.web.conftest import Merchant
from tests.web.shop import Shop, order


def figures(client: FlaskClient) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics by its name and its label values, in the order of the labels' names."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_it_is_alive_and_ready(shop: Shop, redis_url: str) -> None:
    assert shop.client.get("/healthz").get_json() == {"ok": True}
    ready = shop.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.get_json() == {
        "ready": True,
        "checks": {"database": True, "migrations": True, "redis": True},
        "processes": {
            "clock": False,
            "worker:fast": False,
            "worker:bulk": False,
            "worker:slow": False,
        },
    }
    with redis.Redis.from_url(redis_url) as client:
        client.set("banyan:alive:clock", 1, ex=60)
    assert shop.client.get("/readyz").get_json()["processes"]["clock"] is True


def test_without_redis_it_is_not_ready(merchant: Merchant, shop: Shop) -> None:
    away = redis.Redis(port=9, socket_connect_timeout=0.1, retry=Retry(NoBackoff(), 0))
    merchant.context.__dict__["redis"] = away  # what the cached property holds
    ready = shop.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["checks"] == {"database": True, "migrations": True, "redis": False}
    assert shop.client.get("/healthz").status_code == 200
    away.close()


def test_metrics_count_what_waits(merchant: Merchant, account: OpenAccount, shop: Shop) -> None:
    before = figures(shop.client).get(("banyan_outbox_rows", "pending", "notice"), 0)
    shop.post("/orders", order("A1"))
    spool = merchant.context.settings.data.dir / "spool"
    spool.mkdir(parents=True)
    (spool / "push.json").write_text("x")
    (spool / "lock").touch()
    merchant.move_clock(minutes=10)
    found = figures(shop.client)
    assert found[("banyan_outbox_rows", "pending", "notice")] == before + 3
    assert 599 <= found[("banyan_outbox_oldest_seconds",)] < 700
    assert found[("banyan_spool_files",)] == 1
    assert found[("banyan_process_seen", "worker:fast")] == 0


def test_metrics_tell_tokens_quotas_queues_and_the_proof(
    merchant: Merchant, account: OpenAccount, shop: Shop, redis_url: str
) -> None:
    platform = merchant.context.platform(account)
    now = merchant.context.clock.now()
    before = figures(shop.client)
    assert ("banyan_token_seconds", account.slug) not in before
    assert ("banyan_books_proof_age_seconds",) not in before
    path = "/cgi-bin/message/template/send"
    left = before[("banyan_quota_left", account.slug, path)]
    platform.quota.learn(path, int(left), used=7)
    token = {
        "value": "T",
        "fresh_until": 0,
        "expires_at": now.timestamp() + 600,
        "confirmed_at": None,
    }
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"wechat:{{{account.app_id}}}:token", json.dumps(token), ex=60)
        client.rpush("rq:queue:bulk", "one", "two")

    def prove(session: Session) -> None:
        tasks.start(session, None, tasks.BOOKS, actor="test", now=now)
        claimed = tasks.claim(session, now)
        assert claimed is not None
        tasks.finish(session, claimed, {"ok": False, "difference_count": 3}, now)

    merchant.context.database.transact(prove)
    merchant.move_clock(minutes=5)
    found = figures(shop.client)
    assert 290 <= found[("banyan_token_seconds", account.slug)] <= 300
    assert found[("banyan_quota_left", account.slug, path)] == left - 7
    assert found[("banyan_queue_jobs", "bulk")] == 2
    assert found[("banyan_queue_jobs", "fast")] == 0
    assert 300 <= found[("banyan_books_proof_age_seconds",)] < 400
    assert found[("banyan_books_differences",)] == 3


def test_metrics_are_not_for_the_world(shop: Shop) -> None:
    outside = {"X-Forwarded-For": "8.8.8.8"}
    assert shop.client.get("/metrics", headers=outside).status_code == 404
    assert shop.client.get("/metrics", environ_base={"REMOTE_ADDR": "8.8.8.8"}).status_code == 404
    assert shop.client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 200


def test_metrics_are_not_for_the_world_behind_a_proxy_on_another_machine(shop: Shop) -> None:
    """Its address is a private one, and it speaks for anybody."""
    proxy, outside = {"REMOTE_ADDR": "10.0.0.2"}, {"X-Forwarded-For": "8.8.8.8"}
    assert shop.client.get("/metrics", environ_base=proxy).status_code == 200
    assert shop.client.get("/metrics", environ_base=proxy, headers=outside).status_code == 404
    here = {
        "REMOTE_ADDR": "::ffff:127.0.0.1"
    }  # how a socket for both kinds of addresses says 127.0.0.1
    assert shop.client.get("/metrics", environ_base=here).status_code == 200
    assert shop.client.get("/metrics", environ_base=here, headers=outside).status_code == 404
