"""Writing what was staged: each chunk one transaction, with the keys by which a second run knows it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import bindings, ledger, members, refunds
from domain.accounts import OpenAccount
from domain.bindings import closure_of
from domain.db import Database, Sql, changed, to_db
from domain.imports.staging import Person, Purchase
from domain.ledger import Entry
from domain.models import ImportedRow, Member, Order
from domain.orders import snapshot
from domain.rules import SUSPENDED, Upline
from domain.secrets import Keyring, random_code, short_digest
from domain.tally import Changes

MEMBER: Final = "member"
BALANCE: Final = "balance"
ORDER: Final = "order"

_REMEMBER = Sql(
    "INSERT INTO imported_row (account_id, source, kind, foreign_key, our_id, content_hash, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_JOIN = Sql(
    "INSERT INTO member (account_id, openid, unionid, code, nickname, referrer_id, bound_at, status, grade, promoter,"
    " following, follow_changed_at, joined_at, muted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CHAINS = (
    "SELECT a.id, a.referrer_id AS first, b.referrer_id AS second FROM member a"
    " LEFT JOIN member b ON b.id = a.referrer_id WHERE a.id IN (??)"
)
_CHAINS_SHARED = Sql(_CHAINS + " LOCK IN SHARE MODE", sqlite=_CHAINS)
_RELATE = Sql("INSERT INTO relation (ancestor_id, level, descendant_id) VALUES (?, ?, ?)")
_HISTORY = Sql(
    "INSERT INTO binding_history"
    " (account_id, member_id, seq, from_referrer_id, to_referrer_id, scene_id, reason, actor, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIRST_PAID = Sql("UPDATE member SET first_paid_at = ? WHERE id = ? AND first_paid_at IS NULL")
_UPLINES = Sql(
    "SELECT r.descendant_id, r.level, m.id, m.status, m.grade FROM relation r JOIN member m ON m.id = r.ancestor_id"
    " WHERE r.descendant_id IN (??) ORDER BY r.descendant_id, r.level"
)
_ORDER = Sql(
    "INSERT INTO orders (account_id, order_no, content_hash, channel, status, member_id, paid_fen, refunded_fen,"
    " shipping_fen, shipping_refunded_fen, uplines, paid_at, completed_at, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LINE = Sql(
    "INSERT INTO order_line (order_id, line_no, title, quantity, paid_fen, refunded_fen) VALUES (?, ?, ?, ?, ?, ?)"
)


def opening_prefix(account_id: int, source: str) -> str:
    """How the keys of a source's opening postings begin."""
    return f"opening-{account_id}-{source}-"


class Writer:
    """One import of one account. Every method is one transaction, and does nothing for rows that are here already."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        account: OpenAccount,
        source: str,
        actor: str,
        now: datetime,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._account = account
        self._source = source
        self._actor = actor
        self._now = now

    def people(self, people: Sequence[Person]) -> Counter[str]:
        """Members of one depth, whose referrers came with an earlier call."""
        return self._database.transact(lambda session: self._people(session, people))

    def balances(self, rows: Sequence[tuple[str, int]]) -> Counter[str]:
        """Opening postings: key of the person there, fen (below zero: a debt)."""
        return self._database.transact(lambda session: self._balances(session, rows))

    def purchases(self, purchases: Sequence[Purchase]) -> Counter[str]:
        """Orders that were paid there: they count for the team, and pay nobody again."""
        return self._database.transact(lambda session: self._purchases(session, purchases))

    def _known(self, session: Session, kind: str, keys: set[str]) -> dict[str, ImportedRow]:
        query = select(ImportedRow).where(
            ImportedRow.account_id == self._account.id,
            ImportedRow.source == self._source,
            ImportedRow.kind == kind,
            ImportedRow.foreign_key.in_(keys),
        )
        return {row.foreign_key: row for row in session.scalars(query)}

    def _remember(self, session: Session, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
        _REMEMBER.many(
            session,
            [
                (self._account.id, self._source, kind, key, our_id, content, to_db(self._now))
                for key, our_id, content in rows
            ],
        )

    # --- people

    def _people(self, session: Session, people: Sequence[Person]) -> Counter[str]:
        bindings.lock_tree(
            session, self._account.id
        )  # nobody above the new members moves meanwhile
        known = self._known(session, MEMBER, {one.key for one in people})
        written: Counter[str] = Counter()
        written["changed_since"] = sum(
            known[one.key].content_hash != one.content_hash() for one in people if one.key in known
        )
        new = [one for one in people if one.key not in known]
        ids = self._ids(session, new)
        written["members_already"] = len(ids)
        joining = [one for one in new if one.openid not in ids]
        ids |= self._join(session, joining)
        self._remember(
            session, MEMBER, [(one.key, ids[one.openid], one.content_hash()) for one in new]
        )
        written["people"] = len(joining)
        return written

    def _ids(self, session: Session, people: Sequence[Person]) -> dict[str, int]:
        query = select(Member.openid, Member.id).where(
            Member.account_id == self._account.id, Member.openid.in_([one.openid for one in people])
        )
        return {row.openid: row.id for row in session.execute(query)}

    def _join(self, session: Session, people: Sequence[Person]) -> dict[str, int]:
        parents = self._known(session, MEMBER, {one.parent for one in people if one.parent})
        referrers = {
            one.key: parents[one.parent].our_id
            for one in people
            if one.parent and one.parent in parents
        }
        chains = {
            row.id: (row.id, row.first, row.second)
            for row in _CHAINS_SHARED.among(session, (), sorted(set(referrers.values())))
        }
        now = to_db(self._now)
        _JOIN.many(
            session,
            [
                (
                    self._account.id, one.openid, one.unionid, random_code(members.CODE_LENGTH), one.name,
                    referrers.get(one.key), now if one.key in referrers else None, "active", one.grade, "",
                    one.following, 0, to_db(one.joined_at or self._now), 0,
                )
                for one in people
            ],
        )  # fmt: skip
        ids = self._ids(session, people)
        changes = Changes()
        bound = [
            (one, ids[one.openid], referrers[one.key]) for one in people if one.key in referrers
        ]
        rows = [
            (one, row)
            for one, our_id, referrer_id in bound
            for row in closure_of(our_id, chains[referrer_id])
        ]
        _RELATE.many(session, [row for _, row in rows])
        for one, (ancestor_id, level, _) in rows:
            changes.add(ancestor_id, level, people=1, following=int(one.following))
        _HISTORY.many(
            session,
            [
                (self._account.id, our_id, 1, None, referrer_id, None, f"import {self._source}", self._actor, now)
                for _, our_id, referrer_id in bound
            ],
        )  # fmt: skip
        changes.write(session)
        for one in people:
            if one.phone is not None and members.is_phone(one.phone):
                members.set_contact(session, self._keyring, ids[one.openid], phone=one.phone)
        return ids

    # --- balances

    def _balances(self, session: Session, rows: Sequence[tuple[str, int]]) -> Counter[str]:
        known = self._known(session, BALANCE, {key for key, _ in rows})
        owners = self._known(session, MEMBER, {key for key, _ in rows})
        written: Counter[str] = Counter()
        written["changed_since"] = sum(
            known[key].content_hash != str(fen) for key, fen in rows if key in known
        )
        new = [(key, fen) for key, fen in rows if key not in known]
        entries = [
            Entry(
                opening_prefix(self._account.id, self._source) + short_digest(key),
                self._account.id, owners[key].our_id,
                ledger.ADJUST if fen > 0 else ledger.AVAILABLE, ledger.AVAILABLE if fen > 0 else ledger.ADJUST,
                abs(fen), "opening",
            )
            for key, fen in new
        ]  # fmt: skip
        ledger.post(session, entries, self._now)
        self._remember(session, BALANCE, [(key, owners[key].our_id, str(fen)) for key, fen in new])
        ledger.fold_into_balances(session, entries)
        written["balances"] = len(new)
        written["balance_fen"] = sum(fen for _, fen in new)
        return written

    # --- orders

    def _purchases(self, session: Session, purchases: Sequence[Purchase]) -> Counter[str]:
        known = self._known(session, ORDER, {one.order_no for one in purchases})
        written: Counter[str] = Counter()
        written["changed_since"] = sum(
            known[one.order_no].content_hash != one.content_hash()
            for one in purchases
            if one.order_no in known
        )
        new = [one for one in purchases if one.order_no not in known]
        foreign = self._order_ids(session, new)
        written["order_numbers_taken"] = len(foreign)
        new = [one for one in new if one.order_no not in foreign]
        buyers = {
            key: row.our_id
            for key, row in self._known(session, MEMBER, {one.buyer for one in new}).items()
        }
        first = self._mark_first_purchases(session, new, buyers)
        uplines = self._uplines(session, set(buyers.values()))
        self._write_orders(session, new, buyers, uplines)
        changes = Changes()
        for one in new:
            for upline in uplines[buyers[one.buyer]]:
                changes.add(upline.member_id, upline.level, orders=1, spent_fen=one.paid_fen)
        for buyer_id in first:
            for upline in uplines[buyer_id]:
                changes.add(upline.member_id, upline.level, buyers=1)
        changes.write(session)
        written["orders"] = len(new)
        written["orders_fen"] = sum(one.paid_fen for one in new)
        return written

    def _order_ids(self, session: Session, purchases: Sequence[Purchase]) -> dict[str, int]:
        query = select(Order.order_no, Order.id).where(
            Order.account_id == self._account.id,
            Order.order_no.in_([one.order_no for one in purchases]),
        )
        return {row.order_no: row.id for row in session.execute(query)}

    def _mark_first_purchases(
        self, session: Session, purchases: Sequence[Purchase], buyers: dict[str, int]
    ) -> list[int]:
        """Those who had not bought; marking locks their rows, so their uplines are read after it."""
        earliest: dict[int, datetime] = {}
        for one in purchases:
            buyer_id = buyers[one.buyer]
            earliest[buyer_id] = min(one.paid_at, earliest.get(buyer_id, one.paid_at))
        return [
            buyer_id
            for buyer_id, paid_at in sorted(earliest.items())
            if changed(_FIRST_PAID(session, to_db(paid_at), buyer_id))
        ]

    @staticmethod
    def _uplines(session: Session, buyer_ids: set[int]) -> dict[int, list[Upline]]:
        found: dict[int, list[Upline]] = defaultdict(list)
        for row in _UPLINES.among(session, (), sorted(buyer_ids)):
            refusal = "" if row.status == "active" else SUSPENDED
            found[row.descendant_id].append(Upline(row.id, row.level, row.grade, refusal))
        return found

    def _write_orders(
        self,
        session: Session,
        purchases: Sequence[Purchase],
        buyers: dict[str, int],
        uplines: dict[int, list[Upline]],
    ) -> None:
        rows: list[tuple[Any, ...]] = []
        for one in purchases:
            paid_at, buyer_id = to_db(one.paid_at), buyers[one.buyer]
            rows.append(
                (
                    self._account.id, one.order_no, one.content_hash(), "import", "completed", buyer_id, one.paid_fen,
                    0, 0, 0, snapshot(uplines[buyer_id], None), paid_at, paid_at, to_db(self._now),
                )
            )  # fmt: skip
        _ORDER.many(session, rows)
        ids = self._order_ids(session, purchases)
        _LINE.many(
            session, [(ids[one.order_no], 1, one.title, 1, one.paid_fen, 0) for one in purchases]
        )
        self._remember(
            session,
            ORDER,
            [(one.order_no, ids[one.order_no], one.content_hash()) for one in purchases],
        )
        refunds.apply_parked(session, self._account, ids, self._now)
