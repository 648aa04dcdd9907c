"""试算: what the past would have cost, to the fen, and that nothing is written for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import dryrun, members, products, promoters, rules
from domain.errors import Invalid
from domain.models import Base, Member
from domain.rules import RuleVersion, Terms
from tests.domain.world import START, World


def draft(*rates: int, **more: Any) -> RuleVersion:
    return rules.draft(
        **{"terms": Terms(rates), "max_total_bps": 3000, "depth": 3, "effective_at": START, **more}
    )


def run(world: World, version: RuleVersion, **more: Any) -> dict[str, Any]:
    period = {"since": START, "until": world.now + timedelta(days=1), **more}
    return world.look(lambda s: dryrun.run(s, world.account.id, version, **period))


def rows(world: World) -> dict[str, int]:
    return world.look(
        lambda s: {
            name: s.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }
    )


def test_same_terms_cost_the_same(chain: World) -> None:
    for fen in (2_997, 10_000, 1, 33):
        chain.pay("dan", fen, fen)
    result = run(chain, draft(1000, 500, 200))
    assert result["difference_fen"] == 0
    assert result["now"] == result["draft"]
    assert (result["winners"], result["losers"], result["winners_count"]) == ([], [], 0)
    assert result["now"]["cost_fen"] == sum(chain.frozen(name) for name in ("ann", "ben", "cai"))


def test_draft_says_who_wins_and_who_loses(chain: World) -> None:
    chain.pay("dan", 10_000)
    result = run(chain, draft(1500, 500, 0))
    assert result["now"]["by_level"] == {"1": 1_000, "2": 500, "3": 200}
    assert result["draft"]["by_level"] == {"1": 1_500, "2": 500}
    assert result["difference_fen"] == 300
    assert result["margin_fen"] == {"now": 8_300, "draft": 8_000}
    assert result["draft"]["cost_bps"] == 2_000
    (winner,), (loser,) = result["winners"], result["losers"]
    assert (winner["member"], winner["difference_fen"]) == (chain.id_of("cai"), 500)
    assert (loser["member"], loser["difference_fen"]) == (chain.id_of("ann"), -200)


def test_refunds_are_taken_off_both_sides(chain: World) -> None:
    order = chain.pay("dan", 10_000)
    chain.refund(order, {1: 9_999})
    result = run(chain, draft(3000))
    assert result["goods_fen"] == 1
    assert (result["now"]["cost_fen"], result["draft"]["cost_fen"]) == (0, 0)


def test_every_order_is_replayed_with_the_uplines_of_its_own_day(chain: World) -> None:
    chain.follow("eve")
    chain.pay("eve", 10_000)
    chain.bind("eve", "cai")
    result = run(chain, draft(1000))
    assert result["draft"]["cost_fen"] == 0
    assert result["draft"]["house_by_reason"] == {"no_upline": 1_000}


def test_draft_of_grades_caps_and_pools(chain: World) -> None:
    chain.do(lambda s: s.execute(update(Member).where(Member.openid == "cai").values(grade="gold")))
    chain.pay("dan", 10_000)
    graded = run(chain, draft(100, 100, 100, grades={"gold": Terms((900, 0, 0))}, cap_fen=800))
    assert graded["draft"]["by_level"] == {"1": 800, "2": 100, "3": 100}
    pooled = run(chain, draft(0, terms=Terms((5000, 3000, 2000), 2000)))
    assert pooled["draft"]["by_level"] == {"1": 1_000, "2": 600, "3": 400}


def test_product_terms_go_before_a_draft_too(chain: World) -> None:
    terms = Terms((100,))
    chain.do(
        lambda s: products.put(
            s, chain.account, "tea", name="茶", price_fen=1, terms=terms, now=chain.now
        )
    )
    chain.pay("dan", 10_000, skus=("tea",))
    assert run(chain, draft(2000))["draft"]["cost_fen"] == 100


def test_period_ends_where_it_says(chain: World) -> None:
    before = START - timedelta(microseconds=1)
    end = START + timedelta(days=1)
    for paid_at in (before, START, end - timedelta(microseconds=1), end):
        chain.pay("dan", 100, paid_at=paid_at)
    assert run(chain, draft(100), until=end)["orders"] == 2


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunks_of_any_size_see_every_order_once(
    chain: World, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dryrun, "CHUNK", chunk)
    for number in range(7):  # three of them at one instant
        chain.pay("dan", 1_000, paid_at=START + timedelta(hours=max(0, number - 2)))
    result = run(chain, draft(1000, 500, 200), until=START + timedelta(days=2))
    assert (result["orders"], result["now"]["cost_fen"]) == (7, 7 * 170)


def test_nothing_is_written(chain: World) -> None:
    chain.pay("dan", 10_000)
    before = rows(chain)
    run(chain, draft(1500, 500, 0))
    chain.look(lambda s: dryrun.house(s, chain.account.id, START, chain.now))
    assert rows(chain) == before


def test_draft_beyond_the_cap_is_refused_like_a_rule() -> None:
    with pytest.raises(Invalid):
        draft(2000, 1000, 1)


def test_house_shows_what_nobody_took_and_why(chain: World) -> None:
    chain.pay("ben", 10_000)  # nobody above ann
    chain.suspend("cai")
    chain.pay("dan", 10_000)
    chain.change(qualification="approved")
    chain.do(
        lambda s: promoters.approve(
            s, chain.account.id, chain.id_of("ann"), actor="a", now=chain.now
        )
    )
    chain.pay("cai", 10_000)
    result = chain.look(
        lambda s: dryrun.house(s, chain.account.id, START, chain.now + timedelta(days=1))
    )
    assert result["house_by_reason"] == {
        "no_upline": 500 + 200 + 200, "suspended": 1_000, "not_qualified": 1_000,
    }  # fmt: skip
    assert result["cost_fen"] + result["house_fen"] == 3 * 1_700


# --- another qualification ------------------------------------------------------------------------------------------


def run_with(world: World, policy: str, spent_fen: int = 0) -> dict[str, Any]:
    settings = replace(
        world.account.settings, qualification=policy, qualification_spent_fen=spent_fen
    )
    return run(world, draft(1000, 500, 200), qualification=settings)


def test_draft_with_another_qualification_judges_everybody_when_the_order_was_paid(
    chain: World,
) -> None:
    """cai bought between two orders of dan: by first order they would have earned by the second only."""
    chain.pay("dan", 10_000)
    chain.later(days=1)
    chain.pay("cai", 5_000)
    chain.later(days=1)
    chain.pay("dan", 20_000)
    first = run_with(chain, "first_order")
    assert first["draft"]["by_level"] == {"1": 2_000}
    assert first["draft"]["house_by_reason"]["not_qualified"] == 10_000 * 17 // 100 + 750 + 1_400
    assert run_with(chain, "spent", 5_000)["draft"]["by_level"] == {"1": 2_000}
    assert run_with(chain, "spent", 5_001)["draft"]["by_level"] == {}
    assert run_with(chain, "everyone")["difference_fen"] == 0
    assert run(chain, draft(1000, 500, 200))["qualification"] == "snapshots"
    assert first["assumes"] == list(dryrun.ASSUMES)


def test_approval_counts_from_its_decision_and_a_suspension_stays(chain: World) -> None:
    def approve(name: str, asks: bool) -> None:
        def work(session: Session) -> None:
            member = members.get(session, chain.account.id, name)
            if asks:
                promoters.apply(session, member, now=chain.now)
            promoters.approve(session, chain.account.id, member.id, actor="staff/1", now=chain.now)

        chain.do(work)

    chain.pay("dan", 10_000)
    chain.later(days=1)
    approve("cai", asks=True)
    approve("ben", asks=False)  # nobody knows since when they were meant to be one
    chain.do(
        lambda s: promoters.suspend(
            s, chain.account.id, chain.id_of("ann"), actor="staff/1", reason="核实", now=chain.now
        )
    )
    chain.later(days=1)
    chain.pay("dan", 20_000)
    result = run_with(chain, "approved")
    assert result["draft"]["by_level"] == {"1": 2_000, "2": 500 + 1_000}
    everyone = run_with(chain, "everyone")
    assert everyone["draft"]["by_level"]["3"] == 200  # of the first order only
    assert everyone["draft"]["house_by_reason"]["suspended"] == 400
