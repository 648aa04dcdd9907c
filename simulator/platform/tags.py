"""Tags on followers, and the blacklist.

https://developers.weixin.qq.com/doc/offiaccount/User_Management/User_Tag_Management.html
https://developers.weixin.qq.com/doc/offiaccount/User_Management/Manage_blacklist.html
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from simulator.errors import ApiError
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.state import Contact, Tag

endpoints = Endpoints()

MOST_TAGS = 100
NAME_LENGTH = 30
TAGS_A_PERSON = 20
TAGGING_BATCH, BLACKLIST_BATCH = 50, 20
TAG_PAGE, BLACKLIST_PAGE = 10_000, 1000
TOO_MANY_TO_DELETE = 100_000
SYSTEM_TAGS = (
    0,
    1,
    2,
)  # the last is 星标组: every account has it, and nobody can change or delete it


@endpoints.add("POST", "/cgi-bin/tags/create", per_day=1000)
def create(call: ApiCall) -> dict[str, Any]:
    """A new tag."""
    with call.world.lock:
        tags = call.account.tags
        if sum(1 for each in tags.values() if each.id not in SYSTEM_TAGS) >= MOST_TAGS:
            raise ApiError(45056)
        name = _name(call, but=None)
        tag = Tag(call.account.next_tag_id, name)
        call.account.next_tag_id += 1
        tags[str(tag.id)] = tag
    return {"tag": {"id": tag.id, "name": tag.name}}


@endpoints.add("GET", "/cgi-bin/tags/get", per_day=1000)
def get_all(call: ApiCall) -> dict[str, Any]:
    """All tags with the number of followers who have them."""
    return {"tags": [asdict(tag) for tag in list(call.account.tags.values())]}


@endpoints.add("POST", "/cgi-bin/tags/update", per_day=1000)
def update(call: ApiCall) -> dict[str, Any]:
    """Give a tag another name."""
    with call.world.lock:
        tag = _own(call, _tag_field(call).get("id"))
        tag.name = _name(call, but=tag)
    return OK


@endpoints.add("POST", "/cgi-bin/tags/delete", per_day=1000)
def delete(call: ApiCall) -> dict[str, Any]:
    """Take a tag away from everybody who has it; 45057 when those are more than 100,000."""
    with call.world.lock:
        tag = _own(call, _tag_field(call).get("id"))
        if tag.count > TOO_MANY_TO_DELETE:
            raise ApiError(45057)
        del call.account.tags[str(tag.id)]
        for contact in call.account.contacts.values():
            if tag.id in contact.tags:
                contact.tags.remove(tag.id)
    return OK


@endpoints.add("POST", "/cgi-bin/user/tag/get", per_day=1000)
def members(call: ApiCall) -> dict[str, Any]:
    """The followers with a tag, 10,000 a page."""
    tag = _find(call, call.body.get("tagid"))
    openids = _openids(call, lambda each: each.subscribed and tag.id in each.tags)
    return _page(call, openids, call.body.get("next_openid"), TAG_PAGE)


@endpoints.add("POST", "/cgi-bin/tags/members/batchtagging", per_day=100_000)
def put(call: ApiCall) -> dict[str, Any]:
    """Give a tag to up to 50 followers. Where some of them cannot have it: 45171, and who."""
    return _each(call, _gain, 45059)


@endpoints.add("POST", "/cgi-bin/tags/members/batchuntagging", per_day=100_000)
def take(call: ApiCall) -> dict[str, Any]:
    """Take a tag from up to 50 followers."""
    return _each(call, _lose, 40003)


@endpoints.add("POST", "/cgi-bin/tags/getidlist", per_day=500_000)
def of_person(call: ApiCall) -> dict[str, Any]:
    """The tags of one person."""
    return {"tagid_list": list(call.contact(call.body.get("openid")).tags)}


@endpoints.add("POST", "/cgi-bin/tags/members/getblacklist", per_day=10_000)
def blacklist(call: ApiCall) -> dict[str, Any]:
    """Who is on the blacklist, 1000 a page."""
    openids = _openids(call, lambda each: each.blacklisted)
    return {"total": len(openids)} | _page(
        call, openids, call.body.get("begin_openid"), BLACKLIST_PAGE
    )


@endpoints.add("POST", "/cgi-bin/tags/members/batchblacklist", per_day=10_000)
def ban(call: ApiCall) -> dict[str, Any]:
    """Put up to 20 persons on the blacklist: what they say does not arrive any more."""
    return _blacklisted(call, wanted=True)


@endpoints.add("POST", "/cgi-bin/tags/members/batchunblacklist", per_day=10_000)
def pardon(call: ApiCall) -> dict[str, Any]:
    """Take up to 20 persons from the blacklist."""
    return _blacklisted(call, wanted=False)


def _tag_field(call: ApiCall) -> dict[str, Any]:
    field = call.body.get("tag")
    if not isinstance(field, dict):
        raise ApiError(40097)
    return field


def _name(call: ApiCall, *, but: Tag | None) -> str:
    """The wanted name: 45157 when it is empty or another tag's, 45158 when it is too long."""
    name = _tag_field(call).get("name")
    if not isinstance(name, str) or not name.strip():
        raise ApiError(45157)
    if len(name) > NAME_LENGTH:
        raise ApiError(45158)
    if any(tag.name == name for tag in call.account.tags.values() if tag is not but):
        raise ApiError(45157)
    return name


def _own(call: ApiCall, number: object) -> Tag:
    """A tag that may be changed: 45058 for one of the platform's own, 45159 for none."""
    if str(number) in map(str, SYSTEM_TAGS):
        raise ApiError(45058)
    return _find(call, number)


def _find(call: ApiCall, number: object) -> Tag:
    """The tag with this number, given as a number or as text; 45159 for none."""
    tag = call.account.tags.get(str(number))
    if tag is None:
        raise ApiError(45159)
    return tag


def _list(call: ApiCall, limit: int) -> list[Contact]:
    openids = call.body.get("openid_list")
    if not isinstance(openids, list) or not 1 <= len(openids) <= limit:
        raise ApiError(40032)
    return [call.contact(each) for each in openids]


def _each(call: ApiCall, change: Callable[[Tag, Contact], bool], all_failed: int) -> dict[str, Any]:
    with call.world.lock:
        tag = _find(call, call.body.get("tagid"))
        people = _list(call, TAGGING_BATCH)
        if call.world.faults.happens("tagging_conflict_rate"):
            raise ApiError(45169)
        failed = [each.openid for each in people if not change(tag, each)]
    if not failed:
        return OK
    if len(failed) == len(people):
        raise ApiError(all_failed)
    return ApiError(45171).answer(call.rid) | {"fail_openid_list": failed}


def _gain(tag: Tag, contact: Contact) -> bool:
    if tag.id in contact.tags:
        return True
    if not contact.subscribed or len(contact.tags) >= TAGS_A_PERSON:
        return False
    contact.tags.append(tag.id)
    tag.count += 1
    return True


def _lose(tag: Tag, contact: Contact) -> bool:
    if not contact.subscribed:
        return False
    if tag.id in contact.tags:
        contact.tags.remove(tag.id)
        tag.count -= 1
    return True


def _blacklisted(call: ApiCall, *, wanted: bool) -> dict[str, Any]:
    with call.world.lock:
        for contact in _list(call, BLACKLIST_BATCH):
            contact.blacklisted = wanted
    return OK


def _openids(call: ApiCall, which: Callable[[Contact], bool]) -> list[str]:
    with call.world.lock:
        return [each.openid for each in call.account.contacts.values() if which(each)]


def _page(call: ApiCall, openids: list[str], after: object, size: int) -> dict[str, Any]:
    """A page behind `after`; the page after the last one has no `data`, but count 0."""
    if after and str(after) not in call.account.contacts:
        raise ApiError(40003)
    start = openids.index(str(after)) + 1 if after in openids else 0
    page = openids[start : start + size]
    if not page:
        return {"count": 0, "next_openid": ""}
    return {"count": len(page), "data": {"openid": page}, "next_openid": page[-1]}
