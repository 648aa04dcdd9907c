"""规则与商品: versions of the rule with a dry run before publishing, and products with stock and rates of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from flask import flash, redirect, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit, dryrun, products, rules
from domain.errors import DomainError, Invalid
from domain.models import Product
from domain.money import percent
from domain.rules import RuleVersion, Terms
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import CODE, COUNT, INSTANT, MONEY, TEXT
from web.console.listing import Column, Listing, Search, Sort
from web.console.navigation import PROGRAMME, TRADE, Menu
from web.console.refusals import explain, said
from web.console.trade import fen_of
from web.console.visit import Answer, Visit, page
from web.pages import t

explain(
    "all levels together exceed the cap",
    Both("各级比例之和超过了上限。", "All levels together exceed the cap."),
)
explain("one to three levels", Both("请填一到三级。", "Fill in one to three levels."))
explain(
    "a percentage is a number with at most two decimals",
    Both("比例写成 10 或 12.5，最多两位小数。", "Write a percentage as 10 or 12.5, at most two decimals."),
)  # fmt: skip
explain(
    "a sku has 1 to 64 letters, digits or _.|*-",
    Both("货号为 1 到 64 位字母、数字或 _.|*-。", "A sku has 1 to 64 letters, digits or _.|*-"),
)
explain(
    "price and stock are not negative",
    Both("价格和库存不能是负数。", "Price and stock are not negative."),
)
DRY_RUN_DAYS: Final = 30
RISK: Final = {
    1: Both("只给直接邀请人：风险最低。", "Direct invitations only: the lowest risk."),
    2: Both(
        "两级：多数系统的做法，请先咨询法律意见。",
        "Two levels: what most systems do; ask a lawyer first.",
    ),
    3: Both(
        "三级：微信公告（2015、2016）把多级分销列为违规，账号可能被永久封禁；刑事追诉标准从三级、三十人起算。请务必先咨询法律意见。",
        "Three levels: WeChat's notices of 2015 and 2016 name multi-level distribution, the account may be closed for"
        " good; criminal thresholds begin at three levels and thirty people. Ask a lawyer first.",
    ),
}
"""What each depth means, in plain words (platform.md 13)."""


def _bps(text: str) -> int:
    """A percentage as people write it, in basis points. Raises `Invalid`."""
    try:
        return fen_of(text)  # the same notation: two decimals, nothing negative
    except Invalid:
        raise Invalid("a percentage is a number with at most two decimals") from None


def _terms() -> Terms:
    given = [request.form.get(f"rate-{level}", "") for level in (1, 2, 3)]
    rates = [_bps(text) for text in given]
    while rates and not rates[-1] and not given[len(rates) - 1].strip():
        rates.pop()
    return Terms(tuple(rates))


@page(
    "/rules",
    allow=Permission.RULES_READ,
    menu=Menu(PROGRAMME, Both("佣金规则", "Commission rules"), "percent", 10),
)
def rule_list(visit: Visit) -> Answer:
    """Every version, newest first, each beside the one before."""

    def look(session: Session) -> tuple[list[Any], int | None]:
        rows = rules.versions_of(session, visit.account.id)
        [current] = rules.in_force(session, visit.account.id, [visit.now])
        shown = [(row, rules.parse(row)) for row in rows]
        newest_first = sorted(shown, key=lambda one: one[0].id, reverse=True)
        return newest_first, None if current is None else current.id

    versions, current = visit.read(look)
    return render_template(
        "console/rules.html", versions=versions, current=current, tried=None, given={}, depth_risk=RISK
    )  # fmt: skip


@page("/rules/new", allow=Permission.RULES_CHANGE, methods=("POST",))
def rule_new(visit: Visit) -> Answer:
    """Try a draft on the last thirty days, or publish it."""
    try:
        if request.form.get("do") != "publish":
            return _tried(visit)
        visit.transact(lambda session: _publish(session, visit))
    except DomainError as error:
        flash(said(error), "danger")
    else:
        words = t("新规则已发布，从现在起的订单按它计佣。", "It holds for orders from now on.")
        flash(words, "success")
    return redirect(visit.url("rule_list"))


def _draft(visit: Visit) -> RuleVersion:
    account, days = visit.account, request.form.get("freeze_days", "7")
    if not days.isdecimal():
        raise Invalid("freeze_days is between 0 and 365")
    return rules.draft(
        terms=_terms(), max_total_bps=account.settings.max_total_bps, depth=account.depth, freeze_days=int(days),
        self_purchase=request.form.get("self_purchase") == "1", cap_fen=fen_of(request.form.get("cap", "")),
        effective_at=visit.now,
    )  # fmt: skip


def _tried(visit: Visit) -> Answer:
    draft = _draft(visit)
    since = visit.now - timedelta(days=DRY_RUN_DAYS)
    with visit.database.snapshot() as session:
        outcome = dryrun.run(session, visit.account.id, draft, since=since, until=visit.now)
        versions = [(row, rules.parse(row)) for row in rules.versions_of(session, visit.account.id)]
        [current] = rules.in_force(session, visit.account.id, [visit.now])
    return render_template(
        "console/rules.html", versions=sorted(versions, key=lambda one: one[0].id, reverse=True),
        current=current and current.id, tried=outcome, given=request.form, depth_risk=RISK, days=DRY_RUN_DAYS,
    )  # fmt: skip


def _publish(session: Session, visit: Visit) -> None:
    draft = _draft(visit)
    row = rules.add(
        session, visit.account.id, terms=draft.terms, max_total_bps=visit.account.settings.max_total_bps,
        depth=draft.depth, freeze_days=draft.freeze_days, self_purchase=draft.self_purchase, cap_fen=draft.cap_fen,
        effective_at=visit.now.replace(microsecond=0), actor=visit.actor, now=visit.now,
    )  # fmt: skip
    audit.record(
        session, visit.account.id, actor=visit.actor, action="rule_published", subject=f"rule/{row.id}",
        after=draft.terms.as_value(), now=visit.now,
    )  # fmt: skip


# --- products -------------------------------------------------------------------------------------------------------


def _own_rates(row: Product) -> str | None:
    terms = products.terms_in(row)
    if terms is None:
        return None
    shown = " / ".join(percent(rate) for rate in terms.rates_bps)
    return shown if terms.pool_bps is None else f"{percent(terms.pool_bps)}（{shown}）"


PRODUCTS = Listing(
    title=Both("商品", "Products"),
    columns=(
        Column(
            Both("商品", "Product"), lambda row: row.name, lead=True,
            href=lambda visit, row: visit.url("product", product_id=row.id),
        ),
        Column(Both("货号", "SKU"), lambda row: row.sku, CODE),
        Column(Both("价格", "Price"), lambda row: row.price_fen, MONEY),
        Column(Both("库存", "Stock"), lambda row: row.stock, COUNT),
        Column(Both("自己的比例", "Own rates"), _own_rates, TEXT),
        Column(Both("更新", "Updated"), lambda row: row.updated_at, INSTANT, wide=True),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Product.id, lambda row: row.id),),
    id_column=Product.id,
    row_id=lambda row: row.id,
    search=Search(Both("货号", "SKU"), lambda _visit, text: Product.sku == text),
    empty=Both("还没有商品。没有登记的商品按规则计佣。", "No products yet. Others follow the rule."),
    file="products",
    template="console/products.html",
)  # fmt: skip


@page(
    "/products",
    allow=Permission.PRODUCTS_READ,
    menu=Menu(TRADE, Both("商品", "Products"), "box-seam", 20),
)
def product_list(visit: Visit) -> Answer:
    """Products with stock and rates of their own."""
    return PRODUCTS.answer(visit, select(Product).where(Product.account_id == visit.account.id))


def _product(session: Session, visit: Visit, product_id: int) -> Product:
    row = session.get(Product, product_id)
    known = row is not None and row.account_id == visit.account.id
    return products.get(session, visit.account.id, row.sku if known and row is not None else "")


@page("/products/<int:product_id>", allow=Permission.PRODUCTS_READ)
def product(visit: Visit, product_id: int) -> Answer:
    """One product."""
    row = visit.read(lambda session: _product(session, visit, product_id))
    return render_template("console/product.html", row=row, terms=products.terms_in(row))


@page("/products/save", allow=Permission.PRODUCTS_CHANGE, methods=("POST",))
def product_save(visit: Visit) -> Answer:
    """Make a product, or replace the one with this number."""
    given = request.form

    def save(session: Session) -> None:
        stock = given.get("stock", "").strip()
        if stock and not stock.isdecimal():
            raise Invalid("price and stock are not negative")
        terms = _terms()
        row = products.put(
            session, visit.account, given.get("sku", "").strip(), name=given.get("name", "").strip()[:190],
            price_fen=fen_of(given.get("price", "")), stock=int(stock) if stock else None,
            terms=terms if terms.rates_bps else None, now=visit.now,
        )  # fmt: skip
        audit.record(
            session, visit.account.id, actor=visit.actor, action="product_saved", subject=f"product/{row.sku}",
            after={"price_fen": row.price_fen, "stock": row.stock, "terms": row.terms}, now=visit.now,
        )  # fmt: skip

    return visit.change(save, done=t("商品已保存。", "Saved."), back=visit.url("product_list"))
