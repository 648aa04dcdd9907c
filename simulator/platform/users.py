"""Followers. Names and pictures are not given out any more.

https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html
https://developers.weixin.qq.com/doc/offiaccount/User_Management/Getting_a_User_List.html
"""

from typing import Any

from simulator.errors import ApiError
from simulator.platform.gate import OK, ApiCall, Endpoints

endpoints = Endpoints()

BATCH = 100
PAGE = 10_000
REMARK_BYTES = 30


@endpoints.add("GET", "/cgi-bin/user/info", per_day=5_000_000)
def info(call: ApiCall) -> dict[str, Any]:
    """One person."""
    return _described(call, call.query.get("openid"))


@endpoints.add("POST", "/cgi-bin/user/info/batchget", per_day=5_000_000)
def batch(call: ApiCall) -> dict[str, Any]:
    """Up to 100 persons."""
    wanted = call.body.get("user_list")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= BATCH:
        raise ApiError(40032)
    if not all(isinstance(each, dict) for each in wanted):
        raise ApiError(40097)
    return {"user_info_list": [_described(call, each.get("openid")) for each in wanted]}


@endpoints.add("GET", "/cgi-bin/user/get", per_day=500)
def page(call: ApiCall) -> dict[str, Any]:
    """10,000 openids after `next_openid`.

    The last page names its last openid as next_openid, and the page after it has no `data`, but count 0;
    with the fault `last_page_ends` the last page has an empty next_openid instead.
    """
    with call.world.lock:
        everybody = [each.openid for each in call.account.contacts.values() if each.subscribed]
    after = call.query.get("next_openid", "")
    if after and after not in call.account.contacts:
        raise ApiError(40003)
    start = everybody.index(after) + 1 if after in everybody else 0
    openids = everybody[start : start + PAGE]
    answer = {"total": len(everybody), "count": len(openids)}
    if not openids:
        return answer | {"next_openid": ""}
    ended = call.world.faults.last_page_ends and start + len(openids) == len(everybody)
    return answer | {"data": {"openid": openids}, "next_openid": "" if ended else openids[-1]}


@endpoints.add("POST", "/cgi-bin/user/info/updateremark", per_day=10_000)
def remark(call: ApiCall) -> dict[str, Any]:
    """The account's own note on a person."""
    contact = call.contact(call.body.get("openid"))
    text = call.body.get("remark")
    if not isinstance(text, str) or len(text.encode()) >= REMARK_BYTES:
        raise ApiError(40092)
    if not contact.subscribed:
        raise ApiError(43004)
    contact.remark = text
    return OK


def _described(call: ApiCall, openid: object) -> dict[str, Any]:
    contact = call.contact(openid)
    if not contact.subscribed:
        return {"subscribe": 0, "openid": contact.openid}
    described = {
        "subscribe": 1,
        "openid": contact.openid,
        "language": "",
        "subscribe_time": contact.subscribe_time,
        "remark": contact.remark,
        "groupid": 0,
        "tagid_list": list(contact.tags),
        "subscribe_scene": contact.subscribe_scene,
        "qr_scene": contact.qr_scene,
        "qr_scene_str": contact.qr_scene_str,
    }
    if call.account.unionid:
        described["unionid"] = call.world.state.users[contact.user_id].unionid
    return described
