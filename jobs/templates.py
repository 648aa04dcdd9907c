"""The templates that accounts have chosen, compared with those that WeChat has: what is wrong is noted on the choice.

https://developers.weixin.qq.com/doc/service/api/notify/template/api_getalltemplates
https://developers.weixin.qq.com/doc/service/api/notify/notify/api_getwxapubnewtemplate
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from domain import accounts, cards, notices
from domain.errors import NotFound
from domain.secrets import Unreadable
from jobs.process import Process, current
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import WeChatError
from wechat.subscriptions import list_subscription_templates

_LISTS = {notices.TEMPLATE: api.list_templates, notices.SUBSCRIPTION: list_subscription_templates}

_log = logging.getLogger(__name__)


def check_templates() -> int:
    """RQ's way in: look at every account; how many choices have a new problem."""
    return check_all(current())


def check_all(process: Process) -> int:
    """Look at every account. One whose WeChat does not answer is left for the next time."""
    ids = process.context.database.read(
        lambda session: [each.id for each in accounts.all_of(session)]
    )
    found = 0
    for account_id in ids:
        try:
            account = process.account(account_id)
        except (NotFound, Unreadable) as error:
            _log.warning("templates of account %s: %s", account_id, type(error).__name__)
            continue
        found += check(process, account_id, process.context.platform(account))
    return found


def check(process: Process, account_id: int, client: PlatformClient) -> int:
    """Compare the choices of one account; how many have a new problem. Where nothing is chosen, nothing is asked."""
    news = 0
    for channel in notices.MAPPED:
        read = partial(notices.templates_of, account_id=account_id, channel=channel)
        chosen = list(process.context.database.read(read).values())
        if not chosen:
            continue
        try:
            contents = {each.template_id: each.content for each in _LISTS[channel](client)}
        except WeChatError as error:
            _log.warning("templates of %s: %s", client.appid, error)
            continue
        said = cards.problems_of(chosen, contents)
        note = partial(
            _note,
            account_id=account_id,
            channel=channel,
            said=said,
            now=process.context.clock.now(),
        )
        news += process.context.database.transact(note)
    return news


def _note(
    session: Session, account_id: int, channel: str, said: Mapping[str, str | None], now: datetime
) -> int:
    """Write down what is wrong, and take back what is not any more; how many problems are new."""
    new = 0
    for template_id, problem in sorted(said.items()):
        changed = notices.note_problem(session, account_id, channel, template_id, problem, now)
        new += changed and problem is not None
    return new
