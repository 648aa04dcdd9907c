"""What a broadcast sold: by the token that a shop hands on, and by the clicks of people we know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import attribution, campaigns
from domain.errors import Invalid, NotFound, OrderConflict
from domain.models import Campaign
from tests.broadcast.conftest import Broadcasting


def _token(world: Broadcasting, campaign: Campaign) -> str:
    """The token of its one link."""

    def links() -> dict[str, str]:
        return world.do(lambda s: campaigns.links_of(s, world.account.id, campaign, str))

    (token,) = links().values()
    assert list(links().values()) == [token]  # the same one from then on
    return token


def _sold(world: Broadcasting, campaign: Campaign) -> tuple[int, int, int]:
    """Orders, sales in fen, commissions in fen."""
    results = world.results(campaign)
    return results.orders, results.sales_fen, results.commission_fen


@pytest.fixture
def shop(world: Broadcasting) -> Broadcasting:
    world.people("ann", "ben")  # ann brought ben
    return world


def test_a_link_leads_on_with_its_token_and_counts(shop: Broadcasting) -> None:
    campaign = shop.start(shop.campaign())
    token = _token(shop, campaign)
    target = shop.do(lambda s: attribution.click(s, shop.account.id, token, shop.now))
    assert target == f"https://tea.example/new?x=1&c={token}"
    assert shop.results(campaign).clicks == 1
    assert shop.results(campaign).clickers == 0
    with pytest.raises(NotFound):
        shop.do(lambda s: attribution.click(s, shop.account.id + 1, token, shop.now))
    with pytest.raises(NotFound):
        shop.do(lambda s: attribution.click(s, shop.account.id, "标", shop.now))


def test_an_order_with_the_token_is_the_broadcasts(shop: Broadcasting) -> None:
    campaign = shop.start(shop.campaign())
    token = _token(shop, campaign)
    shop.later(hours=1)
    order = replace(shop.order("ben", 10_000), campaign=token)
    assert shop.record(order) == {order.order_no}
    assert shop.record(order) == set()
    assert _sold(shop, campaign) == (1, 10_000, 1_000)
    shop.refund(order.order_no, {1: 4_000})
    assert _sold(shop, campaign) == (1, 6_000, 600)
    with pytest.raises(OrderConflict):
        shop.record(replace(order, campaign="other"))


def test_a_token_that_nobody_knows_never_refuses_an_order(shop: Broadcasting) -> None:
    campaign = shop.start(shop.campaign())
    order = replace(shop.order("ben", 10_000), campaign="nobody-knows")
    assert shop.record(order) == {order.order_no}
    assert _sold(shop, campaign) == (0, 0, 0)
    with pytest.raises(Invalid):
        shop.record(replace(shop.order("ben", 100), campaign="x" * 65))


def test_after_its_days_an_order_is_not_the_broadcasts(shop: Broadcasting) -> None:
    shop.change(campaign_window_days=2)
    campaign = shop.start(shop.campaign())
    token = _token(shop, campaign)
    ben = shop.id_of("ben")
    shop.do(lambda s: attribution.click(s, shop.account.id, token, shop.now, ben))
    shop.later(days=2, hours=1)
    shop.record(replace(shop.order("ben", 500), campaign=token))
    shop.pay("ben", 700)
    assert _sold(shop, campaign) == (0, 0, 0)


def test_what_a_member_buys_after_a_click_is_of_the_last_click(shop: Broadcasting) -> None:
    first, second = (shop.start(shop.campaign()) for _ in range(2))
    ben = shop.id_of("ben")
    shop.pay("ben", 50)  # before any click
    for campaign in (first, second):
        token = _token(shop, campaign)
        shop.later(hours=1)
        shop.do(lambda s, t=token: attribution.click(s, shop.account.id, t, shop.now, ben))  # type: ignore[misc]
        shop.do(lambda s, t=token: attribution.click(s, shop.account.id, t, shop.now, ben))  # type: ignore[misc]
        shop.later(hours=1)
        shop.pay("ben", 1_000)
    assert _sold(shop, first) == (1, 1_000, 100)
    assert _sold(shop, second) == (1, 1_000, 100)
    explicit = replace(shop.order("ben", 300), campaign=_token(shop, first))
    shop.record(explicit)
    assert _sold(shop, first) == (2, 1_300, 130)  # what the shop says counts before the click
    assert _sold(shop, second) == (1, 1_000, 100)
    assert len(shop.look(lambda s: attribution.orders_of(s, first.id))) == 2
    ids = [one for one, _ in shop.look(lambda s: attribution.orders_of(s, first.id, limit=1))]
    rest = shop.look(lambda s: attribution.orders_of(s, first.id, after_id=ids[0]))
    assert len(rest) == 1


def test_a_voided_commission_is_not_the_broadcasts_cost(shop: Broadcasting) -> None:
    campaign = shop.start(shop.campaign())
    order = replace(shop.order("ben", 10_000), campaign=_token(shop, campaign))
    shop.later(minutes=1)
    shop.record(replace(order, paid_at=shop.now + timedelta(0)))
    shop.refund(order.order_no, {1: 10_000})
    assert _sold(shop, campaign) == (1, 0, 0)
