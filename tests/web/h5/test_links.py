"""Links of broadcasts know the member who taps them, and lead to the shop in any case."""

from __future__ import annotations

from sqlalchemy.orm import Session

from domain import attribution, campaigns
from tests.web.h5.conftest import Village


def link_in(village: Village) -> tuple[int, str]:
    """A broadcast that has begun, and the path of the link in it."""

    def begin(session: Session) -> tuple[int, str]:
        made = campaigns.create(
            session, village.account, name="茶", channel="mass",
            content={"kind": "text", "text": "新茶 https://tea.example/new"}, audience={}, files={}, actor="test",
            now=village.now,
        )  # fmt: skip
        campaigns.start(session, village.account.id, made.id, actor="test", now=village.now)
        links = campaigns.links_of(session, village.account.id, made, lambda token: f"r/{token}")
        return made.id, next(iter(links.values()))

    village.person("mei")
    return village.database.transact(begin)


def test_tap_is_counted_with_the_member_once_wechat_may_be_asked(village: Village) -> None:
    number, path = link_in(village)
    stranger = village.phone("mei").get(path)
    assert stranger.headers["Location"].startswith("https://tea.example/new?c="), "nobody is asked"
    village.phone("mei").open("")
    mei = village.phone("mei")
    back = mei.at_wechat(mei.get(path).headers["Location"])
    again = mei.get(mei.get(back).headers["Location"])
    assert again.headers["Location"].startswith("https://tea.example/new?c=")
    sales = village.database.read(lambda session: attribution.sales_of(session, number))
    assert (sales["clicks"], sales["clickers"]) == (2, 1)
