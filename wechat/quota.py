"""How many calls of each API an account may still make, counted before WeChat counts them.

Counters live in Redis per AppID, API path, minute and day. WeChat's day is Beijing's. A process
takes small blocks of permits, so that counting a template message costs no round trip; a block that
is not used up is lost for the day, at most one in a couple of thousand. The figures below are those
of a new account; `learn` replaces one by what `/cgi-bin/openapi/quota/get` says, which is the only
figure that is right for a grown account.

Without Redis every call passes: WeChat's own refusal is then the limit, and is remembered by this
process.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis

from wechat.clock import BEIJING, Clock, utc_now
from wechat.errors import DAY_QUOTA_CODE, QuotaExceeded
from wechat.shared import Shared, text


@dataclass(frozen=True, slots=True)
class Limit:
    """Calls per day and per minute; None where WeChat names no figure."""

    day: int | None = None
    minute: int | None = None


LIMITS: Mapping[str, Limit] = {
    "/cgi-bin/stable_token": Limit(day=500_000, minute=10_000),
    "/cgi-bin/menu/create": Limit(day=1_000),
    "/cgi-bin/menu/get": Limit(day=10_000),
    "/cgi-bin/menu/delete": Limit(day=1_000),
    "/cgi-bin/media/upload": Limit(day=100_000),
    "/cgi-bin/media/get": Limit(day=200_000),
    "/cgi-bin/message/custom/send": Limit(day=500_000),
    "/cgi-bin/message/template/send": Limit(day=100_000),
    "/cgi-bin/message/mass/sendall": Limit(day=100, minute=60),
    "/cgi-bin/message/mass/send": Limit(day=100, minute=60),
    "/cgi-bin/message/mass/preview": Limit(day=100),
    "/cgi-bin/message/subscribe/bizsend": Limit(day=100_000),
    "/cgi-bin/media/uploadimg": Limit(day=100_000),
    "/cgi-bin/qrcode/create": Limit(day=100_000),
    "/cgi-bin/menu/addconditional": Limit(day=2000),
    "/cgi-bin/menu/delconditional": Limit(day=2000),
    "/cgi-bin/menu/trymatch": Limit(day=20_000),
    "/cgi-bin/user/get": Limit(day=500),
    "/cgi-bin/user/info": Limit(day=5_000_000),
    "/cgi-bin/user/info/updateremark": Limit(day=10_000),
    "/cgi-bin/draft/add": Limit(day=1_000),
    "/cgi-bin/draft/get": Limit(day=500),
    "/cgi-bin/draft/delete": Limit(day=1_000),
    "/cgi-bin/draft/update": Limit(day=1_000),
    "/cgi-bin/draft/count": Limit(day=1_000),
    "/cgi-bin/draft/batchget": Limit(day=1_000),
    "/cgi-bin/freepublish/submit": Limit(day=100),
    "/cgi-bin/freepublish/get": Limit(day=100),
    "/cgi-bin/freepublish/delete": Limit(day=10),
    "/cgi-bin/freepublish/getarticle": Limit(day=100),
    "/cgi-bin/freepublish/batchget": Limit(day=100),
    "/sns/oauth2/access_token": Limit(minute=50_000),
    "/sns/oauth2/refresh_token": Limit(minute=50_000),
    "/sns/userinfo": Limit(minute=50_000),
}

_NO_LIMIT = Limit()
_LARGEST_BLOCK = 50
_BLOCKS_PER_DAY = 2_000
_REFUSED_FOR = timedelta(hours=1)
_ASK_EVERY_SECONDS = 3600
_LEARNED_SECONDS = 7 * 86400

# KEYS: minute counters, day counters, learned limits, refusals (each a hash by path)
#
# ARGV: path, wanted, limit per minute, limit per day (0: none), now (Unix ms)
#
# Answer: granted, the Unix ms until which WeChat refused (or 0), 1 when it is the minute that is
# used up and not the day.
_RESERVE = """
local refused = tonumber(redis.call('HGET', KEYS[4], ARGV[1]) or '0')
if refused > tonumber(ARGV[5]) then return {0, refused, 0} end
local minute_limit = tonumber(ARGV[3])
local day_limit = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or ARGV[4])
local granted, by_minute = tonumber(ARGV[2]), 0
if day_limit > 0 then
  granted = math.min(granted, day_limit - tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0'))
end
if minute_limit > 0 then
  local room = minute_limit - tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
  if granted > 0 and room <= 0 then by_minute = 1 end
  granted = math.min(granted, room)
end
if granted <= 0 then return {0, 0, by_minute} end
redis.call('HINCRBY', KEYS[2], ARGV[1], granted)
redis.call('EXPIRE', KEYS[2], 172800)
if minute_limit > 0 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], granted)
  redis.call('EXPIRE', KEYS[1], 180)
end
return {granted, 0, 0}
"""


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """What is left of one API today and in this minute, by our own count."""

    path: str
    day_limit: int | None
    day_used: int
    day_left: int | None
    minute_limit: int | None
    minute_used: int
    refused_until: datetime | None
    learned: bool  # the limit came from WeChat, not from the table of new accounts


@dataclass(slots=True)
class _Block:
    """Permits that this process has taken and not used."""

    day: str
    left: int


class QuotaMeter:
    """Counts the calls of one account. Thread-safe."""

    def __init__(
        self,
        client: redis.Redis | None,
        app_id: str,
        *,
        clock: Clock = utc_now,
        limits: Mapping[str, Limit] = LIMITS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shared = Shared(client)
        # Braces: in a Redis cluster all keys of one account live on one node, as the script needs.
        self._prefix = f"wechat:{{{app_id}}}:quota"
        self._clock = clock
        self._limits = limits
        self._sleep = sleep
        self._lock = threading.Lock()
        self._blocks: dict[str, _Block] = {}
        self._refused: dict[str, datetime] = {}

    def check(self, path: str, *, patience_seconds: float = 0.0) -> None:
        """Take one call of `path`, waiting up to `patience_seconds` for room; else QuotaExceeded
        with `retry_at`.
        """
        waited = 0.0
        while (until := self._reserve(path)) is not None:
            pause = max(0.01, (until - self._clock()).total_seconds())
            if waited + pause > patience_seconds:
                raise QuotaExceeded("our own count stops this call", retry_at=until, path=path)
            self._sleep(pause)
            waited += pause

    def refused(self, path: str, errcode: int) -> datetime:
        """Remember that WeChat said 45009 or 45011; returns when to try again (UTC).

        After 45009 that is Beijing's midnight or an hour from now, whichever is sooner: the
        merchant may clear or raise the quota at any time, and one refused call an hour is a fair
        price for noticing.
        """
        now = self._clock()
        until = _next_minute(now)
        if errcode == DAY_QUOTA_CODE:
            until = min(_next_day(now), now + _REFUSED_FOR)
        with self._lock:
            self._refused[path] = until
            self._blocks.pop(path, None)
        key, value = f"{self._prefix}:refused", _milliseconds(until)
        self._shared.ask(lambda client: client.hset(key, path, value), 0)
        return until

    def should_ask(self, path: str) -> bool:
        """True once an hour when our own count stopped a call: WeChat's figure may be higher, which
        is worth asking.

        Never after WeChat itself refused: then its figure is known to be used up.
        """
        if path not in self._limits or path in self._refused:
            return False
        key = f"{self._prefix}:asked:{path}"
        return bool(
            self._shared.ask(
                lambda client: client.set(key, 1, nx=True, ex=_ASK_EVERY_SECONDS), None
            )
        )

    def learn(self, path: str, daily_limit: int, used: int) -> None:
        """Take over what WeChat says of `path`: its daily limit, and its count of today where that
        is higher.
        """
        if daily_limit <= 0:
            return  # WeChat's way of naming no figure

        def remember(client: redis.Redis) -> None:
            day = self._day_key(self._clock())
            client.hset(f"{self._prefix}:limits", path, str(daily_limit))
            client.expire(f"{self._prefix}:limits", _LEARNED_SECONDS)
            missing = used - int(text(client.hget(day, path) or 0))
            if missing > 0:
                client.hincrby(day, path, missing)
                client.expire(day, 172800)

        self._shared.ask(remember, None)

    def forget(self, path: str) -> None:
        """Start today's count of `path` again, after the merchant cleared the quota."""
        with self._lock:
            self._refused.pop(path, None)
            self._blocks.pop(path, None)

        def clear(client: redis.Redis) -> None:
            client.hdel(self._day_key(self._clock()), path)
            client.hdel(f"{self._prefix}:refused", path)
            client.delete(f"{self._prefix}:asked:{path}")

        self._shared.ask(clear, None)

    def left(self) -> list[QuotaLeft]:
        """Every API with a limit, or used today, as the console shows it. Empty while Redis is
        away.
        """

        now = self._clock()

        def read(client: redis.Redis) -> list[dict[str, int]]:
            keys = (
                self._day_key(now),
                self._minute_key(now),
                f"{self._prefix}:limits",
                f"{self._prefix}:refused",
            )
            return [
                {text(path): int(text(n)) for path, n in client.hgetall(key).items()}
                for key in keys
            ]

        found = self._shared.ask(read, None)
        if found is None:
            return []
        used, minute, learned, refused = found

        held = {path: until for path, until in refused.items() if until > _milliseconds(now)}

        def one(path: str) -> QuotaLeft:
            usual, count, until = (
                self._limits.get(path, _NO_LIMIT),
                used.get(path, 0),
                held.get(path),
            )
            limit = learned.get(path, usual.day or 0) or None
            return QuotaLeft(
                path=path,
                day_limit=limit,
                day_used=count,
                day_left=None if limit is None else max(0, limit - count),
                minute_limit=usual.minute,
                minute_used=minute.get(path, 0),
                refused_until=None if until is None else datetime.fromtimestamp(until / 1000, UTC),
                learned=path in learned,
            )  # fmt: skip

        return [one(path) for path in sorted(self._limits.keys() | used.keys() | held.keys())]

    def _reserve(self, path: str) -> datetime | None:
        """None when the call may go, else when to come back."""
        now = self._clock()
        limit = self._limits.get(path, _NO_LIMIT)
        # The lock is held over the round trip, once in a block: otherwise every thread would take a
        # block of its own each time one runs out. A Redis that hangs costs one time-out here, then
        # `Shared` leaves it alone.
        with self._lock:
            until = self._refused.get(path)
            if until is not None:
                if now < until and not self._is_lifted(path):
                    return until
                del self._refused[path]
            if limit is _NO_LIMIT:
                return None  # WeChat names no figure: nothing to count
            day = _day(now)
            block = self._blocks.get(path)
            if block is None or block.left == 0 or block.day != day:
                granted, until = self._take_block(path, limit, now)
                if until is not None:
                    return until
                block = self._blocks[path] = _Block(day, granted)
            block.left -= 1
            return None

    def _is_lifted(self, path: str) -> bool:
        """Whether a person cleared the quota, in whatever process: then the refusal is gone from
        Redis.
        """
        key = f"{self._prefix}:refused"
        return bool(self._shared.ask(lambda client: not client.hexists(key, path), False))

    def _take_block(self, path: str, limit: Limit, now: datetime) -> tuple[int, datetime | None]:
        # A permit of a block is good for the whole day, so an API with a limit per minute gets them
        # one by one.
        wanted = (
            1 if limit.minute else max(1, min(_LARGEST_BLOCK, (limit.day or 0) // _BLOCKS_PER_DAY))
        )
        keys = [
            self._minute_key(now),
            self._day_key(now),
            f"{self._prefix}:limits",
            f"{self._prefix}:refused",
        ]
        arguments = [path, wanted, limit.minute or 0, limit.day or 0, _milliseconds(now)]
        passes = [1, 0, 0]
        answer = self._shared.ask(
            lambda client: client.eval(_RESERVE, len(keys), *keys, *arguments), passes
        )
        granted, refused_ms, by_minute = (int(n) for n in answer)
        if granted > 0:
            return granted, None
        if refused_ms:
            return 0, datetime.fromtimestamp(refused_ms / 1000, UTC)
        return 0, _next_minute(now) if by_minute else _next_day(now)

    def _minute_key(self, now: datetime) -> str:
        return f"{self._prefix}:minute:{int(now.timestamp()) // 60}"

    def _day_key(self, now: datetime) -> str:
        return f"{self._prefix}:day:{_day(now)}"


def _day(now: datetime) -> str:
    return now.astimezone(BEIJING).strftime("%Y%m%d")


def _next_minute(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _next_day(now: datetime) -> datetime:
    midnight = now.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight + timedelta(days=1)).astimezone(UTC)


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
