"""The newcomer's guide on the page of phones: steps that tick themselves off as they happen."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from simulator.errors import ControlError
from simulator.push import Push
from simulator.state import Guide, GuideStep, User, World


@dataclass(frozen=True)
class Deed:
    """What is looked for: something this person did, or received, after the guide was set."""

    world: World
    user: User
    what: str  # the menu key, the sku, or a part of the text; "" for any
    guide: Guide


def read_guide(world: World, fields: dict[str, Any]) -> Guide:
    """A guide from {"steps": [{"text", "user"?, "does"?, "what"?, "done"?}]}, else ControlError."""
    steps = fields.get("steps")
    if not isinstance(steps, list):
        raise ControlError("steps must be a list")
    return Guide([_step(each) for each in steps], world.state.last_id, len(world.state.orders))


def tick(world: World) -> None:
    """Mark the steps that have happened; a step that is done stays done."""
    guide = world.state.guide
    for step in guide.steps:
        if not step.done and step.does and _has_happened(world, guide, step):
            step.done = True
            world.changes += 1


def _step(given: Any) -> GuideStep:
    if not isinstance(given, dict) or not isinstance(given.get("text"), str):
        raise ControlError("each step needs a text")
    does = given.get("does", "")
    if does and does not in DEEDS:
        raise ControlError(f"no deed {does!r}; there are: {', '.join(DEEDS)}")
    if does and not given.get("user"):
        raise ControlError("a step that looks for a deed needs the user")
    return GuideStep(
        text=given["text"],
        user=str(given.get("user", "")),
        does=does,
        what=str(given.get("what", "")),
        done=bool(given.get("done", False)),
    )


def _has_happened(world: World, guide: Guide, step: GuideStep) -> bool:
    user = _find_user(world, step.user)
    return user is not None and DEEDS[step.does](Deed(world, user, step.what, guide))


def _find_user(world: World, wanted: str) -> User | None:
    try:
        return world.get_user(wanted)
    except ControlError:  # the guide may speak of somebody whose phone comes later
        return None


def _events(deed: Deed, *names: str) -> Iterable[Push]:
    for push in list(deed.world.pushes):
        event = str(push.fields.get("Event", "")).lower()
        if push.id > deed.guide.since and push.contact.user_id == deed.user.id and event in names:
            yield push


def _event_key(push: Push) -> str:
    return str(push.fields.get("EventKey") or "")


def _followed(deed: Deed) -> bool:
    return any(True for _ in _events(deed, "subscribe"))


def _scanned(deed: Deed) -> bool:
    scans = _events(deed, "subscribe", "scan")
    return any(each.fields.get("Ticket") for each in scans)


def _clicked(deed: Deed) -> bool:
    return any(deed.what in ("", _event_key(each)) for each in _events(deed, "click"))


def _said(deed: Deed) -> bool:
    return any(each["from"] == "me" for each in _messages(deed))


def _received(deed: Deed) -> bool:
    return any(each["from"] == "account" for each in _messages(deed))


def _received_a(kind: str) -> Callable[[Deed], bool]:
    def received(deed: Deed) -> bool:
        return any(each["from"] == "account" and each["type"] == kind for each in _messages(deed))

    return received


def _messages(deed: Deed) -> list[dict[str, Any]]:
    with deed.world.lock:
        return [
            message
            for account in deed.world.state.accounts.values()
            if (contact := account.contacts.get(deed.user.openids.get(account.app_id, "")))
            for message in contact.messages
            if message["id"] > deed.guide.since
            and deed.what in json.dumps(message, ensure_ascii=False)
        ]


def _bought(deed: Deed) -> bool:
    orders = list(islice(deed.world.state.orders.values(), deed.guide.orders_before, None))
    return any(
        order.user_id == deed.user.id and deed.what in ("", *(line["sku"] for line in order.lines))
        for order in orders
    )


DEEDS: dict[str, Callable[[Deed], bool]] = {
    "follow": _followed,
    "scan": _scanned,
    "click": _clicked,
    "say": _said,
    "receive": _received,
    "image": _received_a("image"),
    "news": _received_a("news"),
    "template": _received_a("template"),
    "buy": _bought,
}
