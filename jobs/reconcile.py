"""对账: once a day every recent transfer is compared with what WeChat Pay says of it, by its number, and what ended on
a day with the fund-flow bills of the days around it. It alarms and never repairs; what it found is kept
(`domain.reconciliations`).

By number: WeChat Pay keeps bills for 30 days, so a transfer is compared for four weeks after it ended: one that turns
out otherwise later than the notice said is found as well. By bill: what WeChat Pay moved and we know nothing of, what
we call paid and it never moved, and any other amount. A transfer's money moves when it is created and comes back when
it fails, up to a day before or shortly after it ended here; so three bills are read for one day, and that day is the
one before yesterday.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import accounts, alerts, audit, merchants, reconciliations, withdrawals
from domain.china import CHINA, day_of
from domain.models import Withdrawal
from domain.payouts import NEVER_SENT, Payout, payout_of, to_reconcile
from domain.reconciliations import BILL, NUMBERS, Comparison
from jobs import payouts
from jobs.payouts import Till
from jobs.process import Process, current
from wechat import bills, pay
from wechat.bills import Movement
from wechat.errors import AccountMisconfigured, OutcomeUnknown
from wechat.pay import PayRefused, Transfer

WINDOW: Final = timedelta(days=28)
BATCH: Final = 100
BILLS_FROM_HOUR: Final = 10
"""Beijing's hour from which yesterday's bill is there (made from nine)."""

_EXPECTED: Final = {"paid": {pay.SUCCESS}, "failed": {pay.FAIL, pay.CANCELLED}}
"""How a transfer that ended here ended there. One that is still paying may be anywhere: the sweep sees to it."""

_log = logging.getLogger(__name__)


def reconcile_payouts() -> int:
    """RQ's way in, every hour: compare what has not been compared today, of every account; how many differ."""
    process = current()
    rows = process.context.database.read(accounts.all_of)
    return sum(len(one.differences) for row in rows for one in reconcile_due(process, row.id))


def reconcile_due(process: Process, account_id: int) -> list[Comparison]:
    """Both comparisons of the account, each unless its day has been compared and had all answers. None for an account
    without a merchant number that has paid nobody: there is nothing to compare, and nobody to ask."""
    now = process.context.clock.now()
    if not process.context.database.read(partial(_pays, account_id=account_id, now=now)):
        return []
    found = []
    for kind, day, compare in (
        (NUMBERS, day_of(now), reconcile),
        (BILL, bill_day(process), reconcile_bill),
    ):
        if not process.context.database.read(
            lambda session, kind=kind, day=day: reconciliations.is_done(
                session, account_id, kind, day
            )  # type: ignore[misc]
        ):
            found.append(compare(process, account_id))
    return found


def _pays(session: Session, account_id: int, now: datetime) -> bool:
    return merchants.is_set(session, account_id) or bool(
        to_reconcile(session, account_id, now - WINDOW, after_id=0, limit=1)
    )


def bill_day(process: Process) -> date:
    """The day whose bills, and those of the days around it, are all there."""
    local = process.context.clock.now().astimezone(CHINA)
    return local.date() - timedelta(days=2 if local.hour >= BILLS_FROM_HOUR else 3)


def _keep(process: Process, account_id: int, kind: str, day: date, found: Comparison) -> None:
    now = process.context.clock.now()
    process.context.database.transact(
        lambda session: reconciliations.record(session, account_id, kind, day, found, now)
    )
    _log.info("account %s: %s: %s transfers agree, %s differ, %s without an answer",
              account_id, kind, found.compared, len(found.differences), found.unanswered)  # fmt: skip


# --- by number ------------------------------------------------------------------------------------------------------


def reconcile(process: Process, account_id: int, window: timedelta = WINDOW) -> Comparison:
    """Compare the account's transfers that ended within `window` or are under way."""
    total = Comparison()
    since, after = process.context.clock.now() - window, 0
    till: Till | None = None
    while not process.stopping.is_set():
        rows = process.context.database.read(
            partial(to_reconcile, account_id=account_id, since=since, after_id=after, limit=BATCH)
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
    today = day_of(process.context.clock.now())
    _keep(process, account_id, NUMBERS, today, total)
    return total


def _till_or_none(process: Process, account_id: int) -> Till | None:
    try:
        return payouts.open_till(process, account_id)
    except AccountMisconfigured as error:
        _log.error("cannot reconcile: %s", error)
        return None


def _compare(till: Till, row: Withdrawal) -> Comparison:
    payout = till.database.read(lambda session: payout_of(session, row))
    if payout.terms.mch_id != till.client.mch_id:
        return Comparison(unanswered=1)  # "no such bill" would say nothing about another merchant's
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
        # A payout that has just begun has no bill yet, one that was given up never had one; others that ended had.
        if expected is None or row.provider_state == NEVER_SENT:
            return None
        return {"field": "bill", "ours": row.status, "theirs": "none"}
    if expected is not None and found.state not in expected:
        return {"field": "state", "ours": row.status, "theirs": found.state}
    return payouts.mismatch(payout, found)


# --- by bill --------------------------------------------------------------------------------------------------------


def reconcile_bill(process: Process, account_id: int) -> Comparison:
    """Compare what ended on `bill_day` with the bills of that day and its neighbours."""
    day = bill_day(process)
    till = _till_or_none(process, account_id)
    found = Comparison(unanswered=1) if till is None else _compare_bills(till, day)
    if till is None and not process.context.database.read(
        lambda session: reconciliations.ended_on(session, account_id, day, limit=1)
    ):
        found = Comparison()  # an account that pays nobody has no merchant to ask
    _keep(process, account_id, BILL, day, found)
    return found


def _compare_bills(till: Till, day: date) -> Comparison:
    try:
        around = [bills.fund_flow(till.client, day + timedelta(days=n)) for n in (-1, 0, 1)]
    except (OutcomeUnknown, PayRefused) as error:
        _log.warning("the bills around %s: %s", day, error)
        return Comparison(unanswered=1)
    moved = _moved(around)
    total = Comparison()
    after = 0
    while rows := till.database.read(
        partial(reconciliations.ended_on, account_id=till.account.id, day=day, after_id=after)
    ):
        for row in rows:
            total.add(_compare_with_bill(till, row, moved))
        after = rows[-1].id
    total.differences += _unknown_here(till, day, around[1])
    return total


def _moved(around: Sequence[Sequence[Movement]]) -> dict[str, int]:
    """Fen that left in all, by either number of the business."""
    moved: dict[str, int] = defaultdict(int)
    for one in (one for rows in around for one in rows):
        for number in {one.own_no, one.provider_no} - {""}:
            moved[number] += one.out_fen
    return moved


def _compare_with_bill(till: Till, row: Withdrawal, moved: dict[str, int]) -> Comparison:
    payout = till.database.read(lambda session: payout_of(session, row))
    if payout.terms.mch_id != till.client.mch_id:
        return Comparison(unanswered=1)  # it is in another merchant's bill
    paid_fen = payout.amount_fen if row.status == withdrawals.PAID else 0
    theirs = moved.get(row.payout_no, moved.get(row.provider_bill_no or ""))
    if theirs == paid_fen or (theirs is None and not paid_fen):
        return Comparison(compared=1, paid_fen=paid_fen)
    difference = {
        "field": "bill_row" if theirs is None else "bill_fen",
        "ours": str(paid_fen), "theirs": "none" if theirs is None else str(theirs),
    }  # fmt: skip
    payouts.sound(till.process, row.account_id, row.id, "difference", **difference)
    facts = {"withdrawal": row.id, "payout_no": row.payout_no, "status": row.status, **difference}
    return Comparison(compared=1, differences=[facts])


def _unknown_here(till: Till, day: date, rows: Sequence[Movement]) -> list[dict[str, Any]]:
    """Transfers in the bill that no payout of this installation is; noted once a day and number."""
    sent = [one for one in rows if one.is_transfer and one.out_fen > 0]
    known: set[str] = set()
    for start in range(0, len(sent), BATCH):
        part = sent[start : start + BATCH]
        known |= till.database.read(
            partial(
                reconciliations.ours_among, mch_id=till.client.mch_id, own_nos=[one.own_no for one in part],
                provider_nos=[one.provider_no for one in part],
            )
        )  # fmt: skip
    strange = [
        {"field": "not_ours", "ours": "none", "theirs": str(one.out_fen), "payout_no": one.own_no,
         "provider_bill_no": one.provider_no}
        for one in sent if not {one.own_no, one.provider_no} & known
    ]  # fmt: skip
    if strange:
        _log.error("bill of %s: %s transfers are not ours: %s", day, len(strange), strange[:5])
        now = till.process.context.clock.now()
        facts = {"day": day.isoformat(), "count": len(strange), "first": strange[:5]}

        def note(session: Session) -> None:
            audit.record(
                session, till.account.id, actor="system", action="bill_difference", subject=f"bill/{day}",
                after=facts, now=now,
            )  # fmt: skip
            alerts.raise_alert(
                session, till.account.id, alerts.BILL_DIFFERENCE, day.isoformat(), facts, now
            )

        till.database.transact(note)
    return strange
