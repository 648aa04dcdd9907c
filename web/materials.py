"""What the console and `flask media` do with files that WeChat may have for ever: the one place where ours and WeChat's
library meet.

WeChat is told first. If we fall down behind that, our row names a file that is gone, which the next use mends by
uploading it again; the other way round a file would stay in WeChat's library that nobody knows of.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from context import Context
from domain import audit, uploads
from domain.accounts import OpenAccount
from wechat import materials


def set_permanent(
    context: Context, account: OpenAccount, media: int, permanent: bool, *, actor: str
) -> None:
    """Let WeChat keep this file for ever (a worker uploads it), or for three days at a time again. Raises
    `NotFound`."""
    if not permanent:
        _let_go(context, account, media)
    now = context.clock.now()

    def change(session: Session) -> None:
        uploads.set_permanent(session, account.id, media, permanent)
        audit.record(
            session, account.id, actor=actor, action="media_permanent", subject=f"media/{media}",
            after={"permanent": permanent}, now=now,
        )  # fmt: skip

    context.database.transact(change)


def remove(context: Context, account: OpenAccount, media: int, *, actor: str) -> None:
    """Delete a file that nothing shows. Raises `Conflict`, `NotFound`."""
    context.database.read(lambda session: uploads.check_unused(session, account.id, media))
    _let_go(context, account, media)
    now = context.clock.now()

    def forget(session: Session) -> None:
        before = uploads.get(session, account.id, media)
        uploads.remove(session, account.id, media)
        audit.record(
            session, account.id, actor=actor, action="media_removed", subject=f"media/{media}",
            before={"name": before.name, "kind": before.kind, "size": before.size}, now=now,
        )  # fmt: skip

    context.database.transact(forget)


def _let_go(context: Context, account: OpenAccount, media: int) -> None:
    file = context.database.read(lambda session: uploads.get(session, account.id, media))
    if file.media_id is not None and file.expires_at == uploads.FOREVER:
        materials.delete_material(context.platform(account), file.media_id)
