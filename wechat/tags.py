"""Tags of followers, and the blacklist.

Errors that belong to these calls, and what they mean, are in `EXPLAINED`.
https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_createtag
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from wechat.client import PlatformClient
from wechat.errors import Refused, Retryable

TAGS: Final = 100
"""Tags of one account."""
TAGS_OF_ONE: Final = 20
"""Tags of one follower."""
NAME_LENGTH: Final = 30
"""Characters of a tag's name."""
PEOPLE_PER_CALL: Final = 50
BLACKLIST_PER_CALL: Final = 20

SYSTEM_TAGS: Final = frozenset({0, 1, 2})
"""Made by WeChat (blacklist, none, star); they can be neither renamed nor deleted."""

EXPLAINED: Final[Mapping[int, str]] = MappingProxyType(
    {
        40003: "an openid is not one of this account",
        40032: "too many openids in one call",
        45056: f"the account has {TAGS} tags already",
        45057: "too many people carry this tag for it to be deleted at once",
        45058: "WeChat's own tags cannot be changed",
        45059: f"a follower has {TAGS_OF_ONE} tags already",
        45157: "another tag has this name",
        45158: f"a tag's name has at most {NAME_LENGTH} characters",
        45159: "there is no such tag",
        45169: "the tags of this follower are being changed by somebody else; try again",
        45171: "some of these followers were refused",
        49003: "an openid does not belong to this AppID",
    }
)

NO_SUCH_TAG: Final = 45159
BUSY_PERSON: Final = 45169


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of the account; `people` is WeChat's count."""

    tag_id: int
    name: str
    people: int


@dataclass(frozen=True, slots=True)
class OpenidPage:
    """Some openids, and what to ask for next; an empty `next_openid` means that these were the last."""

    openids: tuple[str, ...]
    next_openid: str
    total: int | None = None


def create_tag(client: PlatformClient, name: str) -> Tag:
    """Make a tag. Refused: 45056, 45157, 45158.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_createtag
    """
    path = "/cgi-bin/tags/create"
    return _tag(client.post(path, data={"tag": {"name": _name(name)}}).get("tag"), path)


def list_tags(client: PlatformClient) -> list[Tag]:
    """Every tag of the account, WeChat's own included.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_gettags
    """
    path = "/cgi-bin/tags/get"
    answer = client.get(path).get("tags")
    if not isinstance(answer, list):
        raise Retryable("the answer holds no tags", path=path)
    return [_tag(each, path) for each in answer]


def rename_tag(client: PlatformClient, tag_id: int, name: str) -> None:
    """Give a tag another name. Refused: 45058, 45157, 45158, 45159.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_updatetag
    """
    client.post("/cgi-bin/tags/update", data={"tag": {"id": tag_id, "name": _name(name)}})


def delete_tag(client: PlatformClient, tag_id: int) -> None:
    """Remove a tag from the account and everybody. Refused: 45057, 45058, 45159.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_deletetag
    """
    client.post("/cgi-bin/tags/delete", data={"tag": {"id": tag_id}})


def tag_people(client: PlatformClient, tag_id: int, openids: Sequence[str]) -> None:
    """Give up to 50 followers a tag; those who have it keep it. Refused: 45059, 45159, 45171.

    Retryable for 45169: WeChat is changing the tags of one of them.
    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_batchtagging
    """
    _change(client, "/cgi-bin/tags/members/batchtagging", tag_id, openids)


def untag_people(client: PlatformClient, tag_id: int, openids: Sequence[str]) -> None:
    """Take a tag from up to 50 followers. Errors as `tag_people`.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_batchuntagging
    """
    _change(client, "/cgi-bin/tags/members/batchuntagging", tag_id, openids)


def people_of_tag(client: PlatformClient, tag_id: int, next_openid: str = "") -> OpenidPage:
    """Who carries a tag, a page of up to 10 000 openids after `next_openid`. Refused: 45159.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_gettagfans
    """
    path = "/cgi-bin/user/tag/get"
    return page_of(client.post(path, data={"tagid": tag_id, "next_openid": next_openid}), path)


def tags_of_person(client: PlatformClient, openid: str) -> list[int]:
    """The tags of one follower. RecipientRefused for 40003.

    https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_gettagidlist
    """
    path = "/cgi-bin/tags/getidlist"
    answer = client.post(path, data={"openid": openid}).get("tagid_list")
    if not isinstance(answer, list):
        raise Retryable("the answer holds no tags", path=path)
    return [int(each) for each in answer]


def blacklist(client: PlatformClient, begin_openid: str = "") -> OpenidPage:
    """Who is kept out, up to 1000 openids after `begin_openid`.

    https://developers.weixin.qq.com/doc/service/api/usermanage/blacklist/api_getblacklist
    """
    path = "/cgi-bin/tags/members/getblacklist"
    return page_of(client.post(path, data={"begin_openid": begin_openid}), path)


def add_to_blacklist(client: PlatformClient, openids: Sequence[str]) -> None:
    """Keep up to 20 people out: their pushes do not come any more. Refused: 40032, 49003.

    https://developers.weixin.qq.com/doc/service/api/usermanage/blacklist/api_batchblacklist
    """
    _block(client, "/cgi-bin/tags/members/batchblacklist", openids)


def remove_from_blacklist(client: PlatformClient, openids: Sequence[str]) -> None:
    """Let up to 20 people in again. Refused: 40032, 49003.

    https://developers.weixin.qq.com/doc/service/api/usermanage/blacklist/api_batchunblacklist
    """
    _block(client, "/cgi-bin/tags/members/batchunblacklist", openids)


def page_of(answer: Mapping[str, Any], path: str) -> OpenidPage:
    """A page of openids. The last one may lack `data`, and its `next_openid` may be empty or the last id again."""
    data = answer.get("data")
    found = data.get("openid") if isinstance(data, dict) else None
    if found is not None and not isinstance(found, list):
        raise Retryable("the answer holds something else than openids", path=path)
    openids = tuple(str(each) for each in found or ())
    total = answer.get("total")
    following = str(answer.get("next_openid") or "") if openids else ""
    return OpenidPage(openids, following, int(total) if isinstance(total, int) else None)


def _change(client: PlatformClient, path: str, tag_id: int, openids: Sequence[str]) -> None:
    if not 0 < len(openids) <= PEOPLE_PER_CALL:
        raise ValueError(f"1 to {PEOPLE_PER_CALL} people in one call")
    try:
        client.post(path, data={"openid_list": list(openids), "tagid": tag_id})
    except Refused as error:
        if error.errcode == BUSY_PERSON:
            raise Retryable(str(error), errcode=error.errcode, path=path, rid=error.rid) from error
        raise


def _block(client: PlatformClient, path: str, openids: Sequence[str]) -> None:
    if not 0 < len(openids) <= BLACKLIST_PER_CALL:
        raise ValueError(f"1 to {BLACKLIST_PER_CALL} people in one call")
    client.post(path, data={"openid_list": list(openids)})


def _name(name: str) -> str:
    if not 0 < len(name) <= NAME_LENGTH:
        raise ValueError(f"a tag's name has 1 to {NAME_LENGTH} characters")
    return name


def _tag(value: Any, path: str) -> Tag:
    try:
        return Tag(int(value["id"]), str(value["name"]), int(value.get("count") or 0))
    except (KeyError, TypeError, ValueError):
        raise Retryable("the answer holds something else than a tag", path=path) from None
