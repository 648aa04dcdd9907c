"""Cards: a notice in the outbox becomes a template message on the phone of the member, through a worker process."""

from __future__ import annotations

from tests.jobs.conftest import Shop


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
