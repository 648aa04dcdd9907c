"""`flask quota …`: what is left, and what to say after a person cleared the count."""

from __future__ import annotations

import pytest
from flask.testing import FlaskCliRunner
from sqlalchemy import select

from app import app_of
from domain.accounts import OpenAccount
from domain.models import Audit
from tests.web.conftest import Merchant
from tests.web.test_cli import done, refusal

SEND = "/cgi-bin/message/mass/send"


@pytest.fixture
def runner(merchant: Merchant, account: OpenAccount) -> FlaskCliRunner:
    return app_of(merchant.context).test_cli_runner()


def test_what_is_used_and_left_of_the_day_and_the_minute_is_shown(
    runner: FlaskCliRunner, merchant: Merchant, account: OpenAccount
) -> None:
    assert done(runner.invoke(args=["quota", "show", "--account", "tea"]))["apis"] == []
    client = merchant.context.platform(account)
    for _ in range(3):
        client.quota.check(SEND)
    client.quota.refused(SEND, 45009)

    shown = done(runner.invoke(args=["quota", "show", "--account", "tea"]))
    [one] = shown["apis"]
    assert (one["path"], one["day_used"], one["day_left"]) == (SEND, 3, 97)
    assert (one["minute_limit"], one["paced"], one["learned"]) == (60, True, False)
    assert one["refused_until"] is not None
    assert (shown["token_seconds"], shown["failures"]) == (None, [])
    everything = done(runner.invoke(args=["quota", "show", "--account", "tea", "--all"]))
    assert len(everything["apis"]) > 20


def test_forgetting_begins_the_count_again_and_is_audited(
    runner: FlaskCliRunner, merchant: Merchant, account: OpenAccount
) -> None:
    client = merchant.context.platform(account)
    client.quota.check(SEND)
    client.quota.refused(SEND, 45009)
    done(runner.invoke(args=["quota", "forget", "--account", "tea", SEND]))

    client.quota.check(SEND)
    [one] = done(runner.invoke(args=["quota", "show", "--account", "tea"]))["apis"]
    assert (one["day_used"], one["refused_until"]) == (1, None)
    notes = merchant.database.read(lambda session: session.scalars(select(Audit.action)).all())
    assert "quota_forgotten" in notes


def test_wechats_refusal_to_clear_is_an_error_and_begins_nothing_again(
    runner: FlaskCliRunner, merchant: Merchant, account: OpenAccount
) -> None:
    client = merchant.context.platform(account)
    client.quota.check(SEND)
    assert refusal(runner.invoke(args=["quota", "clear", "--account", "tea", SEND]))
    shown = done(runner.invoke(args=["quota", "show", "--account", "tea"]))["apis"]
    assert {one["path"]: one["day_used"] for one in shown}[SEND] == 1
    assert refusal(runner.invoke(args=["quota", "clear", "--account", "tea", "/nothing"]))
