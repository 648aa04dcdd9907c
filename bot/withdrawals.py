"""提现 and 提现进度: asking for money in the chat, and where it is.

What was typed is read strictly: an amount that could mean two things is asked for again, never guessed.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from bot.visit import Answer, Visit
from domain import members, withdrawals
from domain import progress as progress_words
from domain.errors import DomainError, Invalid, NotFound
from domain.models import Withdrawal
from domain.money import parse_yuan, yuan
from domain.texts import Words, minute
from domain.withdrawals import LimitReached, NotEnough

ALL: Final = ("全部", "all")
SHOWN: Final = 5


def withdraw(visit: Visit, argument: str) -> Answer:
    """提现 [金额]: without an amount, how much there is and how to say it."""
    if not argument:
        return _how(visit)
    everything = argument.strip().casefold() in ALL
    wanted = None if everything else parse_yuan(argument)
    if wanted is None and not everything:
        return visit.words("withdraw.unclear")
    account_id, openid = visit.account.id, visit.push.openid
    token = visit.push.key  # a repeat of the push is the same request

    def work(session: Session) -> Withdrawal:
        member = members.get(session, account_id, openid)
        known = withdrawals.find_by_token(session, member.id, token)
        if known is not None:  # whatever 全部 amounts to by now
            return known
        fen = withdrawals.available_of(session, member.id) if wanted is None else wanted
        return withdrawals.request(
            session, visit.account, member, fen, client_token=token, now=visit.now
        )

    try:
        row = visit.transact(work)
    except (Invalid, LimitReached, NotEnough, NotFound) as error:
        return _refused(visit, error, wanted)
    return _accepted(visit.words, row)


def progress(visit: Visit, _argument: str) -> Answer:
    """提现进度: the last requests, each with its state and what comes next."""
    account_id, openid = visit.account.id, visit.push.openid

    def read(session: Session) -> list[Withdrawal]:
        member = members.find(session, account_id, openid)
        return [] if member is None else withdrawals.of_member(session, member.id, SHOWN)

    rows, words = visit.read(read), visit.words
    if not rows:
        return words("withdrawals.none")
    lines = [
        words(
            "withdrawals.row",
            n=number,
            amount=yuan(row.amount_fen),
            date=minute(row.requested_at),
            state=progress_words.state_text(words, row, visit.now),
        )
        for number, row in enumerate(rows, start=1)
    ]
    return "\n\n".join([words("withdrawals.head", count=len(rows)), *lines])


def real_name(visit: Visit, argument: str) -> Answer:
    """实名 X: the name that WeChat Pay compares for large transfers. Kept encrypted, never shown again."""
    try:
        name = progress_words.real_name(argument)
    except Invalid:
        return visit.words("real_name.help")
    account_id, openid = visit.account.id, visit.push.openid

    def work(session: Session) -> bool:
        member = members.find(session, account_id, openid)
        if member is not None:
            members.set_contact(session, visit.keyring, member.id, real_name=name)
        return member is not None

    return visit.words("real_name.done" if visit.transact(work) else "real_name.help")


def _how(visit: Visit) -> str:
    account_id, openid, settings = visit.account.id, visit.push.openid, visit.account.settings

    def read(session: Session) -> int:
        member = members.find(session, account_id, openid)
        return 0 if member is None else withdrawals.available_of(session, member.id)

    available = visit.read(read)
    if available < settings.withdraw_min_fen:
        return visit.words(
            "withdraw.too_little",
            available=yuan(max(available, 0)),
            min=yuan(settings.withdraw_min_fen),
        )
    return visit.words("withdraw.how", available=yuan(available))


def _accepted(words: Words, row: Withdrawal) -> str:
    head = words(f"withdraw.{'approved' if row.status != 'requested' else 'requested'}",
                 amount=yuan(row.amount_fen))  # fmt: skip
    if row.fee_fen or row.tax_fen:
        head += "\n" + words(
            "withdraw.parts",
            fee=yuan(row.fee_fen),
            tax=yuan(row.tax_fen),
            net=yuan(withdrawals.net_fen(row)),
        )
    return head + "\n" + words("withdraw.foot")


def _refused(visit: Visit, error: DomainError, wanted: int | None = None) -> str:
    """A kind sentence for each refusal."""
    account_id, openid = visit.account.id, visit.push.openid

    def read(session: Session) -> int:
        member = members.find(session, account_id, openid)
        return 0 if member is None else withdrawals.available_of(session, member.id)

    return progress_words.refusal_text(visit.words, error, visit.read(read), wanted or 0)
