"""Permanent material: the library of an account.

https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Adding_Permanent_Assets.html
"""

import json
from typing import Any

from flask import Response

from simulator.errors import ApiError
from simulator.platform import media
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.replies import media_url
from simulator.state import Media

endpoints = Endpoints()

KINDS = ("image", "voice", "video", "thumb")
CAPS = {"image": 100_000, "voice": 1_000, "video": 1_000, "thumb": 100_000}
_PAGE = range(1, 21)


@endpoints.add("POST", "/cgi-bin/material/add_material", per_day=100_000)
def add(call: ApiCall) -> dict[str, Any]:
    """Store a file for ever; pictures get an address as well."""
    kind = call.query.get("type") or call.form.get("type", "")
    if kind not in KINDS:
        raise ApiError(40004)
    if len(_library(call, kind)) >= CAPS[kind]:
        raise ApiError(45001)
    if kind == "video":
        _check_description(call.form.get("description", ""))
    made = media.store(call, kind)
    answer = {"media_id": made.media_id}
    if kind in ("image", "thumb"):
        answer["url"] = call.base_url + media_url(call.account, made.media_id)
    return answer


@endpoints.add("POST", "/cgi-bin/material/get_material", per_day=100_000)
def get(call: ApiCall) -> dict[str, Any] | Response:
    """The file; of a video its address."""
    found = _find(call)
    if found.type == "video":
        return {
            "title": found.filename,
            "description": "",
            "down_url": media_url(call.account, found.media_id),
        }
    return Response(call.world.blobs.get(found.media_id), content_type=found.content_type)


@endpoints.add("POST", "/cgi-bin/material/del_material", per_day=100_000)
def delete(call: ApiCall) -> dict[str, Any]:
    """Forget a file of the library."""
    found = _find(call)
    with call.world.lock:
        call.account.media.pop(found.media_id, None)
    return OK


@endpoints.add("GET", "/cgi-bin/material/get_materialcount", per_day=100_000)
def count(call: ApiCall) -> dict[str, Any]:
    """How many of each kind."""
    names = {"voice": "voice_count", "video": "video_count", "image": "image_count"}
    return {field: len(_library(call, kind)) for kind, field in names.items()} | {
        "news_count": len(call.account.drafts)
    }


@endpoints.add("POST", "/cgi-bin/material/batchget_material", per_day=100_000)
def batch_get(call: ApiCall) -> dict[str, Any]:
    """A page of the library: type, offset, count 1 to 20."""
    kind, offset, wanted = (
        call.body.get("type"),
        call.body.get("offset", 0),
        call.body.get("count", 20),
    )
    if kind not in KINDS:
        raise ApiError(40004)
    if wanted not in _PAGE or not isinstance(offset, int) or offset < 0:
        raise ApiError(40035, "count")
    library = _library(call, str(kind))
    items = [
        {
            "media_id": each.media_id,
            "name": each.filename,
            "update_time": int(each.created_at),
            "url": call.base_url + media_url(call.account, each.media_id),
        }
        for each in library[offset : offset + wanted]
    ]
    return {"total_count": len(library), "item_count": len(items), "item": items}


def _check_description(text: str) -> None:
    """A video comes with its title and introduction as JSON in a field of the form."""
    try:
        described = json.loads(text)
    except ValueError:
        raise ApiError(47001) from None
    if not isinstance(described, dict) or not described.get("title"):
        raise ApiError(47001)


def _library(call: ApiCall, kind: str) -> list[Media]:
    return [
        each
        for each in list(call.account.media.values())
        if each.expires_at is None and each.type == kind and each.in_library
    ]


def _find(call: ApiCall) -> Media:
    found = media.find(call, call.body.get("media_id"))
    if not found.in_library:
        raise ApiError(40007)
    return found
