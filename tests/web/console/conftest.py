"""For pages of the console: `console` makes people and browsers, `owner` is signed in to `account`.

def test_owner_sees_members(owner: Browser) -> None:
    assert "会员" in owner.get("/console/tea/members").text
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import pytest

from app import app_of
from config import WeChatSection
from domain.accounts import OpenAccount
from tests.support.servers import Simulator
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.world import World, seed


@pytest.fixture(params=["sqlite"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Pages are tested on SQLite, which is quick; what depends on the engine names both, as test_lists.py does."""
    name: str = request.param
    return name


@pytest.fixture
def console(merchant: Merchant) -> Generator[Console]:
    """The console on each engine."""
    yield Console(app_of(merchant.context), merchant)
    merchant.context.redis.close()


@pytest.fixture
def owner(console: Console, account: OpenAccount) -> Browser:
    """Somebody who owns `account`, signed in."""
    return console.as_role(account)


@pytest.fixture
def world(merchant: Merchant) -> World:
    """The merchant's tea shop with some of everything in it, in hostile words."""
    return seed(merchant, "tea")


@pytest.fixture
def boss(console: Console, world: World) -> Browser:
    """Its owner, signed in."""
    return console.browser(console.person((world.account, "owner"), login="boss"))


@pytest.fixture
def connected(merchant: Merchant, account: OpenAccount, simulator: Simulator) -> Generator[Browser]:
    """Somebody who owns the account, whose WeChat is the simulator."""
    simulator.post(
        "/_sim/accounts", app_id=account.app_id, secret="secret", token="token1", aes_key="a" * 43, gh_id="gh_tea",
        name="tea", mode="safe", callback_url="http://127.0.0.1:9/wechat/tea",
    )  # fmt: skip
    url = simulator.url
    hosts = WeChatSection(api_base=url, mp_base=url, open_base=url)
    settings = merchant.context.settings.model_copy(update={"wechat": hosts})
    context = replace(merchant.context, settings=settings, _clients={})
    yield Console(app_of(context), merchant).as_role(account)
    context.redis.close()
