"""Posters: the member's code, drawn, uploaded and sent into the chat that asked for it.

https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from domain import events, outbox, posters
from domain.errors import NotFound
from domain.models import Scene
from domain.outbox import Claimed
from domain.posters import Facts
from domain.secrets import short_digest
from jobs.codes import client_of, issue, surely
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, RecipientRefused, Refused, Retryable

CHUNK: Final = 32
WINDOW_CLOSED: Final = "window_closed"
"""The person may not be written to any more; the poster is ready, and the next wish for it is answered at once."""
SUSPENDED: Final = "suspended"
UNKNOWN: Final = "unknown"
"""Perhaps sent. Not sent again, because WeChat would show it twice; who misses it asks again."""

_NO_SUCH_MEDIA: Final = 40007
_LANES: Final = tuple(Lock() for _ in range(64))
_CLOSED: Final = frozenset({45015, 45047})


def drain_posters() -> int:
    """RQ's way in: make and send the posters that were asked for."""
    return drain(current(), outbox.POSTER, prepare, chunk=CHUNK)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """A client for each account of these rows; answers with the function that makes and sends one poster."""
    ids = {row.account_id for row in rows}
    clients = {account_id: client_of(process, account_id) for account_id in ids}

    def deliver(row: Claimed) -> Done:
        client = clients[row.account_id]
        if client is None or row.member_id is None:
            raise NotFound("no account, or no member, to send a poster to")
        return _Making(process, client, row).send()

    return deliver


class _Making:
    """One poster on its way."""

    def __init__(self, process: Process, client: PlatformClient, row: Claimed) -> None:
        self._process = process
        self._database = process.context.database
        self._now = process.context.clock.now
        self._client = client
        self._row = row
        self._member_id = row.member_id or 0
        self._sku: str | None = row.payload.get("sku")

    def send(self) -> Done:
        """Send the picture that WeChat keeps, or a new one."""
        # Wishes of one member wait for each other, so that the second uses what the first has made.
        with _LANES[self._member_id % len(_LANES)]:
            shown = self._facts()
            if shown is None:
                return Done(delivery=SUSPENDED)
            if shown.ticket_url is None:
                shown = self._with_ticket(shown)
            kept = self._kept(shown)
            media_id = kept or self._made(shown)
        try:
            api.send_custom_image(self._client, shown.openid, media_id)
        except RecipientRefused as error:
            if error.errcode not in _CLOSED:
                raise
            return Done(delivery=WINDOW_CLOSED)
        except OutcomeUnknown:
            self._count(shown)
            return Done(delivery=UNKNOWN)
        except Refused as error:
            if error.errcode != _NO_SUCH_MEDIA or kept is None:
                raise
            # WeChat forgot the picture before its three days were over.
            self._database.transact(
                lambda session: posters.forget(session, shown.scene_id, media_id)
            )
            return self.send()
        self._count(shown)
        return Done()

    def _kept(self, shown: Facts) -> str | None:
        now = self._now()
        return self._database.read(lambda session: posters.live_media(session, shown, now))

    def _facts(self) -> Facts | None:
        now = self._now()
        return self._database.transact(
            lambda session: posters.facts(session, self._member_id, now, sku=self._sku)
        )

    def _with_ticket(self, shown: Facts) -> Facts:
        """A ticket for thirty days, or the permanent one that the merchant gave this promoter."""
        with self._database.reading() as session:
            scene = session.get_one(Scene, shown.scene_id)
        issue(self._process, self._client, scene, permanent=shown.is_permanent)
        known = self._facts()
        if known is None or known.ticket_url is None:
            raise Retryable("no code that lives long enough", path="/cgi-bin/qrcode/create")
        return known

    def _made(self, shown: Facts) -> str:
        """Draw, upload and remember the picture; its media id."""
        picture = self._database.read(lambda session: posters.picture(session, shown))
        drawn = posters.render(shown, picture)
        media = surely(
            lambda: api.upload_media(self._client, "image", drawn, f"poster-{shown.scene_id}.jpg")
        )
        now = self._now()
        self._database.transact(
            lambda session: posters.keep(session, shown, media.media_id, media.expires_at, now)
        )
        return media.media_id

    def _count(self, shown: Facts) -> None:
        """For the statistics of this variant; the row's key makes a repeat harmless."""
        now = self._now()
        self._database.transact(
            lambda session: events.record(
                session, shown.account_id, short_digest(f"poster {self._row.key}"), events.POSTER, now,
                member_id=shown.member_id, scene_id=shown.scene_id, detail=str(shown.template.id),
            )
        )  # fmt: skip
