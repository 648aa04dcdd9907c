"""Codes in the chat: channels and products that are scanned, typed 邀请码, 商品海报."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot import known
from domain import accounts, code_stats, codes, events, outbox, products, scenes, uploads
from domain.china import day_of
from domain.models import Event, Outbox
from tests.bot.chat import Chat
from tests.bot.test_replies import upload, waiting


def add(chat: Chat, name: str, **more: Any) -> codes.Card:
    now = chat.context.clock.now()
    return chat.do(lambda session: codes.add(session, chat.tea.id, name=name, now=now, **more))


@pytest.fixture
def tea(chat: Chat) -> Chat:
    """With a product."""
    now = chat.context.clock.now()
    chat.do(
        lambda session: products.put(
            session, chat.tea, "TEA-1", name="龙井", price_fen=12800, now=now
        )
    )
    return chat


def follow(chat: Chat, openid: str, scene: str, **more: Any) -> str | None:
    return chat.event(openid, "subscribe", EventKey=f"qrscene_{scene}", Ticket="T", **more).field(
        "Content"
    )


def scan(chat: Chat, openid: str, scene: str) -> Any:
    return chat.event(openid, "SCAN", EventKey=scene, Ticket="T")


def test_a_channels_own_words_answer_who_follows_and_who_scans(chat: Chat) -> None:
    card = add(chat, "橱窗", reply="欢迎光临橱窗")
    assert follow(chat, "anna", card.scene.code) == "欢迎光临橱窗"
    assert scan(chat, "anna", card.scene.code).field("Content") == "欢迎光临橱窗"


def test_a_channel_without_words_of_its_own_says_the_usual(chat: Chat) -> None:
    card = add(chat, "橱窗")
    assert "欢迎关注" in (follow(chat, "anna", card.scene.code) or "")


def test_a_channel_can_answer_with_a_picture(chat: Chat) -> None:
    card = add(chat, "橱窗", media_id="MEDIA")
    reply = scan(chat, "anna", card.scene.code)
    assert (reply.field("MsgType"), reply.field("Image/MediaId")) == ("image", "MEDIA")


def test_a_picture_of_ours_answers_who_follows_and_who_scans_and_follows_when_wechat_has_none(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "KEEP_SECONDS", 0)
    picture = upload(chat, "image", "a.png", b"\x89PNG\r\n\x1a\n1", None)
    card = add(chat, "橱窗", media=picture)
    assert scan(chat, "dan", card.scene.code).is_success
    [[image]] = waiting(chat)
    assert (image["kind"], image["media"]) == ("image", picture)
    later = chat.context.clock.now() + timedelta(days=3)
    chat.do(lambda session: uploads.keep_id(session, picture, "m-image", later))
    for event, key in (("subscribe", f"qrscene_{card.scene.code}"), ("SCAN", card.scene.code)):
        said = chat.event("anna", event, EventKey=key, Ticket="T")
        assert said.field("Image/MediaId") == "m-image"
    assert len(waiting(chat)) == 1


def test_a_product_code_shows_the_product_and_where_it_is_sold(
    tea: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "KEEP_SECONDS", 0)
    card = add(tea, "货架", sku="TEA-1")
    tea.follow("anna")
    assert scan(tea, "anna", card.scene.code).field("Content") == "龙井\n¥128.00"
    tea.do(
        lambda session: accounts.change_settings(
            session,
            accounts.get(session, "tea"),
            {"product_url": "https://shop.example.com/p/{sku}"},
        )
    )
    said = scan(tea, "anna", card.scene.code).field("Content")
    assert said == "龙井\n¥128.00\nhttps://shop.example.com/p/TEA-1"


def test_a_promoters_product_poster_binds_and_shows_the_product(tea: Chat) -> None:
    tea.follow("anna")
    now = tea.context.clock.now()

    def code(session: Any) -> str:
        anna = tea.member("anna")
        assert anna is not None
        return scenes.of_member_product(session, tea.tea.id, anna.id, "TEA-1", now).code

    said = follow(tea, "dan", tea.do(code)) or ""
    assert tea.referrer_of("dan") == "anna"
    assert "邀请了您" in said
    assert said.endswith("龙井\n¥128.00")


def test_an_unknown_or_lapsed_code_is_answered_kindly_and_offers_the_typed_one(chat: Chat) -> None:
    chat.follow("anna")
    said = scan(chat, "anna", "nobody-made-this").field("Content") or ""
    assert "失效" in said
    assert "邀请码" in said


# --- typed codes ----------------------------------------------------------------------------------------------------


def test_a_friends_code_can_be_typed(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("dan")
    anna = chat.member("anna")
    assert anna is not None
    mine = chat.say("anna", "邀请码").field("Content") or ""
    assert anna.code in mine
    for said in (f"邀请码 {anna.code}", f"邀请码：{anna.code.lower()}"):
        chat.say("dan", said)
        assert chat.referrer_of("dan") == "anna"


@pytest.mark.parametrize("said", ["邀请码 ZZZZZZZ", "邀请码ABCD"])
def test_a_code_that_nobody_has_binds_nobody(chat: Chat, said: str) -> None:
    chat.follow("dan")
    assert "没有找到" in (chat.say("dan", said).field("Content") or "")
    assert chat.referrer_of("dan") is None


def test_ones_own_code_and_a_second_friends_are_refused_in_words(chat: Chat) -> None:
    for name in ("anna", "bea", "dan"):
        chat.follow(name)
    codes_of = {name: getattr(chat.member(name), "code", "") for name in ("anna", "bea", "dan")}
    assert "自己的码" in (chat.say("dan", f"邀请码 {codes_of['dan']}").field("Content") or "")
    chat.say("dan", f"邀请码 {codes_of['anna']}")
    assert "已经有邀请人" in (chat.say("dan", f"邀请码 {codes_of['bea']}").field("Content") or "")
    assert chat.referrer_of("dan") == "anna"


# --- product posters ------------------------------------------------------------------------------------------------


def test_product_poster_alone_lists_the_products(tea: Chat) -> None:
    tea.follow("anna")
    said = tea.say("anna", "商品海报").field("Content") or ""
    assert "TEA-1 龙井 ¥128.00" in said


def test_a_wish_for_a_product_poster_is_written_and_an_unknown_one_is_not(tea: Chat) -> None:
    tea.follow("anna")
    assert "正在制作" in (tea.say("anna", "商品海报 TEA-1").field("Content") or "")
    assert "没有货号" in (tea.say("anna", "商品海报 TEA-9").field("Content") or "")
    rows = tea.do(
        lambda session: session.scalars(
            select(Outbox.payload).where(Outbox.topic == outbox.POSTER)
        ).all()
    )
    assert len(rows) == 1
    assert '"sku":"TEA-1"' in rows[0]


# --- figures --------------------------------------------------------------------------------------------------------


def test_pushes_that_the_platform_repeats_count_once(chat: Chat) -> None:
    card = add(chat, "橱窗")
    created = chat.now_seconds
    for _ in range(3):
        follow(chat, "anna", card.scene.code, created=created)
    for _ in range(3):
        chat.event("anna", "SCAN", created=created + 1, EventKey=card.scene.code, Ticket="T")
    code_stats.refresh(chat.context.database, chat.tea.id, chat.context.clock.now())
    today = day_of(chat.context.clock.now())
    sums = chat.do(
        lambda session: code_stats.sums(
            session, chat.tea.id, code_stats.CODE, [card.scene.id], today, today
        )
    )[card.scene.id]
    assert (sums.scans, sums.follows, sums.joined) == (2, 1, 1)
    kinds = chat.do(
        lambda session: session.scalars(
            select(Event.kind).where(Event.scene_id == card.scene.id)
        ).all()
    )
    assert sorted(kinds) == [events.FOLLOW, events.SCAN]
