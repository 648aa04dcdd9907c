"""Which broadcast an order came by: links that carry the campaign, clicks on them, and orders that name their token.

A link of a campaign leads over `/m/<slug>/r/<token>` to its address with `c=<token>` behind it. Whoever knows the
visitor (H5) counts the click with the member; a shop hands the token on as `campaign` of the order. Attributed is an
order that names a token, else one that a member paid within the campaign's days after their last click.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy.orm import Session

from domain.db import Sql, from_db, is_key, maybe_from_db, to_db
from domain.errors import NotFound

PARAMETER: Final = "c"
"""The query parameter by which a page or a shop learns of the campaign."""

_LINK = Sql(
    "SELECT l.id, l.campaign_id, l.url, c.window_days FROM campaign_link l JOIN campaign c ON c.id = l.campaign_id"
    " WHERE l.account_id = ? AND l.token = ?"
)
_CLICK = Sql(
    "INSERT INTO campaign_click (account_id, campaign_id, link_id, member_id, at, until) VALUES (?, ?, ?, ?, ?, ?)"
)
_CAMPAIGNS = Sql(
    "SELECT l.token, l.campaign_id, c.started_at, c.window_days FROM campaign_link l JOIN campaign c"
    " ON c.id = l.campaign_id WHERE l.account_id = ? AND l.token IN (??)"
)
_ATTRIBUTE = Sql(
    "INSERT IGNORE INTO campaign_order (order_id, campaign_id, account_id, at) VALUES (?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO campaign_order (order_id, campaign_id, account_id, at) VALUES (?, ?, ?, ?)",
)


def click(
    session: Session, account_id: int, token: str, now: datetime, member_id: int | None = None
) -> str:
    """Count a click, with the member where we know who it is; the address that the link leads to, with the token.

    Raises `NotFound` for a token that is none of this account's.
    """
    row = _LINK(session, account_id, token).one_or_none() if is_key(token) else None
    if row is None:
        raise NotFound("no such link")
    # Shops report whole seconds: a quick buyer was not there before their click.
    at = now.replace(microsecond=0)
    until = at + timedelta(days=row.window_days)
    _CLICK(session, account_id, row.campaign_id, row.id, member_id, to_db(at), to_db(until))
    return with_token(row.url, token)


def with_token(url: str, token: str) -> str:
    """The address with `c=<token>` in its query, in place of one that was there."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != PARAMETER]
    return urlunsplit(parts._replace(query=urlencode([*kept, (PARAMETER, token)])))


def attribute(
    session: Session, account_id: int, orders: Mapping[int, tuple[str, datetime]]
) -> None:
    """Note the campaigns of new orders: order id → (token, paid at). Nothing, and no statement, when there are none.

    A token that nobody knows, or one whose campaign's days were over (or had not begun), attributes nothing: an order
    is never refused for its advertising.
    """
    tokens = {token for token, _ in orders.values() if is_key(token)}
    if not tokens:
        return
    known = {row.token: row for row in _CAMPAIGNS.among(session, (account_id,), tokens)}
    rows = []
    for order_id, (token, paid_at) in orders.items():
        row = known.get(token)
        started = maybe_from_db(row.started_at) if row is not None else None
        if row is None or started is None:
            continue
        if started <= paid_at <= started + timedelta(days=row.window_days):
            rows.append((order_id, row.campaign_id, account_id, to_db(paid_at)))
    _ATTRIBUTE.many(session, rows)


# --- what a campaign sold -------------------------------------------------------------------------------------------

_ITS_ORDERS: Final = (
    "SELECT o.id, o.member_id, o.paid_at, o.status, o.paid_fen - o.refunded_fen AS kept_fen"
    " FROM campaign_order x JOIN orders o ON o.id = x.order_id WHERE x.campaign_id = ?"
    " UNION SELECT o.id, o.member_id, o.paid_at, o.status, o.paid_fen - o.refunded_fen"
    " FROM campaign_click k JOIN orders o ON o.member_id = k.member_id"
    " WHERE k.campaign_id = ? AND o.status IN ('paid', 'completed') AND o.paid_at >= k.at AND o.paid_at <= k.until"
    " AND NOT EXISTS (SELECT 1 FROM campaign_order y WHERE y.order_id = o.id)"
    " AND NOT EXISTS (SELECT 1 FROM campaign_click j WHERE j.member_id = k.member_id"
    " AND j.campaign_id <> k.campaign_id AND j.at > k.at AND j.at <= o.paid_at AND j.until >= o.paid_at)"
)
# Once through the clicks, not once for each figure: of a broadcast to a million there are some ten thousands.
_SALES = Sql(
    "SELECT COUNT(*) AS orders, COALESCE(SUM(a.kept_fen), 0) AS sales_fen, COUNT(DISTINCT a.member_id) AS buyers,"
    " COALESCE(SUM((SELECT SUM(m.amount_fen - m.clawed_fen) FROM commission m WHERE m.order_id = a.id"
    f" AND m.status <> 'voided')), 0) AS commission_fen FROM ({_ITS_ORDERS}) a WHERE a.status IN ('paid', 'completed')"
)
_CLICKS = Sql(
    "SELECT COUNT(*) AS clicks, COUNT(DISTINCT member_id) AS clickers FROM campaign_click WHERE campaign_id = ?"
)
_ORDER_IDS = Sql(
    f"SELECT a.id, a.paid_at FROM ({_ITS_ORDERS}) a WHERE a.id > ? ORDER BY a.id LIMIT ?"
)


def sales_of(session: Session, campaign_id: int) -> dict[str, int]:
    """`clicks`, `clickers` (known members), `orders`, `buyers`, `sales_fen` (refunds taken off) and `commission_fen`
    (what of it was not voided or clawed back) of a campaign, as they are now."""
    sales = _SALES(session, campaign_id, campaign_id).one()
    clicks = _CLICKS(session, campaign_id).one()
    return {
        "clicks": int(clicks.clicks), "clickers": int(clicks.clickers), "orders": int(sales.orders),
        "buyers": int(sales.buyers), "sales_fen": int(sales.sales_fen),
        "commission_fen": int(sales.commission_fen),
    }  # fmt: skip


def orders_of(
    session: Session, campaign_id: int, *, after_id: int = 0, limit: int = 100
) -> list[tuple[int, datetime]]:
    """Ids and payment instants of a campaign's orders, by id: keyset pages behind `after_id`."""
    rows = _ORDER_IDS(session, campaign_id, campaign_id, after_id, limit)
    return [(row.id, from_db(row.paid_at)) for row in rows]
