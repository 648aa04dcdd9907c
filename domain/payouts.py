"""打款: the transfer, or a person's payment, that answers a withdrawal: approved → paying → paid or failed.

`payout_no` is the number at WeChat Pay, and never changes: after any doubt it is asked for, never replaced
(platform.md 12.5). Only an answer that names this very bill ends a payout; the sweep of jobs/payouts.py asks until
there is one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from domain import ledger, notices
from domain.accounts import OpenAccount
from domain.db import Sql, changed, to_db, to_json
from domain.errors import Conflict, Invalid
from domain.models import Member, Merchant, Notice, Withdrawal
from domain.withdrawals import (
    APPROVED,
    FAILED,
    PAID,
    PAYING,
    WrongState,
    give_back,
    leave,
    locked,
    net_fen,
    note,
    notice_key,
    report,
    sound,
    tell,
)

# WeChat Pay's rules for a transfer (platform.md 12.5).
CONFIRM_WITHIN: Final = timedelta(hours=24)
KNOWN_FOR: Final = timedelta(days=29)
"""WeChat Pay answers queries for 30 days. After that "no such bill" would prove nothing."""
REMIND_BEFORE: Final = timedelta(hours=3)
WAITING: Final = "WAIT_USER_CONFIRM"
MOVING: Final = ("ACCEPTED", "PROCESSING", "TRANSFERING", "CANCELING")

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


# --- paying ---------------------------------------------------------------------------------------------------------


def begin(
    session: Session, account: OpenAccount, withdrawal_id: int, terms: Terms, now: datetime
) -> Payout:
    """approved → paying, to be committed before WeChat Pay hears of it. One that is paying already comes back with
    `was_paying`: the caller asks for its number before anything else. Raises `WrongState` for any other state and for
    terms of a merchant number that is no longer the account's, and `Conflict` when it was begun by another merchant
    number, where the same bill number would be another bill."""
    withdrawal = locked(session, account.id, withdrawal_id)
    was_paying = withdrawal.status == PAYING
    if not was_paying:
        if withdrawal.status != APPROVED or withdrawal.method != "wechat":
            raise WrongState("the withdrawal is not to be paid", status=withdrawal.status)
        # Locked: a new number is set before this, and seen here, or after it, and sees this (merchants.put).
        number = select(Merchant.mch_id).where(Merchant.account_id == account.id)
        if session.scalar(number.with_for_update(read=True)) not in {None, terms.mch_id}:
            raise WrongState("the account has another merchant number now", mch_id=terms.mch_id)
        withdrawal.status, withdrawal.paying_at = PAYING, now
        report(session, withdrawal, PAYING, now)
        withdrawal.terms, withdrawal.ask_at = to_json(asdict(terms)), now + ASK_FIRST
        session.flush()
    payout = payout_of(session, withdrawal, was_paying=was_paying)
    if payout.terms.mch_id != terms.mch_id:
        raise Conflict("it was begun by another merchant number", mch_id=payout.terms.mch_id)
    return payout


def payout_of(session: Session, row: Withdrawal, *, was_paying: bool = True) -> Payout:
    """The payout of a withdrawal that was begun. Raises `WrongState` for one that was not, or not by WeChat Pay."""
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


def record_progress(
    session: Session, account: OpenAccount, withdrawal_id: int, news: ProviderNews, now: datetime
) -> Withdrawal:
    """Keep what WeChat Pay says of a transfer that goes on, and when to ask next. The member is asked once to confirm
    it, and reminded once before the day is over."""
    withdrawal = locked(session, account.id, withdrawal_id)
    if withdrawal.status != PAYING:
        return withdrawal
    withdrawal.provider_state = news.state
    withdrawal.provider_bill_no = news.bill_no or withdrawal.provider_bill_no
    withdrawal.package_info = news.package_info or withdrawal.package_info
    withdrawal.ask_at = now + _pause(withdrawal, now)
    if news.state in {WAITING, *MOVING}:
        _end_passing_alarm(withdrawal)
        # There is a bill: it goes its way, and cancelling is another verb.
        withdrawal.giving_up_at = None
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
        tell(session, row, notices.WITHDRAWAL_CONFIRM, now, confirm_by=row.confirm_by.isoformat())
    elif row.confirm_by - REMIND_BEFORE <= now < row.confirm_by:
        known = select(Notice.id).where(
            Notice.notice_key == notice_key(row, notices.WITHDRAWAL_REMIND)
        )
        if session.scalar(known) is None:
            tell(
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
    withdrawal = locked(session, account.id, withdrawal_id)
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
    note(session, withdrawal, actor, f"withdrawal_{result}", now)
    if paid:
        leave(
            session,
            withdrawal,
            [
                ("paid", ledger.CASH, net_fen(withdrawal)),
                ("fee", ledger.FEE, withdrawal.fee_fen),
                ("tax", ledger.TAX, withdrawal.tax_fen),
            ],
            now,
        )
        tell(session, withdrawal, notices.WITHDRAWAL_PAID, now)
    else:
        give_back(session, withdrawal, now)
        tell(session, withdrawal, notices.WITHDRAWAL_FAILED, now, failure=withdrawal.reason or "")
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
    row = locked(session, account.id, withdrawal_id)
    if row.status != PAYING or row.terms is None:
        raise WrongState("no transfer is under way", status=row.status)
    row.ask_at = now + ASK_FIRST
    session.flush()
    note(session, row, actor, "withdrawal_cancel_asked", now)
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
    row = locked(session, account.id, withdrawal_id)
    if row.status != PAYING or row.terms is None or row.paying_at is None:
        raise WrongState("no transfer is under way", status=row.status)
    if now - row.paying_at > KNOWN_FOR:
        raise Conflict("WeChat Pay no longer tells about bills of that time", withdrawal=row.id)
    if row.giving_up_at is None:
        row.giving_up_at, row.ask_at = now, now + GIVE_UP_AFTER
        session.flush()
        note(session, row, actor, "withdrawal_given_up", now, reason=reason.strip())
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
    row = locked(session, account.id, withdrawal_id)
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
    withdrawal = locked(session, account.id, withdrawal_id)
    if withdrawal.method != "offline":
        raise Invalid("this withdrawal is paid through WeChat Pay", method=withdrawal.method)
    if withdrawal.status == APPROVED:
        withdrawal.status, withdrawal.paying_at = PAYING, now
        session.flush()
    return finish(
        session, account, withdrawal_id, paid=True, actor=actor, proof=proof.strip(), now=now
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def find_by_payout_no(session: Session, payout_no: str) -> Withdrawal | None:
    return session.scalar(select(Withdrawal).where(Withdrawal.payout_no == payout_no))


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
