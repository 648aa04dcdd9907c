"""Who changed what, before and after. Append-only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from domain.db import to_json
from domain.models import Audit


def record(
    session: Session,
    account_id: int | None,
    *,
    actor: str,
    action: str,
    subject: str,
    before: Any = None,
    after: Any = None,
    now: datetime,
) -> int:
    """Note a change by a person or a command; the note's id. `subject` is like "member/12". No secrets in `before` and
    `after`."""
    row = Audit(
        account_id=account_id, actor=actor, action=action, subject=subject, at=now,
        before=None if before is None else to_json(before), after=None if after is None else to_json(after),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id
