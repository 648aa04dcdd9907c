"""商家转账: bills from ACCEPTED to SUCCESS, FAIL or CANCELLED, and the money behind them.

https://pay.weixin.qq.com/doc/v3/merchant/4012711988
"""

import re
import threading
from typing import Any

from simulator import ids
from simulator.errors import ControlError
from simulator.pay import signing
from simulator.pay.book import Letter, notify_url, text_field, time_text, yuan
from simulator.pay.errors import PayError
from simulator.state import Merchant, Transfer, World

CONFIRM_SECONDS = 24 * 3600
KEPT_SECONDS = 30 * 24 * 3600  # a bill can be asked for so long
MIN_FEN = 10
NAME_FROM_FEN = 30  # a name with less is ignored
NAME_NEEDED_FEN = 200_000
REMARK_LENGTH = 32
FINAL = ("SUCCESS", "FAIL", "CANCELLED")
REPORT_INFOS = {"1000": {"活动名称", "奖励说明"}, "1005": {"岗位类型", "报酬说明"}}
"""What each scene must report; of a scene that is not here, anything."""

_NUMBER = re.compile(r"[0-9A-Za-z]{1,32}")


class Transfers:
    """All transfers. Whoever changes one holds the world's lock; `watch` has the numbers that time may change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._watch = {
            number
            for number, bill in world.state.transfers.items()
            if bill.state not in FINAL or bill.notify_at is not None
        }

    # --- the merchant's calls ---

    def create(
        self, merchant: Merchant, body: dict[str, Any], serial: str, *, authorization_no: str = ""
    ) -> dict[str, Any]:
        """POST /v3/fund-app/mch-transfer/transfer-bills. The same number with the same content is the same bill. One
        that is paid by an authorisation is not confirmed."""
        wish = _parsed(self._world, merchant, body, serial)
        wish.authorization_no = authorization_no
        with self._world.lock:
            known = self._world.state.transfers.get(wish.out_bill_no)
            if known is not None:
                _check_same(known, wish)
                known.creations += 1
                self._go_on(known)
                return _created(known)
            if merchant.balance_fen < wish.amount_fen:
                raise PayError("NOT_ENOUGH", "商户运营账户资金不足")
            merchant.balance_fen -= wish.amount_fen
            self._world.state.transfers[wish.out_bill_no] = wish
            with self._lock:
                self._watch.add(wish.out_bill_no)
            self._go_on(wish)
            return _created(wish)

    def query(self, merchant: Merchant, bill: Transfer | None) -> dict[str, Any]:
        """What became of a bill. It has no package_info: only creating it again, with its number, tells that."""
        now = self._world.now()
        if bill is None or bill.mch_id != merchant.mch_id or now - bill.created_at > KEPT_SECONDS:
            raise PayError("NOT_FOUND", "记录不存在")
        return _facts(bill) | {
            "mch_id": bill.mch_id,
            "appid": bill.app_id,
            "transfer_remark": bill.remark,
        }

    def cancel(self, merchant: Merchant, bill: Transfer | None) -> dict[str, Any]:
        """Take a bill back that nobody has confirmed yet."""
        if bill is None or bill.mch_id != merchant.mch_id:
            raise PayError("NOT_FOUND", "记录不存在")
        with self._world.lock:
            if bill.state in ("ACCEPTED", "PROCESSING", "WAIT_USER_CONFIRM"):
                self._move(bill, "CANCELING")
                if self._world.faults.transfer_stops_at != "CANCELING":
                    self._end(bill, "CANCELLED")
            elif bill.state not in ("CANCELING", "CANCELLED"):
                raise PayError("INVALID_REQUEST", f"当前状态不可撤销：{bill.state}")
        return {
            "out_bill_no": bill.out_bill_no,
            "transfer_bill_no": bill.transfer_bill_no,
            "state": bill.state,
            "update_time": time_text(bill.updated_at),
        }

    # --- the person's phone, and time ---

    def confirm(self, bill: Transfer, real_name: str = "") -> None:
        """The person takes the money; `real_name` is what their bank knows, the bill's own name where not given."""
        with self._world.lock:
            if bill.state != "WAIT_USER_CONFIRM":
                raise ControlError(f"nothing to confirm: {bill.state}", 409)
            self._move(bill, "TRANSFERING")
            asked = self._world.state.authorizations.get(bill.authorization_no)
            if asked is not None and asked.state == "WAIT_USER_CONFIRM":
                asked.state, asked.authorized_at = "TAKING_EFFECT", self._world.now()
            if real_name and bill.user_name and bill.user_name != real_name:
                self._end(bill, "FAIL", "NAME_NOT_CORRECT")
            elif self._world.faults.transfer_stops_at != "TRANSFERING":
                self._arrive(bill)

    def refuse(self, bill: Transfer) -> None:
        """The person does not want the money."""
        with self._world.lock:
            if bill.state != "WAIT_USER_CONFIRM":
                raise ControlError(f"nothing to refuse: {bill.state}", 409)
            self._end(bill, "FAIL", "USER_REFUSED")

    def proceed(self, bill: Transfer) -> None:
        """Let a bill that stopped somewhere take its next steps, whatever the faults say."""
        with self._world.lock:
            if bill.state in ("ACCEPTED", "PROCESSING"):
                self._ask_or_pay(bill)
            elif bill.state == "TRANSFERING":
                self._arrive(bill)
            elif bill.state == "CANCELING":
                self._end(bill, "CANCELLED")
            else:
                raise ControlError(f"it does not stand still: {bill.state}", 409)

    def collect(self) -> list[Transfer]:
        """Close what nobody confirmed within a day; the bills whose notice is due now, each handed out once."""
        now = self._world.now()
        due = []
        with self._world.lock:
            for number in self._watched():
                bill = self._world.state.transfers.get(number)
                if bill is None:  # the world was reset
                    self._forget(number)
                    continue
                if bill.state == "WAIT_USER_CONFIRM" and now - bill.created_at >= CONFIRM_SECONDS:
                    self._end(bill, self._world.faults.transfer_lapses_to, "OVERDUE_CLOSE")
                if bill.notify_at is not None and bill.notify_at <= now:
                    bill.notify_at = None
                    due.append(bill)
        return due

    def noticed(self, bill: Transfer, next_at: float | None) -> None:
        """A notice was accepted, or given up (None), or is to be tried again."""
        with self._world.lock:
            bill.notify_at = next_at
            self._world.changes += 1
        if next_at is None:
            self._forget(bill.out_bill_no)

    def letter(self, bill: Transfer) -> Letter:
        """The notice about a bill that has come to its end."""
        summary, inside = "商家转账单据终态通知", {"mchid": bill.mch_id} | _facts(bill)
        return Letter("MCHTRANSFER.BILL.FINISHED", "mch_payment", summary, inside)

    def find(self, number: str) -> Transfer | None:
        """A bill by either of its numbers."""
        transfers = self._world.state.transfers
        if number in transfers:
            return transfers[number]
        with self._world.lock:
            known = list(transfers.values())
        return next((bill for bill in known if bill.transfer_bill_no == number), None)

    # --- how a bill moves ---

    def _go_on(self, bill: Transfer) -> None:
        """The platform's own steps until the person is asked, as far as the faults let it."""
        stop = self._world.faults.transfer_stops_at
        if bill.state == "ACCEPTED" and stop != "ACCEPTED":
            self._move(bill, "PROCESSING")
        if bill.state == "PROCESSING" and stop != "PROCESSING":
            self._ask_or_pay(bill)

    def _ask_or_pay(self, bill: Transfer) -> None:
        allowed = self._world.state.authorizations.get(bill.authorization_no)
        if allowed is None or allowed.state != "TAKING_EFFECT":
            self._ask_person(bill)
            return
        self._move(bill, "TRANSFERING")
        if self._world.faults.transfer_stops_at != "TRANSFERING":
            self._arrive(bill)

    def _ask_person(self, bill: Transfer) -> None:
        self._move(bill, "WAIT_USER_CONFIRM")
        bill.package_info = "affffddafdfafddffda" + ids.random_text(60) + "=="
        self._tell(
            bill, f"商家转账 ¥{yuan(bill.amount_fen)}：{bill.remark}。请在 24 小时内确认收款。"
        )

    def _arrive(self, bill: Transfer) -> None:
        reason = self._world.faults.transfer_fails_with
        if reason:
            self._end(bill, "FAIL", reason)
        else:
            self._end(bill, "SUCCESS")

    def _move(self, bill: Transfer, state: str) -> None:
        bill.state, bill.updated_at = state, self._world.now()
        self._world.changes += 1

    def _end(self, bill: Transfer, state: str, reason: str = "") -> None:
        self._move(bill, state)
        bill.fail_reason = reason
        if state == "SUCCESS":
            self._tell(bill, f"已收款 ¥{yuan(bill.amount_fen)}：{bill.remark}")
        else:
            self._world.state.merchants[bill.mch_id].balance_fen += bill.amount_fen
        if bill.notify_url:
            bill.notify_at = self._world.now() + self._world.faults.notice_delay_seconds
        else:
            self._forget(bill.out_bill_no)

    def _tell(self, bill: Transfer, text: str) -> None:
        contact = self._world.get_account(bill.app_id).contacts[bill.openid]
        self._world.add_message(contact, "system", "notice", text=text, transfer=bill.out_bill_no)

    def _watched(self) -> list[str]:
        with self._lock:
            return list(self._watch)

    def _forget(self, number: str) -> None:
        with self._lock:
            self._watch.discard(number)


def _created(bill: Transfer) -> dict[str, Any]:
    answer = {
        "out_bill_no": bill.out_bill_no,
        "transfer_bill_no": bill.transfer_bill_no,
        "create_time": time_text(bill.created_at),
        "state": bill.state,
    }
    if bill.state == "WAIT_USER_CONFIRM":
        answer["package_info"] = bill.package_info
    return answer


def _facts(bill: Transfer) -> dict[str, Any]:
    facts = {
        "out_bill_no": bill.out_bill_no,
        "transfer_bill_no": bill.transfer_bill_no,
        "state": bill.state,
        "transfer_amount": bill.amount_fen,
        "openid": bill.openid,
        "create_time": time_text(bill.created_at),
        "update_time": time_text(bill.updated_at),
    }
    return facts | ({"fail_reason": bill.fail_reason} if bill.fail_reason else {})


def _check_same(known: Transfer, wish: Transfer) -> None:
    names = ("mch_id", "app_id", "openid", "amount_fen", "remark", "scene_id", "user_name")
    others = ("report_infos", "authorization_no")
    if any(getattr(known, name) != getattr(wish, name) for name in (*names, *others)):
        raise PayError("INVALID_REQUEST", "商户单号已存在，请核实请求参数是否与原单一致")


# --- what a request must say ----------------------------------------------------------------------------------------


def _parsed(world: World, merchant: Merchant, body: dict[str, Any], serial: str) -> Transfer:
    app_id, openid = text_field(body, "appid"), text_field(body, "openid")
    number, amount = text_field(body, "out_bill_no"), body.get("transfer_amount")
    if merchant.app_ids and app_id not in merchant.app_ids:
        raise PayError("APPID_MCHID_NOT_MATCH", "appid与mchid不匹配")
    if not _NUMBER.fullmatch(number):
        raise PayError("PARAM_ERROR", "out_bill_no 只能由数字、大小写字母组成")
    account = world.state.accounts.get(app_id)
    if account is None or openid not in account.contacts:
        raise PayError("PARAM_ERROR", "openid与appid不匹配")
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise PayError("PARAM_ERROR", "transfer_amount 应为整数")
    if not MIN_FEN <= amount <= merchant.bill_max_fen:
        raise PayError("INVALID_REQUEST", "超过单笔转账上下限")
    remark = text_field(body, "transfer_remark", REMARK_LENGTH)
    scene = text_field(body, "transfer_scene_id")
    now = world.now()
    return Transfer(
        mch_id=merchant.mch_id,
        out_bill_no=number,
        transfer_bill_no=f"1330000{int(now)}{world.next_id():012d}",
        app_id=app_id,
        openid=openid,
        amount_fen=amount,
        remark=remark,
        scene_id=scene,
        user_name=_name(merchant, body, amount, serial),
        report_infos=_report_infos(scene, body.get("transfer_scene_report_infos")),
        perception=str(body.get("user_recv_perception") or ""),
        notify_url=notify_url(body.get("notify_url")),
        created_at=now,
        updated_at=now,
    )


def _name(merchant: Merchant, body: dict[str, Any], amount: int, serial: str) -> str:
    sealed = body.get("user_name")
    if not sealed:
        if amount >= NAME_NEEDED_FEN:
            raise PayError("PARAM_ERROR", "转账金额大于等于2000元时，收款用户姓名必填")
        return ""
    name = signing.open_field(merchant, str(sealed), serial, "user_name")
    return name if amount >= NAME_FROM_FEN else ""


def _report_infos(scene: str, given: Any) -> list[dict[str, str]]:
    infos = given if isinstance(given, list) else []
    kinds = {each.get("info_type") for each in infos if isinstance(each, dict)}
    complete = all(isinstance(each, dict) and each.get("info_content") for each in infos)
    if not infos or not complete or kinds != REPORT_INFOS.get(scene, kinds):
        raise PayError("PARAM_ERROR", "未按转账场景要求传入转账场景报备信息")
    return infos
