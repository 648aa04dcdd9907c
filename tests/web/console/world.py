"""An account in which there is one of everything, twice: ours and another merchant's, so that a test can mistake them.

`World.places` maps the names of parameters in addresses (`member_id`) to something of that kind. Whoever adds a page
with a new kind of parameter adds one here; the access matrix fails until they do. Every text that somebody else may
have written is hostile.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from PIL import Image
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import spooled
from domain import (
    api_keys,
    audit,
    campaigns,
    codes,
    disputes,
    drawing,
    followers,
    grades,
    intake,
    menus,
    notices,
    orders,
    outbox,
    poster_templates,
    products,
    reconciliations,
    refunds,
    replies,
    scenes,
    staff,
    tags,
    tasks,
    texts,
    uploads,
    webhooks,
)
from domain.accounts import OpenAccount
from domain.bodies import Article, Body, MediaBody, NewsBody, TextBody
from domain.designs import BUILT_IN, INVITE
from domain.models import (
    ApiKey,
    Blacklisted,
    Commission,
    Member,
    Order,
    Outbox,
    RiskSignal,
    Staff,
    Tag,
    WebhookAttempt,
    Withdrawal,
)
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.refunds import Refunding
from domain.staff import sessions
from spooled import Spooled
from tests.web.conftest import Merchant
from tests.web.console.browser import HASH

SCRIPT = "<script>alert(1)</script>"
OVERRIDE = "\u202egpj.exe"
KEY = SCRIPT  # where a key is asked for, which is ASCII
FORMULA = '=HYPERLINK("http://evil.example","发奖")'
PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = (SCRIPT, OVERRIDE, FORMULA)


@dataclass
class World:
    """A seeded account; `member_ids` by openid."""

    account: OpenAccount
    member_ids: dict[str, int] = field(default_factory=dict)
    places: dict[str, Any] = field(default_factory=dict)


def seed(merchant: Merchant, slug: str) -> World:
    """An account with a line of four, hostile names, an order with its commissions, staff, notes, work."""
    account = merchant.open_account(slug)
    merchant.publish(account)
    world = World(account)
    by = None
    for openid in ("grand", "parent", "child", "buyer"):
        world.member_ids[openid] = merchant.follow(account, openid, by)
        by = openid
    merchant.database.transact(lambda session: _fill(session, merchant, world))
    return world


def _fill(session: Session, merchant: Merchant, world: World) -> None:
    account, now = world.account, merchant.context.clock.now()
    for member_id, name in zip(world.member_ids.values(), (*HOSTILE, "小林"), strict=True):
        session.execute(update(Member).where(Member.id == member_id).values(nickname=name))
    order = PaidOrder(
        "T-1", Buyer(openid="buyer"), (PaidLine(1, f"{SCRIPT}{OVERRIDE}", 1, 2997),), now
    )
    orders.record_paid(session, account, [order], now=now)
    person = Staff(
        login=f"{account.slug}-{SCRIPT}", password_hash=HASH, active=True, opens_accounts=False,
        totp_step=0, language="", created_at=now,
    )  # fmt: skip
    session.add(person)
    session.flush()
    staff.grant(session, person.id, account.id, staff.SUPPORT)
    _, signed_in = sessions.begin(session, person.id, address="::1", agent=SCRIPT, now=now)
    note = audit.record(
        session, account.id, actor=SCRIPT, action="rebound", subject="member/1",
        before={"name": FORMULA}, after={"name": OVERRIDE}, now=now,
    )  # fmt: skip
    odd = RiskSignal(
        account_id=account.id, signal_key=f"s-{account.id}", kind="churn", member_id=world.member_ids["child"],
        evidence=json.dumps({"name": f"{SCRIPT}{OVERRIDE}"}), holds=False, status="open", raised_at=now, expires_at=now,
    )  # fmt: skip
    session.add(odd)
    objection = disputes.open_or_add(
        session,
        account,
        "parent",
        f"{SCRIPT}{OVERRIDE}{FORMULA}",
        push_key=f"d-{account.id}",
        now=now,
    )
    thing = products.put(
        session, account, "T-1", name=f"{SCRIPT}{OVERRIDE}{FORMULA}", price_fen=1, now=now
    )
    step = grades.put(
        session, account.id, "gold", name=f"{SCRIPT}{OVERRIDE}", rank=9, conditions={"earned_fen": 10**9},
        actor=SCRIPT, now=now,
    )  # fmt: skip
    sold = session.scalars(select(Order.id).where(Order.account_id == account.id)).one()
    asked = Withdrawal(
        account_id=account.id, member_id=world.member_ids["child"], payout_no=f"W{account.id}", client_token="t",
        method="offline", amount_fen=1_000, status="requested", reason=SCRIPT, requested_at=now,
    )  # fmt: skip
    session.add(asked)
    made = campaigns.create(
        session, account, name=f"{SCRIPT}{OVERRIDE}", channel="mass", content={"kind": "text", "text": SCRIPT},
        audience={}, files={"a.png": PNG}, actor=SCRIPT, now=now,
    )  # fmt: skip
    button = {"type": "click", "name": SCRIPT, "key": f"{OVERRIDE}{FORMULA}"}
    menus.save(
        session, account.id, menus.parse({"buttons": [button]}),
        after=0, actor=SCRIPT, now=now, note=OVERRIDE,
    )  # fmt: skip
    answer, picture = _talk(session, account, now)
    outbox.put_once(
        session,
        outbox.Message(
            account.id, outbox.PROFILE, f"hostile-{account.id}", {"openid": SCRIPT}, now
        ),
        now,
    )
    message = session.scalars(select(Outbox).where(Outbox.account_id == account.id)).first()
    assert message is not None
    message.last_error = f"{SCRIPT}{OVERRIDE}{FORMULA}"
    hook, _ = webhooks.add(
        session, merchant.context.keyring, account.id, url="https://shop.example/x", now=now
    )
    webhooks.note_attempt(
        session,
        WebhookAttempt(
            webhook_id=hook.id, outbox_id=1, event="member.bound", delivery_key="k", at=now, took_ms=1, error=FORMULA
        ),
    )  # fmt: skip
    api_keys.add(session, merchant.context.keyring, account.id, now=now)
    key_id = session.scalars(select(ApiKey.id).where(ApiKey.account_id == account.id)).first()
    session.flush()
    work = tasks.start(session, account.id, "books", actor="staff:anna", now=now)
    earned = session.scalars(
        select(Commission.id).where(Commission.account_id == account.id)
    ).first()
    reconciliations.record(
        session, account.id, reconciliations.BILL, now.date(),
        reconciliations.Comparison(2, 0, 100, [
            {"field": "not_ours", "ours": "none", "theirs": "100", "payout_no": f"{SCRIPT}{OVERRIDE}"},
            {"field": "bill_fen", "ours": "1", "theirs": "2", "payout_no": FORMULA, "withdrawal": asked.id},
        ]),
        now,
    )  # fmt: skip
    compared = reconciliations.latest(session, account.id, reconciliations.BILL)
    assert compared is not None
    table = intake.add(
        session, merchant.context.keyring, account.id, intake.ORDERS,
        {"orders.csv": f"{SCRIPT},openid\n{FORMULA},{OVERRIDE}\n".encode()},
        name=f"{SCRIPT}{OVERRIDE}.csv", actor=SCRIPT, now=now,
    )  # fmt: skip
    world.places |= _fill_codes(session, account, now)
    world.places |= {
        "reconciliation_id": compared.id,
        "commission_id": earned,
        "member_id": world.member_ids["child"],
        "staff_id": person.id,
        "session_id": signed_in.id,
        "audit_id": note,
        "task_id": work.id,
        "order_id": sold,
        "signal_id": odd.id,
        "dispute_id": objection.dispute.id,
        "product_id": thing.id,
        "grade_id": step.id,
        "intake_id": table.id,
        "withdrawal_id": asked.id,
        "campaign_id": made.id,
        "picture": "a.png",
        "reply_id": answer,
        "media_id": picture,
        "outbox_id": message.id,
        "webhook_id": hook.id,
        "api_key_id": key_id,
        "occasion": "commission_accrued",
    }
    _fill_gateway(session, merchant, account)


def _talk(session: Session, account: OpenAccount, now: Any) -> tuple[int, int]:
    """What the merchant says in the chat, in the words of somebody who means harm: a reply and the file it shows."""
    picture = uploads.add(
        session, account.id, kind="image", name=f"{SCRIPT}{OVERRIDE}.png", content=PNG + account.slug.encode(),
        actor=SCRIPT, now=now,
    )  # fmt: skip
    card = NewsBody((Article(f"{SCRIPT}{OVERRIDE}", FORMULA, f"https://x.example/{SCRIPT}", ""),))
    said: list[Body] = [
        TextBody(f"{SCRIPT}{OVERRIDE}{FORMULA}"),
        MediaBody("image", picture.id),
        card,
    ]
    row = replies.put(session, account.id, FORMULA, said, variants={"en": [TextBody(SCRIPT)]})
    replies.put(session, account.id, "", said[:1], kind=replies.SUBSCRIBE)
    texts.set_override(session, account.id, "follow.welcome", f"{SCRIPT}{OVERRIDE}{FORMULA}")
    return row.id, picture.id


def _fill_codes(session: Session, account: OpenAccount, now: datetime) -> dict[str, Any]:
    """A code with its ticket and a permanent place, a background and a template: their places."""
    window = codes.add(
        session, account.id, name=f"{SCRIPT}{OVERRIDE}", reply=FORMULA, tag=SCRIPT, now=now
    )
    scenes.record_ticket(
        session,
        window.scene,
        ticket="T",
        url="http://weixin.qq.com/q/02abc",
        expires_at=None,
        now=now,
    )
    codes.grant_permanent(
        session, account.id, account.settings, window.scene.code, actor=SCRIPT, now=now
    )
    backdrop = io.BytesIO()
    Image.new("RGB", (40, 60), (20, 90, 60)).save(backdrop, "PNG")
    picture = poster_templates.put_picture(
        session, account.id, drawing.clean_upload(backdrop.getvalue()), now
    )
    words = {"kind": "text", "x": 9, "y": 9, "width": 99, "size": 20, "text": f"{SCRIPT}{OVERRIDE}"}
    design = {
        **BUILT_IN[INVITE], "background": {"picture": picture.id}, "items": [words, *BUILT_IN[INVITE]["items"]],
    }  # fmt: skip
    look = poster_templates.add(
        session, account.id, name=f"{SCRIPT}{OVERRIDE}", purpose=INVITE, design=design, now=now
    )
    session.add(
        Tag(
            account_id=account.id,
            tag_id=100 + account.id,
            name=f"{SCRIPT}{OVERRIDE}",
            people=1,
            read_at=now,
        )
    )
    session.add(
        Blacklisted(account_id=account.id, openid="o-spam", actor=f"{SCRIPT}{OVERRIDE}", at=now)
    )
    rule = tags.put_rule(session, account.id, tags.BOUGHT, "yes", "老客户")
    walk = followers.begin(session, account.id, actor=FORMULA, now=now)
    walk.last_error = f"{SCRIPT}{OVERRIDE}"
    session.flush()
    return {
        "code_id": window.scene.id, "picture_id": picture.id, "template_id": look.id, "tag_id": 100 + account.id,
        "rule_id": rule.id,
    }  # fmt: skip


def _fill_gateway(session: Session, merchant: Merchant, account: OpenAccount) -> None:
    """A template with a problem, a parked push, an order without a buyer, a refund without an order: all hostile."""
    now, data = merchant.context.clock.now(), merchant.context.settings.data.dir
    notices.set_template(session, account.id, "commission_accrued", KEY)
    notices.note_problem(session, account.id, notices.TEMPLATE, KEY, f"{SCRIPT}{FORMULA}", now)
    xml = f"<xml><MsgType><![CDATA[{SCRIPT}]]></MsgType><FromUserName><![CDATA[{OVERRIDE}]]></FromUserName></xml>"
    name = f"{now.timestamp():020.6f}-{account.id:032x}.json"
    folder = data / spooled.FOLDER / spooled.PARKED
    spooled.write(
        folder, name, Spooled(account.slug, now.isoformat(), xml, 5, f"{SCRIPT}{OVERRIDE}")
    )
    buyer = Buyer(openid=f"nobody{KEY}")
    lone = PaidOrder(f"L-{account.id}", buyer, (PaidLine(1, SCRIPT, 1, 100),), now)
    orders.record_paid(session, account, [lone], now=now)
    refunds.record(session, account, Refunding(f"none{KEY}", f"r{KEY}", {1: 5}), now)
