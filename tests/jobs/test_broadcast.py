"""Broadcasts over the real simulator: each channel, each refusal, and workers that die anywhere."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from domain import campaigns, events, members, subscriptions, windows
from domain.campaigns import batches, planning
from domain.campaigns.audience import MASS_A_MONTH
from domain.models import Campaign, CampaignBatch, MassMonth, Member, Outbox
from jobs import broadcast, broadcast_people
from jobs.drain import drain
from jobs.process import Process
from tests.broadcast.conftest import PNG, adds_up
from tests.jobs.conftest import APP_ID, Shop
from tests.jobs.wiretap import tapping

SEND, SEND_ALL = "/cgi-bin/message/mass/send", "/cgi-bin/message/mass/sendall"
CUSTOM = "/cgi-bin/message/custom/send"
ARTICLE = {
    "kind": "article",
    "articles": [
        {
            "title": "春茶", "html": '<p>好茶</p><img src="file:a.png">', "cover": "c.png", "digest": "一句话",
            "source_url": "https://tea.example/spring",
        }
    ],
}  # fmt: skip
FILES = {"a.png": PNG, "c.png": PNG}


class Broadcaster:
    """A shop that broadcasts: followers here and there, campaigns, and a worker's inside."""

    def __init__(self, shop: Shop, process: Process) -> None:
        self.shop, self.process = shop, process
        self.account = shop.account
        self.database = shop.database

    @property
    def now(self) -> Any:
        return self.shop.context.clock.now()

    def crowd(self, count: int, **columns: Any) -> list[str]:
        """So many people follow, there and here; their openids."""
        openids: list[str] = []
        for _ in range(0, count, 20_000):
            part = self.shop.simulator.post(
                "/_sim/crowd", account=APP_ID, count=min(20_000, count - len(openids))
            )
            openids += part["openids"]
        rows = [
            {
                "account_id": self.account.id, "openid": openid, "code": f"c{os.urandom(8).hex()}", "status": "active",
                "following": True, "joined_at": self.now, **columns,
            }
            for openid in openids
        ]  # fmt: skip
        for start in range(0, len(rows), 5_000):
            part = rows[start : start + 5_000]
            self.database.transact(lambda s, p=part: s.execute(insert(Member), p))  # type: ignore[misc]
        return openids

    def spoke(self, openids: list[str]) -> None:
        """They wrote to the account just now, there and here."""
        for openid in openids:
            self.shop.simulator.post("/_sim/text", user=openid, content="在吗", wait=False)
        ids = self.database.read(lambda s: members.ids_of(s, self.account.id, openids))
        rows = [(self.account.id, one, events.TEXT, self.now) for one in ids.values()]
        self.database.transact(lambda s: windows.record(s, rows))

    def start(
        self,
        audience: dict[str, Any] | None = None,
        *,
        channel: str = "mass",
        content: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
    ) -> Campaign:
        said = content or {"kind": "text", "text": "新茶:https://tea.example/new"}

        def begin(session: Any) -> Campaign:
            made = campaigns.create(
                session, self.account, name="茶", channel=channel, content=said, audience=audience or {},
                files=files or {}, actor="test", now=self.now,
            )  # fmt: skip
            return campaigns.start(session, self.account.id, made.id, actor="test", now=self.now)

        return self.database.transact(begin)

    def refuse_promotions(self, openid: str) -> None:
        self.database.transact(
            lambda s: members.set_promotions_muted(s, self.account.id, openid, True)
        )

    def run(self) -> int:
        return broadcast.broadcast(self.process)

    def row(self, campaign: Campaign) -> Campaign:
        return self.database.read(lambda s: s.get_one(Campaign, campaign.id))

    def results(self, campaign: Campaign) -> campaigns.Results:
        return self.database.read(lambda s: campaigns.results(s, campaign.id))

    def batches(self, campaign: Campaign) -> list[CampaignBatch]:
        query = select(CampaignBatch).where(CampaignBatch.campaign_id == campaign.id)
        return self.database.read(lambda s: list(s.scalars(query.order_by(CampaignBatch.no))))

    def received(self, **wishes: Any) -> dict[str, int]:
        """How many messages of ours people have: {"1": 3} is three people with one."""
        found = self.shop.simulator.post("/_sim/mass/received", account=APP_ID, **wishes)
        counts: dict[str, int] = found["counts"]
        return {number: people for number, people in counts.items() if number != "0"}

    def texts(self) -> dict[str, int]:
        found = self.shop.simulator.post("/_sim/mass/received", account=APP_ID, texts=True)
        texts: dict[str, int] = found["texts"]
        return texts

    def shown(self, openid: str) -> list[dict[str, Any]]:
        chat = self.shop.simulator.get(f"/_sim/chats/{openid}", account=APP_ID)
        return [each for each in chat["messages"] if each["from"] == "account"]

    def later(self, seconds: float) -> None:
        self.shop.move_clock(seconds)


@pytest.fixture
def engine_name() -> str:
    """These go over processes and HTTP; the statements themselves run on both engines in tests/broadcast."""
    return "mariadb"


@pytest.fixture
def caster(shop: Shop, process: Process) -> Broadcaster:
    return Broadcaster(shop, process)


# --- mass messages --------------------------------------------------------------------------------------------------


def test_everybody_gets_it_in_one_call_with_a_link_that_carries_the_campaign(
    caster: Broadcaster,
) -> None:
    caster.crowd(30)
    campaign = caster.start()
    caster.run()
    assert caster.row(campaign).state == "done"
    assert caster.received() == {"1": 30}
    ((text, _),) = caster.texts().items()
    assert text.startswith("新茶:http://127.0.0.1:8170/m/jobs/r/")
    assert len(caster.shop.calls(SEND_ALL)) == 1
    assert caster.results(campaign).sent == 30
    months = caster.database.read(lambda s: [row.sent for row in s.scalars(select(MassMonth))])
    assert months == [1] * 30


def test_somebody_who_said_no_is_not_sent_it_and_the_rest_is_a_list(caster: Broadcaster) -> None:
    caster.crowd(9)
    (muted,) = caster.crowd(1, muted=True)
    caster.start()
    caster.run()
    assert caster.received() == {"1": 9}
    assert caster.shown(muted) == []
    assert len(caster.shop.calls(SEND)) == 1


def test_a_single_person_is_shown_it_as_a_preview(caster: Broadcaster) -> None:
    (openid,) = caster.crowd(1)
    campaign = caster.start({"bought": False})
    caster.run()
    assert len(caster.shown(openid)) == 1
    assert caster.results(campaign).delivered == 1
    assert caster.row(campaign).state == "done"


def test_a_picture_is_uploaded_once_for_all_lists(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 5)
    openids = caster.crowd(12)
    caster.start({"bought": False}, content={"kind": "image", "image": "a.png"}, files=FILES)
    caster.run()
    assert caster.received() == {"1": 12}
    assert caster.shown(openids[0])[0]["type"] == "image"
    assert len(caster.shop.calls("/cgi-bin/media/upload")) == 1
    assert len(caster.shop.calls(SEND)) == 3


def test_a_single_person_who_has_left_keeps_the_campaign_from_nothing(caster: Broadcaster) -> None:
    (openid,) = caster.crowd(1)
    caster.shop.simulator.post("/_sim/unfollow", user=openid, wait=False)  # we do not know yet
    campaign = caster.start()
    caster.run()
    assert caster.row(campaign).state == "done"
    assert caster.results(campaign).failed == 1
    adds_up(caster.results(campaign))


@pytest.mark.parametrize(
    ("channel", "content", "path"),
    [
        ("publish", ARTICLE, "/cgi-bin/draft/add"),
        ("publish", ARTICLE, "/cgi-bin/media/uploadimg"),
        ("mass", ARTICLE, "/cgi-bin/material/add_material"),
        ("mass", {"kind": "image", "image": "c.png"}, "/cgi-bin/media/upload"),
    ],
)
def test_a_lost_answer_to_an_upload_leaves_no_doubt_that_nothing_was_sent(
    caster: Broadcaster, channel: str, content: dict[str, Any], path: str
) -> None:
    """Neither a publication nor a preview has an id by which it could be repeated, but an upload is neither."""
    caster.crowd(1)
    files = FILES if content is ARTICLE else {"c.png": PNG}
    campaign = caster.start(channel=channel, content=content, files=files)
    caster.shop.fault(drop_answer_rate=1.0, paths=[path])
    caster.run()
    assert caster.results(campaign).unknown == 0
    assert caster.row(campaign).state == "running"
    caster.shop.fault(off=True)
    caster.later(10)
    caster.run()
    (batch,) = caster.batches(campaign)
    assert batch.state in {"sent", "finished"}


def test_articles_have_a_draft_for_each_call_because_a_draft_is_sent_once(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 5)
    openids = caster.crowd(10)
    campaign = caster.start({"bought": False}, content=ARTICLE, files=FILES)
    caster.run()
    assert caster.received() == {"1": 10}
    (card,) = caster.shown(openids[0])
    assert card["articles"][0]["title"] == "春茶"
    assert len(caster.shop.calls("/cgi-bin/draft/add")) == 2
    assert len(caster.shop.calls("/cgi-bin/material/add_material")) == 1
    assert {one.state for one in caster.batches(campaign)} == {"sent"}
    assert all(one.msg_data_id for one in caster.batches(campaign))


def test_a_lost_answer_is_asked_for_with_the_same_id_and_sends_nothing_twice(
    caster: Broadcaster,
) -> None:
    caster.crowd(8)
    campaign = caster.start({"bought": False})
    caster.shop.fault(drop_answer_rate=1.0, paths=[SEND])
    caster.run()
    (batch,) = caster.batches(campaign)
    assert (batch.state, batch.msg_id) == ("waiting", None)
    assert caster.row(campaign).state == "running"
    caster.shop.fault(off=True)
    caster.later(10)
    caster.run()
    (batch,) = caster.batches(campaign)
    assert batch.state == "waiting"
    assert "45066" in (
        batch.last_error or ""
    )  # within a minute WeChat says no more than "too soon"
    caster.later(80)
    caster.run()
    (batch,) = caster.batches(campaign)
    assert batch.state == "sent"
    assert caster.received() == {"1": 8}
    (job,) = caster.shop.simulator.get("/_sim/mass", account=APP_ID)["jobs"]
    assert batch.msg_id == job["msg_id"]  # 45065 told the number of the first


def test_after_a_day_a_call_in_doubt_is_not_repeated(caster: Broadcaster) -> None:
    caster.crowd(8)
    campaign = caster.start({"bought": False})
    caster.shop.fault(drop_answer_rate=1.0, paths=[SEND])
    caster.run()
    caster.shop.fault(off=True)
    caster.later(24 * 3600 + 60)
    caster.run()
    assert caster.results(campaign).unknown == 8
    assert caster.received() == {"1": 8}
    assert len(caster.shop.calls(SEND)) == 1


@pytest.mark.parametrize(
    ("limit", "until"), [({"quota": {SEND: 1}}, 3700), ({"rate_per_minute": {SEND: 1}}, 61)]
)
def test_a_quota_holds_up_and_costs_nothing(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any], until: int
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 5)
    caster.crowd(10)
    campaign = caster.start({"bought": False})
    caster.shop.fault(**limit)
    caster.run()
    assert caster.results(campaign).sent == 5
    assert "4" in (caster.row(campaign).last_error or "")
    (held,) = [one for one in caster.batches(campaign) if one.state == "waiting"]
    assert held.attempts == 0
    assert caster.run() == 0
    caster.shop.fault(off=True)
    caster.later(until)
    caster.run()
    assert caster.received() == {"1": 10}
    assert caster.row(campaign).state == "done"


@pytest.mark.parametrize(("channel", "path"), [("mass", SEND), ("custom", CUSTOM)])
def test_who_says_no_while_a_quota_holds_it_up_is_not_sent_it(
    caster: Broadcaster, channel: str, path: str
) -> None:
    openids = caster.crowd(8)
    caster.spoke(openids)
    campaign = caster.start({"bought": False}, channel=channel)
    caster.shop.fault(quota={path: 0})
    caster.run()
    for openid in openids[:2]:
        caster.refuse_promotions(openid)
        caster.later(3700)
        caster.run()
    assert caster.received() == {}
    caster.shop.fault(off=True)
    caster.later(3700)
    caster.run()
    assert caster.received() == {"1": 6}
    assert caster.results(campaign).skipped == 2
    adds_up(caster.results(campaign))


def test_a_busy_platform_is_tried_again(caster: Broadcaster) -> None:
    caster.crowd(4)
    campaign = caster.start({"bought": False})
    caster.shop.fault(busy_rate=1.0, paths=[SEND])
    caster.run()
    caster.shop.fault(off=True)
    caster.later(6)
    caster.run()
    assert caster.received() == {"1": 4}
    assert caster.row(campaign).state == "done"


@pytest.mark.parametrize("ok", [True, False])
def test_a_message_to_all_waits_for_the_administrator(caster: Broadcaster, ok: bool) -> None:
    caster.crowd(6)
    caster.shop.simulator.post("/_sim/accounts", app_id=APP_ID, mass_protected=True)
    campaign = caster.start()
    caster.run()
    assert (caster.row(campaign).last_error or "").startswith("89504")
    assert caster.row(campaign).state == "running"
    caster.shop.simulator.post("/_sim/mass/confirm", account=APP_ID, ok=ok)
    caster.later(61)
    caster.run()
    row = caster.row(campaign)
    assert row.state == ("done" if ok else "failed")
    assert caster.received() == ({"1": 6} if ok else {})
    assert ok or (row.last_error or "").startswith("89505")


def test_a_message_that_waits_for_the_administrator_never_becomes_lists_beside_it(
    caster: Broadcaster,
) -> None:
    """WeChat has that call: lists of the same people would be a second message, and one that nobody has confirmed."""
    openids = caster.crowd(6)
    caster.shop.simulator.post("/_sim/accounts", app_id=APP_ID, mass_protected=True)
    campaign = caster.start()
    caster.run()
    caster.refuse_promotions(openids[0])
    caster.later(61)
    caster.run()
    assert caster.shop.calls(SEND) == []
    assert len(caster.shop.calls(SEND_ALL)) == 2
    caster.shop.simulator.post("/_sim/mass/confirm", account=APP_ID, ok=False)
    caster.later(61)
    caster.run()
    assert caster.row(campaign).state == "failed"
    (batch,) = [one for one in caster.batches(campaign) if one.no == 0]
    assert (
        batch.called_at is None
    )  # refused: nothing is in doubt, whenever somebody goes on with it


def test_what_wechat_refuses_for_good_stops_the_campaign_until_somebody_looks(
    caster: Broadcaster,
) -> None:
    openids = caster.crowd(4)
    campaign = caster.start({"tag": 777})  # WeChat knows no such tag
    caster.run()
    row = caster.row(campaign)
    assert row.state == "failed"
    assert row.last_error
    assert caster.received() == {}
    caster.shop.simulator.post("/_sim/tag", account=APP_ID, tag=777, openids=openids)
    change: dict[str, Any] = {"actor": "a", "now": caster.now}
    caster.database.transact(
        lambda s: campaigns.resume(s, caster.account.id, campaign.id, **change)
    )
    caster.run()
    assert caster.received() == {"1": 4}
    assert caster.row(campaign).state == "done"


def test_a_tag_of_willing_people_is_one_call_and_another_is_a_list(caster: Broadcaster) -> None:
    tagged, rest = caster.crowd(6), caster.crowd(3)
    caster.shop.simulator.post("/_sim/tag", account=APP_ID, tag=101, openids=tagged)
    campaign = caster.start({"tag": 101})
    caster.run()
    assert caster.received() == {"1": 6}
    assert all(caster.shown(openid) == [] for openid in rest)
    assert [one.way for one in caster.batches(campaign) if one.msg_id] == ["tag"]
    assert len(caster.shop.calls(SEND_ALL)) == 1
    caster.database.transact(
        lambda s: members.set_promotions_muted(s, caster.account.id, tagged[0], True)
    )
    campaign = caster.start({"tag": 101})
    caster.run()
    assert caster.received() == {"1": 1, "2": 5}
    assert [one.way for one in caster.batches(campaign)] == ["list"]


def test_a_fifth_message_of_the_month_reaches_nobody_and_is_not_sent(caster: Broadcaster) -> None:
    caster.crowd(4)
    for _ in range(MASS_A_MONTH + 1):
        campaign = caster.start({"bought": False})
        caster.run()
    assert caster.received() == {str(MASS_A_MONTH): 4}
    assert caster.results(campaign).recipients == 0
    assert len(caster.shop.calls(SEND)) == MASS_A_MONTH


def test_pausing_and_cancelling_keep_the_rest_at_home(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LIST_SIZE", 5)
    caster.crowd(20)
    campaign = caster.start({"bought": False})
    caster.shop.fault(quota={SEND: 1})
    caster.run()
    caster.shop.fault(off=True)
    change: dict[str, Any] = {"actor": "a", "now": caster.now}
    caster.database.transact(lambda s: campaigns.pause(s, caster.account.id, campaign.id, **change))
    caster.later(3700)
    caster.run()
    assert caster.received() == {"1": 5}
    caster.database.transact(
        lambda s: campaigns.cancel(s, caster.account.id, campaign.id, **change)
    )
    caster.run()
    results = caster.results(campaign)
    assert (results.sent, results.waiting) == (5, 15)
    adds_up(results)


def test_a_result_that_never_came_is_asked_for(caster: Broadcaster) -> None:
    caster.crowd(6)
    campaign = caster.start({"bought": False})
    caster.run()
    assert caster.results(campaign).undecided == 6
    caster.later(3601)
    assert caster.database.read(lambda s: campaigns.is_due(s, caster.now))
    caster.run()
    results = caster.results(campaign)
    assert (results.delivered, results.undecided) == (6, 0)


def test_articles_are_published_without_a_message_to_anybody(caster: Broadcaster) -> None:
    caster.crowd(3)
    campaign = caster.start(channel="publish", content=ARTICLE, files=FILES)
    caster.run()
    assert caster.row(campaign).state == "done"
    assert caster.received() == {}
    caster.later(3601)
    caster.run()
    (batch,) = caster.batches(campaign)
    assert batch.state == "finished"


# --- single messages ------------------------------------------------------------------------------------------------


def test_customer_messages_go_to_those_inside_their_window(caster: Broadcaster) -> None:
    openids = caster.crowd(6)
    caster.spoke(openids[:4])
    caster.shop.simulator.post("/_sim/unfollow", user=openids[3], wait=False)  # we do not know yet
    campaign = caster.start(channel="custom", content=ARTICLE, files=FILES)
    caster.run()
    results = caster.results(campaign)
    assert (results.recipients, results.delivered, results.failed) == (4, 3, 1)
    (card,) = caster.shown(openids[0])
    assert card["articles"][0]["url"].startswith("http://127.0.0.1:8170/m/jobs/r/")
    people = caster.database.read(lambda s: campaigns.recipients(s, caster.row(campaign)))
    ids = [one.member_id for one in people]
    left = caster.database.read(lambda s: windows.open_for(s, ids, caster.now))
    assert len(left) == 3  # the fourth's window is known to be shut
    assert Counter((one.state, one.errcode) for one in people) == {("sent", None): 3, ("failed", 45015): 1}  # fmt: skip


def test_a_customer_message_whose_answer_is_lost_is_not_sent_again(caster: Broadcaster) -> None:
    openids = caster.crowd(3)
    caster.spoke(openids)
    campaign = caster.start(channel="custom")
    caster.shop.fault(drop_answer_rate=1.0, paths=[CUSTOM])
    caster.run()
    caster.shop.fault(off=True)
    caster.later(200)
    caster.run()
    assert caster.received() == {"1": 3}
    assert caster.results(campaign).unknown == 3
    assert caster.row(campaign).state == "done"


NOTICE = {"kind": "notice", "template_id": "t-new", "data": {"thing1": "春茶上新"}}


@pytest.fixture
def allowed(caster: Broadcaster) -> list[str]:
    """Four followers who each allowed one subscription notice; WeChat has forgotten the last one's."""
    caster.shop.simulator.post(
        "/_sim/accounts", app_id=APP_ID, subscription_templates=[
            {"template_id": "t-new", "title": "上新", "content": "商品:{{thing1.DATA}}"}
        ],
    )  # fmt: skip
    openids = caster.crowd(4)
    for openid in openids[:3]:
        caster.shop.simulator.post("/_sim/subscribe", user=openid, templates=["t-new"], wait=False)
    ids = caster.database.read(lambda s: members.ids_of(s, caster.account.id, openids))
    for one in ids.values():
        caster.database.transact(lambda s, m=one: subscriptions.add(s, m, "t-new", caster.now))  # type: ignore[misc]
    return openids


def test_a_subscription_notice_takes_one_credit_of_each(
    caster: Broadcaster, allowed: list[str]
) -> None:
    campaign = caster.start(channel="subscription", content=NOTICE)
    caster.run()
    results = caster.results(campaign)
    assert (results.recipients, results.delivered, results.failed) == (4, 3, 1)
    assert [len(caster.shown(openid)) for openid in allowed] == [1, 1, 1, 0]
    again = caster.start(channel="subscription", content=NOTICE)
    caster.run()
    assert caster.results(again).recipients == 0  # nobody has one left, the fourth neither


def test_a_notice_whose_answer_is_lost_is_sent_again_and_shown_once(
    caster: Broadcaster, allowed: list[str]
) -> None:
    campaign = caster.start(channel="subscription", content=NOTICE)
    caster.shop.fault(drop_answer_rate=1.0, paths=["/cgi-bin/message/subscribe/bizsend"])
    caster.run()
    caster.shop.fault(off=True)
    caster.later(60)
    caster.run()
    assert [len(caster.shown(openid)) for openid in allowed] == [1, 1, 1, 0]
    results = caster.results(campaign)
    assert (results.delivered, results.failed, results.unknown) == (3, 1, 0)


def test_a_notice_that_was_not_shown_counts_as_failed_and_gives_its_credit_back(
    caster: Broadcaster, allowed: list[str]
) -> None:
    campaign = caster.start(channel="subscription", content=NOTICE)
    caster.run()
    member_id = caster.database.read(
        lambda s: members.ids_of(s, caster.account.id, allowed[:1])[allowed[0]]
    )

    def tell(code: int, template_id: str = "t-new") -> bool:
        return caster.database.transact(
            lambda s: batches.notice_result(
                s, caster.account.id, member_id, template_id, code, caster.now
            )
        )

    assert not tell(43101, "t-other")  # of another template: not ours
    assert tell(0)
    assert caster.results(campaign).delivered == 3
    assert tell(43107)
    results = caster.results(campaign)
    assert (results.delivered, results.failed) == (2, 2)
    adds_up(results)
    assert not tell(43107)


def test_a_quota_in_the_middle_of_single_messages_loses_nobody(caster: Broadcaster) -> None:
    openids = caster.crowd(20)
    caster.spoke(openids)
    campaign = caster.start(channel="custom")
    caster.shop.fault(quota={CUSTOM: 7})
    caster.run()
    assert caster.results(campaign).sent == 7
    caster.shop.fault(off=True)
    caster.later(3700)
    caster.run()
    assert caster.received() == {"1": 20}
    assert caster.results(campaign).delivered == 20


# --- a test on one's own phone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["mass", "custom", "publish"])
def test_a_test_is_shown_on_one_phone(caster: Broadcaster, channel: str) -> None:
    mine, other = caster.crowd(2)

    def draft(session: Any) -> str:
        made = campaigns.create(
            session, caster.account, name="茶", channel=channel, content=ARTICLE, audience={}, files=FILES,
            actor="test", now=caster.now,
        )  # fmt: skip
        return campaigns.request_test(session, caster.account.id, made.id, mine, caster.now)

    key = caster.database.transact(draft)
    drain(caster.process, "broadcast_test", broadcast.prepare_tests)
    row = caster.database.read(lambda s: s.scalar(select(Outbox).where(Outbox.dedupe_key == key)))
    assert row is not None
    assert row.state == "done", row.last_error
    assert len(caster.shown(mine)) == 1
    assert caster.shown(other) == []


# --- real processes -------------------------------------------------------------------------------------------------


QUOTA = 25


class Killer:
    """Starts two workers at a time and kills them in the middle of what they do, until the broadcast is done. The
    quota of the day ends on the way, and is lifted when that shows."""

    def __init__(self, caster: Broadcaster, campaign: Campaign) -> None:
        self._caster, self._shop, self._campaign = caster, caster.shop, campaign
        self._dice = random.Random(7)
        self.deaths = 0
        self.lifted = False

    def jobs(self) -> list[Any]:
        found: list[Any] = self._shop.simulator.get("/_sim/mass", account=APP_ID)["jobs"]
        return found

    def run(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while not self._is_done():
            assert time.monotonic() < give_up, (
                self._caster.results(self._campaign),
                self._shop.output()[-3000:],
            )
            self._round()
            if self._is_held():
                assert len(self.jobs()) <= QUOTA  # not one call more
                self._shop.fault(quota={})
                self._caster.later(3700)
                redis = (
                    self._shop.context.redis
                )  # whose hours our clock does not move: WeChat may be asked again
                redis.delete(*redis.scan_iter("*:asked:*"), "none")
                self.lifted = True
            self._caster.later(batches.LEASE_SECONDS + 5)

    def _round(self) -> None:
        workers = [self._shop.start_worker("bulk") for _ in range(2)]
        enough = len(self.jobs()) + self._dice.randint(2, 12)
        _wait(lambda: self._is_done() or self._is_held() or len(self.jobs()) >= enough, 30)
        time.sleep(self._dice.uniform(0, 0.1))
        for worker in workers if not self._is_done() else ():
            worker.send_signal(signal.SIGKILL)
            self.deaths += 1
        for worker in workers:
            worker.terminate()
            worker.wait()

    def _is_done(self) -> bool:
        return self._caster.row(self._campaign).state == "done"

    def _is_held(self) -> bool:
        said = self._caster.row(self._campaign).last_error or ""
        return not self.lifted and ("45009" in said or "our own count" in said)


def test_a_broadcast_with_workers_killed_at_random_reaches_everybody_once(
    caster: Broadcaster,
) -> None:
    """3,000 people, or as many as BANYAN_BROADCAST_PEOPLE says, in sixty calls."""
    people = int(os.environ.get("BANYAN_BROADCAST_PEOPLE", "3000"))
    caster.crowd(people)
    gone = caster.crowd(5, muted=True)
    campaign = _planned_in_lists(caster, max(2, people // 60))
    caster.shop.fault(
        latency_ms=20, drop_answer_rate=0.1, busy_rate=0.05, paths=[SEND], quota={SEND: QUOTA}, seed=7
    )  # fmt: skip
    caster.shop.start_clock()
    killer = Killer(caster, campaign)
    killer.run(300 + people / 200)  # a hang, not slowness: a busy machine needs half of it
    assert killer.deaths > 0
    assert killer.lifted
    assert caster.row(campaign).last_error is None  # it says what holds it up, and nothing does
    assert caster.received() == {"1": people}
    assert all(caster.shown(openid) == [] for openid in gone)
    results = caster.results(campaign)
    adds_up(results)
    assert (results.recipients, results.sent, results.unknown) == (people, people, 0)
    jobs = killer.jobs()
    assert sum(job["sent"] for job in jobs) == people
    assert sorted(job["msg_id"] for job in jobs) == sorted(
        str(one.msg_id) for one in caster.batches(campaign)
    )
    counted = text("SELECT sent, COUNT(*) FROM mass_month GROUP BY sent")
    assert caster.database.read(lambda s: s.execute(counted).all()) == [(1, people)]
    (caster.shop.folder / "broadcast.txt").write_text(
        f"{people} people, {len(jobs)} calls, {killer.deaths} workers killed\n"
    )


def _planned_in_lists(caster: Broadcaster, size: int) -> Campaign:
    """Running, and planned in lists of this size: real ones hold 10,000."""
    campaign = caster.start({"bought": False})
    usual, planning.LIST_SIZE = planning.LIST_SIZE, size  # type: ignore[misc]
    try:
        while not caster.database.transact(
            lambda s: planning.step(s, s.get_one(Campaign, campaign.id), caster.now)
        ).finished:
            pass
    finally:
        planning.LIST_SIZE = usual  # type: ignore[misc]
    return campaign


def _wait(ask: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up and not ask():
        time.sleep(0.05)


# --- races, and what they would do without their guards -------------------------------------------------------------


def test_the_message_leaves_from_the_bulk_worker_and_is_sent_once_by_two(
    caster: Broadcaster,
) -> None:
    caster.crowd(40)
    shop = caster.shop
    with tapping(shop.simulator.url) as tap:
        shop.environ["BANYAN_WECHAT__API_BASE"] = tap.url
        campaign = _planned_in_lists(caster, 4)
        workers = {shop.start_worker("bulk").pid for _ in range(2)}
        shop.start_clock()
        shop.wait_for(lambda: caster.row(campaign).state == "done")
        assert set(tap.senders[SEND]) <= workers
    assert caster.received() == {"1": 40}
    assert len(shop.calls(SEND)) == 10


def test_a_customer_message_is_sent_twice_when_it_is_not_written_down_first(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard off: a worker that dies after sending, with nothing written before, sends again."""
    openids = caster.crowd(3)
    caster.spoke(openids)
    caster.start(channel="custom")

    class Killed(BaseException):
        pass

    def die(*_anything: Any) -> None:
        raise Killed

    sending = batches.sending
    with monkeypatch.context() as off:
        off.setattr(batches, "sending", lambda *_anything: True)
        off.setattr(broadcast_people, "_mark", die)
        with pytest.raises(Killed):
            caster.run()
    assert caster.received() == {"1": 3}
    caster.later(batches.LEASE_SECONDS + 5)
    caster.run()
    assert caster.received() == {"2": 3}
    assert batches.sending is sending


def test_a_customer_message_is_sent_once_when_the_worker_dies_after_sending(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    openids = caster.crowd(3)
    caster.spoke(openids)
    campaign = caster.start(channel="custom")

    class Killed(BaseException):
        pass

    def die(*_anything: Any) -> None:
        raise Killed

    with monkeypatch.context() as off:
        off.setattr(broadcast_people, "_mark", die)
        with pytest.raises(Killed):
            caster.run()
    caster.later(batches.LEASE_SECONDS + 5)
    caster.run()
    assert caster.received() == {"1": 3}
    assert caster.results(campaign).unknown == 3


def test_a_mass_message_is_sent_twice_under_a_new_id_and_once_under_the_same(
    caster: Broadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard off first: an id made anew at each try is what would send a list twice."""
    caster.crowd(4)
    for guarded, expected in ((False, "2"), (True, "3")):
        caster.start({"bought": False})
        caster.shop.fault(drop_answer_rate=1.0, paths=[SEND])
        with monkeypatch.context() as off:
            if not guarded:
                off.setattr(batches, "client_msg_id", lambda *_any: os.urandom(16).hex())
            caster.run()
            caster.shop.fault(off=True)
            caster.later(10)
            caster.run()
        assert caster.received() == {expected: 4}


def test_a_scheduled_broadcast_starts_by_the_clock(caster: Broadcaster) -> None:
    caster.crowd(4)

    def schedule(session: Any) -> Campaign:
        made = campaigns.create(
            session, caster.account, name="茶", channel="mass", content={"kind": "text", "text": "早"}, audience={},
            files={}, scheduled_at=caster.now + timedelta(hours=1), actor="a", now=caster.now,
        )  # fmt: skip
        return campaigns.start(session, caster.account.id, made.id, actor="a", now=caster.now)

    campaign = caster.database.transact(schedule)
    assert campaign.state == "scheduled"
    assert caster.run() == 0
    caster.later(3601)
    caster.run()
    assert caster.received() == {"1": 4}
