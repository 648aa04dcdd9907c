"""Profiles: what WeChat tells of a new follower, which is no name any more, but the unionid by which orders find them.

https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_userinfo
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from domain import members, orders, outbox
from domain.accounts import OpenAccount
from domain.errors import NotFound
from domain.models import Member
from domain.outbox import Claimed
from domain.secrets import Unreadable
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api


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
        told = api.user_info(process.context.platform(account), person.openid)
        if told.unionid is not None:
            _learn(process, account, person.member_id, told.unionid)
        return Done()

    return deliver


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
