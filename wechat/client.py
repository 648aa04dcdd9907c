"""The one client for WeChat's official-account API.

wechatpy's client does the requests; this subclass takes over what it gets wrong: the token (shared,
one bounded refresh and one retry), the hosts, the time-outs, the quotas, and errors that say what
to do next.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import redis
import requests
from wechatpy import WeChatClient

from wechat.clock import Clock, utc_now
from wechat.errors import (
    QUOTA_CODES,
    OutcomeUnknown,
    QuotaExceeded,
    Retryable,
    TokenRejected,
    WeChatError,
    refusal,
)
from wechat.jssdk import PATH as TICKET_PATH
from wechat.jssdk import TicketService
from wechat.quota import QuotaMeter
from wechat.tokens import Token, TokenService
from wechat.transport import POOL_SIZE, TIMEOUT, GuardedSession, Timeout, decoded
from wechat.troubles import Troubles

API_BASE = "https://api.weixin.qq.com"
MP_BASE = "https://mp.weixin.qq.com"
OPEN_BASE = "https://open.weixin.qq.com"

_JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
_QUOTA_PATH = "/cgi-bin/openapi/quota/get"


class PlatformClient(WeChatClient):
    """Calls the official-account API for one account. Build one per account and process; any number
    of threads share it.

    `get` and `post` take a path (`/cgi-bin/user/info`, or wechatpy's `user/info`) and answer with a
    dict, or raise a `WeChatError`. `data` may be a dict (sent as UTF-8 JSON, never escaped, as the
    menu API demands) and `files` holds bytes, not open files, because a retry must send them whole.
    """

    def __init__(
        self,
        app_id: str,
        secret: Callable[[], str],
        *,
        store: redis.Redis | None = None,
        api_base: str = API_BASE,
        mp_base: str = MP_BASE,
        open_base: str = OPEN_BASE,
        clock: Clock = utc_now,
        timeout: Timeout = TIMEOUT,
        pool_size: int = POOL_SIZE,
        patience_seconds: float = 0.0,
    ) -> None:
        """`secret` is asked for the AppSecret when a token is fetched; `store` is the Redis shared
        by all processes; `timeout` is (connect, read) in seconds; `patience_seconds` is how long a
        call may wait for its minute's quota.
        """
        # wechatpy is not told the secret: it would keep it, and put it into addresses.
        super().__init__(app_id, "", timeout=timeout, auto_retry=False)
        self.api_base = api_base.rstrip("/")
        self.mp_base = mp_base.rstrip("/")
        self.open_base = open_base.rstrip("/")
        self.API_BASE_URL = f"{self.api_base}/cgi-bin/"
        self.clock = clock
        self.patience_seconds = patience_seconds
        self._http: GuardedSession = GuardedSession(
            (self.api_base, self.mp_base, self.open_base), timeout=timeout, pool_size=pool_size
        )
        self.quota = QuotaMeter(store, app_id, clock=clock)
        self.troubles = Troubles(store, app_id, clock)
        self.tokens = TokenService(
            store, app_id, secret, self._http, self.api_base, clock=clock, meter=self.quota, troubles=self.troubles
        )  # fmt: skip
        self.tickets = TicketService(
            store, app_id, lambda: self.get(TICKET_PATH, params={"type": "jsapi"}), clock=clock
        )

    @property
    def access_token(self) -> str:
        """The current access token, for the parts of wechatpy that ask for it."""
        return self.tokens.current().value

    def fetch_access_token(self) -> dict[str, Any]:
        """wechatpy's way to ask for a token; answers from the token service."""
        return {"access_token": self.access_token}

    def download(self, url: str, **params: str) -> bytes:
        """The body behind `url` (on a configured host), fetched without a token."""
        return self._http.get(url, params=params).content

    def ask(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        """GET `path` without the account's token: web login speaks for a visitor, not for the
        account. Counted, guarded and refused like every other call.
        """
        self._count(path)
        answer: dict[str, Any] = self._handle_result(
            self._http.get(self.api_base + path, params=params), "GET", path, params=params
        )
        return answer

    def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> dict[str, Any]:
        url = _url(
            kwargs.pop("api_base_url", None) or self.API_BASE_URL, self.api_base, url_or_endpoint
        )
        path = _path_of(url)
        params = dict(kwargs.pop("params", None) or {})
        _prepare_body(kwargs)
        if "access_token" in params:
            return self._send(method, url, path, params, kwargs)
        token = self.tokens.current()
        try:
            return self._send(method, url, path, params | {"access_token": token.value}, kwargs)
        except TokenRejected:
            pass  # and leave the block, so that a second failure does not drag this one along
        token = self._renewed(token, path)
        return self._send(method, url, path, params | {"access_token": token.value}, kwargs)

    def _renewed(self, token: Token, path: str) -> Token:
        try:
            return self.tokens.renew(token)
        except TokenRejected as error:
            error.path = path  # the call that failed, not the endpoint that was not asked
            raise

    def _send(
        self, method: str, url: str, path: str, params: dict[str, Any], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        self._count(path)
        try:
            answer: dict[str, Any] = super()._request(method, url, params=params, **kwargs)
        except WeChatError as error:
            self.troubles.note(error)
            raise
        return answer

    def _count(self, path: str) -> None:
        try:
            self.quota.check(path, patience_seconds=self.patience_seconds)
        except QuotaExceeded:
            if not self.quota.should_ask(path):
                raise
        else:
            return
        # The table of limits is that of a new account. Before it stops a grown one, WeChat is asked
        # for the real figure.
        self._learn_quota(path)
        self.quota.check(path, patience_seconds=self.patience_seconds)

    def _learn_quota(self, path: str) -> None:
        try:
            figures = self.post(_QUOTA_PATH, data={"cgi_path": path}).get("quota")
        except WeChatError:
            return  # then our own figure stands
        try:
            limit, used = (int(figures.get(name) or 0) for name in ("daily_limit", "used"))
        except (AttributeError, TypeError, ValueError):
            return  # the same: no figures, or none that can be read
        self.quota.learn(path, limit, used)

    def _handle_result(
        self,
        res: requests.Response,
        method: str | None = None,
        url: str | None = None,
        result_processor: Callable[[dict[str, Any]], Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        answer = decoded(res)
        path = urlsplit(res.url).path
        try:
            errcode = int(answer.get("errcode") or 0)
        except (TypeError, ValueError):
            kind = Retryable if res.request.method == "GET" else OutcomeUnknown
            raise kind("the answer holds no valid errcode", path=path) from None
        if errcode == 0:
            return answer if result_processor is None else result_processor(answer)
        retry_at = self.quota.refused(path, errcode) if errcode in QUOTA_CODES else None
        errmsg = str(answer.get("errmsg", ""))
        token = (kwargs.get("params") or {}).get("access_token")
        if token:
            errmsg = errmsg.replace(token, "***")
        refused = refusal(errcode, errmsg, path, retry_at=retry_at)
        refused.answer = {name: value for name, value in answer.items() if name != "errmsg"}
        raise refused


def _prepare_body(kwargs: dict[str, Any]) -> None:
    """Serialise once, whatever number of tries follows."""
    data = kwargs.get("data")
    if isinstance(data, dict) and "files" not in kwargs:
        # "replace": half of a surrogate pair cannot be sent, and one lost character is better than
        # a lost message.
        kwargs["data"] = json.dumps(data, ensure_ascii=False, allow_nan=False).encode(
            "utf-8", "replace"
        )
        kwargs.setdefault("headers", _JSON_HEADERS)
    for name, part in (kwargs.get("files") or {}).items():
        content = part[1] if isinstance(part, tuple) else part
        if not isinstance(content, bytes):
            raise TypeError(
                f"file {name!r} must be bytes: an open file is at its end when the call is repeated"
            )


def _url(relative_base: str, api_base: str, endpoint: str) -> str:
    if endpoint.startswith(("http://", "https://")):
        return endpoint
    return api_base + endpoint if endpoint.startswith("/") else relative_base + endpoint


@lru_cache(maxsize=512)
def _path_of(url: str) -> str:
    return urlsplit(url).path
