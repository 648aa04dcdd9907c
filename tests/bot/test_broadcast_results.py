"""MASSSENDJOBFINISH and PUBLISHJOBFINISH through the callback: taken once, early or late, ours or somebody else's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from bot.spool import replay
from domain import campaigns
from domain.campaigns import batches, planning
from domain.campaigns.batches import Batch
from domain.models import Campaign, CampaignBatch
from tests.bot.chat import Chat, event_xml


@pytest.fixture
def sent(chat: Chat) -> tuple[Campaign, Batch]:
    """A mass message to two followers whose call is out, and whose number is not written down yet."""
    for name in ("anna", "bert"):
        chat.follow(name)
    now = chat.context.clock.now()

    def begin(session: Any) -> Campaign:
        made = campaigns.create(
            session, chat.tea, name="茶", channel="mass", content={"kind": "text", "text": "早"},
            audience={"bought": False}, files={}, actor="test", now=now,
        )  # fmt: skip
        return campaigns.start(session, chat.tea.id, made.id, actor="test", now=now)

    campaign = chat.do(begin)
    chat.do(lambda s: planning.step(s, s.get_one(Campaign, campaign.id), now))
    token = chat.do(lambda s: batches.claim(s, now))
    assert token is not None
    batch = chat.context.database.read(lambda s: batches.claimed(s, token))
    assert batch is not None
    chat.do(lambda s: batches.calling(s, token, now))
    return campaign, batch


def _row(chat: Chat) -> CampaignBatch:
    found = chat.context.database.read(lambda s: list(s.scalars(select(CampaignBatch))))
    (row,) = found
    assert isinstance(row, CampaignBatch)
    return row


def _accept(chat: Chat, batch: Batch) -> None:
    chat.do(lambda s: batches.accepted(s, batch, "34182", None, chat.context.clock.now()))


RESULT: dict[str, Any] = {
    "MsgID": 34182, "Status": "send success", "TotalCount": 2, "FilterCount": 2, "SentCount": 1, "ErrorCount": 1,
}  # fmt: skip


def test_a_result_is_taken_once(chat: Chat, sent: tuple[Campaign, Batch]) -> None:
    campaign, batch = sent
    _accept(chat, batch)
    for _ in range(2):
        assert chat.event("oR5Gjjl", "MASSSENDJOBFINISH", **RESULT).is_success
    row = _row(chat)
    assert (row.state, row.delivered, row.failed) == ("finished", 1, 1)
    results = chat.context.database.read(lambda s: campaigns.results(s, campaign.id))
    assert (results.delivered, results.failed, results.undecided) == (1, 1, 0)
    # a result is no visit: whom it came from joined nothing
    assert chat.member("oR5Gjjl") is None


def test_a_result_that_overtakes_its_number_is_kept_and_taken_later(
    chat: Chat, sent: tuple[Campaign, Batch]
) -> None:
    _, batch = sent
    assert chat.event("oR5Gjjl", "MASSSENDJOBFINISH", **RESULT).is_success
    assert _row(chat).state == "claimed"
    _accept(chat, batch)
    replay(chat.context)
    assert _row(chat).state == "finished"


def test_the_result_of_a_message_sent_by_hand_is_nobodys(chat: Chat) -> None:
    assert chat.event("oR5Gjjl", "MASSSENDJOBFINISH", **RESULT).is_success
    assert list((chat.context.settings.data.dir / "spool").glob("*.json")) == []


@pytest.mark.parametrize("fields", [{}, {"MsgID": "x" * 80}, {"MsgID": 1, "SentCount": "many"}])
def test_a_result_that_cannot_be_read_is_accepted_and_changes_nothing(
    chat: Chat, sent: tuple[Campaign, Batch], fields: dict[str, Any]
) -> None:
    _accept(chat, sent[1])
    assert chat.event("oR5Gjjl", "MASSSENDJOBFINISH", **fields).is_success
    assert _row(chat).state == "sent"


@pytest.mark.parametrize(("status", "state"), [(0, "finished"), (3, "failed")])
def test_a_publication_is_recorded(
    chat: Chat, sent: tuple[Campaign, Batch], status: int, state: str
) -> None:
    _accept(chat, sent[1])
    info = (
        f"<PublishEventInfo><publish_id>34182</publish_id><publish_status>{status}</publish_status>"
        "<article_id>A</article_id><fail_idx>1</fail_idx><fail_idx>2</fail_idx></PublishEventInfo>"
    )
    xml = event_xml("oR5Gjjl", "PUBLISHJOBFINISH", chat.now_seconds, chat.tea.gh_id)
    assert chat.push(xml.replace("</xml>", f"{info}</xml>")).is_success
    row = _row(chat)
    assert row.state == state
    assert json.loads(row.result or "{}")["publish_status"] == str(status)
