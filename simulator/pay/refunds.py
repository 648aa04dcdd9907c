"""退款: parts of an order on their way back to the person.

https://pay.weixin.qq.com/doc/v3/merchant/4012791862
"""

import re
from typing import Any

from simulator.pay.book import (
    Letter,
    by_number,
    fen_field,
    fingerprint,
    key_of,
    notify_url,
    object_field,
    text_field,
    time_text,
    yuan,
)
from simulator.pay.errors import PayError
from simulator.pay.orders import Orders
from simulator.pay.watch import Watch
from simulator.state import Merchant, PayOrder, Refund, World

YEAR_SECONDS = 365 * 86_400
MOST_REFUNDS = 50

_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
_EVENTS = {
    "SUCCESS": ("REFUND.SUCCESS", "退款成功"),
    "ABNORMAL": ("REFUND.ABNORMAL", "退款异常"),
    "CLOSED": ("REFUND.CLOSED", "退款关闭"),
}


class Refunds:
    """All refunds. Whoever changes one holds the world's lock."""

    def __init__(self, world: World, orders: Orders) -> None:
        self._world = world
        self._orders = orders
        self._watch = Watch(
            key
            for key, each in world.state.refunds.items()
            if each.due_at is not None or each.notify_at is not None
        )

    # --- the merchant's calls ---

    def create(self, merchant: Merchant, body: dict[str, Any]) -> Refund:
        """POST /v3/refund/domestic/refunds: PROCESSING first, whatever comes of it."""
        number, content = text_field(body, "out_refund_no"), fingerprint(body)
        if not _NUMBER.fullmatch(number):
            raise PayError("PARAM_ERROR", "out_refund_no 格式有误")
        with self._world.lock:
            known = self._world.state.refunds.get(key_of(merchant.mch_id, number))
            if known is not None:
                if known.content != content:
                    raise PayError("INVALID_REQUEST", "退款单号已存在，且参数与首次请求不一致")
                return known
            refund = self._new(merchant, number, content, body)
            self._world.state.refunds[key_of(merchant.mch_id, number)] = refund
            self._watch.add(key_of(merchant.mch_id, number))
            return refund

    def get(self, merchant: Merchant, number: str) -> Refund:
        """The merchant's refund by out_refund_no or refund_id; RESOURCE_NOT_EXISTS."""
        found = by_number(self._world, self._world.state.refunds, merchant, number, "refund_id")
        if found is None:
            raise PayError("RESOURCE_NOT_EXISTS", "退款单不存在")
        return found

    def repair(self, merchant: Merchant, refund_id: str, body: dict[str, Any]) -> Refund:
        """apply-abnormal-refund: pay an ABNORMAL one out in another way; it is PROCESSING again, then SUCCESS."""
        with self._world.lock:
            refund = self.get(merchant, refund_id)
            if text_field(body, "out_refund_no") != refund.out_refund_no:
                raise PayError("PARAM_ERROR", "out_refund_no 与退款单不符")
            if text_field(body, "type") not in ("USER_BANK_CARD", "MERCHANT_BANK_CARD"):
                raise PayError("PARAM_ERROR", "type 取值有误")
            if refund.state != "ABNORMAL":
                raise PayError("INVALID_REQUEST", "仅退款异常的退款单可以发起异常退款")
            refund.state, refund.updated_at = "PROCESSING", self._world.now()
            refund.due_at = self._world.now() + self._world.faults.refund_delay_seconds
            refund.repaired, refund.notify_tries = True, 0
            self._watch.add(key_of(refund.mch_id, refund.out_refund_no))
            return refund

    def facts(self, refund: Refund) -> dict[str, Any]:
        """What creating and querying answer."""
        facts = {
            "refund_id": refund.refund_id,
            "out_refund_no": refund.out_refund_no,
            "transaction_id": refund.transaction_id,
            "out_trade_no": refund.out_trade_no,
            "channel": "ORIGINAL",
            "user_received_account": "支付用户零钱",
            "create_time": time_text(refund.created_at),
            "status": refund.state,
            "funds_account": "AVAILABLE",
            "amount": _amount(refund)
            | {
                "settlement_total": refund.total_fen,
                "settlement_refund": refund.amount_fen,
                "discount_refund": 0,
                "currency": "CNY",
            },
        }
        if refund.success_at is not None:
            facts["success_time"] = time_text(refund.success_at)
        return facts

    # --- time and notices ---

    def collect(self) -> list[Refund]:
        """See Book."""
        now, due = self._world.now(), []
        with self._world.lock:
            for key in self._watch.all():
                refund = self._world.state.refunds.get(key)
                if refund is None:  # the world was reset
                    self._watch.drop(key)
                    continue
                if refund.due_at is not None and refund.due_at <= now:
                    self.finish(refund)
                if refund.notify_at is not None and refund.notify_at <= now:
                    refund.notify_at = None
                    due.append(refund)
        return due

    def finish(self, refund: Refund) -> None:
        """End what is PROCESSING as the faults say; one that was repaired always succeeds."""
        with self._world.lock:
            if refund.due_at is None:
                return
            now = self._world.now()
            refund.due_at = None
            refund.state = "SUCCESS" if refund.repaired else self._world.faults.refund_ends_in
            refund.updated_at = now
            if refund.state == "SUCCESS":
                refund.success_at = now
                self._tell(refund)
            elif refund.state == "CLOSED":
                self._put_back(refund)
            self._world.changes += 1
            if refund.notify_url:
                refund.notify_at = now + self._world.faults.notice_delay_seconds
            else:
                self._watch.drop(key_of(refund.mch_id, refund.out_refund_no))

    def noticed(self, refund: Refund, next_at: float | None) -> None:
        """See Book."""
        with self._world.lock:
            refund.notify_at = next_at
            self._world.changes += 1
            if next_at is None and refund.due_at is None:
                self._watch.drop(key_of(refund.mch_id, refund.out_refund_no))

    def letter(self, refund: Refund) -> Letter:
        """The notice about a refund that has come to an end."""
        event, summary = _EVENTS[refund.state]
        inside = {
            "mchid": refund.mch_id,
            "out_trade_no": refund.out_trade_no,
            "transaction_id": refund.transaction_id,
            "out_refund_no": refund.out_refund_no,
            "refund_id": refund.refund_id,
            "refund_status": refund.state,
            "user_received_account": "支付用户零钱",
            "amount": _amount(refund),
        }
        if refund.success_at is not None:
            inside["success_time"] = time_text(refund.success_at)
        return Letter(event, "refund", summary, inside)

    # --- inside ---

    def _new(self, merchant: Merchant, number: str, content: str, body: dict[str, Any]) -> Refund:
        order = self._orders.get(
            merchant,
            str(body.get("transaction_id") or "") or text_field(body, "out_trade_no"),
        )
        amount = object_field(body, "amount")
        fen, now = fen_field(amount, "refund"), self._world.now()
        self._check(order, fen, fen_field(amount, "total"), now)
        self._orders.give_back(order, fen)
        return Refund(
            mch_id=merchant.mch_id,
            out_refund_no=number,
            refund_id=f"50000{int(now)}{self._world.next_id():014d}",
            out_trade_no=order.out_trade_no,
            transaction_id=order.transaction_id,
            amount_fen=fen,
            total_fen=order.total_fen,
            reason=str(body.get("reason") or "")[:80],
            notify_url=notify_url(body.get("notify_url")),
            content=content,
            created_at=now,
            updated_at=now,
            due_at=now + self._world.faults.refund_delay_seconds,
        )

    def _check(self, order: PayOrder, fen: int, total: int, now: float) -> None:
        if order.success_at is None:
            raise PayError("INVALID_REQUEST", "订单未支付，不能退款")
        if total != order.total_fen:
            raise PayError("INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
        if order.refunded_fen + fen > order.total_fen:
            raise PayError("INVALID_REQUEST", "申请退款金额大于订单可退金额")
        if now - order.success_at > YEAR_SECONDS:
            raise PayError("INVALID_REQUEST", "订单已超过可退款的最大期限")
        earlier = sum(
            1
            for each in self._world.state.refunds.values()
            if each.mch_id == order.mch_id and each.out_trade_no == order.out_trade_no
        )
        if earlier >= MOST_REFUNDS:
            raise PayError("INVALID_REQUEST", "部分退款次数超过上限")

    def _put_back(self, refund: Refund) -> None:
        """A closed refund never left: the money is the merchant's again, and may be refunded once more."""
        order = self._world.state.pay_orders[key_of(refund.mch_id, refund.out_trade_no)]
        order.refunded_fen -= refund.amount_fen
        if not order.refunded_fen:
            order.state = "SUCCESS"
        self._world.state.merchants[refund.mch_id].balance_fen += refund.amount_fen

    def _tell(self, refund: Refund) -> None:
        order = self._world.state.pay_orders[key_of(refund.mch_id, refund.out_trade_no)]
        contact = self._world.get_account(order.app_id).contacts[order.openid]
        text = f"退款到账 ¥{yuan(refund.amount_fen)}：{order.description}"
        self._world.add_message(contact, "system", "notice", text=text)


def _amount(refund: Refund) -> dict[str, int]:
    return {
        "total": refund.total_fen,
        "refund": refund.amount_fen,
        "payer_total": refund.total_fen,
        "payer_refund": refund.amount_fen,
    }
