"""商品: what the shop sells, and a product's own commission terms."""

from __future__ import annotations

from flask import Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import models, products
from domain.db import is_duplicate
from domain.rules import Terms
from web.api import answers, paging, shapes
from web.api.blueprint import PRODUCTS, answer, api, refusals
from web.api.signature import caller, needs
from web.current import context


@api.put("/products/<sku>", tags=[PRODUCTS], responses={"200": shapes.Product})
@needs("products.write")
def put_product(path: shapes.SkuPath, body: shapes.ProductIn) -> Response:
    """Create or replace a product
    New terms hold for orders that come later; an order that was recorded keeps those it had."""
    account, now = caller().account, context().clock.now()

    def put(session: Session) -> models.Product:
        return products.put(
            session, account, path.sku, name=body.name, price_fen=body.price_fen, stock=body.stock,
            terms=_terms(body), now=now,
        )  # fmt: skip

    try:
        row = context().database.transact(put)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        row = context().database.transact(put)  # somebody created it meanwhile: now it is replaced
    return answer(answers.product(row))


@api.get("/products/<sku>", tags=[PRODUCTS], responses={"200": shapes.Product, **refusals(404)})
@needs("products.read")
def get_product(path: shapes.SkuPath) -> Response:
    """A product"""
    account = caller().account
    row = context().database.read(lambda session: products.get(session, account.id, path.sku))
    return answer(answers.product(row))


@api.get("/products", tags=[PRODUCTS], responses={"200": shapes.Products})
@needs("products.read")
def list_products(query: shapes.Page) -> Response:
    """Products, by sku"""
    account = caller().account
    after = paging.decode(query.cursor) if query.cursor else ""
    rows = context().database.read(
        lambda session: products.all_of(session, account.id, after_sku=after, limit=query.limit + 1)
    )
    shown, cursor = paging.page(rows, query.limit, lambda row: row.sku)
    return answer(
        shapes.Products(items=[answers.product(row) for row in shown], next_cursor=cursor)
    )


def _terms(body: shapes.ProductIn) -> Terms | None:
    if body.rates is not None:
        return Terms(tuple(body.rates))
    if body.shares is not None:
        return Terms(tuple(body.shares), body.pool)
    return None
