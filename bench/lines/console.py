"""Every page of the console, of the pages in WeChat, and what the chat reads, in a busy account.

The addresses come from the application: each route with an example of each kind, and of every list its searches,
filters (alone and in pairs), sorts, second page, a page far in, and the file's first rows. Time is the server's:
from the request to the whole answer, database and templates included, without a network.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app import app_of
from bench.busy import fill
from bench.lines.callback import push
from bench.measure import Row, Spread
from bench.seed import MASTER_KEY, SLUG, STAR, Place, make_place, openid_of
from bench.world import World
from clock import Clock
from config import Settings
from context import Context
from domain import sessions as visits
from domain import staff
from domain.db import Database
from domain.models import Base, Staff
from domain.secrets import Keyring
from domain.staff import sessions

MOST_MS: Final = 300.0
MOST_CHAT_MS: Final = 50.0
ROUNDS: Final = 5
SLOWEST: Final = 10
CHAT: Final = (
    "我的团队", "我的收益", "明细", "为什么", "为什么 3", "提现", "提现进度", "排行", "排行 月", "排行 总", "帮助",
    "随便说说",
)  # fmt: skip
_ID_OF: Final = {
    "signal_id": "risk_signal", "order_id": "orders", "staff_id": "staff", "session_id": "staff_session",
    "commission": "commission", "number": "withdrawal",
}  # fmt: skip
"""Tables of parameters that are not called after theirs."""
_WORDS: Final = ("王伟", openid_of(STAR), openid_of(7), "S7", "13800000000", "nobody-is-called-so")
_AGENT: Final = (
    "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50 NetType/WIFI"
)


@dataclass
class Timed:
    """An address with how long it took, in milliseconds, each time, and what came back."""

    path: str
    status: int
    text: str
    took_ms: list[float] = field(default_factory=list)

    @property
    def spread(self) -> Spread:
        return Spread.of(self.took_ms)


def pages(world: World) -> Iterator[Row]:
    """Console, its files, and the pages in WeChat."""
    place = make_place(world.server, world.scale.sizes[-1], world.say, "console")
    fill(world.server, place, datetime.now(UTC).replace(microsecond=0), world.say)
    with opened(place, world.redis_url) as app:
        yield from rows_of(app, place)


def rows_of(app: Flask, place: Place) -> Iterator[Row]:
    """The rows of an account that is there."""
    shown, files = Walk(app, place, _staff_client(app, place)).all("/console")
    yield _row("every page of the console", place, shown, MOST_MS)
    yield _row("first rows of every file", place, files, MOST_MS)
    for who, member_id in (("with the largest team", STAR), ("of a member", place.members // 2)):
        walk = Walk(app, place, _member_client(app, place, member_id), member_id)
        shown, files = walk.all("/m/")
        yield _row(f"every page in WeChat, {who}", place, shown + files, MOST_MS)
        yield _row(f"answers in the chat, {who}", place, _chat(app, place, member_id), MOST_CHAT_MS)


def _chat(app: Flask, place: Place, member_id: int) -> list[Timed]:
    """What a member asks in the chat, by signed messages: each answer from the request to the reply."""
    client, asked = app.test_client(), []
    for words in CHAT:
        timed = Timed(words, 0, "")
        for number in range(ROUNDS + 1):
            path, body = push(place, "plain", member_id, words)
            began = time.perf_counter()
            answer = client.post(path, data=body, content_type="text/xml")
            if number:
                timed.took_ms.append((time.perf_counter() - began) * 1000)
            timed.status, timed.text = answer.status_code, answer.text
        if timed.status != 200 or "CDATA" not in timed.text:
            raise RuntimeError(f"{words} was answered {timed.status} {timed.text}")
        asked.append(timed)
    return asked


@contextmanager
def opened(place: Place, redis_url: str) -> Generator[Flask]:
    """The application over this database; nothing that it might call answers."""
    database = Database(place.url)
    with tempfile.TemporaryDirectory(prefix="banyan-bench-") as folder:
        settings = Settings.model_validate(
            {
                "server": {"public_url": "http://127.0.0.1:8000"},
                "secrets": {"key": base64.b64encode(MASTER_KEY).decode()},
                "redis": {"url": redis_url},
                "wechat": {"api_base": "http://127.0.0.1:9"},
                "data": {"dir": folder},
                "database": {"url": place.url},
            }
        )
        context = Context(
            settings, database, database, Keyring(MASTER_KEY), Clock(file=Path(folder) / "clock")
        )
        try:
            yield app_of(context)
        finally:
            context.redis.close()
            database.dispose()


def _staff_client(app: Flask, place: Place) -> FlaskClient:
    """A browser in which an owner is signed in."""
    now = datetime.now(UTC)

    def sign_in(session: Any) -> str:
        person = Staff(
            login=f"bench-{time.time_ns()}", password_hash="", active=True, opens_accounts=True, totp_step=0,
            language="", created_at=now,
        )  # fmt: skip
        session.add(person)
        session.flush()
        staff.grant(session, person.id, place.account.id, staff.OWNER)
        token, _ = sessions.begin(session, person.id, address="127.0.0.1", agent="bench", now=now)
        return token

    client = app.test_client()
    token = app.extensions["banyan"].database.transact(sign_in)
    with client.session_transaction("/console/") as cookie:
        cookie["_user_id"], cookie["_fresh"] = token, True
    return client


def _member_client(app: Flask, place: Place, member_id: int) -> FlaskClient:
    """A phone in which a member is signed in."""
    client, now = app.test_client(), datetime.now(UTC)
    token = app.extensions["banyan"].database.transact(
        lambda session: visits.begin(
            session, place.account.id, openid_of(member_id), login_nonce=f"bench-{time.time_ns()}", now=now
        )
    )  # fmt: skip
    client.set_cookie(f"banyan_m_{SLUG}", token, path=f"/m/{SLUG}/")
    return client


class Walk:
    """One person's way through all pages of a door."""

    def __init__(
        self, app: Flask, place: Place, client: FlaskClient, member_id: int | None = None
    ) -> None:
        self._app, self._place, self._client, self._member_id = app, place, client, member_id

    def all(self, door: str) -> tuple[list[Timed], list[Timed]]:
        """Pages, and files."""
        shown: list[Timed] = []
        files: list[Timed] = []
        for path in self._addresses(door):
            first = self._ask(path)
            shown.append(first)
            shown += [self._ask(one) for one in _other_views(path, first.text)]
            shown += [self._ask(one) for one in _tabs(path, first.text)]
            files += [self._ask(one) for one in _files(first.text)]
        shown += [self._ask(one) for one in _next_pages(shown)]
        return shown, files

    def _addresses(self, door: str) -> Iterator[str]:
        """Each GET route with examples; one whose kind of thing is not there is left out."""
        with self._place.connect() as connection, connection.cursor() as cursor:
            for rule in self._app.url_map.iter_rules():
                if not rule.rule.startswith(door) or "GET" not in (rule.methods or ()):
                    continue
                yield from self._with_examples(cursor, rule)

    def _with_examples(self, cursor: Any, rule: Rule) -> Iterator[str]:
        choices = [[(name, one) for one in self._examples(cursor, name)] for name in rule.arguments]
        for values in itertools.product(*choices):
            built = rule.build(dict(values))
            if built is not None:
                yield built[1]

    def _examples(self, cursor: Any, name: str) -> Sequence[int | str]:
        if name == "slug":
            return [SLUG]
        if name == "member_id":
            return [STAR, self._place.members // 2, self._place.loner]
        table = _ID_OF.get(name, name.removesuffix("_id"))
        if table not in Base.metadata.tables or "id" not in Base.metadata.tables[table].c:
            return []
        mine = self._member_id is not None and f" WHERE member_id = {self._member_id}"
        cursor.execute(f"SELECT MAX(id) FROM `{table}`{mine or ''}")
        newest = cursor.fetchone()[0]
        return [] if newest is None else [newest]

    def _ask(self, path: str) -> Timed:
        """Once for the caches, then for the clock; a file is over with its first rows."""
        timed = Timed(path, 0, "")
        for number in range(ROUNDS + 1):
            began = time.perf_counter()
            answer = self._client.get(path, headers={"User-Agent": _AGENT})
            if answer.mimetype == "text/html":
                timed.text = answer.text
            else:
                list(
                    itertools.islice(answer.response, 2)
                )  # the mark of the encoding, and the first rows
            took = (time.perf_counter() - began) * 1000
            answer.close()
            if number:
                timed.took_ms.append(took)
        timed.status = answer.status_code
        if timed.status >= 500:
            raise RuntimeError(f"{path} answered {timed.status}")
        return timed


# --- what a list can be asked ---------------------------------------------------------------------------------------

_SELECT: Final = re.compile(r'<select[^>]* name="(\w+)">(.*?)</select>', re.DOTALL)
_OPTION: Final = re.compile(r'<option value="([^"]+)"')
_LINK: Final = re.compile(r'href="([^"]+)"')


def _other_views(path: str, text: str) -> Iterator[str]:
    """The list's searches, filters alone and in pairs, sorts, a period; none for a page without them."""
    form = re.search(r'<form class="find".*?</form>', text, re.DOTALL)
    if form is None:
        return
    choices = {
        name: [unescape(value) for value in _OPTION.findall(options)]
        for name, options in _SELECT.findall(form[0])
    }
    for name, values in choices.items():
        yield from (_with(path, {name: value}) for value in values)
    for (one, ones), (other, others) in itertools.combinations(choices.items(), 2):
        for value, second in itertools.product(ones[:3], others[:3]):
            yield _with(path, {one: value, other: second})
    if 'name="q"' in form[0]:
        yield from (_with(path, {"q": word}) for word in _WORDS)
    for name in re.findall(r'name="(\w+)_from"', form[0]):
        today = datetime.now(UTC).date()
        period = {
            f"{name}_from": str(today - timedelta(days=90)),
            f"{name}_to": str(today - timedelta(days=60)),
        }
        yield _with(path, period)
        for other, values in choices.items():
            yield from (_with(path, {**period, other: value}) for value in values[:3])


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def _tabs(path: str, text: str) -> list[str]:
    """Other views that the page itself leads to: a period, a level, a state."""
    links = {unescape(one) for one in _LINK.findall(text)}
    here = {
        one if one.startswith("/") else f"{path}{one}"
        for one in links
        if one.startswith((f"{path}?", "?"))
    }
    return sorted(one for one in here if "after=" not in one and "csv" not in one)


def _files(text: str) -> list[str]:
    return [unescape(one) for one in _LINK.findall(text) if "format=csv" in one or ".csv" in one]


def _next_pages(shown: Sequence[Timed]) -> Iterator[str]:
    """The second page of whatever has one, and one far in."""
    for one in shown:
        for link in re.findall(r'rel="next" href="([^"]+)"', one.text):
            following = unescape(link)
            yield following
            mark = re.search(r"after=([\w-]+)", following)
            far = None if mark is None else _far(mark[1])
            if mark is not None and far is not None:
                yield following.replace(f"after={mark[1]}", f"after={far}")


def _far(mark: str) -> str | None:
    """A place much further in the same order; None for a mark that is no place in time or among ids."""
    try:
        name, value, row_id = json.loads(
            base64.urlsafe_b64decode(unquote(mark) + "=" * (-len(mark) % 4))
        )
    except ValueError:
        return None
    if isinstance(value, str):
        at = datetime.fromisoformat(value)
        old = at < datetime.now(UTC) - timedelta(days=365)
        value = (at + timedelta(days=300 if old else -100)).isoformat()
    elif isinstance(value, int) and value == row_id:
        value = row_id = max(1, row_id // 10)
    else:
        return None
    plain = json.dumps([name, value, row_id])
    return quote(base64.urlsafe_b64encode(plain.encode()).decode().rstrip("="))


# --- rows -----------------------------------------------------------------------------------------------------------


def _row(what: str, place: Place, asked: Sequence[Timed], most_ms: float) -> Row:
    slowest = sorted(asked, key=lambda one: one.spread.median, reverse=True)
    return Row(
        line="console",
        what=f"{what} ({len(asked)} addresses)",
        members=place.members,
        unit="ms",
        ours=Spread.of([one.spread.median for one in asked]),
        target=f"each < {most_ms:.0f} ms",
        met=slowest[0].spread.median < most_ms,
        notes={
            "slowest_p50_max_ms": {
                one.path: (round(one.spread.median, 1), round(one.spread.high, 1))
                for one in slowest[:SLOWEST]
            },
            "over": sum(one.spread.median >= most_ms for one in asked),
        },
    )
