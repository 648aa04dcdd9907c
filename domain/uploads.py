"""素材: the merchant's pictures, voices and videos. We keep the bytes; WeChat keeps a copy for three days, which the
clock renews before it lapses (jobs/replies.py), or for ever in its library, which has so many places."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from domain.bodies import IMAGE, VIDEO, VOICE, Body, MediaBody, of_json, variants_of_json
from domain.db import changed
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Code, Reply, ReplyMedia

MOST_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {IMAGE: 2 * 1024 * 1024, VOICE: 2 * 1024 * 1024, VIDEO: 5 * 1024 * 1024}
)
"""What we keep of one file. WeChat's own limits are at least as high (platform.md 5); a row has to fit into one packet
of the database."""
MOST_FILES: Final = 200
RENEW_BEFORE: Final = timedelta(hours=12)
USABLE_FOR: Final = timedelta(minutes=5)
FOREVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""When WeChat forgets what is in its library."""

_EXTENSIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        IMAGE: frozenset({"jpg", "jpeg", "png", "gif"}),
        VOICE: frozenset({"mp3", "amr"}),
        VIDEO: frozenset({"mp4"}),
    }
)
_SIGNATURES: Final[Mapping[str, tuple[bytes, ...]]] = MappingProxyType(
    {
        "jpg": (b"\xff\xd8\xff",),
        "jpeg": (b"\xff\xd8\xff",),
        "png": (b"\x89PNG\r\n\x1a\n",),
        "gif": (b"GIF87a", b"GIF89a"),
        "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
        "amr": (b"#!AMR",),
    }
)


@dataclass(frozen=True, slots=True)
class Known:
    """A file without its bytes. `media_id` is None until WeChat has it."""

    media: int
    kind: str
    media_id: str | None
    expires_at: datetime | None

    def usable_id(self, now: datetime) -> str | None:
        """What WeChat calls the file, if it will still have it when the message arrives."""
        if self.expires_at is None or self.expires_at < now + USABLE_FOR:
            return None
        return self.media_id


def add(
    session: Session, account_id: int, *, kind: str, name: str, content: bytes, actor: str, now: datetime
) -> ReplyMedia:  # fmt: skip
    """Keep a file; the one we have already when the bytes are the same. Raises `Invalid` for a kind, size or format
    that WeChat does not take, and when the account has `MOST_FILES`."""
    extension = name.rpartition(".")[2].lower()
    if kind not in MOST_BYTES or extension not in _EXTENSIONS[kind]:
        wanted = sorted(_EXTENSIONS.get(kind, frozenset()))
        raise Invalid("no such kind of file", kind=kind, extensions=wanted)
    if not 0 < len(content) <= MOST_BYTES[kind]:
        raise Invalid(f"this file has 1 to {MOST_BYTES[kind]} bytes", bytes=len(content))
    if not _is_right(extension, content):
        raise Invalid("the file is not what its name says", name=name[:190])
    digest = hashlib.sha256(content).hexdigest()
    known = session.scalar(
        select(ReplyMedia).where(ReplyMedia.account_id == account_id, ReplyMedia.digest == digest)
    )
    if known is not None:
        return known
    count = session.scalar(
        select(func.count(ReplyMedia.id)).where(ReplyMedia.account_id == account_id)
    )
    if (count or 0) >= MOST_FILES:
        raise Invalid(f"an account has at most {MOST_FILES} files", limit=MOST_FILES)
    row = ReplyMedia(
        account_id=account_id, kind=kind, name=name[:190], extension=extension, digest=digest, size=len(content),
        content=content, actor=actor, created_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def kind_of(name: str) -> str:
    """The kind of file that a name says it is; "" for one that WeChat does not take."""
    extension = name.rpartition(".")[2].lower()
    return next((kind for kind, endings in _EXTENSIONS.items() if extension in endings), "")


def _is_right(extension: str, content: bytes) -> bool:
    if extension == "mp4":
        return content[4:8] == b"ftyp"
    return content.startswith(_SIGNATURES[extension])


def remove(session: Session, account_id: int, media: int) -> None:
    """Delete a file that nothing shows; `Conflict` names the reply or the code, `NotFound` when there is no such
    file."""
    check_unused(session, account_id, media)
    query = delete(ReplyMedia).where(ReplyMedia.account_id == account_id, ReplyMedia.id == media)
    if not changed(session.execute(query)):
        raise NotFound("no such file", media=media)


def check_unused(session: Session, account_id: int, media: int) -> None:
    """`Conflict` when a reply or a code shows this file."""
    using = shown_by(session, account_id).get(media)
    if using:
        raise Conflict("a reply shows this file", reply=using[0])
    codes = answers_of(session, account_id).get(media)
    if codes:
        raise Conflict("a code answers with this file", scene=codes[0].scene_id)


def _used_by(messages: str | None, variants: str | None) -> set[int]:
    """The files that a reply shows, in any language."""
    said = [of_json(messages or "[]"), *variants_of_json(variants).values()]
    return {each.media for bodies in said for each in bodies if isinstance(each, MediaBody)}


_COLUMNS = (ReplyMedia.id, ReplyMedia.kind, ReplyMedia.media_id, ReplyMedia.media_expires_at)


def known(session: Session, account_id: int) -> dict[int, Known]:
    """The account's files by id, without their bytes."""
    rows = session.execute(select(*_COLUMNS).where(ReplyMedia.account_id == account_id))
    return {row.id: Known(*row) for row in rows}


_LISTED = (
    ReplyMedia.id, ReplyMedia.kind, ReplyMedia.name, ReplyMedia.size, ReplyMedia.permanent, ReplyMedia.media_id,
    ReplyMedia.media_expires_at, ReplyMedia.created_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in a list, without its bytes. `expires_at` is `FOREVER` for what is in WeChat's library."""

    media: int
    kind: str
    name: str
    size: int
    permanent: bool
    media_id: str | None
    expires_at: datetime | None
    created_at: datetime


def get(session: Session, account_id: int, media: int) -> Listed:
    """A file of this account, or `NotFound`."""
    query = select(*_LISTED).where(ReplyMedia.account_id == account_id, ReplyMedia.id == media)
    row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound("no such file", media=media)
    return Listed(*row)


def set_permanent(session: Session, account_id: int, media: int, permanent: bool) -> None:
    """Have WeChat keep a file for ever from its next upload on (what it has stays in use until then), or for three days
    again, with nothing there now. Raises `NotFound`."""
    get(session, account_id, media)
    values = (
        {"permanent": True}
        if permanent
        else {"permanent": False, "media_id": None, "media_expires_at": None}
    )
    session.execute(update(ReplyMedia).where(ReplyMedia.id == media).values(**values))


def all_of(session: Session, account_id: int) -> list[Listed]:
    """The account's files, newest first."""
    query = (
        select(*_LISTED).where(ReplyMedia.account_id == account_id).order_by(ReplyMedia.id.desc())
    )
    return [Listed(*row) for row in session.execute(query)]


def shown_by(session: Session, account_id: int) -> dict[int, list[int]]:
    """By file: the replies that show it, in any language."""
    found: dict[int, list[int]] = {}
    for row in session.scalars(
        select(Reply).where(Reply.account_id == account_id).order_by(Reply.id)
    ):
        for media in _used_by(row.messages, row.variants):
            found.setdefault(media, []).append(row.id)
    return found


def answers_of(session: Session, account_id: int) -> dict[int, list[Code]]:
    """By file: the channel and product codes that answer with it, archived ones too."""
    found: dict[int, list[Code]] = {}
    query = select(Code).where(Code.account_id == account_id, Code.media.is_not(None))
    for row in session.scalars(query.order_by(Code.scene_id)):
        found.setdefault(row.media or 0, []).append(row)
    return found


def check_present(session: Session, account_id: int, messages: Sequence[Body]) -> None:
    """`Invalid` when a message names a file that this account does not have, or that is of another kind."""
    wanted = [each for each in messages if isinstance(each, MediaBody)]
    if not wanted:
        return
    have = known(session, account_id)
    for each in wanted:
        if each.media not in have or have[each.media].kind != each.kind:
            raise Invalid("no such file", media=each.media, kind=each.kind)


@dataclass(frozen=True, slots=True)
class File:
    """What has to be uploaded."""

    media: int
    kind: str
    file_name: str
    content: bytes
    name: str
    permanent: bool


def load(session: Session, account_id: int, media: int) -> tuple[Known, File]:
    """A file with its bytes, or `NotFound`. Its name towards WeChat is ASCII."""
    row = session.get(ReplyMedia, media)
    if row is None or row.account_id != account_id:
        raise NotFound("no such file", media=media)
    return Known(row.id, row.kind, row.media_id, row.media_expires_at), File(
        row.id, row.kind, f"reply-{row.id}.{row.extension}", row.content, row.name, row.permanent
    )


def keep_id(
    session: Session, media: int, media_id: str, expires_at: datetime, *, permanent: bool = False
) -> bool:
    """Remember what WeChat calls the file now; of two uploads at once the one that lives longer stays. Whether it was
    remembered: somebody may have made it `permanent`, or not, since the upload began."""
    kept = session.execute(
        update(ReplyMedia)
        .where(
            ReplyMedia.id == media,
            ReplyMedia.permanent == permanent,
            (ReplyMedia.media_expires_at.is_(None)) | (ReplyMedia.media_expires_at < expires_at),
        )
        .values(media_id=media_id, media_expires_at=expires_at)
    )
    return bool(changed(kept))


def forget_id(session: Session, media: int, media_id: str) -> None:
    """WeChat does not know this id any more."""
    query = update(ReplyMedia).where(ReplyMedia.id == media, ReplyMedia.media_id == media_id)
    session.execute(query.values(media_id=None, media_expires_at=None))


def to_renew(session: Session, now: datetime) -> list[tuple[int, int]]:
    """(account, file) of what replies that are switched on show, or codes that are not archived, and WeChat does not
    have, or only for some hours."""
    mark = '%"media":%'
    query = select(Reply.account_id, Reply.messages, Reply.variants).where(
        Reply.enabled, Reply.messages.like(mark) | Reply.variants.like(mark)
    )
    shown = {
        (account_id, media)
        for account_id, messages, variants in session.execute(query)
        for media in _used_by(messages, variants)
    }
    answers = select(Code.account_id, Code.media).where(
        Code.media.is_not(None), Code.archived_at.is_(None)
    )
    shown |= {(account_id, media) for account_id, media in session.execute(answers) if media}
    if not shown:
        return []
    late = select(ReplyMedia.account_id, ReplyMedia.id).where(
        (ReplyMedia.media_expires_at.is_(None))
        | (ReplyMedia.media_expires_at < now + RENEW_BEFORE)
        | (ReplyMedia.permanent & (ReplyMedia.media_expires_at < FOREVER)),
        ReplyMedia.id.in_({media for _, media in shown}),
    )
    return sorted({(account_id, media) for account_id, media in session.execute(late)} & shown)
