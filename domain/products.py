"""商品: names, prices, stock, and a product's own commission terms, which go before the account's rule."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.accounts import OpenAccount
from domain.db import Sql, to_json
from domain.errors import Invalid, NotFound
from domain.models import Product
from domain.rules import Terms

_SKU = re.compile(r"[0-9A-Za-z_.|*-]{1,64}")
_TERMS = Sql(
    "SELECT sku, terms FROM product WHERE account_id = ? AND terms IS NOT NULL AND sku IN (??)"
)


def put(
    session: Session,
    account: OpenAccount,
    sku: str,
    *,
    name: str,
    price_fen: int,
    stock: int | None = None,
    terms: Terms | None = None,
    now: datetime,
) -> Product:
    """Create or replace a product. New terms hold for orders that come later. Raises `Invalid`."""
    if not _SKU.fullmatch(sku):
        raise Invalid("a sku has 1 to 64 letters, digits or _.|*-", sku=sku)
    if price_fen < 0 or (stock is not None and stock < 0):
        raise Invalid("price and stock are not negative", sku=sku)
    if terms is not None:
        terms.check(account.settings.max_total_bps)
    product = find(session, account.id, sku)
    if product is None:
        product = Product(account_id=account.id, sku=sku)
        session.add(product)
    product.name, product.price_fen, product.stock, product.updated_at = name, price_fen, stock, now
    product.terms = None if terms is None else to_json(terms.as_value())
    session.flush()
    return product


def find(session: Session, account_id: int, sku: str) -> Product | None:
    """The product with this sku, if there is one."""
    if not _SKU.fullmatch(sku):
        return None
    return session.scalar(
        select(Product).where(Product.account_id == account_id, Product.sku == sku)
    )


def get(session: Session, account_id: int, sku: str) -> Product:
    """The product with this sku, or `NotFound`."""
    product = find(session, account_id, sku)
    if product is None:
        raise NotFound("no such product", sku=sku)
    return product


def all_of(
    session: Session, account_id: int, *, after_sku: str = "", limit: int = 100
) -> list[Product]:
    """Products by sku; keyset page after `after_sku`."""
    query = select(Product).where(Product.account_id == account_id, Product.sku > after_sku)
    return list(session.scalars(query.order_by(Product.sku).limit(limit)))


def terms_in(product: Product) -> Terms | None:
    """Its own terms; None when it goes by the account's rule."""
    return None if product.terms is None else Terms.from_value(json.loads(product.terms))


def terms_of(session: Session, account_id: int, skus: Collection[str]) -> dict[str, Terms]:
    """The own terms of those of the skus that have some; an unknown sku uses the account's rule."""
    if not skus:
        return {}
    rows = _TERMS.among(session, (account_id,), sorted(skus))
    return {row.sku: Terms.from_value(json.loads(row.terms)) for row in rows}
