"""Withdrawals for the shop's API, and by an operator's commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app import app_of
from domain import commissions, members, merchants, withdrawals
from domain.accounts import OpenAccount
from tests.support.paying import API_V3_KEY, MCH_ID, SERIAL, Paying, key_pair
from tests.web.conftest import Merchant
from tests.web.shop import Shop, order

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def rich(merchant: Merchant, account: OpenAccount, shop: Shop) -> Callable[..., int]:
    """child has 100 yuan; call it to withdraw some of them."""
    assert shop.post("/orders", order("A1", paid_fen=100_000)).status == 201
    now = merchant.context.clock.now()
    assert shop.post("/orders/A1/complete", {"completed_at": now.isoformat()}).status == 200
    merchant.database.transact(
        lambda s: commissions.settle_due(s, account, now + timedelta(days=40))
    )

    def ask(fen: int, token: str) -> int:
        def work(session: Session) -> int:
            member = members.get(session, account.id, "child")
            return withdrawals.request(
                session, account, member, fen, client_token=token, now=merchant.context.clock.now()
            ).id

        return merchant.database.transact(work)

    return ask


@pytest.fixture
def run(merchant: Merchant) -> Run:
    """`flask …` in this process: exit code, and the JSON or the words on standard error."""
    runner = app_of(merchant.context).test_cli_runner()

    def invoke(group: str, verb: str, *arguments: str) -> tuple[int, Any]:
        account = [] if group == "account" else ["--account", "tea"]
        done = runner.invoke(args=[group, verb, *account, *arguments])
        return done.exit_code, json.loads(done.stdout) if done.stdout.startswith(
            "{"
        ) else done.output

    return invoke


def test_a_shop_reads_withdrawals_by_status_and_page_by_page(
    rich: Callable[..., int], shop: Shop, merchant: Merchant, account: OpenAccount
) -> None:
    numbers = [rich(200 + index, f"t{index}") for index in range(3)]
    merchant.database.transact(
        lambda s: withdrawals.reject(
            s, account, numbers[1], actor="x", reason="不符", now=merchant.context.clock.now()
        )
    )
    page = shop.get("/withdrawals?status=requested&limit=1").body
    (first,) = page["items"]
    assert (first["id"], first["openid"], first["amount_fen"], first["net_fen"]) == (
        numbers[0], "child", 200, 200,
    )  # fmt: skip
    rest = shop.get(f"/withdrawals?status=requested&limit=5&cursor={page['next_cursor']}").body
    assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == ([numbers[2]], None)
    (rejected,) = shop.get("/withdrawals?status=rejected").body["items"]
    assert rejected["reason"] == "不符"
    assert len(shop.get("/withdrawals").body["items"]) == 3
    assert shop.get("/withdrawals?status=nonsense").status == 422


def test_a_key_needs_the_scope_and_sees_its_own_account_only(
    rich: Callable[..., int],
    open_shop: Callable[..., Shop],
    merchant: Merchant,
    account: OpenAccount,
) -> None:
    rich(200, "t")
    assert open_shop(account, scopes=["orders.read"]).get("/withdrawals").status == 403
    other = merchant.open_account("coffee")
    assert open_shop(other).get("/withdrawals").body["items"] == []


def test_two_different_people_decide_at_the_command_line(
    rich: Callable[..., int], run: Run
) -> None:
    assert run("account", "set", "tea", "second_above_fen=1000")[0] == 0
    number = str(rich(5_000, "t"))
    assert run("withdrawal", "approve", number, "--by", "ann")[1]["status"] == "requested"  # fmt: skip
    code, words = run("withdrawal", "approve", number, "--by", "ann")
    assert code == 1
    assert "another person" in words
    assert run("withdrawal", "approve", number, "--by", "bob")[1]["status"] == "approved"  # fmt: skip
    (row,) = run("withdrawal", "list", "--status", "approved")[1]["withdrawals"]
    assert (row["id"], row["openid"]) == (int(number), "child")


def test_an_operator_rejects_and_pays_by_bank(rich: Callable[..., int], run: Run) -> None:
    number = str(rich(5_000, "t"))
    assert run("withdrawal", "reject", number, "--by", "ann")[0] == 2
    done = run("withdrawal", "reject", number, "--by", "ann", "--reason", "不符")
    assert done[1]["status"] == "rejected"
    code, words = run("withdrawal", "pay-offline", number, "--by", "ann", "--proof", "x")  # fmt: skip
    assert code == 1
    assert "invalid" in words


def merchant_files(folder: Path, **other: str) -> list[str]:
    given = {"private": key_pair()[0], "public": key_pair()[1], "v3": API_V3_KEY, **other}
    for name, text in given.items():
        (folder / name).write_text(text)
    return [
        "--mch-id", MCH_ID, "--serial-no", SERIAL, "--public-key-id", "PUB_KEY_ID_0001",
        "--private-key-file", str(folder / "private"), "--public-key-file", str(folder / "public"),
        "--api-v3-key-file", str(folder / "v3"),
    ]  # fmt: skip


def test_a_merchant_number_is_set_with_keys_that_work_and_are_not_shown(
    account: OpenAccount, merchant: Merchant, run: Run, tmp_path: Path
) -> None:
    code, shown = run("merchant", "set", *merchant_files(tmp_path))
    assert code == 0
    assert shown["notify_url"].endswith("/pay/tea/notify")
    assert API_V3_KEY not in json.dumps(shown)
    keyring = merchant.context.keyring
    opened = merchant.database.read(lambda s: merchants.get(s, keyring, account.id))
    assert (opened.mch_id, opened.private_key) == (MCH_ID, key_pair()[0].strip())
    broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
    code, words = run("merchant", "set", *merchant_files(tmp_path, private=broken))  # fmt: skip
    assert (code, "keys cannot be used" in words) == (1, True)
    again = merchant.database.read(lambda s: merchants.get(s, keyring, account.id))
    assert again.private_key == opened.private_key


def test_cancel_silence_and_reconcile_at_the_command_line(paying: Paying) -> None:
    paying.person("cai", 10_000)
    number = paying.pay()
    runner = app_of(paying.context).test_cli_runner()

    def run(*arguments: str) -> Any:
        done = runner.invoke(args=[*arguments, "--account", "tea"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    told = run("reconcile")
    bill = told.pop("bill")
    assert told == {
        "ok": True, "compared": 1, "unanswered": 0, "paid_fen": 0, "differences": [],
    }  # fmt: skip
    assert (bill["kind"], bill["difference_count"], bill["unanswered"]) == ("bill", 0, 0)
    nobody = runner.invoke(args=["reconcile", "--account", "nobody"])
    assert (nobody.exit_code, "not_found" in nobody.output) == (1, True)
    paying.faults(notice_lost_rate=1)
    assert run("withdrawal", "cancel", str(number), "--by", "ann")["state"] == "CANCELLED"  # fmt: skip
    assert paying.status(number) == "paying"
    paying.sweep_later()
    assert paying.status(number) == "failed"
    assert paying.balance() == (10_000, 0)
    assert run("withdrawal", "silence", str(number), "--by", "ann") == {
        "id": number, "was_on": False,
    }  # fmt: skip
    paying.check()


def test_a_payout_that_is_refused_for_ever_is_given_up_at_the_command_line(paying: Paying) -> None:
    paying.person("cai", 10_000)
    paying.faults(pay_error="NO_AUTH")
    number = paying.pay()
    words = ("withdrawal", "give-up", str(number), "--by", "ann", "--account", "tea")
    runner = app_of(paying.context).test_cli_runner()
    assert runner.invoke(args=[*words]).exit_code != 0  # not without a reason
    done = runner.invoke(args=[*words, "--reason", "没有权限"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["status"], told["giving_up_at"] is not None) == ("paying", True)
    paying.faults(pay_error="")
    paying.sweep_later(400)
    assert paying.status(number) == "failed"
    assert paying.balance() == (10_000, 0)


def test_the_figures_for_the_operator_name_open_withdrawals_and_alarms(paying: Paying) -> None:
    paying.person("cai", 10_000)
    paying.faults(pay_error="NO_AUTH")
    paying.pay()
    text = app_of(paying.context).test_client().get("/metrics").text
    assert 'banyan_withdrawals_open{status="paying"} 1.0' in text
    assert 'banyan_payout_alarms{alarm="refused_NO_AUTH"} 1.0' in text
