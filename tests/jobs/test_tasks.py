"""Long work: done once, reported, taken over from a dead worker, given up when it kills its workers."""

from __future__ import annotations

from datetime import datetime

NOW = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
