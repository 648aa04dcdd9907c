"""Taking over another system's members, tree, balances and paid orders.

A row is remembered by its key there (`imported_row`) in the transaction that writes it, so an import that was killed
is simply run again, and one that is run again later takes over what is new. Balances become opening postings; orders
come with the uplines of the imported tree but pay nobody again: what they earned is in the balances. Nobody is told.
Passwords are never read. Who is a member here already keeps their referrer and gets their balance and orders.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from domain import audit, ledger
from domain.accounts import OpenAccount
from domain.db import Database, changed
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.imports.sources import CsvFolder, DatabaseTables, Source
from domain.imports.staging import Options, Staged, placeholder_openid
from domain.imports.writing import BALANCE, MEMBER, ORDER, Writer, opening_prefix
from domain.models import ImportedRow, Member, Order, Posting
from domain.proof import Progress, silent
from domain.secrets import Keyring

__all__ = [
    "CsvFolder", "DatabaseTables", "HasProblems", "Options", "Outcome", "Source", "claim", "run"
]  # fmt: skip

CHUNK: Final = 500


class HasProblems(DomainError):
    """The source has rows that cannot be taken over; a dry run names them. Say that you accept to leave them out."""

    code = "import_has_problems"


@dataclass(slots=True)
class Outcome:
    """What an import came to: sums of the source, what was written now, what is in the books, what was left out.

    `ok`: every row of the source that had no problem is here, and the amounts agree to the fen.
    """

    dry_run: bool
    source: dict[str, int]
    problems: dict[str, int]
    problem_rows: list[dict[str, Any]]
    discarded_columns: list[str]
    written: Counter[str] = field(default_factory=Counter)
    in_the_books: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """A dry run is ok when nothing would be left out."""
        if self.dry_run:
            return not self.problems
        return (
            all(
                self.in_the_books[name] == self.source.get(name, 0)
                for name in ("balance_fen", "orders_fen")
            )
            and not self.written["changed_since"]
        )

    def as_value(self) -> dict[str, Any]:
        return {
            "ok": self.ok, "dry_run": self.dry_run, "source": dict(sorted(self.source.items())),
            "written": dict(sorted(self.written.items())), "in_the_books": self.in_the_books,
            "problems": self.problems, "problem_rows": self.problem_rows,
            "discarded_columns": self.discarded_columns,
        }  # fmt: skip


def run(
    database: Database,
    keyring: Keyring,
    account: OpenAccount,
    source: Source,
    options: Options,
    *,
    dry_run: bool,
    accept_problems: bool = False,
    actor: str,
    now: datetime,
    progress: Progress = silent,
) -> Outcome:
    """Read the whole source, check it, and unless `dry_run` write it, five hundred rows a transaction.

    Raises `HasProblems` before anything is written when rows would be left out and nobody accepted that.
    """
    staged = Staged(source, options)
    outcome = Outcome(
        dry_run, dict(staged.totals), dict(staged.problems.counts), staged.problems.shown,
        staged.discarded_columns,
    )  # fmt: skip
    if dry_run:
        staged.close()
        return outcome
    if outcome.problems and not accept_problems:
        staged.close()
        raise HasProblems("rows would be left out", problems=outcome.problems)
    writer = Writer(database, keyring, account, options.source, actor, now)
    for depth in range(staged.depths()):
        for people in staged.people(depth, CHUNK):
            outcome.written += writer.people(people)
            progress("people", outcome.written["people"])
    for balances in staged.balances(CHUNK):
        outcome.written += writer.balances(balances)
        progress("balances", outcome.written["balances"])
    for purchases in staged.purchases(CHUNK):
        outcome.written += writer.purchases(purchases)
        progress("orders", outcome.written["orders"])
    staged.close()
    outcome.in_the_books = database.read(
        lambda session: _in_the_books(session, account.id, options.source)
    )
    database.transact(
        lambda session: audit.record(
            session, account.id, actor=actor, action="imported", subject=f"account/{account.id}",
            after={"source": options.source, "written": dict(outcome.written)}, now=now,
        )
    )  # fmt: skip
    return outcome


def _in_the_books(session: Session, account_id: int, source: str) -> dict[str, int]:
    """What the books hold of this source, from the rows themselves."""

    def imported(kind: str) -> Any:
        return (
            ImportedRow.account_id == account_id,
            ImportedRow.source == source,
            ImportedRow.kind == kind,
        )

    signed = case(
        (Posting.destination == ledger.AVAILABLE, Posting.amount_fen), else_=-Posting.amount_fen
    )
    balance = select(func.sum(signed)).where(
        Posting.posting_key.startswith(opening_prefix(account_id, source), autoescape=True)
    )
    paid = select(func.sum(Order.paid_fen)).join(ImportedRow, ImportedRow.our_id == Order.id)
    people = select(func.count()).select_from(ImportedRow).where(*imported(MEMBER))
    orders = select(func.count()).select_from(ImportedRow).where(*imported(ORDER))
    balances = select(func.count()).select_from(ImportedRow).where(*imported(BALANCE))
    return {
        "people": session.scalar(people) or 0,
        "balances": session.scalar(balances) or 0,
        "orders": session.scalar(orders) or 0,
        "balance_fen": int(session.scalar(balance) or 0),
        "orders_fen": int(session.scalar(paid.where(*imported(ORDER))) or 0),
    }


def claim(
    session: Session,
    account: OpenAccount,
    source: str,
    key: str,
    openid: str,
    *,
    actor: str,
    now: datetime,
) -> Member:
    """Give somebody who was imported without an openid theirs, before they follow: tree, balance and orders are then
    waiting for them. Raises `NotFound`, and `Conflict` when a member has this openid already."""
    placeholder = placeholder_openid(source, key)
    taken = select(Member.id).where(Member.account_id == account.id, Member.openid == openid)
    if session.scalar(taken) is not None:
        raise Conflict("a member has this openid already", openid=openid)
    if not openid or len(openid) > 64 or not openid.isascii():
        raise Invalid("not an openid", openid=openid)
    mine = (Member.account_id == account.id, Member.openid == placeholder)
    if not changed(session.execute(update(Member).where(*mine).values(openid=openid))):
        raise NotFound("nobody was imported without an openid under this key", key=key)
    member = session.scalars(
        select(Member).where(Member.account_id == account.id, Member.openid == openid)
    ).one()
    audit.record(
        session, account.id, actor=actor, action="import_claimed", subject=f"member/{member.id}",
        after={"source": source, "key": key}, now=now,
    )  # fmt: skip
    return member
