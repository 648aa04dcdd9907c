"""The peers: the same work written by hand in PyMySQL, as somebody who knows MariaDB well would write it.

Same rows, same reads, same guarantees (one transaction an order, binary log on); no framework, no layers, nothing
that is not needed. tests/bench proves that both sides leave the same rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import pymysql

Connection: TypeAlias = "pymysql.connections.Connection[Any]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Sale:
    """An order of one line."""

    order_no: str
    openid: str
    title: str
    paid_fen: int
    paid_at: datetime


_BUYER = (
    "SELECT b.id, b.code, b.nickname, b.first_paid_at, b.bound_at, r.level, u.id, u.status, u.grade FROM member b"
    " LEFT JOIN relation r ON r.descendant_id = b.id LEFT JOIN member u ON u.id = r.ancestor_id"
    " WHERE b.account_id = %s AND b.openid = %s ORDER BY r.level"
)
_RULE = (
    "SELECT id, definition FROM rule WHERE account_id = %s AND effective_at <= %s"
    " ORDER BY effective_at DESC, id DESC LIMIT 1"
)
_ORDER = (
    "INSERT INTO orders (account_id, order_no, content_hash, channel, status, member_id, buyer_openid, paid_fen,"
    " refunded_fen, shipping_fen, shipping_refunded_fen, rule_id, uplines, paid_at, created_at)"
    " VALUES (%s, %s, %s, 'api', 'paid', %s, %s, %s, 0, 0, 0, %s, %s, %s, %s)"
)
_LINE = (
    "INSERT INTO order_line (order_id, line_no, title, quantity, paid_fen, refunded_fen)"
    " VALUES (%s, 1, %s, 1, %s, 0)"
)
_COMMISSION = (
    "INSERT INTO commission (account_id, kind, order_id, line_no, level, member_id, base_fen, rate_bps, share_bps,"
    " amount_fen, clawed_fen, status, created_at)"
    " VALUES (%s, 'order', %s, 1, %s, %s, %s, %s, 10000, %s, 0, 'frozen', %s)"
)
_POSTING = (
    "INSERT INTO posting (posting_key, account_id, member_id, source, destination, amount_fen, reason, at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
_TALLY = (
    "INSERT INTO tally (member_id, level, folded, people, following, buyers, orders, spent_fen, refunded_fen,"
    " earned_fen, frozen_fen) VALUES (%s, %s, 0, 0, 0, %s, %s, %s, 0, %s, %s)"
)
_NOTICE = (
    "INSERT INTO notice (account_id, member_id, occasion, notice_key, params, created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)
_OUTBOX = (
    "INSERT INTO outbox (account_id, member_id, topic, dedupe_key, payload, state, attempts, next_at, created_at)"
    " VALUES (%s, %s, 'notice', %s, %s, 'pending', 0, %s, %s)"
)
_EVENT = (
    "INSERT IGNORE INTO event (account_id, push_key, kind, member_id, detail, at)"
    " VALUES (%s, %s, 'buy', %s, %s, %s)"
)
_PARKED = (
    "SELECT id FROM refund WHERE account_id = %s AND status = 'parked' AND order_no = %s FOR UPDATE"
)


def record_sale(
    connection: Connection,
    account_id: int,
    sale: Sale,
    now: datetime,
    push_key: Callable[[str], str],
) -> None:
    """One paid order by somebody who has bought before, in one transaction: three levels, postings, figures, news."""
    at, told_at = now.strftime("%Y-%m-%d %H:%M:%S.%f"), now.isoformat()
    with connection.cursor() as cursor:
        cursor.execute(_BUYER, (account_id, sale.openid))
        chain = cursor.fetchall()
        buyer_id, code, nickname, first_paid_at, bound_at = chain[0][:5]
        if first_paid_at is None:
            raise ValueError("this benchmark sells to people who have bought before")
        cursor.execute(_RULE, (account_id, sale.paid_at.strftime("%Y-%m-%d %H:%M:%S.%f")))
        rule_id, definition = cursor.fetchone()
        rates = json.loads(definition)["rates"]
        snapshot = {
            "bound_at": bound_at and f"{bound_at.isoformat()}+00:00",
            "chain": [
                [level, member_id, grade, "" if status == "active" else "suspended"]
                for *_, level, member_id, status, grade in chain
            ],
        }
        cursor.execute(
            _ORDER,
            (account_id, sale.order_no, _hash(sale), buyer_id, sale.openid, sale.paid_fen, rule_id, _json(snapshot),
             sale.paid_at.strftime("%Y-%m-%d %H:%M:%S.%f"), at),
        )  # fmt: skip
        order_id = cursor.lastrowid
        cursor.execute(_LINE, (order_id, sale.title, sale.paid_fen))
        commissions, postings, figures, notices, messages = [], [], [], [], []
        for *_, level, member_id, _status, _grade in chain:
            amount = sale.paid_fen * rates[level - 1] // 10000
            key = f"accrued-{order_id}-{member_id}"
            news = {
                "order_no": sale.order_no, "friend": nickname or f"会员·{code}", "level": level, "amount_fen": amount,
                "paid_fen": sale.paid_fen, "at": told_at,
            }  # fmt: skip
            commissions.append(
                (
                    account_id,
                    order_id,
                    level,
                    member_id,
                    sale.paid_fen,
                    rates[level - 1],
                    amount,
                    at,
                )
            )
            postings.append(
                (f"accrue-{order_id}-1-{level}", account_id, member_id, "commission", "frozen", amount, "accrue", at)
            )  # fmt: skip
            figures.append((member_id, level, 0, 1, sale.paid_fen, amount, amount))
            notices.append((account_id, member_id, "commission_accrued", key, _json(news), at))
            message = _json({"occasion": "commission_accrued", **news})
            messages.append((account_id, member_id, f"notice-{key}", message, at, at))
        cursor.executemany(_COMMISSION, commissions)
        cursor.executemany(_POSTING, postings)
        cursor.executemany(_TALLY, sorted(figures))
        cursor.executemany(_NOTICE, notices)
        cursor.executemany(_OUTBOX, messages)
        cursor.execute(
            _EVENT, (account_id, push_key(f"buy {sale.order_no}"), buyer_id, sale.order_no, at)
        )
        cursor.execute(_PARKED, (account_id, sale.order_no))
        if cursor.fetchall():
            raise ValueError("this benchmark parks no refunds")
    connection.commit()


def _hash(sale: Sale) -> str:
    line = {
        "line_no": 1, "title": sale.title, "quantity": 1, "paid_fen": sale.paid_fen, "sku": None,
        "unit_price_fen": None,
    }  # fmt: skip
    buyer = {"openid": sale.openid, "unionid": None, "app_id": None}
    content = [sale.order_no, buyer, [line], 0, sale.paid_at.isoformat()]
    return hashlib.sha256(_json(content).encode()).hexdigest()


# --- settlement -----------------------------------------------------------------------------------------------------

_DUE = (
    "SELECT c.id FROM commission c LEFT JOIN hold h ON h.open_key = c.id WHERE c.account_id = %s"
    " AND c.status = 'frozen' AND c.due_at <= %s AND h.id IS NULL ORDER BY c.due_at, c.id LIMIT %s"
)
_LOCKED = (
    "SELECT id, member_id, level, amount_fen - clawed_fen FROM commission"
    " WHERE status = 'frozen' AND id IN ({ids}) ORDER BY id FOR UPDATE"
)
_SETTLED = "UPDATE commission SET status = 'settled', settled_at = %s WHERE id IN ({ids})"
_BALANCE = (
    "INSERT INTO balance (member_id, account_id, available_fen, withdrawing_fen) VALUES (%s, %s, %s, 0)"
    " ON DUPLICATE KEY UPDATE available_fen = available_fen + VALUES(available_fen)"
)


def settle_batch(connection: Connection, account_id: int, now: datetime, limit: int = 200) -> int:
    """Settle up to `limit` due commissions in one transaction; how many."""
    at = now.strftime("%Y-%m-%d %H:%M:%S.%f")
    with connection.cursor() as cursor:
        cursor.execute(_DUE, (account_id, at, limit))
        found = [row[0] for row in cursor.fetchall()]
        if not found:
            connection.rollback()
            return 0
        ids = ",".join(map(str, found))
        cursor.execute(_LOCKED.format(ids=ids))
        due: Sequence[tuple[int, int, int, int]] = cursor.fetchall()
        cursor.execute(_SETTLED.format(ids=ids), (at,))
        postings = []
        figures: dict[tuple[int, int], int] = {}
        sums: dict[int, list[int]] = {}
        for commission_id, member_id, level, left in due:
            postings.append(
                (f"settle-{commission_id}", account_id, member_id, "frozen", "available", left, "settle", at)
            )  # fmt: skip
            figures[member_id, level] = figures.get((member_id, level), 0) - left
            one = sums.setdefault(member_id, [commission_id, 0, 0])
            one[1] += left
            one[2] += 1
        cursor.executemany(_POSTING, postings)
        cursor.executemany(
            _TALLY, [(*key, 0, 0, 0, 0, frozen) for key, frozen in sorted(figures.items())]
        )
        cursor.executemany(
            _BALANCE,
            [(member_id, account_id, one[1]) for member_id, one in sorted(sums.items())],
        )
        notices, messages = [], []
        for member_id, (first_id, amount, count) in sums.items():
            key = f"settled-{first_id}-{member_id}"
            news = {"amount_fen": amount, "count": count, "at": now.isoformat()}
            notices.append((account_id, member_id, "commission_settled", key, _json(news), at))
            message = _json({"occasion": "commission_settled", **news})
            messages.append((account_id, member_id, f"notice-{key}", message, at, at))
        cursor.executemany(_NOTICE, notices)
        cursor.executemany(_OUTBOX, messages)
    connection.commit()
    return len(due)
