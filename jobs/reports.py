"""Statistics by day and rankings, account by account (domain/reports.py)."""

from __future__ import annotations

from domain import accounts, glance, reports
from jobs.process import Process, current


def refresh_reports() -> int:
    """RQ's way in: how many daily rows changed."""
    return refresh(current())


def refresh(process: Process) -> int:
    """The days that may have changed and the rankings of every account. Whatever is not done is done the next time."""
    context = process.context
    ids = context.database.read(lambda session: [one.id for one in accounts.all_of(session)])
    changed = 0
    for account_id in ids:
        if process.stopping.is_set():
            break
        changed += reports.refresh(context.database, account_id, context.clock.now())["daily"]
        glance.count(context.database, account_id, context.clock.now())
    return changed
