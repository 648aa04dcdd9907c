"""What a follower can ask, and what the answers say."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from bot import known
from bot.commands import COMMANDS
from domain import (
    commissions,
    consents,
    members,
    menu,
    notices,
    orders,
    outbox,
    posters,
    refunds,
    replies,
    scenes,
    texts,
)
from domain.models import Balance, Outbox, Poster
from domain.refunds import Refunding
from domain.spoken import SPOKEN
from tests.bot import samples
from tests.bot.chat import Chat
from tests.support.servers import set_clock
from wechat.menu import menu_problems


def _team(chat: Chat) -> None:
    """anna ← ben ← cara ← dora, and two purchases."""
    chat.follow("anna")
    for friend, upline in (("ben", "anna"), ("cara", "ben"), ("dora", "cara")):
        chat.follow(friend, by=upline)
    chat.buy("ben", "B1", 2997)
    chat.buy("dora", "D1", 10_000)


def _rows(chat: Chat, topic: str) -> list[Outbox]:
    query = select(Outbox).where(Outbox.topic == topic).order_by(Outbox.id)
    return chat.context.database.read(lambda session: list(session.scalars(query)))


# --- team and earnings ----------------------------------------------------------------------------------------------


def test_team_shows_each_level_and_all_together(chat: Chat) -> None:
    _team(chat)
    chat.event("cara", "unsubscribe", created=chat.now_seconds + 1)
    assert chat.say("anna", "我的团队").text == (
        "我的团队 3 人\n还在关注 2 人\n买过东西 2 人\n一共消费 ¥129.97\n\n"
        "一级 1 人\n　关注 1，买过 1，消费 ¥29.97\n\n"
        "二级 1 人\n　关注 0，买过 0，消费 ¥0.00\n\n"
        "三级 1 人\n　关注 1，买过 1，消费 ¥100.00"
    )


def test_team_shows_only_the_levels_that_the_merchant_pays(chat: Chat) -> None:
    chat.add_account("flat", depth=1)
    chat.follow("anna", slug="flat")
    chat.follow("ben", by="anna", slug="flat")
    chat.follow("cara", by="ben", slug="flat")
    text = chat.say("anna", "我的团队", "flat").text
    assert text.startswith("我的团队 1 人")
    assert "二级" not in text


def test_an_empty_team_hears_how_to_begin(chat: Chat) -> None:
    chat.follow("anna")
    assert "还没有人" in chat.say("anna", "我的团队").text


def test_earnings_show_balance_and_team_together(chat: Chat, tmp_path: Path) -> None:
    _team(chat)
    assert chat.say("anna", "我的收益").text == (
        "可提现 ¥0.00\n冻结中 ¥4.99\n提现中 ¥0.00\n累计收益 ¥4.99\n\n"
        "我的团队 3 人，买过 2 人\n一级 1，二级 1，三级 1\n\n"
        "回复「明细」看每一笔，回复「为什么」看怎么算的。"
    )
    _settle(chat, tmp_path, "B1")
    text = chat.say("anna", "我的收益").text
    assert "可提现 ¥2.99\n冻结中 ¥2.00" in text


def test_a_debt_is_told_as_a_debt(chat: Chat, tmp_path: Path) -> None:
    _team(chat)
    _settle(chat, tmp_path, "B1")
    _refund(chat, "B1", {1: 2997})
    # What was settled has not been withdrawn, so the claw-back leaves nothing; then spend it and claw again.
    chat.do(lambda s: _spend(s, chat, "anna", 299))
    text = chat.say("anna", "我的收益").text
    assert "可提现 ¥0.00" in text
    assert "有 ¥2.99 待抵扣" in text


def _spend(session: Session, chat: Chat, openid: str, fen: int) -> None:
    member = members.get(session, chat.tea.id, openid)
    session.get_one(Balance, member.id).available_fen -= fen
    session.flush()


def _settle(chat: Chat, folder: Path, order_no: str) -> None:
    """The order is completed, and the freeze period goes by."""
    now = chat.context.clock.now()
    chat.do(lambda s: orders.complete(s, chat.tea, order_no, now))
    set_clock(folder / "clock.json", timedelta(days=8).total_seconds())
    later = chat.context.clock.now()
    chat.do(lambda s: commissions.settle_due(s, chat.tea, later))


def _refund(chat: Chat, order_no: str, lines: dict[int, int]) -> None:
    now = chat.context.clock.now()
    chat.do(lambda s: refunds.record(s, chat.tea, Refunding(order_no, f"R-{order_no}", lines), now))


def test_menu_and_keyword_answer_the_same(chat: Chat) -> None:
    _team(chat)
    for key in ("我的团队", "我的收益", "明细", "为什么", "帮助"):
        assert chat.click("anna", key).text == chat.say("anna", f" {key}\n").text


@contextmanager
def _statements(chat: Chat) -> Generator[list[str]]:
    """Every statement that reaches the driver: SQLite tells them itself, PyMySQL where it sends them."""
    seen: list[str] = []
    query = pymysql.connections.Connection.query

    def trace(connection: Any, *_: object) -> None:
        connection.set_trace_callback(seen.append)

    def watched(connection: Any, text: Any, *more: Any) -> Any:
        seen.append(text.decode() if isinstance(text, bytes) else text)
        return query(connection, text, *more)

    engine = chat.context.database.engine  # SQLite's reader and writer share its pool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pymysql.connections.Connection, "query", watched)
        if chat.context.database.is_sqlite:
            event.listen(engine.pool, "checkout", trace)
        yield seen


def test_earnings_cost_one_select_and_no_transaction(live_chat: Chat) -> None:
    live_chat.follow("anna")
    live_chat.say("anna", "我的收益")
    with _statements(live_chat) as statements:
        live_chat.say("anna", "我的收益")
        live_chat.click("anna", "我的团队")
    transactions = {
        "BEGIN",
        "ROLLBACK",
        "COMMIT",
    }  # SQLite reads in a snapshot; nobody says IMMEDIATE
    queries = [text for text in statements if text.strip() not in transactions]
    assert len(queries) == 2, queries
    assert all(" FROM member m LEFT JOIN balance" in text for text in queries)


def test_somebody_who_followed_before_us_becomes_a_member_by_asking(chat: Chat) -> None:
    assert "可提现 ¥0.00" in chat.say("old", "我的收益").text
    member = chat.member("old")
    assert member is not None
    assert member.following


# --- commissions one by one -----------------------------------------------------------------------------------------


def test_details_list_the_last_commissions_with_state_and_date(chat: Chat, tmp_path: Path) -> None:
    _team(chat)
    _settle(chat, tmp_path, "B1")
    text = chat.say("anna", "明细").text
    assert text.startswith("最近 2 笔佣金\n\n1. ¥2.00 三级 冻结中，订单完成后再过冻结期结算\n　")
    assert "2. ¥2.99 一级 " in text
    assert "已结算\n" in text
    assert "订单 B1" in text
    assert text.endswith("回复「为什么 1」看第 1 笔是怎么算的。")


def test_details_show_ten_and_stay_within_one_message(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("ben", by="anna")
    for number in range(12):
        chat.buy("ben", f"A-LONG-ORDER-NUMBER-OF-A-SHOP-{number:034d}", 9_999_999_999)
    text = chat.say("anna", "明细").text
    assert "10. " in text
    assert "11. " not in text
    assert len(text.encode()) < 2048


def test_details_without_any_are_kind(chat: Chat) -> None:
    chat.follow("anna")
    assert "还没有佣金" in chat.say("anna", "明细").text


def test_why_explains_the_nth_of_the_list(chat: Chat) -> None:
    _team(chat)
    assert "一级佣金 ¥2.99" in chat.say("anna", "为什么 2").text
    assert "三级佣金 ¥2.00" in chat.say("anna", "为什么1？").text
    assert "没有第 3 笔" in chat.say("anna", "为什么 3").text
    assert "没有第 0 笔" in chat.say("anna", "为什么 0").text


def test_why_alone_asks_about_the_newest_order_of_the_team(chat: Chat) -> None:
    _team(chat)
    assert "订单 D1" in chat.say("anna", "为什么").text
    chat.buy("dora", "D2", 10)
    assert "不足一分" in chat.say("anna", "为什么").text


def test_a_sentence_that_begins_like_a_command_is_none(chat: Chat) -> None:
    assert "收到" in chat.say("anna", "为什么还没发货").text
    assert "收到" in chat.say("anna", "昵称怎么改").text
    assert chat.member("anna") is None


# --- name, notices --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["昵称 小明", "昵称　小明", "昵称：小明", "昵称  小明  "])
def test_a_nickname_is_kept_and_shown_to_friends(chat: Chat, said: str) -> None:
    chat.follow("anna")
    assert chat.say("anna", said).text.startswith("好的，小明。")
    assert "是 小明 邀请了您" in chat.follow("ben", by="anna").text


@pytest.mark.parametrize("said", ["昵称", "昵称 \u200b", "昵称:\u202e"])
def test_a_nickname_of_nothing_gets_help(chat: Chat, said: str) -> None:
    assert "例如：昵称 小明" in chat.say("anna", said).text


def test_notices_are_turned_off_and_on(chat: Chat) -> None:
    chat.follow("anna")
    for said, muted in (("退订", True), ("TD", True), ("订阅", False)):
        chat.say("anna", said)
        member = chat.member("anna")
        assert member is not None
        assert member.muted is muted


# --- poster ---------------------------------------------------------------------------------------------------------


def test_a_poster_is_announced_and_asked_for_once_a_push(chat: Chat) -> None:
    chat.follow("anna")
    assert "正在制作" in chat.click("anna", "我的海报").text
    [row] = _rows(chat, outbox.POSTER)
    member = chat.member("anna")
    assert member is not None
    assert row.member_id == member.id
    assert row.dedupe_key.startswith(f"poster-{member.id}-")


def test_a_poster_waits_for_consent_where_the_account_wants_it(chat: Chat) -> None:
    account = chat.add_account("rice", consent_required=True, programme_terms="如实介绍")
    chat.follow("anna", slug="rice")
    assert "同意推广规则" in chat.say("anna", "我的海报", slug="rice").text
    chat.do(
        lambda s: consents.agree(
            s, account.id, members.get(s, account.id, "anna").id, "如实介绍", chat.context.clock.now()
        )
    )  # fmt: skip
    assert "正在制作" in chat.say("anna", "我的海报", slug="rice").text


def _keep_poster(chat: Chat, *, media_days: float = 2, ticket_days: float | None = 25) -> None:
    """anna's poster as the job leaves it; WeChat keeps the picture and the code for so many days."""
    now = chat.context.clock.now()

    def work(session: Session) -> None:
        member = members.get(session, chat.tea.id, "anna")
        scene = scenes.of_member(session, chat.tea.id, member.id, now)
        expires = None if ticket_days is None else now + timedelta(days=ticket_days)
        ticket = scenes.record_ticket(
            session, scene, ticket="T", url="U", expires_at=expires, now=now
        )
        facts = posters.facts(session, member.id, now)
        assert facts is not None
        assert facts.ticket_id in (None, ticket.id)
        session.add(
            Poster(
                scene_id=scene.id, member_id=member.id, qr_ticket_id=ticket.id, fingerprint=facts.fingerprint,
                media_id="MEDIA", media_expires_at=now + timedelta(days=media_days), asked_at=now,
            )
        )  # fmt: skip
        session.flush()

    chat.do(work)


@pytest.mark.parametrize("ticket_days", [25, None])
def test_a_poster_that_wechat_still_keeps_comes_at_once(
    chat: Chat, ticket_days: float | None
) -> None:
    chat.follow("anna")
    _keep_poster(chat, ticket_days=ticket_days)
    reply = chat.say("anna", "我的海报")
    assert (reply.field("MsgType"), reply.field("Image/MediaId")) == ("image", "MEDIA")
    assert _rows(chat, outbox.POSTER) == []


@pytest.mark.parametrize(("media_days", "ticket_days"), [(0.001, 25), (-1, 25), (2, 1), (2, -1)])
def test_a_poster_that_lapses_soon_is_made_anew(
    chat: Chat, media_days: float, ticket_days: float
) -> None:
    chat.follow("anna")
    _keep_poster(chat, media_days=media_days, ticket_days=ticket_days)
    assert "正在制作" in chat.say("anna", "我的海报").text


def test_a_suspended_promoter_gets_no_poster(chat: Chat) -> None:
    chat.follow("anna")
    _keep_poster(chat)

    def suspend(session: Session) -> None:
        members.get(session, chat.tea.id, "anna").status = "suspended"
        session.flush()

    chat.do(suspend)
    assert "暂停" in chat.say("anna", "我的海报").text
    assert _rows(chat, outbox.POSTER) == []


# --- following ------------------------------------------------------------------------------------------------------


def test_a_new_follower_gets_the_orders_that_waited(chat: Chat) -> None:
    chat.follow("anna")
    chat.buy("ben", "B1", 2997)
    chat.follow("ben", by="anna")
    assert "冻结中 ¥2.99" in chat.say("anna", "我的收益").text


def test_wechat_is_asked_once_who_a_follower_is(chat: Chat) -> None:
    chat.follow("anna")
    chat.event("anna", "unsubscribe", created=chat.now_seconds + 1)
    chat.follow("anna", created=chat.now_seconds + 2)
    [row] = _rows(chat, outbox.PROFILE)
    assert '"openid":"anna"' in row.payload


def test_refusals_are_kind_and_say_why(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("ben", by="anna")
    assert "这是您自己的码" in chat.scan("anna", by="anna").text
    assert "已经在您的团队里" in chat.scan("anna", by="ben").text
    assert "已经有邀请人" in chat.scan("ben", by="anna").text
    assert "已经失效" in chat.event("ben", "SCAN", EventKey="NOCODE").text


def test_a_code_of_another_account_binds_nobody(chat: Chat) -> None:
    chat.add_account("wine")
    chat.follow("anna", slug="wine")
    code = chat.code_of("anna", "wine")
    assert "已经失效" in chat.event("ben", "subscribe", EventKey=f"qrscene_{code}").text
    assert chat.referrer_of("ben") is None


def test_one_openid_in_two_accounts_is_two_members(chat: Chat) -> None:
    chat.add_account("wine", mode="safe")
    _team(chat)
    chat.follow("anna", slug="wine")
    assert "还没有人" in chat.say("anna", "我的团队", "wine").text
    assert "3 人" in chat.say("anna", "我的团队").text


def test_leaving_and_coming_back_keeps_the_binding(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("ben", by="anna")
    chat.event("ben", "unsubscribe", created=chat.now_seconds + 1)
    assert chat.summary("anna").levels[1].following == 0
    assert "欢迎回来" in chat.follow("ben", created=chat.now_seconds + 2).text
    assert chat.referrer_of("ben") == "anna"
    assert chat.summary("anna").levels[1].following == 1


def test_a_consent_that_is_taken_back_erases_personal_data(chat: Chat) -> None:
    chat.follow("anna")
    chat.say("anna", "昵称 小明")
    chat.event("platform", "user_authorization_revoke", OpenID="anna", RevokeInfo="1")
    member = chat.member("anna")
    assert member is not None
    assert member.nickname is None
    assert member.following


def test_a_changed_profile_is_asked_for_again(chat: Chat) -> None:
    chat.follow("anna")
    chat.event("platform", "user_info_modified", OpenID="anna")
    assert len(_rows(chat, outbox.PROFILE)) == 2


# --- results of messages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "delivery"),
    [
        ("success", "delivered"),
        ("failed:user block", "blocked"),
        ("failed: system failed", "failed"),
        ("failed: user block", "blocked"),
        ("something new", "failed"),
    ],
)
def test_what_became_of_a_template_message_is_recorded(
    chat: Chat, status: str, delivery: str
) -> None:
    _sent(chat, "4711")
    assert chat.event("anna", "TEMPLATESENDJOBFINISH", MsgID="4711", Status=status).is_success
    [row] = _rows(chat, outbox.NOTICE)
    assert row.delivery == delivery
    assert chat.event("anna", "templatesendjobfinish", MsgID="4711", Status=status).is_success
    assert not list((chat.context.settings.data.dir / "spool").glob("*.json"))


def test_several_subscription_results_in_one_push_are_recorded(chat: Chat) -> None:
    chat.follow("anna")
    member = chat.member("anna")
    assert member is not None
    for template in ("tea-1", "tea-2"):
        _sent(chat, notices.subscription_number(member.id, template))
    item = "<List><TemplateId>{}</TemplateId><MsgID>{}</MsgID><ErrorCode>{}</ErrorCode></List>"
    inner = item.format("tea-1", 1, 0) + item.format("tea-2", 2, 43101)
    xml = (
        "<xml><ToUserName>gh_tea</ToUserName><FromUserName>anna</FromUserName><CreateTime>5</CreateTime>"
        "<MsgType>event</MsgType><Event>subscribe_msg_sent_event</Event>"
        f"<SubscribeMsgSentEvent>{inner}</SubscribeMsgSentEvent></xml>"
    )
    assert chat.push(xml).is_success
    assert [row.delivery for row in _rows(chat, outbox.NOTICE)] == ["delivered", "failed"]


def _sent(chat: Chat, number: str) -> None:
    """A notice that left with this number."""
    now = chat.context.clock.now()

    def work(session: Session) -> None:
        message = outbox.Message(chat.tea.id, outbox.NOTICE, f"notice-{number}", {}, now)
        outbox.put(session, [message], now)
        token = outbox.claim(session, outbox.NOTICE, now, limit=1)
        assert token is not None
        [row] = outbox.claimed(session, token)
        outbox.finish(session, token, [outbox.Result(row.id, "done", provider_msg_id=number)], now)

    chat.do(work)


# --- the merchant's own words ---------------------------------------------------------------------------------------


def test_the_merchants_replies_come_after_commands(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "KEEP_SECONDS", 0)

    def work(session: Session) -> None:
        replies.put(session, chat.tea.id, "发货", "三天内发货", replies.CONTAINS)
        replies.put(session, chat.tea.id, "帮助", "不会出现", replies.EXACT)

    chat.do(work)
    assert chat.say("anna", "什么时候发货？").text == "三天内发货"
    assert "您可以点菜单" in chat.say("anna", "帮助").text
    assert chat.click("anna", "发货").text == "三天内发货"


def test_the_merchants_wording_is_used(chat: Chat) -> None:
    chat.do(
        lambda s: texts.set_override(
            s, chat.tea.id, "follow.welcome", "{account}恭候多时。{account}"
        )
    )
    assert chat.follow("anna").text == "tea铺恭候多时。tea铺"


def test_an_account_is_read_again_only_after_some_seconds(
    live_chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [100.0]
    monkeypatch.setattr("bot.known.time.monotonic", lambda: moment[0])
    live_chat.say("anna", "茶")
    live_chat.do(lambda s: replies.put(s, live_chat.tea.id, "茶", "有红茶和绿茶"))
    with _statements(live_chat) as statements:
        assert "收到" in live_chat.say("anna", "茶").text
    assert [text for text in statements if " reply" in text or " account " in text] == []
    moment[0] += known.KEEP_SECONDS
    assert live_chat.say("anna", "茶").text == "有红茶和绿茶"


def test_media_gets_a_kind_word(chat: Chat) -> None:
    for kind in ("image", "voice", "video", "shortvideo", "location", "link"):
        assert "我只看得懂文字" in chat.push(samples.MESSAGES[kind]).text


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_key_of_the_default_menu_is_a_command() -> None:
    for buttons in (menu.default_menu(), menu.default_menu("https://wx.example.com/m/tea")):
        leaves = [one for top in buttons for one in top.get("sub_button", [top])]
        keys = {one["key"] for one in leaves if one["type"] == "click"}
        assert keys <= {command.name for command in COMMANDS}
        assert menu_problems(buttons) == []


def test_help_names_every_command(chat: Chat) -> None:
    text = chat.say("anna", "帮助").text
    everywhere = [command.name for command in COMMANDS if not command.qualification]
    assert [name for name in everywhere if name not in text] == []


def test_no_word_means_two_commands() -> None:
    words = [word for one in SPOKEN for word in one.words]
    assert len(words) == len(set(words))
    assert [one.name for one in SPOKEN] == [command.name for command in COMMANDS]
