"""Pushing messages and events to the account's callback address, and reading the passive reply.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html
"""

import heapq
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import urllib3

from simulator import envelope, replies
from simulator.envelope import MalformedError
from simulator.state import Account, Contact, World

OUT_OF_ORDER = "该公众号提供的服务出现故障，请稍后再试"
HOLD_SECONDS = 0.5  # the longest that a push waits for others to be reordered with
_SENDERS = 64
_KEPT_BYTES = 65_536  # of an answer; a reply that a phone can show is far shorter


@dataclass
class Push:
    """One message or event on its way: what is sent, every attempt, and what came back."""

    id: int
    account: Account
    contact: Contact
    fields: dict[str, Any]
    xml: str
    at: float
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def is_message(self) -> bool:
        """A message of the person's, as opposed to an event."""
        return self.fields.get("MsgType") != "event"

    @property
    def is_awaited(self) -> bool:
        """Whether the person looks at the chat and waits for an answer."""
        return self.is_message or self.fields.get("Event") == "CLICK"

    def as_json(self) -> dict[str, Any]:
        """The push record of the control API."""
        return {
            "id": self.id,
            "account": self.account.app_id,
            "openid": self.contact.openid,
            "at": self.at,
            "fields": self.fields,
            "xml": self.xml,
            "done": self.done.is_set(),
            "deliveries": self.deliveries,
            "reply": self.reply,
        }


class Postman:
    """Delivers pushes: up to three times, five seconds each, from as many threads as are needed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._http = urllib3.PoolManager(maxsize=_SENDERS, retries=False)
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="push")
        self._timer = Timer(self._senders)
        self._held: list[Push] = []
        self._held_lock = threading.Lock()

    def push(
        self, account: Account, contact: Contact, fields: dict[str, Any], xml: str = ""
    ) -> Push:
        """Start the delivery of these fields (or of this ready-made XML) and return at once."""
        push = self._prepare(account, contact, fields, xml)
        for _ in range(self._world.faults.duplicate_push):
            self._start(self._copy(push))
        self._start(push)
        return push

    def push_later(
        self, account: Account, contact: Contact, fields: dict[str, Any], delay_ms: int
    ) -> None:
        """The same after `delay_ms` milliseconds of real time."""
        self._timer.after(delay_ms / 1000, lambda: self.push(account, contact, fields))

    def verify(self, account: Account) -> dict[str, Any]:
        """What the console does when the callback address is saved: GET with an echostr."""
        echo = str(secrets.randbelow(10**19))
        url = callback_url(account, self._query(account) | {"echostr": echo})
        delivery = self._request("GET", url, None)
        return delivery | {"ok": delivery["status"] == 200 and delivery["body"] == echo}

    def close(self) -> None:
        """Stop; what has not been delivered is lost, as a crash of the platform would lose it."""
        self._timer.stop()
        self._senders.shutdown(wait=False, cancel_futures=True)

    def _prepare(
        self, account: Account, contact: Contact, fields: dict[str, Any], xml: str
    ) -> Push:
        fields = fields if xml else self._disfigured(fields)
        xml = xml or envelope.render(fields)
        push = Push(self._world.next_id(), account, contact, fields, xml, self._world.now())
        self._world.pushes.append(push)
        return push

    def _copy(self, push: Push) -> Push:
        return self._prepare(push.account, push.contact, push.fields, push.xml)

    def _disfigured(self, fields: dict[str, Any]) -> dict[str, Any]:
        faults = self._world.faults
        if faults.lower_case_events and "Event" in fields:
            fields = fields | {"Event": fields["Event"].lower()}
        if faults.omit_empty_event_key and fields.get("EventKey") == "":
            fields = {name: value for name, value in fields.items() if name != "EventKey"}
        return fields

    def _start(self, push: Push) -> None:
        if self._world.faults.reorder_push:
            self._hold(push)
        else:
            self._senders.submit(self._attempt, push)

    def _hold(self, push: Push) -> None:
        with self._held_lock:
            self._held.append(push)
            full = len(self._held) > self._world.faults.reorder_push
        if full:
            self._release()
        else:
            self._timer.after(HOLD_SECONDS, self._release)

    def _release(self) -> None:
        """Send what is held back, latest first, each after the one before has been answered."""
        with self._held_lock:
            held, self._held = self._held, []
        if held:
            self._senders.submit(self._attempt_all, held[::-1])

    def _attempt_all(self, pushes: list[Push]) -> None:
        for push in pushes:
            self._attempt(push)

    def _attempt(self, push: Push) -> None:
        account = push.account
        body, query = self._seal(push)
        delivery = self._request("POST", callback_url(account, query), body)
        push.deliveries.append(delivery)
        if delivery["status"] is not None and 200 <= delivery["status"] < 300:
            self._accept(push, delivery["body"])
        elif self._repeats(push, delivery["status"]):
            self._timer.after(
                self._world.faults.push_spacing_ms / 1000, lambda: self._attempt(push)
            )
            return
        elif push.is_awaited:
            self._apologise(push)
        push.done.set()

    def _repeats(self, push: Push, status: int | None) -> bool:
        faults = self._world.faults
        refused = status is not None and not faults.push_repeats_refused
        return not refused and len(push.deliveries) < faults.push_deliveries

    def _seal(self, push: Push) -> tuple[str, dict[str, str]]:
        """The body and the query, as the account's mode wants them; every attempt signs afresh."""
        account = push.account
        query = self._query(account) | {"openid": push.contact.openid}
        if account.mode == "plain":
            return push.xml, query
        sealed = envelope.encrypt(push.xml, account.aes_key, account.app_id)
        query["encrypt_type"] = "aes"
        query["msg_signature"] = envelope.sign(
            account.token, query["timestamp"], query["nonce"], sealed
        )
        outside = push.fields if account.mode == "compatible" else {"ToUserName": account.gh_id}
        return envelope.render(outside | {"Encrypt": sealed}), query

    def _query(self, account: Account) -> dict[str, str]:
        timestamp, nonce = str(int(self._world.now())), str(secrets.randbelow(10**10))
        signature = envelope.sign(account.token, timestamp, nonce)
        return {"signature": signature, "timestamp": timestamp, "nonce": nonce}

    def _request(self, method: str, url: str, body: str | None) -> dict[str, Any]:
        started = time.perf_counter()
        delivery: dict[str, Any] = {
            "at": self._world.now(),
            "status": None,
            "body": "",
            "error": None,
        }
        try:
            answer = self._http.request(
                method,
                url,
                body=body.encode() if body is not None else None,
                headers={"Content-Type": "text/xml", "User-Agent": "Mozilla/4.0"},
                timeout=urllib3.Timeout(total=self._world.faults.push_deadline_ms / 1000),
                redirect=False,
            )
            delivery |= {
                "status": answer.status,
                "body": answer.data[:_KEPT_BYTES].decode("utf-8", "replace"),
            }
        except (urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: not an address
            delivery["error"] = f"{type(error).__name__}: {error}"
        delivery["ms"] = round((time.perf_counter() - started) * 1000, 1)
        return delivery

    def _accept(self, push: Push, body: str) -> None:
        try:
            push.reply = replies.read(push.account, push.contact, body, push.is_message)
        except MalformedError as error:
            push.reply = {"type": "malformed", "error": str(error)}
            self._apologise(push)
            return
        replies.show(self._world, push.account, push.contact, push.reply)

    def _apologise(self, push: Push) -> None:
        if push.contact.subscribed:
            self._world.add_message(push.contact, "system", "notice", text=OUT_OF_ORDER)


class Timer(threading.Thread):
    """Hands work to the senders when it is due, so that nobody sleeps through a five-second pause."""

    def __init__(self, senders: ThreadPoolExecutor) -> None:
        super().__init__(name="push-timer", daemon=True)
        self._senders = senders
        self._due: list[tuple[float, int, Callable[[], Any]]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._stopped = False
        self.start()

    def after(self, seconds: float, work: Callable[[], Any]) -> None:
        """Run `work` in a sender thread, that many seconds from now (real time)."""
        with self._changed:
            self._count += 1
            heapq.heappush(self._due, (time.monotonic() + seconds, self._count, work))
            self._changed.notify()

    def run(self) -> None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    self._senders.submit(heapq.heappop(self._due)[2])
                else:
                    self._changed.wait(wait)

    def stop(self) -> None:
        """Forget what is not due yet."""
        with self._changed:
            self._stopped = True
            self._changed.notify()


def callback_url(account: Account, query: dict[str, str]) -> str:
    """The account's callback address with this query behind whatever query it has already."""
    separator = "&" if "?" in account.callback_url else "?"
    return f"{account.callback_url}{separator}{urlencode(query)}"
