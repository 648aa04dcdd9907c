"""What follows behind a passive reply: in order, once, with files that WeChat keeps for three days only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain import bodies, members, outbox, replies, uploads
from domain.bodies import Article, Body, MediaBody, NewsBody, TextBody
from domain.errors import Conflict
from jobs import replies as job
from jobs.drain import drain
from jobs.process import Process
from tests.jobs.conftest import APP_ID, Shop
from web import materials
from wechat.errors import Retryable

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def leave(shop: Shop, openid: str, said: Sequence[Body]) -> None:
    """A row as bot/saying.py writes it."""
    now = shop.context.clock.now()
    payload = {"openid": openid, "messages": bodies.as_values(said), "number": 1}
    message = outbox.Message(shop.account.id, outbox.REPLY, "reply-1-k", payload, now)
    shop.database.transact(lambda s: outbox.put(s, [message], now))


def chat(shop: Shop, openid: str) -> list[dict[str, Any]]:
    found = shop.simulator.get(f"/_sim/chats/{openid}", account=APP_ID)["messages"]
    return [
        each
        for each in found
        if each["type"] in {"text", "news", "image"} and each.get("from") != "user"
    ]


def talked(shop: Shop) -> str:
    """A follower whose reply window is open."""
    openid = shop.follower("大明").openid
    shop.simulator.post("/_sim/text", user=openid, content="你好", wait=False)
    return openid


def upload(shop: Shop) -> int:
    now = shop.context.clock.now()

    def add(session: Session) -> int:
        row = uploads.add(
            session, shop.account.id, kind="image", name="a.png", content=PNG, actor="小王", now=now
        )
        replies.put(session, shop.account.id, "图", [MediaBody("image", row.id)])
        return row.id

    return shop.database.transact(add)


def test_messages_arrive_in_order_and_once(shop: Shop, process: Process) -> None:
    openid = talked(shop)
    before = len(shop.calls("/cgi-bin/message/custom/send"))
    said: list[Body] = [
        TextBody("一"),
        NewsBody((Article("二", "", "https://tea.example", ""),)),
        TextBody("三"),
    ]
    leave(shop, openid, said)
    while drain(process, outbox.REPLY, job.prepare):
        pass
    rows = shop.rows("done")
    assert [row.dedupe_key for row in rows if row.topic == outbox.REPLY] == [
        "reply-1-k",
        "reply-1-k+2",
        "reply-1-k+3",
    ]
    assert len(shop.calls("/cgi-bin/message/custom/send")) - before == 3
    kinds = [each["type"] for each in chat(shop, openid)][-3:]
    assert kinds == ["text", "news", "text"]


def test_a_file_is_uploaded_once_and_again_before_wechat_forgets_it(
    shop: Shop, process: Process
) -> None:
    openid = talked(shop)
    media = upload(shop)
    assert job.renew(process) == 1
    assert job.renew(process) == 0
    leave(shop, openid, [MediaBody("image", media)])
    drain(process, outbox.REPLY, job.prepare)
    assert shop.rows("done")
    assert len(shop.calls("/cgi-bin/media/upload")) == 1
    shop.move_clock(timedelta(days=2, hours=13).total_seconds())
    assert job.renew(process) == 1
    assert len(shop.calls("/cgi-bin/media/upload")) == 2


def test_a_file_that_wechat_forgot_early_is_uploaded_again(shop: Shop, process: Process) -> None:
    openid = talked(shop)
    media = upload(shop)
    later = shop.context.clock.now() + timedelta(days=2)
    shop.database.transact(lambda s: uploads.keep_id(s, media, "gone", later))
    leave(shop, openid, [MediaBody("image", media)])
    drain(process, outbox.REPLY, job.prepare)
    [row] = shop.rows("done")
    assert row.topic == outbox.REPLY
    known = shop.database.read(lambda s: uploads.known(s, shop.account.id))[media]
    assert known.media_id not in {None, "gone"}


def library(shop: Shop) -> int:
    client = shop.context.platform(shop.account)
    return int(client.get("/cgi-bin/material/get_materialcount")["image_count"])


def test_a_permanent_file_is_uploaded_once_and_taken_out_when_it_ends(
    shop: Shop, process: Process
) -> None:
    openid = talked(shop)
    media = upload(shop)
    assert job.renew(process) == 1
    materials.set_permanent(shop.context, shop.account, media, True, actor="小王")
    known = shop.database.read(lambda s: uploads.known(s, shop.account.id))[media]
    assert known.usable_id(shop.context.clock.now()), "what WeChat has stays in use until then"
    assert job.renew(process) == 1
    shop.move_clock(timedelta(days=400).total_seconds())
    assert job.renew(process) == 0
    shop.simulator.post("/_sim/text", user=openid, content="在吗", wait=False)
    leave(shop, openid, [MediaBody("image", media)])
    drain(process, outbox.REPLY, job.prepare)
    assert chat(shop, openid)[-1]["type"] == "image"
    assert library(shop) == 1
    with pytest.raises(Conflict):
        materials.remove(shop.context, shop.account, media, actor="小王")
    assert library(shop) == 1
    materials.set_permanent(shop.context, shop.account, media, False, actor="小王")
    assert library(shop) == 0
    assert job.renew(process) == 1
    assert len(shop.calls("/cgi-bin/material/add_material")) == 1


def test_a_permanent_upload_that_came_too_late_leaves_nothing_in_the_library(
    shop: Shop, process: Process
) -> None:
    media = upload(shop)
    materials.set_permanent(shop.context, shop.account, media, True, actor="小王")
    client = shop.context.platform(shop.account)
    first = job.upload(process, client, shop.account.id, media)
    with pytest.raises(Retryable):
        job.upload(process, client, shop.account.id, media)
    known = shop.database.read(lambda s: uploads.known(s, shop.account.id))[media]
    assert known.media_id == first
    assert library(shop) == 1


def test_a_permanent_video_has_a_title(shop: Shop, process: Process) -> None:
    now = shop.context.clock.now()
    film = b"\0\0\0\x18ftypmp42" + b"\0" * 40

    def add(session: Session) -> int:
        row = uploads.add(
            session,
            shop.account.id,
            kind="video",
            name="炒茶.mp4",
            content=film,
            actor="小王",
            now=now,
        )
        uploads.set_permanent(session, shop.account.id, row.id, True)
        return row.id

    media = shop.database.transact(add)
    job.upload(process, shop.context.platform(shop.account), shop.account.id, media)
    known = shop.database.read(lambda s: uploads.known(s, shop.account.id))[media]
    assert known.expires_at == uploads.FOREVER


def test_a_closed_window_ends_the_answer(shop: Shop, process: Process) -> None:
    openid = talked(shop)
    shop.move_clock(timedelta(hours=49).total_seconds())
    leave(shop, openid, [TextBody("一"), TextBody("二")])
    while drain(process, outbox.REPLY, job.prepare):
        pass
    [row] = [each for each in shop.rows() if each.topic == outbox.REPLY]
    assert (row.state, row.delivery) == ("done", job.WINDOW_CLOSED)


def test_who_left_is_told_nothing_more(shop: Shop, process: Process) -> None:
    person = shop.follower("小红")
    now = shop.context.clock.now()
    payload = {"openid": person.openid, "messages": bodies.as_values([TextBody("一")]), "number": 1}
    message = outbox.Message(
        shop.account.id, outbox.REPLY, "reply-1-l", payload, now, person.member_id
    )
    shop.database.transact(lambda s: outbox.put(s, [message], now))
    created = int(now.timestamp()) + 1
    shop.database.transact(
        lambda s: members.leave(
            s, shop.account, person.openid, created=created, push_key="l", now=now
        )
    )
    drain(process, outbox.REPLY, job.prepare)
    assert (shop.row("reply-1-l").state, shop.row("reply-1-l").delivery) == ("done", job.LEFT)
    assert shop.calls("/cgi-bin/message/custom/send") == []


def test_voices_and_videos_follow_too(shop: Shop, process: Process) -> None:
    openid = talked(shop)
    now = shop.context.clock.now()

    def add(session: Session, kind: str, name: str, content: bytes) -> int:
        return uploads.add(
            session, shop.account.id, kind=kind, name=name, content=content, actor="小王", now=now
        ).id

    voice = shop.database.transact(lambda s: add(s, "voice", "a.mp3", b"ID3" + b"\0" * 40))
    video = shop.database.transact(
        lambda s: add(s, "video", "a.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 40)
    )
    leave(shop, openid, [MediaBody("voice", voice), MediaBody("video", video, "标题", "说明")])
    while drain(process, outbox.REPLY, job.prepare):
        pass
    rows = [each for each in shop.rows() if each.topic == outbox.REPLY]
    assert [(each.state, each.last_error, each.delivery) for each in rows] == [
        ("done", None, None)
    ] * 2
