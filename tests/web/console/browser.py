"""A browser without a screen for the console's tests: signed in as somebody, with the CSRF token at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from domain import staff
from domain.accounts import OpenAccount
from domain.models import Staff
from domain.staff import sessions
from tests.web.conftest import Merchant

CSRF = "0" * 40
PASSWORD = "correct horse battery"
HASH = "$argon2id$v=19$m=8,t=1,p=1$YmFueWFuLXRlc3Rz$"
"""Nobody signs in with a password unless the test is about that: hashing costs a quarter of a second."""


@dataclass
class Browser:
    """`get` and `post` with addresses as they stand in the address bar: `/console/tea/members`."""

    client: FlaskClient
    token: str
    login: str = ""

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.client.get(path, query_string=query or None)

    def post(self, path: str, **form: Any) -> TestResponse:
        """Submit a form, with its CSRF token."""
        return self.client.post(path, data={"csrf_token": self.token, **form})

    def said(self) -> str:
        """What the last verb said to the person: the notes at the top of the next page."""
        html = self.client.get("/console/accounts").text
        notes = re.findall(r'class="alert[^>]*>(.*?)</div>', html, re.DOTALL)
        return unescape(" ".join(one.strip() for one in notes))


class Console:
    """The console of a merchant's installation: people, and browsers for them."""

    def __init__(self, app: Flask, merchant: Merchant) -> None:
        self.app, self.merchant = app, merchant
        self._people = 0

    @property
    def now(self) -> Any:
        return self.merchant.context.clock.now()

    def person(self, *roles: tuple[OpenAccount, str], login: str | None = None) -> Staff:
        """Somebody with these roles, whose password is nobody's."""
        self._people += 1
        name = login or f"person{self._people}"

        def add(session: Any) -> Staff:
            row = Staff(
                login=name, password_hash=HASH, active=True, opens_accounts=False, totp_step=0,
                language="", created_at=self.now,
            )  # fmt: skip
            session.add(row)
            session.flush()
            for account, role in roles:
                staff.grant(session, row.id, account.id, role)
            return row

        return self.merchant.database.transact(add)

    def browser(self, person: Staff | None = None) -> Browser:
        """A new browser, signed in as this person, or as nobody."""
        client = self.app.test_client()
        with client.session_transaction("/console/") as cookie:
            cookie["csrf_token"] = CSRF
            if person is not None:
                cookie["_user_id"] = self.session_of(person)
                cookie["_fresh"] = True
        signer = URLSafeTimedSerializer(self.app.secret_key or "", salt="wtf-csrf-token")
        return Browser(client, str(signer.dumps(CSRF)), person.login if person else "")

    def session_of(self, person: Staff) -> str:
        """Sign the person in; the token."""
        token, _ = self.merchant.database.transact(
            lambda session: sessions.begin(
                session, person.id, address="127.0.0.1", agent="test", now=self.now
            )
        )
        return token

    def as_role(self, account: OpenAccount, role: str = staff.OWNER) -> Browser:
        """A new browser of somebody new with this role in the account."""
        return self.browser(self.person((account, role)))
