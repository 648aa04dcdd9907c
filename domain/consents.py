"""推广规则 and 同意: which wording of the programme's rules a member agreed to, provable for ever.

A wording's version is its digest: whoever changes the text asks everybody again. The text is the account's setting
`programme_terms`, or ours; each wording that somebody agreed to is kept.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from domain.accounts import OpenAccount
from domain.db import Sql, to_db
from domain.models import Consent
from domain.secrets import short_digest
from domain.texts import Words

_KEEP = Sql(
    "INSERT IGNORE INTO programme_text (account_id, version, body, at) VALUES (?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO programme_text (account_id, version, body, at) VALUES (?, ?, ?, ?)",
)
_AGREE = Sql(
    "INSERT IGNORE INTO consent (account_id, member_id, version, at) VALUES (?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO consent (account_id, member_id, version, at) VALUES (?, ?, ?, ?)",
)


def text_of(account: OpenAccount, words: Words) -> str:
    """The wording in force: the merchant's, or ours."""
    return account.settings.programme_terms.strip() or words("h5.rules.default")


def version_of(text: str) -> str:
    """32 characters that change with the wording."""
    return short_digest(text)


def agree(session: Session, account_id: int, member_id: int, text: str, now: datetime) -> Consent:
    """Note that the member agrees to this wording; a repeat keeps the first date."""
    version, at = version_of(text), to_db(now)
    _KEEP(session, account_id, version, text, at)
    _AGREE(session, account_id, member_id, version, at)
    return session.scalars(_query(member_id, version)).one()


def find(session: Session, member_id: int, text: str) -> Consent | None:
    """When the member agreed to this wording."""
    return session.scalar(_query(member_id, version_of(text)))


def _query(member_id: int, version: str) -> Select[Consent]:
    return select(Consent).where(Consent.member_id == member_id, Consent.version == version)


def is_missing(session: Session, account: OpenAccount, member_id: int, words: Words) -> bool:
    """Whether the member must agree before promoting. Asks nothing where the account does not want it."""
    if not account.settings.consent_required:
        return False
    return find(session, member_id, text_of(account, words)) is None
