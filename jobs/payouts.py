"""打款: approved withdrawals become transfers at WeChat Pay, and every transfer is asked about until it has ended.

Three steps (money.md 2.3, T6): `begin` and COMMIT; call WeChat Pay with nothing open in the database; record what it
says and COMMIT. A process that dies between two of them leaves a withdrawal that is *paying*: whoever comes next, a
repeated outbox row or the sweep, asks for its number before anything else. The number never changes.

Money comes back to the member only when WeChat Pay itself says FAIL or CANCELLED, in a signed answer or notice. Any
other trouble (an outcome nobody knows, a refusal, an answer that does not agree with our books) leaves the withdrawal
*paying*, is asked about again, and where a person is needed, sounds an alarm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from domain import merchants, outbox, payouts, withdrawals
from domain.accounts import OpenAccount
from domain.db import Database
from domain.errors import Conflict, NotFound
from domain.models import Withdrawal
from domain.outbox import Claimed
from domain.payouts import Payout, ProviderNews, Terms
from domain.secrets import Keyring, Unreadable
from domain.withdrawals import WrongState
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from jobs.queues import ASK
from wechat import pay
from wechat.errors import AccountMisconfigured, OutcomeUnknown
from wechat.pay import PayClient, PayRefused, Transfer, TransferOrder

REMARK: Final = "推广佣金提现"
BATCH: Final = 100
BUDGET_SECONDS: Final = 50
LIMITED: Final = "FREQUENCY_LIMITED"
NOT_APPROVED: Final = "not_approved"
"""An outbox row whose withdrawal was decided otherwise meanwhile."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Till:
    """What paying for one account needs."""

    process: Process
    account: OpenAccount
    client: PayClient
    terms: Terms

    @property
    def database(self) -> Database:
        return self.process.context.database

    @property
    def keyring(self) -> Keyring:
        return self.process.context.keyring


def open_till(process: Process, account_id: int) -> Till:
    """The till of an account; `AccountMisconfigured` while it has no usable merchant."""
    context = process.context
    try:
        account = process.account(account_id)
        merchant = context.database.read(
            lambda session: merchants.get(session, context.keyring, account_id)
        )
        client = context.till(account, merchant)
    except (NotFound, Unreadable, ValueError) as error:
        raise AccountMisconfigured(f"account {account_id}: {error}", path="payout") from error
    terms = Terms(merchant.mch_id, merchant.scene_id, REMARK, merchant.report_infos)
    return Till(process, account, client, terms)


# --- the outbox: paying what was just approved ----------------------------------------------------------------------


def drain_payouts() -> int:
    """RQ's way in: begin the payouts that are due."""
    return drain(current(), outbox.PAYOUT, prepare)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """The function that pays a row's withdrawal. The row is done when the payout is begun: the sweep does the rest."""

    def deliver(row: Claimed) -> Done:
        till = open_till(process, row.account_id)
        begun = start(till, row.payload["withdrawal"])
        return Done() if begun else Done(delivery=NOT_APPROVED)

    return deliver


def start(till: Till, withdrawal_id: int) -> bool:
    """Begin the payout, or carry on with it; False when the withdrawal is not to be paid."""
    now = till.process.context.clock.now()
    try:
        payout = till.database.transact(
            lambda session: payouts.begin(session, till.account, withdrawal_id, till.terms, now)
        )
    except WrongState:
        return False
    except Conflict as error:
        _sound(till, withdrawal_id, "other_merchant", mch_id=error.details.get("mch_id"))
        return True
    carry_on(till, payout)
    return True


# --- one step of one payout -----------------------------------------------------------------------------------------


def carry_on(till: Till, payout: Payout) -> None:
    """Ask, create where there is nothing to ask about, record. Never raises for what WeChat Pay does or says."""
    now = till.process.context.clock.now()
    if now - payout.paying_at > payouts.KNOWN_FOR:
        _sound(till, payout.id, "too_old")
        _ask_later(till, payout, payouts.ASK_WAITING)
        return
    try:
        transfer = _ask_or_create(till, payout)
    except OutcomeUnknown as error:
        _log.warning("payout %s: %s", payout.payout_no, error)
        _ask_later(till, payout, payouts.ASK_FIRST)
    except PayRefused as error:
        _log.warning("payout %s: %s", payout.payout_no, error)
        if error.code == LIMITED:
            _ask_later(till, payout, payouts.ASK_FIRST)
        else:
            _sound(till, payout.id, f"refused_{error.code}"[:64], message=str(error)[:190])
            _ask_later(till, payout, payouts.ASK_REFUSED)
    except (ValueError, Unreadable) as error:
        _sound(till, payout.id, "cannot_send", message=type(error).__name__)
        _ask_later(till, payout, payouts.ASK_REFUSED)
    else:
        if transfer is None:
            _end_unsent(till, payout, now)
        else:
            record(till, payout, transfer)


def _end_unsent(till: Till, payout: Payout, asked_at: datetime) -> None:
    """There was no bill when WeChat Pay was asked, and a person gave the payout up: it ends if no call of ours could be
    on its way then."""
    try:
        till.database.transact(
            lambda session: payouts.finish_unsent(session, till.account, payout.id, asked_at)
        )
    except WrongState:
        _ask_later(till, payout, payouts.GIVE_UP_AFTER)


def _ask_or_create(till: Till, payout: Payout) -> Transfer | None:
    """Query before anything is repeated. The same number again is right when there is no bill, when the bill waits for
    it (ACCEPTED, PROCESSING), and to learn the package_info that a lost answer took with it. A payout that a person
    gave up is asked about and never sent: None says that there is no bill."""
    number = payout.payout_no
    if payout.was_paying:
        found = pay.query_transfer(till.client, number)
        if found is not None and not _wants_creation(found, payout):
            return found
        if payout.giving_up_at is not None:
            return found
    order = _order(till, payout)
    if not till.database.read(lambda session: payouts.may_send(session, payout.id)):
        raise OutcomeUnknown("given up, or ended meanwhile", path="transfer-bills create")
    made = pay.create_transfer(till.client, order)
    if not made.is_final:
        return made
    # The answer of a creation names neither amount nor receiver: what ends a payout must.
    found = pay.query_transfer(till.client, number)
    if found is None:
        raise OutcomeUnknown("created and then unknown", path="transfer-bills query")
    return found


def _wants_creation(found: Transfer, payout: Payout) -> bool:
    if found.state == payouts.WAITING:
        return not payout.has_package
    return found.state in {"ACCEPTED", "PROCESSING"}


def _order(till: Till, payout: Payout) -> TransferOrder:
    name = None
    if payout.real_name is not None and payout.amount_fen >= withdrawals.NAME_NEEDED_FEN:
        name = till.keyring.open(payout.real_name, f"member/{payout.member_id}/real_name")
    return TransferOrder(
        payout.payout_no, payout.openid, payout.amount_fen, payout.terms.scene_id, payout.terms.remark,
        payout.terms.report_infos, name,
    )  # fmt: skip


def record(till: Till, payout: Payout, transfer: Transfer) -> bool:
    """Write down what WeChat Pay says; whether it agrees with what we asked for."""
    now = till.process.context.clock.now()
    problem = mismatch(payout, transfer)
    if problem is not None:
        _sound(till, payout.id, "mismatch", **problem)
        _ask_later(till, payout, payouts.ASK_REFUSED)
        return False
    news = ProviderNews(
        transfer.state, transfer.transfer_bill_no, transfer.package_info, transfer.fail_reason, transfer.created_at
    )  # fmt: skip
    try:
        till.database.transact(
            lambda session: payouts.record_news(session, till.account, payout.id, news, now)
        )
    except WrongState as error:
        _sound(till, payout.id, "contradiction", said=transfer.state, ours=error.details.get("status"))  # fmt: skip
        return False
    return True


def mismatch(payout: Payout, transfer: Transfer) -> dict[str, str] | None:
    """What WeChat Pay says otherwise than we asked for; None when all that it says agrees."""
    return payouts.mismatch(
        payout,
        number=transfer.out_bill_no,
        mch_id=transfer.mch_id,
        openid=transfer.openid,
        amount_fen=transfer.amount_fen,
        complete=transfer.is_final,
    )


def _sound(till: Till, withdrawal_id: int, alarm: str, **facts: object) -> None:
    sound(till.process, till.account.id, withdrawal_id, alarm, **facts)


def sound(
    process: Process, account_id: int, withdrawal_id: int, alarm: str, **facts: object
) -> None:
    """Sound an alarm, in the books and in the log, unless it is on already."""
    now = process.context.clock.now()
    if process.context.database.transact(
        lambda session: withdrawals.sound_by_id(
            session, account_id, withdrawal_id, alarm, now, **facts
        )
    ):
        _log.error("payout alarm %s: withdrawal %s %s", alarm, withdrawal_id, facts)


def _ask_later(till: Till, payout: Payout, pause: timedelta) -> None:
    _put_off(till.process, payout.id, pause)


def _put_off(process: Process, withdrawal_id: int, pause: timedelta) -> None:
    until = process.context.clock.now() + pause
    process.context.database.transact(
        lambda session: payouts.ask_later(session, withdrawal_id, until)
    )


# --- the sweep ------------------------------------------------------------------------------------------------------


def ask_about_payouts() -> int:
    """RQ's way in: look after every payout whose time has come; how many."""
    return ask(current())


def ask(process: Process) -> int:
    """Each due payout once, many at a time, until none is due, or time is up, or another job waits."""
    asked = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    while time.monotonic() < give_up and not process.stopping.is_set():
        now = process.context.clock.now()
        due = process.context.database.read(partial(payouts.due_to_ask, now=now, limit=BATCH))
        if not due:
            break
        list(process.senders.map(lambda row: _look_after(process, row), due))
        asked += len(due)
        if process.leave_room(ASK):
            break
    return asked


def _look_after(process: Process, row: Withdrawal) -> None:
    """One due payout. Whatever is wrong with it concerns it alone: the others must not wait for it."""
    context = process.context
    until = context.clock.now() + payouts.ASK_LEASE
    try:
        taken = context.database.transact(
            lambda session: payouts.ask_later(session, row.id, until, seen=row.ask_at)
        )
        if taken:
            start(open_till(process, row.account_id), row.id)
    except AccountMisconfigured as error:
        sound(process, row.account_id, row.id, "no_merchant", message=str(error)[:190])
        _put_off(process, row.id, payouts.ASK_REFUSED)
    except Exception:
        # Like a row of a drain: logged with its trace, and asked about again when the lease is over.
        _log.exception("withdrawal %s cannot be looked after", row.id)
