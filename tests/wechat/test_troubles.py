from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from tests.wechat.conftest import MovableClock
from tests.wechat.stub import SECRET, TOKEN_PATH, Answer, Stub, error
from wechat.client import PlatformClient
from wechat.errors import WeChatError

SEND = "/cgi-bin/message/template/send"


def failed(client: PlatformClient, path: str = SEND) -> None:
    with pytest.raises(WeChatError):
        client.post(path, data={})


def test_the_last_failure_of_each_api_is_told_to_every_process(
    connect: Callable[..., PlatformClient], stub: Stub, clock: MovableClock
) -> None:
    client = connect()
    stub.answers[SEND] += [error(47003), error(40037)]
    failed(client)
    clock.advance(seconds=5)
    failed(client)
    clock.advance(seconds=5)
    stub.answers["/cgi-bin/menu/create"].append(Answer(b"<html>busy</html>", status=502))
    failed(client, "/cgi-bin/menu/create")

    menu, send = connect().troubles.latest()
    assert (menu.path, menu.errcode) == ("/cgi-bin/menu/create", None)
    assert (send.path, send.errcode, send.rid) == (SEND, 40037, "6a0b1c2d-11223344-55667788")
    assert send.at < menu.at
    clock.advance(days=8)
    assert connect().troubles.latest() == []


def test_what_concerns_one_recipient_is_no_trouble_of_the_account(
    client: PlatformClient, stub: Stub
) -> None:
    stub.answers[SEND].append(error(43004))
    failed(client)
    assert client.troubles.latest() == []


def test_a_token_that_cannot_be_had_is_one_without_the_secret(
    client: PlatformClient, stub: Stub, store: redis.Redis
) -> None:
    stub.always[TOKEN_PATH] = error(40125, f"invalid appsecret {SECRET}")
    failed(client)
    [one] = client.troubles.latest()
    assert (one.path, one.errcode) == (TOKEN_PATH, 40125)
    assert SECRET not in str(store.hgetall("wechat:{wx-test}:troubles"))


def test_without_redis_there_is_nothing_to_tell(
    connect: Callable[..., PlatformClient], stub: Stub
) -> None:
    client = connect(store=None)
    stub.answers[SEND].append(error(47003))
    failed(client)
    assert client.troubles.latest() == []
