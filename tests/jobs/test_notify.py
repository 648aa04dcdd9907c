"""Cards: a notice in the outbox becomes a template message on the phone, or there is a reason why not."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from domain import members, notices, outbox, scenes
from domain.errors import Invalid
from domain.models import Outbox
from domain.secrets import short_digest
from jobs.process import Process
from tests.jobs.conftest import APP_ID, TEMPLATE, Shop, send_due

SEND = "/cgi-bin/message/template/send"


def test_a_notice_reaches_the_phone_through_clock_and_worker(shop: Shop) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1")
    shop.start_worker()
    shop.start_clock()
    shop.wait_for(lambda: shop.cards(member.openid))
    (card,) = shop.cards(member.openid)
    shown = {one["label"]: one["value"] for one in card["fields"]}
    assert shown["好友昵称"] == "小红"
    assert shown["订单编号"] == "N1"
    assert shown["佣金金额"] == "12.34元"
    assert shown["佣金状态"] == "冻结中"
    shop.wait_for(lambda: shop.rows("done"))
    assert shop.row("N1").provider_msg_id is not None


def test_what_was_sent_is_not_sent_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1", "N2")
    assert send_due(process) == 2
    assert send_due(process) == 0
    assert sorted(shop.orders_on_cards(member.openid)) == ["N1", "N2"]


def test_every_try_carries_the_same_id_made_from_the_key(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1")
    shop.fault(http_500_rate=1.0, paths=[SEND])
    send_due(process)
    shop.fault(http_500_rate=0.0)
    shop.move_clock(6)
    send_due(process)
    ids = {json.loads(call["body"])["client_msg_id"] for call in shop.calls(SEND)}
    assert len(shop.calls(SEND)) == 2
    assert ids == {short_digest("notice-N1")}


def test_a_muted_member_gets_no_card_and_keeps_the_inbox(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.database.transact(
        lambda session: members.set_muted(session, shop.account.id, member.openid, True)
    )
    shop.tell(member.member_id, "N1")
    send_due(process)
    assert (shop.row("N1").state, shop.row("N1").delivery) == ("done", "muted")
    assert shop.calls(SEND) == []
    inbox = shop.database.read(lambda session: notices.latest_of(session, member.member_id))
    assert [each.notice_key for each in inbox] == ["N1"]


def test_somebody_who_left_gets_no_card(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    later = shop.context.clock.now() + timedelta(seconds=5)
    shop.database.transact(
        lambda session: members.leave(
            session, shop.account, member.openid, created=int(later.timestamp()), push_key="leave", now=later
        )
    )  # fmt: skip
    shop.tell(member.member_id, "N1")
    send_due(process)
    assert (shop.row("N1").state, shop.row("N1").delivery) == ("done", "left")
    assert shop.calls(SEND) == []


def test_an_occasion_without_template_stays_in_the_inbox(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    now = shop.context.clock.now()
    odd = outbox.Message(
        shop.account.id, outbox.NOTICE, "odd", {"occasion": "birthday"}, now, member.member_id
    )
    shop.database.transact(lambda session: outbox.put(session, [odd], now))
    send_due(process)
    assert (shop.row("odd").state, shop.row("odd").delivery) == ("done", "no_template")


def test_a_refusal_because_they_left_ends_the_message_and_is_noted_on_the_member(
    shop: Shop, process: Process
) -> None:
    upline, member = shop.follower("大明"), shop.follower("小红")
    _bind(shop, upline, member)
    shop.move_clock(120)  # the refusal counts a minute back, for clocks that differ
    shop.simulator.post("/_sim/unfollow", user=member.openid, wait=False)
    shop.tell(member.member_id, "N1")
    send_due(process)
    row = shop.row("N1")
    assert row.state == "dead"
    assert "43004" in (row.last_error or "")
    known = shop.database.read(lambda session: members.get(session, shop.account.id, member.openid))
    assert not known.following
    seen = shop.database.read(
        lambda session: members.summary(session, shop.account.id, upline.openid)
    )
    assert seen is not None
    assert (seen.levels[1].people, seen.levels[1].following) == (1, 0)


def _bind(shop: Shop, upline: members.Recipient, member: members.Recipient) -> None:
    now = shop.context.clock.now()

    def bind(session: Session) -> members.Touch:
        scene = scenes.of_member(session, shop.account.id, upline.member_id, now)
        return members.scan(
            session, shop.account, member.openid, scene_code=scene.code,
            created=int(now.timestamp()), push_key="scan", now=now,
        )  # fmt: skip

    assert shop.database.transact(bind).referrer == "大明"


def test_an_answer_that_was_lost_is_asked_for_again_and_shown_once(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1")
    shop.fault(drop_answer_rate=1.0, paths=[SEND])
    send_due(process)
    assert shop.row("N1").state == "pending"
    shop.fault(drop_answer_rate=0.0)
    shop.move_clock(6)
    send_due(process)
    assert shop.row("N1").state == "done"
    assert shop.orders_on_cards(member.openid) == ["N1"]


def test_a_lost_answer_after_the_ten_minutes_leaves_the_row_unsure(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1")
    shop.fault(drop_answer_rate=1.0, paths=[SEND])
    for _ in range(8):
        send_due(process)
        shop.move_clock(300)
    assert shop.row("N1").state == "unsure"
    assert shop.orders_on_cards(member.openid) == ["N1"]


def test_a_refused_connection_does_not_start_the_ten_minutes(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1")
    shop.fault(busy_rate=1.0, paths=[SEND])
    send_due(process)
    row = shop.row("N1")
    assert (row.state, row.attempts, row.first_try_at) == ("pending", 1, None)
    shop.fault(busy_rate=0.0)
    shop.move_clock(900)
    shop.fault(drop_answer_rate=1.0)
    send_due(process)
    assert shop.row("N1").state == "pending"


def test_quota_used_up_waits_for_the_next_window_and_costs_no_attempt(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.fault(quota={SEND: 1})
    shop.tell(member.member_id, "N1")
    send_due(process)
    shop.tell(member.member_id, "N2")
    send_due(process)
    row = shop.row("N2")
    assert (row.state, row.attempts) == ("pending", 0)
    assert row.next_at > shop.context.clock.now() + timedelta(minutes=1)
    assert row.first_try_at is None


def test_a_wrong_secret_costs_no_attempt_and_the_cards_come_after_the_repair(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1")
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, secret="x" * 32)
    send_due(process)
    row = shop.row("N1")
    assert (row.state, row.attempts) == ("pending", 0)
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, secret="s" * 32)
    shop.context._clients.clear()  # a new process: the old client keeps quiet for ten real seconds
    shop.move_clock(601)
    send_due(process)
    assert shop.orders_on_cards(member.openid) == ["N1"]


def test_a_token_that_somebody_else_replaced_is_fetched_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.fault(rotate_token_every=19)  # once while these are sent
    keys = [f"N{number}" for number in range(20)]
    shop.tell(member.member_id, *keys)

    def all_are_sent() -> bool:  # the token service counts real seconds between two refusals
        send_due(process)
        shop.move_clock(61)
        return not shop.rows("pending", "claimed")

    shop.wait_for(all_are_sent)
    assert {row.state for row in shop.rows()} == {"done"}
    assert sorted(shop.orders_on_cards(member.openid)) == sorted(keys)


@pytest.mark.parametrize(
    "damage", ['{"occasion":"commission_accrued","level":9}', "[]", "not json"]
)
def test_a_poisoned_row_stops_nobody_else_and_is_given_up_after_eight_tries(
    shop: Shop, process: Process, damage: str
) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "N1", "poison", "N2")
    bad = update(Outbox).where(Outbox.dedupe_key == "notice-poison").values(payload=damage)
    shop.database.transact(lambda session: session.execute(bad))
    send_due(process)
    assert sorted(shop.orders_on_cards(member.openid)) == ["N1", "N2"]
    tries = 1
    while shop.row("poison").state == "pending":
        shop.move_clock(7201)
        send_due(process)
        tries += 1
    assert (shop.row("poison").state, tries) == ("dead", 8)


def test_a_template_can_be_told_what_each_keyword_shows(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    fields = {
        "thing1": "level", "character_string2": "order_no", "amount3": "paid", "phrase4": "status", "time5": "time"
    }  # fmt: skip
    shop.database.transact(
        lambda session: notices.set_template(
            session, shop.account.id, notices.COMMISSION_ACCRUED, TEMPLATE, fields
        )
    )
    shop.tell(member.member_id, "N1")
    send_due(process)
    (card,) = shop.cards(member.openid)
    shown = {one["key"]: one["value"] for one in card["fields"]}
    assert shown["thing1"] == "一级好友"
    assert shown["amount3"] == "123.40元"


def test_a_keyword_cannot_ask_for_something_that_no_notice_has(shop: Shop) -> None:
    with pytest.raises(Invalid):
        shop.database.transact(
            lambda session: notices.set_template(
                session, shop.account.id, notices.COMMISSION_ACCRUED, TEMPLATE, {"thing1": "salary"}
            )
        )


def test_a_template_that_wechat_does_not_describe_gets_the_default_keywords(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, templates=[])
    shop.tell(member.member_id, "N1")
    send_due(process)
    (card,) = shop.cards(member.openid)
    assert {one["key"]: one["value"] for one in card["fields"]}["amount3"] == "12.34元"
