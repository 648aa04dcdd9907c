"""The description of the API, for programs and for people. Everything is served from here: no other host is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

import flask_openapi_swagger
from flask import Blueprint, Response, current_app, jsonify, send_from_directory
from flask_openapi.openapi import OpenAPI

SWAGGER: Final = Path(flask_openapi_swagger.__file__).parent / "templates" / "swagger"
ASSETS: Final = {
    "swagger-ui.css": SWAGGER / "css",
    "swagger-ui-bundle.js": SWAGGER / "js",
    "docs.js": Path(__file__).parent / "static",
}
# Swagger UI sets style attributes and draws its icons from data: addresses; it needs no inline script.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Banyan 榕树 · shop API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/docs.js" defer></script>
</head>
<body>
<main id="description">
<p>The description is <a href="openapi.json">openapi.json</a>; this page needs JavaScript to show it.</p>
</main>
</body>
</html>
"""

blueprint = Blueprint("api_docs", __name__, url_prefix="/api/v1")


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The description as OpenAPI 3.1."""
    return jsonify(cast(OpenAPI, current_app).api_doc)


@blueprint.get("/docs")
def page() -> Response:
    """The description for people."""
    response = Response(PAGE, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get("/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js', 'docs.js'):name>")
def asset(name: str) -> Response:
    """What the page consists of."""
    response = send_from_directory(ASSETS[name], name, max_age=3600)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
