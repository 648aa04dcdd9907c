"""Identifiers of the shapes that WeChat gives out: storage columns and patterns are tested against them."""

import hashlib
import secrets
import string

_ALPHANUMERIC = string.ascii_letters + string.digits


def random_text(length: int) -> str:
    """Letters and digits, for nonces and token bodies."""
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def openid(app_id: str) -> str:
    """28 characters; the first six are the same for everybody who follows one account."""
    return "o" + hashlib.sha256(app_id.encode()).hexdigest()[:5] + secrets.token_urlsafe(17)[:22]


def unionid() -> str:
    """28 characters, one for a person over all accounts of one open-platform account."""
    return "oU" + secrets.token_urlsafe(20)[:26]


def access_token() -> str:
    """136 characters, as today; the platform asks for room for 512."""
    return f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(100)[:133]}"


def ticket() -> str:
    """96 characters of base64 with padding: they must be quoted in an address."""
    return "gQ" + random_text(92) + "=="


def qr_url() -> str:
    """What the square itself says."""
    return "http://weixin.qq.com/q/02" + random_text(20)


def media_id() -> str:
    """64 characters."""
    return secrets.token_urlsafe(48)


def rid() -> str:
    """The request id that every errmsg ends with."""
    return "-".join(secrets.token_hex(4) for _ in range(3))
