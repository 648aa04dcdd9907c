"""The pages in WeChat, with people in them: a real server and database, the simulator as WeChat and WeChat Pay."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from domain import accounts, commissions, members, orders, reports, rules, scenes
from domain.accounts import OpenAccount
from domain.db import Database
from domain.models import Commission, Member
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.rules import Terms
from tests.support.databases import Schemas
from tests.support.paying import Paying, open_paying
from tests.support.servers import Simulator, running_simulator
from tests.support.waiting import until
from tests.web.h5.phone import AGENT, Phone

SHIM = Path(__file__).with_name("bridge_shim.js")
NAMES = (
    "林小夏",
    "陈阿明",
    "周子墨",
    "苏晚晴",
    "何以安",
    "许知远",
    "江南",
    "沈星河",
    "顾北",
    "叶知秋",
    "宋清如",
    "白鹭",
)


@dataclass
class Village:
    """An account with a referrer `mei`, her friends, their orders, and money on the way."""

    paying: Paying
    app: Flask
    names: set[str]

    @property
    def database(self) -> Database:
        return self.paying.database

    @property
    def account(self) -> OpenAccount:
        return self.paying.account

    @property
    def simulator(self) -> Simulator:
        return self.paying.simulator

    @property
    def now(self) -> datetime:
        return self.paying.now

    def set(self, **settings: Any) -> None:
        """Other settings of the account from now on."""

        def change(session: Session) -> OpenAccount:
            row = accounts.get(session, self.account.slug)
            accounts.change_settings(session, row, settings)
            session.refresh(row)
            return accounts.unseal(row, self.paying.context.keyring)

        self.paying.account = self.database.transact(change)

    def phone(self, name: str, *, slug: str = "tea", agent: str = AGENT) -> Phone:
        """The phone of somebody."""
        self.stranger(name)
        return Phone(self.app, self.simulator.url, name, slug, agent)

    def stranger(self, name: str, *, subscribed: bool = False) -> None:
        """Somebody in WeChat; `subscribed`: who follows there already, and is no member of ours."""
        if name not in self.names:
            openids = {self.account.app_id: name}
            self.simulator.post("/_sim/users", name=name, openids=openids)
            if subscribed:
                self.simulator.post("/_sim/follow", user=name, wait=False)
            self.names.add(name)

    def person(self, name: str, fen: int = 0) -> int:
        """A follower with this much available; their member id."""
        self.stranger(name)
        member_id = self.paying._follow(name, None)
        if fen:
            number = next(self.paying._numbers)
            self.friend(f"buyer{number}-{name}", name)
            self.buys(f"buyer{number}-{name}", fen * 10, f"o{number}", settle=True)
        return member_id

    def friend(self, name: str, of: str, nickname: str = "", *, gone: bool = False) -> int:
        """Somebody who follows by the code of `of`."""
        number = self.paying._follow(name, self.paying.member_id(of))

        def work(session: Session) -> None:
            if gone:
                at = int(self.now.timestamp())
                members.leave(
                    session, self.account, name, created=at, push_key=f"l-{name}", now=self.now
                )
            if nickname:
                session.get_one(Member, number).nickname = nickname

        self.database.transact(work)
        return number

    def buys(self, name: str, fen: int, number: str, *, settle: bool = False) -> None:
        line = PaidLine(1, "明前龙井 250 克", 1, fen)
        order = PaidOrder(number, Buyer(openid=name), (line,), self.now)

        def work(session: Session) -> None:
            orders.record_paid(session, self.account, [order], self.now)
            if settle:
                later = self.now + timedelta(days=30)
                commissions.settle_due(session, self.account, later, 100)

        self.database.transact(work)

    def rule(self, *rates: int, freeze_days: int = 7) -> None:
        self.database.transact(
            lambda session: rules.add(
                session, self.account.id, terms=Terms(rates), max_total_bps=3000, depth=3, freeze_days=freeze_days,
                effective_at=datetime(2021, 1, 1, tzinfo=UTC), actor="test", now=self.now,
            )
        )  # fmt: skip

    def code_of(self, name: str) -> str:
        return self.database.transact(
            lambda s: (
                scenes.of_member(s, self.account.id, self.paying.member_id(name), self.now).code
            )
        )

    def member(self, name: str) -> Member | None:
        return self.database.read(lambda s: members.find(s, self.account.id, name))

    def referrer_of(self, name: str) -> str | None:
        member = self.member(name)
        if member is None or member.referrer_id is None:
            return None
        referrer_id = member.referrer_id
        return self.database.read(lambda s: s.get_one(Member, referrer_id).openid)

    def commission_of(self, name: str) -> int:
        """The newest commission of somebody."""
        member_id = self.paying.member_id(name)
        return self.database.read(
            lambda s: max(
                one.id for one in s.query(Commission).filter(Commission.member_id == member_id)
            )
        )

    def full_of_life(self) -> None:
        """mei with a team on three levels, commissions in every state, a ranking."""
        self.rule(1000, 500, 200)
        self.person("mei")
        for number, nickname in enumerate(NAMES):
            above = "mei" if number < 7 else "f1" if number < 10 else "f7"
            self.friend(f"f{number}", above, nickname, gone=number in {3, 9})
        for number in range(9):
            self.buys(
                f"f{number}", 19_900 + 3_700 * number, f"20260{number}1188", settle=number % 2 == 0
            )
        self.buys("f10", 66_600, "202609017001")
        reports.refresh(self.database, self.account.id, self.now)


@pytest.fixture(scope="session")
def shim_url() -> Generator[str]:
    """Where the JS-SDK of these tests comes from: another host than ours, as in real life."""
    script = SHIM.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(script)))
            self.end_headers()
            self.wfile.write(script)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jweixin.js"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Standing:
    """The running system that all tests of a process share, and its database as it was before anybody came."""

    paying: Paying
    app: Flask
    file: Path
    fresh: Path
    account: OpenAccount
    names: set[str]

    def renew(self) -> Village:
        """Everything as it was: another file under the same address. WeChat's side keeps the people it knows, and
        from now on loses its notices, which may be about transfers of the test before."""
        door = self.paying.door
        door.is_shut = True
        self.paying.simulator.post("/_sim/faults", off=True)
        self.paying.faults(notice_lost_rate=1)
        self.paying.simulator.post("/_sim/clock", offset_seconds=0)
        until(lambda: door.inside == 0, what="the last request of the test before")
        self.paying.context.close()
        self.paying.database.memory.clear()
        for left in self.file.parent.glob(f"{self.file.name}-*"):
            left.unlink()
        shutil.copyfile(self.fresh, self.file)
        self.paying.account = self.account
        door.is_shut = False
        return Village(self.paying, self.app, self.names)


@pytest.fixture(scope="session")
def standing(
    schemas: Schemas,
    valkey_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    shim_url: str,
) -> Generator[Standing]:
    """A server, a worker's inside, and a WeChat of its own, which no other test resets. On SQLite: what pages do is
    tested on it, what the database does on both engines (tests/domain)."""
    folder = tmp_path_factory.mktemp("village")
    file = schemas.sqlite_file()
    more = {"BANYAN_WECHAT__JSSDK_URL": shim_url}
    database = Database(f"sqlite:///{file}")
    with (
        running_simulator(folder) as simulator,
        open_paying(folder, database, valkey_url, simulator, **more) as paying,
    ):
        paying.context.close()
        fresh = folder / "fresh.db"
        shutil.copyfile(file, fresh)
        yield Standing(paying, paying.door.app, file, fresh, paying.account, set())  # type: ignore[arg-type]
    database.dispose()


@pytest.fixture
def village(standing: Standing, redis_url: str) -> Village:
    """Nobody has come yet."""
    return standing.renew()
