"""Doing things really at once: threads that start together, and meetings in the middle of what they do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.support.mariadb import MariaDB
from tests.support.waiting import until

T = TypeVar("T")


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the calls in a thread each, starting at one instant; their answers in order. The first error is raised."""
    start = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            start.wait(30)
            answers[place] = calls[place]()
        except BaseException as error:  # whatever it is, the test raises it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return answers


class Meeting:
    """A point that two threads want to reach before either goes on. With the guard on, a lock keeps one of them away:
    the other gives up waiting and goes on alone. With the guard off they meet, and the race is certain."""

    def __init__(self, *, guarded: bool) -> None:
        self._barrier = threading.Barrier(2)
        self._seconds = 0.25 if guarded else 20
        self._over = False
        self.happened = False

    def wait(self) -> None:
        """Meet once; who comes again, or after the other gave up, goes on."""
        if self._over:
            return
        try:
            self._barrier.wait(self._seconds)
            self.happened = True
        except threading.BrokenBarrierError:
            pass  # the other cannot come
        self._over = True


def met_before(fn: Callable[..., T], meeting: Meeting) -> Callable[..., T]:
    """`fn` behind a meeting."""

    def wrapped(*args: Any, **named: Any) -> T:
        meeting.wait()
        return fn(*args, **named)

    return wrapped


def met_after(fn: Callable[..., T], meeting: Meeting) -> Callable[..., T]:
    """`fn`, and then the meeting."""

    def wrapped(*args: Any, **named: Any) -> T:
        answer = fn(*args, **named)
        meeting.wait()
        return answer

    return wrapped


def somebody_waits_for_a_lock(server: MariaDB) -> None:
    """Return as soon as a transaction of the server waits for a row."""

    def asked() -> bool:
        with server.connect() as root, root.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
            row = cursor.fetchone()
            return row is not None and int(row[1]) > 0

    until(asked, what="a transaction that waits for a lock")
