from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.wechat.stub import Answer, Stub, error, says
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, Refused, Retryable
from wechat.menu import InvalidMenuError


def test_a_temporary_code(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/qrcode/create"] = says(
        ticket="gQ==", expire_seconds=60, url="http://weixin.qq.com/q/x"
    )

    code = api.create_qrcode(client, "s-1", expire_seconds=60)

    assert code == api.QRCode("gQ==", "http://weixin.qq.com/q/x", 60)
    assert stub.calls[-1].json() == {
        "action_name": "QR_STR_SCENE",
        "expire_seconds": 60,
        "action_info": {"scene": {"scene_str": "s-1"}},
    }


def test_a_permanent_code(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/qrcode/create"] = says(ticket="gQ==", url="http://weixin.qq.com/q/x")

    assert api.create_qrcode(client, "s-1", expire_seconds=None).expire_seconds is None
    assert stub.calls[-1].json()["action_name"] == "QR_LIMIT_STR_SCENE"
    assert "expire_seconds" not in stub.calls[-1].json()


@pytest.mark.parametrize(
    ("scene", "expires"), [("", 60), ("x" * 65, 60), ("x", 0), ("x", 2_592_001)]
)
def test_an_impossible_code_is_not_asked_for(
    client: PlatformClient, stub: Stub, scene: str, expires: int
) -> None:
    with pytest.raises(ValueError, match=r"scene|code"):
        api.create_qrcode(client, scene, expire_seconds=expires)
    assert stub.calls == []


def test_the_image_of_a_code_needs_no_token(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/showqrcode"] = Answer(b"\xff\xd8jpeg")
    assert api.fetch_qrcode_image(client, "a b/+=") == b"\xff\xd8jpeg"
    assert stub.calls[-1].query == {"ticket": "a b/+="}

    stub.always["/cgi-bin/showqrcode"] = Answer(b"", status=404)
    with pytest.raises(Refused):
        api.fetch_qrcode_image(client, "over")


def test_a_menu_is_sent_readable(client: PlatformClient, stub: Stub) -> None:
    api.create_menu(client, [{"type": "click", "name": "我的团队", "key": "team"}])
    assert "我的团队".encode() in stub.calls[-1].body

    with pytest.raises(InvalidMenuError) as caught:
        api.create_menu(client, [{"type": "click", "name": "我的团队"}])
    assert [str(problem) for problem in caught.value.problems] == ["button[0].key: missing"]
    assert caught.value.permanent
    assert len(stub.calls_of("/cgi-bin/menu/create")) == 1


def test_reading_and_deleting_the_menu(client: PlatformClient, stub: Stub) -> None:
    stub.answers["/cgi-bin/menu/get"] += [
        error(46003),
        says(menu={"button": [{"name": "a"}]}, conditionalmenu=[{"menuid": 1}]),
        error(48001),
        says(odd=1),
    ]

    assert api.find_menu(client) is None
    assert api.find_menu(client) == api.Menu(({"name": "a"},), ({"menuid": 1},))
    with pytest.raises(Exception, match="48001"):
        api.find_menu(client)
    with pytest.raises(Retryable):
        api.find_menu(client)
    api.delete_menu(client)
    assert stub.calls[-1].path == "/cgi-bin/menu/delete"


@pytest.mark.parametrize("name", ["media_id", "thumb_media_id"])
def test_uploading(client: PlatformClient, stub: Stub, name: str) -> None:
    stub.always["/cgi-bin/media/upload"] = says(
        type="image", created_at=1_763_784_000, **{name: "m-1"}
    )

    media = api.upload_media(client, "image", b"\x89PNG", "poster.png")

    assert media == api.Media(
        "image", "m-1", datetime.fromtimestamp(1_763_784_000 + 3 * 86400, UTC)
    )
    call = stub.calls[-1]
    assert call.query["type"] == "image"
    assert (
        b'name="media"; filename="poster.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n'
        in call.body
    )


@pytest.mark.parametrize(
    ("content", "filename"), [(b"", "a.png"), (b"x" * (64 * 1024 + 1), "a.jpg"), (b"x", "海报.png")]
)
def test_what_cannot_be_uploaded_is_not_sent(
    client: PlatformClient, stub: Stub, content: bytes, filename: str
) -> None:
    with pytest.raises(ValueError, match=r"bytes|ASCII"):
        api.upload_media(client, "thumb", content, filename)
    assert stub.calls == []


def test_a_template_message(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/message/template/send"] = says(errcode=0, errmsg="ok", msgid=2**62)

    msgid = api.send_template(
        client,
        "o1",
        "t1",
        {"thing1": "新会员\n加入 🎉"},
        url="https://m.example.com/",
        client_msg_id="k1",
    )

    assert msgid == 2**62
    assert stub.calls[-1].json() == {
        "touser": "o1",
        "template_id": "t1",
        "data": {"thing1": {"value": "新会员 加入"}},
        "url": "https://m.example.com/",
        "client_msg_id": "k1",
    }
    api.send_template(client, "o1", "t1", {})
    assert stub.calls[-1].json().keys() == {"touser", "template_id", "data"}


def test_a_send_without_a_msgid_in_the_answer_is_in_doubt(
    client: PlatformClient, stub: Stub
) -> None:
    stub.always["/cgi-bin/message/template/send"] = says(errcode=0, errmsg="ok")

    with pytest.raises(OutcomeUnknown):
        api.send_template(client, "o1", "t1", {})


def test_customer_service_messages(client: PlatformClient, stub: Stub) -> None:
    api.send_custom_text(client, "o1", "你好")
    api.send_custom_image(client, "o1", "m-1")
    api.send_custom_news(client, "o1", api.Article("标题", "说明", "https://a/", "https://b/p.png"))

    bodies = [call.json() for call in stub.calls_of("/cgi-bin/message/custom/send")]
    assert bodies == [
        {"touser": "o1", "msgtype": "text", "text": {"content": "你好"}},
        {"touser": "o1", "msgtype": "image", "image": {"media_id": "m-1"}},
        {
            "touser": "o1",
            "msgtype": "news",
            "news": {
                "articles": [
                    {
                        "title": "标题",
                        "description": "说明",
                        "url": "https://a/",
                        "picurl": "https://b/p.png",
                    }
                ]
            },
        },
    ]


USER: dict[str, Any] = {
    "subscribe": 1,
    "openid": "o1",
    "language": "",
    "subscribe_time": 1_763_784_000,
    "unionid": "u1",
    "remark": "备注",
    "groupid": 0,
    "tagid_list": [2, 128],
    "subscribe_scene": "ADD_SCENE_QR_CODE",
    "qr_scene": 0,
    "qr_scene_str": "s-1",
}


def test_users(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/user/info"] = says(**USER)
    stub.always["/cgi-bin/user/info/batchget"] = says(
        user_info_list=[
            USER,
            {"subscribe": 0, "openid": "o2"},
            USER | {"qr_scene": 7, "qr_scene_str": ""},
        ]
    )

    one = api.user_info(client, "o1")
    assert one == api.Follower(
        openid="o1",
        subscribed=True,
        subscribed_at=datetime.fromtimestamp(1_763_784_000, UTC),
        unionid="u1",
        remark="备注",
        tag_ids=(2, 128),
        subscribe_scene="ADD_SCENE_QR_CODE",
        qr_scene="s-1",
    )
    same, gone, by_number = api.users_info(client, ["o1", "o2", "o3"])
    assert same == one
    assert gone == api.Follower("o2", False, None, None, "", (), "", "")
    assert by_number.qr_scene == "7"
    for wrong in ([], ["o"] * 101):
        with pytest.raises(ValueError, match="100"):
            api.users_info(client, wrong)


@pytest.mark.parametrize(
    "answer",
    [
        says(subscribe=1),
        says(subscribe=1, openid="o1"),
        says(subscribe=1, openid="o1", subscribe_time="x"),
    ],
)
def test_a_user_that_cannot_be_read_is_asked_for_again(
    client: PlatformClient, stub: Stub, answer: Answer
) -> None:
    stub.always["/cgi-bin/user/info"] = answer
    with pytest.raises(Retryable):
        api.user_info(client, "o1")


def test_templates_quota_and_addresses(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/template/get_all_private_template"] = says(
        template_list=[
            {"template_id": "t1", "title": "到账", "content": "{{thing1.DATA}}", "example": "例"}
        ]
    )
    stub.always["/cgi-bin/openapi/quota/get"] = says(
        errcode=0,
        quota={"daily_limit": 1_000_000, "used": 12, "remain": 999_988},
        rate_limit={"call_count": 500, "refresh_second": 60},
    )
    stub.always["/cgi-bin/getcallbackip"] = says(ip_list=["101.226.62.77", "101.226.103.0/25"])

    assert api.list_templates(client) == [api.Template("t1", "到账", "{{thing1.DATA}}", "例")]
    path = "/cgi-bin/message/template/send"
    assert api.quota_get(client, path) == api.Quota(path, 1_000_000, 12, 999_988, 500, 60)
    (left,) = [left for left in client.quota.left() if left.path == path]
    assert (left.day_limit, left.day_used) == (1_000_000, 12)
    assert api.get_callback_ip(client) == ["101.226.62.77", "101.226.103.0/25"]
