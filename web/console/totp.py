"""The arithmetic of one-time codes (RFC 6238); what is accepted, and how often, is domain/staff/factor.py."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pyotp
import segno

STEP_SECONDS: Final = 30
_SLACK: Final = (0, -1, 1)
"""A phone's clock may be half a minute off either way."""


def new_secret() -> str:
    """160 bits in base32."""
    return pyotp.random_base32()


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, None when it is no code of about now."""
    totp = pyotp.TOTP(secret)
    digits = "".join(code.split())
    current = int(now.timestamp()) // STEP_SECONDS
    for slack in _SLACK:
        if pyotp.utils.strings_equal(totp.generate_otp(current + slack), digits):
            return current + slack
    return None


def picture(secret: str, login: str) -> str:
    """A QR code for the authenticator app, as a data address."""
    address = pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name="Banyan")
    return segno.make(address, error="m").svg_data_uri(scale=4, border=0)
