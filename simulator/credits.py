"""How many customer-service messages an account may send to a person, and for how long.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
"""

from simulator.errors import ApiError
from simulator.state import Contact, World

# What the person did -> (how long it opens the window in seconds, how many messages it allows).
WINDOWS = {
    "message": (48 * 3600, 5),
    "click": (60, 3),  # also the two menu types that scan
    "subscribe": (60, 3),
    "scan": (60, 3),
}


def grant(world: World, contact: Contact, kind: str) -> None:
    """The newest trigger of each kind replaces the earlier one; different kinds add up."""
    seconds, messages = WINDOWS[kind]
    with world.lock:
        contact.last_spoke_at = world.now()
        contact.credits[kind] = [world.now() + seconds, messages]


def spend(world: World, contact: Contact) -> None:
    """Take one message from the window that closes first; 45015 when all are closed, 45047 when all are empty."""
    with world.lock:
        now = world.now()
        opened = sorted(each for each in contact.credits.values() if each[0] > now)
        if not contact.subscribed or not opened:
            raise ApiError(45015)
        for window in opened:
            if window[1] > 0:
                window[1] -= 1
                return
        raise ApiError(45047)
