"""One access token for all processes.

Uses `stable_token` without force_refresh: whoever asks gets the *current* token, so asking twice is
a waste but never an accident, and a process that cannot reach Redis may simply ask for itself.
Asked for early (half of its life), one process at a time, and never more often than the limits of
the endpoint.

https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken
"""

from __future__ import annotations

import copy
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import redis

from wechat.clock import Clock, utc_now
from wechat.errors import (
    QUOTA_CODES,
    TOKEN_ENDPOINT_CODES,
    AccountMisconfigured,
    OutcomeUnknown,
    Retryable,
    TokenRejected,
    WeChatError,
    redacted,
    refusal,
    rid_in,
)
from wechat.quota import QuotaMeter
from wechat.shared import Shared, text
from wechat.transport import GuardedSession, decoded
from wechat.troubles import Troubles

PATH = "/cgi-bin/stable_token"

LOCK_SECONDS = 15  # longer than one token call may take
WAIT_SECONDS = 16.0  # longer than a lock that nobody gives back: who waits gets token or lock
POLL_SECONDS = 0.05
FORCE_EVERY_SECONDS = 30
FORCE_PER_DAY = 20
CONFIRMED_FOR_SECONDS = 3600.0  # a call every half hour is enough to notice that WeChat insists
EXTENSION_SECONDS = 30.0
BORROWED_SECONDS = 1.0  # the old one serves so long before it is looked for another's next one
SILENCE_AFTER_ACCOUNT_ERROR = 10.0
SILENCE_AFTER_OTHER_ERROR = 1.0

_RELEASE = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)

# KEYS: when a refresh was forced, each with its time
#
# ARGV: now (Unix s), seconds apart, how many in 24 hours. Answer: 1 when another one may be forced now, which is noted.
_FORCE = """
local now = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 86400)
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last and now - tonumber(last) < tonumber(ARGV[2]) then return 0 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 172800)
return 1
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, until when it is used without asking again, and its end (Unix seconds, the
    service's clock).
    """

    value: str = field(repr=False)
    fresh_until: float
    expires_at: float
    # When WeChat handed out this very token again although it had just been refused.
    confirmed_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float  # monotonic
    error: WeChatError


def lifetime_seconds(expires_in: float) -> float:
    """How long a token is used: until five minutes before its end, and no longer than half of what
    is left of it.
    """
    return max(1.0, min(expires_in - 300, expires_in / 2))


class TokenService:
    """Keeps the token of one account. Thread-safe; any number of processes may run one for the same
    account.

    `secret` is called when a token is fetched, so a rotated AppSecret is picked up and none is kept
    here. `base_url` is the API's origin.
    """

    def __init__(
        self,
        client: redis.Redis | None,
        app_id: str,
        secret: Callable[[], str],
        http: GuardedSession,
        base_url: str,
        *,
        clock: Clock = utc_now,
        meter: QuotaMeter | None = None,
        troubles: Troubles | None = None,
    ) -> None:
        self._shared = Shared(client)
        self._app_id = app_id
        self._secret = secret
        self._http = http
        self._url = base_url.rstrip("/") + PATH
        self._clock = clock
        self._meter = meter
        self._troubles = troubles
        self._key = f"wechat:{{{app_id}}}:token"
        self._lock = threading.Lock()
        self._memory: Token | None = None
        self._failure: _Failure | None = None
        self._forced_locally: list[float] = []

    def current(self) -> Token:
        """The token to use now; asks WeChat only when nobody here holds a fresh one. While another
        thread or process asks, one that is past half of its life serves on: a platform that hangs
        holds up one call, not all.
        """
        token, now = self._memory, self._clock().timestamp()
        if token is None or now >= token.expires_at:
            return self._renewed(None)
        return token if now < token.fresh_until or self._lock.locked() else self._renewed(None)

    def seconds_left(self) -> float | None:
        """Until the token that all processes share ends; None when there is none. Asks WeChat for nothing."""
        token = self._stored()
        return None if token is None else max(0.0, token.expires_at - self._clock().timestamp())

    def renew(self, refused: Token) -> Token:
        """The token to use after WeChat refused `refused`, which is dropped only if nobody replaced
        it already.

        Raises TokenRejected when WeChat insists on the refused token and a forced refresh is not
        due yet.
        """
        return self._renewed(refused)

    def _renewed(self, refused: Token | None) -> Token:
        came_at = time.monotonic()
        with self._lock:
            token = self._usable(self._memory, refused) or self._usable(self._stored(), refused)
            if token is None:
                self._raise_recent_failure(came_at)
                try:
                    token = self._fetched_alone(refused)
                except WeChatError as error:
                    if self._troubles is not None:
                        self._troubles.note(error)
                    token = self._old_one(error, refused)
                    if token is None:
                        # A copy, because an error that was raised holds on to its frames.
                        self._failure = _Failure(time.monotonic(), copy.copy(error))
                        raise
                else:
                    self._failure = None
            self._memory = token
            return token

    def _old_one(self, error: WeChatError, refused: Token | None) -> Token | None:
        """The token we have, a little longer, when WeChat cannot give a new one and has not refused
        this one.
        """
        return self._good_for(EXTENSION_SECONDS, refused) if isinstance(error, Retryable) else None

    def _good_for(self, seconds: float, refused: Token | None) -> Token | None:
        """The token we have, for so long without asking again; None when it has ended or was refused."""
        now, token = self._clock().timestamp(), self._memory
        if refused is not None or token is None or now >= token.expires_at:
            return None
        return replace(token, fresh_until=min(now + seconds, token.expires_at))

    def _raise_recent_failure(self, came_at: float) -> None:
        """A failure that happened while this thread was waiting for the lock, or a moment ago, is
        its answer too.

        Otherwise a dead platform is asked once by every thread, one time-out after the other.
        """
        failure = self._failure
        if failure is None:
            return
        lasting = isinstance(failure.error, AccountMisconfigured)
        silence = SILENCE_AFTER_ACCOUNT_ERROR if lasting else SILENCE_AFTER_OTHER_ERROR
        if failure.at >= came_at or time.monotonic() - failure.at < silence:
            raise copy.copy(failure.error) from None

    def _usable(self, token: Token | None, refused: Token | None) -> Token | None:
        if token is None or self._clock().timestamp() >= token.fresh_until:
            return None
        if refused is None or token.value != refused.value:
            return token
        # The same text: good for one more try if WeChat confirmed it after the refused one was
        # read.
        return token if (token.confirmed_at or 0.0) > (refused.confirmed_at or 0.0) else None

    def _fetched_alone(self, refused: Token | None) -> Token:
        """Fetch while no other process does; what another fetched in the meantime is as good."""
        owner = secrets.token_hex(8)
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not self._lock_for_all(owner) and time.monotonic() < give_up_at:
            old = self._good_for(BORROWED_SECONDS, refused)
            if old is not None:
                return old
            time.sleep(POLL_SECONDS)
            token = self._usable(self._stored(), refused)
            if token is not None:
                return token
        try:
            return self._usable(self._stored(), refused) or self._fetched(refused)
        finally:
            key = f"{self._key}:lock"
            self._shared.ask(lambda client: client.eval(_RELEASE, 1, key, owner), 0)

    def _lock_for_all(self, owner: str) -> bool:
        """False while another process holds the lock. True as well when there is no Redis to hold
        it.
        """
        key = f"{self._key}:lock"
        return bool(
            self._shared.ask(lambda client: client.set(key, owner, nx=True, ex=LOCK_SECONDS), True)
        )

    def _fetched(self, refused: Token | None) -> Token:
        now = self._clock().timestamp()
        insisted = (
            refused is not None and now - (refused.confirmed_at or 0.0) < CONFIRMED_FOR_SECONDS
        )
        if insisted and not self._may_force(now):
            raise TokenRejected("WeChat refuses the token it insists on", path=PATH)
        if insisted:
            _log.warning(
                "WeChat refuses the token it insists on: forcing a new one for %s", self._app_id
            )
        token = self._asked(force=insisted)
        if refused is not None and token.value == refused.value:
            token = replace(token, confirmed_at=now)
        self._store(token)
        return token

    def _may_force(self, now: float) -> bool:
        """WeChat allows a forced refresh 20 times a day, 30 seconds apart, for all processes
        together.
        """
        if not self._shared.configured:
            self._forced_locally = [at for at in self._forced_locally if now - at < 86400]
            recent = [at for at in self._forced_locally if now - at < FORCE_EVERY_SECONDS]
            if recent or len(self._forced_locally) >= FORCE_PER_DAY:
                return False
            self._forced_locally.append(now)
            return True
        # With Redis away nobody knows what the other processes forced: the safe answer is no.
        key, wishes = f"{self._key}:forced", (now, FORCE_EVERY_SECONDS, FORCE_PER_DAY)
        return bool(self._shared.ask(lambda client: client.eval(_FORCE, 1, key, *wishes), 0))

    def _asked(self, *, force: bool) -> Token:
        if self._meter is not None:
            self._meter.check(PATH)
        secret = self._secret()
        body = {
            "grant_type": "client_credential",
            "appid": self._app_id,
            "secret": secret,
            "force_refresh": force,
        }
        answer = self._answer(json.dumps(body).encode())
        errcode = _errcode(answer)
        if errcode:
            errmsg = str(answer.get("errmsg", "")).replace(secret, "***")
            raise self._refusal(errcode, errmsg, force=force)
        value, expires_in = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(expires_in, int):
            raise Retryable("the answer holds no token", path=PATH)
        now = self._clock().timestamp()
        return Token(value, now + lifetime_seconds(expires_in), now + expires_in)

    def _answer(self, body: bytes) -> dict[str, Any]:
        try:
            return decoded(
                self._http.post(self._url, data=body, headers={"Content-Type": "application/json"})
            )
        except OutcomeUnknown as error:
            # Asking for a token changes nothing, and the call that needed it has not been sent.
            unclear = str(error.args[0])
        raise Retryable(unclear, path=PATH)

    def _refusal(self, errcode: int, errmsg: str, *, force: bool) -> WeChatError:
        if errcode in TOKEN_ENDPOINT_CODES:
            return AccountMisconfigured(
                redacted(errmsg), errcode=errcode, path=PATH, rid=rid_in(errmsg)
            )
        retry_at = None
        if force and errcode in QUOTA_CODES:
            # Somebody else forced refreshes, too; whoever asks for the current token must still be heard.
            return TokenRejected(redacted(errmsg), errcode=errcode, path=PATH, rid=rid_in(errmsg))
        if errcode in QUOTA_CODES and self._meter is not None:
            retry_at = self._meter.refused(PATH, errcode)
        return refusal(errcode, errmsg, PATH, retry_at=retry_at)

    def _stored(self) -> Token | None:
        raw = self._shared.ask(lambda client: client.get(self._key), None)
        if raw is None:
            return None
        try:
            stored = json.loads(text(raw))
            return Token(
                str(stored["value"]),
                float(stored["fresh_until"]),
                float(stored["expires_at"]),
                stored["confirmed_at"],
            )
        except (ValueError, TypeError, KeyError):
            return None  # written by another version of this program: as good as nothing

    def _store(self, token: Token) -> None:
        value = json.dumps(asdict(token))
        seconds = max(1, int(token.fresh_until - self._clock().timestamp()))
        self._shared.ask(lambda client: client.set(self._key, value, ex=seconds), None)


def _errcode(answer: dict[str, Any]) -> int:
    try:
        return int(answer.get("errcode") or 0)
    except (TypeError, ValueError):
        raise Retryable("the answer holds no valid errcode", path=PATH) from None
