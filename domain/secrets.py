"""Encryption at rest, blind indexes, random codes. Only this domain module imports cryptography and argon2."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""For codes that people read and type: no 0/O, no 1/I."""

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Unreadable(Exception):
    """A ciphertext that this key, or this place, did not make. Says nothing of its content."""


class Keyring:
    """Encrypts small values with AES-256-GCM; `place` ("account/3/secret") is authenticated with them, so a
    ciphertext copied to another row or column does not open."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 random bytes (setting secrets.key). Other keys are derived from it, never reused."""
        if len(key) != 32:
            raise ValueError("the key must have 32 bytes")
        self._cipher = AESGCM(self._derive(key, b"encrypt"))
        self._index_key = self._derive(key, b"blind-index")
        self.session_key = self._derive(key, b"web-session")

    @staticmethod
    def _derive(key: bytes, purpose: bytes) -> bytes:
        return hmac.digest(key, b"banyan " + purpose, "sha256")

    def seal(self, text: str, place: str) -> bytes:
        """Ciphertext of `text`, bound to `place`: version, nonce, encrypted text and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, text.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """The text again; `Unreadable` when the bytes or the place are not those of `seal`."""
        if sealed[:1] != _VERSION or len(sealed) <= 1 + _NONCE_BYTES:
            raise Unreadable(place)
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, place.encode()).decode()
        except InvalidTag:
            raise Unreadable(place) from None

    def blind_index(self, value: str, kind: str) -> str:
        """A keyed hash by which an encrypted value can be looked up; `kind` ("phone") separates the columns."""
        return hmac.new(self._index_key, f"{kind}:{value}".encode(), "sha256").hexdigest()


def random_code(length: int) -> str:
    """A code people can read aloud, from a cryptographic source."""
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(length))


def random_secret() -> str:
    """A new API secret: 256 bits, URL-safe."""
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """SHA-256 in hex: to compare contents, never to protect them."""
    return hashlib.sha256(text.encode()).hexdigest()


def short_digest(text: str) -> str:
    """32 characters [A-Z2-7] of a hash: a fixed-size key for a text of any length, same on every try."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:20]).decode()


def hash_password(password: str) -> str:
    """Argon2id with the library's current parameters."""
    return PasswordHasher().hash(password)


def check_password(password: str, hashed: str) -> bool:
    """Whether the password is the one that was hashed; False for a damaged hash too."""
    try:
        return PasswordHasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
