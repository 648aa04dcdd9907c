"""Signatures and encryption of WeChat Pay's version 3, with public keys and with platform certificates.

Each merchant has a platform key pair of its own: we sign answers and notices with its private half and open names
with it; the merchant knows the public half by its id, `PUB_KEY_ID_…`. A merchant of the older kind has platform
certificates instead, and one that is changing from one to the other meets both.

https://pay.weixin.qq.com/doc/v3/merchant/4012365342
"""

import base64
import json
import re
import secrets
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from simulator import ids
from simulator.errors import ControlError
from simulator.pay.errors import PayError
from simulator.state import Merchant

SCHEME = "WECHATPAY2-SHA256-RSA2048"
SKEW_SECONDS = 300
_FIELD = re.compile(r'(\w+)="([^"]*)"')


def new_key() -> str:
    """A private key of 2048 bits, as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_half(private_key: str) -> str:
    """The public key of a private one, both as PEM."""
    key = _private(private_key).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def check_public_key(pem: str) -> None:
    """Refuse what is not an RSA public key."""
    try:
        _public(pem)
    except ValueError as error:
        raise ControlError("public_key must be an RSA public key in PEM") from error


@lru_cache
def _private(pem: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not RSA")
    return key


@lru_cache
def _public(pem: str) -> rsa.RSAPublicKey:
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not RSA")
    return key


def _lines(*parts: str) -> bytes:
    return "".join(f"{part}\n" for part in parts).encode()


def claims(authorization: str) -> dict[str, str]:
    """The fields of an Authorization header; SIGN_ERROR when it is of another kind, or lacks one."""
    scheme, _, rest = authorization.partition(" ")
    found = dict(_FIELD.findall(rest))
    if scheme != SCHEME or not {
        "mchid",
        "nonce_str",
        "signature",
        "timestamp",
        "serial_no",
    } <= set(found):
        raise PayError("SIGN_ERROR", "Http头Authorization值格式错误")
    return found


def check_request(
    merchant: Merchant, claimed: dict[str, str], method: str, path: str, body: bytes, at: float
) -> None:
    """SIGN_ERROR unless the merchant's key signed this request within five minutes of `at`."""
    if claimed["serial_no"].upper() != merchant.serial_no.upper():
        raise PayError("SIGN_ERROR", "商户证书序列号有误")
    if not claimed["timestamp"].isdigit() or abs(at - int(claimed["timestamp"])) > SKEW_SECONDS:
        raise PayError(
            "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
        )
    message = _lines(
        method, path, claimed["timestamp"], claimed["nonce_str"], body.decode("utf-8", "replace")
    )
    if not _verifies(merchant, claimed["signature"], message):
        raise PayError("SIGN_ERROR", "签名错误")


def is_signed(merchant: Merchant, parts: list[str], signature: str) -> bool:
    """Whether the merchant's key signed these parts, each with a line feed behind it."""
    return _verifies(merchant, signature, _lines(*parts))


def _verifies(merchant: Merchant, signature: str, message: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        _public(merchant.public_key).verify(raw, message, PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        return False
    return True


def headers(merchant: Merchant, body: str, at: float) -> dict[str, str]:
    """The headers by which an answer or a notice proves that it is WeChat Pay's."""
    timestamp, nonce = str(int(at)), ids.random_text(32)
    serial, private_key = signing_key(merchant)
    signature = _private(private_key).sign(_lines(timestamp, nonce, body), PKCS1v15(), SHA256())
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature-Type": SCHEME,
    }


def signing_key(merchant: Merchant) -> tuple[str, str]:
    """The name and the private half (PEM) of the key that signs next for this merchant."""
    known = keys_of(merchant)
    if merchant.signs_with == "public_key" or len(known) == 1:
        return merchant.public_key_id, merchant.platform_key
    newest = merchant.certificates[-1]
    if merchant.signs_with == "mixed" and secrets.randbelow(2):
        return merchant.public_key_id, merchant.platform_key
    return newest.serial_no, newest.private_key


def keys_of(merchant: Merchant) -> dict[str, str]:
    """Every key of ours that this merchant may know: name → private half (PEM)."""
    certificates = {each.serial_no: each.private_key for each in merchant.certificates}
    return {merchant.public_key_id: merchant.platform_key} | certificates


def probe_signature() -> str:
    """What WeChat Pay puts for a signature to see whether it is looked at."""
    return "WECHATPAY/SIGNTEST/" + base64.b64encode(secrets.token_bytes(256)).decode()


def open_field(merchant: Merchant, sealed: str, serial: str, field: str) -> str:
    """A name that was encrypted with the key `serial` of ours; PARAM_ERROR for another key, and for anything else."""
    private_key = keys_of(merchant).get(serial)
    if private_key is None:
        raise PayError("PARAM_ERROR", "Http头Wechatpay-Serial有误")
    padding = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303  # the platform's choice
    try:
        clear = _private(private_key).decrypt(base64.b64decode(sealed), padding)
        return clear.decode()
    except ValueError as error:
        raise PayError("PARAM_ERROR", f"{field} 解密失败") from error


def seal(merchant: Merchant, value: dict[str, Any], original_type: str) -> dict[str, str]:
    """The `resource` of a notice: AES-256-GCM with the merchant's APIv3 key."""
    text = json.dumps(value, ensure_ascii=False)
    return {"original_type": original_type} | seal_text(merchant, text, original_type)


def seal_text(merchant: Merchant, text: str, associated: str) -> dict[str, str]:
    """Any text, encrypted in the same way."""
    nonce = ids.random_text(12)
    sealed = AESGCM(merchant.api_v3_key.encode()).encrypt(
        nonce.encode(), text.encode(), associated.encode()
    )
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "nonce": nonce,
        "associated_data": associated,
    }
