"""What each role may do: one table, on one screen. A page names the permission it needs (`allow=MEMBERS_READ`).

owner: everything, and who else may do what. finance: money that leaves. operator: people, goods and messages.
support: looks, to answer a customer; changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

OWNER: Final = "owner"
FINANCE: Final = "finance"
OPERATOR: Final = "operator"
SUPPORT: Final = "support"
ROLES: Final = (OWNER, FINANCE, OPERATOR, SUPPORT)


class Permission(StrEnum):
    """Something a person may do in one account. `READ` shows it, the others change it."""

    DASHBOARD_READ = "dashboard.read"
    MEMBERS_READ = "members.read"
    MEMBERS_CONTACT = "members.contact"
    """To see phone numbers, mail addresses and real names in clear."""
    MEMBERS_CHANGE = "members.change"
    PROMOTERS_DECIDE = "promoters.decide"
    DISPUTES_DECIDE = "disputes.decide"
    PRODUCTS_READ = "products.read"
    PRODUCTS_CHANGE = "products.change"
    ORDERS_READ = "orders.read"
    ORDERS_CHANGE = "orders.change"
    COMMISSIONS_READ = "commissions.read"
    RULES_READ = "rules.read"
    RULES_CHANGE = "rules.change"
    RISK_READ = "risk.read"
    RISK_DECIDE = "risk.decide"
    WITHDRAWALS_READ = "withdrawals.read"
    WITHDRAWALS_DECIDE = "withdrawals.decide"
    BOOKS_READ = "books.read"
    BROADCASTS_READ = "broadcasts.read"
    BROADCASTS_SEND = "broadcasts.send"
    CHAT_READ = "chat.read"
    CHAT_CHANGE = "chat.change"
    CODES_READ = "codes.read"
    CODES_CHANGE = "codes.change"
    DELIVERY_READ = "delivery.read"
    DELIVERY_CHANGE = "delivery.change"
    INTEGRATION_READ = "integration.read"
    INTEGRATION_CHANGE = "integration.change"
    SETTINGS_READ = "settings.read"
    SETTINGS_CHANGE = "settings.change"
    STAFF_CHANGE = "staff.change"
    AUDIT_READ = "audit.read"


P = Permission

_TABLE: Final = (
    #                        owner finance operator support
    (P.DASHBOARD_READ,       "x", "x", "x", "x"),
    (P.MEMBERS_READ,         "x", "x", "x", "x"),
    (P.MEMBERS_CONTACT,      "x", "x", " ", " "),
    (P.MEMBERS_CHANGE,       "x", " ", "x", " "),
    (P.PROMOTERS_DECIDE,     "x", " ", "x", " "),
    (P.DISPUTES_DECIDE,      "x", " ", "x", " "),
    (P.PRODUCTS_READ,        "x", "x", "x", "x"),
    (P.PRODUCTS_CHANGE,      "x", " ", "x", " "),
    (P.ORDERS_READ,          "x", "x", "x", "x"),
    (P.ORDERS_CHANGE,        "x", "x", "x", " "),
    (P.COMMISSIONS_READ,     "x", "x", "x", "x"),
    (P.RULES_READ,           "x", "x", "x", "x"),
    (P.RULES_CHANGE,         "x", " ", " ", " "),
    (P.RISK_READ,            "x", "x", "x", " "),
    (P.RISK_DECIDE,          "x", "x", " ", " "),
    (P.WITHDRAWALS_READ,     "x", "x", "x", "x"),
    (P.WITHDRAWALS_DECIDE,   "x", "x", " ", " "),
    (P.BOOKS_READ,           "x", "x", " ", " "),
    (P.BROADCASTS_READ,      "x", " ", "x", "x"),
    (P.BROADCASTS_SEND,      "x", " ", "x", " "),
    (P.CHAT_READ,            "x", " ", "x", "x"),
    (P.CHAT_CHANGE,          "x", " ", "x", " "),
    (P.CODES_READ,           "x", "x", "x", "x"),
    (P.CODES_CHANGE,         "x", " ", "x", " "),
    (P.DELIVERY_READ,        "x", "x", "x", "x"),
    (P.DELIVERY_CHANGE,      "x", " ", "x", " "),
    (P.INTEGRATION_READ,     "x", " ", "x", " "),
    (P.INTEGRATION_CHANGE,   "x", " ", " ", " "),
    (P.SETTINGS_READ,        "x", "x", "x", " "),
    (P.SETTINGS_CHANGE,      "x", " ", " ", " "),
    (P.STAFF_CHANGE,         "x", " ", " ", " "),
    (P.AUDIT_READ,           "x", "x", " ", " "),
)  # fmt: skip

MAY: Final[dict[Permission, frozenset[str]]] = {
    permission: frozenset(role for role, mark in zip(ROLES, marks, strict=True) if mark == "x")
    for permission, *marks in _TABLE
}


def may(role: str, permission: Permission) -> bool:
    """Whether this role may do it."""
    return role in MAY[permission]
