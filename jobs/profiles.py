"""Profiles: what WeChat tells of a new follower, which is no name any more, but the unionid by which orders find them;
and the picture of a member who consented to let us know it.

https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_userinfo
https://developers.weixin.qq.com/doc/service/api/webdev/access/api_snsuserinfo
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from domain import avatars, members, orders, outbox
from domain.accounts import OpenAccount
from domain.drawing import clean_upload
from domain.errors import Invalid, NotFound
from domain.models import Member
from domain.outbox import Claimed
from domain.secrets import Unreadable
from jobs import outside
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api
from wechat.errors import Retryable

MOST_BYTES: Final = 2 * 1024 * 1024
NO_PICTURE: Final = "no_picture"
LEFT: Final = "left"
"""They left, or had their data erased, before the picture came."""


def drain_profiles() -> int:
    """RQ's way in: ask about the followers that are new."""
    return drain(current(), outbox.PROFILE, prepare)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """Accounts and openids of these rows; answers with the function that asks about one follower."""
    with process.context.database.reading() as session:
        people = members.recipients(session, [row.member_id for row in rows if row.member_id])
    opened = {account_id: _account(process, account_id) for account_id in {row.account_id for row in rows}}  # fmt: skip

    def deliver(row: Claimed) -> Done:
        account, person = opened[row.account_id], people.get(row.member_id or 0)
        if account is None or person is None:
            raise NotFound("no account, or no member, to ask about")
        if "picture" in row.payload:
            return _take_picture(process, person.member_id, row.payload["picture"])
        told = api.user_info(process.context.platform(account), person.openid)
        if told.unionid is not None:
            _learn(process, account, person.member_id, told.unionid)
        return Done()

    return deliver


def _take_picture(process: Process, member_id: int, address: str) -> Done:
    """Fetch the picture and keep it as we encode it. One that is no picture is done with: the poster shows a letter."""
    context = process.context
    # The simulator's pictures are on this machine.
    private = context.settings.webhooks.private_addresses or context.settings.demo.enabled
    try:
        content = outside.get(address, most_bytes=MOST_BYTES, private=private)
        upload = clean_upload(content, avatars.LARGEST)
    except outside.Unreachable as error:
        raise Retryable(f"the picture: {error}") from error
    except Invalid:
        return Done(delivery=NO_PICTURE)
    now = context.clock.now()
    kept = context.database.transact(lambda session: avatars.keep(session, member_id, upload, now))
    return Done(delivery=None if kept else LEFT)


def _learn(process: Process, account: OpenAccount, member_id: int, unionid: str) -> None:
    """Keep it, and give the member the paid orders that waited for it."""
    now = process.context.clock.now()

    def learn(session: Session) -> int:
        members.set_unionid(session, member_id, unionid)
        member = session.get_one(Member, member_id)
        return orders.attach_waiting(session, account, member, now)

    process.context.database.transact(learn)


def _account(process: Process, account_id: int) -> OpenAccount | None:
    try:
        return process.account(account_id)
    except (NotFound, Unreadable):
        return None  # those rows fail, and say so; the other accounts' go on
