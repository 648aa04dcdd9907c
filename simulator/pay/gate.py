"""The gate every call to WeChat Pay passes: faults, the signature, the endpoint, a signed answer, the journal."""

import json
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from simulator import ids
from simulator.calls import Call
from simulator.pay import signing
from simulator.pay.errors import PayError
from simulator.pay.transfers import Transfers
from simulator.state import Merchant, World

_BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
PATHS = (
    f"POST {_BILLS}",
    f"GET {_BILLS}/out-bill-no/<number>",
    f"GET {_BILLS}/transfer-bill-no/<number>",
    f"POST {_BILLS}/out-bill-no/<number>/cancel",
)
_JSON = "application/json; charset=utf-8"
_HTML_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

Handler = Callable[[Merchant, str], "dict[str, Any]"]


def blueprint(world: World, transfers: Transfers) -> Blueprint:
    """All calls of the transfer API."""

    def create(merchant: Merchant, _number: str) -> dict[str, Any]:
        return transfers.create(merchant, _body(), request.headers.get("Wechatpay-Serial", ""))

    def query(merchant: Merchant, number: str) -> dict[str, Any]:
        return transfers.query(merchant, transfers.find(number))

    def cancel(merchant: Merchant, number: str) -> dict[str, Any]:
        return transfers.cancel(merchant, transfers.find(number))

    bp = Blueprint("pay", __name__)
    for place, handler in zip(PATHS, (create, query, query, cancel), strict=True):
        method, _, path = place.partition(" ")
        name = place.translate(str.maketrans(" ./<>", "_____"))
        bp.add_url_rule(path, name, guarded(world, handler), methods=[method])
    return bp


def guarded(world: World, handler: Handler) -> Callable[..., Response]:
    """A view whose answer is the handler's, signed, with all that the faults make of it."""

    def view(number: str = "") -> Response:
        started = time.perf_counter()
        response = _before(world) or _after(world, *_answer(world, handler, number))
        _record(world, response, (time.perf_counter() - started) * 1000)
        return response

    return view


def _answer(world: World, handler: Handler, number: str) -> tuple[Merchant | None, int, str]:
    merchant = None
    try:
        merchant = _caller(world)
        if world.faults.pay_error and world.faults.strikes(request.path):
            raise PayError(world.faults.pay_error, "系统按要求拒绝")
        return merchant, 200, _dumped(handler(merchant, number))
    except PayError as error:
        return merchant, error.status, _dumped({"code": error.code, "message": error.message})


def guarded_file(world: World, handler: Callable[[Merchant], bytes]) -> Callable[[], Response]:
    """A view that answers a file, which WeChat Pay does not sign."""

    def view() -> Response:
        started = time.perf_counter()
        try:
            response = _before(world) or Response(
                handler(_caller(world)), content_type="application/octet-stream"
            )
        except PayError as error:
            body = _dumped({"code": error.code, "message": error.message})
            response = Response(body, error.status, content_type=_JSON)
        _record(world, response, (time.perf_counter() - started) * 1000)
        return response

    return view


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


def _body() -> dict[str, Any]:
    try:
        parsed = json.loads(request.get_data())
    except ValueError as error:
        raise PayError("PARAM_ERROR", "请求体不是 JSON") from error
    if not isinstance(parsed, dict):
        raise PayError("PARAM_ERROR", "请求体应为对象")
    return parsed


def _dumped(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _before(world: World) -> Response | None:
    """The faults that keep a call from having any effect."""
    faults = world.faults
    if not faults.strikes(request.path):
        return None
    faults.delay()
    if faults.happens(faults.http_500_rate):
        return Response(_HTML_PAGE, 500, content_type="text/html")
    if faults.happens(faults.html_rate):
        return Response(_HTML_PAGE, content_type="text/html")
    return None


def _after(world: World, merchant: Merchant | None, status: int, body: str) -> Response:
    """The signed answer, or what the faults make of it after the call has had its effect."""
    faults = world.faults
    struck = faults.strikes(request.path)
    if struck and faults.happens(faults.late_error_rate):
        status, body = (
            500,
            _dumped({"code": "SYSTEM_ERROR", "message": "系统异常，请用相同参数重新调用"}),
        )
    proof = {} if merchant is None else signing.headers(merchant, body, world.now())
    if merchant is not None and struck and faults.happens(faults.wrong_signature_rate):
        proof = signing.headers(merchant, body + " ", world.now())
    if struck and faults.happens(faults.drop_answer_rate):
        return Response(iter([b"{"]), headers={"Content-Length": "100"}, content_type=_JSON)
    if struck and faults.happens(faults.truncate_rate):
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
            body=request.get_data(),
            client_ip=request.remote_addr or "",
            status=response.status_code,
            answer=b"" if response.is_streamed else response.get_data(),
            ms=ms,
            rid=response.headers.get("Request-ID", ""),
        )
    )
