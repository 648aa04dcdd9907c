"""What goes wrong elsewhere (CRMEB, CRMEB Java, likeshop, yudao, lilishop, dub), each shown not to go wrong here."""

from __future__ import annotations

from datetime import timedelta

from domain import grades, products, promoters
from domain.rules import NOT_QUALIFIED, SUSPENDED, Terms
from tests.domain.world import START, World


def test_commission_is_on_what_was_paid_and_not_on_the_list_price(chain: World) -> None:
    """CRMEB Java pays on the list price and ignores coupons."""
    order = chain.order("dan", 6_000, shipping_fen=1_000)
    chain.record(order)
    assert chain.left(order.order_no) == [600, 300, 120]


def test_second_item_of_an_order_does_not_earn_the_first_one_again(chain: World) -> None:
    """lilishop adds a running total for every item."""
    order = chain.pay("dan", 1_000, 2_000, 3_000)
    assert sum(chain.left(order)) == 6_000 * 17 // 100


def test_settled_commission_is_taken_back_beyond_the_balance(chain: World) -> None:
    """CRMEB caps the claw-back at the balance and forgets the rest; CRMEB Java takes nothing back."""
    order = chain.pay_and_settle("dan", 10_000)
    chain.refund(order, {1: 10_000})
    assert chain.available("cai") == 0
    assert chain.states(order) == ["clawed_back"] * 3


def test_partial_refund_does_not_cancel_the_whole_commission(chain: World) -> None:
    """dub cancels it for any refund, likeshop works by whole items."""
    order = chain.pay("dan", 10_000)
    chain.refund(order, {1: 100})
    assert chain.left(order) == [990, 495, 198]


def test_refund_is_taken_at_the_rate_of_the_order_and_not_of_today(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    chain.rule((100, 100, 100), effective_at=chain.now)
    chain.refund(order, {1: 5_000})
    assert chain.left(order) == [500, 250, 100]


def test_rebinding_between_order_and_settlement_moves_no_money(chain: World) -> None:
    """yudao reads today's binding when it pays."""
    chain.follow("zoe")
    order = chain.pay("dan", 10_000)
    chain.bind("dan", "zoe")
    chain.complete(order)
    chain.later(days=8)
    chain.settle()
    assert (chain.available("cai"), chain.available("zoe")) == (1_000, 0)


def test_nothing_settles_before_the_goods_have_arrived(chain: World) -> None:
    """yudao counts the freeze period from the payment, whatever becomes of the delivery."""
    chain.pay("dan", 10_000)
    chain.later(days=365)
    assert chain.settle() == 0


def test_suspended_distributor_does_not_earn(chain: World) -> None:
    """lilishop never looks at the status."""
    chain.suspend("cai")
    assert chain.nobody(chain.pay("dan", 10_000))[0] == SUSPENDED


def test_rejected_applicant_does_not_earn(chain: World) -> None:
    chain.change(qualification="approved")
    chain.do(
        lambda s: promoters.reject(
            s, chain.account.id, chain.id_of("cai"), actor="a", reason="no", now=chain.now
        )
    )
    assert chain.nobody(chain.pay("dan", 10_000))[0] == NOT_QUALIFIED


def test_follower_who_leaves_and_follows_again_is_not_paid_for_twice(world: World) -> None:
    """The task bots never reverse a follow, and count it again."""
    world.change(registration_reward_fen=100)
    world.follow("ann")
    for _ in range(3):
        world.follow("ben", "ann")
        world.leave("ben")
    assert world.frozen("ann") == 0
    assert len(world.told("ann", "registration_reward")) == 1


def test_rate_of_a_hundredth_of_a_percent_loses_nothing_to_rounding(chain: World) -> None:
    """Others keep integer percent, floats, or four digits."""
    chain.rule((1, 0, 0), effective_at=START - timedelta(days=1))
    assert chain.left(chain.pay("dan", 29_999)) == [2]


def test_product_with_fixed_terms_does_not_hide_the_grade(chain: World) -> None:
    """A level that others compute once per product is asked for each earner."""
    chain.do(
        lambda s: grades.put(
            s,
            chain.account.id,
            "gold",
            name="黄金",
            rank=1,
            conditions=None,
            actor="a",
            now=chain.now,
        )
    )
    chain.do(
        lambda s: grades.assign(
            s, chain.account.id, chain.id_of("ann"), "gold", pinned=True, actor="a", reason="r", now=chain.now
        )
    )  # fmt: skip
    terms = Terms((100, 100, 100), grades=(("gold", Terms((0, 0, 500))),))
    chain.do(
        lambda s: products.put(
            s, chain.account, "tea", name="茶", price_fen=1, terms=terms, now=chain.now
        )
    )
    assert chain.left(chain.pay("dan", 10_000, skus=("tea",))) == [100, 100, 500]
