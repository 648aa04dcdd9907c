"""Parametric QR codes: wechatpy makes them, an independent reader reads them."""

import io
from typing import Any
from urllib.parse import quote

import pytest
import requests
import zxingcpp
from PIL import Image

from tests.simulator.conftest import Callback, Sim, follower, png

QR = "/cgi-bin/qrcode/create"


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
