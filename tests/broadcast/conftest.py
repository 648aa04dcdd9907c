"""An account with followers in the database, and campaigns about them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from domain import campaigns
from domain.campaigns import batches, planning
from domain.campaigns.batches import Batch
from domain.db import Database
from domain.models import Campaign, Member
from tests.domain.world import START, World

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
TEXT = {"kind": "text", "text": "新茶上市:https://tea.example/new?x=1"}


class Broadcasting(World):
    """A world that broadcasts."""

    def crowd(self, count: int, **columns: Any) -> list[int]:
        """So many followers at once; their member ids."""
        first = (self.account.id * 1000 + next(self._numbers)) * 100_000
        rows = [
            {
                "id": first + n, "account_id": self.account.id, "openid": f"o{first + n}", "code": f"c{first + n}",
                "status": "active", "following": True, "joined_at": START, **columns,
            }
            for n in range(count)
        ]  # fmt: skip
        if rows:
            self.do(lambda session: session.execute(insert(Member), rows))
        return [row["id"] for row in rows]

    def campaign(
        self,
        audience: dict[str, Any] | None = None,
        *,
        channel: str = "mass",
        content: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
        **more: Any,
    ) -> Campaign:
        return self.do(
            lambda session: campaigns.create(
                session, self.account, name="新茶", channel=channel, content=content or TEXT,
                audience=audience or {}, files=files or {}, actor="test", now=self.now, **more,
            )
        )  # fmt: skip

    def start(self, campaign: Campaign) -> Campaign:
        return self.do(
            lambda s: campaigns.start(s, self.account.id, campaign.id, actor="test", now=self.now)
        )

    def plan(self, campaign: Campaign) -> int:
        """Plan it to its end; how many steps that took."""
        steps = 0
        while True:
            steps += 1
            done = self.do(lambda s: planning.step(s, s.get_one(Campaign, campaign.id), self.now))
            if done.finished:
                return steps

    def started(self, audience: dict[str, Any] | None = None, **more: Any) -> Campaign:
        """A campaign that is running and planned."""
        campaign = self.start(self.campaign(audience, **more))
        self.plan(campaign)
        return campaign

    def claim(self) -> Batch | None:
        token = self.do(lambda s: batches.claim(s, self.now))
        return None if token is None else self.look(lambda s: batches.claimed(s, token))

    def results(self, campaign: Campaign) -> campaigns.Results:
        return self.look(lambda s: campaigns.results(s, campaign.id))

    def state(self, campaign: Campaign) -> str:
        return self.look(lambda s: s.get_one(Campaign, campaign.id).state)


@pytest.fixture
def world(database: Database) -> Broadcasting:
    return Broadcasting.create(database)  # type: ignore[return-value]  # `create` makes its own class


def adds_up(results: campaigns.Results) -> None:
    """Everybody is counted once."""
    parts = (results.waiting, results.skipped, results.sent, results.failed, results.unknown)
    assert sum(parts) == results.recipients, results
    assert results.sent == results.delivered + results.undecided
