"""Settlement of what is due, account by account, and folding of the team figures. Both go on where they stopped."""

from __future__ import annotations

import time
from typing import Final

from domain import accounts, commissions, tally
from domain.accounts import OpenAccount
from jobs.process import Process, current
from jobs.queues import FOLD, SETTLE, Errand

BATCH: Final = 500
BUDGET_SECONDS: Final = 50


def settle_commissions() -> int:
    """RQ's way in: settle what is due now; how many commissions."""
    return settle(current())


def settle(process: Process, batch: int = BATCH) -> int:
    """One batch of each account in turn, until nothing is due, or time is up, or another job waits."""
    left = _accounts(process)
    settled = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    while left:
        for account in list(left):
            if _is_over(process, give_up, SETTLE):
                return settled
            now = process.context.clock.now()
            count = process.context.database.transact(
                lambda session, account=account, now=now: commissions.settle_due(  # type: ignore[misc]
                    session, account, now, batch
                )
            )
            settled += count
            if count < batch:
                left.remove(account)
    return settled


def fold_tallies() -> int:
    """RQ's way in: fold the unfolded team figures; how many rows."""
    return fold(current())


def fold(process: Process) -> int:
    """Fold until nothing is unfolded, or time is up, or another job waits."""
    folded = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    while not _is_over(process, give_up, FOLD):
        try:
            count = process.context.database.transact(tally.fold)
        except tally.FoldedBySomebodyElse:
            break  # another worker is at it: there is nothing to repair
        if count == 0:
            break
        folded += count
    return folded


def _accounts(process: Process) -> list[OpenAccount]:
    database, keyring = process.context.database, process.context.keyring
    return database.read(
        lambda session: [accounts.unseal(each, keyring) for each in accounts.all_of(session)]
    )


def _is_over(process: Process, give_up: float, errand: Errand) -> bool:
    if process.stopping.is_set() or time.monotonic() > give_up:
        return True
    return process.leave_room(errand)
