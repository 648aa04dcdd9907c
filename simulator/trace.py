"""「我的服务器刚才做了什么？」: acts, pushes, calls, notices and shop reports in one line of time."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from simulator.calls import Call, mask
from simulator.push import Push
from simulator.state import Report, User, World

_XML_BREAK = re.compile(r">(?=<(?:[A-Za-z]|/xml>))")
SHOWN = 20_000  # characters of a body


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `parts` are the texts that went to and fro, each with its name; secrets are masked."""

    id: int
    at: float
    kind: str  # act, push, call, notice, report
    account: str | None
    title: str
    path: str
    status: str
    failed: bool
    ms: float | None
    parts: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The entry of the JSON export."""
        parts = [{"name": name, "text": text} for name, text in self.parts]
        return {name: getattr(self, name) for name in _PLAIN} | {"parts": parts}

    def speaks_of(self, word: str) -> bool:
        """Whether this word (an openid, an app id) is somewhere in what went to and fro."""
        return word == self.account or any(word in text for _, text in self.parts)


_PLAIN = ("id", "at", "kind", "account", "title", "path", "status", "failed", "ms")


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see: all empty means everything."""

    account: str = ""
    path: str = ""  # how it begins
    kind: str = ""
    user: User | None = None
    after: int = 0
    limit: int = 200

    def allows(self, entry: Entry) -> bool:
        """Whether the entry is wanted."""
        if self.kind and entry.kind != self.kind:
            return False
        if self.path and not entry.path.startswith(self.path):
            return False
        if self.account and not entry.speaks_of(self.account):
            return False
        names = [*self.user.openids.values(), self.user.id, self.user.name] if self.user else []
        return not names or any(entry.speaks_of(each) for each in names)


def entries(world: World, wish: Wish) -> list[Entry]:
    """The latest entries that are wanted, newest first."""
    found: list[Entry] = []
    for journal, read in _JOURNALS.items():
        for record in reversed(list(getattr(world, journal))):
            entry = read(record)
            if entry.id <= wish.after:
                break
            if wish.allows(entry):
                found.append(entry)
    return sorted(found, key=lambda each: each.id, reverse=True)[: wish.limit]


def pretty(text: str) -> str:
    """JSON indented, XML with a line for each element, anything else as it is; cut when it is very long."""
    try:
        shown = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        shown = _XML_BREAK.sub(">\n", text)
    return mask(shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}\n…")


def _act(act: dict[str, Any]) -> Entry:
    return Entry(
        id=act["id"],
        at=act["at"],
        kind="act",
        account=act["fields"].get("account"),
        title=f"{act['who']} {act['path'].removeprefix('/_sim/')}".strip(),
        path=act["path"],
        status=str(act["status"]),
        failed=act["status"] >= 400,
        ms=act["ms"],
        parts=[("body", pretty(json.dumps(act["fields"], ensure_ascii=False)))],
    )


def _push(push: Push) -> Entry:
    last = push.deliveries[-1] if push.deliveries else None
    said = push.fields.get("Event") or push.fields.get("MsgType")
    parts = [("pushed", pretty(push.xml))]
    for number, delivery in enumerate(push.deliveries, start=1):
        outcome = delivery["status"] or delivery["error"]
        name = f"delivery {number}: {outcome}, {delivery['ms']} ms"
        parts.append((name, pretty(delivery["body"]) or "(empty)"))
    if push.reply:
        parts.append(("shown as", pretty(json.dumps(push.reply, ensure_ascii=False))))
    failed = last is None or not 200 <= (last["status"] or 0) < 300
    malformed = push.reply is not None and push.reply["type"] == "malformed"
    return Entry(
        id=push.id,
        at=push.at,
        kind="push",
        account=push.account.app_id,
        title=f"{said} {push.fields.get('EventKey') or push.fields.get('Content') or ''}".strip(),
        path=push.account.callback_url,
        status=str((last["status"] or last["error"]) if last else "on its way"),
        failed=(failed and push.done.is_set()) or malformed,
        ms=last["ms"] if last else None,
        parts=[*parts, ("openid", push.contact.openid)],
    )


def _call(call: Call) -> Entry:
    shown = call.as_json()
    errcode = shown["errcode"] or 0
    asked = "\n".join(filter(None, (f"{call.method} {call.path}", shown["query"])))
    return Entry(
        id=call.id,
        at=call.at,
        kind="call",
        account=call.account,
        title=_call_title(call.path, shown["body"]),
        path=call.path,
        status=f"errcode {errcode}" if errcode else str(call.status),
        failed=call.status >= 400 or bool(errcode),
        ms=shown["ms"],
        parts=[
            ("asked", asked),
            ("body", pretty(shown["body"])),
            ("answered", pretty(shown["answer"])),
            ("rid", call.rid),
        ],
    )


def _call_title(path: str, body: str) -> str:
    """The path, and for a message of which kind."""
    try:
        kind = json.loads(body).get("msgtype")
    except (ValueError, AttributeError):  # an upload, nothing, or a list
        return path
    return f"{path} ({kind})" if kind else path


def _notice(notice: dict[str, Any]) -> Entry:
    return Entry(
        id=notice["id"],
        at=notice["at"],
        kind="notice",
        account=None,
        title=notice["event"] + (" (probe)" if notice["probe"] else ""),
        path=notice["url"],
        status=str(notice["status"] or notice.get("error")),
        failed=not notice["probe"] and notice["status"] not in (200, 204),
        ms=None,
        parts=[
            ("sent", pretty(notice["sent"])),
            ("inside", pretty(json.dumps(notice["inside"], ensure_ascii=False))),
            ("answered", pretty(notice.get("body", "")) or "(empty)"),
        ],
    )


def _report(report: Report) -> Entry:
    return Entry(
        id=report.id,
        at=report.at,
        kind="report",
        account=report.account,
        title=f"{report.order_no} {report.path}",
        path=report.path,
        status=str(report.status),
        failed=report.status is None or report.status >= 400,
        ms=report.ms,
        parts=[
            ("reported", pretty(json.dumps(report.body, ensure_ascii=False))),
            ("answered", pretty(json.dumps(report.answer, ensure_ascii=False))),
            ("openid", report.openid),
        ],
    )


_JOURNALS: dict[str, Callable[[Any], Entry]] = {
    "acts": _act,
    "pushes": _push,
    "calls": _call,
    "notices": _notice,
    "reports": _report,
}
KINDS: Iterable[str] = ("act", "push", "call", "notice", "report")
