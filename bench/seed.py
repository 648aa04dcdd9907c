"""A large account in a minute or two: members, their closure, a history of orders, all made by the server itself.

The tree has a heavy tail: member 1 has 35 % of everybody as downlines over three levels (350,000 of a million); the
others came by earlier members, mostly by a few popular ones. Everything agrees: `members check` and `ledger check`
hold on it (tests/bench).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pymysql
from sqlalchemy.engine import make_url

import migrations
from domain import accounts, rules
from domain.accounts import OpenAccount
from domain.db import Database
from domain.rules import Terms
from domain.secrets import Keyring
from tests.support.mariadb import MariaDB

MASTER_KEY: Final = bytes(range(32))
SLUG: Final = "bench"
STAR: Final = 1
"""The member with 35 % of all members below them."""
RATES_BPS: Final = (1000, 500, 200)
BUYER_EVERY: Final = 4
"""Every fourth member has bought once: a million members have about a million postings."""
SETTLED_TENTHS: Final = 7
_BEGAN: Final = datetime(2025, 1, 1, tzinfo=UTC)

ACCRUALS: Final = (
    " SELECT CONCAT('accrue-', order_id, '-1-', level), 1, member_id, 'commission', 'frozen', amount_fen, 'accrue',"
    " created_at FROM commission"
)
SETTLEMENTS: Final = (
    " SELECT CONCAT('settle-', id), 1, member_id, 'frozen', 'available', amount_fen, 'settle', settled_at"
    " FROM commission"
)

_TOLD: Final = '{"order_no":"S1","friend":"小林","level":1,"amount_fen":100,"paid_fen":1000}'

# A number in [0, 1) that depends on the id alone: the same tree in every run.
_DICE: Final = "(CRC32({0}) / 4294967296)"


@dataclass(frozen=True)
class Place:
    """A seeded account: where it is, and how many members it began with."""

    url: str
    members: int
    account: OpenAccount

    @property
    def loner(self) -> int:
        """A member without downlines: nobody came later."""
        return self.members

    def connect(self) -> pymysql.connections.Connection[Any]:
        """A plain PyMySQL connection with the product's session settings."""
        url = make_url(self.url)
        return pymysql.connect(
            host=url.host or "127.0.0.1",
            port=url.port or 3306,
            user=url.username or "",
            password=url.password or "",
            database=url.database,
            charset="utf8mb4",
            init_command=(
                "SET SESSION sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
                "time_zone='+00:00',innodb_lock_wait_timeout=3,tx_isolation='READ-COMMITTED'"
            ),
        )


def openid_of(member_id: int) -> str:
    """28 characters, as WeChat's are."""
    return f"oBench{member_id:022d}"


def make_place(
    server: MariaDB, members: int, say: Callable[[str], None], name: str = "bench"
) -> Place:
    """A database of its own with `members` members and their history. Places of one size are alike to the last id."""
    url = server.make_database(f"{name}_{members}")
    migrations.upgrade(url)
    database = Database(url)
    account = database.transact(_open_account)
    database.dispose()
    place = Place(url, members, account)
    with quick_connection(server, place) as connection, connection.cursor() as cursor:
        began = time.monotonic()
        _members(cursor, members)
        _relations(cursor)
        say(f"{members:,} members with their closure: {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        add_orders(cursor, f"MOD(id, {BUYER_EVERY}) = 3 AND id <= {members}", SETTLED_TENTHS)
        figures(cursor)
        say(f"their orders and figures: {time.monotonic() - began:.0f} s")
    return place


def _open_account(session: Any) -> OpenAccount:
    keyring = Keyring(MASTER_KEY)
    account = accounts.add(
        session, keyring, slug=SLUG, name="榕树", app_id="wxbench", gh_id="gh_bench", app_secret="secret",
        token="benchtoken", aes_key="a" * 42 + "A", mode="plain", depth=3, now=_BEGAN,
    )  # fmt: skip
    rules.add(
        session, account.id, terms=Terms(RATES_BPS), max_total_bps=3000, depth=3, effective_at=_BEGAN,
        actor="bench", now=_BEGAN,
    )  # fmt: skip
    return accounts.unseal(account, keyring)


def quick_connection(server: MariaDB, place: Place) -> pymysql.connections.Connection[Any]:
    """As root, without a binary log, for making what a real installation would have had for years."""
    connection = server.connect(make_url(place.url).database)
    with connection.cursor() as cursor:
        cursor.execute("SET sql_log_bin=0, unique_checks=0, sql_mode='STRICT_ALL_TABLES'")
        cursor.execute("SET time_zone='+00:00', group_concat_max_len=100000")
    return connection


def _at(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def _members(cursor: Any, count: int) -> None:
    team = count * 35 // 100
    first, second = count * 5 // 100, count * 10 // 100
    end_first, end_second, end_team = 1 + first, 1 + first + second, 1 + team
    root = end_team + 1
    dice = _DICE.format("seq")
    referrer = (
        f"CASE WHEN seq = {STAR} OR seq = {root} THEN NULL WHEN seq <= {end_first} THEN {STAR}"
        f" WHEN seq <= {end_second} THEN 2 + FLOOR(POW({dice}, 2) * {first})"
        f" WHEN seq <= {end_team} THEN {end_first + 1} + FLOOR(POW({dice}, 2) * {second})"
        f" WHEN MOD(seq, 50) = 0 THEN NULL ELSE {root} + FLOOR(POW({dice}, 3) * (seq - {root})) END"
    )
    cursor.execute(
        "INSERT INTO member (id, account_id, openid, code, referrer_id, bound_at, status, grade, promoter, following,"
        " follow_changed_at, joined_at, unfollowed_at, first_paid_at, muted)"
        " SELECT id, 1, openid, code, referrer_id, IF(referrer_id IS NULL, NULL, %s), 'active', '', '', following,"
        " %s, %s, IF(following, NULL, %s), NULL, 0 FROM ("
        f"  SELECT seq AS id, CONCAT('oBench', LPAD(seq, 22, '0')) AS openid, LPAD(CONV(seq, 10, 32), 7, 'Z') AS code,"
        f"  {referrer} AS referrer_id, MOD(CRC32(seq), 10) < 8 AS following FROM seq_1_to_{count}) AS made ORDER BY id",
        (_at(_BEGAN), int(_BEGAN.timestamp()), _at(_BEGAN), _at(_BEGAN)),
    )


def _relations(cursor: Any) -> None:
    sources = (
        "SELECT m.referrer_id, 1, m.id FROM member m WHERE m.referrer_id IS NOT NULL",
        "SELECT a.referrer_id, 2, m.id FROM member m JOIN member a ON a.id = m.referrer_id"
        " WHERE a.referrer_id IS NOT NULL",
        "SELECT b.referrer_id, 3, m.id FROM member m JOIN member a ON a.id = m.referrer_id"
        " JOIN member b ON b.id = a.referrer_id WHERE b.referrer_id IS NOT NULL",
    )
    for source in sources:
        cursor.execute(
            f"INSERT INTO relation (ancestor_id, level, descendant_id) {source} ORDER BY 1, 3"
        )


def add_orders(cursor: Any, buyers: str, settled_tenths: int) -> int:
    """An order of every member for which the condition `buyers` holds, of them `settled_tenths` in ten settled; how
    many. The figures (`tally`) are not touched."""
    at = _at(_BEGAN + timedelta(days=30))
    last, made = insert_orders(cursor, buyers, f"'{at}'")
    cursor.execute(
        "INSERT INTO posting (posting_key, account_id, member_id, source, destination, amount_fen, reason, at)"
        f"{ACCRUALS} WHERE order_id > %s ORDER BY id",
        (last,),
    )
    _settle(cursor, last, at, settled_tenths)
    return made


def insert_orders(cursor: Any, buyers: str, paid_at: str, by: str = "id") -> tuple[int, int]:
    """Orders with lines, frozen commissions and notices, but without postings: the last id before, and how many.

    `paid_at` is SQL of the order's `share`, which goes from 0 to 1 in the order of `by`."""
    cursor.execute("SELECT COALESCE(MAX(id), 0) FROM orders")
    last = cursor.fetchone()[0]
    cursor.execute(
        "INSERT INTO orders (id, account_id, order_no, content_hash, channel, status, member_id, buyer_openid,"
        " paid_fen, refunded_fen, shipping_fen, shipping_refunded_fen, rule_id, uplines, paid_at, created_at)"
        " SELECT number, 1, CONCAT('S', number), SHA2(number, 256), 'api', 'paid', id, openid,"
        ' 1000 + MOD(CRC32(number), 50000), 0, 0, 0, 1, CONCAT(\'{"bound_at":null,"chain":[\','
        " COALESCE((SELECT GROUP_CONCAT(CONCAT('[', level, ',', ancestor_id, ',\"\",\"\"]') ORDER BY level)"
        f" FROM relation WHERE descendant_id = buyer.id), ''), ']}}'), {paid_at}, {paid_at} FROM"
        f" (SELECT %s + ROW_NUMBER() OVER (ORDER BY {by}) AS number, PERCENT_RANK() OVER (ORDER BY {by}) AS share,"
        f" id, openid FROM member WHERE {buyers}) AS buyer",
        (last,),
    )
    made = int(cursor.rowcount)
    cursor.execute(
        "INSERT INTO order_line (order_id, line_no, title, quantity, paid_fen, refunded_fen)"
        " SELECT id, 1, '商品', 1, paid_fen, 0 FROM orders WHERE id > %s ORDER BY id",
        (last,),
    )
    cursor.execute(
        "UPDATE member JOIN orders ON orders.member_id = member.id SET first_paid_at = orders.paid_at"
        " WHERE orders.id > %s AND first_paid_at IS NULL",
        (last,),
    )
    rate = f"ELT(r.level, {', '.join(map(str, RATES_BPS))})"
    cursor.execute(
        "INSERT INTO commission (account_id, kind, order_id, line_no, level, member_id, base_fen, rate_bps, share_bps,"
        " amount_fen, clawed_fen, status, due_at, created_at)"
        f" SELECT 1, 'order', o.id, 1, r.level, r.ancestor_id, o.paid_fen, {rate}, 10000,"
        f" FLOOR(o.paid_fen * {rate} / 10000), 0, 'frozen', NULL, o.paid_at"
        " FROM orders o JOIN relation r ON r.descendant_id = o.member_id WHERE o.id > %s ORDER BY o.id, r.level",
        (last,),
    )
    cursor.execute(
        "INSERT INTO notice (account_id, member_id, occasion, notice_key, params, created_at)"
        " SELECT DISTINCT 1, member_id, 'commission_accrued', CONCAT('accrued-', order_id, '-', member_id), %s,"
        " created_at FROM commission WHERE order_id > %s",
        (_TOLD, last),
    )
    return last, made


def _settle(cursor: Any, last: int, at: str, tenths: int) -> None:
    if not tenths:
        return
    cursor.execute(
        "UPDATE commission SET status = 'settled', due_at = %s, settled_at = %s"
        " WHERE order_id > %s AND MOD(order_id, 10) < %s",
        (at, at, last, tenths),
    )
    cursor.execute(
        "INSERT INTO posting (posting_key, account_id, member_id, source, destination, amount_fen, reason, at)"
        f"{SETTLEMENTS} WHERE order_id > %s AND status = 'settled' ORDER BY id",
        (last,),
    )
    cursor.execute(
        "INSERT INTO balance (member_id, account_id, available_fen, withdrawing_fen)"
        " SELECT member_id, 1, SUM(amount_fen), 0 FROM commission WHERE order_id > %s AND status = 'settled'"
        " GROUP BY member_id ORDER BY member_id"
        " ON DUPLICATE KEY UPDATE available_fen = available_fen + VALUES(available_fen)",
        (last,),
    )


def figures(cursor: Any) -> None:
    """The folded figures, from the rows: people from the closure, orders and money from the history."""
    cursor.execute("DELETE FROM tally")
    cursor.execute(
        "INSERT INTO tally (member_id, level, folded, people, following, buyers, orders, spent_fen, refunded_fen,"
        " earned_fen, frozen_fen) SELECT member_id, level, 1, SUM(people), SUM(following), SUM(buyers), SUM(orders),"
        " SUM(spent), SUM(refunded), SUM(earned), SUM(frozen) FROM ("
        " SELECT r.ancestor_id AS member_id, r.level, COUNT(*) AS people, SUM(m.following) AS following,"
        "  SUM(m.first_paid_at IS NOT NULL) AS buyers, 0 AS orders, 0 AS spent, 0 AS refunded, 0 AS earned, 0 AS frozen"
        "  FROM relation r JOIN member m ON m.id = r.descendant_id GROUP BY r.ancestor_id, r.level"
        " UNION ALL SELECT r.ancestor_id, r.level, 0, 0, 0, COUNT(*), SUM(o.paid_fen), SUM(o.refunded_fen), 0, 0"
        "  FROM orders o JOIN relation r ON r.descendant_id = o.member_id GROUP BY r.ancestor_id, r.level"
        " UNION ALL SELECT member_id, level, 0, 0, 0, 0, 0, 0, SUM(amount_fen - clawed_fen),"
        "  SUM(IF(status = 'frozen', amount_fen - clawed_fen, 0)) FROM commission GROUP BY member_id, level"
        ") AS parts GROUP BY member_id, level ORDER BY member_id, level"
    )
