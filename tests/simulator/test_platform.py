"""wechatpy's client works against the simulator unchanged; limits and refusals are the platform's."""

import io
from typing import Any
from urllib.parse import quote

import pytest
import requests
import segno
import zxingcpp
from PIL import Image
from wechatpy.exceptions import APILimitedException, WeChatClientException

from tests.simulator.conftest import APP_ID, Callback, Sim, eventually

QR = "/cgi-bin/qrcode/create"
MENU = "/cgi-bin/menu/create"
SEND = "/cgi-bin/message/template/send"
CUSTOM = "/cgi-bin/message/custom/send"


def png(text: str = "picture") -> bytes:
    """A picture with a QR code in it."""
    drawn = io.BytesIO()
    segno.make(text).save(drawn, kind="png", scale=6, border=4)
    return drawn.getvalue()


def follower(sim: Sim, name: str = "小明") -> str:
    openid = sim.user(name)
    sim.control("follow", user=name)
    return openid


# ---- QR codes


def str_scene(scene: Any, **extra: Any) -> dict[str, Any]:
    body = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": scene}}}
    return body | extra


def int_scene(action: str, scene: Any) -> dict[str, Any]:
    return {"action_name": action, "action_info": {"scene": {"scene_id": scene}}}


def test_wechatpy_makes_a_code_whose_picture_a_reader_can_read(sim: Sim) -> None:
    made = sim.client().qrcode.create(str_scene("promoter-1", expire_seconds=2_592_000))
    assert made["expire_seconds"] == 2_592_000
    address = f"{sim.url}/cgi-bin/showqrcode?ticket={quote(made['ticket'])}"
    picture = requests.get(address, timeout=10)
    assert picture.headers["Content-Type"] == "image/jpg"
    (read,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.content)))
    assert read.text == made["url"]


def test_the_picture_of_an_unknown_ticket_is_not_found(sim: Sim) -> None:
    assert requests.get(f"{sim.url}/cgi-bin/showqrcode?ticket=x", timeout=10).status_code == 404


def test_a_permanent_code_stays_the_same_and_has_no_expiry(sim: Sim) -> None:
    token = sim.access_token()
    first, again = (
        sim.api(QR, int_scene("QR_LIMIT_SCENE", 7), access_token=token) for _ in range(2)
    )
    assert first == again
    assert set(first) == {"ticket", "url"}


def test_a_scene_survives_from_ticket_to_event(sim: Sim, callback: Callback) -> None:
    token = sim.access_token()
    made = sim.api(QR, int_scene("QR_SCENE", 4_294_967_295), access_token=token)
    sim.user("小明")
    sim.control("scan", user="小明", url=made["url"])
    fields = callback.received[0].fields
    assert (fields["EventKey"], fields["Ticket"]) == ("qrscene_4294967295", made["ticket"])


def test_an_expired_code_leads_nowhere(sim: Sim, callback: Callback) -> None:
    made = sim.api(QR, str_scene("x", expire_seconds=60), access_token=sim.access_token())
    sim.user("小明")
    sim.advance(61)
    sim.control("scan", 410, user="小明", ticket=made["ticket"])
    sim.control("follow", 410, user="小明", ticket=made["ticket"])
    assert callback.received == []
    assert sim.chat("小明")[-1]["from"] == "system"


BAD_CODES = [
    ({"action_name": "QR_NOTHING"}, 40052),
    ({"action_name": "QR_STR_SCENE"}, 40053),
    (str_scene(""), 40053),
    (str_scene("x" * 65), 40053),
    (str_scene("x", expire_seconds=2_592_001), 40053),
    (int_scene("QR_SCENE", 0), 40053),
    (int_scene("QR_SCENE", 2**32), 40053),
    (int_scene("QR_SCENE", "7"), 40053),
    (int_scene("QR_LIMIT_SCENE", 100_001), 40053),
]


@pytest.mark.parametrize(("body", "errcode"), BAD_CODES)
def test_a_wrong_code_is_refused(sim: Sim, body: dict[str, Any], errcode: int) -> None:
    assert sim.api(QR, body, access_token=sim.access_token())["errcode"] == errcode


def test_the_picture_in_a_chat_can_be_scanned_by_another_phone(
    sim: Sim, callback: Callback
) -> None:
    client, openid = sim.client(), follower(sim)
    made = client.qrcode.create(str_scene("小明的码"))
    uploaded = client.media.upload("image", ("poster.png", png(made["url"])))
    sim.control("text", user="小明", content="海报")
    client.message.send_image(openid, uploaded["media_id"])
    sim.user("小红")
    sim.control("scan", user="小红", image_message_id=sim.chat("小明")[-1]["id"])
    assert callback.received[-1].fields["EventKey"] == "qrscene_小明的码"


def test_any_other_link_opens_a_page_instead(sim: Sim) -> None:
    sim.user("小明")
    answer = sim.control("scan", user="小明", url="https://example.com/m")
    assert answer == {"opens": "https://example.com/m"}


# ---- Menus


def button(**change: Any) -> dict[str, Any]:
    usual = {"type": "click", "name": "我的团队", "key": "TEAM"} | change
    return {name: value for name, value in usual.items() if value is not None}


def test_wechatpy_creates_reads_and_deletes_a_menu(sim: Sim) -> None:
    menu = sim.client().menu
    assert menu.get() is None
    shop = button(type="view", key=None, url="https://example.com/")
    menu.create({"button": [button(), {"name": "更多", "sub_button": [shop]}]})
    stored = menu.get()["menu"]["button"]
    assert stored[0] == button(sub_button=[])
    assert stored[1]["sub_button"][0]["url"] == "https://example.com/"
    assert sim.look("menu")["menu"]["button"] == stored
    listed = menu.get_menu_info()["selfmenu_info"]["button"][1]["sub_button"]["list"]
    assert listed[0]["name"] == "我的团队"
    menu.delete()
    assert menu.get() is None


BAD_MENUS = [
    ([], 40016),
    ([button()] * 4, 40016),
    ([button(type="dance")], 40017),
    ([button(name="六个汉字的名")], 40018),
    ([button(key="k" * 129)], 40019),
    ([button(key=None)], 40019),
    ([button(type="view", url="https://e.cn/" + "x" * 1024)], 40020),
    ([button(type="view", url="ftp://e.cn/")], 40055),
    ([{"name": "更多", "sub_button": [button()] * 6}], 40023),
    ([{"name": "更多", "sub_button": [button(type=None)]}], 40024),
    ([{"name": "更多", "sub_button": [button(name="字" * 21)]}], 40025),
    ([{"name": "更多", "sub_button": [button(sub_button=[button()])]}], 40023),
]


@pytest.mark.parametrize(("buttons", "errcode"), BAD_MENUS)
def test_a_wrong_menu_is_refused(sim: Sim, buttons: list[Any], errcode: int) -> None:
    with pytest.raises(WeChatClientException) as refused:
        sim.client().menu.create({"button": buttons})
    assert refused.value.errcode == errcode


def test_escaped_characters_in_a_menu_are_refused(sim: Sim) -> None:
    body = {"button": [button()]}  # requests escapes what is not ASCII
    assert sim.api(MENU, body, access_token=sim.access_token())["errcode"] == 40033


# ---- Media


def test_wechatpy_uploads_and_downloads_a_picture(sim: Sim) -> None:
    media, content = sim.client().media, png()
    uploaded = media.upload("image", ("poster.png", content))
    assert uploaded["type"] == "image"
    answer = media.download(uploaded["media_id"])
    assert answer.content == content
    assert 'filename="poster.png"' in answer.headers["Content-Disposition"]


def test_an_upload_is_gone_after_three_days(sim: Sim) -> None:
    media = sim.client().media
    media_id = media.upload("image", ("poster.png", png()))["media_id"]
    sim.advance(3 * 86_400 + 1)
    with pytest.raises(WeChatClientException) as refused:
        sim.client().media.download(media_id)
    assert refused.value.errcode == 40007


BAD_MEDIA = [
    ("poem", png(), 40004),
    ("image", b"%PDF-1.7", 40005),
    ("voice", png(), 40005),
    ("image", b"", 44001),
    ("thumb", b"\xff\xd8\xff" + b"0" * 65_536, 40006),
]


@pytest.mark.parametrize(("kind", "content", "errcode"), BAD_MEDIA)
def test_a_wrong_upload_is_refused(sim: Sim, kind: str, content: bytes, errcode: int) -> None:
    with pytest.raises(WeChatClientException) as refused:
        sim.client().media.upload(kind, ("file", content))
    assert refused.value.errcode == errcode


def test_an_upload_without_a_file_is_refused(sim: Sim) -> None:
    answer = sim.api("/cgi-bin/media/upload", {}, access_token=sim.access_token(), type="image")
    assert answer["errcode"] == 41005


def test_a_picture_for_articles_gets_an_address_that_works(sim: Sim) -> None:
    url = sim.client().media.upload_mass_image(("a.png", png()))
    assert requests.get(url, timeout=10).content == png()


# ---- Users


def test_wechatpy_reads_a_follower_without_name_or_picture(sim: Sim) -> None:
    openid = sim.user("小明")
    sim.control("follow", user="小明", scene="p-1")
    info = sim.client().user.get(openid)
    assert info["subscribe"] == 1
    assert (info["subscribe_scene"], info["qr_scene_str"]) == ("ADD_SCENE_QR_CODE", "p-1")
    assert not {"nickname", "headimgurl", "sex", "unionid"} & set(info)
    sim.account(unionid=True)
    assert sim.client().user.get(openid)["unionid"] == sim.look("users")["users"][0]["unionid"]
    sim.control("unfollow", user="小明")
    assert sim.client().user.get(openid) == {"subscribe": 0, "openid": openid}


def test_a_batch_has_at_most_100_people(sim: Sim) -> None:
    openids = sim.control("crowd", count=101)["openids"]
    assert len(sim.client().user.get_batch(openids[:100])) == 100
    with pytest.raises(WeChatClientException) as refused:
        sim.client().user.get_batch(openids)
    assert refused.value.errcode == 40032


def test_followers_come_in_pages_and_the_page_after_the_last_is_empty(sim: Sim) -> None:
    openids = sim.control("crowd", count=10_003)["openids"]
    token = sim.access_token()
    first = sim.api("/cgi-bin/user/get", access_token=token)
    assert (first["total"], first["count"]) == (10_003, 10_000)
    second = sim.api("/cgi-bin/user/get", access_token=token, next_openid=first["next_openid"])
    assert first["data"]["openid"] + second["data"]["openid"] == openids
    last = sim.api("/cgi-bin/user/get", access_token=token, next_openid=second["next_openid"])
    assert last == {"total": 10_003, "count": 0, "next_openid": ""}
    assert list(sim.client().user.iter_followers()) == openids


def test_a_remark_is_kept_and_limited(sim: Sim) -> None:
    openid = follower(sim)
    user = sim.client().user
    user.update_remark(openid, "老客户")
    assert user.get(openid)["remark"] == "老客户"
    with pytest.raises(WeChatClientException) as refused:
        user.update_remark(openid, "字" * 10)
    assert refused.value.errcode == 40092


# ---- Template messages


def template(openid: str, **extra: Any) -> dict[str, Any]:
    body = {"touser": openid, "template_id": "tm-1", "data": {"thing1": {"value": "到账"}}}
    return body | extra


def test_a_template_message_is_shown_and_its_end_is_pushed(sim: Sim, callback: Callback) -> None:
    openid = follower(sim)
    data = {"amount1": {"value": "12.50"}}
    sent = sim.client().message.send_template(openid, "tm-1", data, url="https://e.cn/")
    card = sim.chat("小明")[-1]
    assert (card["type"], card["url"]) == ("template", "https://e.cn/")
    assert card["fields"] == [{"key": "amount1", "label": "amount1", "value": "12.50"}]
    finish = callback.wait_for(2)[1].fields
    assert finish["Event"] == "TEMPLATESENDJOBFINISH"
    assert (finish["MsgID"], finish["Status"]) == (str(sent["msgid"]), "success")


def test_the_same_client_msg_id_is_sent_once_in_ten_minutes(sim: Sim) -> None:
    openid, token = follower(sim), sim.access_token()
    body = template(openid, client_msg_id="outbox-1")
    first, again = (sim.api(SEND, body, access_token=token)["msgid"] for _ in range(2))
    assert first == again
    assert len(sim.chat("小明")) == 1
    sim.advance(601)
    assert sim.api(SEND, body, access_token=token)["msgid"] != first
    assert len(sim.chat("小明")) == 2


def test_declared_templates_give_labels_and_demand_their_fields(sim: Sim) -> None:
    content = "{{first.DATA}}\n下级：{{thing1.DATA}}\n时间：{{time2.DATA}}"
    sim.account(templates=[{"template_id": "tm-1", "title": "新成员", "content": content}])
    openid, token = follower(sim), sim.access_token()
    whole = {"thing1": {"value": "小红"}, "time2": {"value": "2026-11-22 10:00"}}
    assert sim.api(SEND, template(openid, data=whole), access_token=token)["errcode"] == 0
    assert sim.chat("小明")[-1]["fields"][0] == {"key": "thing1", "label": "下级", "value": "小红"}
    for data in ({}, {"thing1": {"value": "小红"}}, whole | {"time2": {"value": " "}}, None):
        refused = sim.api(SEND, template(openid, data=data), access_token=token)
        assert refused["errcode"] == 47003
    unknown = template(openid, template_id="tm-2")
    assert sim.api(SEND, unknown, access_token=token)["errcode"] == 40037
    listed = sim.client().template.get_all_private_template()["template_list"]
    assert listed[0]["content"] == content


def test_values_are_cut_to_20_characters_without_breaks_or_emoji(sim: Sim) -> None:
    openid, token = follower(sim), sim.access_token()
    data = {"a": {"value": "字" * 25}, "b": {"value": "x" * 50 + "字"}, "c": {"value": "好\n👍的"}}
    sim.api(SEND, template(openid, data=data), access_token=token)
    values = [each["value"] for each in sim.chat("小明")[-1]["fields"]]
    assert values == ["字" * 20, "x" * 50 + "字", "好的"]


def test_only_followers_get_template_messages(sim: Sim) -> None:
    openid, token = sim.user("小明"), sim.access_token()
    assert sim.api(SEND, template(openid), access_token=token)["errcode"] == 43004
    assert sim.api(SEND, template("stranger"), access_token=token)["errcode"] == 40003
    sim.control("faults", unfollowed_errcode=40003)
    assert sim.api(SEND, template(openid), access_token=token)["errcode"] == 40003


def test_the_end_can_be_a_failure_or_lost(sim: Sim, callback: Callback) -> None:
    openid, token = follower(sim), sim.access_token()
    sim.control("faults", finish_lost_rate=1.0)
    sim.api(SEND, template(openid), access_token=token)
    sim.control("faults", off=True, finish_status="failed:user block", lower_case_events=True)
    sim.api(SEND, template(openid), access_token=token)
    finish = callback.wait_for(2)[1].fields
    assert finish["Event"] == "templatesendjobfinish"
    assert finish["Status"] == "failed:user block"
    assert len(callback.received) == 2


# ---- Customer-service messages


def custom(sim: Sim, openid: str) -> int:
    """Send a text and answer the errcode."""
    body = {"touser": openid, "msgtype": "text", "text": {"content": "您好"}}
    return int(sim.api(CUSTOM, body, access_token=sim.access_token())["errcode"])


def test_a_message_of_the_persons_allows_five_in_48_hours(sim: Sim) -> None:
    openid = follower(sim)
    sim.advance(120)  # what following itself allows is over
    assert custom(sim, openid) == 45015
    sim.control("text", user="小明", content="在吗")
    sim.advance(47 * 3600)
    assert [custom(sim, openid) for _ in range(6)] == [0] * 5 + [45047]
    sim.advance(2 * 3600)
    assert custom(sim, openid) == 45015


@pytest.mark.parametrize("act", ["follow", "click", "scan"])
def test_following_clicking_and_scanning_allow_three_in_a_minute(sim: Sim, act: str) -> None:
    openid = follower(sim)
    sim.advance(120)
    if act == "follow":
        sim.control("unfollow", user="小明")
    extra: dict[str, Any] = {"click": {"key": "K"}, "scan": {"scene": "s"}}.get(act, {})
    sim.control(act, user="小明", **extra)
    assert [custom(sim, openid) for _ in range(4)] == [0, 0, 0, 45047]
    sim.advance(61)
    assert custom(sim, openid) == 45015


def test_windows_of_different_kinds_add_up(sim: Sim) -> None:
    openid = follower(sim)
    sim.control("text", user="小明", content="在吗")
    assert [custom(sim, openid) for _ in range(9)] == [0] * 8 + [45047]


def test_opening_a_page_from_the_menu_allows_nothing(sim: Sim) -> None:
    openid = follower(sim)
    sim.advance(120)
    sim.control("view", user="小明", url="https://e.cn/")
    assert custom(sim, openid) == 45015


def test_nobody_who_left_can_be_written_to(sim: Sim) -> None:
    openid = follower(sim)
    sim.control("text", user="小明", content="再见")
    sim.control("unfollow", user="小明")
    assert custom(sim, openid) == 45015


def test_wechatpy_sends_text_pictures_and_an_article(sim: Sim) -> None:
    client, openid = sim.client(), follower(sim)
    sim.control("text", user="小明", content="在吗")
    media_id = client.media.upload("image", ("a.png", png()))["media_id"]
    article = {"title": "标题", "description": "说明", "url": "https://e.cn/"}
    client.message.send_text(openid, "您好")
    client.message.send_image(openid, media_id)
    client.message.send_articles(openid, [article])
    text, image, news = sim.chat("小明")[-3:]
    assert (text["type"], text["text"]) == ("text", "您好")
    assert requests.get(sim.url + image["image_url"], timeout=10).content == png()
    assert (news["type"], news["articles"][0]["title"]) == ("news", "标题")


BAD_CUSTOM = [
    ({"msgtype": "smoke", "smoke": {}}, 40008),
    ({"msgtype": "text", "text": {"content": ""}}, 44004),
    ({"msgtype": "text", "text": {"content": "长" * 700}}, 45002),
    ({"msgtype": "image", "image": {"media_id": "nope"}}, 40007),
    ({"msgtype": "news", "news": {"articles": [{}, {}]}}, 45008),
    ({"msgtype": "news", "news": {"articles": []}}, 44003),
    ({"msgtype": "msgmenu", "msgmenu": {}}, 40035),
]


@pytest.mark.parametrize(("body", "errcode"), BAD_CUSTOM)
def test_a_wrong_message_is_refused_and_costs_nothing(
    sim: Sim, body: dict[str, Any], errcode: int
) -> None:
    openid = follower(sim)
    refused = sim.api(CUSTOM, {"touser": openid} | body, access_token=sim.access_token())
    assert refused["errcode"] == errcode
    assert [custom(sim, openid) for _ in range(4)] == [0, 0, 0, 45047]


def test_typing_is_shown_for_a_moment_after_a_message(sim: Sim) -> None:
    openid, token = follower(sim), sim.access_token()
    sim.control("text", user="小明", content="在吗")

    def typing(command: str) -> int:
        body = {"touser": openid, "command": command}
        return int(sim.api("/cgi-bin/message/custom/typing", body, access_token=token)["errcode"])

    assert typing("Dancing") == 45072
    assert [typing("Typing"), typing("Typing")] == [0, 45081]
    assert sim.look("chats/小明")["typing"] is True
    assert [typing("CancelTyping"), typing("Typing")] == [0, 0]
    sim.advance(31)
    assert typing("Typing") == 45080


# ---- Quotas and addresses


def test_the_day_has_a_limit_that_can_be_seen_and_cleared(sim: Sim) -> None:
    sim.control("faults", quota={"/cgi-bin/menu/get": 3})
    client = sim.client()
    for _ in range(3):
        assert client.menu.get() is None
    with pytest.raises(APILimitedException):
        client.menu.get()
    path = {"cgi_path": "/cgi-bin/menu/get"}
    seen = client.post("openapi/quota/get", data=path)["quota"]
    assert seen == {"daily_limit": 3, "used": 3, "remain": 0}
    client.post("clear_quota", data={"appid": APP_ID})
    assert client.menu.get() is None
    sim.advance(86_400)
    assert sim.client().post("openapi/quota/get", data=path)["quota"]["used"] == 0


def test_quotas_can_be_cleared_ten_times_a_month(sim: Sim) -> None:
    token = sim.access_token()
    answers = [
        sim.api("/cgi-bin/clear_quota", {"appid": APP_ID}, access_token=token)["errcode"]
        for _ in range(11)
    ]
    assert answers == [0] * 10 + [48006]


def test_a_minute_can_have_a_limit_too(sim: Sim) -> None:
    sim.control("faults", rate_per_minute={"/cgi-bin/getcallbackip": 2})
    token = sim.access_token()
    answers = [sim.api("/cgi-bin/getcallbackip", access_token=token) for _ in range(3)]
    # A minute may end between two of the calls: then the third is the second of the next one.
    assert answers[-1].get("errcode", 45011) == 45011
    assert "ip_list" in answers[0]


UNKNOWN_PATHS = [("/cgi-bin/nothing", 76021), ("cgi-bin/menu/get", 76003)]


@pytest.mark.parametrize(("path", "errcode"), UNKNOWN_PATHS)
def test_the_quota_of_an_unknown_path_is_refused(sim: Sim, path: str, errcode: int) -> None:
    body = {"cgi_path": path}
    answer = sim.api("/cgi-bin/openapi/quota/get", body, access_token=sim.access_token())
    assert answer["errcode"] == errcode


def test_wechatpy_reads_the_platforms_addresses(sim: Sim) -> None:
    assert sim.client().misc.get_wechat_ips() == ["127.0.0.1"]


def test_a_body_that_is_not_json_is_a_format_error(sim: Sim) -> None:
    token = sim.access_token()
    for body, errcode in ((b"", 44002), (b"{", 47001), (b"[]", 47001), (b"\xff", 47001)):
        url = f"{sim.url}{QR}?access_token={token}"
        assert requests.post(url, data=body, timeout=10).json()["errcode"] == errcode


def test_recorded_calls_hide_every_secret(sim: Sim) -> None:
    client = sim.client()
    client.menu.get()
    sim.access_token()
    shown = eventually(lambda: sim.look("calls")["calls"])
    assert [each["path"] for each in shown] == [
        "/cgi-bin/stable_token",
        "/cgi-bin/menu/get",
        "/cgi-bin/token",
    ]
    assert shown[1]["errcode"] == 46003
    assert client.access_token not in str(shown)
    assert "s3cret" not in str(shown)
