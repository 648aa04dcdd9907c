"""What the domain refuses, as data: a stable code, an HTTP-like status, and facts. Words are in texts.py."""

from __future__ import annotations

from typing import Any


class DomainError(Exception):
    """Root of everything the domain refuses on purpose.

    `code` is stable and documented in the API; `status` is the class of refusal in HTTP's numbers; `details` holds
    plain JSON values. `permanent` says whether the same request can ever succeed.
    """

    code = "refused"
    status = 422
    permanent = True

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class NotFound(DomainError):
    """The thing named does not exist, or belongs to another account, which must look the same."""

    code = "not_found"
    status = 404


class Conflict(DomainError):
    """The key is known already, with other content."""

    code = "conflict"
    status = 409


class OrderConflict(Conflict):
    code = "order_conflict"


class RefundConflict(Conflict):
    code = "refund_conflict"


class Invalid(DomainError):
    """The request cannot be right: a value out of range, a sum that does not add up."""

    code = "invalid"
    status = 422


class RefundTooLarge(Invalid):
    """More would be refunded than was paid."""

    code = "refund_too_large"


class LedgerBroken(DomainError):
    """An amount that must not exist was about to be posted: refused, never trimmed."""

    code = "ledger_refused"
    status = 500


class Busy(DomainError):
    """The database stayed locked or away for the whole deadline; the same request may succeed later."""

    code = "busy"
    status = 503
    permanent = False
