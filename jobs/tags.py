"""标签: tells WeChat which followers carry which tags, fifty a call.

https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_batchtagging
"""

from __future__ import annotations

import logging
import time
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import tags
from domain.accounts import OpenAccount
from domain.errors import DomainError
from domain.secrets import Unreadable
from domain.tags import Batch
from jobs.process import Process, current
from jobs.queues import TAGS
from wechat import tags as platform
from wechat.client import PlatformClient
from wechat.errors import Refused, WeChatError

BUDGET_SECONDS: Final = 50

_log = logging.getLogger(__name__)


def sync_tags() -> int:
    """RQ's way in: look at what changed, and tell WeChat; how many calls told it something."""
    return sync(current())


def sync(process: Process) -> int:
    """Every account in turn. What WeChat will not do now waits in its rows for the next time."""
    calls = 0
    give_up = time.monotonic() + BUDGET_SECONDS
    for account_id in process.context.database.read(tags.accounts_with_work):
        if process.stopping.is_set() or (calls and process.leave_room(TAGS)):
            return calls
        try:
            calls += _sync_account(process, process.account(account_id), give_up)
        except (WeChatError, DomainError, Unreadable, DBAPIError) as error:
            _log.warning("tags of account %s: %s: %s", account_id, type(error).__name__, error)
    return calls


def _sync_account(process: Process, account: OpenAccount, give_up: float) -> int:
    database, now = process.context.database, process.context.clock.now()
    client = process.context.platform(account)
    if database.read(lambda session: tags.missing_names(session, account.id)):
        make_missing(process, client, account)
    database.transact(lambda session: tags.mark_news(session, account.id, now))
    while time.monotonic() < give_up:
        # First what is marked, then some of the walk through everybody, until that is through for today.
        if database.transact(lambda session: tags.look(session, account.id)):
            continue
        if not database.transact(lambda session: tags.mark_next(session, account.id, now)):
            break
    calls = 0
    while time.monotonic() < give_up and not process.stopping.is_set():
        batch = database.read(lambda session: tags.next_batch(session, account.id))
        if batch is None:
            break
        calls += _tell(process, client, batch)
    return calls


def read_tags(process: Process, client: PlatformClient, account: OpenAccount) -> None:
    """What WeChat has now, written down."""
    found = [(each.tag_id, each.name, each.people) for each in platform.list_tags(client)]
    now = process.context.clock.now()
    process.context.database.transact(
        lambda session: tags.read_back(session, account.id, found, now)
    )


def make_missing(process: Process, client: PlatformClient, account: OpenAccount) -> None:
    """Make the tags that rules want. One of that name is taken as it is; what WeChat refuses is said in the log, and
    the other tags go on."""
    read_tags(process, client, account)
    missing = process.context.database.read(lambda s: tags.missing_names(s, account.id))
    for name in missing:
        try:
            platform.create_tag(client, name)
        except Refused as error:
            _log.warning("tag %r of %s: %s", name, account.slug, error)
    if missing:
        read_tags(process, client, account)


def _tell(process: Process, client: PlatformClient, batch: Batch) -> int:
    """Tell one batch; how many calls. What is refused for many is tried for halves, down to the one person whom WeChat
    does not take."""
    calls = 0
    queue = [sorted(batch.people)]
    while queue:
        ids = queue.pop()
        tell = platform.tag_people if batch.state == "add" else platform.untag_people
        calls += 1
        try:
            tell(client, batch.tag_id, [batch.people[each] for each in ids])
        except Refused as error:
            if error.errcode == platform.NO_SUCH_TAG:
                _drop_tag(process, batch)
                return calls
            if len(ids) > 1:
                half = len(ids) // 2
                queue += [ids[half:], ids[:half]]
            else:
                _mark(process, batch, ids, str(error))
        else:
            _mark(process, batch, ids, None)
    return calls


def _mark(process: Process, batch: Batch, ids: list[int], error: str | None) -> None:
    def mark(session: Session) -> None:
        if error is None:
            tags.told(session, batch.state, batch.tag_id, ids)
        else:
            tags.refused(session, batch.tag_id, ids, error)

    process.context.database.transact(mark)


def _drop_tag(process: Process, batch: Batch) -> None:
    """Somebody deleted the tag in WeChat: nobody is told of it; the next reading makes the rules find a new one."""
    process.context.database.transact(
        lambda session: tags.refused(session, batch.tag_id, list(batch.people), "no such tag")
    )
