"""https under WeChat's own names: a test CA, and one certificate for all hosts of the platform.

Clients whose addresses are fixed in their code work unchanged when their names lead here (a host map in the test, or
/etc/hosts) and the CA is trusted (REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE).
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTS = (
    "api.weixin.qq.com",
    "api2.weixin.qq.com",
    "sh.api.weixin.qq.com",
    "mp.weixin.qq.com",
    "open.weixin.qq.com",
    "api.mch.weixin.qq.com",
    "api2.mch.weixin.qq.com",
    "localhost",
)
CA, CERTIFICATE, KEY = "ca.pem", "server.pem", "server.key"
LIFETIME = timedelta(days=365)


def prepare(folder: Path) -> tuple[Path, Path]:
    """The certificate and the key to serve with; made, with a CA of their own, when the folder has none yet.

    The CA's private key is thrown away at once, so nobody can make further certificates with it.
    """
    certificate, key = folder / CERTIFICATE, folder / KEY
    if not (certificate.exists() and key.exists() and (folder / CA).exists()):
        folder.mkdir(parents=True, exist_ok=True)
        _make(folder)
    return certificate, key


def _make(folder: Path) -> None:
    now = datetime.now(UTC)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())  # fmt: skip
    ca_name = _name("WeChat simulator: test CA")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .sign(ca_key, SHA256())
    )
    names = [x509.DNSName(host) for host in HOSTS]
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    server = (
        _builder(_name(HOSTS[0]), ca_name, server_key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([*names, address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, SHA256())
    )
    (folder / CA).write_bytes(ca.public_bytes(Encoding.PEM))
    (folder / CERTIFICATE).write_bytes(server.public_bytes(Encoding.PEM))
    key_file = folder / KEY
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
