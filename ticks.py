"""What the clock of each machine does besides ringing: ticks of the other doors. Like app.py, this module knows every
door, so that no door has to know another. Each must be short and harmless twice (two clocks may run)."""

from __future__ import annotations

from bot import spool, touches
from context import Context
from jobs.ticker import Tick


def machine_ticks(context: Context) -> list[Tick]:
    """Called once by `python -m jobs.clock`."""
    return [
        Tick("spool", 5, lambda: spool.replay(context)),
        Tick("touches", 5, lambda: touches.fold_touches(context)),
    ]
