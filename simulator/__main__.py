"""`python -m simulator`: a fake WeChat on a port of this machine."""

import argparse
from pathlib import Path

from simulator.server import Options, serve


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--clock-file", type=Path, help='shared offset: {"offset_seconds": n}')
    parser.add_argument("--state-file", type=Path, help="keep users, chats and files over restarts")
    parser.add_argument("--threads", type=int, default=128, help="requests served at the same time")
    serve(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
