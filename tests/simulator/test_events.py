"""Menu taps of every type, message menus, and every event that the platform knows."""

from typing import Any

import pytest

from simulator.events import SAMPLES
from tests.simulator.conftest import APP_ID, Callback, Sim, follower

BUTTONS = [
    {"type": "scancode_waitmsg", "name": "扫码", "key": "scan"},
    {"type": "pic_sysphoto", "name": "拍照", "key": "photo"},
    {"type": "location_select", "name": "位置", "key": "place"},
    {"type": "click", "name": "团队", "key": "TEAM"},
    {"type": "view", "name": "商城", "url": "https://example.com/"},
]


@pytest.fixture
def tapper(sim: Sim) -> Sim:
    follower(sim, "Alice")
    sim.client().menu.create({"button": [{"name": "更多", "sub_button": BUTTONS}]})
    return sim


@pytest.mark.parametrize(
    ("name", "event", "field", "value"),
    [
        ("扫码", "scancode_waitmsg", "ScanCodeInfo", {"ScanType": "qrcode", "ScanResult": "1"}),
        ("位置", "location_select", "EventKey", "place"),
        ("团队", "CLICK", "EventKey", "TEAM"),
        ("商城", "VIEW", "EventKey", "https://example.com/"),
    ],
)
def test_a_tap_tells_what_the_button_is_for(
    tapper: Sim, name: str, event: str, field: str, value: Any
) -> None:
    told = tapper.control("tap", user="Alice", name=name)["fields"]
    assert (told["Event"], told[field]) == (event, value)


def test_a_tap_tells_what_the_phone_found(tapper: Sim, callback: Callback) -> None:
    found = {"ScanCodeInfo": {"ScanType": "barcode", "ScanResult": "EAN_13,6901234567892"}}
    tapper.control("tap", user="Alice", name="扫码", fields=found)
    assert callback.received[-1].fields["ScanCodeInfo"] == found["ScanCodeInfo"]


def test_scanning_from_the_menu_opens_the_short_window_and_a_photo_does_not(tapper: Sim) -> None:
    openid = tapper.look("chats/Alice")["openid"]
    message = {"touser": openid, "msgtype": "text", "text": {"content": "hello"}}
    path, token = "/cgi-bin/message/custom/send", tapper.access_token()
    tapper.advance(61)
    tapper.control("tap", user="Alice", name="拍照")
    assert tapper.api(path, message, access_token=token)["errcode"] == 45015
    tapper.control("tap", user="Alice", name="扫码")
    assert tapper.api(path, message, access_token=token)["errcode"] == 0


def test_a_button_that_is_not_there_cannot_be_tapped(tapper: Sim) -> None:
    tapper.control("tap", expect=404, user="Alice", name="没有")


def test_a_line_of_a_message_menu_says_which_one_it_was(sim: Sim, callback: Callback) -> None:
    follower(sim, "Alice")
    sim.control("text", user="Alice", content="满意", menu_id="101")
    told = callback.received[-1].fields
    assert (told["Content"], told["bizmsgmenuid"]) == ("满意", "101")


@pytest.mark.parametrize("event", SAMPLES)
def test_every_event_can_be_made_to_happen(sim: Sim, callback: Callback, event: str) -> None:
    openid = follower(sim, "Alice")
    sim.control("event", user="Alice", event=event)
    told = callback.received[-1].fields
    assert (told["Event"], told["FromUserName"]) == (event, openid)
    if "OpenID" in told:
        assert (told["OpenID"], told["AppID"]) == (openid, APP_ID)


def test_an_event_may_have_other_fields(sim: Sim, callback: Callback) -> None:
    follower(sim, "Alice")
    many = [{"TemplateId": "A"}, {"TemplateId": "B"}]
    fields = {"SubscribeMsgPopupEvent": {"List": many}}
    sim.control("event", user="Alice", event="subscribe_msg_popup_event", fields=fields)
    assert callback.received[-1].fields["SubscribeMsgPopupEvent"]["List"] == many
    sim.control("event", expect=404, user="Alice", event="no_such_event")
