"""The sentences of a scenario, one a line. See HELP for all of them; `#` begins a comment."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

HELP = """\
tell WORDS                                      print them, numbered: the steps of the story
Alice has a phone                               make somebody, unless there is one of that name
Alice follows                                   plainly, without a code
Alice scans Bob's picture                       the newest picture with a QR code on Bob's phone
Alice scans scene "p-1"                         a code of the account's by its scene
Alice unfollows
Alice says "昵称 Alice"
Alice taps "我的海报"                            the button of this name, or the click key
Alice buys tea-128                              at the merchant's shop; at the end maybe: x 2
the order arrives                               the newest order of the shop
the order is refunded                           whole, or: the order is refunded 28.00
Alice pays                                      the newest order of WeChat Pay that waits for her
Alice takes the transfer                        the newest one that waits for her; or: refuses the transfer
expect the reply to show "6.40" "5%"            what the last act was answered with
expect no answer                                the server did not accept the last push
expect Alice's phone to show "12.80"            at last, since the scenario began; each message counts once
expect Alice's phone to show image              of a kind: text, image, news, template, … ; also with words
expect Alice's phone not to show "12.80"        at this moment
fault busy_rate 0.5                             any name and value of /_sim/faults (JSON, or a bare word)
fault busy_rate once                            a rate strikes once, or: 3 times
fault rotate_token                              all access tokens become invalid now
faults off
clock +7 days                                   also minutes, hours, seconds
"""


class MistakeError(Exception):
    """A line that cannot be read."""


@dataclass(frozen=True)
class Sentence:
    """One line: what to do, with the words that were filled in."""

    line: int
    text: str
    verb: str
    words: dict[str, Any]


_NAME = r"(?P<who>\S+)"
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_PATTERNS = [
    (re.compile(pattern), verb)
    for pattern, verb in (
        (r"tell (?P<content>.+)", "narrate"),
        (r"the order arrives", "arrive"),
        (r"the order is refunded( (?P<yuan>\d+(\.\d\d)?))?", "refund"),
        (r"expect the reply to show (?P<wanted>.+)", "expect_reply"),
        (r"expect no answer", "expect_silence"),
        (r"expect (?P<who>\S+?)'s phone to show (?P<wanted>.+)", "expect_phone"),
        (r"expect (?P<who>\S+?)'s phone not to show (?P<wanted>.+)", "expect_nothing"),
        (r"faults off", "faults_off"),
        (r"fault rotate_token", "rotate"),
        (r"fault (?P<name>\w+) (once|(?P<count>\d+) times)", "fault_times"),
        (r"fault (?P<name>\w+) (?P<value>.+)", "fault"),
        (r"clock \+(?P<count>\d+) (?P<unit>second|minute|hour|day)s?", "clock"),
        (rf"{_NAME} has a phone", "person"),
        (rf"{_NAME} follows", "follow"),
        (rf"{_NAME} unfollows", "unfollow"),
        (rf"{_NAME} scans (?P<whose>\S+?)'s (picture|poster)", "scan_picture"),
        (rf"{_NAME} scans scene (?P<content>.+)", "scan_scene"),
        (rf"{_NAME} says (?P<content>.+)", "say"),
        (rf"{_NAME} taps (?P<content>.+)", "tap"),
        (rf"{_NAME} buys (?P<sku>\S+)( x (?P<count>\d+))?", "buy"),
        (rf"{_NAME} pays", "pay"),
        (rf"{_NAME} takes the transfer", "take"),
        (rf"{_NAME} refuses the transfer", "refuse"),
    )
]


def parse(text: str) -> list[Sentence]:
    """All sentences of a scenario; MistakeError with the line of the first one that cannot be read."""
    return [
        _sentence(number, line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def seconds(words: dict[str, Any]) -> int:
    """How far `clock` moves the time."""
    return int(words["count"]) * _SECONDS[words["unit"]]


def _sentence(number: int, line: str) -> Sentence:
    for pattern, verb in _PATTERNS:
        if match := pattern.fullmatch(line):
            words: dict[str, Any] = match.groupdict()
            try:
                return Sentence(number, line, verb, words | _unquoted(verb, words))
            except ValueError as error:
                raise MistakeError(f"line {number}: {error}: {line}") from error
    raise MistakeError(f"line {number}: cannot read: {line}")


def _unquoted(verb: str, words: dict[str, Any]) -> dict[str, Any]:
    """Texts without their quotes; what an expectation wants, as kinds of messages and words."""
    if "wanted" in words:
        quoted = re.findall(r'"([^"]*)"', words["wanted"])
        kinds = shlex.split(re.sub(r'"[^"]*"', " ", words["wanted"]))
        if len(kinds) > 1:
            raise ValueError("one kind at most; put words in quotes")
        return {"wanted": quoted, "kind": kinds[0] if kinds else ""}
    if "content" in words and verb != "narrate":
        return {"content": words["content"].strip('"')}
    return {}
