"""`python -m bench`: the lines of design.md 12 on this machine, as a table and as bench/results/latest.json."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from bench.lines import (
    binding,
    books,
    broadcast,
    callback,
    console,
    growth,
    moving,
    orders,
    reads,
    sending,
    settling,
)
from bench.measure import Row, Spread
from bench.world import QUICK, Scale, World, open_world

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"
LINES: Final[dict[str, Callable[[World], Iterable[Row]]]] = {
    "callback": callback.earnings,
    "team": reads.team,
    "binding": binding.one_referrer,
    "orders": orders.one_by_one,
    "hot-upline": orders.hot_upline,
    "settling": settling.backlog,
    "team-ways": reads.three_ways,
    "growth": growth.flat,
    "ledger-check": books.ledger,
    "moving": moving.largest_team,
    "sending": sending.template_messages,
    "broadcast-plan": broadcast.plan,
    "console": console.pages,
}


def run(scale: Scale, only: Sequence[str], say: Callable[[str], None]) -> list[Row]:
    """The wanted lines (all when `only` is empty), one after the other."""
    rows = []
    with open_world(scale, say) as world:
        for name, line in LINES.items():
            if only and name not in only:
                continue
            began = time.monotonic()
            for row in line(world):
                rows.append(row)
                say(_sentence(row))
            say(f"({name}: {time.monotonic() - began:.0f} s)")
    return rows


def _sentence(row: Row) -> str:
    ratio = "" if row.ratio is None else f"  ratio {_spread(row.ratio)}"
    return f"{row.line}: {row.what}: {_spread(row.ours)} {row.unit}{ratio} {dict(row.notes)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{_number(spread.median)} ({_number(spread.low)}–{_number(spread.high)})"


def table(rows: Sequence[Row]) -> str:
    """For people: one line a row, medians with (lowest–highest)."""
    head = ("line", "what", "members", "ours", "peer", "unit", "ratio", "target", "")
    marks = {True: "ok", False: "MISSED", None: ""}
    body = [
        (
            row.line, row.what, f"{row.members:,}", _spread(row.ours), _spread(row.peer), row.unit,
            _spread(row.ratio), row.target, marks[row.met],
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(len(each[place]) for each in [head, *body]) for place in range(len(head))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip()
        for each in [head, tuple("-" * width for width in widths), *body]
    )
    return "\n".join(lines)


def _machine() -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_before": os.getloadavg(),
    }


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, short rounds: minutes")
    parser.add_argument("--only", action="append", choices=list(LINES), default=[], metavar="LINE",
                        help=f"one of: {', '.join(LINES)}; may be given several times")  # fmt: skip
    parser.add_argument("--sizes", help="members, ascending: 10000,100000")
    parser.add_argument("--rounds", type=int, help="rounds of each side")
    parser.add_argument("--seconds", type=float, help="seconds of each side in each round")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Exit status 1 when a target was missed."""
    wanted = _arguments(words)
    usual = QUICK if wanted.quick else Scale()
    scale = dataclasses.replace(
        usual,
        sizes=tuple(map(int, wanted.sizes.split(","))) if wanted.sizes else usual.sizes,
        rounds=wanted.rounds or usual.rounds,
        seconds=wanted.seconds or usual.seconds,
    )
    machine = _machine()
    rows = run(scale, wanted.only, lambda text: print(text, file=sys.stderr, flush=True))
    print(table(rows))
    RESULTS.parent.mkdir(exist_ok=True)
    result = {
        "machine": machine,
        "scale": dataclasses.asdict(scale),
        "rows": [row.as_value() for row in rows],
    }
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
