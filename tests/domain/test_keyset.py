"""A page far in costs what the first one does: what is bound to its index, and what MariaDB reads without."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Select, and_, insert, or_, select, text
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from domain.db import Database
from domain.keyset import seek
from domain.models import Audit, CampaignRecipient, Commission, Member, Order
from tests.domain.world import START

NOTES = 3_000
FAR = START + timedelta(minutes=NOTES // 2)
JOINED = Member.joined_at <= START
IN_ORDER = (Member.joined_at, Member.id)
OURS = Member.account_id == 1

BOUND: dict[str, tuple[Select[Any], Any, str]] = {
    "a list": (
        select(Member).where(OURS, and_(JOINED, or_(Member.joined_at < START, Member.id < 5))),
        IN_ORDER,
        "ix_member_account_id_joined_at",
    ),
    "a filter with an index": (
        select(Member).where(OURS, Member.status == "active", JOINED),
        IN_ORDER,
        "ix_member_account_id_status_joined_at",
    ),
    "two filters, each with an index": (
        select(Member).where(OURS, Member.status == "active", Member.grade == "gold", JOINED),
        IN_ORDER,
        "ix_member_account_id_grade_joined_at",
    ),
    "by id": (
        select(Commission).where(Commission.member_id == 1, Commission.id < 5),
        (Commission.id,),
        "ix_commission_member_id_id",
    ),
    "by the key": (
        select(CampaignRecipient).where(CampaignRecipient.campaign_id == 1, CampaignRecipient.member_id < 5),
        (CampaignRecipient.member_id,),
        "PRIMARY",
    ),
    "something that is not so": (
        select(Order).where(Order.account_id == 1, Order.channel != "x", Order.paid_at < START),
        (Order.paid_at, Order.id),
        "ix_orders_account_id_paid_at_id",
    ),
}  # fmt: skip
FREE: dict[str, tuple[Select[Any], Any]] = {
    "the first page": (select(Member).where(OURS), IN_ORDER),
    "one that is found by its key": (select(Member).where(OURS, Member.code == "C", JOINED), IN_ORDER),
    "some that are named": (select(Member).where(OURS, Member.id.in_([1, 2]), JOINED), IN_ORDER),
    "one or the other": (select(Member).where(or_(OURS, JOINED)), IN_ORDER),
    "another index finds fewer": (
        select(Audit).where(Audit.account_id == 1, Audit.subject == "member/1", Audit.at < START),
        (Audit.at, Audit.id),
    ),
    "no index has this order": (
        select(Commission).where(Commission.account_id == 1, Commission.id < 5), (Commission.id,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUND)
def test_query_with_a_place_is_bound_to_the_index_that_has_its_order(name: str) -> None:
    query, order, index = BOUND[name]
    bound = seek(query, *order)
    assert f"FORCE INDEX ({index})" in str(bound.compile(dialect=mysql.dialect()))
    assert "INDEX" not in str(bound.compile(dialect=sqlite.dialect()))


@pytest.mark.parametrize("name", FREE)
def test_query_that_another_index_may_serve_better_is_left_alone(name: str) -> None:
    query, order = FREE[name]
    assert "INDEX" not in str(seek(query, *order).compile(dialect=mysql.dialect()))


def _read(session: Session) -> int:
    rows = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(number) for _, number in rows)


@pytest.mark.parametrize("engine_name", ["mariadb"], indirect=True)
def test_page_far_in_reads_its_own_rows_only(database: Database) -> None:
    """Without being told, MariaDB reads everything that is newer."""
    notes = [
        {"account_id": 1, "actor": "x", "action": "x", "subject": "x", "at": START + timedelta(minutes=n)}
        for n in range(NOTES)
    ]  # fmt: skip
    database.transact(lambda session: session.execute(insert(Audit), notes))
    page = select(Audit).where(Audit.account_id == 1, Audit.at <= FAR)
    page = page.order_by(Audit.at.desc(), Audit.id.desc()).limit(10)

    def cost(query: Select[Any]) -> int:
        def look(session: Session) -> int:
            before = _read(session)
            assert len(session.execute(query).all()) == 10
            return _read(session) - before

        return database.transact(look)

    assert cost(seek(page, Audit.at, Audit.id)) < 50
    assert cost(page) > 1000
