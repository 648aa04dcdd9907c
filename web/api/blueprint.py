"""The signed API as a blueprint, and what its views share."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import BaseModel, ValidationError

from web.api import shapes
from web.api.signature import check_signature
from web.errors import Refusal, problem

PREFIX: Final = "/api/v1"
MAX_PROBLEMS: Final = 20

ORDERS: Final = Tag(name="orders", description="Paid, completed and refunded orders. 订单")
PRODUCTS: Final = Tag(name="products", description="Products and their own commission terms. 商品")
MEMBERS: Final = Tag(name="members", description="Members, their teams and what they earn. 会员")

_SIGNED: Final[list[dict[str, list[str]]]] = [
    {"key": [], "timestamp": [], "nonce": [], "signature": []}
]
_HEADERS: Final = {
    "key": "Key",
    "timestamp": "Timestamp",
    "nonce": "Nonce",
    "signature": "Signature",
}
SECURITY_SCHEMES: Final[dict[str, Any]] = {
    name: {"type": "apiKey", "in": "header", "name": f"X-Banyan-{header}"}
    for name, header in _HEADERS.items()
}


def refusals(*statuses: int) -> dict[str | int, Any]:
    """Statuses that answer with an `Error`, for the description."""
    return dict.fromkeys(map(str, statuses), shapes.Error)


api = APIBlueprint(
    "api",
    __name__,
    url_prefix=PREFIX,
    abp_security=_SIGNED,
    abp_responses=refusals(400, 401, 403, 413, 422, 429, 503),
    operation_id_callback=lambda *, name, **_: name,
)
api.before_request(check_signature)


@api.before_request
def _read_body() -> None:
    """A body is a JSON object. Read here, because the package takes anything unreadable for an empty body."""
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    if not request.is_json:
        raise Refusal(400, "not_json", "send the body as Content-Type: application/json")
    try:
        body = request.get_json()
    except RecursionError:  # the parser's own limit
        raise Refusal(400, "bad_json", "the body is nested too deeply") from None
    if not isinstance(body, dict):
        raise Refusal(422, "invalid_request", "the body is a JSON object")


def answer(model: BaseModel, status: int = 200) -> Response:
    """A model as JSON."""
    return Response(model.model_dump_json(), status=status, mimetype="application/json")


def invalid(error: ValidationError) -> Response:
    """422 with every field that is wrong, without repeating what was sent."""
    found = problems(error)
    first = found[0]
    message = f"{first['field']}: {first['problem']}" if first["field"] else first["problem"]
    return problem(422, "invalid_request", message, {"problems": found[:MAX_PROBLEMS]})


def problems(error: ValidationError) -> list[dict[str, str]]:
    """Each problem with the field's name as the shop wrote it (`lines.0.paid_fen`)."""
    return [
        {
            "field": ".".join(str(part) for part in item["loc"]),
            "problem": item["msg"].removeprefix("Value error, "),
        }
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
