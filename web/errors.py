"""Every refusal of the API has one shape: {"code", "message", "details"}. Never a stack trace, never HTML.

Pages have their own words for errors; what is here answers under /api/ and wherever no page is in the way.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response, current_app, jsonify, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from domain.errors import DomainError
from web import pages

RETRY_AFTER_SECONDS: Final = 2

_CODES: Final = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
}
_MESSAGES: Final = {
    400: "the request cannot be read",
    404: "there is nothing at this address",
    405: "this address does not take that method",
    413: "the body is too large",
}


class Refusal(Exception):
    """What a door refuses before the domain is asked."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.details = retry_after, details


def problem(
    status: int,
    code: str,
    message: str,
    details: dict[str, Any] | None = None,
    retry_after: int | None = None,
) -> Response:
    """The one shape of an error."""
    response = jsonify(code=code, message=message, details=details or {})
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def of_domain(error: DomainError) -> Response:
    """A refusal of the domain; one that passes says when to try again."""
    retry_after = None if error.permanent else RETRY_AFTER_SECONDS
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.permanent:
        current_app.logger.error("%s: %s %s", error.code, error.message, error.details)
    return problem(error.status, error.code, error.message, error.details, retry_after)


def register(app: Flask) -> None:
    """Answer errors that no blueprint has words for."""
    app.register_error_handler(Refusal, _of_refusal)
    app.register_error_handler(DomainError, of_domain)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(kind, _of_database)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_bug)


def _of_refusal(error: Refusal) -> Response:
    return problem(error.status, error.code, error.message, error.details, error.retry_after)


def _of_database(error: Exception) -> Response:
    """The database is away, or too many wait for it: nothing was done, the same request may come again."""
    current_app.logger.error("database: %s", error)
    message = "the database cannot be reached; try again"
    return problem(503, "database_away", message, retry_after=RETRY_AFTER_SECONDS)


def _of_http(error: HTTPException) -> Response | HTTPException:
    if request.path.startswith(pages.PREFIXES):
        return pages.of_no_page(error)
    if not request.path.startswith("/api/"):
        return error
    status = error.code or 500
    response = problem(status, _CODES.get(status, "refused"), _MESSAGES.get(status, error.name))
    for name in ("Allow", "Retry-After"):
        if value := dict(error.get_headers()).get(name):
            response.headers[name] = value
    return response


def _of_bug(error: Exception) -> Response:
    """Anything unforeseen: the log has the trace, the caller a shape they know."""
    current_app.logger.exception("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "internal_error", "something went wrong on our side; it is in our log")
