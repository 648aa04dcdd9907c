"""What the clock has done for every account now and then: grades, holds that lapse, risk signals.

Each goes on where it stopped: a step is one transaction, and an account whose step fails does not keep the others
waiting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import accounts, grades, holds, risk
from domain.accounts import OpenAccount
from domain.errors import DomainError
from jobs.process import Process, current
from jobs.queues import GRADES, HOLDS, RISK, Errand

BUDGET_SECONDS: Final = 50

_log = logging.getLogger(__name__)

Step = Callable[[Session, OpenAccount, datetime], bool]
"""One transaction for an account; whether there is more to do."""


def sweep_grades() -> int:
    """RQ's way in: look at members whose grade may change; how many steps."""
    return in_steps(current(), GRADES, _sweep_some)


def lapse_holds() -> int:
    """RQ's way in: end holds and signals that nobody decided in time; how many steps."""
    return in_steps(current(), HOLDS, _lapse_some)


def watch_risk() -> int:
    """RQ's way in: ask every account's questions, raise what is new, and hold what open signals ask for."""
    process = current()
    for account in _accounts(process):
        if process.stopping.is_set():
            break
        _guarded("risk", account, partial(watch, process, account))
    return in_steps(process, RISK, _hold_some)


def watch(process: Process, account: OpenAccount) -> list[int]:
    """One account's questions: read outside a transaction, write what they found; the ids of new signals."""
    now = process.context.clock.now()
    database = process.context.database
    found = database.read(lambda session: risk.find(session, account, now))
    if not found:
        return []
    return database.transact(lambda session: risk.raise_signals(session, account, found, now))


def _sweep_some(session: Session, account: OpenAccount, now: datetime) -> bool:
    return not grades.sweep(session, account.id, now).finished


def _lapse_some(session: Session, account: OpenAccount, now: datetime) -> bool:
    risk.lapse_due(session, account, now)
    return holds.lapse_due(session, account.id, now) > 0


def _hold_some(session: Session, account: OpenAccount, now: datetime) -> bool:
    return risk.hold_for_open(session, account, now) > 0


def in_steps(process: Process, errand: Errand, step: Step) -> int:
    """One step of each account in turn, until nothing is left, or time is up, or another job waits; how many."""
    left = _accounts(process)
    taken = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    while left:
        for account in list(left):
            late = process.stopping.is_set() or time.monotonic() > give_up
            if late or process.leave_room(errand):
                return taken
            taken += 1
            if not _guarded(errand.name, account, partial(_run, process, step, account)):
                left.remove(account)
    return taken


def _run(process: Process, step: Step, account: OpenAccount) -> bool:
    now = process.context.clock.now()
    return process.context.database.transact(lambda session: step(session, account, now))


def _guarded(what: str, account: OpenAccount, do: Callable[[], object]) -> bool:
    """Whether it was done and there is more; a failure concerns this account alone and is looked at again next time."""
    try:
        return bool(do())
    except (DomainError, DBAPIError) as error:
        _log.warning("%s of %s: %s: %s", what, account.slug, type(error).__name__, error)
        return False


def _accounts(process: Process) -> list[OpenAccount]:
    database, keyring = process.context.database, process.context.keyring
    return database.read(
        lambda session: [accounts.unseal(each, keyring) for each in accounts.all_of(session)]
    )
