"""Every query that people or jobs wait for uses an index, on both engines, with some thousand rows and statistics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from domain import (
    accounts,
    code_stats,
    codes,
    commissions,
    consents,
    disputes,
    dryrun,
    explain,
    holds,
    ledger,
    members,
    notices,
    orders,
    outbox,
    promoters,
    referrals,
    refunds,
    reports,
    risk,
    sessions,
    statements,
    withdrawals,
)
from domain.db import Database, Sql
from domain.models import (
    Account,
    Balance,
    Base,
    Commission,
    Dispute,
    Hold,
    Member,
    Notice,
    Order,
    Outbox,
    Posting,
    Refund,
    Relation,
    RiskSignal,
    Tally,
    Withdrawal,
)
from tests.domain.statements import plan_of, recorded
from tests.domain.world import KEYRING, START, open_account
from tests.support.databases import Schemas

PEOPLE = 1_500
ORDERS = 3_000


def _people(account_id: int) -> list[dict[str, Any]]:
    """Everybody has ten friends: member n came by member n // 10."""
    return [
        {
            "id": n, "account_id": account_id, "openid": f"o-{n}", "code": f"c-{n}", "referrer_id": n // 10 or None,
            "unionid": f"u-{n}", "status": "active", "joined_at": START,
        }
        for n in range(1, PEOPLE)
    ]  # fmt: skip


def _closure() -> list[dict[str, int]]:
    return [
        {"ancestor_id": n // 10**level, "level": level, "descendant_id": n}
        for n in range(1, PEOPLE)
        for level in (1, 2, 3)
        if n // 10**level
    ]


def _orders(account_id: int) -> list[dict[str, Any]]:
    """Nearly all completed; a few unpaid, and a few that wait for their buyer."""
    return [
        {
            "id": n, "account_id": account_id, "order_no": f"A{n}", "content_hash": "h", "channel": "api",
            "status": "unpaid" if n % 100 == 0 else "completed",
            "member_id": None if n % 50 == 1 else n % (PEOPLE - 1) + 1,
            "buyer_openid": f"b-{n}", "buyer_unionid": f"v-{n}", "paid_fen": 100,
            "paid_at": START, "created_at": START + timedelta(minutes=n),
        }
        for n in range(1, ORDERS)
    ]  # fmt: skip


def _commissions(account_id: int) -> list[dict[str, Any]]:
    return [
        {
            "id": n, "account_id": account_id, "kind": "order", "order_id": n, "line_no": 1, "level": 1,
            "member_id": n % (PEOPLE - 1) + 1, "base_fen": 100, "rate_bps": 1000, "amount_fen": 10,
            "status": "frozen" if n % 20 == 0 else "settled", "due_at": START + timedelta(minutes=n),
            "created_at": START,
        }
        for n in range(1, ORDERS)
    ]  # fmt: skip


def _messages(account_id: int) -> list[dict[str, Any]]:
    return [
        {
            "id": n, "account_id": account_id, "member_id": 1, "topic": "notice" if n % 3 else "poster",
            "dedupe_key": f"k-{n}", "payload": "{}", "state": "pending" if n % 30 == 0 else "done",
            "next_at": START + timedelta(minutes=n), "created_at": START, "lease_token": f"t-{n}",
            "provider_msg_id": f"p-{n}",
        }
        for n in range(1, ORDERS)
    ]  # fmt: skip


def _fill(session: Session, account_id: int) -> None:
    numbers = range(1, ORDERS)
    at = {"account_id": account_id, "created_at": START}
    rows: dict[Any, list[dict[str, Any]]] = {
        Member: _people(account_id),
        Relation: _closure(),
        Order: _orders(account_id),
        Commission: _commissions(account_id),
        Outbox: _messages(account_id),
        Balance: [{"member_id": n, "account_id": account_id} for n in range(1, PEOPLE)],
        Tally: [{"member_id": n % 100 + 1, "level": n % 3 + 1, "people": 1} for n in numbers],
        Notice: [
            {"member_id": n % 100 + 1, "occasion": "x", "notice_key": f"n-{n}", "params": "{}", **at}
            for n in numbers
        ],
        Posting: [
            {
                "posting_key": f"p-{n}", "account_id": account_id, "member_id": n % 100 + 1, "source": "commission",
                "destination": "frozen", "amount_fen": 1, "reason": "accrue", "at": START,
            }
            for n in numbers
        ],
        RiskSignal: [
            {
                "account_id": account_id, "signal_key": f"s-{n}", "kind": "churn", "member_id": n % 100 + 1,
                "evidence": "{}", "holds": True, "status": "open" if n % 9 == 0 else "released", "raised_at": START,
                "expires_at": START,
            }
            for n in numbers
        ],
        Hold: [
            {
                "account_id": account_id, "commission_id": n, "member_id": n % 100 + 1, "signal_id": n // 3 + 1,
                "reason": "risk-churn", "actor": "risk", "at": START, "outcome": "open",
            }
            for n in numbers
        ],
        Refund: [
            {
                "order_no": f"A{n}", "refund_no": f"R{n}", "order_id": n, "content_hash": "h", "status": "applied",
                "goods_fen": 1, **at,
            }
            for n in numbers
        ],
    }  # fmt: skip
    for table, values in rows.items():
        session.execute(insert(table), values)


@pytest.fixture(scope="session")
def _filled() -> dict[str, Database]:
    return {}


@pytest.fixture
def filled(schemas: Schemas, engine_name: str, _filled: dict[str, Database]) -> Database:
    """One account, filled once for each engine and analysed; the tests only read."""
    if engine_name not in _filled:
        database = Database(schemas.fresh(engine_name, "plans"))
        account = open_account(database)
        database.transact(lambda s: _fill(s, account.id))
        with database.engine.begin() as connection:
            if database.is_sqlite:
                connection.execute(text("ANALYZE"))
            else:
                names = ", ".join(f"`{name}`" for name in Base.metadata.tables)
                connection.execute(text(f"ANALYZE TABLE {names}"))
        _filled[engine_name] = database
    return _filled[engine_name]


LATER = START + timedelta(minutes=400)
SPEND = (
    "SELECT SUM(o.paid_fen - o.refunded_fen) FROM relation r JOIN orders o ON o.member_id = r.descendant_id"
    " WHERE r.ancestor_id = ? {level} AND o.status IN ('paid', 'completed')"
)
SPEND_OF_ONE_LEVEL = Sql(SPEND.format(level="AND r.level = 2"))
SPEND_OF_ALL_LEVELS = Sql(SPEND.format(level=""))

Ask = Callable[[Session, accounts.OpenAccount], Any]
QUERIES: dict[str, Ask] = {
    "people of one level": lambda s, a: members.downline(s, 5, 2, after_id=510),
    "uplines of a member": lambda s, a: members.uplines(s, 1234),
    "spend of one level": lambda s, a: SPEND_OF_ONE_LEVEL(s, 5).all(),
    "spend of all levels": lambda s, a: SPEND_OF_ALL_LEVELS(s, 5).all(),
    "the chat's one read": lambda s, a: members.summary(s, a.id, "o-7"),
    "orders that wait for a buyer": lambda s, a: orders._waiting_for(
        s, a, s.get_one(Member, 5), LATER
    ),
    "orders without a buyer": lambda s, a: orders.waiting(s, a, LATER, 100),
    "refunds without an order": lambda s, a: refunds.parked(s, a.id, LATER, 100),
    "strangers who joined meanwhile": lambda s, a: orders._joined_meanwhile(
        s, a, [orders.Buyer("o-9"), orders.Buyer(unionid="u-9")]
    ),
    "buyers of a batch": lambda s, a: orders._buyers(
        s, a, [orders.Buyer(f"o-{n}") for n in range(5, 50)]
    ),
    "an order by its number": lambda s, a: orders.get(s, a.id, "A77"),
    "parked refunds of a batch": lambda s, a: refunds._PARKED_LOCKED.among(
        s, (a.id, "parked"), ["A5", "A6", "A7"]
    ).all(),
    "what settlement claims": lambda s, a: commissions._DUE(
        s, a.id, "frozen", "2026-03-01 09:00:00", 5
    ).all(),
    "commissions of a member": lambda s, a: commissions.of_member(s, 7, before_id=2_000),
    "a page of commissions": lambda s, a: explain.entries(s, 7, before_id=2_000),
    "a page of commissions of one state": lambda s, a: explain.entries(s, 7, status="frozen"),
    "the latest people of one level": lambda s, a: members.newest_downline(s, 5, 2, before_id=540),
    "what the people of a page spent": lambda s, a: promoters.spent_by(s, [5, 6, 7]),
    "withdrawals of a member": lambda s, a: withdrawals.of_member(s, 7, before_id=2_000),
    "records of a page of members": lambda s, a: withdrawals.records_of(s, [5, 6, 7]),
    "open withdrawals by state": lambda s, a: withdrawals.open_sums(s, a.id),
    "withdrawals with an alarm": lambda s, a: withdrawals.alarm_count(s, a.id),
    "what a withdrawal moved": lambda s, a: withdrawals.postings_of(s, Withdrawal(id=7)),
    "the story of a withdrawal": lambda s, a: withdrawals.story_of(
        s, Withdrawal(id=7, account_id=a.id)
    ),
    "signals of a page of members": lambda s, a: risk.kinds_about(s, [5, 6, 7]),
    "what signals hold": lambda s, a: holds.sums_of_signals(s, [5, 6, 7]),
    "holds of a signal": lambda s, a: holds.of_signal(s, 7),
    "whom a dispute may be about": lambda s, a: disputes.candidates(
        s, Dispute(account_id=a.id, member_id=5), LATER
    ),
    "when WeChat verified the address": lambda s, a: accounts.verified_at(s, a.id),
    "who is signed in": lambda s, a: sessions.find(s, a.id, "t" * 43, LATER),
    "a link that waits": lambda s, a: referrals.take(s, a.id, "o-7", LATER),
    "what a member agreed to": lambda s, a: consents.find(s, 7, "text"),
    "commissions of an order": lambda s, a: commissions.of_order(s, 7),
    "statement of a member": lambda s, a: ledger.statement(s, 7, before_id=2_000),
    "inbox of a member": lambda s, a: notices.latest_of(s, 7),
    "what a drain claims": lambda s, a: outbox.claim(s, "notice", LATER, limit=5),
    "the rows of a lease": lambda s, a: outbox.claimed(s, "t-7"),
    "topics that are due": lambda s, a: outbox.due_topics(s, LATER),
    "a page of codes": lambda s, a: codes.page(s, a.id, after_scene=5),
    "names of codes to choose from": lambda s, a: codes.names(s, a.id, limit=5),
    "codes that lapse": lambda s, a: codes._DUE(s, "2026-03-01 09:00:00", 5).all(),
    "figures of a page of codes": lambda s, a: code_stats.sums(
        s, a.id, code_stats.CODE, [1, 2, 3], LATER.date(), LATER.date()
    ),
    "who came by some codes": lambda s, a: code_stats._people(s, [1, 2, 3]),
    "orders of one state": lambda s, a: s.scalars(
        select(Order)
        .where(Order.account_id == a.id, Order.status == "unpaid")
        .order_by(Order.paid_at.desc(), Order.id.desc())
        .limit(50)
    ).all(),
    "days of which orders came late": lambda s, a: reports.due_days(s, a.id, LATER),
    "what each level brought": lambda s, a: reports.by_level(s, a.id, START.date(), LATER.date()),
    "balances after an early posting": lambda s, a: statements.balances_after(s, 7, 100),
    "balances after a late posting": lambda s, a: statements.balances_after(s, 7, 2_900),
    "a chunk of a dry run": lambda s, a: list(islice(dryrun.replay(s, a.id, START, LATER), 9)),
    "what was said last in some disputes": lambda s, a: disputes.last_words(s, {1, 2, 3}),
    "the row of a delivery": lambda s, a: outbox.delivered(s, a.id, "p-7", "success", LATER),
}


@pytest.mark.parametrize("name", QUERIES)
def test_query_uses_an_index(filled: Database, name: str) -> None:
    with Session(filled.engine, autoflush=False) as session:
        account = accounts.unseal(session.get_one(Account, 1), KEYRING)
        with recorded() as sent:
            QUERIES[name](session, account)
        asked = [one for one in sent if one.text.startswith(("SELECT", "UPDATE"))]
        assert asked, "nothing was asked"
        steps = {one.text: plan_of(session, one) for one in asked}
        session.rollback()
    assert {query: plan for query, plan in steps.items() if "SCANNED" in str(plan)} == {}
    assert all(steps.values())


def test_a_query_without_an_index_would_be_seen(filled: Database) -> None:
    with Session(filled.engine) as session, recorded() as sent:
        session.execute(text("SELECT COUNT(*) FROM orders WHERE content_hash = 'x'"))
        assert "SCANNED" in str(plan_of(session, sent[-1]))


def test_settlement_reads_its_index_in_order(filled: Database) -> None:
    """No sorting of everything that is due before the first 500 of it."""
    with Session(filled.engine) as session, recorded() as sent:
        commissions._DUE(session, 1, "frozen", "2026-03-02 00:00:00", 5).all()
        explain = "EXPLAIN QUERY PLAN" if filled.is_sqlite else "EXPLAIN"
        connection = session.connection()
        shown = str(
            connection.exec_driver_sql(f"{explain} {sent[-1].text}", sent[-1].parameters).all()
        )
    assert "filesort" not in shown
    assert "TEMP B-TREE" not in shown
    assert "account_id_status_due_at_id" in shown
