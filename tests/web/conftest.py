"""A merchant with an account, a rule, a shop's key, and a line of friends, each brought by the one before."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskCliRunner
from sqlalchemy.orm import Session

from app import app_of
from clock import Clock
from config import Settings
from context import Context
from domain import accounts, api_keys, members, orders, rules, scenes
from domain.accounts import OpenAccount
from domain.db import Database
from domain.rules import Terms
from domain.secrets import Keyring
from tests.support.servers import MASTER_KEY, set_clock
from tests.web.shop import Shop

NO_WECHAT = "http://127.0.0.1:9"
"""Nothing answers there: a call that no test prepared fails at once, and never leaves this machine."""
RULE_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Merchant:
    """The server's side: what the tests prepare and look up without the API."""

    def __init__(self, context: Context, clock_file: Path) -> None:
        self.context = context
        self.database = context.database
        self._clock_file = clock_file
        self._pushes = 0

    def open_account(
        self, slug: str = "tea", settings: dict[str, Any] | None = None
    ) -> OpenAccount:
        now = self.context.clock.now()

        def add(session: Session) -> OpenAccount:
            row = accounts.add(
                session, self.context.keyring, slug=slug, name=slug, app_id=f"wx-{slug}", gh_id=f"gh_{slug}",
                app_secret="secret", token="token1", aes_key="a" * 43, mode="safe", depth=3,
                settings=accounts.Settings.parse(settings or {}), now=now,
            )  # fmt: skip
            return accounts.unseal(row, self.context.keyring)

        return self.database.transact(add)

    def publish(
        self, account: OpenAccount, rates: tuple[int, ...] = (1000, 500, 200), **others: Any
    ) -> None:
        self.database.transact(
            lambda session: rules.add(
                session, account.id, terms=Terms(rates), max_total_bps=3000, depth=3, effective_at=RULE_SINCE,
                actor="test", now=self.context.clock.now(), **others,
            )
        )  # fmt: skip

    def make_key(self, account: OpenAccount, **others: Any) -> tuple[str, str]:
        return self.database.transact(
            lambda session: api_keys.add(
                session, self.context.keyring, account.id, now=self.context.clock.now(), **others
            )
        )

    def follow(
        self, account: OpenAccount, openid: str, by: str | None = None, unionid: str | None = None
    ) -> int:
        """Somebody follows, by the code of `by`; as the callback does it, waiting orders included. Their id."""
        self._pushes += 1
        now = self.context.clock.now()

        def follow(session: Session) -> int:
            code = None
            if by is not None:
                referrer = members.get(session, account.id, by)
                code = scenes.of_member(session, account.id, referrer.id, now).code
            touch = members.follow(
                session, account, openid, scene_code=code, created=int(now.timestamp()),
                push_key=f"push-{self._pushes}", now=now,
            )  # fmt: skip
            if unionid is not None:
                members.set_unionid(session, touch.member_id, unionid)
            session.flush()
            member = members.get(session, account.id, openid)
            session.refresh(member)
            orders.attach_waiting(session, account, member, now)
            return touch.member_id

        return self.database.transact(follow)

    def follow_in_line(self, account: OpenAccount) -> None:
        """祖 ← 父 ← 子 ← the buyer."""
        for openid, by in (
            ("grand", None),
            ("parent", "grand"),
            ("child", "parent"),
            ("buyer", "child"),
        ):
            self.follow(account, openid, by)

    def move_clock(self, **distance: float) -> None:
        """Move the server's clock to this distance from real time."""
        set_clock(self._clock_file, timedelta(**distance).total_seconds())


@pytest.fixture
def merchant(database: Database, redis_url: str, tmp_path: Path) -> Merchant:
    """The server's side on SQLite and on MariaDB, without accounts."""
    settings = Settings.model_validate(
        {
            "server": {"public_url": "http://127.0.0.1:8160"},
            "secrets": {"key": base64.b64encode(MASTER_KEY).decode()},
            "redis": {"url": redis_url},
            "wechat": {"api_base": NO_WECHAT},
            "data": {"dir": str(tmp_path / "data")},
        }
    )
    clock_file = tmp_path / "clock.json"
    context = Context(settings, database, database, Keyring(MASTER_KEY), Clock(file=clock_file))
    return Merchant(context, clock_file)


@pytest.fixture
def account(merchant: Merchant) -> OpenAccount:
    """An account that pays 10 %, 5 % and 2 %, with the line of friends."""
    account = merchant.open_account(settings={"linked_apps": ["wx-mini"]})
    merchant.publish(account)
    merchant.follow_in_line(account)
    return account


@pytest.fixture
def open_shop(merchant: Merchant) -> Generator[Callable[..., Shop]]:
    """Give a shop a key of an account: `open_shop(account, scopes=[…])`."""
    app = app_of(merchant.context)
    client = app.test_client()

    def open_one(account: OpenAccount, **others: Any) -> Shop:
        key, secret = merchant.make_key(account, **others)
        return Shop(client, key, secret, lambda: merchant.context.clock.now().timestamp())

    yield open_one
    merchant.context.redis.close()


@pytest.fixture
def shop(account: OpenAccount, open_shop: Callable[..., Shop]) -> Shop:
    """The shop of `account`, whose key may do everything."""
    return open_shop(account)


@pytest.fixture
def flask(merchant: Merchant) -> Any:
    """A command of `flask`, as words: what came of it."""
    runner: FlaskCliRunner = app_of(merchant.context).test_cli_runner()

    def run(*words: str) -> Any:
        return runner.invoke(args=list(words))

    return run
