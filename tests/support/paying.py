"""A merchant that pays: our database, a worker's inside, the web's notify address, and WeChat Pay at the simulator."""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from app import app_of
from config import load_settings
from context import Context, open_context
from domain import (
    accounts,
    commissions,
    members,
    merchants,
    orders,
    outbox,
    proof,
    rules,
    scenes,
    withdrawals,
)
from domain.accounts import OpenAccount
from domain.db import Database
from domain.models import Audit, Balance, Notice, Outbox, Withdrawal
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.rules import Terms
from jobs import payouts
from jobs.drain import drain
from jobs.process import Process
from jobs.queues import connect
from tests.support.ports import free_port
from tests.support.servers import MASTER_KEY, Simulator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

APP_ID: Final = "wxpayouts00000001"
MCH_ID: Final = "1900000109"
SERIAL: Final = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
API_V3_KEY: Final = "0123456789abcdef0123456789abcdef"
BILLS: Final = "/v3/fund-app/mch-transfer/transfer-bills"


@cache
def key_pair() -> tuple[str, str]:
    """The merchant's private and public key, the same for all tests of a process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


@dataclass
class Door:
    """Our web server's door. While it is shut, notices are kept and refused, so that a test can deliver them.
    `inside`: how many requests are being answered."""

    app: WSGIApplication
    is_shut: bool = False
    kept: list[dict[str, Any]] = field(default_factory=list)
    inside: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._counting:
            self.inside += 1
        try:
            return self._let_in(environ, start_response)
        finally:
            with self._counting:
                self.inside -= 1

    def _let_in(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self.is_shut:
            return self.app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        names = [name for name in environ if name.startswith("HTTP_WECHATPAY_")]
        headers = {name[5:].replace("_", "-").title(): environ[name] for name in names}
        self.kept.append({"headers": headers, "body": body.decode()})
        start_response("503 Service Unavailable", [])
        return []


@dataclass
class Paying:
    """One account with its merchant, seen from both sides. A person's name is their openid."""

    context: Context
    process: Process
    simulator: Simulator
    environ: dict[str, str]
    account: OpenAccount
    door: Door
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def database(self) -> Database:
        return self.context.database

    @property
    def now(self) -> datetime:
        return self.context.clock.now()

    # --- people and their money ---

    def person(self, name: str, fen: int = 0) -> int:
        """A follower, known on both sides, with this much available; their member id."""
        self.simulator.post("/_sim/users", name=name, openids={APP_ID: name})
        member_id = self._follow(name, None)
        if fen:
            self._earn(name, fen)
        return member_id

    def _follow(self, name: str, by: int | None) -> int:
        now = self.now

        def work(session: Session) -> int:
            code = None if by is None else scenes.of_member(session, self.account.id, by, now).code
            touch = members.follow(
                session, self.account, name, scene_code=code, created=int(now.timestamp()), push_key=f"f-{name}",
                now=now,
            )  # fmt: skip
            return touch.member_id

        return self.database.transact(work)

    def _earn(self, name: str, fen: int) -> None:
        """An order of a friend at 10 %, settled at once."""
        member_id, number = self.member_id(name), next(self._numbers)
        self._follow(f"buyer{number}-{name}", member_id)
        line = PaidLine(1, "茶", 1, fen * 10)
        order = PaidOrder(f"o{number}", Buyer(openid=f"buyer{number}-{name}"), (line,), self.now)

        def work(session: Session) -> None:
            orders.record_paid(session, self.account, [order], self.now)
            commissions.settle_due(session, self.account, self.now + timedelta(seconds=1), 10)

        self.database.transact(work)
        assert self.balance(name)[0] >= fen

    def member_id(self, name: str) -> int:
        return self.database.read(lambda s: members.get(s, self.account.id, name).id)

    def balance(self, name: str = "cai") -> tuple[int, int]:
        """Available and withdrawing fen."""
        member_id = self.member_id(name)
        row = self.database.read(lambda s: s.get_one(Balance, member_id))
        return row.available_fen, row.withdrawing_fen

    # --- withdrawals ---

    def ask(self, fen: int = 5_000, name: str = "cai", token: str | None = None) -> int:
        """A withdrawal, approved at once; its id."""
        token = token or f"token-{next(self._numbers)}"

        def work(session: Session) -> int:
            member = members.get(session, self.account.id, name)
            row = withdrawals.request(
                session, self.account, member, fen, client_token=token, now=self.now
            )
            return row.id

        return self.database.transact(work)

    def get(self, number: int) -> Withdrawal:
        return self.database.read(lambda s: withdrawals.get(s, self.account.id, number))

    def status(self, number: int) -> str:
        return self.get(number).status

    def drain(self) -> int:
        """Do what the worker does when the clock rings for payouts."""
        return drain(self.process, outbox.PAYOUT, payouts.prepare)

    def sweep(self) -> int:
        """Do what the worker does when the clock rings for the sweep."""
        return payouts.ask(self.process)

    def sweep_later(self, seconds: float = 100) -> int:
        self.later(seconds)
        return self.sweep()

    def later(self, seconds: float) -> None:
        """Time goes on, here and at the simulator."""
        self.simulator.post("/_sim/clock", advance_seconds=int(seconds))

    def pay(self, fen: int = 5_000, name: str = "cai") -> int:
        """A withdrawal whose transfer waits for the person; its id."""
        number = self.ask(fen, name)
        self.drain()
        return number

    # --- WeChat Pay ---

    def faults(self, **faults: Any) -> None:
        self.simulator.post("/_sim/faults", **{"signtest_rate": 0, **faults})

    def bills(self) -> list[dict[str, Any]]:
        """Every transfer at the simulator, oldest first."""
        found: list[dict[str, Any]] = self.simulator.get("/_sim/transfers")["transfers"]
        return found[::-1]

    def bill(self, number: int) -> dict[str, Any]:
        """The transfer of a withdrawal."""
        found: dict[str, Any] = self.simulator.get(f"/_sim/transfers/{self.get(number).payout_no}")
        return found

    def act(self, number: int, what: str, **body: Any) -> Any:
        """confirm, refuse, proceed or notify the transfer of a withdrawal."""
        return self.simulator.post(f"/_sim/transfers/{self.get(number).payout_no}/{what}", **body)

    def merchant_fen(self) -> int:
        """What the merchant has left at WeChat Pay."""
        return int(self.simulator.get("/_sim/merchants")["merchants"][0]["balance_fen"])

    def calls(self, method: str = "POST", path: str = BILLS) -> int:
        """How many calls of this kind the simulator was sent."""
        calls = self.simulator.get("/_sim/calls", limit=10_000)["calls"]
        return sum(each["method"] == method and each["path"] == path for each in calls)

    # --- what came of it ---

    def told(self, occasion: str) -> int:
        query = select(Notice.id).where(Notice.occasion == occasion)
        return len(self.database.read(lambda s: list(s.scalars(query))))

    def audited(self, action: str) -> list[str]:
        """The `after` of every audit entry of this action."""
        query = select(Audit.after).where(Audit.action == action).order_by(Audit.id)
        return [text or "" for text in self.database.read(lambda s: list(s.scalars(query)))]

    def payout_rows(self) -> list[Outbox]:
        query = select(Outbox).where(Outbox.topic == outbox.PAYOUT).order_by(Outbox.id)
        return self.database.read(lambda s: list(s.scalars(query)))

    def check(self) -> None:
        """The books are proved, and WeChat Pay has at most one bill for each withdrawal, with our amount."""
        with self.database.snapshot() as session:
            assert proof.ledger_check(session).differences == []
            rows = list(session.scalars(select(Withdrawal)))
        ours = {row.payout_no: row for row in rows}
        bills = self.bills()
        assert len({bill["out_bill_no"] for bill in bills}) == len(bills)
        for bill in bills:
            row = ours[bill["out_bill_no"]]
            assert bill["amount_fen"] == withdrawals.net_fen(row)
            if bill["state"] == "SUCCESS":
                assert row.status in {"paying", "paid"}, (row.id, row.status)
            if row.status == "paid":
                assert bill["state"] == "SUCCESS"
            if row.status == "failed":
                assert bill["state"] in {"FAIL", "CANCELLED"}
                assert row.provider_state != "NONE", "given up beside a bill"
        paid = [row for row in rows if row.status == "paid" and row.method == "wechat"]
        assert {row.payout_no for row in paid} <= {bill["out_bill_no"] for bill in bills}


@contextmanager
def open_paying(
    folder: Path, database: Database, redis_url: str, simulator: Simulator, **more: str
) -> Generator[Paying]:
    """An account with a funded merchant; the simulator is empty, and notices reach our own notify address. `more` are
    other settings as the environment names them (`BANYAN_WECHAT__JSSDK_URL="…"`)."""
    port = free_port()
    environ = {
        "BANYAN_DATABASE__URL": database.url,
        "BANYAN_REDIS__URL": redis_url,
        "BANYAN_SERVER__PUBLIC_URL": f"http://127.0.0.1:{port}",
        "BANYAN_SECRETS__KEY": base64.b64encode(MASTER_KEY).decode(),
        "BANYAN_DATA__DIR": str(folder / "data"),
        "BANYAN_DEMO__ENABLED": "true",
        "BANYAN_DEMO__CLOCK_FILE": str(simulator.clock_file),
        **{
            f"BANYAN_{name.upper().replace('.', '__')}": url
            for name, url in simulator.settings.items()
        },
        **more,
    }
    context = open_context(load_settings(environ))
    process = Process(context, connect(redis_url))
    door = Door(app_of(context))
    server = make_server("127.0.0.1", port, door, threaded=True)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        account = _account(context, simulator)
        paying = Paying(context, process, simulator, environ, account, door)
        paying.faults()
        yield paying
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
        process.senders.shutdown()
        process.queue_redis.close()
        context.redis.close()
        context.close()


def merchant_at(
    simulator: Simulator, balance_fen: int = 10_000_000, mch_id: str = MCH_ID
) -> dict[str, Any]:
    """The merchant on WeChat Pay's side; answers its public key and the id of it."""
    made: dict[str, Any] = simulator.post(
        "/_sim/merchants", mch_id=mch_id, api_v3_key=API_V3_KEY, serial_no=SERIAL, public_key=key_pair()[1],
        balance_fen=balance_fen, app_ids=[APP_ID],
    )  # fmt: skip
    return made


def _account(context: Context, simulator: Simulator) -> OpenAccount:
    simulator.post(
        "/_sim/accounts",
        app_id=APP_ID,
        secret="s" * 32,
        token="token1",
        gh_id="gh_pay",
        name="榕树小店",
    )
    theirs = merchant_at(simulator)
    settings = accounts.Settings.parse(
        {
            "freeze_from": "paid", "audit_above_fen": 2_000_000, "second_above_fen": 2_000_000,
            "withdraw_per_day": 1_000, "withdraw_day_sum_fen": 10_000_000,
        }
    )  # fmt: skip
    # A rule is in force since long before the clock that the tests move.
    since, now = datetime(2020, 1, 1, tzinfo=UTC), context.clock.now()

    def add(session: Session) -> OpenAccount:
        account = accounts.add(
            session, context.keyring, slug="tea", name="榕树小店", app_id=APP_ID, gh_id="gh_pay", app_secret="s" * 32,
            token="token1", aes_key="a" * 43, mode="plain", depth=3, settings=settings, now=now,
        )  # fmt: skip
        rules.add(
            session, account.id, terms=Terms((1000, 0, 0)), max_total_bps=3000, depth=3, freeze_days=0,
            effective_at=since, actor="test", now=now,
        )  # fmt: skip
        merchants.put(
            session, context.keyring, account.id, mch_id=MCH_ID, serial_no=SERIAL, private_key=key_pair()[0],
            api_v3_key=API_V3_KEY, public_key_id=theirs["public_key_id"], public_key=theirs["public_key"],
            actor="test", now=now,
        )  # fmt: skip
        return accounts.unseal(account, context.keyring)

    return context.database.transact(add)
