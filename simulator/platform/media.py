"""Temporary material: three days.

https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html
"""

import json
from typing import Any

from flask import Response

from simulator import ids
from simulator.errors import ApiError
from simulator.platform.gate import ApiCall, Endpoints
from simulator.replies import media_url
from simulator.state import Media

endpoints = Endpoints()

LIFETIME_SECONDS = 3 * 86_400
_MIB = 1024 * 1024
# type -> (largest size in bytes, file types).
_KINDS = {
    "image": (10 * _MIB, ("png", "jpeg", "gif")),
    "voice": (2 * _MIB, ("amr", "mp3")),
    "video": (10 * _MIB, ("mp4",)),
    "thumb": (64 * 1024, ("jpeg",)),
}
_ARTICLE_IMAGE = (1 * _MIB, ("png", "jpeg"))
# How a file begins -> what it is. Names and content types are what the sender likes them to be.
_BEGINNINGS = (
    (0, b"\x89PNG\r\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF8", "gif"),
    (0, b"#!AMR", "amr"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (4, b"ftyp", "mp4"),
)
_CONTENT_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "amr": "audio/amr",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
}


@endpoints.add("POST", "/cgi-bin/media/upload", per_day=100_000)
def upload(call: ApiCall) -> dict[str, Any]:
    """Store a file for three days."""
    kind = call.query.get("type") or call.form.get("type", "")
    if kind not in _KINDS:
        raise ApiError(40004)
    media = _store(call, kind, *_KINDS[kind], size_errcode=40006, days=True)
    id_field = "thumb_media_id" if kind == "thumb" else "media_id"
    return {"type": kind, id_field: media.media_id, "created_at": int(media.created_at)}


@endpoints.add("GET", "/cgi-bin/media/get", per_day=200_000)
def get(call: ApiCall) -> dict[str, Any] | Response:
    """The file again; a video only as an address."""
    media = find(call, call.query.get("media_id"))
    if media.type == "video":
        return {"video_url": media_url(call.account, media.media_id)}
    disposition = f"attachment; filename={json.dumps(media.filename)}"
    return Response(
        call.world.blobs.get(media.media_id),
        content_type=media.content_type,
        headers={"Content-Disposition": disposition},
    )


@endpoints.add("POST", "/cgi-bin/media/uploadimg", per_day=100_000)
def upload_image(call: ApiCall) -> dict[str, Any]:
    """Store a picture for articles: an address, and no media id."""
    media = _store(call, "image", *_ARTICLE_IMAGE, size_errcode=40009, days=False)
    return {"url": call.base_url + media_url(call.account, media.media_id)}


def store(call: ApiCall, kind: str) -> Media:
    """Store an uploaded file in the library, for ever."""
    media = _store(call, kind, *_KINDS[kind], size_errcode=40006, days=False)
    media.in_library = True
    return media


def find(call: ApiCall, media_id: object) -> Media:
    """The file with this id; 40007 when it is unknown or its three days are over."""
    media = call.account.media.get(str(media_id))
    if media is None or (media.expires_at is not None and media.expires_at <= call.world.now()):
        raise ApiError(40007)
    return media


def _store(
    call: ApiCall,
    kind: str,
    limit: int,
    file_types: tuple[str, ...],
    *,
    size_errcode: int,
    days: bool,
) -> Media:
    content = call.upload.read()
    if not content:
        raise ApiError(44001)
    file_type = _file_type(content)
    if file_type not in file_types:
        raise ApiError(40005)
    if len(content) > limit:
        raise ApiError(size_errcode)
    media = Media(
        media_id=ids.media_id(),
        type=kind,
        filename=call.upload.filename or f"file.{file_type}",
        content_type=_CONTENT_TYPES[file_type],
        created_at=call.at,
        expires_at=call.at + LIFETIME_SECONDS if days else None,
    )
    call.world.blobs.put(media.media_id, content)
    with call.world.lock:
        call.account.media[media.media_id] = media
    return media


def _file_type(content: bytes) -> str:
    for offset, beginning, file_type in _BEGINNINGS:
        if content.startswith(beginning, offset):
            return file_type
    raise ApiError(40005)
