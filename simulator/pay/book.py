"""What all books of WeChat Pay have in common: entries that WeChat Pay tells the merchant about, and how times look."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol, TypeVar

from simulator.pay.errors import PayError
from simulator.state import Merchant, PayOrder, Refund, World

CHINA = timezone(timedelta(hours=8))

_Entry = TypeVar("_Entry", PayOrder, Refund)


class Told(Protocol):
    """An entry with a notice: where it goes, when the next delivery is due, and every delivery so far."""

    mch_id: str
    notify_url: str
    updated_at: float
    notify_at: float | None
    notify_tries: int
    notices: list[dict[str, Any]]


@dataclass(frozen=True)
class Letter:
    """What a notice says: the names outside, and what is encrypted inside."""

    event_type: str
    original_type: str
    summary: str
    inside: dict[str, Any]


class Book(Protocol):
    """Entries that time may change and that notices are due for."""

    def collect(self) -> list[Any]:
        """Do what time has brought about; the entries whose notice is due now, each handed out once."""

    def noticed(self, entry: Any, next_at: float | None) -> None:
        """A notice was accepted, or given up (None), or is to be tried again at `next_at`."""

    def letter(self, entry: Any) -> Letter:
        """What the notice about this entry says."""


def time_text(at: float) -> str:
    """An instant as WeChat Pay writes it: RFC 3339, Beijing time, whole seconds."""
    return datetime.fromtimestamp(at, CHINA).isoformat(timespec="seconds")


def yuan(fen: int) -> str:
    """Fen as people read them."""
    return f"{fen // 100}.{fen % 100:02d}"


def text_field(body: dict[str, Any], name: str, longest: int = 0) -> str:
    """A text that must be there; PARAM_ERROR otherwise, or when it is longer than `longest` characters."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise PayError("PARAM_ERROR", f"{name} 为必填项")
    if longest and len(value) > longest:
        raise PayError("PARAM_ERROR", f"{name} 最多 {longest} 个字符")
    return value


def fen_field(body: dict[str, Any], name: str) -> int:
    """A positive amount in fen; PARAM_ERROR otherwise."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PayError("PARAM_ERROR", f"{name} 应为大于 0 的整数，单位为分")
    return value


def object_field(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object that must be there; PARAM_ERROR otherwise."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise PayError("PARAM_ERROR", f"{name} 为必填项")
    return value


def notify_url(given: Any, *, needed: bool = False) -> str:
    """An address without a query; PARAM_ERROR otherwise. Plain http is taken, for servers under test."""
    url = str(given or "")
    if (needed and not url) or (
        url and (not url.startswith(("http://", "https://")) or "?" in url)
    ):
        raise PayError("PARAM_ERROR", "notify_url 必须为直接可访问的URL，不能携带参数")
    return url


def fingerprint(body: dict[str, Any]) -> str:
    """The content of a request, to tell a repetition from another request under the same number."""
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def key_of(mch_id: str, number: str) -> str:
    """Where a merchant's entry of this number is kept."""
    return f"{mch_id} {number}"


def by_number(
    world: World, entries: dict[str, _Entry], merchant: Merchant, number: str, theirs: str
) -> _Entry | None:
    """The merchant's entry by its own number, or by WeChat Pay's, which its field `theirs` has."""
    found = entries.get(key_of(merchant.mch_id, number))
    if found is not None:
        return found
    with world.lock:
        known = list(entries.values())
    return next(
        (one for one in known if one.mch_id == merchant.mch_id and getattr(one, theirs) == number),
        None,
    )
