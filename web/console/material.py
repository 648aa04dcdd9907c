"""素材: the pictures, voices and videos that automatic replies and codes show. We keep the bytes; WeChat has each for
three days and gets it again before that (jobs/replies.py)."""

from __future__ import annotations

from typing import Final

from flask import render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import uploads
from domain.staff.permissions import Permission
from web import materials
from web.console.menu_pages import talk
from web.console.reply_form import MESSAGE_KINDS, MOST_READ
from web.console.visit import Answer, Visit, page
from web.pages import t
from wechat import materials as platform

_TYPES: Final = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "mp3": "audio/mpeg",
    "amr": "audio/amr", "mp4": "video/mp4",
}  # fmt: skip
"""By the ending, which `uploads.add` compared with the bytes."""


PLACES: Final = platform.MOST
"""Of each kind in WeChat's library."""


@page("/media", allow=Permission.CHAT_READ)
def media(visit: Visit) -> Answer:
    """Every file, with the replies and codes that show it."""

    def look(session: Session) -> str:
        return render_template(
            "console/media.html", files=uploads.all_of(session, visit.account.id), kinds=MESSAGE_KINDS,
            shown_by=uploads.shown_by(session, visit.account.id),
            answers=uploads.answers_of(session, visit.account.id), most=uploads.MOST_FILES, now=visit.now,
            forever=uploads.FOREVER, places=PLACES,
        )  # fmt: skip

    return visit.read(look)


@page("/media/add", allow=Permission.CHAT_CHANGE, methods=("POST",))
def media_add(visit: Visit) -> Response:
    """Keep a file; its kind is told by its ending."""
    file = request.files.get("file")
    name = "" if file is None else file.filename or ""
    content = b"" if file is None else file.read(MOST_READ)

    def add(session: Session) -> None:
        row = uploads.add(
            session, visit.account.id, kind=uploads.kind_of(name), name=name, content=content, actor=visit.actor,
            now=visit.now,
        )  # fmt: skip
        after = {"name": row.name, "kind": row.kind, "size": row.size}
        visit.note(session, action="media_added", subject=f"media/{row.id}", after=after)

    return visit.change(add, done=t("已保存。", "Saved."), back=visit.url("media"))


@page("/media/<int:media_id>", allow=Permission.CHAT_READ)
def media_file(visit: Visit, media_id: int) -> Response:
    """The file itself."""
    _, file = visit.read(lambda session: uploads.load(session, visit.account.id, media_id))
    kind = _TYPES[file.file_name.rpartition(".")[2]]
    headers = {
        "Cache-Control": "private, max-age=60",
        "Content-Disposition": f'inline; filename="{file.file_name}"',
    }
    return Response(file.content, mimetype=kind, headers=headers)


@page("/media/<int:media_id>/permanent", allow=Permission.CHAT_CHANGE, methods=("POST",))
def media_permanent(visit: Visit, media_id: int) -> Response:
    """Let WeChat keep a file for ever, or for three days at a time again."""
    visit.read(lambda session: uploads.get(session, visit.account.id, media_id))
    on = request.form.get("to") == "on"

    def change() -> str:
        materials.set_permanent(visit.context, visit.account, media_id, on, actor=visit.actor)
        return (
            t("已改为永久素材，用到时上传。", "It is permanent, and uploaded when used.")
            if on
            else t(
                "已改回临时素材，微信的名额空出来了。",
                "It is temporary again; its place at WeChat is free.",
            )
        )

    return talk(visit, change, visit.url("media"))


@page("/media/<int:media_id>/remove", allow=Permission.CHAT_CHANGE, methods=("POST",))
def media_remove(visit: Visit, media_id: int) -> Response:
    """Delete a file that nothing shows, at WeChat too."""
    visit.read(lambda session: uploads.get(session, visit.account.id, media_id))

    def remove() -> str:
        materials.remove(visit.context, visit.account, media_id, actor=visit.actor)
        return t("已删除。", "Removed.")

    return talk(visit, remove, visit.url("media"))
