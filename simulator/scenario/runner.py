"""Playing a scenario against a simulator that runs, line by line."""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import requests

from simulator.scenario.grammar import Sentence, seconds

LOOK_SECONDS = 0.1
TIMEOUT_SECONDS = 70  # longer than the simulator waits for a push


class UntrueError(Exception):
    """Something did not come out as the scenario says."""


class Runner:
    """The people of a scenario at `url` with one account, and what they have seen so far.

    `patience` is how many seconds an expectation is waited for; `tell` prints a line.
    """

    def __init__(
        self, url: str, account: str, patience: float, tell: Callable[[str], None]
    ) -> None:
        self._url = url.rstrip("/")
        self._account = {"account": account} if account else {}
        self._patience = patience
        self._tell = tell
        self._http = requests.Session()
        self._used: set[int] = set()  # messages that an expectation has seen
        self._push: dict[str, Any] | None = None
        self._steps = 0
        self._began = self._get("state", **self._account)["cursor"]

    def play(self, sentences: list[Sentence]) -> None:
        """All of them; UntrueError at the first that does not come out."""
        for sentence in sentences:
            try:
                getattr(self, f"_{sentence.verb}")(sentence.words)
            except UntrueError as error:
                raise UntrueError(f"line {sentence.line}: {sentence.text}: {error}") from error
        self._settle()

    # --- what people do ---

    def _person(self, words: dict[str, Any]) -> None:
        names = [each["name"] for each in self._get("users")["users"]]
        if words["who"] not in names:
            self._post("users", name=words["who"])

    def _follow(self, words: dict[str, Any]) -> None:
        self._act("follow", words)

    def _unfollow(self, words: dict[str, Any]) -> None:
        self._act("unfollow", words)

    def _scan_picture(self, words: dict[str, Any]) -> None:
        def newest() -> Any:
            pictures = [each for each in self._chat(words["whose"]) if each["type"] == "image"]
            return pictures[-1] if pictures else None

        picture = self._until(newest, f"no picture on {words['whose']}'s phone")
        self._act("scan", words, image_message_id=picture["id"])

    def _scan_scene(self, words: dict[str, Any]) -> None:
        self._act("scan", words, scene=words["content"])

    def _say(self, words: dict[str, Any]) -> None:
        self._act("text", words, content=words["content"])

    def _tap(self, words: dict[str, Any]) -> None:
        wanted = words["content"]
        menu = self._get("menu", user=words["who"], **self._account)["menu"]
        tops = menu["button"] if menu else []
        leaves = [leaf for top in tops for leaf in (top.get("sub_button") or [top])]
        if any(leaf["name"] == wanted for leaf in leaves):
            self._act("tap", words, name=wanted)
        else:
            self._act("click", words, key=wanted)

    def _buy(self, words: dict[str, Any]) -> None:
        answer = self._post(
            "buy", user=words["who"], sku=words["sku"], quantity=int(words["count"] or 1)
        )
        _check_report(answer["api"])

    def _arrive(self, words: dict[str, Any]) -> None:
        _check_report(self._post(f"orders/{self._order_no()}/complete")["api"])

    def _refund(self, words: dict[str, Any]) -> None:
        part = {}
        if words["yuan"]:
            part = {"line_no": 1, "refund_fen": int(Decimal(words["yuan"]) * 100)}
        _check_report(self._post(f"orders/{self._order_no()}/refund", **part)["api"])

    def _pay(self, words: dict[str, Any]) -> None:
        order = self._waiting("pay_orders", words["who"], "NOTPAY")
        self._post("pay", user=words["who"], prepay_id=order["prepay_id"])

    def _take(self, words: dict[str, Any]) -> None:
        bill = self._waiting("transfers", words["who"], "WAIT_USER_CONFIRM")
        self._post(f"transfers/{bill['out_bill_no']}/confirm")

    def _refuse(self, words: dict[str, Any]) -> None:
        bill = self._waiting("transfers", words["who"], "WAIT_USER_CONFIRM")
        self._post(f"transfers/{bill['out_bill_no']}/refuse")

    # --- the world ---

    def _rotate(self, words: dict[str, Any]) -> None:
        self._post("faults", rotate_token=True)

    def _fault(self, words: dict[str, Any]) -> None:
        try:
            value = json.loads(words["value"])
        except ValueError:  # a bare word
            value = words["value"]
        self._post("faults", **{words["name"]: value})

    def _fault_times(self, words: dict[str, Any]) -> None:
        times = self._get("faults")["times"] | {words["name"]: int(words["count"] or 1)}
        self._post("faults", **{words["name"]: 1, "times": times})

    def _faults_off(self, words: dict[str, Any]) -> None:
        self._post("faults", off=True)

    def _clock(self, words: dict[str, Any]) -> None:
        self._post("clock", advance_seconds=seconds(words))

    # --- what is told and expected ---

    def _narrate(self, words: dict[str, Any]) -> None:
        self._steps += 1
        self._tell(f"{self._steps:>2}. {words['content']}")

    def _expect_reply(self, words: dict[str, Any]) -> None:
        self._settle()
        reply = (self._push or {}).get("reply") or {}
        shown = json.dumps(reply, ensure_ascii=False)
        self._quote(str(reply.get("text") or shown))
        missing = [each for each in words["wanted"] if each not in shown]
        if missing or (words["kind"] and reply.get("type") != words["kind"]):
            raise UntrueError(f"the reply is {shown}")

    def _expect_silence(self, words: dict[str, Any]) -> None:
        push, self._push = self._push, None
        if push is None or _is_answered(push):
            raise UntrueError("the server has answered")

    def _expect_phone(self, words: dict[str, Any]) -> None:
        found = self._until(
            lambda: self._find(words), f"not on the phone after {self._patience:.0f} s"
        )
        self._used.add(found["id"])

    def _expect_nothing(self, words: dict[str, Any]) -> None:
        if found := self._find(words):
            raise UntrueError(f"it shows {json.dumps(found, ensure_ascii=False)}")

    def _find(self, words: dict[str, Any]) -> Any:
        for message in self._chat(words["who"]):
            fits = words["kind"] in ("", message["type"]) and message["from"] != "me"
            text = json.dumps(message, ensure_ascii=False)
            fits = fits and all(each in text for each in words["wanted"])
            if fits and message["id"] not in self._used:
                return message
        return None

    # --- inside ---

    def _act(self, what: str, words: dict[str, Any], **fields: Any) -> None:
        self._settle()
        self._push = self._post(what, user=words["who"], **self._account, **fields)

    def _settle(self) -> None:
        """The last push must have been answered, unless somebody has expected that it was not."""
        if self._push is not None and not _is_answered(self._push):
            push, self._push = self._push, None
            last = push["deliveries"][-1] if push.get("deliveries") else {}
            raise UntrueError(f"the server did not accept the push before: {last}")

    def _chat(self, user: str) -> list[dict[str, Any]]:
        answer = self._get(f"chats/{user}", after=self._began, **self._account)
        messages: list[dict[str, Any]] = answer["messages"]
        return messages

    def _order_no(self) -> str:
        orders = self._get("orders")["orders"]
        if not orders:
            raise UntrueError("there is no order")
        return str(orders[0]["order_no"])

    def _waiting(self, what: str, who: str, state: str) -> Any:
        def look() -> Any:
            openids = self._openids(who)
            for each in self._get(what)[what]:
                if each["openid"] in openids and each["state"] == state:
                    return each
            return None

        return self._until(look, f"nothing waits for {who}")

    def _openids(self, who: str) -> list[str]:
        people = self._get("users")["users"]
        return [openid for each in people if each["name"] == who for openid in each["openids"].values()]  # fmt: skip

    def _until(self, look: Callable[[], Any], complaint: str) -> Any:
        give_up = time.monotonic() + self._patience
        while True:
            if found := look():
                return found
            if time.monotonic() > give_up:
                raise UntrueError(complaint)
            time.sleep(LOOK_SECONDS)

    def _quote(self, text: str) -> None:
        for line in text.strip().splitlines():
            self._tell(f"      {line}")

    def _get(self, path: str, **query: Any) -> Any:
        url = f"{self._url}/_sim/{path}"
        return _read(self._http.get(url, params=query, timeout=TIMEOUT_SECONDS))

    def _post(self, path: str, **body: Any) -> Any:
        url = f"{self._url}/_sim/{path}"
        return _read(self._http.post(url, json=body, timeout=TIMEOUT_SECONDS))


def _read(answer: requests.Response) -> Any:
    body = answer.json()
    if not answer.ok:
        raise UntrueError(body.get("error", answer.status_code))
    return body


def _is_answered(push: dict[str, Any]) -> bool:
    if "deliveries" not in push:  # scanning a code that is nobody's opens a page and pushes nothing
        return True
    return bool(push["deliveries"]) and 200 <= (push["deliveries"][-1]["status"] or 0) < 300


def _check_report(answer: dict[str, Any]) -> None:
    if answer["status"] is None or answer["status"] >= 400:
        raise UntrueError(f"the merchant answered {answer}")
