"""The composition root: the one place that knows every door. Flask finds `create_app` by itself."""

from __future__ import annotations

import click
from flask_openapi.openapi import OpenAPI

import bot.cli
import bot.view
import jobs.cli
import logs
import web.api
import web.cli_accounts
import web.cli_books
import web.cli_campaigns
import web.cli_chat
import web.cli_codes
import web.cli_data
import web.cli_notices
import web.cli_payouts
import web.cli_promotion
import web.cli_quota
import web.cli_rules
import web.cli_server
import web.cli_tree
import web.cli_webhooks
import web.console
import web.current
import web.errors
import web.h5
import web.ops
import web.pages
import web.pay
from config import ConfigError, Settings, load_settings
from context import Context, open_context

BLUEPRINTS = (
    bot.view.blueprint,
    web.h5.blueprint,
    web.ops.blueprint,
    web.pay.blueprint,
)
COMMANDS = (
    *web.cli_accounts.COMMANDS,
    *web.cli_books.COMMANDS,
    *web.cli_campaigns.COMMANDS,
    *web.cli_chat.COMMANDS,
    *web.cli_codes.COMMANDS,
    *web.cli_data.COMMANDS,
    *web.cli_notices.COMMANDS,
    *web.cli_payouts.COMMANDS,
    *web.cli_promotion.COMMANDS,
    *web.cli_quota.COMMANDS,
    *web.cli_rules.COMMANDS,
    *web.cli_server.COMMANDS,
    *web.cli_tree.COMMANDS,
    *web.cli_webhooks.COMMANDS,
    bot.cli.spool_commands,
    jobs.cli.reconcile_command,
)


def create_app(settings: Settings | None = None) -> OpenAPI:
    """The web process, also what `flask` commands run in. `settings` None reads the file that BANYAN_CONFIG names."""
    try:
        return app_of(open_context(settings or load_settings()))
    except ConfigError as error:  # said in words, not by a trace, also under `flask`
        raise click.ClickException(str(error)) from error


def server() -> OpenAPI:
    """The web process as granian starts it: `create_app`, and its lines on standard error."""
    logs.start(web.current.request_of_this_moment)
    return create_app()


def app_of(context: Context) -> OpenAPI:
    """Every door over an open context, which they find in `app.extensions["banyan"]`."""
    app = web.api.new_app(__name__)
    app.extensions["banyan"] = context
    web.errors.register(app)
    web.pages.register(app, context)
    web.api.register(app, context)
    web.console.register(app, context)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    for command in COMMANDS:
        app.cli.add_command(command)
    return app
