"""Keeping the state over a restart, in one JSON file."""

import dataclasses
import json
import threading
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from simulator.state import State, World

SAVE_EVERY_SECONDS = 1.0


def read_state(path: Path | None) -> State:
    """The state in the file, or an empty one when there is no file yet."""
    if path is None or not path.exists():
        return State()
    return _build(State, json.loads(path.read_text("utf-8")))  # type: ignore[no-any-return]


def write_state(path: Path, world: World) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    with world.lock:
        text = json.dumps(dataclasses.asdict(world.state), ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(path.suffix + ".new")
    draft.write_text(text, "utf-8")
    draft.replace(path)


class Saver(threading.Thread):
    """Writes the state file while the simulator runs, whenever something has happened since the last time."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(name="saver", daemon=True)
        self._path = path
        self._world = world
        self._stopped = threading.Event()

    def run(self) -> None:
        saved = -1
        while not self._stopped.wait(SAVE_EVERY_SECONDS):
            if self._world.changes != saved:
                saved = self._world.changes
                write_state(self._path, self._world)

    def finish(self) -> None:
        """Write once more and stop."""
        self._stopped.set()
        self.join()
        write_state(self._path, self._world)


def _build(kind: Any, value: Any) -> Any:
    """`value` from JSON as the annotated type: dataclasses, lists and dicts of them, and plain values."""
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {name: _build(hints[name], value[name]) for name in hints if name in value}
        return kind(**known)  # type: ignore[operator]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is dict:
        return {key: _build(inner[1], each) for key, each in value.items()}
    if origin is list:
        return [_build(inner[0], each) for each in value]
    if origin in (Union, types.UnionType) and value is not None:
        return _build(inner[0], value)
    return value
