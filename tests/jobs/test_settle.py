"""Settlement, folding and pruning: until nothing is left, however often they are rung."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import accounts, commissions, ledger, members, orders, outbox, rules, scenes
from domain.models import ApiNonce, Balance, Commission, Member, Outbox, Tally
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.rules import Terms
from jobs.process import Process
from jobs.prune import prune_all
from jobs.queues import BULK, FOLD, connect, queue_named, ring
from jobs.settle import fold, settle
from tests.jobs.conftest import Shop


def _sold(shop: Shop, count: int) -> members.Recipient:
    """A promoter whose friend has bought and completed `count` orders of 100 yuan at 10 %, due a week later."""
    promoter, buyer = shop.follower("大明"), shop.follower("小红")
    now = shop.context.clock.now()

    def sell(session: Session) -> None:
        rules.add(
            session, shop.account.id, terms=Terms((1000,)), max_total_bps=3000, depth=3, actor="test", effective_at=now,
            now=now,
        )  # fmt: skip
        scene = scenes.of_member(session, shop.account.id, promoter.member_id, now)
        members.scan(
            session, shop.account, buyer.openid, scene_code=scene.code, created=int(now.timestamp()), push_key="scan",
            now=now,
        )  # fmt: skip

    shop.database.transact(sell)
    paid = [
        PaidOrder(f"E{number}", Buyer(openid=buyer.openid), (PaidLine(1, "茶", 1, 10_000),), now)
        for number in range(count)
    ]

    def record(session: Session) -> None:
        orders.record_paid(session, shop.account, paid, now)
        for each in paid:
            orders.complete(session, shop.account, each.order_no, now)

    shop.database.transact(record)
    return promoter


def _balance(shop: Shop, member: members.Recipient) -> int:
    query = select(Balance.available_fen).where(Balance.member_id == member.member_id)
    return shop.database.read(lambda session: session.scalar(query)) or 0


def test_due_commissions_settle_batch_by_batch_and_only_then(shop: Shop, process: Process) -> None:
    promoter = _sold(shop, 7)
    assert settle(process, batch=3) == 0
    shop.move_clock(8 * 86400)
    assert settle(process, batch=3) == 7
    assert settle(process, batch=3) == 0
    assert _balance(shop, promoter) == 7 * 1000


def test_an_account_whose_books_are_wrong_keeps_no_other_from_settling(
    shop: Shop, process: Process
) -> None:
    _sold(shop, 1)
    other = shop.database.transact(
        lambda session: accounts.add(
            session, shop.context.keyring, slug="other", name="other", app_id="wx-other", gh_id="gh-other",
            app_secret="s", token="token4other", aes_key="k" * 43, mode="safe", depth=1, now=shop.context.clock.now(),
        ).id
    )  # fmt: skip
    earner = shop.database.transact(lambda session: _owed(session, other, shop.context.clock.now()))
    shop.move_clock(8 * 86400)
    wrong = select(Commission.id).where(Commission.account_id == shop.account.id)

    def spoil(session: Session) -> None:
        """A posting whose commission does not know of it."""
        entry = ledger.Entry(
            f"settle-{session.scalars(wrong).one()}", shop.account.id, earner, "frozen", "available", 1, "settle"
        )  # fmt: skip
        ledger.post(session, [entry], shop.context.clock.now())

    shop.database.transact(spoil)
    with pytest.raises(IntegrityError):  # seen, as ever
        settle(process)
    settled = select(Commission.account_id).where(Commission.status == commissions.SETTLED)
    assert shop.database.read(lambda session: list(session.scalars(settled))) == [other]


def _owed(session: Session, account_id: int, now: datetime) -> int:
    """A commission that is due in a week, of a member of that account; their id."""
    member = Member(
        account_id=account_id, openid="o-earner", code="earner", status="active", grade="", promoter="",
        following=True, follow_changed_at=0, joined_at=now, muted=False,
    )  # fmt: skip
    session.add(member)
    session.flush()
    session.add(
        Commission(
            account_id=account_id, kind="registration", joined_member_id=member.id, level=1, member_id=member.id,
            base_fen=100, rate_bps=10_000, share_bps=10_000, amount_fen=100, clawed_fen=0, status="frozen",
            due_at=now + timedelta(days=7), created_at=now,
        )
    )  # fmt: skip
    session.flush()
    return member.id


def test_the_clock_and_the_bulk_worker_settle_by_themselves(shop: Shop) -> None:
    promoter = _sold(shop, 3)
    shop.start_worker("bulk")
    shop.start_clock()
    shop.move_clock(8 * 86400)
    shop.wait_for(lambda: _balance(shop, promoter) == 3000)
    waiting = select(func.count()).select_from(Commission).where(Commission.status == commissions.FROZEN)  # fmt: skip
    assert shop.database.read(lambda session: session.scalar(waiting)) == 0


def test_errands_that_make_room_for_each_other_still_get_done(shop: Shop, process: Process) -> None:
    promoter = _sold(shop, 7)
    shop.move_clock(8 * 86400)
    ring(FOLD, process.queue_redis)
    assert settle(process, batch=3) == 3
    with connect(shop.context.settings.redis_url) as connection:
        waiting = [each.split("-")[0] for each in queue_named(BULK, connection).get_job_ids()]
    assert waiting == ["fold", "settle"]
    assert fold(process) > 0
    assert settle(process, batch=3) == 3
    assert settle(process, batch=3) == 1
    assert _balance(shop, promoter) == 7000


def test_folding_leaves_one_row_per_level_and_the_same_figures(
    shop: Shop, process: Process
) -> None:
    promoter = _sold(shop, 5)
    before = shop.database.read(lambda s: members.summary(s, shop.account.id, promoter.openid))
    assert fold(process) > 0
    assert fold(process) == 0
    after = shop.database.read(lambda s: members.summary(s, shop.account.id, promoter.openid))
    assert after == before
    rows = select(func.count()).select_from(Tally)
    assert shop.database.read(lambda session: session.scalar(rows)) == 1


def test_done_messages_are_forgotten_after_thirty_days_and_no_others(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")
    shop.tell(member.member_id, "old", "dead", "young")
    now = shop.context.clock.now()

    def age(session: Session) -> None:
        for key, state, days in (("old", "done", 31), ("dead", "dead", 31), ("young", "done", 29)):
            at = now - timedelta(days=days)
            row = update(Outbox).where(Outbox.dedupe_key == f"notice-{key}")
            session.execute(row.values(state=state, next_at=at, done_at=at))

    shop.database.transact(age)
    assert prune_all(process) == 1
    left = shop.database.read(lambda s: outbox.list_rows(s, states=["done", "dead"]))
    assert [row.dedupe_key for row in left] == ["notice-dead", "notice-young"]


def test_nonces_that_protect_nothing_are_forgotten(shop: Shop, process: Process) -> None:
    now = shop.context.clock.now()

    def use(session: Session) -> None:
        for nonce, minutes in (("a", 61), ("b", 5)):
            session.add(ApiNonce(api_key_id=1, nonce=nonce, at=now - timedelta(minutes=minutes)))

    shop.database.transact(use)
    prune_all(process)
    left = shop.database.read(lambda session: list(session.scalars(select(ApiNonce.nonce))))
    assert left == ["b"]
