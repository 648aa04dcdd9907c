"""The composition root: settings, context and every door, put together. Flask finds `create_app` by itself."""

from __future__ import annotations

from flask import Flask

import bot.cli
import bot.view
from config import Settings, load_settings
from context import Context, open_context

BLUEPRINTS = (bot.view.blueprint,)
COMMANDS = (bot.cli.spool_commands,)


def create_app(settings: Settings | None = None) -> Flask:
    """The web process. `settings` None reads the file that BANYAN_CONFIG names."""
    return app_of(open_context(settings or load_settings()))


def app_of(context: Context) -> Flask:
    """Every door over an open context, which they find in `app.extensions["banyan"]`."""
    app = Flask(__name__, static_folder=None)
    app.extensions["banyan"] = context
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    for commands in COMMANDS:
        app.cli.add_command(commands)
    return app
