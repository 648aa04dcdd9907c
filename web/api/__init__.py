"""The signed shop API under /api/v1, described at /api/v1/openapi.json and readable at /api/v1/docs."""

from __future__ import annotations

from flask_openapi.models.info import Info
from flask_openapi.openapi import OpenAPI

from context import Context
from web.api import docs, members, orders, products
from web.api.blueprint import SECURITY_SCHEMES, api, invalid
from web.api.shapes import Error
from web.api.signature import Callers

__all__ = ["members", "new_app", "orders", "products", "register"]

DESCRIPTION = """\
Report paid, completed and refunded orders, and read members, teams and commissions.

**Amounts** are integer fen (分), **rates** integer basis points (10000 is the whole), **instants** ISO 8601 with a
zone.

**Signature.** Every request carries `X-Banyan-Key`, `X-Banyan-Timestamp` (seconds, within 300 s of our clock),
`X-Banyan-Nonce` (1 to 64 visible ASCII characters, accepted once) and `X-Banyan-Signature`: hex HMAC-SHA256 with the
key's secret over

    METHOD\\nPATH?QUERY\\nTIMESTAMP\\nNONCE\\nsha256hex(body)

(five lines joined by line feeds; without a query there is no `?`; the body is empty for GET). docs/api.md has this as
Python.

**Repeats are safe.** Orders, refunds and completions are known by your numbers: send a request again, with a new nonce,
whenever you do not know what became of it.

**Errors** have one shape, `{"code", "message", "details"}`. 503 and 429 carry `Retry-After`.
"""


def new_app(import_name: str) -> OpenAPI:
    """The Flask application: of this kind, so that it can carry the API's description."""
    app = OpenAPI(
        import_name,
        info=Info(title="Banyan 榕树 shop API", version="1.0.0", description=DESCRIPTION),
        security_schemes=SECURITY_SCHEMES,
        validation_error_model=Error,
        validation_error_callback=invalid,
        doc_ui=False,
        static_folder=None,
    )
    app.openapi_version = "3.1.0"
    app.url_map.merge_slashes = (
        False  # a redirect would lead a signed request to a path it was not signed for
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # Flask's default provider has it
    return app


def register(app: OpenAPI, context: Context) -> None:
    """Serve the API."""
    app.extensions["banyan_api_callers"] = Callers(context)
    app.register_api(api)
    app.register_blueprint(docs.blueprint)
