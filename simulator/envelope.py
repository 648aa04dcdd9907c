"""The XML of a push and of a passive reply, its signature, and its encryption.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Message_encryption_and_decryption_instructions.html
"""

import base64
import hashlib
import secrets
import struct
from collections.abc import Mapping
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32  # PKCS#7 with blocks of 32, although AES itself has blocks of 16
_RANDOM_BYTES = 16


class MalformedError(Exception):
    """The other side sent something that is not an envelope, or not one of ours."""


def sign(*parts: str) -> str:
    """SHA-1 over the sorted parts: token, timestamp, nonce and, for an encrypted envelope, its text."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def render(fields: Mapping[str, Any]) -> str:
    """Fields as the platform writes them: text in CDATA, numbers bare, a list as a repeated element."""
    return f"<xml>{_children(fields)}</xml>"


def _children(fields: Mapping[str, Any]) -> str:
    return "".join(_element(name, value) for name, value in fields.items() if value is not None)


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, each) for each in value)
    if isinstance(value, Mapping):
        return f"<{name}>{_children(value)}</{name}>"
    if isinstance(value, int | float):
        return f"<{name}>{value}</{name}>"
    return f"<{name}><![CDATA[{str(value).replace(']]>', ']]]]><![CDATA[>')}]]></{name}>"


def parse(body: str) -> dict[str, Any]:
    """The fields under `<xml>`; anything else is malformed."""
    try:
        root = xmltodict.parse(body)
    except (ExpatError, ValueError) as error:  # ValueError: entities, which xmltodict refuses
        raise MalformedError(f"not XML: {error}") from error
    fields = root.get("xml")
    if not isinstance(fields, dict):
        raise MalformedError("the root element is not <xml> with children")
    return fields


def encrypt(message: str, aes_key: str, app_id: str) -> str:
    """AES-256-CBC over 16 random bytes, the length, the message and the app id; base64."""
    raw = message.encode()
    clear = secrets.token_bytes(_RANDOM_BYTES) + struct.pack(">I", len(raw)) + raw + app_id.encode()
    padding = _BLOCK - len(clear) % _BLOCK
    encryptor = _cipher(aes_key).encryptor()
    sealed = encryptor.update(clear + bytes([padding]) * padding) + encryptor.finalize()
    return base64.b64encode(sealed).decode()


def decrypt(sealed: str, aes_key: str, app_id: str) -> str:
    """The message inside; refuses wrong padding, wrong length and a foreign app id."""
    decryptor = _cipher(aes_key).decryptor()
    try:
        clear = decryptor.update(base64.b64decode(sealed, validate=True)) + decryptor.finalize()
    except ValueError as error:  # not base64, or not whole blocks
        raise MalformedError(f"cannot decrypt: {error}") from error
    return _unwrap(clear, app_id)


def _unwrap(clear: bytes, app_id: str) -> str:
    padding = clear[-1] if clear else 0
    start = _RANDOM_BYTES + 4
    if not 1 <= padding <= _BLOCK or len(clear) - padding < start:
        raise MalformedError("wrong padding")
    end = start + int.from_bytes(clear[_RANDOM_BYTES:start], "big")
    if clear[end : len(clear) - padding] != app_id.encode():
        raise MalformedError("encrypted for another app id")
    try:
        return clear[start:end].decode()
    except UnicodeDecodeError as error:
        raise MalformedError("not UTF-8") from error


def _cipher(aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))
