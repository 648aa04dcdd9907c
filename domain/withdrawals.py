"""提现: a member asks for money, people approve it, `payouts` pays it. A guarded state machine.

requested → approved → paying → paid / failed; requested → rejected. Asking moves the amount from available to
withdrawing in one compare-and-set, so no two requests can spend the same fen; rejection and failure move it back;
payment posts what is paid, the fee and the tax one by one. `payout_no` is derived from the request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import audit, ledger, notices, outbox, webhooks
from domain.accounts import OpenAccount
from domain.china import begin_of, day_of
from domain.db import Sql, changed
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.ledger import Entry
from domain.models import (
    Audit,
    Balance,
    Member,
    Posting,
    RiskSignal,
    Withdrawal,
    WithdrawalApproval,
)
from domain.money import share
from domain.secrets import short_digest

REQUESTED: Final = "requested"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"
PAYING: Final = "paying"
PAID: Final = "paid"
FAILED: Final = "failed"
OPEN: Final = (REQUESTED, APPROVED, PAYING)
STATUSES: Final = (REQUESTED, APPROVED, REJECTED, PAYING, PAID, FAILED)

AUTOMATIC: Final = "automatic"
"""The actor of an approval below the account's limit."""

# WeChat Pay's rules for a transfer (platform.md 12.5).
TRANSFER_MIN_FEN: Final = 10
NAME_NEEDED_FEN: Final = 200_000
"""From here on the receiver's real name must be told."""

STRAY_AFTER: Final = timedelta(minutes=10)
"""An approved withdrawal that nobody began by then is begun by the sweep."""


class NotEnough(DomainError):
    """The available balance is smaller than the amount, or below zero."""

    code = "not_enough"


class LimitReached(DomainError):
    """More, or more often, than the account allows on one day; `details` names the limit."""

    code = "withdrawal_limit"


class WrongState(Conflict):
    """Somebody was first: the withdrawal is no longer in the state that this step needs."""

    code = "wrong_state"


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
    # The balance row is the queue of this member's requests: whoever holds it sees all that came before.
    ledger.lock_available(session, [member.id])
    known = find_by_token(session, member.id, client_token)
    if known is not None:
        return _same(known, amount_fen)
    settings = account.settings
    least_fen = max(settings.withdraw_min_fen, 1)
    if not least_fen <= amount_fen <= settings.withdraw_max_fen:
        raise Invalid(
            "the amount is out of range", reason="range",
            min_fen=least_fen, max_fen=settings.withdraw_max_fen,
        )  # fmt: skip
    if member.status != "active":
        raise Invalid("the member is suspended", reason="suspended")
    fee_fen = share(amount_fen, settings.withdraw_fee_bps)
    tax_fen = share(amount_fen, settings.withdraw_tax_bps)
    if settings.payout_method == "wechat":
        _check_transfer(member, amount_fen - fee_fen - tax_fen)
    if not changed(_RESERVE(session, amount_fen, amount_fen, member.id, amount_fen)):
        raise NotEnough("the available balance is smaller", amount_fen=amount_fen)
    _check_day(session, account, member.id, amount_fen, now)
    withdrawal = Withdrawal(
        account_id=account.id, member_id=member.id, client_token=client_token, method=settings.payout_method,
        payout_no=short_digest(f"payout {account.app_id} {member.openid} {client_token}"),
        amount_fen=amount_fen, fee_fen=fee_fen, tax_fen=tax_fen, status=REQUESTED, round=1, requested_at=now,
    )  # fmt: skip
    session.add(withdrawal)
    session.flush()
    hold = Entry(
        f"hold-{withdrawal.id}", account.id, member.id, ledger.AVAILABLE, ledger.WITHDRAWING, amount_fen, "hold"
    )  # fmt: skip
    ledger.post(session, [hold], now)
    tell(session, withdrawal, notices.WITHDRAWAL_REQUESTED, now)
    if not (audited or is_audited(account, amount_fen) or _is_watched(session, member.id)):
        approve(session, account, withdrawal.id, actor=AUTOMATIC, now=now)
    return withdrawal


def _check_transfer(member: Member, net_fen: int) -> None:
    """What WeChat Pay would refuse is refused before the money moves."""
    if net_fen < TRANSFER_MIN_FEN:
        raise Invalid(
            "too little is left after fee and tax", reason="too_small", min_fen=TRANSFER_MIN_FEN
        )
    if net_fen >= NAME_NEEDED_FEN and member.real_name is None:
        raise Invalid(
            "this amount needs the member's real name", reason="name", from_fen=NAME_NEEDED_FEN
        )


def _is_watched(session: Session, member_id: int) -> bool:
    """Whether a risk signal about the member waits for a person: then their withdrawals do, too."""
    query = select(RiskSignal.id).where(
        RiskSignal.member_id == member_id, RiskSignal.status == "open"
    )
    return session.scalar(query.limit(1)) is not None


def find_by_token(session: Session, member_id: int, client_token: str) -> Withdrawal | None:
    """The request that was made with this token."""
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
    query = select(func.count(), func.coalesce(func.sum(Withdrawal.amount_fen), 0)).where(
        Withdrawal.member_id == member_id,
        Withdrawal.requested_at >= begin_of(day_of(now)),
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
    withdrawal = locked(session, account.id, withdrawal_id)
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
    note(session, withdrawal, actor, "withdrawal_approved", now)
    if len(actors) + 1 < approvals_needed(account, withdrawal):
        session.flush()
        return withdrawal
    withdrawal.status, withdrawal.decided_at = APPROVED, now
    withdrawal.ask_at = now + STRAY_AFTER if withdrawal.method == "wechat" else None
    session.flush()
    tell(session, withdrawal, notices.WITHDRAWAL_APPROVED, now)
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
    """A person's no, with its reason; the money is available again. Raises `WrongState`, see `may_reject`."""
    if not reason.strip():
        raise Invalid("a rejection needs a reason")
    withdrawal = locked(session, account.id, withdrawal_id)
    if not may_reject(withdrawal):
        raise WrongState("the withdrawal is not waiting for approval", status=withdrawal.status)
    withdrawal.status, withdrawal.reason, withdrawal.decided_at = REJECTED, reason.strip(), now
    withdrawal.finished_at, withdrawal.ask_at, withdrawal.alarm = now, None, None
    session.flush()
    note(session, withdrawal, actor, "withdrawal_rejected", now)
    give_back(session, withdrawal, now)
    tell(session, withdrawal, notices.WITHDRAWAL_REJECTED, now, reason=withdrawal.reason)
    return withdrawal


def may_reject(row: Withdrawal) -> bool:
    """Whether a no is still possible: nobody has decided, or it was approved and cannot be paid, because the bank does
    not take it or the account has no merchant. What was begun at WeChat Pay ends by WeChat Pay's word."""
    stuck = row.method == "offline" or row.alarm is not None
    return row.status == REQUESTED or (row.status == APPROVED and stuck)


_ASK_AGAIN = Sql(
    "UPDATE withdrawal SET status = 'requested', round = round + 1, decided_at = NULL, ask_at = NULL"
    " WHERE status = 'approved' AND member_id IN"
    " (SELECT member_id FROM balance WHERE available_fen < 0 AND member_id IN (??))"
)


def ask_again_for_debtors(session: Session, member_ids: Sequence[int]) -> int:
    """After claw-backs: approved withdrawals of members who owe money now wait for people again; those that are being
    paid are left to finish. How many."""
    return changed(_ASK_AGAIN.among(session, (), member_ids)) if member_ids else 0


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


def available_of(session: Session, member_id: int) -> int:
    """可提现 in fen; below zero is a debt."""
    query = select(Balance.available_fen).where(Balance.member_id == member_id)
    return session.scalar(query) or 0


def of_member(
    session: Session, member_id: int, limit: int = 5, *, before_id: int | None = None
) -> list[Withdrawal]:
    """A member's withdrawals, newest first; keyset page before `before_id`."""
    query = (
        select(Withdrawal)
        .where(Withdrawal.member_id == member_id)
        .order_by(Withdrawal.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(Withdrawal.id < before_id)
    return list(session.scalars(query))


@dataclass(frozen=True, slots=True)
class Record:
    """What a member's withdrawals came to so far: how many of each end, and the fen that were paid out."""

    paid: int = 0
    paid_fen: int = 0
    rejected: int = 0
    failed: int = 0


def records_of(session: Session, member_ids: Collection[int]) -> dict[int, Record]:
    """The record of each of these members who has one, in one statement."""
    query = (
        select(
            Withdrawal.member_id, Withdrawal.status, func.count(), func.sum(Withdrawal.amount_fen)
        )
        .where(
            Withdrawal.member_id.in_(member_ids), Withdrawal.status.in_((PAID, REJECTED, FAILED))
        )
        .group_by(Withdrawal.member_id, Withdrawal.status)
    )
    figures: dict[int, dict[str, int]] = {}
    for member_id, status, number, fen in session.execute(query):
        one = figures.setdefault(member_id, {})
        one[status] = number
        if status == PAID:
            one["paid_fen"] = int(fen)
    return {member_id: Record(**one) for member_id, one in figures.items()}


def approvals_of(session: Session, row: Withdrawal) -> list[WithdrawalApproval]:
    """Who has said yes in the present round, oldest first."""
    query = select(WithdrawalApproval).where(
        WithdrawalApproval.withdrawal_id == row.id, WithdrawalApproval.round == row.round
    )
    return list(session.scalars(query.order_by(WithdrawalApproval.at)))


def is_audited(account: OpenAccount, amount_fen: int) -> bool:
    """Whether people decide about so much: above either limit, because a program is none of the two people."""
    return amount_fen > min(account.settings.audit_above_fen, account.settings.second_above_fen)


def approvals_needed(account: OpenAccount, row: Withdrawal) -> int:
    """How many different people must say yes."""
    return 2 if row.amount_fen > account.settings.second_above_fen else 1


_KEYS: Final = ("hold", "paid", "fee", "tax", "back")


def postings_of(session: Session, row: Withdrawal) -> list[Posting]:
    """What it moved in the ledger, in order."""
    keys = [f"{reason}-{row.id}" for reason in _KEYS]
    query = select(Posting).where(Posting.posting_key.in_(keys))
    return list(session.scalars(query.order_by(Posting.id)))


def story_of(session: Session, row: Withdrawal) -> list[Audit]:
    """What people and alarms did to it, oldest first."""
    query = select(Audit).where(
        Audit.subject == f"withdrawal/{row.id}", Audit.account_id == row.account_id
    )
    return list(session.scalars(query.order_by(Audit.id)))


def open_sums(session: Session, account_id: int) -> dict[str, tuple[int, int]]:
    """What is not over yet, by state: how many, and their fen."""
    query = (
        select(Withdrawal.status, func.count(), func.sum(Withdrawal.amount_fen))
        .where(Withdrawal.account_id == account_id, Withdrawal.status.in_(OPEN))
        .group_by(Withdrawal.status)
    )
    found = {status: (number, int(fen)) for status, number, fen in session.execute(query)}
    return {status: found.get(status, (0, 0)) for status in OPEN}


def alarm_count(session: Session, account_id: int) -> int:
    """How many withdrawals of the account a person has to look at."""
    query = select(func.count()).where(
        Withdrawal.alarm.is_not(None), Withdrawal.account_id == account_id
    )
    return session.scalar(query) or 0


def queue(
    session: Session,
    account_id: int,
    status: str | None = None,
    *,
    after_id: int = 0,
    limit: int = 50,
) -> list[tuple[Withdrawal, str]]:
    """Withdrawals of the account by id with the member's openid, of one state or all; keyset page after `after_id`."""
    query = (
        select(Withdrawal, Member.openid)
        .join(Member, Member.id == Withdrawal.member_id)
        .where(Withdrawal.account_id == account_id, Withdrawal.id > after_id)
    )
    if status is not None:
        query = query.where(Withdrawal.status == status)
    rows = session.execute(query.order_by(Withdrawal.id).limit(limit))
    return [(row, openid) for row, openid in rows]


def alarms(session: Session, account_id: int | None = None, limit: int = 100) -> list[Withdrawal]:
    """Withdrawals that a person has to look at, oldest first."""
    query = select(Withdrawal).where(Withdrawal.alarm.is_not(None))
    if account_id is not None:
        query = query.where(Withdrawal.account_id == account_id)
    return list(session.scalars(query.order_by(Withdrawal.id).limit(limit)))


def figures(session: Session) -> dict[str, dict[str, int]]:
    """For the operator: {"open": {status: how many}, "alarm": {what: how many}}."""
    found: dict[str, dict[str, int]] = {"open": dict.fromkeys(OPEN, 0), "alarm": {}}
    for status in OPEN:
        query = select(func.count()).select_from(Withdrawal).where(Withdrawal.status == status)
        found["open"][status] = session.scalar(query) or 0
    by_alarm = (
        select(Withdrawal.alarm, func.count())
        .where(Withdrawal.alarm.is_not(None))
        .group_by(Withdrawal.alarm)
    )
    found["alarm"] = {alarm or "": number for alarm, number in session.execute(by_alarm)}
    return found


# --- alarms ---------------------------------------------------------------------------------------------------------


def sound(session: Session, row: Withdrawal, alarm: str, now: datetime, **facts: Any) -> bool:
    """Mark what a person has to look at; whether it is news. Programs never repair what they sounded an alarm for."""
    if row.alarm == alarm:
        return False
    row.alarm = alarm
    session.flush()
    audit.record(
        session, row.account_id, actor="system", action="payout_alarm", subject=f"withdrawal/{row.id}",
        after={"alarm": alarm, "status": row.status, "payout_no": row.payout_no, **facts}, now=now,
    )  # fmt: skip
    return True


def sound_by_id(
    session: Session,
    account_id: int,
    withdrawal_id: int,
    alarm: str,
    now: datetime,
    **facts: Any,
) -> bool:
    """`sound` on the row as it is now."""
    return sound(session, locked(session, account_id, withdrawal_id), alarm, now, **facts)


def silence(
    session: Session, account: OpenAccount, withdrawal_id: int, *, actor: str, now: datetime
) -> bool:
    """The cause is gone, or a person has seen it; whether there was an alarm."""
    row = locked(session, account.id, withdrawal_id)
    if row.alarm is None:
        return False
    before, row.alarm = row.alarm, None
    session.flush()
    audit.record(
        session, row.account_id, actor=actor, action="payout_alarm_over", subject=f"withdrawal/{row.id}",
        before={"alarm": before}, now=now,
    )  # fmt: skip
    return True


def net_fen(row: Withdrawal) -> int:
    """What the member receives."""
    return row.amount_fen - row.fee_fen - row.tax_fen


def locked(session: Session, account_id: int, withdrawal_id: int) -> Withdrawal:
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


def note(
    session: Session, row: Withdrawal, actor: str, action: str, now: datetime, **facts: str
) -> None:
    """For the audit log: what `actor` did to it."""
    after = {"status": row.status, "amount_fen": row.amount_fen, **facts}
    audit.record(
        session,
        row.account_id,
        actor=actor,
        action=action,
        subject=f"withdrawal/{row.id}",
        after=after,
        now=now,
    )


def tell(session: Session, row: Withdrawal, occasion: str, now: datetime, **more: Any) -> None:
    """Tell the member, and the merchant's systems, of a step; `more` is for the words of the occasion."""
    params = {
        "amount_fen": row.amount_fen,
        "net_fen": net_fen(row),
        "withdrawal": row.id,
        "at": now.isoformat(),
        **more,
    }
    key = notice_key(row, occasion)
    notices.tell(session, [notices.News(row.account_id, row.member_id, occasion, key, params)], now)
    report(session, row, occasion.removeprefix("withdrawal_"), now)


def report(session: Session, row: Withdrawal, step: str, now: datetime) -> None:
    """The merchant's systems hear of the step too."""
    if step in webhooks.STEPS:
        happened = webhooks.Happened(
            f"withdrawal.{step}", f"withdrawal-{row.id}-{step}-{row.round}", {"withdrawal": row.id}
        )
        webhooks.tell(session, row.account_id, [happened], now)


def notice_key(row: Withdrawal, occasion: str) -> str:
    """A step of a round is told once."""
    return f"{occasion}-{row.id}-{row.round}"


def give_back(session: Session, row: Withdrawal, now: datetime) -> None:
    """The whole amount is available again."""
    leave(session, row, [("back", ledger.AVAILABLE, row.amount_fen)], now)


def leave(
    session: Session, row: Withdrawal, parts: Iterable[tuple[str, str, int]], now: datetime
) -> None:
    """The whole amount leaves `withdrawing`, in parts of reason, bucket and fen; a part of 0 fen is no posting."""
    entries = [
        Entry(f"{reason}-{row.id}", row.account_id, row.member_id, ledger.WITHDRAWING, bucket, fen, reason)
        for reason, bucket, fen in parts if fen
    ]  # fmt: skip
    ledger.post(session, entries, now)
    ledger.fold_into_balances(session, entries)
