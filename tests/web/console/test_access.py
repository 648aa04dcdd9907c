"""The access matrix: every route × every role × another account's data × nobody × a session that was ended.

It is made from the URL map. A route that no `@page` registered fails, and so does a parameter that `world.py` does not
know: nobody can add a page and forget who may see it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from domain import staff
from domain.staff import sessions
from domain.staff.permissions import ROLES, Permission, may
from tests.support.databases import RolledBack
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console
from tests.web.console.world import World, seed
from web.console.visit import ACCESS, ANYBODY, SIGNED_IN

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
"""Who may what does not depend on the engine."""


@pytest.fixture
def ours(merchant: Merchant) -> World:
    return seed(merchant, "ours")


@pytest.fixture
def theirs(merchant: Merchant, ours: World) -> World:
    return seed(merchant, "theirs")


def routes(console: Console) -> Iterator[tuple[Rule, str]]:
    """Every route of the console with each of its methods."""
    for rule in console.app.url_map.iter_rules():
        if str(rule.rule).startswith("/console"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method


def address(rule: Rule, slug: str, world: World) -> str:
    """The route's address with things of this world in it."""
    values = {name: world.places[name] for name in rule.arguments if name != "slug"}
    if "slug" in rule.arguments:
        values["slug"] = slug
    built = rule.build(values)
    assert built is not None, rule
    return built[1]


@contextmanager
def undone(console: Console) -> Generator[None]:
    """What happens inside has not happened: one world serves every route."""
    database = cast(RolledBack, console.merchant.database)
    savepoint = database._connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


NOBODYS = {"slug", "occasion"}
"""Parameters that name nothing of a merchant's: an occasion is a word of ours."""


def ask(console: Console, browser: Browser, rule: Rule, method: str, path: str) -> TestResponse:
    with undone(console):
        return browser.get(path) if method == "GET" else browser.post(path)


def leads_to_login(answer: TestResponse) -> bool:
    return answer.status_code == 302 and answer.location.startswith("/console/login")


def test_every_route_says_who_may(console: Console) -> None:
    missing = {rule.endpoint for rule, _ in routes(console)} - set(ACCESS)
    assert not missing, "routes of the console are made with @page"
    for rule, method in routes(console):
        entry = ACCESS[rule.endpoint]
        assert method in entry.methods
        assert ("slug" in rule.arguments) == isinstance(entry.allow, Permission), rule


def test_every_parameter_has_an_example(console: Console, ours: World) -> None:
    names = {name for rule, _ in routes(console) for name in rule.arguments} - {"slug"}
    assert names <= set(ours.places), "tests/web/console/world.py needs one of each"


def test_nobody_gets_further_than_the_login(console: Console, ours: World) -> None:
    for rule, method in routes(console):
        path = address(rule, "ours", ours)
        answer = ask(console, console.browser(), rule, method, path)
        if ACCESS[rule.endpoint].allow is ANYBODY:
            assert answer.status_code < 500, (path, answer.status_code)
        else:
            assert leads_to_login(answer), (method, path, answer.status_code)


def test_session_that_was_ended_is_nobody(console: Console, ours: World) -> None:
    person = console.person((ours.account, "owner"))
    browser = console.browser(person)
    console.merchant.database.transact(
        lambda session: sessions.revoke_all(session, person.id, console.now)
    )
    for rule, method in routes(console):
        if ACCESS[rule.endpoint].allow is not ANYBODY:
            answer = ask(console, browser, rule, method, address(rule, "ours", ours))
            assert leads_to_login(answer), (method, rule)


@pytest.mark.parametrize("role", ROLES)
def test_role_sees_what_its_permissions_say_and_no_more(
    console: Console, ours: World, role: str
) -> None:
    browser = console.as_role(ours.account, role)
    for rule, method in routes(console):
        allow = ACCESS[rule.endpoint].allow
        if not isinstance(allow, Permission):
            continue
        path = address(rule, "ours", ours)
        status = ask(console, browser, rule, method, path).status_code
        if may(role, allow):
            assert status not in {401, 403, 404, 405}, (role, method, path, status)
            assert status < 500, (role, method, path, status)
        else:
            assert status == 403, (role, method, path, status)


def test_account_of_others_does_not_exist(console: Console, ours: World, theirs: World) -> None:
    browser = console.as_role(ours.account)
    for rule, method in routes(console):
        if "slug" in rule.arguments:
            for world in (ours, theirs):
                answer = ask(console, browser, rule, method, address(rule, "theirs", world))
                assert answer.status_code == 404, (method, rule, answer.status_code)


def test_things_of_others_do_not_exist_in_our_account(
    console: Console, ours: World, theirs: World
) -> None:
    browser = console.as_role(ours.account)
    for rule, method in routes(console):
        if "slug" in rule.arguments and rule.arguments - NOBODYS:
            path = address(rule, "ours", theirs)
            answer = ask(console, browser, rule, method, path)
            assert answer.status_code == 404, (method, path, answer.status_code)


def test_whoever_has_signed_in_sees_the_pages_outside_accounts(
    console: Console, ours: World
) -> None:
    browser = console.browser(console.person())
    for rule, method in routes(console):
        if ACCESS[rule.endpoint].allow is SIGNED_IN:
            answer = ask(console, browser, rule, method, address(rule, "", ours))
            assert answer.status_code < 500, (method, rule, answer.status_code)
            assert not leads_to_login(answer), (method, rule)


def test_role_that_was_taken_away_is_gone_at_once(console: Console, ours: World) -> None:
    person = console.person((ours.account, "owner"))
    browser = console.browser(person)
    assert browser.get("/console/ours/members").status_code == 200
    console.merchant.database.transact(
        lambda session: staff.dismiss(session, person.id, ours.account.id)
    )
    assert browser.get("/console/ours/members").status_code == 404


def test_post_without_its_token_changes_nothing(console: Console, ours: World) -> None:
    browser = console.as_role(ours.account)
    for rule, method in routes(console):
        if method == "POST":
            answer: Any = browser.client.post(address(rule, "ours", ours))
            assert answer.status_code == 400, rule
