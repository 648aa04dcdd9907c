"""What staff must hear of at once, whatever it is about: an outbox row that jobs/alerts.py carries to the webhook and
the openids that the account names. Risk signals (risk.py) use the same channel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import notices, outbox

REFUND_REFUSED: Final = "refund_refused"
BILL_DIFFERENCE: Final = "bill_difference"
KINDS: Final = (REFUND_REFUSED, BILL_DIFFERENCE)
"""Beside those of risk.py; each has its words under `risk.<kind>`."""


def raise_alert(
    session: Session,
    account_id: int,
    kind: str,
    key: str,
    evidence: Mapping[str, Any],
    now: datetime,
) -> None:
    """Tell staff once: `key` is unique for ever in the account, a repeat changes nothing. There is no signal to review
    behind it."""
    tell(session, account_id, f"{kind}-{account_id}-{key}", kind=kind, evidence=evidence, now=now)


def tell(
    session: Session,
    account_id: int,
    key: str,
    *,
    kind: str,
    evidence: Mapping[str, Any],
    now: datetime,
    signal: int | None = None,
    member_id: int | None = None,
    holds: bool = False,
) -> None:
    """Write the message to staff, in the form that their webhook knows."""
    payload = {
        "occasion": notices.RISK_ALERT, "signal": signal, "kind": kind, "member": member_id,
        "evidence": dict(evidence), "holds": holds, "at": now.isoformat(),
    }  # fmt: skip
    outbox.put_once(
        session, outbox.Message(account_id, outbox.ALERT, f"alert-{key}", payload, now), now
    )
