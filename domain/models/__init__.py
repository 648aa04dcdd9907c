"""Every table of Banyan. Money is integer fen (`_fen`), rates are basis points (`_bps`), instants are UTC (`_at`).

A unique key beside a table is the idempotency of the step that writes it (money.md 2.1). Hot tables carry no foreign
keys to rows that get updated: inserting would lock the parent. Keys compare by bytes (ascii_bin): openids and order
numbers are case-sensitive. The table of orders is `orders` and order lines have no surrogate id: see docs/decisions.md.
"""

from __future__ import annotations

from domain.models.accounts import Account, ApiKey, ApiNonce, Audit
from domain.models.base import Base, Instant
from domain.models.campaigns import (
    Campaign,
    CampaignBatch,
    CampaignClick,
    CampaignFile,
    CampaignLink,
    CampaignOrder,
    CampaignRecipient,
    MassMonth,
)
from domain.models.chat import (
    Blacklisted,
    FollowerSync,
    MemberTag,
    MenuVersion,
    Reply,
    ReplyMedia,
    SeenFollower,
    Tag,
    TagMark,
    TagRule,
)
from domain.models.codes import (
    Code,
    CodeDay,
    PermanentGrant,
    PermanentPool,
    Picture,
    Poster,
    PosterTemplate,
    QrTicket,
    Scene,
)
from domain.models.commissions import Balance, Clawback, Commission, Hold, Posting
from domain.models.members import (
    BindingHistory,
    Event,
    Identity,
    Member,
    Relation,
    Tally,
    Tree,
)
from domain.models.messages import (
    Notice,
    NoticeTemplate,
    Outbox,
    ServiceWindow,
    SubscriptionCredit,
    TextOverride,
)
from domain.models.orders import Order, OrderLine, Product, Refund, RefundLine, Rule
from domain.models.payouts import Merchant, Reconciliation, Withdrawal, WithdrawalApproval
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
from domain.models.staff import (
    LoginGuard,
    SetupCode,
    Staff,
    StaffRecovery,
    StaffRole,
    StaffSession,
)
from domain.models.tasks import Task
from domain.models.tree import (
    AccountDay,
    Board,
    Daily,
    Dispute,
    DisputeNote,
    ImportedRow,
    Lease,
    Move,
    Standing,
)
from domain.models.webhooks import Webhook, WebhookAttempt

__all__ = [
    "APPEND_ONLY",
    "Account",
    "AccountDay",
    "ApiKey",
    "ApiNonce",
    "Audit",
    "Balance",
    "Base",
    "BindingHistory",
    "Blacklisted",
    "Board",
    "Campaign",
    "CampaignBatch",
    "CampaignClick",
    "CampaignFile",
    "CampaignLink",
    "CampaignOrder",
    "CampaignRecipient",
    "Clawback",
    "Code",
    "CodeDay",
    "Commission",
    "Daily",
    "Dispute",
    "DisputeNote",
    "Event",
    "FollowerSync",
    "Grade",
    "GradeHistory",
    "GradeMark",
    "Hold",
    "Identity",
    "ImportedRow",
    "Instant",
    "Lease",
    "LoginGuard",
    "MassMonth",
    "Member",
    "MemberTag",
    "MenuVersion",
    "Merchant",
    "Move",
    "Notice",
    "NoticeTemplate",
    "Order",
    "OrderClue",
    "OrderLine",
    "Outbox",
    "PermanentGrant",
    "PermanentPool",
    "Picture",
    "Poster",
    "PosterTemplate",
    "Posting",
    "Product",
    "PromoterApplication",
    "QrTicket",
    "Reconciliation",
    "Refund",
    "RefundLine",
    "RegistrationDay",
    "Relation",
    "Reply",
    "ReplyMedia",
    "RiskSignal",
    "Rule",
    "Scene",
    "SeenFollower",
    "ServiceWindow",
    "SetupCode",
    "Staff",
    "StaffRecovery",
    "StaffRole",
    "StaffSession",
    "Standing",
    "SubscriptionCredit",
    "Sweep",
    "Tag",
    "TagMark",
    "TagRule",
    "Tally",
    "Task",
    "TextOverride",
    "Tree",
    "Webhook",
    "WebhookAttempt",
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
    PermanentGrant.__tablename__,
)
"""Tables whose rows the database itself refuses to change or delete (triggers of the first migration)."""
