"""资金账单: what moved on a merchant's account on a day, as a file.

https://pay.weixin.qq.com/doc/v3/merchant/4012556742
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from flask import Blueprint, request

from simulator.pay.errors import PayError
from simulator.pay.gate import guarded, guarded_file
from simulator.state import Merchant, World

ACCOUNTS = ("BASIC", "OPERATION", "FEES")
PAYS_FROM = "OPERATION"
"""Transfers are paid from 运营账户."""
MADE_AT_HOUR = 9
KEPT_DAYS = 92
APPLY = "/v3/bill/fundflowbill"
DOWNLOAD = "/v3/billdownload/file"
PATHS = (f"GET {APPLY}", f"GET {DOWNLOAD}")

_CHINA = timezone(timedelta(hours=8))
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_HEADINGS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,"
    "备注,业务凭证号"
)
_SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


def blueprint(world: World) -> Blueprint:
    """The two steps to a bill."""

    def ask(merchant: Merchant, _number: str) -> dict[str, Any]:
        return apply(world, merchant, request.args, request.host_url.rstrip("/"))

    def file(merchant: Merchant) -> bytes:
        return download(world, merchant, request.args.get("token", ""))

    bp = Blueprint("bills", __name__)
    bp.add_url_rule(APPLY, "apply", guarded(world, ask))
    bp.add_url_rule(DOWNLOAD, "download", guarded_file(world, file))
    return bp


def apply(world: World, merchant: Merchant, query: Mapping[str, str], base: str) -> dict[str, Any]:
    """GET /v3/bill/fundflowbill: where the bill can be had, and its hash."""
    day, account = _day(world, query.get("bill_date", "")), query.get("account_type", "BASIC")
    if account not in ACCOUNTS or query.get("tar_type", "GZIP") != "GZIP":
        raise PayError("PARAM_ERROR", "account_type 或 tar_type 取值有误")
    text = _bill(world, merchant, day, account)
    if text is None:
        raise PayError("NO_STATEMENT_EXIST", "账单文件不存在")
    packed = "1" if query.get("tar_type") == "GZIP" else "0"
    return {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
        "download_url": f"{base}{DOWNLOAD}?token={day.isoformat()}.{account}.{packed}",
    }


def download(world: World, merchant: Merchant, token: str) -> bytes:
    """GET /v3/billdownload/file: the file; it is not signed."""
    day, _, rest = token.partition(".")
    account, _, packed = rest.partition(".")
    text = None
    if _DAY.fullmatch(day) and account in ACCOUNTS:
        text = _bill(world, merchant, date.fromisoformat(day), account)
    if text is None:
        raise PayError("INVALID_REQUEST", "token 无效")
    return gzip.compress(text.encode(), mtime=0) if packed == "1" else text.encode()


def _day(world: World, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise PayError("PARAM_ERROR", "bill_date 格式应为 yyyy-MM-DD") from error
    now = datetime.fromtimestamp(world.now(), _CHINA)
    if now.date() - day > timedelta(days=KEPT_DAYS) or day >= now.date():
        raise PayError("INVALID_REQUEST", "仅支持三个月内的账单")
    if day == now.date() - timedelta(days=1) and now.hour < MADE_AT_HOUR:
        raise PayError("STATEMENT_CREATING", "账单生成中")
    return day


def _bill(world: World, merchant: Merchant, day: date, account: str) -> str | None:
    """The whole file; None when nothing moved. A transfer that ended without being paid came back."""
    if account != PAYS_FROM:
        return None
    moves: list[tuple[float, str, str, str, int]] = []
    with world.lock:
        bills = [one for one in world.state.transfers.values() if one.mch_id == merchant.mch_id]
        for bill in bills:
            facts = bill.transfer_bill_no, bill.out_bill_no
            moves.append((bill.created_at, *facts, "支出", bill.amount_fen))
            if bill.state in ("FAIL", "CANCELLED"):
                moves.append((bill.updated_at, *facts, "收入", bill.amount_fen))
    of_day = sorted(one for one in moves if datetime.fromtimestamp(one[0], _CHINA).date() == day)
    if not of_day:
        return None
    rows = [_HEADINGS]
    for number, (at, provider_no, own_no, direction, fen) in enumerate(of_day, start=1):
        stamp = datetime.fromtimestamp(at, _CHINA).strftime("%Y-%m-%d %H:%M:%S")
        name = "商家转账" if direction == "支出" else "商家转账退回"
        rows.append(
            f"`{stamp},`{provider_no},`{day:%Y%m%d}{number:010},`{name},`转账,`{direction},`{_yuan(fen)},`0.00,"
            f"`system,`{name},`{own_no}"
        )
    sums = {way: [one[4] for one in of_day if one[3] == way] for way in ("收入", "支出")}
    rows += [
        _SUMS,
        f"`{len(of_day)},`{len(sums['收入'])},`{_yuan(sum(sums['收入']))},`{len(sums['支出'])},"
        f"`{_yuan(sum(sums['支出']))}",
    ]
    return "\r\n".join(rows) + "\r\n"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
