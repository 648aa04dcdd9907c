"""A campaign's life, its plan, its batches and what they add up to: every step once, whoever is killed or faster."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from domain import campaigns, members, windows
from domain.campaigns import batches, planning
from domain.campaigns.batches import Batch, MassResult
from domain.errors import Invalid, NotFound
from domain.models import Audit, Campaign, CampaignBatch, CampaignRecipient, MassMonth
from tests.broadcast.conftest import PNG, TEXT, Broadcasting, adds_up

SUCCESS = MassResult("send success", total=0)


def _batches(world: Broadcasting, campaign: Campaign) -> list[CampaignBatch]:
    query = (
        select(CampaignBatch)
        .where(CampaignBatch.campaign_id == campaign.id)
        .order_by(CampaignBatch.no)
    )
    return world.look(lambda s: list(s.scalars(query)))


def _planned(world: Broadcasting, campaign: Campaign) -> list[int]:
    query = (
        select(CampaignRecipient.member_id)
        .where(CampaignRecipient.campaign_id == campaign.id)
        .order_by(CampaignRecipient.member_id)
    )
    return world.look(lambda s: list(s.scalars(query)))


def _accept(world: Broadcasting, batch: Batch, msg_id: str) -> bool:
    return world.do(lambda s: batches.accepted(s, batch, msg_id, None, world.now))


def _claim(world: Broadcasting) -> Batch:
    batch = world.claim()
    assert batch is not None
    return batch


# --- states ---------------------------------------------------------------------------------------------------------


def test_states_follow_their_arrows_and_each_step_is_audited(world: Broadcasting) -> None:
    campaign = world.campaign()
    account = world.account.id
    for change, state in (
        (campaigns.start, "running"),
        (campaigns.pause, "paused"),
        (campaigns.resume, "running"),
        (campaigns.cancel, "cancelled"),
    ):
        row = world.do(lambda s, c=change: c(s, account, campaign.id, actor="lee", now=world.now))  # type: ignore[misc]
        assert row.state == state
    notes = world.look(lambda s: list(s.scalars(select(Audit).order_by(Audit.id))))
    assert [(one.action, one.actor) for one in notes][-4:] == [
        ("campaign_started", "lee"),
        ("campaign_paused", "lee"),
        ("campaign_resumed", "lee"),
        ("campaign_cancelled", "lee"),
    ]


@pytest.mark.parametrize("verb", ["start", "pause", "resume", "cancel"])
def test_a_cancelled_campaign_stays_cancelled(world: Broadcasting, verb: str) -> None:
    campaign = world.campaign()
    change = getattr(campaigns, verb)
    world.do(lambda s: campaigns.cancel(s, world.account.id, campaign.id, actor="a", now=world.now))
    with pytest.raises(campaigns.WrongCampaignState):
        world.do(lambda s: change(s, world.account.id, campaign.id, actor="a", now=world.now))
    assert world.state(campaign) == "cancelled"


def test_another_accounts_campaign_does_not_exist(world: Broadcasting) -> None:
    campaign = world.campaign()
    other = Broadcasting.create(world.database, "coffee")
    with pytest.raises(NotFound):
        world.do(
            lambda s: campaigns.start(s, other.account.id, campaign.id, actor="a", now=world.now)
        )


def test_a_scheduled_campaign_starts_at_its_hour(world: Broadcasting) -> None:
    campaign = world.campaign(scheduled_at=world.now + timedelta(hours=2))
    assert world.start(campaign).state == "scheduled"
    assert world.do(lambda s: campaigns.start_due(s, world.now)) == 0
    assert not world.look(lambda s: campaigns.is_due(s, world.now))
    world.later(hours=2, minutes=1)
    assert world.look(lambda s: campaigns.is_due(s, world.now))
    assert world.do(lambda s: campaigns.start_due(s, world.now)) == 1
    assert world.state(campaign) == "running"


def test_only_a_draft_is_edited_and_as_a_whole(world: Broadcasting) -> None:
    campaign = world.campaign(content={"kind": "image", "image": "a"}, files={"a": PNG})

    def edit(session: Any) -> Campaign:
        return campaigns.edit(
            session, world.account.id, campaign.id, name="茶", channel="mass", content=TEXT, audience={}, files={},
            scheduled_at=None, actor="a", now=world.now,
        )  # fmt: skip

    assert campaigns.content_of(world.do(edit)).kind == "text"
    assert world.look(lambda s: campaigns.files_of(s, campaign.id)) == {}
    world.do(edit)  # the same again
    world.start(campaign)
    with pytest.raises(campaigns.WrongCampaignState):
        world.do(edit)


def test_bad_content_leaves_nothing(world: Broadcasting) -> None:
    with pytest.raises(Invalid) as caught:
        world.campaign(content={"kind": "text", "text": ""})
    assert caught.value.details["problems"] == ["文字内容不能为空"]
    assert world.look(lambda s: campaigns.list_campaigns(s, world.account.id)) == []


# --- the plan -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [0, 1, 2, 9, 10, 11, 12, 19, 20, 21, 22, 31])
def test_everybody_is_planned_once_and_nobody_alone(
    world: Broadcasting, monkeypatch: pytest.MonkeyPatch, people: int
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 10)
    monkeypatch.setattr(planning, "CHUNK", 20)
    ids = world.crowd(people)
    campaign = world.started({"bought": False})
    assert _planned(world, campaign) == ids
    sizes = [one.size for one in _batches(world, campaign)]
    assert sum(sizes) == people
    assert all(2 <= size <= 10 for size in sizes) or people == 1
    assert world.results(campaign).waiting == people


def test_a_plan_that_is_killed_between_chunks_goes_on(
    world: Broadcasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 10)
    monkeypatch.setattr(planning, "CHUNK", 10)
    ids = world.crowd(55)
    campaign = world.start(world.campaign({"bought": False}))

    class Killed(Exception):
        pass

    def step_and_die(session: Any) -> None:
        planning.step(session, session.get_one(Campaign, campaign.id), world.now)
        raise Killed

    for _ in range(10):
        with pytest.raises(Killed):
            world.do(step_and_die)
        done = world.do(lambda s: planning.step(s, s.get_one(Campaign, campaign.id), world.now))
        if done.finished:
            break
    assert _planned(world, campaign) == ids
    again = world.do(lambda s: planning.step(s, s.get_one(Campaign, campaign.id), world.now))
    assert again == planning.Planned(0, True)


def test_all_followers_are_one_call(world: Broadcasting) -> None:
    world.crowd(25)
    campaign = world.started()
    (all_, part) = _batches(world, campaign)
    assert (all_.way, all_.size, all_.state) == ("all", 25, "waiting")
    assert (part.state, part.size) == ("folded", 25)
    assert world.results(campaign).recipients == 25


def test_with_somebody_who_said_no_it_is_lists(world: Broadcasting) -> None:
    world.crowd(25)
    world.crowd(1, muted=True)
    campaign = world.started()
    assert [one.way for one in _batches(world, campaign)] == ["list"]


def test_who_says_no_after_the_plan_turns_the_call_to_all_into_lists(world: Broadcasting) -> None:
    ids = world.crowd(25)
    campaign = world.started()
    batch = _claim(world)
    assert batch.way == "all"
    world.do(lambda s: members.set_muted(s, world.account.id, f"o{ids[3]}", True))
    assert world.look(lambda s: planning.unwilling(s, world.account.id)) == 1
    assert world.do(lambda s: planning.back_to_lists(s, campaign.id, batch.token, world.now))
    assert not world.do(lambda s: planning.back_to_lists(s, campaign.id, batch.token, world.now))
    batch = _claim(world)
    assert world.do(lambda s: batches.prepare(s, batch, world.now)) == 1
    assert len(world.look(lambda s: batches.openids(s, batch))) == 24
    assert _accept(world, batch, "1")
    results = world.results(campaign)
    assert (results.recipients, results.skipped, results.sent) == (25, 1, 24)


def test_a_tag_is_planned_page_by_page_and_a_page_once(world: Broadcasting) -> None:
    ids = world.crowd(8)
    world.do(lambda s: members.set_muted(s, world.account.id, f"o{ids[7]}", True))
    campaign = world.start(world.campaign({"tag": 101}))
    openids = [f"o{one}" for one in ids]

    def page(cursor: str, part: list[str], following: str) -> planning.Planned:
        return world.do(
            lambda s: planning.step_tag(
                s, s.get_one(Campaign, campaign.id), cursor, part, following, world.now
            )
        )

    assert page("", openids[:4], "n1") == planning.Planned(4, False)
    assert page("", openids[:4], "n1") == planning.Planned(0, False)  # a second worker, late
    assert page("n1", [*openids[4:], openids[0], "stranger"], "n2") == planning.Planned(3, False)
    assert page("n2", [], "") == planning.Planned(0, True)
    assert _planned(world, campaign) == ids[:7]
    # somebody of the tag must not be sent it, so WeChat's own group would be wrong
    assert {one.way for one in _batches(world, campaign)} == {"list"}


def test_a_tag_of_willing_people_is_one_call(world: Broadcasting) -> None:
    ids = world.crowd(6)
    campaign = world.start(world.campaign({"tag": 101}))
    for cursor, part, following in (("", ids, "n1"), ("n1", [], "")):
        world.do(
            lambda s, c=cursor, p=part, f=following: planning.step_tag(  # type: ignore[misc]
                s, s.get_one(Campaign, campaign.id), c, [f"o{one}" for one in p], f, world.now
            )
        )
    waiting = [one for one in _batches(world, campaign) if one.state == "waiting"]
    assert [(one.no, one.way, one.size) for one in waiting] == [(0, "tag", 6)]


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_is_claimed_by_one_and_comes_back_when_the_lease_is_over(
    world: Broadcasting,
) -> None:
    world.crowd(5)
    world.started({"bought": False})
    batch = _claim(world)
    assert world.claim() is None
    world.later(seconds=batches.LEASE_SECONDS + 1)
    second = _claim(world)
    assert (second.no, second.attempts) == (batch.no, 2)
    assert not _accept(world, batch, "1")  # the first worker was not dead, only slow
    assert _accept(world, second, "1")


def test_a_paused_or_cancelled_campaign_gives_no_batch(world: Broadcasting) -> None:
    world.crowd(5)
    campaign = world.started({"bought": False})
    world.do(lambda s: campaigns.pause(s, world.account.id, campaign.id, actor="a", now=world.now))
    assert world.claim() is None
    world.do(lambda s: campaigns.resume(s, world.account.id, campaign.id, actor="a", now=world.now))
    batch = _claim(world)
    world.do(lambda s: campaigns.cancel(s, world.account.id, campaign.id, actor="a", now=world.now))
    world.later(seconds=batches.LEASE_SECONDS + 1)
    assert world.claim() is None
    assert world.look(lambda s: campaigns.orphans(s, world.now)) == [batch.token]
    world.do(lambda s: batches.ended(s, batch.token, "unknown", "died", world.now))
    assert world.results(campaign).unknown == 5


def test_the_key_of_a_batch_is_the_same_at_every_try_and_fits() -> None:
    keys = {batches.client_msg_id(f"campaign{n}", no) for n in range(20) for no in range(20)}
    assert len(keys) == 400
    assert {len(key.encode()) for key in keys} == {32}


def test_the_month_counts_each_recipient_once(world: Broadcasting) -> None:
    ids = world.crowd(5)
    for _ in range(2):
        world.started({"bought": False})
        batch = _claim(world)
        world.do(lambda s, b=batch: batches.prepare(s, b, world.now))  # type: ignore[misc]
        assert _accept(world, batch, f"m{batch.campaign_id}")
        assert not _accept(world, batch, f"m{batch.campaign_id}")
    counted = world.look(
        lambda s: {row.member_id: row.sent for row in s.scalars(select(MassMonth))}
    )
    assert counted == dict.fromkeys(ids, 2)


def test_a_call_to_all_is_counted_in_parts(world: Broadcasting) -> None:
    ids = world.crowd(5)
    world.started()
    batch = _claim(world)
    assert not world.do(batches.count_folded)  # not before it was sent
    _accept(world, batch, "m")
    assert world.do(batches.count_folded)
    assert not world.do(batches.count_folded)
    counted = world.look(
        lambda s: {row.member_id: row.sent for row in s.scalars(select(MassMonth))}
    )
    assert counted == dict.fromkeys(ids, 1)


@pytest.mark.parametrize(
    ("status", "sent", "state", "delivered", "failed"),
    [
        ("send success", 4, "finished", 4, 1),
        ("sendsuccess", 5, "finished", 5, 0),
        ("send success", 9, "finished", 5, 0),
        ("send fail", 0, "failed", 0, 5),
        ("err(10001)", 0, "failed", 0, 5),
        ("err(30003)", 3, "failed", 0, 5),
    ],
)
def test_the_result_event_is_taken_once_and_adds_up(
    world: Broadcasting, status: str, sent: int, state: str, delivered: int, failed: int
) -> None:
    world.crowd(5)
    campaign = world.started({"bought": False})
    batch = _claim(world)
    account = world.account.id
    result = MassResult(status, total=5, filtered=5, sent=sent, errors=5 - min(sent, 5))
    assert not world.do(lambda s: batches.finish_mass(s, account, "77", result, world.now))
    world.do(lambda s: batches.calling(s, batch.token, world.now))
    assert world.look(lambda s: batches.may_come(s, account))
    _accept(world, batch, "77")
    assert not world.look(lambda s: batches.may_come(s, account))
    for one in (result, MassResult("send success", sent=1)):
        assert world.do(lambda s, r=one: batches.finish_mass(s, account, "77", r, world.now))  # type: ignore[misc]
    (row,) = _batches(world, campaign)
    assert (row.state, row.delivered, row.failed) == (state, delivered, failed)
    assert json.loads(row.result or "{}")["status"] == status
    results = world.results(campaign)
    adds_up(results)
    assert (results.delivered, results.failed, results.undecided) == (delivered, failed, 0)


def test_results_add_up_through_every_state_of_batches(
    world: Broadcasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 4)
    world.crowd(24)
    campaign = world.started({"bought": False})
    adds_up(world.results(campaign))
    ends = itertools.cycle(["accept", "finish", "failed", "unknown", "again", "leave"])
    while batch := world.claim():
        world.do(lambda s, b=batch: batches.prepare(s, b, world.now))  # type: ignore[misc]
        end = next(ends)
        if end in {"accept", "finish"}:
            _accept(world, batch, f"m{batch.no}")
        if end == "finish":
            result = MassResult("send success", sent=3)
            world.do(lambda s, b=batch, r=result: batches.finish_mass(s, world.account.id, f"m{b.no}", r, world.now))  # type: ignore[misc]  # fmt: skip
        if end in {"failed", "unknown"}:
            world.do(lambda s, b=batch, e=end: batches.ended(s, b.token, e, "x", world.now))  # type: ignore[misc]
        if end == "again":
            later = world.now + timedelta(hours=1)
            world.do(lambda s, b=batch, at=later: batches.again(s, b.token, at, "x"))  # type: ignore[misc]
        adds_up(world.results(campaign))
    results = world.results(campaign)
    assert (results.delivered, results.undecided, results.unknown, results.waiting) == (3, 4, 4, 8)
    assert results.failed == 5
    states = {one.state for one in world.look(lambda s: campaigns.recipients(s, campaign))}
    assert states == {"waiting", "sent", "failed", "unknown"}


def test_recipients_come_in_pages(world: Broadcasting) -> None:
    ids = world.crowd(7)
    campaign = world.started()
    seen: list[int] = []

    def page(after: int) -> list[int]:
        rows = world.look(lambda s: campaigns.recipients(s, campaign, after_id=after, limit=3))
        return [one.member_id for one in rows]

    while more := page(seen[-1] if seen else 0):
        seen += more
    assert seen == ids


# --- single messages ------------------------------------------------------------------------------------------------


@pytest.fixture
def chatty(world: Broadcasting) -> tuple[Broadcasting, Campaign, list[int]]:
    """Six followers who wrote an hour ago, and a campaign of customer-service messages to them."""
    ids = world.crowd(6)
    at = world.now - timedelta(hours=1)
    world.do(lambda s: windows.record(s, [(world.account.id, one, "text", at) for one in ids]))
    return world, world.started(channel="custom"), ids


def test_a_message_in_doubt_is_not_sent_again(
    chatty: tuple[Broadcasting, Campaign, list[int]],
) -> None:
    world, campaign, ids = chatty
    batch = _claim(world)
    assert world.do(lambda s: batches.sending(s, batch, ids[:4], world.now))
    marks = {("sent", None): ids[:1], ("failed", 45015): ids[1:2]}
    world.do(lambda s: batches.mark(s, batch, marks))
    world.later(seconds=batches.LEASE_SECONDS + 1)  # the worker was killed with two on their way
    second = _claim(world)
    assert not world.do(lambda s: batches.sending(s, batch, ids[4:], world.now))
    assert world.do(lambda s: batches.take_over(s, second, world.now, repeatable=False)) == 2
    assert [one for one, _ in world.look(lambda s: batches.openids(s, second))] == ids[4:]
    world.do(lambda s: batches.mark(s, batch, {("sent", None): ids[2:4]}))  # too late: not counted
    results = world.results(campaign)
    assert (results.sent, results.failed, results.unknown, results.waiting) == (1, 1, 2, 2)
    adds_up(results)
    shown = world.look(lambda s: campaigns.recipients(s, campaign))
    states = {one.member_id: (one.state, one.errcode) for one in shown}
    assert states[ids[1]] == ("failed", 45015)
    assert states[ids[2]] == ("unknown", None)


def test_a_notice_in_doubt_is_sent_again_inside_the_ten_minutes_only(
    chatty: tuple[Broadcasting, Campaign, list[int]],
) -> None:
    world, _, ids = chatty
    batch = _claim(world)
    world.do(lambda s: batches.sending(s, batch, ids[:2], world.now))
    world.later(minutes=8)
    second = _claim(world)
    world.do(lambda s: batches.sending(s, second, ids[2:4], world.now))
    world.later(minutes=3)
    third = _claim(world)
    assert world.do(lambda s: batches.take_over(s, third, world.now, repeatable=True)) == 2
    assert [one for one, _ in world.look(lambda s: batches.openids(s, third))] == ids[2:]


def test_a_batch_is_done_when_nobody_waits(
    chatty: tuple[Broadcasting, Campaign, list[int]],
) -> None:
    world, campaign, ids = chatty
    batch = _claim(world)
    world.do(lambda s: batches.sending(s, batch, ids, world.now))
    assert not world.do(lambda s: batches.finished_people(s, batch, world.now))
    world.do(lambda s: batches.mark(s, batch, {("sent", None): ids}))
    assert world.do(lambda s: batches.finished_people(s, batch, world.now))
    assert world.do(lambda s: campaigns.finish(s, campaign.id, world.now))
    assert world.state(campaign) == "done"
    assert world.results(campaign).delivered == 6
