"""kill -9 at every line of the payout code: exactly one bill for each withdrawal, and books that are proved.

For each way through the code the lines are found by running it once; then, for each of these lines, a new withdrawal
goes the same way in a process that kills itself just before that line. Afterwards the worker comes back, and whatever
lay around must end as if nothing had happened.

All lines take minutes. An ordinary run dies at one line in six, another sixth with every seed; BANYAN_KILLS=every (the
nightly form) dies at all of them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain import withdrawals
from domain.payouts import ask_later, begin
from jobs import payouts
from tests.support.paying import Paying
from tests.support.servers import ROOT
from tests.support.waiting import until

FEN = 100
STRIDE = 1 if os.environ.get("BANYAN_KILLS") == "every" else 6
Place = list[Any]


@dataclass
class Victim:
    """The process whose children die."""

    process: subprocess.Popen[str]
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, step: str, die_at: Place | None = None, **more: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"environ": self.environ, "step": step, "die_at": die_at, **more}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@dataclass
class Scene:
    """Withdrawals of cai, one for each death."""

    paying: Paying
    victim: Victim
    numbers: list[int] = field(default_factory=list)
    died: int = 0

    def begun(self) -> int:
        """A withdrawal whose payout was begun and committed, before WeChat Pay heard of it."""
        number = self.paying.ask(FEN)
        till = payouts.open_till(self.paying.process, self.paying.account.id)
        self.paying.database.transact(
            lambda s: begin(s, till.account, number, till.terms, self.paying.now)
        )
        return number

    def make_due(self, number: int) -> int:
        """This one is to be asked about now, and no other: what died before must not stand in the way."""
        at = self.paying.now
        self.paying.database.transact(lambda s: ask_later(s, number, at))
        return number

    def die_at_every_line(
        self, step: str, prepare: Callable[[], int], **more: Callable[[int], Any]
    ) -> None:
        """Find the lines, then die at each."""
        places = self._once(step, prepare, None, more)["lines"]
        own = [place for place in places if place[0] != "domain/db.py"]
        assert len(own) > 30, own
        places = places[random.randrange(STRIDE) :: STRIDE]
        for place in places:
            self.died += bool(self._once(step, prepare, place, more)["died"])
        assert self.died >= 0.9 * len(places)

    def _once(
        self,
        step: str,
        prepare: Callable[[], int],
        place: Place | None,
        more: dict[str, Callable[[int], Any]],
    ) -> dict[str, Any]:
        number = prepare()
        self.numbers.append(number)
        values = {name: make(number) for name, make in more.items()}
        return self.victim.run(step, place, **values)

    def recover(self) -> None:
        """The worker comes back, twice, after every lease has run out."""
        for _ in range(2):
            self.paying.later(700)
            self.paying.drain()
            self.paying.sweep()

    def confirm_all(self) -> None:
        for bill in self.paying.bills():
            if bill["state"] == "WAIT_USER_CONFIRM":
                self.paying.simulator.post(f"/_sim/transfers/{bill['out_bill_no']}/confirm")

    def statuses(self) -> set[str]:
        return {self.paying.status(number) for number in self.numbers}

    def end(self, expected: str) -> None:
        """Everything ended as it would have without a death, once."""
        paying = self.paying
        until(lambda: self.statuses() == {expected} or paying.sweep_later(700) < 0, 30)
        assert len(paying.bills()) == len(self.numbers)
        total = FEN * len(self.numbers)
        left = 100_000 - (total if expected == "paid" else 0)
        assert paying.balance() == (left, 0)
        assert paying.merchant_fen() == 10_000_000 - (100_000 - left)
        assert paying.database.read(withdrawals.alarms) == []
        paying.check()


@pytest.fixture(scope="session")
def victim() -> Generator[Victim]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.races.payout_victim"],
        cwd=ROOT, env={"PATH": ""}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Victim(process)
    finally:
        process.communicate(timeout=20)


@pytest.fixture
def scene(paying: Paying, victim: Victim) -> Scene:
    paying.person("cai", 100_000)
    victim.environ = paying.environ
    return Scene(paying, victim)


def test_dying_while_a_payout_is_begun_and_created(scene: Scene) -> None:
    scene.die_at_every_line("drain", lambda: scene.paying.ask(FEN))
    scene.recover()
    scene.confirm_all()
    scene.end("paid")


def test_dying_while_the_sweep_asks_and_creates(scene: Scene) -> None:
    scene.die_at_every_line("sweep", lambda: scene.make_due(scene.begun()))
    scene.recover()
    scene.confirm_all()
    scene.end("paid")


def test_dying_while_a_lost_answer_is_made_up_for(scene: Scene) -> None:
    """The bill exists, and nobody here knows it; the member needs the package_info."""

    def prepare() -> int:
        number = scene.paying.ask(FEN)
        scene.paying.faults(drop_answer_rate=1)
        scene.paying.drain()
        scene.paying.faults(drop_answer_rate=0)
        return scene.make_due(number)

    scene.die_at_every_line("sweep", prepare)
    scene.recover()
    assert all(scene.paying.get(number).package_info for number in scene.numbers)
    scene.confirm_all()
    scene.end("paid")


@pytest.mark.parametrize(("act", "expected"), [("confirm", "paid"), ("refuse", "failed")])
def test_dying_while_the_end_is_recorded_by_the_sweep(
    scene: Scene, act: str, expected: str
) -> None:
    scene.paying.faults(notice_lost_rate=1)

    def prepare() -> int:
        number = scene.paying.pay(FEN)
        scene.paying.act(number, act)
        return scene.make_due(number)

    scene.die_at_every_line("sweep", prepare)
    scene.recover()
    scene.end(expected)


@pytest.mark.parametrize(("act", "expected"), [("confirm", "paid"), ("refuse", "failed")])
def test_dying_while_a_notice_is_taken(scene: Scene, act: str, expected: str) -> None:
    """WeChat Pay was not answered, so it tells us again; here that is the only way to learn it."""
    door = scene.paying.door
    door.is_shut = True

    def notice(number: int) -> dict[str, Any]:
        scene.paying.act(number, act)
        until(lambda: door.kept)
        return door.kept.pop()

    scene.die_at_every_line("notice", lambda: scene.paying.pay(FEN), notice=notice)
    door.is_shut = False
    scene.paying.later(3600)  # past every pause that a long run has let grow
    until(lambda: scene.statuses() == {expected}, 30)
    scene.end(expected)
