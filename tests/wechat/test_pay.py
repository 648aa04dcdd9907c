"""WeChat Pay's door: what a notice must be to be believed, and what an answer proves."""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from wechatpayv3 import WeChatPay
from wechatpayv3.core import Core

from wechat import pay
from wechat.errors import OutcomeUnknown
from wechat.pay import Keys, NotGenuine, PayClient, PayRefused, TransferOrder

API_V3_KEY = "k" * 32
KEY_ID = "PUB_KEY_ID_0001"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONTENT = {
    "mchid": "1900000109", "out_bill_no": "N1", "transfer_bill_no": "W1", "state": "SUCCESS",
    "transfer_amount": 5000, "openid": "o1", "create_time": "2026-03-01T20:00:00+08:00",
    "update_time": "2026-03-01T20:00:01+08:00",
}  # fmt: skip
ORDER = TransferOrder("N1", "o1", 5000, "1005", "佣金", (("岗位类型", "推广员"),))

PLATFORM = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


KEYS = Keys(
    "1900000109", "ABCDEF01", KEY_ID, public_pem(PLATFORM), private_pem(STRANGER), API_V3_KEY
)


def signed(body: bytes, at: datetime, key: rsa.RSAPrivateKey = PLATFORM) -> dict[str, str]:
    stamp, nonce = str(int(at.timestamp())), secrets.token_hex(8)
    message = f"{stamp}\n{nonce}\n{body.decode()}\n".encode()
    return {
        "Wechatpay-Timestamp": stamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode(),
        "Wechatpay-Serial": KEY_ID,
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }


def notice(content: Any = CONTENT, kind: str = "mch_payment", key: str = API_V3_KEY) -> bytes:
    nonce = "n" * 12
    sealed = AESGCM(key.encode()).encrypt(nonce.encode(), json.dumps(content).encode(), b"a")
    resource = {
        "algorithm": "AEAD_AES_256_GCM", "original_type": kind, "nonce": nonce, "associated_data": "a",
        "ciphertext": base64.b64encode(sealed).decode(),
    }  # fmt: skip
    told = {
        "id": "e1",
        "event_type": "MCHTRANSFER.BILL.FINISHED",
        "resource_type": "encrypt-resource",
        "resource": resource,
    }
    return json.dumps(told).encode()


@dataclass
class Gateway:
    """A small server that answers what the test says, signed or not, and remembers what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)

    def answers(self, value: Any, status: int = 200, key: rsa.RSAPrivateKey = PLATFORM) -> None:
        self.status, self.body = status, json.dumps(value).encode()
        self.headers = signed(self.body, NOW, key)


@pytest.fixture
def gateway() -> Generator[Gateway]:
    made = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append((self.command, self.path, sent))
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(gateway: Gateway) -> PayClient:
    return pay.open_client(
        KEYS, "wx1", api_base=gateway.url, notify_url="https://example.com/pay/tea/notify"
    )


# --- the library ----------------------------------------------------------------------------------------------------


def test_the_library_still_keeps_its_address_where_we_set_it(client: PayClient) -> None:
    """It has no parameter for it. If this fails, wechat.pay.open_client has to find the new place."""
    assert hasattr(client.library._core, "_gate_way")
    assert isinstance(client.library, WeChatPay)


def test_a_release_that_moves_the_address_is_refused_and_never_calls_the_real_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Core.__init__

    def moved(self: Core, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        del self._gate_way

    monkeypatch.setattr(Core, "__init__", moved)
    with pytest.raises(ValueError, match="elsewhere"):
        pay.open_client(KEYS, "wx1", api_base="http://127.0.0.1:1", notify_url="https://x/n")


def test_opening_a_client_calls_nobody_and_has_timeouts_and_no_logger(
    client: PayClient, gateway: Gateway
) -> None:
    assert gateway.asked == []
    assert client.library._core._timeout == (3.0, 10.0)
    assert client.library._core._logger is None


@pytest.mark.parametrize("name", ["private_key", "public_key"])
def test_keys_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="keys"):
        pay.open_client(
            replace(KEYS, **{name: "-----BEGIN nonsense"}), "wx1", api_base="http://x", notify_url="https://x/n"
        )  # fmt: skip


# --- calls ----------------------------------------------------------------------------------------------------------

CREATED = {
    "out_bill_no": "N1", "transfer_bill_no": "W1", "create_time": "2026-03-01T20:00:00+08:00",
    "state": "WAIT_USER_CONFIRM", "package_info": "p",
}  # fmt: skip


def test_a_creation_is_typed(client: PayClient, gateway: Gateway) -> None:
    gateway.answers(CREATED)
    made = pay.create_transfer(client, ORDER)
    assert (made.state, made.package_info, made.is_final) == ("WAIT_USER_CONFIRM", "p", False)
    assert made.created_at == NOW
    (_, path, sent) = gateway.asked[0]
    assert path == "/v3/fund-app/mch-transfer/transfer-bills"
    body = json.loads(sent)
    assert (body["appid"], body["notify_url"]) == ("wx1", "https://example.com/pay/tea/notify")


def test_a_query_of_what_does_not_exist_is_none_and_of_what_cannot_be_told_is_not(
    client: PayClient, gateway: Gateway
) -> None:
    gateway.answers({"code": "NOT_FOUND", "message": "记录不存在"}, 404)
    assert pay.query_transfer(client, "N1") is None
    gateway.answers({"message": "no such page"}, 404)
    with pytest.raises(PayRefused):
        pay.query_transfer(client, "N1")
    gateway.answers({"code": "NO_AUTH", "message": "x"}, 403)
    with pytest.raises(PayRefused) as refused:
        pay.query_transfer(client, "N1")
    assert (refused.value.code, refused.value.status, refused.value.permanent) == ("NO_AUTH", 403, False)  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b'{"code":"SYSTEM_ERROR"}'), (200, b"<html>"), (200, b"[]"), (502, b"<html>"), (404, b"<html>")],
)  # fmt: skip
def test_an_answer_without_sense_leaves_the_outcome_unknown(
    client: PayClient, gateway: Gateway, status: int, body: bytes
) -> None:
    gateway.status, gateway.body, gateway.headers = status, body, signed(body, NOW)
    with pytest.raises(OutcomeUnknown):
        pay.create_transfer(client, ORDER)
    with pytest.raises(OutcomeUnknown):
        pay.query_transfer(client, "N1")


def test_an_answer_that_somebody_else_signed_is_no_answer(
    client: PayClient, gateway: Gateway
) -> None:
    gateway.answers({**CREATED, "state": "SUCCESS"}, key=STRANGER)
    with pytest.raises(OutcomeUnknown):
        pay.query_transfer(client, "N1")
    gateway.headers = {}
    with pytest.raises(OutcomeUnknown):
        pay.query_transfer(client, "N1")


def test_an_answer_of_an_unknown_serial_makes_us_download_nothing_that_is_believed(
    client: PayClient, gateway: Gateway
) -> None:
    gateway.answers(CREATED)
    gateway.headers["Wechatpay-Serial"] = "ABCDEF"
    with pytest.raises(OutcomeUnknown):
        pay.create_transfer(client, ORDER)


def test_a_gateway_that_is_away_leaves_the_outcome_unknown(client: PayClient) -> None:
    client.library._core._gate_way = "http://127.0.0.1:9"
    with pytest.raises(OutcomeUnknown):
        pay.create_transfer(client, ORDER)


@pytest.mark.parametrize(
    "change",
    [{"remark": ""}, {"remark": "长" * 33}, {"report_infos": ()}, {"amount_fen": 200_000}],
)
def test_what_cannot_be_sent_is_said_before_anything_is(
    client: PayClient, gateway: Gateway, change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="needs"):
        pay.create_transfer(client, replace(ORDER, **change))
    assert gateway.asked == []


def test_a_name_travels_encrypted(client: PayClient, gateway: Gateway) -> None:
    gateway.answers(CREATED)
    pay.create_transfer(client, replace(ORDER, amount_fen=200_000, user_name="张三"))
    sent = json.loads(gateway.asked[0][2])
    assert len(sent["user_name"]) == 344
    pay.create_transfer(client, replace(ORDER, amount_fen=29, user_name="张三"))
    assert "user_name" not in json.loads(gateway.asked[1][2])


# --- notices --------------------------------------------------------------------------------------------------------


def read(client: PayClient, body: bytes, headers: dict[str, str], now: datetime = NOW) -> Any:
    return pay.read_notice(client, headers, body, now)


def test_a_genuine_notice_is_read_without_calling_anybody(
    client: PayClient, gateway: Gateway
) -> None:
    body = notice()
    told = read(client, body, signed(body, NOW))
    assert (told.id, told.original_type) == ("e1", "mch_payment")
    transfer = told.transfer()
    assert (transfer.state, transfer.amount_fen, transfer.mch_id) == ("SUCCESS", 5000, "1900000109")
    assert transfer.is_final
    assert gateway.asked == []


def test_v1_a_notice_older_or_younger_than_five_minutes_is_refused(client: PayClient) -> None:
    body = notice()
    for distance in (timedelta(seconds=300), -timedelta(seconds=300)):
        assert read(client, body, signed(body, NOW + distance)).id == "e1"
    for distance in (timedelta(seconds=301), -timedelta(seconds=301), timedelta(days=365)):
        with pytest.raises(NotGenuine):
            read(client, body, signed(body, NOW + distance))


def test_v2_a_serial_that_is_not_ours_is_refused_without_an_outbound_call(
    client: PayClient, gateway: Gateway
) -> None:
    body = notice()
    for serial in ("PUB_KEY_ID_0002", "5157F09EFDC096DE15EBE81A47057A72", "not hex", ""):
        with pytest.raises(NotGenuine):
            read(client, body, {**signed(body, NOW), "Wechatpay-Serial": serial})
    assert gateway.asked == []


def test_v3_a_missing_or_other_signature_type_is_refused(client: PayClient) -> None:
    body = notice()
    for kind in ("", "WECHATPAY2-SHA256-HMAC"):
        with pytest.raises(NotGenuine):
            read(client, body, {**signed(body, NOW), "Wechatpay-Signature-Type": kind})


def test_a_probe_is_refused(client: PayClient) -> None:
    body = notice()
    probe = {**signed(body, NOW), "Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + "A" * 344}
    with pytest.raises(NotGenuine):
        read(client, body, probe)


def test_a_forged_signature_or_a_changed_body_is_refused(client: PayClient) -> None:
    body = notice()
    with pytest.raises(NotGenuine):
        read(client, body, signed(body, NOW, STRANGER))
    with pytest.raises(NotGenuine):
        read(client, body.replace(b"e1", b"e2"), signed(body, NOW))
    with pytest.raises(NotGenuine):
        read(client, body, {})


def test_a_notice_sealed_with_another_key_is_refused(client: PayClient) -> None:
    body = notice(key="x" * 32)
    with pytest.raises(NotGenuine):
        read(client, body, signed(body, NOW))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff\xfe", b'{"resource": 1}', b"x" * 70_000]
)
def test_bytes_that_are_no_notice_are_refused(client: PayClient, body: bytes) -> None:
    try:
        headers = signed(body, NOW)
    except UnicodeDecodeError:
        headers = signed(b"", NOW)
    with pytest.raises(NotGenuine):
        read(client, body, headers)


@pytest.mark.parametrize("stamp", ["", "x", "-1", "１７７２", "9" * 40, "1e9"])
def test_a_timestamp_that_is_none_is_refused(client: PayClient, stamp: str) -> None:
    body = notice()
    with pytest.raises(NotGenuine):
        read(client, body, {**signed(body, NOW), "Wechatpay-Timestamp": stamp})


def test_kinds_are_told_apart_by_original_type_and_not_by_event_type(client: PayClient) -> None:
    body = notice({"out_trade_no": "x"}, "transaction")
    told = read(client, body, signed(body, NOW))
    assert told.original_type == "transaction"
    with pytest.raises(NotGenuine):
        told.transfer()


@pytest.mark.parametrize("content", [[], "text", 1, None])
def test_content_that_is_no_object_is_refused(client: PayClient, content: Any) -> None:
    body = notice(content)
    with pytest.raises(NotGenuine):
        read(client, body, signed(body, NOW))


def test_nothing_secret_is_in_reprs_or_logs(
    client: PayClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.answers(CREATED)
    pay.create_transfer(client, replace(ORDER, user_name="张三"))
    body = notice()
    told = read(client, body, signed(body, NOW))
    for text in (repr(KEYS), repr(client), repr(told), repr(ORDER), caplog.text):
        assert API_V3_KEY not in text
        assert "张三" not in text
        assert KEYS.private_key.splitlines()[3] not in text
