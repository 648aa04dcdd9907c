"""带参二维码 for pages: the code by which a visitor follows, a promoter's own or the account's.

https://developers.weixin.qq.com/doc/service/api/qrcode/qrcodes/api_createqrcode
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from context import Context
from domain import scenes
from domain.accounts import OpenAccount
from domain.models import Member, Scene
from wechat import api
from wechat.errors import WeChatError

LABEL: Final = "网页"
"""The channel of those who follow from a page without a promoter."""

_log = logging.getLogger(__name__)


def follow_code(
    context: Context, account: OpenAccount, promoter: Member | None, now: datetime
) -> str | None:
    """What the square says that a phone follows by; None while WeChat gives none. Asked for once in some weeks."""

    def known(session: Session) -> tuple[Scene, str | None]:
        if promoter is None:
            scene = scenes.of_channel(session, account.id, LABEL, now)
        else:
            scene = scenes.of_member(session, account.id, promoter.id, now)
        ticket = scenes.live_ticket(session, scene.id, now)
        return scene, None if ticket is None else ticket.url

    scene, url = context.database.transact(known)
    if url is not None:
        return url
    try:
        made = api.create_qrcode(
            context.platform(account), scene.code, expire_seconds=api.LONGEST_EXPIRY_SECONDS
        )
    except WeChatError as error:
        _log.warning("no code for a page of %s: %s", account.slug, error)
        return None
    seconds = made.expire_seconds or api.LONGEST_EXPIRY_SECONDS
    context.database.transact(
        lambda session: scenes.record_ticket(
            session, scene, ticket=made.ticket, url=made.url,
            expires_at=now + timedelta(seconds=seconds), now=now,
        )
    )  # fmt: skip
    return made.url
