"""Permanent material (永久素材): WeChat keeps it until it is deleted, and counts it.

https://developers.weixin.qq.com/doc/service/api/material/permanent/api_addmaterial
"""

from __future__ import annotations

import json
import mimetypes
from typing import Any, Final, Literal

from wechat.api import text_in
from wechat.client import PlatformClient
from wechat.errors import Refused

MOST: Final = {"image": 100_000, "voice": 1_000, "video": 1_000}
"""Files of each kind in the library of an account."""
_GONE: Final = 40007


def add_material(
    client: PlatformClient, kind: Literal["image", "voice", "video"], content: bytes, filename: str, title: str = ""
) -> str:  # fmt: skip
    """The media_id of a permanent file; a video has a `title`. `filename` tells the format and is ASCII. 40004 to
    40006, 45001 (library full). A call whose answer is lost may have added one that nobody knows of.

    https://developers.weixin.qq.com/doc/service/api/material/permanent/api_addmaterial
    """
    path = "/cgi-bin/material/add_material"
    content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    parts: dict[str, Any] = {"media": (filename, content, content_type)}
    if kind == "video":
        described = json.dumps({"title": title, "introduction": ""}, ensure_ascii=False)
        plain_field = (None, described.encode("utf-8", "replace"))
        parts["description"] = plain_field
    answer = client.post(path, params={"type": kind}, files=parts)
    return text_in(answer, "media_id", path)


def delete_material(client: PlatformClient, media_id: str) -> None:
    """Take a file out of the library; one that is not there is fine.

    https://developers.weixin.qq.com/doc/service/api/material/permanent/api_delmaterial
    """
    try:
        client.post("/cgi-bin/material/del_material", data={"media_id": media_id})
    except Refused as error:
        if error.errcode != _GONE:
            raise
