"""A new account from its names to the first push, and a health check that says what is wrong and what to do."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import select, update

from app import app_of
from config import Settings
from context import Context
from domain import accounts, staff
from domain.accounts import OpenAccount
from domain.models import Account, Audit, Staff
from tests.support.servers import Simulator
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from web.console import wechat_words
from wechat.errors import AccountMisconfigured, Refused, Retryable, WeChatError
from wechat.signing import signature

ASKED = {
    "name": "山泉茶舍", "slug": "spring", "gh_id": "gh_0123456789ab", "app_id": "wx0123456789abcdef",
    "app_secret": "s" * 32, "token": "token7", "aes_key": "k" * 43, "mode": "safe", "depth": "2",
}  # fmt: skip


@pytest.fixture
def opener(console: Console) -> Browser:
    """Somebody who may open accounts, and has none yet."""
    person = console.person(login="opener")
    console.merchant.database.transact(
        lambda s: s.execute(update(Staff).where(Staff.id == person.id).values(opens_accounts=True))
    )
    return console.browser(person)


def account_of(console: Console, slug: str = "spring") -> OpenAccount:
    keyring = console.merchant.context.keyring
    return console.merchant.database.read(lambda s: accounts.unseal(accounts.get(s, slug), keyring))


def test_first_account_is_opened_by_the_wizard_and_belongs_to_whoever_opened_it(
    console: Console, opener: Browser
) -> None:
    assert "/console/accounts/new" in opener.get("/console/accounts").text
    html = opener.get("/console/accounts/new").text
    assert re.search(r'name="token"[^>]*value="[A-Za-z0-9]{32}"', html)
    assert re.search(r'name="aes_key"[^>]*value="[A-Za-z0-9]{43}"', html)
    assert "没有默认值" in html
    assert not re.search(r'name="depth"[^>]*checked', html)
    answer = opener.post("/console/accounts/open", **ASKED)
    assert answer.location.endswith("/console/spring/connect")
    made = account_of(console)
    assert (made.token, made.aes_key, made.app_secret, made.depth) == (
        "token7",
        "k" * 43,
        "s" * 32,
        2,
    )
    html = opener.get("/console/spring/connect").text
    assert "http://127.0.0.1:8160/wechat/spring" in html
    assert "token7" in html
    assert "s" * 32 not in html
    assert "只在内网" in html
    note = console.merchant.database.read(
        lambda s: s.scalars(select(Audit).where(Audit.action == "account_added")).one()
    )
    assert note.actor == "staff:opener"
    assert "s" * 32 not in (note.after or "")


def test_another_token_is_made_without_losing_what_was_written(opener: Browser) -> None:
    for name in ("token", "aes_key"):
        html = opener.post("/console/accounts/open", **{**ASKED, "do": name}).text
        assert 'value="山泉茶舍"' in html
        assert f'value="{ASKED[name]}"' not in html
        assert re.search(r'name="depth" value="2" checked', html)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("depth", "", "没有默认值，要您自己决定"),
        ("depth", "4", "没有默认值，要您自己决定"),
        ("slug", "login", "保留词"),
        ("slug", "Tea Shop", "保留词"),
        ("token", "!", "3 到 32 位"),
        ("aes_key", "short", "43 位"),
        ("mode", "none", "加解密方式"),
        ("app_secret", " ", "请填写 AppSecret"),
        ("name", "", "请填写公众号的名字"),
        ("app_id", "微信", "AppID 以 wx 开头"),
    ],
)
def test_account_that_cannot_be_is_not_opened(
    console: Console, opener: Browser, name: str, text: str, words: str
) -> None:
    answer = opener.post("/console/accounts/open", **{**ASKED, name: text})
    assert answer.status_code == 422
    assert words in answer.text
    assert console.merchant.database.read(lambda s: accounts.all_of(s)) == []


def test_name_or_app_id_in_use_is_said(console: Console, opener: Browser) -> None:
    opener.post("/console/accounts/open", **ASKED)
    answer = opener.post("/console/accounts/open", **{**ASKED, "slug": "other"})
    assert "已被使用" in answer.text
    assert len(console.merchant.database.read(lambda s: accounts.all_of(s))) == 1


def test_only_who_may_opens_accounts(console: Console) -> None:
    browser = console.browser(console.person())
    assert browser.get("/console/accounts/new").status_code == 403
    assert browser.post("/console/accounts/open", **ASKED).status_code == 403
    assert "/console/accounts/new" not in browser.get("/console/accounts").text


# --- the light ------------------------------------------------------------------------------------------------------


def verify(console: Console, token: str) -> int:
    """What WeChat does when somebody presses 提交; the status it gets."""
    stamp = str(int(time.time()))
    signed = signature(token, stamp, "n")
    query = {"timestamp": stamp, "nonce": "n", "echostr": "4711", "signature": signed}
    return console.app.test_client().get("/wechat/spring", query_string=query).status_code


def test_light_turns_green_when_wechat_has_verified_the_address(
    console: Console, opener: Browser
) -> None:
    opener.post("/console/accounts/open", **ASKED)
    light = "/console/spring/connect/light"
    assert "data-poll" in opener.get(light).text
    assert verify(console, "another") == 403
    assert "还在等微信" in opener.get(light).text
    assert verify(console, "token7") == 200
    html = opener.get(light).text
    assert "微信已验证这个网址" in html
    assert "data-poll" not in html
    assert verify(console, "token7") == 200
    notes = console.merchant.database.read(
        lambda s: list(s.scalars(select(Audit).where(Audit.action == accounts.URL_VERIFIED)))
    )
    assert [note.actor for note in notes] == ["wechat"], "once a minute is enough"


def test_light_goes_out_when_the_token_is_another_one(console: Console, opener: Browser) -> None:
    opener.post("/console/accounts/open", **ASKED)
    verify(console, "token7")
    console.merchant.move_clock(seconds=5)
    opener.post("/console/spring/connect/secrets", do="token")
    made = account_of(console)
    assert made.token != "token7"
    assert "还在等微信" in opener.get("/console/spring/connect/light").text
    opener.post("/console/spring/connect/secrets", app_secret="t" * 32, mode="plain")
    assert (account_of(console).app_secret, account_of(console).mode) == ("t" * 32, "plain")
    assert account_of(console).token == made.token, "what is left empty stays"
    answer = opener.post("/console/spring/connect/secrets", aes_key="short")
    assert answer.status_code == 422
    assert "43 位" in answer.text
    notes = console.merchant.database.read(
        lambda s: list(s.scalars(select(Audit).where(Audit.action == accounts.SECRETS_REPLACED)))
    )
    assert len(notes) == 2
    assert all("t" * 32 not in (note.after or "") for note in notes)


def test_secrets_are_for_owners(console: Console, account: OpenAccount) -> None:
    for role in ("finance", "operator", "support"):
        browser = console.as_role(account, role)
        assert browser.get("/console/tea/connect").status_code == 403
        assert browser.post("/console/tea/connect/secrets", app_secret="x").status_code == 403


# --- the health check -----------------------------------------------------------------------------------------------


@pytest.fixture
def clinic(merchant: Merchant, simulator: Simulator) -> Generator[Console]:
    """The console beside a simulated WeChat."""
    url = simulator.url
    values = merchant.context.settings.model_dump(mode="json")
    values["secrets"] = {"key": merchant.context.settings.secrets.key}
    values["wechat"] = {"api_base": url, "mp_base": url, "open_base": url}
    old = merchant.context
    context = Context(
        Settings.model_validate(values), old.database, old.callback_database, old.keyring, old.clock
    )
    merchant.context = context
    yield Console(app_of(context), merchant)
    context.redis.close()


def opened(clinic: Console, simulator: Simulator, **theirs: Any) -> Browser:
    """An account that WeChat knows as `theirs` says; its owner."""
    wanted = {"app_id": "wx-tea", "secret": "secret", "token": "token1", "gh_id": "gh_tea", "name": "茶"}  # fmt: skip
    simulator.post("/_sim/accounts", **{**wanted, **theirs})
    return clinic.as_role(clinic.merchant.open_account("tea"))


def test_healthy_account_hears_so_of_every_interface(clinic: Console, simulator: Simulator) -> None:
    browser = opened(clinic, simulator)
    assert "还没有检查" in browser.get("/console/tea/checkup").text
    html = browser.post("/console/tea/checkup/run").text
    assert "全部正常" in html
    for words in ("白名单都对", "可以设置菜单", "推广码能用", "还没有填写"):
        assert words in html


def test_address_that_is_not_on_the_white_list_is_shown_to_be_copied(
    clinic: Console, simulator: Simulator
) -> None:
    browser = opened(clinic, simulator, allowed_ips=["203.0.113.9"])
    html = browser.post("/console/tea/checkup/run").text
    assert "<code>40164</code>" in html
    assert 'value="127.0.0.1"' in html
    assert "先解决上面的问题" in html


@pytest.mark.parametrize(
    ("theirs", "code", "words"),
    [
        ({"secret": "another"}, 40125, "AppSecret 不对"),
        ({"app_id": "wx-other"}, 40013, "AppID 不对"),
    ],
)
def test_wrong_credentials_are_told_apart(
    clinic: Console, simulator: Simulator, theirs: dict[str, str], code: int, words: str
) -> None:
    html = opened(clinic, simulator, **theirs).post("/console/tea/checkup/run").text
    assert f"<code>{code}</code>" in html
    assert words in html
    assert "secret" not in re.sub(r"<[^>]+>", "", html).lower().replace("appsecret", "")


def test_wechat_that_does_not_answer_is_no_fault_of_the_account(
    clinic: Console, simulator: Simulator
) -> None:
    browser = opened(clinic, simulator)
    simulator.post("/_sim/faults", http_500_rate=1.0, paths=["/cgi-bin/menu"])
    html = browser.post("/console/tea/checkup/run").text
    assert "1 项有问题" in html
    assert "连不上微信服务器" in html
    assert "推广码能用" in html, "the others are asked all the same"


def test_every_code_that_stops_an_account_is_explained(console: Console) -> None:
    with console.app.test_request_context("/console/"):
        for code in (40001, 40013, 40125, 40164, 40243, 48001, 48004, 50002, 89503, 89506, 89507):
            words = wechat_words.explained(AccountMisconfigured("x", errcode=code))
            assert not words.startswith("微信拒绝了"), code
        assert "文件太大" in wechat_words.explained(Refused("too large", errcode=40006))
        assert "61000" in wechat_words.explained(Refused("新的错误", errcode=61000))
        assert "连不上" in wechat_words.explained(Retryable("no answer"))
        assert wechat_words.explained(WeChatError("odd")).startswith("没有成功")
        denied = AccountMisconfigured(
            "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 1", errcode=40164
        )
        assert wechat_words.address_in(denied) == "203.0.113.7"
        assert wechat_words.address_in(Refused("invalid ip 1.2.3.4", errcode=40125)) is None


def test_wizard_gives_the_first_owner_every_right(console: Console, opener: Browser) -> None:
    opener.post("/console/accounts/open", **ASKED)
    row = console.merchant.database.read(lambda s: s.scalars(select(Account)).one())
    person = console.merchant.database.read(lambda s: staff.get(s, "opener"))
    role = console.merchant.database.read(lambda s: staff.role_in(s, person.id, row.id))
    assert role == staff.OWNER
    for path in ("", "settings", "merchant", "checkup", "books", "risk", "withdrawals"):
        assert opener.get(f"/console/spring/{path}").status_code == 200, path
