"""The platform about itself: quotas, request ids, and the addresses it calls from.

https://developers.weixin.qq.com/doc/offiaccount/openApi/get_api_quota.html
https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_the_WeChat_server_IP_address.html
"""

import re
from typing import Any

from simulator import quota
from simulator.calls import mask
from simulator.errors import ApiError
from simulator.platform import keys
from simulator.platform.gate import OK, ApiCall, Endpoints

endpoints = Endpoints()

RID_SECONDS = 7 * 86_400
_RID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){2}")


@endpoints.add("GET", "/cgi-bin/getcallbackip")
def callback_addresses(call: ApiCall) -> dict[str, Any]:
    """Where pushes come from."""
    return {"ip_list": ["127.0.0.1"]}


@endpoints.add("GET", "/cgi-bin/get_api_domain_ip")
def api_addresses(call: ApiCall) -> dict[str, Any]:
    """Where the API is."""
    return {"ip_list": ["127.0.0.1"]}


@endpoints.add("POST", "/cgi-bin/openapi/quota/get")
def quota_get(call: ApiCall) -> dict[str, Any]:
    """How much of today's quota of a path is used."""
    path = str(call.body.get("cgi_path", ""))
    return OK | quota.report(call.world, call.account, path)


@endpoints.add("POST", "/cgi-bin/openapi/quota/clear")
def quota_clear(call: ApiCall) -> dict[str, Any]:
    """Start counting one path afresh."""
    quota.clear_path(call.world, call.account, str(call.body.get("cgi_path", "")))
    return OK


@endpoints.add("POST", "/cgi-bin/clear_quota")
def clear(call: ApiCall) -> dict[str, Any]:
    """Start counting everything afresh, ten times a month."""
    if call.body.get("appid") != call.account.app_id:
        raise ApiError(40013)
    quota.clear(call.world, call.account)
    return OK


@endpoints.add("POST", "/cgi-bin/clear_quota/v2", credential="secret")
def clear_with_secret(call: ApiCall) -> dict[str, Any]:
    """The same for whoever cannot get a token any more."""
    body = call.body
    call.account = keys.account_of_secret(call.world, body.get("appid"), body.get("appsecret"))
    quota.clear(call.world, call.account)
    return OK


@endpoints.add("POST", "/cgi-bin/openapi/rid/get")
def request_of_rid(call: ApiCall) -> dict[str, Any]:
    """What was asked and answered under a request id, for seven days (and as long as the journal remembers)."""
    wanted = str(call.body.get("rid"))
    if not _RID.fullmatch(wanted):
        raise ApiError(76002)
    for past in reversed(list(call.world.calls)):
        if past.rid == wanted:
            if past.account != call.account.app_id:
                raise ApiError(76003)
            if call.at - past.at > RID_SECONDS:
                raise ApiError(76004)
            request = {
                "invoke_time": int(past.at),
                "cost_in_ms": round(past.ms),
                "request_url": mask(past.query),
                "request_body": past.body.decode("utf-8", "replace"),
                "response_body": past.answer.decode("utf-8", "replace"),
                "client_ip": past.client_ip,
            }
            return OK | {"request": request}
    raise ApiError(76001)
