"""`flask template …` and `flask outbox …`: previews, tests, the comparison with WeChat, and dead letters."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace

import pytest
from flask.testing import FlaskCliRunner
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import app_of
from config import WeChatSection
from domain import notices, outbox
from domain.accounts import OpenAccount
from domain.models import Audit, Outbox
from domain.texts import LANGUAGES
from tests.support.servers import Simulator
from tests.web.conftest import Merchant
from tests.web.shop import Shop, order
from tests.web.test_cli import done, refusal
from web import previews

CONTENT = "好友:{{thing1.DATA}}\n金额:{{amount2.DATA}}\n状态:{{phrase3.DATA}}"


@pytest.fixture
def wechat(
    merchant: Merchant, account: OpenAccount, simulator: Simulator
) -> Generator[FlaskCliRunner]:
    """Commands whose WeChat is the simulator, which has one template of each kind."""
    simulator.post(
        "/_sim/accounts", app_id=account.app_id, secret="secret", token="token1", aes_key="a" * 43, gh_id="gh_tea",
        name="tea", mode="safe", callback_url="http://127.0.0.1:9/wechat/tea",
        templates=[{"template_id": "T-1", "title": "佣金", "content": CONTENT}],
        subscription_templates=[{"template_id": "S-1", "title": "佣金", "content": CONTENT}],
    )  # fmt: skip
    hosts = WeChatSection(api_base=simulator.url, mp_base=simulator.url, open_base=simulator.url)
    settings = merchant.context.settings.model_copy(update={"wechat": hosts})
    context = replace(merchant.context, settings=settings)
    yield app_of(context).test_cli_runner()
    context.redis.close()


def choose(
    runner: FlaskCliRunner, template_id: str, *more: str, occasion: str = "commission_accrued"
) -> None:
    done(runner.invoke(args=["template", "set", "--account", "tea", occasion, template_id, *more]))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_occasion_has_a_preview_by_every_channel_that_a_phone_can_show(
    merchant: Merchant, account: OpenAccount, lang: str
) -> None:
    def look(session: Session) -> None:
        for occasion in notices.OCCASIONS:
            for channel in notices.MAPPED:
                notices.set_template(session, account.id, occasion, "T", channel=channel)
            for channel in notices.CHANNELS:
                shown = previews.preview(session, account, occasion, channel, lang)
                if channel in notices.MAPPED:
                    assert shown.fields, (occasion, channel)
                    assert shown.unfit == {}, (occasion, channel)
                assert shown.text or occasion == notices.RISK_ALERT
                assert "{" not in shown.text

    merchant.database.transact(look)


def test_preview_is_cut_as_the_channel_takes_it(wechat: FlaskCliRunner) -> None:
    choose(wechat, "S-1", "--channel", "subscription")
    shown = done(
        wechat.invoke(
            args=["template", "preview", "--account", "tea", "commission_accrued", "--channel", "subscription",
                  "--lang", "en"]
        )
    )  # fmt: skip
    assert shown["fields"] == {"thing1": "小明", "amount2": "¥12.34", "phrase3": "冻结中"}
    assert "Level 1 friend 小明" in shown["text"]
    assert "no template" in refusal(
        wechat.invoke(args=["template", "preview", "--account", "tea", "grade_up"])
    )


def test_a_test_message_reaches_the_one_who_was_named(
    wechat: FlaskCliRunner, account: OpenAccount, simulator: Simulator
) -> None:
    openid = simulator.post("/_sim/users", name="测试")["openids"][account.app_id]
    simulator.post("/_sim/follow", user=openid, account=account.app_id, wait=False)
    choose(wechat, "T-1")
    command = ["template", "test", "--account", "tea", "commission_accrued", openid]
    done(wechat.invoke(args=command))
    chat = simulator.get(f"/_sim/chats/{openid}", account=account.app_id)
    (card,) = [each for each in chat["messages"] if each["type"] == "template"]
    assert [each["value"] for each in card["fields"]] == ["小明", "12.34元", "冻结中"]
    choose(wechat, "S-1", "--channel", "subscription")
    assert "43101" in refusal(wechat.invoke(args=[*command, "--channel", "subscription"]))
    assert "inbox" in refusal(wechat.invoke(args=[*command, "--channel", "inbox"]))


def test_chosen_templates_are_compared_with_those_of_wechat(wechat: FlaskCliRunner) -> None:
    choose(wechat, "T-1")
    check = ["template", "check", "--account", "tea"]
    assert done(wechat.invoke(args=check))["templates"] == []
    choose(wechat, "T-1", "--field", "thing1=friend", "--field", "thing9=friend")
    choose(wechat, "T-gone", occasion="grade_up")
    result = wechat.invoke(args=check)
    assert result.exit_code == 1
    found = {each["occasion"]: each["problems"] for each in json.loads(result.stdout)["templates"]}
    assert found == {
        "commission_accrued": [
            "keywords without a parameter: amount2, phrase3",
            "keywords that the template does not have: thing9",
        ],
        "grade_up": ["WeChat has no such template"],
    }
    done(wechat.invoke(args=["template", "remove", "--account", "tea", "grade_up"]))
    assert (
        "grade_up"
        not in done(wechat.invoke(args=["template", "list", "--account", "tea"]))["templates"]
    )


def test_dead_letters_are_counted_by_reason_and_discarded_with_one(
    merchant: Merchant, shop: Shop
) -> None:
    runner = app_of(merchant.context).test_cli_runner()
    shop.post("/orders", order("A1"))
    rows = done(runner.invoke(args=["outbox", "list", "--state", "pending", "--topic", "notice"]))[
        "rows"
    ]
    ids = [str(row["id"]) for row in rows]
    assert len(ids) >= 3
    assert "0" in str(done(runner.invoke(args=["outbox", "discard", ids[0], "--reason", "不用了"])))
    kill = (
        update(Outbox)
        .where(Outbox.id.in_(map(int, ids)))
        .values(state="dead", last_error="Refused: 43116")
    )
    merchant.database.transact(lambda session: session.execute(kill))
    (reason,) = done(runner.invoke(args=["outbox", "reasons", "--account", "tea"]))["reasons"]
    assert (reason["topic"], reason["state"], reason["reason"], reason["rows"]) == (
        "notice", "dead", "Refused: 43116", len(ids),
    )  # fmt: skip
    assert done(runner.invoke(args=["outbox", "list", "--topic", "payout"]))["rows"] == []
    assert "reason" in refusal(runner.invoke(args=["outbox", "discard", ids[0], "--reason", " "]))
    twice = ["outbox", "discard", ids[0], "--reason", "模板已停用"]
    assert done(runner.invoke(args=twice)) == {"discarded": 1}
    assert done(runner.invoke(args=twice)) == {"discarded": 0}
    with merchant.database.reading() as session:
        (note,) = session.scalars(select(Audit).where(Audit.action == "outbox_discarded"))
        assert note.subject == f"outbox/{ids[0]}"
        assert "模板已停用" in (note.after or "")
        assert outbox.graves(session)[0].rows == len(ids) - 1
