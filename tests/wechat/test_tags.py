"""Tags, followers and conditional menus as WeChat answers, and as it sometimes does."""

from __future__ import annotations

import pytest

from tests.wechat.stub import Stub, error, says
from wechat import conditional, followers, tags
from wechat.client import PlatformClient
from wechat.errors import QuotaExceeded, Refused, Retryable
from wechat.menu import InvalidMenuError

BUTTONS = [{"type": "click", "name": "帮助", "key": "帮助"}]


@pytest.mark.parametrize(
    ("answer", "openids", "following"),
    [
        ({"total": 3, "count": 2, "data": {"openid": ["a", "b"]}, "next_openid": "b"}, ("a", "b"), "b"),
        ({"total": 2, "count": 2, "data": {"openid": ["a", "b"]}, "next_openid": ""}, ("a", "b"), ""),
        ({"total": 2, "count": 0, "next_openid": ""}, (), ""),
        ({"total": 2, "count": 0, "next_openid": "b"}, (), ""),
        ({"total": 0, "count": 0, "data": {}, "next_openid": ""}, (), ""),
    ],
)  # fmt: skip
def test_every_way_in_which_a_page_ends(
    client: PlatformClient, stub: Stub, answer: dict[str, object], openids: tuple[str, ...], following: str
) -> None:  # fmt: skip
    stub.always["/cgi-bin/user/get"] = says(**answer)
    page = followers.followers_page(client, "z")
    assert (page.openids, page.next_openid) == (openids, following)
    assert stub.calls_of("/cgi-bin/user/get")[0].query["next_openid"] == "z"


def test_the_first_page_names_no_openid(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/user/get"] = says(total=0, count=0)
    followers.followers_page(client)
    assert "next_openid" not in stub.calls_of("/cgi-bin/user/get")[0].query


def test_pages_of_followers_stay_within_the_day(client: PlatformClient, stub: Stub) -> None:
    stub.always["/cgi-bin/user/get"] = error(45009)
    with pytest.raises(QuotaExceeded) as caught:
        followers.followers_page(client)
    assert caught.value.retry_at is not None


@pytest.mark.parametrize("data", [{"openid": "a"}, {"openid": {"a": 1}}])
def test_what_is_no_page_is_asked_again_later(
    client: PlatformClient, stub: Stub, data: object
) -> None:
    stub.always["/cgi-bin/user/get"] = says(total=1, count=1, data=data)
    with pytest.raises(Retryable):
        followers.followers_page(client)


def test_fifty_people_a_call_and_what_wechat_is_sent(client: PlatformClient, stub: Stub) -> None:
    path = "/cgi-bin/tags/members/batchtagging"
    stub.always[path] = says(errcode=0)
    tags.tag_people(client, 134, ["a", "b"])
    assert stub.calls_of(path)[0].json() == {"openid_list": ["a", "b"], "tagid": 134}
    for wrong in ([], ["a"] * 51):
        with pytest.raises(ValueError, match="1 to 50"):
            tags.tag_people(client, 134, wrong)
    with pytest.raises(ValueError, match="1 to 20"):
        tags.add_to_blacklist(client, ["a"] * 21)
    with pytest.raises(ValueError, match="1 to 30"):
        tags.create_tag(client, "x" * 31)
    with pytest.raises(ValueError, match="29 bytes"):
        followers.set_remark(client, "a", "十个汉字就是三十字节")


@pytest.mark.parametrize(("errcode", "kind"), [(45169, Retryable), (45159, Refused), (45059, Refused)])  # fmt: skip
def test_a_person_whose_tags_change_just_now_is_tried_again(
    client: PlatformClient, stub: Stub, errcode: int, kind: type[Exception]
) -> None:
    stub.always["/cgi-bin/tags/members/batchtagging"] = error(errcode)
    with pytest.raises(kind):
        tags.tag_people(client, 1, ["a"])


def test_a_tag_that_is_none_is_an_error_and_not_a_crash(client: PlatformClient, stub: Stub) -> None:
    for answer in (says(tags=[{"name": "x"}]), says(tags=None), says(other=1)):
        stub.always["/cgi-bin/tags/get"] = answer
        with pytest.raises(Retryable):
            tags.list_tags(client)


def test_a_conditional_menu_is_sent_with_its_rule(client: PlatformClient, stub: Stub) -> None:
    path = "/cgi-bin/menu/addconditional"
    stub.always[path] = says(menuid="208379533")
    assert conditional.add_conditional_menu(client, BUTTONS, tag_id=2, platform="ios") == 208379533
    sent = stub.calls_of(path)[0].json()
    assert sent["matchrule"] == {"tag_id": "2", "client_platform_type": "1"}
    with pytest.raises(ValueError, match="needs a tag"):
        conditional.add_conditional_menu(client, BUTTONS)
    with pytest.raises(InvalidMenuError):
        conditional.add_conditional_menu(client, [], tag_id=2)
    stub.always[path] = says(errcode=0)
    with pytest.raises(Retryable):
        conditional.add_conditional_menu(client, BUTTONS, tag_id=2)


def test_links_of_conditional_menus_lead_to_three_domains() -> None:
    def menu(number: int) -> list[dict[str, str]]:
        return [{"type": "view", "name": "x", "url": f"https://{number}.example/"}]

    assert conditional.domain_problems([menu(1), menu(2), menu(3)]) == []
    [problem] = conditional.domain_problems([menu(number) for number in range(4)])
    assert (problem.code, problem.limit) == ("too_many_domains", 3)


def test_old_rules_name_the_tag_as_a_group() -> None:
    [menu] = conditional.conditional_of(
        [{"button": BUTTONS, "matchrule": {"group_id": 2, "client_platform_type": 2}, "menuid": 5}]
    )
    assert (menu.tag_id, menu.platform, menu.menu_id) == (2, "android", 5)
