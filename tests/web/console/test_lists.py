"""Lists: found by name, openid, phone and code; pages by keyset without gaps or repeats; files; indexes."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from typing import Any

import pytest
from sqlalchemy import event, update

from domain import members
from domain.accounts import OpenAccount
from domain.models import Member
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.test_access import address, routes
from tests.web.console.world import World, seed
from web.console import listing

BOTH = pytest.mark.parametrize("engine_name", ["sqlite", "mariadb"], indirect=True)


@pytest.fixture
def crowd(merchant: Merchant, account: OpenAccount) -> list[str]:
    """Eleven more members, some of whom joined at the same instant."""
    openids = [f"crowd{number:02d}" for number in range(11)]
    for openid in openids:
        merchant.follow(account, openid)
    at = merchant.context.clock.now()
    merchant.database.transact(
        lambda session: session.execute(
            update(Member).where(Member.openid.in_(openids[:8])).values(joined_at=at)
        )
    )
    return openids


def codes_on(html: str) -> list[str]:
    return re.findall(r"<code>(\w{7})</code>", html)


@BOTH
def test_pages_show_everybody_once(
    owner: Browser, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing.Listing.page, "__defaults__", (4,))
    for sort in ("newest", "oldest"):
        address_, seen = f"/console/tea/members?sort={sort}", []
        while address_:
            html = owner.get(address_).text
            seen += codes_on(html)
            more = re.search(r'rel="next" href="([^"]+)"', html)
            address_ = unescape(more[1]) if more else ""
        assert len(seen) == len(set(seen)) == 4 + len(crowd)


@BOTH
def test_member_is_found_by_name_openid_phone_and_code(
    owner: Browser, merchant: Merchant, account: OpenAccount
) -> None:
    keyring, database = merchant.context.keyring, merchant.database
    child = database.read(lambda session: members.get(session, account.id, "child"))

    def dress(session: Any) -> None:
        members.set_nickname(session, account.id, "child", "小林100%")
        members.set_contact(session, keyring, child.id, phone="13800138000")

    database.transact(dress)
    for words in (
        "小林",
        "小林100%",
        "child",
        "13800138000",
        child.code,
        child.code.lower(),
        f"会员·{child.code}",
    ):
        assert codes_on(owner.get("/console/tea/members", q=words).text) == [child.code], words
    for words in ("林", "%", "_", "13800138001", "chil"):
        html = owner.get("/console/tea/members", q=words).text
        assert codes_on(html) == [], words
        assert "没有符合条件的记录" in html


def test_filters_and_days_narrow_the_list(
    owner: Browser, merchant: Merchant, account: OpenAccount
) -> None:
    everybody = codes_on(owner.get("/console/tea/members").text)
    assert codes_on(owner.get("/console/tea/members", status="suspended").text) == []
    assert codes_on(owner.get("/console/tea/members", status="nonsense").text) == everybody
    assert codes_on(owner.get("/console/tea/members", joined_from="2020-01-01").text) == everybody
    assert codes_on(owner.get("/console/tea/members", joined_to="2020-01-01").text) == []
    assert owner.get("/console/tea/members", joined_to="not a day").status_code == 200
    assert owner.get("/console/tea/members", after="forged").status_code == 400


def test_file_has_what_the_filters_leave_and_no_page_ends(
    owner: Browser, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "CSV_PAGE", 3)
    answer = owner.get("/console/tea/members", format="csv")
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert rows[0][0] == "会员"
    assert len({row[1] for row in rows[1:]}) == len(rows) - 1 == 4 + len(crowd)
    empty = owner.get("/console/tea/members", format="csv", status="suspended")
    assert len(empty.data.decode().splitlines()) == 1


@pytest.mark.parametrize("engine_name", ["mariadb"], indirect=True)
def test_every_page_answers_on_mariadb(console: Console, merchant: Merchant) -> None:
    world: World = seed(merchant, "tea")
    browser = console.as_role(world.account)
    for rule, method in routes(console):
        if method == "GET" and "slug" in rule.arguments:
            assert browser.get(address(rule, "tea", world)).status_code < 400, rule


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?sort=oldest",
        "?status=suspended",
        "?following=no",
        "?grade=",
        "?joined_from=2026-01-01",
    ],
)
def test_list_of_members_sorts_nothing(owner: Browser, merchant: Merchant, query: str) -> None:
    """Its index gives the rows in order: a page costs the same with a million members."""
    plan = _plans(merchant, lambda: owner.get(f"/console/tea/members{query}"), "FROM member")
    assert plan
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN member") for step in plan), plan


def _plans(merchant: Merchant, ask: Any, which: str) -> list[str]:
    """The plan of the statement that reads `which` ordered and limited."""
    engine, seen = merchant.database.engine, []

    def watch(_c: Any, _cursor: Any, sql: str, params: Any, _ctx: Any, _many: Any) -> None:
        if which in " ".join(sql.split()) and "ORDER BY" in sql and "LIMIT" in sql:
            seen.append((sql, params))

    event.listen(engine, "before_cursor_execute", watch)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", watch)
    with merchant.database.reading() as session:
        return [
            row[3]
            for sql, params in seen
            for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", params)
        ]
