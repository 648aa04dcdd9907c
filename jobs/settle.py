"""Settlement of what is due, account by account, and folding of the team figures. Both go on where they stopped."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Final

from domain import accounts, commissions, tally
from domain.accounts import OpenAccount
from jobs.process import Process, current
from jobs.queues import FOLD, SETTLE, Errand

BATCH: Final = 500
FOLD_BATCH: Final = 2000
BUDGET_SECONDS: Final = 50

_log = logging.getLogger(__name__)


def settle_commissions() -> int:
    """RQ's way in: settle what is due now; how many commissions."""
    return settle(current())


def settle(process: Process, batch: int = BATCH) -> int:
    """One batch of each account in turn, until nothing is due, or time is up, or another job waits. What is wrong with
    one account is raised when the others have had their turn: they must not wait for it."""
    turn = deque(_accounts(process))
    settled = 0
    wrong: Exception | None = None
    give_up = time.monotonic() + BUDGET_SECONDS
    while turn:
        account = turn.popleft()
        try:
            count = _settle_batch(process, account, batch)
        except Exception as error:  # whatever it is concerns this account alone; raised below
            _log.exception("account %s does not settle", account.slug)
            wrong = wrong or error
            continue
        settled += count
        if count == batch:
            turn.append(account)
            if _is_over(process, give_up, SETTLE):
                break
    if wrong is not None:
        raise wrong
    return settled


def _settle_batch(process: Process, account: OpenAccount, batch: int) -> int:
    now = process.context.clock.now()
    return process.context.database.transact(
        lambda session: commissions.settle_due(session, account, now, batch)
    )


def fold_tallies() -> int:
    """RQ's way in: fold the unfolded team figures; how many rows."""
    return fold(current())


def fold(process: Process, batch: int = FOLD_BATCH) -> int:
    """Fold until nothing is unfolded, or time is up, or another job waits."""
    folded = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    try:
        while count := process.context.database.transact(lambda s: tally.fold(s, batch)):
            folded += count
            if count < batch or _is_over(process, give_up, FOLD):
                break
    except tally.FoldedBySomebodyElse:
        pass  # another worker is at it: there is nothing to repair
    return folded


def _accounts(process: Process) -> list[OpenAccount]:
    database, keyring = process.context.database, process.context.keyring
    return database.read(
        lambda session: [accounts.unseal(each, keyring) for each in accounts.all_of(session)]
    )


def _is_over(process: Process, give_up: float, errand: Errand) -> bool:
    """Asked after a full batch, never before the first: two errands that make room for each other would do nothing."""
    if process.stopping.is_set() or time.monotonic() > give_up:
        return True
    return process.leave_room(errand)
