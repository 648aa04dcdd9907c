"""`flask rule|grade|promoter|hold|risk …`: one JSON object each, and the change is really made."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from domain import members, promoters
from domain.accounts import OpenAccount
from tests.web.conftest import Merchant
from tests.web.shop import LINE, Shop
from tests.web.test_cli import done, refusal


def buy(shop: Shop, merchant: Merchant, number: str, paid_fen: int = 10_000, **more: Any) -> None:
    body = {
        "order_no": number, "openid": "buyer", "lines": [{**LINE, "paid_fen": paid_fen}],
        "paid_at": merchant.context.clock.now().isoformat(), **more,
    }  # fmt: skip
    answer = shop.post("/orders", body)
    assert answer.status == 201, answer.body


def test_rule_of_grades_and_a_cap_is_published_and_pays(
    merchant: Merchant, account: OpenAccount, shop: Shop, flask: Any
) -> None:
    made = done(
        flask("rule", "add", "--account", "tea", "--rates", "1000,500,200", "--cap-fen", "600",
              "--grade", "gold=1500,0,0/3")
    )  # fmt: skip
    assert made["cap_fen"] == 600
    assert made["grades"] == {"gold": {"rates": [1500, 0, 0]}}
    assert made["grade_freeze_days"] == {"gold": 3}
    buy(shop, merchant, "A1")
    earned = shop.get("/orders/A1").body["commissions"]
    assert [one["amount_fen"] for one in earned] == [600, 500, 200]


def test_dry_run_prints_the_difference_and_writes_no_rule(
    merchant: Merchant, account: OpenAccount, shop: Shop, flask: Any
) -> None:
    buy(shop, merchant, "A1")
    since = (merchant.context.clock.now() - timedelta(days=1)).isoformat()
    before = done(flask("rule", "list", "--account", "tea"))
    merchant.move_clock(seconds=5)
    result = done(
        flask("rule", "dry-run", "--account", "tea", "--rates", "2000,0,0", "--since", since)
    )
    assert (result["now"]["cost_fen"], result["draft"]["cost_fen"]) == (1_700, 2_000)
    assert result["winners"][0]["difference_fen"] == 1_000
    assert done(flask("rule", "list", "--account", "tea")) == before
    house = done(flask("rule", "house", "--account", "tea", "--since", since))
    assert (house["orders"], house["house_fen"]) == (1, 0)
    too_much = flask("rule", "dry-run", "--account", "tea", "--rates", "9000", "--since", since)
    assert "cap" in refusal(too_much)


def test_grade_is_made_given_swept_and_remembered(account: OpenAccount, flask: Any) -> None:
    made = done(
        flask("grade", "put", "--account", "tea", "gold", "--name", "黄金", "--rank", "2",
              "--need", "invited_buyers=10", "--need", "earned_fen=100000", "--match", "any")
    )  # fmt: skip
    assert made["conditions"] == {"match": "any", "invited_buyers": 10, "earned_fen": 100000}
    assert [one["code"] for one in done(flask("grade", "list", "--account", "tea"))["grades"]] == [
        "gold"
    ]
    given = done(
        flask("grade", "assign", "--account", "tea", "child", "gold", "--reason", "老客户")
    )
    assert given == {"openid": "child", "grade": "gold", "pinned": True}
    assert done(flask("grade", "sweep", "--account", "tea")) == {"members": 4, "moved": 0}
    (row,) = done(flask("grade", "history", "--account", "tea", "child"))["history"]
    assert (row["from"], row["to"], row["actor"]) == ("", "gold", "flask")
    assert "no such condition" in refusal(
        flask("grade", "put", "--account", "tea", "x", "--name", "x", "--rank", "3", "--need", "luck=1")
    )  # fmt: skip


def test_promoters_are_decided_and_suspended(
    merchant: Merchant, account: OpenAccount, flask: Any
) -> None:
    now = merchant.context.clock.now()
    merchant.database.transact(
        lambda s: (
            promoters.apply(s, members.get(s, account.id, "child"), message="请通过", now=now).id
        )
    )
    (waiting,) = done(flask("promoter", "waiting", "--account", "tea"))["applications"]
    assert (waiting["openid"], waiting["message"]) == ("child", "请通过")
    rejected = done(
        flask("promoter", "reject", "--account", "tea", "child", "--reason", "资料不全")
    )
    assert rejected["promoter"] == "rejected"
    assert done(flask("promoter", "approve", "--account", "tea", "child"))["promoter"] == "approved"
    suspended = done(flask("promoter", "suspend", "--account", "tea", "child", "--reason", "核实"))
    assert suspended["status"] == "suspended"
    assert done(flask("promoter", "reinstate", "--account", "tea", "child"))["status"] == "active"
    assert "not_found" in refusal(flask("promoter", "approve", "--account", "tea", "nobody"))


def test_commission_is_held_released_and_refused(
    merchant: Merchant, account: OpenAccount, shop: Shop, flask: Any
) -> None:
    buy(shop, merchant, "A1")
    page = shop.get("/members/child/commissions").body["items"]
    commission = str(page[0]["id"])
    held = done(flask("hold", "add", "--account", "tea", commission, "--reason", "核对"))
    assert held["outcome"] == "open"
    (listed,) = done(flask("hold", "list", "--account", "tea"))["holds"]
    assert listed["id"] == held["id"]
    assert done(flask("hold", "release", "--account", "tea", str(held["id"]))) == {"released": 1}
    again = done(flask("hold", "add", "--account", "tea", commission, "--reason", "再核对"))
    assert done(
        flask("hold", "refuse", "--account", "tea", str(again["id"]), "--reason", "同一人")
    ) == {"refused": 1}
    assert shop.get("/members/child/commissions").body["items"][0]["status"] == "voided"
    assert done(flask("ledger", "check"))["ok"] is True


def test_risk_is_scanned_listed_and_decided(
    merchant: Merchant, account: OpenAccount, shop: Shop, flask: Any
) -> None:
    done(flask("account", "set", "tea", "risk=self_paid_orders:1"))
    buy(shop, merchant, "A1", payer_openid="child")
    merchant.move_clock(seconds=1)
    assert done(flask("risk", "scan", "--account", "tea"))["held"] == 1
    (signal,) = done(flask("risk", "list", "--account", "tea"))["signals"]
    assert (signal["kind"], signal["evidence"]["orders"]) == ("self_paid", 1)
    decided = done(
        flask("risk", "confirm", "--account", "tea", str(signal["id"]), "--reason", "代付")
    )
    assert decided["status"] == "confirmed"
    assert done(flask("risk", "list", "--account", "tea"))["signals"] == []
    assert len(done(flask("risk", "list", "--account", "tea", "--status", "all"))["signals"]) == 1
    assert "conflict" in refusal(flask("risk", "release", "--account", "tea", str(signal["id"])))
    assert done(flask("ledger", "check"))["ok"] is True
    wrong = flask("account", "set", "tea", "risk=luck:1")
    assert wrong.exit_code != 0


def test_clues_and_grades_come_over_the_api(
    merchant: Merchant, account: OpenAccount, shop: Shop
) -> None:
    body = {
        "name": "茶",
        "price_fen": 100,
        "rates": [300, 200, 100],
        "grades": {"gold": [900, 0, 0]},
    }
    put = shop.put("/products/tea-1", body)
    assert put.status in {200, 201}, put.body
    assert put.body["grades"] == {"gold": [900, 0, 0]}
    alone = shop.put("/products/tea-2", {"name": "茶", "price_fen": 1, "grades": {"gold": [1]}})
    assert alone.status in {400, 422}
    order = {
        "order_no": "C1", "openid": "buyer", "lines": [LINE], "paid_at": merchant.context.clock.now().isoformat(),
        "payer_openid": "someone", "phone_hash": "a" * 64, "ship_to_hash": "b" * 44,
    }  # fmt: skip
    assert shop.post("/orders", order).status == 201
    assert shop.post("/orders", order).status == 200
    other = shop.post("/orders", {**order, "ship_to_hash": "c" * 44})
    assert other.status == 409
    assert json.dumps(other.body)


def test_switching_registration_rewards_on_shows_the_warning(
    account: OpenAccount, flask: Any
) -> None:
    on = flask("account", "set", "tea", "registration_reward_fen=100")
    assert done(on)["settings"]["registration_reward_fen"] == 100
    assert "按人头" in on.stderr
    assert "按人头" not in flask("account", "set", "tea", "registration_reward_fen=0").stderr
