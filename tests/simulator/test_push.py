"""Pushes: signed, encrypted, repeated, and what the chat shows of the reply."""

import base64
import itertools
import json
import threading
import time
from typing import Any

import pytest
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException
from wechatpy.utils import check_signature

from tests.simulator.conftest import AES_KEY, APP_ID, GH_ID, TOKEN, Callback, Received, Sim

SORRY = "该公众号提供的服务出现故障，请稍后再试"
CRYPTO = WeChatCrypto(TOKEN, AES_KEY, APP_ID)


def is_signed(received: Received) -> bool:
    """Whether wechatpy takes the signature."""
    query = received.query
    try:
        check_signature(TOKEN, query["signature"], query["timestamp"], query["nonce"])
    except InvalidSignatureException:
        return False
    return True


def opened(received: Received) -> str:
    """What wechatpy finds inside an encrypted push; it raises when the signature is wrong."""
    query = received.query
    clear: str = CRYPTO.decrypt_message(
        received.body, query["msg_signature"], query["timestamp"], query["nonce"]
    )
    return clear


def reply_xml(received: Received, inside: str) -> str:
    """A passive reply to a clear push."""
    fields = received.fields
    return (
        f"<xml><ToUserName>{fields['FromUserName']}</ToUserName>"
        f"<FromUserName>{fields['ToUserName']}</FromUserName>"
        f"<CreateTime>1</CreateTime>{inside}</xml>"
    )


def text_reply(received: Received) -> tuple[int, str]:
    return 200, reply_xml(received, "<MsgType>text</MsgType><Content>你好</Content>")


def test_a_push_carries_a_signature_that_wechatpy_accepts(sim: Sim, callback: Callback) -> None:
    openid = sim.user("小明")
    sim.control("follow", user="小明")
    (received,) = callback.received
    assert is_signed(received)
    assert received.query["openid"] == openid
    assert "encrypt_type" not in received.query


def test_text_is_in_cdata_and_numbers_are_bare(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("text", user="小明", content="a ]]> <b>")
    body = callback.received[1].body
    assert "<MsgType><![CDATA[text]]></MsgType>" in body
    assert f"<MsgId>{callback.received[1].fields['MsgId']}</MsgId>" in body
    assert callback.received[1].fields["Content"] == "a ]]> <b>"


def test_create_time_and_signature_follow_the_moved_clock(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.advance(86_400)
    sim.control("follow", user="小明")
    (received,) = callback.received
    tomorrow = time.time() + 86_400
    assert abs(int(received.query["timestamp"]) - tomorrow) < 60
    assert abs(int(received.fields["CreateTime"]) - tomorrow) < 60


def test_what_people_do_becomes_the_events_of_the_platform(sim: Sim, callback: Callback) -> None:
    openid = sim.user("小明")
    sim.control("follow", user="小明", scene="promoter-7")
    sim.control("scan", user="小明", scene="promoter-8")
    sim.control("click", user="小明", key="TEAM")
    sim.control("view", user="小明", url="https://example.com/")
    sim.control("unfollow", user=openid)
    events = [(each.fields["Event"], each.fields["EventKey"]) for each in callback.received]
    assert events == [
        ("subscribe", "qrscene_promoter-7"),
        ("SCAN", "promoter-8"),
        ("CLICK", "TEAM"),
        ("VIEW", "https://example.com/"),
        ("unsubscribe", None),
    ]
    assert callback.received[0].fields["Ticket"]
    assert {each.fields["ToUserName"] for each in callback.received} == {GH_ID}
    assert {each.fields["FromUserName"] for each in callback.received} == {openid}
    assert not any("MsgId" in each.fields for each in callback.received)


def test_messages_of_every_kind_have_their_own_number(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("text", user="小明", content="你好")
    place = {"Location_X": 23.1, "Location_Y": 113.3, "Scale": 20, "Label": "广州"}
    sim.control("message", user="小明", type="location", fields=place)
    sim.control("message", user="小明", type="voice", fields={"MediaId": "m", "Format": "amr"})
    messages = [each.fields for each in callback.received[1:]]
    assert [each["MsgType"] for each in messages] == ["text", "location", "voice"]
    assert messages[1]["Location_X"] == "23.1"
    assert len({each["MsgId"] for each in messages}) == 3
    assert all(0 < int(each["MsgId"]) < 2**63 for each in messages)


def test_in_safe_mode_only_wechatpys_crypto_can_read_the_push(sim: Sim, callback: Callback) -> None:
    sim.account(mode="safe")
    openid = sim.user("小明")
    for length in range(40):  # every padding from 1 to 32
        sim.control("push", user="小明", fields={"MsgType": "text", "Content": "字" * length})
    for received in callback.received:
        assert set(received.fields) == {"ToUserName", "Encrypt"}
        assert received.query["encrypt_type"] == "aes"
        assert len(base64.b64decode(received.fields["Encrypt"])) % 32 == 0
        assert is_signed(received)
        assert f"<FromUserName><![CDATA[{openid}]]></FromUserName>" in opened(received)


def test_in_compatible_mode_both_copies_are_there(sim: Sim, callback: Callback) -> None:
    sim.account(mode="compatible")
    sim.user("小明")
    sim.control("follow", user="小明")
    (received,) = callback.received
    assert received.fields["Event"] == "subscribe"
    assert "<Event><![CDATA[subscribe]]></Event>" in opened(received)


def test_an_encrypted_reply_reaches_the_chat(sim: Sim, callback: Callback) -> None:
    sim.account(mode="safe")
    openid = sim.user("小明")
    sim.control("follow", user="小明")

    def answer(received: Received) -> tuple[int, str]:
        clear = (
            f"<xml><ToUserName>{openid}</ToUserName><FromUserName>{GH_ID}</FromUserName>"
            "<CreateTime>1</CreateTime><MsgType>text</MsgType><Content>密</Content></xml>"
        )
        return 200, CRYPTO.encrypt_message(clear, "nonce")

    callback.answer = answer
    push = sim.control("text", user="小明", content="hi")
    assert push["reply"] == {"type": "text", "text": "密"}
    assert sim.chat("小明")[-1]["text"] == "密"


def test_a_clear_reply_in_safe_mode_is_a_failure(sim: Sim, callback: Callback) -> None:
    sim.account(mode="safe")
    openid = sim.user("小明")
    sim.control("follow", user="小明")
    callback.answer = lambda _: (
        200,
        f"<xml><ToUserName>{openid}</ToUserName><FromUserName>{GH_ID}</FromUserName>"
        "<CreateTime>1</CreateTime><MsgType>text</MsgType><Content>clear</Content></xml>",
    )
    push = sim.control("text", user="小明", content="hi")
    assert push["reply"]["type"] == "malformed"
    assert sim.chat("小明")[-1]["text"] == SORRY


def test_a_reply_with_a_wrong_signature_is_a_failure(sim: Sim, callback: Callback) -> None:
    sim.account(mode="safe")
    sim.user("小明")
    sim.control("follow", user="小明")
    stranger = WeChatCrypto("anothertoken", AES_KEY, APP_ID)
    callback.answer = lambda _: (200, stranger.encrypt_message("<xml><a>1</a></xml>", "nonce"))
    push = sim.control("text", user="小明", content="hi")
    assert "MsgSignature" in push["reply"]["error"]


def test_success_and_an_empty_body_are_enough_in_every_mode(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    for mode, body in itertools.product(("plain", "compatible", "safe"), ("success", "")):
        sim.account(mode=mode)
        callback.answer = lambda _, body=body: (200, body)  # type: ignore[misc]
        push = sim.control("text", user="小明", content="hi")
        assert push["reply"] is None
        assert len(push["deliveries"]) == 1
    assert {each["from"] for each in sim.chat("小明")} == {"me"}


def test_no_answer_in_time_is_repeated_with_a_fresh_signature_and_the_same_body(
    sim: Sim, callback: Callback
) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("faults", push_deadline_ms=150, push_spacing_ms=50)
    asleep = threading.Event()
    callback.answer = lambda _: (200 if asleep.wait(10) else 500, "success")
    push = sim.control("text", user="小明", content="hi")
    asleep.set()
    attempts = callback.received[1:]
    assert len(attempts) == len(push["deliveries"]) == 3
    assert {each["status"] for each in push["deliveries"]} == {None}
    assert len({each.body for each in attempts}) == 1
    assert len({each.query["nonce"] for each in attempts}) == 3
    assert all(is_signed(each) for each in attempts)
    assert sim.chat("小明")[-1] | {"from": "system", "text": SORRY} == sim.chat("小明")[-1]


def test_a_server_error_is_repeated_until_it_is_over(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("faults", push_spacing_ms=10)
    statuses = iter([500, 503, 200])
    callback.answer = lambda received: (next(statuses), text_reply(received)[1])
    push = sim.control("text", user="小明", content="hi")
    assert [each["status"] for each in push["deliveries"]] == [500, 503, 200]
    assert [each["text"] for each in sim.chat("小明")] == ["hi", "你好"]


def test_nobody_is_told_when_an_event_finds_no_answer(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("faults", push_spacing_ms=10, push_deliveries=2)
    callback.answer = lambda _: (500, "")
    push = sim.control("follow", user="小明")
    assert len(push["deliveries"]) == 2
    assert sim.chat("小明") == []


def test_a_callback_that_is_not_there_is_an_error_on_the_record(sim: Sim) -> None:
    sim.account(callback_url="http://127.0.0.1:9/")
    sim.user("小明")
    sim.control("faults", push_spacing_ms=1)
    push = sim.control("follow", user="小明")
    assert [each["status"] for each in push["deliveries"]] == [None] * 3
    assert push["deliveries"][0]["error"]


MALFORMED = {
    "json": json.dumps({"errcode": 0}),
    "html": "<html><p>error</html>",
    "unclosed": "<xml><MsgType>text</MsgType>",
    "not swapped": "<xml><ToUserName>x</ToUserName><FromUserName>y</FromUserName></xml>",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_reply_shows_the_notice_and_is_not_repeated(
    sim: Sim, callback: Callback, body: str
) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    callback.answer = lambda _: (200, body)
    push = sim.control("text", user="小明", content="hi")
    assert push["reply"]["type"] == "malformed"
    assert len(push["deliveries"]) == 1
    assert sim.chat("小明")[-1]["text"] == SORRY


def news(count: int) -> str:
    item = "<item><Title>t</Title><Description>d</Description><PicUrl>p</PicUrl><Url>u</Url></item>"
    return (
        f"<MsgType>news</MsgType><ArticleCount>{count}</ArticleCount>"
        f"<Articles>{item * count}</Articles>"
    )


def test_a_message_gets_one_article_and_an_event_eight(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    callback.answer = lambda received: (200, reply_xml(received, news(10)))
    followed = sim.control("follow", user="小明")
    said = sim.control("text", user="小明", content="hi")
    assert len(followed["reply"]["articles"]) == 8
    assert said["reply"]["articles"] == [
        {"title": "t", "description": "d", "image_url": "p", "url": "u"}
    ]


UNSHOWABLE = {
    "an unknown picture": "<MsgType>image</MsgType><Image><MediaId>nope</MediaId></Image>",
    "a text that is too long": f"<MsgType>text</MsgType><Content>{'长' * 700}</Content>",
    "a wrong count": news(2).replace("<ArticleCount>2", "<ArticleCount>3"),
    "a kind nobody knows": "<MsgType>smoke</MsgType>",
}


@pytest.mark.parametrize("inside", UNSHOWABLE.values(), ids=UNSHOWABLE)
def test_what_a_phone_cannot_show_is_malformed(sim: Sim, callback: Callback, inside: str) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    callback.answer = lambda received: (200, reply_xml(received, inside))
    assert sim.control("text", user="小明", content="hi")["reply"]["type"] == "malformed"


def test_a_handover_to_customer_service_shows_nothing(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    inside = "<MsgType>transfer_customer_service</MsgType>"
    callback.answer = lambda received: (200, reply_xml(received, inside))
    push = sim.control("text", user="小明", content="hi")
    assert push["reply"]["type"] == "transfer_customer_service"
    assert len(sim.chat("小明")) == 1


def test_copies_of_a_push_arrive_with_the_same_body(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("faults", duplicate_push=3)
    sim.control("text", user="小明", content="hi")
    assert len({each.body for each in callback.wait_for(5)[1:]}) == 1


def test_reordered_pushes_arrive_latest_first(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("faults", reorder_push=1)
    sim.control("follow", user="小明", wait=False)
    sim.control("unfollow", user="小明", wait=False)
    events = [each.fields["Event"] for each in callback.wait_for(2)]
    assert events == ["unsubscribe", "subscribe"]


def test_a_push_held_back_alone_leaves_in_the_end(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    sim.control("faults", reorder_push=5)
    assert sim.control("follow", user="小明")["deliveries"][0]["status"] == 200


def test_anything_can_be_pushed_even_what_is_not_xml(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    fields: dict[str, Any] = {"MsgType": "event", "Event": "strange", "List": [{"A": 1}, {"A": 2}]}
    sim.control("push", user="小明", fields=fields)
    sim.control("push", user="小明", xml="<xml><broken")
    first, second = callback.received
    assert first.fields["List"] == [{"A": "1"}, {"A": "2"}]
    assert first.fields["FromUserName"]
    assert second.body == "<xml><broken"


def test_without_waiting_the_record_comes_at_once(sim: Sim, callback: Callback) -> None:
    sim.user("小明")
    gate = threading.Event()
    callback.answer = lambda _: (200 if gate.wait(10) else 500, "success")
    push = sim.control("follow", 202, user="小明", wait=False)
    assert push["done"] is False
    gate.set()
    callback.wait_for(1)


def test_saving_the_callback_address_sends_an_echostr(sim: Sim, callback: Callback) -> None:
    callback.answer = lambda received: (200, received.query["echostr"])
    assert sim.control("verify")["ok"] is True
    assert callback.received[0].method == "GET"
    assert is_signed(callback.received[0])
    callback.answer = lambda _: (200, "something else")
    assert sim.control("verify")["ok"] is False


def test_the_journal_of_pushes_is_newest_first(sim: Sim) -> None:
    sim.user("小明")
    sim.control("follow", user="小明")
    sim.control("text", user="小明", content="hi")
    latest = sim.look("pushes", limit=1)["pushes"]
    assert [each["fields"]["MsgType"] for each in latest] == ["text"]
    assert latest[0]["done"] is True
