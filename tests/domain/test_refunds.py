"""退款: partly, several times, early, late, too much; and who bears a shortfall."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import alerts, ledger, notices, outbox, proof, refunds
from domain.errors import Invalid, RefundConflict, RefundTooLarge
from domain.models import Audit, Outbox, Posting, Refund
from domain.refunds import Refunding, Taken
from tests.domain.world import World


@pytest.fixture
def chain(world: World) -> World:
    """ann → bob → cai → dan."""
    world.people("ann", "bob", "cai", "dan")
    return world


def taken(world: World, refund: Refund) -> list[Taken]:
    return world.look(lambda s: refunds.taken_by(s, refund.id))


# --- before settlement ----------------------------------------------------------------------------------------------


def test_part_of_a_line_voids_the_same_part_on_every_level(chain: World) -> None:
    order = chain.pay("dan", 2997)
    refund = chain.refund(order, {1: 1000})
    assert chain.left(order) == [199, 99, 39]  # of the 19.97 yuan that are left
    assert chain.states(order) == ["frozen"] * 3
    assert [(one.level, one.amount_fen, one.from_bucket) for one in taken(chain, refund)] == [
        (1, 100, "frozen"),
        (2, 50, "frozen"),
        (3, 20, "frozen"),
    ]
    assert chain.frozen("cai") == 199
    chain.check()


def test_full_refund_voids_everything(chain: World) -> None:
    order = chain.pay("dan", 2997, 5)
    chain.refund(order, {1: 2997, 2: 5})
    assert chain.left(order) == [0, 0, 0]  # the line of 5 fen earned nobody
    assert chain.states(order) == ["voided"] * 3
    cai = chain.summary("cai").levels[1]
    assert (cai.earned_fen, cai.frozen_fen, cai.refunded_fen, cai.net_spent_fen) == (0, 0, 3002, 0)
    chain.check()


def test_shipping_refund_touches_no_commission(chain: World) -> None:
    order = chain.pay("dan", 10_000, shipping_fen=800)
    refund = chain.refund(order, {}, shipping_fen=800)
    assert (refund.status, taken(chain, refund)) == (refunds.APPLIED, [])
    assert chain.left(order) == [1000, 500, 200]
    with pytest.raises(RefundTooLarge):
        chain.refund(order, {}, shipping_fen=1)
    chain.check()


@pytest.mark.parametrize("parts", list(itertools.permutations((1, 998, 1001))))
def test_parts_in_any_order_end_at_the_same_amounts(chain: World, parts: tuple[int, ...]) -> None:
    order = chain.pay("dan", 2997)
    for part in parts:
        chain.refund(order, {1: part})
    assert chain.left(order) == [99, 49, 19]
    chain.refund(order, {1: 997})
    assert chain.left(order) == [0, 0, 0]
    chain.check()


def test_refund_too_small_to_move_a_fen_is_recorded_and_takes_nothing(chain: World) -> None:
    order = chain.pay("dan", 10_009)
    refund = chain.refund(order, {1: 5})
    assert (refund.status, taken(chain, refund)) == (refunds.APPLIED, [])
    assert chain.stored(order).refunded_fen == 5
    chain.check()


def test_everybody_who_loses_is_told_once_a_refund(chain: World) -> None:
    order = chain.pay("dan", 10_000, 10_000)
    chain.refund(order, {1: 10_000, 2: 5_000})
    told = chain.told("cai", notices.COMMISSION_VOIDED)
    assert len(told) == 1
    assert '"amount_fen":1500' in told[0].params


# --- after settlement -----------------------------------------------------------------------------------------------


def test_refund_after_settlement_claws_back_every_level(chain: World) -> None:
    order = chain.pay_and_settle("dan", 10_000)
    refund = chain.refund(order, {1: 10_000})
    assert [one.from_bucket for one in taken(chain, refund)] == ["available"] * 3
    assert chain.states(order) == ["clawed_back"] * 3
    assert [chain.available(name) for name in ("cai", "bob", "ann")] == [0, 0, 0]
    assert len(chain.told("cai", notices.COMMISSION_CLAWED_BACK)) == 1
    chain.check()


def test_part_before_and_part_after_settlement_add_up(chain: World) -> None:
    order = chain.pay("dan", 2997)
    chain.refund(order, {1: 1000})
    chain.complete(order)
    chain.later(days=8)
    chain.settle()
    assert chain.available("cai") == 199
    chain.refund(order, {1: 1000})
    assert (chain.left(order), chain.states(order)) == ([99, 49, 19], ["settled"] * 3)
    assert chain.available("cai") == 99
    chain.refund(order, {1: 997})
    assert chain.available("cai") == 0
    chain.check()


def test_one_order_with_settled_and_frozen_lines_takes_each_from_its_bucket(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    other = chain.pay("dan", 10_000)
    chain.complete(order)
    chain.later(days=8)
    chain.settle()
    chain.refund(order, {1: 5_000})
    chain.refund(other, {1: 5_000})
    assert (chain.available("cai"), chain.frozen("cai")) == (500, 500)
    chain.check()


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(
    ("lines", "shipping"), [({1: 10_001}, 0), ({1: 1, 2: 5_001}, 0), ({3: 1}, 0), ({1: 1}, 801)]
)
def test_more_than_was_paid_is_refused_and_leaves_nothing(
    chain: World, lines: dict[int, int], shipping: int, settled: bool
) -> None:
    order = chain.pay("dan", 10_000, 5_000, shipping_fen=800)
    if settled:
        chain.complete(order)
        chain.later(days=8)
        chain.settle()
    with pytest.raises(RefundTooLarge):
        chain.refund(order, lines, shipping_fen=shipping)
    assert chain.look(lambda s: s.scalar(select(func.count()).select_from(Refund))) == 0
    assert chain.stored(order).refunded_fen == 0
    chain.check()


def test_second_refund_may_take_only_what_the_first_left(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    chain.refund(order, {1: 9_999})
    with pytest.raises(RefundTooLarge):
        chain.refund(order, {1: 2})
    chain.refund(order, {1: 1})
    assert chain.left(order) == [0, 0, 0]
    chain.check()


@pytest.mark.parametrize(
    "refund",
    [
        Refunding("A1", "R1", {}),
        Refunding("A1", "R1", {1: 0}),
        Refunding("A1", "R1", {1: -5}),
        Refunding("A1", "R1", {1: 5}, -1),
        Refunding("A1", "退款一", {1: 5}),
        Refunding("订单", "R1", {1: 5}),
        Refunding("A1", "R" * 65, {1: 5}),
    ],
)
def test_refund_that_no_shop_can_mean_is_refused(chain: World, refund: Refunding) -> None:
    chain.pay("dan", 10_000, no="A1")
    with pytest.raises(Invalid):
        chain.do(lambda s: refunds.record(s, chain.account, refund, chain.now))


def test_same_refund_again_is_the_first_answer(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    first = chain.refund(order, {1: 4_000}, no="R1")
    again = chain.refund(order, {1: 4_000}, no="R1")
    assert (again.id, again.status) == (first.id, refunds.APPLIED)
    assert chain.stored(order).refunded_fen == 4_000
    chain.check()


def test_same_number_with_other_content_is_a_conflict(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    chain.refund(order, {1: 4_000}, no="R1")
    with pytest.raises(RefundConflict):
        chain.refund(order, {1: 4_001}, no="R1")
    assert chain.left(order) == [600, 300, 120]
    chain.check()


def test_same_refund_number_of_another_order_is_another_refund(chain: World) -> None:
    one, two = chain.pay("dan", 10_000), chain.pay("dan", 10_000)
    assert chain.refund(one, {1: 100}, no="R1").id != chain.refund(two, {1: 100}, no="R1").id


# --- before the payment is known ------------------------------------------------------------------------------------


def test_refund_before_its_order_is_parked_and_applied_with_the_payment(chain: World) -> None:
    refund = chain.refund("A1", {1: 4_000}, no="R1")
    assert refund.status == refunds.PARKED
    assert chain.refund("A1", {1: 4_000}, no="R1").status == refunds.PARKED
    chain.pay("dan", 10_000, no="A1")
    assert chain.refund("A1", {1: 4_000}, no="R1").status == refunds.APPLIED
    assert chain.left("A1") == [600, 300, 120]
    chain.check()


def test_several_parked_refunds_are_applied_each(chain: World) -> None:
    chain.refund("A1", {1: 4_000})
    chain.refund("A2", {1: 10_000}, shipping_fen=5)
    chain.refund("A1", {1: 6_000})
    chain.record(
        chain.order("dan", 10_000, no="A1"), chain.order("cai", 10_000, no="A2", shipping_fen=5)
    )
    assert (chain.left("A1"), chain.left("A2")) == ([0, 0, 0], [0, 0])
    chain.check()


def test_parked_refund_of_more_than_is_paid_is_refused_and_noted_but_the_payment_stands(
    chain: World,
) -> None:
    chain.refund("A1", {1: 4_000}, no="fits")
    chain.refund("A1", {1: 10_000}, no="too large")
    chain.refund("A1", {1: 6_000}, no="fits too")
    chain.pay("dan", 10_000, no="A1")
    stored = chain.look(lambda s: {row.refund_no: row.status for row in s.scalars(select(Refund))})
    assert stored == {"fits": "applied", "too large": "refused", "fits too": "applied"}
    assert chain.left("A1") == [0, 0, 0]
    noted = chain.look(lambda s: s.scalars(select(Audit)).one())
    assert (noted.action, noted.subject) == ("refund_refused", f"order/{chain.stored('A1').id}")
    chain.check()


def test_staff_hear_of_a_parked_refund_that_is_refused_once(chain: World) -> None:
    chain.refund("no-later", {1: 4_000}, no="r-large")
    order = chain.order("dan", 1_000, no="no-later")
    chain.record(order)
    chain.record(order)
    query = select(Outbox.payload).where(Outbox.topic == outbox.ALERT)
    (payload,) = chain.look(lambda s: list(s.scalars(query)))
    told = json.loads(payload)
    assert told["kind"] == alerts.REFUND_REFUSED
    assert told["evidence"] == {"order_no": "no-later", "refund_no": "r-large", "goods_fen": 4_000}


def test_refused_refund_never_takes_anything_from_an_order_that_finds_its_buyer_later(
    world: World,
) -> None:
    world.people("ann")
    applied = world.refund("A1", {1: 4_000})
    refused = world.refund("A1", {1: 10_000})
    world.pay("dan", 10_000, no="A1")
    world.follow("dan", "ann")
    world.attach("dan")
    assert world.left("A1") == [600]
    assert [one.amount_fen for one in taken(world, applied)] == [400]
    assert taken(world, refused) == []
    world.check()


def test_parked_refund_waits_for_the_order_of_its_own_account(chain: World) -> None:
    other = World.create(chain.database, "coffee")
    refund = other.refund("A1", {1: 4_000}, no="R1")
    chain.pay("dan", 10_000, no="A1")
    assert chain.left("A1") == [1000, 500, 200]
    again = other.refund("A1", {1: 4_000}, no="R1")
    assert (again.id, again.status) == (refund.id, refunds.PARKED)


# --- who bears a shortfall ------------------------------------------------------------------------------------------


PAID_OUT = {
    ("withdraw", ledger.AVAILABLE, ledger.WITHDRAWING),
    ("pay_out", ledger.WITHDRAWING, ledger.CASH),
}


@pytest.fixture
def spend(chain: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """spend("cai", 700): the member was paid that much, by postings like those of a withdrawal."""
    monkeypatch.setattr(proof, "LEGAL_MOVES", proof.LEGAL_MOVES | PAID_OUT)

    def pay_out(name: str, fen: int) -> None:
        member_id = chain.id_of(name)
        entries = [
            ledger.Entry(
                f"{reason}-of-{member_id}",
                chain.account.id,
                member_id,
                source,
                destination,
                fen,
                reason,
            )
            for reason, source, destination in sorted(PAID_OUT)
        ]

        def write(session: Session) -> None:
            ledger.post(session, entries, chain.now)
            ledger.fold_into_balances(session, entries)

        chain.do(write)

    return pay_out


def absorbed(world: World) -> int:
    """What the merchant gave up, in fen."""
    query = select(func.sum(Posting.amount_fen)).where(Posting.reason == "absorb")
    return int(world.look(lambda s: s.scalar(query)) or 0)


@pytest.mark.parametrize(
    ("settings", "available", "merchant_gives"),
    [
        ({"shortfall": "debt"}, -700, 0),
        ({"shortfall": "capped", "debt_cap_fen": 200}, -200, 500),
        ({"shortfall": "capped", "debt_cap_fen": 5_000}, -700, 0),
        ({"shortfall": "absorbed"}, 0, 700),
    ],
)
def test_shortfall_is_borne_as_the_account_says(
    chain: World,
    spend: Callable[[str, int], None],
    settings: dict[str, object],
    available: int,
    merchant_gives: int,
) -> None:
    chain.change(**settings)
    order = chain.pay_and_settle("dan", 10_000)
    spend("cai", 700)
    chain.refund(order, {1: 10_000})
    assert chain.available("cai") == available
    assert absorbed(chain) == merchant_gives
    assert [chain.available(name) for name in ("bob", "ann")] == [0, 0]
    chain.check()


def test_debt_is_filled_by_the_next_settlement(
    chain: World, spend: Callable[[str, int], None]
) -> None:
    order = chain.pay_and_settle("dan", 10_000)
    spend("cai", 1_000)
    chain.refund(order, {1: 10_000})
    assert chain.available("cai") == -1_000
    chain.pay_and_settle("dan", 15_000)
    assert chain.available("cai") == 500
    chain.check()


def test_absorbing_never_forgives_an_older_debt(
    chain: World, spend: Callable[[str, int], None]
) -> None:
    one, two = chain.pay_and_settle("dan", 10_000), chain.pay_and_settle("dan", 10_000)
    spend("cai", 2_000)
    chain.refund(one, {1: 10_000})
    chain.change(shortfall="absorbed")
    chain.refund(two, {1: 10_000})
    assert (chain.available("cai"), absorbed(chain)) == (-1_000, 1_000)
    chain.check()


def test_shortfall_of_a_member_who_lost_two_lines_is_absorbed_once(
    chain: World, spend: Callable[[str, int], None]
) -> None:
    chain.change(shortfall="absorbed")
    order = chain.pay_and_settle("dan", 10_000, 10_000)
    spend("cai", 1_500)
    chain.refund(order, {1: 10_000, 2: 10_000})
    assert (chain.available("cai"), absorbed(chain)) == (0, 1_500)
    chain.check()
