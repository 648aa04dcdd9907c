"""Withdrawals take two people, refunds the rates of their order; broadcasts and rules are tried before they count."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from domain import accounts, commissions, members, rules, webhooks, withdrawals
from domain.models import ApiKey, Audit, Campaign, Commission, Outbox, Product, Rule, Withdrawal
from tests.web.console.browser import Browser, Console
from tests.web.console.world import World


def read(console: Console, query: Any) -> Any:
    return console.merchant.database.read(lambda session: session.scalars(query).one())


def asked(console: Console, world: World, amount_fen: int) -> Withdrawal:
    """The child earned, and asks for it."""

    def ask(session: Any) -> None:
        accounts.change_settings(
            session,
            accounts.get(session, "tea"),
            {"second_above_fen": 100, "payout_method": "offline"},
        )
        session.execute(update(Commission).values(status="frozen", due_at=console.now))
        commissions.settle_due(session, world.account, console.now)
        row = session.get(Withdrawal, world.places["withdrawal_id"])
        session.delete(row)

    console.merchant.database.transact(ask)

    def request(session: Any) -> Withdrawal:
        account = accounts.unseal(accounts.get(session, "tea"), console.merchant.context.keyring)
        child = members.get(session, account.id, "child")
        return withdrawals.request(
            session, account, child, amount_fen, client_token="t1", now=console.now
        )

    return console.merchant.database.transact(request)


def test_withdrawal_above_the_second_limit_needs_two_different_people(
    console: Console, world: World, boss: Browser
) -> None:
    row = asked(console, world, 200)
    path = f"/console/tea/withdrawals/{row.id}"
    assert "需要两个不同的人" in boss.get(path).text
    boss.post(f"{path}/approve")
    assert "已同意" in boss.said()
    boss.post(f"{path}/approve")
    assert "还需要另一个人" in boss.said()
    assert read(console, select(Withdrawal)).status == "requested"
    other = console.browser(console.person((world.account, "finance"), login="money"))
    other.post(f"{path}/approve")
    assert read(console, select(Withdrawal)).status == "approved"
    assert f"{path}/reject" in other.get(path).text  # the bank may not take it
    assert f"{path}/approve" not in other.get(path).text
    other.post(f"{path}/paid", proof="")
    assert "打款凭证" in other.said()
    other.post(f"{path}/paid", proof="银行流水 1")
    found = read(console, select(Withdrawal))
    assert (found.status, found.proof) == ("paid", "银行流水 1")


def test_rejection_needs_a_reason_and_gives_the_money_back(
    console: Console, world: World, boss: Browser
) -> None:
    row = asked(console, world, 200)
    path = f"/console/tea/withdrawals/{row.id}"
    boss.post(f"{path}/reject")
    assert "请写明驳回原因" in boss.said()
    boss.post(f"{path}/reject", reason="资料不全")
    found = read(console, select(Withdrawal))
    assert (found.status, found.reason) == ("rejected", "资料不全")
    summary = console.merchant.database.read(
        lambda s: members.summary(s, world.account.id, "child")
    )
    assert summary is not None
    assert (summary.available_fen, summary.withdrawing_fen) == (299, 0)


def test_refund_by_hand_takes_back_at_the_original_rate_and_never_too_much(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/orders/{world.places['order_id']}"
    boss.post(f"{path}/refund", **{"line-1": "12.345"})
    assert "12 或 12.50" in boss.said()
    boss.post(f"{path}/refund", **{"line-1": "30"})
    assert "超过了" in boss.said()
    boss.post(f"{path}/refund", **{"line-1": "19.97"})
    assert "退款已登记" in boss.said()
    first = read(console, select(Commission).where(Commission.level == 1))
    assert first.amount_fen - first.clawed_fen == 100
    assert "¥19.97" in boss.get(path).text


def test_order_page_says_who_earns_and_why_nobody_does(boss: Browser, world: World) -> None:
    html = boss.get(f"/console/tea/orders/{world.places['order_id']}").text
    assert "¥2.99" in html
    assert "/commissions/" in html


def test_rule_is_tried_on_the_last_month_and_writes_nothing_until_it_is_published(
    console: Console, boss: Browser
) -> None:
    count = select(Rule.id)
    before = console.merchant.database.read(lambda s: len(s.scalars(count).all()))
    tried = boss.post("/console/tea/rules/new", **{"do": "try", "rate-1": "20", "freeze_days": "7"})
    assert "什么也没有写入" in tried.text
    assert console.merchant.database.read(lambda s: len(s.scalars(count).all())) == before
    form = {"do": "publish", "kind": "rates", "rate-1": "90", "freeze_days": "7"}
    refused = boss.post("/console/tea/rules/new", **form).text
    assert "超过了上限" in refused
    assert 'value="90"' in refused, "what was written stays"
    boss.post("/console/tea/rules/new", **{"do": "publish", "rate-1": "12.5", "freeze_days": "3"})
    newest = console.merchant.database.read(
        lambda s: rules.parse(s.scalars(select(Rule).order_by(Rule.id.desc()).limit(1)).one())
    )
    assert (newest.terms.rates_bps, newest.freeze_days) == ((1250,), 3)


def test_broadcast_is_counted_saved_started_paused_and_cancelled(
    console: Console, world: World, boss: Browser
) -> None:
    counted = boss.post("/console/tea/broadcasts/new", do="look", channel="mass", text="上新了")
    assert "<strong>4</strong>" in counted.text
    boss.post("/console/tea/broadcasts/new", do="save", name="上新", channel="mass", text="上新了")
    made = read(console, select(Campaign).where(Campaign.name == "上新"))
    path = f"/console/tea/broadcasts/{made.id}"
    boss.post(f"{path}/test", openid="nobody")
    assert "没有" in boss.said()
    states = {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled"}
    for verb, state in states.items():
        boss.post(f"{path}/{verb}")
        assert read(console, select(Campaign).where(Campaign.id == made.id)).state == state
    assert "上新了" in boss.get(path).text


def test_dead_message_is_retried_or_given_up_with_a_reason(
    console: Console, world: World, boss: Browser
) -> None:
    number = world.places["outbox_id"]
    console.merchant.database.transact(
        lambda s: s.execute(update(Outbox).where(Outbox.id == number).values(state="dead"))
    )
    path = f"/console/tea/messages/{number}"
    boss.post(f"{path}/discard")
    assert "请写明原因" in boss.said()
    boss.post(f"{path}/retry")
    assert read(console, select(Outbox).where(Outbox.id == number)).state == "pending"


def test_secret_of_a_key_is_shown_once_and_a_revoked_key_is_done_with(
    console: Console, world: World, boss: Browser
) -> None:
    shown = boss.post(
        "/console/tea/api-keys/new", scope="orders.write", addresses="10.0.0.0/8"
    ).text
    assert "只显示这一次" in shown
    newest = read(console, select(ApiKey).order_by(ApiKey.id.desc()).limit(1))
    assert newest.public_key in shown
    boss.post("/console/tea/api-keys/new", addresses="nonsense")
    assert "IP 地址不对" in boss.said()
    boss.post(f"/console/tea/api-keys/{newest.id}/revoke", reason="换了")
    found = read(console, select(ApiKey).where(ApiKey.id == newest.id))
    assert found.revoked_at is not None
    note = read(console, select(Audit).order_by(Audit.id.desc()).limit(1))
    assert (note.actor, note.action) == ("staff:boss", "api_key_revoked")


def test_webhook_is_added_rotated_and_switched_off(
    console: Console, world: World, boss: Browser
) -> None:
    shown = boss.post(
        "/console/tea/webhooks/new", url="https://shop.example/b", event="member.bound"
    )
    assert "只显示这一次" in shown.text
    boss.post("/console/tea/webhooks/new", url="ftp://shop.example/")
    assert "http" in boss.said()
    number = world.places["webhook_id"]
    assert "只显示这一次" in boss.post(f"/console/tea/webhooks/{number}/rotate").text
    boss.post(f"/console/tea/webhooks/{number}/switch", active="0")
    hook = console.merchant.database.read(lambda s: webhooks.get(s, world.account.id, number))
    assert not hook.active


def test_product_has_rates_of_its_own(console: Console, boss: Browser) -> None:
    form = {
        "sku": "cup-1",
        "name": "杯子",
        "price": "59",
        "stock": "10",
        "rate-1": "8",
        "rate-2": "2",
    }
    boss.post("/console/tea/products/new", kind="rates", **form)
    row = read(console, select(Product).where(Product.sku == "cup-1"))
    assert (row.price_fen, row.stock) == (5_900, 10)
    assert "8%" in boss.get("/console/tea/products").text
