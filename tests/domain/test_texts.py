"""The sentences for people, and the merchant's own wording of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import ModuleType

import pytest
from sqlalchemy.orm import Session

from domain import bindings, notices, rules, texts
from domain.db import Database
from domain.errors import Invalid
from domain.models import TextOverride
from domain.texts import PLACEHOLDERS, TEXTS, Words

ACCOUNT = 7


def test_every_text_can_be_rendered_with_its_placeholders() -> None:
    for key, names in PLACEHOLDERS.items():
        rendered = texts.render(key, {}, **dict.fromkeys(names, "X"))
        assert "{" not in rendered
        assert rendered.strip()


def _constants(module: ModuleType) -> set[str]:
    """The values of a module's public words: NO_RULE and its like."""
    found = vars(module).items()
    return {
        value
        for name, value in found
        if re.fullmatch("[A-Z][A-Z_]*", name) and isinstance(value, str)
    }


def test_every_reason_state_and_occasion_has_words() -> None:
    refusals, nobody = _constants(bindings), _constants(rules)
    wanted = {f"refused.{reason}" for reason in refusals}
    wanted |= {f"nobody.{reason}" for reason in nobody}
    # An alert is for staff: a card or a webhook, never a sentence in the chat.
    wanted |= {f"notice.{one}" for one in notices.OCCASIONS if one != notices.RISK_ALERT}
    wanted |= {f"state.{state}" for state in ("frozen", "settled", "voided", "clawed_back")}
    assert len(refusals) >= 7
    assert len(nobody) >= 7
    assert wanted - set(TEXTS) == set()


def test_a_notice_reads_its_stored_parameters() -> None:
    params = {
        "order_no": "A1", "friend": "小明", "level": 2, "amount_fen": 299, "paid_fen": 2997,
        "at": "2026-03-01T00:00:00+00:00",
    }  # fmt: skip
    words = Words()
    assert (
        words.notice("commission_accrued", params)
        == "二级朋友 小明 下单 ¥29.97，您得到佣金 ¥2.99，冻结中"
    )
    assert words.values_of(params)["at"] == "2026-03-01 08:00"


def test_dates_are_chinas() -> None:
    late = datetime(2026, 2, 28, 16, 30, tzinfo=UTC)
    assert texts.day(late) == "2026-03-01"
    assert texts.minute(late) == "2026-03-01 00:30"


def test_the_merchants_wording_is_kept_replaced_and_given_up(database: Database) -> None:
    def word(session: Session, body: str | None) -> None:
        texts.set_override(session, ACCOUNT, "scan.bound", body)

    database.transact(lambda s: word(s, "您好 {referrer}"))
    database.transact(lambda s: word(s, "嗨 {referrer}"))
    found = database.read(lambda s: texts.overrides_of(s, ACCOUNT))
    assert Words(found)("scan.bound", referrer="小明") == "嗨 小明"
    assert database.read(lambda s: texts.overrides_of(s, ACCOUNT + 1)) == {}
    database.transact(lambda s: word(s, None))
    assert database.read(lambda s: texts.overrides_of(s, ACCOUNT)) == {}


@pytest.mark.parametrize(
    "body",
    [
        "{name}",
        "{referrer.__class__}",
        "{referrer[0]}",
        "{referrer!r}",
        "{referrer:>99999999}",
        "{}",
        "{0}",
        "{",
        "}",
        "{referrer",
        "{referrer:{referrer}}",
        "",
        "  ",
        "x" * 2001,
    ],
)
def test_a_wording_uses_plain_known_placeholders_or_is_refused(body: str) -> None:
    with pytest.raises(Invalid):
        texts.check_override("scan.bound", body)


def test_an_unknown_text_cannot_be_worded() -> None:
    with pytest.raises(Invalid):
        texts.check_override("no.such", "x")


def test_braces_can_be_written() -> None:
    texts.check_override("scan.seen", "{{帮助}}")
    assert texts.render("scan.seen", {"scan.seen": "{{帮助}}"}) == "{帮助}"


def test_values_are_never_read_as_placeholders() -> None:
    assert "{referrer.x}" in texts.render("scan.bound", {}, referrer="{referrer.x}")


def test_a_stored_wording_that_became_impossible_gives_way(database: Database) -> None:
    def store(session: Session) -> None:
        session.add(TextOverride(account_id=ACCOUNT, text_key="scan.bound", body="{gone}"))

    database.transact(store)
    assert database.read(lambda s: texts.overrides_of(s, ACCOUNT)) == {}
