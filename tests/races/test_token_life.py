"""Months of token life in a minute: four worker processes share a real Valkey and the simulator's platform, time jumps
from one end of a token's life to the next, in the middle of calls, and tokens die in every way that they can.

BANYAN_TOKEN_LIFE=whole lives through ten million seconds, in two minutes of ours; an ordinary run takes the first part.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import requests

from tests.support.ports import free_port
from tests.support.servers import ROOT, set_clock
from tests.support.waiting import until

WORKERS = 4
WHOLE = os.environ.get("BANYAN_TOKEN_LIFE") == "whole"
LIFE_SECONDS = 10_000_000 if WHOLE else 80_000
UNGUARDED_SECONDS = 5_000
DAY_SECONDS = 86_400
TOKEN_CALLS_PER_DAY = 2_000
STORM_ROUNDS = 25
TOKEN_PATH = "/cgi-bin/stable_token"


@dataclass
class Life:
    """The platform, the workers and the time they live in."""

    url: str
    clock_file: Path
    workers: list[subprocess.Popen[str]]
    now: float = 0.0
    asked: int = 0
    left: int = 0
    storm: int = 0
    """How many more rounds WeChat insists on tokens that it refuses."""

    def __post_init__(self) -> None:
        self.troubles = self._kinds()

    def live(self, seconds: float) -> None:
        """Let so much time pass, with trouble of every kind on the way; then the platform is well for a while."""
        dice = random.Random(20261125)
        self._faults(rotate_token_every=97)
        while self.now < seconds:
            self._trouble(dice)
            self._pass(dice.uniform(20, 60) if self.storm else _jump(dice))
            self._send()
            self._pass(dice.choice((0, 0, 1, 400)))  # while the calls are under way
            self._hear()
        self._faults()
        for _ in range(5):
            self._pass(DAY_SECONDS / 4)
            self._send()
            self._hear()

    def figures(self) -> dict[str, int]:
        """What the turnstile counted, and how much was asked for and is still open."""
        counted: dict[str, int] = requests.get(f"{self.url}/_turnstile", timeout=10).json()
        return counted | {"asked": self.asked, "open": self.left}

    def _trouble(self, dice: random.Random) -> None:
        self.storm = max(0, self.storm - 1)
        if self.storm:
            self._insist()
        elif dice.random() < 0.06:
            next(self.troubles)()

    def _kinds(self) -> Iterator[Callable[[], None]]:
        """The troubles, in turn."""
        rotations = (97, 997, 11, 97, 997, 97, 29, 997)
        return cycle(
            [self._insist, self._storm, self._broken]
            + [partial(self._faults, rotate_token_every=calls) for calls in rotations]
        )

    def _insist(self) -> None:
        requests.post(f"{self.url}/_turnstile/insist", timeout=10)

    def _storm(self) -> None:
        self.storm = STORM_ROUNDS

    def _broken(self) -> None:
        self._faults(paths=[TOKEN_PATH], busy_rate=0.5, http_500_rate=0.2, truncate_rate=0.2)

    def _faults(self, **wishes: Any) -> None:
        body = {"off": True, **wishes}
        requests.post(f"{self.url}/_sim/faults", json=body, timeout=10).raise_for_status()

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        set_clock(self.clock_file, self.now)

    def _send(self) -> None:
        for worker in self.workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()

    def _hear(self) -> None:
        answers = []
        for worker in self.workers:
            assert worker.stdout is not None
            answers.append([int(n) for n in worker.stdout.readline().split()])
        self.asked = sum(asked for asked, _ in answers)
        self.left = sum(left for _, left in answers)


def _jump(dice: random.Random) -> float:
    """How long until the next calls: now and then a moment, mostly a good part of a token's life, sometimes more."""
    lot = dice.random()
    if lot < 0.15:
        return dice.uniform(5, 40)
    return dice.uniform(400, 1800) if lot < 0.85 else dice.uniform(1500, 4000)


@contextmanager
def _process(*command: str, **options: Any) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def _life(folder: Path, redis_url: str, guard: str) -> Generator[Life]:
    port, clock_file = free_port(), folder / "clock.json"
    url, pipes = f"http://127.0.0.1:{port}", {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    set_clock(clock_file, 0)
    with ExitStack() as stack:
        stack.enter_context(
            _process("-m", "tests.races.token_platform", str(port), str(clock_file))
        )
        workers = [
            stack.enter_context(
                _process(
                    "-m", "tests.races.token_worker", f"w{n}", url, redis_url, str(clock_file), guard, **pipes
                )
            )
            for n in range(WORKERS)
        ]  # fmt: skip
        until(lambda: _is_up(url), 20, what="the platform")
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        account = {"app_id": "wx0123456789abcdef", "secret": "0123456789abcdef0123456789abcdef"}
        requests.post(f"{url}/_sim/accounts", json=account, timeout=10).raise_for_status()
        yield Life(url, clock_file, workers)


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


def test_tokens_of_four_processes_are_refreshed_one_at_a_time_and_no_call_is_lost(
    tmp_path: Path, redis_url: str
) -> None:
    with _life(tmp_path, redis_url, "guarded") as life:
        life.live(LIFE_SECONDS)
        figures = life.figures()

    if WHOLE:
        print(figures)  # noqa: T201 # what the run came to, for docs/operations.md
    assert figures["most_at_once"] == 1
    assert figures["open"] == 0
    assert figures["taken"] == figures["asked"]
    assert figures["taken_twice"] == 0
    assert figures["refused_calls"] > 0
    assert figures["busiest_day"] <= TOKEN_CALLS_PER_DAY
    assert figures["forced"] > 0
    assert (
        figures["beyond_a_limit"] == 0
    )  # neither of all calls nor of the forced ones: 20 a day, 30 seconds apart


def test_without_the_lock_they_would_be_refreshed_at_once(tmp_path: Path, redis_url: str) -> None:
    with _life(tmp_path, redis_url, "unguarded") as life:
        life.live(UNGUARDED_SECONDS)
        assert life.figures()["most_at_once"] > 1
