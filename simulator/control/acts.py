"""What a person does. Each call answers the push record {id, xml, deliveries, reply, …} when the delivery is
over, or 202 at once with {"wait": false}."""

from typing import Any

from simulator import events, menus, tickets
from simulator.control.gate import Calls, ControlCall
from simulator.envelope import MalformedError, parse
from simulator.errors import ControlError
from simulator.state import Account, Ticket

calls = Calls()


@calls.add("POST", "/_sim/follow")
def follow(call: ControlCall) -> Any:
    """Subscribe: user, and optionally the ticket or the scene of a QR code."""
    if "ticket" in call.fields:
        account, ticket = tickets.find_by_ticket(call.world, call.text("ticket"))
        return call.pushed(call.room.people.scan(call.user(), account, ticket))
    account = call.account()
    if "scene" in call.fields:
        found = tickets.find_by_scene(call.world, account, call.text("scene"))
        return call.pushed(call.room.people.scan(call.user(), account, found))
    return call.pushed(call.room.people.follow(account, call.user()))


@calls.add("POST", "/_sim/unfollow")
def unfollow(call: ControlCall) -> Any:
    """Unsubscribe: user."""
    return call.pushed(call.room.people.unfollow(call.account(), call.user()))


@calls.add("POST", "/_sim/scan")
def scan(call: ControlCall) -> Any:
    """Scan a QR code: user, and ticket, url (what the square says), scene, or image_message_id (a picture in
    anybody's chat). A follower gives SCAN, anybody else follows; another link answers {"opens": url}."""
    target = _target(call)
    if isinstance(target, str):
        return {"opens": target}
    account, ticket = target
    return call.pushed(call.room.people.scan(call.user(), account, ticket))


@calls.add("POST", "/_sim/text")
def text(call: ControlCall) -> Any:
    """Say something: user, content, optional menu_id (the line of a message menu that was tapped)."""
    account, user, content = call.account(), call.user(), call.text("content")
    return call.pushed(call.room.people.say(account, user, content, call.text("menu_id", "")))


@calls.add("POST", "/_sim/message")
def message(call: ControlCall) -> Any:
    """Send another kind of message: user, type (image, voice, video, shortvideo, location, link), fields."""
    kinds = ("image", "voice", "video", "shortvideo", "location", "link")
    kind, fields = call.text("type"), call.fields.get("fields") or {}
    if kind not in kinds or not isinstance(fields, dict):
        raise ControlError(f"type must be one of {', '.join(kinds)}; fields an object")
    return call.pushed(call.room.people.send(call.account(), call.user(), kind, fields))


@calls.add("POST", "/_sim/click")
def click(call: ControlCall) -> Any:
    """Tap a menu button: user, key."""
    return call.pushed(call.room.people.click(call.account(), call.user(), call.text("key")))


@calls.add("POST", "/_sim/view")
def view(call: ControlCall) -> Any:
    """Tap a menu button that opens a page: user, url."""
    return call.pushed(call.room.people.view(call.account(), call.user(), call.text("url")))


@calls.add("POST", "/_sim/subscribe")
def subscribe(call: ControlCall) -> Any:
    """Answer the pop-up for subscription notices: user, templates (ids), optional answer (accept or reject) and
    scene. Pushes subscribe_msg_popup_event."""
    answer = call.text("answer", "accept")
    if answer not in ("accept", "reject"):
        raise ControlError("answer must be accept or reject")
    answers = [(template, answer) for template in _templates(call)]
    return call.pushed(
        call.room.people.answer_popup(call.account(), call.user(), answers, call.number("scene", 1))
    )


@calls.add("POST", "/_sim/unsubscribe-notices")
def unsubscribe_notices(call: ControlCall) -> Any:
    """Switch subscription notices off in WeChat's settings: user, templates (ids). Pushes
    subscribe_msg_change_event."""
    return call.pushed(
        call.room.people.reject_subscriptions(call.account(), call.user(), _templates(call))
    )


def _templates(call: ControlCall) -> list[str]:
    found = call.fields.get("templates")
    if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
        raise ControlError("templates must be a list of template ids")
    return found


@calls.add("POST", "/_sim/tap")
def tap(call: ControlCall) -> Any:
    """Tap a button of the menu that this person sees: user, name (of the button), optional fields (what the
    phone adds, for instance {"ScanCodeInfo": {…}})."""
    account, user, name = call.account(), call.user(), call.text("name")
    fields = call.fields.get("fields") or {}
    button = menus.find_button(menus.seen_by(account, user, call.contact()), name)
    if button is None or not isinstance(fields, dict):
        raise ControlError(f"{user.name} sees no button {name!r}", 404)
    return call.pushed(call.room.people.tap(account, user, button, fields))


@calls.add("GET", "/_sim/events")
def list_events(call: ControlCall) -> Any:
    """The events that POST /_sim/event can make, with the fields they have."""
    return {"events": events.SAMPLES}


@calls.add("POST", "/_sim/event")
def happen(call: ControlCall) -> Any:
    """Push any event of the platform: user, event, optional fields (instead of the usual ones)."""
    fields = call.fields.get("fields") or {}
    if not isinstance(fields, dict):
        raise ControlError("fields must be an object")
    account, user, event = call.account(), call.user(), call.text("event")
    return call.pushed(call.room.people.happen(account, user, event, fields))


@calls.add("POST", "/_sim/push")
def push(call: ControlCall) -> Any:
    """Push anything: user, and fields {…} (the common ones are filled in) or xml (sent as it is)."""
    account, user = call.account(), call.user()
    if "xml" in call.fields:
        xml = call.text("xml")
        return call.pushed(call.room.people.raw(account, user, _parsed(xml), xml))
    fields = call.fields.get("fields")
    if not isinstance(fields, dict):
        raise ControlError("fields must be an object")
    return call.pushed(call.room.people.raw(account, user, fields))


def _parsed(xml: str) -> dict[str, Any]:
    """The fields of a hand-made push, for the record; a broken one is pushed as well, that is its point."""
    try:
        return parse(xml)
    except MalformedError:
        return {}


def _target(call: ControlCall) -> tuple[Account, Ticket] | str:
    if "ticket" in call.fields:
        return tickets.find_by_ticket(call.world, call.text("ticket"))
    if "scene" in call.fields:
        account = call.account()
        return account, tickets.find_by_scene(call.world, account, call.text("scene"))
    if "image_message_id" in call.fields:
        url = tickets.text_in_message(call.world, call.number("image_message_id"))
    else:
        url = call.text("url")
    return tickets.find_by_url(call.world, url) or url
