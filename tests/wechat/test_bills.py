"""The fund-flow bill: a file that a stranger could have touched is believed only when all of it agrees."""

from __future__ import annotations

import gzip
import zlib

import pytest

from wechat import bills
from wechat.errors import OutcomeUnknown

HEAD = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,"
    "备注,业务凭证号"
)
OUT = "`2026-03-01 10:00:00,`1330001,`77,`商家转账,`转账,`支出,`12.34,`100.00,`system,`备注,`P1"
BACK = "`2026-03-01 11:00:00,`1330001,`78,`商家转账退回,`转账,`收入,`12.34,`112.34,`system,`,`P1"
SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


def file(*rows: str, count: int | None = None) -> bytes:
    number = len(rows) if count is None else count
    sums = f"`{number},`0,`0.00,`0,`0.00"
    return ("\ufeff" + "\r\n".join([HEAD, *rows, SUMS, sums]) + "\r\n").encode()


def test_a_row_is_read_by_the_name_of_its_column_and_its_sign() -> None:
    out, back = bills.movements_in(file(OUT, BACK))
    assert (out.provider_no, out.own_no, out.out_fen, out.is_transfer) == (
        "1330001",
        "P1",
        1234,
        True,
    )
    assert back.out_fen == -1234
    assert bills.movements_in(file()) == []


@pytest.mark.parametrize(
    "broken",
    [
        file(OUT, count=2),  # a row is missing
        file(OUT.replace("`12.34", "`12.345")),
        file(OUT.replace("`12.34", "`-12.34")),
        file(OUT.replace("`12.34", "`yuan")),
        file(OUT.replace("支出", "也许")),
        file(OUT)[:-60],
        HEAD.encode(),
        "一张网页".encode(),
        b"\xff\xfe",
        b"",
    ],
)
def test_a_file_that_is_not_whole_is_no_bill(broken: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        bills.movements_in(broken)


def test_what_cannot_be_unpacked_or_swells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(file(OUT))
    assert bills.unpacked(packed) == file(OUT)
    for broken in (packed[:-12], b"not gzip", zlib.compress(b"zlib")):
        with pytest.raises(OutcomeUnknown):
            bills.unpacked(broken)
    monkeypatch.setattr(bills, "MOST_BYTES", 1000)
    with pytest.raises(OutcomeUnknown):
        bills.unpacked(gzip.compress(b"0" * 100_000))
