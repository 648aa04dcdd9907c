"""For pages of the console: `console` makes people and browsers, `owner` is signed in to `account`.

def test_owner_sees_members(owner: Browser) -> None:
    assert "会员" in owner.get("/console/tea/members").text
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from app import app_of
from domain.accounts import OpenAccount
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console


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
