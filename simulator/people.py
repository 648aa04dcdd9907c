"""What a person does with a phone, and what the platform tells the account about it.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html
"""

from typing import Any

from simulator import credits, events, menus
from simulator.errors import ControlError
from simulator.push import Postman, Push
from simulator.replies import media_url
from simulator.state import Account, Contact, MassJob, Publication, Ticket, User, World

_PLATFORM = "oR5Gjjl_eiZoUpGozMo7dbBJ362A"  # 群发助手: who such events come from

BLACKLISTED = "消息已发出，但被对方拒收了"  # what a phone says to whoever is on the blacklist


_SCANNING = ("scancode_push", "scancode_waitmsg")
_SCANNED = {"ScanCodeInfo": {"ScanType": "qrcode", "ScanResult": "1"}}
_PICTURES = {"SendPicsInfo": {"Count": 1, "PicList": {"item": {"PicMd5Sum": "0" * 32}}}}
_PLACE = {
    "SendLocationInfo": {
        "Location_X": "23.1",
        "Location_Y": "113.3",
        "Scale": "15",
        "Label": "广州市海珠区",
        "Poiname": "",
    }
}
# What a phone adds when a button of this type is tapped, unless somebody says otherwise.
_TAPPED: dict[str, dict[str, Any]] = {
    "scancode_push": _SCANNED,
    "scancode_waitmsg": _SCANNED,
    "pic_sysphoto": _PICTURES,
    "pic_photo_or_album": _PICTURES,
    "pic_weixin": _PICTURES,
    "location_select": _PLACE,
}


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
            _count_tags(account, contact, 1)
        credits.grant(self._world, contact, "subscribe")
        extra = {"EventKey": ""}
        if ticket is not None:
            extra = {"EventKey": f"qrscene_{ticket.scene}", "Ticket": ticket.ticket}
        return self._event(account, contact, "subscribe", **extra)

    def unfollow(self, account: Account, user: User) -> Push:
        """Unsubscribe; nothing can be sent to this person from now on."""
        contact = self._world.contact_of(account, user)
        if not contact.subscribed:
            raise ControlError(f"{user.name} does not follow {account.name}", 409)
        with self._world.lock:
            contact.subscribed = False
            contact.credits.clear()
            _count_tags(account, contact, -1)
        return self._event(account, contact, "unsubscribe", EventKey="")

    def scan(self, user: User, account: Account, ticket: Ticket) -> Push:
        """Scan an account's code: a follower gives SCAN, anybody else follows."""
        if ticket.expires_at is not None and ticket.expires_at <= self._world.now():
            contact = self._world.contact_of(account, user)
            self._world.add_message(contact, "system", "notice", text="该二维码已过期")
            raise ControlError("this code has expired", 410)
        return self.follow(account, user, ticket)

    def say(self, account: Account, user: User, content: str, menu_id: str = "") -> Push:
        """Send a text message; `menu_id` when it was a tap on that line of a message menu."""
        chosen = {"bizmsgmenuid": menu_id} if menu_id else {}
        return self._message(account, user, "text", {"text": content}, Content=content, **chosen)

    def send(self, account: Account, user: User, kind: str, fields: dict[str, Any]) -> Push:
        """Send a message of another kind: image, voice, video, shortvideo, location or link."""
        shown = {
            "title": fields.get("Title"),
            "text": fields.get("Label") or fields.get("Description") or "",
            "url": fields.get("Url"),
        }
        if fields.get("MediaId") in account.media:
            name = "image_url" if kind == "image" else "media_url"
            shown |= {name: media_url(account, fields["MediaId"])}
        return self._message(account, user, kind, shown, **fields)

    def click(self, account: Account, user: User, key: str) -> Push:
        """Tap a menu button of the type click."""
        contact = self._follower(account, user)
        credits.grant(self._world, contact, "click")
        return self._event(account, contact, "CLICK", EventKey=key)

    def view(self, account: Account, user: User, url: str) -> Push:
        """Tap a menu button that opens a page."""
        contact = self._follower(account, user)
        menu = menus.seen_by(account, user, contact)
        menu_id = menu["menuid"] if menu else None
        return self._event(account, contact, "VIEW", EventKey=url, MenuId=menu_id)

    def tap(
        self, account: Account, user: User, button: dict[str, Any], fields: dict[str, Any]
    ) -> Push:
        """Tap any button of the menu; `fields` are what the phone adds: what was scanned, taken or chosen."""
        kind = button["type"]
        if kind == "click":
            return self.click(account, user, button["key"])
        if kind == "view":
            return self.view(account, user, button["url"])
        contact = self._follower(account, user)
        if kind in _SCANNING:
            credits.grant(self._world, contact, "click")
        if kind == "miniprogram":
            return self._event(account, contact, "view_miniprogram", EventKey=button["pagepath"])
        if kind not in _TAPPED:
            raise ControlError(f"a button of the type {kind} tells the account nothing", 409)
        body = _TAPPED[kind] | fields
        return self._event(account, contact, kind, EventKey=button["key"], **body)

    def happen(self, account: Account, user: User, event: str, fields: dict[str, Any]) -> Push:
        """Any event of the platform, with the fields it usually has unless others are given."""
        if event not in events.SAMPLES:
            raise ControlError(f"no event {event!r}; there are: {', '.join(events.SAMPLES)}", 404)
        contact = self._world.contact_of(account, user)
        usual = events.sample(event, account.app_id, contact.openid, int(self._world.now()))
        return self._event(account, contact, event, **usual | fields)

    def raw(self, account: Account, user: User, fields: dict[str, Any], xml: str = "") -> Push:
        """Push anything at all; the common fields are filled in where they are missing."""
        contact = self._world.contact_of(account, user)
        return self._postman.push(account, contact, self._common(account, contact) | fields, xml)

    def finish_template(self, account: Account, contact: Contact, msgid: int) -> None:
        """Tell what became of a template message, some time after it was accepted."""
        faults = self._world.faults
        if faults.happens("finish_lost_rate"):
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
                    contact.subscriptions[template_id] = (
                        contact.subscriptions.get(template_id, 0) + 1
                    )
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
        if faults.happens("finish_lost_rate"):
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

    def finish_mass(self, account: Account, job: MassJob, base_url: str) -> None:
        """Tell what became of a mass message, some time after it was accepted."""
        faults = self._world.faults
        if faults.happens("finish_lost_rate"):
            return
        fields = {
            "Event": "MASSSENDJOBFINISH",
            "MsgID": int(job.msg_id),
            "Status": job.status,
            "TotalCount": job.total,
            "FilterCount": job.total - job.filtered,
            "SentCount": job.sent,
            "ErrorCount": job.errors,
        }
        if job.kind == "news":
            fields["CopyrightCheckResult"] = {"Count": 0, "ResultList": "", "CheckState": 1}
            items = [
                {
                    "ArticleIdx": 1,
                    "ArticleUrl": f"{base_url}/_sim/articles/{account.app_id}/{job.msg_id}/1",
                }
            ]
            fields["ArticleUrlResult"] = {"Count": 1, "ResultList": {"item": items}}
        self._report(account, fields, faults.mass_delay_ms)

    def finish_publication(self, account: Account, found: Publication, base_url: str) -> None:
        """Tell what became of a publication."""
        faults = self._world.faults
        if faults.happens("finish_lost_rate"):
            return
        info: dict[str, Any] = {"publish_id": int(found.publish_id), "publish_status": found.status}
        if found.status == 0:
            items = [
                {
                    "idx": number,
                    "article_url": f"{base_url}/_sim/articles/{account.app_id}/{found.article_id}/{number}",
                }
                for number in range(1, len(found.articles) + 1)
            ]
            info |= {
                "article_id": found.article_id,
                "article_detail": {"count": len(items), "item": items},
            }
        else:
            info["fail_idx"] = [1]
        fields = {"Event": "PUBLISHJOBFINISH", "PublishEventInfo": info}
        self._report(account, fields, faults.finish_delay_ms)

    def _report(self, account: Account, fields: dict[str, Any], delay_ms: int) -> None:
        """An event about the account itself: its sender is the platform, not a follower."""
        platform = Contact(_PLATFORM, "")
        body = self._common(account, platform) | {"MsgType": "event"} | fields
        if delay_ms:
            self._postman.push_later(account, platform, body, delay_ms)
        else:
            self._postman.push(account, platform, body)

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
        if contact.blacklisted:
            self._world.add_message(contact, "system", "notice", text=BLACKLISTED)
            raise ControlError(f"{user.name} is on the blacklist of {account.name}", 403)
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


def _count_tags(account: Account, contact: Contact, step: int) -> None:
    """Tags stay on whoever leaves, but only followers are counted."""
    for number in contact.tags:
        account.tags[str(number)].count += step
