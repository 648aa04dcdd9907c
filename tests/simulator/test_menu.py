"""Menus within the platform's limits."""

from typing import Any

import pytest
from wechatpy.exceptions import WeChatClientException

from tests.simulator.conftest import Sim

MENU = "/cgi-bin/menu/create"


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
