"""Followers, one by one, in batches and in pages."""

import pytest
from wechatpy.exceptions import WeChatClientException

from tests.simulator.conftest import Sim, follower


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
