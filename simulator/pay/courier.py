"""Notices of WeChat Pay, signed and encrypted, repeated as WeChat Pay repeats them; and the passing of time.

https://pay.weixin.qq.com/doc/v3/merchant/4012712115
"""

import json
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from simulator.pay import signing
from simulator.pay.book import Book, Told, time_text
from simulator.state import Merchant, World

PAUSES = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""Seconds before each repetition of a notice that was not accepted: 24 h 4 min in all."""
ANSWER_SECONDS = 5.0
LOOK_SECONDS = 0.05
_SENDERS = 16


class Courier(threading.Thread):
    """Looks at the simulated time, lets the books grow older, and delivers notices that are due."""

    def __init__(self, world: World, books: Sequence[Book]) -> None:
        super().__init__(name="pay-courier", daemon=True)
        self._world = world
        self._books = books
        self._http = urllib3.PoolManager(maxsize=_SENDERS, retries=False)
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="pay-notice")
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            for book in self._books:
                for entry in book.collect():
                    self._senders.submit(self._attempt, book, entry)

    def close(self) -> None:
        """Stop; notices that are due stay due in the state file."""
        self._stopped.set()
        self._senders.shutdown(wait=False, cancel_futures=True)

    def deliver(self, book: Book, entry: Told) -> dict[str, Any]:
        """One more delivery of the entry's notice, now, whatever was delivered before."""
        return self._deliver(book, entry)

    def _attempt(self, book: Book, entry: Told) -> None:
        faults = self._world.faults
        entry.notify_tries += 1
        if faults.happens("signtest_rate"):
            self._deliver(book, entry, probe=True)
        copies = [
            threading.Thread(target=self._deliver, args=(book, entry))
            for _ in range(faults.notice_copies)
        ]
        for copy in copies:
            copy.start()
        lost = faults.happens("notice_lost_rate")
        accepted = not lost and self._deliver(book, entry)["status"] in (200, 204)
        for copy in copies:
            copy.join()
        left = PAUSES[entry.notify_tries - 1 :]
        book.noticed(entry, None if accepted or not left else self._world.now() + left[0])

    def _deliver(self, book: Book, entry: Told, *, probe: bool = False) -> dict[str, Any]:
        merchant = self._world.state.merchants[entry.mch_id]
        body, event = self._body(book, entry, merchant)
        delivery: dict[str, Any] = {
            "id": self._world.next_id(),
            "at": self._world.now(),
            "event": event,
            "probe": probe,
            "status": None,
        }
        try:
            answer = self._http.request(
                "POST",
                entry.notify_url,
                body=body.encode(),
                headers=self._proof(merchant, body, probe) | {"Content-Type": "application/json"},
                timeout=urllib3.Timeout(total=ANSWER_SECONDS),
                redirect=False,
            )
            delivery |= {"status": answer.status, "body": answer.data.decode("utf-8", "replace")}
        except (urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: not an address
            delivery["error"] = f"{type(error).__name__}: {error}"
        with self._world.lock:
            entry.notices.append(delivery)
            self._world.notices.append(
                delivery
                | {"url": entry.notify_url, "sent": body, "inside": book.letter(entry).inside}
            )
        return delivery

    def _body(self, book: Book, entry: Told, merchant: Merchant) -> tuple[str, str]:
        letter = book.letter(entry)
        body = {
            "id": str(uuid.uuid4()),
            "create_time": time_text(entry.updated_at),
            "resource_type": "encrypt-resource",
            "event_type": letter.event_type,
            "summary": letter.summary,
            "resource": signing.seal(merchant, letter.inside, letter.original_type),
        }
        return json.dumps(body, ensure_ascii=False), letter.event_type

    def _proof(self, merchant: Merchant, body: str, probe: bool) -> dict[str, str]:
        """The headers, or what a probe or the faults make of them."""
        faults = self._world.faults
        signed = signing.headers(merchant, body, self._world.now())
        if probe:
            signed["Wechatpay-Signature"] = signing.probe_signature()
        elif faults.happens("notice_wrong_signature_rate"):
            forged = signing.headers(merchant, body + " ", self._world.now())
            signed["Wechatpay-Signature"] = forged["Wechatpay-Signature"]
        if faults.happens("notice_foreign_serial_rate"):
            signed["Wechatpay-Serial"] = "PUB_KEY_ID_0000000000000000000000000000000"
        return signed
