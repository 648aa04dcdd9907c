"""Parametric QR codes: making them, drawing them, and finding out what a scanned square means."""

import io

import segno
import zxingcpp
from PIL import Image

from simulator import ids
from simulator.errors import ApiError, ControlError
from simulator.state import Account, Contact, Ticket, World

PERMANENT_LIMIT = 100_000
TEMPORARY = ("QR_SCENE", "QR_STR_SCENE")
PICTURE_PIXELS = 430
_PICTURES = ("image", "thumb")


def mint(world: World, account: Account, action: str, scene: str, seconds: int | None) -> Ticket:
    """A new code for this scene; a permanent one that exists already comes back as it is.

    45029 when all 100,000 permanent codes are taken.
    """
    with world.lock:
        known = account.ticket_of_scene.get(f"{action} {scene}")
        if known and action not in TEMPORARY:
            return account.tickets[known]
        expires_at = world.now() + seconds if seconds is not None else None
        if action not in TEMPORARY:
            _take_permanent(account)
        ticket = Ticket(ids.ticket(), ids.qr_url(), action, scene, expires_at)
        account.tickets[ticket.ticket] = ticket
        account.ticket_of_url[ticket.url] = ticket.ticket
        account.ticket_of_scene[f"{action} {scene}"] = ticket.ticket
        return ticket


def _take_permanent(account: Account) -> None:
    if account.permanent_tickets >= PERMANENT_LIMIT:
        raise ApiError(45029)
    account.permanent_tickets += 1


def picture(ticket: Ticket) -> bytes:
    """The code as a JPEG of 430 pixels, as showqrcode gives it."""
    drawn = io.BytesIO()
    segno.make(ticket.url, error="m").save(drawn, kind="png", scale=10, border=3)
    jpeg = io.BytesIO()
    square = Image.open(drawn).convert("L").resize((PICTURE_PIXELS, PICTURE_PIXELS))
    square.save(jpeg, "JPEG", quality=90)
    return jpeg.getvalue()


def read_picture(content: bytes) -> str | None:
    """What the first QR code in a picture says, as a phone's camera would read it."""
    with Image.open(io.BytesIO(content)) as image:
        found = zxingcpp.read_barcodes(
            image.convert("L"), zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        )
    return found[0].text if found else None


def find_by_ticket(world: World, ticket: str) -> tuple[Account, Ticket]:
    """The code and its account; a ticket says both."""
    for account in world.accounts:
        if found := account.tickets.get(ticket):
            return account, found
    raise ControlError("no such ticket", 404)


def find_by_url(world: World, url: str) -> tuple[Account, Ticket] | None:
    """The code whose square says this; None for any other text."""
    for account in world.accounts:
        if ticket := account.ticket_of_url.get(url):
            return account, account.tickets[ticket]
    return None


def find_by_scene(world: World, account: Account, scene: str) -> Ticket:
    """The latest code for this scene; if the account never made one, a temporary one is made up."""
    for action in ("QR_STR_SCENE", "QR_LIMIT_STR_SCENE", "QR_SCENE", "QR_LIMIT_SCENE"):
        if known := account.ticket_of_scene.get(f"{action} {scene}"):
            return account.tickets[known]
    return mint(world, account, "QR_STR_SCENE", scene, 2_592_000)


def text_in_message(world: World, message_id: int) -> str:
    """What the QR code says in the picture of this chat message, whoever's phone shows it."""
    account, message = _message(world, message_id)
    media = account.media.get(str(message.get("media_id")))
    if media is None or media.type not in _PICTURES:
        raise ControlError(f"message {message_id} has no picture to scan")
    text = read_picture(world.blobs.get(media.media_id))
    if text is None:
        raise ControlError(f"there is no QR code in the picture of message {message_id}", 422)
    return text


def _message(world: World, message_id: int) -> tuple[Account, dict[str, object]]:
    with world.lock:
        for account in world.accounts:
            for contact in account.contacts.values():
                if found := _in_chat(contact, message_id):
                    return account, found
    raise ControlError(f"no message {message_id}", 404)


def _in_chat(contact: Contact, message_id: int) -> dict[str, object] | None:
    return next((each for each in contact.messages if each["id"] == message_id), None)
