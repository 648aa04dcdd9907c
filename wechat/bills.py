"""WeChat Pay's fund-flow bill (资金账单) of a day: what moved on the merchant's account, one row for each movement.

The bill of a day is made from nine o'clock in Beijing on the next. It comes in two steps: an address with the file's
SHA1, whose answer is signed, and the file, which is not: the hash is what proves it.

https://pay.weixin.qq.com/doc/v3/merchant/4012556742
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

from wechat.errors import OutcomeUnknown
from wechat.pay import PayClient, PayRefused

ACCOUNTS: Final = ("BASIC", "OPERATION")
"""基本账户 and 运营账户: a merchant pays its transfers from the one that its console says."""
NO_BILL: Final = "NO_STATEMENT_EXIST"
"""Nothing moved on that account on that day."""
MOST_BYTES: Final = 256 * 1024 * 1024
"""A million rows have about half of it."""

OUT: Final = "支出"
IN: Final = "收入"
_COLUMNS: Final = ("微信支付业务单号", "业务名称", "业务类型", "收支类型", "收支金额", "业务凭证号")
_SUMMARY: Final = "资金流水总笔数"
_PATH: Final = "/v3/billdownload/file"


@dataclass(frozen=True, slots=True)
class Movement:
    """A row: WeChat Pay's number of the business, the merchant's own (业务凭证号), what it was, and fen that left the
    account (below zero: came in)."""

    provider_no: str
    own_no: str
    name: str
    kind: str
    out_fen: int

    @property
    def is_transfer(self) -> bool:
        """Whether WeChat Pay calls it a transfer to somebody."""
        return "转账" in self.name or "转账" in self.kind


def fund_flow(client: PayClient, day: date) -> list[Movement]:
    """Every movement of a day (Beijing's) on both accounts; empty when there was none.

    Raises `OutcomeUnknown` (no answer, a file that does not agree with its hash or cannot be read) and `PayRefused`
    (the bill is not ready, or may not be had).
    """
    rows: list[Movement] = []
    for account in ACCOUNTS:
        file = _file(client, day, account)
        if file is not None:
            rows += movements_in(file)
    return rows


def _file(client: PayClient, day: date, account: str) -> bytes | None:
    status, text = _called(
        lambda: client.library.fundflow_bill(
            bill_date=day.isoformat(), account_type=account, tar_type="GZIP"
        )
    )
    answer = _json(text)
    if status >= 300:
        code = str(answer.get("code", ""))
        if code == NO_BILL:
            return None
        if status < 500:
            raise PayRefused(
                code[:64], str(answer.get("message", ""))[:200], status, "fundflowbill"
            )
        raise OutcomeUnknown(f"HTTP {status}", path="fundflowbill")
    address = urlsplit(str(answer.get("download_url", "")))
    if address.path != _PATH:
        raise OutcomeUnknown("an address that is not the bill's", path="fundflowbill")
    # Only the path: the request is signed, and goes to the configured address and nowhere else.
    status, content = _called(
        lambda: client.library.download_bill(f"{address.path}?{address.query}")
    )
    if status != 200 or not isinstance(content, bytes):
        raise OutcomeUnknown(f"HTTP {status}", path="billdownload")
    file = unpacked(content)
    if answer.get("hash_type") != "SHA1" or not _agrees(file, str(answer.get("hash_value", ""))):
        raise OutcomeUnknown("the file does not agree with its hash", path="billdownload")
    return file


def _called(call: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    try:
        return call()
    except Exception as error:
        # Connection, time-out, signature, or a bare Exception of the library: asking again is harmless.
        raise OutcomeUnknown(type(error).__name__, path="fundflowbill") from error


def _json(text: Any) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (TypeError, ValueError) as error:
        raise OutcomeUnknown("no JSON", path="fundflowbill") from error
    if not isinstance(answer, dict):
        raise OutcomeUnknown("no JSON object", path="fundflowbill")
    return answer


def _agrees(file: bytes, sha1: str) -> bool:
    """The platform chose SHA1; the transport is HTTPS, the hash was signed."""
    return hashlib.sha1(file, usedforsecurity=False).hexdigest() == sha1.lower()


def unpacked(content: bytes) -> bytes:
    """The file of a GZIP answer; `OutcomeUnknown` for what is none, is cut off, or swells beyond `MOST_BYTES`."""
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        file = unzip.decompress(content, MOST_BYTES)
    except zlib.error as error:
        raise OutcomeUnknown("not a GZIP file", path="billdownload") from error
    if not unzip.eof:
        raise OutcomeUnknown("the file is cut off, or too large", path="billdownload")
    return file


def movements_in(file: bytes) -> list[Movement]:
    """The rows of a bill: a heading, rows whose values each begin with a grave accent, a heading and a row of sums,
    which must agree with the rows. `OutcomeUnknown` for anything else."""
    try:
        lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))
        return _movements([line for line in lines if line])
    except (
        UnicodeDecodeError,
        csv.Error,
        KeyError,
        IndexError,
        ValueError,
        InvalidOperation,
    ) as error:
        raise OutcomeUnknown(f"a bill that cannot be read: {error}", path="billdownload") from error


def _movements(lines: list[list[str]]) -> list[Movement]:
    names = [name.strip().removesuffix("(元)").removesuffix("（元）") for name in lines[0]]
    place = {name: names.index(name) for name in _COLUMNS}
    end = [line[0].strip() for line in lines].index(_SUMMARY)
    rows = []
    for line in lines[1:end]:
        value = {name: line[at].strip().lstrip("`") for name, at in place.items()}
        rows.append(
            Movement(
                value["微信支付业务单号"], value["业务凭证号"], value["业务名称"], value["业务类型"],
                _signed(value["收支类型"], _fen(value["收支金额"])),
            )
        )  # fmt: skip
    if int(lines[end + 1][0].strip().lstrip("`")) != len(rows):
        raise ValueError("the number of rows is not what the bill says")
    return rows


def _signed(direction: str, fen: int) -> int:
    if direction not in {OUT, IN}:
        raise ValueError("neither income nor expense")
    return fen if direction == OUT else -fen


def _fen(yuan: str) -> int:
    fen = Decimal(yuan) * 100
    if fen != fen.to_integral_value() or fen < 0:
        raise ValueError("an amount that is no number of fen")
    return int(fen)
