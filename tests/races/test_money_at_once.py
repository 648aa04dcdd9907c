"""Orders, refunds, settlement and figures at the same moment: wrong without the guard, right with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from domain import commissions, members, orders, outbox, refunds, tally
from domain.db import Database, Sql
from domain.models import Commission, Order, Outbox, Refund
from domain.tally import COLUMNS, Changes, FoldedBySomebodyElse
from tests.domain.world import World
from tests.races.together import Meeting, met_after, met_before, together


def count(world: World, table: Any) -> int:
    return world.look(lambda s: s.scalar(select(func.count()).select_from(table))) or 0


# --- the same order -------------------------------------------------------------------------------------------------


def test_order_reported_by_fifty_threads_at_once_is_recorded_once(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    reported = [world.order("dan", 2997) for _ in range(4)]
    new = together([partial(world.record, reported[number % 4]) for number in range(50)])
    assert [len(one) for one in new].count(1) == 4
    assert (count(world, Order), count(world, Commission)) == (4, 12)
    assert world.summary("cai").levels[1].buyers == 1
    world.check()


def test_batches_with_the_same_orders_in_another_sequence_are_recorded_once(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    batch = [world.order(name, 1000) for name in ("dan", "cai", "bob") for _ in range(8)]
    new = together(
        [partial(world.record, *(batch if number % 2 else batch[::-1])) for number in range(6)]
    )
    assert sum(len(one) for one in new) == len(batch)
    assert count(world, Order) == len(batch)
    world.check()


def test_batch_whose_orders_become_known_one_after_another_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is a repeat; while that is looked up, another door reports the next."""
    world.people("ann", "dan")
    batch = [world.order("dan", 1000) for _ in range(3)]
    world.record(batch[0])
    others = iter(batch[1:2])
    check = orders._check_repeats

    def beside(*args: Any) -> set[str]:
        repeated = check(*args)
        for order in others:
            world.record(order)
        return repeated

    monkeypatch.setattr(orders, "_check_repeats", beside)
    assert world.record(*batch) == {batch[2].order_no}
    assert count(world, Order) == 3
    world.check()


def test_without_the_unique_key_looking_first_records_an_order_twice(unguarded: World) -> None:
    """The mutant of the two tests above: asks whether the order is known, and then acts."""
    unguarded.people("ann", "dan")
    order = unguarded.order("dan", 2997)

    meeting = Meeting(guarded=False)

    def careless(session: Session) -> None:
        known = session.scalars(select(Order.id).where(Order.order_no == order.order_no)).first()
        meeting.wait()
        if known is None:
            orders.record_paid(session, unguarded.account, [order], unguarded.now)

    together([partial(unguarded.do, careless)] * 2)
    assert count(unguarded, Order) == 2


class MeetingAfter:
    """A statement that meets another thread after it has run, from its call number `skip` + 1 on."""

    def __init__(self, statement: Sql, meeting: Meeting, skip: int = 0) -> None:
        self._statement, self._meeting, self._skip = statement, meeting, skip

    def __call__(self, session: Session, *params: Any) -> Any:
        return self._then_meet(self._statement(session, *params))

    def among(self, session: Session, params: Sequence[Any], values: Sequence[Any]) -> Any:
        return self._then_meet(self._statement.among(session, params, values))

    def _then_meet(self, answer: Any) -> Any:
        self._skip -= 1
        if self._skip < 0:
            self._meeting.wait()
        return answer


# --- an order and its buyer, an order and its refund ----------------------------------------------------------------


def follow_and_attach(world: World, name: str, code: str) -> int:
    """What the bot does when somebody subscribes."""

    def work(session: Session) -> int:
        members.follow(
            session, world.account, name, scene_code=code, created=1_800_000_000, push_key=f"k-{name}", now=world.now
        )  # fmt: skip
        member = members.get(session, world.account.id, name)
        return orders.attach_waiting(session, world.account, member, world.now)

    return world.do(work)


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_order_of_a_buyer_who_follows_at_that_moment_finds_them(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    world.people("ann")
    code, order = world.code_of("ann"), world.order("dan", 10_000)
    meeting = Meeting(
        guarded=guard
    )  # the order is written, and the waiting orders of the follower are read
    monkeypatch.setattr(refunds, "apply_parked", met_before(refunds.apply_parked, meeting))
    monkeypatch.setattr(orders, "_waiting_for", met_after(orders._waiting_for, meeting))
    if not guard:
        monkeypatch.setattr(orders, "_WAITING_BY_OPENID", Sql(orders._OF_OPENID))
        monkeypatch.setattr(orders, "_joined_meanwhile", lambda *_: [])
    together([partial(world.record, order), partial(follow_and_attach, world, "dan", code)])
    assert world.left(order.order_no) == ([1000] if guard else [])
    world.check()


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_follower_asks_for_waiting_orders_that_are_not_committed_yet(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """The bot's cheap question in front: the order has found nobody, the follower is there, neither has committed."""
    world.people("ann")
    code, order = world.code_of("ann"), world.order("dan", 10_000)
    looked, both = Meeting(guarded=False), Meeting(guarded=guard)
    joined = met_after(orders._joined_meanwhile, looked)
    monkeypatch.setattr(orders, "_joined_meanwhile", met_after(joined, both))
    if not guard:
        monkeypatch.setattr(orders, "_AWAITED", Sql(orders._AWAITED_BY))

    def subscribe(session: Session) -> None:
        looked.wait()
        members.follow(
            session, world.account, "dan", scene_code=code, created=1_800_000_000, push_key="k-dan", now=world.now
        )  # fmt: skip
        awaited = orders.is_awaited(session, world.account.id, "dan")
        both.wait()
        if awaited:
            member = members.get(session, world.account.id, "dan")
            orders.attach_waiting(session, world.account, member, world.now)

    together([partial(world.record, order), partial(world.do, subscribe)])
    assert world.left(order.order_no) == ([1000] if guard else [])
    world.check()


def test_many_orders_of_buyers_who_follow_meanwhile_all_find_them(world: World) -> None:
    world.people("ann")
    code = world.code_of("ann")
    reported = [world.order(f"buyer-{number}", 10_000) for number in range(20)]
    together(
        [
            lambda: [world.record(one) for one in reported],
            lambda: [follow_and_attach(world, f"buyer-{number}", code) for number in range(20)],
            lambda: [world.record(*reported[5:15])],
        ]
    )
    assert [world.left(one.order_no) for one in reported] == [[1000]] * 20
    assert world.summary("ann").levels[1].buyers == 20
    world.check()


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_refund_that_comes_with_its_order_is_never_left_parked(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    world.people("ann", "dan")
    order = world.order("dan", 10_000)
    meeting = Meeting(
        guarded=guard
    )  # the refund has looked for its order, and the order for its refunds
    order_read = refunds._ORDER_LOCKED if guard else Sql(refunds._ORDER)
    parked_read = refunds._PARKED_LOCKED if guard else Sql(refunds._PARKED)
    monkeypatch.setattr(refunds, "_ORDER_LOCKED", MeetingAfter(order_read, meeting, skip=1))
    monkeypatch.setattr(refunds, "_PARKED_LOCKED", MeetingAfter(parked_read, meeting))
    together([partial(world.record, order), partial(world.refund, order.order_no, {1: 4_000})])
    assert world.left(order.order_no) == ([600] if guard else [1000])
    stored = world.look(lambda s: s.scalars(select(Refund.status)).one())
    assert stored == ("applied" if guard else "parked")
    if guard:
        world.check()


def test_same_refund_ten_times_at_once_is_taken_once(world: World) -> None:
    world.people("ann", "bob", "dan")
    order = world.pay_and_settle("dan", 10_000)
    done = together([partial(world.refund, order, {1: 3_000}, no="R1")] * 10)
    assert {one.id for one in done} == {done[0].id}
    assert world.left(order) == [700, 350]
    world.check()


def test_different_refunds_at_once_add_up(world: World) -> None:
    world.people("ann", "bob", "dan")
    order = world.pay_and_settle("dan", 2_997, 10_000)
    together(
        [partial(world.refund, order, {1: 333, 2: 1_111}, no=f"R{number}") for number in range(9)]
    )
    assert world.left(order) == [0, 0, 0, 0]
    assert [world.available(name) for name in ("ann", "bob")] == [0, 0]
    world.check()


# --- settlement -----------------------------------------------------------------------------------------------------


class MeetingUpdate:
    """The settling UPDATE, behind a meeting: between looking at the due rows and settling them."""

    def __init__(self, statement: Sql, meeting: Meeting) -> None:
        self._statement, self._meeting = statement, meeting

    def among(self, session: Session, params: Sequence[Any], values: Sequence[Any]) -> Any:
        self._meeting.wait()
        return self._statement.among(session, params, values)


@pytest.mark.parametrize("guard", [False, True], ids=["without the lock", "with the lock"])
def test_refund_in_the_middle_of_settlement_leaves_right_books(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    world.people("ann", "dan")
    order = world.pay("dan", 10_000)
    world.complete(order)
    world.later(days=8)
    meeting = Meeting(guarded=guard)
    monkeypatch.setattr(commissions, "_SETTLE", MeetingUpdate(commissions._SETTLE, meeting))
    looked = threading.Event()
    asked = commissions._DUE_ROWS
    if not guard:
        monkeypatch.setattr(commissions, "_DUE_LOCKED", Sql(asked))
    locked = commissions._DUE_LOCKED

    class Looking:
        def among(self, session: Session, params: Sequence[Any], values: Sequence[Any]) -> Any:
            rows = locked.among(session, params, values)
            looked.set()
            return rows

    monkeypatch.setattr(commissions, "_DUE_LOCKED", Looking())

    def refund_between() -> None:
        looked.wait(10)
        world.refund(order, {1: 5_000})
        meeting.wait()

    together([world.settle, refund_between])
    assert world.books().ok == guard
    if guard:
        assert world.available("ann") == 500
        world.check()


def test_two_settlements_beside_refunds_and_new_orders(world: World) -> None:
    world.people("ann", "bob", "cai", "dan")
    due = [world.pay("dan", 2_997) for _ in range(24)]
    for order in due:
        world.complete(order)
    world.later(days=8)

    def refund(fen: int, *order_nos: str) -> None:
        for order_no in order_nos:
            world.refund(order_no, {1: fen})

    def buy() -> None:
        for _ in range(10):
            world.pay("dan", 500)

    one, two, *_ = together(
        [
            partial(world.settle, 7),
            partial(world.settle, 5),
            partial(refund, 1_000, *due[::2]),
            partial(refund, 2_997, *due[1::4]),
            buy,
        ]
    )
    world.settle()
    assert one + two <= 72
    assert {state for order in due for state in world.states(order)} <= {
        "settled",
        "voided",
        "clawed_back",
    }
    assert world.available("cai") == sum(world.left(order)[0] for order in due)
    world.check()


# --- figures --------------------------------------------------------------------------------------------------------


def add_to_tally(world: World, **figures: int) -> None:
    def work(session: Session) -> None:
        changes = Changes()
        changes.add(world.id_of("ann"), 1, **figures)
        changes.write(session)

    world.do(work)


def test_figures_are_right_at_every_moment_beside_two_folds(world: World) -> None:
    world.follow("ann")
    done = threading.Event()
    started, committed = 0, 0

    def insert() -> None:
        nonlocal started, committed
        for _ in range(150):
            started += 1
            add_to_tally(world, people=1, spent_fen=-7)
            committed += 1
        done.set()

    def fold() -> int:
        folded = 0
        while not done.is_set():
            folded += world.try_fold()
        return folded

    def read() -> int:
        reads = 0
        while not done.is_set():
            least = committed
            figures = world.summary("ann").levels[1]
            assert least <= figures.people <= started
            assert figures.spent_fen == -7 * figures.people
            reads += 1
        return reads

    _, *worked = together([insert, fold, fold, read])
    assert all(worked)
    world.fold()
    assert world.summary("ann").levels[1].people == 150


@pytest.mark.parametrize("guard", [False, True], ids=["without counting", "with counting"])
def test_two_folds_of_the_same_rows_count_them_once(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    world.follow("ann")
    add_to_tally(world, people=5)
    deleting = tally._DELETE
    meeting = Meeting(guarded=False)

    class Deleted:
        def __init__(self, rowcount: int) -> None:
            self.rowcount = rowcount

    class Delete:
        def among(self, session: Session, params: Sequence[Any], values: Sequence[Any]) -> Deleted:
            meeting.wait()  # both have summed the same rows
            found = deleting.among(session, params, values).rowcount
            return Deleted(found if guard else len(values))

    monkeypatch.setattr(tally, "_DELETE", Delete())
    assert sorted(together([world.try_fold, world.try_fold])) == (
        [False, True] if guard else [True, True]
    )
    assert world.summary("ann").levels[1].people == (5 if guard else 10)


def test_reading_folded_and_fresh_rows_in_two_statements_would_be_wrong(world: World) -> None:
    """Why `members.summary` is one SELECT: between two of them a fold moves rows from one to the other."""
    world.follow("ann")
    add_to_tally(world, people=5)
    part = Sql("SELECT COALESCE(SUM(people), 0) AS people FROM tally WHERE folded = ?")
    with world.database.reading() as session:
        folded = part(session, 1).one().people
        world.fold()
        fresh = part(session, 0).one().people
    assert folded + fresh == 0
    assert world.summary("ann").levels[1].people == 5


def test_fold_that_meets_another_raises_and_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.follow("ann")
    add_to_tally(world, people=5)
    gone = Sql(
        f"SELECT 999999 AS id, member_id, level, {', '.join(COLUMNS)} FROM tally WHERE member_id IN (??)"
    )
    monkeypatch.setattr(tally, "_OF_MEMBERS", gone)
    with pytest.raises(FoldedBySomebodyElse):
        world.do(tally.fold)
    assert world.summary("ann").levels[1].people == 5


# --- the outbox -----------------------------------------------------------------------------------------------------

CARELESS_CLAIM = Sql(
    "UPDATE outbox SET state = 'claimed', lease_token = ?, next_at = ?, attempts = attempts + 1,"
    " first_try_at = COALESCE(first_try_at, ?) WHERE (? IS NOT NULL AND ? IS NOT NULL) AND id IN (??)"
)


@pytest.mark.parametrize("guard", [False, True], ids=["without asking the state", "as shipped"])
def test_four_claimers_never_hold_a_row_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    messages = [
        outbox.Message(world.account.id, outbox.NOTICE, f"m-{number}", {"n": number}, world.now)
        for number in range(600)
    ]
    world.do(lambda s: outbox.put(s, messages, world.now))
    if not guard:
        monkeypatch.setattr(outbox, "_CLAIM", CARELESS_CLAIM)
        looked: Callable[..., Any] = met_after(outbox._DUE.__call__, Meeting(guarded=False))
        monkeypatch.setattr(outbox, "_DUE", looked)

    def drain() -> list[int]:
        mine: list[int] = []
        while token := world.do(lambda s: outbox.claim(s, outbox.NOTICE, world.now, limit=25)):
            mine += [row.id for row in world.look(partial(outbox.claimed, token=token))]
        return mine

    held = [row for part in together([drain] * 4) for row in part]
    attempts = world.look(lambda s: s.scalar(select(func.max(Outbox.attempts))))
    if guard:
        assert len(held) == len(set(held))
        rest = world.look(lambda s: s.scalar(select(func.count()).where(Outbox.state == "pending")))
        assert len(held) + (rest or 0) == 600
    assert (attempts == 1) == guard


# --- conflicts ------------------------------------------------------------------------------------------------------


def lock(session: Session, member_id: int) -> None:
    session.execute(text("SELECT id FROM member WHERE id = :id FOR UPDATE"), {"id": member_id})


def test_lock_wait_in_the_middle_runs_the_whole_function_again(world: World) -> None:
    world.people("ann")
    member_id = world.id_of("ann")
    impatient = Database(world.database.url, lock_wait_seconds=1)
    runs = 0
    holder = Session(world.database.engine)
    lock(holder, member_id)

    def work(session: Session) -> None:
        nonlocal runs
        runs += 1
        message = outbox.Message(world.account.id, outbox.NOTICE, "once", {}, world.now)
        outbox.put(
            session, [message], world.now
        )  # a second run would meet its own key, were the first not undone
        if runs == 2:
            holder.rollback()
        lock(session, member_id)

    impatient.transact(work)
    holder.close()
    impatient.dispose()
    assert runs == 2
    assert count(world, Outbox) == 1


def test_committing_after_a_lock_wait_would_keep_half_the_work(world: World) -> None:
    """The mutant: InnoDB undoes the statement that waited, not the transaction (money.md 4.6)."""
    world.people("ann")
    member_id = world.id_of("ann")
    impatient = Database(world.database.url, lock_wait_seconds=1)
    with Session(world.database.engine) as holder, Session(impatient.engine) as session:
        lock(holder, member_id)
        message = outbox.Message(world.account.id, outbox.NOTICE, "half", {}, world.now)
        outbox.put(session, [message], world.now)
        with pytest.raises(Exception, match="Lock wait timeout"):
            lock(session, member_id)
        session.commit()
    impatient.dispose()
    assert count(world, Outbox) == 1


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "inside a savepoint"])
def test_deadlock_is_retried(world: World, nested: bool) -> None:
    """Inside a savepoint the server has forgotten it by then, and rolling back to it is an error of its own: 1305."""
    world.people("ann")
    world.follow("bob")
    ids = world.id_of("ann"), world.id_of("bob")
    meeting = Meeting(guarded=False)
    runs = 0

    def victim(session: Session) -> None:
        nonlocal runs
        runs += 1
        lock(session, ids[0])
        meeting.wait()
        if nested:
            with session.begin_nested():
                lock(session, ids[1])
        else:
            lock(session, ids[1])

    def heavy(session: Session) -> None:
        for _ in range(20):  # the server sacrifices whoever has changed less
            session.execute(
                text("UPDATE member SET grade = CONCAT(grade, 'x') WHERE id = :id"), {"id": ids[1]}
            )
        meeting.wait()
        lock(session, ids[0])

    together([partial(world.do, victim), partial(world.do, heavy)])
    assert meeting.happened
    assert runs == 2
