"""What the pages in WeChat remember of the people who open them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import At, Base, Id, Key64, MaybeAt, Ref, ascii_key


class WebSession(Base):
    """A browser in which somebody is signed in to one account's pages. The cookie holds a token of which only the
    digest is here. `login_nonce` is that of the sign-in which began it: a sign-in begins one session, ever."""

    __tablename__ = "web_session"
    __table_args__ = (
        UniqueConstraint("token_digest"),
        UniqueConstraint("login_nonce"),
        Index(None, "account_id", "openid"),  # every browser of a person, to end them all
        Index(None, "expires_at"),  # what is forgotten
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    openid: Mapped[Key64]
    token_digest: Mapped[Key64]
    login_nonce: Mapped[Key64]
    created_at: Mapped[At]
    expires_at: Mapped[At]
    ended_at: Mapped[MaybeAt]


class LinkTouch(Base):
    """推广链接: somebody who does not follow yet opened a promoter's link. When they follow, this touch comes before
    the code that they followed by."""

    __tablename__ = "link_touch"
    __table_args__ = (Index(None, "at"),)  # what is forgotten
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    openid: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    scene_code: Mapped[Key64]
    at: Mapped[At]


class ProgrammeText(Base):
    """推广规则: a wording of the programme's rules that somebody agreed to. `version` is its digest. Append-only."""

    __tablename__ = "programme_text"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[At]


class Consent(Base):
    """同意记录: which member agreed to which wording, and when. Append-only."""

    __tablename__ = "consent"
    __table_args__ = (
        UniqueConstraint("member_id", "version"),
        Index(None, "account_id", "id"),  # the record that a merchant shows
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    version: Mapped[Key64]
    at: Mapped[At]
