"""对账: once a day every recent transfer is compared with what WeChat Pay says of it. It alarms and never repairs.

WeChat Pay keeps bills for 30 days, so a transfer is compared for four weeks after it ended: one that turns out
otherwise later than the notice said is found as well.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

from domain import accounts, withdrawals
from domain.models import Withdrawal
from domain.withdrawals import Payout
from jobs import payouts
from jobs.payouts import Till
from jobs.process import Process, current
from wechat import pay
from wechat.errors import AccountMisconfigured, OutcomeUnknown
from wechat.pay import PayRefused, Transfer

WINDOW: Final = timedelta(days=28)
BATCH: Final = 100

_EXPECTED: Final = {"paid": {pay.SUCCESS}, "failed": {pay.FAIL, pay.CANCELLED}}
"""How a transfer that ended here ended there. One that is still paying may be anywhere: the sweep sees to it."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Comparison:
    """What a reconciliation found: how many were compared, how many could not be, and every difference."""

    compared: int = 0
    unanswered: int = 0
    paid_fen: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.differences and not self.unanswered

    def add(self, other: Comparison) -> None:
        self.compared += other.compared
        self.unanswered += other.unanswered
        self.paid_fen += other.paid_fen
        self.differences += other.differences


def reconcile_payouts() -> int:
    """RQ's way in: compare the transfers of every account; how many differ."""
    process = current()
    rows = process.context.database.read(accounts.all_of)
    return sum(len(reconcile(process, row.id).differences) for row in rows)


def reconcile(process: Process, account_id: int, window: timedelta = WINDOW) -> Comparison:
    """Compare the account's transfers that ended within `window` or are under way."""
    total = Comparison()
    since, after = process.context.clock.now() - window, 0
    till: Till | None = None
    while not process.stopping.is_set():
        rows = process.context.database.read(
            lambda session, after=after: withdrawals.to_reconcile(  # type: ignore[misc]
                session, account_id, since, after_id=after, limit=BATCH
            )
        )
        if not rows:
            break
        till = till or _till_or_none(process, account_id)
        if till is None:
            total.unanswered += len(rows)
        else:
            for found in process.senders.map(partial(_compare, till), rows):
                total.add(found)
        after = rows[-1].id
    _log.info("account %s: %s transfers agree, %s differ, %s without an answer",
              account_id, total.compared, len(total.differences), total.unanswered)  # fmt: skip
    return total


def _till_or_none(process: Process, account_id: int) -> Till | None:
    try:
        return payouts.open_till(process, account_id)
    except AccountMisconfigured as error:
        _log.error("cannot reconcile: %s", error)
        return None


def _compare(till: Till, row: Withdrawal) -> Comparison:
    payout = till.database.read(lambda session: withdrawals.payout_of(session, row))
    try:
        found = pay.query_transfer(till.client, payout.payout_no)
    except (OutcomeUnknown, PayRefused) as error:
        _log.warning("reconciling %s: %s", payout.payout_no, error)
        return Comparison(unanswered=1)
    difference = difference_between(row, payout, found)
    if difference is None:
        paid_fen = payout.amount_fen if row.status == withdrawals.PAID else 0
        return Comparison(compared=1, paid_fen=paid_fen)
    facts = {"withdrawal": row.id, "payout_no": row.payout_no, "status": row.status, **difference}
    payouts.sound(till.process, row.account_id, row.id, "difference", **difference)
    return Comparison(compared=1, differences=[facts])


def difference_between(
    row: Withdrawal, payout: Payout, found: Transfer | None
) -> dict[str, str] | None:
    """What does not agree between our withdrawal and WeChat Pay's bill, if anything. Pure."""
    expected = _EXPECTED.get(row.status)
    if found is None:
        # A payout that has just begun has no bill yet; one that ended here had one.
        return None if expected is None else {"field": "bill", "ours": row.status, "theirs": "none"}
    if expected is not None and found.state not in expected:
        return {"field": "state", "ours": row.status, "theirs": found.state}
    return payouts.mismatch(payout, found)
