"""对账单: every posting, balances that run, links to what it belongs to, and a file that Excel cannot run."""

from __future__ import annotations

import csv
import io

import pytest

from domain import members, sheets, statements, withdrawals
from domain.statements import Line
from tests.domain.world import World


def whole(world: World, name: str) -> list[Line]:
    member_id = world.id_of(name)
    return world.look(lambda s: list(statements.stream(s, member_id)))


def withdraw(world: World, name: str, amount_fen: int, token: str = "t1") -> int:
    return world.do(
        lambda s: withdrawals.request(
            s, world.account, members.get(s, world.account.id, name), amount_fen,
            client_token=token, audited=True, now=world.now,
        ).id
    )  # fmt: skip


@pytest.fixture
def story(world: World) -> World:
    """ann earns three times: settled and partly taken back, voided, still frozen; and asks for money once."""
    world.people("ann", "bob")
    first = world.pay_and_settle("bob", 10_000)
    world.refund(first, {1: 5000}, no="r-first")
    second = world.pay("bob", 2000)
    world.refund(second, {1: 2000})
    world.pay("bob", 3000, no="12345678901234567890")
    withdraw(world, "ann", 200)
    return world


def test_running_balances_end_at_the_balances_of_the_member(story: World) -> None:
    lines = whole(story, "ann")
    assert [line.reason for line in lines] == [
        "accrue", "settle", "clawback", "accrue", "void", "accrue", "hold"
    ]  # fmt: skip
    summary = story.summary("ann")
    last = lines[-1]
    assert (last.available_fen, last.withdrawing_fen) == (
        summary.available_fen,
        summary.withdrawing_fen,
    )
    assert last.frozen_fen == summary.total.frozen_fen == 300
    assert [line.available_fen for line in lines] == [0, 1000, 500, 500, 500, 500, 300]
    story.check()


def test_lines_lead_to_order_commission_refund_and_withdrawal(story: World) -> None:
    lines = whole(story, "ann")
    first = lines[0].order_no
    commission = story.commissions(first or "")[0].id
    assert [line.commission_id for line in lines[:3]] == [commission] * 3
    assert [line.order_no for line in lines[:3]] == [first] * 3
    assert lines[2].refund_no == "r-first"
    assert lines[5].order_no == "12345678901234567890"
    assert lines[6].payout_no is not None
    assert (lines[0].line_no, lines[0].level) == (1, 1)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_newest_first_say_the_same_as_the_whole(story: World, limit: int) -> None:
    member_id = story.id_of("ann")
    pages: list[Line] = []

    def following() -> list[Line]:
        before = pages[-1].id if pages else None
        return story.look(lambda s: statements.page(s, member_id, before_id=before, limit=limit))

    while more := following():
        pages += more
    assert pages[::-1] == whole(story, "ann")


def test_chunks_of_the_stream_join_without_a_seam(
    story: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(story, "ann")
    monkeypatch.setattr(statements, "CHUNK", 2)
    assert whole(story, "ann") == expected


def test_file_opens_in_excel_and_holds_every_line(story: World) -> None:
    member_id = story.id_of("ann")
    content = story.look(lambda s: b"".join(statements.as_csv(s, member_id)))
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == list(statements.HEADINGS)
    assert len(rows) == 8
    assert rows[3][3] == "-5.00"
    assert rows[6][8] == "12345678901234567890\t"
    assert rows[7][6:8] == ["3.00", "2.00"]


@pytest.mark.parametrize(
    "words", ["=1+1", "+86", "-cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1", "　=1"]
)
def test_words_that_excel_would_calculate_become_text(words: str) -> None:
    assert sheets.text(words) == "'" + words


def test_statement_of_somebody_without_money_is_empty(world: World) -> None:
    world.follow("ann")
    assert whole(world, "ann") == []
    member_id = world.id_of("ann")
    assert world.look(lambda s: statements.page(s, member_id)) == []
