"""One notice, several channels: the next is asked when one cannot, and what none can tell waits for the next visit."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain import accounts, members, notices, outbox, subscriptions, windows
from domain.models import Notice, Outbox
from jobs import notify, templates
from jobs.arrange import arrange
from jobs.drain import drain
from jobs.process import Process
from tests.jobs.conftest import APP_ID, Shop

SUBSCRIBED = "sub-accrued"
CONTENT = "好友昵称:{{thing1.DATA}}\n佣金金额:{{amount2.DATA}}\n时间:{{time3.DATA}}"


def send_due(process: Process) -> int:
    return drain(process, outbox.NOTICE, notify.prepare, arrange=arrange)


@pytest.fixture
def ladder(shop: Shop) -> Shop:
    """A shop that knows a subscription template of the platform as well."""
    shop.simulator.post(
        "/_sim/accounts", app_id=APP_ID, secret="s" * 32, token="token1", aes_key="a" * 43, gh_id="gh_jobs",
        name="榕树小店", subscription_templates=[{"template_id": SUBSCRIBED, "title": "佣金", "content": CONTENT}],
    )  # fmt: skip
    shop.database.transact(
        lambda s: notices.set_template(
            s, shop.account.id, notices.COMMISSION_ACCRUED, SUBSCRIBED, channel=notices.SUBSCRIPTION
        )
    )
    return shop


def choose(shop: Shop, **settings: Any) -> None:
    def write(session: Any) -> None:
        accounts.change_settings(session, accounts.get(session, shop.account.slug), settings)

    shop.database.transact(write)


def allow(shop: Shop, person: members.Recipient) -> None:
    """The person accepts the pop-up, here and there."""
    shop.simulator.post(
        "/_sim/subscribe", user=person.openid, account=APP_ID, templates=[SUBSCRIBED], wait=False
    )
    now = shop.context.clock.now()
    shop.database.transact(lambda s: subscriptions.add(s, person.member_id, SUBSCRIBED, now))


def refuse_templates(shop: Shop) -> None:
    shop.fault(refused_people={}, paths=["/cgi-bin/message/template/send"], quota={})
    shop.database.transact(
        lambda s: notices.set_template(
            s, shop.account.id, notices.COMMISSION_ACCRUED, "a-template-that-is-gone"
        )
    )


def speak(shop: Shop, person: members.Recipient) -> None:
    """The person wrote to us: WeChat opens its window, and so do we."""
    shop.simulator.post("/_sim/text", user=person.openid, content="你好", wait=False)
    now = shop.context.clock.now()
    touch = (shop.account.id, person.member_id, "text", now)
    shop.database.transact(lambda s: windows.record(s, [touch]))


def unread(shop: Shop, person: members.Recipient) -> int:
    found = shop.database.read(
        lambda s: notices.waiting_for(s, shop.account.id, person.openid, limit=10)
    )
    return found.count


def messages(shop: Shop, person: members.Recipient, kind: str) -> list[dict[str, Any]]:
    chat = shop.simulator.get(f"/_sim/chats/{person.openid}", account=APP_ID)
    return [each for each in chat["messages"] if each["type"] == kind]


def test_notice_falls_rung_by_rung(ladder: Shop, process: Process) -> None:
    member = ladder.follower("大明")
    ladder.move_clock(300)
    ladder.tell(member.member_id, "N1")
    send_due(process)
    assert ladder.row("N1").channel == notices.TEMPLATE

    refuse_templates(ladder)
    allow(ladder, member)
    ladder.tell(member.member_id, "N2")
    send_due(process)
    assert ladder.row("N2").channel == notices.SUBSCRIPTION

    ladder.move_clock(300)
    speak(ladder, member)
    ladder.tell(member.member_id, "N3")
    send_due(process)
    assert ladder.row("N3").channel == notices.CUSTOM

    ladder.move_clock(3 * 86400)
    ladder.tell(member.member_id, "N4")
    send_due(process)
    assert ladder.row("N4").channel == notices.INBOX
    assert "40037" in (ladder.row("N4").last_error or "")
    assert unread(ladder, member) == 1
    assert [row.state for row in ladder.rows()] == ["done"] * 4


def test_muted_member_hears_of_withdrawals_at_the_next_visit_and_of_nothing_else(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.database.transact(
        lambda s: members.set_muted(s, shop.account.id, member.openid, muted=True)
    )
    shop.tell(member.member_id, "N1")
    now = shop.context.clock.now()
    news = notices.News(
        shop.account.id, member.member_id, notices.WITHDRAWAL_PAID, "W1",
        {"amount_fen": 100, "net_fen": 100, "withdrawal": 1, "at": now.isoformat()},
    )  # fmt: skip
    shop.database.transact(lambda s: notices.tell(s, [news], now))
    send_due(process)
    assert shop.cards(member.openid) == []
    assert shop.row("N1").delivery == notify.MUTED
    assert unread(shop, member) == 1


def test_burst_becomes_one_message_that_names_all_and_tells_nobody_twice(
    shop: Shop, process: Process
) -> None:
    choose(shop, merge_seconds=60, merge_above=1)
    member = shop.follower("大明")
    shop.tell(member.member_id, *[f"B{number}" for number in range(6)])
    send_due(process)
    send_due(process)
    assert len(shop.cards(member.openid)) == 1
    [carrier] = [row for row in shop.rows() if row.dedupe_key.startswith("merged-")]
    assert carrier.state == "done"
    carried = [row for row in shop.rows("done") if row.carried_by == carrier.dedupe_key]
    assert len(carried) == 6
    assert len(shop.database.read(lambda s: list(s.query(Notice)))) == 6


def test_digest_waits_for_its_hour_and_tells_levels_two_and_three_together(
    shop: Shop, process: Process
) -> None:
    choose(shop, digest="daily", digest_hour=20)
    member = shop.follower("大明")
    shop.tell(member.member_id, "D2", level=2)
    shop.tell(member.member_id, "D3", level=3)
    shop.tell(member.member_id, "D1", level=1)
    send_due(process)
    assert shop.row("D1").state == "done"
    assert [shop.row(key).state for key in ("D2", "D3")] == ["pending", "pending"]
    shop.move_clock(86400)
    send_due(process)
    send_due(process)
    assert len(shop.cards(member.openid)) == 2
    assert {shop.row(key).state for key in ("D2", "D3")} == {"done"}


def test_merge_that_dies_before_it_is_written_loses_and_doubles_nothing(
    shop: Shop, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed worker leaves: the rows as they were, until the lease ends."""
    choose(shop, merge_seconds=60, merge_above=1)
    member = shop.follower("大明")
    shop.tell(member.member_id, *[f"B{number}" for number in range(4)])

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "merge", die)
        with pytest.raises(Killed):
            send_due(process)
    assert shop.cards(member.openid) == []
    shop.move_clock(outbox.LEASE_SECONDS + 1)
    send_due(process)
    shop.move_clock(outbox.LEASE_SECONDS + 60)
    send_due(process)
    told = {one for card in shop.cards(member.openid) for one in [card["id"]]}
    rows: list[Outbox] = shop.rows()
    assert {row.state for row in rows} == {"done"}
    assert told
    covered = [row for row in rows if row.carried_by is not None or row.provider_msg_id]
    assert len(covered) == len(rows)


def test_card_is_in_the_language_of_its_member(shop: Shop, process: Process) -> None:
    english, taiwanese = shop.follower("Ann"), shop.follower("阿明")
    for person, lang in ((english, "en"), (taiwanese, "zh-TW")):
        shop.database.transact(
            lambda s, person=person, lang=lang: members.set_language(  # type: ignore[misc]
                s, shop.account.id, person.openid, lang
            )
        )
        shop.tell(person.member_id, f"L-{lang}")
    send_due(process)

    def shown(person: members.Recipient) -> dict[str, str]:
        (card,) = shop.cards(person.openid)
        return {one["label"]: one["value"] for one in card["fields"]}

    assert shown(english)["佣金状态"] != shown(taiwanese)["佣金状态"]
    assert shown(taiwanese)["佣金状态"] == "凍結中"


def test_two_workers_merge_a_burst_into_one_message(shop: Shop, process: Process) -> None:
    choose(shop, merge_seconds=60, merge_above=1)
    member = shop.follower("大明")
    keys = [f"N{number}" for number in range(12)]
    shop.tell(member.member_id, *keys)
    with ThreadPoolExecutor(2) as pool:
        sent = [
            pool.submit(drain, process, outbox.NOTICE, notify.prepare, arrange=arrange, chunk=6)
            for _ in range(2)
        ]
        for each in sent:
            each.result(60)
    shop.move_clock(61)
    send_due(process)
    rows = shop.rows("done")
    told = [
        key
        for row in rows
        if row.delivery != outbox.MERGED
        for key in notices.keys_of(row.dedupe_key, json.loads(row.payload))
    ]
    assert sorted(told) == sorted(keys)
    assert shop.rows("pending", "claimed", "dead", "unsure") == []
    assert len(messages(shop, member, "template")) <= 3


def test_chosen_templates_that_wechat_has_not_are_noted_until_they_are_mended(
    shop: Shop, process: Process
) -> None:
    refuse_templates(shop)
    assert templates.check_all(process) == 1
    assert templates.check_all(process) == 0

    def problem() -> str | None:
        chosen = shop.database.read(lambda s: notices.templates_of(s, shop.account.id))
        return chosen[notices.COMMISSION_ACCRUED].problem

    assert problem() == "WeChat has no such template"
    known = [{"template_id": "a-template-that-is-gone", "content": CONTENT}]
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, templates=known)
    templates.check_all(process)
    assert problem() is None
