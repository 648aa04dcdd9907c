"""The gate every API call passes: faults, then the token, then the quota, then the endpoint, then the journal."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.datastructures import FileStorage

from simulator import ids, quota
from simulator.calls import Call
from simulator.errors import ApiError
from simulator.people import People
from simulator.platform import keys
from simulator.state import Account, Contact, World

OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
_JSON = "application/json; encoding=utf-8"
_HTML_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_KEPT_BYTES = 16_384  # of a body in the journal; uploads are longer

type_of_handler = Callable[["ApiCall"], "dict[str, Any] | Response"]


@dataclass(frozen=True)
class Endpoint:
    """A path of the platform: how it may be called, what proves the caller, and how often a day."""

    method: str
    path: str
    handler: type_of_handler
    credential: str  # "token", "secret" or "none"
    per_day: int | None  # None: not counted
    per_minute: int | None = None


class ApiCall:
    """One call on its way through: who calls, what was sent, and the world it acts on."""

    account: Account

    def __init__(self, world: World, people: People) -> None:
        self.world = world
        self.people = people
        self.rid = ids.rid()
        self.at = world.now()
        self.client_ip = request.remote_addr or ""

    @property
    def query(self) -> dict[str, str]:
        """The query of the address; the first value where a name repeats."""
        return request.args.to_dict()

    @property
    def form(self) -> dict[str, str]:
        """The fields of a multipart body."""
        return request.form.to_dict()

    @property
    def base_url(self) -> str:
        """The simulator's own address, as the caller reached it."""
        return request.host_url.rstrip("/")

    @property
    def raw(self) -> bytes:
        """The body as it came."""
        return request.get_data()

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object in the body, whatever content type it claims; 44002 or 47001 otherwise."""
        if not self.raw:
            raise ApiError(44002)
        try:
            parsed = json.loads(self.raw)
        except ValueError as error:
            raise ApiError(47001) from error
        if not isinstance(parsed, dict):
            raise ApiError(47001)
        return parsed

    @property
    def upload(self) -> FileStorage:
        """The multipart field `media`; 41005 without it."""
        if "media" not in request.files:
            raise ApiError(41005)
        return request.files["media"]

    def contact(self, openid: object) -> Contact:
        """The person with this openid; 40003 for anybody this account never met."""
        contact = self.account.contacts.get(str(openid))
        if contact is None:
            raise ApiError(40003)
        if refusal := self.world.faults.refused_people.get(contact.openid):
            raise ApiError(refusal)
        return contact


class Endpoints:
    """A group of endpoints; the decorated functions keep their names and stay plain functions."""

    def __init__(self) -> None:
        self.all: list[Endpoint] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        per_day: int | None = None,
        per_minute: int | None = None,
        credential: str = "token",
    ) -> Callable[[type_of_handler], type_of_handler]:
        """Declare the function as the handler of this path."""

        def declare(handler: type_of_handler) -> type_of_handler:
            self.all.append(Endpoint(method, path, handler, credential, per_day, per_minute))
            return handler

        return declare


def blueprint(world: World, people: People, endpoints: list[Endpoint]) -> Blueprint:
    """All endpoints behind the gate."""
    bp = Blueprint("platform", __name__)
    world.limits = {each.path: each.per_day for each in endpoints}
    world.minute_limits = {each.path: each.per_minute for each in endpoints}
    for endpoint in endpoints:
        bp.add_url_rule(
            endpoint.path,
            endpoint.path.replace(".", "_"),
            _view(world, people, endpoint),
            methods=["GET", "POST"],
        )
    return bp


def _view(world: World, people: People, endpoint: Endpoint) -> Callable[[], Response]:
    def view() -> Response:
        started = time.perf_counter()
        call = ApiCall(world, people)
        response = _before(call, endpoint) or _after(call, endpoint, _answer(call, endpoint))
        _record(call, endpoint, response, (time.perf_counter() - started) * 1000)
        return response

    return view


def _answer(call: ApiCall, endpoint: Endpoint) -> Response:
    try:
        result = _run(call, endpoint)
    except ApiError as error:
        result = error.answer(call.rid)
    return result if isinstance(result, Response) else json_response(result)


def _run(call: ApiCall, endpoint: Endpoint) -> dict[str, Any] | Response:
    if request.method != endpoint.method:
        raise ApiError(43001 if endpoint.method == "GET" else 43002)
    if endpoint.credential == "token":
        call.account = keys.account_of_token(call.world, call.query.get("access_token"))
        quota.charge(call.world, call.account, endpoint.path)
    return endpoint.handler(call)


def json_response(result: dict[str, Any]) -> Response:
    """JSON as the platform writes it: UTF-8, nothing escaped, and its own idea of a content type."""
    return Response(json.dumps(result, ensure_ascii=False), content_type=_JSON)


def _before(call: ApiCall, endpoint: Endpoint) -> Response | None:
    """The faults that keep a call from having any effect."""
    faults = call.world.faults
    if not faults.strikes(endpoint.path):
        return None
    faults.delay()
    if faults.rotates_now():
        keys.rotate_all(call.world)
    if faults.happens("http_500_rate"):
        return Response(_HTML_PAGE, 500, content_type="text/html")
    if faults.happens("empty_rate"):
        return Response("", content_type=_JSON)
    if faults.happens("html_rate"):
        return Response(_HTML_PAGE, content_type="text/html")
    if faults.happens("busy_rate"):
        return json_response(ApiError(-1).answer(call.rid))
    return None


def _after(call: ApiCall, endpoint: Endpoint, response: Response) -> Response:
    """The faults that lose the answer of a call which has had its effect."""
    faults = call.world.faults
    if not faults.strikes(endpoint.path):
        return response
    if faults.happens("drop_answer_rate"):
        return _broken()
    if faults.happens("truncate_rate"):
        content = response.get_data()
        return Response(content[: len(content) // 2], content_type=_JSON)
    return response


def _broken() -> Response:
    """An answer whose connection breaks: it ends before the length that it promised."""
    return Response(iter([b"{"]), headers={"Content-Length": "100"}, content_type=_JSON)


def _record(call: ApiCall, endpoint: Endpoint, response: Response, ms: float) -> None:
    account = getattr(call, "account", None)
    uploaded = request.mimetype == "multipart/form-data"
    world = call.world
    world.changes += 1
    world.calls.append(
        Call(
            id=world.next_id(),
            at=call.at,
            account=account.app_id if account else None,
            method=request.method,
            path=endpoint.path,
            query=request.query_string.decode(),
            body=b"" if uploaded else call.raw[:_KEPT_BYTES],
            client_ip=call.client_ip,
            status=response.status_code,
            answer=b"" if response.is_streamed else response.get_data()[:_KEPT_BYTES],
            ms=ms,
            rid=call.rid,
        )
    )
