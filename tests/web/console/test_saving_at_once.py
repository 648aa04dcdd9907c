"""Two people save the same thing at the same instant: one of them is told, and nobody's words are lost in silence."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

import pytest

from domain import texts, wordings
from domain.accounts import OpenAccount
from domain.db import Database
from tests.races.together import Meeting, met_after, together
from tests.support.databases import Schemas, emptied
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console

KEY = "follow.welcome"
LANG = "zh-CN"
TOLD = "别人刚刚改过"


@pytest.fixture
def database(schemas: Schemas) -> Generator[Database]:
    """MariaDB with real commits."""
    with emptied(schemas.live("mariadb")) as made:
        yield made


def _save(browser: Browser, was: str, body: str) -> str:
    """What the browser is told: "" when it was saved."""
    answer = browser.post(
        "/console/tea/texts/save", key=KEY, lang=LANG, was=was, body=body, without="1"
    )
    assert answer.status_code in {200, 302}
    return "" if answer.status_code == 302 else answer.text


@pytest.mark.parametrize(("was", "guarded"), [("", True), ("旧的说法", True), ("旧的说法", False)])
def test_of_two_wordings_of_one_text_the_later_is_refused(
    console: Console, merchant: Merchant, account: OpenAccount, monkeypatch: pytest.MonkeyPatch,
    was: str, guarded: bool,
) -> None:  # fmt: skip
    """Without the lock both look before either writes: over one that is there, the first is lost without a word."""
    if was:
        merchant.database.transact(lambda s: texts.set_override(s, account.id, KEY, was, LANG))
    meeting = Meeting(guarded=guarded)
    monkeypatch.setattr(texts, "stored", met_after(texts.stored, meeting))
    if not guarded:
        monkeypatch.setattr(wordings, "lock", lambda *_: None)
    bodies = ["安娜的说法", "鲍勃的说法"]
    browsers = [console.as_role(account) for _ in bodies]
    told = together(
        [partial(_save, one, was, body) for one, body in zip(browsers, bodies, strict=True)]
    )
    assert meeting.happened is not guarded
    refused = [words for words in told if words]
    assert len(refused) == (1 if guarded else 0)
    assert all(TOLD in words for words in refused)
    kept = merchant.database.read(lambda s: texts.stored(s, account.id, LANG))[KEY]
    assert not guarded or told[bodies.index(kept)] == ""
