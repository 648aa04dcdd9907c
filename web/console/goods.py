"""商品: products with price, stock, and rates or a pool of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import grades, products
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Grade, Product
from domain.rules import Terms
from domain.staff.permissions import Permission
from web.console import rates
from web.console.both import Both
from web.console.cells import CODE, COUNT, INSTANT, MONEY
from web.console.listing import Column, Condition, Listing, Search, Sort
from web.console.navigation import TRADE, Menu
from web.console.refusals import explain
from web.console.trade import fen_of
from web.console.visit import Answer, Visit, page
from web.pages import t

explain(
    "a sku has 1 to 64 letters, digits or _.|*-",
    Both("货号为 1 到 64 位字母、数字或 _.|*-。", "A sku has 1 to 64 letters, digits or _.|*-"),
)
explain(
    "price and stock are not negative",
    Both("价格和库存不能是负数。", "Price and stock are not negative."),
)
explain("stock is a whole number", Both("库存请写整数。", "Stock is a whole number."))
explain("a product has a name", Both("请填写名称。", "Please give a name."))
explain(
    "this sku has a product", Both("这个货号已经有商品了。", "There is a product with this sku.")
)
explain(
    "the product was changed meanwhile",
    Both(
        "这个商品刚刚被别人或商城改过，请刷新后再改。",
        "Somebody, or the shop, has just changed it. Reload and try again.",
    ),
)


def _own_rates(row: Product) -> str | None:
    terms = products.terms_in(row)
    return None if terms is None else rates.shown(terms)


def _found_by(_visit: Visit, text: str) -> Condition:
    """A product's number, or the beginning of one: skus are ASCII, and so is their index."""
    if not text.isascii():
        return Product.name.contains(text, autoescape=True)
    return Product.sku.startswith(text, autoescape=True)


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
        Column(Both("自己的比例", "Own rates"), _own_rates),
        Column(Both("更新", "Updated"), lambda row: row.updated_at, INSTANT, wide=True),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Product.id, lambda row: row.id),),
    id_column=Product.id,
    row_id=lambda row: row.id,
    search=Search(Both("货号或名称", "SKU or name"), _found_by),
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
    if row is None or row.account_id != visit.account.id:
        raise NotFound("no such product", product=product_id)
    return row


@page("/products/new", allow=Permission.PRODUCTS_CHANGE, methods=("GET", "POST"))
def product_new(visit: Visit) -> Answer:
    """A product that is not there yet."""
    if request.method == "GET":
        return _form(visit, None, {"kind": ""})

    def add(session: Session) -> None:
        sku = request.form.get("sku", "").strip()
        if products.find(session, visit.account.id, sku) is not None:
            raise Conflict("this sku has a product", sku=sku)
        _put(session, visit, sku, None)

    return _saved(visit, None, add)


@page("/products/<int:product_id>", allow=Permission.PRODUCTS_READ)
def product(visit: Visit, product_id: int) -> Answer:
    """One product; a form for those who may change it."""
    row = visit.read(lambda session: _product(session, visit, product_id))
    return _form(visit, row, _given(visit, row))


@page("/products/<int:product_id>/save", allow=Permission.PRODUCTS_CHANGE, methods=("POST",))
def product_save(visit: Visit, product_id: int) -> Answer:
    """Replace what the form shows, unless the product was changed since the form was opened."""
    found = visit.read(lambda session: _product(session, visit, product_id))

    def save(session: Session) -> None:
        row = _product(session, visit, product_id)
        session.refresh(row, with_for_update=True)
        if request.form.get("seen") != row.updated_at.isoformat():
            raise Conflict("the product was changed meanwhile", sku=row.sku)
        _put(session, visit, row.sku, row)

    return _saved(visit, found, save)


def _saved(visit: Visit, row: Product | None, save: Any) -> Answer:
    return visit.save(
        save,
        done=t("商品已保存，之后的订单按它计佣。", "Saved; it holds for orders that come later."),
        back=visit.url("product_list"),
        again=lambda: _form(visit, row, request.form),
    )


def _put(session: Session, visit: Visit, sku: str, known: Product | None) -> None:
    given, account = request.form, visit.account
    name, stock = given.get("name", "").strip(), given.get("stock", "").strip()
    if not name:
        raise Invalid("a product has a name")
    if stock and not (stock.isascii() and stock.isdecimal() and len(stock) <= 9):
        raise Invalid("stock is a whole number")
    before = None if known is None else _noted(known)
    terms = _terms(session, visit, known)
    row = products.put(
        session, account, sku, name=name[:190], price_fen=fen_of(given.get("price", "")),
        stock=int(stock) if stock else None, terms=terms, now=visit.now,
    )  # fmt: skip
    subject = f"product/{row.sku}"
    visit.note(session, action="product_saved", subject=subject, before=before, after=_noted(row))


def _noted(row: Product) -> dict[str, Any]:
    return {"name": row.name, "price_fen": row.price_fen, "stock": row.stock, "terms": row.terms}


def _terms(session: Session, visit: Visit, known: Product | None) -> Terms | None:
    kind = request.form.get("kind", "")
    if kind == "keep":
        return None if known is None else products.terms_in(known)
    if kind not in {rates.RATES, rates.POOL}:
        return None
    codes = [one.code for one in grades.all_of(session, visit.account.id)]
    own = rates.terms_given()
    return Terms(own.rates_bps, own.pool_bps, tuple(sorted(rates.graded(codes).items())))


def _given(visit: Visit, row: Product) -> dict[str, str]:
    terms = products.terms_in(row)
    return (
        {} if terms is None else rates.filled(terms, dict(terms.grades))
    ) | {"kind": _kind(visit, terms)}  # fmt: skip


def _kind(visit: Visit, terms: Terms | None) -> str:
    if terms is None:
        return ""
    codes = [
        one.code for one in visit.read(lambda session: grades.all_of(session, visit.account.id))
    ]
    if not rates.fits_the_form(terms, dict(terms.grades), codes):
        return "keep"
    return rates.RATES if terms.pool_bps is None else rates.POOL


def _form(visit: Visit, row: Product | None, given: Mapping[str, str]) -> str:
    all_grades: list[Grade] = visit.read(lambda session: grades.all_of(session, visit.account.id))
    terms = None if row is None else products.terms_in(row)
    fits = terms is None or rates.fits_the_form(
        terms, dict(terms.grades), [one.code for one in all_grades]
    )
    return render_template(
        "console/product.html", row=row, given=given, grades=all_grades, optional=True,
        own=terms and rates.shown(terms), keeps=None if fits or terms is None else rates.shown(terms),
        levels=rates.levels(visit.account.depth, given),
        most_bps=visit.account.settings.max_total_bps,
    )  # fmt: skip
