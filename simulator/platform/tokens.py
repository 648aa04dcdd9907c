"""Getting an access token.

https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
"""

from typing import Any

from simulator import quota
from simulator.errors import ApiError
from simulator.platform import keys
from simulator.platform.gate import ApiCall, Endpoints
from simulator.state import Account, Token

endpoints = Endpoints()

TOKEN_PATH, STABLE_PATH = "/cgi-bin/token", "/cgi-bin/stable_token"
FORCED_PER_DAY = 20
FORCED_APART_SECONDS = 30


@endpoints.add("GET", TOKEN_PATH, per_day=2000, credential="secret")
def token(call: ApiCall) -> dict[str, Any]:
    """The normal channel: every call makes a new token."""
    call.account = _proven(call, call.query)
    quota.charge(call.world, call.account, TOKEN_PATH)
    return _answer(call, keys.issue(call.world, call.account, "normal"))


@endpoints.add("POST", STABLE_PATH, per_day=500_000, per_minute=10_000, credential="secret")
def stable_token(call: ApiCall) -> dict[str, Any]:
    """The stable channel: everybody gets the same token, unless somebody forces a new one."""
    call.account = _proven(call, call.body)
    quota.charge(call.world, call.account, STABLE_PATH)
    if call.body.get("force_refresh") is True:
        _count_forced(call)
        return _answer(call, keys.issue(call.world, call.account, "stable", overlap=False))
    return _answer(call, keys.current_or_new(call.world, call.account))


def _proven(call: ApiCall, given: dict[str, Any]) -> Account:
    if given.get("grant_type") != "client_credential":
        raise ApiError(40002)
    account = keys.account_of_secret(call.world, given.get("appid"), given.get("secret"))
    keys.check_address(account, call.client_ip)
    return account


def _count_forced(call: ApiCall) -> None:
    with call.world.lock:
        day_ago = call.at - 86_400
        forced = [at for at in call.account.forced_at if at > day_ago]
        if forced and call.at - forced[-1] < FORCED_APART_SECONDS:
            raise ApiError(45011)
        if len(forced) >= FORCED_PER_DAY:
            raise ApiError(45009)
        call.account.forced_at = [*forced, call.at]


def _answer(call: ApiCall, issued: Token) -> dict[str, Any]:
    left = issued.expires_at - call.world.now()
    return {"access_token": issued.value, "expires_in": min(keys.LIFETIME_SECONDS, round(left))}
