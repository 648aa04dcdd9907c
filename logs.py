"""What a process says while it runs: a line for each event on standard error, JSON for machines, plain for a terminal.

Every line has the time, the level and who speaks; a line from inside a request or a job also has its id, so that all
lines of one can be found. Secrets never belong in a line; what looks like one in somebody else's words is blotted out.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

Event = MutableMapping[str, Any]
Where = Callable[[], dict[str, str]]
"""What is being done at this moment: {"request": …} or {"job": …}; empty outside of both. Asked for each line only."""

BLOT: Final = "***"
_SECRET: Final = re.compile(
    r"((?:access_token|refresh_token|component_access_token|secret|appsecret|api_v3_key|password|ticket)"
    r"[\"']?\s*[=:]\s*[\"']?)[^\s&\"',}]+",
    re.IGNORECASE,
)


def blot(line: str) -> str:
    """The line without the values of what WeChat's addresses and answers carry: tokens, secrets, tickets."""
    return _SECRET.sub(rf"\1{BLOT}", line)


def _blot_out(_logger: Any, _method: str, event: Event) -> Event:
    for key in ("event", "exception"):
        if isinstance(event.get(key), str):
            event[key] = blot(event[key])
    return event


def start(where: Where = dict) -> None:
    """Begin to write the lines of this process. Once, by whoever puts the process together."""

    def say_where(_logger: Any, _method: str, event: Event) -> Event:
        event.update(where())
        return event

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        say_where,
        structlog.processors.format_exc_info,
        _blot_out,
    ]
    last: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if sys.stderr.isatty():
        last = structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
