"""消息与投递: what left, what WeChat refuses for good, and what a person does about it; API keys and webhooks."""

from __future__ import annotations

import json
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy import and_, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import api_keys, outbox, webhooks
from domain.errors import DomainError, NotFound
from domain.models import ApiKey, Outbox, WebhookAttempt
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import BADGE, CODE, COUNT, INSTANT, TEXT
from web.console.listing import Choice, Column, Condition, Listing, Sort
from web.console.navigation import CARE, Menu
from web.console.refusals import explain, said
from web.console.states import choices, state
from web.console.visit import Answer, Visit, page
from web.pages import t

explain("no such events", Both("没有这样的事件。", "There are no such events."))
explain(
    "an address begins with http:// or https:// and names a host",
    Both("地址要以 http:// 或 https:// 开头。", "An address begins with http:// or https://."),
)
explain("not an IP address or network", Both("IP 地址不对。", "This is no IP address or network."))

TOPICS: Final = [
    (topic, Both(chinese, english))
    for topic, chinese, english in (
        (outbox.NOTICE, "通知", "Notices"), (outbox.POSTER, "海报", "Posters"), (outbox.PROFILE, "资料", "Profiles"),
        (outbox.PAYOUT, "打款", "Payouts"), (outbox.WEBHOOK, "回调", "Webhooks"), (outbox.ALERT, "提醒", "Alerts"),
        (outbox.REPLY, "回复", "Replies"), (outbox.BROADCAST_TEST, "群发试发", "Broadcast tests"),
        (outbox.CODE, "二维码", "Codes"),
    )
]  # fmt: skip
_TITLES: Final = dict(TOPICS)


def _about(topic: str) -> Condition:
    """Of a kind. Every state is named, so that a rare one is found in the index that a drain claims by."""
    return and_(Outbox.state.in_([value for value, _ in choices("outbox")]), Outbox.topic == topic)


MESSAGES = Listing(
    title=Both("消息投递", "Messages"),
    columns=(
        Column(
            Both("消息", "Message"), lambda row: str(_TITLES.get(row.topic, row.topic)), lead=True,
            href=lambda visit, row: visit.url("message", outbox_id=row.id),
        ),
        Column(Both("状态", "Status"), lambda row: state("outbox", row.state), BADGE),
        Column(Both("渠道", "Channel"), lambda row: row.channel, CODE, wide=True),
        Column(Both("送达", "Delivery"), lambda row: row.delivery, CODE, wide=True),
        Column(Both("次数", "Tries"), lambda row: row.attempts, COUNT, wide=True),
        Column(Both("最近的错误", "Last error"), lambda row: row.last_error, TEXT),
        Column(Both("产生", "Made"), lambda row: row.created_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Outbox.id, lambda row: row.id),),
    id_column=Outbox.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("state", Both("状态", "Status"), choices("outbox"), Outbox.state),
        Choice("topic", Both("种类", "Kind"), TOPICS, where=_about),
    ),
    empty=Both("还没有消息。", "No messages yet."),
    file="messages",
)  # fmt: skip


@page(
    "/messages",
    allow=Permission.DELIVERY_READ,
    menu=Menu(CARE, Both("消息投递", "Messages"), "envelope", 10),
)
def messages_list(visit: Visit) -> Answer:
    """What left or waits; the filter finds what was refused for good."""
    return MESSAGES.answer(visit, select(Outbox).where(Outbox.account_id == visit.account.id))


def _row(session: Session, visit: Visit, outbox_id: int) -> Outbox:
    row = session.get(Outbox, outbox_id)
    if row is None or row.account_id != visit.account.id:
        raise NotFound("no such message", row=outbox_id)
    return row


@page("/messages/<int:outbox_id>", allow=Permission.DELIVERY_READ)
def message(visit: Visit, outbox_id: int) -> Answer:
    """One message with what was said of it."""
    row = visit.read(lambda session: _row(session, visit, outbox_id))
    payload = json.dumps(json.loads(row.payload), ensure_ascii=False, indent=2)
    return render_template(
        "console/message.html", row=row, badge=state("outbox", row.state), payload=payload,
        topic=_TITLES.get(row.topic, row.topic),
    )  # fmt: skip


@page("/messages/<int:outbox_id>/retry", allow=Permission.DELIVERY_CHANGE, methods=("POST",))
def message_retry(visit: Visit, outbox_id: int) -> Response:
    """Give it another life; one whose fate is unknown may then arrive twice."""

    def again(session: Session) -> None:
        row = _row(session, visit, outbox_id)
        if outbox.retry(session, [row.id], visit.now):
            visit.note(session, action="outbox_retried", subject=f"outbox/{row.id}")

    back = visit.url("message", outbox_id=outbox_id)
    return visit.change(again, done=t("会再试一次。", "It will be tried again."), back=back)


@page("/messages/<int:outbox_id>/discard", allow=Permission.DELIVERY_CHANGE, methods=("POST",))
def message_discard(visit: Visit, outbox_id: int) -> Response:
    """Give it up for good, with a reason."""

    def drop(session: Session) -> None:
        row = _row(session, visit, outbox_id)
        outbox.discard(session, [row.id], actor=visit.actor, reason=visit.reason(), now=visit.now)

    back = visit.url("message", outbox_id=outbox_id)
    return visit.change(drop, done=t("已放弃。", "Given up."), back=back)


# --- API keys -------------------------------------------------------------------------------------------------------


@page(
    "/api-keys",
    allow=Permission.INTEGRATION_READ,
    menu=Menu(CARE, Both("接口密钥", "API keys"), "key", 30),
)
def api_key_list(visit: Visit) -> Answer:
    """The shop's keys: scopes, addresses, expiry."""
    rows = visit.read(lambda session: api_keys.all_of(session, visit.account.id))
    shown = [
        (row, json.loads(row.scopes), json.loads(row.addresses) if row.addresses else [])
        for row in rows
    ]
    return render_template("console/api_keys.html", keys=shown, scopes=api_keys.SCOPES, secret=None)


@page("/api-keys/new", allow=Permission.INTEGRATION_CHANGE, methods=("POST",))
def api_key_new(visit: Visit) -> Answer:
    """A key of its own; the secret is shown this once."""
    scopes = request.form.getlist("scope") or list(api_keys.SCOPES)
    addresses = request.form.get("addresses", "").split()

    def make(session: Session) -> tuple[str, str]:
        public, secret = api_keys.add(
            session, visit.context.keyring, visit.account.id, scopes=scopes, addresses=addresses, now=visit.now
        )  # fmt: skip
        after = {"scopes": scopes, "addresses": addresses}
        visit.note(session, action="api_key_added", subject=f"api_key/{public}", after=after)
        return public, secret

    try:
        made = visit.transact(make)
    except DomainError as error:
        flash(said(error), "danger")
        return redirect(visit.url("api_key_list"))
    return render_template("console/api_keys.html", keys=[], scopes=api_keys.SCOPES, secret=made)


@page("/api-keys/<int:api_key_id>/revoke", allow=Permission.INTEGRATION_CHANGE, methods=("POST",))
def api_key_revoke(visit: Visit, api_key_id: int) -> Response:
    """The key works no more."""

    def revoke(session: Session) -> None:
        row = session.get(ApiKey, api_key_id)
        if row is None or row.account_id != visit.account.id:
            raise NotFound("no such key", key=api_key_id)
        if api_keys.revoke(session, row.public_key, visit.now):
            after = {"reason": visit.reason()}
            visit.note(
                session, action="api_key_revoked", subject=f"api_key/{row.public_key}", after=after
            )

    return visit.change(
        revoke, done=t("密钥已停用。", "The key is revoked."), back=visit.url("api_key_list")
    )


# --- webhooks -------------------------------------------------------------------------------------------------------


@page(
    "/webhooks",
    allow=Permission.INTEGRATION_READ,
    menu=Menu(CARE, Both("事件回调", "Webhooks"), "broadcast", 40),
)
def webhook_list(visit: Visit) -> Answer:
    """Addresses that are told of events."""
    rows = visit.read(lambda session: webhooks.of_account(session, visit.account.id))
    shown = [(row, json.loads(row.events)) for row in rows]
    return render_template(
        "console/webhooks.html", hooks=shown, events=webhooks.EVENTS, secret=None
    )


def _told_secret(visit: Visit, make: Any) -> Answer:
    try:
        secret = visit.transact(make)
    except NotFound:
        raise
    except DomainError as error:
        flash(said(error), "danger")
        return redirect(visit.url("webhook_list"))
    return render_template("console/webhooks.html", hooks=[], events=webhooks.EVENTS, secret=secret)


@page("/webhooks/new", allow=Permission.INTEGRATION_CHANGE, methods=("POST",))
def webhook_new(visit: Visit) -> Answer:
    """A new address; its secret is shown this once."""
    url, events = request.form.get("url", "").strip(), request.form.getlist("event")

    def make(session: Session) -> tuple[str, str]:
        row, secret = webhooks.add(
            session, visit.context.keyring, visit.account.id, url=url, events=events, now=visit.now
        )
        visit.note(
            session,
            action="webhook_added",
            subject=f"webhook/{row.id}",
            after={"url": url, "events": events},
        )
        return row.public_key, secret

    return _told_secret(visit, make)


@page("/webhooks/<int:webhook_id>/rotate", allow=Permission.INTEGRATION_CHANGE, methods=("POST",))
def webhook_rotate(visit: Visit, webhook_id: int) -> Answer:
    """A new secret, shown this once; the old one signs beside it for a day."""

    def rotate(session: Session) -> tuple[str, str]:
        row = webhooks.get(session, visit.account.id, webhook_id)
        secret = webhooks.rotate(session, visit.context.keyring, row, visit.now)
        visit.note(session, action="webhook_rotated", subject=f"webhook/{row.id}", after={})
        return row.public_key, secret

    return _told_secret(visit, rotate)


@page("/webhooks/<int:webhook_id>/switch", allow=Permission.INTEGRATION_CHANGE, methods=("POST",))
def webhook_switch(visit: Visit, webhook_id: int) -> Response:
    """Stop telling it, or begin again."""
    active = request.form.get("active") == "1"

    def switch(session: Session) -> None:
        row = webhooks.get(session, visit.account.id, webhook_id)
        webhooks.set_active(session, row, active)
        visit.note(
            session,
            action="webhook_switched",
            subject=f"webhook/{row.id}",
            after={"active": active},
        )

    done = t("已开启。", "Switched on.") if active else t("已停用。", "Switched off.")
    return visit.change(switch, done=done, back=visit.url("webhook_list"))


ATTEMPTS = Listing(
    title=Both("回调记录", "Deliveries"),
    columns=(
        Column(Both("事件", "Event"), lambda row: row.event, CODE, lead=True),
        Column(Both("结果", "Answer"), lambda row: row.status, COUNT),
        Column(Both("毫秒", "ms"), lambda row: row.took_ms, COUNT, wide=True),
        Column(Both("错误", "Error"), lambda row: row.error, TEXT),
        Column(Both("编号", "Delivery"), lambda row: row.delivery_key, CODE, wide=True),
        Column(Both("时间", "At"), lambda row: row.at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), WebhookAttempt.id, lambda row: row.id),),
    id_column=WebhookAttempt.id,
    row_id=lambda row: row.id,
    empty=Both("还没有发过。", "Nothing was sent yet."),
    file="deliveries",
    template="console/deliveries.html",
)  # fmt: skip


@page("/webhooks/<int:webhook_id>/log", allow=Permission.INTEGRATION_READ)
def webhook_log(visit: Visit, webhook_id: int) -> Answer:
    """Every try of the last month."""
    row = visit.read(lambda session: webhooks.get(session, visit.account.id, webhook_id))
    tries = select(WebhookAttempt).where(WebhookAttempt.webhook_id == row.id)
    return ATTEMPTS.answer(visit, tries, webhook=row)


@page("/webhooks/<int:webhook_id>/replay", allow=Permission.INTEGRATION_CHANGE, methods=("POST",))
def webhook_replay(visit: Visit, webhook_id: int) -> Response:
    """Send an event again, with the same id."""
    key = request.form.get("delivery", "")
    visit.read(lambda session: webhooks.get(session, visit.account.id, webhook_id))

    def again(session: Session) -> None:
        webhooks.replay(session, visit.account.id, key, visit.now)

    back = visit.url("webhook_log", webhook_id=webhook_id)
    try:
        return visit.change(again, done=t("会再发一次。", "It will be sent again."), back=back)
    except NotFound:
        flash(
            t("没有这个编号，或者已经太久。", "There is no such delivery, or it is too old."),
            "danger",
        )
        return redirect(back)
