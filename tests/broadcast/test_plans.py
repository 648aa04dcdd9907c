"""What is asked every second, or of a million followers, uses an index on both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from domain import attribution, campaigns
from domain.campaigns import audience as people
from domain.campaigns import batches, planning
from domain.campaigns.audience import Audience
from domain.db import Database
from domain.models import (
    Campaign,
    CampaignBatch,
    CampaignClick,
    CampaignOrder,
    CampaignRecipient,
    Commission,
    Order,
)
from tests.broadcast.conftest import Broadcasting
from tests.domain.statements import plan_of, recorded
from tests.domain.world import START
from tests.support.databases import Schemas, analyse

PEOPLE, BATCHES = 1_200, 400


@pytest.fixture(scope="session")
def _filled() -> dict[str, Database]:
    return {}


@pytest.fixture
def filled(schemas: Schemas, engine_name: str, _filled: dict[str, Database]) -> Database:
    """Two accounts with followers, an old broadcast of many batches and one that runs; analysed, only read."""
    if engine_name not in _filled:
        database = Database(schemas.fresh(engine_name, "broadcast_plans"))
        for slug in ("tea", "coffee"):
            world = Broadcasting.create(database, slug)
            ids = world.crowd(PEOPLE)  # type: ignore[attr-defined]  # `create` makes its own class
            _history(world, ids)
        analyse(database)
        _filled[engine_name] = database
    return _filled[engine_name]


def _history(world: Any, ids: list[int]) -> None:
    old, running = world.campaign(), world.start(world.campaign())
    numbers = range(1, BATCHES)
    usual = {
        "campaign_id": old.id,
        "account_id": world.account.id,
        "way": "list",
        "size": 3,
        "next_at": START,
    }
    rows = [{**usual, "no": n, "state": "finished", "msg_id": f"m{n}"} for n in numbers]
    now = {"campaign_id": running.id, "no": 1, "state": "waiting", "msg_id": None}
    parts = [
        {"campaign_id": old.id, "member_id": one, "batch_no": n // 3 + 1, "state": "waiting"}
        for n, one in enumerate(ids)
    ]
    bought = [
        {"account_id": world.account.id, "order_no": f"A{one}", "content_hash": "h", "channel": "api", "status": "paid",
         "member_id": one, "paid_fen": 100, "paid_at": START, "created_at": START}
        for one in ids
    ]  # fmt: skip
    clicks = [
        {"account_id": world.account.id, "campaign_id": old.id if n < 30 else 1000 + n % 60, "link_id": 1,
         "member_id": one, "at": START, "until": START + timedelta(days=7)}
        for n, one in enumerate(ids)
    ]  # fmt: skip
    world.do(lambda s: s.execute(insert(CampaignBatch), [*rows, {**usual, **now}]))
    world.do(lambda s: s.execute(insert(CampaignRecipient), parts))
    world.do(lambda s: s.execute(insert(CampaignClick), clicks))
    world.do(lambda s: s.execute(insert(Order), bought))
    orders = world.look(
        lambda s: list(s.scalars(select(Order.id).where(Order.account_id == world.account.id)))
    )
    earned = [
        {"account_id": world.account.id, "kind": "order", "order_id": one, "line_no": 1, "level": 1, "member_id": 1,
         "base_fen": 100, "rate_bps": 1000, "amount_fen": 10, "status": "frozen", "created_at": START}
        for one in orders
    ]  # fmt: skip
    world.do(lambda s: s.execute(insert(Commission), earned))
    named = [
        {"account_id": world.account.id, "campaign_id": 1000 + n % 60, "order_id": one, "at": START}
        for n, one in enumerate(orders[:600])
    ]
    world.do(lambda s: s.execute(insert(CampaignOrder), named))


def _boundary(session: Session) -> None:
    condition = people.where(session, 1, Audience(), "mass", START)
    planning._boundary(session, condition, 0, 50)


WHOLE = {"c", "campaign", "a", "<derived"}
"""`campaign` has a row for each broadcast, some hundreds in its life, and a derived table is what was found before:
reading those whole is no walk."""

Ask = Callable[[Session], Any]
QUERIES: dict[str, Ask] = {
    "what a worker claims": lambda s: batches.claim(s, START + timedelta(days=1)),
    "whether a worker has something to do": lambda s: campaigns.is_due(s, START),
    "the batch of a result": lambda s: batches._FIND(s, 1, "m7").all(),
    "results that may come": lambda s: batches.may_come(s, 1),
    "batches to ask about": lambda s: batches.silent(s, START),
    "a call to all to be counted": batches.count_folded,
    "the people of a batch": lambda s: batches._WAITING(s, 1, 5).all(),
    "where the next batch ends": _boundary,
    "a page of recipients": lambda s: campaigns.recipients(s, s.get_one(Campaign, 1), after_id=9),
    "results": lambda s: campaigns._FIGURES(s, 1).all(),
    "what it sold": lambda s: attribution.sales_of(s, 1),
    "campaigns of an account": lambda s: campaigns.list_campaigns(s, 1, before_id=9),
    "who said no": lambda s: planning.unwilling(s, 1),
    "notices of a member": lambda s: batches.notice_result(s, 1, 7, "t", 0, START),
}


def _table(step: str) -> str:
    """The name in a step of a plan; MariaDB numbers its derived and union tables."""
    name = step.split()[0]
    return "<derived" if name.startswith(("<derived", "<union")) else name


@pytest.mark.parametrize("name", QUERIES)
def test_query_uses_an_index(filled: Database, name: str) -> None:
    with Session(filled.engine, autoflush=False) as session:
        with recorded() as sent:
            QUERIES[name](session)
        asked = [one for one in sent if one.text.startswith(("SELECT", "UPDATE"))]
        steps = {one.text: plan_of(session, one) for one in asked}
        session.rollback()
    assert asked
    walks = {
        query: plan
        for query, plan in steps.items()
        if any("SCANNED" in step and _table(step) not in WHOLE for step in plan)
    }
    assert walks == {}, list(walks.values())
