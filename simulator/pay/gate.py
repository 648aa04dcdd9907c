"""The gate every call to WeChat Pay passes: faults, the signature, the endpoint, a signed answer, the journal."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flask import Blueprint, Response, request

from simulator import ids
from simulator.calls import Call
from simulator.pay import signing
from simulator.pay.errors import PayError
from simulator.pay.orders import Orders
from simulator.pay.refunds import Refunds
from simulator.pay.sharing import Sharing
from simulator.pay.transfers import Transfers
from simulator.state import Merchant, World

_JSON = "application/json; charset=utf-8"
_KEPT_BYTES = 16_384  # of a body in the journal
_HTML_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True)
class Desk:
    """The books that the calls work on, and the way to send a notice before the answer."""

    world: World
    transfers: Transfers
    orders: Orders
    refunds: Refunds
    sharing: Sharing
    deliver: Callable[[Any], Any]

    def tell_first(self, entry: Any, finish: Callable[[], None]) -> None:
        """End an entry and tell it before the call that began it is answered; the courier repeats what is refused."""
        with self.world.lock:
            finish()
            entry.notify_at = None
        if entry.notify_url and self.deliver(entry)["status"] not in (200, 204):
            entry.notify_at = self.world.now()


class PayCall:
    """One call of a merchant whose signature was right."""

    def __init__(self, desk: Desk, merchant: Merchant, parts: dict[str, str]) -> None:
        self.desk = desk
        self.world = desk.world
        self.merchant = merchant
        self.parts = parts  # of the path

    @property
    def query(self) -> dict[str, str]:
        """The query of the address."""
        return request.args.to_dict()

    @property
    def serial(self) -> str:
        """The key of ours that the merchant encrypted fields with."""
        return request.headers.get("Wechatpay-Serial", "")

    @property
    def base_url(self) -> str:
        """The simulator's own address, as the caller reached it."""
        return request.host_url.rstrip("/")

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object in the body; PARAM_ERROR otherwise."""
        try:
            parsed = json.loads(request.get_data())
        except ValueError as error:
            raise PayError("PARAM_ERROR", "请求体不是 JSON") from error
        if not isinstance(parsed, dict):
            raise PayError("PARAM_ERROR", "请求体应为对象")
        return parsed


Handler = Callable[[PayCall], "dict[str, Any] | bytes | None"]


@dataclass(frozen=True)
class PayEndpoint:
    """A path of WeChat Pay. A handler answers JSON, or a file (not signed), or None for 204."""

    method: str
    path: str
    handler: Handler


@dataclass
class PayEndpoints:
    """A group of endpoints; the decorated functions stay plain functions."""

    all: list[PayEndpoint] = field(default_factory=list)

    def add(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Declare the function as the handler of this path."""

        def declare(handler: Handler) -> Handler:
            self.all.append(PayEndpoint(method, path, handler))
            return handler

        return declare


def blueprint(desk: Desk, endpoints: list[PayEndpoint]) -> Blueprint:
    """All endpoints behind the gate."""
    bp = Blueprint("pay", __name__)
    limiter = Limiter(desk.world)
    for each in endpoints:
        name = f"{each.method} {each.path}".translate(str.maketrans(" ./<>", "_____"))
        bp.add_url_rule(each.path, name, _view(desk, limiter, each.handler), methods=[each.method])
    return bp


class Limiter:
    """Counts the calls of each second, for FREQUENCY_LIMITED."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._second, self._calls = 0, 0

    def count(self) -> None:
        """Refuse what is too much for this second."""
        limit = self._world.faults.pay_per_second
        with self._world.lock:
            second = int(time.monotonic())
            self._calls = self._calls + 1 if second == self._second else 1
            self._second = second
            if limit and self._calls > limit:
                raise PayError("FREQUENCY_LIMITED", "频率超限，请降低请求频率")


def _view(desk: Desk, limiter: Limiter, handler: Handler) -> Callable[..., Response]:
    world = desk.world

    def view(**parts: str) -> Response:
        started = time.perf_counter()
        response = _before(world)
        if response is None:
            response = _answer(desk, limiter, handler, parts)
        _record(world, response, (time.perf_counter() - started) * 1000)
        return response

    return view


def _answer(desk: Desk, limiter: Limiter, handler: Handler, parts: dict[str, str]) -> Response:
    world, merchant = desk.world, None
    try:
        merchant = _caller(world)
        limiter.count()
        if world.faults.pay_error and world.faults.strikes(request.path):
            raise PayError(world.faults.pay_error, "系统按要求拒绝")
        result = handler(PayCall(desk, merchant, parts))
    except PayError as error:
        refusal = _dumped({"code": error.code, "message": error.message})
        return _after(world, merchant, error.status, refusal)
    if isinstance(result, bytes):
        return Response(result, content_type="application/octet-stream")
    return _after(world, merchant, 200 if result is not None else 204, _dumped(result))


def _caller(world: World) -> Merchant:
    """The merchant whose key signed this request."""
    claimed = signing.claims(request.headers.get("Authorization", ""))
    merchant = world.state.merchants.get(claimed["mchid"])
    if merchant is None:
        raise PayError("SIGN_ERROR", "商户号不存在")
    path = request.full_path if request.query_string else request.path
    # Vendors' client libraries read the machine's clock, which nobody moves; the world's is right as well.
    at = min((time.time(), world.now()), key=lambda each: abs(each - _number(claimed["timestamp"])))
    signing.check_request(merchant, claimed, request.method, path, request.get_data(), at)
    return merchant


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _dumped(value: dict[str, Any] | None) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _before(world: World) -> Response | None:
    """The faults that keep a call from having any effect."""
    faults = world.faults
    if not faults.strikes(request.path):
        return None
    faults.delay()
    if faults.happens("http_500_rate"):
        return Response(_HTML_PAGE, 500, content_type="text/html")
    if faults.happens("empty_rate"):
        return Response("", content_type=_JSON)
    if faults.happens("html_rate"):
        return Response(_HTML_PAGE, content_type="text/html")
    return None


def _after(world: World, merchant: Merchant | None, status: int, body: str) -> Response:
    """The signed answer, or what the faults make of it after the call has had its effect."""
    faults = world.faults
    struck = faults.strikes(request.path)
    if struck and faults.happens("late_error_rate"):
        status, body = (
            500,
            _dumped({"code": "SYSTEM_ERROR", "message": "系统异常，请用相同参数重新调用"}),
        )
    proof = {} if merchant is None else signing.headers(merchant, body, world.now())
    if merchant is not None and struck and faults.happens("wrong_signature_rate"):
        proof = signing.headers(merchant, body + " ", world.now())
    if struck and faults.happens("drop_answer_rate"):
        return Response(iter([b"{"]), headers={"Content-Length": "100"}, content_type=_JSON)
    if struck and faults.happens("truncate_rate"):
        body = body[: len(body) // 2]
    proof["Request-ID"] = ids.rid()
    return Response(body, status, headers=proof, content_type=_JSON)


def _record(world: World, response: Response, ms: float) -> None:
    world.changes += 1
    world.calls.append(
        Call(
            id=world.next_id(),
            at=world.now(),
            account=None,
            method=request.method,
            path=request.path,
            query=request.query_string.decode(),
            body=request.get_data()[:_KEPT_BYTES],
            client_ip=request.remote_addr or "",
            status=response.status_code,
            answer=b"" if response.is_streamed else response.get_data()[:_KEPT_BYTES],
            ms=ms,
            rid=response.headers.get("Request-ID", ""),
        )
    )
