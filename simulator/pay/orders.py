"""JSAPI 支付: orders, what the phone is shown, and the money that arrives.

https://pay.weixin.qq.com/doc/v3/merchant/4012791856
"""

import re
from datetime import datetime
from typing import Any

from simulator import ids
from simulator.errors import ControlError
from simulator.pay import signing
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
from simulator.pay.watch import Watch
from simulator.state import Merchant, PayOrder, World

PREPAY_SECONDS = 2 * 3600
LAPSE_SECONDS = 7 * 86_400
SHORTEST_SECONDS, LONGEST_SECONDS = 60, 15 * 86_400
FROZEN_SECONDS = 30 * 86_400
"""After so long what has not been shared goes to the merchant by itself."""
FINAL = ("CLOSED", "REVOKED", "PAYERROR")

_NUMBER = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
_STATE_WORDS = {
    "SUCCESS": "支付成功",
    "REFUND": "转入退款",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
    "USERPAYING": "用户支付中",
    "PAYERROR": "支付失败",
    "REVOKED": "已撤销",
}


class Orders:
    """All orders. Whoever changes one holds the world's lock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._watch = Watch(
            key
            for key, each in world.state.pay_orders.items()
            if each.state not in FINAL or each.notify_at is not None
        )

    # --- the merchant's calls ---

    def create(self, merchant: Merchant, body: dict[str, Any]) -> PayOrder:
        """The order of POST /v3/pay/transactions/jsapi. The same number with the same content is the same order."""
        wish = _parsed(self._world, merchant, body)
        with self._world.lock:
            known = self._world.state.pay_orders.get(key_of(wish.mch_id, wish.out_trade_no))
            if known is not None:
                return self._repeated(known, wish)
            self._world.state.pay_orders[key_of(wish.mch_id, wish.out_trade_no)] = wish
            self._watch.add(key_of(wish.mch_id, wish.out_trade_no))
        return wish

    def close(self, merchant: Merchant, number: str) -> None:
        """Nobody can pay this order any more; a paid one cannot be closed."""
        with self._world.lock:
            order = self.get(merchant, number)
            if order.state not in ("NOTPAY", "CLOSED"):
                raise PayError("INVALID_REQUEST", "该订单已支付，不能关闭")
            self._move(order, "CLOSED")

    def get(self, merchant: Merchant, number: str) -> PayOrder:
        """The merchant's order by out_trade_no or transaction_id; ORDER_NOT_EXIST."""
        found = by_number(
            self._world, self._world.state.pay_orders, merchant, number, "transaction_id"
        )
        if found is None:
            raise PayError("ORDER_NOT_EXIST", "订单不存在")
        return found

    def facts(self, order: PayOrder) -> dict[str, Any]:
        """What a query says, and a notice inside."""
        total = order.total_fen + self._world.faults.paid_amount_off_fen
        facts: dict[str, Any] = {
            "appid": order.app_id,
            "mchid": order.mch_id,
            "out_trade_no": order.out_trade_no,
            "trade_state": order.state,
            "trade_state_desc": _STATE_WORDS[order.state],
            "payer": {"openid": order.openid},
            "amount": {"total": total, "currency": "CNY"},
            "attach": order.attach,
        }
        if not order.transaction_id:
            return facts
        facts["amount"] |= {"payer_total": total, "payer_currency": "CNY"}
        return facts | {
            "transaction_id": order.transaction_id,
            "trade_type": "JSAPI",
            "bank_type": "OTHERS",
            "success_time": time_text(order.success_at or order.updated_at),
        }

    # --- the person's phone, and time ---

    def asked(self, prepay_id: str) -> PayOrder:
        """The order that a page asks a phone to pay; ControlError when there is none, or no longer."""
        with self._world.lock:
            listed = list(self._world.state.pay_orders.values())
        order = next((each for each in listed if each.prepay_id == prepay_id), None)
        if order is None:
            raise ControlError("no such prepay_id", 404)
        if order.state == "NOTPAY" and order.prepay_expires_at <= self._world.now():
            raise ControlError("the prepay_id has expired", 410)
        return order

    def pay(self, order: PayOrder, openid: str) -> None:
        """The person pays; only the one that the order is for."""
        with self._world.lock:
            if openid != order.openid:
                raise ControlError("the order is for somebody else", 403)
            if order.state != "NOTPAY":
                raise ControlError(f"nothing to pay: {order.state}", 409)
            self._paid(order)

    def check_package(self, order: PayOrder, given: dict[str, Any]) -> None:
        """Refuse what a page hands to getBrandWCPayRequest unless the merchant signed it."""
        merchant = self._world.state.merchants[order.mch_id]
        names = ("appId", "timeStamp", "nonceStr", "package")
        parts = [str(given.get(name, "")) for name in names]
        if given.get("signType") != "RSA" or not signing.is_signed(
            merchant, parts, str(given.get("paySign", ""))
        ):
            raise ControlError("paySign is wrong", 403)
        if parts[0] != order.app_id:
            raise ControlError("appId is another account's", 403)

    def collect(self) -> list[PayOrder]:
        """Close what nobody paid in time, give free what was not shared in time; whose notice is due."""
        now = self._world.now()
        due = []
        with self._world.lock:
            for key in self._watch.all():
                order = self._world.state.pay_orders.get(key)
                if order is None:  # the world was reset
                    self._watch.drop(key)
                    continue
                self._grow_old(order, now)
                if order.notify_at is not None and order.notify_at <= now:
                    order.notify_at = None
                    due.append(order)
        return due

    def noticed(self, order: PayOrder, next_at: float | None) -> None:
        """See Book."""
        with self._world.lock:
            order.notify_at = next_at
            self._world.changes += 1
            self._leave(order)

    def letter(self, order: PayOrder) -> Letter:
        """The notice about a payment."""
        return Letter("TRANSACTION.SUCCESS", "transaction", "支付成功", self.facts(order))

    # --- what others do with an order's money; they hold the lock ---

    def give_back(self, order: PayOrder, fen: int) -> None:
        """Take `fen` for a refund: of what is frozen first, then of the merchant's balance; NOT_ENOUGH."""
        merchant = self._world.state.merchants[order.mch_id]
        frozen = min(order.frozen_fen, fen)
        if merchant.balance_fen < fen - frozen:
            raise PayError("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        order.frozen_fen -= frozen
        merchant.balance_fen -= fen - frozen
        order.refunded_fen += fen
        self._move(order, "REFUND")

    def thaw(self, order: PayOrder) -> int:
        """Give the merchant what is still frozen; how much that was."""
        fen, order.frozen_fen = order.frozen_fen, 0
        self._world.state.merchants[order.mch_id].balance_fen += fen
        return fen

    # --- inside ---

    def _repeated(self, known: PayOrder, wish: PayOrder) -> PayOrder:
        if known.content != wish.content:
            raise PayError("INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
        if known.state != "NOTPAY":
            raise PayError("OUT_TRADE_NO_USED", "商户订单号重复，请更换后重新下单")
        if known.prepay_expires_at <= self._world.now():
            known.prepay_id, known.prepay_expires_at = wish.prepay_id, wish.prepay_expires_at
        return known

    def _paid(self, order: PayOrder) -> None:
        world, now = self._world, self._world.now()
        merchant = world.state.merchants[order.mch_id]
        order.transaction_id = f"42000{int(now)}{world.next_id():013d}"
        order.success_at = now
        order.fee_fen = (order.total_fen * merchant.fee_bps + 5000) // 10_000
        net = order.total_fen - order.fee_fen
        if order.profit_sharing:
            order.frozen_fen = net
        else:
            merchant.balance_fen += net
        self._move(order, "SUCCESS")
        order.notify_at = now + world.faults.notice_delay_seconds
        contact = world.get_account(order.app_id).contacts[order.openid]
        text = f"微信支付 ¥{yuan(order.total_fen)}：{order.description}"
        world.add_message(contact, "system", "notice", text=text, paid=order.out_trade_no)

    def _grow_old(self, order: PayOrder, now: float) -> None:
        if order.state == "NOTPAY" and order.expires_at <= now:
            self._move(order, "CLOSED")
        if order.frozen_fen and order.success_at and order.success_at + FROZEN_SECONDS <= now:
            self.thaw(order)
        self._leave(order)

    def _leave(self, order: PayOrder) -> None:
        """Stop looking at what neither time nor a notice will change any more."""
        waits = order.state == "NOTPAY" or order.frozen_fen or order.notify_at is not None
        if not waits and (order.state in FINAL or order.notify_tries):
            self._watch.drop(key_of(order.mch_id, order.out_trade_no))

    def _move(self, order: PayOrder, state: str) -> None:
        order.state, order.updated_at = state, self._world.now()
        self._world.changes += 1


# --- what a request must say ----------------------------------------------------------------------------------------


def _parsed(world: World, merchant: Merchant, body: dict[str, Any]) -> PayOrder:
    app_id, number = text_field(body, "appid"), text_field(body, "out_trade_no")
    if text_field(body, "mchid") != merchant.mch_id:
        raise PayError("PARAM_ERROR", "mchid 与签名的商户号不一致")
    if merchant.app_ids and app_id not in merchant.app_ids:
        raise PayError("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
    if not _NUMBER.fullmatch(number):
        raise PayError("PARAM_ERROR", "out_trade_no 长度 6-32，只能是数字、大小写字母_-|*")
    openid = text_field(object_field(body, "payer"), "openid")
    account = world.state.accounts.get(app_id)
    if account is None or openid not in account.contacts:
        raise PayError("PARAM_ERROR", "openid和appid不匹配")
    amount = object_field(body, "amount")
    if amount.get("currency", "CNY") != "CNY":
        raise PayError("PARAM_ERROR", "currency 只支持 CNY")
    now = world.now()
    settle = body.get("settle_info")
    return PayOrder(
        mch_id=merchant.mch_id,
        out_trade_no=number,
        app_id=app_id,
        openid=openid,
        description=text_field(body, "description", 127),
        total_fen=fen_field(amount, "total"),
        notify_url=notify_url(body.get("notify_url"), needed=True),
        attach=str(body.get("attach") or "")[:128],
        profit_sharing=isinstance(settle, dict) and settle.get("profit_sharing") is True,
        content=fingerprint(body),
        created_at=now,
        updated_at=now,
        expires_at=_expiry(body.get("time_expire"), now),
        prepay_id="wx" + ids.random_text(34),
        prepay_expires_at=now + PREPAY_SECONDS,
    )


def _expiry(given: object, now: float) -> float:
    if given is None:
        return now + LAPSE_SECONDS
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError as error:
        raise PayError("PARAM_ERROR", "time_expire 格式应为 rfc3339") from error
    if moment.tzinfo is None:
        raise PayError("PARAM_ERROR", "time_expire 缺少时区")
    if not SHORTEST_SECONDS <= moment.timestamp() - now <= LONGEST_SECONDS:
        raise PayError("PARAM_ERROR", "time_expire 应在 1 分钟至 15 天之间")
    return moment.timestamp()
