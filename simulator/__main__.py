"""`python -m simulator`: a fake WeChat on a port of this machine; `python -m simulator run FILE`: a scenario in it."""

import argparse
import sys
from pathlib import Path

from simulator.scenario.grammar import HELP, MistakeError, parse
from simulator.scenario.runner import Runner, UntrueError
from simulator.server import Options, serve


def main() -> int:
    """Read the command line, then serve or play; the exit status."""
    if sys.argv[1:2] == ["run"]:
        return play(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--clock-file", type=Path, help='shared offset: {"offset_seconds": n}')
    parser.add_argument("--state-file", type=Path, help="keep users, chats and files over restarts")
    parser.add_argument("--threads", type=int, default=128, help="requests served at the same time")
    parser.add_argument(
        "--tls", type=Path, metavar="FOLDER", help="speak https as WeChat's own hosts; the test CA is kept there"
    )  # fmt: skip
    serve(Options(**vars(parser.parse_args())))
    return 0


def play(arguments: list[str]) -> int:
    """Play a scenario: 0 when everything came out, 1 when something did not, 2 when it cannot be read."""
    parser = argparse.ArgumentParser(
        prog="simulator run",
        description=f"The sentences:\n\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8100", help="of a running simulator")
    parser.add_argument("--account", default="", help="app id; not needed while there is only one")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds for an expectation to come true"
    )
    wish = parser.parse_args(arguments)
    try:
        sentences = parse(wish.file.read_text("utf-8"))
    except (OSError, MistakeError) as error:
        print(f"✗ {error}", file=sys.stderr)
        return 2
    try:
        Runner(wish.url, wish.account, wish.patience, lambda line: print(line, flush=True)).play(
            sentences
        )
    except UntrueError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    print(f"✓ {wish.file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
