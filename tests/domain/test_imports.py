"""Import: another system's tree, balances and orders, to the fen, once, whatever interrupts it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from domain import imports, orders, refunds
from domain.db import Database
from domain.errors import Conflict, Invalid, NotFound
from domain.imports import CsvFolder, DatabaseTables, HasProblems, Options, Outcome, Source
from domain.models import ImportedRow, Member
from tests.domain.world import KEYRING, World


@pytest.fixture
def shop(live_database: Database) -> World:
    """A world with real commits: an import opens its own transactions."""
    return World.create(live_database)


def folder(tmp_path: Path, encoding: str = "utf-8", **tables: str) -> CsvFolder:
    """CSV files from indented text, one a table."""
    for name, text in tables.items():
        lines = [line.strip() for line in text.strip().splitlines()]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
    return CsvFolder(tmp_path)


def run(world: World, source: Source, **more: Any) -> Outcome:
    options = Options(
        "old", **{name: more.pop(name) for name in list(more) if name in Options.__slots__}
    )
    return imports.run(
        world.database, KEYRING, world.account, source, options,
        **{"dry_run": False, "actor": "staff/1", "now": world.now, **more},
    )  # fmt: skip


def members_by_key(world: World) -> dict[str, Member]:
    query = select(ImportedRow.foreign_key, Member).join(Member, Member.id == ImportedRow.our_id)
    rows = world.look(lambda s: s.execute(query.where(ImportedRow.kind == "member")).all())
    return {row[0]: row[1] for row in rows}


OURS = {
    "members": """
        openid,nickname,referrer,balance,joined_at,phone
        cai,蔡,bob,0.29,2025-06-01 10:00:00,13800000000
        ann,安,,100.00,2025-01-01 10:00:00,
        bob,鲍,ann,-5.00,2025-02-01 10:00:00,
    """,
    "orders": """
        order_no,openid,paid_fen,paid_at,status,title
        A-1,cai,10000,2025-07-01T10:00:00+08:00,completed,茶
        A-2,cai,500,2025-07-02T10:00:00+08:00,paid,杯
        A-3,cai,700,2025-07-02T10:00:00+08:00,cancelled,壶
    """,
}


def test_dry_run_reports_and_writes_nothing(shop: World, tmp_path: Path) -> None:
    outcome = run(shop, folder(tmp_path, **OURS), dry_run=True)
    assert outcome.ok
    assert outcome.source == {
        "people": 3, "balance_fen": 9529, "orders": 3, "orders_fen": 10_500, "orders_left_out_cancelled": 1
    }  # fmt: skip
    assert shop.look(lambda s: s.scalar(select(Member.id))) is None


def test_members_tree_balances_and_orders_come_over_to_the_fen(shop: World, tmp_path: Path) -> None:
    outcome = run(shop, folder(tmp_path, **OURS))
    assert outcome.ok
    assert outcome.in_the_books == {
        "people": 3, "balances": 3, "orders": 2, "balance_fen": 9529, "orders_fen": 10_500
    }  # fmt: skip
    assert shop.uplines_of("cai") == ["bob", "ann"]
    assert [shop.available(name) for name in ("ann", "bob", "cai")] == [10_000, -500, 29]
    figures = shop.summary("ann").levels[2]
    assert (figures.people, figures.buyers, figures.orders, figures.spent_fen) == (1, 1, 2, 10_500)
    assert shop.commissions("A-1") == []  # what it earned is in the balances
    shop.check()


def test_imported_members_go_on_like_any_other(shop: World, tmp_path: Path) -> None:
    run(shop, folder(tmp_path, **OURS))
    assert shop.follow("cai").is_new is False
    shop.pay_and_settle("cai", 10_000)
    assert shop.available("bob") == 500
    shop.check()


def test_import_again_takes_over_only_what_is_new(shop: World, tmp_path: Path) -> None:
    run(shop, folder(tmp_path, **OURS))
    again = run(shop, folder(tmp_path, **OURS))
    assert (again.written["people"], again.written["balances"], again.written["orders"]) == (
        0,
        0,
        0,
    )
    more = dict(OURS, members=OURS["members"] + "dan,丹,cai,1.00,,\n")
    assert run(shop, folder(tmp_path, **more)).written["people"] == 1
    assert shop.uplines_of("dan") == ["cai", "bob", "ann"]
    changed = dict(more, members=more["members"].replace("0.29", "0.30"))
    outcome = run(shop, folder(tmp_path, **changed))
    assert (outcome.ok, outcome.written["changed_since"]) == (False, 2)
    shop.check()


@pytest.mark.parametrize("dies_at", range(1, 8))
def test_import_that_was_killed_goes_on(
    shop: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    monkeypatch.setattr(imports, "CHUNK", 1)
    source = folder(tmp_path, **OURS)
    real, calls = shop.database.transact, iter(range(1, 100))

    class Killed(BaseException):
        pass

    def dying(fn: Any, **more: Any) -> Any:
        def write(session: Any) -> Any:
            result = fn(session)
            if next(calls) == dies_at:
                raise Killed
            return result

        return real(write, **more)

    monkeypatch.setattr(shop.database, "transact", dying)
    with pytest.raises(Killed):
        run(shop, source)
    monkeypatch.setattr(shop.database, "transact", real)
    assert run(shop, source).ok
    assert shop.uplines_of("cai") == ["bob", "ann"]
    assert shop.available("ann") == 10_000
    shop.check()


# --- the shapes of others -------------------------------------------------------------------------------------------

FIRST_DESIGN = {
    "users": """
        id,username,password,parent_id,level,created_at
        1,root,hunter2,0,3,2024-01-01 00:00:00
        12,ann,secret,1,1,2024-01-02 00:00:00
        3,bob,secret,12,0,2024-01-03 00:00:00
    """,
    "orders": """
        id,user_id,amount,status,created_at
        900,3,99.99,paid,2024-02-01 00:00:00
        901,3,10.00,unpaid,2024-02-01 00:00:00
    """,
    "commissions": """
        id,user_id,order_id,amount,level,status,created_at
        1,12,900,9.99,1,settled,2024-02-02 00:00:00
        2,1,900,4.99,2,settled,2024-02-02 00:00:00
        3,1,900,1.00,2,pending,2024-02-02 00:00:00
    """,
}


def test_users_with_parent_id_orders_and_commissions(shop: World, tmp_path: Path) -> None:
    outcome = run(shop, folder(tmp_path, **FIRST_DESIGN))
    assert outcome.ok
    assert outcome.discarded_columns == ["password"]
    assert outcome.source["commissions_pending_fen"] == 100
    assert outcome.in_the_books["balance_fen"] == 999 + 499
    people = members_by_key(shop)
    assert (people["1"].referrer_id, people["1"].grade) == (None, "3")
    assert people["12"].referrer_id == people["1"].id
    assert (people["3"].referrer_id, people["3"].grade) == (people["12"].id, "")
    assert people["3"].nickname == "bob"
    shop.check()


def test_no_password_reaches_the_database(shop: World, tmp_path: Path) -> None:
    run(shop, folder(tmp_path, **FIRST_DESIGN))
    rows = shop.look(lambda s: s.connection().exec_driver_sql("SELECT * FROM member").all())
    assert "hunter2" not in repr(rows)


@pytest.mark.parametrize("relations", ["level 1 only", "every level", "without levels"])
def test_t_user_with_t_user_relations(shop: World, tmp_path: Path, relations: str) -> None:
    table = {
        "level 1 only": "id,user_id,Pid,level\n1,2,1,1\n2,3,2,1\n",
        "every level": "id,user_id,Pid,level\n1,2,1,1\n2,3,2,1\n3,3,1,2\n",
        "without levels": "id,user_id,Pid\n0,1,0\n1,2,1\n2,3,2\n",
    }[relations]
    users = "id,open_id,name,balance\n1,o-one,一,1.50\n2,o-two,二,0\n3,o-three,三,0.01\n"
    outcome = run(shop, folder(tmp_path, t_user=users, t_user_relations=table))
    assert outcome.ok
    assert shop.uplines_of("o-three") == ["o-two", "o-one"]
    shop.check()


def test_tables_of_a_database_are_read_where_they_are(shop: World, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE t_user (id INTEGER, name TEXT, Pid INTEGER, level INTEGER, pwd TEXT);"
            "INSERT INTO t_user VALUES (1, 'a', 0, 2, 'x'), (2, 'b', 1, 0, 'y');"
        )
    outcome = run(shop, DatabaseTables(f"sqlite:///{path}"))
    assert (outcome.ok, outcome.written["people"], outcome.discarded_columns) == (True, 2, ["pwd"])
    shop.check()


def test_file_that_excel_in_china_wrote_is_read(shop: World, tmp_path: Path) -> None:
    users = "openid,nickname\no-1,小明\n"
    assert run(shop, folder(tmp_path, "gb18030", users=users)).ok
    assert shop.member("o-1").nickname == "小明"


# --- what is wrong with the source ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "users"),
    [
        ("cycle", "id,parent_id\n1,3\n2,1\n3,2\n4,3\n5,0\n"),
        ("cycle", "id,parent_id\n1,1\n"),
        ("orphan", "id,parent_id\n1,77\n"),
        ("duplicate_person", "id,parent_id\n1,0\n1,0\n"),
        ("person_refused", "id,balance\n1,0.001\n"),
        ("person_refused", "id,balance\n1,viel\n"),
        ("no_key", "id,name\n,x\n"),
    ],
)
def test_problems_are_named_and_nothing_is_written_unless_accepted(
    shop: World, tmp_path: Path, kind: str, users: str
) -> None:
    source = folder(tmp_path, users=users)
    assert kind in run(shop, source, dry_run=True).problems
    with pytest.raises(HasProblems):
        run(shop, source)
    assert shop.look(lambda s: s.scalar(select(Member.id))) is None
    assert run(shop, source, accept_problems=True).ok
    shop.check()


def test_members_of_a_cycle_come_to_the_top_and_keep_those_below(
    shop: World, tmp_path: Path
) -> None:
    source = folder(tmp_path, users="id,parent_id\n1,3\n2,1\n3,2\n4,3\n5,4\n")
    run(shop, source, accept_problems=True)
    people = members_by_key(shop)
    assert [people[key].referrer_id for key in ("1", "2", "3")] == [None] * 3
    assert people["5"].referrer_id == people["4"].id
    assert people["4"].referrer_id == people["3"].id


@pytest.mark.parametrize(
    "orders",
    [
        "id,user_id,amount,created_at\n1,9,1.00,2024-01-01\n",
        "id,user_id,amount,created_at\n1,1,-1.00,2024-01-01\n",
        "id,user_id,amount,created_at\n1,1,1.00,\n",
        "id,user_id,amount,created_at\n1,1,1.00,2024-01-01\n1,1,1.00,2024-01-01\n",
    ],
)
def test_impossible_order_is_refused(shop: World, tmp_path: Path, orders: str) -> None:
    outcome = run(shop, folder(tmp_path, users="id\n1\n", orders=orders), dry_run=True)
    assert outcome.problems == {"order_refused": 1}


def test_order_number_that_is_taken_here_is_counted_and_left(shop: World, tmp_path: Path) -> None:
    shop.follow("ann")
    shop.pay("ann", 100, no="A-1")
    outcome = run(shop, folder(tmp_path, **OURS))
    assert (outcome.written["order_numbers_taken"], outcome.ok) == (1, False)
    shop.check()


def test_refund_that_was_reported_before_its_order_came_over_is_applied(
    shop: World, tmp_path: Path
) -> None:
    assert shop.refund("A-1", {1: 4_000}, no="R1").status == "parked"
    assert shop.refund("A-2", {7: 100}, no="R2").status == "parked"  # no such line
    run(shop, folder(tmp_path, **OURS))
    order = shop.look(lambda s: orders.get(s, shop.account.id, "A-1"))
    assert order.refunded_fen == 4_000
    assert shop.refund("A-1", {1: 4_000}, no="R1").status == "applied"
    assert shop.refund("A-2", {7: 100}, no="R2").status == "refused"
    assert (
        shop.look(lambda s: refunds.parked(s, shop.account.id, shop.now - timedelta(days=1), 9))
        == []
    )
    assert shop.left("A-1") == []  # what it earned there is in the balances
    shop.check()


def test_member_who_is_here_already_keeps_the_referrer_and_gets_the_balance(
    shop: World, tmp_path: Path
) -> None:
    shop.people("eve", "cai")
    outcome = run(shop, folder(tmp_path, **OURS))
    assert outcome.written["members_already"] == 1
    assert shop.uplines_of("cai") == ["eve"]
    assert shop.available("cai") == 29
    shop.check()


# --- people without an openid ---------------------------------------------------------------------------------------


def test_person_without_openid_is_claimed_before_they_follow(shop: World, tmp_path: Path) -> None:
    run(shop, folder(tmp_path, **FIRST_DESIGN))
    shop.do(
        lambda s: imports.claim(
            s, shop.account, "old", "12", "o-ann", actor="staff/1", now=shop.now
        )
    )
    assert shop.follow("o-ann").is_new is False
    assert shop.available("o-ann") == 999
    with pytest.raises(NotFound):
        shop.do(
            lambda s: imports.claim(s, shop.account, "old", "12", "o-x", actor="a", now=shop.now)
        )
    with pytest.raises(Conflict):
        shop.do(
            lambda s: imports.claim(s, shop.account, "old", "3", "o-ann", actor="a", now=shop.now)
        )
    shop.check()


def test_people_without_openid_can_be_refused(shop: World, tmp_path: Path) -> None:
    outcome = run(shop, folder(tmp_path, **FIRST_DESIGN), placeholders=False, dry_run=True)
    assert outcome.problems["person_refused"] == 3


def test_folder_without_people_is_refused(shop: World, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        run(shop, folder(tmp_path, orders="id\n1\n"))
    with pytest.raises(Invalid):
        CsvFolder(tmp_path / "nothing")
