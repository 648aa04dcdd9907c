"""Long work: done once, reported, taken over from a dead worker, given up when it kills its workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import tasks
from domain.errors import NotFound
from domain.models import Task
from domain.tasks import Claimed
from jobs import tasks as runners
from jobs.process import Process
from tests.jobs.conftest import Shop


@pytest.fixture
def engine_name() -> str:
    """Claims are guarded updates like all others; races on MariaDB are tests/races'."""
    return "sqlite"


def start(shop: Shop, kind: str = tasks.BOOKS) -> int:
    now = shop.context.clock.now()
    return shop.database.transact(
        lambda session: tasks.start(session, None, kind, actor="staff:anna", now=now).id
    )


def row(shop: Shop, task_id: int) -> Task:
    return shop.database.read(lambda session: tasks.get(session, None, task_id))


def claim(shop: Shop) -> Claimed | None:
    now = shop.context.clock.now()
    return shop.database.transact(lambda session: tasks.claim(session, now))


def test_books_are_proved_once_however_often_somebody_asks(shop: Shop, process: Process) -> None:
    first, second = start(shop), start(shop)
    assert first == second
    assert runners.work(process) == 1
    done = row(shop, first)
    assert done.state == "done"
    assert tasks.result_of(done)["ok"] is True
    assert start(shop) != first, "what is done may be asked for again"


def test_books_are_proved_daily_without_anybody_asking(shop: Shop, process: Process) -> None:
    runners.prove_daily(shop.context)
    runners.prove_daily(shop.context)
    assert runners.work(process) == 1
    shop.move_clock(23 * 3600)
    runners.prove_daily(shop.context)
    assert runners.work(process) == 0
    shop.move_clock(25 * 3600)
    runners.prove_daily(shop.context)
    assert runners.work(process) == 1


def test_task_of_a_dead_worker_goes_on_where_it_stopped(shop: Shop) -> None:
    task_id = start(shop)
    dead = claim(shop)
    assert dead is not None
    assert claim(shop) is None
    now = shop.context.clock.now()
    shop.database.transact(
        lambda session: tasks.report(session, dead, now, done=7, total=10, cursor={"after": 7})
    )
    shop.move_clock(tasks.LEASE.total_seconds() + 1)
    heir = claim(shop)
    assert heir is not None
    assert (heir.done, heir.cursor) == (7, {"after": 7})
    with pytest.raises(tasks.Lost):
        shop.database.transact(lambda session: tasks.finish(session, dead, {}, now))
    assert row(shop, task_id).state == "running"


def test_task_that_kills_its_workers_is_given_up(shop: Shop) -> None:
    task_id = start(shop)
    for times in range(1, tasks.TRIES + 1):
        assert claim(shop) is not None
        shop.move_clock(times * (tasks.LEASE + timedelta(seconds=1)).total_seconds())
    assert claim(shop) is None
    assert row(shop, task_id).state == "failed"


def test_refusal_of_the_domain_fails_the_task_in_words(
    shop: Shop, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> dict[str, Any]:
        raise NotFound("nothing there")

    monkeypatch.setitem(runners.RUNNERS, tasks.BOOKS, refuse)
    task_id = start(shop)
    runners.work(process)
    assert row(shop, task_id).state == "failed"
    assert "nothing there" in tasks.result_of(row(shop, task_id))["error"]
