"""What a campaign needs at WeChat before it can leave: tracked links, pictures, drafts. Nothing is uploaded twice while
WeChat keeps it: temporary pictures three days, covers and pictures of articles for ever. Not to know whether something
was uploaded is no doubt about the message: `surely`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import update
from sqlalchemy.orm import Session

from context import Context
from domain import campaigns
from domain.accounts import OpenAccount
from domain.campaigns import content as contents
from domain.campaigns.content import Article, Content
from domain.models import Campaign, CampaignFile
from jobs.codes import surely
from wechat import api, drafts, mass, materials
from wechat.client import PlatformClient

FRESH: Final = timedelta(hours=1)
"""A picture that WeChat forgets sooner than that is uploaded again."""


@dataclass(frozen=True)
class Parcel:
    """One campaign on its way out: what it says, with the account's client to say it with."""

    context: Context
    account: OpenAccount
    campaign: Campaign
    content: Content

    @property
    def client(self) -> PlatformClient:
        return self.context.platform(self.account)

    def branch(self, media_id: str | None = None, *, preview: bool = False) -> dict[str, Any]:
        """msgtype and content of a mass message; uploads what is missing. `media_id` is a draft that exists."""
        if self.content.kind == contents.TEXT:
            return mass.text_branch(self.content.text)
        if self.content.kind == contents.IMAGE:
            picture = self.picture(self.content.image)
            return mass.preview_image_branch(picture) if preview else mass.image_branch(picture)
        return mass.article_branch(media_id or self.draft())

    def picture(self, name: str) -> str:
        """The media_id of a picture, for three days."""
        one, now = self._file(name), self.context.clock.now()
        if one.media_id and one.media_expires_at and one.media_expires_at > now + FRESH:
            return one.media_id
        media = surely(lambda: api.upload_media(self.client, "image", one.content, _file_name(one)))
        self._keep(one, media_id=media.media_id, media_expires_at=media.expires_at)
        return media.media_id

    def draft(self) -> str:
        """A new draft. Each call needs its own: a draft ends with the mass message that was made of it."""
        articles = [self._article(one) for one in self.content.articles]
        return surely(lambda: drafts.add_draft(self.client, articles))

    def card(self) -> api.Article:
        """The first article as the linked card of a customer-service message."""
        (one,) = self.content.articles
        return api.Article(one.title, one.digest, one.source_url, self._address(one.cover))

    def _article(self, one: Article) -> drafts.DraftArticle:
        urls = {name: self._address(name) for name in contents.pictures_of(one)}
        return drafts.DraftArticle(
            title=one.title, author=one.author, digest=one.digest, content_source_url=one.source_url,
            content=contents.with_pictures(one.html, urls), thumb_media_id=self._cover(one.cover),
        )  # fmt: skip

    def _cover(self, name: str) -> str:
        one = self._file(name)
        if one.thumb_id is None:
            made = surely(
                lambda: materials.add_material(self.client, "image", one.content, _file_name(one))
            )
            self._keep(one, thumb_id=made)
            return made
        return one.thumb_id

    def _address(self, name: str) -> str:
        one = self._file(name)
        if one.url is None:
            made = surely(
                lambda: drafts.upload_article_image(
                    self.client, one.content, _file_name(one), _type(one)
                )
            )
            self._keep(one, url=made)
            return made
        return one.url

    def _file(self, name: str) -> CampaignFile:
        key = (self.campaign.id, name)
        return self.context.database.read(lambda session: session.get_one(CampaignFile, key))

    def _keep(self, one: CampaignFile, **values: str | datetime) -> None:
        query = (
            update(CampaignFile)
            .where(CampaignFile.campaign_id == one.campaign_id, CampaignFile.name == one.name)
            .values(**values)
        )
        self.context.database.transact(lambda session: session.execute(query))


def _type(one: CampaignFile) -> str:
    return "image/png" if one.content.startswith(b"\x89PNG") else "image/jpeg"


def _file_name(one: CampaignFile) -> str:
    """ASCII, with the ending that tells WeChat the format."""
    return "picture.png" if _type(one) == "image/png" else "picture.jpg"


def parcel_of(context: Context, account: OpenAccount, campaign_id: int) -> Parcel:
    """The campaign with its links tracked; the links are written down once."""

    def open_(session: Session) -> Parcel:
        campaign = campaigns.get(session, account.id, campaign_id)
        links = campaigns.links_of(
            session, account.id, campaign, link_address(context, account.slug)
        )
        content = contents.tracked(campaigns.content_of(campaign), links)
        return Parcel(context, account, campaign, content)

    return context.database.transact(open_)


def link_address(context: Context, slug: str) -> Callable[[str], str]:
    """Where a token of this account leads over: /m/<slug>/r/<token> of this server."""
    base = f"{context.settings.server.public_url}/m/{slug}/r/"
    return lambda token: base + token
