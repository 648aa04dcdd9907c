"""提现: a member asks for money, people approve it, WeChat Pay or a person pays it. A guarded state machine.

requested → approved → paying → paid / failed; requested → rejected. Asking moves the amount from available to
withdrawing in one compare-and-set, so no two requests can spend the same fen; rejection and failure move it back;
payment posts what is paid, the fee and the tax one by one. `payout_no` is derived from the request, is the number at
WeChat Pay, and never changes: after any doubt it is asked for, never replaced (platform.md 12.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit, ledger, notices, outbox
from domain.accounts import OpenAccount
from domain.db import Sql, changed, is_duplicate
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.ledger import Entry
from domain.models import Member, RiskSignal, Withdrawal, WithdrawalApproval
from domain.money import share
from domain.secrets import short_digest

REQUESTED: Final = "requested"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"
PAYING: Final = "paying"
PAID: Final = "paid"
FAILED: Final = "failed"
OPEN: Final = (REQUESTED, APPROVED, PAYING)

AUTOMATIC: Final = "automatic"
"""The actor of an approval below the account's limit."""
CHINA: Final = timedelta(hours=8)
"""A merchant's day is Beijing's; there is no daylight saving time to mind."""


class NotEnough(DomainError):
    """The available balance is smaller than the amount, or below zero."""

    code = "not_enough"


class LimitReached(DomainError):
    """More, or more often, than the account allows on one day; `details` names the limit."""

    code = "withdrawal_limit"


class WrongState(Conflict):
    """Somebody was first: the withdrawal is no longer in the state that this step needs."""

    code = "wrong_state"


@dataclass(frozen=True, slots=True)
class ProviderNews:
    """What WeChat Pay says of a transfer: its state word, its own number, and what the member needs to confirm."""

    state: str
    bill_no: str | None = None
    package_info: str | None = None
    reason: str | None = None


# --- asking ---------------------------------------------------------------------------------------------------------

_RESERVE = Sql(
    "UPDATE balance SET available_fen = available_fen - ?, withdrawing_fen = withdrawing_fen + ?"
    " WHERE member_id = ? AND available_fen >= ?"
)


def request(
    session: Session,
    account: OpenAccount,
    member: Member,
    amount_fen: int,
    *,
    client_token: str,
    audited: bool = False,
    now: datetime,
) -> Withdrawal:
    """Ask for money. `client_token` (a MsgId, a form's token) makes a repeat the same request.

    Raises `Invalid` (amount out of range, member suspended), `NotEnough`, `LimitReached`, and `Conflict` for the same
    token with another amount. Up to the account's limit it is approved at once, unless `audited` or an open risk signal
    about the member asks for a person.
    """
    known = _find_by_token(session, member.id, client_token)
    if known is not None:
        return _same(known, amount_fen)
    settings = account.settings
    if not settings.withdraw_min_fen <= amount_fen <= settings.withdraw_max_fen:
        raise Invalid(
            "the amount is out of range",
            min_fen=settings.withdraw_min_fen,
            max_fen=settings.withdraw_max_fen,
        )
    if member.status != "active":
        raise Invalid("the member is suspended", reason="suspended")
    # The reservation locks the balance row: everything below sees the requests of this member that came before.
    if not changed(_RESERVE(session, amount_fen, amount_fen, member.id, amount_fen)):
        raise NotEnough("the available balance is smaller", amount_fen=amount_fen)
    _check_day(session, account, member.id, amount_fen, now)
    withdrawal = Withdrawal(
        account_id=account.id, member_id=member.id, client_token=client_token, method=settings.payout_method,
        payout_no=short_digest(f"payout {account.app_id} {member.openid} {client_token}"),
        amount_fen=amount_fen, fee_fen=share(amount_fen, settings.withdraw_fee_bps),
        tax_fen=share(amount_fen, settings.withdraw_tax_bps), status=REQUESTED, round=1, requested_at=now,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(withdrawal)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        raise WrongState("this request is being made already", client_token=client_token) from error
    _post(
        session,
        withdrawal,
        f"hold-{withdrawal.id}",
        ledger.AVAILABLE,
        ledger.WITHDRAWING,
        amount_fen,
        "hold",
        now,
    )
    _tell(session, withdrawal, notices.WITHDRAWAL_REQUESTED, now)
    small = amount_fen <= settings.audit_above_fen and not audited
    if small and not _is_watched(session, member.id):
        approve(session, account, withdrawal.id, actor=AUTOMATIC, now=now)
    return withdrawal


def _is_watched(session: Session, member_id: int) -> bool:
    """Whether a risk signal about the member waits for a person: then their withdrawals do, too."""
    query = select(RiskSignal.id).where(
        RiskSignal.member_id == member_id, RiskSignal.status == "open"
    )
    return session.scalar(query.limit(1)) is not None


def _find_by_token(session: Session, member_id: int, client_token: str) -> Withdrawal | None:
    query = select(Withdrawal).where(
        Withdrawal.member_id == member_id, Withdrawal.client_token == client_token
    )
    return session.scalar(query)


def _same(known: Withdrawal, amount_fen: int) -> Withdrawal:
    if known.amount_fen != amount_fen:
        raise Conflict(
            "this token belongs to a request of another amount", client_token=known.client_token
        )
    return known


def _check_day(
    session: Session, account: OpenAccount, member_id: int, amount_fen: int, now: datetime
) -> None:
    local = now + CHINA
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) - CHINA
    query = select(func.count(), func.coalesce(func.sum(Withdrawal.amount_fen), 0)).where(
        Withdrawal.member_id == member_id,
        Withdrawal.requested_at >= midnight,
        Withdrawal.status.not_in((REJECTED, FAILED)),
    )
    number, total_fen = session.execute(query).one()
    if number >= account.settings.withdraw_per_day:
        raise LimitReached("no more requests today", per_day=account.settings.withdraw_per_day)
    if int(total_fen) + amount_fen > account.settings.withdraw_day_sum_fen:
        raise LimitReached(
            "more than a day's sum", day_sum_fen=account.settings.withdraw_day_sum_fen
        )


# --- deciding -------------------------------------------------------------------------------------------------------


def approve(
    session: Session, account: OpenAccount, withdrawal_id: int, *, actor: str, now: datetime
) -> Withdrawal:
    """One person's yes. Above the account's second limit it takes two different people; with the last yes the payout
    is on its way. Raises `WrongState`, and `Conflict` when this person has said yes already."""
    withdrawal = _locked(session, account.id, withdrawal_id)
    if withdrawal.status != REQUESTED:
        raise WrongState("the withdrawal is not waiting for approval", status=withdrawal.status)
    said = select(WithdrawalApproval.actor).where(
        WithdrawalApproval.withdrawal_id == withdrawal.id,
        WithdrawalApproval.round == withdrawal.round,
    )
    actors = set(session.scalars(said))
    if actor in actors:
        raise Conflict("the second approval needs another person", actor=actor)
    session.add(
        WithdrawalApproval(withdrawal_id=withdrawal.id, round=withdrawal.round, actor=actor, at=now)
    )
    _note(session, withdrawal, actor, "withdrawal_approved", now)
    needed = 2 if withdrawal.amount_fen > account.settings.second_above_fen else 1
    if len(actors) + 1 < needed:
        session.flush()
        return withdrawal
    withdrawal.status, withdrawal.decided_at = APPROVED, now
    session.flush()
    _tell(session, withdrawal, notices.WITHDRAWAL_APPROVED, now)
    if withdrawal.method == "wechat":
        key = f"payout-{withdrawal.id}-{withdrawal.round}"
        message = outbox.Message(
            account.id, outbox.PAYOUT, key, {"withdrawal": withdrawal.id}, now, withdrawal.member_id
        )
        outbox.put(session, [message], now)
    return withdrawal


def reject(
    session: Session,
    account: OpenAccount,
    withdrawal_id: int,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> Withdrawal:
    """A person's no, with its reason; the money is available again. Raises `WrongState`."""
    if not reason.strip():
        raise Invalid("a rejection needs a reason")
    withdrawal = _locked(session, account.id, withdrawal_id)
    if withdrawal.status != REQUESTED:
        raise WrongState("the withdrawal is not waiting for approval", status=withdrawal.status)
    withdrawal.status, withdrawal.reason, withdrawal.decided_at = REJECTED, reason.strip(), now
    withdrawal.finished_at = now
    session.flush()
    _note(session, withdrawal, actor, "withdrawal_rejected", now)
    _give_back(session, withdrawal, now)
    _tell(session, withdrawal, notices.WITHDRAWAL_REJECTED, now, reason=withdrawal.reason)
    return withdrawal


_ASK_AGAIN = Sql(
    "UPDATE withdrawal SET status = 'requested', round = round + 1, decided_at = NULL"
    " WHERE status = 'approved' AND member_id IN"
    " (SELECT member_id FROM balance WHERE available_fen < 0 AND member_id IN (??))"
)


def ask_again_for_debtors(session: Session, member_ids: Sequence[int]) -> int:
    """After claw-backs: approved withdrawals of members who owe money now wait for people again; those that are being
    paid are left to finish. How many."""
    return changed(_ASK_AGAIN.among(session, (), member_ids)) if member_ids else 0


# --- paying ---------------------------------------------------------------------------------------------------------


def begin(session: Session, account: OpenAccount, withdrawal_id: int, now: datetime) -> Withdrawal:
    """approved → paying, to be committed before WeChat Pay hears of it. A withdrawal that is paying already is
    returned as it is: the caller asks for its number first. Raises `WrongState` for any other state."""
    withdrawal = _locked(session, account.id, withdrawal_id)
    if withdrawal.status == APPROVED:
        withdrawal.status, withdrawal.paying_at = PAYING, now
        session.flush()
    elif withdrawal.status != PAYING:
        raise WrongState("the withdrawal is not to be paid", status=withdrawal.status)
    return withdrawal


def record_progress(
    session: Session, account: OpenAccount, withdrawal_id: int, news: ProviderNews, now: datetime
) -> Withdrawal:
    """Keep what WeChat Pay says of a transfer that goes on; the member is asked once to confirm it."""
    withdrawal = _locked(session, account.id, withdrawal_id)
    if withdrawal.status != PAYING:
        return withdrawal
    first_wait = (
        news.state == "WAIT_USER_CONFIRM" and withdrawal.provider_state != "WAIT_USER_CONFIRM"
    )
    withdrawal.provider_state = news.state
    withdrawal.provider_bill_no = news.bill_no or withdrawal.provider_bill_no
    withdrawal.package_info = news.package_info or withdrawal.package_info
    if first_wait:
        withdrawal.confirm_by = now + timedelta(hours=24)
    session.flush()
    if first_wait:
        _tell(session, withdrawal, notices.WITHDRAWAL_CONFIRM, now)
    return withdrawal


def finish(
    session: Session,
    account: OpenAccount,
    withdrawal_id: int,
    *,
    paid: bool,
    news: ProviderNews | None = None,
    actor: str = "system",
    proof: str | None = None,
    now: datetime,
) -> Withdrawal:
    """paying → paid or failed, once; a repeat with the same result changes nothing. Raises `WrongState` when the
    other result was recorded: that is for people to look at, never for a program to repair."""
    withdrawal = _locked(session, account.id, withdrawal_id)
    result = PAID if paid else FAILED
    if withdrawal.status == result:
        return withdrawal
    if withdrawal.status != PAYING:
        raise WrongState(
            "the withdrawal is not being paid", status=withdrawal.status, result=result
        )
    withdrawal.status, withdrawal.finished_at, withdrawal.proof = result, now, proof
    if news is not None:
        withdrawal.provider_state = news.state
        withdrawal.provider_bill_no = news.bill_no or withdrawal.provider_bill_no
        withdrawal.reason = news.reason
    session.flush()
    _note(session, withdrawal, actor, f"withdrawal_{result}", now)
    if paid:
        _pay_out(session, withdrawal, now)
        _tell(session, withdrawal, notices.WITHDRAWAL_PAID, now)
    else:
        _give_back(session, withdrawal, now)
        _tell(session, withdrawal, notices.WITHDRAWAL_FAILED, now, reason=withdrawal.reason or "")
    return withdrawal


def pay_offline(
    session: Session,
    account: OpenAccount,
    withdrawal_id: int,
    *,
    actor: str,
    proof: str,
    now: datetime,
) -> Withdrawal:
    """A person has paid an approved withdrawal by bank; `proof` is the receipt's number or address."""
    if not proof.strip():
        raise Invalid("an offline payout needs its proof")
    withdrawal = _locked(session, account.id, withdrawal_id)
    if withdrawal.method != "offline":
        raise Invalid("this withdrawal is paid through WeChat Pay", method=withdrawal.method)
    if withdrawal.status == APPROVED:
        begin(session, account, withdrawal_id, now)
    return finish(
        session, account, withdrawal_id, paid=True, actor=actor, proof=proof.strip(), now=now
    )


def _pay_out(session: Session, withdrawal: Withdrawal, now: datetime) -> None:
    net_fen = withdrawal.amount_fen - withdrawal.fee_fen - withdrawal.tax_fen
    parts = (
        ("paid", ledger.CASH, net_fen),
        ("fee", ledger.FEE, withdrawal.fee_fen),
        ("tax", ledger.TAX, withdrawal.tax_fen),
    )
    for reason, bucket, amount_fen in parts:
        if amount_fen:
            _post(
                session,
                withdrawal,
                f"{reason}-{withdrawal.id}",
                ledger.WITHDRAWING,
                bucket,
                amount_fen,
                reason,
                now,
            )
    _fold(session, withdrawal, ledger.CASH)


def _give_back(session: Session, withdrawal: Withdrawal, now: datetime) -> None:
    key = f"back-{withdrawal.id}"
    _post(
        session,
        withdrawal,
        key,
        ledger.WITHDRAWING,
        ledger.AVAILABLE,
        withdrawal.amount_fen,
        "back",
        now,
    )
    _fold(session, withdrawal, ledger.AVAILABLE)


def _post(
    session: Session,
    row: Withdrawal,
    key: str,
    source: str,
    destination: str,
    fen: int,
    reason: str,
    now: datetime,
) -> None:
    ledger.post(
        session, [Entry(key, row.account_id, row.member_id, source, destination, fen, reason)], now
    )


def _fold(session: Session, row: Withdrawal, destination: str) -> None:
    """The whole amount leaves `withdrawing`, whatever parts it was posted in."""
    whole = Entry(
        "", row.account_id, row.member_id, ledger.WITHDRAWING, destination, row.amount_fen, ""
    )
    ledger.fold_into_balances(session, [whole])


# --- reading --------------------------------------------------------------------------------------------------------


def get(session: Session, account_id: int, withdrawal_id: int) -> Withdrawal:
    """The withdrawal of this account, or `NotFound`."""
    row = session.scalar(
        select(Withdrawal).where(
            Withdrawal.account_id == account_id, Withdrawal.id == withdrawal_id
        )
    )
    if row is None:
        raise NotFound("no such withdrawal", withdrawal=withdrawal_id)
    return row


def find_by_payout_no(session: Session, payout_no: str) -> Withdrawal | None:
    return session.scalar(select(Withdrawal).where(Withdrawal.payout_no == payout_no))


def of_member(session: Session, member_id: int, limit: int = 5) -> list[Withdrawal]:
    """A member's withdrawals, newest first."""
    query = (
        select(Withdrawal)
        .where(Withdrawal.member_id == member_id)
        .order_by(Withdrawal.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def queue(
    session: Session,
    account_id: int,
    status: str | None = None,
    *,
    after_id: int = 0,
    limit: int = 50,
) -> list[Withdrawal]:
    """Withdrawals of the account by id, of one state or all; keyset page after `after_id`."""
    query = select(Withdrawal).where(Withdrawal.account_id == account_id, Withdrawal.id > after_id)
    if status is not None:
        query = query.where(Withdrawal.status == status)
    return list(session.scalars(query.order_by(Withdrawal.id).limit(limit)))


def paying_since(session: Session, before: datetime, limit: int = 200) -> list[Withdrawal]:
    """Payouts that have been on their way since `before`: the sweep asks WeChat Pay about them by number."""
    query = select(Withdrawal).where(Withdrawal.status == PAYING, Withdrawal.paying_at < before)
    return list(session.scalars(query.order_by(Withdrawal.id).limit(limit)))


def _locked(session: Session, account_id: int, withdrawal_id: int) -> Withdrawal:
    """The row, locked until commit, as it is now."""
    query = (
        select(Withdrawal)
        .where(Withdrawal.account_id == account_id, Withdrawal.id == withdrawal_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = session.scalar(query)
    if row is None:
        raise NotFound("no such withdrawal", withdrawal=withdrawal_id)
    return row


def _note(session: Session, row: Withdrawal, actor: str, action: str, now: datetime) -> None:
    after = {"status": row.status, "amount_fen": row.amount_fen}
    audit.record(
        session,
        row.account_id,
        actor=actor,
        action=action,
        subject=f"withdrawal/{row.id}",
        after=after,
        now=now,
    )


def _tell(session: Session, row: Withdrawal, occasion: str, now: datetime, **more: Any) -> None:
    params = {
        "amount_fen": row.amount_fen,
        "net_fen": row.amount_fen - row.fee_fen - row.tax_fen,
        "withdrawal": row.id,
        "at": now.isoformat(),
        **more,
    }
    key = f"{occasion}-{row.id}-{row.round}"
    notices.tell(session, [notices.News(row.account_id, row.member_id, occasion, key, params)], now)
