"""Processes of ours, started as a merchant would start them: the simulator, and the server with its launcher."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from tests.support.ports import free_port
from tests.support.waiting import until

ROOT: Final = Path(__file__).parents[2]
MASTER_KEY: Final = bytes(range(32))
"""[secrets] key of every app server: a test can read what it sealed."""


def set_clock(file: Path, offset_seconds: float) -> None:
    """Move the clock of everything that was started with this clock file."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"offset_seconds": offset_seconds}))
    new.replace(file)


@dataclass(frozen=True)
class Simulator:
    """A fake WeChat. `post("/_sim/follow", user=…)` and `get("/_sim/chats/甲")` speak to its control API."""

    url: str
    clock_file: Path

    def post(self, path: str, **body: Any) -> Any:
        """The answer's JSON; an error status fails the test with what it said."""
        return self._answer(requests.post(self.url + path, json=body, timeout=20))

    def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON; an error status fails the test with what it said."""
        return self._answer(requests.get(self.url + path, params=query, timeout=20))

    def forget(self) -> None:
        """Nobody was ever here, nothing goes wrong, and the clock is right."""
        self.post("/_sim/reset")
        self.post("/_sim/clock", offset_seconds=0)

    @staticmethod
    def _answer(response: requests.Response) -> Any:
        assert response.ok, f"{response.url}: {response.status_code} {response.text}"
        return response.json()

    @property
    def settings(self) -> dict[str, str]:
        """Settings by which an app server takes this for the platform."""
        return dict.fromkeys(
            ["wechat.api_base", "wechat.mp_base", "wechat.open_base", "pay.api_base"], self.url
        )


@dataclass(frozen=True)
class AppServer:
    """Our own processes behind one launcher. `output` is everything that they have printed."""

    url: str
    config: Path
    process: subprocess.Popen[bytes]
    log: Path
    clock_file: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def flask(self, *arguments: str) -> Any:
        """Run `flask …` with this server's settings; the JSON that it prints."""
        done = subprocess.run(
            [ROOT / ".venv/bin/flask", *arguments],
            cwd=ROOT,
            env={**clean_environ(), "BANYAN_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"flask {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)


@contextmanager
def running_simulator(folder: Path) -> Generator[Simulator]:
    """`python -m simulator` on a free port for the length of a block."""
    clock_file = folder / "clock.json"
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--clock-file", str(clock_file)]
    url = f"http://127.0.0.1:{port}"
    with _running(command, folder / "simulator.log", clean_environ()) as process:
        _wait_for(f"{url}/healthz", process, folder / "simulator.log")
        yield Simulator(url, clock_file)


@contextmanager
def running_app(
    folder: Path, processes: Sequence[str], settings: Mapping[str, str]
) -> Generator[AppServer]:
    """The Procfile's `processes` on a free port for the length of a block; `settings` are `section.key` to value."""
    port = free_port()
    clock_file = folder / "clock.json"
    url = f"http://127.0.0.1:{port}"
    values = {
        "server.port": str(port),
        "server.workers": "1",
        "server.threads": "8",
        "server.public_url": url,
        "secrets.key": base64.b64encode(MASTER_KEY).decode(),
        "data.dir": str(folder / "data"),
        "demo.enabled": "true",
        "demo.clock_file": str(clock_file),
        **settings,
    }
    config = folder / "config.toml"
    config.write_text(_toml(values), encoding="utf-8")
    log = folder / "app.log"
    command = [sys.executable, "launch.py", "run", *processes]
    with _running(command, log, {**clean_environ(), "BANYAN_CONFIG": str(config)}) as process:
        if "web" in processes:
            _wait_for(f"{url}/readyz", process, log)
        yield AppServer(url, config, process, log, clock_file)


def _toml(values: Mapping[str, str]) -> str:
    """One `[section]` after another. JSON's strings are TOML's; numbers and booleans go through as strings."""
    sections: dict[str, list[str]] = {}
    for name, value in values.items():
        section, key = name.split(".")
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "".join(
        f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()
    )


def clean_environ() -> dict[str, str]:
    """The developer's own settings must not leak into a test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}


@contextmanager
def _running(
    command: Sequence[str], log: Path, environ: Mapping[str, str]
) -> Generator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(90)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(
                f"ended with {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}"
            )
        try:
            return requests.get(url, timeout=2).ok
        except requests.ConnectionError:
            return False

    until(answers, 90, what=f"{url}, see {log}")
