"""Notices leave as template messages: for each occasion the account's template, filled with our words.

https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from domain import members, notices, outbox
from domain.errors import NotFound
from domain.members import Recipient
from domain.outbox import Claimed
from domain.secrets import Unreadable, short_digest
from jobs import cards
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api
from wechat.client import PlatformClient
from wechat.errors import RecipientRefused, WeChatError

MUTED: Final = "muted"
LEFT: Final = "left"
NO_TEMPLATE: Final = "no_template"
"""Why a notice was done without a message; the inbox of the chat has it all the same."""

TEXTS_FRESH_SECONDS: Final = 600.0
_NOT_FOLLOWING: Final = 43004

_log = logging.getLogger(__name__)


def drain_notices() -> int:
    """RQ's way in: send the cards that are due."""
    return drain(current(), outbox.NOTICE, prepare)


@dataclass(frozen=True, slots=True)
class Sender:
    """What the cards of one account need. `fields` by occasion: None where the default is to be taken."""

    client: PlatformClient
    template_ids: Mapping[str, str]
    fields: Mapping[str, Mapping[str, str] | None]
    texts: Mapping[str, str]

    def data(self, occasion: str, payload: Mapping[str, object]) -> dict[str, str]:
        """The card's keywords and their texts."""
        words = cards.words_of(payload)
        fields = self.fields[occasion]
        if fields is None:
            text = self.texts.get(self.template_ids[occasion], "")
            fields = cards.fields_from(text, words) or cards.DEFAULT_FIELDS[occasion]
        return cards.card(fields, words)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """Read members, accounts and templates of these rows; answers with the function that sends one of them."""
    with process.context.database.reading() as session:
        recipients = members.recipients(session, [row.member_id for row in rows if row.member_id])
    senders = {account_id: _sender(process, account_id) for account_id in {row.account_id for row in rows}}  # fmt: skip

    def deliver(row: Claimed) -> Done:
        sender = senders[row.account_id]
        if isinstance(sender, str):
            raise NotFound(sender)
        return _deliver(process, sender, recipients[row.member_id or 0], row)

    return deliver


def _deliver(process: Process, sender: Sender, recipient: Recipient, row: Claimed) -> Done:
    if not recipient.following:
        return Done(delivery=LEFT)
    if recipient.muted:
        return Done(delivery=MUTED)
    occasion = row.payload["occasion"]
    if occasion not in sender.template_ids:
        return Done(delivery=NO_TEMPLATE)
    data = sender.data(occasion, row.payload)
    sent_at = process.context.clock.now()
    try:
        msgid = api.send_template(
            sender.client,
            recipient.openid,
            sender.template_ids[occasion],
            data,
            client_msg_id=short_digest(row.key),
        )
    except RecipientRefused as error:
        if error.errcode == _NOT_FOLLOWING:
            process.context.database.transact(
                lambda session: members.found_gone(session, recipient.member_id, sent_at)
            )
        raise
    return Done(provider_msg_id=str(msgid))


def _sender(process: Process, account_id: int) -> Sender | str:
    """The account's sender, or why there is none: that concerns its rows, not those of other accounts."""
    try:
        account = process.account(account_id)
    except (NotFound, Unreadable) as error:
        return f"account {account_id}: {type(error).__name__}"
    with process.context.database.reading() as session:
        chosen = notices.templates_of(session, account_id)
    client = process.context.platform(account)
    ids = {occasion: template.template_id for occasion, template in chosen.items()}
    fields = {
        occasion: None if template.fields is None else json.loads(template.fields)
        for occasion, template in chosen.items()
    }
    guesses = any(each is None for each in fields.values())
    return Sender(client, ids, fields, _texts_of(client) if guesses else {})


_texts: WeakKeyDictionary[PlatformClient, tuple[float, dict[str, str]]] = WeakKeyDictionary()


def _texts_of(client: PlatformClient) -> dict[str, str]:
    """Template id → text as WeChat has it, asked for every ten minutes; empty while it will not tell."""
    asked_at, texts = _texts.get(client, (float("-inf"), {}))
    if time.monotonic() - asked_at > TEXTS_FRESH_SECONDS:
        try:
            texts = {each.template_id: each.content for each in api.list_templates(client)}
        except WeChatError as error:
            _log.warning("templates of %s: %s", client.appid, error)
        _texts[client] = (time.monotonic(), texts)
    return texts
