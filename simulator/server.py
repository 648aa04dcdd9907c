"""Putting the simulator together and serving it."""

from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from flask import Flask
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from simulator import docs, phones, store, tls, tracepage, webauth
from simulator.blobs import Blobs
from simulator.clock import Clock
from simulator.control import acts, broadcasts, inside, looks, money, setup, trade
from simulator.control import gate as control
from simulator.pay import api as pay_api
from simulator.pay import authorizations, bills
from simulator.pay import gate as pay
from simulator.pay.book import Book
from simulator.pay.courier import Courier
from simulator.pay.orders import Orders
from simulator.pay.refunds import Refunds
from simulator.pay.sharing import Sharing
from simulator.pay.transfers import Transfers
from simulator.people import People
from simulator.platform import (
    custom,
    drafts,
    mass,
    materials,
    media,
    menu,
    oauth,
    openapi,
    qrcode,
    subscription,
    tags,
    templates,
    tokens,
    users,
)
from simulator.platform import gate as platform
from simulator.push import Postman
from simulator.shop import Shops
from simulator.state import PayOrder, Refund, Share, Transfer, World

ENDPOINTS = [
    endpoint
    for module in (
        tokens,
        qrcode,
        menu,
        media,
        materials,
        users,
        tags,
        templates,
        subscription,
        custom,
        mass,
        drafts,
        openapi,
        oauth,
    )
    for endpoint in module.endpoints.all
]
PAY_ENDPOINTS = [*pay_api.endpoints.all, *bills.endpoints.all, *authorizations.endpoints.all]
CONTROL_CALLS = [
    call
    for module in (setup, acts, looks, broadcasts, trade, money, inside, phones, tracepage)
    for call in module.calls.all
]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    host: str
    port: int
    clock_file: Path | None
    state_file: Path | None
    threads: int
    tls: Path | None = None  # the folder of the certificates


def create_app(clock_file: Path | None = None, state_file: Path | None = None) -> Flask:
    """The simulator as a WSGI application. Its state is in memory: serve it from one process only."""
    world = World(Clock(clock_file), _blobs(state_file), store.read_state(state_file))
    postman = Postman(world)
    people = People(world, postman)
    desk, courier = _pay(world)
    courier.start()
    room = control.Room(world, people, postman, Shops(world), desk, courier)
    app = Flask(__name__)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # of the default provider
    app.register_blueprint(platform.blueprint(world, people, ENDPOINTS))
    app.register_blueprint(control.blueprint(room, CONTROL_CALLS))
    app.register_blueprint(pay.blueprint(desk, PAY_ENDPOINTS))
    paths = [each.path for each in (*ENDPOINTS, *PAY_ENDPOINTS)]
    app.register_blueprint(docs.blueprint(CONTROL_CALLS, paths))
    app.register_blueprint(webauth.blueprint(world))
    app.register_blueprint(phones.bp)
    app.add_url_rule("/healthz", "healthz", lambda: {"status": "ok"})
    app.extensions["simulator"] = room
    _close_at_exit(world, postman, courier, state_file)
    return app


def _pay(world: World) -> tuple[pay.Desk, Courier]:
    """The books of WeChat Pay, and the courier who tells merchants what happens in them."""
    orders = Orders(world)
    transfers, refunds, sharing = Transfers(world), Refunds(world, orders), Sharing(world, orders)
    books: dict[type, Book] = {
        PayOrder: orders,
        Refund: refunds,
        Share: sharing,
        Transfer: transfers,
    }
    courier = Courier(world, list(books.values()))

    def deliver(entry: Any) -> Any:
        return courier.deliver(books[type(entry)], entry)

    return pay.Desk(world, transfers, orders, refunds, sharing, deliver), courier


def serve(options: Options) -> None:
    """Serve until SIGTERM or Ctrl-C. One process, many threads: most of them wait for somebody's callback."""
    certificate, key = tls.prepare(options.tls) if options.tls else (None, None)
    server = Server(
        "simulator.server",
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=options.threads,
        websockets=False,
        log_level=LogLevels.error,
        workers_kill_timeout=2,
        ssl_cert=certificate,
        ssl_key=key,
    )
    server.serve(
        target_loader=lambda *_: create_app(options.clock_file, options.state_file),
        wrap_loader=False,
    )


def _blobs(state_file: Path | None) -> Blobs:
    return Blobs(state_file.with_suffix(".media") if state_file else None)


def _close_at_exit(
    world: World, postman: Postman, courier: Courier, state_file: Path | None
) -> None:
    saver = store.Saver(state_file, world) if state_file else None
    if saver is not None:
        saver.start()

    def close() -> None:
        postman.close()
        courier.close()
        if saver is not None:
            saver.finish()
        world.blobs.close()

    Finalize(None, close, exitpriority=1)  # granian's worker is a child process: no atexit there
