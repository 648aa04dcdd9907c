"""粉丝同步: walks through WeChat's list of followers, in pages within the day's quota, and through the profiles.

https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans
https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_batchuserinfo
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import accounts, followers, orders
from domain.accounts import OpenAccount
from domain.china import CHINA
from domain.errors import DomainError
from domain.followers import ABSENT, CHUNK, LIST, Profile
from domain.models import FollowerSync, Member
from domain.secrets import Unreadable
from jobs.process import Process, current
from jobs.queues import FOLLOWERS
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import QuotaExceeded, WeChatError
from wechat.followers import followers_page

BUDGET_SECONDS: Final = 50
PAUSE: Final = timedelta(minutes=10)
"""After an answer that is none; a quota says itself when to go on."""

_log = logging.getLogger(__name__)


def sync_followers() -> int:
    """RQ's way in: go on with every sync that runs; how many steps."""
    return sync(current())


def sync(process: Process) -> int:
    """One step of each sync in turn, until all are done or wait, or time is up, or another job waits."""
    database = process.context.database
    steps = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    while True:
        now = process.context.clock.now()
        due = database.read(partial(followers.due, now=now))
        if not due:
            return steps
        for sync_id, account_id in due:
            if process.stopping.is_set() or time.monotonic() > give_up:
                return steps
            if steps and process.leave_room(FOLLOWERS):
                return steps
            _guarded(process, sync_id, account_id)
            steps += 1


def _guarded(process: Process, sync_id: int, account_id: int) -> None:
    """One step. What WeChat will not do now is done later; what it never will ends this sync, and says why."""
    database, now = process.context.database, process.context.clock.now()
    try:
        account = process.account(account_id)
        _step(process, account, sync_id)
    except WeChatError as error:
        text = f"{type(error).__name__}: {error}"
        if error.permanent:
            database.transact(lambda session: followers.fail(session, sync_id, text, now))
            return
        until = now + PAUSE
        if isinstance(error, QuotaExceeded) and error.retry_at is not None:
            until = error.retry_at
        database.transact(lambda session: followers.wait(session, sync_id, until, text))
    except (DomainError, Unreadable, DBAPIError) as error:
        text = f"{type(error).__name__}: {error}"
        _log.warning("followers of account %s: %s", account_id, text)
        database.transact(lambda session: followers.wait(session, sync_id, now + PAUSE, text))


def _step(process: Process, account: OpenAccount, sync_id: int) -> None:
    one = process.context.database.read(lambda session: followers.get(session, sync_id))
    client = process.context.platform(account)
    if one.state == LIST:
        _take_page(process, client, one)
    elif one.state == ABSENT:
        _ask_absent(process, client, one)
    else:
        _ask_profiles(process, client, account, one)


def _take_page(process: Process, client: PlatformClient, one: FollowerSync) -> None:
    """One page of up to ten thousand, in transactions of `CHUNK`. A killed one is taken again, which finds everybody
    known."""
    context = process.context
    asked_at = context.clock.now()
    page = followers_page(client, one.next_openid)
    for start in range(0, len(page.openids), CHUNK):
        openids = page.openids[start : start + CHUNK]

        def take(session: Session, openids: tuple[str, ...] = openids) -> None:
            found = followers.take_chunk(session, one, openids, asked_at, context.clock.now())
            followers.count_found(session, one.id, found)

        context.database.transact(take)
    context.database.transact(
        lambda session: followers.turn_page(
            session, one.id, one.next_openid, page.next_openid, len(page.openids), page.total
        )
    )


def _ask_absent(process: Process, client: PlatformClient, one: FollowerSync) -> None:
    context = process.context
    people = context.database.read(lambda session: followers.absent(session, one))
    asked_at = context.clock.now()
    gone: list[int] = []
    if people:
        told = api.users_info(client, [openid for _, openid in people])
        left = {each.openid for each in told if not each.subscribed}
        gone = [member_id for member_id, openid in people if openid in left]
    asked = [member_id for member_id, _ in people]
    context.database.transact(
        lambda session: followers.settle_absent(session, one, asked, gone, asked_at)
    )


def _ask_profiles(
    process: Process, client: PlatformClient, account: OpenAccount, one: FollowerSync
) -> None:
    context = process.context
    people = context.database.read(lambda session: followers.to_ask(session, one))
    told = {}
    if people:
        answers = api.users_info(client, [openid for _, openid in people])
        told = {each.openid: each for each in answers if each.subscribed}
    profiles = {
        member_id: Profile(openid, told[openid].unionid, told[openid].remark, told[openid].tag_ids)
        for member_id, openid in people
        if openid in told
    }
    now = context.clock.now()

    def learn(session: Session) -> None:
        for member_id in followers.learn(session, account.id, profiles):
            orders.attach_waiting(session, account, session.get_one(Member, member_id), now)
        last = people[-1][0] if people else None
        followers.step_profiles(session, one.id, last, len(profiles), now)

    context.database.transact(learn)


NIGHT_HOURS: Final = range(2, 6)
"""Beijing's, in which the day's sync begins by itself."""


def begin_nightly(process: Process) -> int:
    """Begin the day's sync of every account that has had none, if it is night; how many."""
    now = process.context.clock.now()
    if now.astimezone(CHINA).hour not in NIGHT_HOURS:
        return 0

    def begin(session: Session) -> int:
        return sum(
            followers.nightly(session, row.id, now) is not None for row in accounts.all_of(session)
        )

    return process.context.database.transact(begin)


def sync_nightly() -> int:
    """RQ's way in, at night: begin what is due, and go on with what runs."""
    process = current()
    begin_nightly(process)
    return sync(process)
