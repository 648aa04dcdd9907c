"""Every table of Banyan. Money is integer fen (`_fen`), rates are basis points (`_bps`), instants are UTC (`_at`).

A unique key beside a table is the idempotency of the step that writes it (money.md 2.1). Hot tables carry no foreign
keys to rows that get updated: inserting would lock the parent. Keys compare by bytes (ascii_bin): openids and order
numbers are case-sensitive. The table of orders is `orders` and order lines have no surrogate id: see docs/decisions.md.
"""

from __future__ import annotations

from domain.models.accounts import Account, ApiKey, ApiNonce, Audit, Staff, StaffRole
from domain.models.base import Base, Instant
from domain.models.commissions import Balance, Clawback, Commission, Hold, Posting
from domain.models.members import (
    BindingHistory,
    Event,
    Identity,
    Member,
    Poster,
    QrTicket,
    Relation,
    Scene,
    Tally,
    Tree,
)
from domain.models.messages import Notice, NoticeTemplate, Outbox, Reply, TextOverride
from domain.models.orders import Order, OrderLine, Product, Refund, RefundLine, Rule
from domain.models.payouts import Merchant, Withdrawal, WithdrawalApproval
from domain.models.promotion import (
    Grade,
    GradeHistory,
    GradeMark,
    OrderClue,
    PromoterApplication,
    RegistrationDay,
    RiskSignal,
    Sweep,
)
from domain.models.tree import (
    Board,
    Daily,
    Dispute,
    DisputeNote,
    ImportedRow,
    Lease,
    Move,
    Standing,
)
from domain.models.visits import Consent, LinkTouch, ProgrammeText, WebSession

__all__ = [
    "APPEND_ONLY",
    "Account",
    "ApiKey",
    "ApiNonce",
    "Audit",
    "Balance",
    "Base",
    "BindingHistory",
    "Board",
    "Clawback",
    "Commission",
    "Consent",
    "Daily",
    "Dispute",
    "DisputeNote",
    "Event",
    "Grade",
    "GradeHistory",
    "GradeMark",
    "Hold",
    "Identity",
    "ImportedRow",
    "Instant",
    "Lease",
    "LinkTouch",
    "Member",
    "Merchant",
    "Move",
    "Notice",
    "NoticeTemplate",
    "Order",
    "OrderClue",
    "OrderLine",
    "Outbox",
    "Poster",
    "Posting",
    "Product",
    "ProgrammeText",
    "PromoterApplication",
    "QrTicket",
    "Refund",
    "RefundLine",
    "RegistrationDay",
    "Relation",
    "Reply",
    "RiskSignal",
    "Rule",
    "Scene",
    "Staff",
    "StaffRole",
    "Standing",
    "Sweep",
    "Tally",
    "TextOverride",
    "Tree",
    "WebSession",
    "Withdrawal",
    "WithdrawalApproval",
]

APPEND_ONLY = (
    Posting.__tablename__,
    Clawback.__tablename__,
    BindingHistory.__tablename__,
    Audit.__tablename__,
    Rule.__tablename__,
    WithdrawalApproval.__tablename__,
    DisputeNote.__tablename__,
    GradeHistory.__tablename__,
    ProgrammeText.__tablename__,
    Consent.__tablename__,
)
"""Tables whose rows the database itself refuses to change or delete (triggers of the first migration)."""
