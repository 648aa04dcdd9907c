"""Posters: the member's code, drawn, uploaded and sent into the chat that asked for it.

https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy.orm import Session

from domain import outbox, posters, scenes
from domain.errors import NotFound
from domain.outbox import Claimed
from domain.posters import Facts
from domain.secrets import Unreadable
from jobs import poster_picture
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
_CLOSED: Final = frozenset({45015, 45047})


def drain_posters() -> int:
    """RQ's way in: make and send the posters that were asked for."""
    return drain(current(), outbox.POSTER, prepare, chunk=CHUNK)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """A client for each account of these rows; answers with the function that makes and sends one poster."""
    clients = {account_id: _client(process, account_id) for account_id in {row.account_id for row in rows}}  # fmt: skip

    def deliver(row: Claimed) -> Done:
        client = clients[row.account_id]
        if client is None or row.member_id is None:
            raise NotFound("no account, or no member, to send a poster to")
        return _Making(process, client, row.member_id).send()

    return deliver


def _client(process: Process, account_id: int) -> PlatformClient | None:
    try:
        return process.context.platform(process.account(account_id))
    except (NotFound, Unreadable):
        return None  # those rows fail, and say so; the other accounts' go on


class _Making:
    """One poster on its way."""

    def __init__(self, process: Process, client: PlatformClient, member_id: int) -> None:
        self._database = process.context.database
        self._now = process.context.clock.now
        self._client = client
        self._member_id = member_id

    def send(self) -> Done:
        shown = self._facts()
        if shown is None:
            return Done(delivery=SUSPENDED)
        if shown.ticket_url is None:
            shown = self._with_ticket(shown)
        media_id = self._database.read(
            lambda session: posters.live_media(session, shown, self._now())
        )
        fresh = media_id is None
        try:
            api.send_custom_image(self._client, shown.openid, media_id or self._made(shown))
        except RecipientRefused as error:
            if error.errcode not in _CLOSED:
                raise
            return Done(delivery=WINDOW_CLOSED)
        except OutcomeUnknown:
            return Done(delivery=UNKNOWN)
        except Refused as error:
            if error.errcode != _NO_SUCH_MEDIA or fresh:
                raise
            # WeChat forgot the picture before its three days were over.
            self._database.transact(lambda session: posters.forget(session, self._member_id))
            return self.send()
        return Done()

    def _facts(self) -> Facts | None:
        now = self._now()
        return self._database.transact(lambda session: posters.facts(session, self._member_id, now))

    def _with_ticket(self, shown: Facts) -> Facts:
        """A ticket for thirty days. One too many, when two ask at once, is harmless."""
        code = _surely(
            lambda: api.create_qrcode(
                self._client, shown.scene, expire_seconds=api.LONGEST_EXPIRY_SECONDS
            )
        )
        now = self._now()
        expires_at = now + timedelta(seconds=code.expire_seconds or api.LONGEST_EXPIRY_SECONDS)

        def keep(session: Session) -> Facts | None:
            scene = scenes.of_member(session, shown.account_id, shown.member_id, now)
            scenes.record_ticket(
                session, scene, ticket=code.ticket, url=code.url, expires_at=expires_at, now=now
            )
            return posters.facts(session, shown.member_id, now)

        known = self._database.transact(keep)
        if known is None or known.ticket_url is None:
            raise Retryable("no code that lives long enough", path="/cgi-bin/qrcode/create")
        return known

    def _made(self, shown: Facts) -> str:
        """Draw, upload and remember the picture; its media id."""
        picture = poster_picture.draw(shown)
        media = _surely(
            lambda: api.upload_media(
                self._client, "image", picture, f"poster-{shown.member_id}.jpg"
            )
        )
        self._database.transact(
            lambda session: posters.keep(session, shown, media.media_id, media.expires_at)
        )
        return media.media_id


T = TypeVar("T")


def _surely(call: Callable[[], T]) -> T:
    """For calls that may be made twice: not to know whether it was done means to do it again."""
    try:
        return call()
    except OutcomeUnknown as error:
        raise Retryable(str(error), path=error.path) from None
