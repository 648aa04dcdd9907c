"""统计: days that can be computed again and again, rankings with one's own place, and the compliance record."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from domain import audit, glance, reports
from domain.db import Database
from domain.models import Daily
from domain.reports import ALL, EARNED, MONTH, PEOPLE, WEEK
from tests.domain.world import World

MONDAY = date(2026, 3, 2)


@pytest.fixture
def shop(live_database: Database) -> World:
    """A world with real commits, on Monday 2 March 2026, 16:00 in China."""
    world = World.create(live_database)
    world.now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    return world


def roll(world: World, *days: date) -> int:
    return sum(reports.roll_up(world.database, world.account.id, day) for day in days)


def figures(world: World, name: str, day: date) -> dict[int, dict[str, int]]:
    """Level → what the day brought this member; only what is not zero."""
    member_id = world.id_of(name) if name else 0
    rows = world.look(lambda s: reports.of_member(s, world.account.id, member_id, day, day))
    return {row.level: shown(row) for row in rows}


def shown(row: Daily) -> dict[str, int]:
    return {name: value for name in reports.FIGURES if (value := getattr(row, name))}


def test_day_has_people_orders_and_commissions_of_every_level(shop: World) -> None:
    shop.people("ann", "bob", "cai")
    shop.pay("cai", 10_000)
    roll(shop, MONDAY)
    assert figures(shop, "bob", MONDAY) == {
        1: {"people": 1, "orders": 1, "spent_fen": 10_000, "accrued_fen": 1000}
    }
    assert figures(shop, "ann", MONDAY) == {
        1: {"people": 1},
        2: {"people": 1, "orders": 1, "spent_fen": 10_000, "accrued_fen": 500},
    }
    assert figures(shop, "", MONDAY) == {
        0: {"people": 3, "orders": 1, "spent_fen": 10_000, "accrued_fen": 1500},
        1: {"people": 2, "orders": 1, "spent_fen": 10_000, "accrued_fen": 1000},
        2: {"people": 1, "orders": 1, "spent_fen": 10_000, "accrued_fen": 500},
    }
    by_level = shop.look(lambda s: reports.by_level(s, shop.account.id, MONDAY, MONDAY))
    assert by_level[1]["accrued_fen"] == 1000
    shop.check()


def test_settlement_void_and_clawback_count_on_their_own_days(shop: World) -> None:
    shop.people("ann", "bob")
    first, second = shop.pay("bob", 10_000), shop.pay("bob", 2000)
    shop.complete(first)
    shop.later(days=1)
    shop.refund(second, {1: 2000})
    shop.later(days=7)
    shop.settle()
    shop.later(days=1)
    shop.refund(first, {1: 5000})
    days = [MONDAY + timedelta(days=number) for number in range(10)]
    roll(shop, *days)
    assert figures(shop, "ann", days[1]) == {1: {"refunded_fen": 2000, "voided_fen": 200}}
    assert figures(shop, "ann", days[8]) == {1: {"settled_fen": 1000}}
    assert figures(shop, "ann", days[9]) == {1: {"refunded_fen": 5000, "clawed_fen": 500}}
    shop.check()


def test_days_are_those_of_beijing(shop: World) -> None:
    shop.people("ann", "bob")
    late = datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC)
    shop.now = late
    shop.pay("bob", 100_00, paid_at=late)
    shop.now = late + timedelta(seconds=1)
    shop.pay("bob", 200_00, paid_at=shop.now)
    roll(shop, MONDAY, MONDAY + timedelta(days=1))
    assert figures(shop, "ann", MONDAY)[1]["spent_fen"] == 100_00
    assert figures(shop, "ann", MONDAY + timedelta(days=1))[1]["spent_fen"] == 200_00


def test_day_computed_again_changes_nothing_and_mends_what_was_damaged(shop: World) -> None:
    shop.people("ann", "bob")
    shop.pay("bob", 10_000)
    assert roll(shop, MONDAY) > 0
    assert roll(shop, MONDAY) == 0
    before = figures(shop, "ann", MONDAY)
    shop.do(lambda s: s.connection().exec_driver_sql("UPDATE daily SET orders = 9"))
    shop.do(
        lambda s: s.connection().exec_driver_sql(
            "UPDATE daily SET level = 3 WHERE level = 1"  # a row that should not be there
        )
    )
    roll(shop, MONDAY)
    assert figures(shop, "ann", MONDAY) == before


def test_order_reported_days_late_makes_its_day_due(shop: World) -> None:
    shop.people("ann", "bob")
    friday = shop.now - timedelta(days=3)
    shop.pay("bob", 10_000, paid_at=friday)
    days = shop.look(lambda s: reports.due_days(s, shop.account.id, shop.now))
    assert days == [date(2026, 2, 27), date(2026, 3, 1), MONDAY]


def test_days_that_nobody_counted_are_counted_when_somebody_counts_again(shop: World) -> None:
    shop.people("ann", "bob")
    reports.refresh(shop.database, shop.account.id, shop.now)
    glance.count(shop.database, shop.account.id, shop.now)
    shop.pay("bob", 10_000)
    shop.now += timedelta(days=1)
    shop.pay("bob", 20_000)
    shop.now += timedelta(days=7)
    reports.refresh(shop.database, shop.account.id, shop.now)
    whole = [figures(shop, "", day)[0] for day in (MONDAY, MONDAY + timedelta(days=1))]
    assert [(day["orders"], day["spent_fen"]) for day in whole] == [(1, 10_000), (1, 20_000)]


def test_rebinding_does_not_rewrite_yesterdays_orders(shop: World) -> None:
    shop.people("ann", "bob")
    shop.people("eve")
    shop.pay("bob", 10_000)
    shop.bind("bob", "eve")
    roll(shop, MONDAY)
    assert figures(shop, "ann", MONDAY)[1]["orders"] == 1
    assert figures(shop, "eve", MONDAY) == {1: {"people": 1}}


# --- rankings -------------------------------------------------------------------------------------------------------


def standing(world: World, name: str, metric: str, period: str) -> reports.Place | None:
    member_id = world.id_of(name)
    return world.look(
        lambda s: reports.standing(s, world.account.id, member_id, metric, period, world.now)
    )


def friends_buy(world: World, referrer: str, amount_fen: int) -> None:
    friend = f"{referrer}-{int(world.now.timestamp())}"
    world.follow(friend, referrer)
    world.pay(friend, amount_fen)


def test_place_and_change_since_the_week_before(shop: World) -> None:
    for name in ("ann", "bob", "cai", "dan"):
        shop.follow(name)
    friends_buy(shop, "ann", 30_000)
    friends_buy(shop, "bob", 20_000)
    friends_buy(shop, "cai", 20_000)
    reports.refresh(shop.database, shop.account.id, shop.now)
    assert standing(shop, "cai", EARNED, WEEK) == reports.Place(2, 2000, 3, None)  # shared
    shop.later(days=7)
    friends_buy(shop, "cai", 50_000)
    friends_buy(shop, "ann", 10_000)
    reports.refresh(shop.database, shop.account.id, shop.now)
    assert standing(shop, "cai", EARNED, WEEK) == reports.Place(1, 5000, 2, 1)
    assert standing(shop, "ann", EARNED, WEEK) == reports.Place(2, 1000, 2, -1)
    assert standing(shop, "bob", EARNED, WEEK) == reports.Place(None, 0, 2, None)
    assert standing(shop, "cai", EARNED, MONTH) == reports.Place(1, 7000, 3, None)
    assert standing(shop, "ann", PEOPLE, ALL) == reports.Place(1, 2, 3, None)
    shop.check()


def test_leaders_are_real_people_and_no_suspended_ones(shop: World) -> None:
    """A peer pads its leaderboard with invented names (peers.md 1f)."""
    for name in ("ann", "bob"):
        shop.follow(name)
        friends_buy(shop, name, 10_000)
    shop.suspend("bob")
    reports.refresh(shop.database, shop.account.id, shop.now)
    found = shop.look(lambda s: reports.leaders(s, shop.account.id, EARNED, WEEK, shop.now))
    assert [(one.place, one.member_id, one.value) for one in found] == [
        (1, shop.id_of("ann"), 1000)
    ]


def test_no_ranking_before_the_first_edition(shop: World) -> None:
    shop.follow("ann")
    assert standing(shop, "ann", EARNED, WEEK) is None
    assert shop.look(lambda s: reports.leaders(s, shop.account.id, EARNED, WEEK, shop.now)) == []


def test_new_edition_replaces_the_old_one_and_one_that_was_broken_off(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "CHUNK", 1)
    for name in ("ann", "bob", "cai"):
        shop.follow(name)
        friends_buy(shop, name, 10_000)
    roll(shop, MONDAY)

    def edition() -> int:
        return reports.make_board(shop.database, shop.account.id, EARNED, WEEK, MONDAY, shop.now)

    edition()
    broken = shop.do(
        lambda s: reports._new_board(s, shop.account.id, EARNED, WEEK, MONDAY, shop.now)
    )
    assert broken
    assert standing(shop, "ann", EARNED, WEEK) == reports.Place(1, 1000, 3, None)
    edition()
    count = shop.look(
        lambda s: s.connection().exec_driver_sql("SELECT COUNT(*), COUNT(DISTINCT board_id) FROM standing").one()
    )  # fmt: skip
    assert tuple(count) == (3, 1)


@pytest.mark.parametrize(
    ("name", "shown"), [("王小明", "王**"), ("会员·ABCDEFG", "会员·**FG"), ("a", "a**")]
)
def test_names_on_a_ranking_are_masked(name: str, shown: str) -> None:
    assert reports.masked(name) == shown


# --- compliance -----------------------------------------------------------------------------------------------------


def record(world: World) -> list[dict[str, object]]:
    lines = world.look(
        lambda s: list(
            reports.as_lines(
                reports.compliance(
                    s, world.account, world.now - timedelta(days=30), world.now + timedelta(days=1), world.now
                )
            )
        )
    )  # fmt: skip
    end = json.loads(lines[-1])
    assert end["sha256"] == hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    assert end["entries"] == len(lines) - 1
    return [json.loads(line) for line in lines]


def test_compliance_record_names_rules_changes_and_long_chains(shop: World) -> None:
    shop.change(chain_people_alert=4)
    shop.people("ann", "bob", "cai", "dan")
    for name in ("x1", "x2"):
        shop.follow(name, "cai")
    for name in ("y1", "y2", "y3", "y4", "y5", "y6"):
        shop.follow(name, "dan")  # dan: many people, but no three levels
    shop.do(
        lambda s: audit.record(
            s, shop.account.id, actor="staff/1", action="settings_changed", subject="account/1",
            before={"depth": 2}, after={"depth": 3}, now=shop.now,
        )
    )  # fmt: skip
    entries = record(shop)
    assert entries[0]["depth"] == 3
    assert [one["entry"] for one in entries].count("rule") == 1
    assert [one["action"] for one in entries if one["entry"] == "audit"] == ["settings_changed"]
    chains = {one["openid"]: one["levels"] for one in entries if one["entry"] == "chain"}
    assert chains == {"ann": [1, 1, 3], "bob": [1, 3, 6]}
