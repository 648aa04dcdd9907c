"""WeChat Pay: sending money to a follower (商家转账), asking what became of it, and reading notices about it.

The one door to wechatpayv3, always in public-key mode: nothing is downloaded, and a notice can never make us call
anybody. Money rules of this module:

* whatever goes wrong after a call was begun leaves its outcome unknown (`OutcomeUnknown`);
* a refusal (`PayRefused`) is no proof that there is no bill either, because refusals are not signed;
* only `query_transfer` returning None says that a bill does not exist.

https://pay.weixin.qq.com/doc/v3/merchant/4012711988
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from wechatpayv3 import WeChatPay, WeChatPayType

from wechat.errors import OutcomeUnknown, WeChatError
from wechat.transport import Timeout

TIMEOUT: Final[Timeout] = (3.0, 10.0)
SKEW_SECONDS: Final = 300
NOTICE_BYTES: Final = 64 * 1024
NAME_FROM_FEN: Final = 30
"""Below, WeChat Pay ignores the receiver's name."""
NAME_NEEDED_FEN: Final = 200_000
REMARK_LENGTH: Final = 32
TRANSFER_NOTICE: Final = "mch_payment"
"""The original_type of a notice about a transfer; event_type repeats itself over kinds (platform.md 12.3)."""

SUCCESS: Final = "SUCCESS"
FAIL: Final = "FAIL"
CANCELLED: Final = "CANCELLED"
FINAL: Final = (SUCCESS, FAIL, CANCELLED)

_ALGORITHM: Final = "WECHATPAY2-SHA256-RSA2048"
_HEADERS: Final = ("Timestamp", "Nonce", "Signature", "Serial", "Signature-Type")
_ABSENT_CODES: Final = frozenset({"NOT_FOUND", "RESOURCE_NOT_EXISTS", "ORDER_NOT_EXIST"})


class PayRefused(WeChatError):
    """WeChat Pay answered with an error: `code` (NOT_ENOUGH, PARAM_ERROR …) and HTTP `status`. It may be over by the
    next time, and it says nothing about a bill that an earlier call may have made."""

    def __init__(self, code: str, message: str, status: int, path: str) -> None:
        super().__init__(f"{code} {message}", path=path)
        self.code = code
        self.status = status


class NotGenuine(Exception):
    """A notice that is not WeChat Pay's, not fresh, or not for this merchant. Says why, without its content."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A merchant's side of WeChat Pay: its number, certificate and APIv3 key, and the platform's public key as PEM."""

    mch_id: str
    serial_no: str
    public_key_id: str
    public_key: str
    private_key: str = field(repr=False)
    api_v3_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PayClient:
    """A merchant's transfers for one official account."""

    mch_id: str
    app_id: str
    public_key_id: str
    notify_url: str
    library: WeChatPay = field(repr=False)


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """What is to be sent. The same number must always come with the same content."""

    out_bill_no: str
    openid: str
    amount_fen: int
    scene_id: str
    remark: str
    report_infos: tuple[tuple[str, str], ...]
    user_name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What WeChat Pay says of a bill. A creation tells no receiver and no amount, a query no package_info."""

    out_bill_no: str
    transfer_bill_no: str
    state: str
    created_at: datetime
    mch_id: str | None = None
    openid: str | None = None
    amount_fen: int | None = None
    package_info: str | None = field(default=None, repr=False)
    fail_reason: str | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class PayNotice:
    """A genuine notice: what it is about (`original_type`), and its decrypted content."""

    id: str
    original_type: str
    content: dict[str, Any] = field(repr=False)

    def transfer(self) -> Transfer:
        """The transfer that it tells of; `NotGenuine` when the content is something else."""
        try:
            return _transfer(self.content)
        except (KeyError, TypeError, ValueError) as error:
            raise NotGenuine("the content is not a transfer") from error


def open_client(keys: Keys, app_id: str, *, api_base: str, notify_url: str) -> PayClient:
    """A client that calls `api_base` and nobody else; nothing is called yet. ValueError for keys that are none."""
    try:
        library = WeChatPay(
            wechatpay_type=WeChatPayType.JSAPI,
            mchid=keys.mch_id,
            private_key=keys.private_key,
            cert_serial_no=keys.serial_no,
            apiv3_key=keys.api_v3_key,
            appid=app_id,
            notify_url=notify_url,
            logger=None,  # it would write signatures and decrypted notices (libraries.md V7)
            timeout=TIMEOUT,
            public_key=keys.public_key,
            public_key_id=keys.public_key_id,
        )
    except Exception as error:
        # The library raises bare Exceptions for keys that it cannot read.
        raise ValueError("the merchant's keys cannot be used") from error
    if not hasattr(library._core, "_gate_way"):  # libraries.md V4; a test watches it too
        raise ValueError("this release of wechatpayv3 keeps its address elsewhere")
    library._core._gate_way = api_base
    return PayClient(keys.mch_id, app_id, keys.public_key_id, notify_url, library)


def create_transfer(client: PayClient, order: TransferOrder) -> Transfer:
    """Send money, or learn what became of the bill with this number if there is one already.

    Raises `OutcomeUnknown` and `PayRefused`; after either the bill may exist. A ValueError says that nothing was sent.
    https://pay.weixin.qq.com/doc/v3/merchant/4012716434
    """
    if not 0 < len(order.remark) <= REMARK_LENGTH or not order.report_infos:
        raise ValueError("a transfer needs a remark of 1 to 32 characters, and its report")
    if order.amount_fen >= NAME_NEEDED_FEN and not order.user_name:
        raise ValueError("this amount needs the receiver's name")
    infos = [{"info_type": kind, "info_content": text} for kind, text in order.report_infos]
    named = order.amount_fen >= NAME_FROM_FEN
    return _transfer_from(
        "create",
        lambda: client.library.mch_transfer_bills(
            out_bill_no=order.out_bill_no,
            transfer_scene_id=order.scene_id,
            openid=order.openid,
            transfer_amount=order.amount_fen,
            transfer_remark=order.remark,
            user_name=order.user_name if named else None,
            transfer_scene_report_infos=infos,
            appid=client.app_id,
            notify_url=client.notify_url,
        ),
    )


def query_transfer(client: PayClient, out_bill_no: str) -> Transfer | None:
    """What became of the bill; None when WeChat Pay says that there is none, or none any more after 30 days.

    Raises `OutcomeUnknown` and `PayRefused`.
    https://pay.weixin.qq.com/doc/v3/merchant/4012716437
    """
    try:
        return _transfer_from(
            "query", lambda: client.library.mch_transfer_bills_query(out_bill_no=out_bill_no)
        )
    except PayRefused as error:
        if error.status == 404 and error.code in _ABSENT_CODES:
            return None
        raise


def cancel_transfer(client: PayClient, out_bill_no: str) -> str:
    """Take a bill back that the receiver has not confirmed; its state now, CANCELING as a rule.

    Raises `OutcomeUnknown` and `PayRefused`.
    https://pay.weixin.qq.com/doc/v3/merchant/4012716458
    """
    answer = _answer("cancel", lambda: client.library.mch_transfer_bills_cancel(out_bill_no))
    return str(answer["state"])


def read_notice(
    client: PayClient, headers: Mapping[str, str], body: bytes, now: datetime
) -> PayNotice:
    """The content of a notice, if it is WeChat Pay's, meant for this merchant and at most five minutes old.

    Raises `NotGenuine` for everything else, probes (`WECHATPAY/SIGNTEST/…`) included. Calls nobody.
    https://pay.weixin.qq.com/doc/v3/merchant/4012712115
    """
    proof = {f"Wechatpay-{name}": headers.get(f"Wechatpay-{name}", "") for name in _HEADERS}
    _check_before_verifying(client, proof, body, now)
    try:
        told = client.library.callback(proof, body)
        envelope = json.loads(body)
        kind, identity = envelope["resource"]["original_type"], envelope["id"]
        content = told["resource"]
    except Exception as error:
        # The library raises whatever a stranger's bytes make it raise: one answer for all of them.
        raise NotGenuine(f"it cannot be read: {type(error).__name__}") from error
    if not isinstance(content, dict):
        raise NotGenuine("the content is not an object")
    return PayNotice(str(identity), str(kind), content)


def _check_before_verifying(
    client: PayClient, proof: Mapping[str, str], body: bytes, now: datetime
) -> None:
    """What the library does not look at, or stumbles over (libraries.md V1, V2, V3)."""
    if len(body) > NOTICE_BYTES:
        raise NotGenuine("it is too long")
    if proof["Wechatpay-Serial"] != client.public_key_id:
        raise NotGenuine("signed with a key that is not ours to know")
    if proof["Wechatpay-Signature-Type"] != _ALGORITHM:
        raise NotGenuine("another kind of signature")
    stamp = proof["Wechatpay-Timestamp"]
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        raise NotGenuine("without a timestamp")
    if abs(now.timestamp() - int(stamp)) > SKEW_SECONDS:
        raise NotGenuine("too old, or from the future")


# --- calls and answers ----------------------------------------------------------------------------------------------


def _answer(name: str, call: Callable[[], tuple[int, Any]]) -> dict[str, Any]:
    """The JSON of a verified 2xx answer. The library verifies its signature before it returns."""
    path = f"transfer-bills {name}"
    try:
        status, text = call()
        answer = json.loads(text)
    except Exception as error:
        # Connection, time-out, signature, JSON, or a bare Exception of the library: perhaps after the effect (V6).
        raise OutcomeUnknown(type(error).__name__, path=path) from error
    if not isinstance(answer, dict) or not 200 <= status < 500:
        raise OutcomeUnknown(f"HTTP {status}", path=path)
    if status >= 300:
        code, message = str(answer.get("code", "")), str(answer.get("message", ""))
        raise PayRefused(code[:64], message[:200], status, path)
    return answer


def _transfer_from(name: str, call: Callable[[], tuple[int, Any]]) -> Transfer:
    answer = _answer(name, call)
    try:
        return _transfer(answer)
    except (KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown(f"an answer without {error}", path=f"transfer-bills {name}") from error


def _transfer(values: Mapping[str, Any]) -> Transfer:
    amount = values.get("transfer_amount")
    return Transfer(
        out_bill_no=str(values["out_bill_no"]),
        transfer_bill_no=str(values["transfer_bill_no"]),
        state=str(values["state"]),
        created_at=datetime.fromisoformat(values["create_time"]),
        # The documentation spells it both ways.
        mch_id=_text(values.get("mch_id") or values.get("mchid")),
        openid=_text(values.get("openid")),
        amount_fen=None if amount is None else int(amount),
        package_info=_text(values.get("package_info")),
        fail_reason=_text(values.get("fail_reason")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
