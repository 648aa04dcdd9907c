"""交易账单 and 资金账单: what was traded, and what moved on a merchant's account on a day, as files.

https://pay.weixin.qq.com/doc/v3/merchant/4012556742
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from simulator.pay.book import CHINA, yuan
from simulator.pay.errors import PayError
from simulator.pay.gate import PayCall, PayEndpoints
from simulator.state import Merchant, PayOrder, Refund, World

endpoints = PayEndpoints()

ACCOUNTS = ("BASIC", "OPERATION", "FEES")
TRADE_KINDS = ("ALL", "SUCCESS", "REFUND")
MADE_AT_HOUR = 9
KEPT_DAYS = 92
APPLY = "/v3/bill/fundflowbill"
DOWNLOAD = "/v3/billdownload/file"
TRADES = "/v3/bill/tradebill"

_NAME = re.compile(r"bill-[0-9a-f]{40}")
_HEADINGS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,"
    "备注,业务凭证号"
)
_IN, _OUT = "收入", "支出"
_SUMS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
_TRADE_HEADINGS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
_TRADE_SUMS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)


@endpoints.add("GET", APPLY)
def apply(call: PayCall) -> dict[str, Any]:
    """GET /v3/bill/fundflowbill: where the bill can be had, and its hash."""
    account = call.query.get("account_type", "BASIC")
    if account not in ACCOUNTS:
        raise PayError("PARAM_ERROR", "account_type 取值有误")
    return _place(call, account)


@endpoints.add("GET", TRADES)
def apply_trades(call: PayCall) -> dict[str, Any]:
    """GET /v3/bill/tradebill: the same of what people paid and got back."""
    if call.query.get("bill_type", "ALL") not in TRADE_KINDS:
        raise PayError("PARAM_ERROR", "bill_type 取值有误")
    return _place(call, call.query.get("bill_type", "ALL"))


@endpoints.add("GET", DOWNLOAD)
def download(call: PayCall) -> bytes:
    """GET /v3/billdownload/file: the file; it is not signed."""
    packed, _, name = call.query.get("token", "").partition(".")
    if not _NAME.fullmatch(name):
        raise PayError("INVALID_REQUEST", "token 无效")
    try:
        content = call.world.blobs.get(name)
    except FileNotFoundError as error:
        raise PayError("INVALID_REQUEST", "token 无效") from error
    return gzip.compress(content, mtime=0) if packed == "1" else content


def _place(call: PayCall, kind: str) -> dict[str, Any]:
    day = _day(call.world, call.query.get("bill_date", ""))
    if call.query.get("tar_type", "GZIP") != "GZIP":
        raise PayError("PARAM_ERROR", "tar_type 取值有误")
    text = _file(call.world, call.merchant, day, kind)
    if text is None:
        raise PayError("NO_STATEMENT_EXIST", "账单文件不存在")
    packed = "1" if call.query.get("tar_type") == "GZIP" else "0"
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    # Kept as it is now: a refund of that day may end before somebody comes for the file.
    call.world.blobs.put(name := f"bill-{digest}", text.encode())
    return {
        "hash_type": "SHA1",
        "hash_value": digest,
        "download_url": f"{call.base_url}{DOWNLOAD}?token={packed}.{name}",
    }


def _file(world: World, merchant: Merchant, day: date, kind: str) -> str | None:
    if kind in TRADE_KINDS:
        return _trades(world, merchant, day, kind)
    return _bill(world, merchant, day, kind)


def _trades(world: World, merchant: Merchant, day: date, kind: str) -> str | None:
    """Payments and refunds of the day, each a row; None when there were none."""
    with world.lock:
        orders = {
            each.out_trade_no: each
            for each in world.state.pay_orders.values()
            if each.mch_id == merchant.mch_id and each.success_at is not None
        }
        refunds = [each for each in world.state.refunds.values() if each.mch_id == merchant.mch_id]
    paid = [each for each in orders.values() if kind != "REFUND" and _on(day, each.success_at)]
    back = [each for each in refunds if kind != "SUCCESS" and _on(day, each.created_at)]
    if not paid and not back:
        return None
    rows = [(each.success_at or 0.0, _trade_row(merchant, each, None)) for each in paid]
    rows += [
        (each.created_at, _trade_row(merchant, orders[each.out_trade_no], each)) for each in back
    ]
    total, returned = sum(each.total_fen for each in paid), sum(each.amount_fen for each in back)
    fees = sum(each.fee_fen for each in paid)
    sums = [str(len(rows)), *map(yuan, (total, returned, 0, fees, total, returned))]
    lines = [_TRADE_HEADINGS, *(row for _, row in sorted(rows)), _TRADE_SUMS, _line(sums)]
    return "\r\n".join(lines) + "\r\n"


def _trade_row(merchant: Merchant, order: PayOrder, refund: Refund | None) -> str:
    at = refund.created_at if refund else order.success_at or order.updated_at
    paid_fen, back_fen = (0, refund.amount_fen) if refund else (order.total_fen, 0)
    fee_fen = 0 if refund else order.fee_fen
    back = [refund.refund_id, refund.out_refund_no] if refund else ["0", "0"]
    state = ["ORIGINAL", refund.state] if refund else ["", ""]
    return _line(
        [
            _stamp(at), order.app_id, merchant.mch_id, "0", "", order.transaction_id,
            order.out_trade_no, order.openid, "JSAPI", "REFUND" if refund else "SUCCESS",
            "OTHERS", "CNY", yuan(paid_fen), "0.00", *back, yuan(back_fen), "0.00", *state,
            order.description, order.attach, yuan(fee_fen), f"{merchant.fee_bps / 100:.2f}%",
            yuan(paid_fen), yuan(back_fen), "",
        ]
    )  # fmt: skip


def _line(cells: list[str]) -> str:
    return ",".join(f"`{cell}" for cell in cells)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, CHINA).strftime("%Y-%m-%d %H:%M:%S")


def _on(day: date, at: float | None) -> bool:
    return at is not None and datetime.fromtimestamp(at, CHINA).date() == day


def _day(world: World, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise PayError("PARAM_ERROR", "bill_date 格式应为 yyyy-MM-DD") from error
    now = datetime.fromtimestamp(world.now(), CHINA)
    if now.date() - day > timedelta(days=KEPT_DAYS) or day >= now.date():
        raise PayError("INVALID_REQUEST", "仅支持三个月内的账单")
    if day == now.date() - timedelta(days=1) and now.hour < MADE_AT_HOUR:
        raise PayError("STATEMENT_CREATING", "账单生成中")
    return day


def _bill(world: World, merchant: Merchant, day: date, account: str) -> str | None:
    """The whole file; None when nothing moved. A transfer that ended without being paid came back."""
    moves = {"OPERATION": _transfers, "BASIC": _payments}.get(account)
    of_day = sorted(one for one in moves(world, merchant) if _on(day, one.at)) if moves else []
    if not of_day:
        return None
    rows = [_HEADINGS]
    for number, move in enumerate(of_day, start=1):
        cells = [
            _stamp(move.at), move.provider_no, f"{day:%Y%m%d}{number:010}", move.name, move.kind,
            move.way, yuan(move.fen), "0.00", "system", move.name, move.own_no,
        ]  # fmt: skip
        rows.append(_line(cells))
    sums = {way: [one.fen for one in of_day if one.way == way] for way in (_IN, _OUT)}
    figures = [
        str(len(of_day)), str(len(sums[_IN])), yuan(sum(sums[_IN])), str(len(sums[_OUT])), yuan(sum(sums[_OUT])),
    ]  # fmt: skip
    return "\r\n".join([*rows, _SUMS, _line(figures)]) + "\r\n"


@dataclass(frozen=True, order=True)
class Move:
    """Money that came or went; `way` is 收入 or 支出."""

    at: float
    provider_no: str
    own_no: str
    name: str
    kind: str
    way: str
    fen: int


def _transfers(world: World, merchant: Merchant) -> list[Move]:
    moves = []
    with world.lock:
        bills = [one for one in world.state.transfers.values() if one.mch_id == merchant.mch_id]
        for bill in bills:
            facts = bill.transfer_bill_no, bill.out_bill_no
            moves.append(Move(bill.created_at, *facts, "商家转账", "转账", _OUT, bill.amount_fen))
            if bill.state in ("FAIL", "CANCELLED"):
                back = "商家转账退回"
                moves.append(Move(bill.updated_at, *facts, back, "转账", _IN, bill.amount_fen))
    return moves


def _payments(world: World, merchant: Merchant) -> list[Move]:
    """Payments with the fee that was kept of them, refunds, and shares."""
    moves = []
    with world.lock:
        for order in world.state.pay_orders.values():
            if order.mch_id == merchant.mch_id and order.success_at is not None:
                facts = order.success_at, order.transaction_id, order.out_trade_no
                moves.append(Move(*facts, "交易", "交易", _IN, order.total_fen))
                moves.append(Move(*facts, "扣除交易手续费", "扣除交易手续费", _OUT, order.fee_fen))
        for refund in world.state.refunds.values():
            if refund.mch_id == merchant.mch_id and refund.state != "CLOSED":
                numbers = refund.refund_id, refund.out_refund_no
                moves.append(Move(refund.created_at, *numbers, "退款", "退款", _OUT, refund.amount_fen))  # fmt: skip
        for share in world.state.shares.values():
            for each in share.receivers if share.mch_id == merchant.mch_id else []:
                if each["result"] == "SUCCESS" and each["account"] != merchant.mch_id:
                    numbers = each["detail_id"], share.out_order_no
                    moves.append(Move(share.updated_at, *numbers, "分账", "分账", _OUT, each["amount"]))  # fmt: skip
    return moves
