"""`make story`: scan → follow → bind → order paid → commissions → template messages → refund → settlement → claw-back,
told step by step without a browser, on a fresh installation that is thrown away. The story itself is story.txt, in the
simulator's language. Exit status 0 only if every step came out as told and the books balance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from config import load_settings
from context import open_context
from demo import HOST, SLUG, install

STORY: Final = Path(__file__).parent / "story.txt"


class Untrue(Exception):
    """A step did not come out as the story tells, or the books do not balance."""


def tell(simulator_url: str) -> None:
    """Play the story on the phones; each step is printed as it happens."""
    command = [sys.executable, "-m", "simulator", "run", str(STORY), "--url", simulator_url]
    if subprocess.run(command, check=False).returncode != 0:
        raise Untrue("the story did not come true")


def balance() -> None:
    """The books and the tree prove themselves, by the commands an operator would use."""
    for command in (["ledger", "check"], ["members", "check"]):
        done = subprocess.run(
            [sys.executable, "-m", "flask", *command], capture_output=True, text=True, check=False
        )
        print(f"    flask {' '.join(command)}: {done.stdout.strip()}")
        if done.returncode != 0 or not json.loads(done.stdout)["ok"]:
            raise Untrue(f"flask {' '.join(command)}: {done.stdout} {done.stderr}")


def main() -> int:
    """Runs inside the launcher, when everything else is up."""
    settings = load_settings()
    install(open_context(settings))
    try:
        tell(str(settings.demo.simulator_url))
        balance()
    except Untrue as error:
        print(f"    ✗ {error}", file=sys.stderr)
        return 1
    print(f"    ✓ the books balance ({SLUG} on {HOST})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
