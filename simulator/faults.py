"""What goes wrong on purpose. Everything is off until somebody switches it on with POST /_sim/faults."""

import random
import threading
import time
from dataclasses import dataclass, field, fields
from typing import Any

from simulator.errors import ControlError
from simulator.pay.errors import STATUS

# The values that some faults may have.
CHOICES: dict[str, tuple[Any, ...]] = {
    "invalid_token_errcode": (40001, 40014),
    "unfollowed_errcode": (43004, 40003),
    "finish_status": ("success", "failed:user block", "failed: system failed"),
    "pay_error": ("", *STATUS),
    "transfer_stops_at": ("", "ACCEPTED", "PROCESSING", "TRANSFERING", "CANCELING"),
    "transfer_lapses_to": ("FAIL", "CANCELLED"),
    "refund_ends_in": ("SUCCESS", "ABNORMAL", "CLOSED"),
}


@dataclass
class Faults:
    """Rates are 0 … 1; API faults strike the paths that begin with one of `paths`."""

    # The API
    paths: list[str] = field(default_factory=list)  # where API faults strike; empty: everywhere
    latency_ms: int = 0  # every call takes this much longer
    http_500_rate: float = 0.0  # HTTP 500 with an HTML page, nothing done
    empty_rate: float = 0.0  # HTTP 200 with nothing in it, nothing done
    busy_rate: float = 0.0  # errcode -1, nothing done
    html_rate: float = 0.0  # HTTP 200 with an HTML page, nothing done
    drop_answer_rate: float = 0.0  # done, but the connection breaks before the answer
    truncate_rate: float = 0.0  # done, but only half of the JSON arrives
    rotate_token_every: int = 0  # every so many calls all tokens become invalid
    invalid_token_errcode: int = 40001  # or 40014, for a token that the platform does not know
    refused_people: dict[str, int] = field(default_factory=dict)  # openid -> errcode
    unfollowed_errcode: int = 43004  # or 40003, for a template message to somebody who has left
    quota: dict[str, int] = field(default_factory=dict)  # path -> calls a day
    rate_per_minute: dict[str, int] = field(default_factory=dict)  # path -> calls a minute (45011)
    tagging_conflict_rate: float = 0.0  # 45169: somebody else is changing the same person's tags
    last_page_ends: bool = False  # the last page of user/get has an empty next_openid already
    snapshot_visitors: bool = False  # OAuth says is_snapshotuser, with an openid that is nobody's
    # Pushes
    push_deadline_ms: int = 5000  # how long an answer is waited for
    push_deliveries: int = 3  # attempts in all
    push_spacing_ms: int = 5000  # between two attempts
    push_repeats_refused: bool = True  # HTTP 4xx and 5xx are repeated like no answer
    duplicate_push: int = 0  # so many more copies of each push, at the same moment
    reorder_push: int = 0  # so many pushes are held back and then sent latest first
    lower_case_events: bool = False  # `templatesendjobfinish`
    omit_empty_event_key: bool = False  # a plain subscribe has no EventKey at all
    finish_status: str = "success"  # of TEMPLATESENDJOBFINISH
    finish_delay_ms: int = 0  # TEMPLATESENDJOBFINISH comes late
    finish_lost_rate: float = 0.0  # no TEMPLATESENDJOBFINISH at all
    subscription_errcode: int = 0  # of subscribe_msg_sent_event: 0 is delivered
    mass_status: str = "send success"  # of MASSSENDJOBFINISH: send fail, err(10001), …
    mass_delay_ms: int = 0  # MASSSENDJOBFINISH comes late, and mass/get says SENDING until then
    publish_status: int = 0  # of PUBLISHJOBFINISH: 2 originality, 3 failed, 4 rejected, …
    # WeChat Pay (also: paths, latency_ms, http_500_rate, html_rate, drop_answer_rate, truncate_rate)
    pay_error: str = ""  # every call is refused with this code, nothing done
    late_error_rate: float = 0.0  # done, but the answer is HTTP 500 SYSTEM_ERROR
    wrong_signature_rate: float = 0.0  # done, but the answer's signature is somebody else's
    transfer_stops_at: str = ""  # ACCEPTED, PROCESSING, …: transfers get no further
    transfer_lapses_to: str = "FAIL"  # or CANCELLED: after 24 h unconfirmed
    transfer_fails_with: str = ""  # a fail_reason: transfers end in FAIL after the confirmation
    receipt_delay_seconds: int = 0  # a transfer's receipt is made for so long (simulated time)
    refund_ends_in: str = "SUCCESS"  # or ABNORMAL, CLOSED
    refund_delay_seconds: int = 0  # a refund is PROCESSING for so long (simulated time)
    share_delay_seconds: int = 0  # the same for profit sharing
    share_fails_with: str = ""  # a fail_reason: money for a receiver is CLOSED, a return is FAILED
    paid_amount_off_fen: int = 0  # so much more is said to be paid than was asked for
    pay_per_second: int = 0  # so many calls a second, then FREQUENCY_LIMITED; 0: no limit
    notice_first: bool = False  # a result is told before the call that began it answers
    notice_wrong_signature_rate: float = 0.0  # a notice is signed by somebody else
    notice_foreign_serial_rate: float = 0.0  # a notice names a key that nobody knows
    notice_copies: int = 0  # so many more copies of each notice, at the same moment
    notice_delay_seconds: int = 0  # the first notice comes this much later (simulated time)
    notice_lost_rate: float = 0.0  # a delivery of a notice is lost on its way
    signtest_rate: float = 0.01  # a probe with a wrong signature comes before the notice
    # All
    times: dict[str, int] = field(default_factory=dict)  # rate -> so many times, then never again
    seed: int | None = None  # the same seed makes the same calls fail

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self._calls = 0

    def happens(self, name: str) -> bool:
        """Throw the dice for the fault of this name, unless it has happened as often as it may."""
        with self._lock:
            rate = getattr(self, name)
            if rate <= 0 or self._random.random() >= rate or self.times.get(name, 1) < 1:
                return False
            if name in self.times:
                self.times[name] -= 1
            return True

    def strikes(self, path: str) -> bool:
        """Whether API faults apply to this path at all."""
        return not self.paths or any(path.startswith(each) for each in self.paths)

    def delay(self) -> None:
        """Hold this call up."""
        if self.latency_ms:
            time.sleep(self.latency_ms / 1000)

    def rotates_now(self) -> bool:
        """True on every `rotate_token_every`-th call."""
        if not self.rotate_token_every:
            return False
        with self._lock:
            self._calls += 1
            return self._calls % self.rotate_token_every == 0


def changed(faults: Faults, wishes: dict[str, Any]) -> Faults:
    """A new set with these wishes on top of the present ones; unknown names and wrong types are refused."""
    kinds = {each.name: type(getattr(faults, each.name)) for each in fields(Faults)}
    kinds["seed"] = int
    values = {name: getattr(faults, name) for name in kinds}
    for name, wish in wishes.items():
        if name not in kinds:
            raise ControlError(f"no fault {name!r}; there are: {', '.join(kinds)}")
        values[name] = _checked(name, kinds[name], wish)
        if name in CHOICES and values[name] not in CHOICES[name]:
            raise ControlError(f"{name} must be one of {', '.join(map(str, CHOICES[name]))}")
    for name in values["times"]:
        if not name.endswith("_rate") or name not in kinds:
            raise ControlError(f"times: {name!r} is no rate")
    return Faults(**values)


def _checked(name: str, kind: type, wish: Any) -> Any:
    if wish is None and name == "seed":
        return None
    if kind is float and isinstance(wish, int):
        return float(wish)
    if kind is int and isinstance(wish, bool):
        raise ControlError(f"{name} must be a number")
    if not isinstance(wish, kind):
        raise ControlError(f"{name} must be of type {kind.__name__}")
    return wish
