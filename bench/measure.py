"""Fair timing: clients in processes of their own, the sides in turn (A B A B …), medians with their spread.

The machine's speed drifts by tens of percent, so a ratio is taken round by round, between neighbours in time, and the
median of those is what counts. Single figures are only shown beside it.
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

Step = Callable[[], int]
"""One go of one side; how many units of work that was. 0 means that nothing is left to do."""

PATIENCE_SECONDS: Final = 120.0
"""What a client may take beyond its time before the run is given up."""
_LEAD_SECONDS: Final = 0.05
_IMPORTED: Final = [
    f"bench.lines.{name}"
    for name in (
        "binding",
        "books",
        "broadcast",
        "moving",
        "orders",
        "reads",
        "sending",
        "settling",
    )
]
_SAMPLE: Final = 20_000


class Client(Protocol):
    """What a client process works with, made inside it: its sides, and how often `transact` had to run again."""

    retries: int

    @property
    def sides(self) -> Mapping[str, Step]: ...

    def close(self) -> None: ...


MakeClient = Callable[..., Client]


@dataclass(frozen=True)
class Run:
    """One side in one round, all clients together: `seconds` of the slowest client, `per_second` the sum of their
    rates, latencies in seconds, memory in bytes (of the largest client).

    `cpu` is the processor time of the clients, in seconds: on a machine where clients and server share two cores it
    says what the code costs, and it moves far less than the rates when somebody else is busy.
    """

    units: int
    seconds: float
    per_second: float
    latencies: Sequence[float]
    retries: int
    memory: int
    cpu: float

    def percentile(self, share: float) -> float:
        """The latency that `share` of the goes did not exceed, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def as_value(self) -> dict[str, float]:
        return {name: float(f"{getattr(self, name):.5g}") for name in ("median", "low", "high")}


@dataclass(frozen=True)
class Row:
    """One result. `ratio` is ours against the peer round by round; `met` None where there is no target."""

    line: str
    what: str
    members: int
    unit: str
    ours: Spread
    peer_name: str = ""
    peer: Spread | None = None
    ratio: Spread | None = None
    target: str = ""
    met: bool | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def as_value(self) -> dict[str, Any]:
        spreads = {"ours": self.ours, "peer": self.peer, "ratio": self.ratio}
        return {
            "line": self.line,
            "what": self.what,
            "members": self.members,
            "unit": self.unit,
            "peer_name": self.peer_name,
            "target": self.target,
            "met": self.met,
            "notes": dict(self.notes),
            **{name: one.as_value() if one else None for name, one in spreads.items()},
        }


def against(ours: Sequence[float], peer: Sequence[float]) -> Spread:
    """Ours : peer, round by round."""
    return Spread.of([a / b for a, b in zip(ours, peer, strict=True) if b] or [0.0])


# --- client processes -----------------------------------------------------------------------------------------------


def _serve(pipe: Connection, make: MakeClient, number: int, options: Mapping[str, Any]) -> None:
    """The life of a client process: told side, start and duration; answers with what it did. Ends with its parent."""
    client = make(number, **options)
    pipe.send("ready")
    try:
        while True:
            side, start, seconds, steps = pipe.recv()
            pipe.send(_work(client, client.sides[side], start, seconds, steps))
    except EOFError:
        client.close()


def _work(client: Client, step: Step, start: float, seconds: float, steps: int) -> tuple[Any, ...]:
    latencies: list[float] = []
    units, before = 0, client.retries
    gc.collect()
    time.sleep(max(0.0, start - time.monotonic()))
    cpu = time.process_time()
    began = now = time.monotonic()
    while True:  # at least once: a starved client may come late
        done = step()
        after = time.monotonic()
        if not done:
            break
        latencies.append(after - now)
        units += done
        now = after
        if now - began >= seconds or len(latencies) == steps:
            break
    cpu = time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return units, now - began, latencies[-_SAMPLE:], client.retries - before, memory, cpu


class Clients:
    """A bounded number of client processes, each with its own connections."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def run(self, side: str, seconds: float, steps: int = 0) -> Run:
        """All clients do `side` at the same time: for `seconds`, or until each has done `steps` goes or has no more."""
        start = time.monotonic() + _LEAD_SECONDS
        for pipe in self._pipes:
            pipe.send((side, start, seconds, steps))
        done = [_answer(pipe, seconds + PATIENCE_SECONDS) for pipe in self._pipes]
        return Run(
            sum(one[0] for one in done),
            max(one[1] for one in done),
            sum(one[0] / one[1] for one in done if one[1]),
            [latency for one in done for latency in one[2]],
            sum(one[3] for one in done),
            max(one[4] for one in done),
            sum(one[5] for one in done),
        )

    def in_turn(
        self, sides: Sequence[str], rounds: int, seconds: float, steps: int = 0
    ) -> dict[str, list[Run]]:
        """A B A B …, after a short warm-up of each."""
        for side in sides:
            self.run(side, min(seconds, 0.5), min(steps, 1) if steps else 0)
        runs: dict[str, list[Run]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                runs[side].append(self.run(side, seconds, steps))
        return runs


def _answer(pipe: Connection, seconds: float) -> Any:
    if not pipe.poll(seconds):
        raise TimeoutError("a client did not answer")
    return pipe.recv()


@contextmanager
def clients(count: int, make: MakeClient, **options: Any) -> Generator[Clients]:
    """`count` processes that each call `make(number, **options)`; gone at the end of the block."""
    # Forked from a process that has imported everything and opened nothing: sixteen interpreters that start at once
    # would take longer than a round.
    spawning = multiprocessing.get_context("forkserver")
    spawning.set_forkserver_preload(_IMPORTED)
    pipes: list[Connection] = []
    processes = []
    try:
        for number in range(count):
            ours, theirs = spawning.Pipe()
            process = spawning.Process(
                target=_serve, args=(theirs, make, number, options), daemon=True
            )
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _answer(pipe, PATIENCE_SECONDS)
        yield Clients(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


def rates(runs: Sequence[Run]) -> list[float]:
    return [run.per_second for run in runs]


def medians(runs: Sequence[Run]) -> list[float]:
    """The median latency of each round, in microseconds."""
    return [run.percentile(0.5) * 1e6 for run in runs]


def cpu_of(runs: Sequence[Run]) -> float:
    """Processor time of the clients for one unit, in microseconds, over all rounds."""
    return round(sum(run.cpu for run in runs) / max(1, sum(run.units for run in runs)) * 1e6, 1)


def cycle(items: Sequence[Any], start: int, stride: int) -> Iterator[Any]:
    """Every `stride`-th item from `start` on, over and over: clients share a list without meeting."""
    position = start
    while True:
        yield items[position % len(items)]
        position += stride
