"""Long work: done once, reported, taken over from a dead worker, given up when it kills its workers."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from domain import tasks
from domain.db import Database
from domain.models import Task
from jobs import tasks as runners
from tests.jobs.conftest import Desk

NOW = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
