"""The launcher starts everything in order, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from launch import procfile
from tests.support.waiting import until

ROOT = Path(__file__).parent.parent
FOREVER = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
# A server whose worker outlives it, and one that even leaves the process group.
PARENT = f"""
import subprocess, sys, signal
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True)
signal.pause()
"""
PROGRAM = """
import os, sys
from pathlib import Path
import launch
def python(name, code, **more):
    return launch.Process(name, [sys.executable, "-c", code], **more)
{body}
sys.exit(launch.launch(processes, environ))
"""


class Run:
    """A launcher in a process of its own. What it started is known by a mark in its environment."""

    def __init__(self, folder: Path, body: str) -> None:
        self._mark = f"TEST_MARK={folder}".encode()
        self._output = folder / "output"
        body = "environ = os.environ\n" + body
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(body=body)],
                env={**os.environ, "TEST_MARK": str(folder), "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
                cwd=folder,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def says(self, text: str, times: int = 1) -> None:
        """Wait until `text` was printed."""
        until(lambda: self.output.count(text) >= times, what=f"{text!r} in:\n{self.output}")

    def alive(self) -> set[int]:
        """Every living process that descends from the launcher, wherever it has gone."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
            except OSError:
                continue  # it has ended since, or is not ours to see
        return found

    def ends(self) -> int:
        """The launcher's exit status."""
        return self.process.wait(60)

    def clean_up(self) -> None:
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def run(tmp_path: Path) -> Generator[Callable[[str], Run]]:
    started: list[Run] = []

    def start(body: str) -> Run:
        started.append(Run(tmp_path, body))
        return started[-1]

    yield start
    for each in started:
        each.clean_up()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_every_process_and_their_children(
    run: Callable[[str], Run], number: int
) -> None:
    # Two of these are deaf, so they are waited for in vain.
    launcher = run(
        f"launch.STOP_SECONDS = 0.3; processes = [python('one', {FOREVER!r}), python('two', {PARENT!r})]"
    )
    launcher.says("deaf", times=2)
    assert len(launcher.alive()) == 5, "the launcher, two processes, two grandchildren"
    launcher.process.send_signal(number)
    assert launcher.ends() == 0
    assert launcher.alive() == set()
    assert f"launch | {signal.Signals(number).name}: stopping" in launcher.output


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "status 3"),
        ("pass", "status 0"),
        ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL"),
    ],
)
def test_one_that_dies_stops_all_and_is_named(
    run: Callable[[str], Run], code: str, said: str
) -> None:
    launcher = run(f"processes = [python('one', {FOREVER!r}), python('two', {code!r})]")
    assert launcher.ends() == 1
    assert f"two ended with {said}; stopping everything" in launcher.output
    assert launcher.alive() == set()


def test_killed_launcher_takes_its_processes_with_it(run: Callable[[str], Run]) -> None:
    ready = "print('ready', flush=True);" + FOREVER
    launcher = run(f"processes = [python('one', {ready!r}), python('two', {ready!r})]")
    launcher.says("ready", times=2)
    launcher.process.kill()
    launcher.process.wait()
    until(lambda: not launcher.alive(), what="the orphans' end")


def test_one_that_finishes_comes_before_the_next(run: Callable[[str], Run]) -> None:
    slow = "import time; time.sleep(0.3); print('made')"
    launcher = run(
        f"processes = [python('release', {slow!r}, finishes=True), python('web', 'print(\"up\")')]"
    )
    launcher.ends()
    assert launcher.output.index("release | made") < launcher.output.index("web     | up")


def test_one_that_ends_all_is_a_success_and_the_quiet_ones_stay_quiet(
    run: Callable[[str], Run],
) -> None:
    noise = "print('noise', flush=True);" + FOREVER
    story = "print('told'); print('to the end')"
    launcher = run(
        f"processes = [python('web', {noise!r}, quiet=True),"
        f" python('story', {story!r}, finishes=True, ends_all=True)]"
    )
    assert launcher.ends() == 0
    assert "story  | to the end" in launcher.output
    assert "noise" not in launcher.output
    assert launcher.alive() == set()


def test_quiet_ones_are_heard_when_the_whole_fails(
    run: Callable[[str], Run], tmp_path: Path
) -> None:
    noise = f"print('noise', flush=True); open({str(tmp_path / 'made')!r}, 'w').close();" + FOREVER
    story = "raise SystemExit(1)"
    launcher = run(
        f"processes = [python('web', {noise!r}, quiet=True, ready=Path({str(tmp_path / 'made')!r}).exists),"
        f" python('story', {story!r}, finishes=True, ends_all=True)]"
    )
    assert launcher.ends() == 1
    assert "web    | noise" in launcher.output
    assert "story ended with status 1" in launcher.output


def test_failed_release_starts_nothing(run: Callable[[str], Run]) -> None:
    launcher = run(
        "processes = [python('release', 'raise SystemExit(1)', finishes=True), python('web', 'print(1)')]"
    )
    assert launcher.ends() == 1
    assert "web" not in launcher.output


def test_next_one_waits_until_the_one_before_is_ready(run: Callable[[str], Run]) -> None:
    code = f"import pathlib; print('opened'); pathlib.Path(os.environ['TEST_MARK'], 'door').touch(); {FOREVER}"
    launcher = run(
        "door = Path(os.environ['TEST_MARK'], 'door')\n"
        f"processes = [python('one', 'import os;' + {code!r}, ready=door.exists), python('two', 'print(\"in\")')]"
    )
    launcher.ends()
    assert launcher.output.index("one    | opened") < launcher.output.index("two    | in")


def test_program_that_does_not_exist_is_named(run: Callable[[str], Run]) -> None:
    launcher = run("processes = [launch.Process('web', ['/no/such/program'])]")
    assert launcher.ends() == 1
    assert "web cannot start" in launcher.output


def test_last_words_without_a_newline_are_passed_on(run: Callable[[str], Run]) -> None:
    words = "import sys; sys.stdout.write('a\\n' + '长' * 50000 + '\\nlast'); raise SystemExit(1)"
    launcher = run(f"processes = [python('one', {words!r})]")
    launcher.ends()
    assert "one    | a\n" in launcher.output
    assert "one    | " + "长" * 50000 + "\n" in launcher.output
    assert "one    | last\n" in launcher.output


VALKEY = """
valkey, url = launch.embedded_valkey(Path('data'))
environ = {**os.environ, 'URL': url}
processes = [valkey, python('client', CLIENT)]
"""
COUNT = "import os, redis; print('count', redis.Redis.from_url(os.environ['URL']).incr('n'), flush=True);"


def test_embedded_valkey_keeps_its_data_and_ends_with_the_rest(run: Callable[[str], Run]) -> None:
    for count in (1, 2):
        launcher = run(f"CLIENT = {COUNT + FOREVER!r}" + VALKEY)
        launcher.says(f"count {count}")
        launcher.process.terminate()
        assert launcher.ends() == 0
        assert launcher.alive() == set()


def test_valkey_serves_until_those_who_use_it_have_ended(run: Callable[[str], Run]) -> None:
    late = f"""
import signal, sys
def last_job(*_):
    {COUNT}
    sys.exit()
signal.signal(signal.SIGTERM, last_job)
print('ready', flush=True)
signal.pause()
"""
    launcher = run(f"CLIENT = {late!r}" + VALKEY)
    launcher.says("ready")
    launcher.process.terminate()
    launcher.ends()
    assert "count 1" in launcher.output


def test_two_installations_cannot_share_a_valkey_folder(
    run: Callable[[str], Run], tmp_path: Path
) -> None:
    first = run(f"CLIENT = {COUNT + FOREVER!r}" + VALKEY)
    first.says("count 1")
    (tmp_path / "second").mkdir()
    second = Run(tmp_path / "second", "launch.embedded_valkey(Path('..', 'data'))")
    assert second.ends() == 1
    assert "another installation is running" in second.output


def test_procfile_has_the_four_processes_and_release_comes_first() -> None:
    processes = procfile()
    assert [each.name for each in processes] == ["release", "web", "worker", "clock"]
    assert [each.finishes for each in processes] == [True, False, False, False]
    assert [each.name for each in procfile(["web"])] == ["release", "web"]
