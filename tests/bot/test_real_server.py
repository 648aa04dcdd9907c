"""The running server takes the platform's documented messages over HTTP, in the clear and as an independent
implementation (wechatpy) encrypts them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from wechatpy.crypto import WeChatCrypto

from tests.bot import samples
from tests.bot.chat import AES_KEY, NONCE, event_xml, text_xml
from tests.support.servers import AppServer
from wechat.signing import signature

TOKEN = "token123"
APP_ID = "wx0123456789abcdef"


class Phone:
    """Sends pushes of one account as WeChat would, over a real connection."""

    def __init__(self, server: AppServer, folder: Path, mode: str) -> None:
        self._url = f"{server.url}/wechat/tea"
        self._crypto = WeChatCrypto(TOKEN, AES_KEY, APP_ID) if mode == "safe" else None
        secret = folder / "app-secret"
        secret.write_text("app-secret")
        server.flask(
            "account", "add", "--slug", "tea", "--app-id", APP_ID, "--app-secret-file", str(secret),
            "--token", TOKEN, "--aes-key", AES_KEY, "--gh-id", "gh_tea", "--mode", mode, "--depth", "3",
        )  # fmt: skip

    def push(self, xml: str) -> tuple[int, str]:
        """Status and body, decrypted."""
        stamp = str(int(time.time()))
        query = {"timestamp": stamp, "nonce": NONCE, "signature": signature(TOKEN, stamp, NONCE)}
        body = xml
        if self._crypto is not None:
            body = self._crypto.encrypt_message(xml, NONCE, stamp)
            sealed = body.split("<Encrypt><![CDATA[")[1].split("]]>")[0]
            query |= {
                "encrypt_type": "aes",
                "msg_signature": signature(TOKEN, stamp, NONCE, sealed),
            }
        answer = requests.post(
            self._url,
            params=query,
            data=body.encode(),
            headers={"Content-Type": "text/xml"},
            timeout=10,
        )
        text = answer.text
        if self._crypto is not None and "<Encrypt>" in text:
            fields = {name: _field(text, name) for name in ("MsgSignature", "TimeStamp", "Nonce")}
            text = self._crypto.decrypt_message(
                text, fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"]
            )
        return answer.status_code, text


def _field(xml: str, name: str) -> str:
    inside = xml.split(f"<{name}>")[1].split(f"</{name}>")[0]
    return inside.removeprefix("<![CDATA[").removesuffix("]]>")


@pytest.mark.parametrize("mode", ["plain", "safe"])
def test_every_documented_message_is_taken_by_the_running_server(
    app_server: Callable[..., AppServer], tmp_path: Path, mode: str
) -> None:
    server = app_server("web")
    phone = Phone(server, tmp_path, mode)
    for name, xml in {**samples.MESSAGES, **samples.EVENTS, **samples.UNKNOWN}.items():
        status, body = phone.push(xml)
        assert status == 200, (name, body)
        assert body in {"", "success"} or "<MsgType>" in body, (name, body)


def test_a_follower_of_the_running_server_is_bound_and_gets_an_answer(
    app_server: Callable[..., AppServer], tmp_path: Path
) -> None:
    server = app_server("web")
    phone = Phone(server, tmp_path, "safe")
    now = int(time.time())
    assert phone.push(event_xml("ann", "subscribe", now))[0] == 200
    status, body = phone.push(text_xml("ann", "我的收益", 77, now))
    assert status == 200
    assert "可提现 ¥0.00" in body
    assert server.flask("member", "show", "--account", "tea", "ann")["referrer"] is None


def test_the_waiting_of_wechat_is_counted_over_all_processes(
    app_server: Callable[..., AppServer], tmp_path: Path
) -> None:
    """Whichever of the server's processes is asked; a stranger's push counts as refused."""
    server = app_server("web", settings={"server.workers": "2"})
    phone = Phone(server, tmp_path, "safe")
    for number in range(30):
        assert phone.push(text_xml("ann", "我的收益", 100 + number, int(time.time())))[0] == 200
    assert requests.post(f"{server.url}/wechat/tea", data="<xml/>", timeout=10).status_code == 403
    for _ in range(10):
        told = requests.get(f"{server.url}/metrics", timeout=10).text
        assert 'banyan_callback_seconds_count{outcome="answered"} 30.0' in told
        assert 'banyan_callback_seconds_bucket{le="+Inf",outcome="answered"} 30.0' in told
        assert 'banyan_callback_seconds_count{outcome="refused"} 1.0' in told
