"""Tags and the blacklist, as wechatpy and plain calls use them."""

from typing import Any

import pytest
from wechatpy.exceptions import WeChatClientException

from tests.simulator.conftest import Sim, follower


def call(sim: Sim, path: str, **body: Any) -> Any:
    return sim.api(f"/cgi-bin/{path}", body, access_token=sim.access_token())


def refusal(sim: Sim, path: str, **body: Any) -> int:
    return int(call(sim, path, **body)["errcode"])


def make_tag(sim: Sim, name: str) -> int:
    return int(call(sim, "tags/create", tag={"name": name})["tag"]["id"])


def counts(sim: Sim) -> dict[str, int]:
    listed = sim.api("/cgi-bin/tags/get", access_token=sim.access_token())["tags"]
    return {each["name"]: each["count"] for each in listed}


def test_wechatpy_makes_renames_and_deletes_a_tag(sim: Sim) -> None:
    group = sim.client().tag
    number = group.create("银牌")["id"]
    group.update(number, "金牌")
    assert counts(sim) == {"星标组": 0, "金牌": 0}
    group.delete(number)
    assert counts(sim) == {"星标组": 0}


def test_tagged_followers_are_counted_listed_and_know_their_tags(sim: Sim) -> None:
    alice, bob = follower(sim, "Alice"), follower(sim, "Bob")
    gold = make_tag(sim, "金牌")
    call(sim, "tags/members/batchtagging", openid_list=[alice, bob], tagid=gold)
    call(sim, "tags/members/batchtagging", openid_list=[alice], tagid=gold)
    assert counts(sim)["金牌"] == 2
    page = call(sim, "user/tag/get", tagid=gold, next_openid="")
    assert page == {"count": 2, "data": {"openid": [alice, bob]}, "next_openid": bob}
    after = call(sim, "user/tag/get", tagid=gold, next_openid=bob)
    assert after == {"count": 0, "next_openid": ""}
    assert call(sim, "tags/getidlist", openid=alice)["tagid_list"] == [gold]
    assert sim.client().user.get(alice)["tagid_list"] == [gold]
    call(sim, "tags/members/batchuntagging", openid_list=[alice], tagid=gold)
    assert counts(sim)["金牌"] == 1


def test_a_tag_counts_only_those_who_follow(sim: Sim) -> None:
    alice = follower(sim, "Alice")
    gold = make_tag(sim, "金牌")
    call(sim, "tags/members/batchtagging", openid_list=[alice], tagid=gold)
    sim.control("unfollow", user="Alice")
    assert counts(sim)["金牌"] == 0
    sim.control("follow", user="Alice")
    assert counts(sim)["金牌"] == 1


def test_deleting_a_tag_takes_it_from_everybody(sim: Sim) -> None:
    alice = follower(sim, "Alice")
    gold = make_tag(sim, "金牌")
    call(sim, "tags/members/batchtagging", openid_list=[alice], tagid=gold)
    call(sim, "tags/delete", tag={"id": gold})
    assert call(sim, "tags/getidlist", openid=alice)["tagid_list"] == []
    assert refusal(sim, "user/tag/get", tagid=gold) == 45159


def test_names_of_tags_are_checked(sim: Sim) -> None:
    make_tag(sim, "金牌")
    assert refusal(sim, "tags/create", tag={"name": "金牌"}) == 45157
    assert refusal(sim, "tags/create", tag={"name": ""}) == 45157
    assert refusal(sim, "tags/create", tag={"name": "字" * 31}) == 45158
    assert refusal(sim, "tags/create", name="金牌") == 40097
    assert refusal(sim, "tags/update", tag={"id": 2, "name": "我的"}) == 45058
    assert refusal(sim, "tags/update", tag={"id": 99, "name": "我的"}) == 45159
    assert refusal(sim, "tags/delete", tag={"id": 1}) == 45058


def test_an_account_has_100_tags_and_a_person_20(sim: Sim) -> None:
    alice, bob = follower(sim, "Alice"), follower(sim, "Bob")
    numbers = [make_tag(sim, f"tag{each}") for each in range(100)]
    assert refusal(sim, "tags/create", tag={"name": "one more"}) == 45056
    for number in numbers[:20]:
        call(sim, "tags/members/batchtagging", openid_list=[alice], tagid=number)
    wish = {"openid_list": [alice], "tagid": numbers[20]}
    assert refusal(sim, "tags/members/batchtagging", **wish) == 45059
    partly = call(sim, "tags/members/batchtagging", openid_list=[alice, bob], tagid=numbers[20])
    assert (partly["errcode"], partly["fail_openid_list"]) == (45171, [alice])
    assert call(sim, "tags/getidlist", openid=bob)["tagid_list"] == [numbers[20]]


def test_a_batch_of_tags_has_at_most_50_known_people(sim: Sim) -> None:
    openids = sim.control("crowd", count=51)["openids"]
    gold = make_tag(sim, "金牌")
    path = "tags/members/batchtagging"
    assert refusal(sim, path, openid_list=openids, tagid=gold) == 40032
    assert refusal(sim, path, openid_list=["nobody"], tagid=gold) == 40003
    assert refusal(sim, path, openid_list=openids[:50], tagid=7) == 45159
    assert refusal(sim, path, openid_list=openids[:50], tagid=gold) == 0


def test_tagging_conflicts_on_request(sim: Sim) -> None:
    alice = follower(sim, "Alice")
    gold = make_tag(sim, "金牌")
    sim.control("faults", tagging_conflict_rate=1)
    path = "tags/members/batchtagging"
    assert refusal(sim, path, openid_list=[alice], tagid=gold) == 45169
    assert call(sim, "tags/getidlist", openid=alice)["tagid_list"] == []


def test_whoever_is_on_the_blacklist_is_not_heard(sim: Sim) -> None:
    alice = follower(sim, "Alice")
    call(sim, "tags/members/batchblacklist", openid_list=[alice])
    listed = call(sim, "tags/members/getblacklist", begin_openid="")
    assert listed == {"total": 1, "count": 1, "data": {"openid": [alice]}, "next_openid": alice}
    pushes = len(sim.look("pushes")["pushes"])
    sim.control("text", expect=403, user="Alice", content="有人吗？")
    assert len(sim.look("pushes")["pushes"]) == pushes
    assert sim.chat("Alice")[-1]["text"] == "消息已发出，但被对方拒收了"
    call(sim, "tags/members/batchunblacklist", openid_list=[alice])
    sim.control("text", user="Alice", content="有人吗？")
    assert refusal(sim, "tags/members/batchblacklist", openid_list=[alice] * 21) == 40032


def test_the_last_page_of_followers_may_end_the_list(sim: Sim) -> None:
    openids = sim.control("crowd", count=3)["openids"]
    sim.control("faults", last_page_ends=True)
    page = sim.api("/cgi-bin/user/get", access_token=sim.access_token())
    assert (page["data"]["openid"], page["next_openid"]) == (openids, "")


def menu(name: str, **rule: Any) -> dict[str, Any]:
    button = [{"type": "click", "name": name, "key": name.upper()}]
    return {"button": button} | ({"matchrule": rule} if rule else {})


def shown(sim: Sim, user: str) -> str:
    return str(sim.look("menu", user=user)["menu"]["button"][0]["name"])


def test_the_newest_conditional_menu_that_fits_is_shown(sim: Sim) -> None:
    follower(sim, "Alice")
    sim.control("users", name="Bob", platform="1")
    sim.control("follow", user="Bob")
    alice = sim.look("chats/Alice")["openid"]
    gold, client = make_tag(sim, "gold"), sim.client().menu
    client.create(menu("all"))
    first = client.add_conditional(menu("gold", tag_id=gold))["menuid"]
    assert (shown(sim, "Alice"), shown(sim, "Bob")) == ("all", "all")
    call(sim, "tags/members/batchtagging", openid_list=[alice], tagid=gold)
    assert (shown(sim, "Alice"), shown(sim, "Bob")) == ("gold", "all")
    client.add_conditional(menu("apple", client_platform_type="1"))
    assert (shown(sim, "Alice"), shown(sim, "Bob")) == ("gold", "apple")
    second = client.add_conditional(menu("gold2", tag_id=str(gold)))["menuid"]
    assert shown(sim, "Alice") == "gold2"
    assert client.try_match(alice)["button"][0]["name"] == "gold2"
    assert client.try_match("Bob")["button"][0]["name"] == "apple"
    stored = client.get()
    assert [each["button"][0]["name"] for each in stored["conditionalmenu"]] == [
        "gold2",
        "apple",
        "gold",
    ]
    viewed = sim.control("view", user="Alice", url="https://example.com/")
    assert str(viewed["fields"]["MenuId"]) == second
    client.del_conditional(second)
    assert shown(sim, "Alice") == "gold"
    client.delete()
    client.create(menu("all"))
    assert shown(sim, "Alice") == "all"
    with pytest.raises(WeChatClientException) as gone:
        client.del_conditional(first)
    assert gone.value.errcode == 65301


def test_wrong_conditional_menus_are_refused(sim: Sim) -> None:
    follower(sim, "Alice")
    path = "menu/addconditional"
    assert refusal(sim, path, **menu("vip", tag_id=2)) == 65303
    call(sim, "menu/create", **menu("all"))
    assert refusal(sim, path, **menu("vip")) == 65304
    assert refusal(sim, path, matchrule={"tag_id": 2}) == 65307
    assert refusal(sim, path, **menu("vip", sex="1")) == 65320
    assert refusal(sim, path, **menu("vip", tag_id=77)) == 45159
    assert refusal(sim, "menu/trymatch", user_id="nobody") == 65302
    link = {"type": "view", "name": "go"}
    for number in range(3):
        button = [link | {"url": f"https://s{number}.example.com/"}]
        assert "menuid" in call(sim, path, button=button, matchrule={"tag_id": 2})
    button = [link | {"url": "https://s3.example.com/"}]
    assert refusal(sim, path, button=button, matchrule={"tag_id": 2}) == 65316
