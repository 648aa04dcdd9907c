"""Pushes on disk: the files that `bot.spool` writes and replays, and that people look at in the console.

`data/spool` holds what waits, `data/spool/parked` what failed too often. A file is written, fsynced, renamed, and its
folder fsynced. They belong to this machine: each has its own.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

FOLDER: Final = "spool"
PARKED: Final = "parked"
SUFFIX: Final = ".json"
_NAME: Final = re.compile(r"[0-9]{13}\.[0-9]{6}-[0-9a-f]{32}\.json")


@dataclass(frozen=True, slots=True)
class Spooled:
    """A push on disk: `xml` is clear, `tries` counts replays that failed by the push's own fault."""

    slug: str
    received_at: str
    xml: str
    tries: int = 0
    error: str = ""


def keep(data: Path, slug: str, received_at: datetime, xml: str) -> None:
    """Write the push where a power failure cannot reach it. Raises OSError: then WeChat must not hear `success`."""
    name = f"{received_at.timestamp():020.6f}-{uuid.uuid4().hex}{SUFFIX}"
    write(data / FOLDER, name, Spooled(slug, received_at.isoformat(), xml))


def write(folder: Path, name: str, item: Spooled) -> None:
    """Put the push into this folder, under this name, in place of what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.new"
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(unfinished, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(item), file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / name)
    _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> Spooled:
    """The push in a file. A damaged one reads as a push of no account: it fails and is parked, and not the whole
    folder behind it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return Spooled(**json.loads(text))
    except (ValueError, TypeError):
        return Spooled("", "", text)


def waiting(data: Path, slug: str | None = None) -> list[Spooled]:
    """Pushes that wait to be replayed, oldest first; of one account, or of all."""
    return [item for _, item in _read_all(data / FOLDER, slug)]


def parked(data: Path, slug: str | None = None) -> list[tuple[str, Spooled]]:
    """Pushes that failed too often, oldest first, each with the name by which `release` and `discard` know it."""
    return _read_all(data / FOLDER / PARKED, slug)


def release(data: Path, slug: str, name: str) -> bool:
    """Let a parked push of this account be replayed again; False when there is none of this name (any more)."""
    path = _parked(data, slug, name)
    if path is None:
        return False
    # Written before it is taken away: at the worst it is replayed twice, which is harmless.
    write(data / FOLDER, name, replace(read(path), tries=0))
    path.unlink(missing_ok=True)
    return True


def discard(data: Path, slug: str, name: str) -> bool:
    """Give a parked push of this account up for good; False when there is none of this name (any more)."""
    path = _parked(data, slug, name)
    if path is not None:
        path.unlink(missing_ok=True)
    return path is not None


def find_parked(data: Path, slug: str, name: str) -> Spooled | None:
    """The parked push of this account and name."""
    path = _parked(data, slug, name)
    return None if path is None else read(path)


def _parked(data: Path, slug: str, name: str) -> Path | None:
    if not _NAME.fullmatch(name):
        return None
    path = data / FOLDER / PARKED / name
    return path if path.is_file() and read(path).slug == slug else None


def _read_all(folder: Path, slug: str | None) -> list[tuple[str, Spooled]]:
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            item = read(path)
        except FileNotFoundError:
            continue  # replayed at this moment
        if slug is None or item.slug == slug:
            found.append((path.name, item))
    return found
