"""When a notice may leave, and what is merged: worked out from the notice and the account's choices alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain import manners, notices
from domain.accounts import Settings
from domain.china import CHINA
from domain.outbox import Claimed

NOON = datetime(2026, 11, 25, 12, tzinfo=CHINA)  # a Wednesday


def settings(**chosen: Any) -> Settings:
    return Settings.parse(chosen)


def accrued(level: int = 1, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    return {
        "occasion": notices.COMMISSION_ACCRUED, "level": level, "at": at.isoformat(), "friend": "小红",
        "amount_fen": 100, "order_no": "N1", **more,
    }  # fmt: skip


def row(number: int, payload: dict[str, Any]) -> Claimed:
    return Claimed(number, 1, 7, "notice", f"notice-k{number}", payload, 1, NOON)


@pytest.mark.parametrize(
    ("hour", "until"),
    [(21, None), (22, "2026-11-26 08"), (23, "2026-11-26 08"), (0, "2026-11-25 08"), (7, "2026-11-25 08"), (8, None)],
)  # fmt: skip
def test_quiet_hours_reach_over_midnight_of_beijing(hour: int, until: str | None) -> None:
    end = manners.quiet_end(
        settings(quiet_from=22, quiet_until=8), NOON.replace(hour=hour).astimezone(UTC)
    )
    assert (end and f"{end.astimezone(CHINA):%Y-%m-%d %H}") == until


def test_account_without_quiet_hours_has_none() -> None:
    assert manners.quiet_end(settings(quiet_from=5, quiet_until=5), NOON.replace(hour=5)) is None


def test_withdrawals_are_told_at_night() -> None:
    night = NOON.replace(hour=23)
    chosen = settings(quiet_from=22, quiet_until=8)
    paid = {"occasion": notices.WITHDRAWAL_PAID, "at": night.isoformat()}
    assert manners.due_at(chosen, paid, night) == night
    assert manners.due_at(chosen, accrued(at=night), night) > night


def test_levels_two_and_three_wait_for_the_digest_and_level_one_does_not() -> None:
    chosen = settings(digest="daily", digest_hour=20)
    assert manners.due_at(chosen, accrued(1), NOON) == NOON
    for level in (2, 3):
        assert manners.due_at(chosen, accrued(level), NOON) == NOON.replace(hour=20)
    late = NOON.replace(hour=21)
    assert manners.due_at(chosen, accrued(2, late), late) == late.replace(day=26, hour=20)


def test_weekly_digest_is_on_mondays_and_its_hour_never_in_the_quiet_ones() -> None:
    chosen = settings(digest="weekly", digest_hour=20, quiet_from=19, quiet_until=9)
    due = manners.due_at(chosen, accrued(3), NOON)
    assert due.astimezone(CHINA) == datetime(2026, 12, 1, 9, tzinfo=CHINA)  # Monday 20:00 is quiet


def test_digest_that_is_due_goes_out_whenever_its_worker_comes() -> None:
    chosen = settings(digest="daily", digest_hour=20)
    tomorrow = NOON.replace(day=26)
    assert manners.due_at(chosen, accrued(2), tomorrow) == tomorrow


def test_damaged_notice_is_never_held_back() -> None:
    chosen = settings(digest="daily")
    for broken in ({}, {"occasion": 3}, accrued(2, at=NOON) | {"at": "yesterday"}):
        assert manners.due_at(chosen, broken, NOON) >= NOON
    assert manners.due_at(chosen, {}, NOON) == NOON


def test_merged_message_names_what_it_stands_for_and_has_one_key() -> None:
    rows = [row(number, accrued(amount_fen=100 * number)) for number in (1, 2, 3)]
    message = manners.merged(manners.COMMISSIONS, rows, NOON)
    assert message.payload["amount_fen"] == 600
    assert message.payload["count"] == 3
    assert message.payload["parts"] == ["k1", "k2", "k3"]
    assert message.key == manners.merged(manners.COMMISSIONS, rows, NOON.replace(hour=13)).key
    assert message.key != manners.merged(manners.COMMISSIONS, rows[:2], NOON).key


def test_nothing_is_merged_where_the_merchant_does_not_want_it() -> None:
    assert manners.family_of(settings(merge_seconds=0), accrued()) is None
    assert manners.family_of(settings(), accrued()) == manners.COMMISSIONS
    assert manners.family_of(settings(digest="daily"), accrued(2)) == manners.DIGEST
