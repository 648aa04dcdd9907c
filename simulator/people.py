"""What a person does with a phone, and what the platform tells the account about it.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html
"""

from typing import Any

from simulator import credits
from simulator.errors import ControlError
from simulator.push import Postman, Push
from simulator.replies import media_url
from simulator.state import Account, Contact, Ticket, User, World


class People:
    """Everything the phones can do. Each method changes the world, then pushes, and returns the push."""

    def __init__(self, world: World, postman: Postman) -> None:
        self._world = world
        self._postman = postman

    def follow(self, account: Account, user: User, ticket: Ticket | None = None) -> Push:
        """Subscribe, plainly or through a code; whoever follows already can only scan the code."""
        contact = self._world.contact_of(account, user)
        if contact.subscribed:
            if ticket is None:
                raise ControlError(f"{user.name} follows {account.name} already", 409)
            return self._scanned(account, contact, ticket)
        with self._world.lock:
            self._subscribe(contact, ticket)
        credits.grant(self._world, contact, "subscribe")
        extra = {"EventKey": ""}
        if ticket is not None:
            extra = {"EventKey": f"qrscene_{ticket.scene}", "Ticket": ticket.ticket}
        return self._event(account, contact, "subscribe", **extra)

    def unfollow(self, account: Account, user: User) -> Push:
        """Unsubscribe; nothing can be sent to this person from now on."""
        contact = self._follower(account, user)
        with self._world.lock:
            contact.subscribed = False
            contact.credits.clear()
        return self._event(account, contact, "unsubscribe", EventKey="")

    def scan(self, user: User, account: Account, ticket: Ticket) -> Push:
        """Scan an account's code: a follower gives SCAN, anybody else follows."""
        if ticket.expires_at is not None and ticket.expires_at <= self._world.now():
            contact = self._world.contact_of(account, user)
            self._world.add_message(contact, "system", "notice", text="该二维码已过期")
            raise ControlError("this code has expired", 410)
        return self.follow(account, user, ticket)

    def say(self, account: Account, user: User, content: str) -> Push:
        """Send a text message."""
        return self._message(account, user, "text", {"text": content}, Content=content)

    def send(self, account: Account, user: User, kind: str, fields: dict[str, Any]) -> Push:
        """Send a message of another kind: image, voice, video, shortvideo, location or link."""
        shown = {"text": f"[{kind}]"}
        if kind == "image" and fields.get("MediaId") in account.media:
            shown = {"image_url": media_url(account, fields["MediaId"])}
        return self._message(account, user, kind, shown, **fields)

    def click(self, account: Account, user: User, key: str) -> Push:
        """Tap a menu button of the type click."""
        contact = self._follower(account, user)
        credits.grant(self._world, contact, "click")
        return self._event(account, contact, "CLICK", EventKey=key)

    def view(self, account: Account, user: User, url: str) -> Push:
        """Tap a menu button that opens a page."""
        contact = self._follower(account, user)
        menu_id = account.menu_id or None
        return self._event(account, contact, "VIEW", EventKey=url, MenuId=menu_id)

    def raw(self, account: Account, user: User, fields: dict[str, Any], xml: str = "") -> Push:
        """Push anything at all; the common fields are filled in where they are missing."""
        contact = self._world.contact_of(account, user)
        return self._postman.push(account, contact, self._common(account, contact) | fields, xml)

    def finish_template(self, account: Account, contact: Contact, msgid: int) -> None:
        """Tell what became of a template message, some time after it was accepted."""
        faults = self._world.faults
        if faults.happens(faults.finish_lost_rate):
            return
        fields = self._common(account, contact) | {
            "MsgType": "event",
            "Event": "TEMPLATESENDJOBFINISH",
            "MsgID": msgid,
            "Status": faults.finish_status,
        }
        if faults.finish_delay_ms:
            self._postman.push_later(account, contact, fields, faults.finish_delay_ms)
        else:
            self._postman.push(account, contact, fields)

    def answer_popup(
        self, account: Account, user: User, answers: list[tuple[str, str]], scene: int
    ) -> Push:
        """Answer the pop-up of a page: accept allows one message of a template, reject none."""
        contact = self._world.contact_of(account, user)
        with self._world.lock:
            for template_id, status in answers:
                if status == "accept":
                    contact.subscriptions[template_id] = contact.subscriptions.get(template_id, 0) + 1
        listed = [
            {"TemplateId": template, "SubscribeStatusString": status, "PopupScene": scene}
            for template, status in answers
        ]
        told = {"SubscribeMsgPopupEvent": {"List": listed if len(listed) > 1 else listed[0]}}
        return self._event(account, contact, "subscribe_msg_popup_event", **told)

    def reject_subscriptions(self, account: Account, user: User, templates: list[str]) -> Push:
        """Switch templates off in WeChat's settings: nothing that was allowed is left."""
        contact = self._world.contact_of(account, user)
        with self._world.lock:
            for template_id in templates:
                contact.subscriptions[template_id] = 0
        listed = [
            {"TemplateId": template, "SubscribeStatusString": "reject"} for template in templates
        ]
        told = {"SubscribeMsgChangeEvent": {"List": listed if len(listed) > 1 else listed[0]}}
        return self._event(account, contact, "subscribe_msg_change_event", **told)

    def finish_subscription(
        self, account: Account, contact: Contact, template_id: str, msgid: int
    ) -> None:
        """Tell what became of a subscription notice, some time after it was accepted."""
        faults = self._world.faults
        if faults.happens(faults.finish_lost_rate):
            return
        code = faults.subscription_errcode
        result = {
            "TemplateId": template_id,
            "MsgID": msgid,
            "ErrorCode": code,
            "ErrorStatus": "failed" if code else "success",
        }
        fields = self._common(account, contact) | {
            "MsgType": "event",
            "Event": "subscribe_msg_sent_event",
            "SubscribeMsgSentEvent": {"List": result},
        }
        if faults.finish_delay_ms:
            self._postman.push_later(account, contact, fields, faults.finish_delay_ms)
        else:
            self._postman.push(account, contact, fields)

    def _scanned(self, account: Account, contact: Contact, ticket: Ticket) -> Push:
        credits.grant(self._world, contact, "scan")
        return self._event(account, contact, "SCAN", EventKey=ticket.scene, Ticket=ticket.ticket)

    def _subscribe(self, contact: Contact, ticket: Ticket | None) -> None:
        contact.subscribed = True
        contact.subscribe_time = int(self._world.now())
        contact.subscribe_scene = "ADD_SCENE_QR_CODE" if ticket else "ADD_SCENE_SEARCH"
        numeric = ticket is not None and not ticket.action.endswith("STR_SCENE")
        contact.qr_scene = int(ticket.scene) if ticket and numeric else 0
        contact.qr_scene_str = ticket.scene if ticket and not numeric else ""

    def _follower(self, account: Account, user: User) -> Contact:
        contact = self._world.contact_of(account, user)
        if not contact.subscribed:
            raise ControlError(f"{user.name} does not follow {account.name}", 409)
        return contact

    def _message(
        self, account: Account, user: User, kind: str, shown: dict[str, Any], **fields: Any
    ) -> Push:
        contact = self._follower(account, user)
        credits.grant(self._world, contact, "message")
        self._world.add_message(contact, "me", kind, **shown)
        number = {"MsgId": self._world.next_msgid()}
        body = self._common(account, contact) | {"MsgType": kind} | fields | number
        return self._postman.push(account, contact, body)

    def _event(self, account: Account, contact: Contact, event: str, **fields: Any) -> Push:
        body = self._common(account, contact) | {"MsgType": "event", "Event": event} | fields
        return self._postman.push(account, contact, body)

    def _common(self, account: Account, contact: Contact) -> dict[str, Any]:
        return {
            "ToUserName": account.gh_id,
            "FromUserName": contact.openid,
            "CreateTime": int(self._world.now()),
        }
