"""提现: a member asks for money, people approve it, WeChat Pay or a person pays it. A guarded state machine.

requested → approved → paying → paid / failed; requested → rejected. Asking moves the amount from available to
withdrawing in one compare-and-set, so no two requests can spend the same fen; rejection and failure move it back;
payment posts what is paid, the fee and the tax one by one. `payout_no` is derived from the request, is the number at
WeChat Pay, and never changes: after any doubt it is asked for, never replaced (platform.md 12.5).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from domain import audit, ledger, notices, outbox, webhooks
from domain.accounts import OpenAccount
from domain.db import Sql, changed, to_db, to_json
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.ledger import Entry
from domain.models import (
    Audit,
    Balance,
    Member,
    Merchant,
    Notice,
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
CHINA: Final = timedelta(hours=8)
"""A merchant's day is Beijing's; there is no daylight saving time to mind."""

# WeChat Pay's rules for a transfer (platform.md 12.5).
TRANSFER_MIN_FEN: Final = 10
NAME_NEEDED_FEN: Final = 200_000
"""From here on the receiver's real name must be told."""
CONFIRM_WITHIN: Final = timedelta(hours=24)
KNOWN_FOR: Final = timedelta(days=29)
"""WeChat Pay answers queries for 30 days. After that "no such bill" would prove nothing."""
REMIND_BEFORE: Final = timedelta(hours=3)
WAITING: Final = "WAIT_USER_CONFIRM"
MOVING: Final = ("ACCEPTED", "PROCESSING", "TRANSFERING", "CANCELING")

STRAY_AFTER: Final = timedelta(minutes=10)
"""An approved withdrawal that nobody began by then is begun by the sweep."""
ASK_FIRST: Final = timedelta(minutes=1)
ASK_WAITING: Final = timedelta(minutes=10)
ASK_REFUSED: Final = timedelta(minutes=10)
ASK_LEASE: Final = timedelta(seconds=90)
GIVE_UP_AFTER: Final = timedelta(minutes=5)
"""How long "no such bill" must have nothing to do with a call of ours: no call takes a tenth of it."""
NEVER_SENT: Final = "NONE"
"""`provider_state` of a payout that ended because there is no bill."""
UNSENT: Final = "NOT_ACCEPTED"
"""The reason of a payout that WeChat Pay never took, for `texts`."""

LASTING_ALARMS: Final = ("mismatch", "contradiction", "difference", "too_old", "other_merchant")
"""Money may be wrong: these stay until a person has looked. The others are over when the payout goes on."""


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
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a transfer is created with, besides number, receiver and amount: fixed when it begins."""

    mch_id: str
    scene_id: str
    remark: str
    report_infos: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Payout:
    """A withdrawal that is being paid, as the one who pays it needs it. `amount_fen` is what the member receives."""

    id: int
    payout_no: str
    member_id: int
    openid: str
    real_name: bytes | None
    amount_fen: int
    terms: Terms
    paying_at: datetime
    has_package: bool
    was_paying: bool
    giving_up_at: datetime | None = None


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
    alone = approvals_needed(account, withdrawal) == 1  # a program is none of the two people
    if small and alone and not _is_watched(session, member.id):
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
    if len(actors) + 1 < approvals_needed(account, withdrawal):
        session.flush()
        return withdrawal
    withdrawal.status, withdrawal.decided_at = APPROVED, now
    withdrawal.ask_at = now + STRAY_AFTER if withdrawal.method == "wechat" else None
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
    """A person's no, with its reason; the money is available again. Raises `WrongState`, see `may_reject`."""
    if not reason.strip():
        raise Invalid("a rejection needs a reason")
    withdrawal = _locked(session, account.id, withdrawal_id)
    if not may_reject(withdrawal):
        raise WrongState("the withdrawal is not waiting for approval", status=withdrawal.status)
    withdrawal.status, withdrawal.reason, withdrawal.decided_at = REJECTED, reason.strip(), now
    withdrawal.finished_at, withdrawal.ask_at = now, None
    _end_passing_alarm(withdrawal)
    session.flush()
    _note(session, withdrawal, actor, "withdrawal_rejected", now)
    _give_back(session, withdrawal, now)
    _tell(session, withdrawal, notices.WITHDRAWAL_REJECTED, now, reason=withdrawal.reason)
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


# --- paying ---------------------------------------------------------------------------------------------------------


def begin(
    session: Session, account: OpenAccount, withdrawal_id: int, terms: Terms, now: datetime
) -> Payout:
    """approved → paying, to be committed before WeChat Pay hears of it. One that is paying already comes back with
    `was_paying`: the caller asks for its number before anything else. Raises `WrongState` for any other state and for
    terms of a merchant number that is no longer the account's, and `Conflict` when it was begun by another merchant
    number, where the same bill number would be another bill."""
    withdrawal = _locked(session, account.id, withdrawal_id)
    was_paying = withdrawal.status == PAYING
    if not was_paying:
        if withdrawal.status != APPROVED or withdrawal.method != "wechat":
            raise WrongState("the withdrawal is not to be paid", status=withdrawal.status)
        # Locked: a new number is set before this, and seen here, or after it, and sees this (merchants.put).
        number = select(Merchant.mch_id).where(Merchant.account_id == account.id)
        if session.scalar(number.with_for_update(read=True)) not in {None, terms.mch_id}:
            raise WrongState("the account has another merchant number now", mch_id=terms.mch_id)
        withdrawal.status, withdrawal.paying_at = PAYING, now
        _report(session, withdrawal, PAYING, now)
        withdrawal.terms, withdrawal.ask_at = _terms_as_json(terms), now + ASK_FIRST
        session.flush()
    payout = _payout(session, withdrawal, was_paying=was_paying)
    if payout.terms.mch_id != terms.mch_id:
        raise Conflict("it was begun by another merchant number", mch_id=payout.terms.mch_id)
    return payout


def payout_of(session: Session, withdrawal: Withdrawal) -> Payout:
    """The payout of a withdrawal that was begun."""
    return _payout(session, withdrawal, was_paying=True)


def _payout(session: Session, row: Withdrawal, *, was_paying: bool) -> Payout:
    member = session.get_one(Member, row.member_id)
    if row.terms is None or row.paying_at is None:
        raise WrongState("no transfer was begun for it", status=row.status)
    values = json.loads(row.terms)
    infos = tuple((kind, text) for kind, text in values.pop("report_infos"))
    return Payout(
        row.id, row.payout_no, row.member_id, member.openid, member.real_name, net_fen(row),
        Terms(**values, report_infos=infos), row.paying_at, row.package_info is not None, was_paying,
        row.giving_up_at,
    )  # fmt: skip


def _terms_as_json(terms: Terms) -> str:
    return to_json(asdict(terms))


def record_progress(
    session: Session, account: OpenAccount, withdrawal_id: int, news: ProviderNews, now: datetime
) -> Withdrawal:
    """Keep what WeChat Pay says of a transfer that goes on, and when to ask next. The member is asked once to confirm
    it, and reminded once before the day is over."""
    withdrawal = _locked(session, account.id, withdrawal_id)
    if withdrawal.status != PAYING:
        return withdrawal
    withdrawal.provider_state = news.state
    withdrawal.provider_bill_no = news.bill_no or withdrawal.provider_bill_no
    withdrawal.package_info = news.package_info or withdrawal.package_info
    withdrawal.ask_at = now + _pause(withdrawal, now)
    if news.state in {WAITING, *MOVING}:
        _end_passing_alarm(withdrawal)
        withdrawal.giving_up_at = (
            None  # there is a bill: it goes its way, and cancelling is another verb
        )
    if news.state == WAITING:
        _wait_for_member(session, withdrawal, news, now)
    elif news.state not in MOVING:
        sound(session, withdrawal, "unknown_state", now, state=news.state)
    session.flush()
    return withdrawal


def _end_passing_alarm(row: Withdrawal) -> None:
    if row.alarm not in LASTING_ALARMS:
        row.alarm = None


def _pause(row: Withdrawal, now: datetime) -> timedelta:
    """Ask often at first, then as often as the age of the payout deserves, at most every ten minutes."""
    age = now - (row.paying_at or now)
    return min(max(ASK_FIRST, age / 10), ASK_WAITING)


def _wait_for_member(session: Session, row: Withdrawal, news: ProviderNews, now: datetime) -> None:
    if row.confirm_by is None:  # however often the state comes and goes, the member is asked once
        row.confirm_by = (news.created_at or row.paying_at or now) + CONFIRM_WITHIN
        _tell(session, row, notices.WITHDRAWAL_CONFIRM, now, confirm_by=row.confirm_by.isoformat())
    elif row.confirm_by - REMIND_BEFORE <= now < row.confirm_by:
        known = select(Notice.id).where(
            Notice.notice_key == _notice_key(row, notices.WITHDRAWAL_REMIND)
        )
        if session.scalar(known) is None:
            _tell(
                session, row, notices.WITHDRAWAL_REMIND, now, confirm_by=row.confirm_by.isoformat()
            )


def ask_later(
    session: Session, withdrawal_id: int, until: datetime, *, seen: datetime | None = None
) -> bool:
    """Put the next question off. With `seen`, what `ask_at` was when it was found due: False when somebody else has
    taken the question since."""
    if seen is None:
        return changed(_ASK_LATER(session, to_db(until), withdrawal_id)) == 1
    return changed(_TAKE_QUESTION(session, to_db(until), withdrawal_id, to_db(seen))) == 1


_ASK_LATER = Sql(
    "UPDATE withdrawal SET ask_at = ? WHERE id = ? AND status IN ('approved', 'paying')"
)
_TAKE_QUESTION = Sql(
    "UPDATE withdrawal SET ask_at = ? WHERE id = ? AND status IN ('approved', 'paying') AND ask_at = ?"
)


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
    withdrawal.ask_at, withdrawal.package_info = None, None
    _end_passing_alarm(withdrawal)
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
        _tell(session, withdrawal, notices.WITHDRAWAL_FAILED, now, failure=withdrawal.reason or "")
    return withdrawal


def mismatch(
    payout: Payout,
    *,
    number: str,
    mch_id: str | None,
    openid: str | None,
    amount_fen: int | None,
    complete: bool,
) -> dict[str, str] | None:
    """What WeChat Pay says otherwise than was asked for, or None. Only what need not be `complete` may leave out
    merchant, receiver and amount; what ends a payout must name them. Pure."""
    pairs: tuple[tuple[str, object, object], ...] = (
        ("out_bill_no", payout.payout_no, number),
        ("mch_id", payout.terms.mch_id, mch_id),
        ("openid", payout.openid, openid),
        ("amount_fen", payout.amount_fen, amount_fen),
    )
    for name, ours, theirs in pairs:
        left_out = theirs is None and not complete
        if not left_out and ours != theirs:
            return {"field": name, "ours": str(ours), "theirs": str(theirs)}
    return None


def record_news(
    session: Session, account: OpenAccount, withdrawal_id: int, news: ProviderNews, now: datetime
) -> Withdrawal:
    """What a checked answer or notice says: SUCCESS pays, FAIL and CANCELLED give the money back, the rest goes on."""
    if news.state == "SUCCESS":
        return finish(session, account, withdrawal_id, paid=True, news=news, now=now)
    if news.state in {"FAIL", "CANCELLED"}:
        return finish(session, account, withdrawal_id, paid=False, news=news, now=now)
    return record_progress(session, account, withdrawal_id, news, now)


def note_cancel(
    session: Session, account: OpenAccount, withdrawal_id: int, *, actor: str, now: datetime
) -> Withdrawal:
    """A person asks WeChat Pay to take a transfer back: noted, and asked about soon. Raises `WrongState` unless it is
    being paid. The money comes back only when the bill says so."""
    row = _locked(session, account.id, withdrawal_id)
    if row.status != PAYING or row.terms is None:
        raise WrongState("no transfer is under way", status=row.status)
    row.ask_at = now + ASK_FIRST
    session.flush()
    _note(session, row, actor, "withdrawal_cancel_asked", now)
    return row


def give_up(
    session: Session,
    account: OpenAccount,
    withdrawal_id: int,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> Withdrawal:
    """A person wants a payout ended that WeChat Pay will never take. From now on nothing is sent under its number; the
    sweep keeps asking, and five minutes later, when no call of ours can be on its way any more, "there is no such bill"
    ends it, as FAIL and CANCELLED do at any time. A bill that is there goes its own way. A repeat changes nothing.

    Raises `WrongState` unless it is being paid through WeChat Pay, `Invalid` without a reason, and `Conflict` when it
    is so old that WeChat Pay no longer knows its bills: then "no such bill" proves nothing."""
    if not reason.strip():
        raise Invalid("giving up needs a reason")
    row = _locked(session, account.id, withdrawal_id)
    if row.status != PAYING or row.terms is None or row.paying_at is None:
        raise WrongState("no transfer is under way", status=row.status)
    if now - row.paying_at > KNOWN_FOR:
        raise Conflict("WeChat Pay no longer tells about bills of that time", withdrawal=row.id)
    if row.giving_up_at is None:
        row.giving_up_at, row.ask_at = now, now + GIVE_UP_AFTER
        session.flush()
        _note(session, row, actor, "withdrawal_given_up", now, reason=reason.strip())
    return row


def may_send(session: Session, withdrawal_id: int) -> bool:
    """Whether its transfer may still be created: asked as the last thing before the call."""
    return _MAY_SEND(session, withdrawal_id).first() is not None


_MAY_SEND = Sql(
    "SELECT 1 FROM withdrawal WHERE id = ? AND status = 'paying' AND giving_up_at IS NULL"
)


def finish_unsent(
    session: Session, account: OpenAccount, withdrawal_id: int, now: datetime
) -> Withdrawal:
    """Asked at `now`, WeChat Pay says that there is no bill under the number of a payout that a person gave up: it has
    failed, and the money is available again. Raises `WrongState` when it was asked before five minutes had passed, and
    when nobody gave it up."""
    row = _locked(session, account.id, withdrawal_id)
    if row.status == FAILED:
        return row
    if row.giving_up_at is None or now < row.giving_up_at + GIVE_UP_AFTER:
        raise WrongState("nobody has given it up, or just now", status=row.status)
    row.alarm = None  # a person has looked
    session.flush()
    news = ProviderNews(NEVER_SENT, reason=UNSENT)
    return finish(session, account, withdrawal_id, paid=False, news=news, now=now)


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
        withdrawal.status, withdrawal.paying_at = PAYING, now
        session.flush()
    return finish(
        session, account, withdrawal_id, paid=True, actor=actor, proof=proof.strip(), now=now
    )


def _pay_out(session: Session, withdrawal: Withdrawal, now: datetime) -> None:
    parts = (
        ("paid", ledger.CASH, net_fen(withdrawal)),
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


def due_to_ask(session: Session, now: datetime, limit: int = 200) -> list[Withdrawal]:
    """Payouts to look after now, longest due first: those of which WeChat Pay should be asked, and approved ones that
    nobody began."""
    query = select(Withdrawal).where(
        Withdrawal.status.in_((APPROVED, PAYING)), Withdrawal.ask_at <= now
    )
    return list(session.scalars(query.order_by(Withdrawal.ask_at, Withdrawal.id).limit(limit)))


def to_reconcile(
    session: Session, account_id: int, since: datetime, *, after_id: int = 0, limit: int = 200
) -> list[Withdrawal]:
    """Transfers of the account that are under way or ended after `since`, by id; keyset page after `after_id`."""
    query = select(Withdrawal).where(
        Withdrawal.account_id == account_id,
        Withdrawal.id > after_id,
        Withdrawal.terms.is_not(None),
        or_(Withdrawal.finished_at >= since, Withdrawal.status == PAYING),
    )
    return list(session.scalars(query.order_by(Withdrawal.id).limit(limit)))


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
    return sound(session, _locked(session, account_id, withdrawal_id), alarm, now, **facts)


def silence(
    session: Session, account: OpenAccount, withdrawal_id: int, *, actor: str, now: datetime
) -> bool:
    """The cause is gone, or a person has seen it; whether there was an alarm."""
    row = _locked(session, account.id, withdrawal_id)
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


def _note(
    session: Session, row: Withdrawal, actor: str, action: str, now: datetime, **facts: str
) -> None:
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


def _tell(session: Session, row: Withdrawal, occasion: str, now: datetime, **more: Any) -> None:
    params = {
        "amount_fen": row.amount_fen,
        "net_fen": net_fen(row),
        "withdrawal": row.id,
        "at": now.isoformat(),
        **more,
    }
    key = _notice_key(row, occasion)
    notices.tell(session, [notices.News(row.account_id, row.member_id, occasion, key, params)], now)
    _report(session, row, occasion.removeprefix("withdrawal_"), now)


def _report(session: Session, row: Withdrawal, step: str, now: datetime) -> None:
    """The merchant's systems hear of the step too."""
    if step in webhooks.STEPS:
        happened = webhooks.Happened(
            f"withdrawal.{step}", f"withdrawal-{row.id}-{step}-{row.round}", {"withdrawal": row.id}
        )
        webhooks.tell(session, row.account_id, [happened], now)


def _notice_key(row: Withdrawal, occasion: str) -> str:
    return f"{occasion}-{row.id}-{row.round}"
