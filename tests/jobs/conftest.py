"""An account that the simulator knows, followers of it, and real worker and clock processes."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config import Settings, load_settings
from context import Context, open_context
from domain import accounts, members, notices, outbox
from domain.accounts import OpenAccount
from domain.db import Database
from domain.models import Outbox
from jobs import notify
from jobs.arrange import arrange
from jobs.drain import drain
from jobs.process import Process
from jobs.queues import connect
from tests.support.servers import MASTER_KEY, ROOT, Simulator, clean_environ, set_clock
from tests.support.waiting import until

APP_ID = "wxjobs0000000001"
TEMPLATE = "tmpl-accrued"


@dataclass
class Shop:
    """One account of ours, seen from both sides: our database and the simulator."""

    context: Context
    simulator: Simulator
    account: OpenAccount
    environ: dict[str, str]
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _offset: float = 0.0

    @property
    def database(self) -> Database:
        return self.context.database

    def follower(self, name: str, **state: Any) -> members.Recipient:
        """Somebody who follows, there and here."""
        user = self.simulator.post("/_sim/users", name=name)
        openid = user["openids"][APP_ID]
        self.simulator.post("/_sim/follow", user=openid, wait=False)
        now = self.context.clock.now()

        def join(session: Any) -> members.Recipient:
            touch = members.follow(
                session, self.account, openid, scene_code=None, created=int(now.timestamp()), push_key=f"f-{openid}",
                now=now,
            )  # fmt: skip
            members.set_nickname(session, self.account.id, openid, name)
            return members.recipients(session, [touch.member_id])[touch.member_id]

        return self.database.transact(join)

    def tell(self, member_id: int, *keys: str, **params: Any) -> None:
        """Write one notice of a commission for each key, as an order would."""
        now = self.context.clock.now()
        values = {
            "friend": "小红", "level": 1, "amount_fen": 1234, "paid_fen": 12340, "at": now.isoformat()
        }  # fmt: skip
        news = [
            notices.News(
                self.account.id,
                member_id,
                notices.COMMISSION_ACCRUED,
                key,
                {**values, "order_no": key, **params},
            )
            for key in keys
        ]
        self.database.transact(lambda session: notices.tell(session, news, now))

    def rows(self, *states: str) -> list[Outbox]:
        """Outbox rows in these states, or all."""
        wanted = states or ("pending", "claimed", "done", "dead", "unsure")
        return self.database.read(lambda session: outbox.list_rows(session, states=wanted, limit=10_000))  # fmt: skip

    def row(self, key: str) -> Outbox:
        """The outbox row of this key."""
        (row,) = [each for each in self.rows() if each.dedupe_key in (key, f"notice-{key}")]
        return row

    def cards(self, openid: str) -> list[dict[str, Any]]:
        """What the person's phone shows of us."""
        chat = self.simulator.get(f"/_sim/chats/{openid}", account=APP_ID)
        return [each for each in chat["messages"] if each["type"] == "template"]

    def orders_on_cards(self, openid: str) -> list[str]:
        """The order numbers that the person has been told of, in the order of their arrival."""
        return [
            one["value"] for card in self.cards(openid) for one in card["fields"] if one["label"] == "订单编号"
        ]  # fmt: skip

    def fault(self, **faults: Any) -> None:
        """What WeChat does wrong from now on; the other faults stay as they are."""
        self.simulator.post("/_sim/faults", **faults)

    def move_clock(self, seconds: float) -> None:
        """Everybody's clock, the simulator's too, is `seconds` later than before."""
        self._offset += seconds
        set_clock(self.simulator.clock_file, self._offset)

    def calls(self, path: str) -> list[dict[str, Any]]:
        """Calls of this API that reached the simulator."""
        calls = self.simulator.get("/_sim/calls", limit=10_000)["calls"]
        return [each for each in calls if each["path"] == path]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A process of ours, `-m jobs.worker fast` for example; ended with the test."""
        log = (self.folder / f"process-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=self.environ, stdout=log, stderr=log
        )
        log.close()
        self.processes.append(process)
        return process

    def start_worker(self, queue: str = "fast") -> subprocess.Popen[bytes]:
        return self.start("-m", "jobs.worker", queue)

    def start_clock(self) -> subprocess.Popen[bytes]:
        return self.start("-m", "jobs.clock")

    def output(self) -> str:
        return "\n".join(each.read_text() for each in sorted(self.folder.glob("process-*.log")))

    def wait_for(self, ask: Callable[[], Any], seconds: float = 90.0) -> Any:
        """The first true answer; on failure with what the processes said."""
        try:
            return until(ask, seconds)
        except AssertionError as error:
            states = [(each.dedupe_key, each.state, each.last_error) for each in self.rows()][:20]
            raise AssertionError(f"{error}\n{states}\n{self.output()}") from None

    def stop_all(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            process.wait(60)


@pytest.fixture
def shop(
    tmp_path: Path, live_database: Database, redis_url: str, simulator: Simulator
) -> Generator[Shop]:
    """An account with a template for every occasion, and no process of ours yet."""
    environ = {
        "BANYAN_DATABASE__URL": live_database.url,
        "BANYAN_REDIS__URL": redis_url,
        "BANYAN_SERVER__PUBLIC_URL": "http://127.0.0.1:8170",
        "BANYAN_SECRETS__KEY": base64.b64encode(MASTER_KEY).decode(),
        "BANYAN_DATA__DIR": str(tmp_path / "data"),
        "BANYAN_DEMO__ENABLED": "true",
        "BANYAN_WEBHOOKS__PRIVATE_ADDRESSES": "true",
        "BANYAN_DEMO__CLOCK_FILE": str(simulator.clock_file),
        **{
            f"BANYAN_{name.upper().replace('.', '__')}": url
            for name, url in simulator.settings.items()
        },
    }
    with ExitStack() as stack:
        context = _context(environ)
        stack.callback(context.close)
        account = _account(context, simulator)
        made = Shop(context, simulator, account, {**clean_environ(), **environ}, tmp_path)
        stack.callback(made.stop_all)
        yield made


@pytest.fixture
def process(shop: Shop) -> Generator[Process]:
    """A worker's inside without its process: for tests that call a drain themselves."""
    connection = connect(shop.context.settings.redis_url)
    made = Process(shop.context, connection)
    yield made
    made.senders.shutdown()
    connection.close()


def _context(environ: dict[str, str]) -> Context:
    settings: Settings = load_settings(environ)
    return open_context(settings)


def send_due(process: Process) -> int:
    """Send the notices that are due now, here; how many."""
    return drain(process, outbox.NOTICE, notify.prepare, arrange=arrange)


def _account(context: Context, simulator: Simulator) -> OpenAccount:
    simulator.post(
        "/_sim/accounts", app_id=APP_ID, secret="s" * 32, token="token1", aes_key="a" * 43, gh_id="gh_jobs",
        name="榕树小店", templates=[
            {"template_id": TEMPLATE, "title": "佣金到账提醒",
             "content": "好友昵称:{{thing1.DATA}}\n订单编号:{{character_string2.DATA}}\n佣金金额:{{amount3.DATA}}\n"
                        "佣金状态:{{phrase4.DATA}}\n到账时间:{{time5.DATA}}"},
        ],
    )  # fmt: skip

    def add(session: Any) -> OpenAccount:
        account = accounts.add(
            session, context.keyring, slug="jobs", name="榕树小店", app_id=APP_ID, gh_id="gh_jobs", app_secret="s" * 32,
            token="token1", aes_key="a" * 43, mode="plain", depth=3,
            settings=accounts.Settings(merge_seconds=0),  # every key has a card of its own; test_manners.py merges
            now=datetime.now(UTC),
        )  # fmt: skip
        for occasion in notices.OCCASIONS:
            notices.set_template(session, account.id, occasion, TEMPLATE)
        return accounts.unseal(account, context.keyring)

    return context.database.transact(add)
