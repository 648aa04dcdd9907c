"""订单: recorded exactly once, for buyers we know, buyers we do not know yet, and batches of both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from domain import members, notices, products, rules
from domain.db import Database
from domain.errors import Invalid, NotFound, OrderConflict
from domain.models import Commission, Event, Order, OrderLine, Outbox, Posting
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.rules import Terms
from tests.domain.world import START, World


@pytest.fixture
def chain(world: World) -> World:
    """ann → bob → cai → dan."""
    world.people("ann", "bob", "cai", "dan")
    return world


def rows(world: World, table: Any) -> int:
    return world.look(lambda s: s.scalar(select(func.count()).select_from(table))) or 0


def put(world: World, sku: str, terms: Terms | None) -> None:
    world.do(
        lambda s: products.put(
            s, world.account, sku, name="茶", price_fen=100, terms=terms, now=world.now
        )
    )


# --- one order ------------------------------------------------------------------------------------------------------


def test_paid_order_accrues_on_three_levels(chain: World) -> None:
    order = chain.pay("dan", 2997, shipping_fen=1000)
    assert [(one.level, one.amount_fen, one.status) for one in chain.commissions(order)] == [
        (1, 299, "frozen"),
        (2, 149, "frozen"),
        (3, 59, "frozen"),
    ]
    assert [chain.frozen(name) for name in ("cai", "bob", "ann")] == [299, 149, 59]
    assert chain.available("cai") == 0
    chain.check()


def test_spend_of_each_level_and_of_all(chain: World) -> None:
    chain.pay("bob", 10_000)
    chain.pay("cai", 20_000)
    chain.pay("dan", 30_000)
    chain.pay("dan", 5_000)
    ann = chain.summary("ann")
    assert [ann.levels[n].spent_fen for n in (1, 2, 3)] == [10_000, 20_000, 35_000]
    assert [ann.levels[n].orders for n in (1, 2, 3)] == [1, 1, 2]
    assert ann.total.spent_fen == 65_000
    assert (chain.summary("cai").total.spent_fen, chain.summary("dan").total.spent_fen) == (
        35_000,
        0,
    )
    chain.check()


def test_pool_of_twenty_percent_shared_50_30_20(chain: World) -> None:
    put(chain, "tea-1", Terms((5000, 3000, 2000), pool_bps=2000))
    order = chain.pay("dan", 10_001, 10_000, skus=["tea-1", "unknown"])
    assert chain.left(order) == [1000, 600, 400, 1000, 500, 200]
    chain.refund(order, {1: 5_000})
    assert chain.left(order)[:3] == [500, 300, 200]  # of the 50.01 yuan that are left
    chain.check()


def test_other_terms_of_a_product_hold_for_later_orders_only(chain: World) -> None:
    put(chain, "tea-1", Terms((3000,)))
    before = chain.pay("dan", 10_000, skus=["tea-1"])
    put(chain, "tea-1", None)
    after = chain.pay("dan", 10_000, skus=["tea-1"])
    assert (chain.left(before), chain.left(after)) == ([3000], [1000, 500, 200])
    chain.refund(before, {1: 5_000})
    assert chain.left(before) == [1500]
    chain.check()


def test_rule_of_the_payment_decides_not_the_newest(chain: World) -> None:
    chain.rule((2000,), effective_at=START + timedelta(days=10))
    chain.later(days=20)
    old = chain.pay("dan", 10_000, paid_at=START + timedelta(days=9))
    new = chain.pay("dan", 10_000)
    assert (chain.left(old), chain.left(new)) == ([1000, 500, 200], [2000])
    chain.check()


def test_order_paid_before_the_first_rule_earns_nobody_and_says_so(chain: World) -> None:
    order = chain.pay("dan", 10_000, paid_at=START - timedelta(days=900))
    assert (chain.left(order), chain.nobody(order)) == ([], [rules.NO_RULE])
    assert chain.summary("cai").levels[1].spent_fen == 10_000
    chain.check()


def test_suspended_upline_earns_nothing_and_the_order_remembers_why(chain: World) -> None:
    chain.suspend("bob")
    order = chain.pay("dan", 10_000)
    assert [one.level for one in chain.commissions(order)] == [1, 3]
    assert chain.nobody(order) == ["", rules.SUSPENDED, ""]
    chain.check()


def test_self_purchase_pays_the_buyer_first(chain: World) -> None:
    chain.rule(self_purchase=True)
    order = chain.pay("dan", 10_000)
    earners = [chain.id_of(name) for name in ("dan", "cai", "bob")]
    assert [one.member_id for one in chain.commissions(order)] == earners
    assert chain.summary("dan").levels[1].earned_fen == 1000
    chain.refund(order, {1: 4_000})
    chain.check()


def test_grades_of_several_uplines_together_stay_under_the_cap(world: World) -> None:
    """Gold 30 % on level 1 and silver 30 % on level 2 are each within 30 %; an order under both would pay 60 %."""
    with pytest.raises(Invalid):
        world.rule((100,), grades={"gold": Terms((3000,)), "silver": Terms((0, 3000))})
    world.rule((1000, 500), grades={"gold": Terms((2000, 500)), "silver": Terms((1500, 1000))})


def test_everybody_who_earns_is_told_once_an_order(chain: World) -> None:
    chain.pay("dan", 10_000, 20_000, 30_000)
    told = chain.told("cai", notices.COMMISSION_ACCRUED)
    assert len(told) == 1
    assert '"amount_fen":6000' in told[0].params
    query = select(Outbox.dedupe_key).where(Outbox.dedupe_key == f"notice-{told[0].notice_key}")
    assert chain.look(lambda s: s.scalar(query))


# --- exactly once ---------------------------------------------------------------------------------------------------


def test_same_report_again_changes_nothing(chain: World) -> None:
    order = chain.order("dan", 2997, 100)
    assert chain.record(order) == {order.order_no}
    before = [
        rows(chain, table) for table in (Order, OrderLine, Commission, Posting, Event, Outbox)
    ]
    chain.later(hours=5)
    assert chain.record(order) == set()
    assert [
        rows(chain, table) for table in (Order, OrderLine, Commission, Posting, Event, Outbox)
    ] == before
    chain.check()


def test_lines_in_another_order_and_another_time_zone_are_the_same_report(chain: World) -> None:
    order = chain.order("dan", 2997, 100)
    from_shanghai = order.paid_at.astimezone(tz=__import__("zoneinfo").ZoneInfo("Asia/Shanghai"))
    same = PaidOrder(order.order_no, order.buyer, order.lines[::-1], from_shanghai)
    chain.record(order)
    assert chain.record(same) == set()


@pytest.mark.parametrize("kind", ["amount", "buyer", "lines", "shipping"])
def test_other_content_under_a_known_number_is_a_conflict_and_changes_nothing(
    chain: World, kind: str
) -> None:
    chain.pay("dan", 10_000, no="A1")
    other = {
        "amount": chain.order("dan", 10_001, no="A1", paid_at=START),
        "buyer": chain.order("cai", 10_000, no="A1"),
        "lines": chain.order("dan", 5_000, 5_000, no="A1"),
        "shipping": chain.order("dan", 10_000, no="A1", shipping_fen=1),
    }[kind]
    with pytest.raises(OrderConflict):
        chain.record(chain.order("dan", 700), other)
    assert rows(chain, Order) == 1
    chain.check()


def test_batch_with_new_orders_repeats_and_the_same_order_twice(chain: World) -> None:
    known = chain.order("dan", 10_000)
    chain.record(known)
    one, two, stranger = (
        chain.order("dan", 100),
        chain.order("bob", 20_000),
        chain.order("who", 900),
    )
    assert chain.record(one, known, two, one, stranger) == {
        one.order_no,
        two.order_no,
        stranger.order_no,
    }
    assert chain.record(one, known, two, stranger) == set()
    assert rows(chain, Order) == 4
    chain.check()


def test_batch_with_one_number_and_two_contents_is_refused_whole(chain: World) -> None:
    with pytest.raises(OrderConflict):
        chain.record(chain.order("dan", 100, no="A1"), chain.order("dan", 200, no="A1"))
    assert rows(chain, Order) == 0


def test_five_hundred_orders_in_one_batch(chain: World) -> None:
    names = ("dan", "cai", "bob", "ann")
    batch = [chain.order(names[n % 4], 1000 + n, 50) for n in range(500)]
    assert len(chain.record(*batch)) == 500
    assert chain.summary("ann").total.orders == 375
    chain.check()


@pytest.mark.parametrize(
    "order",
    [
        PaidOrder("A1", Buyer("dan"), (), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶", 1, 1), PaidLine(1, "茶", 1, 1)), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶", 1, -1),), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶", 0, 1),), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶", 1, 10**11),), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶", 1, 1),), START, -1),
        PaidOrder("A1", Buyer(), (PaidLine(1, "茶", 1, 1),), START),
        PaidOrder("A1", Buyer("dan", app_id="wx-foreign"), (PaidLine(1, "茶", 1, 1),), START),
        PaidOrder("订单一", Buyer("dan"), (PaidLine(1, "茶", 1, 1),), START),
        PaidOrder("A" * 65, Buyer("dan"), (PaidLine(1, "茶", 1, 1),), START),
        PaidOrder("A1", Buyer("🌳"), (PaidLine(1, "茶", 1, 1),), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶", 1, 1, "货号"),), START),
        PaidOrder("A1", Buyer("dan"), (PaidLine(1, "茶" * 191, 1, 1),), START),
    ],
)
def test_order_that_no_shop_can_mean_is_refused(chain: World, order: PaidOrder) -> None:
    with pytest.raises(Invalid):
        chain.record(order)
    assert rows(chain, Order) == 0


@pytest.mark.parametrize("number", ["A1", "订单一", "🌳", "A" * 300])
def test_unknown_order_is_not_found_whatever_its_name(chain: World, number: str) -> None:
    with pytest.raises(NotFound):
        chain.stored(number)


def test_same_number_in_two_accounts_is_two_orders(chain: World, database: Database) -> None:
    other = World.create(database, "coffee")
    other.people("dan", "eve")
    assert chain.pay("dan", 100, no="A1") == other.pay("eve", 10_000, no="A1")
    assert chain.stored("A1").paid_fen == 100
    assert other.left("A1") == [1000]
    chain.check()


# --- who buys for the first time ------------------------------------------------------------------------------------


def test_buyer_counts_once_however_many_orders_and_batches(chain: World) -> None:
    chain.record(chain.order("dan", 100), chain.order("dan", 200))
    chain.pay("dan", 300)
    assert [chain.summary(name).total.buyers for name in ("cai", "bob", "ann")] == [1, 1, 1]
    chain.check()


def test_one_new_buyer_named_in_two_ways_in_a_batch_counts_once(chain: World) -> None:
    chain.do(lambda s: members.set_unionid(s, chain.id_of("dan"), "union-dan"))
    chain.record(chain.order("dan", 100), chain.order(Buyer(unionid="union-dan"), 200))
    assert chain.summary("cai").levels[1].buyers == 1
    assert chain.summary("cai").levels[1].orders == 2
    chain.check()


def test_repeat_of_an_order_that_never_found_its_buyer_makes_nobody_a_buyer(world: World) -> None:
    world.people("ann")
    order = world.order("dan", 10_000)
    world.record(order)
    world.later(days=30)
    world.follow("dan", "ann")  # too late for the order
    assert world.attach("dan") == 0
    assert world.record(order) == set()
    assert world.member("dan").first_paid_at is None
    assert world.summary("ann").levels[1].buyers == 0
    world.check()


def test_repeat_in_a_batch_makes_nobody_a_buyer_either(world: World) -> None:
    world.people("ann")
    order = world.order("dan", 10_000)
    world.record(order)
    world.later(days=30)
    world.follow("dan", "ann")
    world.follow("eve", "ann")
    assert len(world.record(order, world.order("eve", 100))) == 1
    assert world.summary("ann").levels[1].buyers == 1
    world.check()


# --- buyers we do not know yet --------------------------------------------------------------------------------------


def test_order_of_a_stranger_waits_and_is_attached_when_they_follow(world: World) -> None:
    world.people("ann", "bob")
    order = world.pay("dan", 10_000)
    assert world.nobody(order) == [rules.BUYER_UNKNOWN] * 3
    world.check()
    world.follow("dan", "bob")
    assert world.attach("dan") == 1
    assert world.left(order) == [1000, 500]
    assert world.summary("bob").levels[1].buyers == 1
    assert world.attach("dan") == 0
    world.check()


def test_several_waiting_orders_count_one_buyer(world: World) -> None:
    world.people("ann")
    world.record(world.order("dan", 100), world.order("dan", 10_000), world.order("eve", 10_000))
    world.follow("dan", "ann")
    assert world.attach("dan") == 2
    figures = world.summary("ann").levels[1]
    assert (figures.buyers, figures.orders, figures.spent_fen) == (1, 2, 10_100)
    world.check()


def test_order_waits_only_for_the_days_of_the_account(world: World) -> None:
    world.people("ann")
    world.pay("dan", 10_000)
    world.later(days=16)
    world.follow("dan", "ann")
    assert world.attach("dan") == 0
    world.check()


def test_attached_order_follows_the_rule_of_its_payment_and_the_binding_of_today(
    world: World,
) -> None:
    world.people("ann")
    order = world.pay("dan", 10_000)
    world.rule((2000,), effective_at=world.now + timedelta(days=1))
    world.later(days=3)
    world.follow("dan", "ann")
    world.attach("dan")
    assert world.left(order) == [1000]
    world.check()


@pytest.mark.parametrize("completed_first", [True, False])
def test_attached_order_settles_after_its_completion(world: World, completed_first: bool) -> None:
    world.people("ann")
    order = world.pay("dan", 10_000)
    if completed_first:
        world.complete(order)
    world.later(days=2)
    world.follow("dan", "ann")
    world.attach("dan")
    if not completed_first:
        world.complete(order)
    world.later(days=6)
    assert world.settle() == int(completed_first)
    world.later(days=2)
    world.settle()
    assert world.available("ann") == 1000
    world.check()


def test_refunds_of_a_waiting_order_take_from_the_commissions_it_gets_later(world: World) -> None:
    world.people("ann")
    order = world.pay("dan", 10_000, 5_000)
    world.refund(order, {1: 3_333})
    world.refund(order, {2: 5_000})
    world.follow("dan", "ann")
    world.attach("dan")
    assert world.left(order) == [666, 0]
    assert world.states(order) == ["frozen", "voided"]
    assert world.summary("ann").levels[1].refunded_fen == 8_333
    world.refund(order, {1: 6_667})
    assert world.left(order) == [0, 0]
    world.check()


def test_buyer_known_by_unionid_is_attached_when_wechat_tells_it(world: World) -> None:
    world.people("ann")
    order = world.pay(Buyer(unionid="union-dan"), 10_000)
    world.follow("dan", "ann")
    assert world.attach("dan") == 0
    world.do(lambda s: members.set_unionid(s, world.id_of("dan"), "union-dan"))
    assert world.attach("dan") == 1
    assert world.left(order) == [1000]
    assert world.left(world.pay(Buyer(unionid="union-dan"), 20_000)) == [2000]
    world.check()


def test_unknown_openid_with_a_known_unionid_finds_the_buyer(world: World) -> None:
    world.people("ann", "dan")
    world.do(lambda s: members.set_unionid(s, world.id_of("dan"), "union-dan"))
    assert world.left(world.pay(Buyer("other", "union-dan"), 10_000)) == [1000]
    world.check()


def test_buyer_of_a_linked_app_is_found_by_the_openid_there(world: World) -> None:
    world.change(linked_apps=["wx-mini"])
    world.people("ann", "dan")
    waiting = world.pay(Buyer("mini-dan", app_id="wx-mini"), 10_000)
    world.do(
        lambda s: members.link_identity(
            s, world.account.id, world.id_of("dan"), "wx-mini", "mini-dan"
        )
    )
    assert world.attach("dan") == 1
    assert world.left(waiting) == [1000]
    assert world.left(world.pay(Buyer("mini-dan", app_id="wx-mini"), 20_000)) == [2000]
    assert (
        world.nobody(world.pay("mini-dan", 100)) == [rules.BUYER_UNKNOWN] * 3
    )  # not an openid of ours
    world.check()


def test_openid_of_a_linked_app_belongs_to_one_member(world: World) -> None:
    world.people("ann", "dan")

    def link(name: str) -> None:
        world.do(
            lambda s: members.link_identity(
                s, world.account.id, world.id_of(name), "wx-mini", "mini-1"
            )
        )

    link("dan")
    link("dan")
    with pytest.raises(Invalid):
        link("ann")


def test_waiting_order_of_one_openid_is_not_given_to_another(world: World) -> None:
    world.people("ann")
    world.pay("Dan", 10_000)
    world.follow("dan", "ann")
    assert world.attach("dan") == 0  # openids are case-sensitive


# --- completion -----------------------------------------------------------------------------------------------------


def due(world: World, order: str) -> list[Any]:
    return [one.due_at for one in world.commissions(order)]


def test_freeze_starts_at_completion_and_a_second_completion_changes_nothing(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    assert due(chain, order) == [None] * 3
    completed = START + timedelta(days=2, microseconds=5)
    chain.complete(order, completed)
    assert due(chain, order) == [completed + timedelta(days=7)] * 3
    chain.complete(order, completed + timedelta(days=1))
    assert due(chain, order) == [completed + timedelta(days=7)] * 3
    assert chain.stored(order).status == "completed"


def test_freeze_starts_at_payment_where_the_account_says_so(chain: World) -> None:
    chain.change(freeze_from="paid")
    paid_at = START - timedelta(days=1)
    order = chain.pay("dan", 10_000, paid_at=paid_at)
    assert due(chain, order) == [paid_at + timedelta(days=7)] * 3
    chain.complete(order)
    assert due(chain, order) == [paid_at + timedelta(days=7)] * 3


def test_completing_an_unknown_order_is_not_found(chain: World) -> None:
    with pytest.raises(NotFound):
        chain.complete("never")
