"""平台证书: making them, wrapping them for download, and changing to the next one.

https://pay.weixin.qq.com/doc/v3/merchant/4012551764
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from simulator.pay import signing
from simulator.pay.book import time_text
from simulator.pay.errors import PayError
from simulator.state import Certificate, Merchant, World

LIFETIME_SECONDS = 5 * 365 * 86_400
OVERLAP_SECONDS = 86_400
"""How long the one before is still given out after a change."""


def make(now: float) -> Certificate:
    """A certificate of Tenpay's, self-signed: clients read the key out of it and look at its dates."""
    private = signing.new_key()
    key = load_pem_private_key(private.encode(), password=None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign (simulator)")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[arg-type]  # an RSA key, as new_key makes them
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - 3600, UTC))
        .not_valid_after(datetime.fromtimestamp(now + LIFETIME_SECONDS, UTC))
        .sign(key, SHA256())  # type: ignore[arg-type]  # the same
    )
    return Certificate(
        serial_no=f"{made.serial_number:040X}",
        certificate=made.public_bytes(Encoding.PEM).decode(),
        private_key=private,
        effective_at=now,
        expires_at=now + LIFETIME_SECONDS,
    )


def rotate(world: World, merchant: Merchant) -> Certificate:
    """A new certificate signs from now on; the one before is still given out for a day."""
    fresh = make(world.now())
    with world.lock:
        if merchant.certificates:
            merchant.certificates[-1].expires_at = world.now() + OVERLAP_SECONDS
        merchant.certificates.append(fresh)
    return fresh


def listing(world: World, merchant: Merchant) -> dict[str, object]:
    """GET /v3/certificates: every certificate that is valid now, encrypted with the APIv3 key."""
    valid = [each for each in merchant.certificates if each.expires_at > world.now()]
    if not valid:
        raise PayError("RESOURCE_NOT_EXISTS", "无可用的平台证书，请在商户平台申请使用微信支付公钥")
    return {
        "data": [
            {
                "serial_no": each.serial_no,
                "effective_time": time_text(each.effective_at),
                "expire_time": time_text(each.expires_at),
                "encrypt_certificate": signing.seal_text(merchant, each.certificate, "certificate"),
            }
            for each in valid
        ]
    }
