"""`flask …`: one JSON object on standard output, people's words on standard error, 0 only for success."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner

from app import app_of
from config import WeChatSection
from domain import notices, staff
from domain.accounts import OpenAccount
from domain.menu import default_menu
from tests.support.servers import Simulator
from tests.web.conftest import Merchant
from tests.web.shop import Shop, order


@pytest.fixture
def runner(merchant: Merchant) -> FlaskCliRunner:
    return app_of(merchant.context).test_cli_runner()


def done(result: Result) -> Any:
    """The one object of a command that succeeded."""
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def refusal(result: Result) -> str:
    """The one line of a command that failed."""
    assert result.exit_code != 0
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    return last


def add_account(
    runner: FlaskCliRunner, tmp_path: Path, slug: str = "tea", **replaced: str
) -> Result:
    secret = tmp_path / "app-secret"
    secret.write_text("very-secret\n")
    given = {
        "slug": slug, "app-id": f"wx-{slug}", "app-secret-file": str(secret), "token": "token1",
        "aes-key": "a" * 43, "gh-id": "gh_1", "mode": "safe", "depth": "3", **replaced,
    }  # fmt: skip
    return runner.invoke(
        args=[
            "account",
            "add",
            *(part for name, value in given.items() for part in (f"--{name}", value)),
        ]
    )


def test_an_account_is_added_listed_shown_and_set(
    runner: FlaskCliRunner, merchant: Merchant, tmp_path: Path
) -> None:
    made = done(add_account(runner, tmp_path))
    assert (made["slug"], made["mode"], made["depth"]) == ("tea", "safe", 3)
    assert made["callback"] == "http://127.0.0.1:8160/wechat/tea"
    assert "very-secret" not in json.dumps(made)
    assert done(runner.invoke(args=["account", "list"])) == {"accounts": [made]}
    assert done(runner.invoke(args=["account", "show", "tea"])) == made
    changed = done(
        runner.invoke(args=["account", "set", "tea", "freeze_from=paid", "linked_apps=wx1,wx2", "self_purchase=true",
                            "buyer_wait_days=3"])
    )["settings"]  # fmt: skip
    assert (changed["freeze_from"], changed["linked_apps"]) == ("paid", ["wx1", "wx2"])
    assert (changed["self_purchase"], changed["buyer_wait_days"]) == (True, 3)


def test_what_an_account_cannot_be_is_said_in_one_line(
    runner: FlaskCliRunner, tmp_path: Path
) -> None:
    done(add_account(runner, tmp_path))
    assert "conflict" in refusal(add_account(runner, tmp_path))
    assert "aes_key" in refusal(add_account(runner, tmp_path, "other", **{"aes-key": "short"}))
    assert "mode" in refusal(add_account(runner, tmp_path, "other", mode="clear"))
    assert "depth" in refusal(add_account(runner, tmp_path, "other", depth="4"))
    for change in (
        "nonsense=1",
        "freeze_from",
        "self_purchase=maybe",
        "buyer_wait_days=x",
        "freeze_from=never",
    ):
        refusal(runner.invoke(args=["account", "set", "tea", change]))
    assert "not_found" in refusal(runner.invoke(args=["account", "show", "nobody"]))


def test_an_api_key_is_key_and_secret_and_works_until_it_is_revoked(
    runner: FlaskCliRunner, merchant: Merchant, account: OpenAccount
) -> None:
    made = done(runner.invoke(args=["apikey", "add", "--account", "tea"]))
    assert set(made) == {"key", "secret"}
    client = app_of(merchant.context).test_client()
    shop = Shop(
        client, made["key"], made["secret"], lambda: merchant.context.clock.now().timestamp()
    )
    assert shop.get("/products").status == 200
    listed = done(runner.invoke(args=["apikey", "list", "--account", "tea"]))["keys"]
    assert [one["key"] for one in listed] == [made["key"]]
    assert made["secret"] not in json.dumps(listed)
    assert (
        done(runner.invoke(args=["apikey", "revoke", made["key"]]))["was_revoked_before"] is False
    )
    assert done(runner.invoke(args=["apikey", "revoke", made["key"]]))["was_revoked_before"] is True
    merchant.context.redis.close()


def test_a_key_with_scopes_expiry_and_addresses(
    runner: FlaskCliRunner, account: OpenAccount
) -> None:
    made = runner.invoke(
        args=["apikey", "add", "--account", "tea", "--scopes", "orders.read,members.read", "--expires-at",
              "2027-01-01T00:00:00+08:00", "--address", "203.0.113.0/24"]
    )  # fmt: skip
    done(made)
    (shown,) = done(runner.invoke(args=["apikey", "list", "--account", "tea"]))["keys"]
    assert shown["scopes"] == ["members.read", "orders.read"]
    assert shown["expires_at"] == "2026-12-31T16:00:00+00:00"
    assert shown["addresses"] == ["203.0.113.0/24"]
    for wrong in (
        ["--scopes", "everything"],
        ["--address", "here"],
        ["--expires-at", "2027-01-01"],
    ):
        refusal(runner.invoke(args=["apikey", "add", "--account", "tea", *wrong]))


def test_rules_are_published_and_the_first_holds_from_the_opening(
    runner: FlaskCliRunner, merchant: Merchant, tmp_path: Path
) -> None:
    opened = done(add_account(runner, tmp_path))["created_at"]
    merchant.move_clock(days=1)
    first = done(runner.invoke(args=["rule", "add", "--account", "tea", "--rates", "1000,500,200"]))
    assert (first["rates"], first["freeze_days"], first["depth"]) == ([1000, 500, 200], 7, 3)
    assert first["effective_at"][:19] == opened[:19]
    second = done(
        runner.invoke(
            args=["rule", "add", "--account", "tea", "--rates", "900", "--freeze-days", "15"]
        )
    )
    assert second["effective_at"] > first["effective_at"]
    third = done(
        runner.invoke(
            args=[
                "rule",
                "add",
                "--account",
                "tea",
                "--rates",
                "1",
                "--effective-at",
                "2027-01-01T00:00:00Z",
            ]
        )
    )
    assert third["effective_at"] == "2027-01-01T00:00:00+00:00"
    listed = done(runner.invoke(args=["rule", "list", "--account", "tea"]))["rules"]
    assert [one["id"] for one in listed] == [third["id"], second["id"], first["id"]]
    for wrong in ("4000", "1,2,3,4", "ten", "-1"):
        refusal(runner.invoke(args=["rule", "add", "--account", "tea", f"--rates={wrong}"]))


def test_templates_of_every_occasion(runner: FlaskCliRunner, account: OpenAccount) -> None:
    for occasion in notices.OCCASIONS:
        done(runner.invoke(args=["template", "set", "--account", "tea", occasion, f"T-{occasion}"]))
    listed = done(runner.invoke(args=["template", "list", "--account", "tea"]))["templates"]
    assert {name: one["template_id"] for name, one in listed.items()} == {
        name: f"T-{name}" for name in notices.OCCASIONS
    }
    with_fields = [
        "template",
        "set",
        "--account",
        "tea",
        "friend_joined",
        "T",
        "--field",
        "thing1=friend",
    ]
    assert done(runner.invoke(args=with_fields))["fields"] == {"thing1": "friend"}
    refusal(runner.invoke(args=["template", "set", "--account", "tea", "birthday", "T"]))
    for no_id in ("模板一", "T" * 65, ""):
        refusal(runner.invoke(args=["template", "set", "--account", "tea", "friend_joined", no_id]))


def test_staff_with_a_password_from_a_file(
    runner: FlaskCliRunner, merchant: Merchant, account: OpenAccount, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("a long password\n")
    add = ["staff", "add", "--account", "tea", "--login", "boss", "--role", "owner"]
    made = done(runner.invoke(args=[*add, "--password-file", str(file)]))
    assert made == {"login": "boss", "account": "tea", "role": "owner", "is_new": True}
    with merchant.database.reading() as session:
        person = staff.check(session, "boss", "a long password")
        assert person is not None
        assert staff.role_in(session, person.id, account.id) == "owner"
        assert staff.check(session, "boss", "another password") is None
        assert staff.check(session, "nobody", "a long password") is None
    done(runner.invoke(args=[*add[:-1], "finance"]))  # known already: only the role
    file.write_text("short")
    other = [*add[:5], "clerk", *add[6:], "--password-file", str(file)]
    assert "password" in refusal(runner.invoke(args=other))


def test_setup_code_is_replaced_until_somebody_has_a_login(
    runner: FlaskCliRunner, merchant: Merchant
) -> None:
    first, second = (done(runner.invoke(args=["staff", "setup-code"])) for _ in range(2))
    assert first["code"] != second["code"]
    assert first["url"].endswith("/console/setup")
    now = merchant.context.clock.now()
    merchant.database.transact(
        lambda session: staff.add(session, login="anna", password="a long password", now=now)
    )
    assert "conflict" in refusal(runner.invoke(args=["staff", "setup-code"]))


def test_a_member_is_shown_as_the_api_shows_them(runner: FlaskCliRunner, shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    shown = done(runner.invoke(args=["member", "show", "--account", "tea", "child"]))
    assert shown == shop.get("/members/child").body
    assert shown["referrer"]["openid"] == "parent"
    assert (shown["levels"][0]["people"], shown["balance"]["frozen_fen"]) == (1, 299)
    assert "not_found" in refusal(
        runner.invoke(args=["member", "show", "--account", "tea", "nobody"])
    )


def test_settlement_by_hand(runner: FlaskCliRunner, shop: Shop) -> None:
    shop.post("/orders", order("A1"))
    shop.post("/orders/A1/complete", {"completed_at": "2026-10-01T00:00:00Z"})
    assert done(runner.invoke(args=["settle"])) == {"settled": {"tea": 3}}
    assert done(runner.invoke(args=["settle"])) == {"settled": {"tea": 0}}


def test_the_outbox_is_listed_and_retried(
    runner: FlaskCliRunner, merchant: Merchant, shop: Shop
) -> None:
    shop.post("/orders", order("A1"))
    rows = done(runner.invoke(args=["outbox", "list", "--state", "pending", "--account", "tea"]))[
        "rows"
    ]
    ours = [row for row in rows if row["dedupe_key"].startswith("notice-accrued")]
    assert {row["topic"] for row in ours} == {"notice"}
    assert len(ours) == 3
    assert "payload" not in rows[0]
    assert done(runner.invoke(args=["outbox", "list"])) == {"rows": []}
    assert done(runner.invoke(args=["outbox", "retry", str(rows[0]["id"])])) == {"retried": 0}


@pytest.fixture
def runner_with_wechat(merchant: Merchant, simulator: Simulator) -> Generator[FlaskCliRunner]:
    """Commands whose WeChat is the simulator."""
    hosts = WeChatSection(api_base=simulator.url, mp_base=simulator.url, open_base=simulator.url)
    settings = merchant.context.settings.model_copy(update={"wechat": hosts})
    context = replace(merchant.context, settings=settings)
    yield app_of(context).test_cli_runner()
    context.redis.close()


def test_the_menu_is_pushed_to_wechat(
    runner_with_wechat: FlaskCliRunner, account: OpenAccount, simulator: Simulator
) -> None:
    simulator.post(
        "/_sim/accounts", app_id=account.app_id, secret="secret", token="token1", aes_key="a" * 43, gh_id="gh_tea",
        name="tea", mode="safe", callback_url="http://127.0.0.1:9/wechat/tea",
    )  # fmt: skip
    pushed = done(runner_with_wechat.invoke(args=["menu", "push", "--account", "tea"]))
    assert (pushed["account"], pushed["menu"]) == (
        "tea",
        default_menu("http://127.0.0.1:8160/m/tea"),
    )
    shown = simulator.get("/_sim/menu", account=account.app_id)
    assert default_menu()[-1]["name"] in json.dumps(shown, ensure_ascii=False)


def test_what_wechat_refuses_is_said_in_one_line(
    runner_with_wechat: FlaskCliRunner, account: OpenAccount
) -> None:
    assert "WeChat" in refusal(runner_with_wechat.invoke(args=["menu", "push", "--account", "tea"]))


def test_help_names_the_commands(runner: FlaskCliRunner) -> None:
    text = runner.invoke(args=["--help"]).stdout
    for word in ("account", "apikey", "db", "ledger", "member", "members", "menu", "outbox", "rule", "serve", "settle",
                 "staff", "template"):  # fmt: skip
        assert f"\n  {word} " in text
