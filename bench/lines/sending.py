"""Template messages of one worker, the platform answering in 50 ms, against a bare loop of the same HTTP client."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import redis
import requests
from requests.adapters import HTTPAdapter

from bench.measure import Row, Run, Spread, Step, against, clients, cpu_of, rates
from bench.seed import MASTER_KEY, Place
from bench.world import World
from config import load_settings
from context import open_context
from domain import notices, outbox
from jobs import notify, process
from jobs.arrange import arrange
from jobs.drain import drain
from jobs.process import SENDERS, Process
from jobs.queues import connect
from tests.support.waiting import until

LATENCY_MS: Final = 50
TEMPLATE: Final = "bench-template"
SEND: Final = "/cgi-bin/message/template/send"
WORKERS: Final = 2
BOTH_A_SECOND: Final = 1000
_PLATFORM: Final = Path(__file__).parents[1] / "platform.py"


class Sender:
    """A worker's inside, and beside it the least that sending as many messages could cost."""

    def __init__(self, _number: int, *, environ: dict[str, str], openids: list[str]) -> None:
        self.retries = 0
        self._context = open_context(load_settings(environ))
        self._queue = connect(self._context.settings.redis_url)
        self._process = Process(self._context, self._queue)
        process.begin(self._process)
        self._url = f"{environ['BANYAN_WECHAT__API_BASE']}{SEND}"
        self._http = requests.Session()
        self._http.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=SENDERS))
        self._pool = ThreadPoolExecutor(SENDERS)
        self._openids = openids
        self.sides: dict[str, Step] = {"worker": self._work, "bare": self._bare}

    def _work(self) -> int:
        """Drain, again while something is due: a worker that another one outran is rung for anew by the clock."""
        sent = 0
        while outbox.NOTICE in self._context.database.read(
            lambda session: outbox.due_topics(session, self._context.clock.now())
        ):
            sent += drain(self._process, outbox.NOTICE, notify.prepare, arrange=arrange)
        return sent

    def _bare(self) -> int:
        return sum(self._pool.map(self._post, self._openids))

    def _post(self, openid: str) -> int:
        data = {name: {"value": value} for name, value in _WORDS.items()}
        body = {"touser": openid, "template_id": TEMPLATE, "data": data, "client_msg_id": openid}
        content = json.dumps(body, ensure_ascii=False).encode()
        answer = self._http.post(
            self._url, params={"access_token": "t"}, data=content, timeout=(3, 10)
        )
        return 1 if answer.json()["errcode"] == 0 else 0

    def close(self) -> None:
        self._process.senders.shutdown()
        self._pool.shutdown()
        self._queue.close()
        self._context.close()


_WORDS: Final = {
    "thing1": "小红",
    "character_string2": "S1",
    "amount3": "¥12.34",
    "phrase4": "冻结中",
}


def template_messages(world: World) -> Iterator[Row]:
    """One worker against the bare loop, message for message; then two workers at once."""
    place, scale = world.place(world.scale.sizes[0]), world.scale
    each = max(SENDERS, int(scale.seconds * 1000))
    people = _followers(place, each * WORKERS)
    openids = [openid for _, openid in people[:each]]
    with (
        tempfile.TemporaryDirectory(prefix="banyan-bench-") as folder,
        _platform() as url,
    ):
        environ = _environ(place, world.redis_url, url, Path(folder))
        _templates(environ)
        runs: dict[str, list[Run]] = {"worker": [], "bare": []}
        with clients(1, Sender, environ=environ, openids=openids) as senders:
            for number in range(0 if scale.warm_up else 1, scale.rounds + 1):
                for side, done in runs.items():
                    if side == "worker":
                        _notices(environ, place, people[: each if number else SENDERS])
                    run = senders.run(side, 600, steps=1)
                    if number:
                        done.append(run)
        both = []
        with clients(WORKERS, Sender, environ=environ, openids=openids) as senders:
            for _ in range(max(1, scale.rounds - 1)):
                _notices(environ, place, people)
                both.append(senders.run("worker", 600, steps=1))
    ratio = against(rates(runs["worker"]), rates(runs["bare"]))
    two = [run.units / run.seconds for run in both]
    yield Row(
        line="sending",
        what=f"{each:,} template messages, {LATENCY_MS} ms, 1 worker",
        members=place.members,
        unit="messages/s",
        ours=Spread.of(rates(runs["worker"])),
        peer_name=f"a bare loop of requests with {SENDERS} connections",
        peer=Spread.of(rates(runs["bare"])),
        ratio=ratio,
        target=f">= 0.8, and >= {BOTH_A_SECOND:,}/s with {WORKERS} workers",
        met=ratio.median >= 0.8 and Spread.of(two).median >= BOTH_A_SECOND,
        notes={
            f"with_{WORKERS}_workers": Spread.of(two).as_value(),
            "client_cpu_us": cpu_of(runs["worker"]),
            "peer_client_cpu_us": cpu_of(runs["bare"]),
        },
    )


def _followers(place: Place, count: int) -> list[tuple[int, str]]:
    """Ids and openids of so many who follow, over again when there are fewer: to others nothing is sent."""
    with place.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT id, openid FROM member WHERE following = 1 LIMIT {count}")
        found = list(cursor.fetchall())
    return [found[number % len(found)] for number in range(count)]


def _environ(place: Place, redis_url: str, url: str, folder: Path) -> dict[str, str]:
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
    hosts = dict.fromkeys(("API_BASE", "MP_BASE", "OPEN_BASE"), url)
    return {
        "BANYAN_DATABASE__URL": place.url,
        "BANYAN_REDIS__URL": redis_url,
        "BANYAN_SERVER__PUBLIC_URL": "http://127.0.0.1:8190",
        "BANYAN_SECRETS__KEY": base64.b64encode(MASTER_KEY).decode(),
        "BANYAN_DATA__DIR": str(folder),
        **{f"BANYAN_WECHAT__{name}": address for name, address in hosts.items()},
    }


def _templates(environ: dict[str, str]) -> None:
    """A template for the occasion, its keywords as the bare loop fills them; and what waits from other lines goes."""
    context = open_context(load_settings(environ))
    fields = {
        "thing1": "friend",
        "character_string2": "order_no",
        "amount3": "amount",
        "phrase4": "status",
    }

    def write(session: Any) -> None:
        session.connection().exec_driver_sql("DELETE FROM outbox")
        notices.set_template(session, 1, notices.COMMISSION_SETTLED, TEMPLATE, fields)

    context.database.transact(write)
    context.close()


def _notices(environ: dict[str, str], place: Place, people: list[tuple[int, str]]) -> None:
    """So many notices that are due now, of an occasion that bursts do not merge (manners.py)."""
    context = open_context(load_settings(environ))
    now = datetime.now(UTC)
    stamp = now.timestamp()
    params = {
        "friend": "小红", "level": 1, "amount_fen": 1234, "paid_fen": 12340, "order_no": "S1", "at": now.isoformat(),
    }  # fmt: skip
    news = [
        notices.News(
            place.account.id, member_id, notices.COMMISSION_SETTLED, f"b{stamp}-{number}", params
        )
        for number, (member_id, _) in enumerate(people)
    ]  # fmt: skip
    context.database.transact(lambda session: notices.tell(session, news, now))
    context.close()


@contextmanager
def _platform() -> Generator[str]:
    """The platform that takes its time, on a free port; gone at the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(_PLATFORM), str(port), str(LATENCY_MS)]
    process_ = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url), 20)
        yield url
    finally:
        process_.terminate()
        process_.wait()


def _answers(url: str) -> bool:
    try:
        return requests.post(f"{url}/cgi-bin/stable_token", data=b"{}", timeout=2).ok
    except requests.RequestException:
        return False
