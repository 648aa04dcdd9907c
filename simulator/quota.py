"""Daily and per-minute limits of calls, counted per account and path.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html
"""

from datetime import UTC, datetime
from typing import Any

from simulator.errors import ApiError
from simulator.state import Account, World

CLEARINGS_PER_MONTH = 10
_BEIJING_SECONDS = 8 * 3600


def charge(world: World, account: Account, path: str) -> None:
    """Count one call: 45009 when the day is used up, 45011 when the minute is."""
    limit = _limit(world, path)
    per_minute = world.faults.rate_per_minute.get(path)
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
    """The figures of quota/get; 76021 for an unknown path, 76022 for one that is not counted."""
    limit = _limit(world, _known(world, path))
    if limit is None:
        raise ApiError(76022)
    day, used = account.usage.get(path, [0, 0])
    used = used if day == _day(world) else 0
    return {"daily_limit": limit, "used": used, "remain": max(0, limit - used)}


def clear(world: World, account: Account) -> None:
    """Start counting afresh; 48006 after ten times in one month."""
    month = _month(world)
    with world.lock:
        if account.clearings.get(month, 0) >= CLEARINGS_PER_MONTH:
            raise ApiError(48006)
        account.clearings[month] = account.clearings.get(month, 0) + 1
        account.usage.clear()


def clear_path(world: World, account: Account, path: str) -> None:
    """Start counting one path afresh."""
    with world.lock:
        account.usage.pop(_known(world, path), None)


def _known(world: World, path: str) -> str:
    if not path.startswith("/"):
        raise ApiError(76003)
    if path not in world.limits:
        raise ApiError(76021)
    return path


def _limit(world: World, path: str) -> int | None:
    return world.faults.quota.get(path, world.limits[path])


def _day(world: World) -> int:
    return int((world.now() + _BEIJING_SECONDS) // 86_400)


def _month(world: World) -> str:
    moment = datetime.fromtimestamp(world.now() + _BEIJING_SECONDS, UTC)
    return f"{moment:%Y-%m}"
