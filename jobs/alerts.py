"""Staff hear of risk signals: a webhook of the merchant's, and a template message to staff openids; both, one or none.

The message to a webhook is JSON: {"account", "signal", "kind", "member", "evidence", "holds", "at"}. It may come
twice, with the same `signal`. https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from domain import notices
from domain.accounts import OpenAccount
from domain.outbox import ALERT, Claimed
from domain.secrets import short_digest
from jobs import notify, outside
from jobs.drain import Deliver, drain
from jobs.outcomes import Done
from jobs.process import Process, current
from wechat import api
from wechat.errors import RecipientRefused, Retryable

NOBODY: Final = "no_channel"
"""Why an alert was done without a message: the account has named neither an address nor a person."""


def drain_alerts() -> int:
    """RQ's way in: tell what is due."""
    return drain(current(), ALERT, prepare)


def prepare(process: Process, rows: Sequence[Claimed]) -> Deliver:
    """Answers with the function that tells one alert to everybody whom its account named. An account that cannot be
    opened keeps no other's from leaving."""
    private = process.context.settings.webhooks.private_addresses

    def deliver(row: Claimed) -> Done:
        account = process.account(row.account_id)
        told = False
        if account.settings.alert_webhook:
            post(account, row, private=private)
            told = True
        if account.settings.alert_openids:
            told = send_cards(process, account, row) or told
        return Done() if told else Done(delivery=NOBODY)

    return deliver


def post(account: OpenAccount, row: Claimed, *, private: bool) -> None:
    """Hand the alert to the webhook. Raises `Retryable` unless it answers 2xx."""
    names = ("signal", "kind", "member", "evidence", "holds", "at")
    body = {"account": account.slug, **{name: row.payload[name] for name in names}}
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    try:
        answered = outside.post(account.settings.alert_webhook, data, {}, private=private)
    except outside.Unreachable as error:
        raise Retryable(f"the webhook cannot be reached: {error}") from error
    if not 200 <= answered.status < 300:
        raise Retryable(f"the webhook answered {answered.status}")


def send_cards(process: Process, account: OpenAccount, row: Claimed) -> bool:
    """A card to each staff openid; False without a template for it. One who no longer follows is passed over."""
    sender = notify.sender_of(process, account.id)
    route = None if isinstance(sender, str) else sender.route(notices.TEMPLATE, notices.RISK_ALERT)
    if isinstance(sender, str) or route is None:
        return False
    payload = {**row.payload, "occasion": notices.RISK_ALERT}
    data = sender.data(notices.TEMPLATE, route, payload)
    for openid in account.settings.alert_openids:
        client_id = short_digest(f"{row.key} {openid}")
        try:
            api.send_template(
                sender.client, openid, route.template_id, data, client_msg_id=client_id
            )
        except RecipientRefused:
            continue  # the others must hear of it all the same
    return True
