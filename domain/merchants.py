"""商户号: the WeChat Pay side of an account, its secrets sealed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit
from domain.db import to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Merchant, Withdrawal
from domain.secrets import Keyring

COMMISSION_SCENE: Final = "1005"
"""佣金报酬. Merchants are given scenes one by one, so another one can be set."""
COMMISSION_INFOS: Final = (("岗位类型", "推广员"), ("报酬说明", "推广佣金"))

_MCH_ID = re.compile(r"[0-9]{6,20}")
_SERIAL = re.compile(r"[0-9A-Fa-f]{8,64}")
_KEY_ID = re.compile(r"PUB_KEY_ID_[0-9A-Za-z_]{4,50}")
_SCENE = re.compile(r"[0-9]{1,16}")
_API_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class OpenMerchant:
    """A merchant with its secrets open, for the one who pays. Never logged: its repr shows no secret."""

    account_id: int
    mch_id: str
    serial_no: str
    public_key_id: str
    public_key: str
    scene_id: str
    report_infos: tuple[tuple[str, str], ...]
    private_key: str = field(repr=False)
    api_v3_key: str = field(repr=False)


def put(
    session: Session,
    keyring: Keyring,
    account_id: int,
    *,
    mch_id: str,
    serial_no: str,
    private_key: str,
    api_v3_key: str,
    public_key_id: str,
    public_key: str,
    scene_id: str = COMMISSION_SCENE,
    report_infos: Sequence[tuple[str, str]] = COMMISSION_INFOS,
    actor: str,
    now: datetime,
) -> None:
    """Set or replace the merchant of an account. Raises `Invalid`, and `Conflict` for another merchant number than that
    of the transfers under way: under the new number their bills would look as if they did not exist.
    """
    # Forms send CRLF, as files from Windows have it; with it the library of WeChat Pay reads no key.
    private_key, public_key = (
        "\n".join(pem.strip().splitlines()) for pem in (private_key, public_key)
    )
    checks = {
        "mch_id": _MCH_ID.fullmatch(mch_id),
        "serial_no": _SERIAL.fullmatch(serial_no),
        "private_key": "-----BEGIN PRIVATE KEY-----" in private_key,
        "api_v3_key": len(api_v3_key.encode()) == _API_KEY_BYTES,
        "public_key_id": _KEY_ID.fullmatch(public_key_id),
        "public_key": "-----BEGIN PUBLIC KEY-----" in public_key,
        "scene_id": _SCENE.fullmatch(scene_id),
        "report_infos": bool(report_infos) and all(kind and text for kind, text in report_infos),
    }
    wrong = sorted(name for name, right in checks.items() if not right)
    if wrong:
        raise Invalid(f"not usable: {', '.join(wrong)}", keys=wrong)
    row = session.get(Merchant, account_id, with_for_update=True)
    before = None if row is None else row.mch_id
    if row is None:
        row = Merchant(account_id=account_id)
        session.add(row)
    elif row.mch_id != mch_id and _is_paying_by_another(session, account_id, mch_id):
        raise Conflict("transfers of the present merchant number are under way", mch_id=row.mch_id)
    row.mch_id, row.serial_no = mch_id, serial_no.upper()
    row.public_key_id, row.public_key = public_key_id, public_key
    row.transfer_scene_id = scene_id
    row.report_infos = to_json([list(info) for info in report_infos])
    row.private_key = keyring.seal(private_key, f"merchant/{account_id}/private_key")
    row.api_v3_key = keyring.seal(api_v3_key, f"merchant/{account_id}/api_v3_key")
    session.flush()
    audit.record(
        session, account_id, actor=actor, action="merchant_set", subject=f"merchant/{account_id}",
        before=before, after=mch_id, now=now,
    )  # fmt: skip


def find(session: Session, keyring: Keyring, account_id: int) -> OpenMerchant | None:
    """The account's merchant with its secrets open; `secrets.Unreadable` when the key is another one."""
    row = session.get(Merchant, account_id)
    if row is None:
        return None
    return OpenMerchant(
        account_id=account_id, mch_id=row.mch_id, serial_no=row.serial_no,
        public_key_id=row.public_key_id, public_key=row.public_key, scene_id=row.transfer_scene_id,
        report_infos=tuple((kind, text) for kind, text in json.loads(row.report_infos)),
        private_key=keyring.open(row.private_key, f"merchant/{account_id}/private_key"),
        api_v3_key=keyring.open(row.api_v3_key, f"merchant/{account_id}/api_v3_key"),
    )  # fmt: skip


def is_set(session: Session, account_id: int) -> bool:
    """Whether the account has a merchant; its secrets stay closed."""
    return session.get(Merchant, account_id) is not None


def get(session: Session, keyring: Keyring, account_id: int) -> OpenMerchant:
    """The account's merchant, or `NotFound`."""
    merchant = find(session, keyring, account_id)
    if merchant is None:
        raise NotFound("the account has no merchant number", account=account_id)
    return merchant


def _is_paying_by_another(session: Session, account_id: int, mch_id: str) -> bool:
    query = select(Withdrawal.id).where(
        Withdrawal.account_id == account_id,
        Withdrawal.status == "paying",
        ~Withdrawal.terms.contains(f'"mch_id":"{mch_id}"'),  # only a transfer has terms
    )
    return session.scalar(query.limit(1)) is not None
