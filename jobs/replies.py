"""The merchant's answers that follow a passive reply, one message after the other; and their files, which WeChat keeps
for three days only.

https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, cast

from sqlalchemy.orm import Session

from domain import bodies, members, outbox, uploads
from domain.accounts import OpenAccount
from domain.bodies import Body, MediaBody, TextBody
from domain.errors import NotFound
from domain.outbox import Claimed
from domain.secrets import Unreadable
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api, custom, materials
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, RecipientRefused, Refused, Retryable, WeChatError

WINDOW_CLOSED: Final = "window_closed"
LEFT: Final = "left"
UNKNOWN: Final = "unknown"
"""Perhaps sent. Not sent again, because WeChat would show it twice."""

_CLOSED: Final = frozenset({45015, 45047})
_NO_SUCH_MEDIA: Final = 40007
_NOT_FOLLOWING: Final = 43004

_log = logging.getLogger(__name__)


def drain_replies() -> int:
    """RQ's way in: say what is still to be said."""
    return drain(current(), outbox.REPLY, prepare)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """A client for each account of these rows; answers with the function that says the first message of one row."""
    with process.context.database.reading() as session:
        people = members.recipients(session, [row.member_id for row in rows if row.member_id])
    opened = {account_id: _account(process, account_id) for account_id in {row.account_id for row in rows}}  # fmt: skip

    def deliver(row: Claimed) -> Done:
        account = opened[row.account_id]
        if account is None:
            raise NotFound("no account to answer for")
        person = people.get(row.member_id or 0)
        if person is not None and not person.following:
            return Done(delivery=LEFT)
        first, *rest = bodies.of_values(row.payload["messages"])
        done = _say(process, account, row, first)
        if rest and done.delivery != WINDOW_CLOSED:
            _leave_the_rest(process, row, rest)
        return done

    return deliver


def _account(process: Process, account_id: int) -> OpenAccount | None:
    try:
        return process.account(account_id)
    except (NotFound, Unreadable):
        return None  # those rows fail, and say so; the other accounts' go on


def _leave_the_rest(process: Process, row: Claimed, rest: Sequence[Body]) -> None:
    """The next row. Its key is made of this one's, so a lease that ran out writes it once."""
    now = process.context.clock.now()
    number = int(row.payload["number"]) + 1
    head = row.key.rsplit("+", 1)[0]
    payload = {**row.payload, "messages": bodies.as_values(rest), "number": number}
    message = outbox.Message(
        row.account_id, outbox.REPLY, f"{head}+{number}", payload, now, row.member_id
    )
    process.context.database.transact(lambda session: outbox.put_once(session, message, now))


def _say(process: Process, account: OpenAccount, row: Claimed, body: Body) -> Done:
    client = process.context.platform(account)
    sent_at = process.context.clock.now()
    try:
        _send(process, client, account.id, row.payload["openid"], body)
    except RecipientRefused as error:
        if error.errcode == _NOT_FOLLOWING and row.member_id is not None:
            member_id = row.member_id
            process.context.database.transact(
                lambda session: members.found_gone(session, member_id, sent_at)
            )
        if error.errcode not in _CLOSED:
            raise
        return Done(delivery=WINDOW_CLOSED)
    except OutcomeUnknown:
        return Done(delivery=UNKNOWN)
    return Done()


def _send(
    process: Process, client: PlatformClient, account_id: int, openid: str, body: Body
) -> None:
    if isinstance(body, TextBody):
        api.send_custom_text(client, openid, body.text)
        return
    if isinstance(body, MediaBody):
        _send_media(process, client, account_id, openid, body)
        return
    first = body.articles[0]
    card = api.Article(first.title, first.description, first.url, first.picture_url)
    api.send_custom_news(client, openid, card)


def _send_media(
    process: Process, client: PlatformClient, account_id: int, openid: str, body: MediaBody
) -> None:
    media_id, is_fresh = media_id_of(process, client, account_id, body.media)
    try:
        _send_file(client, openid, body, media_id)
    except Refused as error:
        if error.errcode != _NO_SUCH_MEDIA or is_fresh:
            raise
        # WeChat forgot the file before its three days were over.
        process.context.database.transact(
            lambda session: uploads.forget_id(session, body.media, media_id)
        )
        _send_file(client, openid, body, upload(process, client, account_id, body.media))


def _send_file(client: PlatformClient, openid: str, body: MediaBody, media_id: str) -> None:
    if body.kind == bodies.IMAGE:
        api.send_custom_image(client, openid, media_id)
    elif body.kind == bodies.VOICE:
        custom.send_custom_voice(client, openid, media_id)
    else:
        custom.send_custom_video(client, openid, media_id, body.title, body.description)


def media_id_of(
    process: Process, client: PlatformClient, account_id: int, media: int
) -> tuple[str, bool]:
    """What WeChat calls the file, uploaded now if it has to be; and whether it was. Raises `NotFound`."""
    now = process.context.clock.now()
    known = process.context.database.read(lambda session: uploads.known(session, account_id))
    usable = known[media].usable_id(now) if media in known else None
    if usable is not None:
        return usable, False
    return upload(process, client, account_id, media), True


def upload(process: Process, client: PlatformClient, account_id: int, media: int) -> str:
    """Give WeChat the file and remember what it calls it. One upload too many is harmless, and what is in the library
    without our remembering it is taken out again."""
    database = process.context.database
    _, file = database.read(lambda session: uploads.load(session, account_id, media))
    try:
        media_id, expires_at = _uploaded(client, file)
    except OutcomeUnknown as error:
        raise Retryable(str(error), path=error.path) from None

    def keep(session: Session) -> bool:
        return uploads.keep_id(session, media, media_id, expires_at, permanent=file.permanent)

    if not database.transact(keep) and file.permanent:
        materials.delete_material(client, media_id)
        raise Retryable("the file was changed meanwhile", path="/cgi-bin/material/add_material")
    return media_id


def _uploaded(client: PlatformClient, file: uploads.File) -> tuple[str, datetime]:
    kind = cast(Literal["image", "voice", "video"], file.kind)
    if file.permanent:
        title = file.name.rpartition(".")[0] or file.name
        media_id = materials.add_material(client, kind, file.content, file.file_name, title)
        return media_id, uploads.FOREVER
    made = api.upload_media(client, kind, file.content, file.file_name)
    return made.media_id, made.expires_at


def renew_media() -> int:
    """RQ's way in: upload again what replies show before WeChat forgets it; how many files."""
    return renew(current())


def renew(process: Process) -> int:
    """Every file that has less than half a day left. What WeChat refuses is said in the log, and the others go on."""
    now = process.context.clock.now()
    late = process.context.database.read(lambda session: uploads.to_renew(session, now))
    renewed = 0
    for account_id, media in late:
        account = _account(process, account_id)
        if account is None or process.stopping.is_set():
            continue
        try:
            upload(process, process.context.platform(account), account_id, media)
        except (WeChatError, NotFound) as error:
            _log.warning("file %s of %s: %s: %s", media, account.slug, type(error).__name__, error)
        else:
            renewed += 1
    return renewed
