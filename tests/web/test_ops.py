"""What the operator sees."""

from __future__ import annotations

import redis
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

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
    away = redis.Redis(port=9, socket_connect_timeout=0.1)
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


def test_metrics_are_not_for_the_world(shop: Shop) -> None:
    outside = {"X-Forwarded-For": "8.8.8.8"}
    assert shop.client.get("/metrics", headers=outside).status_code == 404
    assert shop.client.get("/metrics", environ_base={"REMOTE_ADDR": "8.8.8.8"}).status_code == 404
    assert shop.client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 200
