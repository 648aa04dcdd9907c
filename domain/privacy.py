"""个人信息: what we keep of a person, what is erased when they leave or take back their consent, and what they get when
they ask for it.

The binding and the ledger are the merchant's books and stay; whoever follows again is the same member. `KEPT` and
`ERASED` name every column of every table that speaks of a member, and a test fails when one is missing: who adds a
column has to decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import LargeBinary, Table, delete, func, select, update
from sqlalchemy.orm import Session

from domain import notices
from domain.models import (
    Avatar,
    Base,
    Campaign,
    Identity,
    Member,
    MemberTag,
    Notice,
    Poster,
    PromoterApplication,
)
from domain.secrets import Keyring, Unreadable

ERASED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "member": frozenset(
            {
                "nickname", "remark", "phone", "phone_index", "email", "email_index", "real_name", "real_name_index",
            }
        ),
        # What stands on the picture is the nickname; the row is deleted.
        "poster": frozenset({"fingerprint", "media_id"}),
        "avatar": frozenset({"digest", "jpeg"}),
        "promoter_application": frozenset({"message"}),
        "member_tag": frozenset({"state", "error"}),
        # The inbox of the chat names friends; what is erased counts as read.
        "notice": frozenset({"params"}),
    }
)  # fmt: skip
"""Columns whose content is gone afterwards, by table."""

CLOSED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"member": frozenset({"unionid"}), "identity": frozenset({"app_id", "openid"})}
)
"""Gone as well when somebody closed their WeChat account: no shop can mean them any more."""

KEPT: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "member": {
            "openid": "the key of the books; without it a return would be somebody new",
            "unionid": "finds the orders of somebody who left; erased when they close their account",
            "code": "ours, says nothing of the person",
            "lang": "which of three languages the chat speaks", "status": "ours", "grade": "ours", "promoter": "ours",
        },
        "identity": {
            "app_id": "orders of a linked shop find their buyer", "openid": "the same",
        },
        "event": {
            "push_key": "a digest", "kind": "ours",
            "detail": "a menu key, an address of the menu, the code of a scene or an order number: never words",
        },
        "outbox": {
            "payload": "a message to somebody who left ends unsent at its drain, and the clock prunes what ended;"
            " finding the rows of one member would be a walk through all that wait, inside a push",
            "topic": "ours", "dedupe_key": "ours", "state": "ours", "lease_token": "ours",
            "provider_msg_id": "WeChat's", "channel": "ours", "carried_by": "ours",
            "last_error": "WeChat's answer", "delivery": "ours",
        },
        "campaign_recipient": {"state": "ours"},
        "subscription_credit": {"template_id": "the merchant's template"},
        "consent": {"version": "which text was agreed to"},
        "notice": {"occasion": "ours", "notice_key": "ours"},
        "promoter_application": {"status": "ours", "decided_by": "staff", "reason": "staff's words"},
        "orders": {
            "order_no": "books", "content_hash": "books", "channel": "books", "status": "books", "uplines": "books",
            "buyer_openid": "books", "buyer_unionid": "books", "buyer_app_id": "books", "pay_transaction_id": "books",
        },
        "withdrawal": {
            "payout_no": "books", "client_token": "books", "method": "books", "status": "books", "reason": "books",
            "proof": "books: the law wants proof of what was paid", "provider_bill_no": "books", "alarm": "books",
            "provider_state": "books", "package_info": "books", "terms": "books",
        },
        "posting": {
            "posting_key": "books", "source": "books", "destination": "books", "reason": "books",
        },
        "commission": {"kind": "books", "status": "books"},
        "binding_history": {"reason": "books", "actor": "staff, or the push"},
        "grade_history": {
            "from_grade": "books", "to_grade": "books", "reason": "books", "figures": "books", "actor": "staff",
        },
        "hold": {
            "reason": "books", "actor": "staff", "outcome": "books", "released_by": "staff", "note": "staff's words",
        },
        "risk_signal": {
            "signal_key": "ours", "kind": "ours", "evidence": "numbers and ids, the ground of a hold", "status": "ours",
            "reviewer": "staff", "note": "staff's words",
        },
        "dispute": {"state": "ours", "decided_by": "staff"},
        "move": {"reason": "books", "actor": "staff", "state": "ours"},
        "scene": {
            "sku": "which product the code is for",
            "code": "ours", "kind": "ours", "owner_key": "ours", "label": "the merchant's",
        },
        "blacklisted": {"openid": "who must stay out is known by it", "actor": "staff"},
    }
)  # fmt: skip
"""Columns that stay, with the reason."""

_IN_TABLES: Final = (Poster, Avatar, MemberTag)


def erase(session: Session, member_id: int, *, closed: bool = False) -> None:
    """Erase a member's personal data; harmless twice. `closed`: their WeChat account is no more, so nothing may lead
    from another app to them either."""
    values: dict[str, Any] = {**dict.fromkeys(ERASED["member"]), "unread": False}
    if closed:
        values["unionid"] = None
        session.execute(delete(Identity).where(Identity.member_id == member_id))
    session.execute(update(Member).where(Member.id == member_id).values(**values))
    for table in _IN_TABLES:
        session.execute(delete(table).where(table.member_id == member_id))
    # The rows stay: every commission has the notice that told of it, and the proof of the books looks.
    session.execute(
        update(Notice)
        .where(Notice.member_id == member_id)
        .values(params=notices.ERASED, read_at=func.coalesce(Notice.read_at, Notice.created_at))
    )
    session.execute(
        update(PromoterApplication)
        .where(PromoterApplication.member_id == member_id)
        .values(message=None)
    )


# --- what a person may see ------------------------------------------------------------------------------------------

CHUNK: Final = 1000
_NOT_THEIRS: Final = frozenset(
    {"outbox", "tag_mark", "seen_follower", "risk_signal", "tally", "standing", "daily", "grade_mark", "relation"}
)  # fmt: skip
"""Tables of ours about the member that are no data of theirs, or are derived from what is exported."""


def speaks_of_members(table: Table) -> bool:
    """Whether rows of this table belong to one member."""
    return "member_id" in table.columns or table.name == "member"


def export(
    session: Session, keyring: Keyring, account_id: int, member_id: int, now: datetime
) -> dict[str, Any]:
    """Everything we keep of one person, as JSON values by table: what they get when they ask for it. Contact data is
    opened; pictures are told by their size."""
    found: dict[str, Any] = {"exported_at": now.isoformat(), "account_id": account_id}
    for name, value in rows_of(session, keyring, account_id, member_id):
        found.setdefault(name, []).append(value)
    return found


def export_pieces(
    session: Session, keyring: Keyring, account_id: int, member_id: int, now: datetime
) -> Iterator[str]:
    """The same as a JSON document, piece by piece: a promoter of hundreds of thousands has as many rows. Give it a
    snapshot (`Database.snapshot`)."""
    yield f'{{\n"exported_at": {json.dumps(now.isoformat())},\n"account_id": {account_id}'
    rows = rows_of(session, keyring, account_id, member_id)
    for name, group in groupby(rows, key=lambda row: row[0]):
        before = f",\n{json.dumps(name)}: ["
        while part := list(islice(group, CHUNK)):
            yield before + ",".join(f"\n {json.dumps(one, ensure_ascii=False)}" for _, one in part)
            before = ","
        yield "\n]"
    yield "\n}\n"


def rows_of(
    session: Session, keyring: Keyring, account_id: int, member_id: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table, row as JSON values), table after table, a thousand rows in memory."""
    for table in Base.metadata.sorted_tables:
        if speaks_of_members(table) and table.name not in _NOT_THEIRS:
            for row in _rows(session, table, account_id, member_id):
                yield table.name, _as_value(table, dict(row), keyring, member_id)


def _rows(session: Session, table: Table, account_id: int, member_id: int) -> Iterator[Any]:
    key = table.c.id if table.name == "member" else table.c.member_id
    query = select(table).where(key == member_id).order_by(*table.primary_key.columns)
    if table.name == "campaign_recipient":
        # By its key, campaign after campaign: an index of its own would cost every broadcast.
        ours = select(Campaign.id).where(Campaign.account_id == account_id)
        query = query.where(table.c.campaign_id.in_(session.scalars(ours).all()))
    if "id" not in table.c:
        yield from session.execute(query).mappings()
        return
    after_id = 0
    while rows := session.execute(query.where(table.c.id > after_id).limit(CHUNK)).mappings().all():
        yield from rows
        after_id = rows[-1]["id"]


def _as_value(
    table: Table, row: dict[str, Any], keyring: Keyring, member_id: int
) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or name.endswith("_index"):
            continue
        if isinstance(table.columns[name].type, LargeBinary):
            shown[name] = _opened(table.name, name, value, keyring, member_id)
        else:
            shown[name] = value.isoformat() if hasattr(value, "isoformat") else value
    return shown


def _opened(table: str, name: str, value: bytes, keyring: Keyring, member_id: int) -> Any:
    if table != "member":
        return {"bytes": len(value)}
    try:
        return keyring.open(value, f"member/{member_id}/{name}")
    except Unreadable:
        return {"unreadable": len(value)}
