"""The composition root: the one place that knows every door. Flask finds `create_app` by itself."""

from __future__ import annotations

import click
from flask_openapi.openapi import OpenAPI

import bot.cli
import bot.view
from config import ConfigError, load_settings
from context import Context, open_context
from web import api, cli, cli_promotion, errors, ops


def create_app(context: Context | None = None) -> OpenAPI:
    """The web application, also what `flask` commands run in. Tests bring a context of their own, which every door
    finds in `app.extensions["banyan"]`."""
    context = context or _open_context()
    app = api.new_app(__name__)
    app.extensions["banyan"] = context
    errors.register(app)
    api.register(app, context)
    ops.register(app)
    cli.register(app)
    cli_promotion.register(app)
    app.register_blueprint(bot.view.blueprint)
    app.cli.add_command(bot.cli.spool_commands)
    return app


def _open_context() -> Context:
    try:
        return open_context(load_settings())
    except ConfigError as error:  # said in words, not by a trace, also under `flask`
        raise click.ClickException(str(error)) from error
