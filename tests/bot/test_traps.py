"""The traps of WeRoBot's sources (docs/decisions), one test each, named after it: W1 to W23."""

from __future__ import annotations

import base64
import logging
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import werobot
from prometheus_client import REGISTRY
from werobot.robot import WeRoBot

import spooled
from bot import handlers, robot
from bot.push import Malformed, read
from bot.visit import Cards, Visit
from domain.bodies import Article
from tests.bot import samples
from tests.bot.chat import Chat, event_xml, text_xml
from wechat.signing import signature

ROOT = Path(__file__).parents[2]


def test_w1_unknown_pushes_reach_a_handler_that_counts_them(
    chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    before = REGISTRY.get_sample_value("banyan_pushes_unknown_total") or 0
    assert chat.event("anna", "something_new", EventKey="x").is_success
    assert chat.push(samples.UNKNOWN["sticker"]).is_success
    assert REGISTRY.get_sample_value("banyan_pushes_unknown_total") == before + 2
    assert "something_new" in caplog.text


def test_w1_events_that_werobot_does_not_know_are_types_of_the_robot() -> None:
    missing = {"masssendjobfinish_event", "view_miniprogram_event", "user_info_modified_event"}
    assert missing.isdisjoint(WeRoBot.message_types)
    assert missing <= set(robot.robot.message_types)


def test_w2_no_session_is_kept_anywhere(
    chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    chat.say("anna", "帮助")
    assert robot.robot.session_storage is None
    assert os.listdir(folder) == []


def test_w3_the_redis_session_storage_is_not_used() -> None:
    assert robot.robot.config["SESSION_STORAGE"] is False


def test_w4_what_a_handler_raises_is_seen_and_the_push_is_kept(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_visit: Visit) -> Any:
        raise RuntimeError("a handler failed")

    monkeypatch.setattr(handlers, "on_subscribe", broken)
    assert chat.follow("anna").is_success
    assert "a handler failed" in caplog.text
    assert len(spooled.waiting(chat.context.settings.data.dir)) == 1


def test_w4_the_end_of_the_process_is_not_swallowed(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_visit: Visit) -> Any:
        raise SystemExit

    monkeypatch.setattr(handlers, "on_subscribe", ended)
    with pytest.raises(SystemExit):
        chat.follow("anna")


GOOD = text_xml("anna", "hi", 1, 1348831860)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no xml",
        "<xml>",
        "<xml></xml>",
        "<root><a>1</a></root>",
        "<xml>text</xml>",
        GOOD.replace("<MsgType><![CDATA[text]]></MsgType>", ""),
        GOOD.replace("<MsgType>", "<MsgType>text</MsgType><MsgType>"),
        GOOD.replace("<CreateTime>1348831860</CreateTime>", ""),
        GOOD.replace("1348831860", "-1"),
        GOOD.replace("1348831860", "yesterday"),
        GOOD.replace("1348831860", "9" * 40),
        GOOD.replace("anna", ""),
        GOOD.replace("anna", "安娜"),
        GOOD.replace("anna", "a" * 65),
        GOOD.replace("<Content>", "<FromUserName>ben</FromUserName><Content>"),
        event_xml("anna", "", 1).replace("<Event><![CDATA[]]></Event>", ""),
        event_xml("anna", "pic_weixin", 1, EventKey="6"),
        event_xml("anna", "x", 1).replace("<Event>", "<Event><a>1</a></Event><Event>"),
        "<xml><Encrypt><a>1</a></Encrypt></xml>",
        GOOD.encode().replace(b"hi", b"\xff\xfe"),
        GOOD.encode("utf-16"),
    ],
)
def test_w5_malformed_pushes_get_400_and_leave_nothing(chat: Chat, body: str | bytes) -> None:
    reply = chat.push(body)
    assert (reply.status, reply.xml) == (400, "malformed")
    assert len(spooled.waiting(chat.context.settings.data.dir)) == 0


def test_w5_an_answer_of_the_wrong_type_is_a_failure_that_is_seen(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "on_subscribe", lambda _visit: {"not": "an answer"})
    assert chat.follow("anna").is_success
    assert len(spooled.waiting(chat.context.settings.data.dir)) == 1


def test_w6_a_bad_signature_gets_a_short_word(chat: Chat) -> None:
    query = {**chat.query(), "signature": "0" * 40}
    reply = chat.post(GOOD, query)
    assert (reply.status, reply.xml) == (403, "not signed")
    assert reply.response.mimetype == "text/plain"


@pytest.mark.parametrize("name", ["signature", "timestamp", "nonce"])
def test_w6_what_the_signature_covers_cannot_be_left_out(chat: Chat, name: str) -> None:
    query = chat.query()
    del query[name]
    assert chat.post(GOOD, query).status == 403


def test_w6_a_get_without_echo_is_a_bad_request(chat: Chat) -> None:
    response = chat.app.test_client().get("/wechat/tea", query_string=chat.query())
    assert (response.status_code, response.text) == (400, "no echostr")


def test_w7_the_echo_is_text_and_never_a_page(chat: Chat) -> None:
    query = chat.query(echostr="<script>alert(1)</script>")
    response = chat.app.test_client().get("/wechat/tea", query_string=query)
    assert response.text == "<script>alert(1)</script>"
    assert response.mimetype == "text/plain"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_w8_a_reply_says_that_it_is_xml(chat: Chat) -> None:
    assert chat.say("anna", "帮助").response.mimetype == "application/xml"


# The future one has seconds to spare: the exact edge is tests/wechat/test_signing.py, where no clock goes on.
@pytest.mark.parametrize("seconds", [-301, 330, -86_400])
def test_w9_old_and_future_signatures_are_refused(chat: Chat, seconds: int) -> None:
    reply = chat.push(GOOD, timestamp=chat.now_seconds + seconds)
    assert reply.status == 403


@pytest.mark.parametrize("seconds", [-290, 290])
def test_w9_a_clock_that_is_a_little_off_is_no_reason(chat: Chat, seconds: int) -> None:
    assert chat.push(GOOD, timestamp=chat.now_seconds + seconds).status == 200


@pytest.mark.parametrize("stamp", ["", "1e9", "１２３", "999999999999999999999", "-1"])
def test_w9_a_timestamp_is_a_plain_number(chat: Chat, stamp: str) -> None:
    query = {
        "signature": signature(chat.tea.token, stamp, "n"),
        "timestamp": stamp,
        "nonce": "n",
    }
    assert chat.post(GOOD, query).status == 403


def test_w10_safe_mode_takes_no_clear_body(chat: Chat) -> None:
    chat.add_account("safe", mode="safe")
    xml = text_xml("anna", "hi", 1, chat.now_seconds, "gh_safe")
    assert chat.push(xml, "safe").status == 403
    _, query = chat.sealed(xml, "safe")
    assert chat.post(xml, query, "safe").status == 403
    assert chat.push_sealed(xml, "safe").status == 200


def test_w10_safe_mode_wants_to_be_asked_for_aes(chat: Chat) -> None:
    chat.add_account("safe", mode="safe")
    body, query = chat.sealed(text_xml("anna", "hi", 1, chat.now_seconds, "gh_safe"), "safe")
    del query["encrypt_type"]
    assert chat.post(body, query, "safe").status == 403


def test_w10_each_request_decides_whether_its_reply_is_encrypted(chat: Chat) -> None:
    chat.add_account("both", mode="compatible")
    xml = text_xml("anna", "帮助", 1, chat.now_seconds, "gh_both")
    assert chat.push(xml, "both").field("MsgType") == "text"
    assert chat.push_sealed(xml, "both").field("MsgType") == "text"  # which insists on encryption
    assert chat.push(xml, "both").field("MsgType") == "text"


def test_w10_compatible_mode_uses_the_encrypted_copy(chat: Chat) -> None:
    """Clear fields beside `Encrypt` are covered by no signature: somebody else's words."""
    chat.add_account("both", mode="compatible")
    sealed, query = chat.sealed(
        event_xml("anna", "subscribe", chat.now_seconds, EventKey=""), "both"
    )
    forged = event_xml("mallory", "subscribe", chat.now_seconds, EventKey="")
    encrypt = sealed[sealed.index("<Encrypt>") : sealed.index("</Encrypt>") + len("</Encrypt>")]
    body = forged.replace("</xml>", f"{encrypt}</xml>")
    assert chat.post(body, query, "both").status == 200
    assert chat.member("anna", "both") is not None
    assert chat.member("mallory", "both") is None


def test_w10_an_encrypted_body_needs_its_own_signature(chat: Chat) -> None:
    body, query = chat.sealed(GOOD)
    for forged in ("0" * 40, "", query["signature"]):
        assert chat.post(body, {**query, "msg_signature": forged}).status == 403


@pytest.mark.parametrize("size", [0, 1, 16, 32, 48, 64])
def test_w11_a_body_that_our_key_does_not_open_is_refused(chat: Chat, size: int) -> None:
    encrypted = base64.b64encode(os.urandom(size)).decode() or "x"
    stamp = str(chat.now_seconds)
    signed = signature(chat.tea.token, stamp, "n", encrypted)
    query = {
        "signature": signature(chat.tea.token, stamp, "n"), "timestamp": stamp, "nonce": "n",
        "encrypt_type": "aes", "msg_signature": signed,
    }  # fmt: skip
    body = f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    reply = chat.post(body, query)
    assert (reply.status, reply.xml) == (403, "not for this account")


def test_w11_a_push_for_another_app_is_refused(chat: Chat) -> None:
    """Two accounts that share token and key differ in the app id inside the envelope alone."""
    chat.add_account("other")
    crypto = robot.Envelope(chat.tea.token, chat.tea.aes_key, "wxother")
    sealed = crypto.seal(GOOD)
    encrypted = sealed[sealed.index("[CDATA[") + 7 : sealed.index("]]")]
    stamp = str(chat.now_seconds)
    query = chat.query(msg_signature=signature(chat.tea.token, stamp, "1320562132", encrypted))
    reply = chat.post(sealed, {**query, "timestamp": stamp, "encrypt_type": "aes"})
    assert (reply.status, reply.xml) == (403, "not for this account")


EVIL = "x]]></Content><MsgType><![CDATA[transfer_customer_service]]></MsgType><Content><![CDATA["


@pytest.mark.parametrize(
    "evil", [EVIL, "]]>", "]]]]>>", "a\x00b\x08c\x1f", "\ufffe\uffff", "{0}{content}"]
)
def test_w12_a_reply_keeps_its_shape_whatever_is_in_it(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, evil: str
) -> None:
    monkeypatch.setattr(handlers, "on_text", lambda _visit: f"said {evil}")
    reply = chat.say("anna", "hi")
    legal = "".join(mark for mark in evil if mark >= " " and mark not in "\ufffe\uffff")
    assert reply.text == f"said {legal}"
    assert reply.xml.count("<MsgType>") == reply.xml.count("</MsgType>")


def test_w12_a_name_that_a_member_chose_cannot_leave_its_place(chat: Chat) -> None:
    chat.follow("anna")
    xml = text_xml("anna", "NAME", 77, chat.now_seconds).replace(
        "<![CDATA[NAME]]>", "昵称 ]]&gt;&lt;/Content&gt;"
    )
    assert "]]></Content>" in chat.push(xml).text
    assert "]]></Content>" in chat.follow("ben", by="anna").text


def test_w12_a_text_ends_where_wechat_stops_reading(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "on_text", lambda _visit: "茶" * 1000)
    text = chat.say("anna", "hi").text
    assert len(text.encode()) <= 2048
    assert text == "茶" * 681 + "…"


def test_w13_a_tag_in_lower_case_does_not_replace_a_field(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("eve")
    xml = event_xml(
        "ben", "subscribe", chat.now_seconds,
        EventKey=f"qrscene_{chat.code_of('anna')}", key=f"qrscene_{chat.code_of('eve')}",
        source="eve", target="eve", time="1", type="text", visit="x", raw="x", ticket="x",
    )  # fmt: skip
    reply = chat.push(xml)
    assert chat.referrer_of("ben") == "anna"
    assert reply.field("ToUserName") == "ben"
    assert reply.field("FromUserName") == "gh_tea"


@pytest.mark.parametrize(
    "msg_type", ["subscribe_event", "Subscribe_Event", "unsubscribe_event", "all"]
)
def test_w13_a_message_cannot_pretend_to_be_an_event(chat: Chat, msg_type: str) -> None:
    xml = text_xml("anna", "hi", 5, chat.now_seconds).replace("[text]", f"[{msg_type}]")
    assert chat.push(xml).is_success
    assert chat.member("anna") is None


@pytest.mark.parametrize("key", ["", "last_trade_no_4007", "qrscene_"])
def test_w14_a_plain_subscribe_binds_nobody_and_refuses_nobody(chat: Chat, key: str) -> None:
    text = chat.event("ben", "subscribe", EventKey=key).text
    assert "欢迎关注" in text
    assert "失效" not in text


def test_w14_a_subscribe_may_come_without_event_key(chat: Chat) -> None:
    assert "欢迎关注" in chat.event("ben", "subscribe").text


def test_w14_the_prefix_is_taken_off_a_subscribe_and_a_scan_has_none(chat: Chat) -> None:
    chat.follow("anna")
    code = chat.code_of("anna")
    chat.event("ben", "subscribe", EventKey=f"qrscene_{code}")
    chat.follow("cara")
    chat.event("cara", "SCAN", EventKey=code)
    chat.follow("dora")
    assert "失效" in chat.event("dora", "SCAN", EventKey=f"qrscene_{code}").text
    assert [chat.referrer_of(name) for name in ("ben", "cara", "dora")] == ["anna", "anna", None]


@pytest.mark.parametrize("code", ["码", "a" * 200, "x y", "%s", "';--", "{x}"])
def test_w14_a_code_that_cannot_be_ours_is_refused_kindly(chat: Chat, code: str) -> None:
    assert "失效" in chat.event("ben", "subscribe", EventKey=f"qrscene_{code}").text
    assert len(spooled.waiting(chat.context.settings.data.dir)) == 0


@pytest.mark.parametrize("content", ["", " ", "\n", "\u3000", ".*", "("])
def test_w15_an_empty_or_odd_text_does_not_stop_the_dispatch(chat: Chat, content: str) -> None:
    assert "帮助" in chat.say("anna", content).text


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""]
)
def test_w16_the_content_type_does_not_matter(chat: Chat, content_type: str) -> None:
    reply = chat.post(GOOD, chat.query(), content_type=content_type)
    assert reply.field("MsgType") == "text"


def test_w16_a_large_body_is_refused(chat: Chat) -> None:
    assert chat.push(text_xml("anna", "x" * 65_536, 1, 1)).status == 413
    assert chat.push(text_xml("anna", "x" * 60_000, 1, 1)).status == 200


BOMBS = {
    "billion laughs": '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>',
    "external": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "parameter": '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/x"> %a;]>',
    "harmless": "<!DOCTYPE xml>",
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
def test_w17_document_types_are_refused(chat: Chat, bomb: str, sealed: bool) -> None:
    xml = BOMBS[bomb] + GOOD.replace("<![CDATA[hi]]>", "&amp;")
    reply = chat.push_sealed(xml) if sealed else chat.push(xml)
    assert reply.status == 400


def test_w17_the_parser_refuses_entities_by_itself_too() -> None:
    with pytest.raises(Malformed):
        robot.read_xml(BOMBS["billion laughs"] + "<xml><a>&b;</a></xml>")


def test_w17_deep_and_wide_bodies_end(chat: Chat) -> None:
    assert chat.push("<xml>" + "<a>" * 9000 + "</a>" * 7000).status == 400
    wide = GOOD.replace("</xml>", "<a/>" * 15_000 + "</xml>")
    assert chat.push(wide).status == 200


def test_w18_a_repeated_push_is_answered_and_changes_nothing(chat: Chat) -> None:
    chat.follow("anna")
    xml = event_xml(
        "ben", "subscribe", chat.now_seconds, EventKey=f"qrscene_{chat.code_of('anna')}"
    )
    assert "邀请了您" in chat.push(xml).text
    for _ in range(2):
        assert "欢迎关注" in chat.push(xml).text
    assert chat.summary("anna").levels[1].people == 1


def test_w19_the_robot_keeps_nothing_of_a_request(chat: Chat) -> None:
    before = dict(vars(robot.robot))
    chat.push_sealed(GOOD)
    chat.follow("anna")
    assert vars(robot.robot) == before


def test_w20_werobot_does_not_warn_of_every_silent_push(
    chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    assert logging.getLogger("WeRoBot").level == logging.ERROR
    chat.event("anna", "unsubscribe")
    assert caplog.records == []


def test_w21_werobot_own_client_is_never_made(chat: Chat) -> None:
    for xml in {**samples.MESSAGES, **samples.EVENTS}.values():
        chat.push(xml)
    assert not hasattr(robot.robot, "_client")
    for path in ROOT.glob("*/*.py"):
        if path.parent.name != "tests":
            assert "werobot.client" not in path.read_text(encoding="utf-8")
            assert "werobot.pay" not in path.read_text(encoding="utf-8")


def test_w22_only_replies_whose_limits_we_keep_are_used() -> None:
    source = (ROOT / "bot/robot.py").read_text(encoding="utf-8")
    assert "MusicReply" not in source
    nine = Cards(tuple(Article(f"{n}", "", "https://a.example", "") for n in range(9)))
    for xml, most in ((text_xml("o", "x", 1, 1), 1), (event_xml("o", "CLICK", 1, EventKey="k"), 8)):
        push = read(robot.read_xml(xml) | {"raw": xml})
        assert robot.reply_to(push, nine).render().count("<item>") == most


def test_w23_werobot_is_pinned_and_xmltodict_is_one_that_refuses_entities() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"werobot=={werobot.__version__}" in project["dependencies"]
    assert "xmltodict>=1.0" in project["dependencies"]
