"""Commissions of paid orders: one by one and fifty at a time against PyMySQL by hand, and under one hot upline."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from bench import byhand
from bench.measure import Row, Spread, Step, against, clients, cpu_of, cycle, rates
from bench.seed import STAR, Place
from bench.world import World
from domain import orders
from domain.db import Database
from domain.orders import Buyer, PaidLine, PaidOrder
from domain.secrets import short_digest

TITLE: Final = "茶礼盒"
_BOUGHT_BEFORE: Final = "m.first_paid_at IS NOT NULL"


def buyers_under(place: Place, hot: bool, limit: int = 5000) -> list[str]:
    """Openids of members with three uplines who have bought before: with the star on top, or each under a direct
    upline of their own, as far as there are enough."""
    with place.connect() as connection, connection.cursor() as cursor:
        if hot:
            cursor.execute(
                "SELECT m.openid FROM relation r JOIN member m ON m.id = r.descendant_id"
                f" WHERE r.ancestor_id = %s AND r.level = 3 AND {_BOUGHT_BEFORE} LIMIT %s",
                (STAR, limit),
            )
        else:
            cursor.execute(
                "SELECT MIN(m.openid) FROM relation r JOIN member m ON m.id = r.descendant_id"
                f" WHERE r.level = 3 AND r.ancestor_id <> %s AND {_BOUGHT_BEFORE}"
                " GROUP BY m.referrer_id LIMIT %s",
                (STAR, limit),
            )
        return [row[0] for row in cursor.fetchall()]


class Seller:
    """A client process that reports paid orders: through the domain, and by hand."""

    def __init__(
        self, number: int, *, place: Place, lists: dict[str, list[str]], stride: int, batch: int
    ) -> None:
        self.retries = 0
        self._account = place.account
        self._database = Database(place.url)
        self._connection = place.connect()
        self._batch = batch
        self._numbers = (f"B{os.getpid()}-{count}" for count in itertools.count())
        self._lists = {name: cycle(each, number, stride) for name, each in lists.items()}
        self.sides: dict[str, Step] = {
            "domain": lambda: self._record("distinct", 1),
            "batch": lambda: self._record("distinct", self._batch),
            "hot": lambda: self._record("hot", 1),
            "hand": self._by_hand,
        }

    def _record(self, buyers: str, count: int) -> int:
        now = datetime.now(UTC)
        paid = [
            order_of(next(self._numbers), openid, now)
            for openid in itertools.islice(self._lists[buyers], count)
        ]
        tries = 0

        def work(session: Session) -> int:
            nonlocal tries
            tries += 1
            return len(orders.record_paid(session, self._account, paid, now))

        done = self._database.transact(work)
        self.retries += tries - 1
        return done

    def _by_hand(self) -> int:
        now = datetime.now(UTC)
        sale = sale_of(next(self._numbers), next(self._lists["distinct"]), now)
        byhand.record_sale(self._connection, self._account.id, sale, now, short_digest)
        return 1

    def close(self) -> None:
        self._database.dispose()
        self._connection.close()


def order_of(order_no: str, openid: str, now: datetime) -> PaidOrder:
    """An order of one line over 129.80 yuan."""
    return PaidOrder(order_no, Buyer(openid=openid), (PaidLine(1, TITLE, 1, 12_980),), now)


def sale_of(order_no: str, openid: str, now: datetime) -> byhand.Sale:
    """The same order for the peer."""
    return byhand.Sale(order_no, openid, TITLE, 12_980, now)


def one_by_one(world: World) -> Iterator[Row]:
    """One order a transaction, and fifty, each against one order a transaction by hand."""
    place, scale = world.largest, world.scale
    options: dict[str, Any] = {
        "place": place, "lists": {"distinct": buyers_under(place, hot=False)}, "stride": scale.clients,
        "batch": scale.batch,
    }  # fmt: skip
    with clients(scale.clients, Seller, **options) as sellers:
        runs = sellers.in_turn(["domain", "hand", "batch"], scale.rounds, scale.seconds)
    hand = rates(runs["hand"])
    for side, what, least in (
        ("domain", f"a paid order, {scale.clients} clients", 0.7),
        ("batch", f"paid orders by {scale.batch}, {scale.clients} clients", 2.5),
    ):
        ratio = against(rates(runs[side]), hand)
        yield Row(
            line="orders" if side == "domain" else "orders-batch",
            what=what,
            members=place.members,
            unit="orders/s",
            ours=Spread.of(rates(runs[side])),
            peer_name="PyMySQL by hand, one order a transaction",
            peer=Spread.of(hand),
            ratio=ratio,
            target=f">= {least}",
            met=ratio.median >= least,
            notes={
                "client_cpu_us": cpu_of(runs[side]),
                "peer_client_cpu_us": cpu_of(runs["hand"]),
                "p99_ms": round(max(run.percentile(0.99) for run in runs[side]) * 1000, 2),
            },
        )


def hot_upline(world: World) -> Iterator[Row]:
    """All orders under one upline against orders under many."""
    place, scale = world.largest, world.scale
    lists = {"distinct": buyers_under(place, hot=False), "hot": buyers_under(place, hot=True)}
    options: dict[str, Any] = {
        "place": place, "lists": lists, "stride": scale.many_clients, "batch": scale.batch,
    }  # fmt: skip
    with clients(scale.many_clients, Seller, **options) as sellers:
        runs = sellers.in_turn(["hot", "domain"], scale.rounds, scale.seconds)
    ratio = against(rates(runs["hot"]), rates(runs["domain"]))
    sold = sum(run.units for run in runs["hot"])
    retries = sum(run.retries for run in runs["hot"]) / max(1, sold)
    yield Row(
        line="hot-upline",
        what=f"orders under one upline, {scale.many_clients} clients",
        members=place.members,
        unit="orders/s",
        ours=Spread.of(rates(runs["hot"])),
        peer_name="the same under distinct uplines",
        peer=Spread.of(rates(runs["domain"])),
        ratio=ratio,
        target=">= 0.8, retries <= 0.01 an order",
        met=ratio.median >= 0.8 and retries <= 0.01,
        notes={
            "retries_per_order": round(retries, 5),
            "p99_ms": round(max(run.percentile(0.99) for run in runs["hot"]) * 1000, 2),
        },
    )
