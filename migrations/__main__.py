"""`python -m migrations "what it does"` writes a migration from what models have and migrations have not."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

import migrations


def main(message: str) -> None:
    """Compare the models with a database that has every migration so far, and write down the difference."""
    script = ScriptDirectory.from_config(migrations.config())
    number = len(list(script.walk_revisions())) + 1
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'head.db'}"
        if number > 1:
            migrations.upgrade(url)
        engine = migrations.open_engine(url)
        with engine.connect() as connection:
            made = migrations.config(connection)
            command.revision(made, message, autogenerate=True, rev_id=f"{number:04}")
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
