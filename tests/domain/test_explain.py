"""为什么: every amount, and every nothing, explained from what the order kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import accounts, commissions, explain, members, orders, products, refunds, rules, scenes
from domain.accounts import OpenAccount
from domain.db import Database
from domain.models import Commission, Member
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.refunds import Refunding
from domain.rules import Terms
from domain.secrets import Keyring
from domain.texts import Words

START = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
KEYRING = Keyring(bytes(32))
WORDS = Words()


class Shop:
    """One account; anna ← ben ← cara ← dora ← emil."""

    def __init__(self, database: Database, **settings: object) -> None:
        self.database = database

        def add(session: Session) -> OpenAccount:
            row = accounts.add(
                session, KEYRING, slug="tea", name="茶", app_id="wxtea", gh_id="gh_tea", app_secret="s",
                token="token", aes_key="k" * 43, mode="plain", depth=3,
                settings=accounts.Settings.parse(settings), now=START,
            )  # fmt: skip
            return accounts.unseal(row, KEYRING)

        self.account = database.transact(add)
        self.follow("anna")
        for openid, upline in (
            ("ben", "anna"),
            ("cara", "ben"),
            ("dora", "cara"),
            ("emil", "dora"),
        ):
            self.follow(openid, upline)

    def follow(self, openid: str, upline: str | None = None) -> None:
        self.database.transact(lambda session: self._follow(session, openid, upline))

    def _follow(self, session: Session, openid: str, upline: str | None) -> None:
        code = None
        if upline is not None:
            member = members.get(session, self.account.id, upline)
            code = scenes.of_member(session, self.account.id, member.id, START).code
        members.follow(
            session, self.account, openid,
            scene_code=code, created=int(START.timestamp()), push_key=f"push-{openid}", now=START,
        )  # fmt: skip

    def rule(self, terms: Terms, *, depth: int = 3, self_purchase: bool = False) -> None:
        self.database.transact(
            lambda s: rules.add(
                s, self.account.id, terms=terms, max_total_bps=3000, depth=depth, self_purchase=self_purchase,
                effective_at=START - timedelta(days=1), actor="test", now=START,
            )
        )  # fmt: skip

    def buy(self, openid: str, number: str, *fen: int, sku: str | None = None) -> None:
        lines = tuple(
            PaidLine(number_, f"茶{number_}", 1, amount, sku)
            for number_, amount in enumerate(fen, start=1)
        )
        order = PaidOrder(number, Buyer(openid=openid), lines, START)
        self.database.transact(lambda s: orders.record_paid(s, self.account, [order], START))

    def why(self, openid: str) -> str:
        return self.database.read(lambda s: explain.newest(s, self.account.id, openid, WORDS))

    def name(self, openid: str) -> str:
        member = self.database.read(lambda s: members.get(s, self.account.id, openid))
        return f"会员·{member.code}"


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def test_an_amount_is_explained_step_by_step(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))
    shop.buy("ben", "A1", 2997)
    lines = shop.why("anna").splitlines()
    assert lines[:4] == [
        "一级佣金 ¥2.99，这样算出来：",
        "订单 A1",
        "茶1，2026-03-01 09:30 付款",
        f"买家 {shop.name('ben')} 是您的一级朋友，2026-03-01 09:30 绑定",
    ]
    assert lines[4].startswith("规则 2026-02-28 09:30 起生效（编号 ")
    assert lines[4].endswith("），一级比例 10%")
    assert lines[5:] == [
        "计佣金额 ¥29.97 × 10% = ¥2.997",
        "不足一分的部分舍去，得 ¥2.99",
        "现在：冻结中，订单完成后再过冻结期结算",
    ]


def test_nothing_is_said_of_rounding_when_nothing_was_rounded(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))
    shop.buy("ben", "A1", 3000)
    assert "= ¥3.00\n现在" in shop.why("anna")


def test_a_products_own_pool_is_explained(shop: Shop) -> None:
    shop.rule(Terms((1000,)))
    shop.database.transact(
        lambda s: products.put(
            s, shop.account, "tea", name="茶", price_fen=1, terms=Terms((5000, 3000), pool_bps=2000), now=START
        )
    )  # fmt: skip
    shop.buy("cara", "A1", 10_001, sku="tea")
    text = shop.why("anna")
    assert "这件商品有自己的比例：二级 20%，其中二级分 30%" in text
    assert "¥100.01 × 20% × 30% = ¥6.0006" in text


def test_a_refund_is_explained(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))
    shop.buy("ben", "A1", 3000)
    refund = Refunding("A1", "R1", {1: 1000})
    shop.database.transact(lambda s: refunds.record(s, shop.account, refund, START))
    assert "订单退了款，相应收回 ¥1.00，还有 ¥2.00" in shop.why("anna")
    rest = Refunding("A1", "R2", {1: 2000})
    shop.database.transact(lambda s: refunds.record(s, shop.account, rest, START))
    assert shop.why("anna").endswith("还有 ¥0.00\n现在：已失效")


def test_the_state_has_its_date(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))
    shop.buy("ben", "A1", 3000)
    shop.database.transact(lambda s: orders.complete(s, shop.account, "A1", START))
    assert "冻结中，2026-03-08 起结算" in shop.why("anna")
    shop.database.transact(
        lambda s: commissions.hold(s, _only(s).id, reason="查", actor="staff", now=START)
    )
    assert "冻结中，正在复核" in shop.why("anna")


def _only(session: Session) -> Commission:
    return session.scalars(select(Commission)).one()


def test_own_orders_that_earn_say_so(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)), self_purchase=True)
    shop.buy("ben", "A1", 3000)
    text = shop.database.read(lambda s: explain.numbered(s, shop.account.id, "ben", 1, 10, WORDS))
    assert text is not None
    assert "自购也有佣金" in text
    assert "二级朋友" in shop.why("anna")


# --- nothing --------------------------------------------------------------------------------------------------------


def test_without_any_order_there_is_nothing_to_explain(shop: Shop) -> None:
    assert "还没有佣金" in shop.why("anna")
    assert "还没有佣金" in shop.why("stranger")


def test_no_rule_yet(shop: Shop) -> None:
    shop.buy("ben", "A1", 3000)
    assert shop.why("anna") == (
        "订单 A1（2026-03-01 09:30 付款，¥30.00）没有给您带来佣金：\n下单时还没有生效的佣金规则"
    )


def test_a_level_that_the_rule_does_not_pay(shop: Shop) -> None:
    shop.rule(Terms((1000, 0)), depth=2)
    shop.buy("dora", "A1", 3000)
    assert "不奖励三级朋友的订单" in shop.why("anna")
    assert "二级比例是 0" in shop.why("ben")


def test_an_amount_below_one_fen(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))
    shop.buy("ben", "A1", 9)
    assert "¥0.09 × 10% 不足一分，舍去后是 ¥0.00" in shop.why("anna")


def test_a_binding_that_came_after_the_order(shop: Shop) -> None:
    """bound later, so the order's own snapshot does not know them."""
    shop.rule(Terms((1000, 500, 200)))
    shop.follow("frank")
    shop.buy("frank", "A1", 3000)

    def bind(session: Session) -> None:
        anna = members.get(session, shop.account.id, "anna")
        code = scenes.of_member(session, shop.account.id, anna.id, START).code
        members.scan(
            session, shop.account, "frank", scene_code=code, created=9, push_key="later", now=START
        )

    shop.database.transact(bind)
    assert "还不是买家的邀请人" in shop.why("anna")


def test_a_suspended_promoter(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))

    def suspend(session: Session) -> None:
        member: Member = members.get(session, shop.account.id, "anna")
        member.status = "suspended"
        session.flush()

    shop.database.transact(suspend)
    shop.buy("ben", "A1", 3000)
    assert "推广资格已暂停" in shop.why("anna")
    assert "没有给您带来佣金" in shop.why("anna")


def test_nobody_beyond_the_third_level_is_asked(shop: Shop) -> None:
    shop.rule(Terms((1000, 500, 200)))
    shop.buy("emil", "A1", 3000)
    assert "还没有佣金" in shop.why("anna")
    assert "三级佣金" in shop.why("ben")
