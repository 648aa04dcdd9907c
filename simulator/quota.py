"""Daily and per-minute limits of calls, counted per account and path.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html
"""

from datetime import UTC, datetime
from typing import Any

from simulator.errors import ApiError
from simulator.state import Account, World

CLEARINGS_PER_MONTH = 10
PATH_CLEARINGS_PER_MONTH = 50
_NOT_OURS = "/sns/"  # web login is not counted by the account
_BEIJING_SECONDS = 8 * 3600


def charge(world: World, account: Account, path: str) -> None:
    """Count one call: 45009 when the day is used up, 45011 when the minute is."""
    limit = _limit(world, path)
    per_minute = _minute_limit(world, path)
    with world.lock:
        if per_minute is not None:
            _count(account, f"{path} a minute", int(world.now() // 60), per_minute, 45011)
        if limit is not None:
            _count(account, path, _day(world), limit, 45009)


def _count(account: Account, key: str, period: int, limit: int, errcode: int) -> None:
    counted, calls = account.usage.get(key, [period, 0])
    calls = calls if counted == period else 0
    if calls >= limit:
        raise ApiError(errcode)
    account.usage[key] = [period, calls + 1]


def report(world: World, account: Account, path: str) -> dict[str, Any]:
    """The answer of quota/get; 76003 for what is not a path, 76021 for an unknown one, 76022 for one that is
    not counted."""
    limit = _limit(world, _known(world, path))
    if limit is None:
        raise ApiError(76022)
    day, used = account.usage.get(path, [0, 0])
    used = used if day == _day(world) else 0
    answer = {"quota": {"daily_limit": limit, "used": used, "remain": max(0, limit - used)}}
    per_minute = _minute_limit(world, path)
    if per_minute is None:
        return answer
    return answer | {"rate_limit": {"call_count": per_minute, "refresh_second": 60}}


def clear(world: World, account: Account) -> None:
    """Start counting afresh; 48006 after ten times in one month."""
    month = _month(world)
    with world.lock:
        if account.clearings.get(month, 0) >= CLEARINGS_PER_MONTH:
            raise ApiError(48006)
        account.clearings[month] = account.clearings.get(month, 0) + 1
        account.usage.clear()


def clear_path(world: World, account: Account, path: str) -> None:
    """Start counting one path afresh; 48006 after fifty times in one month."""
    month = _month(world)
    with world.lock:
        known, done = _known(world, path), account.path_clearings.get(month, 0)
        if done >= PATH_CLEARINGS_PER_MONTH:
            raise ApiError(48006)
        account.path_clearings[month] = done + 1
        account.usage.pop(known, None)


def _known(world: World, path: str) -> str:
    if not path.startswith("/"):
        raise ApiError(76003)
    if path.startswith(_NOT_OURS):
        raise ApiError(76022)
    if path not in world.limits:
        raise ApiError(76021)
    return path


def _limit(world: World, path: str) -> int | None:
    return world.faults.quota.get(path, world.limits[path])


def _minute_limit(world: World, path: str) -> int | None:
    return world.faults.rate_per_minute.get(path, world.minute_limits[path])


def _day(world: World) -> int:
    return int((world.now() + _BEIJING_SECONDS) // 86_400)


def _month(world: World) -> str:
    moment = datetime.fromtimestamp(world.now() + _BEIJING_SECONDS, UTC)
    return f"{moment:%Y-%m}"
