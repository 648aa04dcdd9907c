"""Web login, the server's half: codes for tokens, tokens for people; and the ticket of the JS-SDK.

https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html
"""

from typing import Any

from simulator import ids, quota
from simulator.errors import ApiError
from simulator.platform import keys
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.state import Grant

endpoints = Endpoints()

CODE_SECONDS = 300
TOKEN_SECONDS = 7200
REFRESH_SECONDS = 30 * 86_400
USERINFO = "snsapi_userinfo"


@endpoints.add("GET", "/sns/oauth2/access_token", per_minute=50_000, credential="secret")
def exchange(call: ApiCall) -> dict[str, Any]:
    """A code for tokens, once and within five minutes."""
    query = call.query
    call.account = keys.account_of_secret(call.world, query.get("appid"), query.get("secret"))
    quota.charge(call.world, call.account, "/sns/oauth2/access_token")
    if query.get("grant_type") != "authorization_code":
        raise ApiError(40002)
    if not query.get("code"):
        raise ApiError(41008)
    with call.world.lock:
        grant = _granted(call, f"code {query['code']}", 40029)
        if grant.app_id != call.account.app_id:
            raise ApiError(40029)
        if grant.used:
            raise ApiError(40163)
        if call.world.now() - grant.issued_at > CODE_SECONDS:
            raise ApiError(42003)
        grant.used = True
    return _tokens(call, grant, ids.access_token())


@endpoints.add("GET", "/sns/oauth2/refresh_token", credential="none")
def refresh(call: ApiCall) -> dict[str, Any]:
    """New tokens for 30 days after the consent."""
    value = call.query.get("refresh_token", "")
    grant = _granted(call, f"refresh {value}", 40030)
    if call.query.get("appid") != grant.app_id:
        raise ApiError(40013)
    call.account = call.world.get_account(grant.app_id)
    if call.world.now() - grant.issued_at > REFRESH_SECONDS:
        raise ApiError(42002)
    return _tokens(call, grant, value)


@endpoints.add("GET", "/sns/auth", credential="none")
def check(call: ApiCall) -> dict[str, Any]:
    """Whether a token still works."""
    _visitor(call)
    return OK


@endpoints.add("GET", "/sns/userinfo", credential="none")
def userinfo(call: ApiCall) -> dict[str, Any]:
    """Name and picture, if the person has consented."""
    grant = _visitor(call)
    if grant.scope != USERINFO:
        raise ApiError(48001)
    user = call.world.state.users[grant.user_id]
    described = {
        "openid": grant.openid,
        "nickname": user.name,
        "sex": 0,
        "language": "",
        "city": "",
        "province": "",
        "country": "",
        "headimgurl": f"{call.base_url}/_sim/avatars/{user.id}/132",
        "privilege": [],
    }
    return described | _unionid(call, grant)


@endpoints.add("GET", "/cgi-bin/ticket/getticket", per_day=1_000_000)
def jsapi_ticket(call: ApiCall) -> dict[str, Any]:
    """The ticket that wx.config is signed with; the same one until it expires."""
    if call.query.get("type") != "jsapi":
        raise ApiError(40097)
    with call.world.lock:
        now = call.world.now()
        if not call.account.jsapi_ticket or call.account.jsapi_ticket[1] <= now:
            call.account.jsapi_ticket = [ids.random_text(86), now + TOKEN_SECONDS]
        ticket, expires_at = call.account.jsapi_ticket
    return OK | {"ticket": ticket, "expires_in": round(expires_at - now)}


def _granted(call: ApiCall, key: str, errcode: int) -> Grant:
    grant = call.world.grants.get(key)
    if grant is None:
        raise ApiError(errcode)
    return grant


def _tokens(call: ApiCall, grant: Grant, refresh_token: str) -> dict[str, Any]:
    token = ids.access_token()
    with call.world.lock:
        call.world.grants[f"token {token}"] = Grant(
            grant.app_id, grant.openid, grant.user_id, grant.scope, call.world.now(), grant.snapshot
        )
        call.world.grants[f"refresh {refresh_token}"] = grant
    answer = {
        "access_token": token,
        "expires_in": TOKEN_SECONDS,
        "refresh_token": refresh_token,
        "openid": grant.openid,
        "scope": grant.scope,
    }
    if grant.snapshot:
        answer["is_snapshotuser"] = 1
    return answer | _unionid(call, grant)


def _unionid(call: ApiCall, grant: Grant) -> dict[str, str]:
    if grant.scope != USERINFO or not call.account.unionid or grant.snapshot:
        return {}
    return {"unionid": call.world.state.users[grant.user_id].unionid}


def _visitor(call: ApiCall) -> Grant:
    """The grant behind access_token and openid."""
    grant = _granted(call, f"token {call.query.get('access_token')}", 40001)
    if call.query.get("openid") != grant.openid:
        raise ApiError(40003)
    if call.world.now() - grant.issued_at > TOKEN_SECONDS:
        raise ApiError(42001)
    call.account = call.world.get_account(grant.app_id)
    return grant
