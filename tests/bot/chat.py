"""A WeChat made of signed requests: people who follow, scan, write and tap, over HTTP against the real app."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

from flask import Flask
from sqlalchemy.orm import Session
from wechatpy.crypto import WeChatCrypto
from werkzeug.test import TestResponse

from app import app_of
from clock import Clock
from config import Settings
from context import Context
from domain import accounts, members, orders, rules, scenes
from domain.accounts import OpenAccount
from domain.db import Database
from domain.members import Summary
from domain.models import Member
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.rules import Terms
from domain.secrets import Keyring
from tests.support.servers import MASTER_KEY
from wechat.signing import signature

T = TypeVar("T")
NONCE = "1320562132"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def context_of(folder: Path, database: Database, callback: Database | None = None) -> Context:
    """A process's context on this database; its clock is `folder`/clock.json."""
    settings = Settings.model_validate(
        {
            "server": {"public_url": "http://127.0.0.1:8000"},
            "secrets": {"key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
            "data": {"dir": str(folder / "data")},
            "database": {"url": database.url},
        }
    )
    settings.data.dir.mkdir(parents=True, exist_ok=True)
    return Context(
        settings,
        database,
        callback or database,
        Keyring(MASTER_KEY),
        Clock(None, folder / "clock.json"),
    )


def text_xml(openid: str, content: str, message_id: int, created: int, to: str = "gh_tea") -> str:
    return (
        f"<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{content}]]></Content><MsgId>{message_id}</MsgId></xml>"
    )


def event_xml(openid: str, event: str, created: int, to: str = "gh_tea", **fields: object) -> str:
    more = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return (
        f"<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[{event}]]></Event>{more}</xml>"
    )


@dataclass
class Reply:
    """What came back, as WeChat would read it."""

    response: TestResponse
    xml: str

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def is_success(self) -> bool:
        return self.status == 200 and self.xml in {"success", ""}

    def field(self, path: str) -> str | None:
        return ElementTree.fromstring(self.xml).findtext(path)

    @property
    def text(self) -> str:
        """The words a follower reads."""
        assert self.status == 200, (self.status, self.xml)
        assert self.field("MsgType") == "text", self.xml
        return self.field("Content") or ""


@dataclass
class Chat:
    """The app, its database, and one or more accounts. A person's name is their openid."""

    context: Context
    app: Flask
    _numbers: Any = field(default_factory=lambda: itertools.count(1_000_000))
    accounts: dict[str, OpenAccount] = field(default_factory=dict)

    @classmethod
    def open(cls, context: Context) -> Chat:
        chat = cls(context, app_of(context))
        chat.add_account("tea")
        return chat

    def do(self, fn: Callable[[Session], T]) -> T:
        return self.context.database.transact(fn)

    @property
    def tea(self) -> OpenAccount:
        return self.accounts["tea"]

    def add_account(
        self, slug: str, *, mode: str = "plain", depth: int = 3, **settings: Any
    ) -> OpenAccount:
        """An account with 10 % / 5 % / 2 % and seven days of freeze from completion."""
        now = self.context.clock.now()

        def add(session: Session) -> OpenAccount:
            account = accounts.add(
                session, self.context.keyring, slug=slug, name=f"{slug}铺", app_id=f"wx{slug}", gh_id=f"gh_{slug}",
                app_secret=f"secret of {slug}", token=f"token4{slug}", aes_key=AES_KEY, mode=mode, depth=depth,
                settings=accounts.Settings.parse(settings), now=now,
            )  # fmt: skip
            rules.add(
                session, account.id, terms=Terms((1000, 500, 200)), max_total_bps=3000, depth=depth,
                effective_at=now - timedelta(days=365), actor="test", now=now,
            )  # fmt: skip
            return accounts.unseal(account, self.context.keyring)

        self.accounts[slug] = self.do(add)
        return self.accounts[slug]

    # --- requests -----------------------------------------------------------------------------------------------

    def query(self, slug: str = "tea", timestamp: int | None = None, **more: str) -> dict[str, str]:
        stamp = str(self.now_seconds if timestamp is None else timestamp)
        token = self.accounts[slug].token
        return {
            "signature": signature(token, stamp, NONCE),
            "timestamp": stamp,
            "nonce": NONCE,
            **more,
        }

    @property
    def now_seconds(self) -> int:
        return int(self.context.clock.now().timestamp())

    def post(
        self, body: str | bytes, query: dict[str, str], slug: str = "tea", **more: Any
    ) -> Reply:
        """The raw request."""
        arguments: dict[str, Any] = {"content_type": "text/xml", **more}
        response = self.app.test_client().post(
            f"/wechat/{slug}", query_string=query, data=body, **arguments
        )
        self.app.extensions["banyan.callback"].journal.flush()
        return Reply(response, response.get_data(as_text=True).strip())

    def push(self, xml: str | bytes, slug: str = "tea", **query: Any) -> Reply:
        """A push in clear, signed."""
        return self.post(xml, self.query(slug, **query), slug)

    def push_sealed(self, xml: str, slug: str = "tea") -> Reply:
        """A push as the platform encrypts it, by wechatpy; the reply is opened the same way."""
        account = self.accounts[slug]
        crypto = WeChatCrypto(account.token, account.aes_key, account.app_id)
        body, query = self.sealed(xml, slug)
        reply = self.post(body, query, slug)
        if reply.status == 200 and reply.xml.startswith("<xml>"):
            outer = ElementTree.fromstring(reply.xml)
            assert outer.findtext("MsgType") is None, "the reply must be encrypted"
            reply.xml = crypto.decrypt_message(
                reply.xml,
                outer.findtext("MsgSignature"),
                outer.findtext("TimeStamp"),
                outer.findtext("Nonce"),
            )
        return reply

    def sealed(self, xml: str, slug: str = "tea") -> tuple[str, dict[str, str]]:
        """Body and query of an encrypted push."""
        account = self.accounts[slug]
        crypto = WeChatCrypto(account.token, account.aes_key, account.app_id)
        stamp = str(self.now_seconds)
        body: str = crypto.encrypt_message(xml, NONCE, stamp)
        msg_signature = ElementTree.fromstring(body).findtext("MsgSignature") or ""
        query = self.query(
            slug, int(stamp), openid="o", encrypt_type="aes", msg_signature=msg_signature
        )
        return body, query

    # --- what people do -----------------------------------------------------------------------------------------

    def say(self, openid: str, content: str, slug: str = "tea") -> Reply:
        account = self.accounts[slug]
        xml = text_xml(openid, content, next(self._numbers), self.now_seconds, account.gh_id)
        return self._send(xml, account)

    def event(
        self,
        openid: str,
        event: str,
        slug: str = "tea",
        created: int | None = None,
        **fields: object,
    ) -> Reply:
        account = self.accounts[slug]
        stamp = self.now_seconds if created is None else created
        return self._send(event_xml(openid, event, stamp, account.gh_id, **fields), account)

    def _send(self, xml: str, account: OpenAccount) -> Reply:
        if account.mode == "plain":
            return self.push(xml, account.slug)
        return self.push_sealed(xml, account.slug)

    def follow(self, openid: str, by: str | None = None, slug: str = "tea", **more: Any) -> Reply:
        key = f"qrscene_{self.code_of(by, slug)}" if by else ""
        return self.event(openid, "subscribe", slug, EventKey=key, **more)

    def scan(self, openid: str, by: str, slug: str = "tea", **more: Any) -> Reply:
        return self.event(openid, "SCAN", slug, EventKey=self.code_of(by, slug), Ticket="T", **more)

    def click(self, openid: str, key: str, slug: str = "tea") -> Reply:
        return self.event(openid, "CLICK", slug, EventKey=key)

    # --- what is so ---------------------------------------------------------------------------------------------

    def code_of(self, openid: str, slug: str = "tea") -> str:
        """The scene of a member's own QR code."""
        account_id = self.accounts[slug].id
        now = self.context.clock.now()

        def work(session: Session) -> str:
            member = members.get(session, account_id, openid)
            return scenes.of_member(session, account_id, member.id, now).code

        return self.do(work)

    def member(self, openid: str, slug: str = "tea") -> Member | None:
        account_id = self.accounts[slug].id
        return self.context.database.read(lambda s: members.find(s, account_id, openid))

    def referrer_of(self, openid: str, slug: str = "tea") -> str | None:
        member = self.member(openid, slug)
        if member is None or member.referrer_id is None:
            return None
        referrer_id = member.referrer_id
        return self.context.database.read(lambda s: s.get_one(Member, referrer_id).openid)

    def summary(self, openid: str, slug: str = "tea") -> Summary:
        account_id = self.accounts[slug].id
        found = self.context.database.read(lambda s: members.summary(s, account_id, openid))
        assert found is not None
        return found

    def buy(
        self, openid: str, number: str, *fen: int, slug: str = "tea", title: str = "茶"
    ) -> None:
        """A paid order with a line for each amount."""
        account = self.accounts[slug]
        now = self.context.clock.now()
        lines = tuple(
            PaidLine(line_no, f"{title}{line_no}", 1, amount)
            for line_no, amount in enumerate(fen, start=1)
        )
        order = PaidOrder(number, Buyer(openid=openid), lines, now)
        self.do(lambda session: orders.record_paid(session, account, [order], now))
