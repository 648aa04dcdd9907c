"""提现 in words: where a withdrawal is, and why a request for one is refused. Chat and pages say the same."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Final

from domain import payouts, withdrawals
from domain.errors import DomainError, Invalid
from domain.models import Withdrawal
from domain.money import yuan
from domain.texts import Words, minute
from domain.withdrawals import LimitReached, NotEnough

_REAL_NAME: Final = re.compile(r"[\u3400-\u9fff·]{2,20}|[A-Za-z][A-Za-z .'-]{1,40}")


def real_name(text: str) -> str:
    """A real name as people type it, in the form that is kept. Raises `Invalid` for what cannot be one."""
    name = unicodedata.normalize("NFKC", text).strip()
    if _REAL_NAME.fullmatch(name) is None:
        raise Invalid("not a real name")
    return name


def is_waiting(row: Withdrawal, now: datetime) -> bool:
    """Whether the member has to confirm the transfer in WeChat now."""
    waits = row.status == withdrawals.PAYING and row.provider_state == payouts.WAITING
    return waits and row.confirm_by is not None and now < row.confirm_by


def state_text(words: Words, row: Withdrawal, now: datetime) -> str:
    """Where a withdrawal is, in a sentence."""
    facts = {"net": yuan(withdrawals.net_fen(row)), "reason": row.reason or ""}
    if row.finished_at is not None:
        facts["date"] = minute(row.finished_at)
    if row.status == withdrawals.FAILED:
        facts["reason"] = words.failure(row.reason or "")
    if is_waiting(row, now) and row.confirm_by is not None:
        return words("withdrawal.confirm", net=facts["net"], until=minute(row.confirm_by))
    return words(f"withdrawal.{row.status}", **facts)


def refusal_text(words: Words, error: DomainError, available_fen: int, wanted_fen: int) -> str:
    """A kind sentence for `Invalid`, `LimitReached` and `NotEnough` of a request; the facts come from the refusal."""
    details = error.details
    if isinstance(error, LimitReached):
        if "per_day" in details:
            return words("withdraw.per_day", count=details["per_day"])
        return words("withdraw.day_sum", sum=yuan(details["day_sum_fen"]))
    if isinstance(error, NotEnough) or "reason" not in details:
        if available_fen < 0:
            return words("earnings.debt", debt=yuan(-available_fen))
        return words("withdraw.not_enough", available=yuan(available_fen), amount=yuan(wanted_fen))
    facts = {
        name.removesuffix("_fen"): yuan(value)
        for name, value in details.items()
        if name.endswith("_fen")
    }
    return words(f"withdraw.{details['reason']}", **facts)
