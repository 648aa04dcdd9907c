"""Parametric QR codes.

https://developers.weixin.qq.com/doc/offiaccount/Account_Management/Generating_a_Parametric_QR_Code.html
"""

from typing import Any

from flask import Response

from simulator import tickets
from simulator.errors import ApiError
from simulator.platform.gate import ApiCall, Endpoints

endpoints = Endpoints()

LONGEST_SECONDS = 2_592_000
DEFAULT_SECONDS = 30
SCENE_LENGTH = 64
_LARGEST_ID = {"QR_SCENE": 2**32 - 1, "QR_LIMIT_SCENE": 100_000}
_ACTIONS = ("QR_SCENE", "QR_STR_SCENE", "QR_LIMIT_SCENE", "QR_LIMIT_STR_SCENE")


@endpoints.add("POST", "/cgi-bin/qrcode/create", per_day=100_000)
def create(call: ApiCall) -> dict[str, Any]:
    """A ticket for a scene: temporary ones up to 30 days, 100,000 permanent ones in all."""
    action = call.body.get("action_name")
    if action not in _ACTIONS:
        raise ApiError(40052)
    scene = _scene(call.body, action)
    if action in tickets.TEMPORARY:
        seconds = _seconds(call.body.get("expire_seconds", DEFAULT_SECONDS))
        ticket = tickets.mint(call.world, call.account, action, scene, seconds)
        return {"ticket": ticket.ticket, "expire_seconds": seconds, "url": ticket.url}
    ticket = tickets.mint(call.world, call.account, action, scene, None)
    return {"ticket": ticket.ticket, "url": ticket.url}


@endpoints.add("GET", "/cgi-bin/showqrcode", credential="none")
def show(call: ApiCall) -> Response:
    """The picture, for anybody who has the ticket (mp.weixin.qq.com, no token)."""
    ticket = call.query.get("ticket", "")
    for account in call.world.accounts:
        if found := account.tickets.get(ticket):
            return Response(tickets.picture(found), content_type="image/jpg")
    return Response("", 404)


def _scene(body: dict[str, Any], action: str) -> str:
    info = body.get("action_info")
    scene = info.get("scene") if isinstance(info, dict) else None
    if not isinstance(scene, dict):
        raise ApiError(40053)
    if action in _LARGEST_ID:
        number = scene.get("scene_id")
        if type(number) is not int or not 1 <= number <= _LARGEST_ID[action]:
            raise ApiError(40053, "scene_id")
        return str(number)
    text = scene.get("scene_str")
    if not isinstance(text, str) or not 1 <= len(text) <= SCENE_LENGTH:
        raise ApiError(40053, "scene_str")
    return text


def _seconds(wanted: object) -> int:
    if type(wanted) is not int or not 1 <= wanted <= LONGEST_SECONDS:
        raise ApiError(40053, "expire_seconds")
    return wanted
