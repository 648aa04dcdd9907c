"""`flask campaign …`, the links that carry a broadcast, and orders that name it: one story, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskCliRunner

from app import app_of
from domain import campaigns, members
from domain.accounts import OpenAccount
from domain.campaigns import planning
from domain.models import Campaign
from tests.broadcast.conftest import PNG
from tests.web.conftest import Merchant
from tests.web.shop import LINE, Shop
from tests.web.test_cli import done, refusal


@pytest.fixture
def flask(merchant: Merchant) -> Any:
    runner: FlaskCliRunner = app_of(merchant.context).test_cli_runner()

    def run(verb: str, *words: str) -> Any:
        return runner.invoke(args=["campaign", verb, "--account", "tea", *words])

    return run


def _file(folder: Path, **values: Any) -> str:
    usual = {
        "name": "春茶", "channel": "mass", "content": {"kind": "text", "text": "新茶 https://tea.example/new"},
    }  # fmt: skip
    path = folder / "campaign.json"
    path.write_text(json.dumps(usual | values), "utf-8")
    return str(path)


def test_a_campaign_is_made_counted_started_held_and_shown(
    merchant: Merchant, account: OpenAccount, flask: Any, tmp_path: Path
) -> None:
    merchant.database.transact(lambda s: members.set_muted(s, account.id, "grand", True))
    made = done(flask("create", _file(tmp_path)))
    number = str(made["id"])
    assert (made["state"], made["audience"]) == ("draft", {})
    counted = done(flask("count", number))
    assert (counted["people"], counted["muted"], counted["unreachable"]) == (3, 1, 0)
    assert done(flask("start", number))["state"] == "running"
    assert done(flask("pause", number))["state"] == "paused"
    assert done(flask("resume", number))["state"] == "running"
    merchant.database.transact(
        lambda s: planning.step(s, s.get_one(Campaign, made["id"]), merchant.context.clock.now())
    )
    shown = done(flask("show", number))
    assert shown["results"]["recipients"] == shown["results"]["waiting"] == 3
    people = done(flask("recipients", number))["recipients"]
    assert [(one["openid"], one["state"]) for one in people] == [
        ("parent", "waiting"),
        ("child", "waiting"),
        ("buyer", "waiting"),
    ]
    assert done(flask("cancel", number))["state"] == "cancelled"
    assert [one["id"] for one in done(flask("list"))["campaigns"]] == [made["id"]]
    assert "wrong_state" in refusal(flask("start", number))


def test_a_test_is_a_message_in_the_outbox(
    merchant: Merchant, account: OpenAccount, flask: Any, tmp_path: Path
) -> None:
    merchant.follow(account, "ann")
    number = str(done(flask("create", _file(tmp_path)))["id"])
    asked = done(flask("test", number, "--to", "ann"))
    assert asked["outbox_key"].startswith(f"campaign-test-{number}-")
    assert "not_found" in refusal(flask("test", number, "--to", "nobody"))


def test_pictures_stand_beside_the_file(account: OpenAccount, flask: Any, tmp_path: Path) -> None:
    article = {"title": "茶", "html": '<img src="file:a.png">', "cover": "c.png"}
    content = {"kind": "article", "articles": [article]}
    assert "no such picture" in refusal(flask("create", _file(tmp_path, content=content)))
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(PNG)
    assert done(flask("create", _file(tmp_path, content=content)))["state"] == "draft"
    away = {"kind": "image", "image": "../secret.png"}
    assert "beside the JSON" in refusal(flask("create", _file(tmp_path, content=away)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"channel": "fax"}, "no such channel"),
        ({"channel": 5}, "name, channel and content"),
        ({"audience": []}, "audience"),
        ({"audience": {"shoe": 44}}, "unknown filters"),
        ({"content": {"kind": "text", "text": ""}}, "文字内容不能为空"),
        ({"scheduled_at": "soon"}, "scheduled_at"),
        ({"scheduled_at": "2027-01-01T00:00:00"}, "zone"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(
    account: OpenAccount, flask: Any, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    assert words in refusal(flask("create", _file(tmp_path, **values)))
    assert done(flask("list"))["campaigns"] == []


def test_a_file_that_is_no_json_is_refused(
    account: OpenAccount, flask: Any, tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_text("{", "utf-8")
    assert "not JSON" in refusal(flask("create", str(tmp_path / "x.json")))


def test_a_click_leads_to_the_shop_whose_order_names_the_broadcast(
    merchant: Merchant, account: OpenAccount, shop: Shop, flask: Any, tmp_path: Path
) -> None:
    made = done(flask("create", _file(tmp_path)))
    done(flask("start", str(made["id"])))
    links = merchant.database.transact(
        lambda s: campaigns.links_of(
            s, account.id, s.get_one(Campaign, made["id"]), lambda token: f"/m/tea/r/{token}"
        )
    )
    (path,) = links.values()
    client = app_of(merchant.context).test_client()
    answer = client.get(path)
    token = path.rpartition("/")[2]
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"https://tea.example/new?c={token}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get("/m/tea/r/nobody").status_code == 404
    assert client.get(f"/m/other/r/{token}").status_code == 404
    now = merchant.context.clock.now().isoformat()
    body = {"order_no": "B1", "openid": "buyer", "lines": [{**LINE, "paid_fen": 10_000}], "paid_at": now}  # fmt: skip
    assert shop.post("/orders", {**body, "campaign": token}).status == 201
    assert shop.post("/orders", {**body, "campaign": token}).status == 200
    assert shop.post("/orders", {**body, "campaign": "another"}).status == 409
    results = done(flask("show", str(made["id"])))["results"]
    assert (results["clicks"], results["orders"], results["sales_fen"]) == (1, 1, 10_000)
    assert results["commission_fen"] == 1_700
