"""Notices leave by the first channel that takes them: template message, subscription notice, customer-service message;
what none takes waits in the inbox of the chat (design.md 8).

https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage
https://developers.weixin.qq.com/doc/service/api/notify/notify/api_sendnewsubscribemsg
https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy.orm import Session

from domain import cards, members, notices, outbox, subscriptions, texts, windows
from domain.errors import NotFound
from domain.members import Recipient
from domain.models import NoticeTemplate
from domain.notices import CUSTOM, INBOX, MAPPED, MERGED, SUBSCRIPTION, TEMPLATE
from domain.outbox import Claimed, Result
from domain.secrets import Unreadable, short_digest
from domain.texts import Words
from jobs.arrange import arrange
from jobs.drain import Round, drain
from jobs.outcomes import Done, Halted
from jobs.process import Process, current
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, RecipientRefused, WeChatError
from wechat.formatting import UnfitError
from wechat.subscriptions import list_subscription_templates, send_subscription

MUTED: Final = "muted"
LEFT: Final = "left"
NO_TEMPLATE: Final = "no_template"
"""Why a notice was done without a message: they do not want one, do not follow, or nobody knows this occasion."""

TEXTS_FRESH_SECONDS: Final = 600.0
_NOT_FOLLOWING: Final = 43004
_WINDOW_CODES: Final = frozenset({45015, 45047})
_NOT_FOR_THIS_ACCOUNT: Final = frozenset({45109, 48001, 48004})
"""An account without this API: that stops a lower channel, and the next one is asked."""

_log = logging.getLogger(__name__)


def drain_notices() -> int:
    """RQ's way in: send the notices that are due."""
    return drain(current(), outbox.NOTICE, prepare, arrange=arrange)


@dataclass(frozen=True, slots=True)
class Route:
    """How an occasion is told by one channel. `fields`: None where the template's text decides."""

    template_id: str
    fields: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Sender:
    """What the messages of one account need: templates by channel and occasion, their texts by channel and id, and the
    account's words by language."""

    client: PlatformClient
    routes: Mapping[str, Mapping[str, Route]]
    contents: Mapping[str, Mapping[str, str]]
    languages: Mapping[str, Words]
    language: str
    noted: set[str] = field(default_factory=set)

    def route(self, channel: str, occasion: str) -> Route | None:
        """The template for an occasion; one that tells several at once may borrow that of a single one."""
        routes = self.routes[channel]
        return routes.get(occasion) or routes.get(MERGED.get(occasion, ""))

    def words(self, lang: str) -> Words:
        return self.languages[lang or self.language]

    def data(
        self, channel: str, route: Route, payload: Mapping[str, Any], lang: str = ""
    ) -> dict[str, str]:
        """The template's keywords and their texts."""
        content = self.contents[channel].get(route.template_id, "")
        return cards.filled(payload, self.words(lang), route.fields, content)


def prepare(process: Process, rows: Sequence[Claimed]) -> Round:
    """Read members, accounts and templates of these rows; answers with what sends them."""
    ids = [row.member_id for row in rows if row.member_id]
    now = process.context.clock.now()
    senders = {
        account_id: sender_of(process, account_id)
        for account_id in {row.account_id for row in rows}
    }
    subscribed = any(
        not isinstance(each, str) and each.routes[SUBSCRIPTION] for each in senders.values()
    )
    with process.context.database.reading() as session:
        recipients = members.recipients(session, ids)
        credits = subscriptions.credits_of(session, ids) if subscribed else {}
    delivery = _Delivery(process, senders, recipients, credits, now)
    return Round(delivery.deliver, delivery.after)


class _Delivery:
    """The rows of one claim on their way. Threads share it."""

    def __init__(
        self,
        process: Process,
        senders: Mapping[int, Sender | str],
        recipients: Mapping[int, Recipient],
        credits: Mapping[int, Mapping[str, int]],
        now: datetime,
    ) -> None:
        self._process = process
        self._database = process.context.database
        self._senders, self._recipients, self._credits = senders, recipients, credits
        self._now = now
        self._taken: dict[int, str] = {}

    def deliver(self, row: Claimed) -> Done:
        """Send one row by the first channel that takes it. Raises what WeChat says where that decides."""
        sender = self._senders[row.account_id]
        if isinstance(sender, str):
            raise NotFound(sender)
        recipient = self._recipients[row.member_id or 0]
        if not recipient.following:
            return Done(delivery=LEFT)
        occasion = row.payload["occasion"]
        if occasion not in notices.OCCASIONS:
            return Done(delivery=NO_TEMPLATE)
        if recipient.muted:
            return (
                Done(delivery=INBOX, channel=INBOX)
                if occasion in notices.URGENT
                else Done(delivery=MUTED)
            )
        return self._climb(sender, recipient, row)

    def _climb(self, sender: Sender, recipient: Recipient, row: Claimed) -> Done:
        said: list[str] = []
        ways: tuple[tuple[str, Callable[[Sender, Recipient, Claimed], Done | None]], ...] = (
            (TEMPLATE, self._by_template), (SUBSCRIPTION, self._by_subscription), (CUSTOM, self._by_custom),
        )  # fmt: skip
        begin = row.channel or row.payload.get("from") or TEMPLATE
        for channel, way in ways[[name for name, _ in ways].index(begin) :]:
            try:
                done = way(sender, recipient, row)
            except UnfitError as error:
                self._blame(sender, channel, row, str(error), said)
            except WeChatError as error:
                if not self._falls(channel, error, recipient):
                    raise Halted(channel, error) from error
                self._blame(sender, channel, row, str(error), said, error)
            else:
                if done is not None:
                    return replace(done, channel=channel, error="; ".join(said) or None)
        return Done(delivery=INBOX, channel=INBOX, error="; ".join(said) or None)

    def _falls(self, channel: str, error: WeChatError, recipient: Recipient) -> bool:
        """Whether the next channel is to be asked. Who does not follow cannot be reached by any."""
        if error.errcode == _NOT_FOLLOWING:
            self._database.transact(
                lambda session: members.found_gone(session, recipient.member_id, self._now)
            )
            return False
        if error.errcode == subscriptions.REFUSED_BY_USER or error.errcode in _WINDOW_CODES:
            return True
        if channel != TEMPLATE and error.errcode in _NOT_FOR_THIS_ACCOUNT:
            return True
        return error.permanent or (channel == CUSTOM and isinstance(error, OutcomeUnknown))

    def _blame(
        self,
        sender: Sender,
        channel: str,
        row: Claimed,
        text: str,
        said: list[str],
        error: WeChatError | None = None,
    ) -> None:
        """Write down what a channel has against this message: on the row, and on the member or the template."""
        said.append(f"{channel}: {text}")
        member_id, now = row.member_id or 0, self._now
        route = sender.route(channel, row.payload["occasion"]) if channel in MAPPED else None
        if channel == CUSTOM and error is not None and error.errcode in _WINDOW_CODES:
            self._database.transact(lambda session: windows.close(session, [member_id]))
        elif route is None:
            return
        elif error is not None and error.errcode == subscriptions.REFUSED_BY_USER:
            self._database.transact(
                lambda session: subscriptions.clear(session, member_id, route.template_id, now)
            )
        elif not isinstance(error, RecipientRefused) and route.template_id not in sender.noted:
            sender.noted.add(route.template_id)
            self._database.transact(
                lambda session: notices.note_problem(
                    session, row.account_id, channel, route.template_id, text, now
                )
            )

    def _by_template(self, sender: Sender, recipient: Recipient, row: Claimed) -> Done | None:
        route = sender.route(TEMPLATE, row.payload["occasion"])
        if route is None:
            return None
        data = sender.data(TEMPLATE, route, row.payload, recipient.lang)
        msgid = api.send_template(
            sender.client,
            recipient.openid,
            route.template_id,
            data,
            client_msg_id=short_digest(row.key),
        )
        return Done(provider_msg_id=str(msgid))

    def _by_subscription(self, sender: Sender, recipient: Recipient, row: Claimed) -> Done | None:
        route = sender.route(SUBSCRIPTION, row.payload["occasion"])
        if route is None or not self._credits.get(recipient.member_id, {}).get(route.template_id):
            return None
        data = sender.data(SUBSCRIPTION, route, row.payload, recipient.lang)
        send_subscription(
            sender.client,
            recipient.openid,
            route.template_id,
            data,
            client_msg_id=short_digest(row.key),
        )
        self._taken[row.id] = route.template_id
        # WeChat gives no id: its event names the template, and the member is its sender.
        return Done(
            provider_msg_id=notices.subscription_number(recipient.member_id, route.template_id)
        )

    def _by_custom(self, sender: Sender, recipient: Recipient, row: Claimed) -> Done | None:
        now = self._process.context.clock.now()
        open_ = self._database.read(
            lambda session: windows.open_for(session, [recipient.member_id], now)
        )
        if recipient.member_id not in open_:
            return None
        text = sender.words(recipient.lang).notice(row.payload["occasion"], row.payload)
        api.send_custom_text(sender.client, recipient.openid, text)
        return Done()

    def after(
        self, session: Session, results: Sequence[tuple[Claimed, Result]], now: datetime
    ) -> None:
        """In the transaction that marks the rows: the inbox of the chat, credits and windows."""
        lost = [row for row, result in results if result.channel == INBOX or result.state == "dead"]
        if lost:
            keys = [key for row in lost for key in notices.keys_of(row.key, row.payload)]
            notices.wait_in_inbox(
                session, keys, [row.member_id for row in lost if row.member_id], now
            )
        done = [(row, result.channel) for row, result in results if result.state == "done"]
        for row in sorted(
            (row for row, channel in done if channel == SUBSCRIPTION), key=_by_member
        ):
            subscriptions.take(session, row.member_id or 0, self._taken[row.id], now)
        windows.spend(session, [row.member_id or 0 for row, channel in done if channel == CUSTOM])


def _by_member(row: Claimed) -> int:
    return row.member_id or 0


def sender_of(process: Process, account_id: int) -> Sender | str:
    """The account's sender, or why there is none: that concerns its rows, not those of other accounts."""
    try:
        account = process.account(account_id)
    except (NotFound, Unreadable) as error:
        return f"account {account_id}: {type(error).__name__}"
    with process.context.database.reading() as session:
        chosen = {channel: notices.templates_of(session, account_id, channel) for channel in MAPPED}
        languages = texts.words_of(session, account_id)
    client = process.context.platform(account)
    routes = {
        channel: {occasion: _route(template) for occasion, template in each.items()}
        for channel, each in chosen.items()
    }
    contents = {
        channel: _contents_of(client, channel)
        if any(one.fields is None for one in each.values())
        else {}
        for channel, each in routes.items()
    }
    return Sender(client, routes, contents, languages, account.settings.language)


def _route(template: NoticeTemplate) -> Route:
    return Route(
        template.template_id, None if template.fields is None else json.loads(template.fields)
    )


_LISTS: Final = {TEMPLATE: api.list_templates, SUBSCRIPTION: list_subscription_templates}
_contents: WeakKeyDictionary[PlatformClient, dict[str, tuple[float, dict[str, str]]]] = (
    WeakKeyDictionary()
)


def _contents_of(client: PlatformClient, channel: str) -> dict[str, str]:
    """Template id → text as WeChat has it, asked for every ten minutes; empty while it will not tell."""
    known = _contents.setdefault(client, {})
    asked_at, found = known.get(channel, (float("-inf"), {}))
    if time.monotonic() - asked_at > TEXTS_FRESH_SECONDS:
        try:
            found = {each.template_id: each.content for each in _LISTS[channel](client)}
        except WeChatError as error:
            _log.warning("templates of %s: %s", client.appid, error)
        known[channel] = (time.monotonic(), found)
    return found
