"""What a rule can say beyond rates: caps, grades of products, freeze days of grades, and who may earn at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from domain import products, promoters, rules
from domain.errors import Conflict, Invalid
from domain.models import Audit, Member
from domain.money import share
from domain.rules import PlanLine, Terms, Upline, plan
from tests.domain.world import START, World


def give_grade(world: World, name: str, grade: str) -> None:
    def write(session: Session) -> None:
        session.get_one(Member, world.id_of(name)).grade = grade
        session.flush()

    world.do(write)


def publish(world: World, **more: Any) -> None:
    world.do(
        lambda s: rules.add(
            s, world.account.id, max_total_bps=3000, depth=3, effective_at=START - timedelta(days=1), actor="test",
            now=world.now, **{"terms": Terms((1000, 500, 200)), **more},
        )
    )  # fmt: skip


# --- the cap of a commission ----------------------------------------------------------------------------------------


def test_cap_bounds_every_commission_by_itself(chain: World) -> None:
    publish(chain, cap_fen=800)
    order = chain.pay("dan", 10_000, 5_000)
    assert [one.amount_fen for one in chain.commissions(order)] == [800, 500, 200, 500, 250, 100]


def test_capped_commission_shrinks_only_when_the_rest_earns_less(chain: World) -> None:
    publish(chain, cap_fen=800)
    order = chain.pay("dan", 10_000)
    chain.refund(order, {1: 1_500})  # 10 % of 85.00 is still above the cap
    assert chain.left(order)[0] == 800
    chain.refund(order, {1: 1_500})
    assert chain.left(order)[0] == 700
    chain.refund(order, {1: 7_000})
    assert chain.left(order) == [0, 0, 0]


def test_partial_refunds_of_a_capped_commission_end_where_one_refund_does(chain: World) -> None:
    publish(chain, cap_fen=777)
    one, many = chain.pay("dan", 9_999), chain.pay("dan", 9_999)
    chain.refund(one, {1: 5_001})
    for fen in (1, 1_000, 3_333, 667):
        chain.refund(many, {1: fen})
    assert chain.left(one) == chain.left(many)


# --- grades ---------------------------------------------------------------------------------------------------------


def test_product_may_pay_a_grade_its_own_rates(chain: World) -> None:
    give_grade(chain, "cai", "gold")
    terms = Terms((300, 200, 100), grades=(("gold", Terms((900, 0, 0))),))
    chain.do(
        lambda s: products.put(
            s, chain.account, "tea", name="茶", price_fen=100, terms=terms, now=chain.now
        )
    )
    order = chain.pay("dan", 10_000, skus=("tea",))
    assert [one.amount_fen for one in chain.commissions(order)] == [900, 200, 100]


def test_later_grade_does_not_change_an_order_that_was_paid(chain: World) -> None:
    publish(chain, grades={"gold": Terms((1500, 500, 200))})
    order = chain.pay("dan", 10_000)
    give_grade(chain, "cai", "gold")
    assert chain.left(order)[0] == 1_000
    assert chain.left(chain.pay("dan", 10_000))[0] == 1_500


def test_grades_of_a_product_cannot_together_exceed_the_cap() -> None:
    mixed = Terms((2000, 500, 0), grades=(("gold", Terms((500, 2000, 0))),))
    with pytest.raises(Invalid):
        mixed.check(3000)


def test_grade_may_be_paid_sooner(chain: World) -> None:
    publish(chain, grade_freeze_days={"gold": 1})
    give_grade(chain, "cai", "gold")
    order = chain.pay("dan", 10_000)
    chain.complete(order)
    chain.later(days=2)
    assert chain.settle() == 1
    assert chain.states(order) == ["settled", "frozen", "frozen"]
    chain.later(days=6)
    assert chain.settle() == 2


def test_grade_may_be_paid_sooner_also_when_the_freeze_starts_with_payment(chain: World) -> None:
    chain.change(freeze_from="paid")
    publish(chain, grade_freeze_days={"gold": 1})
    give_grade(chain, "ben", "gold")
    order = chain.pay("dan", 10_000)
    chain.later(days=2)
    chain.settle()
    assert chain.states(order) == ["frozen", "settled", "frozen"]


def test_buyer_of_a_grade_earns_its_rate_on_their_own_order(chain: World) -> None:
    publish(chain, self_purchase=True, grades={"gold": Terms((1500, 500, 200))})
    give_grade(chain, "dan", "gold")
    order = chain.pay("dan", 10_000)
    assert [one.amount_fen for one in chain.commissions(order)] == [1_500, 500, 200]


def test_plan_never_pays_more_than_the_terms_of_the_line_allow() -> None:
    version = rules.draft(
        terms=Terms((1000, 500, 200)), max_total_bps=3000, depth=3, effective_at=START,
        grades={"gold": Terms((1200, 600, 300))},
    )  # fmt: skip
    chain = [Upline(1, 1, "gold"), Upline(2, 2), Upline(3, 3, "gold")]
    line = PlanLine(1, 99_999)
    paid = sum(one.amount_fen for one in plan(version, 9, chain, [line]))
    assert paid <= version.most_fen(line) == share(99_999, 2100)


# --- who may earn ---------------------------------------------------------------------------------------------------


def approve(world: World, name: str) -> None:
    world.do(
        lambda s: promoters.approve(
            s, world.account.id, world.id_of(name), actor="staff/1", now=world.now
        )
    )


def test_only_approved_promoters_earn_where_the_account_says_so(chain: World) -> None:
    chain.change(qualification="approved")
    approve(chain, "ben")
    order = chain.pay("dan", 10_000)
    assert chain.nobody(order) == [rules.NOT_QUALIFIED, "", rules.NOT_QUALIFIED]


def test_first_order_makes_a_promoter(chain: World) -> None:
    chain.change(qualification="first_order")
    chain.pay("cai", 100)
    order = chain.pay("dan", 10_000)
    assert chain.nobody(order) == ["", rules.NOT_QUALIFIED, rules.NOT_QUALIFIED]


def test_order_that_makes_a_promoter_does_not_pay_them_itself(chain: World) -> None:
    chain.change(qualification="first_order")
    publish(chain, self_purchase=True)
    assert chain.nobody(chain.pay("dan", 10_000))[0] == rules.NOT_QUALIFIED
    assert chain.nobody(chain.pay("dan", 10_000))[0] == ""


def test_promoter_has_to_spend_enough_after_refunds(chain: World) -> None:
    chain.change(qualification="spent", qualification_spent_fen=5_000)
    first = chain.pay("cai", 5_000)
    assert chain.nobody(chain.pay("dan", 10_000))[0] == ""
    chain.refund(first, {1: 1})
    assert chain.nobody(chain.pay("dan", 10_000))[0] == rules.NOT_QUALIFIED


def test_approved_promoter_qualifies_under_every_policy(chain: World) -> None:
    approve(chain, "cai")
    for policy in ("approved", "first_order", "spent"):
        chain.change(qualification=policy, qualification_spent_fen=1_000_000)
        assert chain.nobody(chain.pay("dan", 1_000))[0] == ""


def test_qualification_is_what_it_was_when_the_order_was_paid(chain: World) -> None:
    chain.change(qualification="approved")
    order = chain.pay("dan", 10_000)
    approve(chain, "cai")
    assert chain.nobody(order)[0] == rules.NOT_QUALIFIED
    assert chain.commissions(order) == []


def test_suspended_promoter_earns_nothing_more_and_keeps_what_they_have(chain: World) -> None:
    before = chain.pay("dan", 10_000)
    chain.do(
        lambda s: promoters.suspend(
            s, chain.account.id, chain.id_of("cai"), actor="staff/1", reason="核实资料", now=chain.now
        )
    )  # fmt: skip
    assert chain.nobody(chain.pay("dan", 10_000))[0] == rules.SUSPENDED
    assert chain.left(before)[0] == 1_000
    chain.do(
        lambda s: promoters.reinstate(
            s, chain.account.id, chain.id_of("cai"), actor="staff/1", now=chain.now
        )
    )
    assert chain.nobody(chain.pay("dan", 10_000))[0] == ""
    assert len(chain.told("cai", "promoter_suspended")) == 1
    assert len(chain.told("cai", "promoter_reinstated")) == 1


def test_suspended_buyer_does_not_earn_by_their_own_order(chain: World) -> None:
    publish(chain, self_purchase=True)
    chain.suspend("dan")
    assert chain.nobody(chain.pay("dan", 10_000)) == [rules.SUSPENDED, "", ""]


# --- applying -------------------------------------------------------------------------------------------------------


def test_application_is_asked_once_decided_once_and_told(chain: World) -> None:
    def ask(message: str) -> int:
        return chain.do(
            lambda s: (
                promoters.apply(
                    s, s.get_one(Member, chain.id_of("cai")), message=message, now=chain.now
                ).id
            )
        )

    assert ask("我有很多朋友") == ask("再问一次")
    waiting = chain.look(lambda s: promoters.waiting(s, chain.account.id))
    assert [one.message for one in waiting] == ["我有很多朋友"]
    approve(chain, "cai")
    approve(chain, "cai")
    assert chain.look(lambda s: promoters.waiting(s, chain.account.id)) == []
    assert len(chain.told("cai", "promoter_approved")) == 1
    actions = chain.look(lambda s: list(s.scalars(select(Audit.action))))
    assert actions.count("promoter_approved") == 1
    with pytest.raises(Conflict):
        ask("again")


def test_rejected_member_may_ask_again(chain: World) -> None:
    member_id = chain.id_of("cai")

    def ask() -> None:
        chain.do(lambda s: promoters.apply(s, s.get_one(Member, member_id), now=chain.now))

    ask()
    with pytest.raises(Invalid):
        chain.do(
            lambda s: promoters.reject(s, chain.account.id, member_id, actor="staff/1", reason=" ", now=chain.now)
        )  # fmt: skip
    chain.do(
        lambda s: promoters.reject(s, chain.account.id, member_id, actor="staff/1", reason="资料不全", now=chain.now)
    )  # fmt: skip
    assert chain.member("cai").promoter == "rejected"
    ask()
    assert len(chain.look(lambda s: promoters.waiting(s, chain.account.id))) == 1


# --- the hot path ---------------------------------------------------------------------------------------------------


def statements_of_an_order(world: World) -> int:
    """How many statements recording one more order of a known buyer takes."""
    world.pay("dan", 100)
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        if not arguments[2].upper().startswith(("SAVEPOINT", "RELEASE", "BEGIN")):
            seen.append(arguments[2])

    event.listen(world.database.engine, "before_cursor_execute", note)
    try:
        world.pay("dan", 10_000)
    finally:
        event.remove(world.database.engine, "before_cursor_execute", note)
    return len(seen)


def test_accrual_asks_nothing_more_where_nothing_is_configured(chain: World) -> None:
    plain = statements_of_an_order(chain)
    assert plain >= 6  # the counter sees the hot path
    for name in ("ann", "ben", "cai"):
        approve(chain, name)
    for policy in ("approved", "first_order"):
        chain.change(qualification=policy)
        assert statements_of_an_order(chain) == plain
    chain.change(qualification="spent", qualification_spent_fen=1_000_000)
    assert statements_of_an_order(chain) == plain + 1
    chain.change(qualification="everyone", registration_reward_fen=100)
    publish(
        chain, cap_fen=800, grades={"gold": Terms((1500, 500, 200))}, grade_freeze_days={"gold": 1}
    )
    assert statements_of_an_order(chain) == plain
