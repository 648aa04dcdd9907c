"""What can be looked at: chats, menus, files, and the journals of pushes and calls."""

import io
from html import escape
from typing import Any

from flask import Response
from PIL import Image, ImageDraw

from simulator import menus
from simulator.control.gate import Calls, ControlCall
from simulator.errors import ControlError

calls = Calls()

_AVATAR = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64"
 fill="hsl({hue} 45% 50%)"/><text x="32" y="43" font-size="32" font-family="sans-serif" text-anchor="middle"
 fill="#fff">{letter}</text></svg>"""


@calls.add("GET", "/_sim/chats/<user>")
def chat(call: ControlCall, user: str) -> Any:
    """The chat on a person's phone: account, after (a message id). Messages {id, at, from, type, …}."""
    after = call.number("after", 0)
    contact = call.world.contact_of(call.account(), call.world.get_user(user))
    with call.world.lock:
        messages = [each for each in contact.messages if each["id"] > after]
    return {
        "openid": contact.openid,
        "subscribed": contact.subscribed,
        "typing": contact.typing_until > call.world.now(),
        "messages": messages,
    }


@calls.add("GET", "/_sim/menu")
def menu(call: ControlCall) -> Any:
    """The menu under the chat: account, optional user (who may see a conditional one). {"menu": null} when
    there is none."""
    account = call.account()
    if "user" not in call.fields:
        return {"menu": account.menu}
    user = call.user()
    return {"menu": menus.seen_by(account, user, call.contact())}


@calls.add("GET", "/_sim/media/<app_id>/<media_id>")
def media(call: ControlCall, app_id: str, media_id: str) -> Response:
    """An uploaded file, as the pages show it."""
    found = call.world.get_account(app_id).media.get(media_id)
    if found is None:
        raise ControlError("no such file", 404)
    return Response(call.world.blobs.get(media_id), content_type=found.content_type)


@calls.add("GET", "/_sim/avatars/<user>")
def avatar(call: ControlCall, user: str) -> Response:
    """A picture of a person: the first character of the name on a colour of their own."""
    person = call.world.get_user(user)
    hue = sum(person.unionid.encode()) * 37 % 360
    svg = _AVATAR.format(hue=hue, letter=escape(person.name[:1]))
    return Response(svg, content_type="image/svg+xml")


@calls.add("GET", "/_sim/avatars/<user>/132")
def avatar_file(call: ControlCall, user: str) -> Response:
    """The picture that WeChat gives of a person: a PNG of a face on the same colour."""
    person = call.world.get_user(user)
    hue = sum(person.unionid.encode()) * 37 % 360
    picture = Image.new("RGB", (132, 132), f"hsl({hue}, 45%, 50%)")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((41, 24, 91, 74), fill="#fff")
    pen.ellipse((16, 82, 116, 182), fill="#fff")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return Response(out.getvalue(), content_type="image/png")


@calls.add("GET", "/_sim/pushes")
def pushes(call: ControlCall) -> Any:
    """The latest pushes, newest first: limit (100)."""
    latest = list(call.world.pushes)[: -call.number("limit", 100) - 1 : -1]
    return {"pushes": [each.as_json() for each in latest]}


@calls.add("GET", "/_sim/calls")
def api_calls(call: ControlCall) -> Any:
    """The latest API calls, newest first, secrets masked: limit (100), path (how it begins)."""
    begins = call.text("path", "")
    latest = [each for each in reversed(list(call.world.calls)) if each.path.startswith(begins)]
    return {"calls": [each.as_json() for each in latest[: call.number("limit", 100)]]}
