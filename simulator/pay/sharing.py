"""分账: an order's frozen money shared with receivers, given free, and given back.

https://pay.weixin.qq.com/doc/v3/merchant/4012068046
"""

import re
from typing import Any

from simulator.pay import signing
from simulator.pay.book import Letter, fen_field, fingerprint, key_of, text_field, time_text
from simulator.pay.errors import PayError
from simulator.pay.orders import Orders
from simulator.pay.watch import Watch
from simulator.state import Merchant, PayOrder, Share, ShareReturn, World

MOST_RECEIVERS = 20_000
RECEIVERS_A_REQUEST = 50
REQUESTS_AN_ORDER = 50
KINDS = ("MERCHANT_ID", "PERSONAL_OPENID")
RELATIONS = (
    "STORE", "STAFF", "STORE_OWNER", "PARTNER", "HEADQUARTER", "BRAND", "DISTRIBUTOR", "USER", "SUPPLIER", "CUSTOM",
)  # fmt: skip

_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
_NONE = "RESOURCE_NOT_EXISTS"


class Sharing:
    """Receivers, requests and returns. Whoever changes one holds the world's lock."""

    def __init__(self, world: World, orders: Orders) -> None:
        self._world = world
        self._orders = orders
        self._watch = Watch(
            key
            for key, each in world.state.shares.items()
            if each.due_at is not None or each.notify_at is not None
        )

    # --- receivers ---

    def add_receiver(self, merchant: Merchant, body: dict[str, Any], serial: str) -> dict[str, str]:
        """Allow somebody to receive shares; adding the same one again changes nothing."""
        kind, account = text_field(body, "type"), text_field(body, "account")
        relation = text_field(body, "relation_type")
        if kind not in KINDS or relation not in RELATIONS:
            raise PayError("PARAM_ERROR", "type 或 relation_type 取值有误")
        if relation == "CUSTOM":
            text_field(body, "custom_relation", 10)
        self._check_account(merchant, text_field(body, "appid"), kind, account)
        if body.get("name"):
            signing.open_field(merchant, str(body["name"]), serial, "name")
        receiver = {"type": kind, "account": account, "relation_type": relation}
        with self._world.lock:
            if not _has(merchant, kind, account):
                if len(merchant.receivers) >= MOST_RECEIVERS:
                    raise PayError("RULE_LIMIT", "分账接收方数量超过上限")
                merchant.receivers.append(receiver)
        return receiver

    def delete_receiver(self, merchant: Merchant, body: dict[str, Any]) -> dict[str, str]:
        """Allow it no longer."""
        kind, account = text_field(body, "type"), text_field(body, "account")
        with self._world.lock:
            if not _has(merchant, kind, account):
                raise PayError("INVALID_REQUEST", "分账接收方不存在")
            merchant.receivers = [
                each
                for each in merchant.receivers
                if (each["type"], each["account"]) != (kind, account)
            ]
        return {"type": kind, "account": account}

    # --- requests ---

    def create(self, merchant: Merchant, body: dict[str, Any], serial: str) -> Share:
        """POST /v3/profitsharing/orders: PROCESSING first, then a result for each receiver."""
        number = _number(body, "out_order_no")
        with self._world.lock:
            if known := self._repeated(merchant, number, body):
                return known
            order = self._order(merchant, text_field(body, "transaction_id"))
            receivers = [self._receiver(merchant, each, serial) for each in _receiver_list(body)]
            self._take(merchant, order, sum(each["amount"] for each in receivers))
            return self._add(merchant, order, body, receivers, unfreeze=body["unfreeze_unsplit"])

    def unfreeze(self, merchant: Merchant, body: dict[str, Any]) -> Share:
        """POST /v3/profitsharing/orders/unfreeze: all that is left is the merchant's."""
        number, description = _number(body, "out_order_no"), text_field(body, "description", 80)
        with self._world.lock:
            if known := self._repeated(merchant, number, body):
                return known
            order = self._order(merchant, text_field(body, "transaction_id"))
            if not order.frozen_fen:
                raise PayError("NOT_ENOUGH", "没有待分账的资金")
            own = {
                "type": "MERCHANT_ID",
                "account": merchant.mch_id,
                "amount": order.frozen_fen,
                "description": description,
                "result": "PENDING",
                "detail_id": self._id("36011"),
                "create_time": time_text(self._world.now()),
            }
            return self._add(merchant, order, body, [own], unfreeze=True)

    def get(self, merchant: Merchant, number: str, transaction_id: str) -> Share:
        """GET /v3/profitsharing/orders/{out_order_no}."""
        found = self._world.state.shares.get(key_of(merchant.mch_id, number))
        if found is None or found.transaction_id != transaction_id:
            raise PayError(_NONE, "记录不存在")
        return found

    def facts(self, share: Share) -> dict[str, Any]:
        """What creating and querying answer."""
        return {
            "transaction_id": share.transaction_id,
            "out_order_no": share.out_order_no,
            "order_id": share.order_id,
            "state": share.state,
            "receivers": share.receivers,
        }

    def unsplit(self, merchant: Merchant, transaction_id: str) -> dict[str, Any]:
        """GET /v3/profitsharing/transactions/{transaction_id}/amounts."""
        order = self._order(merchant, transaction_id)
        return {"transaction_id": transaction_id, "unsplit_amount": order.frozen_fen}

    # --- returns ---

    def give_back(self, merchant: Merchant, body: dict[str, Any]) -> ShareReturn:
        """POST /v3/profitsharing/return-orders: only from merchants, only what they have received."""
        number, fen = _number(body, "out_return_no"), fen_field(body, "amount")
        account = text_field(body, "return_mchid")
        with self._world.lock:
            known = self._world.state.share_returns.get(key_of(merchant.mch_id, number))
            if known is not None:
                if known.content != fingerprint(body):
                    raise PayError("INVALID_REQUEST", "回退单号已存在，参数与首次请求不一致")
                return known
            share = self._of_return(merchant, body)
            received = sum(
                each["amount"]
                for each in share.receivers
                if each["account"] == account and each["result"] == "SUCCESS"
            )
            if fen > received - self._returned(share, account):
                raise PayError("INVALID_REQUEST", "回退金额超过可回退金额")
            entry = ShareReturn(
                mch_id=merchant.mch_id,
                out_return_no=number,
                return_id=self._id("3008"),
                order_id=share.order_id,
                out_order_no=share.out_order_no,
                return_mchid=account,
                amount_fen=fen,
                description=text_field(body, "description", 80),
                content=fingerprint(body),
                created_at=self._world.now(),
                due_at=self._world.now() + self._world.faults.share_delay_seconds,
            )
            self._world.state.share_returns[key_of(merchant.mch_id, number)] = entry
            return entry

    def get_return(self, merchant: Merchant, number: str) -> ShareReturn:
        """GET /v3/profitsharing/return-orders/{out_return_no}."""
        found = self._world.state.share_returns.get(key_of(merchant.mch_id, number))
        if found is None:
            raise PayError(_NONE, "记录不存在")
        with self._world.lock:
            self._finish_return(found)
        return found

    # --- time and notices ---

    def collect(self) -> list[Share]:
        """See Book."""
        now, due = self._world.now(), []
        with self._world.lock:
            for key in self._watch.all():
                share = self._world.state.shares.get(key)
                if share is None:  # the world was reset
                    self._watch.drop(key)
                    continue
                if share.due_at is not None and share.due_at <= now:
                    self.finish(share)
                if share.notify_at is not None and share.notify_at <= now:
                    share.notify_at = None
                    due.append(share)
        return due

    def finish(self, share: Share) -> None:
        """Give every receiver the money, or, as the faults say, nobody."""
        with self._world.lock:
            if share.due_at is None:
                return
            order, now = self._order_of(share), self._world.now()
            share.due_at, share.updated_at, share.state = None, now, "FINISHED"
            for receiver in share.receivers:
                self._give(order, share, receiver, now)
            if share.unfreeze:
                self._orders.thaw(order)
            self._world.changes += 1
            if share.notify_url:
                share.notify_at = now + self._world.faults.notice_delay_seconds
            else:
                self._watch.drop(key_of(share.mch_id, share.out_order_no))

    def noticed(self, share: Share, next_at: float | None) -> None:
        """See Book. Each receiver has a notice of its own, one after the other."""
        with self._world.lock:
            share.notify_at = next_at
            self._world.changes += 1
            if next_at is not None:
                return
            share.told += 1
            if share.told < len(share.receivers):
                share.notify_at, share.notify_tries = self._world.now(), 0
            else:
                self._watch.drop(key_of(share.mch_id, share.out_order_no))

    def letter(self, share: Share) -> Letter:
        """The notice about what one receiver got; it has the same name as the one about a payment."""
        receiver = share.receivers[min(share.told, len(share.receivers) - 1)]
        inside = {
            "mchid": share.mch_id,
            "transaction_id": share.transaction_id,
            "out_order_no": share.out_order_no,
            "order_id": share.order_id,
            "receiver": {
                name: receiver[name] for name in ("type", "account", "amount", "description")
            },
            "success_time": time_text(share.updated_at),
        }
        return Letter("TRANSACTION.SUCCESS", "profitsharing", "分账", inside)

    # --- inside ---

    def _check_account(self, merchant: Merchant, app_id: str, kind: str, account: str) -> None:
        if merchant.app_ids and app_id not in merchant.app_ids:
            raise PayError("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
        official = self._world.state.accounts.get(app_id)
        if kind == "PERSONAL_OPENID" and (official is None or account not in official.contacts):
            raise PayError("PARAM_ERROR", "openid和appid不匹配")

    def _repeated(self, merchant: Merchant, number: str, body: dict[str, Any]) -> Share | None:
        known = self._world.state.shares.get(key_of(merchant.mch_id, number))
        if known is not None and known.content != fingerprint(body):
            raise PayError("INVALID_REQUEST", "分账单号已存在，参数与首次请求不一致")
        return known

    def _order(self, merchant: Merchant, transaction_id: str) -> PayOrder:
        order = self._orders.get(merchant, transaction_id)
        if not order.profit_sharing:
            raise PayError("INVALID_REQUEST", "非分账订单不支持分账")
        return order

    def _order_of(self, share: Share) -> PayOrder:
        return self._orders.get(self._world.state.merchants[share.mch_id], share.transaction_id)

    def _receiver(self, merchant: Merchant, given: object, serial: str) -> dict[str, Any]:
        if not isinstance(given, dict):
            raise PayError("PARAM_ERROR", "receivers 应为对象的列表")
        kind, account = text_field(given, "type"), text_field(given, "account")
        if not _has(merchant, kind, account):
            raise PayError("INVALID_REQUEST", "分账接收方未添加，请先添加分账接收方")
        if given.get("name"):
            signing.open_field(merchant, str(given["name"]), serial, "name")
        return {
            "type": kind,
            "account": account,
            "amount": fen_field(given, "amount"),
            "description": text_field(given, "description", 80),
            "result": "PENDING",
            "detail_id": self._id("36011"),
            "create_time": time_text(self._world.now()),
        }

    def _take(self, merchant: Merchant, order: PayOrder, fen: int) -> None:
        requests = sum(
            1 for each in self._world.state.shares.values() if each.transaction_id == order.transaction_id
        )  # fmt: skip
        if requests >= REQUESTS_AN_ORDER:
            raise PayError("RULE_LIMIT", "分账次数超过上限")
        if order.shared_fen + fen > order.total_fen * merchant.share_max_bps // 10_000:
            raise PayError("RULE_LIMIT", "分账金额超过最大分账比例")
        if fen > order.frozen_fen:
            raise PayError("NOT_ENOUGH", "分账金额不足")
        order.frozen_fen -= fen
        order.shared_fen += fen

    def _add(
        self,
        merchant: Merchant,
        order: PayOrder,
        body: dict[str, Any],
        receivers: list[dict[str, Any]],
        *,
        unfreeze: bool,
    ) -> Share:
        now, number = self._world.now(), str(body["out_order_no"])
        share = Share(
            mch_id=merchant.mch_id,
            out_order_no=number,
            order_id=self._id("3008"),
            transaction_id=order.transaction_id,
            app_id=order.app_id,
            receivers=receivers,
            unfreeze=unfreeze,
            content=fingerprint(body),
            notify_url=merchant.share_notify_url,
            created_at=now,
            updated_at=now,
            due_at=now + self._world.faults.share_delay_seconds,
        )
        self._world.state.shares[key_of(merchant.mch_id, number)] = share
        self._watch.add(key_of(merchant.mch_id, number))
        return share

    def _give(self, order: PayOrder, share: Share, receiver: dict[str, Any], now: float) -> None:
        receiver["finish_time"] = time_text(now)
        own = receiver["account"] == share.mch_id
        if own or not self._world.faults.share_fails_with:
            receiver["result"] = "SUCCESS"
            return
        receiver |= {"result": "CLOSED", "fail_reason": self._world.faults.share_fails_with}
        order.frozen_fen += receiver["amount"]
        order.shared_fen -= receiver["amount"]

    def _of_return(self, merchant: Merchant, body: dict[str, Any]) -> Share:
        wanted = body.get("out_order_no") or body.get("order_id")
        for share in self._world.state.shares.values():
            if share.mch_id == merchant.mch_id and wanted in (share.out_order_no, share.order_id):
                return share
        raise PayError(_NONE, "分账单不存在")

    def _returned(self, share: Share, account: str) -> int:
        return sum(
            each.amount_fen
            for each in self._world.state.share_returns.values()
            if each.order_id == share.order_id
            and each.return_mchid == account
            and each.result != "FAILED"
        )

    def _finish_return(self, entry: ShareReturn) -> None:
        if entry.due_at is None or entry.due_at > self._world.now():
            return
        entry.due_at = None
        reason = self._world.faults.share_fails_with
        entry.result, entry.fail_reason = ("FAILED", reason) if reason else ("SUCCESS", "")
        if not reason:
            self._world.state.merchants[entry.mch_id].balance_fen += entry.amount_fen

    def _id(self, beginning: str) -> str:
        return f"{beginning}{int(self._world.now())}{self._world.next_id():014d}"


def return_facts(entry: ShareReturn) -> dict[str, Any]:
    """What creating and querying a return answer."""
    facts = {
        "order_id": entry.order_id,
        "out_order_no": entry.out_order_no,
        "out_return_no": entry.out_return_no,
        "return_id": entry.return_id,
        "return_mchid": entry.return_mchid,
        "amount": entry.amount_fen,
        "description": entry.description,
        "result": entry.result,
        "create_time": time_text(entry.created_at),
    }
    return facts | ({"fail_reason": entry.fail_reason} if entry.fail_reason else {})


def _has(merchant: Merchant, kind: str, account: str) -> bool:
    return any((each["type"], each["account"]) == (kind, account) for each in merchant.receivers)


def _receiver_list(body: dict[str, Any]) -> list[Any]:
    listed = body.get("receivers")
    if not isinstance(listed, list) or not 1 <= len(listed) <= RECEIVERS_A_REQUEST:
        raise PayError("PARAM_ERROR", "receivers 应有 1 至 50 项")
    if not isinstance(body.get("unfreeze_unsplit"), bool):
        raise PayError("PARAM_ERROR", "unfreeze_unsplit 为必填项")
    return listed


def _number(body: dict[str, Any], name: str) -> str:
    number = text_field(body, name)
    if not _NUMBER.fullmatch(number):
        raise PayError("PARAM_ERROR", f"{name} 格式有误")
    return number
