"""订阅通知, promotions and the member's language on the pages."""

from __future__ import annotations

from sqlalchemy.orm import Session

from domain import members, notices, subscriptions
from tests.web.h5.conftest import Village

TEMPLATES = ("tpl-a", "tpl-b", "tpl-c", "tpl-d")


def offer(village: Village) -> None:
    """Four templates for subscription notices; mei has allowed two messages of the second."""
    occasions = (
        notices.FRIEND_JOINED,
        notices.COMMISSION_SETTLED,
        notices.WITHDRAWAL_PAID,
        notices.GRADE_UP,
    )
    mei = village.paying.member_id("mei")

    def work(session: Session) -> None:
        for occasion, template in zip(occasions, TEMPLATES, strict=True):
            notices.set_template(
                session, village.account.id, occasion, template, channel=notices.SUBSCRIPTION
            )
        for _ in range(2):
            subscriptions.add(session, mei, "tpl-b", village.now)

    village.database.transact(work)


def test_popup_is_offered_for_three_templates_at_a_time_fewest_left_first(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    assert "wx-open-subscribe" not in phone.open("notices").text
    offer(village)
    page = phone.open("notices").text
    assert 'template="tpl-a,tpl-c,tpl-d"' in page
    assert 'template="tpl-b"' in page
    assert "还可发 2 条" in page


def test_what_is_left_of_one_account_is_not_shown_in_another(village: Village) -> None:
    village.person("mei")
    village.person("eve")
    offer(village)
    assert "还可发 0 条" in village.phone("eve").open("notices").text


def test_promotions_are_switched_apart_from_notices(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    token = phone.csrf()
    phone.post("notices", token, promotions="off")
    member = village.member("mei")
    assert member is not None
    assert (member.muted, member.promotions_muted) == (False, True)
    phone.post("notices", token, promotions="on")
    member = village.member("mei")
    assert member is not None
    assert not member.promotions_muted


def test_pages_speak_the_members_language(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    assert 'lang="zh-CN"' in phone.open("").text
    village.database.transact(lambda s: members.set_language(s, village.account.id, "mei", "en"))
    assert 'lang="en"' in phone.open("").text
