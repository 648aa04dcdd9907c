"""Posters: asked for in the chat, made by the worker, seen and scanned on a phone."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update

from domain import members, outbox, posters
from domain.models import Member, QrTicket
from domain.models import Poster as PosterRow
from jobs.drain import drain
from jobs.posters import CHUNK, prepare
from jobs.process import Process
from tests.jobs.conftest import APP_ID, Shop

UPLOAD, CREATE, SEND = "/cgi-bin/media/upload", "/cgi-bin/qrcode/create", "/cgi-bin/message/custom/send"  # fmt: skip


def ask(shop: Shop, member: members.Recipient, key: str) -> None:
    """What 我的海报 writes."""
    now = shop.context.clock.now()
    message = outbox.Message(shop.account.id, outbox.POSTER, key, {}, now, member.member_id)
    shop.database.transact(lambda session: outbox.put(session, [message], now))


def make(process: Process) -> int:
    return drain(process, outbox.POSTER, prepare, chunk=CHUNK)


def ready(shop: Shop, member: members.Recipient) -> str | None:
    now = shop.context.clock.now()
    found = shop.database.read(
        lambda session: posters.ready_for(session, shop.account.id, member.openid, now)
    )
    return None if found is None else found.media_id


def pictures(shop: Shop, member: members.Recipient) -> list[dict[str, object]]:
    chat = shop.simulator.get(f"/_sim/chats/{member.openid}", account=APP_ID)["messages"]
    return [each for each in chat if each["type"] == "image"]


def test_a_poster_arrives_in_the_chat_and_its_code_leads_to_the_promoter(shop: Shop) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    shop.start_worker()
    shop.start_clock()
    shop.wait_for(lambda: shop.rows("done"))
    (picture,) = pictures(shop, member)
    shop.simulator.post("/_sim/users", name="小红")
    scan = shop.simulator.post(
        "/_sim/scan", user="小红", image_message_id=picture["id"], wait=False
    )
    code = shop.database.read(lambda session: session.scalars(select(QrTicket)).one())
    assert scan is not None
    assert code.ticket in shop.simulator.get("/_sim/pushes", limit=5)["pushes"][0]["xml"]


def test_the_second_wish_uses_the_picture_that_wechat_has(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    make(process)
    ask(shop, member, "P2")
    make(process)
    assert len(pictures(shop, member)) == 2
    assert len(shop.calls(UPLOAD)) == len(shop.calls(CREATE)) == 1


def test_a_new_name_makes_a_new_picture_with_the_same_code(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    make(process)
    shop.database.transact(
        lambda session: members.set_nickname(session, shop.account.id, member.openid, "小明")
    )
    ask(shop, member, "P2")
    make(process)
    assert (len(shop.calls(UPLOAD)), len(shop.calls(CREATE))) == (2, 1)


def test_after_three_days_the_picture_is_uploaded_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    make(process)
    shop.move_clock(3 * 86400)
    shop.simulator.post("/_sim/text", user=member.openid, content="我的海报", wait=False)
    ask(shop, member, "P2")
    make(process)
    assert (len(shop.calls(UPLOAD)), len(shop.calls(CREATE))) == (2, 1)
    assert len(pictures(shop, member)) == 2


def test_before_a_code_lapses_a_new_one_is_made(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    make(process)
    shop.move_clock(26 * 86400)
    shop.simulator.post("/_sim/text", user=member.openid, content="我的海报", wait=False)
    ask(shop, member, "P2")
    make(process)
    codes = shop.database.read(lambda session: list(session.scalars(select(QrTicket))))
    assert len(codes) == 2
    assert len({code.scene_id for code in codes}) == 1


def test_with_the_window_closed_the_poster_is_ready_for_the_next_wish(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.move_clock(120)  # subscribing opens it for a minute
    ask(shop, member, "P1")
    make(process)
    assert (shop.row("P1").state, shop.row("P1").delivery) == ("done", "window_closed")
    assert ready(shop, member) is not None


def test_a_poster_answers_at_once_only_while_it_is_true_and_kept(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    assert ready(shop, member) is None
    ask(shop, member, "P1")
    make(process)
    assert ready(shop, member) is not None
    rename = update(Member).where(Member.id == member.member_id)
    shop.database.transact(lambda session: session.execute(rename.values(nickname="小明")))
    assert ready(shop, member) is None
    shop.database.transact(lambda session: session.execute(rename.values(nickname="大明")))
    assert ready(shop, member) is not None
    shop.move_clock(3 * 86400 - 1800)
    assert ready(shop, member) is None


def test_a_picture_that_wechat_forgot_is_uploaded_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    make(process)
    forgotten = update(PosterRow).values(media_id="nobody-knows-me")
    shop.database.transact(lambda session: session.execute(forgotten))
    ask(shop, member, "P2")
    make(process)
    assert shop.row("P2").state == "done"
    assert len(pictures(shop, member)) == 2


def test_a_lost_answer_does_not_send_the_poster_twice(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.fault(drop_answer_rate=1.0, paths=[SEND])
    ask(shop, member, "P1")
    make(process)
    assert (shop.row("P1").state, shop.row("P1").delivery) == ("done", "unknown")
    assert len(pictures(shop, member)) == 1


def test_a_code_whose_answer_was_lost_is_asked_for_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    shop.fault(drop_answer_rate=1.0, paths=[CREATE])
    ask(shop, member, "P1")
    make(process)
    assert (shop.row("P1").state, shop.row("P1").first_try_at) == ("pending", None)
    shop.fault(drop_answer_rate=0.0)
    shop.move_clock(6)
    make(process)
    assert len(pictures(shop, member)) == 1


def test_a_suspended_promoter_gets_no_poster(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    suspend = update(Member).where(Member.id == member.member_id).values(status="suspended")
    shop.database.transact(lambda session: session.execute(suspend))
    ask(shop, member, "P1")
    make(process)
    assert (shop.row("P1").state, shop.row("P1").delivery) == ("done", "suspended")
    assert shop.calls(CREATE) == []


def test_a_member_who_is_gone_from_the_database_fails_alone(shop: Shop, process: Process) -> None:
    here, gone = shop.follower("大明"), shop.follower("小红")
    ask(shop, gone, "P1")
    ask(shop, here, "P2")
    shop.database.transact(
        lambda session: session.execute(delete(Member).where(Member.id == gone.member_id))
    )
    make(process)
    assert len(pictures(shop, here)) == 1


def test_many_wishes_at_once_make_one_scene_each(shop: Shop, process: Process) -> None:
    people = [shop.follower(f"会员{number}") for number in range(12)]
    for number, member in enumerate(people):
        ask(shop, member, f"P{number}")
        ask(shop, member, f"Q{number}")
    make(process)
    assert {row.state for row in shop.rows()} == {"done"}
    count = select(func.count(QrTicket.scene_id.distinct()))
    assert shop.database.read(lambda session: session.scalar(count)) == 12
