"""账本: the proof accepts honest books and names every kind of tampering; the database itself refuses most of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import audit, consents, disputes, proof
from domain.db import Database
from domain.models import APPEND_ONLY, GradeHistory, PermanentGrant, WithdrawalApproval
from tests.domain.world import World
from tests.support.databases import Schemas


def live_through_everything(world: World) -> None:
    """Orders in every state: frozen, settled, partly and fully taken back before and after, attached, debt absorbed."""
    world.people("ann", "bob", "cai", "dan")
    world.change(shortfall="absorbed")
    settled = world.pay_and_settle("dan", 10_000, 5_000)
    world.refund(settled, {1: 4_000})
    clawed = world.pay_and_settle("cai", 10_000)
    world.refund(clawed, {1: 10_000})
    world.pay("dan", 20_000)
    partly = world.pay("dan", 30_000)
    world.refund(partly, {1: 10_000})
    voided = world.pay("bob", 10_000)
    world.refund(voided, {1: 10_000})
    world.refund("early", {1: 100})
    world.pay("bob", 10_000, no="early")
    world.pay("eve", 10_000)
    world.follow("eve", "bob")
    world.attach("eve")
    world.pay("nobody we know", 10_000)


def test_honest_books_are_proved(world: World) -> None:
    live_through_everything(world)
    report = world.books()
    assert report.differences == []
    assert (report.counts["orders"], report.counts["commissions"]) == (8, 18)
    assert report.as_value()["ok"]


def test_proof_reads_the_books_in_chunks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "CHUNK", 3)
    live_through_everything(world)
    world.check()
    seen: list[tuple[str, int]] = []
    world.look(lambda s: proof.ledger_check(s, lambda what, done: seen.append((what, done))))
    assert len([what for what, _ in seen if what == "orders"]) == 3


# --- tampering ------------------------------------------------------------------------------------------------------


@dataclass
class Tampered:
    """Books without the triggers that protect them; each test changes them in a transaction that is rolled back."""

    world: World

    def after(self, *statements: str) -> proof.Report:
        self.world.database.memory.clear()  # a process that remembers no rule
        with self.world.database.snapshot() as session:
            for statement in statements:
                done = session.connection().exec_driver_sql(statement)
                assert done.rowcount, "nothing was tampered with"
            report = proof.ledger_check(session)
            session.rollback()
            return report


@pytest.fixture(scope="session")
def _tampered() -> dict[str, Tampered]:
    return {}


@pytest.fixture
def tampered(schemas: Schemas, engine_name: str, _tampered: dict[str, Tampered]) -> Tampered:
    """Built once for each engine: dropping a trigger commits on MariaDB, so it cannot be rolled back."""
    if engine_name not in _tampered:
        database = Database(schemas.fresh(engine_name, "tampered"))
        with database.engine.begin() as connection:
            for table in APPEND_ONLY:
                for action in ("update", "delete"):
                    connection.execute(text(f"DROP TRIGGER {table}_no_{action}"))
        world = World.create(database)
        live_through_everything(world)
        _tampered[engine_name] = Tampered(world)
    return _tampered[engine_name]


def one(table: str, where: str, column: str = "id") -> str:
    """The newest id of some rows, in a form that MySQL takes inside an UPDATE of the same table."""
    return f"(SELECT x FROM (SELECT MAX({column}) AS x FROM {table} WHERE {where}) AS t)"


POSTING = (
    "INSERT INTO posting (posting_key, account_id, member_id, source, destination, amount_fen, reason, at)"
    " SELECT '{key}', account_id, member_id, '{source}', '{destination}', 500, '{reason}', at FROM posting"
    " WHERE reason = 'settle' ORDER BY id LIMIT 1"
)
FAKE = {
    "accrue": POSTING.format(key="accrue-9-9-9", source="commission", destination="frozen", reason="accrue"),
    "absorb": POSTING.format(key="absorb-9-9", source="commission", destination="available", reason="absorb"),
    "clawback": POSTING.format(key="clawback-9-9", source="available", destination="commission", reason="clawback"),
    "gift": POSTING.format(key="gift-1", source="commission", destination="available", reason="gift"),
}  # fmt: skip
LINE = "order_id = {order} AND line_no = 1".format(
    order=one("commission", "status = 'frozen'", "order_id")
)

TAMPERING: dict[str, tuple[str, ...]] = {
    **{
        f"amount of a posting: {reason}": (
            f"UPDATE posting SET amount_fen = amount_fen + 1 WHERE id = {one('posting', f'reason = {reason!r}')}",
        )
        for reason in ("accrue", "settle", "void", "clawback")
    },
    **{
        f"deleted posting: {reason}": (
            f"DELETE FROM posting WHERE id = {one('posting', f'reason = {reason!r}')}",
        )
        for reason in ("accrue", "settle", "void", "clawback")
    },
    **{f"extra posting: {reason}": (statement,) for reason, statement in FAKE.items()},
    "two extra postings that balance": (FAKE["absorb"], FAKE["clawback"]),
    "an extra posting and a balance to match": (
        FAKE["absorb"],
        "UPDATE balance SET available_fen = available_fen + 500 WHERE member_id ="
        " (SELECT member_id FROM posting WHERE posting_key = 'absorb-9-9')",
    ),
    "posting given to another member": (
        "UPDATE posting SET member_id = (SELECT MAX(id) FROM member)"
        f" WHERE id = {one('posting', 'reason = ' + repr('settle'))}",
    ),
    "posting of nobody": (f"UPDATE posting SET member_id = 999999 WHERE id = {one('posting', '1 = 1')}",),
    "balance raised": ("UPDATE balance SET available_fen = available_fen + 1 WHERE available_fen > 0",),
    "balance deleted": ("DELETE FROM balance WHERE available_fen > 0",),
    "balance of nobody": (
        "INSERT INTO balance (member_id, account_id, available_fen, withdrawing_fen) VALUES (999999, 1, 5, 0)",
    ),
    "withdrawing raised": ("UPDATE balance SET withdrawing_fen = 5",),
    "commission amount": ("UPDATE commission SET amount_fen = amount_fen + 1 WHERE status = 'frozen'",),
    "commission rate": ("UPDATE commission SET rate_bps = 1100 WHERE level = 1",),
    "commission base": ("UPDATE commission SET base_fen = base_fen + 1 WHERE level = 1",),
    "commission earner": (f"UPDATE commission SET member_id = {one('member', '1 = 1')} WHERE level = 1",),
    "commission deleted": (f"DELETE FROM commission WHERE id = {one('commission', '1 = 1')}",),
    "commission without an order": (
        f"UPDATE commission SET order_id = 999999 WHERE id = {one('commission', '1 = 1')}",
    ),
    **{
        f"status {old} called {new}": (
            f"UPDATE commission SET status = '{new}' WHERE id = {one('commission', f'status = {old!r}')}",
        )
        for old, new in [
            ("frozen", "settled"), ("frozen", "voided"), ("settled", "frozen"), ("settled", "clawed_back"),
            ("voided", "frozen"), ("clawed_back", "settled"), ("clawed_back", "voided"),
        ]
    },
    "clawed_fen lowered": ("UPDATE commission SET clawed_fen = clawed_fen - 1 WHERE clawed_fen > 0",),
    "clawed_fen raised": ("UPDATE commission SET clawed_fen = clawed_fen + 1 WHERE clawed_fen < amount_fen",),
    "claw-back row deleted": (f"DELETE FROM clawback WHERE id = {one('clawback', '1 = 1')}",),
    "claw-back amount": (
        f"UPDATE clawback SET amount_fen = amount_fen + 1 WHERE id = {one('clawback', '1 = 1')}",
    ),
    "claw-back bucket": (
        "UPDATE clawback SET from_bucket = 'available'"
        f" WHERE id = {one('clawback', 'from_bucket = ' + repr('frozen'))}",
    ),
    "order's paid_fen": ("UPDATE orders SET paid_fen = paid_fen + 1 WHERE order_no = 'early'",),
    "order's refunded_fen": ("UPDATE orders SET refunded_fen = refunded_fen - 1 WHERE order_no = 'early'",),
    "order's uplines": (
        """UPDATE orders SET uplines = '{"bound_at":null,"chain":[]}' WHERE order_no = 'early'""",
    ),
    "order's buyer": ("UPDATE orders SET member_id = NULL WHERE order_no = 'early'",),
    "order's rule forgotten": ("UPDATE orders SET rule_id = NULL WHERE order_no = 'early'",),
    "order's rule unknown": ("UPDATE orders SET rule_id = 999999 WHERE order_no = 'early'",),
    "order's status": ("UPDATE orders SET status = 'closed' WHERE order_no = 'early'",),
    "rule edited": ("""UPDATE rule SET definition = REPLACE(definition, '1000', '1100')""",),
    "line's paid_fen": (f"UPDATE order_line SET paid_fen = paid_fen + 1 WHERE {LINE}",),
    "line's refunded_fen": (f"UPDATE order_line SET refunded_fen = refunded_fen + 1 WHERE {LINE}",),
    "line and order paid more": (
        "UPDATE orders SET paid_fen = paid_fen + 1000 WHERE order_no = 'early'",
        "UPDATE order_line SET paid_fen = paid_fen + 1000"
        " WHERE order_id = (SELECT id FROM orders WHERE order_no = 'early')",
    ),
    "line's terms": (f"""UPDATE order_line SET terms = '{{"rates":[9]}}' WHERE {LINE}""",),
    "line deleted": (f"DELETE FROM order_line WHERE {LINE}",),
    "notice deleted": ("DELETE FROM notice WHERE occasion = 'commission_accrued'",),
    "refund's amount": (f"UPDATE refund SET goods_fen = goods_fen + 1 WHERE id = {one('refund', '1 = 1')}",),
    "refund's line": (
        "UPDATE refund_line SET refund_fen = refund_fen + 1"
        f" WHERE refund_id = {one('refund_line', '1 = 1', 'refund_id')}",
    ),
    "refund deleted": (f"DELETE FROM refund WHERE id = {one('refund', '1 = 1')}",),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_is_found(tampered: Tampered, kind: str) -> None:
    report = tampered.after(*TAMPERING[kind])
    assert not report.ok
    assert report.differences


def test_books_are_untouched_by_the_tampering_of_other_tests(tampered: Tampered) -> None:
    assert tampered.after("UPDATE member SET nickname = 'x'").differences == []


# --- what the database itself refuses -------------------------------------------------------------------------------


def _statements(table: str, session: Session) -> Iterator[str]:
    columns = inspect(session.connection()).get_columns(table)
    yield f"UPDATE {table} SET {columns[-1]['name']} = {columns[-1]['name']}"
    yield f"DELETE FROM {table}"


def run(session: Session, statement: str) -> None:
    session.connection().exec_driver_sql(statement)


def _decide(session: Session, world: World) -> None:
    """A row in each table that only people's decisions write to."""
    session.add(
        GradeHistory(
            account_id=world.account.id, member_id=1, seq=1, from_grade="", to_grade="gold", reason="x",
            actor="staff/1", at=world.now,
        )
    )  # fmt: skip
    session.add(WithdrawalApproval(withdrawal_id=1, round=1, actor="staff/1", at=world.now))
    session.add(
        PermanentGrant(
            account_id=world.account.id, number=1, scene_id=1, actor="staff/1", granted_at=world.now
        )
    )
    consents.agree(session, world.account.id, 1, "the rules", world.now)
    session.flush()


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_database_refuses_to_change_append_only_rows(world: World, table: str) -> None:
    live_through_everything(world)
    world.do(
        lambda s: audit.record(
            s, world.account.id, actor="staff/1", action="x", subject="y", now=world.now
        )
    )
    world.do(
        lambda s: disputes.open_or_add(
            s, world.account, "ann", "不对", push_key="m1", now=world.now
        )
    )
    world.do(partial(_decide, world=world))
    with world.database.reading() as session:
        statements = list(_statements(table, session))
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"):
            world.do(partial(run, statement=statement))
