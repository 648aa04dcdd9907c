"""Notices about finished transfers, signed and encrypted, repeated as WeChat Pay repeats them; and the passing of time.

https://pay.weixin.qq.com/doc/v3/merchant/4012712115
"""

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import urllib3

from simulator.pay import signing
from simulator.pay.transfers import Transfers, plaintext
from simulator.state import Merchant, Transfer, World

PAUSES = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
"""Seconds before each repetition of a notice that was not accepted: 24 h 4 min in all."""
ANSWER_SECONDS = 5.0
LOOK_SECONDS = 0.05
_SENDERS = 16
_CHINA = timezone(timedelta(hours=8))


class Courier(threading.Thread):
    """Looks at the simulated time, closes what has lapsed, and delivers notices that are due."""

    def __init__(self, world: World, transfers: Transfers) -> None:
        super().__init__(name="pay-courier", daemon=True)
        self._world = world
        self._transfers = transfers
        self._http = urllib3.PoolManager(maxsize=_SENDERS, retries=False)
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="pay-notice")
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            for bill in self._transfers.lapse_and_collect():
                self._senders.submit(self._attempt, bill)

    def close(self) -> None:
        """Stop; notices that are due stay due in the state file."""
        self._stopped.set()
        self._senders.shutdown(wait=False, cancel_futures=True)

    def deliver(self, bill: Transfer) -> dict[str, Any]:
        """One more delivery of the bill's notice, now, whatever was delivered before."""
        return self._deliver(self._merchant(bill), bill, probe=False)

    def _attempt(self, bill: Transfer) -> None:
        merchant, faults = self._merchant(bill), self._world.faults
        bill.notify_tries += 1
        if faults.happens(faults.signtest_rate):
            self._deliver(merchant, bill, probe=True)
        copies = [
            threading.Thread(target=self._deliver, args=(merchant, bill), kwargs={"probe": False})
            for _ in range(faults.notice_copies)
        ]
        for copy in copies:
            copy.start()
        lost = faults.happens(faults.notice_lost_rate)
        accepted = not lost and self._deliver(merchant, bill, probe=False)["status"] in (200, 204)
        for copy in copies:
            copy.join()
        left = PAUSES[bill.notify_tries - 1 :]
        again = None if accepted or not left else self._world.now() + left[0]
        self._transfers.noticed(bill, again)

    def _merchant(self, bill: Transfer) -> Merchant:
        return self._world.state.merchants[bill.mch_id]

    def _deliver(self, merchant: Merchant, bill: Transfer, *, probe: bool) -> dict[str, Any]:
        body = json.dumps(
            {
                "id": str(uuid.uuid4()),
                "create_time": datetime.fromtimestamp(bill.updated_at, _CHINA).isoformat(timespec="seconds"),
                "resource_type": "encrypt-resource",
                "event_type": "MCHTRANSFER.BILL.FINISHED",
                "summary": "商家转账单据终态通知",
                "resource": signing.seal(merchant, plaintext(bill), "mch_payment"),
            },
            ensure_ascii=False,
        )  # fmt: skip
        headers = signing.headers(merchant, body, self._world.now())
        if probe:
            headers["Wechatpay-Signature"] = signing.probe_signature()
        delivery: dict[str, Any] = {"at": self._world.now(), "probe": probe, "status": None}
        try:
            answer = self._http.request(
                "POST",
                bill.notify_url,
                body=body.encode(),
                headers=headers | {"Content-Type": "application/json"},
                timeout=urllib3.Timeout(total=ANSWER_SECONDS),
                redirect=False,
            )
            delivery |= {"status": answer.status, "body": answer.data.decode("utf-8", "replace")}
        except (urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: not an address
            delivery["error"] = f"{type(error).__name__}: {error}"
        with self._world.lock:
            bill.notices.append(delivery)
        return delivery
